//! From one scheduler of an experiment to the simulator.

use std::error::Error as StdError;

use crate::progress::RunProgress;
use crate::runner::Requests;
use crate::scenario::{Experiment, SchedulerRun};
use crate::sim::{self, Outcome, Routing, Setup};

/// How to simulate.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlayOptions<'a> {
    /// Take the slow, obvious path.
    pub reference: bool,
    /// Keep every iteration.
    pub keep_log: bool,
    /// Where to say how far it has come.
    pub progress: Option<&'a RunProgress>,
}

/// Why a simulation could not go on.
pub type PlayError = Box<dyn StdError + Send + Sync>;

/// Plays one scheduler of an experiment on its requests. A seam: [`Simulator`] is the real one,
/// tests bring others.
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
        options: PlayOptions<'_>,
    ) -> Result<Outcome, PlayError>;
}

/// The discrete-event simulator of [`crate::sim`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Simulator;

impl Simulate for Simulator {
    fn simulate(
        &self,
        experiment: &Experiment,
        scheduler: &SchedulerRun,
        requests: &Requests,
        options: PlayOptions<'_>,
    ) -> Result<Outcome, PlayError> {
        let info = experiment.engine_info();
        let setup = Setup {
            cost: experiment.cost.as_ref(),
            engine: info,
            replicas: experiment.replicas,
            routing: Routing { router: experiment.router.clone(), seed: experiment.seed },
            async_scheduling: experiment.engine.async_scheduling,
            horizon: experiment.horizon,
        };
        let total = requests.count(experiment);
        let report = |done: u64| {
            if let Some(progress) = options.progress {
                progress.set(done, total.unwrap_or(done));
            }
        };
        let sim_options = sim::SimOptions {
            reference: options.reference,
            keep_log: options.keep_log,
            progress: Some(&report),
        };
        let make = || scheduler.config.build(&info);
        Ok(sim::play(&setup, &make, requests.arriving().as_mut(), sim_options)?)
    }
}
