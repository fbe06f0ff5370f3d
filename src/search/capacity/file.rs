//! The published result of a capacity search.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::{Inert, Tool};
use crate::search::interval::Interval;
use crate::search::probe::Probe;

/// The published result of a capacity search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityFile {
    /// Version of this layout.
    pub schema_version: u32,
    /// `capacity`.
    pub kind: String,
    /// What made it.
    pub tool: Tool,
    /// The scenario as resolved.
    pub scenario: Value,
    /// What had to hold, in words.
    pub promise: String,
    /// Relative distance between the rates of each bracket.
    pub precision: f64,
    /// Seeds of the runs.
    pub seeds: Vec<u64>,
    /// The scenario's own rate.
    pub scenario_requests_per_s: f64,
    /// One for each scheduler.
    pub schedulers: Vec<Capacity>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Settings of the scenario that change nothing in any of its runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inert: Vec<Inert>,
}

/// What one scheduler can carry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Registered name.
    pub scheduler: String,
    /// Name and parameters.
    pub label: String,
    /// Replicas that were simulated.
    pub replicas: u32,
    /// Their GPUs.
    pub gpus: u32,
    /// Highest rate that holds on all of them; null when none does, or none fails.
    pub requests_per_s: Option<Interval>,
    /// The same for one GPU.
    pub requests_per_s_per_gpu: Option<Interval>,
    /// What gives way just above: figures of the promise, or `the queue keeps growing`.
    pub limited_by: Vec<String>,
    /// Seed by seed.
    pub seeds: Vec<SeedCapacity>,
    /// What users get at the highest rate, for the first seed.
    pub at_capacity: Option<AtCapacity>,
    /// Money at the highest rate; null where no price is known.
    pub price: Option<SizingPrice>,
    /// Replicas for the rate asked for.
    pub for_rate: Option<ForRate>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// What one seed's search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeedCapacity {
    /// The seed.
    pub seed: u64,
    /// Highest rate that held; null when none did.
    pub holds_requests_per_s: Option<f64>,
    /// Lowest rate above it that did not; null when none failed.
    pub fails_requests_per_s: Option<f64>,
    /// What was not kept there.
    pub broken: Vec<String>,
    /// Whether the queue was growing there.
    pub growing: bool,
    /// Every rate tried, and whether it held.
    pub tried: Vec<(f64, bool)>,
    /// Share of fluid requests at each of those rates.
    #[serde(default)]
    pub tried_fluid_request_share: Vec<Option<f64>>,
}

/// Figures of the run at the highest rate that held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AtCapacity {
    /// Share of fluid requests.
    pub fluid_request_share: Option<f64>,
    /// P99 of the time to first token.
    pub ttft_p99_s: Option<f64>,
    /// P99 of the time between tokens.
    pub tbt_p99_s: Option<f64>,
    /// Output tokens of a request, on average.
    pub output_tokens_per_request: Option<f64>,
}

/// Money for a steady load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SizingPrice {
    /// Of all GPUs.
    pub usd_per_hour: f64,
    /// At the load in question.
    pub usd_per_million_output_tokens: Option<f64>,
    /// At the load in question, for each request that is fluid.
    #[serde(default)]
    pub usd_per_fluid_request: Option<f64>,
}

/// The fewest replicas for a rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForRate {
    /// The rate.
    pub requests_per_s: f64,
    /// The fewest replicas that hold it with every seed, a multiple of the data-parallel ranks of a
    /// deployment; null when none do.
    pub replicas: Option<u32>,
    /// Their GPUs.
    pub gpus: Option<u32>,
    /// The rate over the highest rate that as many replicas carry, to 2 %.
    pub share_of_capacity: Option<f64>,
    /// Money for it.
    pub price: Option<SizingPrice>,
    /// Replicas tried, and the number of seeds that held.
    pub tried: Vec<(u32, u32)>,
}

/// JSON Schema (2020-12) of [`CapacityFile`].
pub fn capacity_schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(CapacityFile);
    schema.insert("title".into(), "metron-sim capacity".into());
    schema
}

impl AtCapacity {
    /// The figures of a run.
    pub(super) fn of(probe: &Probe) -> AtCapacity {
        let summary = &probe.result.summary;
        let offered = summary.requests.offered;
        AtCapacity {
            fluid_request_share: summary.fluidity.as_ref().and_then(|f| f.fluid_request_share),
            ttft_p99_s: summary.ttft_s.p99,
            tbt_p99_s: summary.tbt_s.as_ref().and_then(|tbt| tbt.p99),
            output_tokens_per_request: (offered > 0)
                .then(|| summary.tokens.output as f64 / offered as f64),
        }
    }
}

impl SizingPrice {
    /// Money for `rate` requests a second that look like those `at` the capacity.
    pub(super) fn of(usd_per_hour: f64, rate: Option<f64>, at: Option<AtCapacity>) -> SizingPrice {
        let tokens = at.and_then(|at| at.output_tokens_per_request);
        let per_hour = rate.zip(tokens).map(|(rate, tokens)| rate * tokens * 3600.0);
        let share = at.and_then(|at| at.fluid_request_share);
        let fluid_per_hour = rate.zip(share).map(|(rate, share)| rate * share * 3600.0);
        SizingPrice {
            usd_per_hour,
            usd_per_million_output_tokens: per_hour
                .filter(|tokens| *tokens > 0.0)
                .map(|tokens| usd_per_hour / tokens * 1e6),
            usd_per_fluid_request: fluid_per_hour
                .filter(|requests| *requests > 0.0)
                .map(|requests| usd_per_hour / requests),
        }
    }
}
