//! One rank's share of a model under tensor parallelism.

use crate::catalog::{Mixer, Model};

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
        let experts = model.experts();
        let data = experts.map_or(1, |_| parallelism.data);
        let expert_ranks = ranks.saturating_mul(data);
        let whole_experts = match (parallelism.expert, experts) {
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
        let mut mixers = model.groups.iter().map(|group| group.mixer);
        let undivided = |mixer: &Mixer| !mixer.heads_to_divide().is_multiple_of(ranks);
        if let Some(mixer) = mixers.find(undivided) {
            return Err(CostError::HeadsNotDivisible {
                model: model.name.clone(),
                heads: mixer.heads_to_divide(),
                of: if mixer.is_attention() { "attention heads" } else { "heads of states" },
                tensor: ranks,
            });
        }
        Ok(Shard {
            ranks,
            data,
            expert_ranks,
            whole_experts,
            vocab: model.vocab_size.div_ceil(ranks),
        })
    }

    /// One rank's query heads, or those of a recurrent mixer, of `heads` in all.
    pub(super) fn heads(self, heads: u32) -> u32 {
        heads / self.ranks
    }

    /// One rank's KV heads: replicated when there are fewer than ranks.
    pub(super) fn kv_heads(self, kv_heads: u32) -> u32 {
        (kv_heads / self.ranks).max(1)
    }

    /// One rank's part of a width.
    pub(super) fn part(self, width: u32) -> u32 {
        width.div_ceil(self.ranks)
    }
}
