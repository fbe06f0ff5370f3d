//! Verbs of policies that keep their own memory and their own view of what runs.

use super::Replica;
use super::memory::Leaving;
use super::slot::{Handle, Phase};
use super::step::Step;
use crate::kv::Told;

impl Step<'_> {
    /// Whether steps are planned while the one before runs.
    pub fn plans_ahead(&self) -> bool {
        self.replica.options.out.ahead
    }

    /// Who has arrived since the last call, in order. Only for policies with
    /// [`own_pages`](super::Needs::own_pages).
    pub fn newcomers(&mut self) -> Vec<Handle> {
        self.replica.newcomers.drain(..).map(Handle).collect()
    }

    /// Whether somebody has arrived whom [`newcomers`](Step::newcomers) has not told of yet.
    pub fn has_newcomers(&self) -> bool {
        !self.replica.newcomers.is_empty()
    }

    /// Puts the waiting requests into this order.
    pub fn order_queue(&mut self, order: impl Iterator<Item = Handle>) {
        self.replica.waiting.reorder(order.map(|handle| handle.0));
    }

    /// Preempts a running request ([`preempt`](Step::preempt)). With `recalls` its token that is on
    /// its way in the step in flight is thrown away, and will be sampled again.
    pub fn retract(&mut self, request: Handle, recalls: bool) {
        if self.replica.phase(request.0) == Phase::Ending {
            assert!(recalls, "its last token is on its way");
            self.replica.take_back_end(request);
            return;
        }
        self.preempt(request);
        if recalls {
            self.replica.recall(request);
        }
    }

    /// Says how the memory that the policy keeps itself stands after this decision, in its pages.
    pub fn tell_memory(&mut self, told: Told) {
        self.replica.pool.tell(told);
    }

    /// Where the batch is empty: asks to be asked again at once, as something changed that is not
    /// seen from outside.
    pub fn ask_again(&mut self) {
        self.replica.members.batch.again = true;
    }
}

impl Replica {
    /// How the memory that a policy keeps itself stands.
    pub(crate) fn tell(&mut self, told: Told) {
        self.pool.tell(told);
    }

    /// Throws away the token on its way of a request that was preempted just now while it decoded.
    fn recall(&mut self, request: Handle) {
        let slot = &mut self.slots[request.0.index()];
        assert_eq!(slot.phase, Phase::Waiting, "it was preempted just now");
        slot.target -= 1;
        slot.left += 1;
        let id = slot.request;
        if self.names_decodes {
            self.thrown_away.push(id);
        }
        // It left the decode set with the steps at which it emitted since it joined, the one in
        // flight the last; none where its prefill is what is in flight.
        match self.closed_runs.last_mut() {
            Some((request, _, count)) if *request == id => {
                *count -= 1;
                if *count == 0 {
                    self.closed_runs.pop();
                }
            }
            _ => self.recalled.push(id),
        }
    }

    /// Preempts a request whose last token is on its way, and throws that away.
    fn take_back_end(&mut self, request: Handle) {
        let index = request.0;
        self.free_blocks(index, false, Leaving::ForNow);
        self.members.running.retain(|&slot| slot != index);
        let slot = &mut self.slots[index.index()];
        slot.phase = Phase::Waiting;
        slot.target = slot.done;
        slot.done = 0;
        slot.left = 1;
        slot.scheduled = 0;
        slot.recomputing = true;
        self.recalled.push(slot.request);
        if self.names_decodes {
            self.thrown_away.push(slot.request);
        }
        self.waits_again(index);
    }

    /// Whether a request whose last token was planned has really got it: it was not thrown away.
    pub(crate) fn has_ended(&self, request: Handle) -> bool {
        let slot = &self.slots[request.0.index()];
        slot.phase != Phase::Waiting || slot.left == 0
    }
}
