//! `metron-sim capacity` on systems whose capacity can be worked out by hand.

use assert_cmd::Command;
use serde_json::Value;

use crate::stopped::{kept, stop};

/// One request after another, 100 ms each: at most 10 requests/s.
const ONE_SEAT: &str = "
seed: 7
schedulers:
  - orca: {max_num_seqs: 1}
engine: {profile: {fixed: {iteration: 100ms}}, kv_blocks: 1000, kv_block_tokens: 16, max_model_len: 4096}
workload:
  requests: 4000
  arrivals: {constant: {rate: 3}}
  lengths: {prompt: {fixed: 16}, output: {fixed: 1}}
slo: {ttft: 1s, tbt: 1s}
";

fn capacity(scenario: &str, flags: &[&str]) -> (Value, i32) {
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    command.args(["capacity", "-", "--format", "json", "-q"]).args(flags).write_stdin(scenario);
    let out = command.output().expect("ran");
    let code = out.status.code().expect("an exit code");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(code == 0 || code == 3, "{stderr}");
    (serde_json::from_slice(&out.stdout).expect("JSON"), code)
}

fn rate(result: &Value) -> f64 {
    result["schedulers"][0]["requests_per_s"]["mean"].as_f64().expect("a rate")
}

#[test]
fn equal_gaps_are_carried_up_to_the_service_rate() {
    let (result, code) = capacity(ONE_SEAT, &["--seeds", "2"]);
    assert_eq!(code, 0);
    let rate = rate(&result);
    assert!((9.9..=10.06).contains(&rate), "{rate}");
    let one = &result["schedulers"][0];
    let found = &one["requests_per_s"];
    assert!(found["half_width"].is_null(), "equal gaps know no seed");
    assert_eq!(found["is"], "highest_that_held");
    let (lower, upper) = (found["lower"].as_f64(), found["upper"].as_f64());
    assert!(lower == found["mean"].as_f64() && upper > lower, "the bracket: {found}");
    assert!(result["notes"].to_string().contains("same requests"), "{result}");
}

#[test]
fn poisson_arrivals_are_carried_up_to_the_bound_on_the_tail() {
    // M/D/1 with service 0.1 s; the P99 of the sojourn crosses 1 s at a utilisation of about 0.8.
    let scenario = ONE_SEAT.replace("constant", "poisson").replace("4000", "20000");
    let scenario = format!("{scenario}  \n")
        .replace("slo: {ttft: 1s, tbt: 1s}", "slo: {ttft: 1s, tbt: 1s, bounds: {ttft: {p99: 1s}}}");
    let (all, _) = capacity(&scenario, &["--slo", "bounds"]);
    let rate = rate(&all);
    assert!((7.4..=8.6).contains(&rate), "{rate}");
    let (asserted, _) = capacity(&scenario, &["--slo", "fluidity", "--assert", "ttft_s.p99<=1"]);
    assert!((rate - self::rate(&asserted)).abs() < 0.02 * rate);
}

#[test]
fn a_queue_that_grows_is_no_capacity_however_short_the_run() {
    // Nothing is promised but an answer within an hour: only the queue's growth is a limit.
    let lax = |requests: &str| {
        ONE_SEAT
            .replace("4000", requests)
            .replace("ttft: 1s", "ttft: 1h")
            .replace("tbt: 1s", "tbt: 1h")
    };
    let rates: Vec<f64> = ["600", "6000"]
        .map(|requests| {
            let (result, _) = capacity(&lax(requests), &["--seeds", "1"]);
            let one = &result["schedulers"][0];
            assert!(one["limited_by"].to_string().contains("queue keeps growing"), "{one}");
            assert!(one["notes"].to_string().contains("not stable"), "{one}");
            rate(&result)
        })
        .to_vec();
    for rate in &rates {
        assert!((9.8..=10.8).contains(rate), "{rates:?}");
    }
}

#[test]
fn a_short_run_says_that_it_is() {
    let scenario = ONE_SEAT.replace("4000", "200").replace("constant", "poisson");
    let (result, _) = capacity(&scenario, &["--seeds", "1"]);
    let notes = result["schedulers"][0]["notes"].to_string();
    assert!(notes.contains("rests on the worst 2.0 of 200"), "{notes}");
}

