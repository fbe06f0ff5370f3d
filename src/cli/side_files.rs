//! The files that `run` writes beside its result: requests, tokens, timeline.

use std::io;
use std::path::PathBuf;

use crate::cli::args::RunFlags;
use crate::cli::backend::Loaded;
use crate::cli::error::Error;
use crate::explain::worst;
use crate::metrics::{Count, Options};
use crate::report::requests::RequestFile;
use crate::report::timeline::{Timeline, Why};
use crate::report::{OutputError, OutputFile};
use crate::runner::{Indexed, SchedulerOutput, stated};
use crate::trace::RequestRow;
use crate::trace::row_file::RowFormat;
use crate::trace::token_file::TokenFile;

/// Stalls of a run that its timeline shows.
const STALLS_DRAWN: usize = 10;

/// Files that were asked for, open.
pub(super) struct SideFiles {
    requests: Option<(OutputFile, RowFormat)>,
    tokens: Option<(OutputFile, RowFormat)>,
    timeline: Option<OutputFile>,
}

impl SideFiles {
    /// Opens every file that `flags` ask for.
    ///
    /// # Errors
    /// When an extension names no format, or one cannot be opened.
    pub(super) fn open(flags: &RunFlags) -> Result<SideFiles, Error> {
        let rows = |flag: &str, path: &Option<PathBuf>| -> Result<_, Error> {
            let Some(path) = path else { return Ok(None) };
            let format = RowFormat::from_path(path).ok_or_else(|| {
                let path = path.display().to_string();
                // Other tools have a number behind it.
                let meant = match path.parse::<u32>() {
                    Ok(number) if flag == "--requests" => format!(
                        "; to simulate {number} requests write `--set workload.requests={number}`"
                    ),
                    _ => String::new(),
                };
                Error::Usage(format!(
                    "{flag}: {path} must end in .csv or .jsonl, which picks its format{meant}"
                ))
            })?;
            Ok(Some((OutputFile::create(path)?, format)))
        };
        Ok(SideFiles {
            requests: rows("--requests", &flags.requests)?,
            tokens: rows("--tokens", &flags.tokens)?,
            timeline: flags.timeline.as_deref().map(OutputFile::create).transpose()?,
        })
    }

    /// Whether the simulator must keep its iterations.
    pub(super) fn need_iterations(&self) -> bool {
        self.timeline.is_some()
    }

    /// Writes all of them, then puts all in place.
    ///
    /// # Errors
    /// When one cannot be written; none is put in place then.
    pub(super) fn write(self, runs: &[Indexed<'_>], loaded: &Loaded) -> Result<(), OutputError> {
        let classes = loaded.requests.classes();
        let several = loaded.experiment.replicas > 1;
        let facts = |run: &SchedulerOutput| {
            let trace = &run.outcome.trace;
            let (experiment, judged_by) = (&loaded.experiment, &run.judged_by);
            stated(experiment, &loaded.resolved, classes, judged_by, runs.len(), trace).to_json()
        };
        let outputs = || runs.iter().map(|run| run.output);
        let requests = self.requests.map(|(file, format)| {
            whole(file, |file| {
                let mut rows = RequestFile::new(file, format)?;
                for run in outputs() {
                    // Every request, also those that the summary leaves out.
                    let all = Options { count: Count::default(), ..run.judged_by.clone() };
                    let routes = run.outcome.routed().filter(|_| several);
                    rows.run(
                        &run.result.label,
                        &run.outcome.trace,
                        &all,
                        routes,
                        classes,
                        &facts(run),
                    )?;
                }
                rows.finish().map(drop)
            })
        });
        let requests = requests.transpose()?;
        let tokens = self.tokens.map(|(file, format)| {
            whole(file, |file| {
                let mut rows = TokenFile::new(file, format)?;
                for run in outputs() {
                    let deadline = |row: &RequestRow| {
                        run.judged_by.deadlines_of(row.class).ttft(row.prompt_tokens)
                    };
                    rows.run(
                        &run.result.label,
                        &run.outcome.trace,
                        classes,
                        deadline,
                        &facts(run),
                    )?;
                }
                rows.finish().map(drop)
            })
        });
        let tokens = tokens.transpose()?;
        let timeline = self.timeline.map(|file| {
            whole(file, |file| {
                let mut timeline = Timeline::new(file)?;
                for run in runs {
                    let (index, output) = (run.index(), run.output);
                    let stalls = worst(index, &output.judged_by, STALLS_DRAWN);
                    let why = Why { index, stalls: &stalls };
                    timeline.run(&output.result.label, &output.outcome, Some(&why))?;
                }
                timeline.finish().map(drop)
            })
        });
        let timeline = timeline.transpose()?;
        [requests, tokens, timeline].into_iter().flatten().try_for_each(OutputFile::commit)
    }
}

/// Fills a file; it is dropped, and with it what was written, when that fails.
fn whole(
    mut file: OutputFile,
    fill: impl FnOnce(&mut OutputFile) -> io::Result<()>,
) -> Result<OutputFile, OutputError> {
    match fill(&mut file) {
        Ok(()) => Ok(file),
        Err(source) => Err(file.error(source)),
    }
}
