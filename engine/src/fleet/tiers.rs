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
    /// What a load from the host holds up.
    pub overlap: LoadOverlap,
}

/// What a load from the host's memory holds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadOverlap {
    /// Its request, which waits while others' steps go on (vLLM's `OffloadingConnector`).
    #[default]
    Steps,
    /// The first step with its request, which comes to each of so many layers when that layer's KV is there
    /// (SGLang's HiCache, LMCache with `use_layerwise`).
    Layers(u32),
    /// That step, which begins when all of it is there (LMCache, unless it loads asynchronously).
    Nothing,
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

impl LoadOverlap {
    /// Whether the first step with a request waits for its KV, and not the request for a step.
    pub fn is_in_step(self) -> bool {
        self != LoadOverlap::Steps
    }

    /// By how much a step of so much GPU time is over later whose KV takes `load` to come. With layers either
    /// the first one's KV is waited for, or the last one's comes after the others were computed.
    pub fn delays(self, load: Span, gpu: Span) -> Span {
        match self {
            LoadOverlap::Steps => Span::ZERO,
            LoadOverlap::Nothing => load,
            LoadOverlap::Layers(layers) => {
                let part = |of: Span| of.as_nanos() / u64::from(layers.max(1));
                let last = (load.as_nanos() + part(gpu)).saturating_sub(gpu.as_nanos());
                Span::from_nanos(part(load).max(last))
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_layer_by_layer_hides_behind_the_step_or_the_step_behind_it() {
        let ms = Span::from_millis;
        let delays = |overlap: LoadOverlap, load, gpu| overlap.delays(ms(load), ms(gpu));
        assert_eq!(delays(LoadOverlap::Nothing, 40, 100), ms(40));
        assert_eq!(delays(LoadOverlap::Steps, 40, 100), ms(0));
        let layers = LoadOverlap::Layers(20);
        assert_eq!(delays(layers, 40, 100), ms(2), "the first layer's KV");
        assert_eq!(delays(layers, 100, 40), ms(62), "the last layer's computing");
        assert_eq!(delays(layers, 0, 40), ms(0));
        assert_eq!(delays(LoadOverlap::Layers(1), 40, 100), ms(40), "one layer is all of them");
    }
}
