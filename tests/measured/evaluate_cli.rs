//! `evaluate` and `compare` as a user meets them: round trips, exit codes, formats of the result.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

const SCENARIO: &str = "\
name: small
seed: 1
engine:
  profile: {fixed: {iteration: 20ms}}
  kv_blocks: 512
  max_model_len: 4096
schedulers:
  - vllm-v0: {}
  - sarathi: {chunk_size: 512}
workload:
  requests: 60
  arrivals: {poisson: {rate: 8}}
  lengths: {prompt: {lognormal: {mean: 700, sigma: 0.5, max: 2000}}, output: {uniform: {min: 1, max: 60}}}
slo: {ttft: {prefill_curve_plus: 300ms}, tbt: 25ms}
";

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_metron-sim"))
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats").join(name)
}

/// A run of [`SCENARIO`]: its result, `r.json`, and its tokens, `t.csv`.
fn played() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("s.yaml"), SCENARIO).expect("writable");
    let (code, ..) = out(program()
        .current_dir(&folder)
        .args(["run", "s.yaml", "-q", "--format", "json", "-o", "r.json", "--tokens", "t.csv"]));
    assert_eq!(code, 0);
    folder
}

fn out(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn json(command: &mut Command) -> Value {
    let (code, text, errors) = out(command.args(["--format", "json"]));
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&text).expect("JSON")
}

/// A run's figures that a measured file can have too.
fn shared(run: &Value) -> Value {
    let mut run = run.clone();
    let members = run.as_object_mut().expect("an object");
    let apart = [
        "stalls",
        "iterations",
        "kv",
        "energy",
        "cost",
        "features",
        "warnings",
        "unknown",
        "measured",
    ];
    members.retain(|name, _| !apart.contains(&name.as_str()));
    run
}

/// Promises of every kind, none of them the default one.
const PROMISES: &str = "\
slo:
  ttft: {prefill_curve_plus: 100ms}
  tbt: 21ms
  fluidity: {index: 0.83, share: 0.7}
  bounds: {ttft: {p99: 700ms, mean: 1s}, tbt: {p90: 30ms}, e2e: {p50: 2s}, tpot: {p99: 40ms}}
measure: {skip_first: 1s, skip_last: 500ms}
";

/// Classes with promises of their own; no request is drawn for the last.
const CLASSES: &str = "  classes:
    - {name: chat, share: 0.6, slo: {ttft: 150ms, tbt: 40ms}}
    - {name: batch, share: 0.39}
    - {name: rare, share: 0.01, slo: {ttft: 1s, tbt: 20ms, fluidity: {index: 1.0, share: 1.0}}}
";

#[test]
fn what_run_writes_evaluate_reads_to_the_digit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let promise = "slo: {ttft: {prefill_curve_plus: 300ms}, tbt: 25ms}\n";
    assert!(SCENARIO.ends_with(promise));
    for (horizon, promises) in [
        ("", promise),
        ("  horizon: 4s\n", promise),
        ("", PROMISES),
        (CLASSES, PROMISES),
        (CLASSES, promise),
    ] {
        let scenario = SCENARIO
            .replace("workload:\n", &format!("workload:\n{horizon}"))
            .replace(promise, promises);
        fs::write(path("s.yaml"), scenario).expect("writable");
        for name in ["t.csv", "t.jsonl"] {
            let ran = json(
                program().current_dir(&folder).args(["run", "s.yaml", "-q", "--tokens", name]),
            );
            let read = json(program().current_dir(&folder).args(["evaluate", name]));
            let runs = |result: &Value| result["runs"].as_array().expect("runs").clone();
            assert_eq!(runs(&ran).len(), 2);
            for (ran, read) in runs(&ran).iter().zip(runs(&read)) {
                assert_eq!(shared(ran), shared(&read), "{name} {horizon}");
                let all_ended = read["requests"]["unfinished"] == 0;
                assert_eq!(read["fluidity"]["fluid_tokens_per_s"].is_number(), all_ended);
            }
            let slo = &read["scenario"]["slo"];
            assert!(slo["tbt"].is_null() && slo["fluidity"].is_null(), "nothing was retyped");
            let plots = &runs(&read)[0]["measured"]["plots"];
            for cdf in ["ttft_cdf_s", "tbt_cdf_s", "fluidity_cdf"] {
                let last = plots[cdf].as_array().and_then(|points| points.last()).expect(cdf);
                assert_eq!(last[1], 1.0, "{cdf}");
            }
            assert_eq!(plots["progress"].as_array().map(Vec::len), Some(3));
            let deadlines = &runs(&read)[0]["measured"]["deadlines"];
            assert_eq!(deadlines["tbt"], "stated in the file");
            if horizon.contains("4s") {
                assert!(runs(&ran)[0]["requests"]["unfinished"].as_u64() > Some(0));
            }
        }
    }
}

