//! One rank's share of a model under tensor parallelism.

use crate::catalog::Model;

use super::{CostError, Parallelism};

/// What one rank holds and computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) ranks: u32,
    /// Data-parallel ranks that share the experts; 1 for a dense model, whose ranks share nothing.
    pub(super) data: u32,
    /// Ranks that the experts are spread over.
    pub(super) expert_ranks: u32,
    /// Whole experts on each rank; `None` where each rank has a slice of every expert.
    pub(super) whole_experts: Option<u32>,
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
        if ranks == 0 || parallelism.pipeline == 0 || parallelism.data == 0 {
            return Err(CostError::NoRanks);
        }
        let data = model.experts.map_or(1, |_| parallelism.data);
        let expert_ranks = ranks.saturating_mul(data);
        let whole_experts = match (parallelism.expert, model.experts) {
            (false, _) => None,
            (true, None) => return Err(CostError::NoExperts { model: model.name.clone() }),
            (true, Some(experts)) if experts.count < expert_ranks => {
                return Err(CostError::FewerExpertsThanRanks {
                    model: model.name.clone(),
                    experts: experts.count,
                    ranks: expert_ranks,
                });
            }
            (true, Some(experts)) => Some(experts.count.div_ceil(expert_ranks)),
        };
        if !model.heads.is_multiple_of(ranks) {
            return Err(CostError::HeadsNotDivisible {
                model: model.name.clone(),
                heads: model.heads,
                tensor: ranks,
            });
        }
        Ok(Shard {
            ranks,
            data,
            expert_ranks,
            whole_experts,
            heads: model.heads / ranks,
            kv_heads: (model.kv_heads / ranks).max(1),
            intermediate: model.intermediate_size.div_ceil(ranks),
            vocab: model.vocab_size.div_ceil(ranks),
        })
    }
}
