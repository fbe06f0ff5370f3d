//! Parameters of the schedulers.

use std::collections::BTreeSet;

use metron_sim::scheduler::SchedulerConfig;

use super::{Case, assert_none, case, covered, dead};

/// A burst, so that seats and budgets fill up.
const BURST: &str = "workload.arrivals=all_at_once";
/// Memory for a few requests at a time.
const TIGHT: &str = "engine.kv_blocks=400";
const SHORT: &str = "engine.max_model_len=4096";
const SIZED: &str = "workload.lengths={prompt: {uniform: {min: 100, max: 1500}}, output: {uniform: {min: 5, max: 120}}}";
const LOOSE: &str = "workload.max_tokens={fixed: 400}";
const PRIORITIES: &str =
    "workload.classes=[{name: a, share: 1, priority: 5}, {name: b, share: 1, priority: 0}]";
/// So few that slots are free.
const SLOW: &str = "workload.arrivals={constant: {rate: 1}}";
/// Prompts that are a shared prefix and nothing else.
const WHOLE: &str =
    "workload.lengths={prompt: {fixed: 320}, output: {uniform: {min: 5, max: 120}}}";
/// More than a few seats can serve, one after the other.
const RUSH: &str = "workload.arrivals={poisson: {rate: 200}}";
/// Promises that differ, so that who comes first by deadline is not who came first.
const SPREAD: &str = "workload.classes=[{name: a, share: 1, slo: {ttft: 100ms}}, {name: b, share: 1, slo: {ttft: 900ms}}]";
/// Everybody comes back again and again: a few conversations.
const TALKS: &str = "workload.arrivals={closed_loop: {users: 30, think_time: 10ms}}";
/// Chunks beside decodes cost ten times what the decodes do.
const DEAR_CHUNKS: &str = "engine={profile: {step_law: {iteration_us: 1000, prefill_iteration_us: 10000, prefill_token_us: 10}}, kv_blocks: 4000, max_model_len: 4096}";
const MIXTURE: &str = "model=qwen3-30b-a3b";
const RANKS: &str = "parallelism={data: 4, expert: true}";
const PREFIXES: &str = "workload.prefix_groups={count: 4, tokens: 320, share: 0.8}";

/// `$knob` of scheduler `$name`: its two values, with shared overrides.
macro_rules! parameter {
    ($name:literal . $knob:literal : $one:literal, $other:literal; $($shared:expr),* $(; $more:literal)?) => {
        case(
            concat!($name, ".", $knob),
            &[$($shared),*],
            concat!("schedulers=[{", $name, ": {", $knob, ": ", $one, $(", ", $more,)? "}}]"),
            concat!("schedulers=[{", $name, ": {", $knob, ": ", $other, $(", ", $more,)? "}}]"),
        )
    };
}

