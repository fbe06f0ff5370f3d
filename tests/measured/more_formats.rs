//! Files of clients and gateways that were not run here, and of servers' own metrics: made by hand in their
//! form (`tests/data/formats/made-by-hand`), with times that are known.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use metron_sim::interop::{Format, Granularity, Imported, import};
use metron_sim::trace::Status;
use serde_json::Value;

fn made(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats/made-by-hand").join(name)
}

fn read(name: &str, format: Format) -> Imported {
    let imported = import(&made(name), None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(imported.format, format, "{name}");
    assert_eq!(
        import(&made(name), Some(format)).expect("the same").runs.len(),
        imported.runs.len()
    );
    imported
}

fn evaluated(args: &[&str], folder: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_metron-sim"))
        .arg("evaluate")
        .args(args)
        .args(["--format", "json"])
        .current_dir(folder)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn genai_perf_tells_each_packet_and_what_was_thought() {
    let imported = read("genai-perf.profile_export.json", Format::GenaiPerf);
    let names: Vec<&str> = imported.runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["concurrency=1", "concurrency=2"]);
    let run = &imported.runs[0];
    assert_eq!(run.granularity, Granularity::Token, "{:?}", run.notes);
    for row in &run.trace.requests {
        assert_eq!((row.tokens, row.status), (12, Status::Completed));
        // The role's packet, at 49 ms, is no token.
        assert_eq!(row.first_token.since(row.arrival).as_millis_f64(), 50.0);
        let times: Vec<_> = run.trace.token_times(row).collect();
        let gaps: Vec<f64> =
            times.windows(2).map(|pair| pair[1].since(pair[0]).as_millis_f64()).collect();
        assert_eq!(gaps.iter().filter(|gap| **gap == 60.0).count(), 1, "{gaps:?}");
    }
    assert_eq!(run.first_answer_ns, None, "nothing was thought");
    let second = &imported.runs[1];
    let failed = second.trace.requests.iter().filter(|row| row.status == Status::Failed).count();
    assert_eq!(failed, 1);
    // Four answers begin with their first token, one after five tokens of thought.
    let mut answers = second.first_answer_ns.clone().expect("one thought");
    answers.sort_unstable();
    assert_eq!(answers, [50_000_000, 50_000_000, 50_000_000, 100_000_000]);
    let result = evaluated(&["genai-perf.profile_export.json"], made("").as_path());
    assert_eq!(result["runs"][1]["measured"]["first_answer_s"]["max"], 0.1);
    assert_eq!(result["runs"][1]["ttft_s"]["max"], 0.05);
    assert!(result["runs"][0]["measured"]["first_answer_s"].is_null());
}

#[test]
fn llmperf_has_first_tokens_and_totals_and_no_instants() {
    let imported = read("llmperf.individual_responses.json", Format::Llmperf);
    let run = &imported.runs[0];
    assert_eq!(run.granularity, Granularity::FirstLast);
    assert!(!run.knows.arrivals);
    let rejected = run.trace.requests.iter().filter(|row| row.status == Status::Rejected);
    assert_eq!(rejected.count(), 1, "a 429");
    let result = evaluated(&["llmperf.individual_responses.json"], made("").as_path());
    let run = &result["runs"][0];
    assert_eq!(run["requests"]["completed"], 4);
    assert_eq!(
        (run["ttft_s"]["min"].as_f64(), run["ttft_s"]["max"].as_f64()),
        (Some(0.05), Some(0.08))
    );
    assert_eq!(run["e2e_s"]["max"], 0.25);
    let unknown = run["unknown"].to_string();
    assert!(unknown.contains("tbt_s") && unknown.contains("throughput"), "{unknown}");
}

#[test]
fn litellm_leaves_out_what_no_server_answered() {
    let run = &read("litellm.log.jsonl", Format::Litellm).runs[0];
    assert_eq!(run.trace.requests.len(), 4);
    let done: Vec<_> =
        run.trace.requests.iter().filter(|row| row.status == Status::Completed).collect();
    assert_eq!(done.len(), 3);
    assert!((done[0].first_token.since(done[0].arrival).as_millis_f64() - 300.0).abs() < 0.01);
    assert_eq!(run.trace.requests[3].status, Status::Rejected, "a 429");
    let notes = run.notes.join("; ");
    assert!(notes.contains("1 answers of the gateway's own cache"), "{notes}");
    assert!(notes.contains("1 calls that give no text"), "{notes}");
    let spend = &read("litellm.spend_logs.json", Format::Litellm).runs[0];
    assert_eq!(spend.trace.requests.len(), 3);
    let second = &spend.trace.requests[1];
    assert_eq!(second.arrival.as_nanos(), 1_000_000_000);
    assert_eq!(second.first_token.since(second.arrival).as_millis_f64(), 310.0);
}

#[test]
fn spans_of_vllm_have_the_queue_and_no_gaps() {
    for name in ["otel.vllm_spans.jsonl", "otel.jaeger.json"] {
        let run = &read(name, Format::Otel).runs[0];
        assert_eq!(run.granularity, Granularity::FirstLast, "{name}");
        assert_eq!(run.trace.requests.len(), 3, "{name}: HTTP spans are read over");
        assert!(run.knows.scheduling, "{name}");
        for row in &run.trace.requests {
            assert_eq!((row.tokens, row.status), (40, Status::Completed));
            let ttft = row.first_token.since(row.arrival).as_millis_f64();
            assert!((57.0..61.0).contains(&ttft), "{ttft}");
            assert!(row.scheduled < row.first_token);
        }
        assert_eq!(run.trace.requests[1].arrival.as_nanos(), 500_000_000);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("http.json");
    let text = fs::read_to_string(made("otel.vllm_spans.jsonl")).expect("readable");
    fs::write(&path, text.replace("gen_ai.latency.e2e", "something.else")).expect("writable");
    let error = import(&path, None).expect_err("no request").to_string();
    assert!(error.contains("none of its 4 spans is a request of vLLM's"), "{error}");
}

#[test]
fn histograms_give_bounds_and_never_a_figure() {
    let result = evaluated(&["prometheus.vllm_metrics.txt"], made("").as_path());
    let run = &result["runs"][0];
    assert_eq!(run["measured"]["granularity"], "histogram");
    let of = |end: &str, latency: &str, figure: &str| {
        run["latency_bounds"][latency][end][figure].as_f64()
    };
    // The 50th and 51st of 100 lie between 40 and 60 ms, the 99th and 100th between 0.25 and 0.5 s at most.
    assert_eq!(
        (of("lower", "ttft_s", "p50"), of("upper", "ttft_s", "p50")),
        (Some(0.04), Some(0.06))
    );
    assert_eq!(
        (of("lower", "ttft_s", "p99"), of("upper", "ttft_s", "p99")),
        (Some(0.1), Some(0.5))
    );
    assert_eq!((of("lower", "e2e_s", "max"), of("upper", "e2e_s", "max")), (Some(1.5), Some(2.0)));
    assert_eq!(run["ttft_s"]["p99"], Value::Null);
    assert_eq!(run["ttft_s"]["mean"], 0.065);
    assert_eq!(run["slo"]["met"], Value::Null);
    assert!(run["unknown"].to_string().contains("tpot_s"), "{}", run["unknown"]);
    // An assertion holds, breaks, or is open.
    let assert = |text: &str| {
        Command::new(env!("CARGO_BIN_EXE_metron-sim"))
            .args([
                "evaluate",
                "prometheus.vllm_metrics.txt",
                "--format",
                "quiet",
                "--assert",
                text,
            ])
            .current_dir(made(""))
            .assert()
    };
    assert("ttft_s.p50 < 100ms").code(0);
    assert("ttft_s.p50 < 30ms").code(3);
    let open = assert("ttft_s.p99 < 0.3s").code(3);
    assert!(String::from_utf8_lossy(&open.get_output().stderr).contains("not known to hold"));
}

#[test]
fn a_sweep_of_guidellm_keeps_its_concurrency() {
    let imported = read("guidellm.concurrent_sweep.json", Format::Guidellm);
    let names: Vec<&str> = imported.runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["concurrent concurrency=1", "concurrent concurrency=8"]);
}

#[test]
fn a_folder_of_runs_is_a_run_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats/aiperf");
    for (name, keep) in [("made-concurrency1", 2), ("made-concurrency8", 3)] {
        let inner = folder.path().join(name);
        fs::create_dir(&inner).expect("writable");
        let text = fs::read_to_string(source.join("profile_export.jsonl")).expect("readable");
        let lines: Vec<&str> = text.lines().take(keep).collect();
        // The raw export of the same run is not another one.
        fs::write(inner.join("profile_export.jsonl"), lines.join("\n")).expect("writable");
        fs::copy(source.join("profile_export_raw.jsonl"), inner.join("profile_export_raw.jsonl"))
            .expect("copied");
    }
    let imported = import(folder.path(), None).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<&str> = imported.runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["made-concurrency1", "made-concurrency8"]);
    let counts: Vec<usize> = imported.runs.iter().map(|run| run.trace.requests.len()).collect();
    assert_eq!(counts, [2, 3]);
    let empty = tempfile::tempdir().expect("a folder");
    let error = import(empty.path(), None).expect_err("nothing there").to_string();
    assert!(error.contains("profile_export.jsonl"), "{error}");
}

