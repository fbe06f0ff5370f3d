//! Cost models: from a batch's shape to the time that one iteration takes.

mod attention;
mod attention_table;
mod capacity;
mod error;
mod experts;
mod fixed;
mod gemm;
mod layers;
mod pipeline;
mod pricing;
mod roofline;
mod shard;
mod stage;
mod table;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Span;

pub use capacity::*;
pub use error::CostError;
pub use experts::routed_experts_us;
pub use fixed::{FixedCost, FixedPipeline};
pub use gemm::gemm_us;
pub use pipeline::stage_layers;
pub use pricing::Pricing;
pub use roofline::Roofline;

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

/// Time of an iteration that is no kernel's: what attribution takes out of every difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overheads {
    /// Communication between GPUs, within [`IterationTime::gpu`].
    pub communication: Span,
    /// Host work that no GPU work hides even when scheduling is asynchronous, within
    /// [`IterationTime::gpu`].
    pub gap: Span,
}

/// Prices a batch. Pure: the same shape costs the same, and nothing is allocated.
pub trait CostModel: Send + Sync {
    /// Time of one iteration over `shape`.
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime;

    /// The same time taken apart.
    fn parts(&self, shape: &BatchShape<'_>) -> Parts;

    /// Communication and host work within its GPU time. Made from [`parts`](Self::parts) unless a
    /// model knows a quicker way to the same.
    fn overheads(&self, shape: &BatchShape<'_>) -> Overheads {
        let parts = self.parts(shape);
        let host = self.time(shape).host.as_nanos();
        let all_host = Span::from_micros_f64(parts.host_us).as_nanos();
        Overheads {
            communication: Span::from_micros_f64(parts.communication_us),
            gap: Span::from_nanos(all_host.saturating_sub(host)),
        }
    }

    /// Pipeline stages, at least 1.
    fn stages(&self) -> u32 {
        1
    }

    /// Time that stage `stage` (from 0) is busy with `shape`. Its `host` is the engine's, on stage
    /// 0; the output head is in the last stage's `gpu`.
    fn stage_time(&self, shape: &BatchShape<'_>, stage: u32) -> IterationTime {
        if stage == 0 { self.time(shape) } else { IterationTime::default() }
    }

    /// The same time taken apart.
    fn stage_parts(&self, shape: &BatchShape<'_>, stage: u32) -> Parts {
        if stage == 0 { self.parts(shape) } else { Parts::default() }
    }

    /// Time from the end of a stage to the start of the next: what it sends over. With more than
    /// one stage, [`time`](Self::time) is the sum of the stages' and of the hand-overs between
    /// them: one batch alone in the pipeline.
    fn hand_over(&self, shape: &BatchShape<'_>) -> Span {
        let _ = shape;
        Span::ZERO
    }
}

/// Number type of weights and matrix products. KV, attention and the output head stay in 16 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// bfloat16.
    #[default]
    Bf16,
    /// float16; costs what bf16 costs.
    Fp16,
    /// 8-bit floating point weights and activations in the layers.
    Fp8,
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::Bf16 => "bf16",
            Dtype::Fp16 => "fp16",
            Dtype::Fp8 => "fp8",
        })
    }
}

/// How one replica is spread over GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parallelism {
    /// Tensor-parallel ranks.
    pub tensor: u32,
    /// Pipeline stages.
    pub pipeline: u32,
}

impl Default for Parallelism {
    fn default() -> Parallelism {
        Parallelism { tensor: 1, pipeline: 1 }
    }
}

/// Time of an unchunked, uncached prefill of `prompt_tokens` alone on an idle replica, with
/// nothing of it overlapped: a point of the TTFT prefill curve.
pub fn prefill_time(cost: &dyn CostModel, prompt_tokens: u32) -> Span {
    let chunk = Chunk { context: 0, tokens: prompt_tokens.max(1) };
    let alone = BatchShape { chunks: &[chunk], decodes: 0, decode_kv_tokens: 0, sampled: 1 };
    let time = cost.time(&alone);
    time.gpu + time.host
}
