//! Prompts are new to the server in each run, so that its cache does not answer; and what a run may cost.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{mock, pose, prepared};

/// Half of the prompts begin alike, within a run.
const CACHING: &str = "
engine: {profile: {fixed: {iteration: 2ms}}, kv_blocks: 4000, max_model_len: 1024, prefix_caching: true}
schedulers: [vllm-v1]
workload:
  requests: 8
  arrivals: {poisson: {rate: 20}}
  lengths: {prompt: {fixed: 96}, output: {fixed: 2}}
  prefix_groups: {count: 1, tokens: 64, share: 1.0}
slo: {ttft: 10s, tbt: 10s, fluidity: {index: 0.9, share: 0.99}}
";

fn bench(folder: &Path, url: &str, more: &[&str]) -> Output {
    let args = [&["bench", "live.yaml", "--url", url], more].concat();
    let program = env!("CARGO_BIN_EXE_metron-sim");
    Command::new(program).args(args).current_dir(folder).output().expect("it starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Prompt tokens that were cached.
fn cached(folder: &Path, url: &str, more: &[&str]) -> u64 {
    let output = bench(folder, url, &[&["--format", "json"], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    result["runs"][0]["measured"]["cached_tokens"].as_u64().expect("the server says it")
}

fn serving() -> (tempfile::TempDir, metron_sim::live::mock::Mock, String) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("live.yaml"), CACHING).expect("written");
    let mock = mock(&prepared(CACHING), pose());
    let url = format!("http://{}", mock.address());
    (folder, mock, url)
}

#[test]
fn a_second_run_finds_nothing_of_the_first_in_the_servers_cache() {
    let (folder, mock, url) = serving();
    let at = folder.path();
    // The first of the group brings what the other seven find, at most: it may not be done in time.
    let shared = 7 * 64;
    for _ in 0..2 {
        assert!(cached(at, &url, &[]) <= shared);
    }
    let seed = ["--prompts-seed", "5"];
    assert!(cached(at, &url, &seed) <= shared);
    assert!(cached(at, &url, &seed) > shared, "the same prompts again");
    mock.stop();
}

#[test]
fn limits_hold_for_all_that_is_sent() {
    let (folder, mock, url) = serving();
    let at = folder.path();
    for (limit, code, words) in [
        ("--max-requests=2", 2, "raise --max-requests"),
        ("--max-tokens=90", 2, "raise --max-requests or --max-tokens"),
        ("--max-requests=8", 0, "--max-requests was reached"),
    ] {
        let output = bench(at, &url, &[limit]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{limit}: {said}");
        assert!(said.contains(words), "{limit}: {said}");
    }
    mock.stop();
    let (folder, mock, url) = serving();
    assert_eq!(bench(folder.path(), &url, &["--max-requests=8"]).status.code(), Some(0));
    let (played, _) = mock.stop();
    assert_eq!(played.outcome.trace.requests.len(), 8);
}

#[test]
fn what_has_no_such_result_is_refused() {
    let (folder, mock, url) = serving();
    for (args, words) in [
        (&["--capacity", "--yes", "--format", "json"][..], "leave out --format json"),
        (&["--capacity", "--yes", "--tokens", "t.csv"], "--tokens"),
        (&["--prefill-curve", "c.csv", "--format", "json"], "leave out --format json"),
        (&["--prefill-curve", "c.csv", "-o", "cv.txt"], "leave out -o"),
    ] {
        let output = bench(folder.path(), &url, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(words), "{args:?}: {}", stderr(&output));
    }
    mock.stop();
}
