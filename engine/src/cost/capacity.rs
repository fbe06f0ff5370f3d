//! How many KV blocks fit beside the weights.

use crate::catalog::{Gpu, Model};

use super::pipeline::split;
use super::shard::Shard;
use super::{CostError, Dtype, KvDtype, Parallelism};

/// What decides the number of KV blocks.
#[derive(Clone, Copy, Debug)]
pub struct KvRequest<'a> {
    /// The model.
    pub model: &'a Model,
    /// The GPU of each rank.
    pub gpu: &'a Gpu,
    /// Ranks.
    pub parallelism: Parallelism,
    /// Number type of the weights.
    pub dtype: Dtype,
    /// Number type of K and V.
    pub kv_dtype: KvDtype,
    /// Share of device memory that the engine may use, above 0 and at most 1.
    pub gpu_memory_utilization: f64,
    /// Tokens in a KV block, at least 1.
    pub block_tokens: u32,
    /// Activation peak, CUDA graphs and context on each rank, bytes.
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

impl From<crate::catalog::InvalidFigure> for CapacityError {
    fn from(figure: crate::catalog::InvalidFigure) -> CapacityError {
        CapacityError::Cost(CostError::Figure(figure))
    }
}

/// KV blocks that fit: `(memory x utilization - weights/ranks - overhead) / bytes a block`, on the
/// pipeline stage where the fewest do.
///
/// # Errors
/// When not one block fits, the parallelism cannot be, or a figure is out of range.
pub fn kv_capacity(request: &KvRequest<'_>) -> Result<KvCapacity, CapacityError> {
    let KvRequest { model, gpu, .. } = *request;
    gpu.validate()?;
    let shard = Shard::new(model, request.parallelism)?;
    let utilization = request.gpu_memory_utilization;
    if !(utilization > 0.0 && utilization <= 1.0) {
        let problem = format!("must lie in 0 to 1, got {utilization}");
        return Err(crate::catalog::InvalidFigure {
            path: "gpu_memory_utilization".into(),
            problem,
        }
        .into());
    }
    let usable_bytes = (gpu.memory_bytes as f64 * utilization) as u64;
    let parts = split(model, request.parallelism.pipeline)?;
    let last = parts.len() - 1;
    let stages = parts.iter().enumerate().map(|(i, part)| {
        let weights = stage_weight_bytes(part, request.dtype, i == 0, i == last);
        // Counted apart: every rank holds the whole of it.
        let bytes = if request.dtype == Dtype::Fp8 { 1 } else { 2 };
        let unsplit = bytes * part.unsplit_parameters();
        let routed = bytes * part.routed_parameters();
        let weight_bytes = (weights - unsplit - routed).div_ceil(u64::from(shard.ranks))
            + unsplit
            + expert_bytes(part, shard, routed);
        let block_tokens = request.block_tokens;
        let bytes_per_block = kv_bytes_per_block(part, shard, request.kv_dtype, block_tokens);
        let taken = weight_bytes.saturating_add(request.overhead_bytes);
        let kv_bytes = usable_bytes.saturating_sub(taken);
        (kv_bytes / bytes_per_block, i, weight_bytes, bytes_per_block, kv_bytes)
    });
    // Blocks are the same on all stages: the fullest one decides.
    let Some((blocks, stage, weight_bytes, bytes_per_block, kv_bytes)) = stages.min() else {
        return Err(CostError::NoRanks.into());
    };
    let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
    let taken = weight_bytes.saturating_add(request.overhead_bytes);

    let of = match last {
        0 => String::new(),
        _ => format!(" of stage {} of {}", stage + 1, last + 1),
    };
    let sum = format!(
        "{} x {utilization:.2} = {}; weights{of} {}; activations, graphs and context {}",
        Bytes(gpu.memory_bytes),
        Bytes(usable_bytes),
        Bytes(weight_bytes),
        Bytes(request.overhead_bytes),
    );
    let block_tokens = request.block_tokens.max(1);
    let block = format!("blocks of {block_tokens} tokens ({} each)", Bytes(bytes_per_block));
    if blocks == 0 {
        let arithmetic = if taken > usable_bytes {
            format!("{sum}; {} too little", Bytes(taken - usable_bytes))
        } else {
            format!("{sum}; left {}, less than one of the {block}", Bytes(kv_bytes))
        };
        return Err(CapacityError::DoesNotFit {
            model: model.name.clone(),
            gpu: gpu.name.clone(),
            ranks: shard.expert_ranks.saturating_mul(request.parallelism.pipeline),
            arithmetic,
        });
    }
    let arithmetic = format!("{sum}; left {} = {} {block}", Bytes(kv_bytes), Thousands(blocks));
    Ok(KvCapacity { blocks, bytes_per_block, weight_bytes, kv_bytes, arithmetic })
}

/// One rank's share of the routed experts' bytes.
fn expert_bytes(part: &Model, shard: Shard, all: u64) -> u64 {
    match (shard.whole_experts, part.experts) {
        (Some(whole), Some(experts)) => all / u64::from(experts.count) * u64::from(whole),
        _ => all.div_ceil(u64::from(shard.expert_ranks)),
    }
}

/// Bytes of one block on one rank of a stage with the layers of `part`.
fn kv_bytes_per_block(part: &Model, shard: Shard, kv_dtype: KvDtype, block_tokens: u32) -> u64 {
    let bytes = u64::from(kv_dtype.bytes());
    let bytes_per_token = bytes * u64::from(part.layers) * part.kv_numbers(shard.kv_heads);
    bytes_per_token.saturating_mul(u64::from(block_tokens.max(1)))
}

/// Bytes of a stage's weights: the layers of `part`, the embedding on the first stage, the head on
/// the last. In fp8 the embedding, the head, the norms and the routers keep 16 bits.
fn stage_weight_bytes(part: &Model, dtype: Dtype, first: bool, last: bool) -> u64 {
    let embedding = part.embedding_parameters();
    let mut all = part.layer_parameters();
    if first {
        all += embedding;
    }
    if last {
        all += u64::from(part.hidden_size);
        // Tied, the last stage needs its own copy where it is not the first as well.
        if !(first && part.tied_embeddings) {
            all += embedding;
        }
    }
    match dtype {
        Dtype::Bf16 | Dtype::Fp16 => 2 * all,
        Dtype::Fp8 => 2 * all - part.matrix_parameters(),
    }
}

/// A size in GiB, MiB or KiB with one decimal.
struct Bytes(u64);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (unit, name) = match self.0 {
            0x4000_0000.. => (0x4000_0000_u64, "GiB"),
            0x10_0000.. => (0x10_0000, "MiB"),
            _ => (0x400, "KiB"),
        };
        write!(f, "{:.1} {name}", self.0 as f64 / unit as f64)
    }
}

/// A count with commas.
struct Thousands(u32);

impl std::fmt::Display for Thousands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.0.to_string();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}
