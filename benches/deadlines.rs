//! What a decision of a policy that looks at deadlines costs, alone: with about 100 requests that decode
//! and about 1,000 that wait, in a run that has far more requests than it can serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use metron_sim::fleet::{FleetSetup, PoolSetup, Routing};
use metron_sim::replica::{Outlook, Predictor, Promise};
use metron_sim::scheduler::{Brings, Handle, Needs, News, RequestView, Scheduler, Step};
use metron_sim::sim::{SimOptions, play_fleet};
use metron_sim::time::Span;

#[allow(dead_code, reason = "what other benches play")]
mod load;

use load::{ENGINE, cost, scheduler, workload};

/// Nanoseconds of the decisions that count, and their number.
#[derive(Default)]
struct Taken(AtomicU64, AtomicU64);

/// A policy, timed.
struct Timed {
    policy: Box<dyn Scheduler>,
    taken: Arc<Taken>,
}

impl Scheduler for Timed {
    fn schedule(&mut self, step: &mut Step<'_>) {
        let counts =
            (900..=1100).contains(&step.waiting_len()) && (80..=120).contains(&step.decoding_len());
        let began = Instant::now();
        self.policy.schedule(step);
        if counts {
            let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.taken.0.fetch_add(took, Ordering::Relaxed);
            self.taken.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn needs(&self) -> Needs {
        self.policy.needs()
    }

    fn reserves(&self, request: &RequestView, block_tokens: u32) -> u32 {
        self.policy.reserves(request, block_tokens)
    }

    fn processed(&mut self, ended: &[Handle], decode_steps: u32) {
        self.policy.processed(ended, decode_steps);
    }

    fn arrived(&mut self, news: &News) {
        self.policy.arrived(news);
    }

    fn brought(&mut self, brought: &Brings<'_>) {
        self.policy.brought(brought);
    }

    fn ended(&mut self, news: &News) {
        self.policy.ended(news);
    }
}

fn benches(c: &mut Criterion) {
    let cost = Arc::new(cost("vllm-0.12"));
    let workload = workload(3_000, 30.0);
    let promise = |ttft| Promise {
        first: Arc::new(move |_| Span::from_millis(ttft)),
        tbt: Span::from_millis(25),
        fluid_index: 0.9,
    };
    let mut group = c.benchmark_group("a decision with 100 running and 1,000 waiting");
    group.sample_size(10);
    // With a second almost all that wait are past their deadlines; with a minute most are not.
    for (name, json, ttft) in [
        ("fluid, 1 s", r#"{"fluid": {}}"#, 1_000),
        ("fluid, 60 s", r#"{"fluid": {}}"#, 60_000),
        ("qoserve, 1 s", r#"{"qoserve": {}}"#, 1_000),
        ("edf, 1 s", r#"{"edf": {}}"#, 1_000),
    ] {
        let policy = scheduler(json);
        let outlook = Arc::new(Outlook {
            common: promise(ttft),
            of_classes: Vec::new(),
            cost: cost.clone(),
            predictor: Predictor::default(),
        });
        let play = || {
            let taken = Arc::new(Taken::default());
            let make = || -> Box<dyn Scheduler> {
                Box::new(Timed { policy: policy.build(&ENGINE), taken: taken.clone() })
            };
            let pool = PoolSetup {
                role: metron_sim::fleet::Role::Both,
                lockstep: 1,
                cost: &*cost,
                engine: ENGINE,
                replicas: 1,
                async_scheduling: false,
                luck: None,
                answers_end_at: None,
                outlook: Some(&outlook),
                tiers: None,
                make: &make,
            };
            let setup = FleetSetup {
                disaggregation: None,
                pools: vec![pool],
                routing: Routing::default(),
                controllers: &Vec::new,
                horizon: None,
            };
            play_fleet(&setup, &mut workload.arriving(), SimOptions::default()).expect("it drains");
            let Taken(ns, decisions) = &*taken;
            (ns.load(Ordering::Relaxed), decisions.load(Ordering::Relaxed))
        };
        eprintln!("{name}: {} decisions count in a run", play().1);
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_custom(|iterations| {
                let (mut ns, mut decisions) = (0, 0);
                while decisions < iterations {
                    let (more_ns, more) = play();
                    ns += more_ns;
                    decisions += more.max(1);
                }
                Duration::from_nanos((ns as f64 * iterations as f64 / decisions as f64) as u64)
            });
        });
    }
    group.finish();
}

criterion_group!(deadlines, benches);
criterion_main!(deadlines);
