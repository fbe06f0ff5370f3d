//! Mixtures of experts over several GPUs, and KV in 8 bits: memory, time, what is refused.

use metron_sim::catalog;
use metron_sim::cost::{
    BatchShape, Chunk, CostModel, Decodes, Dtype, ExpertChoice, ExpertExchange, ExpertLoad,
    KvCapacity, KvDtype, KvRequest, Parallelism, Parts, Precision, Roofline, kv_capacity,
};
use metron_sim::scenario::{Document, Files, Resolved};

fn spread(tensor: u32, data: u32, expert: bool) -> Parallelism {
    Parallelism { tensor, data, expert, ..Parallelism::default() }
}

fn build(model: &str, parallelism: Parallelism, precision: impl Into<Precision>) -> Roofline {
    let (model, gpu) = (catalog::model(model).unwrap(), catalog::gpu("h100-sxm").unwrap());
    let ideal = catalog::profile("ideal").unwrap();
    Roofline::new(&model, &gpu, &ideal, parallelism, precision).unwrap()
}

fn capacity(
    model: &str,
    parallelism: Parallelism,
    kv_dtype: KvDtype,
) -> Result<KvCapacity, String> {
    let (model, gpu) = (catalog::model(model).unwrap(), catalog::gpu("h100-sxm").unwrap());
    kv_capacity(&KvRequest {
        model: &model,
        gpu: &gpu,
        parallelism,
        precision: Precision { weights: Dtype::Bf16, kv: kv_dtype },
        gpu_memory_utilization: 0.9,
        block_tokens: 16,
        overhead_bytes: 3_500_000_000,
        drafter: None,
    })
    .map_err(|e| e.to_string())
}

fn parts(cost: &Roofline, prefill: u32, decodes: u32, kv_each: u64) -> Parts {
    let chunk = [Chunk { context: 0, tokens: prefill.max(1) }];
    cost.parts(&BatchShape::new(
        if prefill == 0 { &[] } else { &chunk },
        Decodes::one_token_each(decodes, u64::from(decodes) * kv_each),
        decodes,
    ))
}

#[test]
fn one_rank_has_all_experts_either_way() {
    let [without, with] =
        [false, true].map(|e| build("qwen3-30b-a3b", spread(1, 1, e), Dtype::Bf16));
    for (prefill, decodes) in [(0, 1), (0, 200), (700, 0), (4096, 64)] {
        assert_eq!(parts(&without, prefill, decodes, 900), parts(&with, prefill, decodes, 900));
    }
    let [without, with] =
        [false, true].map(|e| capacity("qwen3-30b-a3b", spread(1, 1, e), KvDtype::Auto).unwrap());
    assert_eq!(without, with);
}

#[test]
fn ranks_that_share_experts_have_more_room_for_kv() {
    let model = catalog::model("qwen3-30b-a3b").unwrap();
    let routed = 2 * model.routed_parameters();
    // 48 layers of 128 experts of three matrices 2048 x 768, 2 bytes a number.
    assert_eq!(routed, 2 * 48 * 128 * 3 * 2048 * 768);
    let of =
        |data, expert| capacity("qwen3-30b-a3b", spread(1, data, expert), KvDtype::Auto).unwrap();
    let (one, two, eight) = (of(1, true), of(2, true), of(8, true));
    assert_eq!(one.weight_bytes - two.weight_bytes, routed / 2);
    assert_eq!(one.weight_bytes - eight.weight_bytes, routed / 8 * 7);
    assert!(one.blocks < two.blocks && two.blocks < eight.blocks);
    // KV is each rank's own: a block is as large as before.
    assert_eq!(one.bytes_per_block, eight.bytes_per_block);
    // Slices of experts take as much as whole ones where these deal out evenly, and 3 ranks hold
    // 43 of 128 at most.
    assert_eq!(of(8, false).weight_bytes, eight.weight_bytes);
    assert_eq!(one.weight_bytes - of(3, true).weight_bytes, routed / 128 * (128 - 43));
    // Too large for one GPU, not for eight that share its experts.
    let large = |data| capacity("mixtral-8x22b", spread(1, data, true), KvDtype::Auto);
    assert!(large(1).unwrap_err().contains("does not fit on 1 x h100-sxm"));
    assert!(large(2).unwrap_err().contains("does not fit on 2 x h100-sxm"));
    assert!(large(8).is_ok());
}

