//! Each policy's limits, drawn so small that random loads reach them, and what they promise.

use std::ops::RangeInclusive;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use serde_json::{Value, json};

/// How small limits are drawn, in tokens but for the seats.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Requests at once.
    pub seats: RangeInclusive<u32>,
    /// A budget that cuts prompts.
    pub chunk: RangeInclusive<u32>,
    /// A budget that holds any prompt, recomputed ones included.
    pub whole: RangeInclusive<u32>,
    /// The largest KV block: some policies cut prompts between blocks, and need one to fit.
    pub block_tokens_max: u32,
    /// Prompts from this on are long.
    pub long_prefill_tokens: u32,
}

/// Parameters of this policy with small limits.
///
/// # Panics
/// For a policy that has no small limits here yet.
pub fn tight(name: &str, scale: Scale, rng: &mut Xoshiro256PlusPlus) -> Value {
    let block = scale.block_tokens_max;
    let seats = rng.random_range(scale.seats);
    let chunk = rng.random_range(scale.chunk);
    let whole = rng.random_range(scale.whole);
    let flag = rng.random_bool(0.5);
    let other = rng.random_bool(0.5);
    let tokens = if flag { chunk.max(seats) } else { whole };
    match name {
        "vllm-v1" => json!({
            "max_num_seqs": seats, "max_num_batched_tokens": tokens,
            "enable_chunked_prefill": flag,
            "long_prefill_token_threshold": if other { scale.long_prefill_tokens } else { 0 },
            "policy": if rng.random_bool(0.3) { "priority" } else { "fcfs" },
        }),
        "vllm-v0" => json!({
            "max_num_seqs": seats, "max_num_batched_tokens": whole,
            "delay_factor": if flag { 0.5 } else { 0.0 },
        }),
        "vllm-v0-chunked" => {
            json!({"max_num_seqs": seats, "max_num_batched_tokens": chunk.max(seats)})
        }
        "sarathi" => json!({"max_num_seqs": seats, "chunk_size": chunk}),
        "orca" | "faster-transformer" => json!({"max_num_seqs": seats}),
        "nano-vllm" => json!({"max_num_seqs": seats, "max_num_batched_tokens": chunk}),
        "lightllm" => json!({
            "running_max_req_size": seats, "batch_max_tokens": whole,
            "router_max_wait_tokens": rng.random_range(1..=12),
        }),
        "sglang" => json!({
            "max_running_requests": seats, "chunked_prefill_size": if flag { i64::from(chunk.max(block)) } else { -1 },
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
                "max_num_tokens": tokens.max(block),
                "context_chunking_policy":
                    if other { "EQUAL_PROGRESS" } else { "FIRST_COME_FIRST_SERVED" },
            })
        }
        "llama-cpp" => json!({
            "n_batch": chunk, "n_parallel": rng.random_range(1..=3), "kv_unified": flag,
            "cont_batching": other,
        }),
        "tgi" => json!({
            "prefill_chunking": flag, "max_batch_prefill_tokens": tokens,
            "max_batch_size": if other { json!(seats) } else { Value::Null },
            "waiting_served_ratio": f64::from(rng.random_range(0..=15)) / 10.0,
            "max_waiting_tokens": rng.random_range(1..=20),
        }),
        "splitfuse" => json!({
            "max_ragged_batch_size": chunk, "max_ragged_sequence_count": seats,
        }),
        unknown => panic!("give {unknown} small limits here"),
    }
}

/// What a policy keeps to in every iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// Tokens in a batch: chunks, and a token for each decode.
    pub tokens: Option<u64>,
    /// Requests in a batch.
    pub batch: Option<u64>,
    /// Requests that hold a seat.
    pub seats: Option<u64>,
    /// Whether requests are first scheduled in order of arrival.
    pub fcfs: bool,
}

/// The promise of a policy with these parameters (every default filled in).
pub fn promise(name: &str, parameters: &Value) -> Promise {
    let of = |key: &str| parameters[key].as_u64();
    let none = Promise::default();
    match name {
        "vllm-v1" => Promise {
            tokens: of("max_num_batched_tokens"),
            seats: of("max_num_seqs"),
            fcfs: parameters["policy"] == "fcfs",
            ..none
        },
        "vllm-v0-chunked" => Promise {
            tokens: of("max_num_batched_tokens"),
            seats: of("max_num_seqs"),
            fcfs: true,
            ..none
        },
        // vllm-v0's budget holds for prefills, and sarathi's chunk size cuts chunks alone.
        "vllm-v0" | "sarathi" | "orca" | "faster-transformer" => {
            Promise { seats: of("max_num_seqs"), fcfs: true, ..none }
        }
        // Its limit holds for what a step runs, not for all who are running.
        "nano-vllm" => Promise { batch: of("max_num_seqs"), fcfs: true, ..none },
        "splitfuse" => Promise { tokens: of("max_ragged_batch_size"), fcfs: true, ..none },
        "tensorrt-llm" => {
            Promise { tokens: of("max_num_tokens"), seats: of("max_batch_size"), ..none }
        }
        "lightllm" => Promise { seats: of("running_max_req_size"), ..none },
        // Requests whose last token is on its way count no more.
        "sglang" => Promise { batch: of("max_running_requests"), ..none },
        "llama-cpp" => Promise { tokens: of("n_batch"), seats: of("n_parallel"), ..none },
        // With chunking its size limit holds only for a batch formed from nothing.
        "tgi" if parameters["prefill_chunking"] == false => {
            Promise { seats: of("max_batch_size"), ..none }
        }
        _ => none,
    }
}
