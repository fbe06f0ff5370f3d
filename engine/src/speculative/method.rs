//! Who drafts, and what that asks of a scheduler.

use std::fmt;

/// Who drafts tokens. What follows for a scheduler is vLLM 0.33.0's `SpeculativeConfig` and V1
/// scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A head that reads the model's last hidden states (EAGLE).
    Eagle,
    /// A head that reads hidden states of three layers and has a vocabulary of its own (EAGLE-3).
    Eagle3,
    /// The model's own layers for multi-token prediction.
    Mtp {
        /// How many of them the model has, at least 1; a single one is used again for each draft.
        modules: u32,
    },
    /// What followed the last few tokens when they came before (vLLM's `ngram`), on the host.
    Ngram,
    /// A small model.
    DraftModel,
    /// The most frequent continuation in a suffix tree of prompts and answers, on the host.
    Suffix,
}

impl Method {
    /// The names of all, as scenarios have them.
    pub const NAMES: [&'static str; 6] =
        ["eagle", "eagle3", "mtp", "ngram", "draft_model", "suffix"];

    /// Its name in scenarios, which is vLLM's.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Eagle => "eagle",
            Method::Eagle3 => "eagle3",
            Method::Mtp { .. } => "mtp",
            Method::Ngram => "ngram",
            Method::DraftModel => "draft_model",
            Method::Suffix => "suffix",
        }
    }

    /// Slots for KV beyond the scheduled tokens that every allocation counts in, where `k` tokens are
    /// drafted at a time.
    pub const fn lookahead_slots(self, k: u32) -> u32 {
        if self.drafts_on_host() { 0 } else { k }
    }

    /// Tokens of a prompt that its next to last chunk must leave to the last: those that a drafter
    /// must know to draft from a chunk's last token. With 1 no chunk is changed.
    pub const fn prefill_lookahead(self, k: u32) -> u32 {
        match self {
            Method::Eagle | Method::Eagle3 | Method::Mtp { modules: 0 | 1 } => 1,
            Method::Mtp { .. } => k,
            Method::Ngram | Method::DraftModel | Method::Suffix => 0,
        }
    }

    /// Tokens of the drafter's own input that a request is charged for beside its scheduled ones.
    pub const fn draft_slots(self) -> u32 {
        match self {
            Method::DraftModel => 1,
            _ => 0,
        }
    }

    /// Tokens after a block that its hash covers, with prefix caching and no KV connector: the
    /// drafter's KV of a token depends on the token after it.
    pub const fn hash_lookahead(self, k: u32) -> u32 {
        self.prefill_lookahead(k)
    }

    /// Whether the host drafts, so that there are no layers, no weights and no KV of a drafter.
    pub const fn drafts_on_host(self) -> bool {
        matches!(self, Method::Ngram | Method::Suffix)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
