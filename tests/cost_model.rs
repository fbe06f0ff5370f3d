//! Is the price of an iteration sane: its limits, its shape, what makes it dearer, what fits.

use std::io::Write;
use std::path::Path;

use metron_sim::catalog::{self, EngineProfile, Model, ModelOverrides};
use metron_sim::cost::{
    BatchShape, CapacityError, Chunk, CostError, CostModel, Dtype, FixedCost, KvRequest,
    Parallelism, Roofline, kv_capacity, prefill_time, stage_layers,
};
use metron_sim::time::Span;
use proptest::prelude::*;

fn tensor(ranks: u32) -> Parallelism {
    Parallelism { tensor: ranks, pipeline: 1 }
}

fn build(model: &str, gpu: &str, profile: &str, ranks: u32) -> Result<Roofline, CostError> {
    let model = catalog::model(model).unwrap();
    let gpu = catalog::gpu(gpu).unwrap();
    let profile = catalog::profile(profile).unwrap();
    Roofline::new(&model, &gpu, &profile, tensor(ranks), Dtype::Bf16)
}

fn decode_ms(cost: &dyn CostModel, decodes: u32, kv_each: u32) -> f64 {
    let time = cost.time(&BatchShape {
        chunks: &[],
        decodes,
        decode_kv_tokens: u64::from(decodes) * u64::from(kv_each),
        sampled: decodes,
    });
    (time.gpu + time.host).as_millis_f64()
}

fn prefill_ms(cost: &dyn CostModel, tokens: u32) -> f64 {
    prefill_time(cost, tokens).as_millis_f64()
}

#[test]
fn a_lone_decode_takes_the_time_to_read_the_weights() {
    let cost = build("llama-3.1-8b", "h100-sxm", "ideal", 1).unwrap();
    let model = catalog::model("llama-3.1-8b").unwrap();
    // The embedding is looked up, not read through.
    let read = model.parameters() - u64::from(model.vocab_size) * u64::from(model.hidden_size);
    let bandwidth = catalog::gpu("h100-sxm").unwrap().gemm_bf16.memory_gb_per_s;
    let weights_ms = 2.0 * read as f64 / bandwidth / 1e6;
    let ms = decode_ms(&cost, 1, 512);
    assert!((weights_ms..1.3 * weights_ms).contains(&ms), "{ms} ms, weights alone {weights_ms}");
}

#[test]
fn a_long_prefill_takes_the_time_of_its_operations() {
    let cost = build("llama-3.1-8b", "h100-sxm", "ideal", 1).unwrap();
    let model = catalog::model("llama-3.1-8b").unwrap();
    let tflops = catalog::gpu("h100-sxm").unwrap().gemm_bf16.tflops;
    let operations = 2.0 * model.matrix_parameters() as f64 * 8192.0;
    let operations_ms = operations / tflops / 1e9;
    let ms = prefill_ms(&cost, 8192);
    assert!((operations_ms..1.4 * operations_ms).contains(&ms), "{ms} against {operations_ms}");
}

#[test]
fn more_ranks_are_faster_but_not_twice() {
    let [one, two] = [1, 2].map(|r| build("llama-3.1-70b", "h200-sxm", "ideal", r).unwrap());
    for (alone, split) in [
        (decode_ms(&one, 16, 1024), decode_ms(&two, 16, 1024)),
        (prefill_ms(&one, 4096), prefill_ms(&two, 4096)),
    ] {
        assert!(split < alone && split > alone / 2.0, "{split} ms on two, {alone} on one");
    }
    let shape = BatchShape { chunks: &[], decodes: 8, decode_kv_tokens: 8192, sampled: 8 };
    assert_eq!(one.parts(&shape).communication_us, 0.0);
    assert!(two.parts(&shape).communication_us > 0.0);
}

