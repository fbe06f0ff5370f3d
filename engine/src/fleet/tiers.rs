//! Tiers behind a replica's KV blocks: the host's memory, and what may lie below it.

use crate::kv::host_tier::{Below, HostTierRules, Worth};
use crate::time::Span;

/// The tiers of each replica of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct KvTiers {
    /// How the host keeps chunks.
    pub rules: HostTierRules,
    /// What is worth bringing.
    pub worth: Worth,
    /// Bytes of a KV block on all GPUs of a replica.
    pub block_bytes: u64,
    /// Between blocks and host.
    pub host: CopyPath,
    /// What lies below the host.
    pub below: Option<TierBelow>,
}

/// A tier below the host's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TierBelow {
    /// Chunks that it holds.
    pub capacity: u32,
    /// Between host and tier.
    pub path: CopyPath,
    /// Whether the replicas of the pool have one together.
    pub is_shared: bool,
}

/// What copies go over: one after the other, each way by itself, as vLLM has one stream each way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CopyPath {
    /// Bytes a second towards the replica.
    pub read_bytes_per_s: f64,
    /// Bytes a second away from it.
    pub write_bytes_per_s: f64,
    /// Before the first byte.
    pub latency: Span,
}

impl KvTiers {
    /// Whether replicas touch each other through them.
    pub(crate) fn are_shared(&self) -> bool {
        self.below.is_some_and(|below| below.is_shared)
    }

    /// The tier below the host, empty, where there is one.
    pub(crate) fn new_below(&self) -> Option<Below> {
        self.below.map(|below| Below::new(below.capacity))
    }
}
