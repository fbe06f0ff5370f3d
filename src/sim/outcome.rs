//! What a simulation leaves behind.

use super::router::RouteDecision;
use crate::replica::Held;
use crate::request::RequestId;
use crate::time::{Span, Time};
use crate::trace::TokenTrace;

/// The result of playing one scheduler on one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Every request's token times.
    pub trace: TokenTrace,
    /// Counts of iterations over all replicas.
    pub iterations: IterationCounts,
    /// KV memory over all replicas.
    pub kv: KvUse,
    /// GPU time of all iterations, summed over replicas.
    pub gpu_busy: Span,
    /// Every iteration, one list a replica, when the run was asked to keep them.
    pub log: Option<Vec<Vec<Iteration>>>,
    /// Where each request went and why, when the run was asked to keep its log.
    pub routes: Option<Vec<RouteDecision>>,
    /// Requests that were rejected, with the reason, in order of rejection.
    pub rejections: Vec<(RequestId, Rejection)>,
}

/// How many iterations of each kind ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IterationCounts {
    /// Iterations with prefill chunks and no decodes.
    pub prefill_only: u64,
    /// Iterations with both.
    pub mixed: u64,
    /// Iterations with decodes alone.
    pub decode_only: u64,
    /// Sequences (chunks and decodes) summed over iterations.
    pub sequences: u64,
}

impl IterationCounts {
    /// All iterations.
    pub fn total(&self) -> u64 {
        self.prefill_only + self.mixed + self.decode_only
    }
}

/// KV memory of the replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvUse {
    /// Usable blocks of one replica.
    pub blocks: u32,
    /// The most blocks in use at once on any replica.
    pub peak_used: u32,
    /// Preemptions in all.
    pub preemptions: u64,
    /// Prompt tokens served from the prefix cache.
    pub prefix_hit_tokens: u64,
}

/// One iteration of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iteration {
    /// When the batch began.
    pub start: Time,
    /// When its tokens were there.
    pub end: Time,
    /// Requests that decoded a token.
    pub decodes: u32,
    /// KV entries that the decodes read.
    pub decode_kv_tokens: u64,
    /// Prefill chunks in batch order.
    pub chunks: Vec<ChunkRecord>,
    /// Blocks in use while it ran.
    pub kv_used: u32,
    /// Requests waiting for admission after the batch was formed.
    pub waiting: u32,
    /// Requests that held a seat.
    pub running: u32,
    /// Why the queue's head was left waiting, where it was.
    pub held: Option<Held>,
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
}

/// Why the engine, or a policy, rejected a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The prompt leaves no room for an answer within the model's context.
    PromptTooLong,
    /// The prompt is over the token budget and chunking is off.
    PromptOverBudget,
    /// Its tokens need more KV blocks than a replica has.
    NeverFits,
    /// The policy dropped it, as the system it models does.
    DroppedByPolicy,
}
