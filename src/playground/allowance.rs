//! How far the work on a question may go. Whoever asks decides: a server lets heavy questions wait
//! for each other, and stops those whose page has moved on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ITERATIONS_MAX, Problems, limits};
use crate::progress::RunProgress;
use crate::runner::{PlayError, PlayOptions, Requests, RunError, Simulate, Simulator};
use crate::scenario::{Experiment, SchedulerRun};
use crate::sim::{Outcome, SimError};

/// What the work on a question will take, estimated before it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Memory, bytes.
    pub bytes: u64,
    /// Requests, iterations and prompt tokens of all runs together, as far as they are known: what
    /// the time grows with.
    pub work: u64,
    /// Whether it may take minutes, as a search does.
    pub long: bool,
}

/// What the work on one question is allowed.
pub struct Allowance<'a> {
    /// Ends the work soon after it is set; the answer says so.
    pub stop: Arc<AtomicBool>,
    /// Asked once, when it is known what the work will take; it may wait. Where it says no, the
    /// answer is that there is no room.
    pub admit: &'a dyn Fn(Weight) -> bool,
    /// Told how far long work has come, a line of JSON at a time, from whichever thread.
    pub tell: &'a (dyn Fn(String) + Sync),
}

impl Allowance<'static> {
    /// Whatever stays within the page's limits.
    pub fn all() -> Allowance<'static> {
        Allowance { stop: Arc::default(), admit: &|_| true, tell: &|_| {} }
    }
}

impl Allowance<'_> {
    /// The simulator, as far as is allowed.
    pub(super) fn simulator(&self) -> Bounded {
        Bounded { stop: Arc::clone(&self.stop) }
    }

    /// Whether the work may go on.
    pub(super) fn go_on(&self) -> Result<(), Problems> {
        if self.is_stopped() { Err(stopped()) } else { Ok(()) }
    }

    /// Waits for its turn.
    pub(super) fn enter(&self, weight: Weight) -> Result<(), Problems> {
        if (self.admit)(weight) {
            return self.go_on();
        }
        let help = "try again in a moment, or ask for less";
        Err(Problems::one("", "other questions take all of the room", Some(help)))
    }

    /// Why an experiment has no result.
    pub(super) fn problem(&self, error: &RunError) -> Problems {
        let RunError::Simulation { label, source } = error else {
            return Problems::one("", error.to_string(), None);
        };
        match source.downcast_ref::<SimError>() {
            Some(SimError::Stopped) if self.is_stopped() => stopped(),
            Some(SimError::Stopped) => limits::too_many_iterations(label),
            _ => Problems::one("", error.to_string(), None),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The problem that stands for an answer where the work was stopped.
fn stopped() -> Problems {
    let message = "this takes too long for the page, and was stopped";
    Problems::one("", message, Some(limits::ELSEWHERE))
}

/// The simulator, for at most [`ITERATIONS_MAX`] iterations and until it is stopped.
pub(super) struct Bounded {
    stop: Arc<AtomicBool>,
}

impl Simulate for Bounded {
    fn simulate(
        &self,
        experiment: &Experiment,
        scheduler: &SchedulerRun,
        requests: &Requests,
        options: PlayOptions<'_>,
    ) -> Result<Outcome, PlayError> {
        let progress = RunProgress::bounded(ITERATIONS_MAX, Arc::clone(&self.stop));
        let options = PlayOptions { progress: Some(&progress), ..options };
        Simulator.simulate(experiment, scheduler, requests, options)
    }
}
