//! Settings without effect: where two values of a key give one result, the program says so.

use std::collections::BTreeSet;

use metron_sim::inert::{Effect, table};

use super::{Case, assert_none, case, covered, play, scenario, schedulers};

const BURST: &str = "workload.arrivals=all_at_once";
/// Iterations take a fixed time, and nothing is asked of a model or a GPU.
const FIXED: &str =
    "engine={profile: {fixed: {iteration: 10ms}}, kv_blocks: 4000, max_model_len: 4096}";
/// One with a price, and so not without effect as a whole.
const PEAKS: &str =
    "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989, price_usd_per_hour: 2}";
/// A GPU without a price or a power.
const BARE: &str = "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989}";
const BLOCKS: &str = "engine.kv_blocks=4000";
const SHORT: &str = "engine.max_model_len=4096";
const RANKS: &str = "parallelism={data: 4, expert: true}";
const PREFIXES: &str = "workload.prefix_groups={count: 4, tokens: 320, share: 0.8}";
const SESSIONS: &str = "workload={sessions: {count: 6, arrivals: {constant: {rate: 2}}, first_prompt: {fixed: 300}, turns: {fixed: 3}, new_tokens: {fixed: 60}, output: {fixed: 20}, gap: {fixed: 1s}}}";
const ROLES: &str =
    "pools=[{name: p, role: prefill, replicas: 1}, {name: d, role: decode, replicas: 1}]";
const EVERY_PROMPT: &str =
    "disaggregation={transfer: {link: ib-400g}, decider: {conditional: {min_new_ratio: 0}}}";
const CACHING: &str = "engine.prefix_caching=true";
const MOE: &str = "model={base: mixtral-8x7b, layers: 8}";
const CLASSES: &str = "workload.classes=[{name: chat}, {name: batch}]";
const CACHES: &[&str] = &["replicas=2", PREFIXES, CACHING, "schedulers=[vllm-v1]"];
const FIXED_LENGTHS: &str = "workload.lengths={prompt: {fixed: 300}, output: {fixed: 20}}";
const POOLS: &str = "pools=[{replicas: 1, gpu: h100-sxm, parallelism: {tensor: 1, pipeline: 1, data: 1}, \
                     engine: {profile: vllm-0.6, kv_block_tokens: 16, kv_blocks: 3000, max_model_len: 4096}}]";
const TRACE: &str = "workload={trace: {file: plain.csv}}";
const MISSING: &str = "workload={trace: {file: none.csv, stand_in: {requests: 9, arrivals: all_at_once, \
                       lengths: {prompt: {fixed: 300}, output: {fixed: 20}}}}}";
const PROMISED: &str = "workload.classes=[{name: a, promise: {ttft: 1s, tokens_per_s: 9}}]";
const NO_SHARE: &str = "slo={ttft: 200ms, tbt: 15ms, fluidity: {index: 0.9, share: 0}}";

/// A parameter of a scheduler, beside others.
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

