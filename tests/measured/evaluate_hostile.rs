//! Hostile files: cut off, of wrong types, with huge numbers and times that go backwards. All are
//! errors that say where; none is a panic, and none shows the file's own text.

use std::fs;
use std::path::{Path, PathBuf};

use metron_sim::interop::{
    Format, GivenPromise, GivenTtft, Granularity, Imported, InteropError, import, import_with,
    judge,
};
use metron_sim::result::MeasuredResult;
use metron_sim::time::Span;
use metron_sim::trace::Status;
use proptest::prelude::*;

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats").join(name);
    fs::read(path).expect("there")
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a temporary folder"))
    }

    fn import(&self, bytes: &[u8], from: Option<Format>) -> Result<Imported, Box<InteropError>> {
        let path: PathBuf = self.0.path().join("x");
        fs::write(&path, bytes).expect("writable");
        let result = import(&path, from);
        if let Ok(imported) = &result {
            // What can be read can be judged.
            for run in &imported.runs {
                let promise = GivenPromise {
                    ttft: GivenTtft::Fixed(Span::from_millis(100)),
                    tbt: Some(Span::from_millis(25)),
                    fluidity: Some((0.9, 0.99)),
                };
                let label = run.name.clone();
                judge(run, MeasuredResult::default(), label, &promise, true).expect("a fixed TTFT");
            }
        }
        result
    }
}

/// A file cut off at any byte is an error with its place; at the end of a document it may be a
/// shorter file.
fn cut(name: &str, from: Format, whole_at: impl Fn(&[u8]) -> bool) {
    let place = Place::new();
    let bytes = data(name);
    for end in 0..bytes.len() {
        let part = &bytes[..end];
        match place.import(part, Some(from)) {
            Ok(_) => assert!(whole_at(part), "{name} cut at {end} was taken as whole"),
            Err(error) => is_placed(&error, end),
        }
    }
}

/// An error in a file of `end` bytes has its place there, or says what is missing.
fn is_placed(error: &InteropError, end: usize) {
    let text = error.to_string();
    assert!(error.fault.at.is_some() || end < 4 || text.contains("no "), "{text}");
    if let Some(at) = error.fault.at {
        assert!(at.byte <= end as u64, "{text}");
    }
}

#[test]
fn vllm_cut_at_every_byte() {
    cut("vllm/no_details.json", Format::Vllm, |_| false);
}

