//! Eager mode: no padding, and the host launches every kernel.

use metron_sim::catalog;
use metron_sim::cost::{BatchShape, Chunk, CostModel, Decodes, Dtype, Roofline};

use crate::support::{decode_ms, prefill_ms, tensor};

fn cost(eager: bool, us_per_kernel: f64) -> Roofline {
    let mut profile = catalog::profile("vllm-0.19").unwrap();
    profile.enforce_eager = eager;
    profile.eager_us_per_kernel = us_per_kernel;
    let [model, gpu] = ["llama-3.1-8b", "h100-sxm"];
    let (model, gpu) = (catalog::model(model).unwrap(), catalog::gpu(gpu).unwrap());
    Roofline::new(&model, &gpu, &profile, tensor(1), Dtype::Bf16).unwrap()
}

#[test]
fn a_small_step_takes_as_long_as_its_launches() {
    let [graphs, eager] = [cost(false, 40.0), cost(true, 40.0)];
    // 328 kernels of 40 us, and the 0.85 ms between two steps.
    assert!((decode_ms(&eager, 1, 500) - 13.97).abs() < 1e-6, "{}", decode_ms(&eager, 1, 500));
    assert!((6.0..7.5).contains(&decode_ms(&graphs, 1, 500)), "{}", decode_ms(&graphs, 1, 500));
    // Behind a long prompt they are hidden.
    assert_eq!(prefill_ms(&eager, 8192), prefill_ms(&graphs, 8192));
}

#[test]
fn prompts_wait_for_launches_where_graphs_hold_decodes_only() {
    let of = |us_per_kernel: f64, graph_tokens: u32| {
        let mut profile = catalog::profile("vllm-0.19").unwrap();
        profile.prefill_us_per_kernel = us_per_kernel;
        profile.chunk_graph_tokens = graph_tokens;
        let [model, gpu] = ["llama-3.1-8b", "h100-sxm"];
        let (model, gpu) = (catalog::model(model).unwrap(), catalog::gpu(gpu).unwrap());
        Roofline::new(&model, &gpu, &profile, tensor(1), Dtype::Bf16).unwrap()
    };
    let [hidden, launched] = [of(0.0, 0), of(40.0, 0)];
    // 328 kernels of 40 us, and the 0.85 ms between two steps.
    assert!((prefill_ms(&launched, 64) - 13.97).abs() < 1e-6, "{}", prefill_ms(&launched, 64));
    assert_eq!(prefill_ms(&launched, 8192), prefill_ms(&hidden, 8192));
    assert_eq!(decode_ms(&launched, 8, 500), decode_ms(&hidden, 8, 500));
    // vLLM's graphs hold chunks, too, up to a size.
    let within = of(40.0, 64);
    assert_eq!(prefill_ms(&within, 64), prefill_ms(&hidden, 64));
    assert_eq!(prefill_ms(&within, 65), prefill_ms(&launched, 65));
}

#[test]
fn prompts_wait_for_the_experts_launches() {
    let of = |us_per_layer: f64| {
        let mut profile = catalog::profile("vllm-0.19").unwrap();
        profile.prefill_us_per_expert_layer = us_per_layer;
        profile.chunk_graph_tokens = 64;
        let (model, gpu) =
            (catalog::model("qwen3-30b-a3b").unwrap(), catalog::gpu("h100-sxm").unwrap());
        Roofline::new(&model, &gpu, &profile, tensor(1), Dtype::Bf16).unwrap()
    };
    let [hidden, launched] = [of(0.0), of(2000.0)];
    // 48 layers of 2 ms, and the 0.85 ms between two steps.
    assert!((prefill_ms(&launched, 65) - 96.85).abs() < 1e-6, "{}", prefill_ms(&launched, 65));
    assert_eq!(prefill_ms(&launched, 64), prefill_ms(&hidden, 64));
    assert_eq!(decode_ms(&launched, 8, 500), decode_ms(&hidden, 8, 500));
}

#[test]
fn decodes_are_not_padded() {
    // 500 decodes would run as 512.
    let [graphs, eager] = [cost(false, 0.0), cost(true, 0.0)];
    assert!(decode_ms(&eager, 500, 100) < decode_ms(&graphs, 500, 100));
    assert_eq!(decode_ms(&eager, 512, 100), decode_ms(&graphs, 512, 100));
}

#[test]
fn the_time_is_its_parts_and_grows_with_the_work() {
    let eager = cost(true, 40.0);
    let chunk = [Chunk { context: 0, tokens: 64 }];
    let decodes = |n: u32| Decodes::one_token_each(n, u64::from(n) * 700);
    for shape in [BatchShape::new(&[], decodes(8), 8), BatchShape::new(&chunk, decodes(8), 9)] {
        let time = eager.time(&shape);
        let parts = eager.parts(&shape);
        let sum = parts.layers_us
            + parts.attention_us
            + parts.communication_us
            + parts.head_us
            + parts.host_us;
        let whole = (time.gpu + time.host).as_millis_f64() * 1e3;
        assert!((sum - whole).abs() < 0.01, "{sum} {whole}");
        // The GPU waits: what is no kernel's is the gap.
        let overheads = eager.overheads(&shape);
        let gap = overheads.gap.as_millis_f64() * 1e3;
        assert!((gap - parts.host_us).abs() < 0.01 && gap > 5000.0, "{gap}");
    }
    let times: Vec<f64> = (1..1200).map(|n| decode_ms(&eager, n, 700)).collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
}
