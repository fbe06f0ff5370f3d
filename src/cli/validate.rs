//! `metron-sim validate`: a scenario against a real run of the same requests.

use std::path::Path;

use crate::cli::args::{Format, GlobalFlags, ValidateArgs};
use crate::cli::backend::{Backend, Loaded, ScenarioRequest};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::progress;
use crate::inert::sentence;
use crate::metrics::Measure;
use crate::report::validation as report;
use crate::report::validation::{Labelled, ValidatedRun, ValidationFile};
use crate::result::{Found, ResultFile, RunResult};
use crate::runner::{RunInput, RunOptions, run_experiment};
use crate::scenario::Experiment;
use crate::validation::{ObservedRun, Replay, Validation, compare};
use crate::workload::{Limits, Source};

/// Runs the command.
///
/// # Errors
/// When the scenario or the observed run cannot be read, or do not go together.
pub(super) fn run(
    args: &ValidateArgs,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let sink = console.open_result(global.output.as_ref())?;
    let observed = (args.observed.as_path(), args.run.as_deref());
    let (loaded, replay) = load(&args.scenario, observed, global, console, backend)?;
    let input = RunInput { experiment: &loaded.experiment, requests: &replay.requests };
    let options = RunOptions { jobs: global.threads(), keep_log: true, ..RunOptions::default() };
    let progress = console.progress(loaded.experiment.schedulers.len());
    let outputs = progress::shown(&progress, console.shows_run(), || {
        run_experiment(input, options, backend, &progress)
    })?;
    let validations: Vec<Validation> =
        outputs.iter().map(|output| compare(&replay, &output.outcome)).collect();
    let inert = loaded.inert(None);
    for one in &inert.everywhere {
        console.warn(&sentence(one));
    }
    let mut warnings = loaded.warnings.clone();
    warnings.extend(replay.warnings.iter().cloned());
    warnings.extend(not_alike(&loaded.experiment));
    let runs: Vec<RunResult> = outputs.into_iter().map(|output| output.result).collect();
    for run in &runs {
        for warning in &run.warnings {
            console.warn(&format!("{}: {warning}", run.label));
        }
    }
    let to_text = || {
        let labels = runs.iter().map(|run| run.label.as_str());
        let observed = args.observed.display().to_string();
        report::to_text(&observed, replay.observed.len(), labels.zip(&validations))
    };
    console.for_people(to_text);
    let bytes = match global.format {
        Format::Text => to_text(),
        Format::Csv => report::to_csv(runs.iter().map(|run| run.label.as_str()).zip(&validations)),
        Format::Json => to_json(loaded.resolved.to_json(), runs, validations, warnings, inert),
        Format::Quiet => String::new(),
    };
    sink.finish(bytes.as_bytes())?;
    Ok(Exit::Fine)
}

/// What of a scenario holds for the simulation alone.
fn not_alike(experiment: &Experiment) -> Vec<String> {
    let mut found = Vec::new();
    if experiment.horizon.is_some() {
        found.push(
            "`horizon` cuts the simulation off, not the observed run: leave it out, or cut both"
                .to_owned(),
        );
    }
    if experiment.measure != Measure::default() {
        found.push(
            "`measure` leaves requests out of the run's own figures, not out of the comparison"
                .to_owned(),
        );
    }
    found
}

/// Reads a scenario and a real run, puts the run's arrivals into the scenario, and tells what is
/// noteworthy.
pub(super) fn load(
    scenario: &str,
    (observed, label): (&Path, Option<&str>),
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<(Loaded, Replay), Error> {
    let run = ObservedRun::read(observed, label)?;
    let loaded = console.load(backend, &ScenarioRequest::new(scenario.to_owned(), global))?;
    let experiment = &loaded.experiment;
    let traced = matches!(experiment.workload.source, Source::Trace(_));
    let limits = Limits {
        max_model_len: experiment.engine.max_model_len,
        kv_block_tokens: experiment.engine.kv_block_tokens,
    };
    let mut replay = Replay::new(&loaded.requests, traced, limits, &run)?;
    if !experiment.front_ends().0.is_none() {
        replay = replay.at_the_client();
    }
    let unlike = not_alike(&loaded.experiment);
    for warning in loaded.warnings.iter().chain(&replay.warnings).chain(&unlike) {
        console.warn(warning);
    }
    Ok((loaded, replay))
}

fn to_json(
    scenario: serde_json::Value,
    runs: Vec<RunResult>,
    validations: Vec<Validation>,
    warnings: Vec<String>,
    found: Found,
) -> String {
    let rows = |(run, validation): (&RunResult, &Validation)| {
        let label = run.label.clone();
        let rows = validation.validation.clone().into_iter();
        rows.map(move |row| Labelled { label: label.clone(), row })
    };
    let validation = runs.iter().zip(&validations).flat_map(rows).collect();
    let per_request_e2e_mape = match &validations[..] {
        [one] => one.per_request_e2e_mape,
        _ => None,
    };
    let ResultFile { schema_version, tool, scenario, runs, warnings, inert } =
        ResultFile::new(scenario, runs, warnings).with_inert(found);
    let runs = runs.into_iter().zip(validations);
    let runs = runs.map(|(run, validation)| ValidatedRun { run, validation }).collect();
    let file = ValidationFile {
        schema_version,
        tool,
        scenario,
        runs,
        validation,
        per_request_e2e_mape,
        warnings,
        inert,
    };
    crate::json::indented(&file)
}
