//! `explain --observed` and `compare`: a real run beside a simulation of the same requests, and two scenarios
//! beside each other.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

/// One long prompt among short ones, alone in its prefill.
const SCENARIO: &str = "\
model: llama-3.1-8b
gpu: h100-sxm
engine: {profile: vllm-0.6}
schedulers: [vllm-v0]
workload: {trace: {file: trace.jsonl}}
slo: {ttft: 1s, tbt: 25ms}
";

/// A promise that the long prompt breaks, and its chunks keep for most.
const CLOSE: &str = "{ttft: {prefill_curve_plus: 50ms}, tbt: 10ms}";

fn run(folder: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_metron-sim"))
        .current_dir(folder)
        .args(args)
        .env("NO_COLOR", "1")
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut trace = String::new();
    for i in 0..6 {
        trace += &format!(
            "{{\"arrival_s\": {}, \"prompt_tokens\": 200, \"output_tokens\": 120}}\n",
            f64::from(i) * 0.013
        );
    }
    trace += "{\"arrival_s\": 0.5, \"prompt_tokens\": 12000, \"output_tokens\": 20}\n";
    fs::write(folder.path().join("trace.jsonl"), trace).expect("writable");
    fs::write(folder.path().join("s.yaml"), SCENARIO).expect("writable");
    run(folder.path(), &["run", "s.yaml", "-q", "--tokens", "real.csv"]);
    folder
}

fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_stall_that_the_simulation_has_too_is_probably_for_its_reason() {
    let folder = folder();
    let args = ["explain", "s.yaml", "--observed", "real.csv", "-q"];
    let text = unwrapped(&run(folder.path(), &args));
    assert!(text.contains("Probably prefill_only (iterations that only prefilled others): the simulation stands still"), "{text}");
    assert!(text.contains("most by request 6 of the simulation"), "{text}");
    assert!(text.contains("not what the server recorded"), "{text}");
    let json = run(folder.path(), &[&args[..], &["--format", "json"]].concat());
    let file: Value = serde_json::from_str(&json).expect("JSON");
    let worst = &file["observed"]["worst"][0];
    assert_eq!(worst["verdict"], "simulated");
    assert_eq!(worst["simulated"]["main_cause"], "prefill_only");
}

#[test]
fn a_stall_that_the_simulation_has_not_is_left_without_a_cause() {
    let folder = folder();
    let text = fs::read_to_string(folder.path().join("real.csv")).expect("readable");
    // From its 80th token on, all that request 0 gets comes 300 ms later.
    let header: Vec<&str> = text.lines().next().expect("a header").split(',').collect();
    let place = |name: &str| header.iter().position(|column| *column == name).expect("a column");
    let (request, index, time) = (place("request"), place("index"), place("time_s"));
    let run_column = place("run");
    let shifted: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(number, line)| {
            // What the file states of the whole run is of the times before.
            let mut cells: Vec<String> =
                line.splitn(header.len(), ',').map(str::to_owned).collect();
            if number > 0 {
                cells[run_column] = String::new();
            }
            let late = number > 0
                && cells[request] == "0"
                && cells[index].parse::<u32>().is_ok_and(|index| index >= 80);
            if late {
                let at: f64 = cells[time].parse().expect("a time");
                cells[time] = format!("{:.9}", at + 0.3);
            }
            cells.join(",")
        })
        .collect();
    fs::write(folder.path().join("late.csv"), shifted.join("\n") + "\n").expect("writable");
    let json = run(
        folder.path(),
        &["explain", "s.yaml", "--observed", "late.csv", "-q", "--format", "json", "--top", "9"],
    );
    let file: Value = serde_json::from_str(&json).expect("JSON");
    let worst = file["observed"]["worst"].as_array().expect("a list");
    let alone = worst.iter().find(|one| one["real"]["token"] == 80).expect("the shifted one");
    assert_eq!(alone["verdict"], "not_simulated", "{alone}");
    assert_eq!(alone["looks_like"], "one_request", "{alone}");
}

#[test]
fn without_token_times_there_is_nothing_to_join() {
    let folder = folder();
    run(folder.path(), &["run", "s.yaml", "-q", "--requests", "rows.csv"]);
    let output = Command::new(env!("CARGO_BIN_EXE_metron-sim"))
        .current_dir(folder.path())
        .args(["explain", "s.yaml", "--observed", "rows.csv"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let errors = unwrapped(&String::from_utf8_lossy(&output.stderr));
    assert!(errors.contains("no times of tokens"), "{errors}");
}

#[test]
fn two_scenarios_are_run_and_the_verdict_comes_first() {
    let folder = folder();
    let chunked = SCENARIO.replace("[vllm-v0]", "[sarathi: {chunk_size: 256}]");
    let chunked = chunked.replace("{ttft: 1s, tbt: 25ms}", CLOSE);
    fs::write(folder.path().join("s.yaml"), SCENARIO.replace("{ttft: 1s, tbt: 25ms}", CLOSE))
        .expect("writable");
    fs::write(folder.path().join("t.yaml"), chunked).expect("writable");
    let text = run(folder.path(), &["compare", "s.yaml", "t.yaml", "-q"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("A: vllm-v0 (simulated, s.yaml)"), "{text}");
    let verdict = unwrapped(&text);
    assert!(verdict.contains(" gives smoother text: "), "{text}");
    let rows =
        text.lines().filter(|line| line.starts_with("ttft_s.") || line.starts_with("tbt_s."));
    assert_eq!(rows.count(), 4, "{text}");
    assert!(text.contains("more figures: -v"), "{text}");
    let all = run(folder.path(), &["compare", "s.yaml", "t.yaml", "-v"]);
    assert!(all.lines().count() > text.lines().count() + 20, "{all}");
    let json =
        run(folder.path(), &["compare", "s.yaml", "t.yaml", "-q", "-o", "-", "--format", "json"]);
    let file: Value = serde_json::from_str(&json).expect("JSON");
    assert!(
        file["verdict"].as_str().is_some_and(|v| v.contains(" gives smoother text: ")),
        "{}",
        file["verdict"]
    );
    // The same of results of before.
    run(folder.path(), &["run", "s.yaml", "-q", "-o", "a.json"]);
    run(folder.path(), &["run", "t.yaml", "-q", "-o", "b.json"]);
    let of_results = run(folder.path(), &["compare", "a.json", "b.json", "-q"]);
    let after = |text: &str| text.split_once("\n\n").map(|(_, rest)| rest.to_owned());
    assert_eq!(after(&of_results), after(&text));
}

#[test]
fn classes_and_pools_have_rows_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = ["--set", "workload.requests=60", "--set", "schedulers=[sarathi]", "-q"];
    let text = run(folder.path(), &[&["compare", "mixed-fleet", "mixed-fleet"][..], &set].concat());
    for row in
        ["classes.chat.ttft_s.p99", "classes.summary.tbt_s.p99", "pools.cheap.gpu_utilization"]
    {
        assert!(text.lines().any(|line| line.starts_with(row)), "{row}: {text}");
    }
    assert!(text.contains("Text is as smooth in both"), "{text}");
}
