//! What depends on the number of tokens alone: matrix products, experts, elementwise kernels,
//! and the output head, which depends on the sequences sampled.

use crate::catalog::{Arithmetic, EngineProfile, Gpu, LayerTable, Model};

use super::exchange::Exchange;
use super::experts::{ExpertLayer, RoutedExperts};
use super::gemm::{Gemm, us_per_byte};
use super::shard::Shard;
use super::{CostError, Dtype};

/// Prices the layers of a model without attention, and its head, on one rank.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    model: Model,
    shard: Shard,
    gemm: Gemm,
    gemm_head: Gemm,
    experts: Option<ExpertLayer>,
    kernel_us: f64,
    elementwise_us_per_byte: f64,
    sampler_us: f64,
    sampler_sequence_us: f64,
    exchange: Exchange,
    table: Option<LayerTable>,
}

impl Layers {
    pub(super) fn new(
        model: &Model,
        gpu: &Gpu,
        profile: &EngineProfile,
        shard: Shard,
        dtype: Dtype,
    ) -> Result<Layers, CostError> {
        let gemm_head = Gemm::new(&gpu.gemm_bf16, 2);
        let gemm = match (dtype, gpu.gemm_for(Arithmetic::Fp8)) {
            (Dtype::Bf16 | Dtype::Fp16, _) => gemm_head,
            (Dtype::Fp8, Some((fit, _))) => Gemm::new(&fit, 1),
            (Dtype::Fp8, None) => {
                return Err(CostError::DtypeUnknown { gpu: gpu.name.clone(), dtype });
            }
        };
        Ok(Layers {
            experts: expert_layer(model, gpu, shard, dtype)?,
            exchange: Exchange::new(model, gpu, shard, dtype)?,
            model: model.clone(),
            shard,
            gemm,
            gemm_head,
            kernel_us: gpu.elementwise.kernel_us,
            elementwise_us_per_byte: us_per_byte(gpu.elementwise.memory_gb_per_s),
            sampler_us: gpu.sampler.launch_us,
            sampler_sequence_us: gpu.sampler.sequence_us,
            table: profile.layer_table.clone(),
        })
    }

    /// All layers for `tokens` tokens, microseconds.
    pub(super) fn all_layers_us(&self, tokens: f64) -> f64 {
        let layers = f64::from(self.model.layers);
        match &self.table {
            Some(table) => layers * self.table_us(table, tokens),
            None => layers * self.mean_layer_us(tokens),
        }
    }

    /// What the ranks exchange in all layers for `tokens` tokens, microseconds.
    pub(super) fn communication_us(&self, tokens: f64) -> f64 {
        self.exchange.us(tokens)
    }

    /// Output head and sampler for `sampled` sequences, microseconds; nothing for none.
    pub(super) fn head_us(&self, sampled: f64) -> f64 {
        if sampled <= 0.0 {
            return 0.0;
        }
        let [vocab, h] = [self.shard.vocab, self.model.hidden_size].map(f64::from);
        self.gemm_head.us(sampled, vocab, h) + self.sampler_us + self.sampler_sequence_us * sampled
    }

    /// The mean over the model's layers, without attention and communication.
    fn mean_layer_us(&self, tokens: f64) -> f64 {
        let dense_layers = self.model.dense_layers();
        let mut total = 0.0;
        if dense_layers > 0 {
            total += f64::from(dense_layers) * self.dense_layer_us(tokens);
        }
        if let Some(experts) = &self.experts {
            let layers = f64::from(self.model.layers - dense_layers);
            total += layers * self.expert_layer_us(experts, tokens);
        }
        total / f64::from(self.model.layers)
    }

    fn dense_layer_us(&self, tokens: f64) -> f64 {
        let [h, width] = [self.model.hidden_size, self.shard.intermediate].map(f64::from);
        let first = f64::from(self.model.mlp_matrices() - 1);
        let mlp = self.gemm.us(tokens, first * width, h) + self.gemm.us(tokens, h, width);
        // Two norms, rotary embedding, activation.
        self.projections_us(tokens) + mlp + self.elementwise_us(tokens, 4.0, width)
    }

