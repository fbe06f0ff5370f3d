//! `metron-sim plan`: the cheapest GPUs for a question, as if everything had been tried.

use assert_cmd::Command;
use serde_json::Value;

fn plan(flags: &[&str]) -> (String, String, i32) {
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    let out = command.arg("plan").args(flags).output().expect("ran");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&out.stdout), text(&out.stderr), out.status.code().expect("an exit code"))
}

fn json(flags: &[&str]) -> (Value, i32) {
    let (out, err, code) = plan(&[flags, &["--format", "json"]].concat());
    (serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}")), code)
}

const SMALL: [&str; 14] = [
    "--model",
    "llama-3.1-8b",
    "--prompt",
    "2000",
    "--output",
    "60",
    "--shared-prefix",
    "512",
    "--ttft",
    "p99=600ms",
    "--tokens-per-s",
    "40",
    "--tp",
    "1,2",
];

#[test]
fn the_cheapest_is_that_of_trying_everything() {
    for (rate, gpus) in [("12", "h100-sxm,l40s"), ("30", "a100-sxm-80gb")] {
        let asked = ["--rate", rate, "--gpus", gpus, "--seeds", "2"];
        let asked = [&SMALL[..], &asked].concat();
        let (found, code) = json(&asked);
        assert_eq!(code, 0, "{found}");
        let (all, _) = json(&[&asked[..], &["--exhaustive"]].concat());
        let told = |file: &Value| -> Vec<(Value, Value, Value)> {
            let answers = file["answers"].as_array().expect("a list").iter();
            let of = |one: &Value| {
                (one["gpu"].clone(), one["usd_per_hour"].clone(), one["gpus"].clone())
            };
            answers.map(of).collect()
        };
        assert_eq!(told(&found), told(&all), "{found}\n{all}");
        assert!(!told(&found).is_empty());
        let simulated = |file: &Value| file["cells_simulated"].as_u64().expect("a number");
        assert!(simulated(&found) <= simulated(&all), "{found}");
    }
}

