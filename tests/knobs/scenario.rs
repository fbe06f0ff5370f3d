//! Keys of a scenario, named by the schema's type and key: `Rate.rate`, `Engine.kv_blocks`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Case, assert_none, case, copy, covered, dead};

const BURST: &str = "workload.arrivals=all_at_once";
const UNIFORM: &str = "workload.lengths={prompt: {uniform: {min: 100, max: 1500}}, output: {uniform: {min: 5, max: 120}}}";
const TENSOR: &str = "parallelism={tensor: 2}";
const THREE: &str = "replicas=3";
const MOE: &str = "model=mixtral-8x7b";
const EIGHT: &str = "workload.requests=8";
const CLASSES: &str =
    "workload.classes=[{name: chat, share: 0.5}, {name: batch, share: 0.5, priority: 1}]";
const CURVE: &str = "slo.ttft={prefill_curve_plus: 20ms}";
const ONE_LENGTH: &str = "workload.lengths={prompt: {fixed: 500}, output: {fixed: 20}}";
const PRIORITY: &str = "schedulers=[{vllm-v1: {policy: priority, max_num_seqs: 4}}]";
const PREFIXES: &str = "workload.prefix_groups={count: 3, tokens: 320, share: 0.5}";
const CACHING: &str = "engine.prefix_caching=true";
const NO_SYNTHETIC: &str = "workload={trace: {file: plain.csv}}";

/// Files that cases name.
pub fn write_files(folder: &Path) {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("writable");
    let config = |layers: u32| {
        format!(
            "{{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 4096, \
             \"intermediate_size\": 14336, \"num_hidden_layers\": {layers}, \"num_attention_heads\": 32, \
             \"num_key_value_heads\": 8, \"vocab_size\": 128256, \"max_position_embeddings\": 8192, \
             \"torch_dtype\": \"bfloat16\", \"tie_word_embeddings\": false}}"
        )
    };
    write("deep.json", &config(32));
    write("shallow.json", &config(16));
    write("a.csv", "prompt_tokens,output_tokens\n500,20\n900,30\n");
    write("b.csv", "prompt_tokens,output_tokens\n400,20\n1900,30\n");
    write("plain.csv", "arrival_s,input_tokens,output_tokens\n0,500,50\n0.02,800,60\n0.5,600,70\n");
    write("other.csv", "arrival_s,input_tokens,output_tokens\n0,900,50\n0.02,800,60\n0.5,600,70\n");
    copy("src/catalog/data/gpus/h100-sxm.yaml", &folder.join("h100.yaml"));
    copy("src/catalog/data/gpus/a40.yaml", &folder.join("a40.yaml"));
    copy("src/catalog/data/profiles/vllm-0.12.yaml", &folder.join("p12.yaml"));
    copy("src/catalog/data/profiles/vllm-0.4.yaml", &folder.join("p4.yaml"));
}

