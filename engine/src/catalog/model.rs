//! A model: the architecture figures that decide its work and its memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{InvalidFigure, count};

/// A decoder-only transformer's figures, as in its Hugging Face `config.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Catalog name, such as `llama-3.1-8b`.
    pub name: String,
    /// One line for `metron-sim list models`.
    pub description: String,
    /// Width of the residual stream (`hidden_size`).
    pub hidden_size: u32,
    /// Width of the dense feed-forward network (`intermediate_size`).
    pub intermediate_size: u32,
    /// Layers (`num_hidden_layers`).
    pub layers: u32,
    /// Query heads (`num_attention_heads`).
    pub heads: u32,
    /// KV heads (`num_key_value_heads`).
    pub kv_heads: u32,
    /// Size of a head (`head_dim`).
    pub head_dim: u32,
    /// Vocabulary (`vocab_size`).
    pub vocab_size: u32,
    /// Longest sequence (`max_position_embeddings`).
    pub max_position_embeddings: u32,
    /// Whether the output head is the embedding (`tie_word_embeddings`).
    #[serde(default)]
    pub tied_embeddings: bool,
    /// Whether queries and keys are normalised head by head, one more kernel.
    #[serde(default)]
    pub qk_norm: bool,
    /// Whether the q, k and v projections have biases.
    #[serde(default)]
    pub qkv_bias: bool,
    /// Whether the feed-forward network has a gate: three matrices instead of two.
    #[serde(default = "yes")]
    pub gated_mlp: bool,
    /// Norms of width `hidden_size` in a layer: 2, or 4 in Gemma 2 and 3.
    #[serde(default = "two")]
    pub norms_per_layer: u32,
    /// Mixture of experts, in place of the dense network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts: Option<Experts>,
    /// Multi-head latent attention (DeepSeek V2 and V3), in place of K and V for each head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent_attention: Option<LatentAttention>,
    /// Window of the layers that look back only so far, tokens. Priced as full attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sliding_window: Option<u32>,
    /// Parameters as published, to check the figures against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_parameters: Option<u64>,
    /// Where the figures come from.
    #[serde(default)]
    pub source: String,
}

/// A mixture of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experts {
    /// Routed experts a layer.
    pub count: u32,
    /// Routed experts that each token goes to.
    pub per_token: u32,
    /// Width of a routed expert.
    pub intermediate_size: u32,
    /// Width of the shared expert that every token goes to; 0 is none.
    #[serde(default)]
    pub shared_intermediate_size: u32,
    /// Layers that keep the dense network.
    #[serde(default)]
    pub dense_layers: u32,
}

/// Multi-head latent attention: the KV cache holds one compressed vector and one rotary key a token,
/// for all heads together. [`Model::head_dim`] is the size of a query head, both parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatentAttention {
    /// Width of the compressed K and V (`kv_lora_rank`).
    pub kv_rank: u32,
    /// Width of the compressed queries (`q_lora_rank`); 0: not compressed.
    #[serde(default)]
    pub query_rank: u32,
    /// Size of a head's part with rotary embedding (`qk_rope_head_dim`).
    pub rope_dim: u32,
    /// Size of a value head (`v_head_dim`).
    pub value_dim: u32,
}

fn yes() -> bool {
    true
}

fn two() -> u32 {
    2
}

/// Figures to replace in a model taken by name: `{base: llama-3.1-8b, layers: 16}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelOverrides {
    /// Replaces [`Model::hidden_size`].
    pub hidden_size: Option<u32>,
    /// Replaces [`Model::intermediate_size`].
    pub intermediate_size: Option<u32>,
    /// Replaces [`Model::layers`].
    pub layers: Option<u32>,
    /// Replaces [`Model::heads`].
    pub heads: Option<u32>,
    /// Replaces [`Model::kv_heads`].
    pub kv_heads: Option<u32>,
    /// Replaces [`Model::head_dim`].
    pub head_dim: Option<u32>,
    /// Replaces [`Model::vocab_size`].
    pub vocab_size: Option<u32>,
    /// Replaces [`Model::max_position_embeddings`].
    pub max_position_embeddings: Option<u32>,
}