/// What a run states of very many classes is longer than other texts that are kept.
#[test]
fn runs_of_many_classes_come_back_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let class = |i: u32| {
        format!("    - {{name: class {i:0>80}, share: {i}, slo: {{ttft: {i}ms, tbt: {i}ms}}}}\n")
    };
    let classes: String = (1..=400).map(class).collect();
    let scenario = SCENARIO.replace("workload:\n", &format!("workload:\n  classes:\n{classes}"));
    fs::write(folder.path().join("s.yaml"), scenario).expect("writable");
    for flag in ["--tokens", "--requests"] {
        for name in ["t.csv", "t.jsonl"] {
            let ran =
                json(program().current_dir(&folder).args(["run", "s.yaml", "-q", flag, name]));
            let text = fs::read_to_string(folder.path().join(name)).expect("there");
            assert!(text.lines().any(|line| line.len() > 100_000), "a long cell");
            let read = json(program().current_dir(&folder).args(["evaluate", name]));
            for (ran, read) in (0..2).map(|at| (&ran["runs"][at], &read["runs"][at])) {
                for member in ["requests", "ttft_s", "e2e_s"] {
                    assert_eq!(ran[member], read[member], "{flag} {name} {member}");
                }
                let classes = read["classes"].as_object().expect("classes");
                assert!(classes.len() == 400, "{}", classes.len());
                if flag == "--tokens" {
                    assert_eq!(shared(ran), shared(read), "{name}");
                }
            }
        }
    }
}

/// A text that is longer than a row may be is told, with its place, and not cut.
#[test]
fn texts_longer_than_a_row_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let long = "x".repeat(5 << 20);
    let row = format!(
        r#"{{"scheduler":"{long}","request":0,"index":0,"time_s":1,"arrival_s":0,"status":"completed"}}"#
    );
    fs::write(folder.path().join("t.jsonl"), row).expect("writable");
    let command = ["evaluate", "t.jsonl", "--from", "tokens"];
    let (code, _, errors) = out(program().current_dir(&folder).args(command));
    assert_eq!(code, 2);
    assert!(
        errors.contains("a text of more than 4194304 bytes") && errors.len() < 1000,
        "{errors}"
    );
    assert!(errors.contains("line 1, column"), "{errors}");
}

#[test]
fn flags_come_before_what_the_file_states() {
    let folder = played();
    let read = json(program().current_dir(&folder).args(["evaluate", "t.csv", "--tbt", "10ms"]));
    let deadlines = &read["runs"][0]["measured"]["deadlines"];
    assert_eq!(deadlines["tbt"], "given");
    assert_eq!(deadlines["tbt_s"], 0.01);
    assert_eq!(deadlines["fluidity"], "stated in the file");
    let (_, text, _) =
        out(program().current_dir(&folder).args(["evaluate", "t.csv", "--fluidity", "0.5:0.6"]));
    assert!(text.contains("later tokens: 25.0 ms each (stated in the file)"), "{text}");
    assert!(text.contains("fluid from index 0.5 on, for 60.0 % of requests\n  (given)"), "{text}");
    // A run and its own tokens were judged alike.
    let pair = json(
        program()
            .current_dir(&folder)
            .args(["compare", "r.json", "t.csv", "--run-a", "sarathi", "--run-b", "sarathi"]),
    );
    assert_eq!(pair["flags"], serde_json::json!([]), "{pair}");
}

#[test]
fn files_cut_off_at_a_line_end_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenario = SCENARIO.replace("requests: 60", "requests: 6").replace("max: 60", "max: 4");
    fs::write(folder.path().join("s.yaml"), scenario).expect("writable");
    for (flag, name) in [
        ("--tokens", "t.csv"),
        ("--tokens", "t.jsonl"),
        ("--requests", "r.csv"),
        ("--requests", "r.jsonl"),
    ] {
        let (code, ..) =
            out(program().current_dir(&folder).args(["run", "s.yaml", "-q", flag, name]));
        assert_eq!(code, 0);
        let path = folder.path().join(name);
        let text = fs::read_to_string(&path).expect("written");
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        assert!(lines.len() > 10);
        for kept in 2..lines.len() {
            fs::write(folder.path().join("cut"), lines[..kept].concat()).expect("writable");
            let mut command = program();
            command.current_dir(&folder).args(["evaluate", "cut", "--format", "quiet"]);
            let (code, _, errors) = out(&mut command);
            assert_eq!(code, 2, "{name} with {kept} of {} lines", lines.len());
            assert!(errors.contains("cut off") || errors.contains("end row"), "{errors}");
            assert!(errors.contains("line "), "{errors}");
        }
    }
}

