//! A result file of a benchmark client, dropped on the page: the same figures as a simulation's.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Problems;
use super::figures::{KeyFigure, key_figures};
use crate::interop::{Format, GivenPromise, GivenTtft, import_bytes, judge, promise_json};
use crate::report::remarks::remarks;
use crate::report::verdict::verdict;
use crate::result::{MeasuredResult, ResultFile, RunResult};
use crate::time::Span;
use crate::units::Duration;
use crate::view::{Room, RunView, measured_run};

/// Most runs of a file that are drawn.
const RUNS_MAX: usize = 8;

/// What a dropped file is judged by; what is left out is the file's own, or the default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Promised {
    /// The first token's deadline, such as `500ms`.
    ttft: Option<String>,
    /// Each further token's.
    tbt: Option<String>,
}

/// The answer to `evaluate`.
#[derive(Serialize)]
pub(super) struct Evaluated {
    /// The file's name.
    title: String,
    /// What it was read as.
    format: &'static str,
    verdict: Vec<String>,
    figures: Vec<KeyFigure>,
    runs: Vec<RunView>,
    warnings: Vec<String>,
    /// Runs of the file that are not drawn.
    left_out: usize,
}

/// Reads and judges a file. Its own text is never part of the answer.
pub(super) fn evaluate(
    name: &str,
    text: String,
    promised: &Promised,
) -> Result<Evaluated, Problems> {
    let span = |key: &str, text: &Option<String>| {
        let read = |text: &String| {
            let parsed: Result<Duration, _> = text.parse();
            parsed
                .map(|duration| duration.0)
                .map_err(|error| Problems::one(key, error.message, error.help.as_deref()))
        };
        text.as_ref().map(read).transpose()
    };
    let (ttft, tbt) = (span("ttft", &promised.ttft)?, span("tbt", &promised.tbt)?);
    if tbt == Some(Span::ZERO) {
        return Err(Problems::one("tbt", "must be at least 1ns", None));
    }
    let given =
        GivenPromise { ttft: ttft.map_or(GivenTtft::Own, GivenTtft::Fixed), tbt, fluidity: None };
    let imported = import_bytes(Path::new(name), text.into_bytes())
        .map_err(|error| Problems::one("", error.to_string(), error.help.as_deref()))?;
    let stem = Path::new(name).file_stem().map_or(name.into(), |stem| stem.to_string_lossy());
    let mut runs: Vec<RunResult> = Vec::new();
    for measured in imported.runs.iter().take(RUNS_MAX) {
        let mut label = match (imported.runs.len(), imported.format) {
            (_, Format::Tokens | Format::Requests) if !measured.name.is_empty() => {
                measured.name.clone()
            }
            (1, _) => stem.to_string(),
            _ => format!("{stem}: {}", measured.name),
        };
        if runs.iter().any(|run| run.label == label) {
            label = format!("{label} #{}", runs.len() + 1);
        }
        let of = MeasuredResult {
            file: name.to_owned(),
            format: imported.format.name().to_owned(),
            ..MeasuredResult::default()
        };
        let judged = judge(measured, of, label, &given, false)
            .map_err(|error| Problems::one("", error.to_string(), None))?;
        runs.push(judged);
    }
    let scenario = json!({"measured": [{"file": name}], "slo": promise_json(&given)});
    let file = ResultFile::new(scenario, runs, Vec::new());
    let values: Vec<Value> = file
        .runs
        .iter()
        .map(|run| serde_json::to_value(run).expect("a result is plain data"))
        .collect();
    let room = Room::for_runs(file.runs.len(), 0);
    Ok(Evaluated {
        title: name.to_owned(),
        format: imported.format.name(),
        verdict: verdict(&file.runs),
        figures: key_figures(&values),
        runs: file.runs.iter().map(|run| measured_run(run, room)).collect(),
        warnings: remarks(&file),
        left_out: imported.runs.len().saturating_sub(RUNS_MAX),
    })
}

#[cfg(test)]
mod tests {
    use crate::playground::answer;
    use crate::scenario::Files;
    use serde_json::{Value, json};

    fn ask(name: &str, text: &str, promised: Value) -> Value {
        let question = json!({"op": "evaluate", "name": name, "text": text, "promise": promised});
        serde_json::from_str(&answer(&question.to_string(), &Files::none())).expect("JSON")
    }

    /// The promise that is given counts, whatever the file states.
    #[test]
    fn a_file_is_judged_by_the_promise_given() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/formats/vllm/detailed.json");
        let text = std::fs::read_to_string(file).expect("a file of the repository");
        let told = ask("detailed.json", &text, json!({"tbt": "50ms"}));
        assert_eq!(told["format"], "vllm");
        assert_eq!(told["ok"], true, "{told}");
        assert_eq!(told["runs"].as_array().map(Vec::len), Some(1));
        let line = told["runs"][0]["lines"].as_array().expect("lines").iter();
        assert!(line.clone().any(|line| line["of"] == "tbt" && line["value"] == 0.05), "{told}");
        assert!(!told["figures"].as_array().expect("figures").is_empty());
    }

    #[test]
    fn what_is_no_result_says_so_and_quotes_nothing() {
        for (name, text) in
            [("a.json", "{\"secret words\": 1}"), ("b.txt", "secret words"), ("c", "")]
        {
            let told = ask(name, text, json!({}));
            assert_eq!(told["ok"], false, "{name}");
            let message = told["problems"][0]["message"].as_str().expect("words");
            assert!(message.contains(name) && !message.contains("secret"), "{message}");
        }
        let told = ask("a.csv", "{}", json!({"tbt": "fast"}));
        assert_eq!(told["problems"][0]["path"], "tbt");
    }
}
