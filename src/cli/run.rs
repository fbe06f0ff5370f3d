//! `metron-sim run`: simulate a scenario, each scheduler on the same requests.

use std::time::Instant;

use rayon::prelude::*;

use crate::cli::args::{Format, GlobalFlags, Metrics, RunFlags};
use crate::cli::backend::{Backend, Loaded, ScenarioRequest};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::host_range::{self, Elsewhere};
use crate::cli::judging::assertions;
use crate::cli::progress;
use crate::cli::report_file::ReportFile;
use crate::cli::side_files::SideFiles;
use crate::inert::sentence;
use crate::report::{csv, text};
use crate::result::features::why_not_comparable;
use crate::result::{Assertion, ResultFile, RunResult, assertion};
use crate::runner::{
    Indexed, RunError, RunInput, RunOptions, STALLS_TOKENS_MAX, SchedulerOutput, indexed,
    on_threads, run_experiment, worth_threads,
};
use crate::shown;

/// Options of a run, checked.
struct Options {
    request: ScenarioRequest,
    run: RunOptions,
    format: Format,
    check: bool,
    check_determinism: bool,
    asserted: Vec<Assertion>,
    /// The most output tokens for which a run says where its time went.
    stalls_tokens_max: u64,
}

impl Options {
    fn new(scenario: String, flags: &RunFlags, global: &GlobalFlags) -> Result<Options, Error> {
        if global.format == Format::Quiet && global.output.is_some() {
            return Err(Error::Usage(
                "--format quiet has nothing to write: leave out -o".to_owned(),
            ));
        }
        let asserted = assertions(&flags.assert)?;
        Ok(Options {
            request: ScenarioRequest::new(scenario, global),
            run: RunOptions {
                jobs: global.threads(),
                alike: 1,
                reference: flags.reference,
                keep_log: false,
                full_metrics: flags.metrics == Metrics::Full
                    || asserted.iter().any(Assertion::needs_full_metrics),
            },
            stalls_tokens_max: if flags.stalls { u64::MAX } else { STALLS_TOKENS_MAX },
            format: global.format,
            check: flags.check,
            check_determinism: flags.check_determinism,
            asserted,
        })
    }

    /// Whether runs say where their time went. A closed loop's answers are known only when it has
    /// been played.
    fn explains(&self, loaded: &Loaded) -> bool {
        loaded.requests.output_tokens().unwrap_or(u64::MAX) <= self.stalls_tokens_max
    }
}

/// Runs the command.
///
/// # Errors
/// When the scenario cannot be run or a file cannot be read or written.
pub(super) fn run(
    scenario: String,
    flags: &RunFlags,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let mut options = Options::new(scenario, flags, global)?;
    let side_files = SideFiles::open(flags)?;
    let report = ReportFile::open(flags.report.as_ref())?;
    let sink = console.open_result(global.output.as_ref())?;

    let began = Instant::now();
    let loaded = console.load(backend, &options.request)?;
    if global.jobs.is_none() {
        options.run.jobs = worth_threads(&loaded.experiment, options.run.jobs);
    }
    for warning in &loaded.warnings {
        console.warn(warning);
    }
    let explained = options.explains(&loaded);
    options.run.keep_log = explained || side_files.need_iterations() || report.is_some();
    let outputs = simulate(&loaded, &options, console, backend)?;
    let runs = indexed(&loaded.experiment, &outputs);
    let mut result = published(&loaded, &runs, explained, options.run.jobs)?;
    let simulated = began.elapsed();
    let mut of_range = Vec::new();
    if flags.host_range || host_range::is_a_moment(&loaded, &result.runs) {
        let elsewhere = host_range::verdicts(&loaded, &result.runs, options.run, backend)?;
        for (run, elsewhere) in result.runs.iter_mut().zip(elsewhere) {
            match elsewhere {
                Elsewhere::Differs(words) => run.warnings.push(words),
                Elsewhere::Holds(words) if flags.host_range => of_range.push(words),
                Elsewhere::Holds(_) => {}
            }
        }
    }
    side_files.write(&runs, &loaded)?;
    if let Some(report) = report {
        report.runs(&runs, &result, None)?;
    }
    let broken = assertion::judge(&options.asserted, &result.runs);
    for inert in &result.inert {
        console.warn(&sentence(inert));
    }
    for uneven in why_not_comparable(&result.runs) {
        console.warn(&uneven);
    }
    for run in &result.runs {
        for warning in &run.warnings {
            console.warn(&format!("{}: {warning}", run.label));
        }
    }
    let bytes = match options.format {
        Format::Text => text::to_text(&result, console.colors_result(&sink)).into_bytes(),
        Format::Json => result.to_json().into_bytes(),
        Format::Csv => csv::to_csv(&result).into_bytes(),
        Format::Quiet => Vec::new(),
    };
    sink.finish(&bytes)?;
    told(&outputs, simulated, console);
    drop(runs);
    for line in &of_range {
        console.note(line);
    }
    for line in &broken {
        console.note(line);
    }
    console.for_people(|| text::to_text(&result, false));
    let missed = options.check && result.slo_met() != Some(true);
    if missed {
        tell_failing(&result, console);
    }
    console.keep(loaded, outputs, result);
    Ok(if broken.is_empty() && !missed { Exit::Fine } else { Exit::NotMet })
}

