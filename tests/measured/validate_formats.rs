//! `validate` and `calibrate` read what `evaluate` reads, and every JSON result follows its schema.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

const SCENARIO: &str = "\
seed: 3
engine: {profile: {fixed: {iteration: 15ms}}, kv_blocks: 900, max_model_len: 4096}
schedulers: [sarathi: {chunk_size: 512}]
workload:
  requests: 40
  arrivals: {poisson: {rate: 6}}
  lengths: {prompt: {uniform: {min: 50, max: 900}}, output: {uniform: {min: 1, max: 40}}}
";

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
    command.current_dir(folder);
    command
}

fn out(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn json(command: &mut Command) -> Value {
    let (code, text, errors) = out(command.args(["--format", "json", "-q"]));
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&text).expect("JSON")
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats").join(name)
}

/// A folder with the scenario, and what it writes of one run.
fn set_up() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("s.yaml"), SCENARIO).expect("writable");
    for (flag, name) in [
        ("--tokens", "t.csv"),
        ("--tokens", "t.jsonl"),
        ("--requests", "r.csv"),
        ("--requests", "r.jsonl"),
    ] {
        let (code, _, errors) =
            out(program(folder.path()).args(["run", "s.yaml", "-q", flag, name]));
        assert_eq!(code, 0, "{errors}");
    }
    folder
}

#[test]
fn a_simulation_validates_its_own_files_without_an_error() {
    let folder = set_up();
    for name in ["t.csv", "t.jsonl", "r.csv", "r.jsonl"] {
        let result = json(program(folder.path()).args(["validate", "s.yaml", "--observed", name]));
        let rows = result["validation"].as_array().expect("rows");
        assert!(rows.len() > 15, "{name}");
        for row in rows {
            let error = row["error"].as_f64().unwrap_or_else(|| panic!("{name}: {row}"));
            assert!(error.abs() < 1e-6, "{name}: {row}");
        }
        assert_eq!(result["runs"][0]["unqueued"]["requests"].as_u64().map(|n| n > 0), Some(true));
    }
}

#[test]
fn files_of_clients_are_replayed_or_refused_with_the_reason() {
    let folder = set_up();
    for (name, requests) in [
        ("vllm/detailed.json", 8),
        ("aiperf/profile_export.jsonl", 3),
        ("aiperf/profile_export_raw.jsonl", 3),
        ("guidellm/guidellm.json", 2),
        ("inference-perf/per_request_lifecycle_metrics.json", 1),
        ("blis/blis_tracev2.csv", 1),
    ] {
        let path = data(name);
        let mut command = program(folder.path());
        let result = json(command.args(["validate", "s.yaml", "--observed"]).arg(&path));
        assert!(result["runs"][0]["requests"]["offered"].as_u64() >= Some(requests), "{name}");
        let ttft = &result["validation"][0];
        assert_eq!(ttft["metric"], "ttft_s");
        assert!(ttft["observed"].as_f64() > Some(0.0), "{name}: {ttft}");
        let warnings = result["warnings"].to_string();
        assert!(warnings.contains("does not tell when requests were queued"), "{warnings}");
    }
    for (name, why) in [
        ("vllm/no_details.json", "does not tell when"),
        ("sglang/detailed.jsonl", "does not tell when requests were sent"),
        ("etalon/request_level_metrics.json", "does not tell when requests were sent"),
    ] {
        let path = data(name);
        for (command, extra) in [("validate", vec![]), ("calibrate", vec!["-o", "p.yaml"])] {
            let mut run = program(folder.path());
            run.args([command, "s.yaml"]).args(extra).arg("--observed").arg(&path);
            let (code, _, errors) = out(&mut run);
            assert_eq!(code, 2, "{name}");
            assert!(errors.contains(why), "{name}: {errors}");
        }
    }
    let folder = folder.path();
    fs::write(folder.join("cut.jsonl"), "{\"scheduler\": \"a\", \"request\": 0, \"ind")
        .expect("writable");
    fs::write(folder.join("empty.csv"), "").expect("writable");
    for name in ["cut.jsonl", "empty.csv", "none.csv", "s.yaml"] {
        let (code, _, errors) =
            out(program(folder).args(["validate", "s.yaml", "--observed", name]));
        assert_eq!(code, 2, "{name}: {errors}");
    }
}