#[test]
fn a_mixed_batch_reads_the_weights_once_and_its_kv_too() {
    let cost = build("llama-3.1-8b", "h100-sxm", "ideal", 1).unwrap();
    let chunk = [Chunk { context: 0, tokens: 512 }];
    let ms = |chunks: &[Chunk], decodes: u32, kv: u64| {
        let shape = BatchShape { chunks, decodes, decode_kv_tokens: kv, sampled: decodes };
        cost.time(&shape).gpu.as_millis_f64()
    };
    let (alone, decodes) = (ms(&chunk, 0, 0), ms(&[], 64, 64 * 4096));
    let mixed = ms(&chunk, 64, 64 * 4096);
    assert!(mixed < alone + decodes - 2.0, "the weights are read twice: {mixed}");
    // 64 x 4096 tokens of 128 KiB are 34 GB: more than 10 ms of reading that nothing hides.
    assert!(mixed > alone + 10.0, "the decodes' KV is free: {mixed} against {alone}");
}

#[test]
fn an_activated_expert_is_read_once() {
    let cost = build("mixtral-8x7b", "h200-sxm", "ideal", 1).unwrap();
    let [one, sixteen] = [1, 16].map(|n| decode_ms(&cost, n, 512));
    // One token wakes 2 of 8 experts, sixteen wake nearly all: about four times the weights.
    assert!((2.5..5.0).contains(&(sixteen / one)), "{sixteen} against {one}");
    let dense = build("llama-2-70b", "h200-sxm", "ideal", 1).unwrap();
    assert!(decode_ms(&cost, 1, 512) < decode_ms(&dense, 1, 512) / 3.0);
}

#[test]
fn decode_only_batches_are_padded_to_a_captured_size() {
    let layers = |profile, decodes, chunks: &[Chunk]| {
        let cost = build("llama-3.1-8b", "rtx-4090", profile, 1).unwrap();
        let kv = u64::from(decodes) * 100;
        let shape = BatchShape { chunks, decodes, decode_kv_tokens: kv, sampled: decodes };
        cost.parts(&shape).layers_us
    };
    for (decodes, runs_at) in [(3, 4), (5, 8), (8, 8), (250, 256), (257, 272), (512, 512)] {
        let [padded, exact] = [decodes, runs_at].map(|n| layers("vllm-0.19", n, &[]));
        assert_eq!(padded, exact, "{decodes} decodes");
    }
    assert!(layers("vllm-0.19", 513, &[]) < layers("vllm-0.19", 514, &[]), "beyond the last size");
    assert!(layers("ideal", 257, &[]) < layers("ideal", 272, &[]), "no graphs");
    let chunk = [Chunk { context: 0, tokens: 1 }];
    let one_more = layers("vllm-0.19", 258, &[]);
    assert!(layers("vllm-0.19", 257, &chunk) < one_more, "a batch with a chunk is not padded");
}

#[test]
fn host_time_is_apart_and_grows_with_sequences() {
    let cost = build("llama-3.1-8b", "h100-sxm", "vllm-0.12", 1).unwrap();
    let host = |decodes| {
        let shape = BatchShape { chunks: &[], decodes, decode_kv_tokens: 1000, sampled: decodes };
        cost.time(&shape).host
    };
    assert_eq!(host(1), Span::from_nanos(1_678_500));
    assert_eq!(host(10), Span::from_nanos(2_205_000));
}

#[test]
fn parts_add_up_to_the_time() {
    let cost = build("yi-34b", "a100-sxm-80gb", "vllm-0.12", 2).unwrap();
    let chunks = [Chunk { context: 300, tokens: 509 }, Chunk { context: 0, tokens: 70 }];
    let shape = BatchShape { chunks: &chunks, decodes: 9, decode_kv_tokens: 12_345, sampled: 10 };
    let (time, parts) = (cost.time(&shape), cost.parts(&shape));
    let sum = parts.layers_us
        + parts.attention_us
        + parts.communication_us
        + parts.head_us
        + parts.host_us;
    let total = (time.gpu + time.host).as_nanos() as f64 / 1e3;
    assert!((sum - total).abs() < 0.002, "{sum} against {total}");
}

