//! Two runs metric by metric, with ratios, and what cannot be compared.

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde_json::Value;

use crate::promise::judged_by::{self, Agreement};
use crate::report::csv_text::CsvText;
use crate::report::table::{Align, Cell, lay_out, width, wrap};
use crate::report::verdict::{as_a_sample, evidence};
use crate::result::assertion;
use crate::result::measured::AS_STATED;
use crate::result::{RunResult, SCHEMA_VERSION, Tool};
use crate::shown::{duration, percent, three_digits};

/// One of two runs to compare.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its file.
    pub file: String,
    /// The run.
    pub run: RunResult,
    /// The promise that its file states for all runs; null where each run has its own.
    pub slo: Value,
}

/// Two runs compared.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Pair {
    /// Version of this layout.
    pub schema_version: u32,
    /// What made it.
    pub tool: Tool,
    /// The first run.
    pub a: Named,
    /// The second run.
    pub b: Named,
    /// What it comes to, in a sentence or two.
    pub verdict: String,
    /// Why some figures cannot be compared as they stand.
    pub flags: Vec<String>,
    /// Every figure that either has.
    pub metrics: Vec<Compared>,
}

/// Which run a side is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Named {
    /// Its file.
    pub file: String,
    /// Its label.
    pub label: String,
    /// Whether it was measured.
    pub measured: bool,
}

/// One figure on both sides.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Compared {
    /// Its path in a run.
    pub metric: String,
    /// In the first run; null when it is not known there.
    pub a: Option<f64>,
    /// In the second run.
    pub b: Option<f64>,
    /// b / a; null when either is not known or a is 0.
    pub ratio: Option<f64>,
    /// Whether the two mean the same.
    pub comparable: bool,
    /// Why not.
    pub why: Option<String>,
}

/// Parts of a run with figures to compare.
const PARTS: &[&str] = &[
    "requests",
    "duration_s",
    "arrival_rate_per_s",
    "tokens",
    "throughput",
    "ttft_s",
    "tbt_s",
    "tpot_s",
    "e2e_s",
    "normalized_latency_s_per_token",
    "scheduling_delay_s",
    "fluidity",
    "goodput",
];

/// The figures that stand in the text of a comparison.
const MATTER: [&str; 10] = [
    "requests.completed",
    "fluidity.fluid_request_share",
    "fluidity.service_miss_rate",
    "ttft_s.p50",
    "ttft_s.p99",
    "tbt_s.p99",
    "tbt_s.max",
    "tpot_s.p50",
    "e2e_s.p99",
    "throughput.output_tokens_per_s",
];

/// The same of each class, and of each pool.
const MATTER_OF_CLASSES: [&str; 3] = ["fluidity.fluid_request_share", "ttft_s.p99", "tbt_s.p99"];
const MATTER_OF_POOLS: [&str; 2] = ["requests", "gpu_utilization"];

/// Parts of a class's, and of a pool's, figures to compare.
const CLASS_PARTS: &[&str] =
    &["requests", "ttft_s", "tbt_s", "tpot_s", "e2e_s", "fluidity", "ttft_in_time_share"];
const POOL_PARTS: &[&str] =
    &["requests", "completed", "rejected", "output_tokens", "gpu_utilization", "kv"];

/// Whether a figure stands in the text of a comparison.
fn matters(metric: &str) -> bool {
    match whose(metric) {
        ("", own) => MATTER.contains(&own),
        ("classes", own) => MATTER_OF_CLASSES.contains(&own),
        (_, own) => MATTER_OF_POOLS.contains(&own),
    }
}

/// Of whom a figure is, `classes`, `pools` or nobody's alone, and its path there.
fn whose(metric: &str) -> (&str, &str) {
    let mut steps = metric.splitn(3, '.');
    match (steps.next(), steps.next(), steps.next()) {
        (Some(of @ ("classes" | "pools")), Some(_), Some(own)) => (of, own),
        _ => ("", metric),
    }
}

/// Ratios this close to 1 are no difference.
const SAME_RATIO: f64 = 0.02;

