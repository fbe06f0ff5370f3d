//! What a run brought from tiers behind its KV blocks, and whether that was worth it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metrics::Distribution;

/// KV that came from tiers behind the blocks, in place of being computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KvTiersResult {
    /// Loads, those that were still going on when observation ended too.
    pub loads: u64,
    /// Tokens that they brought.
    pub tokens: u64,
    /// Tokens of all prompts that were sent, counted or not.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Those of `tokens`, in whole chunks, that lay below the host's memory.
    pub from_below_tokens: u64,
    /// From a load's beginning, below the host where it began there, to the last of its KV.
    pub load_s: Distribution,
    /// Seconds that the same tokens would have taken to compute, each request's alone and in chunks of 2048;
    /// sums over loads that ended.
    pub computing_s: f64,
    /// Seconds that these loads took.
    pub loading_s: f64,
    /// Seconds that steps lasted longer because they waited for loads, summed over replicas (`kv_load.overlap`).
    #[serde(default)]
    pub steps_longer_s: f64,
    /// Bytes a second, of a replica, at which the mean load takes as long as to compute the same; null
    /// without loads.
    pub break_even_bytes_per_s: Option<f64>,
    /// The tiers, the host's memory first.
    pub tiers: Vec<TierResult>,
}

/// A tier's traffic, summed over replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TierResult {
    /// Its name.
    pub name: String,
    /// Bytes towards the GPUs.
    pub read_bytes: u64,
    /// Bytes away from them.
    pub written_bytes: u64,
    /// Time in which it was read over elapsed time, the mean over replicas: 0 to 1.
    pub read_busy: f64,
    /// The same of writing.
    pub write_busy: f64,
}