#[test]
fn a_list_cut_off_says_how_much_of_it_was_read() {
    let place = Place::new();
    let head =
        r#"{"backend": "vllm", "model_id": "m", "num_prompts": 3, "ttfts": [0.1, 0.2, 0.3], "#;
    let text = format!(r#"{head}"itls": [[0.01, 0.02], [0.03], [0.0"#);
    let error = place.import(text.as_bytes(), Some(Format::Vllm)).expect_err("it is cut off");
    assert!(error.to_string().contains("after 3 ttfts, 2 entries of `itls`"), "{error}");
    let twice = format!(r#"{head}"itls": [[], [], []]}} {head}"itls": [["#);
    let error = place.import(twice.as_bytes(), Some(Format::Vllm)).expect_err("it is cut off");
    let said = "after 1 whole run, 3 ttfts, 0 entries of `itls`";
    assert!(error.to_string().contains(said), "{error}");
    let texts = format!(r#"{head}"itls": [[], [], []], "generated_texts": ["a secr"#);
    let error = place.import(texts.as_bytes(), Some(Format::Vllm)).expect_err("it is cut off");
    assert!(error.to_string().contains("after 3 ttfts, 3 gaps)"), "{error}");
    assert!(!error.to_string().contains("secr"), "{error}");
}

#[test]
fn etalon_cut_at_every_byte() {
    cut("etalon/request_level_metrics.json", Format::Etalon, |part| {
        part.trim_ascii_end().ends_with(b"}")
    });
}

#[test]
fn tokens_cut_at_every_byte() {
    let text = "scheduler,request,index,time_s,arrival_s,scheduled_s,prompt_tokens,class,status,ttft_deadline_s\n\
        v0,0,0,1.000000003,0.000000001,0.000000002,7,chat,completed,0.007000000\n\
        v0,0,1,1.000000007,0.000000001,0.000000002,7,chat,completed,0.007000000\n\
        v0,1,,3.000000000,0.000000001,,7,chat,unfinished,0.007000000\n";
    let place = Place::new();
    for end in 0..text.len() {
        match place.import(&text.as_bytes()[..end], Some(Format::Tokens)) {
            Ok(_) => assert!(text[..end].ends_with('\n'), "cut at {end} was taken as whole"),
            Err(error) => is_placed(&error, end),
        }
    }
    assert!(place.import(text.as_bytes(), None).is_ok());
}

fn refused(format: Format, text: &str) -> String {
    let error = Place::new().import(text.as_bytes(), Some(format)).expect_err(text);
    let words = error.to_string();
    assert!(!words.contains("SECRET"), "{words}");
    words
}

#[test]
fn times_that_make_no_sense_are_refused() {
    let etalon = |ttft: &str, tbt: &str| {
        refused(
            Format::Etalon,
            &format!(
                r#"{{"num_prompt_tokens": [1], "num_output_tokens": [2], "ttft": [{ttft}], "tbt": [[{tbt}]]}}"#
            ),
        )
    };
    assert!(etalon("-0.1", "0.1").contains("negative"));
    assert!(etalon("0.1", "-1e-3").contains("negative"));
    assert!(etalon("1e300", "0.1").contains("too large"));
    assert!(etalon("0.1", "9e9, 9e9, 9e9").contains("584 years"));
    assert!(etalon("NaN", "0.1").contains("not finite"));
    assert!(etalon("0.1", "Infinity").contains("not finite"));
    assert!(etalon("\"SECRET\"", "0.1").contains("found a text"));
    assert!(etalon("{}", "0.1").contains("found an object"));
    assert!(etalon("null", "0.1").contains("found null"));
    assert!(etalon("0.1, 0.2", "0.1").contains("entries are missing"));
    let at = etalon("0.1", "\n\n   true");
    assert!(at.contains("line 3, column 4"), "{at}");
}

#[test]
fn tokens_that_are_counted_and_not_listed_are_refused() {
    let file = |tokens: u32| {
        format!(
            r#"{{"backend": "sglang", "dataset_name": "x", "request_rate": 1, "input_lens": [7],
                "output_lens": [{tokens}], "ttfts": [0.1], "itls": [[0.01, 0.02]]}}"#
        )
    };
    let error = refused(Format::Sglang, &file(u32::MAX));
    assert!(error.contains("request 0: 4294967292 of its tokens have no gap"), "{error}");
    let run =
        Place::new().import(file(5).as_bytes(), Some(Format::Sglang)).expect("two came first");
    let run = &run.runs[0];
    assert_eq!(run.trace.token_times(&run.trace.requests[0]).count(), 5);
}

#[test]
fn time_going_backwards_is_refused() {
    let chunks = |times: &str| {
        refused(
            Format::InferencePerf,
            &format!(
                r#"[{{"start_time": 10.0, "end_time": 11.0, "request": "SECRET", "info":
                {{"response_metrics": {{"chunk_times": [{times}]}}}}, "error": null}}]"#
            ),
        )
    };
    assert!(chunks("10.5, 10.4").contains("backwards"));
    assert!(chunks("9.5").contains("before it was sent"));
    let tokens = |second: &str| {
        refused(
            Format::Tokens,
            &format!(
                "scheduler,request,index,time_s,arrival_s,status,prompt_tokens\n\
                      a,0,0,2.0,1.0,completed,5\na,0,1,{second},1.0,completed,5\n"
            ),
        )
    };
    assert!(tokens("1.9").contains("backwards"));
    assert!(tokens("SECRET").contains("found something else"));
    assert!(tokens("").contains("is empty"));
}

#[test]
fn how_far_reading_came_is_told() {
    let lines = String::from_utf8(data("aiperf/profile_export.jsonl")).expect("text");
    let cut = &lines[..lines.len() - 100];
    let error = Place::new().import(cut.as_bytes(), None).expect_err("cut");
    let words = error.to_string();
    assert!(words.contains("read as aiperf, after 2 whole requests"), "{words}");
    assert!(words.contains("line 3"), "{words}");
}

