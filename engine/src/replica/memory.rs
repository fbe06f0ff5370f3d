//! What requests hold of the pool, and how they take and return it.

use super::Replica;
use super::members::Members;
use super::slot::Phase;
use crate::ids::SlotId;
use crate::kv::{BlockKey, Chain, Hit, Leaves, Stored, Whole};

/// How a request leaves its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It has ended.
    ForGood,
    /// It comes back, and may find them again.
    ForNow,
}

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
            Phase::Decode if !self.options.by_request => {
                slot.length.max(self.pool.length_for(members.decodes.done(index)))
            }
            _ => slot.length,
        }
    }

    /// Tokens that were known to be computed when a request of `members` last took memory. Who
    /// decodes takes some at every decode step since it joined.
    pub(super) fn trimmed_at(&self, members: &Members, index: SlotId) -> u32 {
        let slot = &self.slots[index.index()];
        if !self.decodes_together(index) {
            return slot.trimmed_at;
        }
        let done = members.decodes.done(index);
        match done - slot.done {
            0 => slot.trimmed_at,
            1 => slot.trimmed_at.max(slot.known_at_join),
            _ => slot.trimmed_at.max(done - 1 - u32::from(self.options.out.ahead)),
        }
    }

    /// Tokens of a running request that are known to be computed: not those of a step that runs
    /// while the next is planned. Blocks go back by them alone.
    pub(super) fn known(&self, index: SlotId) -> u32 {
        let slot = &self.slots[index.index()];
        let done = self.done(index);
        match self.decodes_together(index) {
            true if done == slot.done => slot.known_at_join,
            true => done - u32::from(self.options.out.ahead),
            false => done - slot.in_flight,
        }
    }

    /// New blocks that a running request takes to have room for `tokens` tokens.
    #[inline]
    pub(super) fn growth_to(&self, index: SlotId, tokens: u32) -> u32 {
        self.growth_with_slots(index, tokens, tokens)
    }

    /// The same where there is to be room for `slots` tokens, drafts' slots included.
    #[inline]
    pub(super) fn growth_with_slots(&self, index: SlotId, tokens: u32, slots: u32) -> u32 {
        let [tokens, slots] = [tokens, slots].map(|tokens| self.pool.length_for(tokens));
        self.pool.growth_to(index, self.length(index), slots, tokens)
    }

    /// Takes the cached blocks of a hit for a request that holds none, behind which `external` tokens come
    /// from elsewhere.
    pub(super) fn take_hit(&mut self, index: SlotId, hit: Hit, external: u32) {
        // A policy that keeps the memory itself keeps what it finds there, too.
        if hit.blocks + external > 0 && self.pool.caching() {
            self.pool.take_found(index, hit, external, self.slots[index.index()].chain());
        }
    }

    /// So many tokens of a request were found in the prefix cache.
    pub(super) fn note_hit(&mut self, index: SlotId, tokens: u32) {
        self.hit_tokens += u64::from(tokens);
        let slot = &mut self.slots[index.index()];
        if !slot.admitted_once {
            slot.first_hit = tokens;
        }
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
            self.hash_blocks(index, known, known);
            self.pool.trim(index, known);
        } else {
            self.pool.give_back(self.pool.out_of_window(before, known));
        }
        self.slots[index.index()].trimmed_at = known;
    }

    /// Takes new blocks so that a running request has room for `tokens` tokens.
    pub(super) fn grow_to(&mut self, index: SlotId, tokens: u32) {
        self.grow_with_slots(index, tokens, tokens);
    }

    /// The same with room for `slots` tokens, drafts' slots included.
    pub(super) fn grow_with_slots(&mut self, index: SlotId, tokens: u32, slots: u32) {
        let new = self.growth_with_slots(index, tokens, slots);
        let length = self.length(index).max(self.pool.length_for(slots));
        self.pool.take_for(index, new, length, self.pool.length_for(tokens));
        self.slots[index.index()].length = length;
    }

    /// Full blocks of its tokens that can be found.
    pub(super) fn findable(&self, index: SlotId) -> u32 {
        let slot = &self.slots[index.index()];
        // The token that is carried over is none of those that are there; the last of these has to come.
        let carried = slot.remote.carried && !slot.own.pulled;
        self.findable_of(slot.target - u32::from(carried))
    }

    /// Full blocks of so many tokens that can be found.
    fn findable_of(&self, target: u32) -> u32 {
        let ahead = self.options.drafts.hash_lookahead;
        // The last known token is always computed anew, so that there is something to sample from.
        let last = match self.options.reuse.whole {
            Whole::LastBlock => ahead.max(1),
            _ => ahead,
        };
        target.saturating_sub(last) / self.options.block_tokens
    }

    /// Tokens at the head of a prompt, `tokens` long, that a request would find here if it were looked for
    /// now. `chain` says what blocks of so many tokens contain, where so many behind a block belong to
    /// what it is.
    pub(crate) fn found_of(&mut self, tokens: u32, chain: impl FnOnce(u32, u32) -> Chain) -> u32 {
        if !self.pool.caching() {
            return 0;
        }
        let (block_tokens, ahead) = (self.options.block_tokens, self.options.drafts.hash_lookahead);
        let chain = chain(block_tokens, ahead);
        self.meet_chain(&chain, None);
        let drops_last = self.options.drafts.drops_last_block;
        let blocks = self.findable_of(tokens);
        let found = self.pool.find(&chain, blocks, drops_last).tokens(block_tokens);
        found.min(tokens.saturating_sub(1))
    }

    pub(super) fn block_keys(&self, index: SlotId) -> impl Iterator<Item = BlockKey> + '_ {
        let chain = self.slots[index.index()].chain();
        (0..self.findable(index)).map(move |block| chain.key(block))
    }

    /// Gives keys to the blocks that `tokens` computed tokens fill, as far as what they are is
    /// known: `known` tokens are.
    pub(super) fn hash_blocks(&mut self, index: SlotId, tokens: u32, known: u32) {
        let (block_tokens, ahead) = (self.options.block_tokens, self.options.drafts.hash_lookahead);
        let full = tokens.min(known.saturating_sub(ahead)) / block_tokens;
        let slot = &self.slots[index.index()];
        let Some(chain) = &slot.chain else { return };
        let reuse = self.options.reuse;
        let full = if reuse.prompts_alone { full.min(slot.prompt / block_tokens) } else { full };
        self.pool.register(index, full, reuse.once, chain);
    }

    /// Blocks that a chunk has filled can be found from now on, where its system does so then.
    pub(super) fn hash_chunk(&mut self, index: SlotId) {
        let slot = &self.slots[index.index()];
        let (done, target) = (slot.done, slot.target);
        match self.options.reuse.stored {
            Stored::Computed if !self.pool.hashes_at_schedule() => {
                self.meet(index);
                self.hash_blocks(index, done, target);
            }
            Stored::PromptDone if done == target => self.hash_blocks(index, done - 1, target),
            _ => {}
        }
    }

    /// Gives keys to what the next decode step fills of answers that others can meet, where the system
    /// does so while they go on. Of all other answers it is time enough when they give their blocks
    /// back.
    pub(super) fn hash_answers(&mut self) {
        let waits = self.registers_late() || self.options.reuse.stored != Stored::Computed;
        if !self.answers_are_met || waits {
            return;
        }
        let mut slots = std::mem::take(&mut self.scratch);
        // A token that is on its way is not known yet.
        let late = u32::from(self.options.out.ahead);
        let beyond = self.options.drafts.hash_lookahead + late;
        self.members.decodes.filling_slots(beyond, &mut slots);
        slots.retain(|index| self.slots[index.index()].content.own_is_met());
        for &index in &slots {
            let known = self.done(index) + 1 - late;
            self.hash_blocks(index, known, known);
        }
        self.scratch = slots;
    }

    /// Gives back all blocks, those that became full since the last hash with their keys. `in_flight`
    /// says whether a decode step of it, if it has made one, is out: what that computes is not known
    /// to anybody.
    pub(super) fn free_blocks(&mut self, index: SlotId, in_flight: bool, leaving: Leaving) {
        if self.pool.caching() && !self.options.by_request {
            let slot = &self.slots[index.index()];
            let in_batch = slot.stamp == self.members.batch.stamp && self.pool.hashes_at_schedule();
            let tokens = slot.done + if in_batch { slot.scheduled } else { 0 };
            let unknown = self.options.out.ahead && in_flight && slot.decoded;
            let tokens = tokens - u32::from(unknown);
            // Its last chunk is out, and with it the token that a step planned since would compute.
            let joined_ahead = self.options.out.ahead && !slot.decoded && slot.in_flight > 0;
            let tokens = if joined_ahead { tokens.min(slot.done) } else { tokens };
            // Of an answer one token more is known than is computed.
            let known = slot.target.max(tokens + 1);
            self.hash_blocks(index, tokens, known);
        }
        let slot = &self.slots[index.index()];
        let held = self.pool.held(index, slot.length, || slot.trimmed_at);
        let leaves = match (leaving, &slot.chain) {
            (Leaving::ForNow, Some(chain)) => Leaves::ForNow(chain),
            _ => Leaves::ForGood,
        };
        self.pool.release_of(index, held, leaves);
        if leaving == Leaving::ForGood {
            self.talks.leave(self.slots[index.index()].content.owner());
        }
        let slot = &mut self.slots[index.index()];
        slot.length = 0;
        slot.trimmed_at = 0;
        slot.own.fills_at = 0;
    }

    /// Takes the blocks that one token for every decoding request needs, and returns what they no
    /// longer do.
    pub(super) fn decode_blocks(&mut self) {
        if self.pool.caching() && !self.pool.keeps_runs() {
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
            if self.pool.hashes_at_schedule() {
                self.hash_answers();
            }
        } else {
            // Without identities only the count matters; members' shares follow from their tokens.
            let growth = self.members.decodes.growing() * self.pool.growth(1);
            if self.pool.trims() {
                self.pool.give_back(self.given_back_next());
            }
            if !self.pool.is_told() {
                self.pool.take_nameless(growth);
            }
            if self.pool.hashes_at_schedule() {
                self.hash_answers();
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
