//! Real result files of every client, read and judged.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::shared::shared;
use metron_sim::interop::{Format, Granularity, Imported, import};
use metron_sim::metrics::{Deadlines, FirstToken, Options, evaluate, per_request};
use metron_sim::time::Span;
use metron_sim::trace::Status;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats").join(name)
}

fn read(path: &Path) -> Imported {
    import(path, None).unwrap_or_else(|error| panic!("{error}"))
}

/// Every request of the mock server has one stall of 60 ms and no other gap above 30 ms.
fn finds_the_stall(path: &Path, format: Format, requests: usize) {
    let imported = read(path);
    assert_eq!(imported.format, format, "{}", path.display());
    let run = &imported.runs[0];
    assert_eq!(run.granularity, Granularity::Token, "{}: {:?}", path.display(), run.notes);
    assert_eq!(run.trace.requests.len(), requests);
    for row in &run.trace.requests {
        assert_eq!(row.status, Status::Completed);
        assert_eq!(row.tokens, 12, "the server's count");
        let times: Vec<_> = run.trace.token_times(row).collect();
        let gaps: Vec<f64> =
            times.windows(2).map(|pair| pair[1].since(pair[0]).as_millis_f64()).collect();
        assert_eq!(gaps.len(), 11);
        let stalls: Vec<_> = gaps.iter().filter(|gap| (59.0..70.0).contains(*gap)).collect();
        assert_eq!(stalls.len(), 1, "{gaps:?}");
        assert_eq!(gaps.iter().filter(|gap| **gap < 30.0).count(), 10, "{gaps:?}");
        let ttft = row.first_token.since(row.arrival).as_millis_f64();
        assert!((49.0..70.0).contains(&ttft), "{ttft}");
    }
}

#[test]
fn the_stall_of_every_request_is_found_again() {
    finds_the_stall(&data("vllm/detailed.json"), Format::Vllm, 8);
    finds_the_stall(&data("sglang/detailed.jsonl"), Format::Sglang, 8);
    finds_the_stall(&data("aiperf/profile_export.jsonl"), Format::Aiperf, 3);
    finds_the_stall(&data("aiperf/profile_export_raw.jsonl"), Format::AiperfRaw, 3);
    finds_the_stall(
        &data("inference-perf/per_request_lifecycle_metrics.json"),
        Format::InferencePerf,
        2,
    );
}

#[test]
fn the_whole_files_hold_their_stalls_too() {
    let Some(folder) = shared("data/formats") else { return };
    let of = |name: &str| folder.join(name);
    finds_the_stall(&of("vllm/vllm_bench_serve_openai_detailed.json"), Format::Vllm, 8);
    finds_the_stall(&of("sglang/sglang_bench_serving_detailed.jsonl"), Format::Sglang, 8);
    finds_the_stall(&of("aiperf/profile_export.jsonl"), Format::Aiperf, 12);
    finds_the_stall(&of("aiperf/profile_export_raw.jsonl"), Format::AiperfRaw, 12);
    finds_the_stall(
        &of("inference-perf/per_request_lifecycle_metrics.json"),
        Format::InferencePerf,
        12,
    );
    assert_eq!(read(&of("guidellm/guidellm.json")).runs[0].trace.requests.len(), 8);
}

#[test]
fn both_exports_of_aiperf_tell_the_same_times() {
    let summary = read(&data("aiperf/profile_export.jsonl"));
    let raw = read(&data("aiperf/profile_export_raw.jsonl"));
    assert_eq!(summary.runs[0].trace, raw.runs[0].trace);
    assert_eq!(summary.runs[0].client_queue_ns, raw.runs[0].client_queue_ns);
}

#[test]
fn files_of_first_and_last_tokens_say_so() {
    let imported = read(&data("guidellm/guidellm.json"));
    let run = &imported.runs[0];
    assert_eq!(imported.format, Format::Guidellm);
    assert_eq!(run.granularity, Granularity::FirstLast);
    assert!(!run.knows.token_times && run.knows.arrivals);
    assert_eq!(run.trace.requests[0].tokens, 12);
    let ttft = run.trace.requests[0].first_token.since(run.trace.requests[0].arrival);
    // 1795319605.2787068 - 1795319605.2255297, exactly.
    assert_eq!(ttft, Span::from_nanos(53_177_100));
    for name in ["blis/blis_tracev2.csv", "blis/blis_tracev2.yaml"] {
        let imported = read(&data(name));
        assert_eq!(imported.format, Format::Blis);
        let run = &imported.runs[0];
        assert_eq!(run.trace.requests[1].status, Status::TimedOut, "its error message says so");
        assert_eq!(
            run.trace.requests[0].first_token.since(run.trace.requests[0].arrival).as_nanos(),
            51_950_000
        );
        assert_eq!(run.client_queue_ns, Some(vec![150_000, 120_000]));
    }
}

#[test]
fn a_file_without_details_tells_total_times_and_the_clients_queue() {
    let imported = read(&data("vllm/no_details.json"));
    let run = &imported.runs[0];
    assert_eq!(run.granularity, Granularity::Total);
    assert_eq!(run.totals_ns.as_ref().map(|totals| totals[0]), Some(299_734_164));
    assert_eq!(run.client_queue_ns.as_ref().map(|waits| waits[2]), Some(300_393_501));
    assert_eq!(run.token_totals, Some((50, 48)));
}

