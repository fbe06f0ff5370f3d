//! The batches of a replica that works turn by turn: one running list, one queue, and as many lanes as
//! the pipeline has stages. All batches of its lanes in one order, and what waits by instants.
//!
//! Batches leave the pipeline in the order of their turns. The reason that a turn gave for leaving the
//! queue's head waiting stands from the start of its batch to the start of the next one, whatever
//! lanes they are in: it is the log of the lane whose turn it was that tells.

use std::ops::Range;

use super::cause::{Cause, Split};
use super::lane::{HELD, LaneColumns, held_column};
use crate::ids::{IterationNo, LaneId};
use crate::time::Time;
use crate::trace::Log;

/// A batch's number among all of its replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BatchNo(pub u32);

impl BatchNo {
    pub(super) const fn next(self) -> BatchNo {
        BatchNo(self.0 + 1)
    }
}

/// The order of one replica's batches.
#[derive(Debug)]
pub(super) struct TurnOrder {
    lanes: Range<LaneId>,
    /// Row k: which batch k is.
    batches: Vec<(LaneId, IterationNo)>,
    /// By lane of the replica and iteration: the batch.
    of_lane: Vec<Vec<BatchNo>>,
    /// Row k: when the tokens of batch k were there; rising.
    ends: Vec<Time>,
    /// Row k: when batch k began; never falling.
    begins: Vec<Time>,
    /// Where the reason changes.
    reasons: Vec<Reason>,
    /// When observation ended.
    end: Time,
}

/// Batches in a row under one reason.
#[derive(Clone, Copy, Debug)]
struct Reason {
    from: Time,
    /// The place in [`HELD`].
    held: usize,
    /// Whether the turns prefilled somebody.
    chunks: bool,
    /// Nanoseconds up to `from`: by [`HELD`], and for those who run and were passed over beside chunks
    /// and without.
    before: [u64; HELD.len() + 2],
}

impl Reason {
    fn sums_at(&self, at: Time) -> [u64; HELD.len() + 2] {
        let mut sums = self.before;
        let stood = at.as_nanos().saturating_sub(self.from.as_nanos());
        sums[self.held] += stood;
        sums[HELD.len() + usize::from(!self.chunks)] += stood;
        sums
    }
}

impl TurnOrder {
    /// Of the lanes of one replica.
    pub(super) fn new(lanes: &[LaneColumns<'_>], group: Range<LaneId>, end: Time) -> TurnOrder {
        let log = |lane: LaneId| lanes[lane.index()].log;
        let mut batches: Vec<(Time, LaneId, IterationNo)> = LaneId::each(group.clone())
            .flat_map(|lane| {
                let numbers = IterationNo::each(log(lane).numbers());
                numbers.map(move |number| (log(lane).end(number), lane, number))
            })
            .collect();
        batches.sort_unstable();
        let mut order = TurnOrder {
            of_lane: LaneId::each(group.clone())
                .map(|lane| vec![BatchNo::default(); log(lane).len()])
                .collect(),
            lanes: group,
            ends: batches.iter().map(|&(end, ..)| end).collect(),
            batches: batches.into_iter().map(|(_, lane, number)| (lane, number)).collect(),
            begins: Vec::new(),
            reasons: Vec::new(),
            end,
        };
        let mut begun = Time::ZERO;
        for (&(lane, number), batch) in order.batches.iter().zip((0..).map(BatchNo)) {
            let place = lane.index() - order.lanes.start.index();
            order.of_lane[place][number.index()] = batch;
            let iteration = log(lane).at(number);
            begun = begun.max(iteration.start);
            order.begins.push(begun);
            let (held, chunks) = (held_column(iteration.held), !iteration.chunks.is_empty());
            let last = order.reasons.last();
            if last.is_none_or(|last| (last.held, last.chunks) != (held, chunks)) {
                let before = last.map_or([0; HELD.len() + 2], |last| last.sums_at(begun));
                order.reasons.push(Reason { from: begun, held, chunks, before });
            }
        }
        order
    }

    /// The number behind the last batch.
    pub(super) fn behind(&self) -> BatchNo {
        BatchNo(self.batches.len() as u32)
    }

    /// A batch of a lane.
    pub(super) fn batch(&self, lane: LaneId, number: IterationNo) -> BatchNo {
        self.of_lane[lane.index() - self.lanes.start.index()][number.index()]
    }

    /// Which batch that is.
    pub(super) fn place(&self, batch: BatchNo) -> (LaneId, IterationNo) {
        self.batches[batch.0 as usize]
    }

    /// The batch whose tokens came at this instant.
    pub(super) fn with_tokens_at(&self, at: Time) -> Option<BatchNo> {
        self.ends.binary_search(&at).ok().map(|row| BatchNo(row as u32))
    }

    /// When a batch began, or observation ended before one did.
    pub(super) fn begins(&self, batch: BatchNo) -> Time {
        self.begins.get(batch.0 as usize).map_or(self.end, |&at| at.min(self.end))
    }

    /// The first batch that began at an instant or later, or the number behind the last.
    pub(super) fn begun_before(&self, instant: Time) -> BatchNo {
        BatchNo(self.begins.partition_point(|&at| at < instant) as u32)
    }

    /// The first batch from `from` on, and before `to`, that was formed at an instant or later; `to`
    /// where none was.
    pub(super) fn formed_from<'l>(
        &self,
        (from, to): (BatchNo, BatchNo),
        instant: Time,
        log: impl Fn(LaneId) -> &'l Log,
    ) -> BatchNo {
        let formed = |batch: &BatchNo| {
            let (lane, number) = self.place(*batch);
            log(lane).at(number).decided >= instant
        };
        (from.0..to.0).map(BatchNo).find(formed).unwrap_or(to)
    }

    /// Whether a batch was on its way at this instant.
    pub(super) fn runs_at(&self, instant: Time) -> bool {
        let begun = self.begun_before(instant).0 as usize;
        begun.checked_sub(1).is_some_and(|last| self.ends[last] > instant)
    }

    fn sums_at(&self, at: Time) -> [u64; HELD.len() + 2] {
        let after = self.reasons.partition_point(|reason| reason.from <= at);
        after.checked_sub(1).map_or([0; HELD.len() + 2], |last| self.reasons[last].sums_at(at))
    }

    /// From one instant to another, none before the first batch, for a request in the queue.
    pub(super) fn waited(&self, from: Time, to: Time, into: &mut Split) {
        let (before, after) = (self.sums_at(from), self.sums_at(to));
        for (place, cause) in HELD.into_iter().enumerate() {
            into.add(cause, after[place] - before[place]);
        }
    }

    /// The same for a running request whose prefill was passed over.
    pub(super) fn passed_over(&self, from: Time, to: Time, into: &mut Split) {
        let (before, after) = (self.sums_at(from), self.sums_at(to));
        let ns = |place: usize| after[HELD.len() + place] - before[HELD.len() + place];
        into.add(Cause::NoTokenBudget, ns(0));
        into.add(Cause::PolicyDeferred, ns(1));
    }
}
