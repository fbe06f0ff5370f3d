//! The iterations of a replica as a run writes them down: what there was to explain a gap with.

use crate::cost::Decodes;
use crate::ids::{ChunkPlace, IterationNo};
use crate::replica::{Held, Reads, decodes};
use crate::request::RequestId;
use crate::time::Time;

/// One iteration of a replica, as a [`Log`](super::Log) tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Iteration<'l> {
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
    /// What they read within the model's reaches, where it has some.
    pub reads: Option<Reads>,
    /// Tokens that the other ranks which share its experts computed meanwhile, where they stepped
    /// together.
    pub beside: Option<u64>,
    /// Prefill chunks in batch order.
    pub chunks: &'l [ChunkRecord],
    /// Requests preempted since the batch before was formed, in order.
    pub preempted: &'l [RequestId],
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

impl Iteration<'_> {
    /// Its decodes, as a price depends on them.
    pub fn decoding(&self) -> Decodes {
        decodes(self.decodes, self.decode_kv_tokens, self.reads)
    }

    /// Sequences that sampled a token: the decodes, and the prompts that were completed.
    pub fn sampled(&self) -> u32 {
        self.decodes + self.chunks.iter().filter(|chunk| chunk.samples).count() as u32
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

/// Where a prefill chunk stands in the log of its lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkAt {
    /// Its iteration.
    pub iteration: IterationNo,
    /// Its place in the batch of that one.
    pub place: ChunkPlace,
}
