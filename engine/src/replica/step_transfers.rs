//! What a policy sees and does where KV can come from elsewhere.

use super::slot::{Handle, Phase};
use super::step::Step;
use super::transfers::External;
use crate::kv::Hit;

impl Step<'_> {
    /// Whether the KV of a waiting request is still on its way. Where it has come, its blocks are
    /// its own from now on.
    pub fn still_loads(&mut self, request: Handle) -> bool {
        self.replica.still_loads(request.0)
    }

    /// Whether the load that this step began for a request is waited for by the step itself: the request can
    /// be in it.
    pub fn loads_in_step(&mut self, request: Handle) -> bool {
        self.replica.loads_in_step(request.0)
    }

    /// How many tokens of a waiting request, of which nothing is computed, would come from elsewhere
    /// beyond those of `hit`.
    pub fn external(&mut self, request: Handle, hit: Hit) -> External {
        let local = hit.blocks * self.block_tokens();
        self.replica.external(request.0, local)
    }

    /// Blocks that loads leave to prompts that are unfinished, running or on their way; `step_tokens`
    /// is the most that a step computes.
    pub fn reserved_blocks(&self, step_tokens: u32) -> u32 {
        self.replica.reserved(step_tokens)
    }

    /// Whether a running request can be preempted now: not where its blocks could not come back.
    pub fn may_preempt(&self, request: Handle) -> bool {
        self.replica.is_freeable(request.0)
    }

    /// The most blocks that a waiting request takes until `tokens` of its tokens are computed, at most
    /// `step_tokens` of it a step, where it takes `hit` and `external` tokens come from elsewhere.
    pub fn blocks_to_complete_with(
        &self,
        request: Handle,
        tokens: u32,
        step_tokens: u32,
        (hit, external): (Hit, u32),
    ) -> u32 {
        let replica = &self.replica;
        let held = replica.slots[request.0.index()].length;
        if external == 0 && held == 0 {
            return self.blocks_to_complete(tokens, step_tokens, hit);
        }
        let in_flight = u64::from(step_tokens) * u64::from(replica.options.out.most());
        let there = match external {
            0 => 0,
            tokens => hit.blocks * self.block_tokens() + tokens,
        };
        let tokens = tokens.min(replica.options.max_model_len);
        replica.blocks_from(hit.blocks.max(held), there, tokens, in_flight) + hit.idle
    }

    /// Blocks that a load of `external` tokens behind `hit` takes.
    pub fn blocks_to_load(&self, hit: Hit, external: u32) -> u32 {
        let there = hit.blocks * self.block_tokens() + external;
        // Beside the first state come the scratch blocks of its drafts.
        let scratch = if external > 0 { self.replica.pool.scratch_blocks() } else { 0 };
        self.replica.blocks_from(hit.blocks, there, there, u64::MAX / 2) + scratch + hit.idle
    }

    /// Whether a load of `external` tokens leaves room for what those who are here may still take.
    fn leaves_room(&self, request: Handle, external: u32) -> bool {
        let fits = |tokens: u64| {
            let blocks = tokens.div_ceil(self.block_tokens().into());
            blocks.saturating_mul(self.blocks_to_grow().into()) <= self.free_blocks().into()
        };
        self.replica.tokens_free_for_load(request.0, external).is_none_or(fits)
    }

    /// New blocks that a waiting request which holds some takes to have room for `tokens` tokens and
    /// the slots of its drafts.
    pub fn more_blocks_with(&self, request: Handle, tokens: u32) -> u32 {
        let slots = self.replica.with_lookahead(tokens);
        self.replica.growth_with_slots(request.0, tokens, slots)
    }

    /// Blocks in which every growing table of a request grows by `tokens` tokens.
    pub fn blocks_growing_by(&self, tokens: u32) -> u32 {
        self.blocks_to_grow() * tokens.div_ceil(self.block_tokens())
    }

    /// Begins to load `external` tokens of a waiting request behind `hit`: it takes the blocks for
    /// them and waits for its KV, without a seat. Says `false`, and changes nothing, when too few
    /// blocks are free.
    pub fn load(&mut self, request: Handle, hit: Hit, external: u32) -> bool {
        let index = request.0;
        let needed = self.blocks_to_load(hit, external);
        if needed > self.free_blocks() || !self.leaves_room(request, external) {
            return false;
        }
        let replica = &mut *self.replica;
        assert_eq!(replica.phase(index), Phase::Waiting, "only a waiting request loads");
        let hit_tokens = hit.blocks * replica.options.block_tokens;
        replica.take_hit(index, hit, external);
        let there = hit_tokens + external;
        let length = replica.pool.length_for(there);
        replica.pool.take(index, needed - hit.idle, length);
        replica.leave_waiting(index);
        replica.note_hit(index, hit_tokens);
        let slot = &mut replica.slots[index.index()];
        slot.phase = Phase::Loading;
        slot.done = there;
        slot.length = length;
        slot.trimmed_at = there;
        slot.junction = hit.junction;
        replica.hold_back(index);
        replica.reserves(index);
        let whole = replica.blocks_from(0, there, there, u64::MAX / 2);
        replica.allocated(index, (hit_tokens, external), (needed - hit.idle, whole));
        true
    }
}
