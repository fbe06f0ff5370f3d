//! What the runner asks of a simulator.

use crate::progress::RunProgress;
use crate::runner::Requests;
use crate::scenario::{Experiment, SchedulerRun};
use crate::sim::Outcome;

/// How to simulate.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimOptions<'a> {
    /// Take the slow, obvious path.
    pub reference: bool,
    /// Keep every iteration.
    pub keep_log: bool,
    /// Where to say how far it has come.
    pub progress: Option<&'a RunProgress>,
}

/// Why a simulation could not go on.
pub type SimError = Box<dyn std::error::Error + Send + Sync>;

/// Plays one scheduler of an experiment on its requests.
pub trait Simulate: Sync {
    /// Runs to the end, or to the experiment's horizon.
    ///
    /// # Errors
    /// When the run is stuck.
    fn simulate(
        &self,
        experiment: &Experiment,
        scheduler: &SchedulerRun,
        requests: &Requests,
        options: SimOptions<'_>,
    ) -> Result<Outcome, SimError>;
}

impl<F> Simulate for F
where
    F: Fn(&Experiment, &SchedulerRun, &Requests, SimOptions<'_>) -> Result<Outcome, SimError>
        + Sync,
{
    fn simulate(
        &self,
        experiment: &Experiment,
        scheduler: &SchedulerRun,
        requests: &Requests,
        options: SimOptions<'_>,
    ) -> Result<Outcome, SimError> {
        self(experiment, scheduler, requests, options)
    }
}
