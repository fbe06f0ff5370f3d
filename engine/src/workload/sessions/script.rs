//! What recorded sessions say, request by request, and which answers each request waits for.

use std::sync::Arc;

use super::spec::GapKind;
use crate::ids::ClassId;
use crate::request::BlockIds;
use crate::time::{Span, Time};

/// No step.
pub(crate) const NO_STEP: u32 = u32::MAX;

/// Recorded sessions, ready to be played.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// In order of their beginnings.
    pub(crate) sessions: Vec<ScriptSession>,
    /// Steps of all sessions, one session after the other; within one, a step comes behind those that it
    /// waits for.
    pub(crate) steps: Vec<Step>,
    /// Steps that wait for others: [`Step::then`] points here.
    pub(crate) edges: Vec<u32>,
    /// Content ids.
    pub(crate) ids: Arc<Vec<u64>>,
    /// Tokens that one stands for.
    pub(crate) id_tokens: u32,
    /// Class names; at least one.
    pub(crate) classes: Vec<String>,
}

/// A recorded session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScriptSession {
    /// When it begins.
    pub(crate) start: Time,
    /// Its first step, with which it begins, and how many it has.
    pub(crate) first: u32,
    pub(crate) steps: u32,
}

/// A recorded request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) prompt_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) max_tokens: u32,
    pub(crate) priority: i32,
    pub(crate) class: ClassId,
    /// From the last of the answers that it waits for to this request.
    pub(crate) gap: Span,
    /// From the sending of the step before it to this one at the least.
    pub(crate) apart: Span,
    pub(crate) kind: GapKind,
    /// How many steps it waits for: none for the first of a session alone.
    pub(crate) waits: u32,
    /// Where the steps that wait for it stand in [`Script::edges`], and how many they are.
    pub(crate) then: (u32, u32),
    /// The step before it in its conversation, or that which spawned it.
    pub(crate) before: u32,
    /// Tokens of that one, prompt and then answer, with which it begins.
    pub(crate) inherits: u32,
    /// Its content ids, and the tokens that they cover.
    pub(crate) blocks: BlockIds,
    pub(crate) covers: u32,
    /// Whether a later request begins with tokens of its answer.
    pub(crate) own_is_met: bool,
    /// Number of the turn in its conversation.
    pub(crate) turn: u32,
    /// Whether the conversation ends with it.
    pub(crate) is_last: bool,
}
