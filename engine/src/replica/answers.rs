//! Answers that other requests go on from, and when their blocks can be found.
//!
//! A block of an answer is found from the decode step on that fills it. Where contents are kept by runs
//! of blocks nobody is visited at a decode step: what a request has filled meanwhile is caught up on
//! when somebody who goes on from it looks for it, or gives content to blocks of their own. Contents of
//! answers that nobody goes on from are given when they are left.

use rustc_hash::FxHashMap;

use super::Replica;
use super::slot::Phase;
use crate::ids::SlotId;
use crate::kv::Chain;
use crate::kv::chain::Names;
use crate::request::RequestId;

/// Who of the requests here others go on from.
#[derive(Clone, Debug, Default)]
pub(super) struct Talks {
    /// By the request that contents name.
    here: FxHashMap<RequestId, SlotId>,
    /// Whether ids have ever named tokens of an answer: then anybody may meet it.
    answers_are_named: bool,
}

impl Talks {
    pub(super) fn leave(&mut self, owner: RequestId) {
        if !self.here.is_empty() {
            self.here.remove(&owner);
        }
    }
}

impl Replica {
    /// A request arrives that others go on from, or whose answer they may have by its ids.
    pub(super) fn note_talk(&mut self, owner: RequestId, slot: SlotId, names_answer: bool) {
        if names_answer && !self.talks.answers_are_named {
            // From now on answers are registered at every decode step.
            for index in self.members.running.clone() {
                self.catch_up(index);
            }
            self.talks.answers_are_named = true;
        }
        self.talks.here.insert(owner, slot);
    }

    /// Whether blocks of answers that others meet are given their contents only when somebody may
    /// look for them.
    pub(super) fn registers_late(&self) -> bool {
        self.pool.keeps_runs()
            && !self.options.by_request
            && !self.talks.answers_are_named
            && self.parked.is_empty()
    }

    /// A request is about to look for its blocks, or to give content to some: whoever it goes on from
    /// and still decodes comes first.
    pub(super) fn meet(&mut self, index: SlotId) {
        if self.talks.here.is_empty() || !self.registers_late() {
            return;
        }
        let Some(chain) = self.slots[index.index()].chain.clone() else { return };
        self.meet_chain(&chain, Some(index));
    }

    /// The same of somebody who is about to look for these blocks.
    pub(super) fn meet_chain(&mut self, chain: &Chain, index: Option<SlotId>) {
        if self.talks.here.is_empty() || !self.registers_late() {
            return;
        }
        for run in chain.runs() {
            if let Some(before) = self.talks_with(&run.names)
                && Some(before) != index
            {
                self.catch_up(before);
            }
        }
    }

    /// Whether the hit of who is next in the queue may grow: somebody that it goes on from decodes.
    pub(super) fn hits_may_grow(&self) -> bool {
        if !self.registers_late() {
            return true;
        }
        // Policies ask nobody behind one whom they refuse memory.
        let refused = self.waiting.iter().find(|&index| !self.awaits_stale(index));
        let chain = refused.and_then(|index| self.slots[index.index()].chain.as_ref());
        chain.is_some_and(|chain| {
            let decodes = |index| self.phase(index) == Phase::Decode;
            chain.runs().iter().filter_map(|run| self.talks_with(&run.names)).any(decodes)
        })
    }

    /// Gives content to the blocks of an answer that are full by now.
    pub(super) fn catch_up(&mut self, index: SlotId) {
        let met = self.slots[index.index()].content.own_is_met();
        if !met || self.phase(index) != Phase::Decode || !self.registers_late() {
            return;
        }
        // The batch being formed may have its next token, and one that is on its way is not known yet.
        let batch = &self.members.batch;
        let scheduled = batch.all_decodes && !batch.advanced;
        let next = u32::from(scheduled && self.pool.hashes_at_schedule());
        let late = u32::from(self.options.out.ahead);
        let known = (self.done(index) + next).saturating_sub(late);
        self.hash_blocks(index, known, known);
    }

    fn talks_with(&self, names: &Names) -> Option<SlotId> {
        let Names::Own(request) = *names else { return None };
        let request = RequestId::at(request as usize);
        self.talks.here.get(&request).copied()
    }
}
