//! What would have helped: the same requests again, with one thing changed.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::explain::{Cause, StallReport};
use crate::metrics::{self, Options};
use crate::runner::{PlayOptions, Requests, Simulate};
use crate::scenario::Document;
use crate::sim::Outcome;
use crate::time::Time;
use crate::trace::Status;

/// A change, and what the simulation made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhatIf {
    /// In words; the run as it was comes first.
    pub change: String,
    /// What to give to `--set`, in order, to see it again.
    pub set: Vec<String>,
    /// What came of it; null where the simulation could not be played.
    pub figures: Option<Figures>,
    /// Whether the stall becomes at least a tenth shorter.
    pub helps: bool,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// The gap that was the worst stall, as far as observation saw it; null where the request never
    /// came so far.
    pub stall_s: Option<f64>,
    /// The longest gap of that kind (to the first token, or between tokens) of any request.
    pub worst_s: Option<f64>,
    /// P99 of the time between tokens.
    pub tbt_p99_s: Option<f64>,
    /// P99 of the time to first token.
    pub ttft_p99_s: Option<f64>,
    /// Fluid requests over all that were offered.
    pub fluid_request_share: Option<f64>,
    /// Output tokens per second.
    pub output_tokens_per_s: Option<f64>,
    /// Requests answered to the end.
    pub completed: u64,
    /// Requests turned away.
    pub rejected: u64,
}

/// The run whose stall is to be cured.
pub struct Patient<'p> {
    /// Its scenario, overrides applied.
    pub document: &'p Document,
    /// The seed in place of the scenario's.
    pub seed: Option<u64>,
    /// The scenario with all defaults filled in.
    pub resolved: &'p Value,
    /// Its requests: the changed runs face the same.
    pub requests: &'p Requests,
    /// Place of its scheduler in the scenario's list.
    pub scheduler: usize,
    /// What it is judged by.
    pub judged_by: &'p Options,
    /// The stall: request and token.
    pub stall: (u32, u32),
    /// The pool of replicas that it came about in, where there are pools.
    pub pool: Option<usize>,
}

/// Parameters that bound the prefill tokens of a step, for policies that prefill in chunks.
pub const CHUNKS: [(&str, &str); 8] = [
    ("sarathi", "chunk_size"),
    ("vllm-v1", "max_num_batched_tokens"),
    ("vllm-v0-chunked", "max_num_batched_tokens"),
    ("splitfuse", "max_ragged_batch_size"),
    ("sglang", "chunked_prefill_size"),
    ("tensorrt-llm", "max_num_tokens"),
    ("llama-cpp", "n_batch"),
    ("tgi", "max_batch_prefill_tokens"),
];

/// Parameters that bound the requests with a seat.
pub const SEATS: [&str; 6] = [
    "max_num_seqs",
    "running_max_req_size",
    "max_running_requests",
    "max_batch_size",
    "max_ragged_sequence_count",
    "n_parallel",
];

/// Policies that prefill in chunks beside decodes.
const CHUNKED: [&str; 8] = [
    "sarathi",
    "vllm-v1",
    "vllm-v0-chunked",
    "splitfuse",
    "sglang",
    "tensorrt-llm",
    "llama-cpp",
    "nano-vllm",
];

/// Changes that could bear on a cause.
fn fitting(cause: Cause) -> &'static [Kind] {
    use Kind::*;
    match cause {
        Cause::PrefillInterference | Cause::PrefillOnly | Cause::DecodesAlongside => &[
            ChunkHalved,
            ChunkDoubled,
            OtherScheduler,
            PrefillFirst,
            PrefixCaching,
            OneReplicaMore,
            TensorDoubled,
        ],
        Cause::NoSeat => &[SeatsDoubled, OtherScheduler, OneReplicaMore],
        Cause::NoKvBlocks | Cause::HeadOfLine | Cause::PreemptedWaiting | Cause::Recompute => &[
            MoreBlocks,
            HigherUtilization,
            SeatsHalved,
            OtherScheduler,
            PrefixCaching,
            OneReplicaMore,
            TensorDoubled,
        ],
        Cause::NoTokenBudget => &[
            ChunkDoubled,
            ChunkHalved,
            OtherScheduler,
            PrefillFirst,
            PrefixCaching,
            OneReplicaMore,
        ],
        Cause::BatchGrowth => &[SeatsHalved, OneReplicaMore, TensorDoubled],
        Cause::Own => &[ChunkDoubled, PrefixCaching, TensorDoubled, OneReplicaMore],
        Cause::PolicyDeferred => &[OtherScheduler, PrefillFirst, OneReplicaMore],
        _ => &[ChunkHalved, ChunkDoubled, OtherScheduler, PrefillFirst, OneReplicaMore],
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    ChunkHalved,
    ChunkDoubled,
    SeatsDoubled,
    SeatsHalved,
    MoreBlocks,
    HigherUtilization,
    OtherScheduler,
    PrefillFirst,
    PrefixCaching,
    OneReplicaMore,
    TensorDoubled,
}

