//! Accuracy against real servers, with tables. Needs the shared data; says so when it is not there.

use std::path::Path;

use crate::shared::{say, shared};
use metron_sim::metrics::{Deadlines, FirstToken, Options, evaluate};
use metron_sim::report::validation::to_text;
use metron_sim::runner::{PlayOptions, Requests, Simulate, Simulator};
use metron_sim::scenario::{Document, Files, Resolved};
use metron_sim::sim::Outcome;
use metron_sim::time::Span;
use metron_sim::validation::{ObservedRun, Replay, Validation, compare};
use metron_sim::workload::Limits;

fn simulate(resolved: &Resolved, requests: &Requests) -> Outcome {
    let experiment = &resolved.experiment;
    let scheduler = &experiment.schedulers[0];
    let options = PlayOptions { keep_log: true, ..PlayOptions::default() };
    Simulator.simulate(experiment, scheduler, requests, options).expect("it runs")
}

fn validate(scenario: &str, overrides: &[String], observed: &Path) -> Validation {
    let document = Document::read(scenario).expect("YAML").with(overrides).expect("there");
    let resolved = document.resolve(None).expect("the scenario loads");
    let (drawn, _) = Requests::of(&resolved.experiment).expect("the trace is there");
    let run = ObservedRun::read(observed, None).expect("a run");
    let engine = &resolved.experiment.engine;
    let limits =
        Limits { max_model_len: engine.max_model_len, kv_block_tokens: engine.kv_block_tokens };
    let replay = Replay::new(&drawn, true, limits, &run).expect("they go together");
    assert_eq!(replay.warnings, Vec::<String>::new());
    compare(&replay, &simulate(&resolved, &replay.requests))
}

#[test]
fn a_real_run_on_rtx_pro_6000() {
    let Some(folder) = shared("data/runs/RTXPRO6000_Llama-3.1-8B") else { return };
    let Some(trace) = shared("data/workloads/sharegpt300_llama31.jsonl") else { return };
    let scenario =
        concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/validation/rtxpro6000-llama-3.1-8b.yaml");
    let trace = format!("workload.trace.file={}", trace.display());
    let found = validate(scenario, &[trace], &folder.join("requests.csv"));
    say(&to_text("the real run", 300, std::iter::once(("vllm-v1", &found))));

    // Percent. Beside it LLMServingSim 2.0's own error on this run, from its summary there.
    let bounds = [
        ("e2e_from_queued_s", "mean", 1.0, "-1.8"),
        ("e2e_from_queued_s", "p50", 1.25, "-1.2"),
        ("tpot_s", "mean", 1.5, "-1.0"),
        ("tpot_s", "p50", 1.75, "-0.0"),
        ("ttft_from_queued_s", "mean", 4.0, "-4.0"),
        ("ttft_from_queued_s", "p50", 4.0, "-8.6"),
    ];
    say("\nmetric              stat   error  bound  LLMServingSim");
    for (metric, stat, bound, theirs) in bounds {
        let compared = found.validation.iter().find(|r| r.metric == metric && r.stat == stat);
        let row = compared.expect("it is compared");
        let error = row.error.expect("both are there") * 100.0;
        say(&format!("{metric:<18}  {stat:<4}  {error:>+6.2}  {bound:>5}  {theirs:>13}"));
        assert!(error.abs() <= bound, "{metric} {stat}: {error:+.2} %");
    }
    let unqueued = found.unqueued.expect("the run knows");
    assert_eq!(unqueued.requests, 124);
    let mut ttft = unqueued.validation.iter().filter(|row| row.metric == "ttft_from_queued_s");
    let mean = ttft.next().expect("the mean comes first");
    let error = mean.error.expect("both are there") * 100.0;
    assert!(mean.stat == "mean" && error.abs() <= 10.0, "TTFT of unqueued: {error:+.2} %");
}

/// Closed loop, fixed lengths. The saturated row (its TTFT is a queue of half a minute) is shown
/// and left out of the mean, as its client's pacing decides it.
#[test]
fn decoding_on_two_h100() {
    let name = "data/silicon/h100_qwen3-32b_bf16_vllm012_tp2_osl512.csv";
    let Some(file) = shared(name) else { return };
    let mut reader = csv::Reader::from_path(file).expect("it is there");
    let headers = reader.headers().expect("a header").clone();
    let column = |name: &str| headers.iter().position(|h| h == name).expect("a column");
    let columns = ["isl", "osl", "batch_size", "silicon_ttft_ms", "silicon_tpot_ms"].map(column);
    let (mut sum, mut count) = (0.0, 0);
    say("\nprompt  users   TPOT ms  simulated    error");
    for record in reader.records() {
        let record = record.expect("a row");
        let [isl, osl, users, ttft, tpot] =
            columns.map(|c| record[c].parse::<f64>().expect("a number"));
        let text = format!(
            "model: qwen3-32b\ngpu: h100-sxm\nparallelism: {{tensor: 2}}\n\
             engine: {{profile: vllm-0.12}}\nschedulers: [vllm-v1: {{}}]\nworkload:\n  \
             requests: {}\n  arrivals: {{closed_loop: {{users: {users}, think_time: 0s}}}}\n  \
             lengths: {{prompt: {{fixed: {isl}}}, output: {{fixed: {osl}}}}}\n",
            6.0 * users
        );
        let document = Document::from_text("closed loop", &text, Files::any("")).expect("YAML");
        let resolved = document.resolve(None).expect("a scenario");
        let (requests, _) = Requests::of(&resolved.experiment).expect("users");
        let outcome = simulate(&resolved, &requests);
        let any = FirstToken::Fixed(Span::from_millis(1000));
        let deadlines = Deadlines::new(any, Span::from_millis(50), 0.9).expect("deadlines");
        let summary = evaluate(&outcome.trace, &Options::new(deadlines));
        let simulated = summary.tpot_s.mean.expect("tokens") * 1e3;
        let error = simulated / tpot - 1.0;
        let saturated = ttft > 10_000.0;
        let note = if saturated { "  saturated, left out" } else { "" };
        say(&format!(
            "{isl:>6}  {users:>5}  {tpot:>8.2}  {simulated:>9.2}  {:>+6.2} %{note}",
            error * 100.0
        ));
        if !saturated {
            sum += error.abs();
            count += 1;
        }
    }
    let mape = sum / f64::from(count) * 100.0;
    say(&format!("TPOT on two H100: {mape:.2} % MAPE over {count} loads"));
    assert_eq!(count, 9);
    assert!(mape <= 4.0, "{mape:.2} %");
}
