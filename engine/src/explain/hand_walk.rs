//! The way of a request whose KV comes from elsewhere, up to when it is there: from the replica that computed its
//! prompt, or from a tier behind the blocks of its own.

use super::cause::Cause;
use super::lane::LaneColumns;
use super::visit::{Visit, Wait};
use super::walk::{Came, Walk};
use crate::ids::IterationNo;
use crate::time::Time;
use crate::trace::{HandOver, KvLoad};

impl<'w> Walk<'w> {
    /// Walks up to when its KV was there, which is when the replica that answers could run it; says how far it
    /// came.
    pub(super) fn handed_over(
        &mut self,
        lanes: &'w [LaneColumns<'w>],
        hand: &'w HandOver,
        visit: &mut impl Visit,
    ) -> Came {
        let mut entered = self.places.entered(self.request, self.row);
        if hand.is_destination_first() {
            self.turn_to(&lanes[hand.to.index()], hand.to, entered);
            visit.leg(hand.to);
            self.waits_for_memory((entered, hand.begun), Cause::KvTransfer, visit);
            if hand.begun > self.trace.end {
                return Came::NoFarther;
            }
            entered = hand.begun;
        }
        let from = &lanes[hand.from.index()];
        self.turn_to(from, hand.from, entered);
        visit.leg(hand.from);
        if hand.at > self.trace.end {
            return Came::Prefills;
        }
        let last = self.chunks.last().expect("its prompt was computed").iteration;
        self.first_token(last, visit);
        let host = hand.at.since(from.log.end(last)).as_nanos();
        self.gap.split.add(Cause::Host, host);
        visit.leg(hand.to);
        (self.lane, self.id) = (&lanes[hand.to.index()], hand.to);
        match self.waits_for_kv((hand.at, hand.sets_out(), hand.landed), Cause::KvTransfer, visit) {
            true => Came::ToItsAnswer,
            false => Came::NoFarther,
        }
    }

    /// Walks up to when KV was there that a tier behind the replica's blocks had, or a step was formed that waits
    /// for it, which is when the request could run. Says whether it ever was.
    pub(super) fn loaded(&mut self, load: &KvLoad, visit: &mut impl Visit) -> bool {
        let entered = self.places.entered(self.request, self.row);
        self.waits_for_kv((entered, load.begun, load.ready()), Cause::KvLoad, visit)
    }

    /// From when it came to its lane's queue to when its KV was there, which set out for blocks that were
    /// taken for it then. Says whether it ever was.
    fn waits_for_kv(
        &mut self,
        (came, begun, landed): (Time, Time, Time),
        cause: Cause,
        visit: &mut impl Visit,
    ) -> bool {
        let end = self.trace.end;
        self.waits_for_memory((came, begun), cause, visit);
        if begun < end {
            self.gap.split.add(cause, landed.min(end).since(begun).as_nanos());
        }
        self.turn_to(self.lane, self.id, landed);
        landed <= end
    }

    /// From when it came to a lane's queue to when blocks were taken for its KV there; `idle` is what it
    /// waits for while the lane runs nothing.
    fn waits_for_memory(
        &mut self,
        (came, begun): (Time, Time),
        idle: Cause,
        visit: &mut impl Visit,
    ) {
        let (lane, until) = (self.lane, begun.min(self.trace.end));
        if until <= came {
            return;
        }
        let first = lane.log.begun_before(came, lane.log.numbers().end);
        let began = lane.begins(first).min(until);
        let ran = lane.log.free_before(first).clamp(came, began);
        self.in_flight(first, ran.since(came).as_nanos(), visit);
        // It ran nothing: what lacks is memory for KV that is still on its way.
        self.gap.split.add(idle, began.since(ran).as_nanos());
        if began >= until {
            return;
        }
        // Iterations that it waited through in full; it may be let in while the last one runs.
        let behind = lane.log.partition_point(|iteration| iteration.start < until).max(first);
        let whole = match lane.begins(behind) > until {
            true => behind.back(1),
            false => behind,
        };
        lane.waited(first, whole, &mut self.gap.split);
        visit.wait(Wait { from: first, to: whole, preempted: false });
        let rest: Time = lane.begins(whole).min(until);
        self.in_flight(whole.next(), until.since(rest).as_nanos(), visit);
    }

    /// It waited so long while the iteration before `next` ran.
    fn in_flight(&mut self, next: IterationNo, ns: u64, visit: &mut impl Visit) {
        if ns > 0 {
            self.gap.split.add(Cause::StepInFlight, ns);
            visit.unseen(next, next, ns);
        }
    }
}
