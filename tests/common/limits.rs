//! Policies with limits so small that random loads reach them.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use serde_json::{Value, json};

/// A config of this policy with small limits.
pub fn small(name: &str, rng: &mut Xoshiro256PlusPlus) -> Value {
    let seats = rng.random_range(1..=10);
    let chunk = rng.random_range(8..=40);
    let flag = rng.random_bool(0.5);
    let other = rng.random_bool(0.5);
    // Whole prompts, recomputed ones included, are at most 64 tokens.
    let whole = rng.random_range(64..=100);
    let parameters = match name {
        "vllm-v1" => json!({
            "max_num_seqs": seats, "max_num_batched_tokens": if flag { chunk } else { whole },
            "enable_chunked_prefill": flag, "long_prefill_token_threshold": if other { 7 } else { 0 },
            "policy": if rng.random_bool(0.3) { "priority" } else { "fcfs" },
        }),
        "vllm-v0" => json!({
            "max_num_seqs": seats, "max_num_batched_tokens": whole,
            "delay_factor": if flag { 0.5 } else { 0.0 },
        }),
        "vllm-v0-chunked" => json!({"max_num_seqs": seats, "max_num_batched_tokens": chunk}),
        "sarathi" => json!({"max_num_seqs": seats, "chunk_size": chunk}),
        "orca" | "faster-transformer" => json!({"max_num_seqs": seats}),
        "nano-vllm" => json!({"max_num_seqs": seats, "max_num_batched_tokens": chunk}),
        "lightllm" => json!({
            "running_max_req_size": seats, "batch_max_tokens": whole,
            "router_max_wait_tokens": rng.random_range(1..=12),
        }),
        "sglang" => json!({
            "max_running_requests": seats, "chunked_prefill_size": if flag { chunk } else { -1 },
            "max_prefill_tokens": whole, "enable_mixed_chunk": other,
            "schedule_policy": if rng.random_bool(0.3) { "lpm" } else { "fcfs" },
            "schedule_conservativeness": if rng.random_bool(0.3) { 1.0 } else { 0.0 },
            "prefill_decode_interval": rng.random_range(0..=3),
        }),
        "tensorrt-llm" => {
            let policies = ["GUARANTEED_NO_EVICT", "MAX_UTILIZATION", "STATIC_BATCH"];
            json!({
                "capacity_scheduler_policy": policies[rng.random_range(0..3)],
                "max_batch_size": seats, "enable_chunked_prefill": flag,
                "max_num_tokens": if flag { chunk } else { whole },
                "context_chunking_policy":
                    if other { "EQUAL_PROGRESS" } else { "FIRST_COME_FIRST_SERVED" },
            })
        }
        "llama-cpp" => json!({
            "n_batch": chunk, "n_parallel": rng.random_range(1..=3), "kv_unified": flag,
            "cont_batching": other,
        }),
        "tgi" => json!({
            "prefill_chunking": flag, "max_batch_prefill_tokens": if flag { chunk } else { whole },
            "max_batch_size": if other { json!(seats) } else { Value::Null },
            "waiting_served_ratio": f64::from(rng.random_range(0..=15)) / 10.0,
            "max_waiting_tokens": rng.random_range(1..=20),
        }),
        "splitfuse" => json!({
            "max_ragged_batch_size": chunk, "max_ragged_sequence_count": seats,
        }),
        unknown => panic!("give {unknown} small limits here"),
    };
    json!({name: parameters})
}