/// What a comparison comes to: whose text is smoother, as far as the two can be compared, and what else
/// differs most.
fn verdict((a, b): (&Side, &Side), doubts: &Doubts, metrics: &[Compared]) -> String {
    if let Some(what) = &doubts.contradictions {
        return format!("No verdict: {what}.");
    }
    let comparable = |metric: &str| {
        metrics
            .iter()
            .find(|row| row.metric == metric && row.comparable)
            .and_then(|row| Some((row.metric.clone(), row.a?, row.b?)))
    };
    let shares = comparable("fluidity.fluid_request_share");
    // The same requests answered in two ways differ for no other reason.
    let arrivals =
        |side: &Side| side.run.summary.arrival_rate_per_s.as_ref().and_then(|r| r.realised);
    let prompts = |side: &Side| side.run.summary.tokens.prompt;
    let same = match (arrivals(a), arrivals(b)) {
        // All came at once.
        (None, None) => prompts(a) == prompts(b),
        (one, other) => one == other,
    };
    let known = |side: &Side| if same { evidence(&side.run) } else { as_a_sample(&side.run) };
    let smooth = match (known(a), known(b), shares) {
        (Some((least_a, most_a)), Some((least_b, most_b)), Some((_, in_a, in_b))) => {
            let both = |one: f64, other: f64| {
                format!("{} of requests are fluid, against {}", percent(one), percent(other))
            };
            if least_a > most_b {
                format!("A gives smoother text: {}.", both(in_a, in_b))
            } else if least_b > most_a {
                format!("B gives smoother text: {}.", both(in_b, in_a))
            } else if in_a == in_b {
                format!("Text is as smooth in both: {} of requests are fluid.", percent(in_a))
            } else {
                format!(
                    "Which gives smoother text, so many requests cannot tell: {} are fluid in A, {} in B.",
                    percent(in_a),
                    percent(in_b)
                )
            }
        }
        _ => {
            let why = doubts.about("fluidity.fluid_request_share");
            let why = why
                .unwrap_or_else(|| "the share of fluid requests is not known in both".to_owned());
            format!("Smooth text cannot be compared: {why}.")
        }
    };
    let named = [
        ("ttft_s.p99", "P99 TTFT"),
        ("tbt_s.p99", "P99 TBT"),
        ("tpot_s.p50", "median TPOT"),
        ("throughput.output_tokens_per_s", "output tokens/s"),
    ];
    let differing: Vec<String> = named
        .iter()
        .filter_map(|(metric, name)| {
            let (metric, in_a, in_b) = comparable(metric)?;
            let apart = (in_b / in_a - 1.0).abs() > SAME_RATIO;
            apart.then(|| {
                format!("{name} {} in A, {} in B", shown(&metric, in_a), shown(&metric, in_b))
            })
        })
        .collect();
    match differing.is_empty() {
        true => smooth,
        false => format!("{smooth} {}.", differing.join("; ")),
    }
}

impl Pair {
    /// Compares two runs.
    pub fn new(a: &Side, b: &Side) -> Pair {
        let value = |side: &Side| serde_json::to_value(&side.run).expect("a run is plain data");
        let (of_a, of_b) = (figures(&value(a)), figures(&value(b)));
        let doubts = Doubts::of(a, b);
        let mut names: Vec<&String> = of_a.iter().map(|(name, _)| name).collect();
        for (name, _) in &of_b {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let find = |figures: &[(String, Option<f64>)], name: &String| {
            figures.iter().find(|(other, _)| other == name).and_then(|(_, value)| *value)
        };
        let metrics: Vec<Compared> = names
            .into_iter()
            .filter_map(|name| {
                let (in_a, in_b) = (find(&of_a, name), find(&of_b, name));
                if in_a.is_none() && in_b.is_none() {
                    return None;
                }
                let why = match (in_a, in_b) {
                    (None, _) => Some("not known in A".to_owned()),
                    (_, None) => Some("not known in B".to_owned()),
                    _ => doubts.about(name),
                };
                let ratio = match (in_a, in_b) {
                    (Some(a), Some(b)) if a != 0.0 => Some(b / a),
                    _ => None,
                };
                let comparable = why.is_none();
                Some(Compared { metric: name.clone(), a: in_a, b: in_b, ratio, comparable, why })
            })
            .collect();
        let flags = doubts.flags(&metrics);
        let verdict = verdict((a, b), &doubts, &metrics);
        Pair {
            schema_version: SCHEMA_VERSION,
            tool: Tool::this(),
            a: Named::of(a),
            b: Named::of(b),
            verdict,
            flags,
            metrics,
        }
    }

    /// As indented JSON with a line end.
    pub fn to_json(&self) -> String {
        crate::json::indented(self)
    }

    /// As CSV, a row a figure.
    pub fn to_csv(&self) -> String {
        let mut csv = CsvText::new(["metric", "a", "b", "ratio", "comparable", "why"]);
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:?}"));
        for row in &self.metrics {
            csv.row([
                row.metric.clone(),
                number(row.a),
                number(row.b),
                number(row.ratio),
                row.comparable.to_string(),
                row.why.clone().unwrap_or_default(),
            ]);
        }
        csv.into_string()
    }

