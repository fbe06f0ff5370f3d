//! What the fast path once got wrong, by both paths; `explain`, whose answers rest on the reasons that
//! policies give; and replicas that are stuck. The files of `tests/data/cases` are from `shared/cases`.

use assert_cmd::Command;
use serde_json::Value;

fn metron(args: &[&str]) -> std::process::Output {
    let mut command = Command::cargo_bin("metron-sim").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args).arg("-q").output().unwrap()
}

/// The result of a command by both paths: equal bytes.
pub(crate) fn by_both(args: &[&str]) -> Value {
    let output = |args: &[&str]| {
        let output = metron(args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {told}");
        output.stdout
    };
    let args = [args, &["--format", "json"]].concat();
    let fast = output(&args);
    assert!(fast == output(&[&args[..], &["--reference"]].concat()), "{args:?} --reference");
    serde_json::from_slice(&fast).unwrap()
}

/// A request that is alone is not charged the watermark, although the policy has scheduled all
/// decodes of nobody.
#[test]
fn a_watermark_holds_nobody_back_who_is_alone() {
    let requests = |file: &Value| file["runs"][0]["requests"].clone();
    let alone = by_both(&["run", "tests/data/cases/watermark-alone.yaml"]);
    assert_eq!(requests(&alone)["completed"], 3);
    let fleet = by_both(&["run", "tests/data/cases/watermark-fleet.yaml"]);
    assert_eq!(requests(&fleet)["unfinished"], 2, "{}", requests(&fleet));
}

/// As decodes take the free blocks, memory becomes the reason for which the queue waits.
#[test]
fn reasons_change_as_memory_runs_out() {
    let file = by_both(&["explain", "tests/data/cases/splitfuse-reason.yaml"]);
    let causes = file["runs"][0]["misses"]["by_cause"].as_object().unwrap();
    assert_eq!((&causes["no_kv_blocks"], &causes["no_seat"]), (&1553.into(), &1296.into()));
}

/// Cures are tried by the path that is asked for, too.
#[test]
fn explanations_are_the_same_by_both_paths() {
    let scarce = "engine.kv_blocks=1500";
    for (scenario, set) in [
        ("scenarios/chat.yaml", &["workload.requests=40", "engine.max_model_len=8192", scarce][..]),
        ("scenarios/burst.yaml", &["workload.requests=60"]),
        ("scenarios/mixed-fleet.yaml", &["workload.requests=60", "horizon=20s"]),
        ("scenarios/two-models.yaml", &["workload.requests=60", "horizon=20s"]),
        ("tests/data/cases/watermark-fleet.yaml", &["horizon=10s", "workload.requests=60"]),
    ] {
        let set = set.iter().flat_map(|set| ["--set", set]);
        let args: Vec<&str> = ["explain", scenario].into_iter().chain(set).collect();
        let file = by_both(&args);
        assert!(!file["runs"].as_array().unwrap().is_empty());
    }
}

/// A preempted request that has outgrown the token budget, and finds none of its blocks again, waits for
/// ever: vLLM V1 without chunks hangs on it too.
const STUCK: &str = "
schedulers: [{vllm-v1: {enable_chunked_prefill: false, max_num_batched_tokens: 64}}]
engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 11, kv_block_tokens: 16, max_model_len: 128, prefix_caching: false, async_scheduling: false}
workload:
  requests: 40
  arrivals: {constant: {rate: 1}}
  lengths: {prompt: {fixed: 60}, output: {fixed: 40}}
slo: {ttft: 1s, tbt: 25ms}
";

/// What a scenario's runs end with by both paths: the exit code and what is told.
fn end(scenario: &str, set: &[&str]) -> (Option<i32>, String) {
    let run = |flags: &[&str]| {
        let mut command = Command::cargo_bin("metron-sim").unwrap();
        command.args(["run", "-", "-q", "--format", "quiet"]).args(flags);
        command.args(set.iter().flat_map(|set| ["--set", set]));
        let output = command.write_stdin(scenario).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let fast = run(&[]);
    assert_eq!(fast, run(&["--reference"]), "{set:?}");
    assert_eq!(fast, run(&["--jobs", "1"]), "{set:?}");
    fast
}

#[test]
fn a_replica_that_is_stuck_is_told_whether_a_horizon_ends_the_run_or_not() {
    let burst = "workload.arrivals=all_at_once";
    let (code, told) = end(STUCK, &[burst]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("stuck at") && told.contains("token budget"), "{told}");
    assert_eq!(end(STUCK, &[burst, "horizon=1h"]), (code, told));
    // Observed before: two requests run, and the others wait.
    assert_eq!(end(STUCK, &[burst, "horizon=20ms"]), (Some(0), String::new()));
    // One by one they have the memory for themselves.
    assert_eq!(end(STUCK, &["horizon=30s"]), (Some(0), String::new()));
}

#[test]
fn one_stuck_replica_among_several_is_found() {
    // By round-robin the second replica gets two requests that overlap, and nobody else does.
    let times = ["0", "0.9", "0.91", "0.92", "0.93", "2", "3", "4", "5", "6"];
    let rows: String = times.iter().map(|at| format!("{at},60,40\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.csv");
    std::fs::write(&file, format!("arrival_s,prompt_tokens,output_tokens\n{rows}")).unwrap();
    let trace = format!("workload={{trace: {{file: {}}}}}", file.display());
    for router in ["round-robin", "random", "least-requests", "power-of-two"] {
        let routed = format!("router={router}");
        let of = |horizon: &str| {
            let set = [trace.as_str(), "replicas=3", &routed, horizon];
            end(STUCK, &set[..if horizon.is_empty() { 3 } else { 4 }])
        };
        let (code, told) = of("");
        // The others are served to the end, and whether observation ends changes nothing.
        assert_eq!(of("horizon=1h"), (code, told.clone()), "{router}");
        if router == "round-robin" {
            assert_eq!(code, Some(1));
            assert!(told.contains("on replica 1: ") && told.contains("is request 4)"), "{told}");
        }
        // Both of them run still.
        assert_eq!(of("horizon=940ms").0, Some(0), "{router}");
    }
}
