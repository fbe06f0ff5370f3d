//! Verdicts that are those of one machine: the engine's own time differs from machine to machine.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

/// What it prints and says, wherever lines break.
fn told(folder: &Path, args: &str) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
    command.current_dir(folder).args(args.split(' ')).env("NO_COLOR", "1");
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("text");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    (text(output.stdout), text(output.stderr))
}

/// A step takes 7.3 ms, of which the engine 0.85: 0 to 1.5 times that on other machines.
const SCENARIO: &str = "\
model: llama-3.1-8b
gpu: h100-sxm
engine: {profile: vllm-0.19}
schedulers: [sarathi]
workload: {requests: 20, arrivals: {constant: {rate: 0.5}}, lengths: {prompt: {fixed: 50}, output: {fixed: 40}}}
slo: {ttft: 1s, tbt: 50ms, bounds: {tpot: {p99: 7.5ms}}}
";

#[test]
fn a_verdict_that_another_machine_turns_around_is_warned_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    fs::write(at.join("s.yaml"), SCENARIO).expect("writable");
    let turned = "the machine decides: it keeps the SLO here, and misses the SLO at 1.5 times the engine's \
                  own time";
    let (json, stderr) = told(at, "run s.yaml --format json");
    let result: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(result["runs"][0]["warnings"], serde_json::json!([turned]));
    assert!(stderr.contains(&format!("sarathi: {turned}")), "{stderr}");
    // Only those who ask hear that it holds at both ends.
    let (json, _) = told(at, "run s.yaml --format json --set slo.bounds.tpot.p99=8ms");
    let result: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(result["runs"][0].get("warnings"), None);
    let (_, stderr) = told(at, "run s.yaml --set slo.bounds.tpot.p99=8ms --host-range");
    let holds = "sarathi keeps the SLO with 0 to 1.5 times the engine's own time as well";
    assert!(stderr.contains(holds), "{stderr}");
}

#[test]
fn a_capacity_says_that_it_is_of_one_machine() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    fs::write(at.join("s.yaml"), SCENARIO).expect("writable");
    let (text, _) = told(at, "capacity s.yaml --seeds 1 --set slo.bounds.tpot.p99=8ms");
    assert!(text.contains("0 to 1.5 times as long: --host-range searches there too"), "{text}");
    let (text, _) =
        told(at, "capacity s.yaml --seeds 1 --set slo.bounds.tpot.p99=8ms --host-range");
    assert!(text.contains("on machines with 1.5 to 0 times the engine's own time"), "{text}");
}
