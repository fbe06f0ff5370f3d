//! Arrivals that come one by one, as a server has them, against the same known beforehand.

use crate::request::RequestId;
use crate::runner::{Requests, with_fleet};
use crate::scenario::{Experiment, SchedulerRun};
use crate::sim::{BehindFrontEnd, Coming, Live, Outcome, Told};
use crate::time::Time;
use crate::trace::Status;
use crate::workload::Arriving;

/// Plays requests that are known beforehand as if they were not, and checks that each gets its tokens
/// at the same instants as in `outcome`.
///
/// # Panics
/// When something does not hold.
pub(super) fn check(
    experiment: &Experiment,
    scheduler: &SchedulerRun,
    requests: &Requests,
    outcome: &Outcome,
) {
    let Requests::Open(workload) = requests else { return };
    // As the engine gets them.
    let (front_end, front_ends) = experiment.front_ends();
    let behind = BehindFrontEnd::new(Box::new(workload.arriving()), front_end, front_ends);
    let known = behind.known().expect("they are known beforehand");
    let mut told: Vec<Vec<Time>> = vec![Vec::new(); known.len()];
    let mut ended = vec![None; told.len()];
    let horizon = experiment.horizon.map_or(Time::NEVER, |span| Time::ZERO + span);
    with_fleet(experiment, scheduler, Some(requests), |setup| {
        let mut live = Live::new(setup, workload.classes.clone(), workload.block_tokens);
        let mut note = |live: &mut Live<'_>| {
            for one in live.told() {
                match one {
                    Told::Tokens { request, at, count, last } if at <= horizon => {
                        let times = &mut told[request.index()];
                        times.resize(times.len() + count as usize, at);
                        ended[request.index()] = last.then_some(Status::Completed);
                    }
                    Told::Rejected { request, at, .. } if at <= horizon => {
                        ended[request.index()] = Some(Status::Rejected);
                    }
                    Told::Tokens { .. } | Told::Rejected { .. } => {}
                }
            }
        };
        let mut next = 0;
        for together in known.chunk_by(|one, other| one.arrival == other.arrival) {
            let at = together[0].arrival;
            // What is due before them is told before they come.
            live.advance(Time::from_nanos(at.as_nanos().saturating_sub(1))).expect("it runs");
            note(&mut live);
            for &request in together {
                let id = RequestId::at(next);
                let session = workload.sessions.get(next).copied().flatten();
                let (own, entered) =
                    live.arrive(Coming { request, origin: workload.origin(id), session });
                assert_eq!((own, entered), (id, at), "it enters when it comes");
                next += 1;
            }
            if at > horizon {
                break;
            }
        }
        // Beyond the horizon too: a pipeline tells its tokens when their step is over.
        while let Some(due) = live.due() {
            let played = live.advance(due);
            assert!(played.is_ok() || due > horizon, "what runs with all known runs live");
            note(&mut live);
            if played.is_err() {
                break;
            }
        }
    });
    for (row, id) in outcome.trace.requests.iter().zip(RequestId::FIRST.onwards()) {
        let times: Vec<Time> = outcome.trace.token_times(row).collect();
        assert_eq!(told[id.index()], times, "live = known beforehand: request {id}");
        let status = (row.status != Status::Unfinished).then_some(row.status);
        assert_eq!(ended[id.index()], status, "live = known beforehand: end of request {id}");
    }
}