#[test]
fn stages_and_hand_overs_add_up_to_the_whole() {
    let model = catalog::model("llama-3.1-70b").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    let profile = catalog::profile("vllm-0.19").unwrap();
    let build = |pipeline| {
        let parallelism = Parallelism { tensor: 2, pipeline };
        Roofline::new(&model, &gpu, &profile, parallelism, Dtype::Bf16).unwrap()
    };
    let chunks = [Chunk { context: 300, tokens: 509 }];
    for shape in [
        BatchShape { chunks: &chunks, decodes: 9, decode_kv_tokens: 12_345, sampled: 10 },
        BatchShape { chunks: &[], decodes: 9, decode_kv_tokens: 12_345, sampled: 9 },
    ] {
        let (whole, four) = (build(1), build(4));
        assert_eq!((whole.stages(), four.stages()), (1, 4));
        assert_eq!(whole.hand_over(&shape), Span::ZERO);
        let hand_overs_us = 3.0 * four.hand_over(&shape).as_nanos() as f64 / 1e3;
        assert!(hand_overs_us > 0.0);
        let stages: Vec<f64> =
            (0..4).map(|s| four.stage_time(&shape, s).gpu.as_nanos() as f64 / 1e3).collect();
        let sum = stages.iter().sum::<f64>() + hand_overs_us;
        let [one_us, four_us] = [&whole, &four].map(|c| c.time(&shape).gpu.as_nanos() as f64 / 1e3);
        assert!((sum - four_us).abs() < 0.01, "{sum} {four_us}");
        assert!((one_us + hand_overs_us - four_us).abs() < 0.01 * one_us / 100.0);
        // 20 layers each; the head on the last; the gap between steps on the first.
        let parts: Vec<_> = (0..4).map(|s| four.stage_parts(&shape, s)).collect();
        assert!(parts[..3].iter().all(|p| p.head_us == 0.0) && parts[3].head_us > 0.0);
        assert!(parts[1..].iter().all(|p| p.host_us == 0.0) && parts[0].host_us > 0.0);
        assert!((parts[0].layers_us - parts[3].layers_us).abs() < 1e-9);
        let communication = four.parts(&shape).communication_us;
        let of_ranks = whole.parts(&shape).communication_us;
        assert!((communication - of_ranks - hand_overs_us).abs() < 0.01);
        assert!(four.overheads(&shape).communication > whole.overheads(&shape).communication);
    }
}

#[test]
fn layers_are_dealt_out_as_vllm_does() {
    assert_eq!(stage_layers(32, 4).unwrap(), [8, 8, 8, 8]);
    assert_eq!(stage_layers(62, 4).unwrap(), [15, 16, 16, 15]);
    assert_eq!(stage_layers(5, 3).unwrap(), [2, 2, 1]);
    assert_eq!(stage_layers(3, 1).unwrap(), [3]);
    assert!(matches!(stage_layers(3, 0), Err(CostError::NoRanks)));
    assert!(matches!(stage_layers(3, 4), Err(CostError::TooManyStages { .. })));
}

/// Latent attention keeps 512 + 64 numbers a token and layer, on every rank, where 16 heads of 192
/// and 128 would be nine times as many.
#[test]
fn latent_attention_keeps_and_reads_little() {
    let model = catalog::model("deepseek-v2-lite").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    for ranks in [1, 2, 4] {
        let kv = capacity("deepseek-v2-lite", "h100-sxm", ranks).unwrap();
        assert_eq!(kv.bytes_per_block, 27 * (512 + 64) * 2 * 16);
        // All but the compressing matrices is split.
        let unsplit = 2 * 27 * 2048 * (512 + 64);
        let split = 2 * model.parameters() - unsplit;
        assert_eq!(kv.weight_bytes, split.div_ceil(u64::from(ranks)) + unsplit);
    }
    let ideal = catalog::profile("ideal").unwrap();
    let heads_apart = Model { latent_attention: None, head_dim: 160, ..model.clone() };
    let [latent, apart] = [&model, &heads_apart].map(|model| {
        let cost = Roofline::new(model, &gpu, &ideal, tensor(1), Dtype::Bf16).unwrap();
        let kv = 64 * 4096;
        let shape = BatchShape { chunks: &[], decodes: 64, decode_kv_tokens: kv, sampled: 64 };
        cost.parts(&shape).attention_us
    });
    assert!(latent < apart / 4.0, "{latent} {apart}");
    // 64 x 4096 tokens of 1152 bytes in 27 layers at 3,050 GB/s, and the launches.
    let reading_us = 27.0 * 64.0 * 4096.0 * 1152.0 / 3050e3;
    assert!((reading_us..1.4 * reading_us + 27.0 * 20.0).contains(&latent), "{latent}");
}

