//! How many KV blocks fit beside the weights.

use crate::catalog::{Formats, Gpu, Model, WeightBytes};
use crate::kv::KvGroups;

use super::kv_layout::{KvLayout, kv_layout, token_bytes};
use super::pipeline::split;
use super::shard::Shard;
use super::{CostError, DraftLayers, Drafter, Parallelism, Precision};

/// What decides the number of KV blocks.
#[derive(Clone, Copy, Debug)]
pub struct KvRequest<'a> {
    /// The model.
    pub model: &'a Model,
    /// The GPU of each rank.
    pub gpu: &'a Gpu,
    /// Ranks.
    pub parallelism: Parallelism,
    /// Number types of the weights, and of K and V.
    pub precision: Precision,
    /// Share of device memory that the engine may use, above 0 and at most 1.
    pub gpu_memory_utilization: f64,
    /// Tokens in a KV block, at least 1.
    pub block_tokens: u32,
    /// Activation peak, CUDA graphs and context on each rank, bytes.
    pub overhead_bytes: u64,
    /// What drafts beside the model, where something does.
    pub drafter: Option<&'a Drafter>,
}

/// The KV cache that fits on each rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvCapacity {
    /// Blocks: the engine's `num_gpu_blocks`.
    pub blocks: u32,
    /// Tokens in a block of one group: those asked for, or more where a block must hold a state.
    pub block_tokens: u32,
    /// Which groups of layers draw from the blocks.
    pub groups: KvGroups,
    /// Bytes of one block on one rank.
    pub bytes_per_block: u64,
    /// Bytes of the weights on one rank, those of a drafter included.
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
/// A drafter's weights and the KV of its layers are on the last stage. Its KV of a block's tokens is
/// counted with that block; where several groups of layers look at all tokens, dealt out to theirs.
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
    let formats = request.precision.formats(model);
    let layout = kv_layout(model, request.parallelism, request.precision, request.block_tokens)?;
    let (draft_weights, draft_kv) = beside_blocks(request.drafter, &layout, request.parallelism)?;
    let stages = parts.iter().enumerate().map(|(i, part)| {
        let (more, more_a_block) = if i == last { (draft_weights, draft_kv) } else { (0, 0) };
        let weight_bytes = rank_bytes(part, shard, &formats, (i == 0, i == last)) + more;
        let bytes_per_block = layout.bytes_per_block[i] + more_a_block;
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
    let drafting = match draft_weights {
        0 => String::new(),
        bytes => format!(", {} of them to draft", Bytes(bytes)),
    };
    let sum = format!(
        "{} x {utilization:.2} = {}; weights{of} {}{drafting}; activations, graphs and context {}",
        Bytes(gpu.memory_bytes),
        Bytes(usable_bytes),
        Bytes(weight_bytes),
        Bytes(request.overhead_bytes),
    );
    let (block_tokens, groups) = (layout.block_tokens, layout.groups);
    let of = if groups.is_one() { "" } else { " of one group of layers" };
    let block = format!("blocks of {block_tokens} tokens{of} ({} each)", Bytes(bytes_per_block));
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
    Ok(KvCapacity {
        blocks,
        block_tokens,
        groups,
        bytes_per_block,
        weight_bytes,
        kv_bytes,
        arithmetic,
    })
}

/// Bytes of a drafter on one rank: its weights, and its KV beside that of a block.
pub(super) fn beside_blocks(
    drafter: Option<&Drafter>,
    layout: &KvLayout,
    parallelism: Parallelism,
) -> Result<(u64, u64), CostError> {
    let Some(layers) = drafter.and_then(Drafter::layers) else { return Ok((0, 0)) };
    let (weights, kv) = drafter_bytes(layers, parallelism)?;
    let kv = kv.saturating_mul(layout.block_tokens.into());
    Ok((weights, kv.div_ceil(layout.groups.full().max(1).into())))
}

/// Bytes of a drafter on one rank: its weights, and its KV of a token.
fn drafter_bytes(layers: &DraftLayers, parallelism: Parallelism) -> Result<(u64, u64), CostError> {
    let shard = Shard::new(&layers.model, layers.parallelism(parallelism))?;
    let formats = layers.precision.formats(&layers.model);
    let one = rank_bytes(&layers.model, shard, &formats, (layers.own_embedding, layers.own_head));
    let copies = u64::from(layers.copies);
    let bits = layers.precision.kv_bits_1024ths(&layers.model);
    let kv = token_bytes(&layers.model, shard, bits);
    Ok((copies * (one + layers.fused_bytes()), copies * kv))
}

/// One rank's part of a stage's weights.
fn rank_bytes(part: &Model, shard: Shard, formats: &Formats, ends: (bool, bool)) -> u64 {
    let WeightBytes { split, whole, routed } = part.weight_bytes(formats, ends.0, ends.1);
    let experts = match (shard.whole_experts, part.experts()) {
        (Some(held), Some(experts)) => routed / u64::from(experts.count) * u64::from(held),
        _ => routed.div_ceil(u64::from(shard.expert_ranks)),
    };
    split.div_ceil(u64::from(shard.ranks)) + whole + experts
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