#[test]
fn deep_nesting_and_open_quotes_end() {
    let deep = format!("{{\"backend\": {}", "[".repeat(1_000_000));
    assert!(refused(Format::Vllm, &deep).contains("nested too deeply"));
    let open = format!(
        "scheduler,request,index,time_s,arrival_s,status,prompt_tokens\n\"{}",
        "x".repeat(6 << 20)
    );
    assert!(refused(Format::Tokens, &open).contains("quote left open"));
}

const CORPUS: &[(&str, Format)] = &[
    ("vllm/detailed.json", Format::Vllm),
    ("vllm/no_details.json", Format::Vllm),
    ("sglang/detailed.jsonl", Format::Sglang),
    ("aiperf/profile_export.jsonl", Format::Aiperf),
    ("aiperf/profile_export_raw.jsonl", Format::AiperfRaw),
    ("guidellm/guidellm.json", Format::Guidellm),
    ("inference-perf/per_request_lifecycle_metrics.json", Format::InferencePerf),
    ("etalon/request_level_metrics.json", Format::Etalon),
    ("blis/blis_tracev2.csv", Format::Blis),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Bytes changed, dropped and doubled anywhere: an error or a result, never a panic.
    #[test]
    fn damaged_files_do_not_panic(
        which in 0..CORPUS.len(),
        edits in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0u8..4, prop_oneof![
                Just(b"-".to_vec()), Just(b"9".to_vec()), Just(b"e99".to_vec()), Just(b"null".to_vec()),
                Just(b"\"".to_vec()), Just(b"[".to_vec()), Just(b"]".to_vec()), Just(b"{".to_vec()),
                Just(b"}".to_vec()), Just(b",".to_vec()), Just(b"0".to_vec()), Just(b"\xff".to_vec()),
                Just(b"18446744073709551615".to_vec()), Just(b"NaN".to_vec()),
            ]),
            1..6),
        forced: bool,
    ) {
        let (name, format) = CORPUS[which];
        let mut bytes = data(name);
        for (at, kind, text) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => { bytes.splice(at..at, text); }
                1 => { bytes.splice(at..=at, text); }
                2 if bytes.len() > 1 => { bytes.remove(at); }
                _ => bytes.truncate(at.max(1)),
            }
        }
        let _read = Place::new().import(&bytes, forced.then_some(format));
    }

    /// Every number of a small file replaced by any other.
    #[test]
    fn any_numbers_do_not_panic(
        ttfts in proptest::collection::vec(any::<f64>(), 1..3),
        gaps in proptest::collection::vec(prop_oneof![any::<f64>(), 0.0..1e10], 0..5),
        tokens in any::<i64>(),
    ) {
        let list = |values: &[f64]| {
            values.iter().map(|v| format!("{v:e}")).collect::<Vec<_>>().join(",")
        };
        let text = format!(
            r#"{{"num_prompt_tokens": [{tokens}], "num_output_tokens": [{tokens}], "ttft": [{}], "tbt": [[{}]]}}"#,
            list(&ttfts), list(&gaps)
        );
        let _read = Place::new().import(text.as_bytes(), None);
    }
}

#[test]
fn a_request_with_times_that_go_backwards_is_left_out_when_asked() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("x.json");
    let one = |start: &str, chunks: &str| {
        format!(
            r#"{{"start_time": {start}, "end_time": 20.0, "request": "SECRET", "info":
            {{"response_metrics": {{"chunk_times": [{chunks}]}}}}, "error": null}}"#
        )
    };
    let requests =
        [one("10.0", "10.5, 10.6"), one("11.0", "11.5, 11.4"), one("12.0", "12.1, 12.2, 12.3")];
    fs::write(&path, format!("[{}]", requests.join(","))).expect("writable");
    let words = import(&path, None).expect_err("it goes back").to_string();
    for part in ["request 1:", "11.4", "11.5", "--skip-bad", "line "] {
        assert!(words.contains(part), "{words}");
    }
    let read = import_with(&path, None, true).expect("the others are sound");
    let run = &read.runs[0];
    assert_eq!(run.trace.requests.len(), 2);
    assert!(run.notes[0].contains("1 requests were left out"), "{:?}", run.notes);
    let tokens: Vec<u32> = run.trace.requests.iter().map(|row| row.tokens).collect();
    assert_eq!(tokens, [2, 3]);
    let last = run.trace.token_times(&run.trace.requests[1]).last().expect("a token");
    assert_eq!(last.as_nanos(), 2_300_000_000);
    fs::write(&path, format!("[{}]", requests[1])).expect("writable");
    assert!(import_with(&path, None, true).is_err(), "nothing is left");
}

