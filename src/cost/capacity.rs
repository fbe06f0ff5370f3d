//! How many KV blocks fit beside the weights.

use crate::catalog::{Gpu, Model};

use super::{CostError, Dtype, Parallelism};

/// What decides the number of KV blocks.
#[derive(Clone, Copy, Debug)]
pub struct KvRequest<'a> {
    /// The model.
    pub model: &'a Model,
    /// The GPU of each rank.
    pub gpu: &'a Gpu,
    /// Ranks.
    pub parallelism: Parallelism,
    /// Number type of the weights; KV is bf16.
    pub dtype: Dtype,
    /// Share of device memory that the engine may use.
    pub gpu_memory_utilization: f64,
    /// Tokens in a KV block.
    pub block_tokens: u32,
    /// Activation peak, CUDA graphs and context, bytes.
    pub overhead_bytes: u64,
}

/// The KV cache that fits on each rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvCapacity {
    /// Blocks: the engine's `num_gpu_blocks`.
    pub blocks: u32,
    /// Bytes of one block on one rank.
    pub bytes_per_block: u64,
    /// Bytes of the weights on one rank.
    pub weight_bytes: u64,
    /// Bytes left for KV on one rank.
    pub kv_bytes: u64,
    /// How it was reckoned, in words.
    pub arithmetic: String,
}

/// Why there is no room for KV.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapacityError {
    /// The weights and the overhead leave less than one block.
    #[error("{model} does not fit on {ranks} x {gpu}: {arithmetic}")]
    DoesNotFit {
        /// The model.
        model: String,
        /// The GPU.
        gpu: String,
        /// Ranks.
        ranks: u32,
        /// How it was reckoned, in words.
        arithmetic: String,
    },
    /// The model cannot be split so.
    #[error(transparent)]
    Cost(#[from] CostError),
}

/// KV blocks that fit: `(memory x utilisation - weights/ranks - overhead) / bytes a block`.
///
/// # Errors
/// When not one block fits, or the parallelism cannot be.
pub fn kv_capacity(request: &KvRequest<'_>) -> Result<KvCapacity, CapacityError> {
    let _ = request;
    todo!("lands next")
}
