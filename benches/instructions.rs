//! The main four pieces of work, once each, for counting instructions: `.ci/instructions` runs them
//! under callgrind and compares the counts with `benches/instructions.txt`.
//!
//! Counting starts and ends with a function named `count_...`; what a piece needs is made before.

use std::fmt::Write as _;
use std::hint::black_box;

use metron_sim::cost::Roofline;
use metron_sim::explain::{Index, Recording, Totals};
use metron_sim::interop::{Imported, import};
use metron_sim::metrics::{Deadlines, FirstToken, Options, Summary, evaluate};
use metron_sim::runner::recording_of_alike;
use metron_sim::scheduler::SchedulerConfig;
use metron_sim::sim::Outcome;
use metron_sim::time::Span;
use metron_sim::trace::TokenTrace;
use metron_sim::workload::Workload;

mod load;

use load::{ENGINE, cost, scheduler, simulate, workload};

const REQUESTS: u32 = 2_000;

/// A result file as vLLM's benchmark writes it, of this many requests with 250 tokens each.
fn vllm_file(requests: u32) -> String {
    let list = |one: &dyn Fn(u32) -> String| (0..requests).map(one).collect::<Vec<_>>().join(", ");
    let gaps = |request: u32| {
        let mut gaps = String::from("[");
        for token in 1..250 {
            let comma = if token == 1 { "" } else { ", " };
            let gap = 0.02 + f64::from(request.wrapping_mul(2_654_435_769) ^ token) * 1e-12;
            write!(gaps, "{comma}{gap}").expect("into memory");
        }
        gaps + "]"
    };
    format!(
        r#"{{"date": "20260101-000000", "backend": "vllm", "model_id": "m", "tokenizer_id": "m", "num_prompts": {requests}, "completed": {requests}, "input_lens": [{}],
         "output_lens": [{}], "ttfts": [{}], "itls": [{}], "start_times": [{}], "errors": [{}]}}"#,
        list(&|_| "1024".into()),
        list(&|_| "250".into()),
        list(&|request| format!("0.{}", 100 + request % 100)),
        list(&gaps),
        list(&|request| format!("{}.5", request / 10)),
        list(&|_| r#""""#.into()),
    )
}

#[inline(never)]
fn count_engine(cost: &Roofline, policy: &SchedulerConfig, workload: &Workload) -> Outcome {
    simulate(cost, policy, workload, false)
}

#[inline(never)]
fn count_metrics(trace: &TokenTrace, options: &Options) -> Summary {
    evaluate(trace, options)
}

#[inline(never)]
fn count_attribution(recording: Recording<'_>) -> Totals {
    Index::new(recording).totals()
}

#[inline(never)]
fn count_parsing(path: &std::path::Path) -> Imported {
    import(path, None).expect("a file that can be read")
}

fn main() {
    let (cost, workload) = (cost("ideal"), workload(REQUESTS, 10.0));
    let policy = scheduler(r#"{"sarathi": {"chunk_size": 2048}}"#);
    for piece in std::env::args().skip(1) {
        match piece.as_str() {
            "engine" => drop(black_box(count_engine(&cost, &policy, &workload))),
            "metrics" => {
                let outcome = simulate(&cost, &policy, &workload, false);
                let first = FirstToken::Fixed(Span::from_millis(500));
                let promise = Deadlines::new(first, Span::from_millis(25), 0.9).expect("positive");
                black_box(count_metrics(&outcome.trace, &Options::new(promise)));
            }
            "attribution" => {
                let outcome = simulate(&cost, &policy, &workload, true);
                let needs = policy.build(&ENGINE).needs();
                let recording = recording_of_alike(&outcome, &cost, &ENGINE, &needs, false);
                black_box(count_attribution(recording));
            }
            "parsing" => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let path = folder.path().join("vllm.json");
                std::fs::write(&path, vllm_file(400)).expect("there is room");
                black_box(count_parsing(&path));
            }
            // What cargo bench passes.
            "--bench" => {}
            other => panic!("engine, metrics, index or parsing, not {other}"),
        }
    }
}