const CASES: &[Case] = &[
    case("Scenario.seed", &[], "seed=1", "seed=2"),
    case("Scenario.model", &[], "model=llama-3.1-8b", "model=mistral-7b"),
    case("Scenario.gpu", &[], "gpu=h100-sxm", "gpu=a40"),
    case("Scenario.parallelism", &[], "", TENSOR),
    case("Scenario.replicas", &[], "", THREE),
    case("Scenario.router", &[THREE], "router=round-robin", "router=least-tokens"),
    case("Scenario.engine", &[], "engine={profile: ideal}", "engine={profile: vllm-0.4}"),
    case("Scenario.schedulers", &[], "schedulers=[orca]", "schedulers=[vllm-v0]"),
    case(
        "Scenario.workload",
        &[],
        "",
        "workload={requests: 5, arrivals: all_at_once, lengths: {table: chat}}",
    ),
    case("Scenario.slo", &[], "", "slo={ttft: 10ms, tbt: 25ms}"),
    case("Scenario.horizon", &[], "horizon=2s", "horizon=4s"),
    case("Scenario.measure", &[], "measure={skip_first: 1s}", "measure={skip_first: 3s}"),
    case("ModelFigures.base", &[], "model={base: llama-3.1-8b}", "model={base: llama-2-7b}"),
    case("ModelFigures.config", &[], "model={config: deep.json}", "model={config: shallow.json}"),
    case(
        "ModelFigures.hidden_size",
        &[],
        "model={base: llama-3.1-8b}",
        "model={base: llama-3.1-8b, hidden_size: 2048}",
    ),
    case(
        "ModelFigures.intermediate_size",
        &[],
        "model={base: llama-3.1-8b}",
        "model={base: llama-3.1-8b, intermediate_size: 8192}",
    ),
    case(
        "ModelFigures.layers",
        &[],
        "model={base: llama-3.1-8b}",
        "model={base: llama-3.1-8b, layers: 16}",
    ),
    case(
        "ModelFigures.heads",
        &[],
        "model={base: llama-3.1-8b}",
        "model={base: llama-3.1-8b, heads: 16}",
    ),
    case(
        "ModelFigures.kv_heads",
        &[],
        "model={base: llama-3.1-8b}",
        "model={base: llama-3.1-8b, kv_heads: 4}",
    ),
    case(
        "ModelFigures.head_dim",
        &[],
        "model={base: llama-3.1-8b}",
        "model={base: llama-3.1-8b, head_dim: 64}",
    ),
    case(
        "ModelFigures.vocab_size",
        &[],
        "model={base: llama-3.1-8b}",
        "model={base: llama-3.1-8b, vocab_size: 32000}",
    ),
    case(
        "ModelFigures.max_position_embeddings",
        &[],
        "model={base: llama-3.1-8b}",
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
        "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989, fp8_tflops: 1979}",
        "gpu={memory: 80GiB, memory_bandwidth: 1000GB/s, bf16_tflops: 989, fp8_tflops: 1979}",
    ),
    case(
        "GpuFigures.bf16_tflops",
        &[],
        "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989, fp8_tflops: 1979}",
        "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 300, fp8_tflops: 1979}",
    ),
    case(
        "GpuFigures.fp8_tflops",
        &["engine.dtype=fp8"],
        "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989, fp8_tflops: 1979}",
        "gpu={memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989, fp8_tflops: 300}",
    ),
    case(
        "GpuFigures.interconnect",
        &[TENSOR],
        "gpu={base: h100-sxm}",
        "gpu={base: h100-sxm, interconnect: {bandwidth: 16GB/s, latency: 20us}}",
    ),
    case(
        "GpuFigures.price_usd_per_hour",
        &[],
        "gpu={base: h100-sxm, price_usd_per_hour: 1}",
        "gpu={base: h100-sxm, price_usd_per_hour: 2}",
    ),
    case(
        "GpuFigures.power",
        &[],
        "gpu={base: h100-sxm, power: {idle_w: 60, max_w: 600}}",
        "gpu={base: h100-sxm, power: {idle_w: 90, max_w: 700}}",
    ),
    case(
        "Interconnect.bandwidth",
        &[TENSOR],
        "gpu={base: h100-sxm, interconnect: {bandwidth: 16GB/s, latency: 20us}}",
        "gpu={base: h100-sxm, interconnect: {bandwidth: 64GB/s, latency: 20us}}",
    ),
    case(
        "Interconnect.latency",
        &[TENSOR],
        "gpu={base: h100-sxm, interconnect: {bandwidth: 16GB/s, latency: 20us}}",
        "gpu={base: h100-sxm, interconnect: {bandwidth: 16GB/s, latency: 50us}}",
    ),
    case(
        "Power.idle_w",
        &[],
        "gpu={base: h100-sxm, power: {idle_w: 60, max_w: 600}}",
        "gpu={base: h100-sxm, power: {idle_w: 90, max_w: 600}}",
    ),
    case(
        "Power.max_w",
        &[],
        "gpu={base: h100-sxm, power: {idle_w: 60, max_w: 600}}",
        "gpu={base: h100-sxm, power: {idle_w: 60, max_w: 700}}",
    ),
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
    case("Engine.kv_cache_dtype", &[], "engine.kv_cache_dtype=bf16", "engine.kv_cache_dtype=fp8"),
    case("Scenario.pools", &[], "", "pools=[{replicas: 2}]"),
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
        "ClassRouter.class-to-pool",
        &[THREE, CLASSES],
        "router={class-to-pool: {chat: [0], batch: [1, 2]}}",
        "router={class-to-pool: {chat: [0, 1], batch: [2]}}",
    ),
    case(
        "ClassRouter.within",
        &[THREE, CLASSES, BURST],
        "router={class-to-pool: {chat: [0, 1], batch: [1, 2]}, within: round-robin}",
        "router={class-to-pool: {chat: [0, 1], batch: [1, 2]}, within: least-tokens}",
    ),
    case("Parallelism.tensor", &[], "parallelism={tensor: 2}", "parallelism={tensor: 4}"),
    case("Parallelism.pipeline", &[], "parallelism={pipeline: 1}", "parallelism={pipeline: 2}"),
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
    case(
        "Engine.prefix_caching",
        &[PREFIXES, "schedulers=[vllm-v1]"],
        "engine.prefix_caching=false",
        CACHING,
    ),
    case(
        "Engine.async_scheduling",
        &["schedulers=[vllm-v1]"],
        "engine.async_scheduling=false",
        "engine.async_scheduling=true",
    ),
    case(
        "ProfileSource.file",
        &[],
        "engine.profile={file: p12.yaml}",
        "engine.profile={file: p4.yaml}",
    ),
    case("ProfileSource.fixed", &[], "", "engine.profile={fixed: {iteration: 20ms}}"),
    case(
        "FixedProfile.iteration",
        &[],
        "engine.profile={fixed: {iteration: 10ms}}",
        "engine.profile={fixed: {iteration: 20ms}}",
    ),
    case("Workload.requests", &[], "workload.requests=20", "workload.requests=40"),
    case("Workload.duration", &[], "workload.duration=2s", "workload.duration=4s"),
    case("Workload.arrivals", &[], "", BURST),
    case("Workload.lengths", &[], "", ONE_LENGTH),
    case("Workload.trace", &[], "", NO_SYNTHETIC),
    case(
        "Workload.max_tokens",
        &[
            "schedulers=[tensorrt-llm]",
            BURST,
            "engine.kv_blocks=400",
            "engine.max_model_len=4096",
            UNIFORM,
        ],
        "workload.max_tokens=exact",
        "workload.max_tokens=model",
    ),
    case(
        "Workload.classes",
        &[],
        "",
        "workload.classes=[{name: a, share: 1}, {name: b, share: 1, lengths: {prompt: {fixed: 50}, output: {fixed: 9}}}]",
    ),
    case("Workload.prefix_groups", &[CACHING, "schedulers=[vllm-v1]"], "", PREFIXES),
    case("Workload.horizon", &[], "workload.horizon=2s", "workload.horizon=4s"),
    case(
        "Workload.measure",
        &[],
        "workload.measure={skip_last: 1s}",
        "workload.measure={skip_last: 3s}",
    ),
    case("Arrivals.poisson", &[], "", "workload.arrivals={poisson: {rate: 4}}"),
    case("Arrivals.gamma", &[], "", "workload.arrivals={gamma: {rate: 8, cv: 2}}"),
    case(
        "Arrivals.weibull",
        &[],
        "workload.arrivals={gamma: {rate: 8, cv: 2}}",
        "workload.arrivals={weibull: {rate: 8, cv: 2}}",
    ),
    case("Arrivals.constant", &[], "", "workload.arrivals={constant: {rate: 8}}"),
    case(
        "Arrivals.piecewise",
        &[],
        "",
        "workload.arrivals={piecewise: [{for: 2s, rate: 8}, {for: 9s, rate: 4}]}",
    ),
    case(
        "Arrivals.closed_loop",
        &[],
        "",
        "workload.arrivals={closed_loop: {users: 8, think_time: 1s}}",
    ),
    case(
        "Rate.rate",
        &[],
        "workload.arrivals={constant: {rate: 8}}",
        "workload.arrivals={constant: {rate: 7}}",
    ),
    case(
        "RateAndCv.rate",
        &[],
        "workload.arrivals={gamma: {rate: 8, cv: 2}}",
        "workload.arrivals={gamma: {rate: 7, cv: 2}}",
    ),
    case(
        "RateAndCv.cv",
        &[],
        "workload.arrivals={weibull: {rate: 8, cv: 2}}",
        "workload.arrivals={weibull: {rate: 8, cv: 3}}",
    ),
    case(
        "Piece.for",
        &[],
        "workload.arrivals={piecewise: [{for: 2s, rate: 8}, {for: 9s, rate: 4}]}",
        "workload.arrivals={piecewise: [{for: 3s, rate: 8}, {for: 9s, rate: 4}]}",
    ),
    case(
        "Piece.rate",
        &[],
        "workload.arrivals={piecewise: [{for: 2s, rate: 8}, {for: 9s, rate: 4}]}",
        "workload.arrivals={piecewise: [{for: 2s, rate: 9}, {for: 9s, rate: 4}]}",
    ),
    case(
        "Piece.ramp_to",
        &[],
        "workload.arrivals={piecewise: [{for: 9s, rate: 8, ramp_to: 1}]}",
        "workload.arrivals={piecewise: [{for: 9s, rate: 8, ramp_to: 16}]}",
    ),
    case(
        "ClosedLoop.users",
        &[],
        "workload.arrivals={closed_loop: {users: 8, think_time: 1s}}",
        "workload.arrivals={closed_loop: {users: 9, think_time: 1s}}",
    ),
    case(
        "ClosedLoop.think_time",
        &[],
        "workload.arrivals={closed_loop: {users: 8, think_time: 1s}}",
        "workload.arrivals={closed_loop: {users: 8, think_time: 2s}}",
    ),
    case("Lengths.prompt", &[], "", "workload.lengths.prompt={fixed: 300}"),
    case("Lengths.output", &[], "", "workload.lengths.output={fixed: 30}"),
    case("Lengths.table", &[], "workload.lengths={table: chat}", "workload.lengths={table: code}"),
    case("Lengths.file", &[], "workload.lengths={file: a.csv}", "workload.lengths={file: b.csv}"),
    case(
        "Dist.fixed",
        &[],
        "workload.lengths.output={fixed: 30}",
        "workload.lengths.output={fixed: 31}",
    ),
    case("Dist.uniform", &[], "", "workload.lengths.output={uniform: {min: 1, max: 80}}"),
    case("Dist.lognormal", &[], "", "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5}}"),
    case("Dist.geometric", &[], "", "workload.lengths.prompt={geometric: {mean: 800}}"),
    case("Dist.zipf", &[], "", "workload.lengths.output={zipf: {min: 1, max: 80, theta: 0.5}}"),
    case(
        "Dist.quantiles",
        &[],
        "workload.lengths.output={quantiles: {0.1: 5, 0.9: 80}}",
        "workload.lengths.output={quantiles: {0.1: 5, 0.9: 90}}",
    ),
    case("Dist.min", &[], "", "workload.lengths.output={geometric: {mean: 40}, min: 20}"),
    case("Dist.max", &[], "", "workload.lengths.output={geometric: {mean: 40}, max: 20}"),
    case(
        "Uniform.min",
        &[],
        "workload.lengths.output={uniform: {min: 1, max: 80}}",
        "workload.lengths.output={uniform: {min: 20, max: 80}}",
    ),
    case(
        "Uniform.max",
        &[],
        "workload.lengths.output={uniform: {min: 1, max: 80}}",
        "workload.lengths.output={uniform: {min: 1, max: 90}}",
    ),
    case(
        "Lognormal.mean",
        &[],
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5}}",
        "workload.lengths.output={lognormal: {mean: 50, sigma: 0.5}}",
    ),
    case(
        "Lognormal.sigma",
        &[],
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5}}",
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.6}}",
    ),
    case(
        "Lognormal.min",
        &[],
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5}}",
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5, min: 30}}",
    ),
    case(
        "Lognormal.max",
        &[],
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5}}",
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5, max: 40}}",
    ),
    case(
        "Geometric.mean",
        &[],
        "workload.lengths.output={geometric: {mean: 40}}",
        "workload.lengths.output={geometric: {mean: 50}}",
    ),
    case(
        "Geometric.min",
        &[],
        "workload.lengths.output={geometric: {mean: 40}}",
        "workload.lengths.output={geometric: {mean: 40, min: 20}}",
    ),
    case(
        "Geometric.max",
        &[],
        "workload.lengths.output={geometric: {mean: 40}}",
        "workload.lengths.output={geometric: {mean: 40, max: 20}}",
    ),
    case(
        "Zipf.min",
        &[],
        "workload.lengths.output={zipf: {min: 1, max: 80, theta: 0.5}}",
        "workload.lengths.output={zipf: {min: 20, max: 80, theta: 0.5}}",
    ),
    case(
        "Zipf.max",
        &[],
        "workload.lengths.output={zipf: {min: 1, max: 80, theta: 0.5}}",
        "workload.lengths.output={zipf: {min: 1, max: 99, theta: 0.5}}",
    ),
    case(
        "Zipf.theta",
        &[],
        "workload.lengths.output={zipf: {min: 1, max: 80, theta: 0.5}}",
        "workload.lengths.output={zipf: {min: 1, max: 80, theta: 0.9}}",
    ),
    case(
        "Trace.file",
        &[],
        "workload={trace: {file: plain.csv}}",
        "workload={trace: {file: other.csv}}",
    ),
    case(
        "Trace.time_scale",
        &[NO_SYNTHETIC],
        "workload.trace.time_scale=1",
        "workload.trace.time_scale=2",
    ),
    case(
        "Trace.arrivals",
        &[NO_SYNTHETIC],
        "workload.trace={file: a.csv, arrivals: {constant: {rate: 1}}}",
        "workload.trace={file: a.csv, arrivals: all_at_once}",
    ),
    case(
        "Trace.stand_in",
        &[NO_SYNTHETIC],
        "workload.trace={file: none.csv, stand_in: {requests: 9, arrivals: all_at_once, lengths: {table: chat}}}",
        "workload.trace={file: plain.csv, stand_in: {requests: 9, arrivals: all_at_once, lengths: {table: chat}}}",
    ),
    case(
        "StandIn.requests",
        &[NO_SYNTHETIC],
        "workload.trace={file: none.csv, stand_in: {requests: 9, arrivals: all_at_once, lengths: {table: chat}}}",
        "workload.trace={file: none.csv, stand_in: {requests: 8, arrivals: all_at_once, lengths: {table: chat}}}",
    ),
    case(
        "StandIn.arrivals",
        &[NO_SYNTHETIC],
        "workload.trace={file: none.csv, stand_in: {requests: 9, arrivals: all_at_once, lengths: {table: chat}}}",
        "workload.trace={file: none.csv, stand_in: {requests: 9, arrivals: {constant: {rate: 1}}, lengths: {table: chat}}}",
    ),
    case(
        "StandIn.lengths",
        &[NO_SYNTHETIC],
        "workload.trace={file: none.csv, stand_in: {requests: 9, arrivals: all_at_once, lengths: {table: chat}}}",
        "workload.trace={file: none.csv, stand_in: {requests: 9, arrivals: all_at_once, lengths: {table: code}}}",
    ),
    case(
        "MaxTokens.fixed",
        &[],
        "workload.max_tokens={fixed: 10}",
        "workload.max_tokens={fixed: 20}",
    ),
    case(
        "MaxTokens.factor",
        &[
            "schedulers=[tensorrt-llm]",
            BURST,
            "engine.kv_blocks=400",
            "engine.max_model_len=4096",
            UNIFORM,
        ],
        "workload.max_tokens={factor: 1}",
        "workload.max_tokens={factor: 4}",
    ),
    case(
        "Class.share",
        &[PRIORITY],
        "workload.classes=[{name: a, share: 1}, {name: b, share: 1, priority: 9}]",
        "workload.classes=[{name: a, share: 3}, {name: b, share: 1, priority: 9}]",
    ),
    case(
        "Class.priority",
        &[PRIORITY, BURST],
        "workload.classes=[{name: a, share: 1}, {name: b, share: 1}]",
        "workload.classes=[{name: a, share: 1}, {name: b, share: 1, priority: 9}]",
    ),
    case(
        "Class.lengths",
        &[],
        "workload.classes=[{name: a, share: 1}]",
        "workload.classes=[{name: a, share: 1, lengths: {prompt: {fixed: 50}, output: {fixed: 9}}}]",
    ),
    case(
        "Class.slo",
        &[],
        "workload.classes=[{name: a, share: 1}]",
        "workload.classes=[{name: a, share: 1, slo: {ttft: 10ms, tbt: 5ms}}]",
    ),
    case(
        "Class.name",
        &[],
        "workload.classes=[{name: a, share: 1}, {name: b, share: 1}]",
        "workload.classes=[{name: a, share: 1}, {name: c, share: 1}]",
    ),
    case("Slo.ttft", &[], "slo.ttft=30ms", "slo.ttft=200ms"),
    case("Slo.tbt", &[], "slo.tbt=8ms", "slo.tbt=15ms"),
    case(
        "Slo.fluidity",
        &[BURST],
        "slo.fluidity={index: 0.2, share: 0.9}",
        "slo.fluidity={index: 0.99, share: 0.9}",
    ),
    case("Slo.bounds", &[], "", "slo.bounds={ttft: {p99: 200ms}}"),
    case("PrefillCurve.prefill_curve_plus", &[], CURVE, "slo.ttft={prefill_curve_plus: 5ms}"),
    case(
        "PrefillCurve.of",
        &["schedulers=[vllm-v0, sarathi: {chunk_size: 64}]"],
        CURVE,
        "slo.ttft={prefill_curve_plus: 20ms, of: sarathi}",
    ),
    case(
        "Fluidity.index",
        &[BURST],
        "slo={ttft: 30ms, tbt: 15ms, fluidity: {index: 0.5, share: 0.9}}",
        "slo={ttft: 30ms, tbt: 15ms, fluidity: {index: 0.95, share: 0.9}}",
    ),
    case("Fluidity.share", &[], "slo.fluidity.share=0.9", "slo.fluidity.share=0.95"),
    case("Bounds.ttft", &[], "slo.bounds={ttft: {p99: 200ms}}", "slo.bounds={ttft: {p99: 300ms}}"),
    case("Bounds.tbt", &[], "slo.bounds={tbt: {p99: 200ms}}", "slo.bounds={tbt: {p99: 300ms}}"),
    case("Bounds.tpot", &[], "slo.bounds={tpot: {p99: 200ms}}", "slo.bounds={tpot: {p99: 300ms}}"),
    case("Bounds.e2e", &[], "slo.bounds={e2e: {p99: 200ms}}", "slo.bounds={e2e: {p99: 300ms}}"),
    case(
        "StatBounds.mean",
        &[],
        "slo.bounds={ttft: {mean: 20ms}}",
        "slo.bounds={ttft: {mean: 300ms}}",
    ),
    case(
        "StatBounds.min",
        &[],
        "slo.bounds={ttft: {min: 20ms}}",
        "slo.bounds={ttft: {min: 300ms}}",
    ),
    case(
        "StatBounds.p50",
        &[],
        "slo.bounds={ttft: {p50: 20ms}}",
        "slo.bounds={ttft: {p50: 300ms}}",
    ),
    case(
        "StatBounds.p90",
        &[],
        "slo.bounds={ttft: {p90: 20ms}}",
        "slo.bounds={ttft: {p90: 300ms}}",
    ),
    case(
        "StatBounds.p95",
        &[],
        "slo.bounds={ttft: {p95: 20ms}}",
        "slo.bounds={ttft: {p95: 300ms}}",
    ),
    case(
        "StatBounds.p99",
        &[],
        "slo.bounds={ttft: {p99: 20ms}}",
        "slo.bounds={ttft: {p99: 300ms}}",
    ),
    case(
        "StatBounds.p999",
        &[],
        "slo.bounds={ttft: {p999: 20ms}}",
        "slo.bounds={ttft: {p999: 300ms}}",
    ),
    case(
        "StatBounds.max",
        &[],
        "slo.bounds={ttft: {max: 20ms}}",
        "slo.bounds={ttft: {max: 300ms}}",
    ),
    case(
        "PrefixGroups.count",
        &[CACHING, "schedulers=[vllm-v1]"],
        PREFIXES,
        "workload.prefix_groups={count: 9, tokens: 320, share: 0.5}",
    ),
    case(
        "PrefixGroups.tokens",
        &[CACHING, "schedulers=[vllm-v1]"],
        PREFIXES,
        "workload.prefix_groups={count: 3, tokens: 640, share: 0.5}",
    ),
    case(
        "PrefixGroups.share",
        &[CACHING, "schedulers=[vllm-v1]"],
        PREFIXES,
        "workload.prefix_groups={count: 3, tokens: 320, share: 0.9}",
    ),
    case("Measure.skip_first", &[], "measure={skip_first: 1s}", "measure={skip_first: 2s}"),
    case("Measure.skip_last", &[], "measure={skip_last: 1s}", "measure={skip_last: 2s}"),
];

