//! `metron-sim explain`: why tokens were late, who caused it, and what would have helped.

mod cured;
mod observed;
mod paragraph;
mod text;

use crate::cli::args::{ExplainFlags, Format, GlobalFlags};
use crate::cli::backend::{Backend, Loaded, ScenarioRequest};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::explanation::{Cures, ExplanationFile};
use crate::cli::progress;
use crate::cli::report_file::{ReportFile, page_of_runs};
use crate::explain::{Question, Routed, RunExplanation, StallReport, explain};
use crate::inert::sentence;
use crate::request::RequestId;
use crate::result::features::why_not_comparable;
use crate::result::{ResultFile, RunResult, SCHEMA_VERSION, Tool};
use crate::runner::{
    Advice, Indexed, Patient, RunInput, RunOptions, SchedulerOutput, Simulate, SlowPath, indexed,
    run_experiment, what_if, worth_a_cure,
};
use crate::threads;

/// Runs the command.
///
/// # Errors
/// When the scenario cannot be run, the request or token is not there, or a file cannot be written.
pub(super) fn run(
    scenario: String,
    flags: &ExplainFlags,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    if !matches!(global.format, Format::Text | Format::Json) {
        return Err(Error::Usage("explain writes --format text or json".to_owned()));
    }
    if let Some(file) = &flags.observed {
        return observed::run(&scenario, file, flags, global, console, backend);
    }
    let report = ReportFile::open(flags.report.as_ref())?;
    let sink = console.open_result(global.output.as_ref())?;
    let request = ScenarioRequest::new(scenario, global);
    let loaded = console.load(backend, &request)?;
    for warning in &loaded.warnings {
        console.warn(warning);
    }
    let jobs = global.threads();
    let options =
        RunOptions { jobs, keep_log: true, reference: flags.reference, ..RunOptions::default() };
    let input = RunInput { experiment: &loaded.experiment, requests: &loaded.requests };
    let progress = console.progress(loaded.experiment.schedulers.len());
    let outputs = progress::shown(&progress, console.shows_run(), || {
        run_experiment(input, options, backend, &progress)
    })?;
    let question = Question {
        top: usize::from(flags.top),
        request: flags.request.map(RequestId),
        token: flags.token,
    };
    check(question, &outputs)?;
    let inert = loaded.inert_in(&outputs);
    for one in &inert.everywhere {
        console.warn(&sentence(one));
    }
    let results: Vec<RunResult> = outputs.iter().map(|output| output.result.clone()).collect();
    let of_runs = warnings(&results);
    for warning in &of_runs {
        console.warn(warning);
    }
    let indexed = indexed(&loaded.experiment, &outputs);
    let file = threads::on(jobs, || {
        let told = explanations(&indexed, question);
        let (runs, stalls): (Vec<_>, Vec<_>) = told.into_iter().unzip();
        let slow = SlowPath(backend);
        let trials: &dyn Simulate = if flags.reference { &slow } else { backend };
        let cures = cures(&loaded, global, &outputs, (&runs, &stalls), trials);
        ExplanationFile {
            schema_version: SCHEMA_VERSION,
            tool: Tool::this(),
            scenario: loaded.resolved.to_json(),
            runs,
            cures,
            warnings: [&loaded.warnings[..], &of_runs].concat(),
            inert: inert.everywhere.clone(),
            observed: None,
        }
    });
    let file = file.map_err(crate::runner::RunError::Threads)?;
    let result = ResultFile::new(loaded.resolved.to_json(), results, loaded.warnings.clone());
    let result = result.with_inert(inert);
    if let Some(report) = report {
        report.runs(&indexed, &result, Some(&file))?;
    }
    console.for_people(|| text::to_text(&file));
    console.page(|| page_of_runs(&indexed, &result, Some(&file)));
    let bytes = match global.format {
        Format::Json => file.to_json().into_bytes(),
        _ => text::to_text(&file).into_bytes(),
    };
    sink.finish(&bytes)?;
    Ok(Exit::Fine)
}

/// What the runs warn of, by their labels where there are several, and why they are not compared.
fn warnings(runs: &[RunResult]) -> Vec<String> {
    let of = |run: &RunResult, text: &String| match runs {
        [_] => text.clone(),
        _ => format!("{}: {text}", run.label),
    };
    let each = runs.iter().flat_map(|run| run.warnings.iter().map(move |text| of(run, text)));
    each.chain(why_not_comparable(runs)).collect()
}