#[test]
fn an_answer_has_all_that_it_takes() {
    let asked =
        [&SMALL[..], &["--rate", "20", "--gpu", "h100,l40s", "--price", "l40s=0.9"]].concat();
    let folder = tempfile::tempdir().expect("a folder");
    let (yaml, page) = (folder.path().join("best.yaml"), folder.path().join("page.html"));
    let write = [
        "--write-scenario",
        yaml.to_str().expect("text"),
        "--report",
        page.to_str().expect("text"),
    ];
    let (file, code) = json(&[&asked[..], &write].concat());
    assert_eq!(code, 0, "{file}");
    let best = &file["answers"][0];
    let (replicas, gpus) = (best["replicas"].as_u64(), best["gpus"].as_u64());
    let tensor = best["parallelism"]["tensor"].as_u64().expect("a number");
    assert_eq!(gpus, replicas.map(|replicas| replicas * tensor), "{best}");
    let usd = best["usd_per_hour"].as_f64().expect("a price");
    let per_million = usd / (20.0 * 60.0 * 3600.0) * 1e6;
    assert!(
        (best["usd_per_million_output_tokens"].as_f64().expect("a price") - per_million).abs()
            < 0.01
    );
    let (lower, upper) = (best["interval"][0].as_f64().expect("a load"), &best["interval"][1]);
    assert!(lower >= 20.0 && upper.as_f64().is_none_or(|upper| upper > lower), "{best}");
    assert!(best["head_room"].as_f64().expect("a share") >= 0.0);
    let launch = best["launch"].as_str().expect("a command");
    assert!(launch.starts_with("vllm serve meta-llama/"), "{launch}");
    let l40s = file["answers"].as_array().expect("a list").iter().find(|one| one["gpu"] == "l40s");
    let l40s = l40s.expect("both GPUs hold it");
    assert_eq!(l40s["usd_per_gpu_hour"], 0.9);
    assert_eq!(l40s["price_source"], "given with --price");
    // The scenario that was written is the one that is in the result, and holds.
    let written = std::fs::read_to_string(&yaml).expect("written");
    assert_eq!(file["scenario"], Value::from(written));
    let mut run = Command::cargo_bin("metron-sim").expect("built");
    let ran =
        run.args(["run", "-q", "--check", "--format", "quiet"]).arg(&yaml).output().expect("ran");
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(std::fs::read_to_string(&page).expect("written").contains("vllm serve"));
    // The schema that is printed is that of the result.
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    let schema = command.args(["schema", "plan"]).output().expect("ran").stdout;
    let schema: Value = serde_json::from_slice(&schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a sound schema");
    assert!(validator.is_valid(&file));
    // The text says it in its first line.
    let (text, _, _) = plan(&asked);
    let first = text.split("\n\n").next().expect("a paragraph").replace("\n  ", " ");
    let gpu = best["gpu"].as_str().expect("a name");
    assert!(first.contains(&format!("{} x {gpu}", gpus.expect("a number"))), "{text}");
    assert!(first.contains(&format!("${usd:.2}/h")), "{text}");
}

#[test]
fn what_cannot_hold_is_named_with_its_reason() {
    let asked = [
        "--model",
        "qwen3-32b",
        "--prompt",
        "8000",
        "--output",
        "100",
        "--ttft",
        "p99=1s",
        "--tokens-per-s",
        "30",
        "--rate",
        "4",
        "--gpus",
        "l40s",
        "--tp",
        "1,2",
        "--dtype",
        "bf16",
    ];
    let (file, code) = json(&asked);
    assert_eq!(code, 3, "{file}");
    assert_eq!(file["answers"], serde_json::json!([]));
    let reasons = file["infeasible"].to_string();
    assert!(
        reasons.contains("TP2: 100 % of prompts cannot be prefilled in 1.00 s even alone"),
        "{reasons}"
    );
    // Nor does a later first token mend it: 30.5 GiB of weights are read in more than 33 ms.
    assert!(file["infeasible"][1]["nearest_change"].is_null(), "{reasons}");
    assert_eq!(file["infeasible"].as_array().map(Vec::len), Some(2), "{reasons}");
    let (text, _, _) = plan(&asked);
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    assert!(text.contains("none of these GPUs holds this promise"), "{text}");
    assert!(text.contains("l40s TP2, bf16: 100 % of prompts cannot"), "{text}");
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let base =
        ["--model", "llama-3.1-8b", "--gpus", "h100-sxm", "--ttft", "1s", "--tokens-per-s", "30"];
    let lengths = ["--prompt", "100", "--output", "10"];
    let refused = |flags: &[&str], why: &str| {
        let (_, said, code) = plan(flags);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused(&[&base[..], &["--rate", "1"]].concat(), "how long are the requests?");
    refused(&[&base[..], &lengths].concat(), "how much traffic is there?");
    refused(&[&base[..], &lengths, &["--sessions", "chat"]].concat(), "--sessions");
    refused(&[&base[..], &["--sessions", "9", "--rate", "1"]].concat(), "`--rate 9`");
    refused(
        &[&base[..], &["--sessions", "agents", "--rate", "1"]].concat(),
        "did you mean `agent`?",
    );
    refused(&[&base[..], &["--sessions", "chat"]].concat(), "how much traffic is there?");
    refused(&[&base[..], &lengths, &["--rate", "0"]].concat(), "above 0");
    refused(&[&base[..], &lengths, &["--rate", "1", "--price", "l4=1"]].concat(), "--price");
    refused(&[&base[..2], &["--gpus", "h1000", "--rate", "1"]].concat(), "no GPU `h1000`");
    refused(&[&base[..4], &lengths, &["--rate", "1"]].concat(), "what are users promised?");
    refused(
        &[&base[..4], &["--ttft", "q=1s", "--tokens-per-s", "3"], &lengths[..], &["--rate", "1"]]
            .concat(),
        "figures are",
    );
    let asked = [&base[..], &lengths, &["--rate", "1"]].concat();
    refused(&[&asked[..], &["--shared-prefix", "101"]].concat(), "a prompt of 100 tokens");
    refused(&[&asked[..], &["--max-replicas", "0"]].concat(), "--max-replicas");
    refused(&[&asked[..], &["--dtype", "fp9"]].concat(), "fp9");
    let unknown = [&["--model", "llama-8b"], &asked[2..]].concat();
    refused(&unknown, "unknown model `llama-8b`");
}

/// GPUs that are owned already cost nothing, and nothing is cheaper.
#[test]
fn a_gpu_may_cost_nothing() {
    let flags =
        [&SMALL[..], &["--rate", "2", "--gpus", "h100-sxm", "--price", "h100-sxm=0"]].concat();
    let (file, code) = json(&flags);
    assert_eq!((code, &file["answers"][0]["usd_per_hour"]), (0, &0.0.into()), "{file}");
}

/// A scenario may give KV blocks, and the times of steps, for one machine.
#[test]
fn what_holds_on_one_machine_is_no_answer_for_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("given.yaml");
    let file = path.to_str().expect("plain");
    let asked = |engine: &str, gpus: &str| {
        let text = format!(
            "model: llama-3.1-70b\ngpu: h100-sxm\nparallelism: {{tensor: 4}}\nengine: {{{engine}}}\n\
             schedulers: [vllm-v1]\nworkload: {{requests: 50, arrivals: {{poisson: {{rate: 1}}}}, \
             lengths: {{prompt: {{fixed: 200}}, output: {{fixed: 20}}}}}}\nslo: {{ttft: 2s, tbt: 100ms}}\n"
        );
        std::fs::write(&path, text).expect("writable");
        plan(&["--scenario", file, "--gpus", gpus, "--tp", "1,2"])
    };
    let (said, _, code) = asked("kv_blocks: 2000", "l4");
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code == 3 && words.contains("the weights alone take more memory"), "{said}");
    assert!(!words.contains("held:"), "nothing held: {said}");
    let law = "profile: {step_law: {iteration_us: 9000}}, kv_blocks: 2000, max_model_len: 4096";
    let (_, said, code) = asked(law, "h100-sxm,l4");
    assert!(code == 2 && said.contains("say nothing of other GPUs"), "{said}");
}

