//! From an [`Experiment`] to a result for each of its schedulers.
//!
//! Schedulers run in parallel; their results come in the scenario's order and do not depend on the
//! number of threads.

mod asked;
mod colocated;
mod deadlines;
mod drawn;
mod features;
mod handed;
mod hopeless;
mod indexed;
mod limits;
mod memory;
mod outlook;
pub mod prepare;
mod recording;
mod requests;
mod simulate;
mod stated;
mod summarise;
mod tiers;
mod what_if;

pub use features::{comparable_schedulers, features, uneven};
pub use hopeless::{EndingTerms, Hopeless};
pub use indexed::{Indexed, indexed};
pub use limits::{
    AtOnce, CACHED_BLOCKS_MAX, OUTPUT_TOKENS_MAX, cached_blocks, check as check_limits,
};
pub use prepare::{PrepareError, Prepared, prepare};
pub use recording::recording;
#[cfg(any(test, feature = "internals"))]
pub use recording::recording_of_alike;
pub use requests::Requests;
pub use simulate::{PlayError, PlayOptions, Simulate, Simulator, SlowPath, with_fleet};
pub use stated::stated;
pub use summarise::kv_facts;
pub use what_if::{Advice, Effect, Figures, Patient, WhatIf, WorstStall, what_if, worth_a_cure};

use crate::metrics::{self, FULL_METRICS_TOKENS_MAX, Options};
use crate::progress::{Progress, RunProgress};
use crate::result::RunResult;
use crate::scenario::{Experiment, SchedulerRun};
use crate::sim::{Outcome, SimError};
use crate::threads;

/// Up to this many output tokens in a workload, a run says where the time went without being asked.
pub const STALLS_TOKENS_MAX: u64 = 1_000_000;

/// What to run.
#[derive(Clone, Copy)]
pub struct RunInput<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// Its requests.
    pub requests: &'a Requests,
}

/// How to run it.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Threads; at least 1.
    pub jobs: usize,
    /// Runs like this that may go on at once where threads allow, each with memory of its own, this
    /// one included.
    pub alike: usize,
    /// Take the slow, obvious path of the simulator and of the metric engine.
    pub reference: bool,
    /// Keep every iteration, for a timeline or an explanation.
    pub keep_log: bool,
    /// Work out the full figures however many tokens there are.
    pub full_metrics: bool,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions { jobs: 1, alike: 1, reference: false, keep_log: false, full_metrics: false }
    }
}

/// What one scheduler did: figures for the result, and the trace behind them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SchedulerOutput {
    /// Its part of the published result.
    pub result: RunResult,
    /// Every token's time, and the iterations where they were kept.
    pub outcome: Outcome,
    /// What it was judged by.
    pub judged_by: Options,
}

/// Why an experiment has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A simulation could not go on.
    #[error("{label}: {source}")]
    Simulation {
        /// The scheduler's label.
        label: String,
        /// What happened.
        source: PlayError,
    },
    /// The promise makes no sense.
    #[error("slo: {0}")]
    Deadlines(String),
    /// It would leave its number types, or take more memory than is spent on it.
    #[error("{0}")]
    TooLarge(String),
    /// The system gave no threads.
    #[error("cannot start threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl RunError {
    /// Whether a simulation was stopped before its end, by whoever watched its progress.
    pub fn is_stopped(&self) -> bool {
        let RunError::Simulation { source, .. } = self else { return false };
        matches!(source.downcast_ref(), Some(SimError::Stopped))
    }

    /// Whether a simulation could not go on: its scheduler runs nothing, or preempts without end.
    pub fn is_stuck(&self) -> bool {
        let RunError::Simulation { source, .. } = self else { return false };
        source.downcast_ref().is_some_and(|error| !matches!(error, SimError::Stopped))
    }
}

/// Plays every scheduler of an experiment on the same requests and measures what came of it.
///
/// # Errors
/// When a simulation is stuck or the scenario's promise makes no sense; of several errors the one
/// of the first scheduler.
pub fn run_experiment(
    input: RunInput<'_>,
    options: RunOptions,
    simulate: &dyn Simulate,
    progress: &Progress,
) -> Result<Vec<SchedulerOutput>, RunError> {
    check_limits(input, AtOnce::Schedulers(options.jobs))?;
    on_threads(options.jobs, || {
        let experiment = input.experiment;
        let played: Vec<Result<Outcome, PlayError>> =
            threads::spread_up_to(experiment.schedulers.len(), |index| {
                let options = PlayOptions {
                    reference: options.reference,
                    keep_log: options.keep_log,
                    progress: progress.run(index),
                    hopeless: None,
                };
                let scheduler = &experiment.schedulers[index];
                simulate.simulate(experiment, scheduler, input.requests, options)
            });
        let mut outcomes = Vec::with_capacity(played.len());
        for (result, scheduler) in played.into_iter().zip(&experiment.schedulers) {
            outcomes.push(result.map_err(|source| {
                let label = scheduler.label.clone();
                RunError::Simulation { label, source }
            })?);
        }
        let judged_by = deadlines::judged_by(input, &outcomes, simulate)?;
        let labels = unique_labels(experiment);
        let played = outcomes.into_iter().zip(&experiment.schedulers).zip(labels).collect();
        let outputs = threads::spread_map(played, |((outcome, scheduler), label)| {
            let full_metrics = options.full_metrics
                || summarise::output_tokens(&outcome) <= FULL_METRICS_TOKENS_MAX;
            let options = RunOptions { full_metrics, ..options };
            let output = measured(input, scheduler, label, outcome, &judged_by, options);
            colocated::beside(input, scheduler, output, options, simulate)
        });
        outputs.into_iter().collect()
    })?
}

