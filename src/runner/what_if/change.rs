//! Makes the changes of a kind for a run, starting from what bound it.

use serde_json::{Map, Value};

use super::Patient;
use super::bound::Bound;
use super::menu::{Kind, fitting};
use super::swap::{Wanted, swaps};
use crate::explain::Cause;
use crate::runner::Requests;
use crate::scenario::Router;
use crate::scheduler::{self, Bounds, EngineInfo, Facts, Limit, SchedulerConfig};

/// A change to try.
pub(super) struct Change {
    /// In words, such as `max_num_seqs 256 -> 64`.
    pub words: String,
    /// What to give to `--set`.
    pub set: Vec<String>,
    /// Why it could help.
    pub why: &'static str,
    /// What could not be held fixed.
    pub not_held: Vec<String>,
    /// What is given up.
    pub gives_up: &'static str,
    /// Whether it is another scheduler.
    pub other_scheduler: bool,
    /// Whose requests it faces.
    pub load: Load,
}

/// The requests that a changed run faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// The same.
    Same,
    /// Those of the changed scenario: the same draws, at other times or of fewer users.
    Drawn,
}

impl Change {
    fn new(words: String, set: Vec<String>) -> Change {
        let not_held = Vec::new();
        let (why, gives_up, other_scheduler, load) = ("", "", false, Load::Same);
        Change { words, set, why, not_held, gives_up, other_scheduler, load }
    }

    fn gives_up(self, gives_up: &'static str) -> Change {
        Change { gives_up, ..self }
    }
}

const PRECISION: &str = "precision of the numbers";
const SERVED: &str = "load: fewer are served";
const MEMORY: &str = "money: it takes GPUs with more memory";

/// Share of the GPU's memory that engines commonly go up to.
const UTILIZATION: f64 = 0.95;
/// Tokens of a step that keep most GPUs busy: Sarathi-Serve's default.
const BUSY_STEP: u32 = 512;

impl Patient<'_> {
    /// The changes that fit these causes, those of the first cause first.
    pub(super) fn changes(&self, causes: &[Cause]) -> Vec<Change> {
        let maker = Maker::new(self);
        let mut kinds: Vec<Kind> = Vec::new();
        let mut changes: Vec<Change> = Vec::new();
        let fits =
            |&cause: &Cause| fitting(cause).iter().map(move |&(kind, why)| (cause, kind, why));
        for (cause, kind, why) in causes.iter().flat_map(fits) {
            let waits = matches!(cause, Cause::NoKvBlocks | Cause::HeadOfLine);
            if kinds.contains(&kind) || waits && kind.is_against_preemption() && !maker.preempted()
            {
                continue;
            }
            kinds.push(kind);
            for mut change in maker.changes(kind) {
                if changes.iter().all(|known| known.set != change.set) {
                    change.why = why;
                    changes.push(change);
                }
            }
        }
        changes
    }
}

/// What changes are made of.
struct Maker<'m> {
    patient: &'m Patient<'m>,
    config: &'m SchedulerConfig,
    info: EngineInfo,
    facts: Facts,
    bound: Bound,
    /// The pool of the stall, or the scenario where all replicas are alike; and what was derived of
    /// it.
    pool: &'m Value,
    derived: &'m Value,
    /// How paths into it begin, and how it is called.
    at: String,
    of_pool: String,
}

