//! Runs with the index of what they wrote down, which is built once, when it is first asked for.

use std::sync::OnceLock;

use super::SchedulerOutput;
use super::recording::recording;
use crate::explain::{Index, Misses, listed};
use crate::result::StallsResult;
use crate::scenario::{Experiment, SchedulerRun};

/// A run, and the index that its stalls, timeline, page and explanation ask.
pub struct Indexed<'a> {
    /// The run.
    pub output: &'a SchedulerOutput,
    experiment: &'a Experiment,
    scheduler: &'a SchedulerRun,
    index: OnceLock<Index<'a>>,
}

/// Runs of all schedulers of an experiment, in its order.
pub fn indexed<'a>(experiment: &'a Experiment, outputs: &'a [SchedulerOutput]) -> Vec<Indexed<'a>> {
    let of =
        |(output, scheduler)| Indexed { output, experiment, scheduler, index: OnceLock::new() };
    outputs.iter().zip(&experiment.schedulers).map(of).collect()
}

impl<'a> Indexed<'a> {
    /// The index. Without a log nothing can be explained.
    pub fn index(&self) -> &Index<'a> {
        let recorded = || recording(self.experiment, self.scheduler, &self.output.outcome);
        self.index.get_or_init(|| Index::new(recorded()))
    }

    /// Where the time of all requests went, and what their missed deadlines are charged to. `None`
    /// for a run that kept no log.
    pub fn stalls(&self) -> Option<StallsResult> {
        self.output.outcome.log.as_ref()?;
        let index = self.index();
        let totals = index.totals();
        let misses = Misses::new(index, &self.output.judged_by);
        let (missed, by_cause) = misses.counted();
        Some(StallsResult {
            first_token_ns: listed(&totals.first_token),
            between_tokens_ns: listed(&totals.between_tokens),
            missed,
            misses: listed(&by_cause),
        })
    }
}
