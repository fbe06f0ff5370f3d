use super::super::stage::padded;
use super::*;
use crate::catalog::{self, LayerTable};
use crate::cost::gemm::soft_max;
use crate::cost::table::{DENSE, LAST};
use crate::cost::{Chunk, Decodes, Dtype};

fn inputs() -> (Model, Gpu, EngineProfile) {
    (
        catalog::model("llama-3.1-8b").unwrap(),
        catalog::gpu("rtx-4090").unwrap(),
        catalog::profile("ideal").unwrap(),
    )
}

fn build(model: &Model, gpu: &Gpu, profile: &EngineProfile) -> Roofline {
    Roofline::new(model, gpu, profile, Parallelism::default(), Dtype::Bf16).unwrap()
}

/// The equations written out once more, for the whole of one decode-only and one mixed batch.
#[test]
fn prices_follow_the_equations() {
    let (model, gpu, profile) = inputs();
    let cost = build(&model, &gpu, &profile);
    let fit = gpu.gemm_bf16;
    let norm = |a: f64, b: f64, p: f64| libm::pow(libm::pow(a, p) + libm::pow(b, p), 1.0 / p);
    let gemm = |m: f64, n: f64, k: f64| {
        let compute = 2.0 * m * n * k / (fit.tflops * 1e6);
        let bytes = 2.0 * (n * k + m * k + m * n) * (1.0 + fit.row_penalty * m.min(64.0) / 64.0);
        fit.launch_us + norm(compute, bytes / (fit.memory_gb_per_s * 1e3), fit.knee)
    };
    let layer = |m: f64| {
        let bytes = m * (16.0 * 4096.0 + 6.0 * 14336.0 + 4.0 * 40.0 * 128.0);
        gemm(m, 6144.0, 4096.0)
            + gemm(m, 4096.0, 4096.0)
            + gemm(m, 28672.0, 4096.0)
            + gemm(m, 4096.0, 14336.0)
            + 4.0 * gpu.elementwise.kernel_us
            + bytes / (gpu.elementwise.memory_gb_per_s * 1e3)
    };
    let head =
        |s: f64| gemm(s, 128_256.0, 4096.0) + gpu.sampler.launch_us + gpu.sampler.sequence_us * s;
    let bytes = 50_000.0 * 8.0 * 128.0 * 4.0;
    let decode = gpu.decode_attention;
    let attention = decode.launch_us
        + decode.sequence_us * 20.0
        + bytes / (decode.memory_gb_per_s * 1e3)
        + decode.ramp_us * (1.0 - libm::exp(-bytes / (decode.ramp_mb * 1e6)));
    let shape = BatchShape::decodes_alone(20, 50_000);
    let expected_us = 32.0 * (layer(20.0) + attention) + head(20.0);
    let priced_us = cost.time(&shape).gpu.as_nanos() as f64 / 1e3;
    assert!((priced_us / expected_us - 1.0).abs() < 1e-5, "{priced_us} {expected_us}");

    let catalog::PrefillAttention::FlashAttention2(fa) = gpu.prefill_attention else {
        panic!("the RTX 4090 runs FlashAttention-2");
    };
    // 8 blocks of 64 rows that end at 1064 to 1512 keys, and 20 decodes.
    let keys = (1..=8).map(|block| 1000.0 + 64.0 * f64::from(block)).sum::<f64>() + 50_000.0;
    let key_us = fa.slots * 64.0 * 4.0 * 128.0 / (fa.tflops * 1e6);
    let work = 32.0 / fa.slots * (28.0 * fa.tile_us + keys * key_us);
    let longest = fa.tile_us + 2500.0 * key_us;
    let compute = f64::max(longest, work + fa.tail * longest);
    let fills = 50_000.0 * 512.0 / (fa.l2_mb * 1e6);
    // 20 decodes of 32 heads on 128 multiprocessors: the 4 heads of a group run together.
    let apart = (4.0 * 20.0 / fa.slots).max(1.0) - 1.0;
    let reads = 1.0 + apart / (1.0 + libm::pow(fills, -fa.l2_knee));
    let memory = reads * bytes / (fa.memory_gb_per_s * 1e3);
    let attention = fa.launch_us + norm(compute, memory, fa.knee);
    let chunks = [Chunk { context: 1000, tokens: 512 }];
    let shape = BatchShape::new(&chunks, Decodes::one_token_each(20, 50_000), 21);
    let expected_us = 32.0 * (layer(532.0) + attention) + head(21.0);
    let priced_us = cost.time(&shape).gpu.as_nanos() as f64 / 1e3;
    assert!((priced_us / expected_us - 1.0).abs() < 1e-5, "{priced_us} {expected_us}");
}

