//! The few figures that stand side by side.

use serde::Serialize;
use serde_json::Value;

use super::member;

/// A figure of every run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct KeyFigure {
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
    /// One a run; null where only bounds are known.
    pub values: Vec<Option<f64>>,
    /// The least that it can be, where only bounds are known; empty where all are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lower: Vec<Option<f64>>,
    /// The most that it can be, likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub upper: Vec<Option<f64>>,
}

type Row = (&'static str, &'static str, &'static str, &'static str, Option<bool>);

const ROWS: [Row; 16] = [
    (
        "fluidity.fluid_request_share",
        "Fluid requests",
        "answers whose text kept the promised pace",
        "share",
        Some(true),
    ),
    (
        "ttft_in_time_share",
        "First tokens in time",
        "first tokens that came when they were due",
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
    (
        "tbt_s.p50",
        "TBT, median",
        "time from one token to the next; 0 between tokens that one step brings together",
        "s",
        Some(false),
    ),
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

/// Classes with figures of their own.
const CLASSES_SHOWN: usize = 12;

/// The figures of a class, judged by its own promise where it has one.
const OF_CLASS: [Row; 5] = [
    ("slo.met", "promise", "whether what these requests are promised was kept", "kept", Some(true)),
    (
        "fluidity.fluid_request_share",
        "fluid requests",
        "answers whose text kept the pace that this class is promised",
        "share",
        Some(true),
    ),
    (
        "ttft_in_time_share",
        "first tokens in time",
        "first tokens that came when they were due",
        "share",
        Some(true),
    ),
    ("ttft_s.p99", "TTFT, P99", "time until the first token", "s", Some(false)),
    ("tbt_s.p99", "TBT, P99", "time from one token to the next", "s", Some(false)),
];

/// The figures of these results, then those of their classes.
pub(super) fn key_figures(runs: &[Value]) -> Vec<KeyFigure> {
    let mut figures: Vec<KeyFigure> = ROWS.into_iter().map(|row| figure(row, runs, None)).collect();
    let classes = runs.iter().filter_map(|run| run.get("classes")?.as_object());
    let mut names: Vec<&String> = classes.flat_map(|classes| classes.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for class in names.into_iter().take(CLASSES_SHOWN) {
        figures.extend(OF_CLASS.into_iter().map(|row| figure(row, runs, Some(class))));
    }
    figures
}

fn figure(row: Row, runs: &[Value], class: Option<&str>) -> KeyFigure {
    let (path, name, meaning, unit, more_is_better) = row;
    let of = |run: &Value| match class {
        None => Some(run.clone()),
        Some(class) => run.get("classes")?.get(class).cloned(),
    };
    let known: Vec<Known> =
        runs.iter().map(|run| of(run).map_or(Known::default(), |of| known(&of, path))).collect();
    let bounded = known.iter().any(|one| one.lower.is_some() || one.upper.is_some());
    let all = |of: fn(&Known) -> Option<f64>| known.iter().map(of).collect::<Vec<_>>();
    KeyFigure {
        path: class.map_or(path.to_owned(), |class| format!("classes.{class}.{path}")),
        name: class.map_or(name.to_owned(), |class| format!("{class}: {name}")),
        meaning,
        unit,
        more_is_better,
        values: all(|one| one.value),
        lower: if bounded { all(|one| one.lower) } else { Vec::new() },
        upper: if bounded { all(|one| one.upper) } else { Vec::new() },
    }
}

/// What is known of a figure: itself, or bounds.
#[derive(Clone, Copy, Default)]
struct Known {
    value: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
}

/// What is known of the figure at this path of a result.
fn known(run: &Value, path: &str) -> Known {
    let number = |path: &str| match member(run, path)? {
        Value::Bool(kept) => Some(f64::from(u8::from(*kept))),
        value => value.as_f64(),
    };
    let within = |lower: &str, upper: &str| (number(lower), number(upper));
    let (lower, upper) = match path.split_once('.') {
        Some(("fluidity", figure)) => {
            let at = format!("fluidity.bounds.{figure}");
            within(&format!("{at}.lower"), &format!("{at}.upper"))
        }
        Some((metric, stat)) => {
            let at = format!("latency_bounds.{metric}");
            within(&format!("{at}.lower.{stat}"), &format!("{at}.upper.{stat}"))
        }
        None if path == "ttft_in_time_share" => {
            within("ttft_in_time_bounds.lower", "ttft_in_time_bounds.upper")
        }
        None => (None, None),
    };
    // What was seen so far is no figure of all requests.
    let open = (lower.is_some() || upper.is_some()) && lower != upper;
    match open {
        true => Known { value: None, lower, upper },
        false => Known { value: number(path), ..Known::default() },
    }
}
