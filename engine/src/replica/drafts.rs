//! What drafting asks of a scheduler and of memory, and whose drafts are accepted.

use std::fmt::Debug;

use crate::request::RequestId;

/// What a drafting method asks for, as vLLM 0.33.0 has it (`config/speculative.py`,
/// `v1/core/sched/scheduler.py`). The default is: nobody drafts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DraftSlots {
    /// Draft tokens of a step (`num_speculative_tokens`); 0 where nobody drafts.
    pub tokens: u32,
    /// Slots for which every allocation makes room beyond its tokens (EAGLE, MTP: as many as drafts).
    pub lookahead_slots: u32,
    /// Prompt tokens that the last chunk must leave or take along whole (MTP of several modules).
    pub prefill_lookahead: u32,
    /// What a request is charged beyond its tokens in a step's input (a draft model: one).
    pub input_slots: u32,
    /// Tokens behind a block that its identity covers too.
    pub hash_lookahead: u32,
    /// Whether every prefix hit loses its last block instead.
    pub drops_last_block: bool,
    /// Blocks of scratch states that a request holds in each group of states.
    pub state_blocks: u32,
}

impl DraftSlots {
    /// Nobody drafts.
    pub const NONE: DraftSlots = DraftSlots {
        tokens: 0,
        lookahead_slots: 0,
        prefill_lookahead: 0,
        input_slots: 0,
        hash_lookahead: 0,
        drops_last_block: false,
        state_blocks: 0,
    };
}

/// Whose drafts are accepted, and how many are found: the same for every scheduler.
pub trait Accepts: Debug + Send + Sync {
    /// How many of `drafts` drafts are accepted when `request` verifies for the `round`th time, its
    /// output `position` tokens long; at most `drafts`.
    fn accepted(&self, request: RequestId, round: u32, position: u32, drafts: u32) -> u32;

    /// How many drafts are found for it after its `round`th sample, of `most`: all, unless somebody
    /// has to look for them (n-grams).
    fn found(&self, _request: RequestId, _round: u32, _position: u32, most: u32) -> u32 {
        most
    }
}