/// Two values that give one result; the first is called inert.
const CASES: &[Case] = &[
    case(
        "Scenario.seed",
        &["workload={requests: 9, arrivals: {constant: {rate: 4}}}", FIXED_LENGTHS],
        "seed=2",
        "seed=3",
    ),
    case("Scenario.seed", &[TRACE], "seed=2", "seed=3"),
    case("Scenario.model", &[FIXED], "model=llama-3.1-8b", "model=qwen3-32b"),
    case(
        "StepLaw.draft_token_us",
        &[
            "engine={profile: {step_law: {iteration_us: 9000}}, kv_blocks: 4000, max_model_len: 4096}",
        ],
        "engine.profile.step_law.draft_token_us=10",
        "engine.profile.step_law.draft_token_us=90",
    ),
    case("Scenario.gpu", &[POOLS], "gpu=a40", "gpu=l40s"),
    case(
        "Pool.model",
        &["engine={profile: {fixed: {iteration: 5ms}}, kv_blocks: 4000, max_model_len: 4096}"],
        "pools=[{name: a, replicas: 1, model: llama-3.1-8b}]",
        "pools=[{name: a, replicas: 1, model: llama-3.2-3b}]",
    ),
    case(
        "Scenario.model",
        &["pools=[{replicas: 1, model: llama-3.2-1b}]"],
        "model=llama-3.1-8b",
        "model=llama-3.2-3b",
    ),
    case(
        "Pool.gpu",
        &[FIXED],
        "pools=[{name: a, replicas: 1, gpu: {memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989}}]",
        "pools=[{name: a, replicas: 1, gpu: {memory: 80GiB, memory_bandwidth: 1000GB/s, bf16_tflops: 300}}]",
    ),
    case("Scenario.router", &[], "router=least-requests", "router=random"),
    case("Scenario.router", &["replicas=2"], "router=session-affinity", "router=round-robin"),
    case(
        "ModelFigures.intermediate_size",
        &[MOE],
        "model.intermediate_size=4096",
        "model.intermediate_size=8192",
    ),
    case(
        "ModelFigures.max_position_embeddings",
        &[SHORT],
        "model={base: llama-3.1-8b, max_position_embeddings: 8192}",
        "model={base: llama-3.1-8b, max_position_embeddings: 1024}",
    ),
    case(
        "GpuFigures.memory",
        &[BLOCKS, SHORT],
        "gpu={base: h100-sxm, memory: 40GiB}",
        "gpu={base: h100-sxm, memory: 80GiB}",
    ),
    case(
        "GpuFigures.memory_bandwidth",
        &[FIXED],
        PEAKS,
        "gpu={memory: 80GiB, memory_bandwidth: 1000GB/s, bf16_tflops: 989, price_usd_per_hour: 2}",
    ),
    case(
        "GpuFigures.bf16_tflops",
        &[FIXED],
        PEAKS,
        "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 300, price_usd_per_hour: 2}",
    ),
    case(
        "GpuFigures.fp8_tflops",
        &[],
        "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989, fp8_tflops: 1979}",
        "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989, fp8_tflops: 300}",
    ),
    case(
        "GpuFigures.interconnect",
        &[],
        "gpu={base: h100-sxm, interconnect: {bandwidth: 16GB/s, latency: 20us}}",
        "gpu={base: h100-sxm, interconnect: {bandwidth: 64GB/s, latency: 5us}}",
    ),
    case(
        "Links.node",
        &[],
        "links={node: {bandwidth: 16GB/s, latency: 20us}}",
        "links={node: {bandwidth: 64GB/s, latency: 5us}}",
    ),
    case(
        "Links.network",
        &["parallelism={tensor: 2}"],
        "links={network: {bandwidth: 16GB/s, latency: 20us}}",
        "links={network: {bandwidth: 64GB/s, latency: 5us}}",
    ),
    case("Parallelism.tensor", &[FIXED, BARE], "parallelism.tensor=2", "parallelism.tensor=4"),
    case("Parallelism.pipeline", &[POOLS], "parallelism.pipeline=2", "parallelism.pipeline=4"),
    case("Parallelism.data", &[POOLS], "parallelism.data=2", "parallelism.data=4"),
    case(
        "ExpertTraffic.exchange",
        &[MOE],
        "experts={exchange: all_to_all}",
        "experts={exchange: deepep_low_latency}",
    ),
    case("ExpertTraffic.imbalance", &[MOE], "experts={imbalance: 1.2}", "experts={imbalance: 2}"),
    case("Parallelism.expert", &[MOE], "parallelism.expert=true", "parallelism.expert=false"),
    case("Engine.profile", &[POOLS], "engine.profile=vllm-0.12", "engine.profile=vllm-0.19"),
    case("Engine.dtype", &[FIXED], "engine.dtype=fp8", "engine.dtype=bf16"),
    case(
        "Engine.kv_cache_dtype",
        &[FIXED],
        "engine.kv_cache_dtype=fp8",
        "engine.kv_cache_dtype=bf16",
    ),
    case(
        "Engine.kv_block_tokens",
        &[POOLS],
        "engine.kv_block_tokens=8",
        "engine.kv_block_tokens=32",
    ),
    case("Engine.kv_blocks", &[POOLS], "engine.kv_blocks=400", "engine.kv_blocks=900"),
    case("Engine.max_model_len", &[POOLS], "engine.max_model_len=900", "engine.max_model_len=800"),
    case(
        "Engine.gpu_memory_utilization",
        &[BLOCKS],
        "engine.gpu_memory_utilization=0.8",
        "engine.gpu_memory_utilization=0.5",
    ),
    case(
        "Engine.reserved_memory",
        &[BLOCKS],
        "engine.reserved_memory=4GB",
        "engine.reserved_memory=8GB",
    ),
    case(
        "Engine.prefix_caching",
        &["schedulers=[orca, sarathi]", PREFIXES],
        CACHING,
        "engine.prefix_caching=false",
    ),
    case(
        "Engine.prefix_caching",
        &["schedulers=[vllm-v1, sglang]"],
        CACHING,
        "engine.prefix_caching=false",
    ),
    case(
        "Engine.prefix_caching",
        &["schedulers=[nano-vllm]", PREFIXES],
        CACHING,
        "engine.prefix_caching=false",
    ),
    case(
        "Engine.enforce_eager",
        &[FIXED],
        "engine.enforce_eager=true",
        "engine.enforce_eager=false",
    ),
    case(
        "Disaggregation.decode_router",
        &["schedulers=[vllm-v1]", ROLES, "disaggregation={transfer: {link: ib-400g}}"],
        "disaggregation.decode_router=random",
        "disaggregation.decode_router=least-tokens",
    ),
    case(
        "ConditionalDecider.min_new_tokens",
        &["schedulers=[vllm-v1]", ROLES, EVERY_PROMPT],
        "disaggregation.decider.conditional.min_new_tokens=100",
        "disaggregation.decider.conditional.min_new_tokens=5000",
    ),
    case(
        "ConditionalDecider.min_new_ratio",
        &[
            "schedulers=[vllm-v1]",
            ROLES,
            EVERY_PROMPT,
            "disaggregation.decider.conditional.min_new_tokens=0",
        ],
        "disaggregation.decider.conditional.min_new_ratio=0.1",
        "disaggregation.decider.conditional.min_new_ratio=0.9",
    ),
    case(
        "PrefixBasedDecider.prompt_tokens",
        &[
            "schedulers=[vllm-v1]",
            ROLES,
            "disaggregation={transfer: {link: ib-400g}, decider: {prefix-based: {}}}",
        ],
        "disaggregation.decider.prefix-based.prompt_tokens=100",
        "disaggregation.decider.prefix-based.prompt_tokens=5000",
    ),
    case(
        "Disaggregation.reserved_decode_tokens",
        &["schedulers=[vllm-v1]", ROLES, "disaggregation={transfer: {link: ib-400g}}"],
        "disaggregation.reserved_decode_tokens=16",
        "disaggregation.reserved_decode_tokens=64",
    ),
    case(
        "Disaggregation.kv_lease",
        &[
            "schedulers=[vllm-v1]",
            ROLES,
            "disaggregation={transfer: {link: ib-400g}, order: destination-first}",
        ],
        "disaggregation.kv_lease=1us",
        "disaggregation.kv_lease=1h",
    ),
    case(
        "Disaggregation.on_failure",
        &["schedulers=[vllm-v1]", ROLES, "disaggregation={transfer: {link: ib-400g}}"],
        "disaggregation.on_failure=fail",
        "disaggregation.on_failure=recompute",
    ),
    case(
        "KvTransfer.missing_only",
        &["schedulers=[vllm-v1]", ROLES, PREFIXES, "engine.prefix_caching=false"],
        "disaggregation={transfer: {link: ib-400g, missing_only: true}}",
        "disaggregation={transfer: {link: ib-400g, missing_only: false}}",
    ),
    case(
        "KvTier.scope",
        &[
            "schedulers=[vllm-v1]",
            PREFIXES,
            "engine.prefix_caching=true",
            "engine.kv_tiers=[{capacity: 8GiB, read_bandwidth: 25GB/s}, \
             {capacity: 64GiB, read_bandwidth: 5GB/s}]",
        ],
        "engine.kv_tiers.1.scope=replica",
        "engine.kv_tiers.1.scope=cluster",
    ),
    case(
        "PredictorError.bias",
        &["schedulers=[sarathi, edf]"],
        "engine.predictor={bias: -0.2}",
        "engine.predictor={bias: 0.2}",
    ),
    case(
        "PredictorError.answer_spread",
        &["schedulers=[sarathi, edf]"],
        "engine.predictor={answer_spread: 0.2}",
        "engine.predictor={answer_spread: 0.4}",
    ),
    case(
        "PredictorError.spread",
        &["schedulers=[sarathi, edf]"],
        "engine.predictor={spread: 0.2}",
        "engine.predictor={spread: 0.4}",
    ),
    case(
        "Engine.async_scheduling",
        &["schedulers=[sarathi, tgi]"],
        "engine.async_scheduling=true",
        "engine.async_scheduling=false",
    ),
    case(
        "RouterMap.within",
        &["replicas=2", CLASSES],
        "router={class-to-pool: {chat: [0], batch: [1]}, within: least-tokens}",
        "router={class-to-pool: {chat: [0], batch: [1]}, within: least-requests}",
    ),
    case(
        "SglangCacheAwareRouter.max_tree_size",
        CACHES,
        "router={sglang-cache-aware: {max_tree_size: 400, eviction_interval: 0s}}",
        "router={sglang-cache-aware: {max_tree_size: 4, eviction_interval: 0s}}",
    ),
    case(
        "DynamoKvRouter.router_ttl",
        CACHES,
        "router={dynamo-kv: {router_ttl: 1ms}}",
        "router={dynamo-kv: {router_ttl: 9s}}",
    ),
    case(
        "LlmDRouter.metrics_interval",
        CACHES,
        "router={llm-d: {metrics_interval: 1ms, weights: {prefix-cache: 1}}}",
        "router={llm-d: {metrics_interval: 9s, weights: {prefix-cache: 1}}}",
    ),
    case(
        "LlmDRouter.block_tokens",
        CACHES,
        "router={llm-d: {block_tokens: 80, weights: {active-request: 1}}}",
        "router={llm-d: {block_tokens: 640, weights: {active-request: 1}}}",
    ),
    case(
        "LlmDRouter.lru_capacity",
        CACHES,
        "router={llm-d: {lru_capacity: 1, weights: {precise-prefix-cache: 1}}}",
        "router={llm-d: {lru_capacity: 9, weights: {precise-prefix-cache: 1}}}",
    ),
    case(
        "RayPrefixRouter.eviction_threshold_chars",
        CACHES,
        "router={ray-prefix: {eviction_threshold_chars: 400, eviction_target_chars: 400}}",
        "router={ray-prefix: {eviction_threshold_chars: 900, eviction_target_chars: 400}}",
    ),
    case(
        "RayPrefixRouter.eviction_target_chars",
        CACHES,
        "router={ray-prefix: {eviction_target_chars: 4}}",
        "router={ray-prefix: {eviction_target_chars: 400}}",
    ),
    case(
        "RayPrefixRouter.eviction_interval",
        CACHES,
        "router={ray-prefix: {eviction_interval: 10ms}}",
        "router={ray-prefix: {eviction_interval: 90ms}}",
    ),
    case(
        "ProductionStackRouter.kv_aware_threshold",
        CACHES,
        "router={production-stack: {kv_aware_threshold: 0}}",
        "router={production-stack: {kv_aware_threshold: 9}}",
    ),
    case(
        "ProductionStackRouter.routing_logic",
        CACHES,
        "router={production-stack: {routing_logic: session}}",
        "router={production-stack: {routing_logic: priority}}",
    ),
    case("Workload.duration", &[BURST], "workload.duration=2s", "workload.duration=4s"),
    case(
        "Workload.lengths",
        &["workload.classes=[{name: a, lengths: {prompt: {fixed: 50}, output: {fixed: 9}}}]"],
        "workload.lengths={table: chat}",
        "workload.lengths={table: code}",
    ),
    case(
        "Workload.max_tokens",
        &[],
        "workload.max_tokens={factor: 2}",
        "workload.max_tokens=exact",
    ),
    case(
        "Workload.max_tokens",
        &[],
        "workload.max_tokens=model",
        "workload.max_tokens={fixed: 9999}",
    ),
    case(
        "Workload.max_tokens",
        &["schedulers=[{tensorrt-llm: {capacity_scheduler_policy: MAX_UTILIZATION}}]"],
        "workload.max_tokens={factor: 2}",
        "workload.max_tokens=exact",
    ),
    case(
        "Workload.max_tokens",
        &["schedulers=[{llama-cpp: {kv_unified: true}}]"],
        "workload.max_tokens={factor: 2}",
        "workload.max_tokens=exact",
    ),
    case(
        "Workload.prefix_groups",
        &["schedulers=[vllm-v1]"],
        PREFIXES,
        "workload.prefix_groups=null",
    ),
    case(
        "Workload.prefix_groups",
        &["schedulers=[sarathi]", CACHING],
        PREFIXES,
        "workload.prefix_groups=null",
    ),
    case(
        "Workload.prefix_groups",
        &["schedulers=[vllm-v1]", CACHING],
        "workload.prefix_groups={count: 4, tokens: 15}",
        "workload.prefix_groups={count: 9, tokens: 12}",
    ),
    case(
        "Workload.prefix_groups",
        &["schedulers=[vllm-v1]", CACHING],
        "workload.prefix_groups={count: 4, tokens: 320, share: 0}",
        "workload.prefix_groups={count: 9, tokens: 320, share: 0}",
    ),
    case(
        "Sessions.duration",
        &["schedulers=[vllm-v1]", SESSIONS],
        "workload.sessions.duration=1h",
        "workload.sessions.duration=2h",
    ),
    case(
        "Sessions.new_tokens",
        &["schedulers=[vllm-v1]", SESSIONS, "workload.sessions.turns={fixed: 1}"],
        "workload.sessions.new_tokens={fixed: 5}",
        "workload.sessions.new_tokens={fixed: 9}",
    ),
    case(
        "Sessions.gap",
        &["schedulers=[vllm-v1]", SESSIONS, "workload.sessions.turns={fixed: 1}"],
        "workload.sessions.gap={fixed: 5s}",
        "workload.sessions.gap={fixed: 9s}",
    ),
    case(
        "Sessions.keep_reasoning",
        &["schedulers=[vllm-v1]", SESSIONS, "workload.sessions.reasoning=0"],
        "workload.sessions.keep_reasoning=false",
        "workload.sessions.keep_reasoning=true",
    ),
    case(
        "Sessions.reasoning",
        &["schedulers=[vllm-v1]", SESSIONS],
        "workload.sessions.reasoning=0.5",
        "workload.sessions.reasoning=0.7",
    ),
    case(
        "Gap.share",
        &["schedulers=[vllm-v1]", SESSIONS],
        "workload.sessions.gap={mixture: [{share: 1, fixed: 5s}]}",
        "workload.sessions.gap={mixture: [{share: 2, fixed: 5s}]}",
    ),
    case(
        "Gap.max",
        &["schedulers=[vllm-v1]", SESSIONS],
        "workload.sessions.gap={uniform: {min: 1s, max: 5s}, max: 5s}",
        "workload.sessions.gap={uniform: {min: 1s, max: 5s}, max: 7s}",
    ),
    case(
        "ClosedLoop.think_time",
        &["workload.requests=4"],
        "workload.arrivals={closed_loop: {users: 8, think_time: 1s}}",
        "workload.arrivals={closed_loop: {users: 8, think_time: 2s}}",
    ),
    case(
        "Dist.min",
        &[],
        "workload.lengths.output={uniform: {min: 20, max: 40}, min: 10}",
        "workload.lengths.output={uniform: {min: 20, max: 40}, min: 20}",
    ),
    case(
        "Dist.max",
        &[],
        "workload.lengths.output={fixed: 20, max: 30}",
        "workload.lengths.output={fixed: 20, max: 40}",
    ),
    case(
        "Lognormal.min",
        &[],
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5, min: 1}}",
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5}}",
    ),
    case(
        "Lognormal.max",
        &[],
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0, max: 50}}",
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0, max: 60}}",
    ),
    case(
        "Geometric.min",
        &[],
        "workload.lengths.output={geometric: {mean: 40, min: 1}}",
        "workload.lengths.output={geometric: {mean: 40}}",
    ),
    case(
        "Geometric.max",
        &[],
        "workload.lengths.output={geometric: {mean: 1, max: 5}}",
        "workload.lengths.output={geometric: {mean: 1, max: 6}}",
    ),
    case(
        "Trace.time_scale",
        &["workload={trace: {file: plain.csv, arrivals: {constant: {rate: 4}}}}"],
        "workload.trace.time_scale=2",
        "workload.trace.time_scale=3",
    ),
    case(
        "Trace.time_scale",
        &[MISSING],
        "workload.trace.time_scale=2",
        "workload.trace.time_scale=3",
    ),
    case(
        "Trace.arrivals",
        &[MISSING],
        "workload.trace.arrivals={constant: {rate: 4}}",
        "workload.trace.arrivals={constant: {rate: 9}}",
    ),
    case(
        "StandIn.requests",
        &[MISSING, "workload.requests=5"],
        "workload.trace.stand_in.requests=7",
        "workload.trace.stand_in.requests=8",
    ),
    case(
        "Class.share",
        &["workload.classes=[{name: a}]"],
        "workload.classes.0.share=0.5",
        "workload.classes.0.share=2",
    ),
    case(
        "Class.priority",
        &[CLASSES],
        "workload.classes.0.priority=2",
        "workload.classes.0.priority=0",
    ),
    case(
        "Class.priority",
        &["workload.classes=[{name: a}]", "schedulers=[{vllm-v1: {policy: priority}}]"],
        "workload.classes.0.priority=2",
        "workload.classes.0.priority=0",
    ),
    case(
        "Class.lengths",
        &["workload={trace: {file: plain.csv}, classes: [{name: a}]}"],
        "workload.classes.0.lengths={table: chat}",
        "workload.classes.0.lengths={table: code}",
    ),
    case(
        "Class.slo",
        &["workload.classes=[{name: a}, {name: b, share: 0}]"],
        "workload.classes.1.slo={tbt: 10ms}",
        "workload.classes.1.slo={tbt: 10ms, ttft: 1s}",
    ),
    case(
        "Class.promise",
        &["workload.classes=[{name: a}, {name: b, share: 0}]"],
        "workload.classes.1.promise={ttft: 1s, tokens_per_s: 9}",
        "workload.classes.1.promise={ttft: 1s, tokens_per_s: 30}",
    ),
    case("Scenario.horizon", &[], "horizon=1h", "horizon=2h"),
    case("Workload.horizon", &[], "workload.horizon=1h", "workload.horizon=2h"),
    case("Scenario.measure", &[], "measure={skip_first: 0s}", "measure=null"),
    case("Workload.measure", &[], "workload.measure={skip_last: 0s}", "workload.measure=null"),
    case(
        "Measure.skip_first",
        &["measure={skip_last: 1s}"],
        "measure.skip_first=0s",
        "measure.skip_first=null",
    ),
    case(
        "Measure.skip_last",
        &["measure={skip_first: 1s}"],
        "measure.skip_last=0s",
        "measure.skip_last=null",
    ),
    parameter!("vllm-v1"."policy": "priority", "fcfs"; BURST; "max_num_seqs: 8"),
    parameter!("vllm-v1"."long_prefill_token_threshold": "9000", "9999"; BURST),
    parameter!("vllm-v1"."long_prefill_token_threshold": "512", "600"; BURST; "max_num_batched_tokens: 512"),
    parameter!("vllm-v1"."scheduler_reserve_full_isl": "true", "false"; BURST, SHORT, "engine.kv_blocks=400"; "version: '0.10'"),
    parameter!("vllm-v1"."watermark": "0.3", "0"; BURST, SHORT, "engine.kv_blocks=400"; "version: '0.10'"),
    parameter!("vllm-v1"."watermark": "0.0001", "0"; BURST, SHORT, "engine.kv_blocks=400"),
    parameter!("vllm-v0"."watermark": "0.0001", "0"; BURST, SHORT, "engine.kv_blocks=400"),
    parameter!("vllm-v0-chunked"."watermark": "0.0001", "0"; BURST, SHORT, "engine.kv_blocks=400"),
    parameter!("sarathi"."watermark": "0.0001", "0"; BURST, SHORT, "engine.kv_blocks=400"),
    parameter!("fluid"."watermark": "0.0001", "0"; BURST, SHORT, "engine.kv_blocks=400"),
    parameter!("qoserve"."watermark": "0.0001", "0"; BURST, SHORT, "engine.kv_blocks=400"),
    parameter!("edf"."watermark": "0.0001", "0"; BURST, SHORT, "engine.kv_blocks=400"),
    parameter!("srpt"."watermark": "0.0001", "0"; BURST, SHORT, "engine.kv_blocks=400"),
    parameter!("medha"."watermark": "0.0001", "0"; BURST, SHORT, "engine.kv_blocks=400"),
    parameter!("slai"."watermark": "0.0001", "0"; BURST, SHORT, "engine.kv_blocks=400"),
    parameter!("vtc"."client": "session", "class"; BURST),
    parameter!("vtc"."watermark": "0.0001", "0"; BURST, SHORT, "engine.kv_blocks=400"),
    parameter!("fluid"."sliver": "1", "0"; BURST),
    parameter!("fluid"."relegated": "savable", "oldest"; BURST; "relegate: false"),
    parameter!("fluid"."fairness": "0", "2"; BURST; "relegate: false"),
    parameter!("qoserve"."alpha_ms": "1", "8"; BURST; "relegate: false"),
    parameter!("sarathi"."chunk_size": "64", "128"; BURST; "enable_dynamic_chunking_schedule: true"),
    parameter!("sarathi"."low_chunk_size": "64", "128"; BURST),
    parameter!("sarathi"."high_chunk_size": "4096", "1024"; BURST),
    parameter!("sarathi"."high_chunk_size": "4096", "1024"; BURST; "enable_dynamic_chunking_schedule: true, chunk_schedule_stages: 1"),
    parameter!("sarathi"."chunk_schedule_max_tokens": "4096", "1024"; BURST),
    parameter!("sarathi"."chunk_schedule_stages": "4", "8"; BURST),
    parameter!("sarathi"."chunk_schedule_max_tokens": "4096", "1024"; BURST; "enable_dynamic_chunking_schedule: true, low_chunk_size: 256, high_chunk_size: 256"),
    parameter!("sarathi"."chunk_schedule_stages": "4", "8"; BURST; "enable_dynamic_chunking_schedule: true, low_chunk_size: 256, high_chunk_size: 256"),
    parameter!("sglang"."schedule_policy": "lpm", "fcfs"; BURST, PREFIXES; "max_running_requests: 4"),
    parameter!("sglang"."schedule_policy": "lpm", "fcfs"; BURST, CACHING; "max_running_requests: 4"),
    parameter!("sglang"."enable_mixed_chunk": "true", "false"; ; "chunked_prefill_size: -1"),
    parameter!("sglang"."disable_radix_cache": "true", "false"; BURST, "engine.prefix_caching=false"),
    parameter!("sglang"."prefill_decode_interval_min_bs": "4", "0"; BURST),
    parameter!("sglang"."disable_priority_preemption": "true", "false"; BURST),
    parameter!("sglang"."priority_scheduling_preemption_threshold": "3", "10"; BURST),
    parameter!("sglang"."priority_scheduling_preemption_threshold": "3", "10"; BURST; "enable_priority_scheduling: true"),
    parameter!("sglang"."retraction_policy": "priority", "length"; BURST),
    parameter!("tensorrt-llm"."context_chunking_policy": "EQUAL_PROGRESS", "FIRST_COME_FIRST_SERVED"; BURST),
    parameter!("tgi"."waiting_served_ratio": "4", "0.1"; BURST),
    parameter!("tgi"."max_waiting_tokens": "4", "9"; BURST),
    parameter!("tgi"."max_waiting_tokens": "0", "5000"; BURST; "prefill_chunking: false, waiting_served_ratio: 0, max_batch_prefill_tokens: 16384"),
    parameter!("tgi"."waiting_served_ratio": "4", "0.1"; BURST; "prefill_chunking: false, max_waiting_tokens: 1, max_batch_prefill_tokens: 16384"),
    parameter!("tgi"."max_batch_total_tokens": "64000", "640000"; BURST, BLOCKS),
    parameter!("tensorrt-llm"."batch_wait_max_tokens_ratio": "0.9", "0"; BURST),
    parameter!("tensorrt-llm"."batch_wait_timeout_iters": "20", "0"; BURST),
    parameter!("tensorrt-llm"."attention_dp_enable_balance": "true", "false"; BURST),
    parameter!("tensorrt-llm"."attention_dp_timeout_iters": "3", "50"; BURST, MOE, RANKS),
    parameter!("tensorrt-llm"."attention_dp_batching_wait_iters": "3", "10"; BURST, MOE, RANKS),
    parameter!("tensorrt-llm"."batch_wait_timeout_iters": "20", "0"; BURST, MOE, RANKS; "batch_wait_max_tokens_ratio: 0.9"),
    parameter!("tensorrt-llm"."batch_wait_max_tokens_ratio": "0.9", "0.5"; BURST, MOE, RANKS; "batch_wait_timeout_iters: 20"),
    parameter!("tensorrt-llm"."enable_block_reuse": "false", "true"; BURST),
    parameter!("tensorrt-llm"."enable_partial_reuse": "false", "true"; BURST),
    parameter!("tensorrt-llm"."enable_partial_reuse": "false", "true"; BURST, PREFIXES; "enable_block_reuse: false"),
    parameter!("tgi"."prefix_caching": "false", "true"; BURST),
    parameter!("llama-cpp"."cache_prompt": "false", "true"; BURST),
    parameter!("llama-cpp"."slot_prompt_similarity": "0.5", "0"; BURST),
    parameter!("llama-cpp"."slot_prompt_similarity": "0.5", "0"; PREFIXES; "cache_prompt: false"),
    parameter!("llama-cpp"."cache_ram_tokens": "0", "1000"; BURST),
    parameter!("llama-cpp"."cache_ram_tokens": "0", "1000"; PREFIXES; "cache_prompt: false"),
    parameter!("llama-cpp"."cache_idle_slots": "false", "true"; BURST),
    parameter!("llama-cpp"."cache_idle_slots": "false", "true"; PREFIXES; "cache_ram_tokens: 0"),
    parameter!("llama-cpp"."n_ubatch": "64", "128"; BURST),
    parameter!("llama-cpp"."cont_batching": "false", "true"; BURST; "n_parallel: 1"),
];

