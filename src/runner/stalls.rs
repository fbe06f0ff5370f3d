//! A run's delay by cause, for its published result.

use crate::explain::{Attribution, Misses, RecordedPool, Recording, listed};
use crate::metrics::Options;
use crate::report::StallsResult;
use crate::scenario::{Experiment, PoolView, SchedulerRun};
use crate::sim::Outcome;

/// What a scheduler's run wrote down, to be explained.
pub fn recording<'a>(
    experiment: &'a Experiment,
    scheduler: &SchedulerRun,
    outcome: &'a Outcome,
) -> Recording<'a> {
    let pool = |(index, pool): (usize, PoolView<'a>)| {
        let info = pool.engine_info();
        let needs = scheduler.config.build(&info).needs();
        let planned = pool.engine.async_scheduling;
        let cost = pool.cost.as_ref();
        let recorded = RecordedPool::of(outcome, index, cost, &info, &needs, planned);
        RecordedPool { name: pool.name, ..recorded }
    };
    Recording {
        trace: &outcome.trace,
        log: outcome.log.as_deref().unwrap_or_default(),
        pools: experiment.fleet().into_iter().enumerate().map(pool).collect(),
    }
}

/// Where the time of all requests went, and what their missed deadlines are charged to. `None`
/// for a run that kept no log.
pub fn stalls(
    experiment: &Experiment,
    scheduler: &SchedulerRun,
    outcome: &Outcome,
    judged_by: &Options,
) -> Option<StallsResult> {
    outcome.log.as_ref()?;
    let attribution = Attribution::new(recording(experiment, scheduler, outcome));
    let totals = attribution.totals();
    let misses = Misses::new(&attribution, judged_by);
    let (missed, by_cause) = misses.counted();
    Some(StallsResult {
        first_token_ns: listed(&totals.first_token),
        between_tokens_ns: listed(&totals.between_tokens),
        missed,
        misses: listed(&by_cause),
    })
}