/// Below so many requests, what threads do beside playing replicas takes a tenth less time and a
/// twentieth more work.
const SHARED_REQUESTS_MIN: u32 = 1_000_000;

/// How many of these threads are worth taking for a run: as many as there are replicas to play, all
/// of them where there are many requests to measure.
pub fn worth_threads(experiment: &Experiment, threads: usize) -> usize {
    if measures_many(experiment) {
        return threads;
    }
    let replicas: u32 = experiment.fleet().iter().map(|pool| pool.replicas).sum();
    threads.min(experiment.schedulers.len() * replicas as usize).max(1)
}

/// Whether there are so many requests that they are drawn and measured by all threads.
pub fn measures_many(experiment: &Experiment) -> bool {
    experiment.workload.amount.requests.is_none_or(|requests| requests >= SHARED_REQUESTS_MIN)
}

/// How many of so many runs go on at once, on the threads of whoever asks.
fn threads_for(runs: usize) -> usize {
    let threads = rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads());
    threads.min(runs).max(1)
}

/// Runs `work` with that many threads for what it does in parallel; where there are no threads, on
/// the one there is.
///
/// # Errors
/// When the system gives no threads.
pub fn on_threads<T: Send>(
    jobs: usize,
    work: impl FnOnce() -> T + Send,
) -> Result<T, rayon::ThreadPoolBuildError> {
    threads::on(jobs, work)
}

/// What the requests of an outcome are judged by, however it came to be: the deadlines of a scenario's
/// promises, for prompts as long as theirs.
///
/// # Errors
/// When the scenario's figures make no deadlines, or a scheduler's own curve cannot be played.
pub fn judged_by(
    experiment: &Experiment,
    requests: &Requests,
    outcome: &Outcome,
) -> Result<Options, RunError> {
    let input = RunInput { experiment, requests };
    deadlines::judged_by(input, std::slice::from_ref(outcome), &Simulator)
}

/// Plays one scheduler of an experiment on the calling thread, for searches that run many
/// experiments in parallel. The full figures come only when asked for.
///
/// # Errors
/// As for [`run_experiment`].
pub fn run_scheduler(
    input: RunInput<'_>,
    scheduler: &SchedulerRun,
    options: RunOptions,
    simulate: &dyn Simulate,
) -> Result<SchedulerOutput, RunError> {
    run_scheduler_watched(input, scheduler, options, simulate, Watched::default())
}

/// Who watches a run.
#[derive(Clone, Copy, Default)]
pub struct Watched<'a> {
    /// Is told how far it has come.
    pub progress: Option<&'a RunProgress>,
    /// Ends it as stopped when its promise is broken for certain.
    pub hopeless: Option<&'a Hopeless>,
}

/// The same, watched.
///
/// # Errors
/// As for [`run_experiment`].
pub fn run_scheduler_watched(
    input: RunInput<'_>,
    scheduler: &SchedulerRun,
    options: RunOptions,
    simulate: &dyn Simulate,
    watched: Watched<'_>,
) -> Result<SchedulerOutput, RunError> {
    let RunOptions { reference, keep_log, .. } = options;
    let Watched { progress, hopeless } = watched;
    let play = PlayOptions { reference, keep_log, progress, hopeless };
    check_limits(input, AtOnce::Alike(threads_for(options.alike)))?;
    let label = scheduler.label.clone();
    let outcome = match simulate.simulate(input.experiment, scheduler, input.requests, play) {
        Ok(outcome) => [outcome],
        Err(source) => return Err(RunError::Simulation { label, source }),
    };
    let judged_by = match hopeless {
        Some(hopeless) => hopeless.judged_by().clone(),
        None => deadlines::judged_by(input, &outcome, simulate)?,
    };
    let [outcome] = outcome;
    Ok(measured(input, scheduler, label, outcome, &judged_by, options))
}

fn measured(
    input: RunInput<'_>,
    scheduler: &SchedulerRun,
    label: String,
    outcome: Outcome,
    judged_by: &Options,
    options: RunOptions,
) -> SchedulerOutput {
    let judged_by = Options { full: options.full_metrics, ..judged_by.clone() };
    let evaluate: summarise::Evaluate = match options.reference {
        true => metrics::reference::evaluate,
        false => summarise::FAST,
    };
    let name = &scheduler.name;
    let mut result = summarise::summarise(input, name, label, &outcome, &judged_by, evaluate);
    result.features = features(input.experiment, input.requests, scheduler);
    SchedulerOutput { result, outcome, judged_by }
}

/// Labels of the schedulers; equal ones are numbered, so that files can tell them apart.
fn unique_labels(experiment: &Experiment) -> Vec<String> {
    let labels: Vec<&str> = experiment.schedulers.iter().map(|run| run.label.as_str()).collect();
    let number = |index: usize| {
        let label = labels[index];
        match labels[..index].iter().filter(|&&other| other == label).count() {
            0 => label.to_owned(),
            before => format!("{label} #{}", before + 1),
        }
    };
    (0..labels.len()).map(number).collect()
}
