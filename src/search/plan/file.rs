//! The published result of `plan`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cost::Parallelism;
use crate::result::{SCHEMA_VERSION, Tool};
use crate::search::capacity::RatioCapacity;

/// The published result of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanFile {
    /// Version of this layout.
    pub schema_version: u32,
    /// `plan`.
    pub kind: String,
    /// What made it.
    pub tool: Tool,
    /// What was asked: the model, the load and the promise, in words.
    pub question: String,
    /// What had to hold, in words.
    pub promise: String,
    /// The load in requests a second; null where sessions or users were asked for.
    pub requests_per_s: Option<f64>,
    /// The load in sessions that begin a second; null where requests or users were asked for.
    #[serde(default)]
    pub sessions_per_s: Option<f64>,
    /// The load in users of a closed loop; null where a rate was asked for.
    pub users: Option<u32>,
    /// What a session is, where requests are turns of sessions.
    #[serde(default)]
    pub session: Option<PlanSession>,
    /// Each GPU's cheapest way to hold the load, the cheapest of all first.
    pub answers: Vec<PlanAnswer>,
    /// What cannot hold the promise at any load, and why.
    pub infeasible: Vec<PlanInfeasible>,
    /// Seeds with which each answer holds.
    pub seeds: Vec<u64>,
    /// Cells there are, and how many of them were simulated on a fleet: the others cannot be cheaper.
    pub cells: u32,
    /// See `cells`.
    pub cells_simulated: u32,
    /// Whether every search came to its end before time ran out (`--max-time`).
    pub complete: bool,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// The best answer as a scenario (YAML), ready to run; null without one.
    pub scenario: Option<String>,
}

/// A session where every answer comes as promised, on the average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanSession {
    /// Its turns: each is a request.
    pub turns: f64,
    /// Tokens of all its answers.
    pub output_tokens: f64,
    /// From its first turn to its last token, the gaps between turns included.
    pub stay_s: f64,
}

/// One way to hold the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanAnswer {
    /// The GPU.
    pub gpu: String,
    /// How the model is spread over GPUs.
    pub parallelism: Parallelism,
    /// The number format of the weights: `bf16`, `fp8`, or `auto` (what the model's config says).
    pub dtype: String,
    /// The scheduler with the parameters that are not its defaults.
    pub scheduler: String,
    /// The fewest replicas that hold the load with every seed.
    pub replicas: u32,
    /// Their GPUs.
    pub gpus: u32,
    /// What they cost an hour; null where the GPU has no price.
    pub usd_per_hour: Option<f64>,
    /// At the load that was asked for.
    pub usd_per_million_output_tokens: Option<f64>,
    /// What a session costs at the load that was asked for; null where requests belong to none.
    #[serde(default)]
    pub usd_per_session: Option<f64>,
    /// What one GPU costs an hour.
    pub usd_per_gpu_hour: Option<f64>,
    /// Where that price comes from.
    pub price_source: Option<String>,
    /// The load that these replicas carry together, in requests a second, sessions a second or users: the
    /// lower and the upper end of what is known of it. The upper is null where no load was found that fails.
    pub interval: (f64, Option<f64>),
    /// The same in sessions a second; null where requests belong to none.
    #[serde(default)]
    pub sessions_per_s: Option<(f64, Option<f64>)>,
    /// The highest load seen to hold over the load that was asked for, less 1.
    pub head_room: f64,
    /// P99 of the time to the first token at the load, with the first seed.
    pub ttft_p99_s: Option<f64>,
    /// The share of requests that are fluid, likewise.
    pub fluid_request_share: Option<f64>,
    /// What the GPU's figures rest on, where they were derived rather than fitted.
    pub caution: Option<String>,
    /// How to start an engine like this.
    pub launch: Option<String>,
    /// What was simulated and that command does not say, each with what to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_in_launch: Vec<String>,
    /// What it sets in the scenario that was asked about.
    pub set: Vec<String>,
    /// The same kind of replicas with prefill and decode apart, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<PlanApart>,
}

/// An answer's GPUs divided into replicas that prefill and replicas that decode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanApart {
    /// What the KV goes over.
    pub link: String,
    /// What each division of as many GPUs carries, and they colocated.
    pub divisions: Vec<RatioCapacity>,
    /// The division of the fewest GPUs that holds the load; null where none of so many does.
    pub fewest: Option<RatioCapacity>,
    /// What that costs an hour.
    pub usd_per_hour: Option<f64>,
    /// What it sets in the scenario that was asked about.
    pub set: Vec<String>,
    /// Why they cannot be apart, where they cannot.
    pub why_not: Option<String>,
}

/// A kind of replica that cannot hold the promise, whatever the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanInfeasible {
    /// The GPU.
    pub gpu: String,
    /// How the model is spread over GPUs.
    pub parallelism: Parallelism,
    /// The number format of the weights.
    pub dtype: String,
    /// Why.
    pub reason: String,
    /// The cheapest change that was seen to mend it; null where none of those tried did.
    pub nearest_change: Option<String>,
}

impl PlanFile {
    /// Nothing is known yet.
    pub(super) fn new(question: String, promise: String) -> PlanFile {
        PlanFile {
            schema_version: SCHEMA_VERSION,
            kind: "plan".to_owned(),
            tool: Tool::this(),
            question,
            promise,
            requests_per_s: None,
            sessions_per_s: None,
            users: None,
            session: None,
            answers: Vec::new(),
            infeasible: Vec::new(),
            seeds: Vec::new(),
            cells: 0,
            cells_simulated: 0,
            complete: true,
            notes: Vec::new(),
            scenario: None,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("plain data")
    }
}

/// JSON Schema (2020-12) of [`PlanFile`].
pub fn plan_schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(PlanFile);
    schema.insert("title".into(), "metron-sim plan".into());
    schema
}