const CASES: &[Case] = &[
    parameter!("vllm-v1"."version": "'0.33'", "'0.10'"; BURST, TIGHT, SHORT, SIZED; "max_num_batched_tokens: 128"),
    parameter!("vllm-v1"."policy": "fcfs", "priority"; BURST, PRIORITIES, SIZED; "max_num_seqs: 8"),
    parameter!("vllm-v1"."max_num_seqs": "4", "8"; BURST),
    parameter!("vllm-v1"."max_num_batched_tokens": "512", "1024"; BURST),
    parameter!("vllm-v1"."long_prefill_token_threshold": "0", "128"; BURST),
    parameter!("vllm-v1"."enable_chunked_prefill": "true", "false"; BURST, SIZED),
    parameter!("vllm-v1"."scheduler_reserve_full_isl": "true", "false"; BURST, TIGHT, SHORT, SIZED; "max_num_batched_tokens: 128"),
    parameter!("vllm-v1"."watermark": "0", "0.3"; BURST, TIGHT, SHORT, SIZED),
    parameter!("vllm-v0"."max_num_seqs": "4", "8"; BURST),
    parameter!("vllm-v0"."max_num_batched_tokens": "4096", "8192"; BURST, SHORT),
    parameter!("vllm-v0"."watermark": "0.01", "0.2"; BURST, TIGHT, SHORT, SIZED),
    parameter!("vllm-v0"."delay_factor": "0", "2"; SIZED),
    parameter!("vllm-v0-chunked"."max_num_seqs": "4", "8"; BURST),
    parameter!("vllm-v0-chunked"."max_num_batched_tokens": "512", "1024"; BURST),
    parameter!("vllm-v0-chunked"."watermark": "0.01", "0.2"; BURST, TIGHT, SHORT, SIZED),
    parameter!("sarathi"."chunk_size": "256", "512"; BURST),
    parameter!("sarathi"."max_num_seqs": "4", "8"; BURST),
    parameter!("sarathi"."watermark": "0.01", "0.2"; BURST, TIGHT, SHORT, SIZED),
    parameter!("sarathi"."enable_dynamic_chunking_schedule": "false", "true"; BURST),
    parameter!("sarathi"."low_chunk_size": "128", "512"; BURST; "enable_dynamic_chunking_schedule: true, chunk_schedule_max_tokens: 1024"),
    parameter!("sarathi"."high_chunk_size": "1024", "2048"; BURST; "enable_dynamic_chunking_schedule: true"),
    parameter!("sarathi"."chunk_schedule_max_tokens": "1024", "8192"; BURST; "enable_dynamic_chunking_schedule: true"),
    parameter!("sarathi"."chunk_schedule_stages": "2", "16"; BURST; "enable_dynamic_chunking_schedule: true, chunk_schedule_max_tokens: 1024"),
    parameter!("orca"."max_num_seqs": "4", "8"; BURST, SHORT),
    parameter!("faster-transformer"."max_num_seqs": "4", "8"; BURST, SHORT),
    parameter!("nano-vllm"."max_num_seqs": "4", "8"; BURST),
    parameter!("nano-vllm"."max_num_batched_tokens": "4096", "16384"; BURST, SHORT, SIZED),
    parameter!("lightllm"."batch_max_tokens": "2048", "4096"; BURST, SIZED),
    parameter!("lightllm"."running_max_req_size": "4", "8"; BURST, SIZED),
    parameter!("lightllm"."router_max_wait_tokens": "1", "20"; SIZED),
    parameter!("sglang"."chunked_prefill_size": "512", "2048"; BURST),
    parameter!("sglang"."max_prefill_tokens": "2048", "16384"; BURST, SIZED),
    parameter!("sglang"."max_running_requests": "4", "8"; BURST),
    parameter!("sglang"."schedule_policy": "fcfs", "lpm"; BURST, SIZED, PREFIXES, "engine.prefix_caching=true"; "max_running_requests: 4"),
    parameter!("sglang"."enable_mixed_chunk": "false", "true"; SIZED; "chunked_prefill_size: 256"),
    parameter!("sglang"."schedule_conservativeness": "0.1", "1.0"; BURST, TIGHT, SHORT, SIZED, LOOSE),
    parameter!("sglang"."prefill_decode_interval": "0", "8"; BURST, SIZED; "chunked_prefill_size: 256"),
    parameter!("sglang"."prefill_decode_interval_min_bs": "0", "64"; BURST, SIZED; "chunked_prefill_size: 256, prefill_decode_interval: 8"),
    parameter!("sglang"."scheduler_recv_interval": "1", "30"; SIZED),
    parameter!("sglang"."version": "0.5.23", "0.5.9"; BURST, TIGHT, SHORT, SIZED; "chunked_prefill_size: 8192, max_prefill_tokens: 2048"),
    parameter!("sglang"."prefill_max_requests": "1", "4"; BURST, SIZED),
    parameter!("sglang"."page_size": "1", "64"; BURST, TIGHT, SHORT, SIZED),
    parameter!("sglang"."disable_radix_cache": "true", "false"; BURST, SIZED, PREFIXES, "engine.prefix_caching=true"; "max_running_requests: 4"),
    parameter!("sglang"."disable_overlap_schedule": "true", "false"; BURST, SIZED, "engine.async_scheduling=true"; "max_running_requests: 4"),
    parameter!("sglang"."enable_priority_scheduling": "true", "false"; BURST, PRIORITIES, SIZED; "max_running_requests: 8"),
    parameter!("sglang"."disable_priority_preemption": "true", "false"; PRIORITIES, SIZED, RUSH; "enable_priority_scheduling: true, priority_scheduling_preemption_threshold: 1, max_running_requests: 2"),
    parameter!("sglang"."priority_scheduling_preemption_threshold": "1", "10"; PRIORITIES, SIZED, RUSH; "enable_priority_scheduling: true, max_running_requests: 2"),
    parameter!("sglang"."retraction_policy": "length", "priority"; BURST, TIGHT, SHORT, SIZED, PRIORITIES; "schedule_conservativeness: 0"),
    parameter!("sglang"."ignore_eos": "true", "false"; BURST, TIGHT, SHORT, SIZED, LOOSE),
    parameter!("tensorrt-llm"."capacity_scheduler_policy": "GUARANTEED_NO_EVICT", "MAX_UTILIZATION"; BURST, TIGHT, SHORT, SIZED, LOOSE),
    parameter!("tensorrt-llm"."max_batch_size": "4", "8"; BURST, SIZED),
    parameter!("tensorrt-llm"."max_num_tokens": "2048", "8192"; BURST, SIZED),
    parameter!("tensorrt-llm"."enable_chunked_prefill": "false", "true"; BURST, SIZED; "max_num_tokens: 2048"),
    parameter!("tensorrt-llm"."context_chunking_policy": "FIRST_COME_FIRST_SERVED", "EQUAL_PROGRESS"; BURST, SIZED; "enable_chunked_prefill: true, max_num_tokens: 2048"),
    parameter!("tensorrt-llm"."batch_wait_max_tokens_ratio": "0", "0.9"; SIZED, RUSH; "batch_wait_timeout_iters: 20"),
    parameter!("tensorrt-llm"."batch_wait_timeout_iters": "0", "20"; SIZED, RUSH; "batch_wait_max_tokens_ratio: 0.9"),
    parameter!("tensorrt-llm"."attention_dp_enable_balance": "false", "true"; SIZED, RUSH, MIXTURE, RANKS),
    parameter!("tensorrt-llm"."attention_dp_timeout_iters": "50", "3"; TALKS, MIXTURE, RANKS; "attention_dp_enable_balance: true"),
    parameter!("tensorrt-llm"."attention_dp_batching_wait_iters": "10", "0"; SIZED, RUSH, MIXTURE, RANKS; "attention_dp_enable_balance: true"),
    parameter!("tensorrt-llm"."enable_block_reuse": "true", "false"; SIZED, PREFIXES),
    parameter!("tensorrt-llm"."enable_partial_reuse": "true", "false"; WHOLE, PREFIXES),
    parameter!("llama-cpp"."cache_prompt": "true", "false"; SIZED, PREFIXES),
    parameter!("llama-cpp"."slot_prompt_similarity": "0", "0.1"; SIZED, PREFIXES, SLOW; "n_parallel: 4, cache_ram_tokens: 0"),
    parameter!("llama-cpp"."cache_ram_tokens": "0", "100000"; WHOLE, PREFIXES; "n_parallel: 1"),
    parameter!("llama-cpp"."cache_idle_slots": "true", "false"; WHOLE, PREFIXES, "engine.kv_blocks=60"; "n_parallel: 4, kv_unified: true"),
    parameter!("tgi"."prefix_caching": "true", "false"; SIZED, PREFIXES),
    parameter!("llama-cpp"."n_batch": "256", "2048"; BURST, SIZED),
    parameter!("llama-cpp"."n_parallel": "2", "8"; BURST, SIZED),
    parameter!("llama-cpp"."kv_unified": "true", "false"; BURST, SIZED, "engine.kv_blocks=200", SHORT; "n_parallel: 8"),
    parameter!("llama-cpp"."cont_batching": "true", "false"; SIZED),
    parameter!("tgi"."prefill_chunking": "true", "false"; SIZED),
    parameter!("tgi"."waiting_served_ratio": "0.1", "4"; SIZED; "prefill_chunking: false, max_waiting_tokens: 1000"),
    parameter!("tgi"."max_waiting_tokens": "1", "100"; SIZED; "prefill_chunking: false, waiting_served_ratio: 8"),
    parameter!("tgi"."max_batch_prefill_tokens": "1024", "4096"; BURST, SIZED),
    parameter!("tgi"."max_batch_total_tokens": "5000", "20000"; BURST, SIZED),
    parameter!("tgi"."max_batch_size": "4", "8"; BURST, SIZED; "prefill_chunking: false"),
    parameter!("edf"."token_budget": "256", "512"; BURST),
    parameter!("edf"."max_num_seqs": "4", "8"; BURST),
    parameter!("edf"."watermark": "0.01", "0.2"; BURST, TIGHT, SHORT, SIZED),
    parameter!("srpt"."token_budget": "256", "512"; BURST),
    parameter!("srpt"."max_num_seqs": "4", "8"; BURST),
    parameter!("srpt"."watermark": "0.01", "0.2"; BURST, TIGHT, SHORT, SIZED),
    parameter!("vtc"."token_budget": "256", "512"; BURST),
    parameter!("vtc"."max_num_seqs": "4", "8"; BURST),
    parameter!("vtc"."watermark": "0.01", "0.2"; BURST, TIGHT, SHORT, SIZED),
    parameter!("vtc"."client": "class", "session"; SIZED, PRIORITIES, TALKS; "max_num_seqs: 2"),
    parameter!("vtc"."prompt_weight": "0", "5"; RUSH, SIZED, PRIORITIES; "max_num_seqs: 2"),
    parameter!("vtc"."output_weight": "1", "100"; RUSH, SIZED, PRIORITIES; "max_num_seqs: 2"),
    parameter!("medha"."max_chunk": "256", "512"; BURST),
    parameter!("medha"."max_num_seqs": "4", "8"; BURST),
    parameter!("medha"."watermark": "0.01", "0.2"; BURST, TIGHT, SHORT, SIZED),
    parameter!("medha"."long_prompt_tokens": "500", "8192"; RUSH, SIZED),
    parameter!("medha"."pace_share": "0.8", "2"; RUSH, SIZED),
    parameter!("slai"."token_budget": "256", "512"; BURST),
    parameter!("slai"."max_num_seqs": "4", "8"; BURST),
    parameter!("slai"."watermark": "0.01", "0.2"; BURST, TIGHT, SHORT, SIZED),
    parameter!("slai"."offset_ms": "0", "30"; RUSH, SIZED),
    parameter!("qoserve"."max_chunk": "256", "512"; BURST),
    parameter!("qoserve"."max_num_seqs": "4", "8"; BURST),
    parameter!("qoserve"."watermark": "0.01", "0.2"; BURST, TIGHT, SHORT, SIZED),
    parameter!("qoserve"."margin": "1", "3"; RUSH, SIZED),
    parameter!("qoserve"."alpha_ms": "0", "1000"; RUSH, SIZED, SPREAD),
    parameter!("qoserve"."low_load_alpha_ms": "0", "1000"; RUSH, SIZED, SPREAD; "relegate: false"),
    parameter!("qoserve"."relegate": "true", "false"; RUSH, SIZED, SPREAD),
    parameter!("fluid"."max_num_seqs": "4", "8"; BURST),
    parameter!("fluid"."max_chunk": "256", "512"; BURST),
    parameter!("fluid"."sliver": "2", "400"; RUSH, SIZED),
    parameter!("fluid"."watermark": "0.01", "0.3"; BURST, TIGHT, SHORT, SIZED),
    parameter!("fluid"."margin": "1.15", "3"; RUSH, SIZED),
    parameter!("fluid"."learn_margin": "true", "false"; RUSH, SIZED, "engine.predictor={bias: -0.3}"),
    parameter!("fluid"."relegate": "true", "false"; RUSH, SIZED),
    parameter!("fluid"."relegated": "savable", "oldest"; RUSH, SIZED, LOOSE),
    parameter!("fluid"."bank": "true", "false"; RUSH, SIZED, DEAR_CHUNKS),
    parameter!("fluid"."give_up_after": "10ms", "10s"; RUSH, SIZED),
    parameter!("fluid"."fairness": "0", "2"; RUSH, SIZED),
    parameter!("splitfuse"."max_ragged_batch_size": "256", "768"; BURST),
    parameter!("splitfuse"."max_ragged_sequence_count": "4", "8"; BURST),
];

const EXEMPT: &[(&str, &str)] = &[(
    "llama-cpp.n_ubatch",
    "splits a batch's kernels, whose price does not depend on the split; taken so that real \
     command lines can be copied",
)];

pub(crate) fn known() -> BTreeSet<String> {
    let one = |name: &&str| {
        let config = SchedulerConfig::by_name(name).expect("a registered name");
        let parameters = config.parameters();
        let keys: Vec<String> =
            parameters.as_object().expect("an object").keys().cloned().collect();
        keys.into_iter().map(|key| format!("{name}.{key}")).collect::<Vec<_>>()
    };
    SchedulerConfig::names().iter().flat_map(one).collect()
}

#[test]
fn every_parameter_of_every_scheduler_has_a_case() {
    assert_none(&covered(&known(), CASES, EXEMPT));
}

#[test]
fn every_parameter_changes_a_result() {
    assert_none(&dead(CASES));
}