#[test]
fn whole_experts_are_read_by_the_ranks_that_hold_them() {
    let [one, eight] =
        [1, 8].map(|data| build("qwen3-30b-a3b", spread(1, data, true), Dtype::Bf16));
    // A lone decode each: 8 experts of 128 in use, or 8 ranks' tokens that wake 51 of them, of
    // which a rank holds 6.4 in the mean.
    let [alone, shared] = [&one, &eight].map(|cost| parts(cost, 0, 1, 500));
    assert!(shared.layers_us < alone.layers_us && shared.layers_us > 0.7 * alone.layers_us);
    // Batches that wake all experts: one rank reads 128, the others 16 each.
    let [alone, shared] = [&one, &eight].map(|cost| parts(cost, 0, 128, 500));
    assert!(shared.layers_us < 0.5 * alone.layers_us, "{shared:?} {alone:?}");
    // As many rows for each in the mean as alone, and 1.3 times as many for the busiest: a large prefill, bound
    // by compute, takes up to as much longer.
    let [alone, shared] = [&one, &eight].map(|cost| parts(cost, 16_384, 0, 0));
    let ratio = shared.layers_us / alone.layers_us;
    assert!((0.95..1.3).contains(&ratio), "{ratio}");
    // Attention is each rank's own.
    assert_eq!(alone.attention_us, shared.attention_us);
}

#[test]
fn tokens_go_to_their_experts_and_back() {
    let gpu = catalog::gpu("h100-sxm").unwrap();
    let link = gpu.all_reduce_on(4).unwrap();
    let us =
        |precision: Precision, tokens| parts(&all_to_all(precision), tokens, 0, 0).communication_us;
    // 32 layers, two messages of 2 copies of 4096 numbers, 3/4 of them to other GPUs, at the rate of
    // the wire: an all-reduce of four sends 1.5 times its bytes.
    let message = |bytes: f64, tokens: f64| {
        link.latency_us + tokens * 2.0 * 4096.0 * bytes * 0.75 / (1.5 * link.gb_per_s * 1e3)
    };
    let bf16 = Precision::from(Dtype::Bf16);
    for tokens in [16_u32, 2048] {
        let expected = 32.0 * 2.0 * message(2.0, tokens.into());
        let priced = us(bf16, tokens);
        assert!((priced / expected - 1.0).abs() < 1e-9, "{priced} {expected}");
    }
    // In fp8 tokens are sent in 8 bits, results come back in 16.
    let expected = 32.0 * (message(1.0, 2048.0) + message(2.0, 2048.0));
    assert!((us(Dtype::Fp8.into(), 2048) / expected - 1.0).abs() < 1e-9);
    // It is communication to attribution as well.
    let cost = all_to_all(bf16);
    let chunk = [Chunk { context: 0, tokens: 2048 }];
    let shape = BatchShape::new(&chunk, Decodes::NONE, 1);
    let said = cost.overheads(&shape).communication.as_millis_f64() * 1e3;
    assert!((said - cost.parts(&shape).communication_us).abs() < 0.01);
    // Within one data-parallel rank every GPU has all tokens: the all-reduce stays.
    let [slices, whole] =
        [false, true].map(|e| build("mixtral-8x7b", spread(4, 1, e), Dtype::Bf16));
    let [slices, whole] = [slices, whole].map(|cost| parts(&cost, 512, 0, 0).communication_us);
    assert_eq!(slices, whole);
    // Slices over data-parallel ranks need all tokens everywhere: dearer than all-to-all.
    let gathered = parts(&build("mixtral-8x7b", spread(1, 4, false), bf16), 2048, 0, 0);
    assert!(gathered.communication_us > us(bf16, 2048));
    // That is what whole experts do too unless told otherwise, as in vLLM.
    let default = parts(&build("mixtral-8x7b", spread(1, 4, true), bf16), 2048, 0, 0);
    assert_eq!(default.communication_us, gathered.communication_us);
}

/// Mixtral's whole experts on four ranks that send each token to its experts.
fn all_to_all(precision: Precision) -> Roofline {
    let load = ExpertLoad { exchange: ExpertExchange::AllToAll, ..ExpertLoad::default() };
    let model = catalog::model("mixtral-8x7b").unwrap();
    let gpu = catalog::gpu("h100-sxm").unwrap();
    let ideal = catalog::profile("ideal").unwrap();
    Roofline::with_experts(&model, &gpu, &ideal, spread(1, 4, true), precision, &load).unwrap()
}

