//! How long requests waited at each iteration of a replica, by cause: what is shared among those
//! who held seats or memory, or ran, at that iteration.

use std::ops::Range;

use super::cause::{Cause, SHARED};
use super::hold::Means;
use super::lane::{LaneColumns, reason};
use super::line::head_of;
use super::tables::Tables;
use super::visit::{Visit, Wait};
use crate::ids::{IterationNo, LaneId};
use crate::request::RequestId;

/// What a wait is for.
pub(super) fn means_of(cause: Cause) -> Means {
    match cause {
        Cause::NoSeat => Means::Seats,
        Cause::NoKvBlocks | Cause::PreemptedWaiting | Cause::Recompute => Means::Blocks,
        _ => Means::Batch,
    }
}

/// Nanoseconds waited at each iteration of a stretch, by cause in the order of [`SHARED`]; empty
/// where nobody waited.
#[derive(Clone, Debug, Default)]
pub(super) struct Pressure {
    /// The stretch.
    pub within: Range<IterationNo>,
    by_cause: [Vec<u64>; SHARED.len()],
}

impl Pressure {
    /// Waits for one cause.
    pub(super) fn of(&self, place: usize) -> &[u64] {
        &self.by_cause[place]
    }

    fn add(&mut self, cause: Cause, number: IterationNo, ns: u64) {
        // The turns that lanes of a pipeline take are shared with its bubbles.
        if ns == 0 || cause == Cause::PipelineBubble {
            return;
        }
        let place = SHARED.iter().position(|&shared| shared == cause).expect("a shared cause");
        let column = &mut self.by_cause[place];
        let Range { start, end } = self.within;
        column.resize(end.since(start) as usize, 0);
        let waited = &mut column[number.since(start) as usize];
        *waited = waited.saturating_add(ns);
    }
}

/// Stretches of iterations in which requests waited, counted at each end.
#[derive(Debug)]
pub(super) struct Waits {
    first: IterationNo,
    /// Change in the number of those in the queue who were never admitted, at each iteration from
    /// `first` on.
    pub waiting: Vec<i64>,
    preempted: Vec<i64>,
    /// Of those for whom the iteration was planned before they came.
    unseen: Vec<i64>,
    /// Of those whose prefill was passed over.
    passed: Vec<i64>,
    /// Of those who could decode and were in no batch.
    pub missed: Vec<i64>,
    pressure: Pressure,
}

impl Waits {
    /// None yet, all within these iterations.
    pub(super) fn within(iterations: Range<IterationNo>) -> Waits {
        let zeros = vec![0; iterations.end.since(iterations.start) as usize + 2];
        Waits {
            first: iterations.start,
            waiting: zeros.clone(),
            preempted: zeros.clone(),
            unseen: zeros.clone(),
            passed: zeros.clone(),
            missed: zeros,
            pressure: Pressure { within: iterations, ..Pressure::default() },
        }
    }

    /// All waits by iteration and cause. `behind` is what others stood behind the queue's head,
    /// which the head is blamed for instead.
    pub(super) fn pressure(
        mut self,
        lane: &LaneColumns<'_>,
        behind: impl IntoIterator<Item = (IterationNo, u64)>,
    ) -> Pressure {
        let mut counts = [0_i64; 5];
        let mut behind = behind.into_iter().peekable();
        for at in IterationNo::each(self.pressure.within.clone()) {
            let columns =
                [&self.waiting, &self.preempted, &self.unseen, &self.passed, &self.missed];
            for (count, column) in counts.iter_mut().zip(columns) {
                *count += column[at.since(self.first) as usize];
            }
            let [waiting, preempted, unseen, passed, missed] = counts.map(|count| count as u64);
            if waiting + preempted + unseen + passed + missed == 0 {
                continue;
            }
            let stood = lane.stood(at);
            let iteration = lane.log.at(at);
            let mut add = |cause, ns| self.pressure.add(cause, at, ns);
            let other = behind.next_if(|&(number, _)| number == at).map_or(0, |(_, ns)| ns);
            let times = |requests: u64, ns: u64| requests.saturating_mul(ns);
            add(reason(&iteration), times(waiting, stood).saturating_sub(other));
            add(Cause::PreemptedWaiting, times(preempted, stood));
            add(Cause::ScheduledAhead, times(unseen, stood));
            add(passed_cause(&iteration), times(passed, stood));
            add(Cause::NoTokenBudget, times(missed, lane.missed_for_budget(at)));
        }
        self.pressure
    }
}

/// Why a running request's prefill was passed over in this iteration.
fn passed_cause(iteration: &crate::trace::Iteration<'_>) -> Cause {
    match iteration.chunks.is_empty() {
        true => Cause::PolicyDeferred,
        false => Cause::NoTokenBudget,
    }
}

/// One more in some iterations, in a column that begins with `first`.
fn one_more(column: &mut [i64], first: IterationNo, iterations: Range<IterationNo>) {
    column[iterations.start.since(first) as usize] += 1;
    column[iterations.end.since(first) as usize] -= 1;
}

impl Visit for Waits {
    fn decoding(&mut self, _: LaneId, from: IterationNo, to: IterationNo, in_batch: bool) {
        if !in_batch {
            one_more(&mut self.missed, self.first, from.next()..to.next());
        }
    }

    fn wait(&mut self, wait: Wait) {
        let column = if wait.preempted { &mut self.preempted } else { &mut self.waiting };
        one_more(column, self.first, wait.from..wait.to);
    }

    fn unseen(&mut self, first: IterationNo, seen: IterationNo, in_flight: u64) {
        self.pressure.add(Cause::StepInFlight, first.back(1), in_flight);
        one_more(&mut self.unseen, self.first, first..seen);
    }

    fn passed_over(&mut self, from: IterationNo, to: IterationNo) {
        one_more(&mut self.passed, self.first, from..to);
    }

    fn recomputed(&mut self, preempted: IterationNo, ns: u64) {
        self.pressure.add(Cause::Recompute, preempted, ns);
    }
}

/// What one request stood behind each head of the queue, by iteration.
pub(super) fn behind(
    tables: &Tables<'_>,
    request: RequestId,
    wait: Wait,
) -> Vec<(IterationNo, RequestId, u64)> {
    if wait.preempted || tables.places.behind[request.index()] == 0 {
        return Vec::new();
    }
    let lane = tables.lane_of(request);
    let places = &tables.places;
    let head = |number: IterationNo| {
        let head = head_of(&tables.recording, places, &lane.log.at(number), request)?;
        Some((number, head, lane.stood(number)))
    };
    IterationNo::each(wait.from..wait.to).filter_map(head).collect()
}
