//! What a run keeps of each request, counted by the operating system.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::{Command, Stdio};

use wait4::Wait4;

/// Short answers, so that it is requests that take memory, and many in an iteration.
const SCENARIO: &str = "
model: llama-3-8b
gpu: h100-sxm
engine: {profile: ideal, max_model_len: 8192}
schedulers: [{sarathi: {chunk_size: 8192}}]
replicas: 1
workload:
  requests: 1
  arrivals: {poisson: {rate: 2000}}
  lengths: {prompt: {fixed: 16}, output: {fixed: 2}}
slo: {ttft: {prefill_curve_plus: 300ms}, tbt: 25ms, fluidity: {index: 0.9, share: 0.99}}
";

/// The most memory that a run of so many requests has at once.
///
/// The kernel's figure begins with what the starting process held, which is why these tests have a
/// binary of their own.
fn bytes_with(requests: u64, replicas: u32, jobs: &str) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("s.yaml");
    let scenario = SCENARIO
        .replace("requests: 1\n", &format!("requests: {requests}\n"))
        .replace("replicas: 1\n", &format!("replicas: {replicas}\n"))
        .replace("rate: 2000", &format!("rate: {}", 2000 * replicas));
    fs::write(&file, scenario).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
    command.arg("run").arg(&file).args(["-q", "--jobs", jobs, "--format", "quiet"]);
    let mut run = command.stdin(Stdio::null()).spawn().expect("the program");
    let ended = run.wait4().expect("a process of ours");
    assert!(ended.status.success(), "{}", ended.status);
    let peak = ended.rusage.maxrss;
    let own = own_peak();
    assert!(peak > 2 * own, "{peak} bytes say nothing beside {own} of the test itself");
    peak
}

/// The most memory that this process has had at once.
fn own_peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("every process has one");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux has it");
    let kb: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    kb * 1024
}

/// Bytes that a further request takes.
fn bytes_each(replicas: u32, jobs: &str) -> f64 {
    const N: u64 = 600_000;
    let (few, many) = (bytes_with(N, replicas, jobs), bytes_with(3 * N, replicas, jobs));
    (many - few) as f64 / (2 * N) as f64
}

/// 32 bytes for the drawn request, 64 for its row, 20 for what a summary gathers, and a little for
/// the iterations.
#[test]
fn a_request_takes_120_bytes() {
    let each = bytes_each(1, "1");
    assert!((90.0..=120.0).contains(&each), "{each} bytes a request");
}

/// Of replicas that are played apart: 32 bytes for the drawn request, twice 64 for its row while rows
/// are put together, 24 for its route, 12 for where it stands, and a little for the iterations.
#[test]
fn a_request_of_a_fleet_takes_200_bytes() {
    let each = bytes_each(4, "2");
    assert!((100.0..=200.0).contains(&each), "{each} bytes a request");
}
