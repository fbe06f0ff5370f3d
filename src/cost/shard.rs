//! One rank's share of a model under tensor parallelism.

use crate::catalog::Model;

use super::{CostError, Parallelism};

/// What one rank holds and computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) ranks: u32,
    /// Query heads.
    pub(super) heads: u32,
    /// KV heads: replicated when there are fewer than ranks.
    pub(super) kv_heads: u32,
    /// Width of the dense feed-forward network.
    pub(super) intermediate: u32,
    /// Rows of the output head.
    pub(super) vocab: u32,
}

impl Shard {
    pub(super) fn new(model: &Model, parallelism: Parallelism) -> Result<Shard, CostError> {
        model.validate()?;
        let ranks = parallelism.tensor;
        if ranks == 0 || parallelism.pipeline == 0 {
            return Err(CostError::NoRanks);
        }
        if !model.heads.is_multiple_of(ranks) {
            return Err(CostError::HeadsNotDivisible {
                model: model.name.clone(),
                heads: model.heads,
                tensor: ranks,
            });
        }
        Ok(Shard {
            ranks,
            heads: model.heads / ranks,
            kv_heads: (model.kv_heads / ranks).max(1),
            intermediate: model.intermediate_size.div_ceil(ranks),
            vocab: model.vocab_size.div_ceil(ranks),
        })
    }
}
