//! What a policy reads of memory: blocks that are free, and those that a step would take.

use super::slot::{Handle, Phase};
use super::step::Step;
use crate::content::Content;
use crate::kv::{BlockKey, Hit, KvGroups, Whole};

impl Step<'_> {
    /// Tokens in a KV block.
    pub fn block_tokens(&self) -> u32 {
        self.replica.options.block_tokens
    }

    /// The groups of layers that blocks hold.
    pub fn groups(&self) -> &KvGroups {
        self.replica.pool.groups()
    }

    /// Usable blocks in all.
    pub fn total_blocks(&self) -> u32 {
        self.replica.pool.total()
    }

    /// Free blocks now (cached ones that nobody references included).
    pub fn free_blocks(&self) -> u32 {
        self.replica.pool.free()
    }

    /// Blocks that a new request takes to have room for `tokens` tokens, of all groups of layers.
    pub fn blocks_for(&self, tokens: u32) -> u32 {
        self.replica.pool.blocks_for(tokens)
    }

    /// New blocks that a request takes to have room for `tokens` tokens of it, what it holds aside.
    /// Blocks that it gives back first, where a model has sliding windows, are not counted off.
    pub fn more_blocks_for(&self, request: Handle, tokens: u32) -> u32 {
        match self.replica.phase(request.0) {
            Phase::Waiting => self.blocks_for(tokens),
            _ => self.replica.growth_to(request.0, tokens),
        }
    }

    /// Blocks that one block more in every growing table of a request takes: 1 where a model has one
    /// group of layers.
    pub fn blocks_to_grow(&self) -> u32 {
        self.replica.pool.growth(1)
    }

    /// Tokens that a running request can have room for, with what it holds and all free blocks.
    pub fn room_tokens(&self, request: Handle) -> u32 {
        let free = self.free_blocks().checked_div(self.blocks_to_grow()).unwrap_or(u32::MAX);
        self.replica.length(request.0).saturating_add(free).saturating_mul(self.block_tokens())
    }

    /// Blocks that leave the free ones where a waiting request is admitted with room for `tokens`
    /// tokens and takes `hit`.
    pub fn blocks_to_admit(&self, tokens: u32, hit: Hit) -> u32 {
        self.replica.pool.blocks_beyond(hit.blocks, tokens) + hit.idle
    }

    /// The same with the slots that drafts may need beyond them.
    pub fn blocks_to_admit_with(&self, tokens: u32, hit: Hit) -> u32 {
        self.blocks_to_admit(self.replica.with_lookahead(tokens), hit)
    }

    /// The most that leave the free ones until a waiting request that takes `hit` has `tokens`
    /// tokens computed, at most `step_tokens` of it a step: a group with a sliding window holds its
    /// window and what is being computed.
    pub fn blocks_to_complete(&self, tokens: u32, step_tokens: u32, hit: Hit) -> u32 {
        let replica = &self.replica;
        if !replica.pool.trims() {
            return self.blocks_to_admit(tokens, hit);
        }
        // vLLM counts what may be in flight: a step of each micro-batch, and one planned ahead.
        let lanes = replica.parked.len().max(1) as u64;
        let steps = lanes.max(replica.options.out.most().into());
        let (most, in_flight) = (replica.options.max_model_len, u64::from(step_tokens) * steps);
        let blocks = replica.pool.groups().blocks_beyond(
            hit.blocks,
            tokens.min(most).into(),
            in_flight,
            replica.options.block_tokens,
        );
        let blocks = blocks + u64::from(replica.pool.scratch_blocks());
        u32::try_from(blocks).unwrap_or(u32::MAX).saturating_add(hit.idle)
    }

    /// New blocks that one token for every decoding request takes.
    pub fn blocks_for_decodes(&self) -> u32 {
        debug_assert!(!self.replica.options.by_request, "they are named");
        self.replica.members.decodes.growing() * self.replica.pool.growth(1)
    }

    /// Whether it matters who takes memory first, though there is enough for all: with prefix
    /// caching, which blocks lose their content where others come back on the way, and which of two
    /// blocks with the same content is found where answers can meet prompts.
    pub fn order_matters(&self) -> bool {
        let replica = &self.replica;
        replica.pool.caching() && (replica.pool.trims() || replica.answers_are_met)
    }

    /// How much of a chunk of `tokens` prefill tokens a request computes now, where states are to be
    /// found again: they can be kept at the end of a chunk and of a block alone. `step_tokens` is
    /// the most that a step computes of a prompt; `hit` is what it would take where it waits.
    ///
    /// 0 says that it has to wait for a step with more room.
    pub fn chunk_with_state(
        &self,
        request: Handle,
        tokens: u32,
        step_tokens: u32,
        hit: Hit,
    ) -> u32 {
        match self.replica.pool.aligned() {
            true => self.replica.chunk_with_state(request.0, tokens, step_tokens, hit),
            false => tokens,
        }
    }

    /// Cached blocks at the head of a waiting request's tokens; none without prefix caching.
    pub fn lookup(&mut self, request: Handle) -> Hit {
        if !self.replica.pool.caching() {
            return Hit::default();
        }
        self.replica.meet(request.0);
        let (pool, block_tokens) = (&self.replica.pool, self.block_tokens());
        let drops_last = self.replica.options.drafts.drops_last_block;
        let slot = &self.replica.slots[request.0.index()];
        let (chain, target) = (slot.chain(), slot.target);
        let hit = pool.find(chain, self.replica.findable(request.0), drops_last);
        let whole = hit.blocks > 0 && hit.blocks * block_tokens == target;
        match self.replica.options.reuse.whole {
            Whole::InPlace if whole => Hit { again: 1, ..hit },
            Whole::Copied if whole => {
                Hit { copied: block_tokens - 1, ..pool.find(chain, hit.blocks - 1, false) }
            }
            _ => hit,
        }
    }

    /// The first full block of a request's tokens that is not cached; `None` where all are, nothing
    /// is kept, or nobody else can have any of them.
    pub fn first_new_block(&mut self, request: Handle) -> Option<BlockKey> {
        if !self.replica.pool.caching() {
            return None;
        }
        self.replica.meet(request.0);
        let replica = &self.replica;
        let slot = &replica.slots[request.0.index()];
        if !slot.content.is_shared() {
            return None;
        }
        let full = slot.target / replica.options.block_tokens;
        let cached = replica.pool.find(slot.chain(), full, false).blocks;
        (cached < full).then(|| slot.chain().key(cached))
    }

    /// Takes the content of all cached blocks that nobody references, but for those that a waiting
    /// request would find.
    pub fn forget_cached(&mut self, but_for: Handle) {
        if !self.replica.pool.caching() {
            return;
        }
        let keys: Vec<BlockKey> = self.replica.block_keys(but_for.0).collect();
        self.replica.pool.forget_idle(keys.into_iter());
    }

    /// What a request's tokens are, as far as others can have the same. Nothing is known unless the
    /// policy [needs](super::Needs::knows_contents) it.
    pub fn content(&self, request: Handle) -> &Content {
        &self.replica.slots[request.0.index()].content
    }
}
