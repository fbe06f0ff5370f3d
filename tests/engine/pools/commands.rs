//! Every command knows pools.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

use crate::pools::support::*;

fn run(folder: &Path, flags: &[&str]) -> Output {
    fs::write(folder.join("s.yaml"), TWO_GPUS).unwrap();
    let mut command = Command::cargo_bin("metron-sim").unwrap();
    command.current_dir(folder).args(flags).args(["-q"]).output().unwrap()
}

#[test]
fn commands_know_pools() {
    let folder = tempfile::tempdir().unwrap();
    let text = |flags: &[&str]| {
        let output = run(folder.path(), flags);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!([Some(0), Some(3)].contains(&output.status.code()), "{flags:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    };
    let file = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();

    let flags =
        ["run", "s.yaml", "--timeline", "t.json", "--report", "r.html", "--requests", "q.csv"];
    let told = text(&flags);
    for words in [
        "2 pools with 4 replicas",
        "pool fast: h100-sxm, 2 replicas",
        "pool cheap: 2 x l40s",
        "GPUs busy",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let timeline: Value = serde_json::from_str(&file("t.json")).unwrap();
    let names: Vec<&str> = timeline["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .filter_map(|event| event["args"]["name"].as_str())
        .collect();
    for name in [
        "replica 0 of fast",
        "replica 1 of fast",
        "replica 2 of cheap lane 0",
        "replica 3 of cheap lane 1",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(file("r.html").contains("\"pool\":\"cheap\""));

    let told = text(&["explain", "s.yaml"]);
    assert!(told.contains(" (pool cheap) ") || told.contains(" (pool fast) "), "{told}");
    assert!(told.contains("-> 3 (pool cheap)"), "cures are tried where the stall was: {told}");
    let told = text(&["capacity", "s.yaml", "--seeds", "1", "--precision", "20%"]);
    assert!(told.starts_with("llama-3.1-8b on 2 x h100-sxm + 4 x l40s, vllm-v1: "), "{told}");
    assert!(told.contains(" requests/s in all "), "{told}");
    let told = text(&["capacity", "s.yaml", "--for-rate", "9", "--seeds", "1"]);
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("for 9.00 requests/s take 3 GPUs, replicas: cheap 1, fast 1"), "{told}");
    let told = text(&[
        "sweep",
        "s.yaml",
        "--vary",
        "pools.fast.replicas=1,2",
        "--vary",
        "pools.1.replicas=1,2",
    ]);
    assert!(
        told.contains("fast.replicas 1 -> 2: ") && told.contains("\n1.replicas 1 -> 2: "),
        "{told}"
    );

    let schema: Value = serde_json::from_str(&text(&["schema", "result"])).unwrap();
    let result: Value =
        serde_json::from_str(&text(&["run", "s.yaml", "--format", "json"])).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&result).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(result["runs"][0]["pools"]["cheap"]["gpus"], 4);
    let schema: Value = serde_json::from_str(&text(&["schema", "scenario"])).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> =
        validator.iter_errors(&result["scenario"]).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let told = text(&["run", "s.yaml", "--format", "quiet", "--assert", "pools.cheap.rejected<=0"]);
    assert!(told.is_empty(), "{told}");
}
