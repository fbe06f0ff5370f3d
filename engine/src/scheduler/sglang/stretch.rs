//! Stretches of decode turns that are all alike: nobody looks at them one by one.

use super::batch::{Batch, Entry, Kind};
use super::machine::Machine;
use super::request::Rid;

impl Machine {
    /// Catches up with `turns` further turns that launched the newest batch, decodes, again, while
    /// nobody ended, memory sufficed and nobody was admitted. Where that batch is in flight the last
    /// of these turns is afterwards; otherwise all are processed.
    pub(super) fn repeat(&mut self, turns: u32) {
        if turns == 0 {
            return;
        }
        let in_flight = !self.in_flight.is_empty();
        let members = std::mem::take(&mut self.running.reqs);
        if in_flight {
            // The first result that is there in the meantime is that of the oldest batch.
            self.process(|_| false);
        }
        self.take_for_repeats(&members, turns);
        for &rid in &members {
            let req = &mut self.reqs[rid.0 as usize];
            req.out += turns - u32::from(in_flight);
            req.in_flight += u32::from(in_flight);
        }
        if in_flight {
            let mut entries = self.entries();
            entries.extend(members.iter().map(|&rid| {
                let before = self.req(rid).allocated - 1;
                Entry::decode(rid, before)
            }));
            let turn = self.turns + u64::from(turns) - 1;
            self.in_flight.push_back(Batch { turn, kind: Kind::Decode, entries });
        }
        self.running.reqs = members;
        self.ratio.fall(turns);
        for _ in 0..turns.min(self.deferred) {
            self.is_deferred();
        }
        self.turns += u64::from(turns);
    }

    /// Memory of so many decode steps in a row of these requests.
    fn take_for_repeats(&mut self, members: &[Rid], turns: u32) {
        let page = self.set.page_size;
        let (mut before_last, mut last) = (0, 0);
        for &rid in members {
            let req = &mut self.reqs[rid.0 as usize];
            let upto = |steps: u32| i64::from((req.allocated + steps).div_ceil(page));
            before_last += upto(turns - 1) - upto(0);
            last += upto(turns) - upto(turns - 1);
            req.allocated += turns;
        }
        // At each step the cache is evicted for a page a request, so at the last for the most.
        let (page, wanted) = (i64::from(page), members.len() as i64);
        self.memory.evict((before_last + wanted) * page);
        self.memory.take((before_last + last) * page);
    }

    /// Whether the turn's batch of decodes goes on until somebody arrives or ends: nothing but that
    /// can let a request in.
    pub(super) fn is_settled(&self) -> bool {
        let nobody_in = self.waiting.is_empty() || self.running.full && !self.preempts;
        nobody_in
            && self.chunked.is_none()
            && self.retracted.is_empty()
            && self.preempted.is_empty()
    }

    /// Checks that no token is lost.
    ///
    /// # Panics
    /// When one is.
    pub(super) fn check(&self) {
        let mut own = 0;
        for req in self.reqs.iter().filter(|req| req.has_row) {
            own += self.memory.ceil(req.allocated) - i64::from(req.protected);
        }
        let tree = self.memory.tree.idle() + self.memory.tree.held();
        let all = self.set.kv_tokens / self.set.page_size * self.set.page_size;
        assert_eq!(own + tree as i64 + self.memory.free, i64::from(all), "no KV token is lost");
    }
}
