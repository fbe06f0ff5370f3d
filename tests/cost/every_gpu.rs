//! Every GPU of the catalog with dense, mixed and latent models under every profile: do times lie
//! between what the peaks allow and a few times that, and grow with the work?

use metron_sim::catalog::{self, EvidenceKind, Gpu, Kind, Mixer, Model};
use metron_sim::cost::{
    BatchShape, Chunk, CostError, CostModel, Decodes, Dtype, Roofline, experts_vary, kv_capacity,
};

use crate::support::{OVERHEAD_BYTES, memory, tensor};

/// Models, and over how many GPUs.
const MODELS: [(&str, u32); 8] = [
    ("llama-3.1-8b", 1),
    ("qwen3-32b", 2),
    ("llama-3.1-70b", 4),
    ("llama-3.1-70b", 8),
    ("mixtral-8x7b", 1),
    ("mixtral-8x7b", 2),
    ("qwen3-30b-a3b", 1),
    ("deepseek-v2-lite", 1),
];

/// A batch: tokens of a prompt, decodes, and KV of each.
type Batch = (u32, u32, u64);

const LARGE: [Batch; 5] =
    [(8192, 0, 0), (2048, 0, 0), (0, 256, 1024), (0, 64, 8192), (2048, 128, 1024)];
const SMALL: [Batch; 3] = [(16, 0, 0), (0, 1, 500), (0, 8, 2000)];

fn gpus() -> Vec<Gpu> {
    catalog::names(Kind::Gpu).iter().map(|name| catalog::gpu(name).unwrap()).collect()
}

fn price(cost: &Roofline, (prefill, decodes, kv): Batch) -> (f64, f64) {
    let chunk = [Chunk { context: 0, tokens: prefill.max(1) }];
    let shape = BatchShape::new(
        if prefill == 0 { &[] } else { &chunk },
        Decodes::one_token_each(decodes, u64::from(decodes) * kv),
        decodes + u32::from(prefill > 0),
    );
    let time = cost.time(&shape);
    let parts = cost.parts(&shape);
    let kernels = parts.layers_us + parts.attention_us + parts.head_us;
    let whole = (time.gpu + time.host).as_millis_f64() * 1e3;
    let sum = kernels + parts.communication_us + parts.host_us;
    assert!((whole - sum).abs() < 0.01 + sum * 1e-6, "parts {sum} make up {whole}");
    (kernels, whole)
}

/// The least time that a batch can take by the maker's figures, microseconds: operations at peak
/// compute or weights and KV at peak bandwidth, whichever takes longer.
fn least_us(model: &Model, gpu: &Gpu, ranks: u32, (prefill, decodes, kv): Batch) -> f64 {
    let [ranks, tokens, decodes_f] = [ranks, prefill + decodes, decodes].map(f64::from);
    let routed = model.routed_parameters() as f64;
    let (used, woken) = model.experts().map_or((0.0, 0.0), |e| {
        let [count, each] = [e.count, e.per_token].map(f64::from);
        // Many experts are chosen unevenly, by a squared deviation of 0.7056.
        let missed = match experts_vary(e.count) {
            true => {
                let mean = -tokens * libm::log(1.0 - each / count);
                libm::pow(1.0 + 0.7056 * mean, -1.0 / 0.7056)
            }
            false => libm::pow(1.0 - each / count, tokens),
        };
        (routed * each / count, routed * (1.0 - missed))
    });
    let others = model.matrix_parameters() as f64 - routed;
    let head = model.embedding_parameters() as f64;
    let sampled = decodes_f + f64::from(u8::from(prefill > 0));
    let prefill_pairs = f64::from(prefill) * f64::from(prefill) / 2.0;
    let (mut attention, mut kv_bytes) = (0.0, 0.0);
    for (mixer, layers) in model.mixers() {
        let (heads, widths, numbers) = match mixer {
            Mixer::Attention(a) => {
                let kv_heads = (a.kv_heads / ranks as u32).max(1);
                (a.heads, a.key_dim + a.value_dim, kv_heads * a.kv_numbers_of_head())
            }
            Mixer::Latent(latent) => {
                (latent.heads, latent.key_dim + latent.value_dim, latent.kv_numbers())
            }
            Mixer::Recurrent(_) | Mixer::None => continue,
        };
        attention += f64::from(layers * heads) * 2.0 * f64::from(widths) * prefill_pairs;
        kv_bytes += 2.0 * f64::from(layers * numbers);
    }
    let flops = (2.0 * ((others + used) * tokens + head * sampled) + attention) / ranks;
    let bytes = 2.0 * (others + woken + head) / ranks + kv_bytes * decodes_f * kv as f64;
    let compute = flops / gpu.peak.bf16_tflops / 1e6;
    compute.max(bytes / gpu.peak.memory_gb_per_s / 1e3)
}

