//! A verdict follows its evidence: bounds, files that contradict themselves, who ended a request,
//! and files that are none.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use metron_sim::interop::import;
use serde_json::Value;

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases/evaluate").join(name)
}

fn formats(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats").join(name)
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_metron-sim"))
}

fn out(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let (said, errors) = (text(output.stdout), text(output.stderr));
    (output.status.code().expect("an exit code"), said, errors)
}

fn evaluated(path: &Path) -> Value {
    let (code, text, errors) = out(program().arg("evaluate").arg(path).args(["--format", "json"]));
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&text).expect("JSON")
}

/// The text as one line, as a search for a sentence needs it.
fn told(paths: &[&Path]) -> String {
    let (code, text, errors) = out(program().arg("evaluate").args(paths));
    assert_eq!(code, 0, "{errors}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a temporary folder"))
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("writable");
        path
    }

    /// A file of the formats with a JSON value in the place of another.
    fn with(&self, format: &str, pointer: &str, value: Value) -> PathBuf {
        let text = fs::read_to_string(formats(format)).expect("there");
        let mut json: Value = serde_json::from_str(&text).expect("JSON");
        let (parent, key) = pointer.rsplit_once('/').expect("a parent");
        match json.pointer_mut(parent).expect(pointer) {
            Value::Array(items) => items[key.parse::<usize>().expect("an index")] = value,
            parent => parent[key] = value,
        }
        self.file("changed.json", json.to_string())
    }
}

#[test]
fn chunks_of_several_tokens_give_bounds_over_all_splits() {
    let run = &evaluated(&case("vllm_spec_chunks.json"))["runs"][0];
    let bounds = &run["fluidity"]["bounds"]["fluid_request_share"];
    assert_eq!((&bounds["lower"], &bounds["upper"]), (&0.0.into(), &1.0.into()), "{run}");
    assert!(run["fluidity"]["fluid_request_share"].is_null());
    assert!(run["slo"]["met"].is_null(), "{}", run["slo"]);
    assert_eq!(run["measured"]["fluidity_bounds"]["fluid_request_share_estimate"], 1.0);
    // One token a chunk: 16 gaps of 40 ms miss 1 deadline of 25 ms each, and 47 tokens share a chunk.
    let index = &run["fluidity"]["bounds"]["index_mean"];
    assert_eq!(index["lower"], 47.0 / 63.0);
    assert_eq!(index["upper"], 1.0);
    let text = told(&[&case("vllm_spec_chunks.json")]);
    assert!(!text.contains("misses") && !text.contains("keeps the SLO"), "{text}");
    assert!(text.contains("No verdict on vllm"), "{text}");
    assert!(text.contains("100.0 % fluid if the chunks"), "{text}");
    // An upper bound of the tokens' gaps is no value of them.
    assert!(text.contains("<= 40.0 ms"), "{text}");
}

#[test]
fn a_bound_that_decides_is_said_as_a_bound() {
    let path = case("guidellm_none_fluid.json");
    let text = told(&[&path]);
    assert!(text.contains("at most 85.0 % fluid, 99.0 % asked"), "{text}");
    assert!(!text.contains("none of") && !text.contains("none for"), "{text}");
    // Two benchmarks with the same bounds.
    assert!(!text.contains("comes closest") && !text.contains("smoother"), "{text}");
    assert!(text.contains("0.0 % to 85.0 %") && !text.contains("85.0 %*"), "{text}");
    for run in evaluated(&path)["runs"].as_array().expect("runs") {
        assert_eq!(run["slo"]["met"], false);
        assert_eq!(run["slo"]["terms"][0]["upper"], 0.85);
        assert!(run["slo"]["terms"][0]["value"].is_null());
    }
    assert!(
        text.contains("is not ranked: its share of fluid requests is known as 0.0 % to 85.0 %")
    );
    // Alone it is said in full.
    let mut json: Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("there")).expect("JSON");
    json["benchmarks"].as_array_mut().expect("two").truncate(1);
    let place = Place::new();
    let text = told(&[&place.file("one.json", json.to_string())]);
    assert!(text.contains("misses the SLO: at most 85.0 % fluid, 99.0 % asked."), "{text}");
}

