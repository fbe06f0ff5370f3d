//! `explain` as a user meets it, the causes in the timeline and in the result, and measured files.

use crate::shared::shared;
use assert_cmd::Command;
use serde_json::Value;

/// Little memory, few seats, and prompts long and short: every kind of wait.
const SCENARIO: &str = "\
name: tight
seed: 3
model: llama-3.1-8b
gpu: rtx-4090
engine: {profile: vllm-0.12, kv_blocks: 600, max_model_len: 4096}
schedulers:
  - vllm-v0: {max_num_seqs: 12}
  - sarathi: {chunk_size: 512, max_num_seqs: 12}
workload:
  requests: 60
  arrivals: {poisson: {rate: 6}}
  lengths: {prompt: {lognormal: {mean: 900, sigma: 0.8, max: 3000}}, output: {uniform: {min: 1, max: 120}}}
slo: {ttft: 300ms, tbt: 50ms}
";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("s.yaml"), SCENARIO).expect("written");
        Folder(folder)
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
        command.current_dir(self.0.path());
        command
    }

    fn out(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.program().args(arguments).output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (code, text, errors) = self.out(&[arguments, &["--format", "json"]].concat());
        assert_eq!(code, 0, "{errors}");
        serde_json::from_str(&text).expect("JSON")
    }

    fn check(&self, what: &str, document: &Value) {
        let (code, schema, errors) = self.out(&["schema", what]);
        assert_eq!(code, 0, "{errors}");
        let schema: Value = serde_json::from_str(&schema).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let errors: Vec<String> =
            validator.iter_errors(document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

fn sum(by_cause: &Value) -> u64 {
    by_cause.as_object().expect("by cause").values().map(|ns| ns.as_u64().expect("ns")).sum()
}

#[test]
fn an_explanation_keeps_its_schema_and_its_sums() {
    let folder = Folder::new();
    let file = folder.json(&["explain", "s.yaml", "--top", "5"]);
    folder.check("explanation", &file);
    let runs = file["runs"].as_array().expect("runs");
    for run in runs {
        assert_eq!(sum(&run["misses"]["by_cause"]), run["misses"]["missed"]);
        let stalls = run["stalls"].as_array().expect("stalls");
        assert!(!stalls.is_empty() && stalls.len() <= 5);
        for stall in stalls {
            assert_eq!(sum(&stall["causes_ns"]), stall["length_ns"]);
        }
        let culprits = run["culprits"].as_array().expect("culprits");
        assert_eq!(culprits.len(), 5);
        for culprit in culprits {
            assert_eq!(sum(&culprit["by_cause_ns"]), culprit["total_ns"]);
            let victims = &culprit["victims"];
            let named = victims["most"].as_array().expect("named").len() as u64;
            assert_eq!(victims["count"], named + victims["more"].as_u64().expect("a count"));
            assert!(victims["worst_ns"].as_u64() >= victims["mean_ns"].as_u64());
        }
        assert!(run["more_culprits"].as_u64() > Some(0));
    }
    // Each scheduler's worst stall is treated, the unchanged run first: it shows the same stall.
    let cures = file["cures"].as_array().expect("cures");
    assert_eq!(cures.len(), runs.len());
    for (cure, run) in cures.iter().zip(runs) {
        let stall = &run["stalls"][0];
        assert_eq!((&cure["request"], &cure["token"]), (&stall["request"], &stall["token"]));
        let was = cure["tried"][0]["figures"]["stall_s"].as_f64().expect("a time");
        let length = stall["length_ns"].as_f64().expect("ns") / 1e9;
        assert!((was - length).abs() < 1e-9, "{was} {length}");
        assert_eq!(cure["tried"][0]["helps"], false);
        for tried in cure["tried"].as_array().expect("tried").iter().skip(1) {
            let effect = tried["effect"].as_str().expect("an effect");
            let helps = ["keeps_promise", "nearer_to_promise", "shorter_stall", "more_tokens"]
                .contains(&effect);
            assert_eq!(tried["helps"], helps, "{tried}");
            let after = tried["figures"]["stall_s"].as_f64();
            if ["shorter_stall", "moved_stall"].contains(&effect) {
                assert!(after.is_some_and(|after| after <= 0.9 * was), "{tried}");
            }
            // The promise of the run as it was is not given away.
            let kept = &tried["figures"]["promise"]["kept"];
            assert!(effect != "breaks_promise" || cure["keeps_promise"] == true, "{tried}");
            assert!(!helps || cure["keeps_promise"] != true || kept == true, "{tried}");
            assert!(!tried["set"].as_array().expect("a list").is_empty());
        }
    }
}

#[test]
fn advice_can_be_run_again() {
    let folder = Folder::new();
    let file = folder.json(&["explain", "s.yaml"]);
    let cure = &file["cures"][0];
    let tried = cure["tried"].as_array().expect("tried");
    let tried = tried.iter().skip(1).find(|tried| tried["figures"].is_object()).expect("one");
    let set: Vec<&str> = tried["set"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| s.as_str().expect("text"))
        .collect();
    let mut arguments = vec!["run", "s.yaml"];
    set.iter().for_each(|one| arguments.extend(["--set", one]));
    let run = &folder.json(&arguments)["runs"][0];
    let figures = &tried["figures"];
    assert_eq!(run["ttft_s"]["p99"], figures["ttft_p99_s"]);
    assert_eq!(run["tbt_s"]["p99"], figures["tbt_p99_s"]);
    assert_eq!(run["throughput"]["output_tokens_per_s"], figures["output_tokens_per_s"]);
    assert_eq!(run["requests"]["completed"], figures["completed"]);
}

#[test]
fn one_request_one_token_and_what_is_not_there() {
    let folder = Folder::new();
    let file = folder.json(&["explain", "s.yaml", "--request", "7", "--top", "2"]);
    folder.check("explanation", &file);
    for run in file["runs"].as_array().expect("runs") {
        let request = &run["request"];
        assert_eq!(request["request"], 7);
        assert_eq!(request["gaps"].as_array().expect("gaps").len(), 2);
        let misses = &request["misses"];
        assert_eq!(sum(&misses["by_cause"]), misses["missed"]);
    }
    let file = folder.json(&["explain", "s.yaml", "--request", "7", "--token", "0"]);
    let gaps = file["runs"][0]["request"]["gaps"].as_array().expect("gaps").clone();
    assert_eq!((gaps.len(), &gaps[0]["token"]), (1, &Value::from(0)));

    let (code, _, errors) = folder.out(&["explain", "s.yaml", "--request", "60"]);
    assert_eq!(code, 2);
    assert!(errors.contains("there are 60 requests, numbered from 0"), "{errors}");
    let (code, _, errors) =
        folder.out(&["explain", "s.yaml", "--request", "7", "--token", "100000"]);
    assert_eq!(code, 2);
    assert!(errors.contains("tokens, numbered from 0"), "{errors}");
    let (code, ..) = folder.out(&["explain", "s.yaml", "--token", "1"]);
    assert_eq!(code, 2, "--token needs --request");
}

#[test]
fn nothing_named_with_top_0_and_totals_are_the_same() {
    let folder = Folder::new();
    let (none, some) =
        (folder.json(&["explain", "s.yaml", "--top", "0"]), folder.json(&["explain", "s.yaml"]));
    for (none, some) in [0, 1].map(|k| (&none["runs"][k], &some["runs"][k])) {
        assert_eq!(none["stalls"], Value::Array(Vec::new()));
        assert_eq!(none["first_token_ns"], some["first_token_ns"]);
        assert_eq!(none["misses"], some["misses"]);
        let named = some["culprits"].as_array().expect("a list").len() as u64;
        let more = some["more_culprits"].as_u64().expect("a count");
        assert_eq!(none["more_culprits"], named + more);
    }
    assert_eq!(none["cures"], Value::Array(Vec::new()));
}

#[test]
fn rejected_unfinished_and_one_token_answers() {
    let folder = Folder::new();
    let hostile = ["--set", "workload.horizon=2s", "--set", "engine.max_model_len=1000"];
    let sets = ["--set", "workload.lengths.output={fixed: 1}"];
    for extra in [&hostile[..], &hostile[2..], &sets[..]] {
        let arguments = [&["explain", "s.yaml", "--top", "1"], extra].concat();
        let (code, _, errors) = folder.out(&arguments);
        // A horizon may stand elsewhere in the scenario; what matters is that nothing panics.
        assert!(code == 0 || code == 2, "{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
    let file = folder.json(&[
        "explain",
        "s.yaml",
        "--set",
        "engine.max_model_len=1000",
        "--request",
        "0",
        "--top",
        "1",
    ]);
    folder.check("explanation", &file);
    let one = folder.json(&["explain", "s.yaml", "--set", "workload.lengths.output={fixed: 1}"]);
    for run in one["runs"].as_array().expect("runs") {
        assert_eq!(run["between_tokens_ns"], serde_json::json!({}), "one token has no gap between");
    }
}

#[test]
fn the_text_tells_culprits_victims_and_cures() {
    let folder = Folder::new();
    let (code, text, errors) = folder.out(&["explain", "s.yaml"]);
    assert_eq!(code, 0, "{errors}");
    for part in [
        "missed deadlines from",
        "fluidity 0.",
        "by request",
        "cost ",
        "each (the worst",
        "more requests delayed others.",
        "What would have helped vllm-v0",
        "as it was",
        "What would have helped sarathi",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert_eq!(text, folder.out(&["explain", "s.yaml", "--jobs", "1"]).1, "on one thread too");
}

#[test]
fn the_result_says_where_the_time_went() {
    let folder = Folder::new();
    let result = folder.json(&["run", "s.yaml"]);
    folder.check("result", &result);
    let explained = folder.json(&["explain", "s.yaml"]);
    for k in [0, 1] {
        let (stalls, run) = (&result["runs"][k]["stalls"], &explained["runs"][k]);
        assert_eq!(stalls["first_token_ns"], run["first_token_ns"]);
        assert_eq!(stalls["between_tokens_ns"], run["between_tokens_ns"]);
        assert_eq!(stalls["misses"], run["misses"]["by_cause"]);
        assert_eq!(sum(&stalls["misses"]), stalls["missed"]);
    }
    let slow = folder.json(&["run", "s.yaml", "--reference"]);
    assert_eq!(slow["runs"], result["runs"], "the slow path tells the same");
}

#[test]
fn the_timeline_carries_causes_and_arrows() {
    let folder = Folder::new();
    let (code, _, errors) = folder.out(&["run", "s.yaml", "--timeline", "t.json"]);
    assert_eq!(code, 0, "{errors}");
    let text = std::fs::read_to_string(folder.0.path().join("t.json")).expect("written");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let events = file["traceEvents"].as_array().expect("events");
    let of = |phase: &str| events.iter().filter(move |e| e["ph"] == phase).collect::<Vec<_>>();
    let number = |value: &Value| value.as_f64().expect("a number");
    let bars = of("X");
    for bar in bars.iter().filter(|bar| bar["args"]["parts_ns"].is_object()) {
        let parts = sum(&bar["args"]["parts_ns"]) as f64;
        assert!((parts - number(&bar["dur"]) * 1e3).abs() < 1.5, "{bar}");
        let cause = bar["args"]["cause"].as_str().expect("a cause");
        assert!(bar["args"]["parts_ns"][cause].is_u64(), "{bar}");
    }
    let (starts, ends) = (of("s"), of("f"));
    assert!(!starts.is_empty());
    assert_eq!(starts.len(), ends.len());
    let inside = |event: &Value| {
        bars.iter().any(|bar| {
            let (from, at) = (number(&bar["ts"]), number(&event["ts"]));
            bar["pid"] == event["pid"]
                && bar["tid"] == event["tid"]
                && (from..=from + number(&bar["dur"]) + 1e-3).contains(&at)
        })
    };
    for start in starts {
        let end = ends.iter().find(|end| end["id"] == start["id"]).expect("an arrow has an end");
        assert!(number(&start["ts"]) <= number(&end["ts"]), "forward in time");
        assert!(inside(start) && inside(end), "both ends lie in bars: {start} {end}");
    }
}

#[test]
fn measured_files_are_read_for_stalls() {
    let folder = Folder::new();
    let (code, _, errors) = folder.out(&["run", "s.yaml", "--tokens", "t.csv"]);
    assert_eq!(code, 0, "{errors}");
    let result = folder.json(&["evaluate", "t.csv", "--explain"]);
    folder.check("result", &result);
    let stalls = &result["runs"][0]["measured"]["stalls"];
    assert!(stalls["stalls"].as_u64() > Some(0), "{stalls}");
    assert!(stalls["note"].as_str().is_some_and(|note| note.contains("inferred")));
    let (_, text, _) = folder.out(&["evaluate", "t.csv", "--explain"]);
    assert!(text.contains("Stalls, vllm-v0") && text.contains("inferred"), "{text}");
    let (_, plain, _) = folder.out(&["evaluate", "t.csv"]);
    assert!(!plain.contains("Stalls,"));
}

#[test]
fn real_files_with_one_stall_in_each_request() {
    let name = "data/formats/vllm/vllm_bench_serve_openai_detailed.json";
    let Some(file) = shared(name) else { return };
    let folder = Folder::new();
    let result = folder.json(&["evaluate", file.to_str().expect("text"), "--explain"]);
    let stalls = &result["runs"][0]["measured"]["stalls"];
    assert_eq!((&stalls["stalls"], &stalls["requests_hit"]), (&Value::from(8), &Value::from(8)));
    assert_eq!(stalls["same_token"], 6, "{stalls}");
}

#[test]
fn waits_beyond_584_years_in_all_end_there() {
    // One request or two at a time, five hours each: 3,000 of them wait 2,500 years in all.
    let folder = Folder::new();
    let scenario = "\
engine: {profile: {fixed: {iteration: 3600s}}, kv_blocks: 8, max_model_len: 120}
schedulers: [sarathi, vllm-v0, vllm-v1, sglang]
workload:
  requests: 3000
  arrivals: all_at_once
  lengths: {prompt: {fixed: 100}, output: {fixed: 5}}
slo: {ttft: 500ms, tbt: 25ms}
";
    std::fs::write(folder.0.path().join("long.yaml"), scenario).expect("writable");
    for blocks in ["engine.kv_blocks=8", "engine.kv_blocks=20"] {
        let explain = ["explain", "long.yaml", "-q", "--set", blocks];
        let result = folder.json(&explain);
        let waits = result["runs"][0]["first_token_ns"].as_object().expect("causes");
        assert!(waits.values().any(|ns| ns.as_u64() == Some(u64::MAX)), "{waits:?}");
        for more in [&["--top", "0"][..], &["--report", "r.html"]] {
            let (code, _, errors) = folder.out(&[&explain[..], more].concat());
            assert_eq!(code, 0, "{more:?}: {errors}");
        }
        let run = ["run", "long.yaml", "-q", "--stalls", "--set", blocks];
        assert_eq!(folder.json(&run)["runs"].as_array().map(Vec::len), Some(4));
    }
}
