//! The simulator alone: 100,000 requests of 1,024 and 256 tokens in the mean, Llama-3-8B on one
//! H100, chunked prefill of 2,048 tokens, at a moderate and at a high load.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use metron_sim::catalog;
use metron_sim::cost::{Dtype, Parallelism, Roofline};
use metron_sim::replica::EngineInfo;
use metron_sim::scheduler::SchedulerConfig;
use metron_sim::sim::{Outcome, Routing, Setup, SimOptions, play};
use metron_sim::workload::{
    Amount, Arrivals, Dist, Lengths, Limits, MaxTokens, Shape, Source, Workload, WorkloadSpec, draw,
};

const ENGINE: EngineInfo = EngineInfo {
    kv_block_tokens: 16,
    kv_blocks: 27_000,
    max_model_len: 8192,
    prefix_caching: false,
    large_gpu: true,
};

fn lognormal(mean: f64) -> Dist {
    Dist { shape: Shape::Lognormal { mean, sigma: 0.6 }, min: None, max: None }
}

fn workload(requests: u32, rate: f64) -> Workload {
    let lengths = Lengths::Independent { prompt: lognormal(1024.0), output: lognormal(256.0) };
    let spec = WorkloadSpec {
        source: Source::Synthetic { arrivals: Arrivals::Poisson { rate }, lengths },
        amount: Amount { requests: Some(requests), duration: None },
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: None,
    };
    let limits = Limits { max_model_len: 8192, kv_block_tokens: 16 };
    draw(&spec, 42, limits).expect("a valid workload").workload
}

fn cost() -> Roofline {
    let model = catalog::model("llama-3-8b").expect("in the catalog");
    let gpu = catalog::gpu("h100-sxm").expect("in the catalog");
    let profile = catalog::profile("vllm-0.12").expect("in the catalog");
    Roofline::new(&model, &gpu, &profile, Parallelism::default(), Dtype::Bf16).expect("it fits")
}

fn simulate(cost: &Roofline, scheduler: &SchedulerConfig, workload: &Workload) -> Outcome {
    let setup = Setup {
        cost,
        engine: ENGINE,
        replicas: 1,
        routing: Routing::default(),
        async_scheduling: false,
        horizon: None,
    };
    let make = || scheduler.build(&ENGINE);
    play(&setup, &make, &mut workload.arriving(), SimOptions::default()).expect("it drains")
}

fn benches(c: &mut Criterion) {
    let cost = cost();
    let config = |json: &str| serde_json::from_str::<SchedulerConfig>(json).expect("a scheduler");
    let schedulers = [
        ("sarathi", config(r#"{"sarathi": {"chunk_size": 2048, "max_num_seqs": 256}}"#)),
        (
            "vllm-v1",
            config(r#"{"vllm-v1": {"max_num_batched_tokens": 2048, "max_num_seqs": 256}}"#),
        ),
        ("vllm-v0", config(r#"{"vllm-v0": {}}"#)),
    ];
    let mut group = c.benchmark_group("engine");
    group.sample_size(10);
    for rate in [8.0, 13.5] {
        let workload = workload(100_000, rate);
        for (name, scheduler) in &schedulers {
            let outcome = simulate(&cost, scheduler, &workload);
            let tokens: u64 = outcome.trace.requests.iter().map(|r| u64::from(r.tokens)).sum();
            let busy = outcome.gpu_busy.as_secs_f64() / outcome.trace.end.as_secs_f64();
            eprintln!(
                "{name} at {rate}/s: {tokens} tokens, {} iterations, mean batch {:.1}, GPU busy {:.0} %",
                outcome.iterations.total(),
                outcome.iterations.sequences as f64 / outcome.iterations.total() as f64,
                busy * 100.0
            );
            let id = BenchmarkId::new(*name, format!("{rate}_per_s"));
            group.bench_function(id, |b| b.iter(|| simulate(&cost, scheduler, &workload)));
        }
    }
    group.finish();
}

criterion_group!(engine, benches);
criterion_main!(engine);