/// A lone prompt of 8,000 tokens brings 8,000 tokens to the experts of eight ranks, and as many are
/// gathered; as many on every rank are eight times that.
#[test]
fn what_other_ranks_compute_is_priced_as_it_is() {
    let cost = build("deepseek-v3", spread(1, 8, true), Dtype::Fp8);
    let chunk = [Chunk { context: 0, tokens: 8000 }];
    let alone = BatchShape::new(&chunk, Decodes::NONE, 1).beside(Some(0));
    let full = BatchShape::new(&chunk, Decodes::NONE, 1).beside(Some(7 * 8000));
    let unsaid = BatchShape::new(&chunk, Decodes::NONE, 1);
    let [alone, full, unsaid] = [alone, full, unsaid].map(|shape| cost.parts(&shape));
    // 58 layers with experts, 7,168 numbers of two bytes a token; three layers are dense, on one GPU.
    // Measured are 316 us for 64 MiB and 561 for twice as many, and a straight line on a log-log scale.
    let doublings = libm::log2(8000.0 * 7168.0 * 2.0 / f64::from(64 << 20));
    let gathered = 58.0 * 316.0 * libm::pow(561.0 / 316.0, doublings);
    assert!((alone.communication_us / gathered - 1.0).abs() < 1e-9, "{alone:?} {gathered}");
    assert!(full.communication_us > 7.5 * alone.communication_us);
    assert!((full.communication_us / unsaid.communication_us - 1.0).abs() < 1e-9);
    assert!((full.layers_us / unsaid.layers_us - 1.0).abs() < 1e-6, "{full:?} {unsaid:?}");
    assert!(alone.layers_us < 0.7 * full.layers_us, "{alone:?} {full:?}");
}

/// Two users on eight ranks, all of whose experts are those of the busiest: it reads twice as many.
#[test]
fn the_busiest_rank_reads_its_experts() {
    let model = catalog::model("deepseek-v3").unwrap();
    let gpu = catalog::gpu("b200-sxm").unwrap();
    let ideal = catalog::profile("ideal").unwrap();
    let us = |imbalance: f64| {
        let choice = ExpertChoice::Imbalance(imbalance);
        let load = ExpertLoad { choice, ..ExpertLoad::default() };
        let parallelism = spread(8, 1, true);
        let cost =
            Roofline::with_experts(&model, &gpu, &ideal, parallelism, Dtype::Fp8.into(), &load);
        cost.unwrap().parts(&BatchShape::decodes_alone(4, 4000)).layers_us
    };
    // 3.8 of 32 experts in the mean, 7.2 at twice the load: 3.4 x 44 MB x 58 layers more.
    let more_bytes = 3.4 * 3.0 * 7168.0 * 2048.0 * 58.0;
    let least_us = more_bytes / (gpu.peak.memory_gb_per_s * 1e3);
    let more_us = us(2.0) - us(1.0);
    assert!((least_us..1.6 * least_us).contains(&more_us), "{more_us} {least_us}");
    assert_eq!(us(8.0), us(20.0), "no rank gets more than all");
}

#[test]
fn more_tokens_never_cost_less() {
    for parallelism in
        [spread(1, 4, true), spread(2, 4, true), spread(2, 2, false), spread(4, 1, true)]
    {
        let cost = build("deepseek-v2-lite", parallelism, Dtype::Bf16);
        let time = |tokens: u32| {
            let p = parts(&cost, tokens, 0, 0);
            p.layers_us + p.attention_us + p.communication_us
        };
        assert!((1..600).all(|n| time(n) <= time(n + 1)), "{parallelism:?}");
    }
}

fn resolve(rest: &str) -> Result<Resolved, String> {
    let text = format!(
        "gpu: h100-sxm\nschedulers: [vllm-v1: {{}}]\nworkload:\n  requests: 8\n  \
         arrivals: {{closed_loop: {{users: 4, think_time: 0s}}}}\n  lengths: {{prompt: {{fixed: 64}}, \
         output: {{fixed: 8}}}}\n{rest}"
    );
    let document = Document::from_text("moe", &text, Files::any("")).map_err(|e| e.to_string())?;
    document.resolve(None).map_err(|e| format!("{e:?}"))
}

