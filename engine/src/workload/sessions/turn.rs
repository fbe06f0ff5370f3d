//! What a request is to its session.

use super::spec::GapKind;
use crate::request::RequestId;
use crate::time::Span;

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
