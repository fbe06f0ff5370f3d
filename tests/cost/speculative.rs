//! What speculative decoding costs: verifying, drafting, memory.

use metron_sim::catalog::{self, Kind, Model};
use metron_sim::cost::{
    BatchShape, Chunk, CostModel, Decodes, DraftError, DraftShape, Drafter, Dtype, KvRequest,
    Parallelism, Pricing, Roofline, kv_capacity,
};
use metron_sim::speculative::Method;

use crate::support::{memory, tensor};

const MTP: Method = Method::Mtp { modules: 1 };

fn drafter(method: Method, model: &Model, small: Option<&str>) -> Result<Drafter, DraftError> {
    let small = small.map(|name| catalog::model(name).unwrap());
    Drafter::new(method, model, Dtype::Auto.into(), small.as_ref())
}

/// A model on a GPU with what drafts beside it.
fn drafting(
    (model, gpu, profile): (&str, &str, &str),
    parallelism: Parallelism,
    method: Method,
    small: Option<&str>,
) -> Roofline {
    let model = catalog::model(model).unwrap();
    let pricing = Pricing {
        drafter: Some(drafter(method, &model, small).unwrap()),
        model,
        gpu: catalog::gpu(gpu).unwrap(),
        profile: catalog::profile(profile).unwrap(),
        parallelism,
        precision: Dtype::Auto.into(),
        experts: Default::default(),
    };
    pricing.roofline().unwrap()
}

/// Llama-3.1-8B on an H100, kernels alone.
fn llama(method: Method) -> Roofline {
    drafting(("llama-3.1-8b", "h100-sxm", "ideal"), tensor(1), method, None)
}

fn verifying(requests: u32, drafts: u32, context: u64) -> Decodes {
    let tokens = requests * (1 + drafts);
    Decodes::verifying(requests, tokens, u64::from(requests) * context + u64::from(tokens))
}