/// 37 B of 671 B parameters work on a token: the published figure.
#[test]
fn deepseek_v3_in_fp8_fits_on_eight_h200_and_computes_its_active_parameters() {
    let model = catalog::model("deepseek-v3").unwrap();
    let gpu = catalog::gpu("h200-sxm").unwrap();
    let ideal = catalog::profile("ideal").unwrap();
    let cost = Roofline::new(&model, &gpu, &ideal, tensor(8), Dtype::Fp8).unwrap();
    let tokens = 8192.0;
    let chunk = [Chunk { context: 0, tokens: 8192 }];
    let shape = BatchShape { chunks: &chunk, decodes: 0, decode_kv_tokens: 0, sampled: 1 };
    let us = cost.parts(&shape).layers_us;
    let least_us = 2.0 * 37e9 * tokens / 8.0 / (gpu.gemm_fp8.unwrap().tflops * 1e6);
    assert!((least_us..4.0 * least_us).contains(&us), "{us} {least_us}");
    let fp8 = KvRequest {
        model: &model,
        gpu: &gpu,
        parallelism: tensor(8),
        dtype: Dtype::Fp8,
        gpu_memory_utilization: 0.9,
        block_tokens: 64,
        overhead_bytes: 3_500_000_000,
    };
    assert!(kv_capacity(&fp8).unwrap().blocks > 1000);
    assert!(kv_capacity(&KvRequest { dtype: Dtype::Bf16, ..fp8 }).is_err());
}

#[test]
fn measured_attention_replaces_the_constants() {
    let model = catalog::model("llama-3.1-8b").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    let text = include_str!("data/profile-with-tables.yaml");
    let profile = EngineProfile::from_yaml(text).unwrap();
    let cost = Roofline::new(&model, &gpu, &profile, tensor(1), Dtype::Bf16).unwrap();
    let attention = |chunks: &[Chunk], decodes: u32, each: u64| {
        let decode_kv_tokens = u64::from(decodes) * each;
        let shape = BatchShape { chunks, decodes, decode_kv_tokens, sampled: decodes };
        cost.parts(&shape).attention_us / 32.0
    };
    for (decodes, each, us) in
        [(1, 128, 12.0), (64, 4096, 400.0), (64, 2112, 210.0), (32, 128, 16.0)]
    {
        let priced = attention(&[], decodes, each);
        assert!((priced - us).abs() < 0.6, "{decodes} x {each}: {priced}");
    }
    let chunk = |tokens, context| [Chunk { context, tokens }];
    for (tokens, context, us) in [(128, 0, 15.0), (2048, 4096, 300.0), (2048, 2048, 220.0)] {
        let priced = attention(&chunk(tokens, context), 0, 0);
        assert!((priced - us).abs() < 1e-6, "{tokens} after {context}: {priced}");
    }
    // Beyond the edge it grows, and decodes in a batch with a chunk are not free.
    assert!(attention(&chunk(4096, 4096), 0, 0) > 400.0);
    assert!(attention(&[], 128, 4096) > 600.0);
    assert!(attention(&chunk(2048, 4096), 64, 4096) > 400.0);
    let time = |decodes: u32| decode_ms(&cost, decodes, 1000);
    assert!((1..100).all(|n| time(n) <= time(n + 1)));
    let falling = text.replace("[15, 60]", "[15, 14]");
    assert_ne!(falling, text);
    let error = EngineProfile::from_yaml(&falling).unwrap_err().to_string();
    assert!(error.contains("attention_table.prefill.layer_us: must never fall"), "{error}");
}

