//! A simulation against a real run, as text and as CSV.

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde_json::Value;

use crate::report::csv_text::CsvText;
use crate::report::table::{Align, Cell, lay_out};
use crate::result::{Inert, ResultFile, RunResult, Tool};
use crate::shown::{TimeUnit, duration};
use crate::validation::{Compared, Validation};

/// The result of `run`, and beside it the comparison with a real run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ValidationFile {
    /// Version of this layout.
    pub schema_version: u32,
    /// What made the result.
    pub tool: Tool,
    /// The scenario as resolved: defaults filled in, with the seed.
    pub scenario: serde_json::Value,
    /// One for each scheduler, in the scenario's order; all faced the same requests.
    pub runs: Vec<ValidatedRun>,
    /// Of `validate`: the comparisons of all runs, each row with its run's label.
    pub validation: Vec<Labelled>,
    /// Of `validate`, for a scenario with one scheduler: see the run's member of that name.
    pub per_request_e2e_mape: Option<f64>,
    /// What a reader should know of the scenario and its workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Settings of the scenario that change nothing in any of its runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inert: Vec<Inert>,
}

/// A run, and beside it the comparison.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ValidatedRun {
    /// What the scheduler did with the requests.
    #[serde(flatten)]
    pub run: RunResult,
    /// Of `validate`: against the real run.
    #[serde(flatten)]
    pub validation: Validation,
}

/// A row of a comparison.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Labelled {
    /// The run's label.
    pub label: String,
    /// The figure.
    #[serde(flatten)]
    pub row: Compared,
}

/// JSON Schema (2020-12) of [`ResultFile`], with the members that `validate` adds, which a plain
/// result has not.
pub fn json_schema() -> Schema {
    let mut schema = schema_for!(ValidationFile);
    let plain = schema_for!(ResultFile);
    let copied = |key: &str| plain.get(key).cloned().unwrap_or_default();
    schema.insert("description".into(), copied("description"));
    schema.insert("required".into(), copied("required"));
    let required = plain.pointer("/$defs/RunResult/required").cloned().unwrap_or_default();
    if let Some(run) = schema.pointer_mut("/$defs/ValidatedRun").and_then(Value::as_object_mut) {
        run.insert("required".into(), required);
    }
    schema.insert("title".into(), "metron-sim result".into());
    schema
}

/// The comparisons of a scenario's schedulers, for people.
pub fn to_text<'a>(
    observed: &str,
    requests: usize,
    runs: impl Iterator<Item = (&'a str, &'a Validation)>,
) -> String {
    let mut text = String::new();
    for (label, validation) in runs {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{label} against {observed}: {requests} requests\n\n"));
        text.push_str(&table(&validation.validation));
        if let Some(mape) = validation.per_request_e2e_mape {
            let percent = mape * 100.0;
            text.push_str(&format!(
                "\nEnd-to-end time of single requests: off by {percent:.2} % on average\n"
            ));
        }
        if let Some(front_end_s) = validation.front_end_s {
            let shown = duration(front_end_s);
            text.push_str(&format!(
                "\nThe engine gets each request {shown} after its arrival, and at `queued_s` at the latest\n"
            ));
        }
        if let Some(unqueued) = validation.unqueued.as_ref().filter(|u| u.requests > 0) {
            text.push_str(&format!(
                "\nRequests that did not queue (scheduled within 100 ms): {}\n\n",
                unqueued.requests
            ));
            text.push_str(&table(&unqueued.validation));
        }
    }
    text
}

/// A row a figure: `label,requests,metric,stat,observed,simulated,error`.
pub fn to_csv<'a>(runs: impl Iterator<Item = (&'a str, &'a Validation)>) -> String {
    let head = ["label", "requests", "metric", "stat", "observed", "simulated", "error"];
    let mut csv = CsvText::new(head);
    for (label, validation) in runs {
        let unqueued = validation.unqueued.iter().flat_map(|u| &u.validation);
        let all = validation.validation.iter().map(|row| ("all", row));
        for (requests, row) in all.chain(unqueued.map(|row| ("unqueued", row))) {
            let [observed, simulated, error] = [row.observed, row.simulated, row.error]
                .map(|figure| figure.map(|f| f.to_string()).unwrap_or_default());
            csv.row([label, requests, &row.metric, &row.stat, &observed, &simulated, &error]);
        }
        if let Some(mape) = validation.per_request_e2e_mape {
            csv.row([label, "all", "per_request_e2e_mape", "mean", "", "", &mape.to_string()]);
        }
    }
    csv.into_string()
}

fn table(rows: &[Compared]) -> String {
    let heads = ["", "", "real", "simulated", "error"].map(Cell::from).to_vec();
    let mut cells = vec![heads];
    let mut above = "";
    for row in rows {
        let name = if row.metric == above { "" } else { words(&row.metric) };
        above = &row.metric;
        let stat = if is_one_figure(&row.metric) { "" } else { &row.stat };
        cells.push(vec![
            Cell::from(name),
            Cell::from(stat),
            Cell::from(figure(row, row.observed)),
            Cell::from(figure(row, row.simulated)),
            Cell::from(row.error.map_or("-".to_owned(), |e| format!("{:+.2} %", e * 100.0))),
        ]);
    }
    use Align::{Left, Right};
    lay_out(&cells, &[Left, Left, Right, Right, Right])
}

fn words(metric: &str) -> &str {
    match metric {
        "ttft_s" => "TTFT",
        "ttft_from_queued_s" => "TTFT from queueing",
        "tpot_s" => "TPOT",
        "e2e_s" => "End to end",
        "e2e_from_queued_s" => "End to end from queueing",
        "output_tokens_per_s" => "Output tokens/s",
        "makespan_s" => "Makespan",
        other => other,
    }
}

fn is_one_figure(metric: &str) -> bool {
    matches!(metric, "output_tokens_per_s" | "makespan_s")
}

/// Both sides in the unit that suits the real one, with enough digits to see an error of 0.1 %.
fn figure(row: &Compared, value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    if row.metric == "output_tokens_per_s" {
        return format!("{value:.1}");
    }
    match TimeUnit::for_value(row.observed.unwrap_or(value)) {
        TimeUnit::Seconds => format!("{value:.3} s"),
        TimeUnit::Millis => format!("{:.2} ms", value * 1e3),
        TimeUnit::Micros => format!("{:.1} µs", value * 1e6),
    }
}
