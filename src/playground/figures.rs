//! The few figures that stand side by side.

use serde::Serialize;
use serde_json::Value;

use super::member;

/// A figure of every run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyFigure {
    /// Its path in a run's result.
    pub path: &'static str,
    /// In words.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// `s`, `share`, `per_s` or `count`.
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
    ("tbt_s.max", "Longest stall", "the longest that any text stood still", "s", Some(false)),
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

/// The figures of these results.
pub(super) fn key_figures(runs: &[Value]) -> Vec<KeyFigure> {
    let row = |(path, name, meaning, unit, more_is_better): Row| KeyFigure {
        path,
        name,
        meaning,
        unit,
        more_is_better,
        values: runs.iter().map(|run| member(run, path).and_then(Value::as_f64)).collect(),
    };
    ROWS.into_iter().map(row).collect()
}
