//! What the rules ask: of the scenario as it was resolved, of its requests, and of how runs ended.

use std::cell::OnceCell;

use serde_json::Value as Json;

use super::Written;
use crate::fleet::RouterKind;
use crate::runner::Requests;
use crate::scenario::{
    BlocksFrom, Experiment, GpuMemory, LengthFrom, PoolView, ResolvedScenario, SchedulerDetails,
    SchedulerRun,
};
use crate::scheduler::{Feature, SchedulerConfig, Setting};
use crate::sim::Outcome;
use crate::trace::Status;
use crate::workload::{Lengths, Source};

/// All that is known.
pub struct Facts<'a> {
    /// The keys that stand in the scenario's file or in a `--set`.
    pub written: &'a [Written],
    /// The scenario, every default filled in.
    pub scenario: &'a ResolvedScenario,
    /// What runs.
    pub experiment: &'a Experiment,
    /// The runs in question, with their places.
    pub runs: Vec<(usize, &'a SchedulerRun)>,
    /// How each run of the experiment ended, where they have been run.
    ended: Option<&'a [Ended]>,
    /// The requests.
    pub requests: &'a Requests,
    shares: OnceCell<bool>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Prompt tokens that were found in a prefix cache.
    pub hit_tokens: u64,
    /// Whether every request had come to its end before observation ended.
    pub drained: bool,
}

impl Ended {
    /// Of a run of `requests` requests, where that number is known.
    pub fn of(requests: Option<u64>, outcome: &Outcome) -> Ended {
        let rows = &outcome.trace.requests;
        Ended {
            hit_tokens: outcome.kv.prefix_hit_tokens,
            drained: requests == Some(rows.len() as u64)
                && rows.iter().all(|row| row.status != Status::Unfinished),
        }
    }
}

/// Replicas that are alike, and what was given of them.
pub struct Replicas<'a> {
    /// The pool, or all of the fleet.
    pub pool: PoolView<'a>,
    /// Whether an iteration takes a fixed time.
    pub fixed: bool,
    /// Whether the number of KV blocks is given.
    pub kv_blocks_given: bool,
    /// Whether `max_model_len` is given.
    pub max_model_len_given: bool,
    /// GPUs that share every layer.
    pub tensor: u32,
    /// Pipeline stages.
    pub pipeline: u32,
    /// Data-parallel ranks.
    pub data: u32,
}

