//! Measured files changed at random, from fixed seeds: keys gone or doubled, numbers in another unit,
//! negative, huge or not finite, texts and nulls where numbers stand, ends cut off. Each is an error or a
//! result, never a panic; a time or a count that something else in its file tells too is never
//! judged when it is a thousand times too large or too small.

use std::fs;
use std::path::Path;

use metron_sim::interop::{Format, GivenPromise, GivenTtft, import_with, judge};
use metron_sim::result::MeasuredResult;
use metron_sim::time::Span;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

const CORPUS: &[(&str, Format)] = &[
    ("vllm/detailed.json", Format::Vllm),
    ("vllm/no_details.json", Format::Vllm),
    ("sglang/detailed.jsonl", Format::Sglang),
    ("aiperf/profile_export.jsonl", Format::Aiperf),
    ("aiperf/profile_export_raw.jsonl", Format::AiperfRaw),
    ("guidellm/guidellm.json", Format::Guidellm),
    ("inference-perf/per_request_lifecycle_metrics.json", Format::InferencePerf),
    ("etalon/request_level_metrics.json", Format::Etalon),
];

/// Mutations of each file.
const EACH: u64 = 250;

/// Stands for what JSON has no word for.
const HOLE: &str = "@@hole@@";

fn text_of(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats").join(name);
    fs::read_to_string(path).expect("there")
}

/// The documents of a file: one, or one a line.
fn documents(text: &str) -> Vec<Value> {
    let stream = serde_json::Deserializer::from_str(text).into_iter();
    stream.map(|value| value.expect("JSON")).collect()
}

fn written(documents: &[Value]) -> String {
    documents.iter().map(|document| format!("{document}\n")).collect()
}

/// Pointers to all values below this one.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                all.push(at.clone());
                pointers(member, &at, all);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let at = format!("{at}/{index}");
                all.push(at.clone());
                pointers(item, &at, all);
            }
        }
        _ => {}
    }
}

fn mutate(text: &str, rng: &mut Xoshiro256PlusPlus) -> String {
    if rng.random_bool(0.15) {
        let mut end = rng.random_range(0..text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        return text[..end].to_owned();
    }
    let mut documents = documents(text);
    let mut hole = "null";
    for _ in 0..rng.random_range(1..4) {
        let document = rng.random_range(0..documents.len());
        let mut all = Vec::new();
        pointers(&documents[document], "", &mut all);
        let at = all[rng.random_range(0..all.len())].clone();
        let (parent, key) = at.rsplit_once('/').expect("it has a parent");
        let choice = rng.random_range(0..10);
        if choice == 0 {
            match documents[document].pointer_mut(parent).expect("there") {
                Value::Object(members) => drop(members.remove(&key.replace("~1", "/"))),
                Value::Array(items) => drop(items.remove(key.parse().expect("an index"))),
                _ => {}
            }
            continue;
        }
        let value = documents[document].pointer_mut(&at).expect("there");
        let number = value.as_f64();
        *value = match (choice, number) {
            (1, Some(number)) => (number * 1000.0).into(),
            (2, Some(number)) => (number / 1000.0).into(),
            (3, Some(number)) => (-number).into(),
            (4, Some(_)) => [1e300, 4e9, 1e18, 9e15][rng.random_range(0..4)].into(),
            (5, _) => {
                hole =
                    ["NaN", "Infinity", "-Infinity", "1e999", "-", "nul"][rng.random_range(0..6)];
                HOLE.into()
            }
            (6, _) => "SECRET".into(),
            (7, _) => Value::Null,
            (8, _) => Value::Array(vec![value.clone(), value.clone()]),
            (9, _) => serde_json::json!({"value": value.clone()}),
            _ => true.into(),
        };
    }
    written(&documents).replace(&format!("\"{HOLE}\""), hole)
}

/// Reads and judges: the error's words, or whether there is a verdict.
fn outcome(folder: &Path, text: &str, from: Format, skip_bad: bool) -> Result<bool, String> {
    let path = folder.join("x");
    fs::write(&path, text).expect("writable");
    let imported = import_with(&path, Some(from), skip_bad).map_err(|error| error.to_string())?;
    let promise = GivenPromise {
        ttft: GivenTtft::Fixed(Span::from_millis(100)),
        tbt: Some(Span::from_millis(25)),
        fluidity: Some((0.9, 0.99)),
    };
    let mut any = false;
    for run in &imported.runs {
        let of = MeasuredResult::default();
        let judged = judge(run, of, run.name.clone(), &promise, true).map_err(|e| e.to_string())?;
        let measured = judged.measured.expect("measured");
        let fluidity = judged.summary.fluidity.unwrap_or_default();
        for share in [fluidity.fluid_request_share, fluidity.service_miss_rate, fluidity.index.p1] {
            assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)), "{share:?}");
        }
        if let Some(bounds) = fluidity.bounds.and_then(|bounds| bounds.fluid_request_share) {
            assert!(bounds.lower <= bounds.upper, "{bounds:?}");
        }
        let counts = judged.summary.requests;
        let ended = counts.completed
            + counts.unfinished
            + counts.rejected
            + counts.failed
            + counts.timed_out
            + counts.cancelled;
        assert_eq!(counts.offered, ended, "{counts:?}");
        assert!(measured.contradictions.is_empty() || judged.slo.met.is_none());
        any |= judged.slo.met.is_some();
    }
    Ok(any)
}

