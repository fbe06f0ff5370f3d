//! `metron-sim sweep` and `merge`: combinations, shards, resuming, the front.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::stopped::{kept, stop};

const SCENARIO: &str = "
seed: 7
schedulers:
  - sarathi: {chunk_size: 64}
engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 4000, kv_block_tokens: 16, max_model_len: 4096}
workload:
  requests: 60
  arrivals: {poisson: {rate: 3}}
  lengths: {prompt: {lognormal: {mean: 200, sigma: 0.5}}, output: {fixed: 20}}
slo: {ttft: 1s, tbt: 25ms}
";
const GRID: [&str; 4] =
    ["--vary", "schedulers.sarathi.chunk_size=32,64", "--vary", "replicas=1,2,3"];

fn sweep(folder: &Path, flags: &[&str]) -> Command {
    fs::write(folder.join("s.yaml"), SCENARIO).expect("writable");
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    command.current_dir(folder).args(["sweep", "s.yaml", "-q"]).args(GRID).args(flags);
    command
}

#[test]
fn shards_merge_to_the_bytes_of_the_whole_and_threads_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let pareto = ["--pareto", "throughput.output_tokens_per_s,ttft_s.p99"];
    let json = ["--format", "json"];
    let whole = |jobs: &str| {
        let mut command = sweep(at, &json);
        command.args(["--jobs", jobs]).args(pareto).assert().code(0).get_output().stdout.clone()
    };
    let one = whole("1");
    assert_eq!(one, whole("2"));
    for shard in ["1", "2"] {
        let flags = ["--shard", &format!("{shard}/2"), "-o", &format!("{shard}.json")];
        sweep(at, &json).args(flags).assert().code(0);
    }
    let mut merge = Command::cargo_bin("metron-sim").expect("built");
    merge.current_dir(at).args(["merge", "2.json", "1.json"]).args(json).args(pareto);
    assert_eq!(merge.assert().code(0).get_output().stdout, one);
    let mut twice = Command::cargo_bin("metron-sim").expect("built");
    twice.current_dir(at).args(["merge", "1.json", "1.json"]).assert().code(2);
    let mut half = Command::cargo_bin("metron-sim").expect("built");
    half.current_dir(at).args(["merge", "1.json"]).assert().code(2);
    let value: Value = serde_json::from_slice(&one).expect("JSON");
    assert_eq!(value["points"].as_array().map(Vec::len), Some(6));
    assert!(!value["sensitivities"].as_array().expect("a list").is_empty());
}

#[test]
fn an_interrupted_sweep_goes_on_from_its_finished_points() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let command = |output: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_metron-sim"));
        command.current_dir(at).args(["sweep", "s.yaml", "--jobs", "1", "--format", "json"]);
        command.args(GRID).args(["-o", output]).stderr(std::process::Stdio::piped());
        command
    };
    let points = at.join("out.json.points");
    // One that is through before anybody looks is too short.
    let killed = [30_000, 60_000, 120_000, 240_000].iter().any(|requests| {
        fs::write(at.join("s.yaml"), SCENARIO.replace("60", &requests.to_string()))
            .expect("writable");
        let _ = fs::remove_file(at.join("out.json"));
        let sweep = command("out.json").spawn().expect("started");
        stop(sweep, "-KILL", |_| kept(&points) > 0).is_some()
    });
    assert!(killed && kept(&points) > 0, "killed in the middle");
    assert!(!at.join("out.json").exists(), "nothing half written");
    // What is no point is worked out again.
    fs::write(points.join("0000000000000000.json"), "{half").expect("writable");

    let again = command("out.json").output().expect("ran");
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success(), "{told}");
    assert!(told.contains("of them from before") && !told.contains("(0 of"), "{told}");
    assert!(!points.exists(), "nothing is left beside a whole result");
    assert!(command("whole.json").output().expect("ran").status.success());
    assert_eq!(
        fs::read(at.join("out.json")).expect("there"),
        fs::read(at.join("whole.json")).expect("there")
    );
}

/// A sweep of capacity searches that is killed, or interrupted by hand, goes on from the simulations
/// and points that it had finished, to the bytes of one that was left alone.
#[test]
fn an_interrupted_sweep_of_capacities_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    fs::write(at.join("s.yaml"), SCENARIO.replace("60", "4000")).expect("writable");
    let command = |output: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_metron-sim"));
        let flags = ["--capacity", "--seeds", "1", "--precision", "5%", "--jobs", "1"];
        command.current_dir(at).args(["sweep", "s.yaml", "--format", "json"]).args(flags);
        command.args(GRID).args(["-o", output]).stderr(std::process::Stdio::piped());
        command
    };
    assert!(command("whole.json").output().expect("ran").status.success());
    for (signal, output) in [("-KILL", "killed.json"), ("-INT", "interrupted.json")] {
        let points = at.join(format!("{output}.points"));
        let stopped = (0..20).find_map(|_| {
            let _ = fs::remove_file(at.join(output));
            let sweep = command(output).spawn().expect("started");
            stop(sweep, signal, |_| kept(&points) > 0)
        });
        let status = stopped.expect("every sweep was through before it was looked at");
        assert_eq!(status.code(), if signal == "-INT" { Some(130) } else { None }, "{signal}");
        let before = kept(&points);
        assert!(before >= 1, "{signal}: stopped in the middle");
        assert!(!at.join(output).exists(), "{signal}: nothing half written");
        let again = command(output).output().expect("ran");
        let told = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(again.status.success(), "{told}");
        assert!(told.contains("from before") && !told.contains("(0 of"), "{signal}: {told}");
        assert!(!points.exists(), "nothing is left beside a whole result");
        let bytes = |name: &str| fs::read(at.join(name)).expect("there");
        assert!(bytes(output) == bytes("whole.json"), "{signal}");
    }
}

#[test]
fn a_combination_that_is_no_scenario_is_told_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    sweep(at, &["--vary", "seed=1,x", "-o", "bad.json"]).assert().code(2);
    assert!(!at.join("bad.json").exists());
}

#[test]
fn csv_has_a_row_for_each_run_and_the_fields_in_front() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = sweep(folder.path(), &["--format", "csv"]).assert().code(0).get_output().clone();
    let mut reader = csv::Reader::from_reader(out.stdout.as_slice());
    let headers = reader.headers().expect("a header").clone();
    assert_eq!(&headers[1], "schedulers.sarathi.chunk_size");
    assert!(headers.iter().any(|name| name == "ttft_s.p99"));
    assert_eq!(reader.records().count(), 6);
}

#[test]
fn a_sweep_of_capacities_says_what_each_change_is_worth() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--capacity", "--seeds", "1", "--precision", "10%"];
    let out = sweep(folder.path(), &flags).assert().code(0).get_output().stdout.clone();
    let text = String::from_utf8(out).expect("text");
    assert!(text.contains("replicas 1 -> 2: capacity +"), "{text}");
}