#[test]
fn a_gpu_given_by_its_peaks_is_near_the_fitted_one() {
    let fitted = catalog::gpu("h100-sxm").unwrap();
    let derived = catalog::Gpu::from_peak(fitted.memory_bytes, fitted.peak).unwrap();
    let ideal = catalog::profile("ideal").unwrap();
    let model = catalog::model("llama-3.1-8b").unwrap();
    let [fitted, derived] = [fitted, derived]
        .map(|gpu| Roofline::new(&model, &gpu, &ideal, tensor(1), Dtype::Bf16).unwrap());
    for (decodes, kv) in [(1, 500), (32, 2000), (256, 1000)] {
        let ratio = decode_ms(&derived, decodes, kv) / decode_ms(&fitted, decodes, kv);
        assert!((0.9..1.15).contains(&ratio), "{decodes}: {ratio}");
    }
    for tokens in [128, 2048, 16_384] {
        let ratio = prefill_ms(&derived, tokens) / prefill_ms(&fitted, tokens);
        assert!((0.9..1.15).contains(&ratio), "{tokens}: {ratio}");
    }
}

#[test]
fn fixed_time_is_fixed() {
    let cost = FixedCost { iteration: Span::from_millis(5) };
    assert_eq!(decode_ms(&cost, 100, 4000), 5.0);
    assert_eq!(prefill_time(&cost, 100_000), Span::from_millis(5));
}

#[test]
fn what_cannot_be_priced_says_why() {
    let error = build("llama-3.1-8b", "h100-sxm", "ideal", 3).unwrap_err();
    assert!(matches!(error, CostError::HeadsNotDivisible { heads: 32, tensor: 3, .. }));
    let error = build("llama-3.1-405b", "h100-sxm", "ideal", 16).unwrap_err();
    assert!(matches!(error, CostError::AllReduceUnknown { tensor: 16, known: 8, .. }));
    let [model, gpu, profile] = ["llama-3.1-8b", "rtx-4090", "ideal"];
    let (model, gpu) = (catalog::model(model).unwrap(), catalog::gpu(gpu).unwrap());
    let profile = catalog::profile(profile).unwrap();
    let fp8 = Roofline::new(&model, &gpu, &profile, tensor(1), Dtype::Fp8).unwrap_err();
    assert_eq!(fp8.to_string(), "rtx-4090 has no measured constants for fp8");
    let staged = Parallelism { tensor: 1, pipeline: 33 };
    let ada = catalog::gpu("rtx-4090").unwrap();
    let error = Roofline::new(&model, &ada, &profile, staged, Dtype::Bf16).unwrap_err();
    assert_eq!(error.to_string(), "32 layers cannot be dealt out to pipeline: 33");
    let none = Parallelism { tensor: 0, pipeline: 1 };
    let error = Roofline::new(&model, &gpu, &profile, none, Dtype::Bf16).unwrap_err();
    assert_eq!(error, CostError::NoRanks);
}

#[test]
fn fp8_halves_the_weights_to_read() {
    let model = catalog::model("llama-3.1-8b").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    let ideal = catalog::profile("ideal").unwrap();
    let [bf16, fp8] = [Dtype::Bf16, Dtype::Fp8]
        .map(|dtype| Roofline::new(&model, &gpu, &ideal, tensor(1), dtype).unwrap());
    let ratio = decode_ms(&fp8, 8, 512) / decode_ms(&bf16, 8, 512);
    assert!((0.5..0.8).contains(&ratio), "{ratio}");
}

fn capacity(model: &str, gpu: &str, ranks: u32) -> Result<metron_sim::cost::KvCapacity, String> {
    let (model, gpu) = (catalog::model(model).unwrap(), catalog::gpu(gpu).unwrap());
    kv_capacity(&KvRequest {
        model: &model,
        gpu: &gpu,
        parallelism: tensor(ranks),
        dtype: Dtype::Bf16,
        gpu_memory_utilization: 0.9,
        block_tokens: 16,
        overhead_bytes: 3_500_000_000,
    })
    .map_err(|e| e.to_string())
}