#[test]
fn failed_empty_and_unstreamed_requests_are_told_apart() {
    let place = Place::new();
    let record = |metrics: &str, error: &str, cancelled: bool| {
        format!(
            r#"{{"metadata": {{"request_start_ns": 1000, "credit_issued_ns": 900, "was_cancelled": {cancelled},
            "benchmark_phase": "profiling"}}, "metrics": {metrics}, "error": {error}}}"#
        )
        .replace('\n', " ")
    };
    let streamed = r#"{"time_to_first_token": {"value": 50, "unit": "ms"}, "request_latency": {"value": 0.07, "unit": "s"},
        "inter_chunk_latency": {"value": [20000], "unit": "us"}, "usage_completion_tokens": {"value": 2, "unit": "tokens"}}"#;
    let whole = r#"{"request_latency": {"value": 70, "unit": "ms"}, "output_sequence_length": {"value": 9, "unit": "tokens"}}"#;
    let error = r#"{"code": 500, "type": "x", "message": "SECRET"}"#;
    let lines = [
        record(streamed, "null", false),
        record("null", error, false),
        // What the server said comes before what the client did then.
        record("{}", &error.replace("500", "499"), true),
        record(whole, "null", false),
        record(streamed, "null", true),
    ];
    let read = place.import(lines.join("\n").as_bytes(), None).expect("sound");
    let run = &read.runs[0];
    let statuses: Vec<Status> = run.trace.requests.iter().map(|row| row.status).collect();
    use Status::{Cancelled, Completed, Failed};
    assert_eq!(statuses, [Completed, Failed, Cancelled, Failed, Cancelled]);
    assert_eq!(run.failed, 2);
    let notes = run.notes.join("; ");
    assert!(notes.contains("2 requests were cancelled by the client"), "{notes}");
    assert!(notes.contains("1 completed requests have no token's time"), "{notes}");
    assert_eq!(run.client_queue_ns.as_deref(), Some(&[100; 5][..]));
    let unstreamed = [lines[3].clone(), lines[3].clone()].join("\n");
    let read = place.import(unstreamed.as_bytes(), None).expect("total times");
    assert_eq!(read.runs[0].granularity, Granularity::Total);
    assert_eq!(read.runs[0].totals_ns.as_deref(), Some(&[70_000_000; 2][..]));
    assert_eq!(read.runs[0].token_totals, Some((0, 18)));
}