/// Whether what is asked for is there.
fn check(question: Question, outputs: &[SchedulerOutput]) -> Result<(), Error> {
    let Some(request) = question.request else { return Ok(()) };
    let rows = outputs.iter().filter_map(|o| o.outcome.trace.requests.get(request.index()));
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
    runs: &[Indexed<'_>],
    question: Question,
) -> Vec<(RunExplanation, Option<StallReport>)> {
    threads::spread_map(runs.iter().collect(), |one: &Indexed<'_>| {
        let (index, output) = (one.index(), one.output);
        let result = &output.result;
        let told = |question| {
            let judged_by = &output.judged_by;
            explain(&result.scheduler, &result.label, index, judged_by, question)
        };
        let mut run = told(question);
        let gaps = run.request.iter_mut().flat_map(|request| &mut request.gaps);
        run.stalls.iter_mut().chain(gaps).for_each(|stall| note_route(stall, output));
        let stall = to_cure(&run).cloned().or_else(|| {
            // No token came late, and yet a bound is broken: the longest of that kind is looked at.
            let asked = question.top > 0 && question.request.is_none();
            let (request, token) = longest(output).filter(|_| asked)?;
            let one = Question { top: 1, request: Some(request), token: Some(token) };
            told(one).request?.gaps.into_iter().next()
        });
        (run, stall)
    })
}

/// Notes where a request was sent that waited for its first token, where there are several replicas.
fn note_route(stall: &mut StallReport, output: &SchedulerOutput) {
    let outcome = &output.outcome;
    let several = outcome.pools.iter().map(|pool| pool.replicas).sum::<u32>() > 1;
    if let Some(routes) = outcome.routes.as_deref().filter(|_| several && stall.token == 0) {
        let place = stall.request.index();
        let held = outcome.held.get(place).copied();
        stall.routed = routes.get(place).map(|decision| Routed::by(decision, held));
    }
}

/// The stall that is to be cured.
fn to_cure(run: &RunExplanation) -> Option<&StallReport> {
    match &run.request {
        Some(request) => request.gaps.first(),
        None => run.stalls.first(),
    }
}

/// The longest gap of the kind that a broken promise bounds, as request and token.
fn longest(output: &SchedulerOutput) -> Option<(RequestId, u32)> {
    let slo = &output.result.slo;
    let broken = slo.broken().next()?;
    let between = matches!(broken.metric.as_str(), "tbt_s" | "tpot_s");
    let trace = &output.outcome.trace;
    let gaps = trace.requests.iter().zip((0..).map(RequestId)).flat_map(|(row, request)| {
        let mut before = row.arrival;
        trace.token_times(row).zip(0_u32..).map(move |(at, token)| {
            let gap = at.since(before);
            before = at;
            (gap, request, token)
        })
    });
    let of_kind = gaps.filter(|&(.., token)| (token > 0) == between);
    of_kind.max_by_key(|&(gap, ..)| gap).map(|(_, request, token)| (request, token))
}

/// What would have helped each run against its worst stall.
fn cures(
    loaded: &Loaded,
    global: &GlobalFlags,
    outputs: &[SchedulerOutput],
    (runs, stalls): (&[RunExplanation], &[Option<StallReport>]),
    simulate: &dyn Simulate,
) -> Vec<Cures> {
    let Some(document) = loaded.document.as_ref() else { return Vec::new() };
    let one = |place: usize| {
        let run = &runs[place];
        let output = &outputs[place];
        let stall = stalls[place].as_ref();
        // Without a stall, what is to be cured are requests that were turned away.
        let turned_away = || output.outcome.rejections.first().map(|&(request, _)| (request, 0));
        let broken = output.result.slo.met == Some(false);
        let late = stall.map(|stall| (stall.request, stall.token));
        let (request, token) = late.or_else(|| turned_away().filter(|_| broken))?;
        let patient = Patient {
            document,
            seed: global.seed,
            resolved: &loaded.resolved,
            experiment: &loaded.experiment,
            requests: &loaded.requests,
            scheduler: place,
            config: &loaded.experiment.schedulers[place].config,
            output,
            stall: (request, token),
        };
        let causes = stall.map_or(Vec::new(), |stall| worth_a_cure(stall, &run.misses.by_cause));
        let Advice { keeps_promise, tried, best, notes, stall_counts } =
            what_if(&patient, &causes, simulate);
        Some(Cures {
            label: run.label.clone(),
            request,
            token,
            main_cause: stall.map(|stall| stall.main_cause),
            causes: if stall_counts { causes } else { Vec::new() },
            keeps_promise,
            tried,
            best,
            notes,
        })
    };
    threads::spread_up_to(runs.len(), one).into_iter().flatten().collect()
}
