//! Random loads that small engines can just about serve.

use std::ops::Range;

use metron_sim::scheduler::EngineInfo;
use metron_sim::swarm::policies::{Scale, tight};
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use serde_json::{Value, json};

/// Prompt and output of a request together, in tokens, at most.
const REQUEST_TOKENS_MAX: u32 = 64;

/// A config of this policy with small limits.
pub fn small(name: &str, rng: &mut Xoshiro256PlusPlus) -> Value {
    let scale = Scale {
        seats: 1..=10,
        chunk: 8..=40,
        whole: REQUEST_TOKENS_MAX..=100,
        block_tokens_max: 8,
        long_prefill_tokens: 7,
    };
    json!({name: tight(name, scale, rng)})
}

/// An engine with memory for one request and little more.
pub fn engine(config: &Value, rng: &mut Xoshiro256PlusPlus) -> EngineInfo {
    let kv_block_tokens = [1, 2, 4, 8][rng.random_range(0..4)];
    let least = REQUEST_TOKENS_MAX.div_ceil(kv_block_tokens) + 2;
    // Slots that own their memory must each hold a whole request.
    let slots = if config["llama-cpp"]["kv_unified"] == json!(false) { 3 } else { 1 };
    EngineInfo {
        kv_block_tokens,
        kv_blocks: slots * rng.random_range(least..=3 * least),
        max_model_len: REQUEST_TOKENS_MAX,
        prefix_caching: rng.random_bool(0.4),
        large_gpu: false,
    }
}

/// Seeds from 0 on; `METRON_SEED` alone, where it is set.
pub fn seeds(count: u64) -> Range<u64> {
    match std::env::var("METRON_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().expect("METRON_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..count,
    }
}
