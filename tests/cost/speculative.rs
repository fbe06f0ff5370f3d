//! What speculative decoding costs: verifying, drafting, memory.

use metron_sim::catalog::{self, Kind, Model};
use metron_sim::cost::{
    BatchShape, CostModel, Decodes, DraftShape, Drafter, Dtype, KvRequest, Parallelism, Pricing,
    Roofline, kv_capacity,
};
use metron_sim::speculative::Method;

use crate::support::{build, memory};

const ONE_MODULE: Method = Method::Mtp { modules: 1 };

fn drafter(method: Method, model: &Model, small: Option<&str>) -> Drafter {
    let small = small.map(|name| catalog::model(name).unwrap());
    Drafter::new(method, model, Dtype::Auto.into(), small.as_ref()).unwrap()
}

/// A model on a GPU with what drafts beside it.
fn drafting(
    model: &str,
    gpu: &str,
    profile: &str,
    tensor: u32,
    method: Method,
    small: Option<&str>,
) -> Roofline {
    let model = catalog::model(model).unwrap();
    let pricing = Pricing {
        drafter: Some(drafter(method, &model, small)),
        model,
        gpu: catalog::gpu(gpu).unwrap(),
        profile: catalog::profile(profile).unwrap(),
        parallelism: Parallelism { tensor, ..Parallelism::default() },
        precision: Dtype::Auto.into(),
        experts: Default::default(),
    };
    pricing.roofline().unwrap()
}

fn verify_ms(cost: &dyn CostModel, requests: u32, drafts: u32, context: u64) -> f64 {
    let decodes = verifying(requests, drafts, context);
    cost.time(&BatchShape::of_decodes(decodes)).gpu.as_millis_f64()
}

fn verifying(requests: u32, drafts: u32, context: u64) -> Decodes {
    let tokens = requests * (1 + drafts);
    Decodes::verifying(requests, tokens, u64::from(requests) * context + u64::from(tokens))
}

fn draft_ms(cost: &dyn CostModel, requests: u32, drafts: u32, context: u64) -> f64 {
    let shape = DraftShape {
        batch: BatchShape::of_decodes(verifying(requests, drafts, context)),
        requests,
        tokens: drafts,
        kv_tokens: u64::from(requests) * context,
    };
    let time = cost.draft_time(&shape);
    (time.gpu + time.host).as_millis_f64()
}

#[test]
fn print_against_the_public_fit() {
    let cost = drafting("llama-3.1-8b", "h100-sxm", "ideal", 1, Method::Eagle, None);
    for (n, k, c) in [
        (1, 3, 1000),
        (16, 3, 1000),
        (64, 3, 1000),
        (128, 3, 1000),
        (256, 3, 1000),
        (1, 5, 1000),
        (16, 5, 1000),
        (64, 5, 1000),
        (128, 5, 1000),
        (256, 5, 1000),
        (64, 0, 1000),
        (64, 3, 4000),
        (256, 0, 1000),
    ] {
        let kv = f64::from(n) * c as f64;
        let tokens = f64::from(n * (1 + k));
        let v = 5.886 + 0.021 * tokens + 39.3e-6 * kv;
        let d = 2.135 + 0.84e-3 * f64::from(n * k) + 2.4e-6 * kv;
        println!(
            "{n:4} x {k} at {c}: verify {:.2} fit {v:.2} ({:+.0} %); draft {:.2} fit {d:.2} ({:+.0} %)",
            verify_ms(&cost, n, k, c),
            100.0 * (verify_ms(&cost, n, k, c) / v - 1.0),
            draft_ms(&cost, n, k, c),
            100.0 * (draft_ms(&cost, n, k, c) / d - 1.0)
        );
    }
    for (method, small) in [
        (Method::Eagle, None),
        (Method::Eagle3, None),
        (Method::DraftModel, Some("llama-3.2-1b")),
        (Method::Ngram, None),
    ] {
        let cost = drafting("llama-3.1-8b", "h100-sxm", "vllm-0.12", 1, method, small);
        for n in [1, 16, 64, 256] {
            let step = |k: u32| {
                let shape = BatchShape::of_decodes(verifying(n, k, 1000));
                let t = cost.time(&shape);
                (t.gpu + t.host).as_millis_f64()
                    + if k > 0 { draft_ms(&cost, n, k, 1000) } else { 0.0 }
            };
            println!(
                "{method} {n}: plain {:.2} k=3 {:.2}; speed-up at 2.25 {:.2}, at 2.4 {:.2}",
                step(0),
                step(3),
                2.25 * step(0) / step(3),
                2.4 * step(0) / step(3)
            );
        }
    }
    let _ =
        (build("llama-3.1-8b", "h100-sxm", "ideal", 1), Kind::Gpu, ONE_MODULE, memory, kv_capacity);
    let _ = |request: KvRequest<'_>| kv_capacity(&request);
}
