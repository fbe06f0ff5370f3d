//! How a model is spread over GPUs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a model is spread over GPUs. One replica is one data-parallel rank, of `tensor x pipeline`
/// GPUs; of a mixture of experts, `data` of them share the experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parallelism {
    /// Tensor-parallel ranks: vLLM's `--tensor-parallel-size`.
    pub tensor: u32,
    /// Pipeline stages: vLLM's `--pipeline-parallel-size`.
    pub pipeline: u32,
    /// Data-parallel ranks, each with a batch and KV of its own: vLLM's `--data-parallel-size`.
    pub data: u32,
    /// Whole experts are dealt out to the `tensor x data` ranks, in place of a slice of each expert:
    /// vLLM's `--enable-expert-parallel`.
    pub expert: bool,
}

impl Default for Parallelism {
    fn default() -> Parallelism {
        Parallelism { tensor: 1, pipeline: 1, data: 1, expert: false }
    }
}