const EXEMPT: &[(&str, &str)] = &[
    ("Scenario.name", "words for people"),
    ("Scenario.description", "words for people"),
    ("Scenario.derived", "written into results, so that a result's scenario runs again; not read"),
    ("SchedulerEntry.label", "words for people"),
    ("Arrivals.all_at_once", "a word that stands alone; Workload.arrivals turns it on"),
    ("Trace.format", "says what a file is; a wrong one is refused, and telling it changes nothing"),
    ("Trace.download", "words for people, said when the file is not there"),
];

/// Every key of the schema as `Type.key`. Schedulers and their parameters have their own table.
fn known() -> BTreeSet<String> {
    fn walk(name: &str, schema: &Value, out: &mut BTreeSet<String>) {
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            out.insert(format!("{name}.{key}"));
            walk(name, inner, out);
        }
        for word in ["anyOf", "oneOf", "allOf"] {
            for inner in schema[word].as_array().into_iter().flatten() {
                walk(name, inner, out);
            }
        }
    }
    let schema = metron_sim::scenario::json_schema();
    let mut out = BTreeSet::new();
    walk("Scenario", &schema, &mut out);
    for (name, inner) in schema["$defs"].as_object().expect("types") {
        walk(name, inner, &mut out);
    }
    out.retain(|key| {
        let (name, key) = key.split_once('.').expect("Type.key");
        !name.ends_with("Params") && (name != "SchedulerEntry" || key == "label")
    });
    out
}

#[test]
fn every_key_has_a_case() {
    assert_none(&covered(&known(), CASES, EXEMPT));
}

#[test]
fn every_key_changes_a_result() {
    assert_none(&dead(CASES));
}