#[test]
fn tables_agree_with_what_they_tabulate() {
    let (_, gpu, profile) = inputs();
    for name in ["llama-3.1-8b", "qwen3-30b-a3b"] {
        let model = catalog::model(name).unwrap();
        let cost = build(&model, &gpu, &profile);
        for tokens in [1, 2, 63, 64, 65, DENSE, DENSE + 1, 1500, 2047, 8191, LAST - 1, LAST] {
            let exact = cost.stages[0].layers.all_layers_us(tokens as f64);
            let tabled = cost.stages[0].layers_us.get(tokens).unwrap_or(exact);
            assert!((tabled / exact - 1.0).abs() < 1e-4, "{name} {tokens}: {tabled} {exact}");
        }
        assert_eq!(cost.stages[0].layers_us.get(LAST), None);
    }
}

#[test]
fn the_knee_does_not_overflow() {
    assert_eq!(soft_max(0.0, 0.0, 3.0), 0.0);
    assert_eq!(soft_max(5.0, 0.0, 3.0), 5.0);
    assert_eq!(soft_max(1e200, 1e200, 3.0), 1e200 * libm::pow(2.0, 1.0 / 3.0));
    assert!((soft_max(3.0, 4.0, 2.0) - 5.0).abs() < 1e-12);
}

#[test]
fn a_measured_layer_replaces_the_roofline() {
    let (model, gpu, mut profile) = inputs();
    let roofline = build(&model, &gpu, &profile);
    profile.layer_table =
        Some(LayerTable { tokens: vec![1, 100, 200], layer_us: vec![400.0, 500.0, 700.0] });
    let measured = build(&model, &gpu, &profile);
    let layers = |cost: &Roofline, decodes: u32| {
        let shape = BatchShape::decodes_alone(decodes, decodes.into());
        cost.parts(&shape).layers_us / 32.0
    };
    for (tokens, us) in [(1, 400.0), (100, 500.0), (150, 600.0), (200, 700.0)] {
        assert!((layers(&measured, tokens) - us).abs() < 1e-9, "{tokens}");
    }
    let growth = layers(&roofline, 400) / layers(&roofline, 200);
    assert!((layers(&measured, 400) / 700.0 - growth).abs() < 1e-9);
    profile.layer_table = Some(LayerTable { tokens: vec![1, 100], layer_us: vec![500.0, 400.0] });
    let falling =
        Roofline::new(&model, &gpu, &profile, Parallelism::default(), Dtype::Bf16).unwrap_err();
    assert_eq!(falling.to_string(), "layer_table.layer_us: must never fall");
}

#[test]
fn nothing_to_do_takes_no_time() {
    let (model, gpu, profile) = inputs();
    let cost = build(&model, &gpu, &profile);
    let shape = BatchShape::new(&[], Decodes::NONE, 0);
    assert_eq!(cost.time(&shape), IterationTime::default());
    assert_eq!(cost.parts(&shape), Parts::default());
}

#[test]
fn absurd_shapes_have_a_price() {
    for gpu in ["rtx-4090", "h100-sxm"] {
        let (model, _, profile) = inputs();
        let cost = build(&model, &catalog::gpu(gpu).unwrap(), &profile);
        let chunks = [Chunk { context: u32::MAX, tokens: u32::MAX }; 3];
        let shape = BatchShape::new(&chunks, Decodes::one_token_each(u32::MAX, u64::MAX), u32::MAX);
        assert_eq!(cost.time(&shape).gpu, Span::from_micros_f64(LONGEST_US));
    }
}

#[test]
fn padding_goes_to_the_next_size() {
    assert_eq!(padded(&[1, 2, 4, 8]), [0, 1, 2, 4, 4, 8, 8, 8, 8]);
    assert_eq!(padded(&[]), [0]);
}