#[test]
fn damaged_files_are_refused_with_a_place() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in [
        "genai-perf.profile_export.json",
        "llmperf.individual_responses.json",
        "litellm.log.jsonl",
        "litellm.spend_logs.json",
        "otel.vllm_spans.jsonl",
        "otel.jaeger.json",
    ] {
        let text = fs::read_to_string(made(name)).expect("readable");
        let path = folder.path().join(name);
        fs::write(&path, &text[..text.len() * 2 / 3]).expect("writable");
        let error = import(&path, None).expect_err(name).to_string();
        assert!(error.contains("line "), "{name}: {error}");
    }
    for (name, from, to, says) in [
        (
            "llmperf.individual_responses.json",
            "\"ttft_s\": 0.05,",
            "\"ttft_s\": \"soon\",",
            "a time",
        ),
        ("litellm.log.jsonl", "1767225600.25", "\"yesterday\"", "seconds since 1970"),
        ("otel.vllm_spans.jsonl", "\"intValue\": \"40\"", "\"intValue\": \"many\"", "no count"),
        ("genai-perf.profile_export.json", "\"timestamp\"", "\"time\"", "`timestamp` is missing"),
    ] {
        let text = fs::read_to_string(made(name)).expect("readable").replacen(from, to, 1);
        let path = folder.path().join(name);
        fs::write(&path, text).expect("writable");
        let error = import(&path, None).expect_err(name).to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
}

