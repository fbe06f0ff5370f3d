//! The simulator alone: 100,000 requests of 1,024 and 256 tokens in the mean, Llama-3-8B on one
//! H100, chunked prefill of 2,048 tokens, at a moderate and at a high load.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

mod load;

use load::{cost, scheduler, simulate, workload};

fn benches(c: &mut Criterion) {
    let cost = cost("vllm-0.12");
    let schedulers = [
        ("sarathi", scheduler(r#"{"sarathi": {"chunk_size": 2048, "max_num_seqs": 256}}"#)),
        (
            "vllm-v1",
            scheduler(r#"{"vllm-v1": {"max_num_batched_tokens": 2048, "max_num_seqs": 256}}"#),
        ),
        ("vllm-v0", scheduler(r#"{"vllm-v0": {}}"#)),
    ];
    let mut group = c.benchmark_group("engine");
    group.sample_size(10);
    for rate in [8.0, 13.5] {
        let workload = workload(100_000, rate);
        for (name, scheduler) in &schedulers {
            let outcome = simulate(&cost, scheduler, &workload, false);
            let tokens: u64 = outcome.trace.requests.iter().map(|r| u64::from(r.tokens)).sum();
            let busy = outcome.gpu_busy.as_secs_f64() / outcome.trace.end.as_secs_f64();
            eprintln!(
                "{name} at {rate}/s: {tokens} tokens, {} iterations, mean batch {:.1}, GPU busy {:.0} %",
                outcome.iterations.total(),
                outcome.iterations.sequences as f64 / outcome.iterations.total() as f64,
                busy * 100.0
            );
            let id = BenchmarkId::new(*name, format!("{rate}_per_s"));
            group.bench_function(id, |b| b.iter(|| simulate(&cost, scheduler, &workload, false)));
        }
    }
    group.finish();
}

criterion_group!(engine, benches);
criterion_main!(engine);