impl Model {
    /// The same model with some figures replaced; its name gets a `*`.
    ///
    /// # Errors
    /// When a figure is out of range.
    pub fn with(mut self, overrides: &ModelOverrides) -> Result<Model, InvalidFigure> {
        if *overrides == ModelOverrides::default() {
            return Ok(self);
        }
        self.name.push('*');
        self.published_parameters = None;
        for (figure, replacement) in [
            (&mut self.hidden_size, overrides.hidden_size),
            (&mut self.intermediate_size, overrides.intermediate_size),
            (&mut self.layers, overrides.layers),
            (&mut self.heads, overrides.heads),
            (&mut self.kv_heads, overrides.kv_heads),
            (&mut self.head_dim, overrides.head_dim),
            (&mut self.vocab_size, overrides.vocab_size),
            (&mut self.max_position_embeddings, overrides.max_position_embeddings),
        ] {
            *figure = replacement.unwrap_or(*figure);
        }
        self.validate()?;
        Ok(self)
    }

    /// Checks every figure's range.
    ///
    /// # Errors
    /// The first figure out of range, by its path.
    pub fn validate(&self) -> Result<(), InvalidFigure> {
        count("hidden_size", self.hidden_size, 1 << 17)?;
        count("layers", self.layers, 1 << 11)?;
        count("heads", self.heads, 1 << 12)?;
        count("kv_heads", self.kv_heads, 1 << 12)?;
        count("head_dim", self.head_dim, 1 << 12)?;
        count("vocab_size", self.vocab_size, 1 << 24)?;
        count("max_position_embeddings", self.max_position_embeddings, 1 << 30)?;
        if let Some(latent) = self.latent_attention {
            count("latent_attention.kv_rank", latent.kv_rank, 1 << 16)?;
            count("latent_attention.value_dim", latent.value_dim, 1 << 12)?;
            if latent.query_rank > 1 << 16 || latent.rope_dim >= self.head_dim {
                return Err(InvalidFigure::new(
                    "latent_attention",
                    "query_rank must not pass 65536, and rope_dim must be below head_dim".into(),
                ));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(InvalidFigure::new(
                "kv_heads",
                format!("{} query heads cannot share {} KV heads", self.heads, self.kv_heads),
            ));
        }
        if self.norms_per_layer > 16 {
            return Err(InvalidFigure::new("norms_per_layer", "must lie in 0 to 16".into()));
        }
        if self.dense_layers() > 0 {
            count("intermediate_size", self.intermediate_size, 1 << 19)?;
        }
        if let Some(experts) = &self.experts {
            count("experts.count", experts.count, 1 << 12)?;
            count("experts.per_token", experts.per_token, 1 << 12)?;
            count("experts.intermediate_size", experts.intermediate_size, 1 << 19)?;
            if experts.per_token > experts.count {
                return Err(InvalidFigure::new(
                    "experts.per_token",
                    format!("is above experts.count, {}", experts.count),
                ));
            }
            if experts.shared_intermediate_size > 1 << 19 {
                return Err(InvalidFigure::new(
                    "experts.shared_intermediate_size",
                    format!("must lie in 0 to {}", 1 << 19),
                ));
            }
            if experts.dense_layers > self.layers {
                return Err(InvalidFigure::new(
                    "experts.dense_layers",
                    format!("is above layers, {}", self.layers),
                ));
            }
        }
        Ok(())
    }

    /// What pricing this model leaves out, a sentence each, for the output to say.
    pub fn approximations(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(window) = self.sliding_window {
            notes.push(format!(
                "{}: layers with a sliding window of {window} tokens are priced, and keep KV, as \
                 full attention",
                self.name
            ));
        }
        if self.experts.is_some() {
            notes.push(format!(
                "{}: tokens are taken to choose their experts evenly at random",
                self.name
            ));
        }
        notes
    }

    /// Layers with a dense feed-forward network.
    pub fn dense_layers(&self) -> u32 {
        self.experts.map_or(self.layers, |e| e.dense_layers.min(self.layers))
    }

    /// Matrices of a feed-forward network.
    pub fn mlp_matrices(&self) -> u32 {
        if self.gated_mlp { 3 } else { 2 }
    }

    /// Parameters of the layers' matrices: projections, feed-forward networks, experts. They are
    /// what a quantised checkpoint quantises.
    pub fn matrix_parameters(&self) -> u64 {
        let [h, d] = [self.hidden_size, self.head_dim].map(u64::from);
        let [q, kv] = [self.heads, self.kv_heads].map(u64::from);
        let layers = u64::from(self.layers);
        let dense_layers = u64::from(self.dense_layers());
        let mlp = u64::from(self.mlp_matrices()) * h;
        let attention = layers
            * match self.latent_attention {
                None => 2 * (q + kv) * d * h,
                Some(latent) => self.latent_parameters(latent),
            };
        let dense = dense_layers * mlp * u64::from(self.intermediate_size);
        let shared = self
            .experts
            .map_or(0, |e| (layers - dense_layers) * mlp * u64::from(e.shared_intermediate_size));
        attention + dense + shared + self.routed_parameters()
    }

    /// Parameters of the routed experts of all layers; 0 for a dense model.
    pub fn routed_parameters(&self) -> u64 {
        self.experts.map_or(0, |e| {
            let layers = u64::from(self.layers - self.dense_layers());
            let width = u64::from(self.hidden_size) * u64::from(e.intermediate_size);
            layers * u64::from(self.mlp_matrices()) * width * u64::from(e.count)
        })
    }

    /// Parameters of a layer's latent attention.
    fn latent_parameters(&self, latent: LatentAttention) -> u64 {
        let [h, d, q] = [self.hidden_size, self.head_dim, self.heads].map(u64::from);
        let [kv_rank, query_rank, rope, value] =
            [latent.kv_rank, latent.query_rank, latent.rope_dim, latent.value_dim].map(u64::from);
        let queries = match query_rank {
            0 => h * q * d,
            _ => query_rank * (h + q * d),
        };
        let keys_and_values = h * (kv_rank + rope) + kv_rank * q * (d - rope + value);
        queries + keys_and_values + q * value * h
    }

    /// Parameters of all layers that tensor parallelism does not split: the compressing matrices of
    /// latent attention.
    pub fn unsplit_parameters(&self) -> u64 {
        self.latent_attention.map_or(0, |latent| {
            let width = latent.kv_rank + latent.query_rank + latent.rope_dim;
            u64::from(self.layers) * u64::from(self.hidden_size) * u64::from(width)
        })
    }

    /// Numbers that the KV cache holds for a token in one layer on one rank with `kv_heads` heads.
    pub fn kv_numbers(&self, kv_heads: u32) -> u64 {
        match self.latent_attention {
            // Every rank holds the whole.
            Some(latent) => u64::from(latent.kv_rank) + u64::from(latent.rope_dim),
            None => 2 * u64::from(kv_heads) * u64::from(self.head_dim),
        }
    }

    /// Parameters of the embedding, and as many again of the head unless they are tied.
    pub fn embedding_parameters(&self) -> u64 {
        u64::from(self.vocab_size) * u64::from(self.hidden_size)
    }

    /// Parameters of the layers: matrices, norms, biases of q, k and v, routers.
    pub fn layer_parameters(&self) -> u64 {
        let [h, d] = [self.hidden_size, self.head_dim].map(u64::from);
        let [q, kv] = [self.heads, self.kv_heads].map(u64::from);
        let layers = u64::from(self.layers);
        let norms = u64::from(self.norms_per_layer) * h + if self.qk_norm { 2 * d } else { 0 };
        let biases = if self.qkv_bias { (q + 2 * kv) * d } else { 0 };
        let routers = self
            .experts
            .map_or(0, |e| (layers - u64::from(self.dense_layers())) * u64::from(e.count) * h);
        self.matrix_parameters() + layers * (norms + biases) + routers
    }

    /// All parameters, computed from the figures: layers, embedding, head, the last norm.
    pub fn parameters(&self) -> u64 {
        let tables = if self.tied_embeddings { 1 } else { 2 };
        self.layer_parameters() + tables * self.embedding_parameters() + u64::from(self.hidden_size)
    }
}
