//! What depends on the number of tokens alone: matrix products, experts, elementwise kernels,
//! and the output head, which depends on the sequences sampled.

use crate::catalog::{
    Attention, Dense, EngineProfile, Experts, Formats, Gpu, Latent, LayerGroup, LayerTable, Mixer,
    Mlp, Model, QkNorm, Recurrent, RecurrentKind,
};

use super::exchange::Exchange;
use super::experts::{ExpertLayer, RoutedExperts};
use super::gemm::{Gemm, us_per_byte};
use super::rates;
use super::shard::Shard;
use super::{CostError, ExpertLoad};

/// Small kernels of an indexer besides its products and its pass over all tokens: norm and rotary
/// embedding of its key, both quantised, weights of its heads, and two to pick the top ones.
const INDEXER_KERNELS: f64 = 7.0;

/// What an indexer's layer takes beside those and its pass: picking the top ones out of all scores, and
/// turning them into places in KV. Fitted on SGLang's public points of GLM-5 on H200 and B300.
const INDEXER_PICK_US: f64 = 25.0;

/// Kernels of latent attention's decode beside its products: two products by head that take queries to
/// the compressed space and outputs back, norms of what was compressed, rotary embedding of parts, and
/// writing both. Fitted on public points of DeepSeek and Kimi.
const LATENT_KERNELS: f64 = 6.0;

/// Kernels of a layer of a gated delta rule beside its products and the state's own: splitting what the
/// projections gave, the gates, norms of queries and keys, the gated norm. Fitted on SGLang's public
/// points of Qwen3.5-397B-A17B on eight B200.
const RECURRENT_KERNELS: f64 = 14.0;

/// Kernels that normalise queries and keys over all heads where each rank has a part of them: squares,
/// means and scaling of both, around the message that sums them.
const WHOLE_NORM_KERNELS: f64 = 8.0;

/// Prices the layers of a model without attention, and its head, on one rank.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    layers: f64,
    kinds: Vec<KindOfLayer>,
    hidden: f64,
    shard: Shard,
    gemm: Gemms,
    kernel_us: f64,
    elementwise_us_per_byte: f64,
    sampler_us: f64,
    sampler_sequence_us: f64,
    exchange: Exchange,
    /// Between the kernels of a layer.
    layer_us: f64,
    table: Option<LayerTable>,
}

/// Layers that are alike.
#[derive(Clone, Debug)]
struct KindOfLayer {
    group: LayerGroup,
    experts: Option<ExpertLayer>,
}

/// Matrix products by the class of their weights.
#[derive(Clone, Copy, Debug)]
struct Gemms {
    attention: Gemm,
    mlp: Gemm,
    shared: Gemm,
    head: Gemm,
    router: Gemm,
}

impl Layers {
    pub(super) fn new(
        model: &Model,
        gpu: &Gpu,
        profile: &EngineProfile,
        shard: Shard,
        formats: &Formats,
        load: &ExpertLoad,
    ) -> Result<Layers, CostError> {
        let kinds = model.kinds().into_iter().map(|group| {
            let experts = match group.mlp {
                Mlp::Experts(experts) => {
                    let narrow = profile.kernels.narrow_experts_compute;
                    Some(expert_layer(model, &experts, (gpu, narrow), shard, (formats, load))?)
                }
                Mlp::Dense(_) | Mlp::None => None,
            };
            Ok(KindOfLayer { group, experts })
        });
        let head = if model.tied_embeddings { formats.embedding } else { formats.head };
        Ok(Layers {
            layers: model.layers().into(),
            kinds: kinds.collect::<Result<_, CostError>>()?,
            exchange: Exchange::new(model, gpu, shard, formats, load.exchange, &profile.kernels)?,
            hidden: model.hidden_size.into(),
            shard,
            gemm: Gemms {
                attention: rates::gemm(gpu, formats.attention),
                mlp: rates::gemm(gpu, formats.mlp),
                shared: rates::gemm(gpu, formats.shared),
                head: rates::gemm(gpu, head),
                router: rates::gemm(gpu, crate::catalog::Format::BF16),
            },
            kernel_us: gpu.elementwise.kernel_us,
            elementwise_us_per_byte: us_per_byte(gpu.elementwise.memory_gb_per_s),
            layer_us: profile.kernels.layer_us,
            sampler_us: gpu.sampler.launch_us,
            sampler_sequence_us: gpu.sampler.sequence_us,
            table: profile.layer_table.clone(),
        })
    }

    /// All layers for `tokens` tokens, microseconds.
    pub(super) fn all_layers_us(&self, tokens: f64) -> f64 {
        match &self.table {
            Some(table) => self.layers * self.table_us(table, tokens),
            None => self.layers * self.mean_layer_us(tokens),
        }
    }

