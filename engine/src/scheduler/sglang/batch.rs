//! Batches as SGLang's loop hands them on.

use super::request::Rid;

/// What a batch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Prompts alone.
    Extend,
    /// Prompts, then decodes.
    Mixed,
    /// Decodes alone.
    Decode,
}

/// One request in a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub req: Rid,
    pub tokens: u32,
    /// Tokens computed before, hits included.
    pub before: u32,
    pub prefill: bool,
    /// Whether it was admitted with this batch.
    pub fresh: bool,
    /// Whether its prompt is cut here.
    pub chunk: bool,
    pub recompute: bool,
}

impl Entry {
    /// One token after `before`.
    pub(super) fn decode(req: Rid, before: u32) -> Entry {
        let (prefill, fresh, chunk, recompute) = (false, false, false, false);
        Entry { req, tokens: 1, before, prefill, fresh, chunk, recompute }
    }
}

/// What became of an entry once its batch was processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It brought a token.
    Token,
    /// It brought none: its prompt goes on.
    Nothing,
    /// Its request had ended.
    Ignored,
    /// Its request had been retracted.
    Dropped,
}

/// A batch that was launched.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub turn: u64,
    pub kind: Kind,
    pub entries: Vec<Entry>,
}

/// The batch launched last, as the next turn needs it.
#[derive(Clone, Debug, Default)]
pub(super) enum Last {
    /// No batch.
    #[default]
    Nothing,
    /// The running list itself.
    Decode,
    /// Prompts, and in a mixed batch the decodes after them; and who of them is carried on.
    Extend { reqs: Vec<Rid>, chunked: Option<Rid> },
}

/// A list of requests that decode, with SGLang's `batch_is_full`.
#[derive(Clone, Debug, Default)]
pub(super) struct Running {
    pub reqs: Vec<Rid>,
    /// Nobody is admitted until something clears this.
    pub full: bool,
}
