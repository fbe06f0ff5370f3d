//! What a run keeps of each request, counted by the operating system.
#![cfg(target_os = "linux")]

use std::fs;

use metron_sim::progress::Progress;
use metron_sim::runner::{Requests, RunInput, RunOptions, Simulator, run_experiment};
use metron_sim::scenario::{Document, Files};

/// Short answers, so that it is requests that take memory, and many in an iteration.
const SCENARIO: &str = "
model: llama-3-8b
gpu: h100-sxm
engine: {profile: ideal, max_model_len: 8192}
schedulers: [{sarathi: {chunk_size: 8192}}]
workload:
  requests: 1
  arrivals: {poisson: {rate: 2000}}
  lengths: {prompt: {fixed: 16}, output: {fixed: 2}}
slo: {ttft: {prefill_curve_plus: 300ms}, tbt: 25ms, fluidity: {index: 0.9, share: 0.99}}
";

/// Plays and measures so many requests; the most memory that this process has had until then.
fn bytes_after(requests: u64) -> u64 {
    let text = SCENARIO.replace("requests: 1\n", &format!("requests: {requests}\n"));
    let document = Document::from_text("short", &text, Files::none()).expect("a scenario");
    let resolved = document.resolve(Some(1)).expect("a scenario");
    let experiment = &resolved.experiment;
    let (drawn, _) = Requests::of(experiment).expect("requests");
    let input = RunInput { experiment, requests: &drawn };
    let progress = Progress::new(1);
    let runs = run_experiment(input, RunOptions::default(), &Simulator, &progress).expect("a run");
    assert_eq!(runs[0].result.summary.requests.completed, requests);
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// 32 bytes for the drawn request, 64 for its row, 20 for what a summary gathers, and a little for
/// the iterations.
#[test]
fn a_request_takes_120_bytes() {
    const N: u64 = 600_000;
    let few = bytes_after(N);
    let many = bytes_after(3 * N);
    let each = (many - few) as f64 / (2 * N) as f64;
    assert!(each <= 120.0, "{each} bytes a request");
}
