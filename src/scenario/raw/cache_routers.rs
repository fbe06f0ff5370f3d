//! The parameters of routers that know, or guess, what replicas cache.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Duration;

/// SGLang's cache-aware router (SMG): the names and defaults are those of its command line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SglangCacheAwareRouter {
    /// More than this share of a prompt must have been sent somewhere for it to go there; 0.3 unless
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_threshold: Option<f64>,
    /// Requests pile up where the most and the fewest outstanding differ by more than this, and
    /// `balance_rel_threshold` is passed too; 64 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance_abs_threshold: Option<u32>,
    /// And where the most are more than so many times the fewest; 1.5 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance_rel_threshold: Option<f64>,
    /// The most tokens of a replica in the router's tree; 67108864 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tree_size: Option<u64>,
    /// How often the tree is cut down to that; 120s unless given, 0s for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction_interval: Option<Duration>,
}

/// Dynamo's KV router: the names and defaults are those of its configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DynamoKvRouter {
    /// What a cached block is worth, in blocks to compute; 1.0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_score_credit: Option<f64>,
    /// How fast that falls as prompts pile up at a replica; 0.0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_score_credit_decay: Option<f64>,
    /// What a block to compute costs beside one that a running request holds; 1.0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill_load_scale: Option<f64>,
    /// What a running request costs beside its blocks; 0.0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode_active_request_weight: Option<f64>,
    /// 0 (unless given) for the least cost; above, one is drawn, the cheaper the likelier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router_temperature: Option<f64>,
    /// Whether engines tell the router what they cache (unless given); otherwise it guesses from what
    /// it has sent within `router_ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_kv_events: Option<bool>,
    /// How long what was sent counts as cached without events; 120s unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router_ttl: Option<Duration>,
}

/// llm-d's router: scorers and their weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LlmDRouter {
    /// What each scorer counts: `prefix-cache` (what the router sent), `precise-prefix-cache` (what
    /// engines say they have), `queue`, `running-requests-size`, `kv-cache-utilization`, `load-aware`,
    /// `active-request`, `token-load`, `no-hit-lru`, `session-affinity`. Unless given `{prefix-cache: 3,
    /// queue: 2, kv-cache-utilization: 2}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<BTreeMap<String, f64>>,
    /// How often the router reads the engines' metrics; 50ms unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_interval: Option<Duration>,
    /// Tokens of a block in the router's list of what it sent, 64 or more; 64 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_tokens: Option<u32>,
    /// Blocks of a replica in that list; as many as the replica has KV blocks unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lru_capacity: Option<u32>,
    /// Where a replica has at least this share of the prompt, only such are chosen among; none is left
    /// out unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity_threshold: Option<f64>,
}

/// Ray Serve's prefix router: the names and defaults are its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RayPrefixRouter {
    /// Where the most and the fewest requests outstanding differ by more than this, a request goes by two
    /// random choices; never unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imbalanced_threshold: Option<f64>,
    /// At least this share of a prompt must have been sent somewhere for it to go there; 0.1 unless
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_rate_threshold: Option<f64>,
    /// Whether the router's tree forgets; false unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub do_eviction: Option<bool>,
    /// It forgets where a replica was sent more characters, four a token, than this; 400000 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction_threshold_chars: Option<u64>,
    /// Until no more than so many are left; 360000 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction_target_chars: Option<u64>,
    /// How often it looks; 10s unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction_interval: Option<Duration>,
}

/// The router of vLLM's production stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductionStackRouter {
    /// `prefixaware` (unless given), `kvaware`, `session`, `priority` or `roundrobin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_logic: Option<String>,
    /// `kvaware`: tokens of a prompt that may be left to compute; 2000 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_aware_threshold: Option<u32>,
}