#[test]
fn one_poor_file_takes_nothing_from_the_others() {
    let place = Place::new();
    let folder = place.0.path();
    let scenario = "
engine: {profile: {fixed: {iteration: 20ms}}, kv_blocks: 512, max_model_len: 4096}
schedulers: [vllm-v0, {sarathi: {chunk_size: 256}}]
workload:
  requests: 200
  arrivals: {poisson: {rate: 8}}
  lengths: {prompt: {lognormal: {mean: 700, sigma: 0.5, max: 2000}}, output: {fixed: 40}}
slo: {ttft: 2s, tbt: 25ms}
";
    fs::write(folder.join("s.yaml"), scenario).expect("writable");
    let (code, _, errors) =
        out(program().current_dir(folder).args(["run", "s.yaml", "-q", "--tokens", "t.csv"]));
    assert_eq!(code, 0, "{errors}");
    let tokens = folder.join("t.csv");
    let sound = told(&[&tokens]);
    let with_poor = told(&[&tokens, &case("vllm_spec_chunks.json")]);
    let sentence =
        |text: &str, of: &str| text.split(". ").find(|part| part.contains(of)).map(str::to_owned);
    for word in ["gives smoother text", "P99 TBT is", "pays"] {
        let alone = sentence(&sound, word);
        assert_eq!(alone.is_some(), sentence(&with_poor, word).is_some(), "{word}: {with_poor}");
    }
    assert!(with_poor.contains("o verdict on vllm"), "{with_poor}");
}

#[test]
fn units_that_contradict_each_other_are_refused() {
    let (code, text, errors) = out(program().arg("evaluate").arg(case("itls_in_ms.json")));
    assert_eq!((code, text.as_str()), (2, ""));
    assert!(errors.contains("request 0: its last token came"), "{errors}");
    assert!(errors.contains("in milliseconds, others in seconds?"), "{errors}");
    let place = Place::new();
    for (format, pointer, value) in [
        ("vllm/detailed.json", "/ttfts/3", Value::from(53.0)),
        ("vllm/detailed.json", "/latencies/0", 0.01.into()),
        ("vllm/detailed.json", "/duration", (-1.0).into()),
        ("vllm/detailed.json", "/mean_ttft_ms", (-53.0).into()),
        ("vllm/detailed.json", "/itls/2/4", 1e7.into()),
        ("vllm/detailed.json", "/output_lens/2", 4_000_000_000u32.into()),
        (
            "guidellm/guidellm.json",
            "/benchmarks/0/requests/successful/0/request_latency",
            221.0.into(),
        ),
        (
            "guidellm/guidellm.json",
            "/benchmarks/0/requests/successful/0/time_to_first_token_ms",
            0.053.into(),
        ),
        ("inference-perf/per_request_lifecycle_metrics.json", "/0/end_time", 0.0.into()),
        ("etalon/request_level_metrics.json", "/end_to_end_latency/0", 0.1.into()),
        ("etalon/request_level_metrics.json", "/deadline_miss_rate/0", 1.5.into()),
    ] {
        let path = place.with(format, pointer, value);
        let error = import(&path, None).expect_err(pointer).to_string();
        assert!(!error.is_empty(), "{pointer}");
    }
}