    /// For people: what it comes to, then the figures that matter, or `all` of them.
    pub fn to_text(&self, color: bool, all: bool) -> String {
        let mut text = String::new();
        for (name, side) in [("A", &self.a), ("B", &self.b)] {
            let kind = if side.measured { "measured" } else { "simulated" };
            let line = format!("{name}: {} ({kind}, {})", side.label, side.file);
            text.push_str(&wrap(&line, width(), "  "));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&wrap(&self.verdict, width(), ""));
        text.push_str("\n\n");
        let shown_rows: Vec<&Compared> =
            self.metrics.iter().filter(|row| all || matters(&row.metric)).collect();
        let mut rows = vec![["metric", "A", "B", "B / A", ""].map(Cell::from).to_vec()];
        for row in &shown_rows {
            let show = |value: Option<f64>| {
                Cell::from(value.map_or("-".to_owned(), |value| shown(&row.metric, value)))
            };
            let mark = if row.comparable || row.a.is_none() || row.b.is_none() { "" } else { "!" };
            rows.push(vec![
                Cell::from(row.metric.as_str()),
                show(row.a),
                show(row.b),
                Cell::from(row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"))),
                Cell::from(mark),
            ]);
        }
        let align = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Left];
        text.push_str(&lay_out(&rows, &align));
        let more = self.metrics.len() - shown_rows.len();
        if more > 0 {
            text.push_str(&format!("\n{more} more figures: -v\n"));
        }
        if !self.flags.is_empty() {
            text.push_str("\n! not comparable as they stand:\n");
            for flag in &self.flags {
                text.push_str(&wrap(&format!("- {flag}"), width(), "  "));
                text.push('\n');
            }
        }
        if color { text } else { anstream::adapter::strip_str(&text).to_string() }
    }
}

impl Named {
    fn of(side: &Side) -> Named {
        Named {
            file: side.file.clone(),
            label: side.run.label.clone(),
            measured: side.run.measured.is_some(),
        }
    }
}

/// A figure of a run in words, by its path.
pub(crate) fn shown(metric: &str, value: f64) -> String {
    let (of, metric) = whose(metric);
    if of == "pools" {
        let share = metric.ends_with("utilization");
        return if share { percent(value) } else { crate::shown::grouped(value) };
    }
    let counted = metric.starts_with("requests.")
        || metric.starts_with("tokens.")
        || metric.ends_with(".count");
    if counted {
        crate::shown::grouped(value)
    } else if metric.ends_with("_share")
        || metric.ends_with("_rate")
        || metric.ends_with(".share")
        || (metric.starts_with("fluidity.bounds.")
            && !metric.contains("index")
            && !metric.contains("per_s"))
    {
        percent(value)
    } else if metric.split('.').any(|part| part.ends_with("_s") && !part.ends_with("per_s")) {
        duration(value)
    } else {
        three_digits(value)
    }
}

/// The figures of a run by path; `None` for one that is null.
fn figures(run: &Value) -> Vec<(String, Option<f64>)> {
    let mut all = Vec::new();
    for part in PARTS {
        if let Some(value) = run.get(part) {
            collect(part, value, &mut all);
        }
    }
    for (of, parts) in [("classes", CLASS_PARTS), ("pools", POOL_PARTS)] {
        for (name, one) in run.get(of).and_then(Value::as_object).into_iter().flatten() {
            for part in parts {
                if let Some(value) = one.get(part) {
                    collect(&format!("{of}.{name}.{part}"), value, &mut all);
                }
            }
        }
    }
    // Latencies of requests that observation saw the end of are not those of all.
    for (path, value) in &mut all {
        *value = value.and_then(|_| assertion::figure(run, path));
    }
    all
}

fn collect(path: &str, value: &Value, all: &mut Vec<(String, Option<f64>)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                collect(&format!("{path}.{name}"), member, all);
            }
        }
        Value::Number(number) => all.push((path.to_owned(), number.as_f64())),
        Value::Null => all.push((path.to_owned(), None)),
        _ => {}
    }
}

/// JSON Schema (2020-12) of [`Pair`].
pub fn json_schema() -> Schema {
    let mut schema = schema_for!(Pair);
    schema.insert("title".into(), "metron-sim comparison".into());
    schema
}

/// How the paths of bounds on shares begin.
const BOUNDS: &str = "fluidity.bounds.";

/// What stands against comparing.
#[derive(Default)]
struct Doubts {
    deadlines: Option<String>,
    granularity: Option<String>,
    bounds: bool,
    contradictions: Option<String>,
}

impl Doubts {
    fn of(a: &Side, b: &Side) -> Doubts {
        let granularity = |side: &Side| {
            side.run.measured.as_ref().map_or("token".to_owned(), |m| m.granularity.clone())
        };
        let (of_a, of_b) = (granularity(a), granularity(b));
        let chunks = of_a == "chunk" || of_b == "chunk";
        Doubts {
            deadlines: deadlines_differ(a, b),
            granularity: (of_a != of_b && chunks)
                .then(|| format!("A has a time for each {of_a}, B for each {of_b}")),
            bounds: of_a == "chunk" && of_b == "chunk",
            contradictions: contradicted(a, b),
        }
    }

