//! One request as SGLang's scheduler keeps it.

use std::sync::Arc;

use crate::kv::radix::{NodeId, Text};
use crate::replica::Handle;

/// The most output tokens of a request that a budget counts (`CLIP_MAX_NEW_TOKENS`).
pub(super) const CLIP: u32 = 4096;

/// Names a request inside its scheduler while it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Rid(pub u32);

/// A request that arrives.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// What it is called outside.
    pub handle: Handle,
    /// Prompt tokens.
    pub prompt: u32,
    /// Longest answer that was asked for.
    pub max_tokens: u32,
    /// Larger is more urgent; nothing said is least urgent.
    pub priority: Option<i64>,
    /// Whether it goes on to its longest answer whatever it says.
    pub ignore_eos: bool,
    /// Its tokens.
    pub text: Arc<Text>,
}

impl Arrival {
    /// A request of no priority.
    pub(super) fn new(handle: Handle, prompt: u32, max_tokens: u32, text: Arc<Text>) -> Arrival {
        Arrival { handle, prompt, max_tokens, priority: None, ignore_eos: false, text }
    }
}

/// A request that is there. Token counts are SGLang's own: `out` lags a token behind while one is in
/// flight.
#[derive(Clone, Debug)]
pub(super) struct Req {
    pub handle: Handle,
    pub text: Arc<Text>,
    pub prompt: u32,
    /// Output tokens whose results were processed.
    pub out: u32,
    /// Longest answer, cut to context and memory.
    pub max_new: u32,
    pub ignore_eos: bool,
    pub priority: i64,
    /// How many requests arrived before it.
    pub number: u64,
    /// Counts entries into the queue, its last one included.
    pub entered: u64,
    pub finished: bool,
    /// Retracted and not admitted again yet.
    pub retracted: bool,
    /// Has been retracted.
    pub recomputes: bool,
    /// Whether it holds a row of the table of running requests.
    pub has_row: bool,
    /// Tokens that need no computing at the next extend.
    pub prefix: u32,
    /// Where the last extend ends.
    pub end: u32,
    /// Tokens of it that the tree owns.
    pub protected: u32,
    /// Tokens with memory.
    pub allocated: u32,
    pub node: NodeId,
    pub lock: Option<NodeId>,
    /// Length of its longest hit at the last look-up, short of its last token.
    pub matched: u32,
    /// Length when it was last looked at for admission.
    pub seen: u32,
    /// Batches in flight that compute a part of its prompt which others follow.
    pub middle: u32,
    /// Batches in flight that it is in.
    pub in_flight: u32,
    /// Whether it is in no list any more.
    pub gone: bool,
}

impl Req {
    /// Tokens known.
    pub(super) fn len(&self) -> u32 {
        self.prompt + self.out
    }

    /// Output tokens still to come at most.
    pub(super) fn to_come(&self) -> u32 {
        self.max_new.saturating_sub(self.out)
    }
}