/// A cause is worth a cure when it makes up this part of a stall, as one over it.
const WORTH_A_CURE: u64 = 5;

/// The main cause, and those that make up a fifth of the stall.
pub fn worth_a_cure(stall: &StallReport) -> Vec<Cause> {
    let mut others: Vec<(u64, Cause)> = stall
        .causes_ns
        .iter()
        .filter(|&(&cause, &ns)| cause != stall.main_cause && ns * WORTH_A_CURE >= stall.length_ns)
        .map(|(&cause, &ns)| (ns, cause))
        .collect();
    others.sort_by_key(|&(ns, cause)| (std::cmp::Reverse(ns), cause));
    let others = others.into_iter().map(|(_, cause)| cause);
    std::iter::once(stall.main_cause).chain(others).collect()
}

/// A stall is helped when it becomes a tenth shorter.
const HELPS: f64 = 0.9;

/// Plays the run again with each change that fits one of the causes, the unchanged run first.
pub fn what_if(patient: &Patient<'_>, causes: &[Cause], simulate: &dyn Simulate) -> Vec<WhatIf> {
    let mut kinds: Vec<Kind> = Vec::new();
    for &kind in causes.iter().flat_map(|&cause| fitting(cause)) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut changes = vec![("as it was".to_owned(), Vec::new())];
    changes.extend(kinds.into_iter().filter_map(|kind| patient.change(kind)));
    let mut played: Vec<WhatIf> =
        changes.into_par_iter().map(|(change, set)| patient.play(change, set, simulate)).collect();
    let stall = |tried: &WhatIf| tried.figures.as_ref().and_then(|figures| figures.stall_s);
    if let Some(before) = played.first().and_then(stall) {
        for tried in &mut played[1..] {
            tried.helps = stall(tried).is_some_and(|after| after <= HELPS * before);
        }
    }
    played
}

/// Share of the GPU's memory that engines commonly go up to.
const UTILIZATION: f64 = 0.95;

fn other(index: usize, name: &str, other: &str) -> (String, Vec<String>) {
    let set = format!("schedulers.{index}={{{other}: {{}}}}");
    (format!("{other} instead of {name}"), vec![set])
}