#[test]
fn the_fewest_replicas_for_a_rate() {
    let (result, code) = capacity(ONE_SEAT, &["--for-rate", "35", "--seeds", "2"]);
    assert_eq!(code, 0);
    let asked = &result["schedulers"][0]["for_rate"];
    assert_eq!(asked["replicas"], 4, "{asked}");
    let share = asked["share_of_capacity"].as_f64().expect("a share");
    assert!((share - 35.0 / 40.0).abs() < 0.03, "{asked}");
}

/// Ranks of a data-parallel deployment come together: for what three of them would carry there must
/// be four.
#[test]
fn data_parallel_ranks_are_bought_by_the_deployment() {
    for (rate, replicas) in [("15", 2), ("25", 4), ("35", 4), ("55", 6)] {
        let set = ["--for-rate", rate, "--seeds", "1", "--set", "parallelism={data: 2}"];
        let (result, code) = capacity(&ONE_SEAT.replace("4000", "1500"), &set);
        assert_eq!(code, 0);
        let asked = &result["schedulers"][0]["for_rate"];
        assert_eq!(asked["replicas"], replicas, "{asked}");
        let tried = asked["tried"].as_array().expect("a list");
        assert!(tried.iter().all(|one| one[0].as_u64().expect("a number") % 2 == 0), "{asked}");
    }
}

#[test]
fn what_never_holds_is_said_and_ends_with_3() {
    let scenario = ONE_SEAT.replace("ttft: 1s", "ttft: 50ms");
    let (result, code) = capacity(&scenario, &["--for-rate", "1", "--seeds", "1"]);
    assert_eq!(code, 3);
    let one = &result["schedulers"][0];
    assert!(one["requests_per_s"].is_null());
    assert!(one["notes"].to_string().contains("no load keeps this promise"), "{one}");
    assert!(one["notes"].to_string().contains("0.0 % of requests are fluid"), "{one}");
    assert_eq!(one["seeds"].as_array().map(Vec::len), Some(0), "no search was made");
    assert!(one["for_rate"]["replicas"].is_null());
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let scenario = ONE_SEAT.replace("constant", "poisson").replace("4000", "1000");
    let run = |jobs| capacity(&scenario, &["--jobs", jobs, "--for-rate", "20"]).0;
    assert_eq!(run("1"), run("2"));
}

#[test]
fn a_workload_without_a_rate_is_refused() {
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    let scenario = ONE_SEAT.replace("constant: {rate: 3}", "all_at_once: {}");
    let out = command.args(["capacity", "-"]).write_stdin(scenario).output().expect("ran");
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("no arrival rate to scale"));
}

#[test]
fn a_search_that_is_killed_goes_on_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let command = |flags: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_metron-sim"));
        command.current_dir(at).args(["capacity", "s.yaml", "--jobs", "1", "--format", "json"]);
        command.args(flags).stderr(std::process::Stdio::piped());
        command
    };
    let points = at.join("out.json.points");
    // One that is through before anybody looks is too short.
    let killed = [30_000, 60_000, 120_000, 240_000].iter().any(|requests| {
        let scenario = ONE_SEAT.replace("4000", &requests.to_string());
        std::fs::write(at.join("s.yaml"), scenario.replace("constant", "poisson"))
            .expect("writable");
        let _ = std::fs::remove_file(at.join("out.json"));
        let search = command(&["-o", "out.json"]).spawn().expect("started");
        stop(search, "-KILL", |_| kept(&points) >= 2).is_some()
    });
    assert!(killed, "every search was through before it was looked at");
    let before = kept(&points);
    assert!(before >= 2, "killed in the middle");
    assert!(!at.join("out.json").exists(), "nothing half written");
    assert!(command(&["-o", "out.json"]).output().expect("ran").status.success());
    assert!(!points.exists(), "nothing is left beside a whole result");

    let whole = command(&["--cache", "kept"]).output().expect("ran");
    let simulations = kept(&at.join("kept"));
    assert!(simulations > before, "{simulations} simulations, {before} before the kill");
    assert_eq!(std::fs::read(at.join("out.json")).expect("there"), whole.stdout);
    // A second time everything is found, and gives the same bytes; another scenario finds nothing.
    assert_eq!(command(&["--cache", "kept"]).output().expect("ran").stdout, whole.stdout);
    assert_eq!(kept(&at.join("kept")), simulations);
    let other = ["--cache", "kept", "--set", "slo.ttft=900ms"];
    assert!(command(&other).output().expect("ran").status.success());
    assert!(kept(&at.join("kept")) > simulations);
}

