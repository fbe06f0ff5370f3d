//! The decode set: the requests that get a token at every decode step.
//!
//! Two forms with one meaning. [`DecodeSteps`] touches no member at a decode step: sums, growth and
//! endings are known from when each joined. [`Plain`] visits every member at every decode step and
//! is the specification of the first; the `--reference` path uses it.

use super::decode_steps::DecodeSteps;
use super::plain::Plain;
use super::reads::Reads;
use crate::catalog::Reaches;
use crate::ids::SlotId;

/// A request that begins (or resumes) decoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joining {
    pub slot: SlotId,
    /// Admission order, by which members with equal claims are served.
    pub order: u64,
    /// Tokens computed so far.
    pub done: u32,
    /// Tokens it will still emit, one a decode step.
    pub left: u32,
    /// Blocks it holds.
    pub blocks: u32,
    /// Whether it takes a new block whenever its blocks are full (otherwise all are reserved).
    pub grows: bool,
}

/// What a request takes along when it leaves the set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leaving {
    /// Tokens computed.
    pub done: u32,
    /// Tokens still to be emitted.
    pub left: u32,
    /// The decode steps `(first, count)` at which it emitted since it joined; they are in a row.
    pub emitted: Option<(u32, u32)>,
}

#[derive(Clone, Debug)]
pub(crate) enum DecodeSet {
    DecodeSteps(DecodeSteps),
    Plain(Plain),
}

macro_rules! both {
    ($self:ident, $set:ident => $body:expr) => {
        match $self {
            DecodeSet::DecodeSteps($set) => $body,
            DecodeSet::Plain($set) => $body,
        }
    };
}

impl DecodeSet {
    pub(super) fn new(block_tokens: u32, reference: bool, reaches: Reaches) -> DecodeSet {
        if reference {
            DecodeSet::Plain(Plain::new(block_tokens, reaches))
        } else {
            DecodeSet::DecodeSteps(DecodeSteps::new(block_tokens, reaches))
        }
    }

    /// Members.
    pub(super) fn len(&self) -> u32 {
        both!(self, set => set.len())
    }

    /// Tokens computed, summed over members.
    pub(super) fn kv_tokens(&self) -> u64 {
        both!(self, set => set.kv_tokens())
    }

    /// What the next decode step reads within the model's reaches; `None` where it has none.
    pub(super) fn reads(&self) -> Option<Reads> {
        both!(self, set => set.reads())
    }

    /// Decode steps so far; the index of the next one.
    pub(super) fn decode_step(&self) -> u32 {
        both!(self, set => set.decode_step())
    }

    /// Tokens that a member has computed.
    #[inline]
    pub(super) fn done(&self, slot: SlotId) -> u32 {
        both!(self, set => set.done(slot))
    }

    /// Members that need a new block at the next decode step.
    pub(super) fn growing(&self) -> u32 {
        both!(self, set => set.growing())
    }

    /// The same, by name, in admission order.
    pub(super) fn growing_slots(&self, into: &mut Vec<SlotId>) {
        both!(self, set => set.growing_slots(into))
    }

    /// Members that fill a block at the next decode step, or fill it up to `ahead` tokens beyond its
    /// end, in admission order. Of those that hold more than a block ahead nothing is said.
    pub(super) fn filling_slots(&self, ahead: u32, into: &mut Vec<SlotId>) {
        both!(self, set => set.filling_slots(ahead, into))
    }

    pub(super) fn join(&mut self, joining: Joining) {
        both!(self, set => set.join(joining))
    }

    pub(super) fn leave(&mut self, slot: SlotId) -> Leaving {
        both!(self, set => set.leave(slot))
    }

    /// One decode step for every member. Appends those that emitted their last token in it.
    pub(super) fn advance(&mut self, ended: &mut Vec<SlotId>) {
        both!(self, set => set.advance(ended))
    }

    /// Decode steps in a row, `most` at most, at which nobody emits a last token or turns within a
    /// reach before the last.
    pub(super) fn quiet(&self, most: u32) -> u32 {
        both!(self, set => set.quiet(most))
    }

    /// Blocks that the next `decode_steps` decode steps need, which are [`quiet`](Self::quiet).
    pub(super) fn growing_in(&self, decode_steps: u32) -> u64 {
        both!(self, set => set.growing_in(decode_steps))
    }

    /// Members that need a new block at the decode step after `decode_steps` quiet ones.
    pub(super) fn growing_after(&self, decode_steps: u32) -> u32 {
        both!(self, set => set.growing_after(decode_steps))
    }

    /// Quiet decode steps for every member.
    pub(super) fn advance_by(&mut self, decode_steps: u32) {
        both!(self, set => set.advance_by(decode_steps));
    }
}
