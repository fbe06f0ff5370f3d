//! The requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Arrivals, Lengths, Measure, Promise, Sessions, Slo};
use crate::units::Duration;

/// The requests: `arrivals` and `lengths`, or `sessions`, or a `trace`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with `requests` or `duration`, `arrivals` and `lengths`, or `sessions`, or `trace`"
)]
pub struct Workload {
    /// Arrivals end after this many requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Arrivals end after this time, such as `10min`. With `requests`, whichever comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// When requests arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,
    /// How long they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lengths: Option<Lengths>,
    /// A file of requests, in place of `arrivals` and `lengths`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Sessions of several turns, in place of `requests`, `arrivals` and `lengths`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Sessions>,
    /// What clients declare as the longest answer, the only length that a policy may see;
    /// `exact` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<MaxTokens>,
    /// Classes of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Class>>,
    /// Requests that share prompt prefixes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_groups: Option<PrefixGroups>,
    /// Observation ends here; see the scenario's own `horizon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub horizon: Option<Duration>,
    /// Which requests the results are about; see the scenario's own `measure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
}

/// What clients declare as `max_tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokens {
    /// The true output length, as benchmarks that ignore EOS declare.
    Exact,
    /// Whatever the model's context still allows.
    Model,
    /// A constant; longer outputs are cut to it.
    Fixed(u32),
    /// The true output length times this, rounded up.
    Factor(f64),
}

/// A file of requests to replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{file: trace.csv}`")]
pub struct Trace {
    /// The file, relative to the scenario's file.
    pub file: String,
    /// Its format; `auto`, which looks at its first lines, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Arrival times are divided by this: 2.0 is twice the rate. 1.0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_scale: Option<f64>,
    /// When requests after the first of a session come: `trace` is the gap that the file has after the answer
    /// before, however long that takes here; `arrivals` is at their own times; `answers` is as long after the
    /// request before as the file has it, but not before its answer, for files that do not say when answers
    /// came. `trace` unless given where the file has gaps, otherwise `arrivals`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaps: Option<TraceGaps>,
    /// Longer gaps become this, for `gaps: trace`; with `gaps: answers`, longer times between two requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_cap: Option<Duration>,
    /// Arrivals for a file that has lengths only; with `gaps: trace` those of sessions, in place of the file's
    /// own times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,
    /// Where to get the file, said when it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<String>,
    /// What to draw, with a warning, when the file is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<StandIn>,
}

/// Requests to draw in place of a file that is not there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map with `arrivals` and `lengths`")]
pub struct StandIn {
    /// How many requests, as the file has rows; the workload's own `requests` comes first, and its
    /// `duration` ends them sooner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// When requests arrive.
    pub arrivals: Arrivals,
    /// How long they are.
    pub lengths: Lengths,
}

/// When the later requests of a recorded session come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TraceGaps {
    /// Some time after the answer before them, as long as when they were recorded.
    Trace,
    /// At the times at which they were recorded.
    Arrivals,
    /// As long after the request before them as when they were recorded, and not before the answer to it.
    Answers,
}

/// Formats of trace files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Looks at the first lines.
    Auto,
    /// Azure LLM inference traces.
    Azure,
    /// Vidur's.
    Vidur,
    /// Splitwise's: the same as Vidur's.
    Splitwise,
    /// Mooncake JSONL.
    Mooncake,
    /// Sessions of coding agents as Weka records them, with their subagents.
    Weka,
    /// BurstGPT CSV.
    BurstGpt,
    /// Conversations in JSON, as text: ShareGPT's, or those of vLLM's multi-turn benchmark.
    Conversations,
    /// What vLLM's multi-turn benchmark makes conversations from (`generate_multi_turn.json`).
    #[serde(rename = "vllm-multi-turn")]
    VllmMultiTurn,
    /// The configuration of inference-perf, with `shared_prefix` or `conversation_replay`.
    #[serde(rename = "inference-perf")]
    InferencePerf,
    /// A client of ServeGen, or a folder of them.
    ServeGen,
    /// Our own JSONL.
    Jsonl,
    /// CSV by header names.
    Csv,
}

/// A class of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{name: chat, share: 0.8}`")]
pub struct Class {
    /// Its name in results.
    pub name: String,
    /// Its part of the requests; shares need not sum to 1. 1 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Lower is more urgent; 0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Its own lengths; the workload's unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lengths: Option<Lengths>,
    /// Its own promise; where it is silent, the scenario's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
    /// Its own promise in one line, in place of `slo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
}

/// Requests that share prompt prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{count: 10, tokens: 512, share: 0.5}`")]
pub struct PrefixGroups {
    /// How many different prefixes.
    pub count: u32,
    /// Tokens in each; a shorter prompt shares all of itself. Whole KV blocks are alike: of 500 tokens in blocks of
    /// 16 the first 496.
    pub tokens: u32,
    /// The part of requests that begins with one of them; 1 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}