#[test]
fn shards_of_seeds_fill_the_cache_of_the_whole() {
    let scenario = ONE_SEAT.replace("constant", "poisson").replace("4000", "400");
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().to_str().expect("a plain name");
    let flags = |more: &[&'static str]| -> Vec<&str> {
        [&["--seeds", "2", "--precision", "5%"], more].concat()
    };
    let whole = capacity(&scenario, &flags(&[]));
    for (shard, seed) in [("1/2", 7), ("2/2", 8)] {
        let given = [&flags(&["--shard", shard])[..], &["--cache", cache]].concat();
        let (part, code) = capacity(&scenario, &given);
        assert_eq!(
            (code, &part["complete"], &part["seeds"]),
            (0, &false.into(), &serde_json::json!([seed]))
        );
    }
    let kept = || std::fs::read_dir(cache).expect("there").count();
    let before = kept();
    let given = [&flags(&[])[..], &["--cache", cache]].concat();
    assert_eq!(capacity(&scenario, &given), whole);
    assert_eq!(kept(), before, "nothing was left to be played");
    let mut refused = Command::cargo_bin("metron-sim").expect("built");
    refused.args(["capacity", "chat", "--shard", "4/4", "--cache", cache]);
    let said = refused.output().expect("ran");
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("no more shards than seeds"),
        "{said:?}"
    );
}

#[test]
fn results_validate_against_the_printed_schemas() {
    let print = |what: &str| -> Value {
        let mut command = Command::cargo_bin("metron-sim").expect("built");
        let out = command.args(["schema", what]).output().expect("ran");
        serde_json::from_slice(&out.stdout).expect("JSON")
    };
    let (short, flags) = (ONE_SEAT.replace("4000", "300"), ["--seeds", "2", "--for-rate", "15"]);
    let (result, _) = capacity(&short, &flags);
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    let grid = ["--vary", "replicas=1,2", "--pareto", "ttft_s.p99,throughput.output_tokens_per_s"];
    command.args(["sweep", "-", "-q", "--format", "json"]).args(grid).write_stdin(short);
    let swept: Value =
        serde_json::from_slice(&command.output().expect("ran").stdout).expect("JSON");
    for (what, mut value) in [("capacity", result), ("sweep", swept)] {
        let validator = jsonschema::validator_for(&print(what)).expect("a sound schema");
        let wrong: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{what}: {wrong:?}");
        value["kind"] = Value::from(3);
        assert!(!validator.is_valid(&value), "{what}: the schema lets anything pass");
    }
}

/// One user at a time takes 0.1 s and thinks 0.9 s: ten of them fill one server, twenty two.
const USERS: &str = "
seed: 7
schedulers:
  - orca: {max_num_seqs: 1}
engine: {profile: {fixed: {iteration: 100ms}}, kv_blocks: 1000, kv_block_tokens: 16, max_model_len: 4096}
workload:
  requests: 400
  arrivals: {closed_loop: {users: 4, think_time: 900ms}}
  lengths: {prompt: {fixed: 16}, output: {fixed: 1}}
slo: {ttft: 250ms, tbt: 1s}
measure: {skip_first: 20s}
";