impl Patient<'_> {
    fn change(&self, kind: Kind) -> Option<(String, Vec<String>)> {
        let index = self.scheduler;
        let entry = &self.resolved["schedulers"][index];
        let name = entry.as_object()?.keys().find(|key| *key != "label")?;
        let parameter = |of: &str| entry[name][of].as_u64().filter(|&n| n > 0);
        let scaled = |parameter: &str, old: u64, new: u64| {
            let change = format!("{parameter} {new} instead of {old}");
            (change, vec![format!("schedulers.{index}.{name}.{parameter}={new}")])
        };
        let chunk = || CHUNKS.iter().find(|(of, _)| of == name).map(|(_, parameter)| *parameter);
        let seat = || SEATS.into_iter().find(|of| parameter(of).is_some());
        // What belongs to replicas is changed where the stall was.
        let (pool, derived, at, of_pool) = match self.pool {
            None => (self.resolved, &self.resolved["derived"], String::new(), String::new()),
            Some(index) => {
                let pool = &self.resolved["pools"][index];
                let name = pool["name"].as_str().unwrap_or_default();
                let derived = &self.resolved["derived"]["pools"][index];
                (pool, derived, format!("pools.{index}."), format!(" in pool {name}"))
            }
        };
        match kind {
            Kind::ChunkHalved => {
                let old = parameter(chunk()?).filter(|&old| old > 1)?;
                Some(scaled(chunk()?, old, old / 2))
            }
            Kind::ChunkDoubled => {
                let old = parameter(chunk()?)?;
                Some(scaled(chunk()?, old, old * 2))
            }
            Kind::SeatsDoubled => {
                let old = parameter(seat()?)?;
                Some(scaled(seat()?, old, old * 2))
            }
            Kind::SeatsHalved => {
                let old = parameter(seat()?).filter(|&old| old > 1)?;
                Some(scaled(seat()?, old, old / 2))
            }
            Kind::MoreBlocks => {
                let old = pool["engine"]["kv_blocks"].as_u64()?;
                let new = old + old / 2;
                let change = format!("{new} KV blocks instead of {old}{of_pool}");
                Some((change, vec![format!("{at}engine.kv_blocks={new}")]))
            }
            Kind::HigherUtilization => {
                // Where the scenario gives the number of blocks, this would change nothing.
                let derived = derived["kv_blocks"]["from"].as_str()?;
                let old = pool["engine"]["gpu_memory_utilization"].as_f64()?;
                (derived != "given" && old < UTILIZATION).then(|| {
                    (
                        format!("{UTILIZATION} of the GPU's memory instead of {old}{of_pool}"),
                        vec![format!("{at}engine.gpu_memory_utilization={UTILIZATION}")],
                    )
                })
            }
            Kind::OtherScheduler => {
                Some(other(index, name, if name == "sarathi" { "vllm-v1" } else { "sarathi" }))
            }
            Kind::PrefillFirst => {
                CHUNKED.contains(&name.as_str()).then(|| other(index, name, "vllm-v0"))
            }
            Kind::PrefixCaching => {
                let off = pool["engine"]["prefix_caching"] == Value::Bool(false);
                (off && self.prompts_share()).then(|| {
                    let set = format!("{at}engine.prefix_caching=true");
                    (format!("prefix caching{of_pool}"), vec![set])
                })
            }
            Kind::TensorDoubled => {
                // A fixed iteration time knows no GPUs.
                if pool["gpu"].is_null() {
                    return None;
                }
                let old = pool["parallelism"]["tensor"].as_u64()?;
                let change = format!("tensor {} instead of {old}{of_pool}", old * 2);
                Some((change, vec![format!("{at}parallelism.tensor={}", old * 2)]))
            }
            Kind::OneReplicaMore => {
                let old = pool["replicas"].as_u64().unwrap_or(1);
                let change = format!("{} replicas instead of {old}{of_pool}", old + 1);
                Some((change, vec![format!("{at}replicas={}", old + 1)]))
            }
        }
    }

    /// Whether prompts are known to begin alike.
    fn prompts_share(&self) -> bool {
        match self.requests {
            Requests::Open(workload) => !workload.block_ids.is_empty(),
            Requests::Closed(_) => !self.resolved["workload"]["prefix_groups"].is_null(),
        }
    }

    fn play(&self, change: String, set: Vec<String>, simulate: &dyn Simulate) -> WhatIf {
        let figures = self.simulate(&set, simulate);
        let (figures, error) = match figures {
            Ok(figures) => (Some(figures), None),
            Err(error) => (None, Some(error)),
        };
        WhatIf { change, set, figures, helps: false, error }
    }

    fn simulate(&self, set: &[String], simulate: &dyn Simulate) -> Result<Figures, String> {
        let text = |error: crate::scenario::ScenarioError| error.to_string();
        let document = self.document.clone().with(set).map_err(text)?;
        let experiment = document.resolve(self.seed).map_err(text)?.experiment;
        let scheduler = &experiment.schedulers[self.scheduler];
        let outcome = simulate
            .simulate(&experiment, scheduler, self.requests, PlayOptions::default())
            .map_err(|error| error.to_string())?;
        Ok(self.figures(&outcome))
    }

    fn figures(&self, outcome: &Outcome) -> Figures {
        let summary = metrics::evaluate(&outcome.trace, self.judged_by);
        let (request, token) = self.stall;
        let stall = outcome.trace.requests.get(request as usize).and_then(|row| {
            let mut times = outcome.trace.token_times(row);
            let before = match token {
                0 => Some(row.arrival),
                _ => times.nth(token as usize - 1),
            }?;
            // One that observation cut off lasted until then at least.
            let open = (row.status == Status::Unfinished).then(|| outcome.trace.end.max(before));
            times.next().or(open).map(|at: Time| at.since(before).as_secs_f64())
        });
        let so_far = summary.latency_bounds.as_ref();
        Figures {
            stall_s: stall,
            worst_s: match token {
                0 => so_far.map_or(summary.ttft_s.max, |bounds| bounds.ttft_s.lower.max),
                _ => match so_far.and_then(|bounds| bounds.tbt_s) {
                    Some(range) => range.lower.max,
                    None => summary.tbt_s.as_ref().and_then(|tbt| tbt.max),
                },
            },
            tbt_p99_s: summary.tbt_s.as_ref().and_then(|tbt| tbt.p99),
            ttft_p99_s: summary.ttft_s.p99,
            fluid_request_share: summary.fluidity.as_ref().and_then(|f| f.fluid_request_share),
            output_tokens_per_s: summary.throughput.as_ref().and_then(|t| t.output_tokens_per_s),
            completed: summary.requests.completed,
            rejected: summary.requests.rejected,
        }
    }
}
