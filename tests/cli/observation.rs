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

/// A seat for one, iterations of 100 ms; two of four are open when observation ends.
const OPEN: &str = "
engine: {profile: {fixed: {iteration: 100ms}}, kv_blocks: 640, kv_block_tokens: 16, max_model_len: 2048}
schedulers: [vllm-v1: {max_num_seqs: 1}]
horizon: 5.05s
workload:
  requests: 4
  arrivals: {constant: {rate: 1}}
  lengths: {prompt: {fixed: 16}, output: {fixed: 20}}
slo: {ttft: 500ms, tbt: 150ms, fluidity: {index: 0.9, share: 0.5}}
";

#[test]
fn rates_that_follow_from_open_latencies_are_bounds() {
    let run = &result(OPEN, &["run"])["runs"][0];
    let fluidity = &run["fluidity"];
    for rate in ["tbt_tokens_per_s", "tpot_tokens_per_s"] {
        assert!(fluidity[rate].is_null(), "{rate}: {}", fluidity[rate]);
        let bounds = &fluidity["bounds"][rate];
        assert_eq!(bounds["lower"], 0.0, "{bounds}");
        assert!(bounds["upper"].as_f64().is_some_and(|upper| upper >= 10.0), "{bounds}");
        let claim = format!("fluidity.{rate}>=9");
        assert_eq!(command(OPEN, &["run", "-q", "--assert", &claim]).status.code(), Some(3));
    }
    let delay = &run["latency_bounds"]["scheduling_delay_s"];
    assert!(delay["upper"]["max"].is_null() && delay["lower"]["max"].as_f64() > Some(2.0));
}

/// A hundred seats, answers of one second, three hundred requests: at low rates observation ends first.
const ENDS_FIRST: &str = "
engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 6400, kv_block_tokens: 16, max_model_len: 512}
schedulers: [orca: {max_num_seqs: 100}]
horizon: 10s
workload:
  requests: 300
  arrivals: {constant: {rate: 5}}
  lengths: {prompt: {fixed: 16}, output: {fixed: 100}}
slo: {ttft: 150ms, tbt: 20ms, fluidity: {share: 0.95}}
";

#[test]
fn a_capacity_does_not_turn_away_from_what_is_not_known() {
    let held = |more: &[&str]| {
        let found = command(ENDS_FIRST, &[&["capacity", "-q", "--format", "json"], more].concat());
        let file: Value = serde_json::from_slice(&found.stdout).expect("JSON");
        file["schedulers"][0]["seeds"][0]["holds_requests_per_s"].as_f64().expect("a rate")
    };
    // At 5/s nothing is late and the last answers are open; at 10/s all is done in time.
    let as_stated = held(&[]);
    assert!(as_stated > 10.0, "{as_stated}");
    let from_ten = held(&["--set", "workload.arrivals.constant.rate=10"]);
    assert!((as_stated / from_ten - 1.0).abs() < 0.02, "{as_stated} {from_ten}");
}

#[test]
fn a_sweep_claims_no_change_of_bounds() {
    let (said, _) = text(&command(ENDS_FIRST, &["sweep", "-q", "--vary", "slo.tbt=20ms,15ms"]));
    assert!(said.contains("not known: figures are bounds"), "{said}");
    assert!(!said.contains("no change"), "{said}");
}

#[test]
fn a_promise_is_judged_from_first_and_last_tokens_where_these_decide() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = "
schedulers: [orca: {max_num_seqs: 1}]
engine: {profile: {fixed: {iteration: 100ms}}, kv_blocks: 64, kv_block_tokens: 16, max_model_len: 512}
workload:
  requests: 10
  arrivals: {constant: {rate: 2}}
  lengths: {prompt: {fixed: 16}, output: {fixed: 6}}
promise: {ttft: 500ms, tokens_per_s: 10, share: 0.6, index: 1}
";
    let rows = folder.path().join("rows.csv");
    let rows = rows.to_str().expect("text");
    let run = &result(scenario, &["run", "--requests", rows])["runs"][0];
    assert_eq!(run["slo"]["met"], false, "{}", run["slo"]);
    let mut evaluate = Command::cargo_bin("metron-sim").expect("built");
    let output = evaluate.args(["evaluate", rows, "--format", "json", "-q"]).output().expect("ran");
    let file: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let read = &file["runs"][0];
    assert_eq!(read["slo"]["met"], false, "{}", read["slo"]);
    let (known, bounds) = (&run["goodput"]["share"], &read["goodput"]["bounds"]["share"]);
    let within = |share: &Value| {
        share.as_f64() >= bounds["lower"].as_f64() && share.as_f64() <= bounds["upper"].as_f64()
    };
    assert!(read["goodput"]["share"] == *known || within(known), "{known} {bounds}");
}

#[test]
fn results_of_other_promises_are_not_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = "
schedulers: [orca: {max_num_seqs: 1}]
engine: {profile: {fixed: {iteration: 100ms}}, kv_blocks: 64, kv_block_tokens: 16, max_model_len: 512}
workload:
  requests: 10
  arrivals: {constant: {rate: 2}}
  lengths: {prompt: {fixed: 16}, output: {fixed: 6}}
  classes: [{name: a, share: 0.5, slo: {ttft: CLASS, tbt: 150ms}}, {name: b, share: 0.5}]