#[test]
fn data_parallel_ranks_are_replicas() {
    let found = resolve(
        "model: mixtral-8x7b\nreplicas: 3\nparallelism: {tensor: 2, data: 4, expert: true}\n",
    )
    .unwrap();
    assert_eq!(found.experiment.replicas, 12);
    assert_eq!(found.experiment.hardware.gpus_per_replica, 2);
    assert!(found.warnings.iter().all(|w| !w.contains("do not wait for each other")));
    let staged = resolve("model: mixtral-8x7b\nparallelism: {pipeline: 2, data: 2, tensor: 2}\n");
    let warnings = staged.unwrap().warnings;
    assert!(warnings.iter().any(|w| w.contains("do not wait for each other")), "{warnings:?}");
    // Dense models share nothing: the same as so many replicas, with nothing to warn of.
    let dense = resolve("model: llama-3.1-8b\nparallelism: {data: 4}\n").unwrap();
    assert_eq!((dense.experiment.replicas, dense.warnings.len()), (4, 0));
    let plain = resolve("model: llama-3.1-8b\nreplicas: 4\n").unwrap();
    assert_eq!(dense.experiment.engine.kv_blocks, plain.experiment.engine.kv_blocks);
}

#[test]
fn what_cannot_be_spread_is_refused() {
    for (rest, said) in [
        ("model: llama-3.1-8b\nparallelism: {expert: true}\n", "it has no experts to spread"),
        (
            "model: mixtral-8x7b\nparallelism: {tensor: 2, data: 8, expert: true}\n",
            "8 experts, fewer than the 16 ranks",
        ),
        ("model: mixtral-8x7b\nparallelism: {data: 0}\n", "data"),
        ("model: qwen3-30b-a3b\nparallelism: {data: 16, expert: true}\n", "give interconnect"),
        ("model: llama-3.1-8b\nreplicas: 5000\nparallelism: {data: 4}\n", "more than 10000"),
        ("model: llama-3.1-8b\nengine: {kv_cache_dtype: int3}\n", "int3"),
    ] {
        let error = resolve(rest).err().unwrap_or_else(|| panic!("{rest} is accepted"));
        assert!(error.contains(said), "{rest}: {error}");
    }
    // An interconnect given in full holds for any number of GPUs.
    let gpu = "{base: h100-sxm, interconnect: {bandwidth: 40GB/s, latency: 20us}}";
    let gpu = catalog_override(gpu);
    assert!(gpu.all_reduce_on(256).is_some());
}

fn catalog_override(gpu: &str) -> catalog::Gpu {
    let text = format!(
        "model: qwen3-30b-a3b\ngpu: {gpu}\nparallelism: {{data: 16, expert: true}}\n\
         schedulers: [vllm-v1: {{}}]\nworkload:\n  requests: 2\n  arrivals: {{closed_loop: {{users: 1, \
         think_time: 0s}}}}\n  lengths: {{prompt: {{fixed: 8}}, output: {{fixed: 8}}}}\n"
    );
    let document = Document::from_text("moe", &text, Files::any("")).unwrap();
    let pricing = document.resolve(None).unwrap().experiment.hardware.pricing.unwrap();
    pricing.gpu
}

#[test]
fn kv_in_8_bits_takes_half_the_room_and_less_of_the_reading() {
    for name in ["llama-3.1-8b", "deepseek-v2-lite"] {
        let [full, half] = [KvDtype::Auto, KvDtype::Fp8]
            .map(|kv| capacity(name, Parallelism::default(), kv).unwrap());
        assert_eq!(full.bytes_per_block, 2 * half.bytes_per_block);
        assert!(half.blocks / 2 == full.blocks && full.weight_bytes == half.weight_bytes);
        let [full, half] = [KvDtype::Bf16, KvDtype::Fp8]
            .map(|kv| build(name, Parallelism::default(), Precision { weights: Dtype::Bf16, kv }));
        let [full, half] = [full, half].map(|cost| parts(&cost, 0, 256, 8192));
        let ratio = half.attention_us / full.attention_us;
        // Seven tenths of the time that half of the bytes says; a latent K is stored as its kernels read
        // it, and 16 heads compute on it as well.
        let wanted = if name == "llama-3.1-8b" { 0.64..0.68 } else { 0.49..0.8 };
        assert!(wanted.contains(&ratio), "{name}: {ratio}");
        assert_eq!((full.layers_us, full.head_us), (half.layers_us, half.head_us));
    }
    let found = resolve("model: llama-3.1-8b\nengine: {kv_cache_dtype: fp8_e4m3}\n").unwrap();
    let plain = resolve("model: llama-3.1-8b\n").unwrap();
    let blocks = |r: &Resolved| r.experiment.engine.kv_blocks;
    assert_eq!(blocks(&found) / 2, blocks(&plain));
}