#[test]
fn kv_capacity_is_what_the_weights_leave() {
    let kv = capacity("llama-3.1-8b", "h100-sxm", 1).unwrap();
    assert_eq!(kv.bytes_per_block, 2 * 32 * 8 * 128 * 2 * 16);
    // 0.9 x 80 GiB - 2 x 8,030,261,248 - 3.5 GB = 57,748,888,832 bytes, by hand.
    assert_eq!(kv.kv_bytes, 57_748_888_832);
    assert_eq!(kv.blocks, 27_536);
    assert_eq!(
        kv.arithmetic,
        "80.0 GiB x 0.90 = 72.0 GiB; weights 15.0 GiB; activations, graphs and context 3.3 GiB; \
         left 53.8 GiB = 27,536 blocks of 16 tokens (2.0 MiB each)"
    );
    let two = capacity("llama-3.1-8b", "h100-sxm", 2).unwrap();
    assert_eq!(two.bytes_per_block, kv.bytes_per_block / 2);
    assert!(two.blocks > 2 * kv.blocks);
    // 8 KV heads on 16 ranks: each rank keeps one.
    let model = catalog::model("llama-3.1-8b").unwrap();
    let wide = KvRequest {
        model: &model,
        gpu: &catalog::gpu("h100-sxm").unwrap(),
        parallelism: tensor(16),
        dtype: Dtype::Bf16,
        gpu_memory_utilization: 0.9,
        block_tokens: 16,
        overhead_bytes: 0,
    };
    assert_eq!(kv_capacity(&wide).unwrap().bytes_per_block, kv.bytes_per_block / 8);
    let nonsense = KvRequest { gpu_memory_utilization: f64::NAN, ..wide };
    assert!(matches!(kv_capacity(&nonsense), Err(CapacityError::Cost(CostError::Figure(_)))));
}

#[test]
fn stages_share_the_weights_and_the_fullest_decides() {
    let model = catalog::model("llama-3.1-70b").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    let request = KvRequest {
        model: &model,
        gpu: &gpu,
        parallelism: Parallelism { tensor: 1, pipeline: 3 },
        dtype: Dtype::Bf16,
        gpu_memory_utilization: 0.9,
        block_tokens: 16,
        overhead_bytes: 3_500_000_000,
    };
    let kv = kv_capacity(&request).unwrap();
    // Layers 27, 27, 26: the first has the embedding besides.
    let layer = (model.parameters() - 2 * 128_256 * 8192 - 8192) / 80;
    assert_eq!(kv.weight_bytes, 2 * (27 * layer + 128_256 * 8192));
    assert_eq!(kv.bytes_per_block, 27 * 2 * 8 * 128 * 2 * 16);
    assert!(kv.arithmetic.contains("weights of stage 1 of 3"), "{}", kv.arithmetic);
}

#[test]
fn a_model_too_big_is_refused_with_the_arithmetic() {
    let error = capacity("llama-3.1-70b", "h100-sxm", 1).unwrap_err();
    assert_eq!(
        error,
        "llama-3.1-70b does not fit on 1 x h100-sxm: 80.0 GiB x 0.90 = 72.0 GiB; weights 131.4 \
         GiB; activations, graphs and context 3.3 GiB; 62.7 GiB too little"
    );
    assert!(capacity("llama-3.1-70b", "h100-sxm", 4).is_ok());
}

/// Sarathi-Serve's artifact, Yi-34B on two A100-80G, and Etalon's, Yi-34B on two H100 under
/// vLLM: prefill times of engines of 2024, with the overheads of those. Their shape holds: how
/// much longer a prompt of twice the tokens takes.
#[test]
fn prefill_grows_as_published_curves_do() {
    let a100 = [(1024, 214.3), (2048, 366.0), (4096, 757.6), (8192, 1863.0), (16_384, 4407.0)];
    let h100 = [(4096, 270.0), (8192, 580.0), (16_384, 1340.0), (32_768, 4050.0)];
    for (gpu, curve) in [("a100-sxm-80gb", &a100[..]), ("h100-sxm", &h100[..])] {
        let model =
            ModelOverrides { max_position_embeddings: Some(65_536), ..ModelOverrides::default() };
        let model: Model = catalog::model("yi-34b").unwrap().with(&model).unwrap();
        let gpu = catalog::gpu(gpu).unwrap();
        let ideal = catalog::profile("ideal").unwrap();
        let cost = Roofline::new(&model, &gpu, &ideal, tensor(2), Dtype::Bf16).unwrap();
        for &(tokens, published_ms) in curve {
            let ratio = prefill_ms(&cost, tokens) / published_ms;
            assert!((0.5..1.3).contains(&ratio), "{} {tokens}: {ratio:.2}", gpu.name);
        }
        for pair in curve.windows(2) {
            let published = pair[1].1 / pair[0].1;
            let priced = prefill_ms(&cost, pair[1].0) / prefill_ms(&cost, pair[0].0);
            let ratio = priced / published;
            assert!((0.7..1.4).contains(&ratio), "{} {pair:?}: {ratio:.2}", gpu.name);
        }
    }
}

