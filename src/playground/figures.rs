//! The few figures that stand side by side.

use serde::Serialize;
use serde_json::Value;

use super::member;

/// A figure of every run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyFigure {
    /// Its path in a run's result.
    pub path: String,
    /// In words.
    pub name: String,
    /// What it means.
    pub meaning: &'static str,
    /// `s`, `share`, `per_s`, `count`, or `kept`: 1 for a promise that was kept, 0 for one that was
    /// broken.
    pub unit: &'static str,
    /// Whether more is better; none where neither is.
    pub more_is_better: Option<bool>,
    /// One a run.
    pub values: Vec<Option<f64>>,
}

type Row = (&'static str, &'static str, &'static str, &'static str, Option<bool>);

const ROWS: [Row; 15] = [
    (
        "fluidity.fluid_request_share",
        "Fluid requests",
        "answers whose text kept the promised pace",
        "share",
        Some(true),
    ),
    ("ttft_s.p50", "TTFT, median", "time until the first token", "s", Some(false)),
    (
        "ttft_s.p99",
        "TTFT, P99",
        "time until the first token, of the slowest hundredth",
        "s",
        Some(false),
    ),
    ("tbt_s.p50", "TBT, median", "time from one token to the next", "s", Some(false)),
    ("tbt_s.p99", "TBT, P99", "the same, of the slowest hundredth of tokens", "s", Some(false)),
    (
        "tbt_s.max",
        "Longest pause",
        "the longest time from one token of a text to the next",
        "s",
        Some(false),
    ),
    ("tpot_s.p50", "TPOT, median", "an answer's mean time per output token", "s", Some(false)),
    ("tpot_s.mean", "TPOT, mean", "the same, the mean of all answers", "s", Some(false)),
    ("e2e_s.p50", "Whole answer, median", "from sending to the last token", "s", Some(false)),
    (
        "throughput.output_tokens_per_s",
        "Output tokens/s",
        "all answers together",
        "per_s",
        Some(true),
    ),
    ("duration_s", "Duration", "until the last answer ended", "s", Some(false)),
    ("iterations.count", "Iterations", "passes of the GPU over the model", "count", None),
    ("iterations.mean_batch", "Mean batch", "requests served by one iteration", "count", None),
    ("kv.preemptions", "Preemptions", "requests thrown out of KV memory", "count", Some(false)),
    ("requests.rejected", "Rejected", "requests turned away", "count", Some(false)),
];

/// What is told of each class of requests, judged by its own promise where it has one.
const OF_CLASS: [Row; 4] = [
    ("slo.met", "promise", "whether what these requests are promised was kept", "kept", Some(true)),
    (
        "fluidity.fluid_request_share",
        "fluid requests",
        "answers whose text kept the pace that this class is promised",
        "share",
        Some(true),
    ),
    ("ttft_s.p99", "TTFT, P99", "time until the first token", "s", Some(false)),
    ("tbt_s.p99", "TBT, P99", "time from one token to the next", "s", Some(false)),
];

/// Most classes that have rows.
const CLASSES_MAX: usize = 12;

/// The figures of these results.
pub(super) fn key_figures(runs: &[Value]) -> Vec<KeyFigure> {
    let of_all = ROWS.into_iter().map(|row| figure(runs, row, None));
    let mut classes: Vec<&String> = Vec::new();
    for run in runs {
        let own = member(run, "classes").and_then(Value::as_object);
        classes.extend(own.into_iter().flat_map(serde_json::Map::keys));
    }
    classes.sort_unstable();
    classes.dedup();
    let of_classes = classes
        .into_iter()
        .take(CLASSES_MAX)
        .flat_map(|class| OF_CLASS.into_iter().map(move |row| figure(runs, row, Some(class))));
    of_all.chain(of_classes).collect()
}

fn figure(
    runs: &[Value],
    (path, name, meaning, unit, more_is_better): Row,
    class: Option<&String>,
) -> KeyFigure {
    let value = |run: &Value| {
        let of = class.map_or(Some(run), |class| member(run, "classes")?.get(class));
        match member(of?, path)? {
            Value::Bool(kept) => Some(f64::from(u8::from(*kept))),
            value => value.as_f64(),
        }
    };
    KeyFigure {
        path: class.map_or(path.to_owned(), |class| format!("classes.{class}.{path}")),
        name: class.map_or(name.to_owned(), |class| format!("{class}: {name}")),
        meaning,
        unit,
        more_is_better,
        values: runs.iter().map(value).collect(),
    }
}
