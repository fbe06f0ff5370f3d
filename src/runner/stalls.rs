//! A run's delay by cause, for its published result.

use super::recording::recording;
use crate::explain::{Index, Misses, listed};
use crate::metrics::Options;
use crate::report::StallsResult;
use crate::scenario::{Experiment, SchedulerRun};
use crate::sim::Outcome;

/// Where the time of all requests went, and what their missed deadlines are charged to. `None`
/// for a run that kept no log.
pub fn stalls(
    experiment: &Experiment,
    scheduler: &SchedulerRun,
    outcome: &Outcome,
    judged_by: &Options,
) -> Option<StallsResult> {
    outcome.log.as_ref()?;
    let index = Index::new(recording(experiment, scheduler, outcome));
    let totals = index.totals();
    let misses = Misses::new(&index, judged_by);
    let (missed, by_cause) = misses.counted();
    Some(StallsResult {
        first_token_ns: listed(&totals.first_token),
        between_tokens_ns: listed(&totals.between_tokens),
        missed,
        misses: listed(&by_cause),
    })
}
