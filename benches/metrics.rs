//! The metric engine on a synthetic trace of 10,000 requests and 2.5 million tokens.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use metron_sim::ids::{ClassId, ColumnId, LaneId};
use metron_sim::metrics::{Deadlines, FirstToken, Options, evaluate, per_request};
use metron_sim::time::{Span, Time};
use metron_sim::trace::{Column, NO_RUN, RequestRow, Run, Status, TokenTrace};

/// Requests that decode together on one column, 250 tokens each and 64 at a time. Most decode steps
/// take 20 to 30 ms, every 50th is a stall.
fn shared(requests: u32) -> TokenTrace {
    const TOKENS: u32 = 250;
    const TOGETHER: u32 = 64;
    let decode_steps = requests * TOKENS / TOGETHER + TOKENS;
    // Any sequence without a short period will do; this one is a Weyl sequence.
    let weyl = |i: u32| u64::from(i.wrapping_mul(2_654_435_769));
    let mut at = Time::ZERO;
    let column: Vec<Time> = (0..decode_steps)
        .map(|decode_step| {
            let stall = if decode_step % 50 == 49 { 150_000_000 } else { 0 };
            at += Span::from_nanos(20_000_000 + weyl(decode_step) % 10_000_000 + stall);
            at
        })
        .collect();
    let row = |request: u32| {
        let first = request * TOKENS / TOGETHER + 1;
        let first_token = column[first as usize - 1];
        let prefill = Span::from_nanos(weyl(request) % 400_000_000);
        RequestRow {
            arrival: Time::from_nanos(first_token.as_nanos().saturating_sub(prefill.as_nanos())),
            scheduled: first_token,
            first_token,
            run: Run { column: ColumnId(0), first, len: TOKENS - 1, next: NO_RUN },
            prompt_tokens: 1000,
            tokens: TOKENS,
            hit_tokens: 0,
            preemptions: 0,
            lane: LaneId(0),
            class: ClassId(0),
            status: Status::Completed,
        }
    };
    let rows = (0..requests).map(row).collect();
    TokenTrace {
        columns: vec![Column::own(column.clone())],
        requests: rows,
        end: at,
        ..TokenTrace::default()
    }
}

/// The same token times as a measured trace holds them: each request's own stretch of a column.
fn unshared(trace: &TokenTrace) -> TokenTrace {
    let mut column = Vec::new();
    let mut measured = trace.clone();
    for row in &mut measured.requests {
        let times = trace.times(row.run);
        row.run.first = column.len() as u32;
        column.extend_from_slice(times);
    }
    measured.columns = vec![Column::own(column)];
    measured
}

fn benchmarks(c: &mut Criterion) {
    let deadlines =
        Deadlines::new(FirstToken::Fixed(Span::from_millis(300)), Span::from_millis(25), 0.9);
    let options = Options::new(deadlines.expect("deadlines"));
    let full = Options { full: true, ..options.clone() };
    let simulated = shared(10_000);
    let measured = unshared(&simulated);
    assert_eq!(evaluate(&simulated, &full), evaluate(&measured, &full));
    let tokens = simulated.requests.iter().map(|row| u64::from(row.tokens)).sum();

    for (name, trace) in [("simulated", &simulated), ("measured", &measured)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(tokens)).sample_size(20);
        group.bench_function("per_request", |b| b.iter(|| per_request(black_box(trace), &options)));
        group.bench_function("evaluate", |b| b.iter(|| evaluate(black_box(trace), &options)));
        group.sample_size(10);
        group.bench_function("evaluate_full", |b| b.iter(|| evaluate(black_box(trace), &full)));
        group.finish();
    }
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