/// Says which runs do not keep the promise, and of which that is not known.
fn tell_failing(result: &ResultFile, console: &Console) {
    let failing = result.runs.iter().filter(|run| run.slo.met == Some(false));
    let labels: Vec<&str> = failing.map(|run| run.label.as_str()).collect();
    if !labels.is_empty() {
        console.note(&format!("SLO not met by {}", labels.join(", ")));
    }
    for run in result.runs.iter().filter(|run| run.slo.met.is_none()) {
        let why = run.slo.why.as_deref().unwrap_or("the figures do not decide it");
        console.note(&format!("no verdict on the SLO for {}: {why}", run.label));
    }
}

fn simulate(
    loaded: &Loaded,
    options: &Options,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Vec<SchedulerOutput>, Error> {
    let input = RunInput { experiment: &loaded.experiment, requests: &loaded.requests };
    let progress = console.progress(loaded.experiment.schedulers.len());
    let outputs = progress::shown(&progress, console.shows_run(), || {
        run_experiment(input, options.run, backend, &progress)
    })?;
    if options.check_determinism {
        // Everything again, the drawing of requests too, unless they came from stdin.
        let again =
            if options.request.path == "-" { None } else { Some(backend.load(&options.request)?) };
        let loaded_again = again.as_ref().unwrap_or(loaded);
        let input =
            RunInput { experiment: &loaded_again.experiment, requests: &loaded_again.requests };
        let jobs = if options.run.jobs == 1 { 2 } else { 1 };
        let second_options = RunOptions { jobs, ..options.run };
        let progress = console.progress(loaded.experiment.schedulers.len());
        let second = progress::shown(&progress, console.shows_run(), || {
            run_experiment(input, second_options, backend, &progress)
        })?;
        same(&outputs, &second)?;
        let json = |loaded: &Loaded, outputs: &[SchedulerOutput], jobs| -> Result<_, Error> {
            let runs = indexed(&loaded.experiment, outputs);
            Ok(published(loaded, &runs, options.explains(loaded), jobs)?.to_json())
        };
        if json(loaded, &outputs, options.run.jobs)? != json(loaded_again, &second, jobs)? {
            return Err(Error::NotDeterministic("the results differ".to_owned()));
        }
        console.note(&format!(
            "deterministic: the same bytes with {} and with {jobs} threads",
            options.run.jobs
        ));
    }
    Ok(outputs)
}

/// Compares everything that any output is made of.
fn same(first: &[SchedulerOutput], second: &[SchedulerOutput]) -> Result<(), Error> {
    for (a, b) in first.iter().zip(second) {
        if a.outcome != b.outcome || a.judged_by != b.judged_by {
            let label = &a.result.label;
            return Err(Error::NotDeterministic(format!("the traces of {label} differ")));
        }
    }
    Ok(())
}

/// The result of these runs; `explained` adds where the time of each went.
fn published(
    loaded: &Loaded,
    runs: &[Indexed<'_>],
    explained: bool,
    jobs: usize,
) -> Result<ResultFile, Error> {
    let stalls = |run: &Indexed<'_>| run.stalls().filter(|_| explained);
    let of = |run: &Indexed<'_>| RunResult { stalls: stalls(run), ..run.output.result.clone() };
    let results = on_threads(jobs, || runs.par_iter().map(of).collect()).map_err(RunError::from)?;
    let result = ResultFile::new(loaded.resolved.to_json(), results, loaded.warnings.clone());
    Ok(result.with_inert(loaded.inert_in(runs.iter().map(|run| run.output))))
}

/// Wall time, on stderr because it differs from run to run.
fn told(outputs: &[SchedulerOutput], took: std::time::Duration, console: &Console) {
    let seconds = took.as_secs_f64();
    let requests: u64 = outputs.iter().map(|o| o.outcome.trace.requests.len() as u64).sum();
    let tokens: u64 = outputs.iter().map(|o| o.result.summary.tokens.output).sum();
    console.note(&format!(
        "simulated {} requests and {} output tokens in {}",
        shown::count(requests),
        shown::count(tokens),
        shown::duration(seconds)
    ));
    for output in outputs {
        console.detail(&format!(
            "{}: {} iterations",
            output.result.label,
            shown::count(output.outcome.iterations.total())
        ));
    }
}