    /// All layers but their routed experts for `tokens` tokens, microseconds.
    pub(super) fn own_us(&self, tokens: f64) -> f64 {
        let own = |kind: &KindOfLayer| {
            let us = self.layer_with(kind, tokens, |experts| {
                experts.own_us(&self.gemm.router, &self.gemm.shared, self.hidden, tokens)
            });
            f64::from(kind.group.layers) * us
        };
        self.kinds.iter().map(own).sum()
    }

    /// The routed experts of all layers when all ranks together have so many tokens, microseconds.
    pub(super) fn routed_us(&self, all_tokens: f64) -> f64 {
        let routed = |kind: &KindOfLayer| {
            let us = kind.experts.as_ref().map_or(0.0, |experts| experts.routed_us(all_tokens));
            f64::from(kind.group.layers) * us
        };
        self.kinds.iter().map(routed).sum()
    }

    /// Data-parallel ranks that share the experts.
    pub(super) fn data_ranks(&self) -> u32 {
        self.shard.data
    }

    /// What the ranks exchange in all layers for `tokens` tokens, of `all_tokens` of all ranks
    /// together, microseconds.
    pub(super) fn communication_us(&self, tokens: f64, all_tokens: f64) -> f64 {
        self.exchange.us(tokens, all_tokens)
    }

    /// Output head and sampler for `sampled` sequences, microseconds; nothing for none.
    pub(super) fn head_us(&self, sampled: f64) -> f64 {
        if sampled <= 0.0 {
            return 0.0;
        }
        let vocab = f64::from(self.shard.vocab);
        self.gemm.head.us(sampled, vocab, self.hidden)
            + self.sampler_us
            + self.sampler_sequence_us * sampled
    }

    /// The mean over the model's layers, without attention and communication.
    fn mean_layer_us(&self, tokens: f64) -> f64 {
        let of = |kind: &KindOfLayer| f64::from(kind.group.layers) * self.layer_us(kind, tokens);
        self.kinds.iter().map(of).sum::<f64>() / self.layers
    }

    fn layer_us(&self, kind: &KindOfLayer, tokens: f64) -> f64 {
        self.layer_with(kind, tokens, |experts| {
            experts.us(&self.gemm.router, &self.gemm.shared, self.hidden, tokens)
        })
    }

    /// A layer with what its experts take.
    fn layer_with(
        &self,
        kind: &KindOfLayer,
        tokens: f64,
        experts_us: impl FnOnce(&ExpertLayer) -> f64,
    ) -> f64 {
        let projections = self.projections_us(&kind.group.mixer, tokens);
        let norms = f64::from(kind.group.norms);
        match (&kind.group.mlp, &kind.experts) {
            (Mlp::Dense(dense), _) => {
                // Norms, rotary embedding, activation.
                let elementwise =
                    self.elementwise_us(&kind.group.mixer, tokens, norms + 2.0, self.width(dense));
                projections + self.dense_us(dense, tokens) + elementwise
            }
            // The activation is part of the experts' own time.
            (_, Some(experts)) => {
                projections
                    + experts_us(experts)
                    + self.elementwise_us(&kind.group.mixer, tokens, norms + 1.0, 0.0)
            }
            (_, None) => {
                projections + self.elementwise_us(&kind.group.mixer, tokens, norms + 1.0, 0.0)
            }
        }
    }

    fn width(&self, dense: &Dense) -> f64 {
        self.shard.part(dense.width).into()
    }

    fn dense_us(&self, dense: &Dense, tokens: f64) -> f64 {
        let (h, width) = (self.hidden, self.width(dense));
        let first = f64::from(dense.matrices() - 1);
        self.gemm.mlp.us(tokens, first * width, h) + self.gemm.mlp.us(tokens, h, width)
    }

    fn projections_us(&self, mixer: &Mixer, tokens: f64) -> f64 {
        match mixer {
            Mixer::Attention(attention) => self.attention_projections_us(attention, tokens),
            Mixer::Latent(latent) => self.latent_projections_us(latent, tokens),
            Mixer::Recurrent(recurrent) => self.recurrent_projections_us(recurrent, tokens),
            Mixer::None => 0.0,
        }
    }

    fn attention_projections_us(&self, attention: &Attention, tokens: f64) -> f64 {
        let h = self.hidden;
        let [q, kv] = self.heads(attention);
        // One rank's part of each, its KV heads replicated where there are fewer than ranks.
        let of_kv_head = attention.kv_columns() as f64 / f64::from(attention.kv_heads);
        let gate = f64::from(self.shard.part(attention.gate_columns));
        let columns = q * f64::from(attention.key_dim) + kv * of_kv_head + gate;
        self.gemm.attention.us(tokens, columns, h)
            + self.gemm.attention.us(tokens, h, q * f64::from(attention.value_dim))
    }

    /// One rank's query and KV heads.
    fn heads(&self, attention: &Attention) -> [f64; 2] {
        [self.shard.heads(attention.heads), self.shard.kv_heads(attention.kv_heads)].map(f64::from)
    }

