//! Every nanosecond of every gap has a cause, blame given is delay received, and every missed
//! deadline is charged.

use crate::explain::{Blame, Cause, Index, Misses, Split};
use crate::runner::{SchedulerOutput, recording};
use crate::scenario::{Experiment, SchedulerRun};
use crate::time::Time;
use crate::trace::Status;

/// Checks a run that kept its log.
///
/// # Panics
/// When something does not add up.
pub(super) fn check(experiment: &Experiment, scheduler: &SchedulerRun, output: &SchedulerOutput) {
    let trace = &output.outcome.trace;
    let index = Index::new(recording(experiment, scheduler, &output.outcome));
    let mut seen = Split::ZERO;
    for request in index.requests() {
        let row = &trace.requests[request.index()];
        let mut times: Vec<Time> = trace.token_times(row).collect();
        if row.status == Status::Unfinished {
            times.push(trace.end.max(times.last().copied().unwrap_or(row.arrival)));
        }
        let gaps = index.gaps(request);
        assert_eq!(gaps.len(), times.len(), "request {request}: a gap for each token");
        let mut from = row.arrival;
        for (gap, &to) in gaps.iter().zip(&times) {
            assert_eq!((gap.from, gap.to), (from, to), "request {request}: {gap:?}");
            assert_eq!(gap.split.total(), to.since(from), "request {request}: {gap:?}");
            seen += gap.split;
            from = to;
        }
    }
    let blame = Blame::new(&index);
    let mut given = Split::ZERO;
    blame.given.iter().for_each(|&one| given += one);
    for cause in [Cause::PrefillInterference, Cause::PrefillOnly] {
        assert_eq!(given[cause], seen[cause], "blame is delay by {}", cause.name());
    }
    for &cause in Cause::ALL {
        assert!(given[cause] <= seen[cause], "no more blame than delay by {}", cause.name());
    }
    let misses = Misses::new(&index, &output.judged_by);
    for request in index.requests() {
        let (missed, by_cause) = misses.of(request);
        assert_eq!(by_cause.total().as_nanos(), missed, "request {request}: misses are charged");
    }
}