/// Of a promise that asks for no fluid request, deadlines move figures and bind nothing.
const UNBOUND: &[Case] = &[
    case("Slo.ttft", &[PROMISED], "slo.ttft=30ms", "slo.ttft=300ms"),
    case("Slo.ttft", &[NO_SHARE], "slo.ttft=30ms", "slo.ttft=300ms"),
    case("Slo.tbt", &[NO_SHARE], "slo.tbt=5ms", "slo.tbt=50ms"),
    case("Fluidity.index", &[NO_SHARE], "slo.fluidity.index=0.3", "slo.fluidity.index=0.9"),
];

/// Parameters that can have an effect beside any value of the others.
const ALWAYS: &[&str] = &[
    "vllm-v1.version",
    "vllm-v1.max_num_seqs",
    "vllm-v1.max_num_batched_tokens",
    "vllm-v1.enable_chunked_prefill",
    "vllm-v0.max_num_seqs",
    "vllm-v0.max_num_batched_tokens",
    "vllm-v0.delay_factor",
    "vllm-v0-chunked.max_num_seqs",
    "vllm-v0-chunked.max_num_batched_tokens",
    "sarathi.max_num_seqs",
    "sarathi.enable_dynamic_chunking_schedule",
    "orca.max_num_seqs",
    "faster-transformer.max_num_seqs",
    "nano-vllm.max_num_seqs",
    "nano-vllm.max_num_batched_tokens",
    "lightllm.batch_max_tokens",
    "lightllm.running_max_req_size",
    "lightllm.router_max_wait_tokens",
    "sglang.chunked_prefill_size",
    "sglang.max_prefill_tokens",
    "sglang.max_running_requests",
    "sglang.schedule_conservativeness",
    "sglang.version",
    "sglang.prefill_max_requests",
    "sglang.page_size",
    "sglang.disable_overlap_schedule",
    "sglang.enable_priority_scheduling",
    "sglang.ignore_eos",
    "sglang.prefill_decode_interval",
    "sglang.scheduler_recv_interval",
    "tensorrt-llm.capacity_scheduler_policy",
    "tensorrt-llm.max_batch_size",
    "tensorrt-llm.max_num_tokens",
    "tensorrt-llm.enable_chunked_prefill",
    "llama-cpp.n_batch",
    "llama-cpp.n_parallel",
    "llama-cpp.kv_unified",
    "tgi.prefill_chunking",
    "tgi.max_batch_prefill_tokens",
    "tgi.max_batch_size",
    "splitfuse.max_ragged_batch_size",
    "splitfuse.max_ragged_sequence_count",
    "fluid.max_num_seqs",
    "fluid.max_chunk",
    "fluid.margin",
    "fluid.learn_margin",
    "fluid.relegate",
    "fluid.bank",
    "fluid.give_up_after",
    "qoserve.max_chunk",
    "qoserve.max_num_seqs",
    "qoserve.margin",
    "qoserve.low_load_alpha_ms",
    "qoserve.relegate",
    "edf.token_budget",
    "edf.max_num_seqs",
    "srpt.token_budget",
    "srpt.max_num_seqs",
    "medha.max_chunk",
    "medha.max_num_seqs",
    "medha.long_prompt_tokens",
    "medha.pace_share",
    "slai.token_budget",
    "slai.max_num_seqs",
    "slai.offset_ms",
    "vtc.token_budget",
    "vtc.max_num_seqs",
    "vtc.prompt_weight",
    "vtc.output_weight",
];