#[test]
fn a_closed_loop_is_answered_in_users() {
    let (result, code) = capacity(USERS, &["--seeds", "1"]);
    assert_eq!(code, 0, "{result}");
    assert_eq!(result["searched"], "users");
    let one = &result["schedulers"][0];
    assert!(one["requests_per_s"].is_null());
    let users = one["users"]["mean"].as_u64().expect("whole users");
    // Two may wait for one another within 250 ms; beyond the cycle's ten places the wait grows.
    assert!((10..=13).contains(&users), "{one}");
    assert_eq!(one["seeds"][0]["holds_users"], users);
    assert_eq!(one["seeds"][0]["fails_users"], users + 1);
    let two = ["--seeds", "1", "--set", "replicas=2", "--for-users", "30"];
    let (result, code) = capacity(USERS, &two);
    assert_eq!(code, 0, "{result}");
    let one = &result["schedulers"][0];
    let (all, each) = (&one["users"]["mean"], &one["users_per_gpu"]["mean"]);
    assert_eq!(each.as_u64(), Some(all.as_u64().expect("whole users") / 2), "{one}");
    let replicas = one["for_users"]["replicas"].as_u64().expect("a number");
    assert!((3..=4).contains(&replicas), "{one}");
}

#[test]
fn rates_are_asked_of_rates_and_users_of_users() {
    let refused = |scenario: &str, flags: &[&str], why: &str| {
        let mut command = Command::cargo_bin("metron-sim").expect("built");
        command.args(["capacity", "-"]).args(flags).write_stdin(scenario);
        let out = command.output().expect("ran");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused(USERS, &["--for-rate", "3"], "--for-users");
    refused(ONE_SEAT, &["--for-users", "3"], "--for-rate");
    refused(ONE_SEAT, &["--for-rate", "3", "--pool", "fast"], "no `pools`");
    refused(ONE_SEAT, &["--pool", "fast"], "--for-rate or --for-users");
    refused(ONE_SEAT, &["--max-time", "0s"], "above 0");
    refused(ONE_SEAT, &["--assert", "ttft.p99<1"], "did you mean `ttft_s.p99`");
}

/// A server that takes 0.1 s and another that takes 0.2 s.
const POOLS: &str = "
seed: 7
schedulers:
  - orca: {max_num_seqs: 1}
pools:
  - {name: fast, replicas: 1, engine: {profile: {fixed: {iteration: 100ms}}}}
  - {name: slow, replicas: 2, engine: {profile: {fixed: {iteration: 200ms}}}}
engine: {kv_blocks: 1000, kv_block_tokens: 16, max_model_len: 4096}
router: least-requests
workload:
  requests: 3000
  arrivals: {constant: {rate: 10}}
  lengths: {prompt: {fixed: 16}, output: {fixed: 1}}
slo: {ttft: 1s, tbt: 1s}
";

#[test]
fn pools_grow_in_proportion_or_one_of_them() {
    let sized = |flags: &[&str]| {
        let (result, code) = capacity(POOLS, &[&["--seeds", "1"], flags].concat());
        assert_eq!(code, 0, "{result}");
        result["schedulers"][0]["for_rate"].clone()
    };
    // 10 + 2 x 5 requests/s.
    let both = sized(&["--for-rate", "50"]);
    assert_eq!(both["pools"], serde_json::json!({"fast": 3, "slow": 6}), "{both}");
    assert_eq!((&both["replicas"], &both["gpus"]), (&Value::from(9), &Value::from(9)));
    let slow = sized(&["--for-rate", "27", "--pool", "slow"]);
    assert_eq!(slow["pools"], serde_json::json!({"fast": 1, "slow": 4}), "{slow}");
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    command.args(["capacity", "-", "--for-rate", "9", "--pool", "slwo"]).write_stdin(POOLS);
    let said = String::from_utf8_lossy(&command.output().expect("ran").stderr).into_owned();
    assert!(said.contains("did you mean `slow`?"), "{said}");
}

#[test]
fn a_fleet_too_large_to_simulate_is_estimated_at_once() {
    let flags = ["--for-rate", "1000", "--seeds", "1", "--max-replicas", "50"];
    let (result, code) = capacity(&ONE_SEAT.replace("4000", "500"), &flags);
    assert_eq!(code, 3);
    let asked = &result["schedulers"][0]["for_rate"];
    assert!(asked["replicas"].is_null() && asked["tried"].as_array().is_some_and(Vec::is_empty));
    let estimate = asked["estimate"].as_u64().expect("a number");
    assert!((95..=105).contains(&estimate), "{asked}");
    assert!(asked["why"].to_string().contains("--max-replicas 50"), "{asked}");
}

#[test]
fn a_search_ends_when_its_time_is_up_and_says_what_it_knows() {
    let (result, code) = capacity(ONE_SEAT, &["--max-time", "1ns", "--seeds", "1"]);
    assert_eq!(code, 3);
    assert_eq!(result["complete"], false);
    let notes = result["schedulers"][0]["notes"].to_string();
    assert!(notes.contains("time ran out: 1 of 1 searches were cut short"), "{result}");
    assert!(notes.contains("nothing is known by then"), "{result}");
}

#[test]
fn what_runs_warn_of_is_said() {
    // Chunks are off, and half of the prompts are over the budget.
    let scenario = "
seed: 7
schedulers:
  - vllm-v0: {max_num_batched_tokens: 1024}
engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 1000, kv_block_tokens: 16, max_model_len: 2048}
workload:
  requests: 200
  arrivals: {poisson: {rate: 3}}
  lengths: {prompt: {uniform: {min: 10, max: 2000}}, output: {fixed: 4}}
slo: {ttft: 1s, tbt: 1s}
";
    let (result, code) = capacity(scenario, &["--seeds", "1"]);
    assert_eq!(code, 3);
    assert!(result["warnings"].to_string().contains("of 200 requests were rejected"), "{result}");
    let one = &result["schedulers"][0];
    assert!(one["notes"].to_string().contains("no load keeps this promise"), "{one}");
}