    /// Why a figure cannot be compared.
    fn about(&self, metric: &str) -> Option<String> {
        let (_, metric) = whose(metric);
        let judged = metric.starts_with("goodput")
            || (metric.starts_with("fluidity") && !metric.contains("tokens_per_s"));
        let of_gaps = metric.starts_with("tbt_s") || metric.starts_with("fluidity");
        let granularity = self.granularity.as_ref().filter(|_| of_gaps || judged);
        let deadlines = self.deadlines.as_ref().filter(|_| judged);
        // Of chunks, how many and the longest gap are what they are.
        let exact = metric.ends_with(".max") || metric.ends_with(".count");
        let of_chunks = self.bounds && (of_gaps || judged) && !exact;
        let is_bound = metric.starts_with(BOUNDS);
        let bound = (of_chunks || is_bound).then(|| "a bound on either side".to_owned());
        self.contradictions.clone().or(deadlines.or(granularity).cloned()).or(bound)
    }

    fn flags(&self, metrics: &[Compared]) -> Vec<String> {
        let mut flags = Vec::new();
        flags.extend(self.contradictions.clone());
        if let Some(why) = &self.deadlines {
            flags.push(format!("fluidity and goodput: {why}"));
        }
        if let Some(why) = &self.granularity {
            flags.push(format!("TBT and fluidity: {why}"));
        }
        if self.bounds {
            flags.push("TBT and fluidity: both are of chunks, not of tokens".to_owned());
        }
        let both = |row: &&Compared| row.a.is_some() && row.b.is_some();
        if metrics.iter().filter(both).any(|row| row.metric.starts_with(BOUNDS)) {
            flags.push(format!("{BOUNDS}*: bounds on either side, not the figures themselves"));
        }
        flags
    }
}

/// Which of the two files says what cannot all be true.
fn contradicted(a: &Side, b: &Side) -> Option<String> {
    let told: Vec<String> = [("A", a), ("B", b)]
        .iter()
        .filter_map(|(name, side)| {
            let first = side.run.measured.as_ref()?.contradictions.first()?;
            Some(format!("{name} contradicts itself: {first}"))
        })
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Why the two were not judged by the same deadlines, as far as that is known.
fn deadlines_differ(a: &Side, b: &Side) -> Option<String> {
    match judged_by::compared(&a.run.judged_by, &b.run.judged_by) {
        Agreement::Same => None,
        Agreement::Open => stated_otherwise(a, b),
        Agreement::Differ(how) => Some(format!("deadlines differ: {how}")),
    }
}

/// Why their promises are not the same in words.
fn stated_otherwise(a: &Side, b: &Side) -> Option<String> {
    let terms = |side: &Side| -> [(String, Option<String>); 3] {
        let scenario =
            |path: &str| side.slo.pointer(path).filter(|value| !value.is_null()).map(plain);
        match &side.run.measured {
            Some(measured) => {
                let own = &measured.deadlines;
                let as_stated = own.ttft.as_deref() == Some(AS_STATED);
                let stated = own.stated_ttft.as_ref().filter(|v| as_stated && !v.is_null());
                let ttft = match own.ttft_s {
                    _ if stated.is_some() => stated.map(plain).map(|text| as_duration(&text)),
                    Some(seconds) => Some(duration(seconds)),
                    None => own.ttft.clone().or(Some("none".to_owned())),
                };
                [
                    ("TTFT deadline".to_owned(), ttft),
                    ("TBT deadline".to_owned(), Some(duration(own.tbt_s))),
                    (
                        "fluidity-index of a fluid request".to_owned(),
                        Some(own.fluid_index.to_string()),
                    ),
                ]
            }
            None => [
                ("TTFT deadline".to_owned(), scenario("/ttft").map(|text| as_duration(&text))),
                ("TBT deadline".to_owned(), scenario("/tbt").map(|text| as_duration(&text))),
                ("fluidity-index of a fluid request".to_owned(), scenario("/fluidity/index")),
            ],
        }
    };
    let differing: Vec<String> = terms(a)
        .into_iter()
        .zip(terms(b))
        .filter(|((_, in_a), (_, in_b))| in_a != in_b)
        .map(|((name, in_a), (_, in_b))| {
            let text = |value: Option<String>| value.unwrap_or_else(|| "not stated".to_owned());
            format!("{name} {} in A, {} in B", text(in_a), text(in_b))
        })
        .collect();
    (!differing.is_empty()).then(|| format!("deadlines differ: {}", differing.join("; ")))
}

/// `500ms` as results write durations, other text as it is.
fn as_duration(text: &str) -> String {
    let parsed: Result<crate::units::Duration, _> = text.parse();
    parsed.map_or_else(|_| text.to_owned(), |time| duration(time.0.as_secs_f64()))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