/// The reference tool's own class wrote 1/3, 4/7 and 1/2 as miss rates. In whole nanoseconds the
/// second is 5/8: `floor((0.30 - 0.10) / 0.05)` is 4, where binary floating point gets 3.
#[test]
fn etalons_own_figures() {
    let run = &read(&data("etalon/request_level_metrics.json")).runs[0];
    let first = FirstToken::Fixed(Span::from_millis(100));
    let deadlines = Deadlines::new(first, Span::from_millis(50), 0.9).expect("deadlines");
    let judged = per_request(&run.trace, &Options::new(deadlines));
    let rates: Vec<(u64, u64)> = judged.iter().map(|m| (m.tally.missed, m.tally.total())).collect();
    assert_eq!(rates, [(2, 6), (5, 8), (2, 4)]);
}

#[test]
fn appended_objects_are_runs_of_their_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let one = fs::read_to_string(data("vllm/detailed.json")).expect("there");
    let path = folder.path().join("appended.json");
    fs::write(&path, format!("{one}\n{one}{one}")).expect("writable");
    let imported = read(&path);
    assert_eq!(imported.runs.len(), 3);
    assert_eq!(imported.runs[0].trace, imported.runs[2].trace);
}

#[test]
fn failed_slots_and_missing_keys_of_vllm() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.json");
    let text = r#"{"backend": "vllm", "model_id": "m", "num_prompts": 3, "mean_ttft_ms": NaN,
        "input_lens": [5, 6, 7], "output_lens": [3, 0, 4], "ttfts": [0.1, 0.0, 0.2],
        "itls": [[0.01, 0.02], [], [0.03]], "generated_texts": ["SECRET", "", "SECRET"],
        "errors": ["", "Traceback SECRET", ""]}"#;
    fs::write(&path, text).expect("writable");
    let run = &read(&path).runs[0];
    assert_eq!((run.failed, run.granularity), (1, Granularity::Chunk));
    assert!(!run.knows.arrivals && !run.extra_chunks);
    assert_eq!(run.trace.requests[2].tokens, 4, "the file's count, not that of its chunks");
    assert_eq!(run.trace.token_times(&run.trace.requests[2]).count(), 2);
    assert!(!format!("{run:?}").contains("SECRET"));
}

#[test]
fn sglangs_spread_gaps_are_put_together() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.jsonl");
    let text = r#"{"backend": "sglang", "dataset_name": "random", "request_rate": 1.0,
        "input_lens": [5], "output_lens": [6], "ttfts": [0.1],
        "itls": [[0.02, 0.02, 0.02, 0.01]]}"#;
    fs::write(&path, text).expect("writable");
    let run = &read(&path).runs[0];
    let times: Vec<u64> =
        run.trace.token_times(&run.trace.requests[0]).map(|t| t.as_nanos() / 1_000_000).collect();
    assert_eq!(times, [100, 100, 160, 160, 160, 170]);
    assert_eq!(run.granularity, Granularity::Token);
}

#[test]
fn units_are_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = fs::read_to_string(data("aiperf/profile_export.jsonl")).expect("there");
    let path = folder.path().join("x.jsonl");
    let line = |ttft: &str| {
        format!(
            "{{\"metadata\": {{\"request_start_ns\": 5}}, \"metrics\": {{\
             \"time_to_first_token\": {ttft}}}}}\n"
        )
    };
    fs::write(&path, line(r#"{"unit": "s", "value": 0.25}"#)).expect("writable");
    let run = &read(&path).runs[0];
    assert_eq!(run.trace.requests[0].first_token.as_nanos(), 250_000_000);
    fs::write(&path, line(r#"{"unit": "fortnights", "value": 1}"#)).expect("writable");
    assert!(import(&path, None).is_err());
    assert!(text.contains("\"unit\":\"ms\""));
}

#[test]
fn every_format_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = Format::ALL.iter().map(|format| format.name()).collect();
    assert_eq!(names.len(), Format::ALL.len());
    assert!(Format::ALL.iter().all(|format| Format::by_name(format.name()) == Some(*format)));
}

#[test]
fn an_unknown_file_lists_what_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for text in
        ["", "{}", "[]", "[1]", "{\"a\": 1}", "a,b\n1,2\n", "hello", "\u{0}\u{1}", "[[", "null"]
    {
        let path = folder.path().join("x");
        fs::write(&path, text).expect("writable");
        let error = import(&path, None).expect_err(text);
        let help = error.help.clone().unwrap_or_default();
        for format in Format::ALL {
            assert!(help.contains(format.name()), "{text}: {help}");
        }
    }
}

#[test]
fn a_trace_without_a_token_is_judged_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.json");
    let text =
        r#"{"num_prompt_tokens": [1], "num_output_tokens": [0], "ttft": [0.0], "tbt": [[]]}"#;
    fs::write(&path, text).expect("writable");
    let run = &read(&path).runs[0];
    let first = FirstToken::Fixed(Span::from_millis(100));
    let deadlines = Deadlines::new(first, Span::from_millis(50), 0.9).expect("deadlines");
    let summary = evaluate(&run.trace, &Options::new(deadlines));
    assert_eq!(summary.requests.failed, 1);
}
