//! What a simulation leaves behind.

use super::router::RouteDecision;
use crate::request::RequestId;
use crate::time::Span;
use crate::trace::TokenTrace;
pub use crate::trace::{ChunkRecord, Iteration};

/// The result of playing one scheduler on one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Every request's token times.
    pub trace: TokenTrace,
    /// Counts of iterations over all replicas.
    pub iterations: IterationCounts,
    /// KV memory over all replicas.
    pub kv: KvUse,
    /// GPU time of all iterations, summed over replicas; the mean of its pipeline stages for each.
    pub gpu_busy: Span,
    /// Lanes of a replica: as many as it has pipeline stages. Lane `i` of all is one of replica
    /// `i / lanes_per_replica`.
    pub lanes_per_replica: u32,
    /// Every iteration, one list a lane, when the run was asked to keep them.
    pub log: Option<Vec<Vec<Iteration>>>,
    /// Where each request went and why: with several replicas, and when the log was asked for.
    pub routes: Option<Vec<RouteDecision>>,
    /// Requests that were rejected, with the reason: in order of rejection, with several replicas
    /// in order of arrival.
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