/// The examples of `docs/formats.md` for a benchmark of one's own.
fn minimal(name: &str) -> String {
    let text = include_str!("../../docs/formats.md");
    let (_, rest) = text.split_once(&format!("<!-- minimal: {name} -->")).expect("an example");
    let block = rest.split("```").nth(1).expect("a block");
    block.split_once('\n').expect("a first line").1.to_owned()
}

#[test]
fn the_smallest_files_of_ones_own_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["tokens.csv", "requests.csv", "workload.jsonl"] {
        fs::write(folder.path().join(name), minimal(name)).expect("writable");
    }
    let result = evaluated(&["tokens.csv", "--ttft", "500ms", "--tbt", "25ms"], folder.path());
    let run = &result["runs"][0];
    assert_eq!(run["requests"]["completed"], 2);
    assert_eq!(
        (run["ttft_s"]["min"].as_f64(), run["ttft_s"]["max"].as_f64()),
        (Some(0.31), Some(0.42))
    );
    assert_eq!(run["tbt_s"]["count"], 3);
    assert_eq!(run["tokens"]["output"], 5);
    assert!(run["fluidity"]["index"]["mean"].is_number(), "{}", run["fluidity"]);
    let result = evaluated(&["requests.csv"], folder.path());
    let run = &result["runs"][0];
    assert_eq!(run["e2e_s"]["max"], 2.3);
    assert_eq!(run["tokens"]["output"], 116);
    assert!(run["unknown"].to_string().contains("tbt_s"), "{}", run["unknown"]);
    // JSON Lines with the same names.
    let lines = "{\"request\": 0, \"arrival_s\": 0.0, \"time_s\": 0.31}\n\
                 {\"request\": 0, \"arrival_s\": 0.0, \"time_s\": 0.34}\n";
    fs::write(folder.path().join("t.jsonl"), lines).expect("writable");
    let result = evaluated(&["t.jsonl"], folder.path());
    assert_eq!(result["runs"][0]["tbt_s"]["count"], 1);
    // A request that is numbered out of turn is told.
    let wrong = minimal("tokens.csv").replace("\n1,", "\n7,");
    fs::write(folder.path().join("w.csv"), wrong).expect("writable");
    let error = import(&folder.path().join("w.csv"), None).expect_err("a gap").to_string();
    assert!(error.contains("line 5") && error.contains("request 7"), "{error}");
    let scenario = "model: llama-3.1-8b\ngpu: h100-sxm\nschedulers: [vllm-v1]\n\
                    workload: {trace: {file: workload.jsonl}}\n";
    fs::write(folder.path().join("s.yaml"), scenario).expect("writable");
    Command::new(env!("CARGO_BIN_EXE_metron-sim"))
        .args(["run", "s.yaml", "--format", "quiet"])
        .current_dir(folder.path())
        .assert()
        .success();
}
