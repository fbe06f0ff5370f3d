//! What drafting asks of memory, and whose drafts are accepted.

use std::fmt::Debug;

use super::EngineInfo;
use crate::ids::ClassId;
use crate::request::RequestId;
use crate::speculative::{DraftRules, Luck};

/// What a drafting method asks for, as vLLM 0.33.0 has it (`config/speculative.py`,
/// `v1/core/sched/scheduler.py`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DraftSlots {
    /// Who drafts how many tokens; `None` where nobody does.
    pub rules: Option<DraftRules>,
    /// Slots for which every allocation makes room beyond its tokens (EAGLE, MTP: as many as drafts).
    pub lookahead: u32,
    /// Prompt tokens that the last chunk must leave or take along whole (MTP of several modules).
    pub prefill_lookahead: u32,
    /// What a request is charged beyond its tokens in a step's input (a draft model: one).
    pub input: u32,
    /// Tokens behind a block that its identity covers too.
    pub hash_lookahead: u32,
    /// Whether every prefix hit loses its last block instead (`disable_lookahead_block_hashes`).
    pub drops_last_block: bool,
}

impl DraftSlots {
    /// What the drafts of such an engine ask for.
    pub fn of(engine: &EngineInfo) -> DraftSlots {
        let Some(rules) = engine.speculative else { return DraftSlots::default() };
        DraftSlots {
            rules: Some(rules),
            lookahead: rules.lookahead_slots(),
            prefill_lookahead: rules.prefill_lookahead(),
            input: rules.draft_slots(),
            hash_lookahead: if engine.prefix_caching { rules.hash_lookahead() } else { 0 },
            drops_last_block: false,
        }
    }

    /// Whether anybody drafts.
    pub fn any(&self) -> bool {
        self.rules.is_some()
    }

    /// The most drafts that a request has at a time.
    pub fn most(&self) -> u32 {
        self.rules.as_ref().map_or(0, |rules| rules.tokens)
    }

    /// The same in a batch of so many requests.
    pub(crate) fn most_at(&self, requests: u32) -> u32 {
        self.rules.as_ref().map_or(0, |rules| rules.k_at(requests))
    }
}

/// Whose drafts are accepted, and how many are found: the same for every scheduler.
pub trait Accepts: Debug + Send + Sync {
    /// How many of `drafts` drafts are accepted when `request` verifies for the `round`th time, its
    /// output `position` tokens long; at most `drafts`.
    fn accepted(
        &self,
        request: RequestId,
        class: ClassId,
        round: u32,
        position: u32,
        drafts: u32,
    ) -> u32;

    /// How many drafts are found for it after its `round`th sample, of `most`: all, unless somebody
    /// has to look for them (n-grams).
    fn found(&self, _request: RequestId, _round: u32, most: u32) -> u32 {
        most
    }
}

impl Accepts for Luck {
    #[inline]
    fn accepted(
        &self,
        request: RequestId,
        class: ClassId,
        _: u32,
        position: u32,
        drafts: u32,
    ) -> u32 {
        Luck::accepted(self, request, class, position, drafts)
    }
}