/// Sarathi-Serve's artifact: three decodes more in a prefill batch cost next to nothing.
#[test]
fn a_few_decodes_ride_along_nearly_free() {
    let cost = build("yi-34b", "a100-sxm-80gb", "ideal", 2).unwrap();
    let alone = prefill_ms(&cost, 1024);
    let chunk = [Chunk { context: 0, tokens: 1021 }];
    let shape = BatchShape { chunks: &chunk, decodes: 3, decode_kv_tokens: 3 * 1024, sampled: 4 };
    let ratio = cost.time(&shape).gpu.as_millis_f64() / alone;
    assert!((0.99..1.02).contains(&ratio), "{ratio}");
}

/// Closed-loop TPOT of Qwen3-32B on two H100 under vLLM 0.12 (aiconfigurator, Apache-2.0). How
/// the clients were paced is unknown: when all start together, an answer sees decodes only; when
/// they are spread, it sees the others' prefills too. The measurement must lie near the two.
#[test]
fn decode_time_under_vllm_0_12_is_near_a_measured_tpot() {
    let shared = std::env::var_os("METRON_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        std::path::PathBuf::from,
    );
    let say = |line: String| std::io::stderr().write_all(line.as_bytes()).unwrap();
    let path = shared.join("data/silicon/h100_qwen3-32b_bf16_vllm012_tp2_osl512.csv");
    let Ok(mut reader) = csv::Reader::from_path(&path) else {
        say(format!("SKIPPED: no measured TPOT at {}\n", path.display()));
        return;
    };
    let cost = build("qwen3-32b", "h100-sxm", "vllm-0.12", 2).unwrap();
    let kv_tokens = 16.0 * f64::from(capacity("qwen3-32b", "h100-sxm", 2).unwrap().blocks);
    let mut rows = 0;
    for record in reader.records() {
        let record = record.unwrap();
        let at = |i: usize| record[i].parse::<f64>().unwrap();
        let (isl, osl, batch, tpot_ms) = (at(5), at(6), at(7), at(11));
        if batch * (isl + osl) > kv_tokens {
            continue;
        }
        // Half of an answer is in KV on average.
        let together = decode_ms(&cost, batch as u32, (isl + osl / 2.0) as u32);
        let spread = together + batch * prefill_ms(&cost, isl as u32) / osl;
        say(format!(
            "TPOT isl {isl:6} batch {batch:4}: measured {tpot_ms:6.2} ms, priced {together:6.2} \
             together, {spread:6.2} spread\n"
        ));
        assert!((0.9 * together..1.1 * spread).contains(&tpot_ms), "{isl} {batch}");
        rows += 1;
    }
    assert!(rows >= 8, "{rows} rows");
}

fn any_cost() -> impl Strategy<Value = (&'static str, Roofline)> {
    prop::sample::select(vec![
        ("llama-3.1-8b", "h100-sxm", "vllm-0.12", 1),
        ("llama-3.1-8b", "rtx-4090", "vllm-0.19", 1),
        ("qwen3-32b", "rtx-pro-6000", "ideal", 2),
        ("qwen3-30b-a3b", "rtx-pro-6000", "vllm-0.19", 1),
        ("yi-34b", "a100-sxm-80gb", "vllm-0.4", 4),
    ])
    .prop_map(|(model, gpu, profile, ranks)| {
        (gpu, build(model, gpu, profile, ranks).expect("these all fit"))
    })
}