promise: {ttft: ALL, tokens_per_s: 10, share: 0.6}
";
    let file = |name: &str, all: &str, class: &str| {
        let scenario = base.replace("ALL", all).replace("CLASS", class);
        let path = folder.path().join(name);
        let output = command(&scenario, &["run", "--format", "json", "-q"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(&path, output.stdout).expect("written");
        path
    };
    let first = file("a.json", "500ms", "1s");
    let compare = |other: &std::path::Path| {
        let mut command = Command::cargo_bin("metron-sim").expect("built");
        let output = command.arg("compare").args([&first, other]).output().expect("ran");
        let (said, errors) = text(&output);
        format!("{said}{errors}").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (name, all, class) in [("b.json", "5s", "1s"), ("c.json", "500ms", "9s")] {
        let said = compare(&file(name, all, class));
        assert!(said.contains("deadlines differ"), "{name}: {said}");
    }
    let same = compare(&file("d.json", "500ms", "1s"));
    assert!(!same.contains("deadlines differ"), "{same}");
}

#[test]
fn too_many_threads_and_seeds_are_refused() {
    for args in [["run", "--jobs", "5000"], ["capacity", "--seeds", "1000000000"]] {
        let output = command(OPEN, &args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let (_, errors) = text(&output);
        assert!(errors.contains("is not in 1..=1"), "{errors}");
    }
}

/// A rank of a group that steps together has a request when the horizon comes, and waits for the
/// step of the other: it is not stuck. The first prompt takes longer than the horizon on one rank;
/// the second arrives at the other 1 ms later.
#[test]
fn a_rank_that_waits_for_its_groups_step_is_not_stuck() {
    let scenario = "
model: qwen3-30b-a3b
gpu: h100-sxm
parallelism: {data: 2, expert: true}
schedulers: [orca: {}]
workload: {trace: {file: two.csv}}
horizon: 50ms
";
    let folder = tempfile::tempdir().expect("a folder");
    let rows = "arrival_s,prompt_tokens,output_tokens\n0.000,8000,5\n0.001,64,5\n";
    std::fs::write(folder.path().join("two.csv"), rows).expect("written");
    let path = folder.path().join("scenario.yaml");
    std::fs::write(&path, scenario).expect("written");
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    let output = command.arg("run").arg(&path).args(["--format", "json", "-q"]).output();
    let output = output.expect("ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["runs"][0]["requests"]["unfinished"], json!(2));
}

/// What a run prints and whether its promise was kept, of a scenario of 10 ms steps.
fn checked(more: &str, flags: &[&str]) -> (String, i32) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("fixed.yaml");
    let text = format!(
        "engine: {{profile: {{fixed: {{iteration: 10ms}}}}, kv_blocks: 1000, max_model_len: 2000{more}}}\n\
         schedulers: [vllm-v1]\nslo: {{ttft: 1s, tbt: 50ms, fluidity: {{index: 0.9, share: 0.9}}}}\n\
         workload: {{requests: 20, arrivals: {{constant: {{rate: 5}}}}, \
         lengths: {{prompt: {{fixed: 100}}, output: {{fixed: 5}}}}}}\n"
    );
    std::fs::write(&path, text).expect("writable");
    let mut command = assert_cmd::Command::cargo_bin("metron-sim").expect("built");
    command.current_dir(folder.path()).args(["run", "--check", "fixed.yaml"]);
    let out = command.args(flags).output().expect("ran");
    let requests = std::fs::read_to_string(folder.path().join("requests.csv")).unwrap_or_default();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    (if requests.is_empty() { said } else { requests }, out.status.code().expect("a code"))
}

/// A promise to a class without requests is not broken.
#[test]
fn nothing_is_promised_to_nobody() {
    let classes = "workload.classes=[{name: x, share: 0, slo: {ttft: 1ms}}, {name: y}]";
    let (said, code) = checked("", &["--set", classes]);
    assert_eq!(code, 0, "{said}");
    let some = "workload.classes=[{name: x, share: 1, slo: {ttft: 1ms}}, {name: y}]";
    assert_eq!(checked("", &["--set", some]).1, 3);
}

/// The way back from the engine is no part of a request's wait for its first batch.
#[test]
fn a_request_is_scheduled_when_the_engine_takes_it() {
    let front_end = ", front_end: {before: 5ms, after: 30ms}";
    let (file, code) = checked(front_end, &["--requests", "requests.csv"]);
    assert_eq!(code, 0);
    let mut rows = file.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = rows.next().expect("a head");
    let place = |name: &str| head.iter().position(|&one| one == name).expect("a column");
    let first = rows.next().expect("a request");
    let at = |name: &str| first[place(name)].parse::<f64>().expect("seconds");
    assert!((at("scheduled_s") - at("arrival_s") - 0.005).abs() < 1e-9, "{first:?}");
    assert!((at("first_token_s") - at("arrival_s") - 0.045).abs() < 1e-9, "{first:?}");
}