#[test]
fn request_files_give_the_same_latencies_and_true_bounds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(
        folder.path().join("s.yaml"),
        SCENARIO.replace("{prefill_curve_plus: 300ms}", "200ms"),
    )
    .expect("writable");
    for name in ["r.csv", "r.jsonl"] {
        let ran =
            json(program().current_dir(&folder).args(["run", "s.yaml", "-q", "--requests", name]));
        let read = json(program().current_dir(&folder).args(["evaluate", name, "--ttft", "200ms"]));
        for (ran, read) in
            ran["runs"].as_array().expect("runs").iter().zip(read["runs"].as_array().expect("runs"))
        {
            for part in ["requests", "tokens", "ttft_s", "tpot_s", "e2e_s", "throughput"] {
                assert_eq!(ran[part], read[part], "{part}");
            }
            let share = &read["fluidity"]["fluid_request_share"];
            let known = &read["fluidity"]["bounds"]["fluid_request_share"];
            assert!(share.is_null() || known["lower"] == known["upper"], "{known}");
            assert!(read.get("tbt_s").is_none());
            let bounds = &read["measured"]["fluidity_bounds"];
            let within = |low: &Value, value: &Value, high: &Value| {
                let [low, value, high] = [low, value, high].map(|v| v.as_f64().expect("a number"));
                assert!(low <= value + 1e-12 && value <= high + 1e-12, "{low} {value} {high}");
            };
            let fluidity = &ran["fluidity"];
            for p in ["mean", "p1", "p5", "p50"] {
                within(
                    &bounds["index_at_least"][p],
                    &fluidity["index"][p],
                    &bounds["index_at_most"][p],
                );
            }
            within(
                &bounds["service_miss_rate_at_least"],
                &fluidity["service_miss_rate"],
                &bounds["service_miss_rate_at_most"],
            );
        }
    }
}

#[test]
fn assertions_decide_the_exit_code() {
    let file = data("vllm/detailed.json");
    let with = |assertion: &str| {
        let mut command = program();
        command.arg("evaluate").arg(&file).args(["-q", "--format", "quiet", "--assert", assertion]);
        out(&mut command)
    };
    assert_eq!(with("ttft_s.p99 < 0.5").0, 0);
    assert_eq!(with("tbt_s.max < 0.06").0, 3);
    let (code, _, errors) = with("ttft.p99 < 0.5");
    assert_eq!(code, 2);
    assert!(errors.contains("did you mean `ttft_s.p99`?"), "{errors}");
    assert_eq!(with("nonsense").0, 2);
    // A figure that the file cannot give holds no assertion.
    assert_eq!(with("scheduling_delay_s.p99 < 100").0, 3);
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("s.yaml"), SCENARIO).expect("writable");
    let run = |assertion: &str| {
        let mut command = program();
        command.current_dir(&folder).args(["run", "s.yaml", "-q", "--assert", assertion]);
        out(&mut command).0
    };
    assert_eq!(run("requests.completed == 60"), 0);
    assert_eq!(run("requests.completed < 60"), 3);
    assert_eq!(run("request.completed < 60"), 2);
    // A misspelt path is told before anything is read.
    for args in [
        &["run", "none.yaml"][..],
        &["evaluate", "none.json"],
        &["capacity", "none.yaml"],
        &["sweep", "none.yaml", "--capacity", "--vary", "replicas=1,2"],
    ] {
        let mut command = program();
        let (code, text, errors) = out(command.args(args).args(["--assert", "ttft_s.p98 < 1"]));
        assert_eq!(code, 2, "{args:?}");
        assert!(text.is_empty());
        assert!(errors.contains("did you mean `ttft_s.p9"), "{args:?}: {errors}");
    }
}

