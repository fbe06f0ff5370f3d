//! The published result: what `--format json` prints and other programs rely on.
//!
//! Field names carry their units. A member that could not be measured is null.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::explain::ByCause;
use crate::ids::ReplicaId;
use crate::metrics::{Summary, class_fairness};
use crate::promise::{JudgedBy, Verdict, all_met};
use crate::result::features::{Features, why_not_comparable};
use crate::result::measured::MeasuredResult;
use crate::result::routing::RoutingResult;
use crate::result::sessions::SessionsResult;
use crate::result::{DisaggregationResult, KvTiersResult};

/// Version of the result's layout; raised when a member is renamed, dropped or changes meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// The result of a scenario, one run for each of its schedulers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultFile {
    /// Version of this layout.
    pub schema_version: u32,
    /// What made the result.
    pub tool: Tool,
    /// The scenario as resolved: defaults filled in, with the seed.
    pub scenario: Value,
    /// One for each scheduler, in the scenario's order; all faced the same requests.
    pub runs: Vec<RunResult>,
    /// What a reader should know of the scenario and its workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Settings of the scenario that change nothing in any of its runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inert: Vec<Inert>,
}

/// A setting that was given and has no effect here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inert {
    /// Where it stands in the scenario, as `--set` takes it.
    pub path: String,
    /// What was given.
    pub value: Value,
    /// Why it changes nothing.
    pub why: String,
}

/// The settings without effect of an experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Those that have none in any run, in the order in which they are written.
    pub everywhere: Vec<Inert>,
    /// For each run, the others that have none in it.
    pub of_run: Vec<Vec<Inert>>,
}

/// The program that made a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Tool {
    /// This program.
    pub fn this() -> Tool {
        Tool { name: "metron-sim".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// What one scheduler did with the requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// Registered name of the scheduler, such as `sarathi`.
    pub scheduler: String,
    /// Name and given parameters, such as `sarathi(chunk_size=512)`; unique within the result.
    pub label: String,
    /// Counts, latencies, throughput and fluidity.
    #[serde(flatten)]
    pub summary: Summary,
    /// Whether the promise was kept.
    pub slo: Verdict,
    /// The deadlines that its requests were judged by, for each class that has its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judged_by: Vec<JudgedBy>,
    /// Where the time of all requests went. Up to 1 M output tokens, or with `--stalls`; null
    /// otherwise, and for a measured system.
    pub stalls: Option<StallsResult>,
    /// Batches that ran; null for a measured system.
    pub iterations: Option<IterationResult>,
    /// KV memory; null for a measured system. Where pools have different amounts, `blocks` and
    /// `peak_used` are those of the pool with the fullest replica.
    pub kv: Option<KvResult>,
    /// How requests were spread over replicas; absent where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<RoutingResult>,
    /// What each pool of replicas did, by its name; absent where all replicas are alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<BTreeMap<String, PoolResult>>,
    /// What sessions of several turns got; absent where requests belong to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Box<SessionsResult>>,
    /// What went from replicas that prefill to those that decode; absent where each does both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disaggregation: Option<DisaggregationResult>,
    /// What came from tiers behind the KV blocks; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_tiers: Option<KvTiersResult>,
    /// The same figures for each class of requests; null when there is one class.
    pub classes: Option<BTreeMap<String, ClassResult>>,
    /// How evenly the classes were served; null when there is one class.
    pub fairness: Option<Fairness>,
    /// Energy of the GPUs; null where their power is not known.
    pub energy: Option<Energy>,
    /// Price of the GPUs' time; null where no price is known.
    pub cost: Option<Cost>,
    /// How the scheduler stands to the features that can make a difference to these requests; runs
    /// are not ranked across one that is on and that some of them lack. Empty for a measured system.
    #[serde(default, skip_serializing_if = "Features::is_empty")]
    pub features: Features,
    /// What a reader should know of this run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Settings of the scenario that change nothing in this run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inert: Vec<Inert>,
    /// Figures that a measured file cannot give, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// Where measured figures came from and what they are worth; absent for a simulation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<MeasuredResult>,
}

/// Where the time of all requests went, by cause; the causes are those of `explain`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StallsResult {
    /// Time to first token, nanoseconds by cause, summed over requests.
    pub first_token_ns: ByCause,
    /// Time between tokens, nanoseconds by cause, summed over gaps.
    pub between_tokens_ns: ByCause,
    /// Missed deadlines of the requests that count.
    pub missed: u64,
    /// What they are charged to; the charges sum to `missed`.
    pub misses: ByCause,
}

/// What the requests of one class got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassResult {
    /// Counts, latencies, throughput and fluidity of its requests.
    #[serde(flatten)]
    pub summary: Summary,
    /// Whether the promise to the class was kept: its own, or the scenario's.
    pub slo: Verdict,
}

impl ClassResult {
    /// The verdict on what was promised to its requests; `None` where it had none: to nobody nothing is
    /// promised.
    pub fn verdict(&self) -> Option<&Verdict> {
        (self.summary.requests.offered > 0).then_some(&self.slo)
    }
}

