//! The smooth roofline: a batch priced operation by operation.
//!
//! Pricing a batch as a whole goes wrong both ways: the larger of its compute and its bytes
//! makes the decodes' KV reads free under a prefill, and prefill time plus decode time reads the
//! weights twice.

use crate::catalog::{EngineProfile, Gpu, Model, Overhead};
use crate::time::Span;

use super::attention::Attention;
use super::layers::Layers;
use super::shard::Shard;
use super::table::CountTable;
use super::{BatchShape, CostError, CostModel, Dtype, IterationTime, Parallelism, Parts};

/// No iteration takes longer: an hour. Only figures that are nonsense get there, and must not
/// overflow the clock.
const LONGEST_US: f64 = 3.6e9;

/// Prices iterations of one model on one kind of GPU under one engine profile.
///
/// What depends on a count alone is tabulated when this is built (about 2,000 points), so that
/// pricing a batch takes tens of nanoseconds. KV lengths enter by their sum: how they are spread
/// over the decodes is ignored.
#[derive(Clone, Debug)]
pub struct Roofline {
    layers: Layers,
    layers_us: CountTable,
    head_us: CountTable,
    /// Tokens that a decode-only batch is padded to, by decodes.
    padded: Vec<u32>,
    attention: Attention,
    /// Decode-only batches whose every request samples, by decodes.
    decode_only: Vec<DecodeOnly>,
    kernel_factor: f64,
    /// The kernel factor times the number of layers.
    attention_factor: f64,
    has_communication: bool,
    step_gap: Overhead,
    host: Overhead,
}

/// What a decode-only batch takes whatever its KV: nearly every iteration is one, so that this is
/// looked up whole.
#[derive(Clone, Copy, Debug)]
struct DecodeOnly {
    gpu_us: f64,
    host: Span,
}

/// Decode-only batches up to this size are tabulated.
const DECODE_ONLY_MAX: u32 = 1024;

impl Roofline {
    /// Builds the tables.
    ///
    /// # Errors
    /// When the model cannot be split so, a figure is out of range, or constants are missing.
    pub fn new(
        model: &Model,
        gpu: &Gpu,
        profile: &EngineProfile,
        parallelism: Parallelism,
        dtype: Dtype,
    ) -> Result<Roofline, CostError> {
        let with_constants = profile.gpu.as_ref().map(|constants| constants.on(gpu));
        let gpu = with_constants.as_ref().unwrap_or(gpu);
        gpu.validate()?;
        profile.validate()?;
        let shard = Shard::new(model, parallelism)?;
        let layers = Layers::new(model, gpu, profile, shard, dtype)?;
        let mut cost = Roofline {
            layers_us: CountTable::new(|tokens| layers.all_layers_us(tokens)),
            head_us: CountTable::new(|sampled| layers.head_us(sampled)),
            layers,
            padded: padded(&profile.cuda_graph_sizes),
            attention: Attention::new(model, gpu, shard),
            decode_only: Vec::new(),
            kernel_factor: profile.kernel_factor,
            attention_factor: profile.kernel_factor * f64::from(model.layers),
            has_communication: shard.ranks > 1,
            step_gap: profile.step_gap,
            host: profile.host,
        };
        cost.decode_only = (0..=DECODE_ONLY_MAX).map(|n| cost.decode_only(n)).collect();
        Ok(cost)
    }

    fn decode_only(&self, decodes: u32) -> DecodeOnly {
        let shape = BatchShape { chunks: &[], decodes, decode_kv_tokens: 0, sampled: decodes };
        let price = self.price(&shape);
        let attention = self.attention_factor * self.attention.decode_fixed_us(f64::from(decodes));
        DecodeOnly {
            gpu_us: price.layers + attention + price.communication + price.head + price.gap,
            host: Span::from_micros_f64(price.host.min(LONGEST_US)),
        }
    }

    /// Tokens that the layers compute: those of the batch, and in a decode-only batch those that
    /// pad it to a captured CUDA graph.
    fn computed_tokens(&self, shape: &BatchShape<'_>) -> u64 {
        if shape.chunks.is_empty() {
            let padded = self.padded.get(shape.decodes as usize);
            return u64::from(*padded.unwrap_or(&shape.decodes));
        }
        let chunks: u64 = shape.chunks.iter().map(|c| u64::from(c.tokens)).sum();
        chunks + u64::from(shape.decodes)
    }

    /// The parts of the GPU's time and the gap after it, microseconds.
    fn price(&self, shape: &BatchShape<'_>) -> Price {
        let tokens = self.computed_tokens(shape);
        let factor = self.kernel_factor;
        let layers = self.layers_us.get(tokens);
        let head = self.head_us.get(u64::from(shape.sampled));
        let communication = match self.has_communication {
            true => self.layers.communication_us(tokens as f64),
            false => 0.0,
        };
        let sequences = f64::from(shape.decodes) + shape.chunks.len() as f64;
        Price {
            layers: factor * layers.unwrap_or_else(|| self.layers.all_layers_us(tokens as f64)),
            attention: self.attention_factor * self.attention.us(shape),
            communication: factor * communication,
            head: factor * head.unwrap_or_else(|| self.layers.head_us(shape.sampled.into())),
            gap: self.step_gap.iteration_us + self.step_gap.sequence_us * sequences,
            host: self.host.iteration_us + self.host.sequence_us * sequences,
        }
    }
}

struct Price {
    layers: f64,
    attention: f64,
    communication: f64,
    head: f64,
    gap: f64,
    host: f64,
}

impl CostModel for Roofline {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        if shape.chunks.is_empty() {
            if shape.decodes == 0 {
                return IterationTime::default();
            }
            if shape.sampled == shape.decodes
                && let Some(fixed) = self.decode_only.get(shape.decodes as usize)
            {
                let reading = self.attention.decode_kv_us(shape.decode_kv_tokens as f64);
                let gpu_us = fixed.gpu_us + self.attention_factor * reading;
                return IterationTime {
                    gpu: Span::from_micros_f64(gpu_us.min(LONGEST_US)),
                    host: fixed.host,
                };
            }
        }
        let p = self.price(shape);
        let gpu_us = p.layers + p.attention + p.communication + p.head + p.gap;
        IterationTime {
            gpu: Span::from_micros_f64(gpu_us.min(LONGEST_US)),
            host: Span::from_micros_f64(p.host.min(LONGEST_US)),
        }
    }

    fn parts(&self, shape: &BatchShape<'_>) -> Parts {
        if shape.decodes == 0 && shape.chunks.is_empty() {
            return Parts::default();
        }
        let p = self.price(shape);
        Parts {
            layers_us: p.layers,
            attention_us: p.attention,
            communication_us: p.communication,
            head_us: p.head,
            host_us: p.host + p.gap,
        }
    }
}

/// For each number of decodes up to the largest captured size, the size that it runs at.
fn padded(sizes: &[u32]) -> Vec<u32> {
    let mut padded = vec![0];
    for &size in sizes {
        padded.resize(size as usize + 1, size);
    }
    padded
}

#[cfg(test)]
mod tests;