#[test]
fn two_schedulers_that_are_alike_are_tied() {
    let twice = ONE_SEAT
        .replace("constant", "poisson")
        .replace("4000", "1000")
        .replace("engine:", "  - orca: {max_num_seqs: 2}\nengine:");
    let (result, _) = capacity(&twice, &[]);
    assert!(result["comparison"].to_string().contains("carries more"), "{}", result["comparison"]);
    let same = twice.replace("max_num_seqs: 2", "max_num_seqs: 1");
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    let out = command.args(["capacity", "-", "-q"]).write_stdin(same).output().expect("ran");
    let text = String::from_utf8(out.stdout).expect("text");
    assert!(text.contains("A tie between") && !text.contains("carries more"), "{text}");
    assert!(text.contains("mean of 3 seeds") && !text.contains("+- 0.00"), "{text}");
}

/// A watermark that was charged to a request that is alone once made 0.64 requests/s a GPU of this.
#[test]
fn a_fleet_with_a_watermark_carries_what_its_reference_does() {
    let scenario = include_str!("../data/cases/watermark-fleet.yaml");
    let (result, code) = capacity(scenario, &["--seeds", "1"]);
    assert_eq!(code, 0);
    let one = &result["schedulers"][0];
    let per_gpu = one["requests_per_s_per_gpu"]["mean"].as_f64().expect("a rate");
    assert!((10.0..=11.0).contains(&per_gpu), "{one}");
}

/// Answers of 11 tokens, 10 ms each, of 20 requests: sarathi has two seats, orca one.
const SHORT: &str = "
name: h1
engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 2000, kv_block_tokens: 16, max_model_len: 2000}
schedulers: [sarathi: {max_num_seqs: 2}, orca: {max_num_seqs: 1}]
workload: {requests: 20, arrivals: {constant: {rate: 10}}, lengths: {prompt: {fixed: 16}, output: {fixed: 11}}}
slo: {ttft: 100ms, tbt: 15ms}
";

fn said(scenario: &str, flags: &[&str]) -> String {
    let mut text = Command::cargo_bin("metron-sim").expect("built");
    text.args(["capacity", "-"]).args(flags).write_stdin(scenario);
    String::from_utf8(text.output().expect("ran").stdout).expect("text")
}

