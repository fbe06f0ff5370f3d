//! Settings as the program answers to them: those without effect, features that some schedulers lack,
//! errors of any length, names of any length.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

fn run_in(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
    command.current_dir(folder).args(args).env("NO_COLOR", "1");
    command
}

/// `prefix-unfair.yaml` of the cases, smaller: two of the four policies have no prefix caching here.
const UNFAIR: &str = "\
model: qwen3-32b
gpu: h100-sxm
parallelism: {tensor: 4}
engine: {dtype: fp8, kv_cache_dtype: fp8, prefix_caching: true, async_scheduling: false}
schedulers: [vllm-v1, sglang, sarathi, splitfuse]
workload:
  requests: 60
  arrivals: {poisson: {rate: 1.8}}
  lengths: {prompt: {lognormal: {mean: 8000, sigma: 0.4}}, output: {lognormal: {mean: 300, sigma: 0.6}}}
  prefix_groups: {count: 1, tokens: 3000}
slo: {ttft: 1s, tbt: 33ms}
";

struct Answer {
    stdout: String,
    stderr: String,
}

fn answer(scenario: &str, args: &[&str]) -> Answer {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("s.yaml"), scenario).expect("writable");
    let output = run_in(folder.path(), args).assert().success().get_output().clone();
    Answer {
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn json(scenario: &str, args: &[&str]) -> Value {
    let args = [args, &["--format", "json"]].concat();
    serde_json::from_str(&answer(scenario, &args).stdout).expect("JSON")
}

/// Text as it reads, wherever its lines break.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn no_ranking_across_a_feature_that_some_lack() {
    let Answer { stdout, stderr } = answer(UNFAIR, &["run", "s.yaml"]);
    let text = unwrapped(&stdout);
    let why =
        "refix caching is on for vllm-v1 and sglang, and sarathi and splitfuse have none here";
    assert!(text.contains(why), "{text}");
    assert!(unwrapped(&stderr).contains(why), "{stderr}");
    assert!(!stdout.contains('*'), "a best of four that cannot be compared:\n{stdout}");
    for claim in ["the smoothest text", "comes closest"] {
        assert!(!text.contains(claim), "{claim}: {text}");
    }
    let names = |sentence: &str, of: [&str; 2]| of.iter().any(|name| sentence.contains(name));
    let verdict = text.split_once("keep the SLO;").expect("a verdict").1;
    let compared = verdict.split(". ").filter(|sentence| sentence.contains(" against "));
    for sentence in compared.filter(|sentence| !sentence.contains("not ranked against")) {
        let (with, without) = (["vllm-v1", "sglang"], ["sarathi", "splitfuse"]);
        assert!(!(names(sentence, with) && names(sentence, without)), "{sentence}: {text}");
    }
    assert!(text.contains("Among vllm-v1 and sglang:"), "{text}");

    let result = json(UNFAIR, &["run", "s.yaml"]);
    let used: Vec<&Value> = result["runs"]
        .as_array()
        .expect("runs")
        .iter()
        .map(|r| &r["features"]["prefix_caching"])
        .collect();
    assert_eq!(used, ["on", "on", "none", "none"]);
    assert!(result["warnings"].to_string().contains(why), "{}", result["warnings"]);
    assert!(result["inert"].is_null(), "it has an effect in two of them: {}", result["inert"]);
    assert_eq!(result["runs"][3]["inert"][0]["path"], "engine.prefix_caching");

    // Without it all four are compared.
    let off = ["run", "s.yaml", "--set", "engine.prefix_caching=false"];
    let Answer { stdout, stderr } = answer(UNFAIR, &off);
    assert!(stdout.contains("* best of its row"), "{stdout}");
    assert!(!stderr.contains("not ranked"), "{stderr}");
}

#[test]
fn what_has_no_effect_is_said_by_every_command() {
    let scenario = "\
model: llama-3.1-8b
gpu: {base: h100-sxm, interconnect: {bandwidth: 16GB/s, latency: 20us}}
engine: {profile: vllm-0.6, kv_blocks: 4000, gpu_memory_utilization: 0.8, prefix_caching: true}
schedulers: [sarathi]
horizon: 1h
workload: {requests: 40, arrivals: {poisson: {rate: 4}}, lengths: {table: chat}}
slo: {ttft: 500ms, tbt: 50ms}
";
    let before = ["gpu.interconnect", "engine.gpu_memory_utilization", "engine.prefix_caching"];
    let after = [&before[..], &["horizon"]].concat();
    let paths = |file: &Value| -> Vec<String> {
        let each = file["inert"].as_array().expect("a list").iter();
        each.map(|one| one["path"].as_str().expect("a path").to_owned()).collect()
    };
    let run = json(scenario, &["run", "s.yaml"]);
    assert_eq!(paths(&run), after);
    assert_eq!(run["inert"][1]["value"], 0.8);
    assert!(run["inert"][1]["why"].as_str().expect("a reason").contains("`kv_blocks` is given"));
    assert_eq!(paths(&json(scenario, &["explain", "s.yaml"])), after);
    let capacity = ["capacity", "s.yaml", "--seeds", "1", "--precision", "0.2"];
    assert_eq!(paths(&json(scenario, &capacity)), before);
    let sweep = ["sweep", "s.yaml", "--vary", "engine.prefix_caching=true,false"];
    assert_eq!(
        paths(&json(scenario, &sweep)),
        before,
        "varied: nothing at one point, off at the other"
    );

    let Answer { stdout, stderr } = answer(scenario, &["run", "s.yaml"]);
    for path in after {
        let said = format!("{path} has no effect here");
        assert!(unwrapped(&stdout).contains(&said), "{said}: {stdout}");
        assert!(stderr.contains(&said), "{said}: {stderr}");
    }

    // Null is what stands where nothing is written.
    let none = json(scenario, &["run", "s.yaml", "--set", "horizon=null"]);
    assert_eq!(paths(&none), before);

    // The scenario of a result has every default written out: what a user wrote is not known.
    let again = serde_json::to_string(&run["scenario"]).expect("plain data");
    assert!(json(&again, &["run", "s.yaml"])["inert"].is_null());
}