fn any_chunks() -> impl Strategy<Value = Vec<Chunk>> {
    let chunk =
        (0_u32..20_000, 1_u32..5000).prop_map(|(context, tokens)| Chunk { context, tokens });
    prop::collection::vec(chunk, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn more_work_is_never_cheaper(
        (gpu, cost) in any_cost(),
        chunks in any_chunks(),
        decodes in 0_u32..700,
        mean_kv in 1_u64..20_000,
        more in 1_u32..300,
    ) {
        prop_assume!(decodes > 0 || !chunks.is_empty());
        let price = |chunks: &[Chunk], decodes: u32, kv: u64, sampled: u32| {
            cost.time(&BatchShape { chunks, decodes, decode_kv_tokens: kv, sampled })
        };
        let kv = u64::from(decodes) * mean_kv;
        let base = price(&chunks, decodes, kv, decodes);
        let check = |what: &str, dearer: metron_sim::cost::IterationTime| {
            prop_assert!(dearer.gpu >= base.gpu, "{what} on {gpu}: {dearer:?} below {base:?}");
            prop_assert!(dearer.host >= base.host, "{what} on {gpu}: host");
            Ok(())
        };
        if decodes > 0 {
            check("more KV", price(&chunks, decodes, kv + u64::from(more), decodes))?;
        }
        // Decodes of the mean length or more: the mean stands for the longest in a batch with
        // chunks on the cards with FlashAttention-2.
        let longer = kv + u64::from(more) * (mean_kv + 1);
        check("more decodes", price(&chunks, decodes + more, longer, decodes + more))?;
        check("more sampled", price(&chunks, decodes, kv, decodes + more))?;
        if let Some(first) = chunks.first() {
            let mut grown = chunks.clone();
            grown[0] = Chunk { tokens: first.tokens + more, ..*first };
            check("a longer chunk", price(&grown, decodes, kv, decodes))?;
            grown[0] = Chunk { context: first.context + more, ..*first };
            check("more context", price(&grown, decodes, kv, decodes))?;
            grown[0] = *first;
            grown.push(Chunk { context: 0, tokens: more });
            check("another chunk", price(&grown, decodes, kv, decodes))?;
        }
    }

    #[test]
    fn the_same_shape_costs_the_same(
        (_, cost) in any_cost(), chunks in any_chunks(), decodes in 1_u32..2000, kv in 1_u64..1 << 40,
    ) {
        let shape =
            BatchShape { chunks: &chunks, decodes, decode_kv_tokens: kv, sampled: decodes };
        prop_assert_eq!(cost.time(&shape), cost.clone().time(&shape));
    }
}

/// A scenario whose GPU is `gpu`, resolved: its warnings, or what is wrong with it.
fn with_gpu(gpu: &str) -> Result<Vec<String>, String> {
    let text = format!(
        "model: llama-3.1-8b\ngpu: {gpu}\nschedulers: [vllm-v1: {{}}]\nworkload:\n  requests: 2\n  \
         arrivals: {{closed_loop: {{users: 1, think_time: 0s}}}}\n  lengths: {{prompt: {{fixed: 8}}, \
         output: {{fixed: 8}}}}\n"
    );
    let document = metron_sim::scenario::Document::from_text(
        "gpu",
        &text,
        metron_sim::scenario::Files::any(""),
    )
    .map_err(|e| e.to_string())?;
    match document.resolve(None) {
        Ok(resolved) => Ok(resolved.warnings),
        Err(error) => Err(format!("{error:?}")),
    }
}

#[test]
fn a_gpu_may_be_given_in_the_scenario() {
    let peaks = "{memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989}";
    let warnings = with_gpu(peaks).unwrap();
    assert!(warnings.iter().any(|w| w.contains("derived from the peak figures")), "{warnings:?}");
    for (gpu, wrong) in [
        ("{memory: 80GiB, memory_bandwidth: 3350GB/s}", "needs `bf16_tflops` too"),
        ("{bf16_tflops: 989}", "needs `memory` and `memory_bandwidth` too"),
        ("{base: h100-sxm, bf16_tflops: 989}", "goes with neither"),
        ("{memory: 80GiB}", "expected `base` or `file`"),
        ("{memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 0}", "bf16_tflops"),
    ] {
        let error = with_gpu(gpu).unwrap_err();
        assert!(error.contains(wrong), "{gpu}: {error}");
    }
}
