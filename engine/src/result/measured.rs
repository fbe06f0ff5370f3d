//! What a result says of a measured file beyond a simulation's figures: how far they hold.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::explain::MeasuredStalls;
use crate::metrics::{Distribution, FluidityIndex};
use crate::request::RequestId;

/// What is said of first-token deadlines that stand in the file.
pub const AS_STATED: &str = "as the file states them";

/// Where measured figures came from, and what they are worth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredResult {
    /// The file.
    pub file: String,
    /// What it was read as.
    pub format: String,
    /// How finely it tells when text came: `token`, `chunk`, `first-last` or `total`.
    pub granularity: String,
    /// What its requests were judged by.
    pub deadlines: MeasuredDeadlines,
    /// Requests that failed on the server's side.
    pub failed: u64,
    /// Prompt tokens that the server said were cached; null where the file does not tell.
    pub cached_tokens: Option<u64>,
    /// Time that requests waited inside the client before they were sent: in no other latency
    /// here. Null where the file does not tell.
    pub client_queue_s: Option<Distribution>,
    /// Time to the first token of the answer, beside `ttft_s`, which is that of the first token of all:
    /// what a model thinks before it answers. Absent where the file does not tell the two apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_answer_s: Option<Distribution>,
    /// Figures that are exact.
    pub exact: Vec<String>,
    /// Figures that are bounds, and on which side.
    pub bounds: Vec<String>,
    /// Bounds of the fluidity figures where token times are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fluidity_bounds: Option<GapBounds>,
    /// Figures that the client itself worked out, by its own names.
    pub reported: BTreeMap<String, f64>,
    /// What a reader should know of how the file was read.
    pub notes: Vec<String>,
    /// Whether some chunks hold no token, so that gaps between chunks tell nothing sure of tokens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extra_chunks: bool,
    /// What the file says that cannot all be true: there is no verdict then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contradictions: Vec<String>,
    /// Stalls as token times show them; only with `--explain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalls: Option<MeasuredStalls>,
    /// Data of the usual plots; only up to a million token times unless asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plots: Option<Plots>,
}

/// What measured requests were judged by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredDeadlines {
    /// Where the first token's deadline came from, in words; null when first tokens were left out.
    pub ttft: Option<String>,
    /// The first token's deadline where it is the same for all requests.
    pub ttft_s: Option<f64>,
    /// Where the deadline of later tokens came from: `given`, `stated in the file` or `default`.
    #[serde(default)]
    pub tbt: String,
    /// The deadline of each later token.
    pub tbt_s: f64,
    /// Where the two below came from, likewise.
    #[serde(default)]
    pub fluidity: String,
    /// The fluidity-index from which on a request is fluid.
    pub fluid_index: f64,
    /// The share of requests that must be fluid.
    #[serde(default)]
    pub fluid_share: f64,
    /// The first token's deadline as the scenario put it, where a file of this program states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_ttft: Option<serde_json::Value>,
}

/// Lower and upper bounds of fluidity figures, over all ways in which tokens can have come between
/// the first and the last one, or been split over chunks. `fluidity.bounds` of a run says the same as every result does; these
/// members stay for one version beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GapBounds {
    /// The fluidity-index over requests, at least.
    pub index_at_least: FluidityIndex,
    /// The fluidity-index over requests, at most.
    pub index_at_most: FluidityIndex,
    /// The share of fluid requests, at least.
    pub fluid_request_share_at_least: Option<f64>,
    /// The share of fluid requests, at most.
    pub fluid_request_share_at_most: Option<f64>,
    /// The share of fluid requests if every chunk after the first carried as many tokens as the
    /// others: an estimate, no bound. Null where there are no chunks.
    #[serde(default)]
    pub fluid_request_share_estimate: Option<f64>,
    /// Missed deadlines over all deadlines, at least.
    pub service_miss_rate_at_least: Option<f64>,
    /// Missed deadlines over all deadlines, at most.
    pub service_miss_rate_at_most: Option<f64>,
}

/// Data of the usual plots. The miss rate against the TBT target and the three token rates are
/// among the fluidity figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plots {
    /// `[seconds, share of requests that got a first token with at most that TTFT]`.
    pub ttft_cdf_s: Vec<(f64, f64)>,
    /// `[seconds, share of completed requests with at most that TPOT]`.
    #[serde(default)]
    pub tpot_cdf_s: Vec<(f64, f64)>,
    /// `[seconds, share of gaps that are at most that long]`.
    pub tbt_cdf_s: Vec<(f64, f64)>,
    /// `[index, share of requests that ended with at most that fluidity-index]`.
    pub fluidity_cdf: Vec<(f64, f64)>,
    /// Tokens against time of the least fluid request, one in the middle and the most fluid one.
    pub progress: Vec<RequestProgress>,
}

/// When one request's tokens came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestProgress {
    /// Its place in the file, from 0 on.
    pub request: RequestId,
    /// Its fluidity-index.
    pub fluidity_index: f64,
    /// Seconds after sending at which its tokens came; the first 2,000 of them.
    pub token_times_s: Vec<f64>,
    /// Tokens that came late, by index from 0 on.
    pub late_tokens: Vec<u32>,
}