    fn latent_projections_us(&self, latent: &Latent, tokens: f64) -> f64 {
        let gemm = &self.gemm.attention;
        let (h, q) = (self.hidden, f64::from(self.shard.heads(latent.heads)));
        let [kv_rank, query_rank, rope, d, value] =
            [latent.kv_rank, latent.query_rank, latent.rope_dim, latent.key_dim, latent.value_dim]
                .map(f64::from);
        // Compressing is done whole on every rank; a decode's query is taken to the compressed
        // space and its output back by the same matrix that expands K and V of a prefill.
        let queries = match latent.query_rank {
            0 => gemm.us(tokens, q * d, h) + gemm.us(tokens, kv_rank + rope, h),
            _ => {
                gemm.us(tokens, query_rank + kv_rank + rope, h) + gemm.us(tokens, q * d, query_rank)
            }
        };
        let rest = queries
            + gemm.us(tokens, q * (d - rope + value), kv_rank)
            + gemm.us(tokens, h, q * value);
        let Some(indexer) = latent.indexer else { return rest };
        let [heads, dim] = [indexer.heads, indexer.dim].map(f64::from);
        let from = if latent.query_rank == 0 { h } else { query_rank };
        rest + gemm.us(tokens, heads * dim, from) + gemm.us(tokens, dim + heads, h)
    }

    fn recurrent_projections_us(&self, recurrent: &Recurrent, tokens: f64) -> f64 {
        let h = self.hidden;
        let [columns, rows] = [recurrent.input_columns, recurrent.output_rows]
            .map(|width| f64::from(self.shard.part(width)));
        self.gemm.attention.us(tokens, columns, h) + self.gemm.attention.us(tokens, h, rows)
    }

    fn elementwise_us(&self, mixer: &Mixer, tokens: f64, kernels: f64, width: f64) -> f64 {
        // Numbers of queries and keys that rotary embedding and norms of heads pass over.
        let (mixed, more) = match mixer {
            Mixer::Attention(attention) => {
                let [q, kv] = self.heads(attention);
                let numbers = (q + kv) * f64::from(attention.key_dim);
                let norms = match attention.qk_norm {
                    QkNorm::None => 0.0,
                    QkNorm::Whole if self.shard.ranks > 1 => WHOLE_NORM_KERNELS,
                    QkNorm::Whole | QkNorm::PerHead => 1.0,
                };
                (numbers, norms)
            }
            Mixer::Latent(latent) => {
                let q = f64::from(self.shard.heads(latent.heads));
                let indexer = if latent.indexer.is_some() { INDEXER_KERNELS } else { 0.0 };
                (2.0 * q * f64::from(latent.key_dim), LATENT_KERNELS + indexer)
            }
            Mixer::Recurrent(recurrent) => {
                // Convolution and gate pass over all that the projections gave.
                let gates = match recurrent.kind {
                    RecurrentKind::GatedDelta | RecurrentKind::KimiDelta => RECURRENT_KERNELS,
                    _ => 0.0,
                };
                (f64::from(self.shard.part(recurrent.input_columns)), 1.0 + gates)
            }
            Mixer::None => (0.0, 0.0),
        };
        let bytes = tokens * (16.0 * self.hidden + 6.0 * width + 4.0 * mixed);
        let picking = match mixer {
            Mixer::Latent(latent) if latent.indexer.is_some() => INDEXER_PICK_US,
            _ => 0.0,
        };
        self.layer_us
            + picking
            + (kernels + more) * self.kernel_us
            + bytes * self.elementwise_us_per_byte
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
    experts: &Experts,
    (gpu, narrow): (&Gpu, f64),
    shard: Shard,
    (formats, load): (&Formats, &ExpertLoad),
) -> Result<ExpertLayer, CostError> {
    let Some(fit) = gpu.experts else {
        return Err(CostError::ExpertsUnknown { gpu: gpu.name.clone(), model: model.name.clone() });
    };
    let format = formats.experts;
    let bytes = (format.bytes_each(), rates::input_bytes(gpu, format));
    let (width, held) = match shard.whole_experts {
        Some(whole) => (experts.width, f64::from(whole) / f64::from(experts.count)),
        None => (experts.width.div_ceil(shard.expert_ranks), 1.0),
    };
    let fit = rates::grouped(gpu, &fit, format, narrow);
    // Slices of every expert are alike on all ranks.
    let ranks = shard.whole_experts.map_or(1, |_| shard.expert_ranks);
    let spread = load.choice.spread(experts.count, experts.per_token, ranks);
    Ok(ExpertLayer {
        experts: *experts,
        routed: RoutedExperts::new(&fit, model.hidden_size, experts, width, bytes),
        shared_width: shard.part(experts.shared_width),
        data: shard.data.into(),
        held,
        spread,
    })
}
