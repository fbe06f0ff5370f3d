//! What a roofline is made of, kept so that it can be made again with other constants.

use crate::catalog::{EngineProfile, FittedOn, Gpu, Model};

use super::capacity::beside_blocks;
use super::{CostError, Drafter, ExpertLoad, Parallelism, Precision, Roofline, kv_layout};

/// A model on a GPU under an engine profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Pricing {
    /// What is served.
    pub model: Model,
    /// On what.
    pub gpu: Gpu,
    /// By what.
    pub profile: EngineProfile,
    /// Spread how.
    pub parallelism: Parallelism,
    /// In which numbers.
    pub precision: Precision,
    /// How tokens get to their experts.
    pub experts: ExpertLoad,
    /// What drafts beside the model, where something does.
    pub drafter: Option<Drafter>,
}

impl Pricing {
    /// What a fit of constants under these is of.
    pub fn fitted_here(&self) -> FittedOn {
        let spread = self.parallelism;
        // Ranks of a dense model share nothing: how many there are prices nothing.
        let mixture = self.model.experts().is_some();
        let across = mixture && spread.expert && spread.data > 1;
        FittedOn {
            gpu: Some(self.gpu.name.clone()),
            model: Some(self.model.name.clone()),
            tensor: Some(spread.tensor),
            pipeline: Some(spread.pipeline),
            data: mixture.then_some(spread.data),
            expert: mixture.then_some(spread.expert),
            exchange: across.then(|| self.experts.exchange.name().to_owned()),
            dtype: Some(self.precision.weights.to_string()),
            engine: None,
            run: None,
            most: None,
        }
    }

    /// Bytes of a KV block of so many tokens on all GPUs of a replica, with what a drafter keeps beside it:
    /// what moves when the block does.
    ///
    /// # Errors
    /// When the model cannot be spread so.
    pub fn kv_block_bytes(&self, block_tokens: u32) -> Result<u64, CostError> {
        let layout = kv_layout(&self.model, self.parallelism, self.precision, block_tokens)?;
        let (_, beside) = beside_blocks(self.drafter.as_ref(), &layout, self.parallelism)?;
        let on_a_rank = layout.block_bytes().saturating_add(beside);
        Ok(on_a_rank.saturating_mul(self.parallelism.tensor.into()))
    }

    /// The cost model of these.
    ///
    /// # Errors
    /// When they do not go together.
    pub fn roofline(&self) -> Result<Roofline, CostError> {
        let roofline = Roofline::with_experts(
            &self.model,
            &self.gpu,
            &self.profile,
            self.parallelism,
            self.precision,
            &self.experts,
        )?;
        match &self.drafter {
            Some(drafter) => {
                roofline.drafting_by(drafter, &self.gpu, &self.profile, self.parallelism)
            }
            None => Ok(roofline),
        }
    }
}
