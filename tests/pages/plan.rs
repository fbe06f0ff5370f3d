//! The plan on the page: the command line's figures, told as they come, and answers ready to play.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use assert_cmd::Command;
use metron_sim::playground::{Allowance, answer, answer_telling, answer_within};
use metron_sim::scenario::Files;
use serde_json::{Value, json};

fn asked(more: &Value) -> Value {
    let mut asked = json!({
        "model": "llama-3.1-8b", "gpus": "h100,l40s", "prompt": "1500", "output": "30", "shared_prefix": "256",
        "ttft": "p99=600ms", "tokens_per_s": "40", "rate": "12", "tp": "1", "seeds": "2", "seed": "7",
    });
    for (name, value) in more.as_object().expect("controls") {
        asked[name] = value.clone();
    }
    asked
}

fn ask(question: &Value) -> Value {
    serde_json::from_str(&answer(&question.to_string(), &Files::none())).expect("JSON")
}

/// What the command line says to the command that an answer gives.
fn by_command(command: &Value) -> Value {
    let mut words = command.as_str().expect("a command").split(' ');
    assert_eq!(words.next(), Some("metron-sim"));
    let mut line = Command::cargo_bin("metron-sim").expect("built");
    let out = line.args(words).args(["--format", "json"]).output().expect("runs");
    serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)))
}

#[test]
fn the_figures_are_those_of_the_command_line() {
    for more in [
        json!({}),
        json!({"rate": "", "users": "40", "think_time": "2s", "price": "l40s=0.9", "gpus": "l40s"}),
        // Nothing holds this one.
        json!({"model": "qwen3-32b", "prompt": "8000", "gpus": "l40s", "dtype": "bf16", "tp": "1,2"}),
    ] {
        let found = ask(&json!({"op": "plan", "asked": asked(&more)}));
        assert_eq!(found["ok"], true, "{found}");
        assert_eq!(found["plan"], by_command(&found["command"]), "{}", found["command"]);
        let answers = found["plan"]["answers"].as_array().expect("a list");
        assert_eq!(found["scenarios"].as_array().map(Vec::len), Some(answers.len()));
        let none = found["answer"].as_str().expect("a sentence").contains("none of these GPUs");
        assert_eq!(none, answers.is_empty(), "{found}");
    }
}

#[test]
fn it_tells_how_far_it_has_come() {
    let told = Mutex::new(Vec::new());
    let question = json!({"op": "plan", "asked": asked(&json!({}))}).to_string();
    answer_telling(&question, &Files::none(), &|line| told.lock().expect("held").push(line));
    let told: Vec<Value> = told
        .into_inner()
        .expect("whole")
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(told.len() > 10, "{told:?}");
    let last = &told.last().expect("lines")["told"];
    assert!(last["cells"].as_u64() > Some(10), "{last}");
    assert_eq!(last["cells"], last["decided"]);
    assert_eq!(last["played"], last["requests"], "nothing is left to play");
    let early = &told[1]["told"];
    assert!(early["decided"].as_u64() < last["decided"].as_u64(), "{early}");
}

#[test]
fn a_search_that_is_stopped_says_what_was_known() {
    let whole = Allowance::all();
    let stop = std::sync::Arc::clone(&whole.stop);
    let tell = |line: String| {
        let told: Value = serde_json::from_str(&line).expect("JSON");
        if told["told"]["decided"].as_u64() > Some(0) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let question = json!({"op": "plan", "asked": asked(&json!({}))}).to_string();
    let found = answer_within(&question, &Files::none(), &Allowance { tell: &tell, ..whole });
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(found["ok"], true, "{found}");
    assert_eq!(found["plan"]["complete"], false);
}

#[test]
fn every_answer_is_a_scenario_that_the_page_plays() {
    let found = ask(&json!({"op": "plan", "asked": asked(&json!({}))}));
    let scenarios = found["scenarios"].as_array().expect("a list");
    assert_eq!(scenarios.len(), 2, "{found}");
    assert_eq!(scenarios[0]["text"], found["plan"]["scenario"]);
    for (one, answer) in scenarios.iter().zip(found["plan"]["answers"].as_array().expect("a list"))
    {
        let played = ask(&json!({"op": "simulate", "scenario": {"text": one["text"]}}));
        assert_eq!(played["ok"], true, "{played:.300}");
        assert_eq!(played["scenario"]["gpu"], answer["gpu"]);
        assert_eq!(one["note"], Value::Null);
    }
    // More tokens than the page draws: fewer requests of the same.
    let long = json!({"prompt": "12000", "output": "8", "rate": "1", "gpus": "h100", "ttft": "3s", "seeds": "1"});
    let found = ask(&json!({"op": "plan", "asked": asked(&long)}));
    let one = &found["scenarios"][0];
    assert!(one["note"].as_str().is_some_and(|note| note.contains("1665 of 2000")), "{found}");
    assert!(one["text"].as_str().is_some_and(|text| text.contains("requests: 1665")), "{one}");
}

#[test]
fn what_cannot_be_taken_is_said_of_its_control() {
    let wrong =
        json!({"gpus": "h1000", "prompt": "2k", "ttft": "", "dtype": "fp9", "shared_prefix": ""});
    let found = ask(&json!({"op": "plan", "asked": asked(&wrong), "check": true}));
    assert_eq!(found["ok"], false);
    let problems = found["problems"].as_array().expect("a list");
    let paths: Vec<&Value> = problems.iter().map(|one| &one["path"]).collect();
    assert_eq!(paths, ["gpus", "prompt", "ttft", "dtype"], "{found}");
    let fine = ask(&json!({"op": "plan", "asked": asked(&json!({})), "check": true}));
    assert!(fine["command"].as_str().is_some_and(|line| line.ends_with("--seed 7")), "{fine}");
    assert_eq!(fine["plan"], Value::Null, "nothing is searched");
    // No file can be named, and no question keeps the page busy without end.
    for (more, path) in [
        (json!({"model": "/etc/passwd"}), "model"),
        (json!({"prompt": "900000"}), "prompt"),
        (json!({"output": "90000"}), "output"),
        (json!({"rate": "1e12"}), "rate"),
    ] {
        let found = ask(&json!({"op": "plan", "asked": asked(&more)}));
        assert_eq!(found["problems"][0]["path"], path, "{found}");
    }
    let found = ask(&json!({"op": "plan", "asked": {"modell": "x"}}));
    assert!(
        found["problems"][0]["message"].as_str().is_some_and(|m| m.contains("modell")),
        "{found}"
    );
}