#[test]
fn other_versions_and_options_of_the_clients_are_read() {
    let place = Place::new();
    let older = r#"[{"start_time": 1.0, "end_time": 2.0, "request": "SECRET", "response": "SECRET",
        "info": {"input_tokens": 7, "output_tokens": 3, "output_token_times": [1.5, 1.6, 1.8]}, "error": null},
        {"start_time": 1.0, "end_time": 2.0, "info": null, "error": {"error_type": "SECRET"}}]"#;
    let read = place.import(older.as_bytes(), None).expect("an older inference-perf");
    let run = &read.runs[0];
    assert_eq!((run.trace.requests[0].tokens, run.trace.requests[0].prompt_tokens), (3, 7));
    assert_eq!((run.granularity, run.failed), (Granularity::Token, 1));
    // GuideLLM's older names of the same times.
    let request = |times: &str| {
        format!(r#"{{"prompt": "SECRET", "prompt_tokens": 9, "output_tokens": 3, {times}}}"#)
    };
    let flat =
        r#""start_time": 1.0, "first_token_time": 1.5, "last_token_time": 1.9, "end_time": 2.0"#;
    let nested = r#""scheduler_info": {"request_timings": {"request_start": 1.0, "first_iteration": 1.5, "last_iteration": 1.9, "request_end": 2.0}}"#;
    for (head, times) in [("", flat), (r#""metadata": {"version": 1}, "args": {},"#, nested)] {
        let text = format!(
            r#"{{{head} "benchmarks": [{{"requests": {{"successful": [{}], "errored": [], "incomplete": []}}}}]}}"#,
            request(times)
        );
        let read = place.import(text.as_bytes(), None).expect("an older GuideLLM");
        let run = &read.runs[0];
        let times: Vec<u64> =
            run.trace.token_times(&run.trace.requests[0]).map(|t| t.as_nanos()).collect();
        assert_eq!(times, [500_000_000, 900_000_000]);
        assert!(run.notes[0].contains("older GuideLLM"), "{:?}", run.notes);
    }
    assert!(
        refused(Format::Guidellm, r#"{"metadata": {"version": 3}, "benchmarks": []}"#)
            .contains("version is 3")
    );
    // Texts that --metadata puts among the figures, a failed request, a list of runs.
    let vllm = r#"{"date": "x", "backend": "vllm", "model_id": "m", "tokenizer_id": "m", "num_prompts": 2,
        "failed": "SECRET", "mean_ttft_ms": "SECRET", "request_goodput": null, "request_rate": "inf",
        "p99_itl_ms": NaN, "input_lens": [3, 3], "output_lens": [2, 0], "ttfts": [0.1, 0.0],
        "itls": [[0.02], []], "generated_texts": ["\"ttfts\": [9]}\n{", ""], "errors": ["", "SECRET"]}"#;
    for text in [vllm.to_owned(), format!("[{vllm}, {vllm}]"), format!("{vllm}{vllm}\n{vllm}")] {
        let read = place.import(text.as_bytes(), None).expect("vLLM");
        assert_eq!(read.format, Format::Vllm);
        for run in &read.runs {
            assert_eq!((run.trace.requests.len(), run.failed), (2, 1));
            assert!(!run.reported.contains_key("mean_ttft_ms"));
            assert!(!format!("{:?} {:?}", run.notes, run.reported).contains("SECRET"));
        }
    }
    let with_bom = [b"\xef\xbb\xbf", vllm.as_bytes()].concat();
    assert_eq!(place.import(&with_bom, None).expect("a BOM").runs.len(), 1);
    let tokens = "\u{feff}scheduler,request,index,time_s,arrival_s,status,prompt_tokens\na,0,0,2,1,completed,5\n";
    assert_eq!(place.import(tokens.as_bytes(), None).expect("a BOM").runs.len(), 1);
}

#[test]
fn what_is_no_text_is_told_and_long_lines_end() {
    let place = Place::new();
    let utf16: Vec<u8> =
        "\u{feff}{\"backend\": 1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let words = |bytes: &[u8]| place.import(bytes, None).expect_err("no text").to_string();
    assert!(words(&utf16).contains("UTF-16"));
    assert!(words(b"\x1f\x8b\x08").contains("gzip"));
    words(&[0; 5000]);
    words(b"{\"backend\": \"a\0b\"}");
    for long in ["x".repeat(20 << 20), "[".repeat(20 << 20), "1".repeat(20 << 20)] {
        assert!(words(long.as_bytes()).len() < 4000);
        for format in [Format::Tokens, Format::Vllm, Format::Blis] {
            let error = place.import(long.as_bytes(), Some(format)).expect_err("rubbish");
            assert!(error.to_string().len() < 1000, "{format:?}");
        }
    }
    // A prompt that looks like another file.
    let fake = r#"[{"request": "{\"backend\": \"vllm\", \"model_id\": 1, \"num_prompts\": 3}\n[{\"ttfts\": 1}]",
        "start_time": 1.0, "end_time": 2.0, "info": {"response_metrics": {"chunk_times": [1.5]}}, "error": null}]"#;
    assert_eq!(place.import(fake.as_bytes(), None).expect("sound").format, Format::InferencePerf);
}

