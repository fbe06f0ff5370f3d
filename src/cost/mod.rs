//! Cost models: from a batch's shape to the time that one iteration takes.

use crate::time::Span;

/// One prefill chunk of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Tokens of this request whose KV is already computed (prefix hits included).
    pub context: u32,
    /// Tokens computed in this iteration, at least 1.
    pub tokens: u32,
}

/// All that a cost model may know of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchShape<'a> {
    /// Prefill chunks in batch order.
    pub chunks: &'a [Chunk],
    /// Requests that decode one token.
    pub decodes: u32,
    /// KV entries that the decodes read, summed over them, their new tokens' own included.
    pub decode_kv_tokens: u64,
    /// Sequences that sample a token: the decodes and the chunks that complete a prompt.
    pub sampled: u32,
}

/// The time of one iteration, each part rounded to nanoseconds once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IterationTime {
    /// Until the tokens are there: kernels and communication.
    pub gpu: Span,
    /// The engine's own work, exposed when scheduling is synchronous.
    pub host: Span,
}

/// Where an iteration's GPU time goes, in microseconds, for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts {
    /// Matrix products and elementwise kernels of the layers.
    pub layers_us: f64,
    /// Attention kernels.
    pub attention_us: f64,
    /// All-reduces under tensor parallelism.
    pub communication_us: f64,
    /// Output head and sampling.
    pub head_us: f64,
    /// Host overhead.
    pub host_us: f64,
}

/// Prices a batch. Pure: the same shape costs the same, and nothing is allocated.
pub trait CostModel: Send + Sync {
    /// Time of one iteration over `shape`.
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime;

    /// The same time taken apart.
    fn parts(&self, shape: &BatchShape<'_>) -> Parts;
}
