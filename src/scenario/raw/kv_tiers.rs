//! Tiers behind the KV blocks of a replica: the host's memory, and a disk or a store below it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Bandwidth, Bytes, Duration};

/// A tier that keeps KV when the GPUs have no room for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a map such as `{name: host, capacity: 256GiB, read_bandwidth: 50GB/s}`"
)]
pub struct KvTier {
    /// What it is called, such as `host` or `ssd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// KV that it holds: of one replica, or with `scope: cluster` of all of its pool together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Bytes>,
    /// Towards the GPUs. Of the first tier, the host's memory: for each GPU, which has a path of its own
    /// (PCIe 5 x16 reaches about 50GB/s, PCIe 4 about 25GB/s). Of a tier below: for the replica, or with
    /// `scope: cluster` for all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_bandwidth: Option<Bandwidth>,
    /// The other way; as `read_bandwidth` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_bandwidth: Option<Bandwidth>,
    /// Before the first byte of a copy; none unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
    /// Whose it is: a replica's own unless given. Only a tier below the first can be the `cluster`'s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<TierScope>,
}

/// Whose a tier is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TierScope {
    /// Each replica has one.
    #[default]
    Replica,
    /// The replicas of a pool have one together, and find there what any of them stored.
    Cluster,
}

/// What goes to the tiers, and what is brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{min_tokens: 256, recompute: if-faster}`")]
pub struct KvLoad {
    /// Fewer tokens than these are computed in place of being brought; 0 unless given (vLLM's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tokens: Option<u32>,
    /// Whether tokens are computed that a tier has: `never`, unless given (vLLM's), or `if-faster`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recompute: Option<RecomputeLoads>,
    /// Whether only prompts are stored, and no answers: so unless given (vLLM's `offload_prompt_only`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_only: Option<bool>,
    /// A chunk is stored when it was computed so often; at once unless given (vLLM's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_threshold: Option<u32>,
    /// KV blocks that are stored and brought together; 1 unless given (vLLM's `blocks_per_chunk`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_blocks: Option<u32>,
    /// What goes on while KV comes from the host's memory: `steps` of others, unless given (vLLM's); `layers`,
    /// in the step that needs it, which comes to a layer when that layer's KV is there (SGLang's HiCache);
    /// or `nothing`, where that step waits for all of it (LMCache).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<LoadsOverlap>,
    /// Bytes of a token's KV on all GPUs of a replica; the model's own unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_token: Option<Bytes>,
}

/// What goes on while KV comes from the host's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoadsOverlap {
    /// Others' steps.
    #[default]
    Steps,
    /// The layers before, in the step that needs it.
    Layers,
    /// Nothing: the step that needs it waits.
    Nothing,
}

/// Whether tokens are computed that a tier has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecomputeLoads {
    /// They are brought, however long that takes.
    #[default]
    Never,
    /// Where that takes no longer than to bring them, both alone.
    IfFaster,
}
