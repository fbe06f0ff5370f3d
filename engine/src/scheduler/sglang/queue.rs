//! In which order the queue is gone through (`SchedulePolicy`).

use std::cmp::Reverse;

use super::machine::Machine;
use super::request::Rid;
use super::settings::SgLangPolicy;
use crate::kv::radix::RadixTree;

/// With more than so many waiting requests `lpm` leaves the queue as it is, and so many have their
/// cached prefixes touched now and then.
const LPM_QUEUE_MAX: usize = 128;
/// Passes from one such touch to the next.
const TOUCHED_EVERY: u64 = 32;
/// Up to so many cached tokens a request may be put off for one of the same pass that begins alike,
/// and so many tokens alike make it so.
const IN_BATCH_TOKENS: u32 = 32;

impl Machine {
    pub(super) fn sort(&mut self) {
        let lpm = self.set.schedule_policy == SgLangPolicy::Lpm;
        let caches = self.memory.caches;
        if lpm && caches && self.waiting.len() <= LPM_QUEUE_MAX {
            return self.longest_hit_first();
        }
        if self.set.enable_priority_scheduling && !lpm {
            let reqs = &self.reqs;
            self.waiting.make_contiguous().sort_by_key(|rid| {
                let req = &reqs[rid.0 as usize];
                (Reverse(req.priority), req.entered)
            });
        }
        if caches && !self.waiting.is_empty() && self.rules.refreshes_waiting {
            if self.passes.is_multiple_of(TOUCHED_EVERY) {
                for at in (0..self.waiting.len().min(LPM_QUEUE_MAX)).rev() {
                    let req = &self.reqs[self.waiting[at].0 as usize];
                    self.memory.tree.look_up(&req.text, req.len());
                }
            }
            self.passes += 1;
        }
    }

    /// Longest hit first, stable. Of requests without a hit that begin alike the first goes alone:
    /// the others would find its prefix in the cache a little later.
    fn longest_hit_first(&mut self) {
        let mut alike = RadixTree::new(1);
        let mut order: Vec<(Reverse<i64>, Rid)> = Vec::with_capacity(self.waiting.len());
        for at in 0..self.waiting.len() {
            let rid = self.waiting[at];
            let len = self.req(rid).len();
            self.look_up(rid, len);
            let req = &self.reqs[rid.0 as usize];
            let mut rank = i64::from(req.matched);
            if req.prefix <= IN_BATCH_TOKENS {
                if alike.look_up(&req.text, len).tokens >= IN_BATCH_TOKENS {
                    rank = -1;
                } else {
                    alike.insert(&req.text, len);
                }
            }
            order.push((Reverse(rank), rid));
        }
        order.sort_by_key(|&(rank, _)| rank);
        self.waiting = order.into_iter().map(|(_, rid)| rid).collect();
    }

    /// Finds the longest cached prefix of a request, of at most `most` tokens.
    pub(super) fn look_up(&mut self, rid: Rid, most: u32) {
        let req = &mut self.reqs[rid.0 as usize];
        if !self.memory.caches {
            req.prefix = 0;
            req.node = RadixTree::ROOT;
            req.matched = 0;
            return;
        }
        let found = self.memory.tree.look_up(&req.text, most);
        req.prefix = found.tokens;
        req.node = found.node;
        req.matched = found.tokens.min(req.len() - 1);
    }
}