fn verify_ms(cost: &dyn CostModel, requests: u32, drafts: u32, context: u64) -> f64 {
    let time = cost.time(&BatchShape::of_decodes(verifying(requests, drafts, context)));
    (time.gpu + time.host).as_millis_f64()
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

/// Tokens a second with drafts over those without, in a batch of decodes that does not change.
fn speed_up(cost: &dyn CostModel, requests: u32, drafts: u32, context: u64, length: f64) -> f64 {
    let step =
        verify_ms(cost, requests, drafts, context) + draft_ms(cost, requests, drafts, context);
    length * verify_ms(cost, requests, 0, context) / step
}

/// SpecDecode-Bench's fit on an H100 with Llama-3.1-8B: verifying takes 5.886 ms, 21.0 us a token and
/// 39.3 ns a KV token; drafting with EAGLE 2.135 ms, .84 us a drafted token and 2.4 ns a KV token. It
/// is linear where kernels have a knee, and its drafting does not grow with the passes.
#[test]
fn times_are_near_the_published_fit() {
    let cost = llama(Method::Eagle);
    for (requests, drafts, context) in [
        (1, 3, 1000),
        (16, 3, 1000),
        (64, 3, 1000),
        (128, 3, 1000),
        (256, 3, 1000),
        (16, 5, 1000),
        (256, 5, 1000),
        (64, 0, 1000),
        (64, 3, 4000),
    ] {
        let [n, k, kv] =
            [f64::from(requests), f64::from(drafts), f64::from(requests) * context as f64];
        let fit = 5.886 + 0.021 * n * (1.0 + k) + 39.3e-6 * kv;
        let off = verify_ms(&cost, requests, drafts, context) / fit - 1.0;
        println!("{requests} x {drafts} at {context}: verify {off:+.2} of {fit:.2} ms");
        assert!((-0.25..0.1).contains(&off), "{requests} x {drafts}: {off:+.3} of {fit} ms");
        if drafts == 3 {
            let fit = 2.135 + 0.84e-3 * n * k + 2.4e-6 * kv;
            let off = draft_ms(&cost, requests, drafts, context) / fit - 1.0;
            println!("{requests} x {drafts} at {context}: draft {off:+.2} of {fit:.2} ms");
            assert!(off.abs() < 0.2, "{requests} x {drafts}: {off:+.3} of {fit} ms to draft");
        }
    }
}

/// The same fit's speed-ups over batch sizes, 1.72, 1.61, 1.41, 1.30, 1.21, have an engine's time of
/// 1.2 ms a step in them.
#[test]
fn drafts_gain_less_the_larger_the_batch_and_lose_in_a_saturated_one() {
    let cost = llama(Method::Eagle);
    let told = [(1, 1.72), (16, 1.61), (64, 1.41), (128, 1.30), (256, 1.21)];
    for (requests, told) in told {
        let gain = speed_up(&cost, requests, 3, 1000, 2.25);
        println!("{requests}: {gain:.2}, published {told}");
        assert!((gain / told - 1.0).abs() < 0.25, "{requests}: {gain} for {told}");
    }
    // Short contexts leave the matrix products: 4 tokens are computed for 2.25.
    let cost = llama(Method::Eagle3);
    let gains = [1, 16, 64, 256, 512].map(|requests| speed_up(&cost, requests, 3, 150, 2.25));
    println!("at 150 tokens: {gains:.2?}");
    assert!(gains.is_sorted_by(|small, large| small >= large), "{gains:?}");
    assert!(gains[0] > 1.6 && gains[4] < 0.8, "{gains:?}");
}

#[test]
fn kv_is_read_once_for_all_tokens_of_a_request() {
    let attention = |cost: &Roofline, drafts: u32| {
        cost.parts(&BatchShape::of_decodes(verifying(8, drafts, 50_000))).attention_us
    };
    let cost = llama(Method::Ngram);
    let dearer = attention(&cost, 3) / attention(&cost, 0);
    assert!((1.0..1.05).contains(&dearer), "{dearer}");
    // All heads on one latent K compute as long as they read: more rows take longer.
    let cost = drafting(("deepseek-v3", "h200-sxm", "ideal"), tensor(8), MTP, None);
    let dearer = attention(&cost, 3) / attention(&cost, 0);
    println!("latent attention of 4 tokens: {dearer:.2} times that of one");
    assert!((1.0..4.0).contains(&dearer), "{dearer}");
}

#[test]
fn the_head_is_computed_for_drafts_too() {
    let cost = llama(Method::Ngram);
    let head =
        |sampled: u32| cost.parts(&BatchShape::new(&[], verifying(64, 3, 100), sampled)).head_us;
    assert!(head(256) > 1.2 * head(64));
}

#[test]
fn the_host_looks_ngrams_up_in_little_time() {
    let cost = llama(Method::Ngram);
    for requests in [16, 64, 256] {
        let share = draft_ms(&cost, requests, 5, 1000) / verify_ms(&cost, requests, 5, 1000);
        assert!((0.003..0.012).contains(&share), "{requests}: {share}");
    }
    assert!(draft_ms(&llama(Method::Suffix), 16, 5, 1000) > draft_ms(&cost, 16, 5, 1000));
}

#[test]
fn drafting_is_never_cheaper_for_more_and_nothing_for_nobody() {
    let served = [
        (("llama-3.1-8b", "h100-sxm", "vllm-0.19"), tensor(1), Method::Eagle, None),
        (("llama-3.1-8b", "a100-sxm-80gb", "vllm-0.12"), tensor(2), Method::Eagle3, None),
        (
            ("llama-3.1-70b", "h100-sxm", "vllm-0.12"),
            tensor(4),
            Method::DraftModel,
            Some("llama-3.2-1b"),
        ),
        (("deepseek-v3", "h200-sxm", "vllm-0.19"), tensor(8), MTP, None),
        (("qwen3.5-397b-a17b", "b200-sxm", "vllm-0.19"), tensor(8), MTP, None),
    ];
    for (what, parallelism, method, small) in served {
        let cost = drafting(what, parallelism, method, small);
        let chunks = [Chunk { context: 100, tokens: 700 }];
        let time = |requests: u32, tokens: u32, context: u64, chunks: &[Chunk]| {
            let decodes = verifying(requests, 3, context);
            let batch = BatchShape::new(chunks, decodes, requests);
            let kv_tokens = u64::from(requests) * context;
            cost.draft_time(&DraftShape { batch, requests, tokens, kv_tokens }).gpu
        };
        let base = time(32, 3, 1000, &chunks);
        for (more, than) in [
            ("requests", time(33, 3, 1000, &chunks)),
            ("drafts", time(32, 4, 1000, &chunks)),
            ("KV", time(32, 3, 1001, &chunks)),
            ("a chunk", time(32, 3, 1000, &[chunks[0], chunks[0]])),
        ] {
            assert!(than >= base, "{what:?}, more {more}: {than:?} below {base:?}");
        }
        let parts = time(16, 3, 1000, &chunks) + time(16, 3, 1000, &[]);
        assert!(base <= parts, "{what:?}: {base:?} for all, {parts:?} for the parts");
        assert_eq!(time(32, 0, 1000, &chunks), metron_sim::Span::ZERO);
    }
}

/// Bytes of weights, and of a block of 16 tokens, that a drafter adds on a rank.
fn added(model: &str, ranks: u32, method: Method, small: Option<&str>) -> (u64, u64) {
    let model = catalog::model(model).unwrap();
    let gpu = catalog::gpu("b300-sxm").unwrap();
    let drafter = drafter(method, &model, small).unwrap();
    let plain = memory(&model, &gpu, ranks);
    let with = kv_capacity(&KvRequest { drafter: Some(&drafter), ..plain }).unwrap();
    let plain = kv_capacity(&plain).unwrap();
    assert!(with.blocks <= plain.blocks, "{} of {}", with.blocks, plain.blocks);
    (with.weight_bytes - plain.weight_bytes, with.bytes_per_block - plain.bytes_per_block)
}

#[test]
fn drafters_take_the_memory_that_their_checkpoints_have() {
    // A layer of 218.1 M, a projection of 33.6 M: the 0.25 B that EAGLE's authors state.
    let (weights, kv) = added("llama-3.1-8b", 1, Method::Eagle, None);
    assert!((weights as f64 / 0.5033e9 - 1.0).abs() < 0.01, "{weights}");
    assert_eq!(kv, 16 * 2 * 8 * 128 * 2);
    // EAGLE3-LLaMA3.1-Instruct-8B: 425 M parameters in 16 bits.
    let (weights, _) = added("llama-3.1-8b", 1, Method::Eagle3, None);
    assert!((weights as f64 / 0.85e9 - 1.0).abs() < 0.02, "{weights}");
    let (weights, kv) = added("llama-3.1-8b", 1, Method::DraftModel, Some("llama-3.2-1b"));
    assert_eq!(weights, catalog::model("llama-3.2-1b").unwrap().checkpoint_bytes());
    assert_eq!(kv, 16 * 16 * 2 * 8 * 64 * 2);
    assert_eq!(added("llama-3.1-8b", 1, Method::Ngram, None), (0, 0));
    // Its own layer for multi-token prediction, over all ranks.
    let bytes = catalog::model("deepseek-v3").unwrap().draft_bytes();
    let (weights, kv) = added("deepseek-v3", 8, MTP, None);
    let share = 8.0 * weights as f64 / bytes as f64;
    assert!((1.0..1.2).contains(&share), "{weights} bytes on each of 8, {bytes} in all");
    assert_eq!(kv, 16 * (512 + 64) * 2);
}

#[test]
fn every_model_of_the_catalog_has_its_drafters_or_says_why_not() {
    let mut predicting = 0;
    for name in catalog::names(Kind::Model) {
        let model = catalog::model(&name).unwrap();
        for method in [Method::Eagle, Method::Eagle3] {
            let head = drafter(method, &model, None);
            assert!(head.is_ok() || matches!(head, Err(DraftError::NoAttention { .. })), "{name}");
        }
        let own = drafter(MTP, &model, None);
        assert_eq!(own.is_ok(), model.draft_parameters > 0, "{name}");
        predicting += usize::from(own.is_ok());
        assert!(drafter(Method::DraftModel, &model, Some(&name)).is_ok(), "{name}");
    }
    assert!(predicting > 10, "{predicting}");
    let modules = |name: &str| catalog::model(name).unwrap().predicting_modules();
    assert_eq!([modules("deepseek-v3"), modules("llama-3.1-8b")], [1, 0]);
}