#[test]
fn one_of_several_runs_is_picked_by_its_label() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let two = SCENARIO.replace("[sarathi: {chunk_size: 512}]", "[vllm-v0: {}, orca: {}]");
    fs::write(folder.path().join("s.yaml"), two).expect("writable");
    let (code, ..) = out(program(folder.path()).args(["run", "s.yaml", "-q", "--tokens", "t.csv"]));
    assert_eq!(code, 0);
    let validate = ["validate", "s.yaml", "--observed", "t.csv"];
    let (code, _, errors) = out(program(folder.path()).args(validate));
    assert_eq!(code, 2);
    assert!(errors.contains("--run of `vllm-v0`, `orca`"), "{errors}");
    let result = json(program(folder.path()).args(validate).args(["--run", "orca"]));
    let orca = &result["runs"][1]["validation"][0];
    assert!(orca["error"].as_f64().expect("a number").abs() < 1e-6, "{orca}");
}

fn validator(folder: &Path, what: &str) -> jsonschema::Validator {
    let (code, text, _) = out(program(folder).args(["schema", what]));
    assert_eq!(code, 0);
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

fn follows(validator: &jsonschema::Validator, name: &str, instance: &Value) {
    let wrong: Vec<String> =
        validator.iter_errors(instance).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(wrong.is_empty(), "{name}: {wrong:?}");
}

#[test]
fn every_result_follows_its_schema() {
    let folder = set_up();
    let folder = folder.path();
    let result = validator(folder, "result");
    let own = json(program(folder).args(["run", "s.yaml"]));
    follows(&result, "run", &own);
    for name in ["t.csv", "r.jsonl"] {
        let mut command = program(folder);
        follows(&result, name, &json(command.args(["evaluate", name, "--metrics", "full"])));
    }
    for name in [
        "vllm/detailed.json",
        "vllm/no_details.json",
        "sglang/detailed.jsonl",
        "aiperf/profile_export.jsonl",
        "guidellm/guidellm.json",
        "inference-perf/per_request_lifecycle_metrics.json",
        "etalon/request_level_metrics.json",
        "blis/blis_tracev2.csv",
    ] {
        follows(&result, name, &json(program(folder).arg("evaluate").arg(data(name))));
    }
    let validated = json(program(folder).args(["validate", "s.yaml", "--observed", "t.csv"]));
    follows(&result, "validate", &validated);
    fs::write(folder.join("own.json"), own.to_string()).expect("writable");
    let comparison = validator(folder, "comparison");
    for b in [PathBuf::from("t.csv"), data("vllm/detailed.json"), data("guidellm/guidellm.json")] {
        let compared = json(program(folder).args(["compare", "own.json"]).arg(&b));
        follows(&comparison, "compare", &compared);
    }
    // The schemas are no rubber stamps.
    let damaged = |pointer: &str, value: Value| {
        let mut damaged = validated.clone();
        *damaged.pointer_mut(pointer).expect(pointer) = value;
        damaged
    };
    for pointer in ["/runs/0/label", "/runs/0/ttft_s/p99", "/validation/0/metric", "/validation"] {
        assert!(!result.is_valid(&damaged(pointer, Value::from(true))), "{pointer}");
    }
    assert!(!comparison.is_valid(&own));
    let mut without = own.clone();
    without["runs"][0].as_object_mut().expect("a run").remove("fluidity");
    without["runs"][0].as_object_mut().expect("a run").remove("ttft_s");
    assert!(!result.is_valid(&without));
}
