//! A steady batch with speculative decoding, where each request is counted by itself: 256 requests
//! decode together, EAGLE drafts three tokens for each, of which 2.25 come a step, and every iteration
//! takes the same time. What is measured is a whole run, from arrivals to the trace.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use metron_sim::cost::FixedCost;
use metron_sim::fleet::{FleetSetup, PoolSetup, Role, Routing};
use metron_sim::replica::{Accepts, EngineInfo};
use metron_sim::scheduler::{KvGroups, SchedulerConfig};
use metron_sim::sim::{Outcome, SimOptions, play_fleet};
use metron_sim::speculative::{Acceptance, AcceptanceRule, DraftRules, Method, Speculative};
use metron_sim::time::Span;
use metron_sim::workload::{
    Amount, Arrivals, Dist, Lengths, Limits, MaxTokens, Shape, Source, Workload, WorkloadSpec, draw,
};

const REQUESTS: u32 = 256;
const DRAFTS: u32 = 3;

/// All at once, with short prompts and long answers, so that nearly all steps have all of them.
fn workload() -> Workload {
    let length = |tokens| Dist { shape: Shape::Fixed(tokens), min: None, max: None };
    let lengths = Lengths::Independent { prompt: length(16), output: length(8000) };
    let spec = WorkloadSpec {
        source: Source::Synthetic { arrivals: Arrivals::AllAtOnce, lengths },
        amount: Amount { requests: Some(REQUESTS), duration: None },
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: None,
    };
    let limits = Limits { max_model_len: 16_384, kv_block_tokens: 16 };
    draw(&spec, 42, limits).expect("a valid workload").workload
}

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    drafts: bool,
    prefix_caching: bool,
    async_scheduling: bool,
}

fn simulate(case: Case, workload: &Workload) -> Outcome {
    let rules = DraftRules {
        method: Method::Eagle,
        tokens: DRAFTS,
        off_above_running: None,
        by_batch_size: None,
    };
    let acceptance = Acceptance::of_all(AcceptanceRule::length(2.25, DRAFTS));
    let luck: Arc<dyn Accepts> = Arc::new(Arc::new(Speculative { rules, acceptance }).luck(42));
    let engine = EngineInfo {
        kv_block_tokens: 16,
        kv_blocks: 130_000,
        max_model_len: 16_384,
        prefix_caching: case.prefix_caching,
        kv_groups: KvGroups::ONE,
        large_gpu: true,
        gpu_memory_gib: Some(80),
        speculative: case.drafts.then_some(rules),
    };
    let policy: SchedulerConfig = serde_json::from_str(
        r#"{"vllm-v1": {"max_num_batched_tokens": 8192, "max_num_seqs": 256}}"#,
    )
    .expect("a scheduler");
    let make = || policy.build(&engine);
    let pool = PoolSetup {
        lockstep: 1,
        cost: &FixedCost { iteration: Span::from_nanos(10_000_000) },
        engine,
        replicas: 1,
        role: Role::Both,
        async_scheduling: case.async_scheduling,
        luck: case.drafts.then_some(&luck),
        answers_end_at: None,
        outlook: None,
        tiers: None,
        make: &make,
    };
    let setup = FleetSetup {
        pools: vec![pool],
        routing: Routing::default(),
        controllers: &Vec::new,
        disaggregation: None,
        horizon: None,
    };
    play_fleet(&setup, &mut workload.arriving(), SimOptions::default()).expect("it drains")
}

fn benches(c: &mut Criterion) {
    let case = |name, drafts, prefix_caching, async_scheduling| Case {
        name,
        drafts,
        prefix_caching,
        async_scheduling,
    };
    let cases = [
        case("none", false, false, false),
        case("eagle", true, false, false),
        case("eagle, async", true, false, true),
        case("eagle, caching", true, true, false),
        case("eagle, caching, async", true, true, true),
    ];
    let workload = workload();
    let mut group = c.benchmark_group("drafts");
    group.sample_size(10);
    for case in cases {
        let outcome = simulate(case, &workload);
        let scheduled = outcome.iterations.sequences;
        eprintln!("{}: {scheduled} requests in {} steps", case.name, outcome.iterations.total());
        // What one request costs in one step is the inverse of this.
        group.throughput(Throughput::Elements(scheduled));
        let id = BenchmarkId::from_parameter(case.name);
        group.bench_function(id, |b| b.iter(|| black_box(simulate(case, &workload))));
    }
    group.finish();
}

criterion_group!(drafts, benches);
criterion_main!(drafts);