#[test]
fn a_long_line_does_not_make_a_long_error() {
    let long = "x".repeat(60_000);
    let texts = [
        format!("name: {long}\nname: b\n"),
        format!("{long}: 1\n{long}: 2\n"),
        format!("{{name: a, description: {long}, name: b}}\n"),
        format!("workload: {{requests: {long}}}\n"),
        format!("model: {long}\ngpu: {long}\nrouter: {long}\nschedulers: [{long}]\n"),
        format!("schedulers: [{{sarathi: {{{long}: 1}}}}]\n"),
        format!("slo: {{tbt: {long}}}\n"),
        format!("slo: {{tbt: 5{long}}}\n"),
        format!("workload: {{classes: [{{name: {long}}}, {{name: {long}}}]}}\n"),
        format!("? [{long}]\n: 1\n"),
        format!("name: !{long} a\n"),
    ];
    for text in texts {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("s.yaml"), &text).expect("writable");
        let output =
            run_in(folder.path(), &["run", "s.yaml"]).assert().code(2).get_output().clone();
        let bytes = output.stderr.len();
        assert!(bytes < 20_000, "{bytes} bytes of error for {}...", &text[..40]);
    }
    let long = format!("workload.classes.{long}={long}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("s.yaml"), UNFAIR).expect("writable");
    let output = run_in(folder.path(), &["run", "s.yaml", "--set", &long])
        .assert()
        .code(2)
        .get_output()
        .clone();
    assert!(output.stderr.len() < 20_000, "{}", output.stderr.len());
}

#[test]
fn an_error_about_an_argument_is_no_longer_than_one_about_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("s.yaml"), UNFAIR).expect("writable");
    let long = "x".repeat(60_000);
    for args in [
        ["run", "s.yaml", "--assert", &long],
        ["sweep", "s.yaml", "--vary", &long],
        ["evaluate", &long, "--format", "json"],
    ] {
        let output = run_in(folder.path(), &args).assert().code(2).get_output().clone();
        assert!(output.stderr.len() < 20_000, "{} {}", args[0], output.stderr.len());
    }
}

#[test]
fn a_window_that_leaves_no_request_is_said() {
    let scenario = "\
engine: {profile: {fixed: {iteration: 5ms}}, kv_blocks: 1000, max_model_len: 4096}
schedulers: [sarathi]
workload: {requests: 40, arrivals: all_at_once, lengths: {prompt: {fixed: 100}, output: {fixed: 5}}}
measure: {skip_last: 1s}
slo: {ttft: 500ms, tbt: 25ms}
";
    let Answer { stderr, .. } = answer(scenario, &["run", "s.yaml"]);
    assert!(stderr.contains("`measure` leaves out all 40 requests"), "{stderr}");
}

#[test]
fn a_promise_is_kept_by_requests_that_keep_both_halves() {
    // The case of first tokens that come late under an `slo` that judges the index alone.
    let with = |promised: &str| {
        format!(
            "model: llama-3.1-8b\ngpu: h100-sxm\nschedulers: [sarathi: {{chunk_size: 512}}]\n\
             workload: {{requests: 2000, arrivals: {{poisson: {{rate: 2.78}}}}, lengths: {{table: chat}}}}\n\
             {promised}\n"
        )
    };
    let slo = json(&with("slo: {ttft: 100ms, tbt: 50ms}"), &["run", "s.yaml"]);
    let promise = json(&with("promise: {ttft: 100ms, tokens_per_s: 20}"), &["run", "s.yaml"]);
    let (slo, promise) = (&slo["runs"][0], &promise["runs"][0]);
    assert_eq!(slo["slo"]["met"], true);
    assert_eq!(promise["slo"]["met"], false);
    let term = &promise["slo"]["terms"][0];
    assert_eq!((&term["metric"], &term["bound"]), (&"goodput.share".into(), &0.99.into()));
    assert_eq!(term["value"], promise["goodput"]["share"]);
    // Here whoever got the first token in time got fluid text.
    assert_eq!(term["value"], slo["ttft_in_time_share"]);
    assert_eq!(promise["fluidity"], slo["fluidity"], "the same deadlines");
}