/// Short sessions, so that a run of them is over soon.
const TALKS: [&str; 18] = [
    "--model",
    "llama-3.1-8b",
    "--sessions",
    "chat",
    "--gpus",
    "h100-sxm",
    "--tp",
    "1",
    "--dtype",
    "bf16",
    "--seeds",
    "1",
    "--ttft",
    "p99=1s",
    "--tokens-per-s",
    "30",
    "--set",
    "workload.sessions.gap={fixed: 5s}",
];

#[test]
fn sessions_are_a_load_too() {
    let asked = [&TALKS[..], &["--rate", "12"]].concat();
    let (file, code) = json(&asked);
    assert_eq!(code, 0, "{file}");
    assert_eq!((&file["sessions_per_s"], &file["requests_per_s"]), (&12.0.into(), &Value::Null));
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("a number in {file}"));
    let session = &file["session"];
    let turns = number(&session["turns"]);
    assert!((2.0..3.2).contains(&turns), "{session}");
    assert!(number(&session["stay_s"]) > 5.0 * (turns - 1.0), "{session}");
    let best = &file["answers"][0];
    // 12 sessions a second at so much an hour, and 12 times as many answers' tokens.
    let usd = number(&best["usd_per_hour"]);
    let each = number(&best["usd_per_session"]);
    assert!((each - usd / 3600.0 / 12.0).abs() < 1e-9, "{best}");
    let per_million = number(&best["usd_per_million_output_tokens"]);
    let tokens = each / per_million * 1e6;
    let drawn = number(&session["output_tokens"]);
    assert!((tokens / drawn - 1.0).abs() < 0.2, "{tokens} and {drawn}");
    assert_eq!(best["interval"], best["sessions_per_s"]);
    assert!(number(&best["interval"][0]) >= 12.0, "{best}");
    // What was simulated is what is written, and it holds.
    let written = file["scenario"].as_str().expect("a scenario");
    for there in ["preset: chat", "session-affinity", "skip_first", "fixed: 5s"] {
        assert!(written.contains(there), "{there}: {written}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = folder.path().join("best.yaml");
    std::fs::write(&yaml, written).expect("writable");
    let mut run = Command::cargo_bin("metron-sim").expect("built");
    let ran = run.args(["run", "--check", "--format", "json"]).arg(&yaml).output().expect("ran");
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    let ran: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let sessions = &ran["runs"][0]["sessions"];
    let lasted = number(&sessions["begun"]) / 12.0;
    assert!(lasted > 2.5 * number(&session["stay_s"]), "{sessions}");
    assert_eq!(sessions["begun"], sessions["completed"]);
    let (text, _, _) = plan(&asked);
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    for said in ["12 sessions/s, preset chat", "a session: ", "$/session", "stays on its replica"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let (csv, _, _) = plan(&[&asked[..], &["--format", "csv"]].concat());
    let lines: Vec<&str> = csv.lines().collect();
    assert!(
        lines[0].ends_with("sessions_per_s_lower,sessions_per_s_upper,usd_per_session"),
        "{csv}"
    );
    assert!(lines[1].ends_with(&format!(",{each}")), "{csv}");
}

#[test]
fn users_have_a_session_each() {
    let asked = [&TALKS[..], &["--users", "60", "--think-time", "1s"]].concat();
    let (file, code) = json(&asked);
    assert_eq!(code, 0, "{file}");
    assert_eq!((&file["users"], &file["sessions_per_s"]), (&60.into(), &Value::Null));
    let best = &file["answers"][0];
    let [lower, users] = [&best["sessions_per_s"][0], &best["interval"][0]]
        .map(|value| value.as_f64().expect("a number"));
    // Little's law, with what a session lasts and a second to think.
    let stay = file["session"]["stay_s"].as_f64().expect("a number");
    let most = users / (stay * 0.15);
    assert!(lower > users / (stay * 1.2 + 1.0) && lower < most, "{best}, a session lasts {stay} s");
    let each = best["usd_per_session"].as_f64().expect("a price");
    let per_s = best["usd_per_hour"].as_f64().expect("a price") / 3600.0;
    assert!((each - per_s / (lower / users * 60.0)).abs() < 1e-9, "{best}");
    // Their number can be given.
    let set = ["--set", "workload.sessions.count=150", "--set", "measure.skip_first=2s"];
    let (file, code) = json(&[&asked[..], &set].concat());
    assert_eq!(code, 0, "{file}");
    assert!(file["scenario"].as_str().is_some_and(|text| text.contains("count: 150")), "{file}");
}

/// Sessions of four turns, each with an answer of 40 tokens.
const FOUR_TURNS: &str = "
model: llama-3.1-8b
gpu: h100-sxm
schedulers: [vllm-v1]
router: session-affinity
workload:
  sessions:
    count: 150
    arrivals: {poisson: {rate: 6}}
    first_prompt: {fixed: 300}
    turns: {fixed: 4}
    new_tokens: {fixed: 50}
    output: {fixed: 40}
    gap: {fixed: 1s}
slo: {ttft: 1s, tbt: 40ms}
";

#[test]
fn capacity_pays_by_the_session_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.yaml");
    std::fs::write(&path, FOUR_TURNS).expect("writable");
    let asked = |more: &[&str]| -> Value {
        let mut command = Command::cargo_bin("metron-sim").expect("built");
        // So short a first token that more sessions than are played here would be too many.
        let slo = ["--set", "slo.ttft=200ms"];
        let flags = ["--seeds", "1", "--precision", "20%", "--format", "json"];
        let out = command
            .arg("capacity")
            .arg(&path)
            .args(slo)
            .args(flags)
            .args(more)
            .output()
            .expect("ran");
        serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)))
    };
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("a number: {value}"));
    let file = asked(&[]);
    let one = &file["schedulers"][0];
    let price = &one["price"];
    let (usd, rate) = (number(&price["usd_per_hour"]), number(&one["sessions_per_s"]["mean"]));
    let each = number(&price["usd_per_session"]);
    assert!((each - usd / 3600.0 / rate).abs() < 1e-12, "{one}");
    // As many tokens as a session's four answers have, at the rate at which sessions begin.
    let per_million = number(&price["usd_per_million_output_tokens"]);
    assert!((per_million / (each / 160.0 * 1e6) - 1.0).abs() < 1e-9, "{one}");
    assert_eq!(one["at_capacity"]["requests_per_session"], 4.0);
    // Users who begin one when one has ended: as many as there are, over how long one lasts.
    let users = "workload.sessions.concurrency={users: 8, think_time: 2s}";
    let file = asked(&["--set", "workload.sessions.arrivals=null", "--set", users]);
    let one = &file["schedulers"][0];
    let lasts = number(&one["at_capacity"]["session_s"]);
    assert!(lasts > 3.0, "{one}");
    let per_s = number(&one["users"]["mean"]) / (lasts + 2.0);
    let each = number(&one["price"]["usd_per_session"]);
    assert!((each / (usd / 3600.0 / per_s) - 1.0).abs() < 1e-9, "{one}");
}