impl<'a> Facts<'a> {
    /// Of a scenario whose requests are known.
    pub fn new(
        written: &'a [Written],
        scenario: &'a ResolvedScenario,
        experiment: &'a Experiment,
        requests: &'a Requests,
        ended: Option<&'a [Ended]>,
    ) -> Facts<'a> {
        let runs = experiment.schedulers.iter().enumerate().collect();
        let shares = OnceCell::new();
        Facts { written, scenario, experiment, runs, ended, requests, shares }
    }

    /// The same of one run alone.
    pub fn only(&self, run: usize) -> Facts<'a> {
        let runs = self.runs.iter().copied().filter(|(index, _)| *index == run).collect();
        let Facts { written, scenario, experiment, ended, requests, .. } = *self;
        let shares = self.shares.clone();
        Facts { written, scenario, experiment, runs, ended, requests, shares }
    }

    /// How the runs in question ended, where that is known.
    pub fn ended(&self) -> Option<Ended> {
        let ended = self.ended?;
        let each = self.runs.iter().filter_map(|(index, _)| ended.get(*index));
        Some(each.fold(Ended { hit_tokens: 0, drained: true }, |all, one| Ended {
            hit_tokens: all.hit_tokens + one.hit_tokens,
            drained: all.drained && one.drained,
        }))
    }

    /// Whether a key was written.
    pub fn wrote(&self, path: &str) -> bool {
        self.written.iter().any(|one| one.path == path)
    }

    /// What stands around a key: the map that it is in.
    pub fn around(&self, key: &Written) -> Option<&Json> {
        let (parent, _) = key.path.rsplit_once('.')?;
        self.written.iter().find(|one| one.path == parent).map(|one| &one.value)
    }

    /// All replicas, pool by pool.
    pub fn fleet(&self) -> Vec<Replicas<'a>> {
        let pools = self.experiment.fleet();
        let alike = self.experiment.pools.is_empty();
        let of = |(index, pool): (usize, PoolView<'a>)| {
            let resolved = self.scenario.replicas((!alike).then_some(index));
            let derived = resolved.map(|replicas| replicas.derived);
            let spread = resolved.map(|replicas| replicas.parallelism).unwrap_or_default();
            Replicas {
                pool,
                fixed: pool.hardware.pricing.is_none(),
                kv_blocks_given: derived.is_some_and(|of| of.kv_blocks.from == BlocksFrom::Given),
                max_model_len_given: derived
                    .is_some_and(|of| of.max_model_len.from == LengthFrom::Given),
                tensor: spread.tensor.unwrap_or(1),
                pipeline: spread.pipeline.unwrap_or(1),
                data: spread.data.unwrap_or(1),
            }
        };
        pools.into_iter().enumerate().map(of).collect()
    }

    /// The replicas that a key of the scenario or of a pool is about. None of them where each pool
    /// has its own in its place.
    pub fn owners(&self, key: &Written) -> Vec<Replicas<'a>> {
        let fleet = self.fleet();
        if let Some(pool) = key.index_in("pools") {
            return fleet
                .into_iter()
                .enumerate()
                .filter(|(i, _)| *i == pool)
                .map(|(_, r)| r)
                .collect();
        }
        // A pool's GPU or model replaces the scenario's whole; the rest goes field by field.
        let whole = ["gpu", "model"].into_iter().find(|part| key.path.starts_with(part));
        let part = whole.unwrap_or(key.path.as_str());
        let keeps = |index: usize| !self.wrote(&format!("pools.{index}.{part}"));
        fleet.into_iter().enumerate().filter(|(i, _)| keeps(*i)).map(|(_, r)| r).collect()
    }

    /// Whether any of the schedulers has a feature, used or not.
    pub fn any_has(&self, feature: Feature) -> bool {
        self.runs.iter().any(|(_, run)| run.config.has(feature))
    }

    /// Whether every one of the schedulers lacks a feature, or does without it here.
    pub fn none_uses(&self, feature: Feature) -> bool {
        !self.runs.iter().any(|(_, run)| self.uses(run, feature))
    }

    /// Whether a scheduler makes use of a feature somewhere in the fleet.
    pub fn uses(&self, run: &SchedulerRun, feature: Feature) -> bool {
        self.experiment.fleet().iter().any(|pool| pool.uses(run, feature))
    }

    /// Names of the schedulers, each once.
    pub fn schedulers(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (_, run) in &self.runs {
            if !names.contains(&run.name.as_str()) {
                names.push(&run.name);
            }
        }
        match names.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
            _ => names.join(""),
        }
    }

    /// Whether a default of a scheduler that nobody wrote out depends on the size of the GPU's memory.
    pub fn large_gpu_matters(&self) -> bool {
        let fleet = self.experiment.fleet();
        let differs = |(index, run): (usize, &SchedulerRun)| {
            let Some(plain) = SchedulerConfig::by_name(&run.name) else { return false };
            let defaults = |pool: &PoolView<'_>, gpu| {
                plain.resolved(&pool.engine.info(gpu, &plain)).parameters()
            };
            let mut by_size: Vec<String> = Vec::new();
            for pool in &fleet {
                let kinds = GpuMemory::KINDS.map(|gpu| defaults(pool, gpu));
                let own = kinds[0].as_object().into_iter().flatten();
                let differ = own.filter(|(name, value)| {
                    kinds.iter().any(|kind| kind[name.as_str()] != **value)
                });
                by_size.extend(differ.map(|(name, _)| name.clone()));
            }
            if by_size.is_empty() {
                return false;
            }
            let (place, details) =
                (format!("schedulers.{index}.{}", run.name), SchedulerDetails::of(&plain));
            let written = |parameter: &String| {
                details.names_of(parameter).any(|name| self.wrote(&format!("{place}.{name}")))
            };
            !by_size.iter().all(written)
        };
        self.runs.iter().any(|&one| differs(one))
    }

    /// Whether two prompts begin with the same whole KV block.
    pub fn shares_prefixes(&self) -> bool {
        *self.shares.get_or_init(|| self.requests.shares_prefixes(self.experiment))
    }

    /// Whether requests differ in priority.
    pub fn priorities_differ(&self) -> bool {
        self.requests.priorities_differ(self.experiment)
    }

    /// What a policy's parameters may depend on besides each other.
    pub fn setting(&self, pool: &PoolView<'_>, run: &SchedulerRun) -> Setting {
        Setting {
            engine: pool.engine_info(&run.config),
            shares_prefixes: self.shares_prefixes(),
            priorities_differ: self.priorities_differ(),
            has_sessions: self.requests.has_sessions(),
            longest_request: self.requests.longest(),
            steps_together: pool.hardware.lockstep() > 1,
        }
    }

    /// The router that chooses among several replicas, if one does: that of a class's replicas, too.
    pub fn chooses_by(&self, router: &RouterKind) -> bool {
        self.chooses(|chooser| chooser == router)
    }

    /// Whether the router that chooses among several replicas, if one does, is such a one.
    pub fn chooses(&self, is: impl Fn(&RouterKind) -> bool) -> bool {
        if self.experiment.replicas <= 1 {
            return false;
        }
        match &self.experiment.router {
            RouterKind::ClassToPool(pools) => {
                is(&pools.within) && pools.pools.iter().any(|(_, of)| of.len() > 1)
            }
            own => is(own),
        }
    }

    /// Lengths that requests are drawn from.
    pub fn drawn_lengths(&self) -> Vec<&'a Lengths> {
        let Source::Synthetic { lengths, .. } = &self.experiment.workload.source else {
            return Vec::new();
        };
        let classes = &self.experiment.workload.classes;
        let own = classes.iter().filter_map(|class| class.lengths.as_ref());
        let common = classes.is_empty() || classes.iter().any(|class| class.lengths.is_none());
        own.chain(common.then_some(lengths)).collect()
    }
}