#[test]
fn a_file_has_no_more_runs_than_can_be_compared() {
    let place = Place::new();
    let file = |runs: usize| -> Vec<u8> {
        let rows = (0..runs).map(|run| format!("s{run},0,0,2,1,completed,5\n"));
        let head = "scheduler,request,index,time_s,arrival_s,status,prompt_tokens\n".to_owned();
        [head].into_iter().chain(rows).collect::<String>().into_bytes()
    };
    assert_eq!(place.import(&file(1000), None).expect("some").runs.len(), 1000);
    let error = place.import(&file(20_000), None).expect_err("too many").to_string();
    assert!(error.contains("at most 1000 schedulers") && error.contains("line 1002"), "{error}");
}

#[test]
fn own_columns_of_others_are_left_out_when_asked_and_runs_of_ours_never() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let tokens = place.path().join("tokens.csv");
    let rows = ["0,0.0,0.3", "0,0.0,0.4", "1,0.1,0.5", "1,0.1,0.2", "2,0.2,0.6", "2,0.2,0.7"];
    fs::write(&tokens, format!("request,arrival_s,time_s\n{}\n", rows.join("\n")))
        .expect("writable");
    let words = import(&tokens, None).expect_err("it goes back").to_string();
    assert!(words.contains("request 1:") && words.contains("--skip-bad"), "{words}");
    let read = import_with(&tokens, None, true).expect("the others are sound");
    assert_eq!(read.runs[0].trace.requests.len(), 2);
    assert!(read.runs[0].notes[0].contains("1 requests were left out"));

    let requests = place.path().join("requests.csv");
    let head = "arrival_s,first_token_s,last_token_s,output_tokens,ttft_deadline_s,hit_tokens";
    let rows = ["0.0,0.3,0.9,5,1.0,7", "0.1,0.5,0.2,5,2.0,8", "0.2,0.6,0.7,2,3.0,9"];
    fs::write(&requests, format!("{head}\n{}\n", rows.join("\n"))).expect("writable");
    let read = import_with(&requests, None, true).expect("the others are sound");
    let run = &read.runs[0];
    assert_eq!(run.trace.requests.len(), 2);
    assert_eq!(run.ttft_deadlines_ns.as_deref(), Some(&[1_000_000_000, 3_000_000_000][..]));
    assert_eq!(run.cached_tokens, Some(16), "what was left out took nothing from the cache");

    fs::write(&requests, format!("{head}\n0.0,0.3,0.9,1,,\n")).expect("writable");
    let words = import(&requests, None).expect_err("one token came at two times").to_string();
    assert!(words.contains("an answer of one token"), "{words}");
}

#[test]
fn a_curve_needs_the_lengths_of_prompts() {
    use metron_sim::interop::{GivenPromise, GivenTtft, judge};
    use metron_sim::metrics::PrefillCurve;
    use metron_sim::result::MeasuredResult;
    use metron_sim::time::Span;
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("tokens.csv");
    let points = [(0, Span::from_millis(0)), (8000, Span::from_millis(2000))];
    let curve = std::sync::Arc::new(PrefillCurve::new(points).expect("a curve"));
    let judged = |head: &str, row: &str| {
        fs::write(&path, format!("{head}\n{row}\n")).expect("writable");
        let read = import(&path, None).expect("it is sound");
        let ttft = GivenTtft::Curve {
            curve: std::sync::Arc::clone(&curve),
            slack: Span::from_millis(300),
            from: "a file".to_owned(),
        };
        let promise = GivenPromise { ttft, tbt: None, fluidity: None };
        judge(&read.runs[0], MeasuredResult::default(), String::new(), &promise, false)
    };
    let known = judged("request,arrival_s,time_s,prompt_tokens", "0,0.0,0.9,4000");
    assert!(known.is_ok());
    let words = judged("request,arrival_s,time_s", "0,0.0,0.9").expect_err("no length").to_string();
    assert!(words.contains("how long prompts are"), "{words}");
}

#[test]
fn a_column_that_is_there_twice_is_an_error() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("tokens.csv");
    fs::write(&path, "request,arrival_s,time_s,arrival_s\n0,0.0,0.3,5.0\n").expect("writable");
    let words = import(&path, None).expect_err("which one?").to_string();
    assert!(words.contains("2 columns `arrival_s`"), "{words}");
}
