//! What a prefix cache costs: the same requests with it and without, by `vllm-v1` as vLLM is deployed,
//! planning a step while the one before runs.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use metron_sim::cost::Roofline;
use metron_sim::fleet::{FleetSetup, PoolSetup, Role, Routing};
use metron_sim::replica::EngineInfo;
use metron_sim::sim::{Outcome, SimOptions, play_fleet};
use metron_sim::workload::{
    Amount, Arrivals, Dist, Lengths, Limits, MaxTokens, PrefixGroups, Shape, Source, Workload,
    WorkloadSpec, draw,
};

#[allow(dead_code, reason = "the other benches use the rest")]
mod load;

use load::{ENGINE, cost, scheduler};

/// One load: mean tokens of prompts and answers, requests a second, and how prompts begin.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    requests: u32,
    prompt: f64,
    output: f64,
    rate: f64,
    prefixes: Option<PrefixGroups>,
    blocks: u32,
}

const LONGEST: u32 = 65_536;

fn requests(case: Case) -> Workload {
    let length = |mean| Dist { shape: Shape::Lognormal { mean, sigma: 0.6 }, min: None, max: None };
    let lengths = Lengths::Independent { prompt: length(case.prompt), output: length(case.output) };
    let arrivals = Arrivals::Poisson { rate: case.rate };
    let spec = WorkloadSpec {
        source: Source::Synthetic { arrivals, lengths },
        amount: Amount { requests: Some(case.requests), duration: None },
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: case.prefixes,
    };
    let limits = Limits { max_model_len: LONGEST, kv_block_tokens: 16 };
    draw(&spec, 42, limits).expect("a valid workload").workload
}

fn simulate(cost: &Roofline, case: Case, workload: &Workload, prefix_caching: bool) -> Outcome {
    let policy = scheduler(r#"{"vllm-v1": {"max_num_batched_tokens": 8192, "max_num_seqs": 256}}"#);
    let engine =
        EngineInfo { prefix_caching, kv_blocks: case.blocks, max_model_len: LONGEST, ..ENGINE };
    let make = || policy.build(&engine);
    let pool = PoolSetup {
        lockstep: 1,
        cost,
        engine,
        replicas: 1,
        role: Role::Both,
        async_scheduling: true,
        luck: None,
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
    let prefix = |count, tokens| Some(PrefixGroups { count, tokens, share: 1.0 });
    let short = Case {
        name: "1k, no prefix",
        requests: 100_000,
        prompt: 1024.0,
        output: 256.0,
        rate: 10.0,
        prefixes: None,
        blocks: 27_000,
    };
    let long = Case {
        name: "8k, 3k prefix",
        requests: 20_000,
        prompt: 8000.0,
        output: 256.0,
        rate: 3.0,
        prefixes: prefix(1, 3000),
        ..short
    };
    let cases = [
        short,
        Case { name: "1k, no prefix, 17 a second", rate: 17.0, ..short },
        Case { name: "1k, 512 prefix", prefixes: prefix(1, 512), ..short },
        Case { name: "1k, 16 prefixes", prefixes: prefix(16, 512), ..short },
        Case { name: "1k, preempting", requests: 20_000, blocks: 3_000, ..short },
        long,
        Case { name: "8k, 16 prefixes", prefixes: prefix(16, 3000), ..long },
    ];
    let cost = cost("vllm-0.12");
    let mut group = c.benchmark_group("caching");
    group.sample_size(10);
    for case in cases {
        let workload = requests(case);
        for (name, on) in [("off", false), ("on", true)] {
            let outcome = simulate(&cost, case, &workload, on);
            eprintln!(
                "{}, {name}: {} iterations, {} preemptions, {} blocks evicted",
                case.name,
                outcome.iterations.total(),
                outcome.kv.preemptions,
                outcome.kv.evicted_blocks
            );
            let id = BenchmarkId::new(case.name, name);
            group.bench_function(id, |b| b.iter(|| simulate(&cost, case, &workload, on)));
        }
    }
    group.finish();
}

criterion_group!(caching, benches);
criterion_main!(caching);