/// Cases whose first value is not called inert, or whose two values differ after all by `alike`.
fn silent(cases: &[Case], alike: impl Fn(&super::Played, &super::Played) -> bool) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    scenario::write_files(folder.path());
    let mut complaints = Vec::new();
    for case in cases {
        let run = |value: &str| {
            let sets = case.shared.iter().copied().chain([value]).map(str::to_owned);
            play(folder.path(), &sets.collect::<Vec<_>>())
        };
        match case.values.map(run) {
            [Ok(one), Ok(other)] => {
                if !alike(&one, &other) {
                    complaints.push(format!("{}: {:?} differ", case.knob, case.values));
                }
                if !one.inert.iter().any(|knob| knob == case.knob) {
                    let said = format!("{:?} said of {:?}", one.inert, case.values[0]);
                    complaints.push(format!("{}: silent; {said}", case.knob));
                }
            }
            errors => {
                for error in errors.into_iter().filter_map(Result::err) {
                    complaints.push(format!("{}: {error}", case.knob));
                }
            }
        }
    }
    complaints
}

#[test]
fn what_changes_nothing_is_called_inert() {
    assert_none(&silent(CASES, |one, other| one.results == other.results));
    assert_none(&silent(UNBOUND, |one, other| one.slos == other.slos));
}

#[test]
fn every_key_has_an_entry() {
    let entries: Vec<&str> = table().map(|(key, _)| *key).collect();
    let distinct: BTreeSet<&str> = entries.iter().copied().collect();
    assert_eq!(entries.len(), distinct.len(), "a key has two entries");
    let known = scenario::known();
    let missing: Vec<&String> =
        known.iter().filter(|key| !distinct.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "say in src/inert when these have an effect: {missing:?}");
    let gone: Vec<&&str> = distinct.iter().filter(|key| !known.contains(**key)).collect();
    assert!(gone.is_empty(), "no such keys: {gone:?}");
}

#[test]
fn every_key_that_can_be_inert_has_a_case() {
    let cases = [CASES, UNBOUND].concat();
    let of_keys = table().filter(|(_, effect)| matches!(effect, Effect::Unless(_)));
    let known: BTreeSet<String> =
        of_keys.map(|(key, _)| (*key).to_owned()).chain(schedulers::known()).collect();
    let always: Vec<(&str, &str)> = ALWAYS.iter().map(|knob| (*knob, "")).collect();
    assert_none(&covered(&known, &cases, &always));
}