impl<'m> Maker<'m> {
    fn new(patient: &'m Patient<'m>) -> Maker<'m> {
        let fleet = patient.experiment.fleet();
        let info = fleet[patient.pool.unwrap_or(0)].engine_info();
        let resolved = patient.resolved;
        let (pool, derived, at, of_pool) = match patient.pool {
            None => (resolved, &resolved["derived"], String::new(), String::new()),
            Some(index) => {
                let pool = &resolved["pools"][index];
                let name = pool["name"].as_str().unwrap_or_default();
                let derived = &resolved["derived"]["pools"][index];
                (pool, derived, format!("pools.{index}."), format!(" (pool {name})"))
            }
        };
        Maker {
            patient,
            config: patient.config,
            facts: patient.config.facts(&info),
            info,
            bound: Bound::of(&patient.output.outcome),
            pool,
            derived,
            at,
            of_pool,
        }
    }

    fn changes(&self, kind: Kind) -> Vec<Change> {
        match kind {
            Kind::SmallerSteps => self.smaller_steps(),
            Kind::LargerSteps => self.larger_steps(),
            Kind::ShorterChunks => self.shorter_chunks(),
            Kind::CutPrompts => self.cut_prompts(),
            Kind::DecodeBeside => self.switch(scheduler::Effect::DecodesBeside),
            Kind::ShareSteps => self.switch(scheduler::Effect::SharesSteps),
            Kind::AdmitLess => self.switch(scheduler::Effect::AdmitsLess),
            Kind::AdmitMore => self.switch(scheduler::Effect::AdmitsMore),
            Kind::DecodeLonger => {
                self.decodes_between(|now| vec![(now * 2).max(4), (now * 4).max(16)])
            }
            Kind::DecodeShorter => self.decodes_between(|now| vec![now / 2, now / 4]),
            Kind::FewerSeats => self.fewer_seats(),
            Kind::MoreSeats => self.more_seats(),
            Kind::LowerWatermark => self.watermark(&[0.01, 0.0], |new, old| new < old),
            Kind::HigherWatermark => self.watermark(&[0.05, 0.1], |new, old| new > old),
            Kind::MoreBlocks => self.more_blocks(),
            Kind::HigherUtilization => self.higher_utilization(),
            Kind::ShorterModelLen => self.shorter_model_len(),
            Kind::KvFp8 => self.fp8("kv_cache_dtype", "KV cache", &["fp8"]),
            Kind::WeightsFp8 => self.fp8("dtype", "weights", &["fp8", "int8", "int4"]),
            Kind::PrefixCaching => self.prefix_caching(),
            Kind::ChunkedPolicy => self.swap(Wanted::Chunked),
            Kind::PrefillFirstPolicy => self.swap(Wanted::PrefillFirst),
            Kind::PagedPolicy => self.swap(Wanted::Paged),
            Kind::Router => self.router(),
            Kind::PlanAhead => self.plan_ahead(),
            Kind::TensorForPipeline => self.tensor_for_pipeline(),
            Kind::ReplicasForTensor => self.replicas_for_tensor(),
            Kind::OneReplicaMore => self.replicas(),
            Kind::TensorDoubled => self.tensor_doubled(),
            Kind::LessLoad => self.less_load(),
        }
    }

    /// A parameter of the policy given another value, with those that would follow it held.
    fn parameter(&self, name: &str, old: Option<u32>, new: Value) -> Change {
        let path = |name: &str| {
            format!("schedulers.{}.{}.{name}", self.patient.scheduler, self.config.name())
        };
        let words = match old {
            Some(old) => format!("{name} {old} -> {}", shown(&new)),
            None => format!("{name} -> {}", shown(&new)),
        };
        let mut set = vec![format!("{}={}", path(name), shown(&new))];
        let follow = self.facts.follows.iter();
        set.extend(follow.map(|(name, value)| format!("{}={}", path(name), shown(value))));
        Change::new(words, set)
    }

    fn limits(&self, limit: Limit, values: impl IntoIterator<Item = u32>) -> Vec<Change> {
        let mut known = Vec::new();
        let new = values.into_iter().filter(|&value| {
            let new = Some(value) != limit.most && !known.contains(&value);
            known.push(value);
            new
        });
        new.map(|value| self.parameter(limit.parameter, limit.most, value.into())).collect()
    }

    fn switch(&self, effect: scheduler::Effect) -> Vec<Change> {
        let fitting = self.facts.switches.iter().filter(|switch| switch.effect == effect);
        let change = |switch: &scheduler::Switch| {
            let old = &self.config.parameters()[switch.parameter];
            let mut change = self.parameter(switch.parameter, None, switch.value.clone());
            if !old.is_null() {
                change.words =
                    format!("{} {} -> {}", switch.parameter, shown(old), shown(&switch.value));
            }
            change
        };
        fitting.map(change).collect()
    }

    /// Cut prompts, as they are and with a budget that cuts them short.
    fn cut_prompts(&self) -> Vec<Change> {
        let plain = self.switch(scheduler::Effect::CutsPrompts);
        let Some(budget) = self.facts.budget.map(|budget| budget.limit) else { return plain };
        let mut changes = Vec::new();
        for cut in plain {
            // Where cutting is the budget itself there is nothing to add.
            let path = format!(".{}=", budget.parameter);
            let is_budget = cut.set.iter().any(|set| set.contains(&path));
            let smaller = [BUSY_STEP, 4 * BUSY_STEP]
                .into_iter()
                .filter(|&smaller| !is_budget && budget.most.is_some_and(|old| smaller < old));
            for smaller in smaller {
                let also = self.parameter(budget.parameter, budget.most, smaller.into());
                let words = format!("{}, {}", cut.words, also.words);
                changes.push(Change::new(words, [cut.set.clone(), also.set].concat()));
            }
            changes.push(cut);
        }
        changes
    }

    /// Tokens of a step that count for the budget: the most that any had, where that is less than
    /// the budget allows.
    fn step(&self) -> Option<(Limit, u32)> {
        let budget = self.facts.budget?;
        let most = match budget.bounds {
            Bounds::Step => self.bound.step_tokens,
            Bounds::Chunks | Bounds::WholePrompts => self.bound.prefill_tokens,
        };
        let most = budget.limit.most.map_or(most, |limit| limit.min(most));
        Some((budget.limit, most))
    }

    fn smaller_steps(&self) -> Vec<Change> {
        let Some((limit, most)) = self.step() else { return Vec::new() };
        if self.facts.budget.is_some_and(|budget| budget.bounds == Bounds::WholePrompts) {
            // Longer prompts would be rejected.
            return Vec::new();
        }
        let least = self.info.kv_block_tokens.max(32);
        let values = [most / 2, most / 4, most / 8, BUSY_STEP.min(most / 2)];
        let rounded = values.map(|value| value / 16 * 16);
        self.limits(limit, rounded.into_iter().filter(|&value| value >= least))
    }

    fn larger_steps(&self) -> Vec<Change> {
        let Some((limit, most)) = self.step() else { return Vec::new() };
        let bound = limit.most.is_some_and(|limit| u64::from(most) * 10 >= u64::from(limit) * 9);
        let Some(old) = limit.most.filter(|_| bound) else { return Vec::new() };
        self.limits(limit, [2, 4].map(|times| old.saturating_mul(times)))
    }

    fn shorter_chunks(&self) -> Vec<Change> {
        let Some(limit) = self.facts.longest_chunk else { return Vec::new() };
        let most = limit.most.map_or(self.bound.chunk, |limit| limit.min(self.bound.chunk));
        let values = [most / 2, most / 4, most / 16].map(|value| value / 16 * 16);
        self.limits(limit, values.into_iter().filter(|&value| value >= 32))
    }

    fn decodes_between(&self, values: impl Fn(u32) -> Vec<u32>) -> Vec<Change> {
        let Some(limit) = self.facts.decodes_between else { return Vec::new() };
        let now = limit.most.unwrap_or(0);
        let mut new = values(now);
        new.retain(|&new| new != now && (new > 0 || now > 1));
        self.limits(limit, new)
    }

    fn fewer_seats(&self) -> Vec<Change> {
        let Some(limit) = self.facts.seats else { return Vec::new() };
        let most = limit.most.map_or(self.bound.running, |limit| limit.min(self.bound.running));
        // As many as memory holds when all have grown to the length of an average request.
        let tokens = u64::from(self.bound.blocks.1) * u64::from(self.info.kv_block_tokens);
        let fit = tokens.checked_div(self.bound.request_tokens.into()).unwrap_or(0);
        let fit = u32::try_from(fit).unwrap_or(u32::MAX);
        let values = [fit, most / 4 * 3, most / 2, most / 4].map(round_seats);
        self.limits(limit, values.into_iter().filter(|&value| value >= 1 && value < most))
    }

    fn more_seats(&self) -> Vec<Change> {
        let Some(limit) = self.facts.seats else { return Vec::new() };
        let Some(old) = limit.most.filter(|&old| self.bound.running >= old) else {
            return Vec::new();
        };
        self.limits(limit, [2, 4].map(|times| old.saturating_mul(times)))
    }

    fn watermark(&self, values: &[f64], fits: impl Fn(f64, f64) -> bool) -> Vec<Change> {
        let Some(parameter) = self.facts.watermark else { return Vec::new() };
        let Some(old) = self.config.parameters()[parameter].as_f64() else { return Vec::new() };
        let new = values.iter().filter(|&&new| fits(new, old));
        new.map(|&new| Change {
            words: format!("{parameter} {old} -> {new}"),
            ..self.parameter(parameter, None, new.into())
        })
        .collect()
    }

    fn preempted(&self) -> bool {
        self.patient.output.outcome.kv.preemptions > 0
    }

    fn blocks_are_given(&self) -> bool {
        self.derived["kv_blocks"]["from"].as_str() == Some("given")
    }

    fn more_blocks(&self) -> Vec<Change> {
        if !self.bound.memory_was_full() && !self.info.prefix_caching {
            return Vec::new();
        }
        let Some(old) = self.pool["engine"]["kv_blocks"].as_u64() else { return Vec::new() };
        let change = |new: u64| {
            let words = format!("KV blocks {old} -> {new}{}", self.of_pool);
            let change = Change::new(words, vec![format!("{}engine.kv_blocks={new}", self.at)]);
            // Where they follow from the GPU's memory, more of them do not come from a setting.
            if self.blocks_are_given() { change } else { change.gives_up(MEMORY) }
        };
        vec![change(old + old / 2), change(old * 2)]
    }

    fn higher_utilization(&self) -> Vec<Change> {
        // Where the scenario gives the number of blocks, this would change nothing.
        let Some(old) = self.pool["engine"]["gpu_memory_utilization"].as_f64() else {
            return Vec::new();
        };
        if self.blocks_are_given() || self.pool["gpu"].is_null() || old >= UTILIZATION {
            return Vec::new();
        }
        let words = format!("gpu_memory_utilization {old} -> {UTILIZATION}{}", self.of_pool);
        let set = format!("{}engine.gpu_memory_utilization={UTILIZATION}", self.at);
        vec![Change::new(words, vec![set])]
    }

    fn shorter_model_len(&self) -> Vec<Change> {
        let reserves = self.facts.takes == scheduler::Takes::MaxModelLen;
        let longest = self.bound.longest_request.saturating_add(1).next_multiple_of(16);
        let old = self.info.max_model_len;
        if !reserves || longest >= old {
            return Vec::new();
        }
        let words = format!("max_model_len {old} -> {longest}{}", self.of_pool);
        let change = Change::new(words, vec![format!("{}engine.max_model_len={longest}", self.at)]);
        vec![change.gives_up("length: longer requests would be rejected")]
    }

    fn fp8(&self, key: &str, of: &str, narrow: &[&str]) -> Vec<Change> {
        let old = self.pool["engine"][key].as_str().unwrap_or("auto");
        if self.pool["gpu"].is_null() || narrow.contains(&old) {
            return Vec::new();
        }
        let set = format!("{}engine.{key}=fp8", self.at);
        let words = format!("{of} in fp8{}", self.of_pool);
        vec![Change::new(words, vec![set]).gives_up(PRECISION)]
    }

    fn prefix_caching(&self) -> Vec<Change> {
        let can = self.config.build(&self.info).needs().cache.is_some();
        if self.info.prefix_caching || !can || !self.prompts_share() {
            return Vec::new();
        }
        let set = format!("{}engine.prefix_caching=true", self.at);
        vec![Change::new(format!("prefix caching{}", self.of_pool), vec![set])]
    }

    /// Whether prompts are known to begin alike.
    fn prompts_share(&self) -> bool {
        match self.patient.requests {
            Requests::Open(workload) => !workload.block_ids.is_empty(),
            Requests::Closed(_) => !self.patient.resolved["workload"]["prefix_groups"].is_null(),
        }
    }

    fn swap(&self, wanted: Wanted) -> Vec<Change> {
        let old = self.config.name();
        let change = |swap: super::swap::Swap| {
            let parameters = Value::Object(swap.parameters);
            let entry: Map<String, Value> =
                [(swap.name.to_owned(), parameters)].into_iter().collect();
            let set = format!("schedulers.{}={}", self.patient.scheduler, Value::Object(entry));
            let words = format!("scheduler {old} -> {}", swap.name);
            let not_held = swap.not_held;
            Change { not_held, other_scheduler: true, ..Change::new(words, vec![set]) }
        };
        swaps(self.config, &self.info, wanted).into_iter().map(change).collect()
    }

    fn router(&self) -> Vec<Change> {
        if self.patient.experiment.replicas < 2 {
            return Vec::new();
        }
        let by_class = self.patient.resolved["router"].is_object();
        let (path, old) = match by_class {
            true => ("router.within", &self.patient.resolved["router"]["within"]),
            false => ("router", &self.patient.resolved["router"]),
        };
        let old = old.as_str().unwrap_or("round-robin");
        let by_load = [Router::LeastRequests, Router::LeastTokens];
        let named = |router: &Router| {
            Router::NAMES.into_iter().find(|name| Router::by_name(name).as_ref() == Some(router))
        };
        let new = by_load.iter().filter_map(named).filter(|name| *name != old);
        new.map(|name| {
            Change::new(format!("router {old} -> {name}"), vec![format!("{path}={name}")])
        })
        .collect()
    }

    fn plan_ahead(&self) -> Vec<Change> {
        let can = self.config.build(&self.info).needs().plans_ahead;
        let off = self.pool["engine"]["async_scheduling"] == Value::Bool(false);
        if !can || !off || self.pool["gpu"].is_null() {
            return Vec::new();
        }
        let set = format!("{}engine.async_scheduling=true", self.at);
        vec![Change::new(format!("async_scheduling false -> true{}", self.of_pool), vec![set])]
    }

    fn parallel(&self, key: &str) -> Option<u64> {
        self.pool["parallelism"][key].as_u64()
    }

    fn tensor_for_pipeline(&self) -> Vec<Change> {
        let (Some(tensor), Some(stages)) = (self.parallel("tensor"), self.parallel("pipeline"))
        else {
            return Vec::new();
        };
        if stages < 2 || self.pool["gpu"].is_null() {
            return Vec::new();
        }
        let (at, new) = (&self.at, tensor * stages);
        let words = format!(
            "tensor {tensor}, pipeline {stages} -> tensor {new}, pipeline 1{}",
            self.of_pool
        );
        let set =
            vec![format!("{at}parallelism.pipeline=1"), format!("{at}parallelism.tensor={new}")];
        vec![Change::new(words, set)]
    }

    fn replicas_for_tensor(&self) -> Vec<Change> {
        let Some(tensor) = self.parallel("tensor").filter(|tensor| tensor.is_multiple_of(2)) else {
            return Vec::new();
        };
        let (at, replicas) = (&self.at, self.pool["replicas"].as_u64().unwrap_or(1));
        let words = format!(
            "tensor {tensor}, replicas {replicas} -> tensor {}, replicas {}{}",
            tensor / 2,
            replicas * 2,
            self.of_pool
        );
        let set = vec![
            format!("{at}parallelism.tensor={}", tensor / 2),
            format!("{at}replicas={}", replicas * 2),
        ];
        vec![Change::new(words, set)]
    }

    fn replicas(&self) -> Vec<Change> {
        let old = self.pool["replicas"].as_u64().unwrap_or(1);
        let words = |new: u64| format!("replicas {old} -> {new}{}", self.of_pool);
        let change = |new: u64| Change::new(words(new), vec![format!("{}replicas={new}", self.at)]);
        vec![change(old + 1)]
    }

    fn tensor_doubled(&self) -> Vec<Change> {
        // A fixed iteration time knows no GPUs.
        let Some(old) = self.parallel("tensor").filter(|_| !self.pool["gpu"].is_null()) else {
            return Vec::new();
        };
        let words = format!("tensor {old} -> {}{}", old * 2, self.of_pool);
        vec![Change::new(words, vec![format!("{}parallelism.tensor={}", self.at, old * 2)])]
    }

    fn less_load(&self) -> Vec<Change> {
        let workload = &self.patient.resolved["workload"];
        let trace = &workload["trace"];
        let (at, arrivals) = match trace.is_null() {
            true => ("workload.arrivals", &workload["arrivals"]),
            false => ("workload.trace.arrivals", &trace["arrivals"]),
        };
        let parts = [0.75, 0.5];
        let less = |change: Change| Change { load: Load::Drawn, ..change.gives_up(SERVED) };
        if let Some((name, users)) =
            named(arrivals).and_then(|(name, of)| Some((name, of["users"].as_u64()?)))
        {
            let fewer = parts.map(|part| libm::floor(users as f64 * part) as u64);
            let fewer = fewer.into_iter().filter(|&fewer| fewer > 0 && fewer < users);
            return fewer
                .map(|fewer| {
                    let set = format!("{at}.{name}.users={fewer}");
                    less(Change::new(format!("users {users} -> {fewer}"), vec![set]))
                })
                .collect();
        }
        if let Some((name, rate)) =
            named(arrivals).and_then(|(name, of)| Some((name, of["rate"].as_f64()?)))
        {
            let lower = parts.map(|part| rounded(rate * part));
            return lower
                .into_iter()
                .map(|lower| {
                    let set = format!("{at}.{name}.rate={lower}");
                    less(Change::new(format!("rate {rate}/s -> {lower}/s"), vec![set]))
                })
                .collect();
        }
        if !trace.is_null() && arrivals.is_null() {
            let scale = trace["time_scale"].as_f64().unwrap_or(1.0);
            let slower = parts.map(|part| rounded(scale * part));
            return slower
                .into_iter()
                .map(|slower| {
                    let set = format!("workload.trace.time_scale={slower}");
                    less(Change::new(format!("time_scale {scale} -> {slower}"), vec![set]))
                })
                .collect();
        }
        Vec::new()
    }
}

/// The one member of a map, such as `{poisson: {...}}`.
fn named(map: &Value) -> Option<(&str, &Value)> {
    map.as_object()?.iter().next().map(|(name, value)| (name.as_str(), value))
}

/// To three digits, so that what is asked for can be read.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// Numbers of seats that people set: a multiple of eight from sixteen on.
fn round_seats(seats: u32) -> u32 {
    if seats >= 16 { seats / 8 * 8 } else { seats }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
