//! Speculative decoding: which method drafts how many tokens at which batch size, and how many of
//! them the model accepts. What drafting costs is `cost`'s; who drafts in which step, a policy's.

mod acceptance;
mod batch_sizes;
mod chance;
mod copying;
mod luck;
mod method;
mod rounds;
mod spread;

use std::sync::Arc;

pub use acceptance::{Acceptance, AcceptanceRule, PresetError};
pub use batch_sizes::DraftsByBatchSize;
pub use luck::Luck;
pub use method::Method;
pub use rounds::{Rounds, RoundsError};

/// The most tokens that may be drafted at a time (vLLM's `MAX_SPEC_LEN`).
pub const DRAFTS_MAX: u32 = 128;

/// How an engine drafts, and how many drafts are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speculative {
    /// Who drafts how many tokens, and when: what a policy may know.
    pub rules: DraftRules,
    /// How many drafts are accepted: what it may not.
    pub acceptance: Acceptance,
}

/// Who drafts how many tokens, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftRules {
    /// Who drafts.
    pub method: Method,
    /// Tokens drafted for a request at a time (`num_speculative_tokens`), at least 1.
    pub tokens: u32,
    /// Nobody drafts while more requests than this run.
    pub off_above_running: Option<u32>,
    /// Fewer drafts in larger batches, where the engine is told so.
    pub by_batch_size: Option<DraftsByBatchSize>,
}

impl Speculative {
    /// The luck of a run with this seed.
    pub fn luck(self: &Arc<Self>, seed: u64) -> Luck {
        Luck::new(self.clone(), seed)
    }
}

impl DraftRules {
    /// Tokens to draft for each request in a batch of so many running requests: 0 to
    /// [`tokens`](DraftRules::tokens).
    #[inline]
    pub fn k_at(&self, running: u32) -> u32 {
        if self.off_above_running.is_some_and(|most| running > most) {
            return 0;
        }
        let by_size = self.by_batch_size.as_ref().and_then(|table| table.at(running));
        by_size.unwrap_or(self.tokens).min(self.tokens)
    }

    /// Slots for KV beyond a request's scheduled tokens that every allocation counts in.
    pub const fn lookahead_slots(&self) -> u32 {
        self.method.lookahead_slots(self.tokens)
    }

    /// Tokens of a prompt that its next to last chunk must leave to the last.
    pub const fn prefill_lookahead(&self) -> u32 {
        self.method.prefill_lookahead(self.tokens)
    }

    /// Tokens of the drafter's own input that a request is charged for beside its scheduled ones.
    pub const fn draft_slots(&self) -> u32 {
        self.method.draft_slots()
    }

    /// Tokens after a block that its hash covers.
    pub const fn hash_lookahead(&self) -> u32 {
        self.method.hash_lookahead(self.tokens)
    }
}

#[cfg(test)]
mod tests;
