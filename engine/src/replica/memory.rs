//! What requests hold of the pool, and how they take and return it.

use super::Replica;
use super::members::Members;
use super::slot::Phase;
use crate::ids::SlotId;
use crate::kv::BlockKey;

impl Replica {
    /// Blocks held.
    #[inline]
    pub(super) fn held(&self, index: SlotId) -> u32 {
        self.held_of(&self.members, index)
    }

    /// Blocks held by a request of `members`.
    #[inline(always)]
    pub(super) fn held_of(&self, members: &Members, index: SlotId) -> u32 {
        let length = self.length_of(members, index);
        self.pool.held(index, length, || self.trimmed_at(members, index))
    }

    /// Blocks held by a decoding request once memory for one more token is taken.
    pub(super) fn held_after_token(&self, index: SlotId) -> u32 {
        let length = self.length(index).max(self.pool.length_for(self.done(index) + 1));
        self.pool.held(index, length, || self.known(index))
    }

    /// Blocks of its table.
    #[inline]
    pub(super) fn length(&self, index: SlotId) -> u32 {
        self.length_of(&self.members, index)
    }

    #[inline(always)]
    fn length_of(&self, members: &Members, index: SlotId) -> u32 {
        let slot = &self.slots[index.index()];
        match slot.phase {
            Phase::Decode => slot.length.max(self.pool.length_for(members.decodes.done(index))),
            _ => slot.length,
        }
    }

    /// Tokens that were known to be computed when a request of `members` last took memory. Who
    /// decodes takes some at every decode step since it joined.
    pub(super) fn trimmed_at(&self, members: &Members, index: SlotId) -> u32 {
        let slot = &self.slots[index.index()];
        if slot.phase != Phase::Decode {
            return slot.trimmed_at;
        }
        let done = members.decodes.done(index);
        match done - slot.done {
            0 => slot.trimmed_at,
            1 => slot.trimmed_at.max(slot.known_at_join),
            _ => slot.trimmed_at.max(done - 1 - u32::from(self.options.planned_ahead)),
        }
    }

    /// Tokens of a running request that are known to be computed: not those of a step that runs
    /// while the next is planned. Blocks go back by them alone.
    pub(super) fn known(&self, index: SlotId) -> u32 {
        let slot = &self.slots[index.index()];
        let done = self.done(index);
        match slot.phase {
            Phase::Decode if done == slot.done => slot.known_at_join,
            Phase::Decode => done - u32::from(self.options.planned_ahead),
            _ if self.options.planned_ahead && slot.stamp == self.members.batch.before => {
                slot.chunk_from
            }
            _ => done,
        }
    }

    /// New blocks that a running request takes to have room for `tokens` tokens.
    #[inline]
    pub(super) fn growth_to(&self, index: SlotId, tokens: u32) -> u32 {
        self.pool.growth(self.pool.length_for(tokens).saturating_sub(self.length(index)))
    }

    /// Returns what lies behind the windows of a request that is about to take memory.
    pub(super) fn trim(&mut self, index: SlotId) {
        if !self.pool.trims() {
            return;
        }
        let (before, known) = (self.trimmed_at(&self.members, index), self.known(index));
        if before >= known {
            return;
        }
        if self.pool.caching() {
            self.hash_blocks(index, known);
            self.pool.trim(index, known);
        } else {
            self.pool.give_back(self.pool.out_of_window(before, known));
        }
        self.slots[index.index()].trimmed_at = known;
    }

    /// Takes new blocks so that a running request has room for `tokens` tokens.
    pub(super) fn grow_to(&mut self, index: SlotId, tokens: u32) {
        let length = self.length(index);
        let more = self.pool.length_for(tokens).saturating_sub(length);
        self.pool.take(index, self.pool.growth(more), length + more);
        self.slots[index.index()].length = length + more;
    }

    pub(super) fn block_keys(&self, index: SlotId) -> impl Iterator<Item = BlockKey> + '_ {
        let slot = &self.slots[index.index()];
        let block_tokens = self.options.block_tokens;
        // The last known token is always computed anew, so that there is something to sample from.
        let full = (slot.target - 1) / block_tokens;
        (0..full).map(move |k| slot.block_key(k, block_tokens))
    }

    pub(super) fn hash_blocks(&mut self, index: SlotId, tokens: u32) {
        let block_tokens = self.options.block_tokens;
        let slot = &self.slots[index.index()];
        self.pool.hash(index, tokens / block_tokens, |k| slot.block_key(k, block_tokens));
    }

    /// Gives back all blocks, those that became full since the last hash with their keys.
    pub(super) fn free_blocks(&mut self, index: SlotId) {
        if self.pool.caching() {
            let slot = &self.slots[index.index()];
            let in_batch = slot.stamp == self.members.batch.stamp && self.pool.hashes_at_schedule();
            let tokens = slot.done + if in_batch { slot.scheduled } else { 0 };
            self.hash_blocks(index, tokens);
        }
        let slot = &self.slots[index.index()];
        let held = self.pool.held(index, slot.length, || slot.trimmed_at);
        self.pool.release(index, held);
        let slot = &mut self.slots[index.index()];
        slot.length = 0;
        slot.trimmed_at = 0;
    }

    /// Takes the blocks that one token for every decoding request needs, and returns what they no
    /// longer do.
    pub(super) fn decode_blocks(&mut self) {
        if self.pool.caching() {
            let mut slots = std::mem::take(&mut self.scratch);
            self.members.decodes.growing_slots(&mut slots);
            if self.pool.trims() {
                self.decode_by_name(&mut slots);
            } else {
                for &index in &slots {
                    self.pool.take(index, self.pool.growth(1), self.length(index) + 1);
                }
            }
            self.scratch = slots;
        } else {
            // Without identities only the count matters; members' shares follow from their tokens.
            let growth = self.members.decodes.growing() * self.pool.growth(1);
            if self.pool.trims() {
                self.pool.give_back(self.given_back_next());
            }
            if !self.pool.is_told() {
                self.pool.take_nameless(growth);
            }
        }
    }

    /// Takes and returns blocks for one token of those who have to, each in its turn, as if all
    /// were named. `slots` are those who take some.
    fn decode_by_name(&mut self, slots: &mut Vec<SlotId>) {
        if let Some(trims) = &self.members.trims {
            slots.extend(trims.due(self.members.decodes.decode_step()));
        }
        slots.sort_unstable_by_key(|&index| self.slots[index.index()].order);
        slots.dedup();
        for &index in slots.iter() {
            let done = self.done(index);
            self.trim(index);
            self.grow_to(index, done + 1);
        }
    }

    /// Blocks that the decode set gives back at the next decode step.
    pub(super) fn given_back_next(&self) -> u32 {
        let Some(trims) = &self.members.trims else { return 0 };
        let decode_step = self.members.decodes.decode_step();
        let mut due: Vec<SlotId> = trims.due(decode_step).collect();
        due.sort_unstable();
        due.dedup();
        let of = |&slot: &SlotId| {
            let before = self.trimmed_at(&self.members, slot);
            self.pool.out_of_window(before, self.known(slot).max(before))
        };
        due.iter().map(of).sum()
    }
}
