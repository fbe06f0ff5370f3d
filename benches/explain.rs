//! Attribution beside the simulation that it explains: 20,000 requests of 1,024 and 256 tokens in
//! the mean, Llama-3-8B on one H100.

use criterion::{Criterion, criterion_group, criterion_main};
use metron_sim::catalog;
use metron_sim::cost::{Dtype, Parallelism, Roofline};
use metron_sim::explain::{Attribution, Blame, Recording};
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

fn workload(requests: u32) -> Workload {
    let length = |mean| Dist { shape: Shape::Lognormal { mean, sigma: 0.6 }, min: None, max: None };
    let lengths = Lengths::Independent { prompt: length(1024.0), output: length(256.0) };
    let spec = WorkloadSpec {
        source: Source::Synthetic { arrivals: Arrivals::Poisson { rate: 8.0 }, lengths },
        amount: Amount { requests: Some(requests), duration: None },
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: None,
    };
    let limits = Limits { max_model_len: 8192, kv_block_tokens: 16 };
    draw(&spec, 42, limits).expect("a valid workload").workload
}

fn benches(c: &mut Criterion) {
    let model = catalog::model("llama-3-8b").expect("in the catalog");
    let gpu = catalog::gpu("h100-sxm").expect("in the catalog");
    let profile = catalog::profile("vllm-0.12").expect("in the catalog");
    let cost = Roofline::new(&model, &gpu, &profile, Parallelism::default(), Dtype::Bf16)
        .expect("it fits");
    let workload = workload(20_000);
    let simulate = |scheduler: &SchedulerConfig, keep_log| -> Outcome {
        let setup = Setup {
            routing: Routing::default(),
            cost: &cost,
            engine: ENGINE,
            replicas: 1,
            async_scheduling: false,
            horizon: None,
        };
        let options = SimOptions { keep_log, ..SimOptions::default() };
        let make = || scheduler.build(&ENGINE);
        play(&setup, &make, &mut workload.arriving(), options).expect("it drains")
    };
    let mut group = c.benchmark_group("explain");
    group.sample_size(10);
    for json in [r#"{"sarathi": {"chunk_size": 2048, "max_num_seqs": 256}}"#, r#"{"vllm-v0": {}}"#]
    {
        let scheduler: SchedulerConfig = serde_json::from_str(json).expect("a scheduler");
        let name = scheduler.name();
        let outcome = simulate(&scheduler, true);
        assert!(outcome.log.is_some(), "kept");
        let needs = scheduler.build(&ENGINE).needs();
        let recording = Recording::of(&outcome, &cost, &ENGINE, &needs, false);
        group
            .bench_function(format!("{name}/simulate"), |b| b.iter(|| simulate(&scheduler, false)));
        group.bench_function(format!("{name}/simulate and keep the log"), |b| {
            b.iter(|| simulate(&scheduler, true));
        });
        group.bench_function(format!("{name}/split every request's time"), |b| {
            b.iter(|| Attribution::new(recording.clone()).totals());
        });
        let attribution = Attribution::new(recording);
        group.bench_function(format!("{name}/share the blame"), |b| {
            b.iter(|| Blame::new(&attribution));
        });
    }
    group.finish();
}

criterion_group!(explain, benches);
criterion_main!(explain);
