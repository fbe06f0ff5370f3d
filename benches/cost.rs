//! Nanoseconds to price one iteration, and to build the tables.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use metron_sim::catalog;
use metron_sim::cost::{
    BatchShape, Chunk, CostModel, Decodes, DraftShape, Drafter, Dtype, Parallelism, Roofline,
};
use metron_sim::ids::{ClassId, RequestId};
use metron_sim::speculative::{Acceptance, AcceptanceRule, DraftRules, Method, Speculative};

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

/// Verifying and drafting for 64 requests, and how many of a request's drafts are accepted.
fn speculative(c: &mut Criterion) {
    let model = catalog::model("llama-3.1-8b").expect("in the catalog");
    let gpu = catalog::gpu("h100-sxm").expect("in the catalog");
    let profile = catalog::profile("vllm-0.19").expect("in the catalog");
    let drafter =
        Drafter::new(Method::Eagle, &model, Dtype::Bf16.into(), None).expect("it has attention");
    let cost = build("h100-sxm")
        .drafting_by(&drafter, &gpu, &profile, Parallelism::default())
        .expect("it fits");
    let cost: &dyn CostModel = &cost;
    let mut kv = 0;
    c.bench_function("verify/h100-sxm", |b| {
        b.iter(|| {
            kv = (kv + 64) & 0xf_ffff;
            let decodes = Decodes::verifying(black_box(64), 256, 40_000 + kv);
            cost.time(&BatchShape::of_decodes(decodes))
        });
    });
    c.bench_function("draft 3/h100-sxm", |b| {
        b.iter(|| {
            kv = (kv + 64) & 0xf_ffff;
            let decodes = Decodes::verifying(black_box(64), 256, 40_000 + kv);
            let batch = BatchShape::of_decodes(decodes);
            cost.draft_time(&DraftShape { batch, requests: 64, tokens: 3, kv_tokens: 40_000 + kv })
        });
    });
    for name in ["llama-3.1-8b-eagle-sharegpt", "llama-3.1-8b-ngram-instructcoder", "glm-5.2-mtp"] {
        let preset = catalog::acceptance(name).expect("in the catalog");
        let rule = AcceptanceRule::preset(&preset, 5).expect("published for five");
        let rules = DraftRules {
            method: Method::Eagle,
            tokens: 5,
            off_above_running: None,
            by_batch_size: None,
        };
        let acceptance = Acceptance::of_all(rule);
        let luck = Arc::new(Speculative { rules, acceptance }).luck(1);
        let mut position = 1;
        c.bench_function(&format!("accepted of 5/{name}"), |b| {
            b.iter(|| {
                position = (position + 3) & 0xffff;
                luck.accepted(RequestId(position & 63), ClassId(0), black_box(position), 5)
            });
        });
    }
}

criterion_group!(benches, price, speculative);
criterion_main!(benches);
