//! Observation that ends early, and promises printed as strong as they are checked. The scenarios are
//! those of `shared/cases`: horizon-starved, horizon-vacuous, ttft-promise.

use std::process::Output;

use assert_cmd::Command;
use serde_json::{Value, json};

/// One request blocks the only seat for 100 s; two others wait from t = 1 s to the horizon.
const STARVED: &str = "
name: horizon-starved
engine: {profile: {fixed: {iteration: 10ms}}, kv_block_tokens: 16, max_model_len: 20000, kv_blocks: 2000}
schedulers: [sarathi: {max_num_seqs: 1}]
horizon: 50s
workload: {trace: {file: starved.csv, format: csv}}
slo: {ttft: 100ms, tbt: 15ms}
";
const STARVED_ROWS: &str = "arrival_s,prompt_tokens,output_tokens\n0,16,10000\n1,16,10\n1,16,10\n";

/// Nothing is delivered before the horizon.
const VACUOUS: &str = "
name: vacuous
seed: 1
engine: {profile: {fixed: {iteration: 2s}}, kv_blocks: 1000, max_model_len: 4000}
schedulers: [sarathi: {chunk_size: 512}]
horizon: 1s
workload:
  requests: 50
  arrivals: {constant: {rate: 100}}
  lengths: {prompt: {fixed: 100}, output: {fixed: 10}}
slo: {ttft: 5s, tbt: 25ms, fluidity: {index: 0.9, share: 0.99}}
";

const TTFT: &str = "
model: llama-3.1-8b
gpu: h100-sxm
schedulers: [sarathi: {chunk_size: 512}]
workload: {requests: 2000, arrivals: {poisson: {rate: 2.78}}, lengths: {table: chat}}
slo: {ttft: 100ms, tbt: 50ms}
";

fn command(scenario: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("starved.csv"), STARVED_ROWS).expect("written");
    let path = folder.path().join("scenario.yaml");
    std::fs::write(&path, scenario).expect("written");
    let (name, flags) = args.split_first().expect("a command");
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    command.arg(name).arg(&path).args(flags).output().expect("ran")
}