#[test]
fn a_scenario_of_sessions_costs_by_the_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.yaml");
    std::fs::write(&path, FOUR_TURNS).expect("writable");
    let path = path.to_str().expect("text");
    let asked = ["--scenario", path, "--gpus", "h100-sxm", "--tp", "1", "--dtype", "bf16"];
    let (file, code) = json(&[&asked[..], &["--seeds", "1", "--rate", "8"]].concat());
    assert_eq!(code, 0, "{file}");
    assert_eq!(file["sessions_per_s"], 8.0);
    let best = &file["answers"][0];
    let usd = best["usd_per_hour"].as_f64().expect("a price");
    let per_million = best["usd_per_million_output_tokens"].as_f64().expect("a price");
    // Four answers of 40 tokens a session, not one.
    let expected = usd / (8.0 * 4.0 * 40.0 * 3600.0) * 1e6;
    assert!((per_million / expected - 1.0).abs() < 1e-6, "{per_million} and {expected}");
    assert!(file["scenario"].as_str().is_some_and(|text| text.contains("count: 150")), "{file}");
}

#[test]
fn a_scenario_and_users_can_be_planned_for() {
    let text = "
model: llama-3.1-8b
gpu: h100-sxm
schedulers: [sarathi: {chunk_size: 512}]
workload:
  requests: 500
  arrivals: {poisson: {rate: 10}}
  lengths: {prompt: {fixed: 500}, output: {fixed: 50}}
slo: {ttft: 1s, tbt: 40ms}
";
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.yaml");
    std::fs::write(&path, text).expect("writable");
    let path = path.to_str().expect("text");
    let (file, code) =
        json(&["--scenario", path, "--gpus", "l40s,h100-sxm", "--tp", "1", "--seeds", "1"]);
    assert_eq!(code, 0, "{file}");
    assert_eq!(file["requests_per_s"], 10.0);
    assert_eq!(file["answers"][0]["scheduler"], "sarathi(chunk_size=512)");
    let users = [
        &SMALL[..],
        &["--users", "30", "--think-time", "2s", "--gpus", "h100-sxm", "--seeds", "1"],
    ]
    .concat();
    let (file, code) = json(&users);
    assert_eq!(code, 0, "{file}");
    assert_eq!(file["users"], 30);
}

