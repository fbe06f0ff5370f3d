//! The engine as WebAssembly gives the same bytes as the binary.
//!
//! Needs the module (`METRON_WASM`, which `.ci/run` builds and sets) and node to run it with.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use metron_sim::playground::{answer, lessons};
use metron_sim::scenario::{Files, bundled};
use metron_sim::scheduler::SchedulerConfig;
use serde_json::json;

const RUNNER: &str = r#"
const fs = require("fs");
const bytes = fs.readFileSync(process.argv[1]);
const questions = JSON.parse(fs.readFileSync(0, "utf8"));
let e = null;
const told = [];
const tell = (at, length) => told.push(new TextDecoder().decode(new Uint8Array(e.memory.buffer, at, length)));
WebAssembly.instantiate(bytes, { page: { tell } }).then(({ instance }) => {
  e = instance.exports;
  const ask = (text) => {
    const question = new TextEncoder().encode(text);
    const room = e.reserve(question.length);
    new Uint8Array(e.memory.buffer, room, question.length).set(question);
    const length = e.answer(question.length);
    return new TextDecoder().decode(new Uint8Array(e.memory.buffer, e.output(), length));
  };
  process.stdout.write(JSON.stringify([questions.map(ask), told]));
});
"#;

fn skipped(why: &str) {
    let _ =
        writeln!(std::io::stderr(), "SKIPPED: the WebAssembly engine against the binary: {why}");
}

#[test]
fn webassembly_and_the_binary_answer_alike() {
    let Some(module) = std::env::var_os("METRON_WASM") else {
        return skipped("METRON_WASM names no module; .ci/run builds one");
    };
    assert!(Path::new(&module).is_file(), "METRON_WASM: {}", module.display());
    if Command::new("node").arg("--version").output().is_err() {
        return skipped("node is not here");
    }
    let mut questions = vec![json!({"op": "catalog"}), json!({"op": "nonsense"})];
    questions.extend((0..lessons().len()).map(|number| json!({"op": "lesson", "number": number})));
    for scenario in bundled() {
        // Every router, a trace of classes, bursts and memory that runs out are among them.
        let text = scenario.text;
        questions.push(json!({"op": "simulate", "scenario": {"text": text}}));
        questions.push(json!({"op": "simulate", "scenario": {"text": text, "set": ["replicas=3", "router=power-of-two", "seed=18446744073709551615"]}}));
    }
    let base = lessons().swap_remove(3).scenario;
    for name in SchedulerConfig::names() {
        let set = [format!("schedulers=[{name}]"), "workload.max_tokens={factor: 1.5}".to_owned()];
        let scenario = json!({"text": base, "set": set});
        questions.push(json!({"op": "simulate", "scenario": scenario}));
        questions.push(json!({"op": "steps", "scenario": scenario, "scheduler": 0, "at_us": 9_000_000, "count": 300}));
    }
    for arrivals in [
        "{gamma: {rate: 4, cv: 2.5}}",
        "{weibull: {rate: 4, cv: 0.4}}",
        "{closed_loop: {users: 12, think_time: 700ms}}",
        "{piecewise: [{for: 9s, rate: 1}, {for: 9s, rate: 1, ramp_to: 9}]}",
    ] {
        for prompt in [
            "{zipf: {min: 8, max: 4000, theta: 0.7}}",
            "{geometric: {mean: 300}}",
            "{quantiles: {0: 2, 0.5: 200, 1: 3000}}",
        ] {
            let set = [
                format!("workload.arrivals={arrivals}"),
                format!("workload.lengths.prompt={prompt}"),
                "workload.prefix_groups={count: 5, tokens: 100, share: 0.5}".to_owned(),
                "engine.prefix_caching=true".to_owned(),
            ];
            questions.push(json!({"op": "simulate", "scenario": {"text": base, "set": set}}));
        }
    }
    for name in ["agents", "kv-tiers"] {
        let text = bundled().into_iter().find(|one| one.name == name).expect("bundled").text;
        let scenario = json!({"text": text, "set": ["workload.sessions.count=20"]});
        questions.push(json!({"op": "sessions", "scenario": scenario, "from_us": 0, "to_us": 90_000_000, "rows": 8}));
        questions.push(json!({"op": "load", "scenario": scenario}));
    }
    questions.push(json!({"op": "cures", "scenario": {"text": base}, "scheduler": 0, "request": 20, "token": 5}));
    let asked = json!({
        "model": "llama-3.1-8b", "gpus": "l40s,a100-sxm-80gb", "prompt": "1000", "output": "40", "ttft": "600ms",
        "tokens_per_s": "30", "rate": "6", "tp": "1", "seeds": "2",
    });
    questions.push(json!({"op": "plan", "asked": asked}));
    questions.push(
        json!({"op": "simulate", "scenario": {"text": base.replace("rate: 5", "rate: five")}}),
    );

    let texts: Vec<String> = questions.iter().map(ToString::to_string).collect();
    let mut node = Command::new("node")
        .args(["-e", RUNNER])
        .arg(&module)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut input = node.stdin.take().expect("piped");
    let given = serde_json::to_string(&texts).expect("plain");
    let writer = std::thread::spawn(move || input.write_all(given.as_bytes()));
    let output = node.wait_with_output().expect("node ends");
    writer.join().expect("written").expect("written");
    assert!(output.status.success(), "node: {}", output.status);
    let (answers, told): (Vec<String>, Vec<String>) =
        serde_json::from_slice(&output.stdout).expect("answers");
    let last: serde_json::Value =
        serde_json::from_str(told.last().expect("a plan tells how far it is")).expect("JSON");
    assert_eq!(last["told"]["cells"], last["told"]["decided"], "{last}");
    assert_eq!(answers.len(), texts.len());
    let mut fine = 0;
    for (question, other) in texts.iter().zip(&answers) {
        let own = answer(question, &Files::none());
        if own != *other {
            let at = own.bytes().zip(other.bytes()).position(|(a, b)| a != b);
            let at = at.unwrap_or(own.len().min(other.len()));
            let around = |text: &str| {
                let bytes = &text.as_bytes()[at.saturating_sub(80)..(at + 80).min(text.len())];
                String::from_utf8_lossy(bytes).into_owned()
            };
            panic!("{question}\nbinary: {}\nwasm:   {}", around(&own), around(other));
        }
        fine += usize::from(own.starts_with("{\"ok\":true"));
    }
    assert!(fine + 10 > texts.len(), "{fine} of {} played", texts.len());
}
