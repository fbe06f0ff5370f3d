//! What a command says to a program that has asked for it, and how that program watches and ends it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::backend::Loaded;
use crate::cli::error::Error;
use crate::cli::library::Library;
use crate::cli::report_file::page_of_runs;
use crate::metrics::{Count, Options};
use crate::progress::Progress;
use crate::report::{columns, requests::RequestFile};
use crate::result::ResultFile;
use crate::runner::{RunInput, RunOptions, SchedulerOutput, indexed, run_experiment};
use crate::threads;
use crate::trace::columns::{self as of_traces, TabledRun};
use crate::trace::table::TableColumn;

/// How far a command has come, and how it is ended early. All of it may be used from any thread.
#[derive(Debug, Default)]
pub struct Steering {
    pub(super) stop: Arc<AtomicBool>,
    done: AtomicU64,
    total: AtomicU64,
    what: Mutex<&'static str>,
}

impl Steering {
    /// Ends the command soon: with an error, or with what a search has found by then.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it was ended.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What is counted, how many of it are done, and how many there will be by all that is known.
    pub fn totals(&self) -> (&'static str, u64, u64) {
        let what = *self.what.lock().unwrap_or_else(PoisonError::into_inner);
        (what, self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    pub(super) fn tell(&self, what: &'static str, (done, total): (u64, u64)) {
        *self.what.lock().unwrap_or_else(PoisonError::into_inner) = what;
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }
}

/// Collects what a command says.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) steering: Arc<Steering>,
    pub(super) keeps_runs: bool,
    pub(super) keeps_page: bool,
    pub(super) said: Mutex<Said>,
}

#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) result: Vec<u8>,
    pub(super) text: String,
    pub(super) page: Option<String>,
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) runs: Option<Runs>,
}

impl Told {
    pub(super) fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn result(&self, bytes: &[u8]) {
        self.said().result.extend_from_slice(bytes);
    }

    pub(super) fn warn(&self, message: &str) {
        self.said().warnings.push(message.to_owned());
    }

    pub(super) fn note(&self, message: &str) {
        self.said().notes.push(message.to_owned());
    }

    pub(super) fn text(&self, text: String) {
        self.said().text = text;
    }

    pub(super) fn page(&self, page: String) {
        self.said().page = Some(page);
    }

    pub(super) fn keep(&self, loaded: Loaded, outputs: Vec<SchedulerOutput>, result: ResultFile) {
        if self.keeps_runs {
            self.said().runs = Some(Runs { loaded, outputs, result });
        }
    }
}

/// What tables take of runs.
fn tabled(outputs: &[SchedulerOutput]) -> Vec<TabledRun<'_>> {
    outputs
        .iter()
        .map(|run| TabledRun {
            label: &run.result.label,
            trace: &run.outcome.trace,
            log: run.outcome.log.as_deref(),
        })
        .collect()
}

/// Runs of a scenario, kept for tables of them.
pub struct Runs {
    loaded: Loaded,
    outputs: Vec<SchedulerOutput>,
    result: ResultFile,
}

impl std::fmt::Debug for Runs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels: Vec<&str> = self.outputs.iter().map(|one| one.result.label.as_str()).collect();
        f.debug_tuple("Runs").field(&labels).finish()
    }
}

impl Runs {
    /// A row for each request of each scheduler: the columns of `--requests`.
    ///
    /// # Errors
    /// When there are more names of classes and reasons than a table can hold.
    pub fn requests(&self) -> std::io::Result<Vec<TableColumn>> {
        let classes = self.loaded.requests.classes();
        let several = self.loaded.experiment.replicas > 1;
        let mut rows = RequestFile::in_memory();
        for run in &self.outputs {
            let all = Options { count: Count::default(), ..run.judged_by.clone() };
            let routes = run.outcome.routed().filter(|_| several);
            rows.run(&run.result.label, &run.outcome.trace, &all, routes, classes, "")?;
        }
        let columns = rows.columns().into_iter();
        Ok(columns.filter(|column| column.name != "run").collect())
    }

    /// A row for each output token of each scheduler; see [`of_traces::tokens`].
    pub fn tokens(&self) -> Vec<TableColumn> {
        of_traces::tokens(&tabled(&self.outputs))
    }

    /// A row for each iteration of each scheduler; see [`of_traces::iterations`].
    ///
    /// # Errors
    /// When the runs kept no log and cannot be played again.
    pub fn iterations(&self, jobs: usize, steering: &Steering) -> Result<Vec<TableColumn>, Error> {
        let again = self.again(jobs, steering)?;
        let outputs = again.as_ref().unwrap_or(&self.outputs);
        Ok(of_traces::iterations(&tabled(outputs)))
    }

    /// The worst stalls of each scheduler, at most `top` of each, as `explain` tells them.
    ///
    /// # Errors
    /// When the runs kept no log and cannot be played again.
    pub fn stalls(
        &self,
        top: usize,
        jobs: usize,
        steering: &Steering,
    ) -> Result<Vec<TableColumn>, Error> {
        let again = self.again(jobs, steering)?;
        let outputs = again.as_ref().unwrap_or(&self.outputs);
        let runs = indexed(&self.loaded.experiment, outputs);
        let columns = threads::on(jobs, || columns::stalls(&runs, top));
        Ok(columns.map_err(crate::runner::RunError::Threads)?)
    }

    /// A page with the table and the plots of the runs (HTML).
    ///
    /// # Errors
    /// When the runs kept no log and cannot be played again.
    pub fn page(&self, jobs: usize, steering: &Steering) -> Result<String, Error> {
        let again = self.again(jobs, steering)?;
        let outputs = again.as_ref().unwrap_or(&self.outputs);
        let runs = indexed(&self.loaded.experiment, outputs);
        let page = threads::on(jobs, || page_of_runs(&runs, &self.result, None));
        Ok(page.map_err(crate::runner::RunError::Threads)?)
    }

    /// The same runs with a log of their iterations, where they have none: they were too long to keep
    /// one unasked.
    fn again(
        &self,
        jobs: usize,
        steering: &Steering,
    ) -> Result<Option<Vec<SchedulerOutput>>, Error> {
        if self.outputs.iter().all(|run| run.outcome.log.is_some()) {
            return Ok(None);
        }
        let Loaded { experiment, requests, .. } = &self.loaded;
        let options = RunOptions { jobs, keep_log: true, ..RunOptions::default() };
        let progress = Progress::stopped_by(experiment.schedulers.len(), &steering.stop);
        let input = RunInput { experiment, requests };
        Ok(Some(run_experiment(input, options, &Library, &progress)?))
    }
}