#[test]
fn a_result_may_have_a_name_as_long_as_names_can_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("s.yaml"), UNFAIR).expect("writable");
    let name = |letter: &str| letter.repeat(255);
    let args = [
        "run",
        "s.yaml",
        "--set",
        "workload.requests=3",
        "-o",
        &name("a"),
        "--report",
        &name("b"),
        "--tokens",
    ];
    let tokens = format!("{}.csv", "c".repeat(251));
    run_in(folder.path(), &args).arg(&tokens).assert().success();
    for name in [name("a"), name("b"), tokens] {
        assert!(folder.path().join(name).is_file());
    }
}

#[test]
fn a_stand_in_has_as_many_requests_as_the_workload_asks_for() {
    let scenario = "\
engine: {profile: {fixed: {iteration: 5ms}}, kv_blocks: 1000, max_model_len: 4096}
schedulers: [sarathi]
workload:
  trace:
    file: none.csv
    stand_in: {requests: 30, arrivals: {constant: {rate: 4}}, lengths: {prompt: {fixed: 100}, output: {fixed: 5}}}
slo: {ttft: 500ms, tbt: 25ms}
";
    let offered = |set: &[&str]| {
        let sets = set.iter().flat_map(|set| ["--set", set]);
        let args: Vec<&str> = ["run", "s.yaml"].into_iter().chain(sets).collect();
        let run = json(scenario, &args)["runs"][0].clone();
        (run["requests"]["offered"].as_u64(), run["arrival_rate_per_s"]["nominal"].as_f64())
    };
    assert_eq!(offered(&[]), (Some(30), Some(4.0)));
    assert_eq!(offered(&["workload.requests=7"]), (Some(7), Some(4.0)));
    assert_eq!(offered(&["workload.requests=50"]), (Some(50), Some(4.0)));
    assert_eq!(offered(&["workload.duration=2s"]).0, Some(8));
    assert_eq!(offered(&["workload.trace.time_scale=2"]), (Some(30), Some(8.0)));
}

#[test]
fn a_model_is_called_by_its_name() {
    let config = r#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
        "torch_dtype": "bfloat16", "tie_word_embeddings": false}"#;
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("My-Model")).expect("writable");
    fs::write(folder.path().join("My-Model/config.json"), config).expect("writable");
    let scenario = UNFAIR.replace("model: qwen3-32b", "model: {config: ./My-Model/config.json}");
    fs::write(folder.path().join("s.yaml"), scenario).expect("writable");
    let args = ["run", "s.yaml", "-q", "--set", "workload.requests=3"];
    let output = run_in(folder.path(), &args).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("system: my-model on 4 x h100-sxm"), "{text}");
}

#[test]
fn explain_warns_of_what_run_warns_of() {
    let scenario = "\
model: llama-3.1-8b
gpu: h100-sxm
engine: {profile: vllm-0.12, async_scheduling: true}
schedulers: [vllm-v1, sarathi]
workload: {requests: 60, arrivals: {poisson: {rate: 20}}, lengths: {table: chat}}
slo: {ttft: 20ms, tbt: 50ms}
";
    let warnings = |file: &Value| -> Vec<String> {
        let each = file["warnings"].as_array().expect("a list").iter();
        each.map(|one| one.as_str().expect("text").to_owned()).collect()
    };
    let run = json(scenario, &["run", "s.yaml"]);
    let of_runs = run["runs"].as_array().expect("a list").iter().flat_map(|run| {
        let label = run["label"].as_str().expect("text");
        let each = run["warnings"].as_array().into_iter().flatten();
        each.map(move |text| format!("{label}: {}", text.as_str().expect("text")))
    });
    let all: Vec<String> = warnings(&run).into_iter().chain(of_runs).collect();
    assert!(all.len() > 1, "late first tokens, and a feature that one lacks: {all:?}");
    let told = warnings(&json(scenario, &["explain", "s.yaml"]));
    assert!(all.iter().all(|one| told.contains(one)), "{all:?}, but {told:?}");
}

#[test]
fn throughput_of_some_of_those_served_is_said_to_be_that() {
    const SCENARIO: &str = "\
model: llama-3.1-8b
gpu: h100-sxm
engine: {profile: ideal}
schedulers: [sarathi]
workload: {requests: 200, arrivals: {constant: {rate: 10}}, lengths: {prompt: {fixed: 50}, output: {fixed: 500}}}
slo: {ttft: 1s, tbt: 25ms}
";
    // Requests last 4 s, and those of 10 s count.
    let some =
        answer(SCENARIO, &["run", "s.yaml", "--set", "measure={skip_first: 5s, skip_last: 5s}"]);
    let words = "tokens/s counts the 100 of 200 requests that `measure` leaves";
    assert!(some.stderr.contains(words), "{}", some.stderr);
    let all = answer(SCENARIO, &["run", "s.yaml"]);
    assert!(!all.stderr.contains("tokens/s counts"), "{}", all.stderr);
}
