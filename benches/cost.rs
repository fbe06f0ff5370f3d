//! Nanoseconds to price one iteration, and to build the tables.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use metron_sim::catalog;
use metron_sim::cost::{BatchShape, Chunk, CostModel, Decodes, Dtype, Parallelism, Roofline};

fn build(gpu: &str) -> Roofline {
    let model = catalog::model("llama-3.1-8b").expect("in the catalog");
    let gpu = catalog::gpu(gpu).expect("in the catalog");
    let profile = catalog::profile("vllm-0.19").expect("in the catalog");
    Roofline::new(&model, &gpu, &profile, Parallelism::default(), Dtype::Bf16).expect("fits")
}

fn price(c: &mut Criterion) {
    for gpu in ["h100-sxm", "rtx-pro-6000"] {
        let cost = build(gpu);
        let cost: &dyn CostModel = &cost;
        let mut kv = 0;
        c.bench_function(&format!("decode-only/{gpu}"), |b| {
            b.iter(|| {
                kv = (kv + 64) & 0xf_ffff;
                let decodes = black_box(64);
                cost.time(&BatchShape::decodes_alone(decodes, 40_000 + kv))
            });
        });
        let chunks = [Chunk { context: 1024, tokens: 512 }];
        c.bench_function(&format!("mixed/{gpu}"), |b| {
            b.iter(|| {
                kv = (kv + 64) & 0xf_ffff;
                let decodes = black_box(64);
                cost.time(&BatchShape::new(
                    black_box(&chunks),
                    Decodes::one_token_each(decodes, 40_000 + kv),
                    decodes,
                ))
            });
        });
    }
    c.bench_function("build/h100-sxm", |b| b.iter(|| build(black_box("h100-sxm"))));
}

criterion_group!(benches, price);
criterion_main!(benches);
