//! Keys of what serves: model, GPU, parallelism, pools, router, engine, schedulers.

use super::{BURST, CACHING, PREFIXES, VLLM_V1};
use crate::{Case, case};

const TENSOR: &str = "parallelism={tensor: 2}";
const SIXTEEN: &str = "parallelism={tensor: 16}";
const LINKS: &str = "links={node: {bandwidth: 16GB/s, latency: 20us}}";
const NETWORK: &str = "links.network={bandwidth: 50GB/s, latency: 10us}";
const THREE: &str = "replicas=3";
const MOE: &str = "model=mixtral-8x7b";
const SPREAD: &str = "parallelism={tensor: 2, data: 2, expert: true}";
const EIGHT: &str = "workload.requests=8";
const CLASSES: &str =
    "workload.classes=[{name: chat, share: 0.5}, {name: batch, share: 0.5, priority: 1}]";
const LLAMA: &str = "model={base: llama-3.1-8b}";
const PEAKS: &str =
    "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989, fp8_tflops: 1979}";
const PCIE: &str = "gpu={base: h100-sxm, interconnect: {bandwidth: 16GB/s, latency: 20us}}";
const POWER: &str = "gpu={base: h100-sxm, power: {idle_w: 60, max_w: 600}}";

pub(super) const CASES: &[Case] = &[
    case("Scenario.seed", &[], "seed=1", "seed=2"),
    case("Scenario.model", &[], "model=llama-3.1-8b", "model=mistral-7b"),
    case("Scenario.gpu", &[], "gpu=h100-sxm", "gpu=a40"),
    case("Scenario.parallelism", &[], "", TENSOR),
    case("Scenario.links", &[TENSOR], "", LINKS),
    case("Links.node", &[TENSOR], "", LINKS),
    case("Links.network", &[SIXTEEN], NETWORK, "links.network={bandwidth: 25GB/s, latency: 20us}"),
    case(
        "Pool.links",
        &[TENSOR],
        "pools=[{replicas: 1}]",
        "pools=[{replicas: 1, links: {node: {bandwidth: 16GB/s, latency: 20us}}}]",
    ),
    case("Scenario.replicas", &[], "", THREE),
    case("Scenario.router", &[THREE], "router=round-robin", "router=least-tokens"),
    case("Scenario.engine", &[], "engine={profile: ideal}", "engine={profile: vllm-0.4}"),
    case("Scenario.schedulers", &[], "schedulers=[orca]", "schedulers=[vllm-v0]"),
    case("Scenario.pools", &[], "", "pools=[{replicas: 2}]"),
    case("ModelFigures.base", &[], LLAMA, "model={base: llama-2-7b}"),
    case("ModelFigures.config", &[], "model={config: deep.json}", "model={config: shallow.json}"),
    case("ModelFigures.gguf", &[], "model={gguf: deep.gguf}", "model={gguf: shallow.gguf}"),
    case("ModelFigures.weights", &[], LLAMA, "model={base: llama-3.1-8b, weights: q4_k_m}"),
    case("ModelFigures.hidden_size", &[], LLAMA, "model={base: llama-3.1-8b, hidden_size: 2048}"),
    case(
        "ModelFigures.intermediate_size",
        &[],
        LLAMA,
        "model={base: llama-3.1-8b, intermediate_size: 8192}",
    ),
    case("ModelFigures.layers", &[], LLAMA, "model={base: llama-3.1-8b, layers: 16}"),
    case("ModelFigures.heads", &[], LLAMA, "model={base: llama-3.1-8b, heads: 16}"),
    case("ModelFigures.kv_heads", &[], LLAMA, "model={base: llama-3.1-8b, kv_heads: 4}"),
    case("ModelFigures.head_dim", &[], LLAMA, "model={base: llama-3.1-8b, head_dim: 64}"),
    case("ModelFigures.vocab_size", &[], LLAMA, "model={base: llama-3.1-8b, vocab_size: 32000}"),
    case(
        "ModelFigures.max_position_embeddings",
        &[],
        LLAMA,
        "model={base: llama-3.1-8b, max_position_embeddings: 1024}",
    ),
    case("GpuFigures.base", &[], "gpu={base: h100-sxm}", "gpu={base: a40}"),
    case("GpuFigures.file", &[], "gpu={file: h100.yaml}", "gpu={file: a40.yaml}"),
    case(
        "GpuFigures.memory",
        &[],
        "gpu={base: h100-sxm, memory: 80GiB}",
        "gpu={base: h100-sxm, memory: 24GiB}",
    ),
    case(
        "GpuFigures.memory_bandwidth",
        &[],
        PEAKS,
        "gpu={memory: 80GiB, memory_bandwidth: 1000GB/s, bf16_tflops: 989, fp8_tflops: 1979}",
    ),
    case(
        "GpuFigures.bf16_tflops",
        &[],
        PEAKS,
        "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 300, fp8_tflops: 1979}",
    ),
    case(
        "GpuFigures.fp8_tflops",
        &["engine.dtype=fp8"],
        PEAKS,
        "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989, fp8_tflops: 300}",
    ),
    case("GpuFigures.interconnect", &[TENSOR], "gpu={base: h100-sxm}", PCIE),
    case(
        "GpuFigures.price_usd_per_hour",
        &[],
        "gpu={base: h100-sxm, price_usd_per_hour: 1}",
        "gpu={base: h100-sxm, price_usd_per_hour: 2}",
    ),
    case("GpuFigures.power", &[], POWER, "gpu={base: h100-sxm, power: {idle_w: 90, max_w: 700}}"),
    case(
        "Interconnect.bandwidth",
        &[TENSOR],
        PCIE,
        "gpu={base: h100-sxm, interconnect: {bandwidth: 64GB/s, latency: 20us}}",
    ),
    case(
        "Interconnect.latency",
        &[TENSOR],
        PCIE,
        "gpu={base: h100-sxm, interconnect: {bandwidth: 16GB/s, latency: 50us}}",
    ),
    case("Power.idle_w", &[], POWER, "gpu={base: h100-sxm, power: {idle_w: 90, max_w: 600}}"),
    case("Power.max_w", &[], POWER, "gpu={base: h100-sxm, power: {idle_w: 60, max_w: 700}}"),
    case(
        "Parallelism.data",
        &[MOE],
        "parallelism={tensor: 2, data: 1}",
        "parallelism={tensor: 2, data: 2}",
    ),
    case(
        "Parallelism.expert",
        &[MOE, EIGHT],
        "parallelism={tensor: 2, data: 2, expert: false}",
        "parallelism={tensor: 2, data: 2, expert: true}",
    ),
    case(
        "Scenario.experts",
        &[MOE, EIGHT, SPREAD],
        "experts={imbalance: 1}",
        "experts={imbalance: 1.5}",
    ),
    case(
        "ExpertTraffic.exchange",
        &[MOE, EIGHT, SPREAD],
        "experts={exchange: allgather_reducescatter}",
        "experts={exchange: deepep_high_throughput}",
    ),
    case(
        "ExpertTraffic.imbalance",
        &[MOE, EIGHT, SPREAD],
        "experts={imbalance: 1.1}",
        "experts={imbalance: {zipf: 1}}",
    ),
    case(
        "ExpertShares.zipf",
        &[MOE, EIGHT, SPREAD],
        "experts={imbalance: {zipf: 0.5}}",
        "experts={imbalance: {zipf: 2}}",
    ),
    case(
        "ExpertShares.file",
        &[MOE, EIGHT, SPREAD],
        "experts={imbalance: {file: even.json}}",
        "experts={imbalance: {file: skewed.json}}",
    ),
    case("Parallelism.tensor", &[], TENSOR, "parallelism={tensor: 4}"),
    case("Parallelism.pipeline", &[], "parallelism={pipeline: 1}", "parallelism={pipeline: 2}"),
    case("Engine.kv_cache_dtype", &[], "engine.kv_cache_dtype=bf16", "engine.kv_cache_dtype=fp8"),
    case("Engine.profile", &[], "engine={profile: vllm-0.4}", "engine={profile: vllm-0.12}"),
    case("Engine.dtype", &[], "engine.dtype=bf16", "engine.dtype=fp8"),
    case("Engine.kv_block_tokens", &[], "engine.kv_block_tokens=16", "engine.kv_block_tokens=256"),
    case(
        "Engine.gpu_memory_utilization",
        &[],
        "engine.gpu_memory_utilization=0.9",
        "engine.gpu_memory_utilization=0.5",
    ),
    case(
        "Engine.reserved_memory",
        &[],
        "engine.reserved_memory=4GB",
        "engine.reserved_memory=40GB",
    ),
    case("Engine.kv_blocks", &[BURST], "engine.kv_blocks=400", "engine.kv_blocks=800"),
    case("Engine.max_model_len", &[], "engine.max_model_len=600", "engine.max_model_len=6000"),
    case("Engine.prefix_caching", &[PREFIXES, VLLM_V1], "engine.prefix_caching=false", CACHING),
    case("Engine.enforce_eager", &[], "engine.enforce_eager=false", "engine.enforce_eager=true"),
    case(
        "Engine.async_scheduling",
        &[VLLM_V1],
        "engine.async_scheduling=false",
        "engine.async_scheduling=true",
    ),
    case(
        "Engine.speculative",
        &[VLLM_V1, BURST],
        "",
        "engine.speculative={method: eagle, tokens: 3}",
    ),
    case(
        "Speculative.method",
        &[VLLM_V1, BURST],
        "engine.speculative={method: ngram, tokens: 3}",
        "engine.speculative={method: eagle, tokens: 3}",
    ),
    case(
        "Speculative.draft_model",
        &[
            VLLM_V1,
            BURST,
            "engine.speculative={method: draft_model, tokens: 3, acceptance: {rate: 0.7}}",
        ],
        "engine.speculative.draft_model=llama-3.2-1b",
        "engine.speculative.draft_model=llama-3.2-3b",
    ),
    case(
        "Pool.name",
        &[CLASSES, "router={class-to-pool: {chat: a}}"],
        "pools=[{name: a, replicas: 1}, {name: b, replicas: 2}]",
        "pools=[{name: b, replicas: 1}, {name: a, replicas: 2}]",
    ),
    case(
        "Pool.replicas",
        &[],
        "pools=[{replicas: 1}, {replicas: 1}]",
        "pools=[{replicas: 1}, {replicas: 3}]",
    ),
    case(
        "Pool.model",
        &[CLASSES, "router={class-to-pool: {chat: a, batch: b}}"],
        "pools=[{name: a, replicas: 1}, {name: b, replicas: 1, model: llama-3.1-8b}]",
        "pools=[{name: a, replicas: 1}, {name: b, replicas: 1, model: llama-3.2-3b}]",
    ),
    case(
        "Pool.gpu",
        &[],
        "pools=[{replicas: 1}, {replicas: 1, gpu: a40}]",
        "pools=[{replicas: 1}, {replicas: 1, gpu: l40s}]",
    ),
    case(
        "Pool.parallelism",
        &[],
        "pools=[{replicas: 1}, {replicas: 1, parallelism: {tensor: 2}}]",
        "pools=[{replicas: 1}, {replicas: 1, parallelism: {tensor: 4}}]",
    ),
    case(
        "Pool.engine",
        &[],
        "pools=[{replicas: 1}, {replicas: 1, engine: {profile: vllm-0.4}}]",
        "pools=[{replicas: 1}, {replicas: 1, engine: {profile: vllm-0.12}}]",
    ),
    case(
        "RouterMap.class-to-pool",
        &[THREE, CLASSES],
        "router={class-to-pool: {chat: [0], batch: [1, 2]}}",
        "router={class-to-pool: {chat: [0, 1], batch: [2]}}",
    ),
    case(
        "RouterMap.within",
        &[THREE, CLASSES, BURST],
        "router={class-to-pool: {chat: [0, 1], batch: [1, 2]}, within: round-robin}",
        "router={class-to-pool: {chat: [0, 1], batch: [1, 2]}, within: least-tokens}",
    ),
    case("RouterMap.vllm-dp", &[THREE, BURST], "router=round-robin", "router={vllm-dp: {}}"),
    case(
        "WithinMap.vllm-dp",
        &[THREE, CLASSES, BURST],
        "router={class-to-pool: {chat: [0, 1], batch: [1, 2]}}",
        "router={class-to-pool: {chat: [0, 1], batch: [1, 2]}, within: {vllm-dp: {}}}",
    ),
    case(
        "VllmDpRouter.clients",
        &[THREE, BURST],
        "router={vllm-dp: {clients: 1}}",
        "router={vllm-dp: {clients: 2}}",
    ),
    case(
        "ProfileSource.file",
        &[],
        "engine.profile={file: p12.yaml}",
        "engine.profile={file: p4.yaml}",
    ),
    case("Engine.front_end", &[], "", "engine.front_end={before: 3ms}"),
    case(
        "FrontEnd.before",
        &[],
        "engine.front_end={before: 3ms}",
        "engine.front_end={before: 9ms}",
    ),
    case(
        "FrontEnd.after",
        &[],
        "engine.front_end={before: 3ms, after: 1ms}",
        "engine.front_end={before: 3ms, after: 4ms}",
    ),
    case(
        "FrontEnd.request",
        &[BURST],
        "engine.front_end={before: 300ms, request: 1ms}",
        "engine.front_end={before: 300ms, request: 300ms}",
    ),
    case("ProfileSource.step_law", &[], "", "engine.profile={step_law: {iteration_us: 9000}}"),
    case(
        "StepLaw.prefill_iteration_us",
        &[],
        "engine.profile={step_law: {iteration_us: 9000, prefill_iteration_us: 100}}",
        "engine.profile={step_law: {iteration_us: 9000, prefill_iteration_us: 900}}",
    ),
    case(
        "StepLaw.chunk_us",
        &[],
        "engine.profile={step_law: {iteration_us: 9000, chunk_us: 100}}",
        "engine.profile={step_law: {iteration_us: 9000, chunk_us: 900}}",
    ),
    case(
        "StepLaw.prefill_token_us",
        &[],
        "engine.profile={step_law: {iteration_us: 9000, prefill_token_us: 10}}",
        "engine.profile={step_law: {iteration_us: 9000, prefill_token_us: 20}}",
    ),
    case(
        "StepLaw.decode_us",
        &[],
        "engine.profile={step_law: {iteration_us: 9000, decode_us: 10}}",
        "engine.profile={step_law: {iteration_us: 9000, decode_us: 90}}",
    ),
    case(
        "StepLaw.kv_token_us",
        &[],
        "engine.profile={step_law: {iteration_us: 9000, kv_token_us: 0.1}}",
        "engine.profile={step_law: {iteration_us: 9000, kv_token_us: 0.5}}",
    ),
    case(
        "StepLaw.attention_pair_us",
        &[],
        "engine.profile={step_law: {iteration_us: 9000, attention_pair_us: 0.01}}",
        "engine.profile={step_law: {iteration_us: 9000, attention_pair_us: 0.1}}",
    ),
    case(
        "StepLaw.iteration_us",
        &[],
        "engine.profile={step_law: {iteration_us: 9000}}",
        "engine.profile={step_law: {iteration_us: 5000}}",
    ),
    case(
        "StepLaw.draft_token_us",
        &[VLLM_V1, "engine.speculative={method: ngram, tokens: 3, acceptance: {rate: 0.5}}"],
        "engine.profile={step_law: {iteration_us: 9000, draft_token_us: 10}}",
        "engine.profile={step_law: {iteration_us: 9000, draft_token_us: 900}}",
    ),
    case("ProfileSource.fixed", &[], "", "engine.profile={fixed: {iteration: 20ms}}"),
    case(
        "FixedProfile.iteration",
        &[],
        "engine.profile={fixed: {iteration: 10ms}}",
        "engine.profile={fixed: {iteration: 20ms}}",
    ),
];
