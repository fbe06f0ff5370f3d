//! How many sessions a second: no more than can go on, however few of them a scenario has.

use assert_cmd::Command;
use serde_json::Value;

/// One request takes 100 ms of the only seat, and a session has four with 10 s between them: 2.5 sessions a
/// second and no more can go on. 40 of them begin before the first one ends.
const FEW: &str = "
model: llama-3.1-8b
gpu: h100-sxm
engine: {profile: {fixed: {iteration: 100ms}}, kv_blocks: 64, kv_block_tokens: 16, max_model_len: 512}
schedulers: [{orca: {max_num_seqs: 1}}]
workload:
  sessions:
    count: 40
    arrivals: {poisson: {rate: 1.5}}
    first_prompt: {fixed: 16}
    turns: {fixed: 4}
    new_tokens: {fixed: 8}
    output: {fixed: 1}
    gap: {fixed: 10s}
slo: {ttft: 1s, tbt: 1s, fluidity: {index: 0.5, share: 0.5}, bounds: {ttft: {p90: 1s}}}
";
const MOST: f64 = 2.5;

struct Scenario {
    folder: tempfile::TempDir,
}

impl Scenario {
    fn of(text: &str) -> Scenario {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("s.yaml"), text).expect("writable");
        Scenario { folder }
    }

    fn path(&self) -> String {
        self.folder.path().join("s.yaml").display().to_string()
    }
}

fn json(flags: &[&str]) -> Value {
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    let out = command.args(flags).args(["--format", "json"]).output().expect("ran");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{said}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number, not {value}"))
}

#[test]
fn few_sessions_carry_no_more_than_many() {
    let few = Scenario::of(FEW);
    let flags = ["--seeds", "1", "--precision", "5%"];
    let of = |more: &[&str]| json(&[&["capacity", &few.path()], &flags[..], more].concat());
    let found = of(&[]);
    let one = &found["schedulers"][0];
    let carried = number(&one["sessions_per_s"]["mean"]);
    assert!((0.75 * MOST..1.05 * MOST).contains(&carried), "{one}");
    let notes = one["notes"].to_string();
    assert!(notes.contains("not the scenario's 40"), "{notes}");
    // As many as it takes are played as they are.
    let many = of(&["--set", "workload.sessions.count=500"]);
    let one = &many["schedulers"][0];
    assert!((number(&one["sessions_per_s"]["mean"]) / carried - 1.0).abs() < 0.1, "{one}");
    assert!(!one["notes"].to_string().contains("not the scenario's"), "{one}");
    // So many replicas carry as much.
    let sized = of(&["--for-rate", "7"]);
    assert!(number(&sized["schedulers"][0]["for_rate"]["replicas"]) >= 3.0, "{sized}");
}

#[test]
fn a_plan_carries_no_more_than_can_go_on() {
    let few = Scenario::of(FEW);
    let best = few.folder.path().join("best.yaml");
    let asked = ["plan", "--scenario", &few.path(), "--gpus", "h100-sxm", "--tp", "1"];
    let write = ["--seeds", "1", "--write-scenario", best.to_str().expect("text")];
    let file = json(&[&asked[..], &write, &["--rate", "2"]].concat());
    let answer = &file["answers"][0];
    assert_eq!(answer["replicas"], 1, "{file}");
    let upper = number(&answer["interval"][1]);
    assert!((2.0..MOST * 1.1).contains(&upper), "{answer}");
    // What is written is what was played.
    let ran = json(&["run", best.to_str().expect("text")]);
    let sessions = &ran["runs"][0]["sessions"];
    let written = std::fs::read_to_string(&best).expect("written");
    assert!(written.contains("poisson: {rate: 2}"), "{written}");
    assert!(written.contains(&format!("count: {}", sessions["begun"])), "{written}");
    // A session takes 30.4 s, and they begin for five times as long.
    assert!(number(&sessions["begun"]) > 4.0 * 2.0 * 30.4, "{sessions}");
    assert_eq!(ran["runs"][0]["ttft_s"]["p99"], answer["ttft_p99_s"]);
}

/// A file's sessions are given: nothing is said beyond what they show.
#[test]
fn recorded_sessions_show_what_they_show() {
    let mut rows = String::new();
    for session in 0..40 {
        let first = f64::from(session);
        rows.push_str(&format!(
            "{{\"session\": \"{session}\", \"arrival_s\": {first}, \"prompt_tokens\": 16, \"output_tokens\": \
             1}}\n{{\"session\": \"{session}\", \"gap_s\": 60, \"prompt_tokens\": 24, \"output_tokens\": 1}}\n"
        ));
    }
    let mut text = String::new();
    for line in FEW.lines() {
        match line.trim_start() {
            "sessions:" => text.push_str("  trace: {file: t.jsonl}\n"),
            _ if line.starts_with("    ") => {}
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    let short = Scenario::of(&text);
    std::fs::write(short.folder.path().join("t.jsonl"), rows).expect("writable");
    let found = json(&["capacity", &short.path(), "--precision", "5%"]);
    let one = &found["schedulers"][0];
    // 39 s of starts, slowed until they last twice the 60 s of a session.
    let shown = number(&one["sessions_per_s"]["mean"]);
    assert!((0.28..0.33).contains(&shown), "{one}");
    // All 40 within a few seconds are more than can be served, and that is the least that is shown not to.
    let upper = &one["sessions_per_s"]["upper"];
    assert!(upper.as_f64().is_none_or(|upper| upper > 2.0), "{one}");
    let notes = one["notes"].to_string();
    assert!(notes.contains("sessions begin for") && notes.contains("nothing is shown"), "{notes}");
    // A plan has GPUs for the file as it is, and says that it is no more than that.
    let asked = ["plan", "--scenario", &short.path(), "--gpus", "h100-sxm", "--tp", "1"];
    let file = json(&[&asked[..], &["--seeds", "1"]].concat());
    let upper = &file["answers"][0]["interval"][1];
    assert!(upper.as_f64().is_none_or(|upper| upper > 2.0), "{file}");
    assert!(file["notes"].to_string().contains("too short to say so"), "{file}");
}
