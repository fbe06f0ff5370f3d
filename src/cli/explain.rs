//! `metron-sim explain`: why tokens were late, who caused it, and what would have helped.

mod file;
mod text;

use rayon::prelude::*;

use crate::cli::args::{ExplainFlags, Format, GlobalFlags};
use crate::cli::backend::{Backend, Loaded, ScenarioRequest};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::progress;
use crate::cli::report_file::ReportFile;
use crate::explain::{Attribution, Question, RunExplanation, explain};
use crate::inert::sentence;
use crate::progress::Progress;
use crate::report::{ResultFile, SCHEMA_VERSION, Tool};
use crate::runner::{
    Patient, RunInput, RunOptions, SchedulerOutput, recording, run_experiment, what_if,
    worth_a_cure,
};

pub use file::{Cures, ExplanationFile, json_schema};

/// Runs the command.
///
/// # Errors
/// When the scenario cannot be run, the request or token is not there, or a file cannot be written.
pub fn run(
    scenario: String,
    flags: &ExplainFlags,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    if !matches!(global.format, Format::Text | Format::Json) {
        return Err(Error::Usage("explain writes --format text or json".to_owned()));
    }
    let report = ReportFile::open(flags.report.as_ref(), global.output.as_ref())?;
    let sink = console.open_result(global.output.as_ref())?;
    let request = ScenarioRequest::new(scenario, global);
    let loaded = backend.load(&request)?;
    for warning in &loaded.warnings {
        console.warn(warning);
    }
    let jobs = global.threads();
    let options = RunOptions { jobs, keep_log: true, ..RunOptions::default() };
    let input = RunInput { experiment: &loaded.experiment, requests: &loaded.requests };
    let progress = Progress::new(loaded.experiment.schedulers.len());
    let outputs = progress::shown(&progress, console.shows_progress(), || {
        run_experiment(input, options, backend, &progress)
    })?;
    let question =
        Question { top: usize::from(flags.top), request: flags.request, token: flags.token };
    check(question, &outputs)?;
    let inert = loaded.inert_in(&outputs);
    for one in &inert.everywhere {
        console.warn(&sentence(one));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build();
    let pool = pool.map_err(crate::runner::RunError::Threads)?;
    let file = pool.install(|| {
        let runs = explanations(&loaded, &outputs, question);
        let cures = cures(&loaded, global, &outputs, &runs, backend);
        ExplanationFile {
            schema_version: SCHEMA_VERSION,
            tool: Tool::this(),
            scenario: loaded.resolved.clone(),
            runs,
            cures,
            warnings: loaded.warnings.clone(),
            inert: inert.everywhere.clone(),
        }
    });
    if let Some(report) = report {
        let runs = outputs.iter().map(|output| output.result.clone()).collect();
        let result = ResultFile::new(loaded.resolved.clone(), runs, loaded.warnings.clone());
        let result = result.with_inert(inert);
        report.runs(&loaded, &outputs, &result, Some(&file))?;
    }
    let bytes = match global.format {
        Format::Json => file.to_json().into_bytes(),
        _ => text::to_text(&file).into_bytes(),
    };
    sink.finish(&bytes)?;
    Ok(Exit::Fine)
}

/// Whether what is asked for is there.
fn check(question: Question, outputs: &[SchedulerOutput]) -> Result<(), Error> {
    let Some(request) = question.request else { return Ok(()) };
    let rows = outputs.iter().filter_map(|o| o.outcome.trace.requests.get(request as usize));
    let Some(most) = rows.map(|row| row.tokens).max() else {
        let count = outputs.first().map_or(0, |o| o.outcome.trace.requests.len());
        return Err(Error::Usage(format!(
            "--request {request}: there are {count} requests, numbered from 0"
        )));
    };
    match question.token {
        Some(token) if token >= most => Err(Error::Usage(format!(
            "--token {token}: request {request} has {most} tokens, numbered from 0"
        ))),
        _ => Ok(()),
    }
}

fn explanations(
    loaded: &Loaded,
    outputs: &[SchedulerOutput],
    question: Question,
) -> Vec<RunExplanation> {
    let experiment = &loaded.experiment;
    let pairs: Vec<_> = outputs.iter().zip(&experiment.schedulers).collect();
    pairs
        .into_par_iter()
        .map(|(output, scheduler)| {
            let attribution = Attribution::new(recording(experiment, scheduler, &output.outcome));
            let result = &output.result;
            explain(&result.scheduler, &result.label, &attribution, &output.judged_by, question)
        })
        .collect()
}

/// What would have helped each run against its worst stall.
fn cures(
    loaded: &Loaded,
    global: &GlobalFlags,
    outputs: &[SchedulerOutput],
    runs: &[RunExplanation],
    backend: &dyn Backend,
) -> Vec<Cures> {
    let Some(document) = loaded.document.as_ref() else { return Vec::new() };
    let one = |(place, run): (usize, &RunExplanation)| {
        let stall = match &run.request {
            Some(request) => request.gaps.first(),
            None => run.stalls.first(),
        }?;
        let row = |request: u32| &outputs[place].outcome.trace.requests[request as usize];
        let patient = Patient {
            document,
            seed: global.seed,
            resolved: &loaded.resolved,
            requests: &loaded.requests,
            scheduler: place,
            judged_by: &outputs[place].judged_by,
            stall: (stall.request, stall.token),
            pool: loaded.experiment.pool_of(row(stall.request).replica),
        };
        let causes = worth_a_cure(stall);
        Some(Cures {
            label: run.label.clone(),
            request: stall.request,
            token: stall.token,
            main_cause: stall.main_cause,
            tried: what_if(&patient, &causes, backend),
            causes,
        })
    };
    runs.par_iter().enumerate().filter_map(one).collect()
}