#[test]
fn bad_files_and_flags_exit_with_2() {
    let detailed = data("vllm/detailed.json");
    let detailed = detailed.to_str().expect("text");
    for args in [
        vec!["evaluate", "no-such-file.json"],
        vec!["evaluate", "Cargo.toml"],
        vec!["evaluate"],
        vec!["evaluate", detailed, "--from", "sglang", "--format", "quiet", "-o", "x"],
        vec!["evaluate", detailed, "--from", "vlm"],
        vec!["evaluate", detailed, "--from", "guidellm"],
        vec!["evaluate", detailed, "--tbt", "25"],
        vec!["evaluate", detailed, "--tbt", "0ms"],
        vec!["evaluate", detailed, "--fluidity", "0.9"],
        vec!["evaluate", detailed, "--fluidity", "1.9:0.5"],
        vec!["evaluate", detailed, "--ttft", "1s", "--ttft-fit"],
        vec!["evaluate", detailed, "--ttft-slack", "1s"],
        vec!["evaluate", detailed, "--ttft-curve", "no-such-curve.csv"],
        vec!["compare", detailed],
        vec!["compare", detailed, "no-such-file.json"],
    ] {
        let (code, text, errors) =
            out(program().current_dir(env!("CARGO_MANIFEST_DIR")).args(&args));
        assert_eq!(code, 2, "{args:?}: {errors}");
        assert!(text.is_empty() && !errors.is_empty(), "{args:?}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
}

#[test]
fn curves_from_files_and_from_the_measurement() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = data("vllm/detailed.json");
    let curves = [
        ("c.csv", "prompt_tokens,seconds\n1,0.010\n20,0.020\n"),
        ("c.json", "[[1, 0.010], [20, 0.020]]"),
        (
            "d.json",
            r#"[{"prompt_tokens": 1, "seconds": 0.01}, {"prompt_tokens": 20, "seconds": 2e-2}]"#,
        ),
    ];
    let mut results = Vec::new();
    for (name, text) in curves {
        fs::write(folder.path().join(name), text).expect("writable");
        let mut command = program();
        command.current_dir(&folder).arg("evaluate").arg(&file);
        let result = json(command.args(["--ttft-curve", name, "--ttft-slack", "30ms"]));
        let notes = result["runs"][0]["measured"]["notes"].to_string();
        assert!(notes.contains("1 of 8 prompts lie outside"), "{notes}");
        results.push(result["runs"][0]["fluidity"].clone());
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
    // 40 ms for most and about 53 ms taken: every first token is late.
    assert!(results[0]["service_miss_rate"].as_f64() > Some(0.0));
    let fitted = json(program().arg("evaluate").arg(&file).arg("--ttft-fit"));
    let notes = fitted["runs"][0]["measured"]["notes"].to_string();
    assert!(notes.contains("fitted to this file's own"), "{notes}");
    let untold = data("sglang/detailed.jsonl");
    assert_eq!(out(program().arg("evaluate").arg(&untold).arg("--ttft-fit")).0, 2);
}

#[test]
fn several_files_stand_side_by_side() {
    let files =
        [data("vllm/detailed.json"), data("sglang/detailed.jsonl"), data("guidellm/guidellm.json")];
    let (code, text, errors) = out(program().arg("evaluate").args(&files).args(["--ttft", "1s"]));
    assert_eq!(code, 0, "{errors}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(
        text.contains("unknown: tbt_s: the file has first and last token times only"),
        "{text}"
    );
    let (_, table, _) = out(program().arg("evaluate").args(&files).args(["--format", "csv"]));
    assert_eq!(table.lines().count(), 4, "{table}");
    for secret in ["alpha", "gamma"] {
        let (_, all, errors) =
            out(program().arg("evaluate").args(&files).args(["--format", "json"]));
        assert!(!all.contains(secret) && !errors.contains(secret));
    }
}

#[test]
fn compare_gives_ratios_and_flags_what_differs() {
    let folder = played();
    let (code, _, errors) =
        out(program().current_dir(&folder).args(["compare", "r.json", "t.csv"]));
    assert_eq!(code, 2);
    assert!(errors.contains("--run-a") && errors.contains("sarathi(chunk_size=512)"), "{errors}");
    let pair = json(
        program()
            .current_dir(&folder)
            .args(["compare", "r.json", "t.csv", "--run-a", "vllm-v0", "--run-b", "vllm-v0"]),
    );
    let metric = |pair: &Value, name: &str| {
        let metrics = pair["metrics"].as_array().expect("metrics");
        metrics.iter().find(|m| m["metric"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    assert_eq!(metric(&pair, "ttft_s.p99")["ratio"], 1.0);
    assert_eq!(metric(&pair, "ttft_s.p99")["comparable"], true);
    let pair = json(
        program()
            .arg("compare")
            .arg(data("vllm/detailed.json"))
            .arg(data("guidellm/guidellm.json")),
    );
    assert_eq!(metric(&pair, "tbt_s.p99")["why"], "not known in B");
    let (code, text, _) = out(program()
        .arg("compare")
        .args([data("vllm/detailed.json"), data("sglang/detailed.jsonl")]));
    assert_eq!(code, 0);
    assert!(text.contains("B / A") && text.contains("tbt_s.p99"), "{text}");
}
