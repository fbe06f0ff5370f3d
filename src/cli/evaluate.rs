//! `metron-sim evaluate`: the metrics of a simulation on measured files.

mod stalls;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::cli::args::{EvaluateArgs, Format, GlobalFlags};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::judging::{Judging, assertions};
use crate::cli::report_file::{ReportFile, page_of_measured};
use crate::interop::promise_json;
use crate::report::{csv, text};
use crate::result::{ResultFile, RunResult, assertion};

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or judged, or the result not be written.
pub(super) fn evaluate(
    args: &EvaluateArgs,
    global: &GlobalFlags,
    console: &Console,
) -> Result<Exit, Error> {
    evaluated(args, global, console).map(|(exit, _)| exit)
}

/// The same, with what it found.
///
/// # Errors
/// As for [`evaluate`].
pub(super) fn evaluated(
    args: &EvaluateArgs,
    global: &GlobalFlags,
    console: &Console,
) -> Result<(Exit, ResultFile), Error> {
    if global.format == Format::Quiet && global.output.is_some() {
        return Err(Error::Usage("--format quiet has nothing to write: leave out -o".to_owned()));
    }
    let asserted = assertions(&args.assert)?;
    let judging = Judging::new(&args.judge, &asserted)?;
    let report = ReportFile::open(args.report.as_ref())?;
    let sink = console.open_result(global.output.as_ref())?;
    let mut runs: Vec<RunResult> = Vec::new();
    let mut files = Vec::new();
    let (mut labels, mut numbers) = (BTreeSet::new(), BTreeMap::new());
    for path in &args.files {
        let (format, judged) = match judging.histograms(path)? {
            Some(runs) => ("prometheus", runs),
            None => {
                let (imported, mut judged) = judging.runs(path)?;
                if args.explain {
                    stalls::find(&imported, &mut judged);
                    let file = path.display().to_string();
                    imported.sound().map_err(|error| Error::Judge { file, error })?;
                }
                (imported.format.name(), judged)
            }
        };
        files.push(json!({
            "file": path.display().to_string(),
            "format": format,
            "runs": judged.len()
        }));
        for mut run in judged {
            // Two files may hold runs of one name.
            let label = run.label.clone();
            let number = numbers.entry(label.clone()).or_insert(1);
            while !labels.insert(run.label.clone()) {
                *number += 1;
                run.label = format!("{label} #{number}");
            }
            runs.push(run);
        }
    }
    let scenario = json!({"measured": files, "slo": promise_json(&judging.promise)});
    let result = ResultFile::new(scenario, runs, Vec::new());
    let broken = assertion::judge(&asserted, &result.runs);
    if let Some(report) = report {
        report.measured(&result)?;
    }
    let bytes = match global.format {
        Format::Text => {
            let mut text = text::to_text(&result, console.colors_result(&sink));
            text.push_str(&stalls::to_text(&result.runs));
            text.into_bytes()
        }
        Format::Json => result.to_json().into_bytes(),
        Format::Csv => csv::to_csv(&result).into_bytes(),
        Format::Quiet => Vec::new(),
    };
    console.for_people(|| text::to_text(&result, false) + &stalls::to_text(&result.runs));
    console.page(|| page_of_measured(&result));
    sink.finish(&bytes)?;
    for run in &result.runs {
        for warning in &run.warnings {
            console.warn(&format!("{}: {warning}", run.label));
        }
    }
    for line in &broken {
        console.note(line);
    }
    let exit = if broken.is_empty() { Exit::Fine } else { Exit::NotMet };
    Ok((exit, result))
}