/// Batches that ran, over all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IterationResult {
    /// All of them.
    pub count: u64,
    /// With prefill chunks and no decodes.
    pub prefill_only: u64,
    /// With both.
    pub mixed: u64,
    /// With decodes alone.
    pub decode_only: u64,
    /// Sequences in a batch on average; null without batches.
    pub mean_batch: Option<f64>,
}

/// KV memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvResult {
    /// Usable blocks of one replica.
    pub blocks: u64,
    /// The most blocks in use at once on any replica.
    pub peak_used: u64,
    /// Preemptions over all replicas.
    pub preemptions: u64,
    /// Prompt tokens served from the prefix cache, over all replicas.
    pub prefix_hit_tokens: u64,
}

/// How evenly classes were served.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fairness {
    /// Jain's index over the classes' fluid request shares, `(sum x)^2 / (n * sum x^2)`: 1 when all
    /// are served alike, 1/n when one gets everything; null when no class has a fluid request.
    pub jain_index: Option<f64>,
}

impl Fairness {
    /// How evenly these classes were served.
    pub fn of(classes: &BTreeMap<String, ClassResult>) -> Fairness {
        Fairness { jain_index: class_fairness(classes.values().map(|class| &class.summary)) }
    }
}

/// What the replicas of one pool did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolResult {
    /// The GPU; null where a fixed iteration time stands for it.
    pub gpu: Option<String>,
    /// Number of its first replica; the others follow.
    pub first_replica: ReplicaId,
    /// Its replicas.
    pub replicas: u32,
    /// Their GPUs.
    pub gpus: u32,
    /// Requests that the router sent to them, whole run.
    pub requests: u64,
    /// Of these, answered to the end.
    pub completed: u64,
    /// Of these, turned away.
    pub rejected: u64,
    /// Output tokens that they made, whole run.
    pub output_tokens: u64,
    /// GPU time of their iterations over elapsed time: 0 to 1.
    pub gpu_utilization: f64,
    /// KV memory of a replica of it.
    pub kv: KvResult,
    /// Price of one GPU for an hour; null where it is not known.
    pub usd_per_gpu_hour: Option<f64>,
    /// What its requests got of those that count, by the promise to their class or to all; absent where one
    /// pool prefills for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<PoolServed>,
    /// Whether the promise to its requests was kept; absent where it has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Verdict>,
}

/// What the requests of a pool got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolServed {
    /// Requests that count.
    pub requests: u64,
    /// The share of them that is fluid; null where that is not known to the last one.
    pub fluid_request_share: Option<f64>,
    /// Time between tokens, the median.
    pub tbt_p50_s: Option<f64>,
    /// The same at P99.
    pub tbt_p99_s: Option<f64>,
}

/// Energy of all GPUs from the first arrival to the last token, whole run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Energy {
    /// GPU time of iterations over elapsed time: 0 to 1; the mean over GPUs.
    pub gpu_utilization: f64,
    /// Mean power of all GPUs together.
    pub mean_power_w: f64,
    /// Power of a GPU while it is busy: between what waiting for memory draws and its limit; the mean
    /// over GPUs.
    #[serde(default)]
    pub busy_power_w: f64,
    /// Energy of all GPUs while they were busy.
    #[serde(default)]
    pub busy_joules: f64,
    /// Energy of all GPUs while they had nothing to do.
    #[serde(default)]
    pub idle_joules: f64,
    /// Energy of all GPUs together.
    pub joules: f64,
    /// Per output token; null without tokens.
    pub joules_per_output_token: Option<f64>,
}

/// Price of all GPUs from the first arrival to the last token, whole run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Price of one GPU for an hour, as the scenario or the catalog gives it; the mean over GPUs.
    pub usd_per_gpu_hour: f64,
    /// GPU time paid for.
    pub gpu_hours: f64,
    /// Price of the run.
    pub usd: f64,
    /// Price of a million output tokens; null without tokens.
    pub usd_per_million_output_tokens: Option<f64>,
    /// Of the whole run, for each of its fluid requests: all requests times the share of fluid ones
    /// among those that are measured.
    #[serde(default)]
    pub usd_per_fluid_request: Option<f64>,
}

impl ResultFile {
    /// A result of this program.
    pub fn new(scenario: Value, runs: Vec<RunResult>, warnings: Vec<String>) -> ResultFile {
        ResultFile {
            schema_version: SCHEMA_VERSION,
            tool: Tool::this(),
            scenario,
            runs,
            warnings,
            inert: Vec::new(),
        }
    }

    /// Whether every scheduler keeps the promise; `None` where that is not known.
    pub fn slo_met(&self) -> Option<bool> {
        all_met(self.runs.iter().map(|run| run.slo.met))
    }

    /// The same with what has no effect, in all runs and in each; and a warning where some runs have a
    /// feature on that others lack.
    #[must_use]
    pub fn with_inert(mut self, found: Found) -> ResultFile {
        self.inert = found.everywhere;
        for (run, of_run) in self.runs.iter_mut().zip(found.of_run) {
            run.inert = of_run;
        }
        self.warnings.extend(why_not_comparable(&self.runs));
        self
    }

    /// The result as indented JSON with a line end.
    pub fn to_json(&self) -> String {
        crate::json::indented(self)
    }
}
