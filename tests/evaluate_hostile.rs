//! Hostile files: cut off, of wrong types, with huge numbers and times that go backwards. All are
//! errors that say where; none is a panic, and none shows the file's own text.

use std::fs;
use std::path::{Path, PathBuf};

use metron_sim::interop::{Format, Imported, InteropError, Promise, TtftPromise, import, judge};
use metron_sim::report::MeasuredResult;
use metron_sim::time::Span;
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
                let promise = Promise {
                    ttft: TtftPromise::Fixed(Span::from_millis(100)),
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
            Err(error) => {
                let text = error.to_string();
                assert!(error.fault.at.is_some() || end < 4 || text.contains("no "), "{text}");
                if let Some(at) = error.fault.at {
                    assert!(at.byte <= end as u64, "{text}");
                }
            }
        }
    }
}

#[test]
fn vllm_cut_at_every_byte() {
    cut("vllm/no_details.json", Format::Vllm, |_| false);
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
            Err(error) => assert!(!error.to_string().is_empty()),
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
    assert!(chunks("9.5").contains("before its request was sent"));
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
                2 => { bytes.remove(at); }
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
