//! One point of a search: a scheduler, a load, a seed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cache::Cache;
use super::goal::Goal;
use super::steady::{Steadiness, steadiness};
use crate::report::{Assertion, OutputError, RunResult, Tool};
use crate::runner::{Requests, RunError, RunInput, RunOptions, Simulate, run_scheduler};
use crate::scenario::{Experiment, SchedulerRun};
use crate::sim::Router;
use crate::workload::WorkloadError;

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The requests cannot be drawn.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// A simulation could not go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A finished simulation could not be kept.
    #[error(transparent)]
    Keep(#[from] OutputError),
    /// What was asked makes no sense for this scenario.
    #[error("{0}")]
    NoSense(String),
}

/// What to simulate, and what counts as holding.
#[derive(Clone, Copy)]
pub struct Study<'a> {
    /// The scenario.
    pub experiment: &'a Experiment,
    /// The simulator.
    pub simulate: &'a dyn Simulate,
    /// What a run must achieve.
    pub goal: &'a Goal,
    /// Simulations finished before, and where to keep new ones.
    pub kept: Option<Kept<'a>>,
}

/// Simulations finished before, found by what they depend on.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// Where they are.
    pub cache: &'a Cache,
    /// The resolved scenario and the contents of the files that it reads.
    pub scenario: &'a Value,
}

/// A load to try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Of the scenario's rate.
    pub factor: f64,
    /// Replicas to spread it over.
    pub replicas: u32,
    /// Of every random stream.
    pub seed: u64,
}

/// What came of a load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// What of the goal was not kept.
    pub broken: Vec<String>,
    /// Whether the queue grew to the end.
    pub steadiness: Steadiness,
    /// The run's figures.
    pub result: RunResult,
}

impl Probe {
    /// Whether the load is held: the goal is kept, by a system that keeps up.
    pub fn held(&self) -> bool {
        self.broken.is_empty() && !self.steadiness.growing
    }
}

impl Study<'_> {
    /// Plays one scheduler on one load. The requests of a replica stay as many as in the scenario:
    /// with more replicas the run has more requests, and lasts as long.
    ///
    /// # Errors
    /// When the requests cannot be drawn or the run is stuck.
    pub fn probe(&self, scheduler: &SchedulerRun, load: Load) -> Result<Probe, SearchError> {
        let Some(kept) = self.kept else { return self.play(scheduler, load) };
        let key = json!({
            "tool": Tool::this(), "scenario": kept.scenario, "scheduler": scheduler.label,
            "goal": format!("{:?}", self.goal), "factor": load.factor.to_bits(),
            "replicas": load.replicas, "seed": load.seed,
        });
        let found = kept.cache.find(&key).and_then(|mut found| found.pop());
        if let Some(probe) = found.and_then(|value| serde_json::from_value(value).ok()) {
            return Ok(probe);
        }
        let probe = self.play(scheduler, load)?;
        kept.cache.keep(&key, &[serde_json::to_value(&probe).expect("a result is plain data")])?;
        Ok(probe)
    }

    fn play(&self, scheduler: &SchedulerRun, load: Load) -> Result<Probe, SearchError> {
        let experiment = self.at(load)?;
        let (requests, _) = Requests::of(&experiment)?;
        let input = RunInput { experiment: &experiment, requests: &requests };
        let full_metrics = self.goal.assertions.iter().any(Assertion::needs_full_metrics);
        let options = RunOptions { full_metrics, ..RunOptions::default() };
        let output = run_scheduler(input, scheduler, options, self.simulate)?;
        Ok(Probe {
            broken: self.goal.broken(&output.result),
            steadiness: steadiness(&output.outcome, experiment.workload.is_stationary()),
            result: output.result,
        })
    }

    /// The scenario under a load.
    fn at(&self, load: Load) -> Result<Experiment, SearchError> {
        let mut experiment = self.experiment.clone();
        if load.replicas != experiment.replicas
            && matches!(experiment.router, Router::ClassToPool(_))
        {
            return Err(SearchError::NoSense(
                "the router names replicas for each class, so their number cannot be searched for: \
                 leave out --for-rate, or vary `replicas` and `router` in a sweep"
                    .to_owned(),
            ));
        }
        let scaled = experiment.workload.scaled(load.factor).ok_or_else(no_rate)?;
        let more = f64::from(load.replicas) / f64::from(experiment.replicas);
        experiment.workload = if more > 1.0 { scaled.lengthened(more) } else { scaled };
        experiment.replicas = load.replicas;
        experiment.seed = load.seed;
        Ok(experiment)
    }

    /// The scenario's own arrivals a second: as stated, or as a trace has them.
    ///
    /// # Errors
    /// When the requests cannot be drawn or have no rate.
    pub fn base_rate_per_s(&self) -> Result<f64, SearchError> {
        let (requests, _) = Requests::of(&self.experiment_with_rate()?)?;
        let Requests::Open(workload) = &requests else { return Err(no_rate()) };
        let realised = || {
            let (first, last) = (workload.requests.first()?, workload.requests.last()?);
            let span = last.arrival.since(first.arrival).as_secs_f64();
            (span > 0.0).then(|| (workload.requests.len() - 1) as f64 / span)
        };
        let rate = workload.nominal_rate_per_s.or_else(realised);
        rate.filter(|rate| *rate > 0.0).ok_or_else(no_rate)
    }

    fn experiment_with_rate(&self) -> Result<Experiment, SearchError> {
        let load =
            Load { factor: 1.0, replicas: self.experiment.replicas, seed: self.experiment.seed };
        self.at(load)
    }

    /// Whether another seed gives other requests: those of a trace are the same.
    ///
    /// # Errors
    /// When the requests cannot be drawn.
    pub fn seed_matters(&self) -> Result<bool, SearchError> {
        let one = self.experiment_with_rate()?;
        let other = Experiment { seed: one.seed.wrapping_add(1), ..one.clone() };
        let drawn = |experiment| -> Result<_, SearchError> { Ok(Requests::of(experiment)?.0) };
        match (drawn(&one)?, drawn(&other)?) {
            (Requests::Open(a), Requests::Open(b)) => {
                Ok(a.requests != b.requests || a.blocks != b.blocks || a.block_ids != b.block_ids)
            }
            _ => Ok(true),
        }
    }
}

fn no_rate() -> SearchError {
    SearchError::NoSense(
        "the workload has no arrival rate to scale: a capacity search needs poisson, gamma, \
         weibull, constant or piecewise arrivals, or a trace; for closed-loop users, `sweep --vary \
         workload.arrivals.closed_loop.users=...`"
            .to_owned(),
    )
}
