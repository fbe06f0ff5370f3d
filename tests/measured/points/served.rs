//! How InferenceMAX started its servers and its client, by its own launch scripts (SemiAnalysisAI/InferenceX,
//! `benchmarks/`, with `bench_serving`): what they set that a scheduler knows. The table itself has none of it.
//!
//! - The client asks ten times as often as there are users, all at once at first.
//! - SGLang on Blackwell looks for requests once in 10 decode steps, from 16 users on in 30
//!   (`--scheduler-recv-interval`), and computes up to 16,384 or 32,768 tokens of prompts together.
//! - TensorRT-LLM lets prompts of 1,024 tokens wait for others (`batch_wait_timeout_iters`) where
//!   Llama-3.1-70B answers with as many on fewer than 8 GPUs.
//! - vLLM's CUDA graphs hold up to 2,048 tokens for some models (`max-cudagraph-capture-size`).
//! - TensorRT-LLM's data-parallel ranks let prompts wait for each other (`attention_dp_config`).
//! - K and V are in 8 bits for some models, whatever their checkpoints say.

use super::{Engine, Point};

/// What a server was started with.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    /// Parameters of its scheduler, as in a scenario.
    pub(super) parameters: Vec<String>,
    /// Whether K and V are in 8 bits by a flag.
    pub(super) kv_in_fp8: bool,
    /// The share of memory for weights and KV, where the profile's would be too little.
    pub(super) memory: Option<f64>,
    /// The largest CUDA graph, where a flag says so.
    pub(super) graph_tokens: Option<u32>,
}

/// What the server of a point was started with. Of points that are not InferenceMAX's it is known of
/// TensorRT-LLM alone: aiconfigurator wrote its configuration.
pub(super) fn served(point: &Point) -> Served {
    match point.engine {
        Engine::TensorRtLlm => tensorrt_llm(point),
        _ if !of_inferencemax(point) => Served::default(),
        Engine::Sglang => sglang(point),
        Engine::Vllm => vllm(point),
    }
}

/// Whether InferenceMAX measured it: nobody else in the table has its lengths.
pub(super) fn of_inferencemax(point: &Point) -> bool {
    let lengths = (point.prompt, point.output);
    !point.fixed_lengths && [(1024, 1024), (1024, 8192), (8192, 1024)].contains(&lengths)
}

/// TensorRT-LLM computes a prompt in one step, beside the decodes: `max_num_tokens` must hold both, or
/// prompts near it wait until few decode. InferenceMAX's scripts set it so; aiconfigurator's generator gives
/// a batch, a prompt and 1,500 tokens (ai-dynamo/aiconfigurator, `agg max_num_tokens`).
fn tensorrt_llm(point: &Point) -> Served {
    let whole = (point.users + point.prompt + 64).max(8192);
    if !of_inferencemax(point) {
        return Served {
            parameters: vec![format!("max_num_tokens: {}", point.users + point.prompt + 1500)],
            ..Served::default()
        };
    }
    let Point { prompt, output, tensor, .. } = *point;
    let tokens = match point.model {
        "gpt-oss-120b" => 20_000,
        "llama-3.1-70b" => 16_384,
        _ => whole,
    };
    let mut parameters = vec![format!("max_num_tokens: {tokens}")];
    let kv_in_fp8 = point.model != "llama-3.1-70b";
    if point.model == "llama-3.1-70b" && (prompt, output) == (1024, 1024) && tensor < 8 {
        parameters.push("batch_wait_max_tokens_ratio: 0.9".to_owned());
        parameters.push("batch_wait_timeout_iters: 20".to_owned());
    }
    if point.data > 1 && point.expert {
        parameters.push("attention_dp_enable_balance: true".to_owned());
        if point.model.starts_with("deepseek") {
            parameters.push("attention_dp_timeout_iters: 60".to_owned());
            parameters.push("attention_dp_batching_wait_iters: 0".to_owned());
        }
    }
    Served { parameters, kv_in_fp8, ..Served::default() }
}

fn sglang(point: &Point) -> Served {
    let blackwell = point.gpu.starts_with('b');
    let interval = if point.users >= 16 { 30 } else { 10 };
    let (chunk, interval, kv_in_fp8) = match (point.model, point.dtype) {
        ("qwen3.5-397b-a17b", "nvfp4") if point.gpu == "b200-sxm" => (32_768, 30, true),
        ("qwen3.5-397b-a17b", dtype) => (32_768, interval, dtype != "bf16"),
        ("deepseek-r1" | "deepseek-v3", "nvfp4") => (16_384, interval, true),
        ("deepseek-r1" | "deepseek-v3", _) if blackwell && point.tensor == 4 => (8192, 10, true),
        ("deepseek-r1" | "deepseek-v3", _) if blackwell => (32_768, interval, true),
        ("deepseek-r1" | "deepseek-v3", _) => (32_768, 1, false),
        ("glm-5", "nvfp4") => (131_072, 1, false),
        ("glm-5", _) if blackwell => (32_768, 1, true),
        _ => return Served::default(),
    };
    let parameters = vec![
        format!("chunked_prefill_size: {chunk}"),
        format!("max_prefill_tokens: {}", chunk.max(16_384)),
        format!("scheduler_recv_interval: {interval}"),
    ];
    let tight = point.model.starts_with("deepseek") && point.tensor == 4 && point.dtype == "fp8";
    Served { parameters, kv_in_fp8, memory: tight.then_some(0.95), graph_tokens: None }
}

fn vllm(point: &Point) -> Served {
    match (point.model, point.gpu) {
        ("gpt-oss-120b", _) => Served {
            parameters: vec![
                "max_num_batched_tokens: 8192".to_owned(),
                "max_num_seqs: 512".to_owned(),
            ],
            kv_in_fp8: true,
            memory: None,
            graph_tokens: Some(2048),
        },
        ("kimi-k2.5", _) => {
            let seats = format!("max_num_seqs: {}", point.users);
            Served { parameters: vec![seats], ..Served::default() }
        }
        ("minimax-m2", "b300-sxm") => Served {
            parameters: vec![format!("max_num_batched_tokens: {}", 2 * point.prompt)],
            kv_in_fp8: true,
            memory: None,
            graph_tokens: Some(2048),
        },
        _ => Served::default(),
    }
}