fn result(scenario: &str, args: &[&str]) -> Value {
    let output = command(scenario, &[args, &["--format", "json", "-q"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn two_that_waited_for_a_seat_are_stalls_up_to_the_horizon() {
    let run = &result(STARVED, &["run"])["runs"][0];
    assert_eq!(run["requests"]["unfinished"], 3);
    // Ten tokens cannot make up for 3,260 deadlines that passed; what the long answer becomes is open.
    assert_eq!(run["requests"]["censored"], 1);
    assert_eq!(run["fluidity"]["fluid_request_share"], Value::Null);
    let share = &run["fluidity"]["bounds"]["fluid_request_share"];
    assert_eq!(share["lower"], 0.0);
    assert!((share["upper"].as_f64().expect("a bound") - 1.0 / 3.0).abs() < 1e-12, "{share}");
    assert_eq!(run["slo"]["met"], false, "a third is less than 99 %");
    // 49 s each, to the nanosecond: the step that ran when they came, then the seat.
    let causes = &run["stalls"]["first_token_ns"];
    let waited = causes["no_seat"].as_u64().expect("waits for the seat")
        + causes["step_in_flight"].as_u64().unwrap_or(0);
    assert_eq!(waited, 2 * 49_000_000_000, "{causes}");
    assert!(causes.get("cut_off").is_none(), "{causes}");
    // The gaps of the answer that was delivered count, whoever finished.
    assert_eq!(run["tbt_s"]["max"], 0.01);
    assert_eq!(run["ttft_s"]["count"], 1);
    assert_eq!(run["latency_bounds"]["ttft_s"]["lower"]["max"], 49.0);
    assert_eq!(run["ttft_in_time_share"].as_f64(), Some(1.0 / 3.0));
}

#[test]
fn the_starved_are_explained_and_have_a_culprit() {
    let explained = result(STARVED, &["explain"]);
    let run = &explained["runs"][0];
    let stall = &run["stalls"][0];
    assert_eq!((&stall["main_cause"], &stall["open"]), (&json!("no_seat"), &json!(true)));
    assert_eq!(stall["length_ns"], 49_000_000_000_u64);
    assert_eq!(stall["culprits"][0]["request"], 0);
    let culprit = &run["culprits"][0];
    assert_eq!(culprit["request"], 0);
    assert_eq!(culprit["seat_ns"], run["first_token_ns"]["no_seat"]);
    let (told, _) = text(&command(STARVED, &["explain", "-q"]));
    assert!(!told.contains("No token came late"), "{told}");
    assert!(told.contains("up to the end of observation"), "{told}");
    // A second seat ends the wait, and the cure shows it.
    let tried = explained["cures"][0]["tried"].as_array().expect("cures");
    let seats = tried.iter().find(|one| one["set"].to_string().contains("max_num_seqs=2"));
    // What was cut off lasted so long at least.
    assert_eq!(tried[0]["figures"]["stall_at_least_s"], 49.0);
    let after = seats.expect("more seats")["figures"]["stall_s"].as_f64().expect("it ended");
    assert!(after < 1.0, "{tried:?}");
}

#[test]
fn nothing_delivered_is_no_verdict() {
    let run = &result(VACUOUS, &["run"])["runs"][0];
    assert_eq!(run["requests"]["completed"], 0);
    assert_eq!(run["requests"]["censored"], 50);
    assert_eq!(run["slo"]["met"], Value::Null);
    assert_eq!(
        run["fluidity"]["bounds"]["fluid_request_share"],
        json!({"lower": 0.0, "upper": 1.0})
    );
    let output = command(VACUOUS, &["run", "--check"]);
    assert_eq!(output.status.code(), Some(3));
    let (told, why) = text(&output);
    assert!(why.contains("no verdict on the SLO for sarathi"), "{why}");
    assert!(why.contains("none of 50 requests was answered to the end"), "{why}");
    for claim in ["keeps the SLO", "misses the SLO", "evenly"] {
        assert!(!told.contains(claim), "{claim}: {told}");
    }
    assert!(told.contains("no verdict"), "{told}");
    let asserted = command(VACUOUS, &["run", "-q", "--assert", "slo.met==0"]);
    assert_eq!(asserted.status.code(), Some(3), "what is not known holds no assertion");
}

#[test]
fn a_first_deadline_is_not_printed_as_a_promise_about_ttft() {
    let whole = result(TTFT, &["run"]);
    let run = &whole["runs"][0];
    assert_eq!(run["slo"]["met"], true);
    let share = run["ttft_in_time_share"].as_f64().expect("a share");
    assert!((share - 1218.0 / 2000.0).abs() < 0.01, "{share}");
    assert!(run["warnings"].to_string().contains("beyond slo.ttft"), "{}", run["warnings"]);
    let (told, _) = text(&command(TTFT, &["run", "-q"]));
    assert!(told.contains("first tokens in time"), "{told}");
    assert!(told.contains("First tokens in time: 6"), "{told}");
    assert!(!told.contains("first token within 100ms"), "{told}");
    assert!(told.contains("first token due after 100ms"), "{told}");
}

/// The same figures from a file of tokens, unfinished requests and all.
#[test]
fn a_file_of_tokens_tells_what_was_still_to_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens.csv");
    let tokens = tokens.to_str().expect("text");
    let run = result(STARVED, &["run", "--tokens", tokens]);
    let output = Command::cargo_bin("metron-sim")
        .expect("built")
        .args(["evaluate", tokens, "--format", "json", "-q"])
        .output()
        .expect("ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for member in
        ["requests", "fluidity", "ttft_s", "tbt_s", "ttft_in_time_share", "latency_bounds"]
    {
        assert_eq!(read["runs"][0][member], run["runs"][0][member], "{member}");
    }
}