#[test]
fn figures_that_contradict_each_other_get_no_verdict() {
    let place = Place::new();
    for (format, pointer, value, words) in [
        ("vllm/detailed.json", "/completed", Value::from(999), "`completed` is 999"),
        ("vllm/detailed.json", "/failed", 5.into(), "`failed` is 5"),
        ("vllm/detailed.json", "/num_prompts", 2.into(), "`num_prompts` is 2"),
        (
            "vllm/detailed.json",
            "/total_output_tokens",
            9600.into(),
            "`total_output_tokens` is 9600",
        ),
        ("vllm/detailed.json", "/total_input_tokens", 1.into(), "`total_input_tokens` is 1"),
        ("vllm/detailed.json", "/duration", 0.1.into(), "`duration` is 100 ms"),
        ("vllm/detailed.json", "/p99_ttft_ms", 540.0.into(), "`p99_ttft_ms` is 540 ms"),
        ("vllm/detailed.json", "/mean_itl_ms", 0.015.into(), "`mean_itl_ms` is 15.0 µs"),
        ("vllm/detailed.json", "/output_throughput", 9.0.into(), "`output_throughput` is 9"),
        ("vllm/detailed.json", "/latencies/0", 0.9.into(), "took longer than their tokens"),
        ("vllm/detailed.json", "/itls/0/5", 0.00006.into(), "took longer than their tokens"),
        ("vllm/detailed.json", "/max_concurrency", 1.into(), "under way at once"),
        (
            "guidellm/guidellm.json",
            "/benchmarks/0/requests/successful/0/output_tokens",
            120.into(),
            "tell two numbers of the same tokens",
        ),
        ("vllm/no_details.json", "/completed", 999.into(), "`completed` is 999"),
        ("vllm/no_details.json", "/mean_e2el_ms", 1.0.into(), "`mean_e2el_ms` is 1.00 ms"),
        ("etalon/request_level_metrics.json", "/num_total_tokens/0", 9.into(), "num_total_tokens"),
        ("etalon/request_level_metrics.json", "/tpot/0", 6.5.into(), "`mean_tpot` is 2.20 s"),
        (
            "guidellm/guidellm.json",
            "/benchmarks/0/metrics",
            serde_json::json!({"request_totals": {"successful": 999}}),
            "request_totals",
        ),
    ] {
        let path = place.with(format, pointer, value);
        let result = evaluated(&path);
        let run = &result["runs"][0];
        let found = run["measured"]["contradictions"].to_string();
        assert!(found.contains(words), "{pointer}: {found}");
        assert!(run["slo"]["met"].is_null(), "{pointer}: {}", run["slo"]);
        let (code, text, errors) = out(program().arg("evaluate").arg(&path));
        assert_eq!(code, 0);
        assert!(errors.contains("contradicts itself"), "{pointer}: {errors}");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("contradicts itself"), "{pointer}: {text}");
        for claim in ["keeps the SLO", "misses the SLO", "come evenly"] {
            assert!(!text.contains(claim), "{pointer}: {text}");
        }
        let asserted = program()
            .arg("evaluate")
            .arg(&path)
            .args(["--format", "quiet", "--assert", "e2e_s.p50 < 100"])
            .output()
            .expect("it runs");
        assert_eq!(asserted.status.code(), Some(3), "{pointer}");
    }
    // What is sound says nothing of the kind.
    for sound in [
        "vllm/detailed.json",
        "vllm/no_details.json",
        "sglang/detailed.jsonl",
        "aiperf/profile_export.jsonl",
        "aiperf/profile_export_raw.jsonl",
        "guidellm/guidellm.json",
        "inference-perf/per_request_lifecycle_metrics.json",
        "etalon/request_level_metrics.json",
        "blis/blis_tracev2.csv",
    ] {
        let run = &evaluated(&formats(sound))["runs"][0];
        assert!(run["measured"].get("contradictions").is_none(), "{sound}: {run}");
    }
}

#[test]
fn a_wall_clock_that_tells_another_time_is_told() {
    let place = Place::new();
    let text = fs::read_to_string(formats("aiperf/profile_export.jsonl")).expect("there");
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let end = lines[0].pointer_mut("/metadata/request_end_ns").expect("there");
    *end = (end.as_u64().expect("a time") + 5_000_000_000).into();
    let all: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let run = &evaluated(&place.file("a.jsonl", all))["runs"][0];
    assert!(run["measured"]["contradictions"].to_string().contains("wall clock"), "{run}");
    assert!(run["slo"]["met"].is_null());
    let begun = lines[0].pointer("/metadata/request_start_ns").expect("there").clone();
    *lines[0].pointer_mut("/metadata/request_end_ns").expect("there") =
        (begun.as_u64().expect("a time") - 1).into();
    let all: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let error = import(&place.file("b.jsonl", all), None).expect_err("it ends first");
    assert!(error.to_string().contains("it ended before it was sent"), "{error}");
}