#[test]
fn times_lie_between_the_peaks_and_five_times_that() {
    let mut wrong = Vec::new();
    let mut priced = 0;
    for gpu in gpus() {
        for (name, ranks) in MODELS {
            let model = catalog::model(name).unwrap();
            for profile in catalog::names(Kind::Profile) {
                let profile = catalog::profile(&profile).unwrap();
                let cost = match Roofline::new(&model, &gpu, &profile, tensor(ranks), Dtype::Bf16) {
                    Ok(cost) => cost,
                    // Said, not priced by guess.
                    Err(CostError::ExpertsUnknown { .. }) => continue,
                    Err(CostError::AllReduceUnknown { .. }) if gpu.gpus_per_node == Some(1) => {
                        continue;
                    }
                    Err(error) => panic!("{name} on {}: {error}", gpu.name),
                };
                for batch in LARGE.into_iter().chain(SMALL) {
                    let least = least_us(&model, &gpu, ranks, batch);
                    let ratio = price(&cost, batch).0 / least;
                    let most = if LARGE.contains(&batch) { 5.0 } else { f64::INFINITY };
                    if !(1.0..=most).contains(&ratio) {
                        let profile = &profile.name;
                        wrong.push(format!(
                            "{name}x{ranks} {} {profile} {batch:?} {ratio:.2}",
                            gpu.name
                        ));
                    }
                    priced += 1;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {priced}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(priced > 2000, "{priced}");
}

#[test]
fn more_work_takes_longer_everywhere() {
    let mut wrong = Vec::new();
    for gpu in gpus() {
        for (name, ranks) in MODELS {
            let model = catalog::model(name).unwrap();
            let profile = catalog::profile("vllm-0.19").unwrap();
            let Ok(cost) = Roofline::new(&model, &gpu, &profile, tensor(ranks), Dtype::Bf16) else {
                continue;
            };
            let mut rises = |what: &str, batches: Vec<Batch>| {
                for pair in batches.windows(2) {
                    let [less, more] = [pair[0], pair[1]].map(|batch| price(&cost, batch).1);
                    if less > more {
                        wrong.push(format!("{what}: {name}x{ranks} {} {pair:?}", gpu.name));
                    }
                }
            };
            let doubling = |from: u32, to: u32| {
                std::iter::successors(Some(from), |n| Some(n + n.div_ceil(3)))
                    .take_while(move |n| *n < to)
            };
            rises("prompt", doubling(1, 40_000).map(|n| (n, 0, 0)).collect());
            rises("decodes", doubling(1, 1500).map(|n| (0, n, 700)).collect());
            rises("KV", doubling(16, 60_000).map(|n| (0, 32, n.into())).collect());
            rises("prompt beside decodes", doubling(1, 9000).map(|n| (n, 64, 900)).collect());
            rises("decodes beside a prompt", doubling(1, 900).map(|n| (512, n, 900)).collect());
            rises(
                "KV beside a prompt",
                doubling(16, 30_000).map(|n| (512, 32, n.into())).collect(),
            );
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// By how much a GPU may be slower than one of lower peaks: shares of the peak differ by GPU, so that
/// only those that were fitted, or that share a relative, are held to be in order.
fn leeway(one: &Gpu, other: &Gpu) -> f64 {
    let relative = |gpu: &Gpu| match gpu.evidence.kind {
        EvidenceKind::Derived => gpu.evidence.from.clone(),
        _ => gpu.name.clone(),
    };
    let derived = |gpu: &Gpu| gpu.evidence.kind == EvidenceKind::Derived;
    let alike = relative(one) == relative(other) || !(derived(one) || derived(other));
    if alike { 1.0 } else { 1.2 }
}

#[test]
fn a_gpu_with_higher_peaks_is_never_slower() {
    let ideal = catalog::profile("ideal").unwrap();
    let all = gpus();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for slow in &all {
        for fast in &all {
            if fast.peak.bf16_tflops <= slow.peak.bf16_tflops
                || fast.peak.memory_gb_per_s <= slow.peak.memory_gb_per_s
            {
                continue;
            }
            for (name, ranks) in MODELS {
                let model = catalog::model(name).unwrap();
                let build = |gpu| Roofline::new(&model, gpu, &ideal, tensor(ranks), Dtype::Bf16);
                let (Ok(slower), Ok(faster)) = (build(slow), build(fast)) else { continue };
                for batch in LARGE.into_iter().chain(SMALL) {
                    compared += 1;
                    let ratio = price(&faster, batch).0 / price(&slower, batch).0;
                    if ratio > leeway(fast, slow) {
                        let names = format!("{} against {}", fast.name, slow.name);
                        wrong.push(format!("{names}: {name}x{ranks} {batch:?} {ratio:.2}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 800, "{compared}");
}

/// Over NVLink all in all; over PCIe the all-reduces of a long prefill may take what is won.
#[test]
fn more_ranks_are_faster_for_large_batches() {
    let ideal = catalog::profile("ideal").unwrap();
    for gpu in gpus() {
        let Some(link) = gpu.all_reduce_on(2) else { continue };
        // A bridge joins two; beyond it there is PCIe.
        let linked = link.gb_per_s.min(gpu.all_reduce_on(8).unwrap().gb_per_s) > 40.0;
        for name in ["llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b", "qwen3-32b"] {
            let model = catalog::model(name).unwrap();
            let build = |ranks| Roofline::new(&model, &gpu, &ideal, tensor(ranks), Dtype::Bf16);
            let Ok(one) = build(1) else { continue };
            let costs = [one, build(2).unwrap(), build(4).unwrap(), build(8).unwrap()];
            for batch in LARGE {
                let times = costs.each_ref().map(|cost| price(cost, batch));
                for pair in times.windows(2) {
                    assert!(pair[1].0 < pair[0].0, "{name} {} {batch:?} {times:?}", gpu.name);
                    if linked {
                        assert!(pair[1].1 < pair[0].1, "{name} {} {batch:?} {times:?}", gpu.name);
                    }
                }
            }
        }
    }
}

#[test]
fn kv_fits_exactly_where_the_weights_leave_room() {
    let (mut fits, mut refused) = (0, 0);
    for gpu in gpus() {
        for (name, ranks) in MODELS {
            let model = catalog::model(name).unwrap();
            let found = kv_capacity(&memory(&model, &gpu, ranks));
            let weights = 2.0 * model.parameters() as f64 / f64::from(ranks);
            let left = 0.9 * gpu.memory_bytes as f64 - OVERHEAD_BYTES as f64 - weights;
            match found {
                Ok(capacity) => {
                    assert!(capacity.blocks > 0 && left > 0.0, "{name} {} {left}", gpu.name);
                    let kv_left = (capacity.kv_bytes as f64 / left - 1.0).abs();
                    assert!(left < 1e9 || kv_left < 0.05, "{name} {} {kv_left}", gpu.name);
                    fits += 1;
                }
                Err(error) => {
                    assert!(left < 1e8, "{name} on {}: {error}", gpu.name);
                    let text = error.to_string();
                    assert!(text.contains("does not fit on") && text.contains("weights"), "{text}");
                    refused += 1;
                }
            }
        }
    }
    assert!(fits > 20 && refused > 10, "{fits} fit, {refused} do not");
}
