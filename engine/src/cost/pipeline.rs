//! Pipeline parallelism: which layers a stage holds, and what it hands to the next.

use crate::catalog::{Gpu, Model};

use super::CostError;
use super::gemm::us_per_byte;

/// Layers of each stage, first to last, as vLLM deals them out: equal shares, and of what does not
/// divide one more for each stage from the last but one backwards (the last has the output head).
///
/// # Errors
/// When there are more stages than layers.
pub fn stage_layers(layers: u32, stages: u32) -> Result<Vec<u32>, CostError> {
    if stages == 0 {
        return Err(CostError::NoRanks);
    }
    if stages > layers {
        return Err(CostError::TooManyStages { layers, pipeline: stages });
    }
    let mut parts = vec![layers / stages; stages as usize];
    let more = (layers % stages) as usize;
    let end = parts.len() - 1;
    for part in &mut parts[end - more..end] {
        *part += 1;
    }
    Ok(parts)
}

/// The model of each stage: its layers.
pub(super) fn split(model: &Model, stages: u32) -> Result<Vec<Model>, CostError> {
    let mut from = 0;
    let parts = stage_layers(model.layers(), stages)?.into_iter().map(|layers| {
        from += layers;
        model.layers_between(from - layers, from)
    });
    Ok(parts.collect())
}

/// What a stage sends to the next: the hidden state and the residual of each token, 16 bits each.
/// Every tensor-parallel rank sends its part and the receivers gather the whole, which together is
/// priced as one message of the whole at the rate of an all-reduce of two GPUs.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandOver {
    latency_us: f64,
    us_per_token: f64,
}

impl HandOver {
    pub(super) fn new(
        model: &Model,
        gpu: &Gpu,
        ranks: u32,
        hand_overs: usize,
        link_factor: f64,
    ) -> Result<HandOver, CostError> {
        if hand_overs == 0 {
            return Ok(HandOver { latency_us: 0.0, us_per_token: 0.0 });
        }
        let link = gpu.all_reduce_on(2).ok_or_else(|| CostError::AllReduceUnknown {
            gpu: gpu.name.clone(),
            tensor: ranks.max(2),
            known: 1,
        })?;
        let bytes_per_token = 2.0 * 2.0 * f64::from(model.hidden_size);
        Ok(HandOver {
            latency_us: link_factor * 2.0 * link.latency_us,
            us_per_token: link_factor * bytes_per_token * us_per_byte(link.gb_per_s),
        })
    }

    /// Microseconds for a batch of `tokens` tokens.
    pub(super) fn us(&self, tokens: f64) -> f64 {
        self.latency_us + self.us_per_token * tokens
    }
}