#[test]
fn who_ended_a_request_is_told_apart() {
    let place = Place::new();
    let line = |error: &str, cancelled: bool| {
        format!(
            r#"{{"metadata": {{"request_start_ns": 1000, "was_cancelled": {cancelled}}}, "metrics": {{"time_to_first_token": {{"value": 5, "unit": "ms"}}, "inter_chunk_latency": {{"value": [9], "unit": "ms"}}, "usage_completion_tokens": {{"value": 2, "unit": "tokens"}}}}, "error": {error}}}"#
        )
    };
    let error = |code: u32| format!(r#"{{"code": {code}, "type": "x", "message": "SECRET"}}"#);
    let lines = [
        line("null", false),
        line(&error(429), false),
        line(&error(503), false),
        line(&error(500), false),
        line(&error(504), false),
        line(r#"{"code": null, "type": "TimeoutError", "message": ""}"#, false),
        line(r#"{"code": 499, "type": "RequestCancellationError", "message": ""}"#, true),
        line("null", true),
    ];
    let run = &evaluated(&place.file("x.jsonl", lines.join("\n")))["runs"][0];
    let counts = &run["requests"];
    for (name, expected) in [
        ("offered", 8),
        ("completed", 1),
        ("rejected", 2),
        ("failed", 1),
        ("timed_out", 2),
        ("cancelled", 2),
        ("unfinished", 0),
    ] {
        assert_eq!(counts[name], expected, "{name}: {counts}");
    }
    // One of the six that the server had to answer.
    assert_eq!(run["fluidity"]["fluid_request_share"], 1.0 / 6.0);
    let vllm = r#"{"backend": "vllm", "model_id": "m", "num_prompts": 4, "input_lens": [1, 1, 1, 1],
        "output_lens": [2, 0, 0, 0], "ttfts": [0.1, 0, 0, 0], "itls": [[0.02], [], [], []],
        "errors": ["", "Too Many Requests", "Traceback:\n  x\nTimeoutError", "Traceback:\n  x\nasyncio.exceptions.CancelledError: SECRET"]}"#;
    let run = &evaluated(&place.file("v.json", vllm))["runs"][0];
    let counts = ["completed", "rejected", "failed", "timed_out", "cancelled"]
        .map(|name| run["requests"][name].as_u64().expect(name));
    assert_eq!(counts, [1, 1, 0, 1, 1]);
    assert_eq!(run["fluidity"]["fluid_request_share"], 1.0 / 3.0);
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let place = Place::new();
    let text = fs::read_to_string(formats("vllm/detailed.json")).expect("there");
    let doubled = text.replacen('{', r#"{"ttfts": [0.1], "#, 1);
    let (code, _, errors) = out(program().arg("evaluate").arg(place.file("doubled.json", doubled)));
    assert_eq!(code, 2);
    assert!(errors.contains("`ttfts` stands twice in one object"), "{errors}");
}

#[test]
fn files_that_are_judged_by_different_deadlines_are_not_ranked() {
    let place = Place::new();
    let scenario = |scheduler: &str, ttft: &str| {
        format!(
            "model: llama-3.1-8b\ngpu: a40\nschedulers: [{scheduler}]\n\
             workload: {{requests: 100, arrivals: {{poisson: {{rate: 3}}}}, lengths: {{prompt: \
             {{fixed: 900}}, output: {{fixed: 90}}}}}}\nslo: {{ttft: {ttft}, tbt: 30ms}}\n"
        )
    };
    let tokens = |name: &str, scheduler: &str, ttft: &str| {
        let (scenario, file) =
            (place.file("s.yaml", scenario(scheduler, ttft)), place.file(name, ""));
        let (code, _, errors) = out(program().arg("run").arg(scenario).arg("--tokens").arg(&file));
        assert_eq!(code, 0, "{errors}");
        file
    };
    let strict = tokens("strict.csv", "vllm-v0", "20ms");
    let lenient = tokens("lenient.csv", "vllm-v1", "5s");
    let apart = told(&[&strict, &lenient]);
    assert!(apart.contains("judged by different deadlines"), "{apart}");
    assert!(!apart.contains('*') && !apart.contains("smoother text"), "{apart}");
    let strict = tokens("alike.csv", "vllm-v0", "5s");
    let alike = told(&[&strict, &lenient]);
    assert!(!alike.contains("judged by different deadlines"), "{alike}");
    assert!(alike.contains('*'), "{alike}");
}

#[test]
fn a_stop_of_the_whole_server_is_not_called_even() {
    let place = Place::new();
    // 40 requests of 300 tokens, 10 ms apart; all stand still for 420 ms once.
    let gaps: Vec<f64> = (0..299).map(|gap| if gap == 50 { 0.42 } else { 0.01 }).collect();
    let requests = 40;
    let file = serde_json::json!({
        "backend": "vllm", "model_id": "m", "num_prompts": requests,
        "input_lens": vec![10; requests], "output_lens": vec![300; requests],
        "ttfts": vec![0.05; requests], "itls": vec![gaps; requests],
        "start_times": vec![1.0; requests], "errors": vec![""; requests],
    });
    let path = place.file("stop.json", file.to_string());
    let text = told(&[&path]);
    assert!(!text.contains("come evenly"), "{text}");
    assert!(text.contains("the longest is 420 ms, 42.0 times the median"), "{text}");
}

#[test]
fn few_requests_are_not_a_share_of_many() {
    let text = told(&[&formats("vllm/detailed.json")]);
    assert!(text.contains("8 requests"), "{text}");
    assert!(text.contains("one request is 12.5 % of them"), "{text}");
}

#[test]
fn traces_and_results_say_where_they_belong() {
    let place = Place::new();
    for (name, text) in [
        ("a.csv", "timestamp,input_tokens,output_tokens\n0.1,100,10\n"),
        ("b.csv", "arrival_s,prompt_tokens,output_tokens\n0.1,100,10\n"),
        ("c.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6,100,10\n"),
        ("d.csv", "arrived_at,num_prefill_tokens,num_decode_tokens\n0,1,1\n"),
        (
            "e.csv",
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n1,a,1,1,2,x\n",
        ),
        (
            "f.jsonl",
            "{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 5, \"hash_ids\": [1]}\n",
        ),
        ("g.jsonl", "{\"arrival_s\": 0, \"prompt_tokens\": 5, \"output_tokens\": 5}\n"),
    ] {
        let path = place.file(name, text);
        let (code, _, errors) = out(program().arg("evaluate").arg(&path));
        assert_eq!(code, 2);
        assert!(errors.contains("this is a trace: use workload.trace"), "{name}: {errors}");
    }
    let scenario = |trace: &Path| {
        format!(
            "engine: {{profile: {{fixed: {{iteration: 20ms}}}}, kv_blocks: 512, max_model_len: 4096}}\nschedulers: [vllm-v0]\n\
             workload: {{trace: {{file: '{}'}}}}\nslo: {{ttft: 1s, tbt: 25ms}}\n",
            trace.display()
        )
    };
    let run = |trace: &Path| {
        let scenario = place.file("s.yaml", scenario(trace));
        out(program().args(["run", "--format", "json"]).arg(scenario))
    };
    let (code, text, errors) = run(&case("servegen_sample.csv"));
    assert_eq!(code, 0, "{errors}");
    let result: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(result["runs"][0]["requests"]["completed"], 2);
    assert!(errors.contains("`timestamp` is read as seconds"), "{errors}");
    let dated =
        "timestamp,input_tokens,output_tokens\n2023-11-16 18:15:46,1,1\n2023-11-16 18:15:48,1,1\n";
    let (code, text, errors) = run(&place.file("dated.csv", dated));
    assert_eq!(code, 0, "{errors}");
    let result: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(result["runs"][0]["arrival_rate_per_s"]["realised"], 0.5);
    for name in [
        "vllm/detailed.json",
        "sglang/detailed.jsonl",
        "aiperf/profile_export.jsonl",
        "aiperf/profile_export_raw.jsonl",
        "guidellm/guidellm.json",
        "inference-perf/per_request_lifecycle_metrics.json",
        "etalon/request_level_metrics.json",
        "blis/blis_tracev2.csv",
        "blis/blis_tracev2.yaml",
    ] {
        let (code, _, errors) = run(&formats(name));
        assert_eq!(code, 2, "{name}");
        assert!(errors.contains("`metron-sim evaluate` reads it"), "{name}: {errors}");
    }
    // A file of tokens has the columns of a trace as well; naming a format does not make it one.
    let tokens = "scheduler,request,index,time_s,arrival_s,status,prompt_tokens,output_tokens\n\
                  a,0,0,2.0,1.0,completed,5,1\n";
    let (code, _, errors) = run(&place.file("t.csv", tokens));
    assert_eq!(code, 2);
    assert!(errors.contains("run --tokens"), "{errors}");
    let named = scenario(&place.file("t.csv", tokens)).replace("{file:", "{format: csv, file:");
    let (code, _, errors) = out(program().arg("run").arg(place.file("named.yaml", named)));
    assert_eq!(code, 2);
    assert!(errors.contains("run --tokens"), "{errors}");
    for (name, row) in [
        (
            "tokens",
            r#"{"scheduler": "a", "request": 0, "index": 0, "time_s": 2.0, "arrival_s": 1.0,
            "prompt_tokens": 5, "output_tokens": 1}"#,
        ),
        (
            "requests",
            r#"{"scheduler": "a", "id": 0, "arrival_s": 1.0, "first_token_s": 2.0,
            "last_token_s": 2.0, "prompt_tokens": 5, "output_tokens": 1}"#,
        ),
    ] {
        let (code, _, errors) = run(&place.file("t.jsonl", row.replace('\n', " ")));
        assert_eq!(code, 2, "{name}");
        assert!(errors.contains(&format!("run --{name}")), "{errors}");
    }
}

#[test]
fn what_an_empty_run_writes_is_read_back() {
    let place = Place::new();
    let folder = place.0.path();
    let scenario = "
engine: {profile: {fixed: {iteration: 20ms}}, kv_blocks: 512, max_model_len: 4096}
schedulers: [vllm-v0, sarathi]
workload: {duration: 1ms, arrivals: {poisson: {rate: 0.001}}, lengths: {prompt: {fixed: 7}, output: {fixed: 4}}}
slo: {ttft: 1s, tbt: 25ms}
";
    fs::write(folder.join("s.yaml"), scenario).expect("writable");
    for flag in ["--tokens", "--requests"] {
        for name in ["x.csv", "x.jsonl"] {
            let mut command = program();
            command
                .current_dir(folder)
                .args(["run", "s.yaml", "-q", "--format", "json", flag, name]);
            let (code, ran, errors) = out(&mut command);
            assert_eq!(code, 0, "{errors}");
            let ran: Value = serde_json::from_str(&ran).expect("JSON");
            let read = evaluated(&folder.join(name));
            for at in 0..2 {
                assert_eq!(ran["runs"][at]["requests"]["offered"], 0);
                assert_eq!(
                    ran["runs"][at]["requests"], read["runs"][at]["requests"],
                    "{flag} {name}"
                );
                assert_eq!(ran["runs"][at]["label"], read["runs"][at]["label"]);
            }
            assert!(!told(&[&folder.join(name)]).contains("keeps the SLO"));
        }
    }
}

#[test]
fn cells_that_begin_like_formulas_are_text_and_come_back() {
    let place = Place::new();
    let folder = place.0.path();
    let scenario = "
engine: {profile: {fixed: {iteration: 20ms}}, kv_blocks: 512, max_model_len: 4096}
schedulers: [vllm-v0]
workload:
  requests: 20
  arrivals: {poisson: {rate: 5}}
  lengths: {prompt: {fixed: 7}, output: {fixed: 4}}
  classes: [{name: '=1+1', share: 0.5}, {name: '@x', share: 0.25}, {name: '-2+3', share: 0.25}]
slo: {ttft: 1s, tbt: 25ms}
";
    fs::write(folder.join("s.yaml"), scenario).expect("writable");
    for flag in ["--tokens", "--requests"] {
        for name in ["x.csv", "x.jsonl"] {
            let mut command = program();
            command
                .current_dir(folder)
                .args(["run", "s.yaml", "-q", "--format", "json", flag, name]);
            let (code, ran, errors) = out(&mut command);
            assert_eq!(code, 0, "{errors}");
            let ran: Value = serde_json::from_str(&ran).expect("JSON");
            let text = fs::read_to_string(folder.join(name)).expect("written");
            if name.ends_with("csv") {
                for cell in text.split([',', '\n']) {
                    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
                    assert!(!formula || cell.parse::<f64>().is_ok(), "{cell}");
                }
                assert!(text.contains(",'=1+1,"), "{text}");
            }
            let read = evaluated(&folder.join(name));
            for class in ["=1+1", "@x", "-2+3"] {
                let of = |result: &Value| result["runs"][0]["classes"][class]["requests"].clone();
                assert!(of(&ran)["offered"].as_u64() > Some(0));
                assert_eq!(of(&ran), of(&read), "{flag} {name} {class}");
            }
        }
    }
    // A file's own name becomes a label.
    let path = place.file("=1+1.json", fs::read(formats("vllm/detailed.json")).expect("there"));
    let (code, csv, errors) = out(program().arg("evaluate").arg(&path).args(["--format", "csv"]));
    assert_eq!(code, 0, "{errors}");
    assert!(csv.contains("'=1+1") && !csv.contains(",=1+1"), "{csv}");
}
