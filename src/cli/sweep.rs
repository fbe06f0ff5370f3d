//! `metron-sim sweep`: a grid of what-ifs, in parallel.

use crate::cli::args::{Format, GlobalFlags, SweepArgs};
use crate::cli::backend::Backend;
use crate::cli::console::{Console, ResultSink};
use crate::cli::error::{Error, Exit};
use crate::cli::report_file::ReportFile;
use crate::cli::{capacity, progress};
use crate::inert::sentence;
use crate::progress::Progress;
use crate::scenario::Document;
use crate::search::Cache;
use crate::search::sweep::{Objective, Shard, Sweep, SweepFile, Vary, sweep_to_csv, sweep_to_text};

/// Runs the command.
///
/// # Errors
/// When a combination is no scenario, or a point cannot be run.
pub fn run(
    args: &SweepArgs,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let vary = args.vary.iter().map(|text| Vary::parse(text)).collect::<Result<Vec<_>, _>>();
    let vary = vary.map_err(|problem| Error::Usage(format!("--vary: {problem}")))?;
    let objectives = front(args.pareto.as_deref())?;
    let shard = args.shard.as_deref().map(shard).transpose()?;
    let (options, goal) = capacity::search_options(&args.search, global)?;
    if !args.capacity && !goal.assertions.is_empty() {
        return Err(Error::Usage(
            "--assert is part of a capacity search: add --capacity".to_owned(),
        ));
    }
    let report = ReportFile::open(args.report.as_ref(), global.output.as_ref())?;
    let sink = console.open_result(global.output.as_ref())?;
    let cache = match (&args.search.cache, &sink, &global.output) {
        (Some(folder), ..) => Some(Cache::lasting(folder)?),
        (None, ResultSink::File(_), Some(path)) => Cache::beside(path)?,
        _ => None,
    };
    let document = Document::read(&args.scenario).and_then(|d| d.with(&global.set));
    let document = document.map_err(Box::new)?;
    let progress = Progress::new(1);
    let began = std::time::Instant::now();
    let sweep = Sweep {
        document: &document,
        seed: global.seed,
        vary,
        jobs: options.jobs,
        capacity: args.capacity.then_some((options, goal)),
        shard,
        cache: cache.as_ref(),
        simulate: backend,
        progress: progress.run(0),
    };
    let (mut file, reused) =
        progress::shown_counting("points", &progress, console.shows_progress(), || sweep.run())?;
    file.conclude(objectives);
    file.inert = sweep.inert()?;
    for inert in &file.inert {
        console.warn(&sentence(inert));
    }
    if let Some(report) = report {
        report.sweep(&file)?;
    }
    write(&file, global.format, sink)?;
    if let Some(cache) = cache {
        cache.remove();
    }
    console.note(&format!(
        "{} points ({reused} of them from before) in {}",
        file.points.len(),
        crate::report::units::duration(began.elapsed().as_secs_f64())
    ));
    Ok(Exit::Fine)
}

/// The two numbers of a front.
pub(super) fn front(text: Option<&str>) -> Result<Option<[Objective; 2]>, Error> {
    let two = text.map(Objective::parse_two).transpose();
    two.map_err(|problem| Error::Usage(format!("--pareto: {problem}")))
}

/// Writes a sweep in the form asked for.
pub(super) fn write(file: &SweepFile, format: Format, sink: ResultSink) -> Result<(), Error> {
    let bytes = match format {
        Format::Text => sweep_to_text(file).into_bytes(),
        Format::Json => {
            let mut text = serde_json::to_string_pretty(file).expect("a result is plain data");
            text.push('\n');
            text.into_bytes()
        }
        Format::Csv => sweep_to_csv(file).into_bytes(),
        Format::Quiet => Vec::new(),
    };
    sink.finish(&bytes)
}

fn shard(text: &str) -> Result<Shard, Error> {
    let parts = text.split_once('/').and_then(|(index, of)| {
        Some(Shard { index: index.trim().parse().ok()?, of: of.trim().parse().ok()? })
    });
    parts.filter(|shard| (1..=shard.of).contains(&shard.index)).ok_or_else(|| {
        Error::Usage(format!("--shard: expected I/N with I from 1 to N, found `{text}`"))
    })
}