/// Long prompts and short answers whose tokens are promised to come steadily.
const DOCUMENTS: &str = "\
name: documents
model: llama-3.1-8b
gpu: h100-sxm
schedulers: [vllm-v1]
workload:
  requests: 600
  arrivals: {poisson: {rate: 8}}
  lengths: {prompt: {fixed: 6000}, output: {fixed: 120}}
slo: {ttft: 3s, tbt: 20ms, bounds: {tbt: {p99: 20ms}}, fluidity: {index: 0.9, share: 0.95}}
";

#[test]
fn the_same_replicas_are_tried_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = folder.path().join("documents.yaml");
    std::fs::write(&yaml, DOCUMENTS).expect("writable");
    let scenario = yaml.to_str().expect("UTF-8");
    let asked = ["--scenario", scenario, "--gpus", "h100-sxm", "--tp", "1", "--seeds", "2"];
    let asked = [&asked[..], &["--apart", "ib-400g"]].concat();
    let (file, code) = json(&asked);
    assert_eq!(code, 0, "{file}");
    let answer = &file["answers"][0];
    let apart = &answer["apart"];
    let fewest = &apart["fewest"];
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("a number in {file}"));
    assert!(number(&fewest["load"]) - number(&fewest["half_width"]) >= 8.0, "{apart}");
    assert!(fewest["gpus"].as_u64() <= answer["gpus"].as_u64(), "{answer}");
    assert_eq!(number(&apart["usd_per_hour"]), 3.0 * number(&fewest["gpus"]), "{apart}");
    // The curve is that of `capacity --gpus`, where the best of it holds the load.
    let sets = apart["set"].as_array().expect("a list").iter();
    let sets = sets.flat_map(|set| ["--set", set.as_str().expect("text")]);
    let divisions = apart["divisions"].as_array().expect("a list");
    let gpus = divisions[0]["gpus"].as_u64().expect("a number").to_string();
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    let command = command.args(["capacity", scenario, "--gpus", &gpus, "--seeds", "2"]);
    let command = command.args(["--precision", "0.02", "--format", "json"]).args(sets);
    let out = command.output().expect("ran");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let capacity: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(capacity["ratios"], apart["divisions"]);
    let (text, _, _) = plan(&asked);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in ["prefill and decode apart, KV over ib-400g: ", "GPUs hold the load", "colocated"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let wrong = [&asked[..asked.len() - 1], &["ib-40g"]].concat();
    let (_, err, code) = plan(&wrong);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("there is no link `ib-40g`") && err.contains("ib-400g"), "{err}");
}

