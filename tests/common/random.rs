//! Random loads that small engines can just about serve.

use std::ops::Range;

use metron_sim::scheduler::{Draws, EngineInfo, KvGroups, Scale, SchedulerConfig};
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

/// Prompt and output of a request together, in tokens, at most.
const REQUEST_TOKENS_MAX: u32 = 64;

/// A policy with small limits, on an engine with memory for one request and little more.
pub(crate) fn small(name: &str, rng: &mut Xoshiro256PlusPlus) -> (SchedulerConfig, EngineInfo) {
    let scale = Scale {
        seats: 1..=10,
        chunk: 8..=40,
        whole: REQUEST_TOKENS_MAX..=100,
        block_tokens_max: 8,
        long_prefill_tokens: 7,
        hangs: false,
    };
    loop {
        let mut draws = Draws::new(rng, scale.clone());
        let config = SchedulerConfig::draw(name, &mut draws).expect("a registered name");
        let engine = engine(rng);
        if config.problems(&engine).is_empty() {
            return (config, engine);
        }
    }
}

fn engine(rng: &mut Xoshiro256PlusPlus) -> EngineInfo {
    let kv_block_tokens = [1, 2, 4, 8][rng.random_range(0..4)];
    let least = REQUEST_TOKENS_MAX.div_ceil(kv_block_tokens) + 2;
    // Watermarks, and slots that own their memory, need more to have room for anyone.
    let times = [1, 1, 1, 3][rng.random_range(0..4)];
    EngineInfo {
        kv_block_tokens,
        kv_blocks: times * rng.random_range(least..=3 * least),
        max_model_len: REQUEST_TOKENS_MAX,
        prefix_caching: rng.random_bool(0.4),
        kv_groups: KvGroups::ONE,
        large_gpu: rng.random_bool(0.5),
        gpu_memory_gib: None,
    }
}

/// Seeds from 0 on; `METRON_SEED` alone, where it is set.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    match std::env::var("METRON_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().expect("METRON_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..count,
    }
}
