//! What a request is to its session.

use super::spec::GapKind;
use crate::kv::KeptBlocks;
use crate::request::RequestId;
use crate::time::Span;
use crate::trace::RequestRow;

/// A request as a turn of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTurn {
    /// Number of the session, as they begin.
    pub session: u32,
    /// Number of the turn in it, from 0.
    pub turn: u32,
    /// The turn before it.
    pub before: Option<RequestId>,
    /// Tokens that it begins with and that the session has had before, prompt and then answer of the
    /// turn before.
    pub inherits: u32,
    /// Tokens of a prefix that sessions share, with which it begins where it inherits nothing.
    pub prefix_tokens: u32,
    /// From the answer before it to this turn.
    pub gap: Span,
    /// Who was waited for.
    pub kind: GapKind,
    /// Whether the session was to end with it.
    pub is_last: bool,
}

impl SessionTurn {
    /// Tokens of a prompt of `prompt` tokens that a cache without end finds of the turn `before`, in whole
    /// blocks: of what both have in common, as far as KV of it was computed and is kept; and never all of a prompt.
    pub fn findable(&self, before: &RequestRow, prompt: u32, kept: KeptBlocks) -> u32 {
        // The last token of an answer is sampled, and no step ever takes it in.
        let answer = if kept.answers { before.tokens.saturating_sub(1) } else { 0 };
        let computed = before.prompt_tokens.saturating_add(answer);
        let common = self.inherits.min(computed).min(prompt.saturating_sub(1));
        common / kept.tokens * kept.tokens
    }
}