    /// The activation is part of the experts' own time.
    fn expert_layer_us(&self, experts: &ExpertLayer, tokens: f64) -> f64 {
        self.projections_us(tokens)
            + experts.us(&self.gemm, &self.model, tokens)
            + self.elementwise_us(tokens, 3.0, 0.0)
    }

    fn projections_us(&self, tokens: f64) -> f64 {
        let [h, d] = [self.model.hidden_size, self.model.head_dim].map(f64::from);
        let [q, kv] = [self.shard.heads, self.shard.kv_heads].map(f64::from);
        let Some(latent) = self.model.latent_attention else {
            return self.gemm.us(tokens, (q + 2.0 * kv) * d, h) + self.gemm.us(tokens, h, q * d);
        };
        let [kv_rank, query_rank, rope, value] =
            [latent.kv_rank, latent.query_rank, latent.rope_dim, latent.value_dim].map(f64::from);
        // Compressing is done whole on every rank; a decode's query is taken to the compressed
        // space and its output back by the same matrix that expands K and V of a prefill.
        let queries = match latent.query_rank {
            0 => self.gemm.us(tokens, q * d, h) + self.gemm.us(tokens, kv_rank + rope, h),
            _ => {
                self.gemm.us(tokens, query_rank + kv_rank + rope, h)
                    + self.gemm.us(tokens, q * d, query_rank)
            }
        };
        queries
            + self.gemm.us(tokens, q * (d - rope + value), kv_rank)
            + self.gemm.us(tokens, h, q * value)
    }

    fn elementwise_us(&self, tokens: f64, kernels: f64, width: f64) -> f64 {
        let [h, d] = [self.model.hidden_size, self.model.head_dim].map(f64::from);
        let [q, kv] = [self.shard.heads, self.shard.kv_heads].map(f64::from);
        let kernels = kernels + if self.model.qk_norm { 1.0 } else { 0.0 };
        let bytes = tokens * (16.0 * h + 6.0 * width + 4.0 * (q + kv) * d);
        kernels * self.kernel_us + bytes * self.elementwise_us_per_byte
    }

    /// A measured layer: linear between its points, the first point below them, and beyond them
    /// the last point scaled as the roofline grows.
    fn table_us(&self, table: &LayerTable, tokens: f64) -> f64 {
        let after = table.tokens.partition_point(|&t| f64::from(t) <= tokens);
        let (Some(&last_tokens), Some(&last_us)) = (table.tokens.last(), table.layer_us.last())
        else {
            return self.mean_layer_us(tokens);
        };
        if after == 0 {
            return table.layer_us[0];
        }
        if after == table.tokens.len() {
            return last_us * self.mean_layer_us(tokens)
                / self.mean_layer_us(f64::from(last_tokens));
        }
        let [left, right] = [table.tokens[after - 1], table.tokens[after]].map(f64::from);
        let [low, high] = [table.layer_us[after - 1], table.layer_us[after]];
        low + (high - low) * (tokens - left) / (right - left)
    }
}

fn expert_layer(
    model: &Model,
    gpu: &Gpu,
    shard: Shard,
    dtype: Dtype,
) -> Result<Option<ExpertLayer>, CostError> {
    let Some(experts) = model.experts else { return Ok(None) };
    let Some(mut fit) = gpu.experts else {
        return Err(CostError::ExpertsUnknown { gpu: gpu.name.clone(), model: model.name.clone() });
    };
    let mut input_bytes = 2.0;
    if let (Dtype::Fp8, Some((fp8, _))) = (dtype, gpu.experts_for(Arithmetic::Fp8)) {
        fit = fp8;
        input_bytes = 1.0;
    }
    let (width, held) = match shard.whole_experts {
        Some(whole) => (experts.intermediate_size, f64::from(whole) / f64::from(experts.count)),
        None => (experts.intermediate_size.div_ceil(shard.expert_ranks), 1.0),
    };
    Ok(Some(ExpertLayer {
        experts,
        routed: RoutedExperts::new(
            &fit,
            model.hidden_size,
            model.mlp_matrices(),
            &experts,
            width,
            input_bytes,
        ),
        shared_width: experts.shared_intermediate_size.div_ceil(shard.ranks),
        data: shard.data.into(),
        held,
    }))
}
