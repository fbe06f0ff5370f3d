//! How long it takes to draw requests and to read them, in time a request.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use metron_sim::request::RequestId;
use metron_sim::time::Span;
use metron_sim::workload::*;

const N: u32 = 100_000;
const LIMITS: Limits = Limits { max_model_len: 8192, kv_block_tokens: 16 };

fn lognormal(mean: f64) -> Dist {
    Dist { shape: Shape::Lognormal { mean, sigma: 0.6 }, min: None, max: None }
}

fn spec(source: Source) -> WorkloadSpec {
    WorkloadSpec {
        source,
        amount: Amount { requests: Some(N), duration: None },
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: None,
    }
}

fn synthetic(arrivals: Arrivals, lengths: Lengths) -> WorkloadSpec {
    spec(Source::Synthetic { arrivals, lengths })
}

fn lognormals() -> Lengths {
    Lengths::Independent { prompt: lognormal(1024.0), output: lognormal(256.0) }
}

fn drawing(criterion: &mut Criterion) {
    let zipf = |max| Dist { shape: Shape::Zipf { min: 1, max, theta: 1.1 }, min: None, max: None };
    let mut group = criterion.benchmark_group("draw");
    group.throughput(Throughput::Elements(u64::from(N)));
    for (name, spec) in [
        ("poisson, lognormal", synthetic(Arrivals::Poisson { rate: 8.0 }, lognormals())),
        ("gamma, lognormal", synthetic(Arrivals::Gamma { rate: 8.0, cv: 2.0 }, lognormals())),
        (
            "poisson, chat",
            synthetic(Arrivals::Poisson { rate: 8.0 }, Lengths::Table(LengthTable::Chat)),
        ),
        (
            "poisson, zipf",
            synthetic(
                Arrivals::Poisson { rate: 8.0 },
                Lengths::Independent { prompt: zipf(100_000), output: zipf(1000) },
            ),
        ),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| draw(black_box(&spec), 42, LIMITS).unwrap());
        });
    }
    group.finish();
}

fn polling(criterion: &mut Criterion) {
    let open = synthetic(Arrivals::Poisson { rate: 8.0 }, lognormals());
    let workload = draw(&open, 42, LIMITS).unwrap().workload;
    let looped =
        synthetic(Arrivals::ClosedLoop { users: 256, think_time: Span::ZERO }, lognormals());
    let fresh = ClosedLoop::new(&looped, 42, LIMITS).unwrap();
    let mut group = criterion.benchmark_group("arriving");
    group.throughput(Throughput::Elements(u64::from(N)));
    group.bench_function("open", |bencher| bencher.iter(|| play(&mut workload.arriving())));
    group.bench_function("closed loop", |bencher| bencher.iter(|| play(&mut fresh.clone())));
    group.finish();
}

/// Takes every request and ends it a second later.
fn play(source: &mut impl Arriving) -> u32 {
    let mut id = 0;
    while let Some(time) = source.next_arrival() {
        black_box(source.take());
        source.finished(RequestId(id), time + Span::from_millis(1000));
        id += 1;
    }
    assert_eq!(id, N);
    id
}

fn reading(criterion: &mut Criterion) {
    let drawn = draw(&synthetic(Arrivals::Poisson { rate: 8.0 }, lognormals()), 42, LIMITS);
    let (mut csv, mut json) = ("arrival_s,prompt_tokens,output_tokens\n".to_owned(), String::new());
    for r in drawn.unwrap().workload.requests {
        let (seconds, prompt, output) = (r.arrival.as_secs_f64(), r.prompt_tokens, r.output_tokens);
        writeln!(csv, "{seconds},{prompt},{output}").unwrap();
        writeln!(
            json,
            "{{\"arrival_s\": {seconds}, \"prompt_tokens\": {prompt}, \"output_tokens\": {output}}}"
        )
        .unwrap();
    }
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(u64::from(N)));
    for (name, text) in [("csv", csv), ("jsonl", json)] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let spec = spec(Source::Trace(TraceSpec {
            file: file.path().to_owned(),
            format: None,
            time_scale: 1.0,
            arrivals: None,
            by_answers: false,
            keeps_times: false,
            gap_cap: None,
        }));
        group.bench_function(name, |bencher| {
            bencher.iter(|| draw(black_box(&spec), 42, LIMITS).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, drawing, polling, reading);
criterion_main!(benches);
