//! `metron-sim sweep`: a grid of what-ifs, in parallel.

use crate::cli::args::{Format, GlobalFlags, Metrics, SweepArgs};
use crate::cli::backend::Backend;
use crate::cli::console::{Console, ResultSink};
use crate::cli::error::{Error, Exit};
use crate::cli::kept::{cache_of, put_away};
use crate::cli::report_file::{ReportFile, page_of_sweep};
use crate::cli::shard::shard;
use crate::cli::{capacity, progress};
use crate::inert::sentence;
use crate::result::Assertion;
use crate::search::sweep::{Objective, Sweep, SweepFile, Vary, sweep_to_csv, sweep_to_text};

/// Runs the command.
///
/// # Errors
/// When a combination is no scenario, or a point cannot be run.
pub(super) fn run(
    args: &SweepArgs,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let vary = args.vary.iter().map(|text| Vary::parse(text)).collect::<Result<Vec<_>, _>>();
    let vary = vary.map_err(|problem| Error::Usage(format!("--vary: {problem}")))?;
    let objectives = front(args.pareto.as_deref(), args.capacity)?;
    let shard = args.shard.as_deref().map(shard).transpose()?;
    let (options, goal) = capacity::search_options(&args.search, global)?;
    let watch = console.watch(capacity::max_time(&args.search)?);
    let asserted = if args.capacity { Vec::new() } else { goal.assertions.clone() };
    let full_metrics = args.metrics == Metrics::Full
        || asserted.iter().any(Assertion::needs_full_metrics)
        || objectives.iter().flatten().any(Objective::needs_full_metrics);
    let report = ReportFile::open(args.report.as_ref())?;
    let sink = console.open_result(global.output.as_ref())?;
    let cache = cache_of(args.search.cache.as_deref(), &sink, global)?;
    let document = backend
        .document(&args.scenario)
        .and_then(|document| document.with_from("--set", &global.set));
    let (document, set) = document.map_err(Box::new)?;
    let progress = console.progress(1);
    let began = std::time::Instant::now();
    let sweep = Sweep {
        document: &document,
        set: &set,
        seed: global.seed,
        vary,
        jobs: options.jobs,
        capacity: args.capacity.then_some((options, goal)),
        full_metrics,
        shard,
        cache: cache.as_ref(),
        simulate: backend,
        progress: progress.run(0),
        watch: &watch,
        spare: &|file| console.outputs().spare(file).map_err(|error| error.to_string()),
    };
    let shows = console.shows(args.search.progress);
    let (mut file, reused) =
        progress::shown_of("points", &|| progress.totals(), shows, || sweep.run())?;
    file.conclude(objectives);
    file.inert = sweep.inert()?;
    for inert in &file.inert {
        console.warn(&sentence(inert));
    }
    if let Some(report) = report {
        report.sweep(&file)?;
    }
    for warning in file.warned() {
        console.warn(&warning);
    }
    console.for_people(|| sweep_to_text(&file));
    console.page(|| page_of_sweep(&file));
    write(&mut file, global.format, sink)?;
    if file.complete {
        put_away(cache, console);
    }
    console.note(&format!(
        "{} points ({reused} of them from before) in {}",
        file.points.len(),
        crate::shown::duration(began.elapsed().as_secs_f64())
    ));
    let broken = file.judge(&asserted);
    for line in &broken {
        console.note(line);
    }
    if !file.complete {
        console.note("time ran out (--max-time): the result has the points finished by then");
    }
    Ok(if broken.is_empty() && file.complete { Exit::Fine } else { Exit::NotMet })
}

/// The two numbers of a front, of runs or of capacities.
pub(super) fn front(
    text: Option<&str>,
    of_capacities: bool,
) -> Result<Option<[Objective; 2]>, Error> {
    let two = text.map(|text| Objective::parse_two(text, of_capacities)).transpose();
    two.map_err(|problem| Error::Usage(format!("--pareto: {problem}")))
}

/// Writes a sweep in the form asked for.
pub(super) fn write(file: &mut SweepFile, format: Format, sink: ResultSink) -> Result<(), Error> {
    let bytes = match format {
        Format::Text => sweep_to_text(file).into_bytes(),
        Format::Json => {
            file.seal();
            crate::json::indented(file).into_bytes()
        }
        Format::Csv => sweep_to_csv(file).into_bytes(),
        Format::Quiet => Vec::new(),
    };
    sink.finish(&bytes)
}