/// What a run of this scenario gives, and whether it kept its promise.
fn run(yaml: &std::path::Path) -> (Value, i32) {
    let mut run = Command::cargo_bin("metron-sim").expect("built");
    let out = run.args(["run", "--check", "--format", "json"]).arg(yaml).output().expect("ran");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let file = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{said}"));
    (file, out.status.code().expect("an exit code"))
}

/// The load may be another than the scenario's: what is written has the one that was judged.
#[test]
fn what_is_written_has_the_load_that_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let from = folder.path().join("s.yaml");
    let best = folder.path().join("best.yaml");
    let mut trace = String::new();
    for row in 0..200 {
        trace.push_str(&format!(
            "{{\"arrival_s\": {}, \"prompt_tokens\": 4000, \"output_tokens\": 50}}\n",
            f64::from(row) * 0.2
        ));
    }
    std::fs::write(folder.path().join("t.jsonl"), trace).expect("writable");
    let lengths = "lengths: {prompt: {fixed: 4000}, output: {fixed: 50}}";
    let open = format!("{{requests: 400, arrivals: {{poisson: {{rate: 5}}}}, {lengths}}}");
    for (workload, seed, written) in [
        (open.as_str(), "7", "poisson: {rate: 20}"),
        ("{trace: {file: t.jsonl}}", "0", "time_scale: 4"),
    ] {
        let text = format!(
            "model: llama-3.1-8b\ngpu: h100-sxm\nschedulers: [vllm-v1]\nworkload: {workload}\nslo: {{ttft: \
             1s, tbt: 25ms, fluidity: {{index: 0.9, share: 0.95}}}}\n"
        );
        std::fs::write(&from, text).expect("writable");
        let asked = ["--scenario", from.to_str().expect("text"), "--gpus", "h100-sxm", "--rate"];
        let tried = ["20", "--tp", "1", "--dtype", "bf16", "--seeds", "1", "--seed", seed];
        let write = ["--write-scenario", best.to_str().expect("text")];
        let (file, code) = json(&[&asked[..], &tried, &write].concat());
        assert_eq!(code, 0, "{file}");
        let text = std::fs::read_to_string(&best).expect("written");
        assert!(text.contains(written), "{written}: {text}");
        let (ran, code) = run(&best);
        assert_eq!(code, 0, "it holds as it was judged: {ran}");
        // The run is the very one by which the answer was found.
        let (summary, answer) = (&ran["runs"][0], &file["answers"][0]);
        assert_eq!(summary["ttft_s"]["p99"], answer["ttft_p99_s"], "{text}");
    }
}