/// A load that a run ends too soon to judge is no upper end of what is carried.
#[test]
fn what_is_not_known_is_no_upper_end() {
    for horizon in ["horizon=2150ms", "horizon=3s"] {
        for ttft in ["slo.ttft=10s", "slo.ttft=100ms"] {
            let (result, _) = capacity(SHORT, &["--set", horizon, "--set", ttft]);
            for one in result["schedulers"].as_array().expect("a list") {
                let (border, seed) = (&one["requests_per_s"], &one["seeds"][0]);
                let tried = seed["tried"].as_array().expect("a list").iter();
                let failed = tried.filter(|tried| tried[1] == false);
                let lowest = failed.filter_map(|tried| tried[0].as_f64()).reduce(f64::min);
                let upper = border["upper"].as_f64();
                // Where only growth limits, rates are those of the arrivals as they came about.
                let near = lowest.zip(upper).is_none_or(|(a, b)| (a - b).abs() < 1e-3 * a);
                assert!(near && lowest.is_some() == upper.is_some(), "{one}");
            }
        }
    }
}

/// One user after the other takes 2.2 s, and two take twice as long: nothing is known of them.
#[test]
fn where_no_load_is_known_to_fail_the_number_is_open_above() {
    let scenario = SHORT.replace("{constant: {rate: 10}}", "{closed_loop: {users: 1}}");
    let flags = ["--set", "horizon=2300ms", "--set", "slo.ttft=10s"];
    let (result, code) = capacity(&scenario, &flags);
    assert_eq!(code, 3);
    let orca = &result["schedulers"][1];
    let found = &orca["users"];
    assert!(found["mean"] == 1 && found["lower"] == 1 && found["upper"].is_null(), "{found}");
    let seed = &orca["seeds"][0];
    assert!(seed["fails_users"].is_null() && seed["open_users"] == 2, "{seed}");
    let tried = seed["tried"].as_array().expect("a list");
    assert!(tried.iter().all(|one| one[1] == true || one[1].is_null()), "{seed}");
    let order = result["comparison"].as_str().expect("a sentence");
    assert!(order.contains("is not known") && !order.contains("carries more"), "{order}");
    let text = said(&scenario, &flags);
    assert!(text.contains("orca(max_num_seqs=1): >= 1 users per GPU"), "{text}");
    assert!(text.contains("no load above is") && !text.contains("did not"), "{text}");
}

/// The reason and the arrivals are those of the load that failed, not of the first one tried.
#[test]
fn the_reason_is_that_of_the_lowest_load_that_failed() {
    let scenario = SHORT
        .replace(
            "sarathi: {max_num_seqs: 2}",
            "{sarathi: {max_num_seqs: 3, chunk_size: 8}, label: A}",
        )
        .replace("orca: {max_num_seqs: 1}", "{orca: {max_num_seqs: 2}, label: B}")
        .replace("rate: 10", "rate: 9.9")
        .replace("ttft: 100ms", "ttft: 50ms");
    let (result, _) = capacity(&scenario, &["--set", "horizon=2030ms"]);
    let one = &result["schedulers"][0];
    let seed = &one["seeds"][0];
    let end = |name: &str| seed[name].as_f64().unwrap_or_else(|| panic!("{name}: {seed}"));
    assert!(end("fails_requests_per_s") > end("holds_requests_per_s"), "{seed}");
    let failed = end("fails_realised_requests_per_s") / end("fails_requests_per_s");
    assert!((0.9..1.1).contains(&failed), "{seed}");
    assert!(seed["broken"].as_array().is_some_and(|broken| !broken.is_empty()), "{seed}");
    assert!(!one["limited_by"].to_string().contains("not known"), "{one}");
}

#[test]
fn a_rate_beyond_reason_is_refused_in_few_words() {
    for rate in ["1e300", "1e10", "-1", "inf", "nan"] {
        let mut command = Command::cargo_bin("metron-sim").expect("built");
        let rate = format!("--for-rate={rate}");
        command.args(["capacity", "-", &rate]).write_stdin(SHORT);
        let out = command.output().expect("ran");
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{rate}: {said}");
        assert!(said.contains("up to 1e9") && said.len() < 200, "{said}");
    }
}
