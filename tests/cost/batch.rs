//! What a batch costs: its limits, its shape, what makes it dearer.

use metron_sim::catalog::{self, EngineProfile};
use metron_sim::cost::{
    BatchShape, Chunk, CostModel, Decodes, Dtype, FixedCost, Roofline, prefill_time,
};
use metron_sim::time::Span;

use crate::support::{build, decode_ms, prefill_ms, tensor};

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
fn a_mixed_batch_reads_the_weights_once_and_its_kv_too() {
    let cost = build("llama-3.1-8b", "h100-sxm", "ideal", 1).unwrap();
    let chunk = [Chunk { context: 0, tokens: 512 }];
    let ms = |chunks: &[Chunk], decodes: u32, kv: u64| {
        let shape = BatchShape::new(chunks, Decodes::one_token_each(decodes, kv), decodes);
        cost.time(&shape).gpu.as_millis_f64()
    };
    let (alone, decodes) = (ms(&chunk, 0, 0), ms(&[], 64, 64 * 4096));
    let mixed = ms(&chunk, 64, 64 * 4096);
    assert!(mixed < alone + decodes - 2.0, "the weights are read twice: {mixed}");
    // 64 x 4096 tokens of 128 KiB are 34 GB: more than 10 ms of reading that nothing hides.
    assert!(mixed > alone + 10.0, "the decodes' KV is free: {mixed} against {alone}");
}

#[test]
fn decode_only_batches_are_padded_to_a_captured_size() {
    let layers = |profile, decodes, chunks: &[Chunk]| {
        let cost = build("llama-3.1-8b", "rtx-4090", profile, 1).unwrap();
        let kv = u64::from(decodes) * 100;
        let shape = BatchShape::new(chunks, Decodes::one_token_each(decodes, kv), decodes);
        cost.parts(&shape).layers_us
    };
    for (decodes, runs_at) in [(3, 4), (5, 8), (8, 8), (250, 256), (257, 272), (512, 512)] {
        let [padded, exact] = [decodes, runs_at].map(|n| layers("vllm-0.19", n, &[]));
        assert_eq!(padded, exact, "{decodes} decodes");
    }
    assert!(layers("vllm-0.19", 513, &[]) < layers("vllm-0.19", 514, &[]), "beyond the last size");
    assert!(layers("ideal", 257, &[]) < layers("ideal", 272, &[]), "no graphs");
    let beside = |tokens| layers("vllm-0.19", 257, &[Chunk { context: 0, tokens }]);
    assert_eq!(beside(1), layers("vllm-0.19", 257, &[]), "a chunk in place of padding");
    let chunk = [Chunk { context: 0, tokens: 277 }];
    assert_eq!(beside(20), layers("vllm-0.19", 0, &chunk), "a batch with a chunk is not padded");
}

#[test]
fn host_time_is_apart_and_grows_with_sequences() {
    let cost = build("llama-3.1-8b", "h100-sxm", "vllm-0.12", 1).unwrap();
    let host = |decodes| {
        let shape = BatchShape::decodes_alone(decodes, 1000);
        cost.time(&shape).host
    };
    assert_eq!(host(1), Span::from_nanos(1_678_500));
    assert_eq!(host(10), Span::from_nanos(2_205_000));
}

#[test]
fn parts_add_up_to_the_time() {
    let cost = build("yi-34b", "a100-sxm-80gb", "vllm-0.12", 2).unwrap();
    let chunks = [Chunk { context: 300, tokens: 509 }, Chunk { context: 0, tokens: 70 }];
    let shape = BatchShape::new(&chunks, Decodes::one_token_each(9, 12_345), 10);
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
fn measured_attention_replaces_the_constants() {
    let model = catalog::model("llama-3.1-8b").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    let text = include_str!("../data/profile-with-tables.yaml");
    let profile = EngineProfile::from_yaml(text).unwrap();
    let cost = Roofline::new(&model, &gpu, &profile, tensor(1), Dtype::Bf16).unwrap();
    let attention = |chunks: &[Chunk], decodes: u32, each: u64| {
        let decode_kv_tokens = u64::from(decodes) * each;
        let shape =
            BatchShape::new(chunks, Decodes::one_token_each(decodes, decode_kv_tokens), decodes);
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
fn fixed_time_is_fixed() {
    let cost = FixedCost { iteration: Span::from_millis(5) };
    assert_eq!(decode_ms(&cost, 100, 4000), 5.0);
    assert_eq!(prefill_time(&cost, 100_000), Span::from_millis(5));
}
