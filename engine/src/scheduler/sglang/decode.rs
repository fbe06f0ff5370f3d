//! The decode batch: a token for everyone who runs, for which some are retracted if memory is short
//! (`update_running_batch`, `retract_decode`).

use std::cmp::Reverse;

use super::batch::{Batch, Entry, Kind, Last};
use super::machine::Machine;
use super::request::Rid;
use super::settings::SgLangRetraction;
use crate::kv::radix::RadixTree;
use crate::replica::Held;

/// Output tokens that a retraction leaves each survivor (`RETRACT_DECODE_STEPS`).
const RETRACT_STEPS: i64 = 20;

impl Machine {
    /// Forms the batch of those who decode, if there is one.
    pub(super) fn decode(&mut self) -> Option<Batch> {
        let before = self.running.reqs.len();
        let ending = self.leave_out_ending();
        self.drop_finished_quietly();
        if self.running.reqs.is_empty() {
            self.running.full = false;
            self.unsettled = true;
            return None;
        }
        let fits = self.decodes_fit();
        if !fits && ending > 0 && self.rules.awaits_ends {
            // A turn without a batch: the memory of those who end is there after it.
            self.running.full = false;
            self.held.get_or_insert(Held::NoKvBlocks);
            return None;
        }
        if fits {
            self.ratio.fall(1);
        } else {
            self.make_room();
        }
        if self.running.reqs.len() < before {
            self.running.full = false;
        }
        let mut entries = self.entries();
        self.take_decodes(&mut entries);
        self.last = Last::Decode;
        Some(Batch { turn: self.turns, kind: Kind::Decode, entries })
    }

    fn drop_finished_quietly(&mut self) {
        let full = self.running.full;
        self.drop_finished();
        self.running.full = full;
    }

    /// With overlap, takes those out of the running list that surely end with the batch in flight;
    /// says how many.
    pub(super) fn leave_out_ending(&mut self) -> usize {
        if !self.overlap || self.in_flight.is_empty() || !self.rules.foresees_ends {
            return 0;
        }
        let mut reqs = std::mem::take(&mut self.running.reqs);
        let before = reqs.len();
        reqs.retain(|&rid| {
            let req = self.req(rid);
            let ends = req.in_flight > 0 && req.out + 1 >= req.max_new;
            if ends {
                self.leaves_list(rid);
            }
            !ends
        });
        let left_out = before - reqs.len();
        self.running.reqs = reqs;
        left_out
    }

    /// Whether memory has a token for each that runs, evicting for it what nobody holds.
    pub(super) fn decodes_fit(&mut self) -> bool {
        let page = self.set.page_size;
        let full = |rid: &&Rid| self.req(**rid).allocated.is_multiple_of(page);
        let pages = self.running.reqs.iter().filter(full).count() as i64;
        let need = pages * i64::from(page);
        self.memory.evict(need);
        self.memory.free >= need
    }

    /// Takes a token's memory for each that runs.
    pub(super) fn take_decodes(&mut self, entries: &mut Vec<Entry>) {
        let page = i64::from(self.set.page_size);
        self.memory.evict(page * self.running.reqs.len() as i64);
        for at in 0..self.running.reqs.len() {
            let rid = self.running.reqs[at];
            let before = self.req(rid).allocated;
            self.take_tokens(before, before + 1);
            self.req_mut(rid).allocated = before + 1;
            entries.push(Entry::decode(rid, before));
        }
    }

    /// Retracts those with the fewest output tokens, of them those with the longest prompts, until
    /// the others can decode; one always stays. The batch keeps the order of that.
    fn make_room(&mut self) {
        let by_priority = self.set.retraction_policy == SgLangRetraction::Priority;
        let mut order = std::mem::take(&mut self.running.reqs);
        order.sort_by_cached_key(|&rid| {
            let req = self.req(rid);
            let urgency = if by_priority { req.priority } else { 0 };
            (Reverse(urgency), Reverse(req.out), req.prompt)
        });
        self.running.reqs = order;
        loop {
            if self.running.reqs.len() == 1 {
                break;
            }
            let rid = self.running.reqs.pop().expect("more than one is left");
            self.retract(rid, self.running.reqs.len());
            self.retracted.push(rid);
            if self.decodes_fit() {
                break;
            }
        }
        let (mut out, mut most) = (0, 0);
        for &rid in &self.running.reqs {
            let req = self.req(rid);
            out += i64::from(req.out) + RETRACT_STEPS;
            most += i64::from(req.max_new);
        }
        self.ratio.estimate(out as f64 / (most + 1) as f64);
        for at in 0..self.retracted.len() {
            self.enqueue(self.retracted[at]);
        }
        self.held = Some(Held::Preempting);
    }

    /// A request loses its memory but for what it shares with the tree; of its answer nothing is
    /// kept. So many others go on.
    pub(super) fn retract(&mut self, rid: Rid, others: usize) {
        self.release(rid, false);
        if self.memory.caches {
            self.memory.evict(others as i64 * RETRACT_STEPS);
        }
        let req = self.req_mut(rid);
        req.retracted = true;
        req.recomputes = true;
        req.prefix = 0;
        req.protected = 0;
        req.matched = 0;
        req.node = RadixTree::ROOT;
        req.middle = 0;
    }
}
