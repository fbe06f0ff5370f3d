//! The iterations of a replica as a run writes them down: what there was to explain a gap with.

use std::ops::{Deref, DerefMut};

use crate::replica::Held;
use crate::request::RequestId;
use crate::time::Time;

/// One iteration of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Iteration {
    /// When the policy formed the batch: the start, or earlier where steps are planned ahead.
    pub decided: Time,
    /// When the batch began.
    pub start: Time,
    /// When its tokens were there.
    pub end: Time,
    /// When the next batch could begin: later than `end` where host work outlasts the GPU's.
    pub free: Time,
    /// Requests that decoded a token.
    pub decodes: u32,
    /// KV entries that the decodes read.
    pub decode_kv_tokens: u64,
    /// Prefill chunks in batch order.
    pub chunks: Few<ChunkRecord>,
    /// Requests preempted since the batch before was formed, in order.
    pub preempted: Few<RequestId>,
    /// Blocks in use while it ran.
    pub kv_used: u32,
    /// Requests waiting for admission after the batch was formed.
    pub waiting: u32,
    /// Requests that held a seat.
    pub running: u32,
    /// Why the queue's head was left waiting, where it was.
    pub held: Option<Held>,
    /// Who that head was.
    pub head: Option<RequestId>,
}

impl Iteration {
    /// Sequences that sampled a token: the decodes, and the prompts that were completed.
    pub fn sampled(&self) -> u32 {
        self.decodes + self.chunks.iter().filter(|chunk| chunk.samples).count() as u32
    }
}

/// A list that is nearly always empty, and then takes one word.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::box_collection, reason = "a boxed slice takes two words")]
pub struct Few<T>(Option<Box<Vec<T>>>);

impl<T> Default for Few<T> {
    fn default() -> Few<T> {
        Few(None)
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(list: Vec<T>) -> Few<T> {
        Few((!list.is_empty()).then(|| Box::new(list)))
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Few<T> {
        Vec::from_iter(items).into()
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_deref_mut().map_or(&mut [], Vec::as_mut_slice)
    }
}

impl<'f, T> IntoIterator for &'f Few<T> {
    type Item = &'f T;
    type IntoIter = std::slice::Iter<'f, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A prefill chunk in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRecord {
    /// Whose prompt.
    pub request: RequestId,
    /// Tokens computed before it.
    pub context: u32,
    /// Tokens of the chunk.
    pub tokens: u32,
    /// KV blocks that the request holds with it.
    pub blocks: u32,
    /// Whether it completes the prompt, so that a token is sampled.
    pub samples: bool,
}