/// A scenario that has replicas has pools in their place where prefill and decode are apart.
#[test]
fn replicas_give_way_to_pools() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = folder.path().join("documents.yaml");
    let text = format!("{DOCUMENTS}replicas: 4\nrouter: least-requests\n");
    std::fs::write(&yaml, text).expect("writable");
    let scenario = yaml.to_str().expect("UTF-8");
    let asked = ["--scenario", scenario, "--gpus", "h100-sxm", "--tp", "1", "--dtype", "bf16"];
    let (file, code) = json(&[&asked[..], &["--seeds", "1", "--apart", "ib-400g"]].concat());
    assert_eq!(code, 0, "{file}");
    let apart = &file["answers"][0]["apart"];
    assert_eq!(apart["why_not"], Value::Null, "{apart}");
    assert!(apart["divisions"].as_array().is_some_and(|all| all.len() > 1), "{apart}");
}

/// Users who all think for as long ask in waves, for which people are not sized.
#[test]
fn users_in_step_are_warned_of() {
    let users = ["--users", "30", "--gpus", "h100-sxm", "--seeds", "1", "--think-time"];
    let (file, code) = json(&[&SMALL[..], &users, &["2s"]].concat());
    assert_eq!(code, 0, "{file}");
    let notes = file["notes"].to_string();
    assert!(notes.contains("stay in step") && notes.contains("--rate 15"), "{notes}");
    let (file, _) = json(&[&SMALL[..], &users, &["0s"]].concat());
    assert_eq!(file["notes"], serde_json::json!([]), "{file}");
}

#[test]
fn a_change_is_named_only_where_it_was_seen_to_hold() {
    // A token every millisecond is beyond every kind of replica, and so is nothing that is named.
    let asked = [
        "--model",
        "llama-3.1-8b",
        "--prompt",
        "500",
        "--output",
        "4000",
        "--rate",
        "1",
        "--gpus",
        "l40s",
        "--ttft",
        "p99=1s",
        "--tokens-per-s",
        "1000",
        "--tp",
        "1,2",
    ];
    let (file, code) = json(&asked);
    assert_eq!(code, 3, "{file}");
    let infeasible = file["infeasible"].as_array().expect("a list");
    assert!(!infeasible.is_empty());
    assert!(infeasible.iter().all(|one| one["nearest_change"].is_null()), "{file}");
    let (text, _, _) = plan(&asked);
    let text = text.replace("\n    ", " ");
    assert!(text.contains("nothing that was tried mends it"), "{text}");
}

#[test]
fn a_quantised_checkpoint_is_served_as_it_comes_unless_asked_otherwise() {
    let asked = [
        "--model",
        "gpt-oss-20b",
        "--prompt",
        "500",
        "--output",
        "40",
        "--rate",
        "1",
        "--gpus",
        "h100-sxm",
        "--ttft",
        "p99=1s",
        "--tokens-per-s",
        "20",
        "--tp",
        "1",
        "--seeds",
        "1",
    ];
    let (file, _) = json(&asked);
    assert_eq!(file["cells"], 6, "one format: {file}");
    assert_eq!(file["answers"][0]["dtype"], "auto");
    assert!(file["answers"][0]["not_in_launch"].is_null(), "{file}");
    for dtype in ["fp8", "bf16"] {
        let (file, _) = json(&[&asked[..], &["--dtype", dtype]].concat());
        let notes = file["notes"].to_string();
        assert!(notes.contains(&format!("{dtype} in place of")), "{notes}");
        let best = &file["answers"][0];
        assert!(best["not_in_launch"][0].to_string().contains("mxfp4"), "{best}");
        assert!(!best["launch"].to_string().contains("--quantization"), "{best}");
    }
}
