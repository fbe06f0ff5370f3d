//! Preemption for seats: the least urgent make room for one who is much more urgent
//! (`PrefillAdder.preempt_to_schedule`).

use super::machine::Machine;
use super::request::{CLIP, Rid};

impl Machine {
    /// Preempts running requests for a waiting one, if enough of them are less urgent by more than
    /// the threshold; whether any were.
    ///
    /// A request that was never looked at for admission counts as if its prompt were empty, and a
    /// victim for what was reserved for its answer alone: so it may not fit after all.
    pub(super) fn preempt_for(&mut self, rid: Rid) -> bool {
        let mut order: Vec<Rid> = self.running.reqs.clone();
        order.retain(|&other| !self.req(other).finished && !self.preempted.contains(&other));
        order.sort_by_key(|&other| (self.req(other).priority, u64::MAX - self.req(other).entered));
        let req = self.req(rid);
        let asks = i64::from(req.seen) - i64::from(req.prefix) + i64::from(req.max_new.min(CLIP));
        let mut need = asks as f64 - self.left();
        let mut victims = Vec::new();
        for &other in &order {
            let more = i128::from(req.priority) - i128::from(self.req(other).priority);
            if more <= i128::from(self.set.priority_scheduling_preemption_threshold) {
                break;
            }
            victims.push(other);
            need -= self.expected(other);
            if need <= 0.0 {
                break;
            }
        }
        if victims.is_empty() || need > 0.0 {
            return false;
        }
        let there = self.running.reqs.len();
        let in_order = self.running.reqs.clone();
        let gone = in_order.iter().filter(|other| victims.contains(other));
        for (done, &victim) in gone.enumerate() {
            self.pass.reserved -= self.expected(victim);
            self.retract(victim, there - done - 1);
        }
        self.running.reqs.retain(|other| !victims.contains(other));
        // SGLang requeues them in the order of a set of objects; here the first to arrive is first.
        victims.sort_by_key(|&victim| self.req(victim).number);
        self.preempted.append(&mut victims);
        true
    }
}
