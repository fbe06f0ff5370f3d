//! Index beside the simulation that it explains: 20,000 requests of 1,024 and 256 tokens in
//! the mean, Llama-3-8B on one H100.

use criterion::{Criterion, criterion_group, criterion_main};
use metron_sim::explain::{Blame, Index};
use metron_sim::runner::recording_of_alike;
use metron_sim::scheduler::SchedulerConfig;

mod load;

use load::{ENGINE, cost, scheduler, workload};

fn benches(c: &mut Criterion) {
    let cost = cost("vllm-0.12");
    let workload = workload(20_000, 8.0);
    let simulate = |scheduler: &SchedulerConfig, keep_log| {
        load::simulate(&cost, scheduler, &workload, keep_log)
    };
    let mut group = c.benchmark_group("explain");
    group.sample_size(10);
    for json in [r#"{"sarathi": {"chunk_size": 2048, "max_num_seqs": 256}}"#, r#"{"vllm-v0": {}}"#]
    {
        let scheduler = scheduler(json);
        let name = scheduler.name();
        let outcome = simulate(&scheduler, true);
        assert!(outcome.log.is_some(), "kept");
        let needs = scheduler.build(&ENGINE).needs();
        let recording = recording_of_alike(&outcome, &cost, &ENGINE, &needs, false);
        group
            .bench_function(format!("{name}/simulate"), |b| b.iter(|| simulate(&scheduler, false)));
        group.bench_function(format!("{name}/simulate and keep the log"), |b| {
            b.iter(|| simulate(&scheduler, true));
        });
        group.bench_function(format!("{name}/split every request's time"), |b| {
            b.iter(|| Index::new(recording.clone()).totals());
        });
        let index = Index::new(recording);
        group.bench_function(format!("{name}/share the blame"), |b| {
            b.iter(|| Blame::new(&index));
        });
    }
    group.finish();
}

criterion_group!(explain, benches);
criterion_main!(explain);