#[test]
fn changed_files_are_errors_or_results() {
    let place = tempfile::tempdir().expect("a temporary folder");
    for (which, &(name, format)) in CORPUS.iter().enumerate() {
        let text = text_of(name);
        for seed in 0..EACH {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed * 100 + which as u64);
            let changed = mutate(&text, &mut rng);
            if let Err(words) = outcome(place.path(), &changed, format, seed % 2 == 0) {
                assert!(!words.contains("SECRET"), "{name} {seed}: {words}");
                assert!(words.len() < 4000, "{name} {seed}: {words}");
            }
        }
    }
}

/// What each file tells twice, in one way or another.
const TOLD_TWICE: &[(&str, Format, &[&str])] = &[
    (
        "vllm/detailed.json",
        Format::Vllm,
        &[
            "completed",
            "total_input_tokens",
            "total_output_tokens",
            "ttfts",
            "itls",
            "latencies",
            "mean_ttft_ms",
            "p99_ttft_ms",
            "mean_itl_ms",
            "p99_itl_ms",
            "mean_tpot_ms",
            "mean_e2el_ms",
            "request_throughput",
            "output_throughput",
        ],
    ),
    ("vllm/no_details.json", Format::Vllm, &["completed", "mean_e2el_ms", "request_throughput"]),
    (
        "sglang/detailed.jsonl",
        Format::Sglang,
        &["completed", "total_output_tokens", "mean_ttft_ms", "mean_itl_ms", "mean_e2e_latency_ms"],
    ),
    (
        "aiperf/profile_export.jsonl",
        Format::Aiperf,
        &["time_to_first_token", "inter_chunk_latency", "request_latency"],
    ),
    ("etalon/request_level_metrics.json", Format::Etalon, &["ttft", "tbt", "num_total_tokens"]),
    (
        "guidellm/guidellm.json",
        Format::Guidellm,
        &["request_latency", "time_to_first_token_ms", "request_totals"],
    ),
];

#[test]
fn what_a_file_tells_twice_is_not_judged_when_it_contradicts_itself() {
    let place = tempfile::tempdir().expect("a temporary folder");
    for &(name, format, keys) in TOLD_TWICE {
        let text = text_of(name);
        assert!(outcome(place.path(), &text, format, false).is_ok(), "{name}");
        let whole = documents(&text);
        for (at, document) in whole.iter().enumerate() {
            let mut all = Vec::new();
            pointers(document, "", &mut all);
            let mut tried = 0;
            for pointer in all {
                let parts: Vec<&str> = pointer.split('/').collect();
                let told = keys.iter().any(|key| parts.contains(key));
                // Of GuideLLM's figures over the run, those that are read.
                let figure = !parts.contains(&"metrics")
                    || format != Format::Guidellm
                    || (parts.contains(&"successful")
                        && (parts.ends_with(&["mean"]) || parts.ends_with(&["successful"])));
                let value = document.pointer(&pointer).and_then(Value::as_f64);
                let Some(value) = value.filter(|value| told && figure && *value > 0.0) else {
                    continue;
                };
                for factor in [1000.0, 0.001] {
                    let mut changed = whole.clone();
                    *changed[at].pointer_mut(&pointer).expect("there") =
                        if value.fract() == 0.0 && factor > 1.0 {
                            Value::from((value * factor) as u64)
                        } else {
                            Value::from(value * factor)
                        };
                    // A time of 10 ms less is within what a client may add at the end.
                    let small = factor < 1.0 && value < 100.0 && format == Format::Aiperf;
                    if small {
                        continue;
                    }
                    let outcome = outcome(place.path(), &written(&changed), format, false);
                    assert_ne!(outcome, Ok(true), "{name} {pointer} times {factor}");
                    tried += 1;
                }
            }
            assert!(tried > 0 || at > 0, "{name}");
        }
    }
}
