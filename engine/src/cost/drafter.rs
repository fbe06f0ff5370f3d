//! What drafts tokens beside a model: its layers, their weights and their KV; or the host.

use crate::catalog::{Attention, Dense, LayerGroup, Mixer, Mlp, Model, Published, Reach};
use crate::speculative::Method;

use super::{Dtype, Parallelism, Precision};

/// Tokens in the vocabulary of an EAGLE-3 head: that of the heads that its authors published for
/// Llama and Qwen models.
const EAGLE3_VOCABULARY: u32 = 32_000;

/// What drafts.
#[derive(Clone, Debug, PartialEq)]
pub enum Drafter {
    /// The host looks drafts up.
    Host(HostDrafter),
    /// Layers on the GPUs.
    Layers(Box<DraftLayers>),
}

/// The host's time to look drafts up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostDrafter {
    /// A step's, microseconds.
    pub step_us: f64,
    /// A request's, microseconds.
    pub request_us: f64,
}

/// Layers that draft.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftLayers {
    /// The layers of a pass, as a model of its own; its vocabulary is what it chooses drafts from.
    pub(super) model: Model,
    /// In which numbers.
    pub(super) precision: Precision,
    /// As many stand in memory.
    pub(super) copies: u32,
    /// Inputs and outputs of projections before the first pass, held whole by every rank.
    pub(super) fused_first: Vec<[u32; 2]>,
    /// The same before every pass, the first included.
    pub(super) fused: Vec<[u32; 2]>,
    /// Whether it has an embedding and a head of its own; else they are the model's.
    pub(super) own_embedding: bool,
    pub(super) own_head: bool,
}

/// Why a method does not go with a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// No layers for multi-token prediction.
    #[error("{model} has no layers for multi-token prediction")]
    NoPredictingLayers {
        /// The model.
        model: String,
    },
    /// No attention that a head's layer could be like.
    #[error("{model} has no attention: what a head's layer is like is not known")]
    NoAttention {
        /// The model.
        model: String,
    },
    /// A small model is needed, and none is given.
    #[error("no draft model is given")]
    NoDraftModel,
    /// Drafts are not of the model's tokens.
    #[error(
        "{draft} has {of_draft} tokens in its vocabulary and {model} {of_model}: drafts must be of the model's own tokens"
    )]
    Vocabulary {
        /// The draft model.
        draft: String,
        /// Its vocabulary.
        of_draft: u32,
        /// The model.
        model: String,
        /// Its vocabulary.
        of_model: u32,
    },
}

impl HostDrafter {
    /// A lookup of the last few tokens among those before: 0.6 % of the time to verify in
    /// SpecDecode-Bench (Llama-3.1-8B on H100), which is about so much with five drafts and a thousand
    /// tokens of context, where verifying takes 5.9 ms and 165 us a request.
    const NGRAM: HostDrafter = HostDrafter { step_us: 35.0, request_us: 1.0 };
    /// Suffix trees are searched and extended request by request. Assumed: 20 us each.
    const SUFFIX: HostDrafter = HostDrafter { step_us: 35.0, request_us: 20.0 };
}

impl Drafter {
    /// What drafts by `method` for a model that is served in `precision`; `small` is the draft model,
    /// where that is the method.
    ///
    /// # Errors
    /// When they do not go together.
    pub fn new(
        method: Method,
        model: &Model,
        precision: Precision,
        small: Option<&Model>,
    ) -> Result<Drafter, DraftError> {
        let layers = match method {
            Method::Ngram => return Ok(Drafter::Host(HostDrafter::NGRAM)),
            Method::Suffix => return Ok(Drafter::Host(HostDrafter::SUFFIX)),
            Method::Eagle => DraftLayers::eagle(model, precision)?,
            Method::Eagle3 => DraftLayers::eagle3(model, precision)?,
            Method::Mtp { .. } => DraftLayers::predicting(model, precision)?,
            Method::DraftModel => {
                let small = small.ok_or(DraftError::NoDraftModel)?;
                DraftLayers::small(small, model, precision)?
            }
        };
        Ok(Drafter::Layers(Box::new(layers)))
    }

    /// Its layers, where the GPUs draft.
    pub fn layers(&self) -> Option<&DraftLayers> {
        match self {
            Drafter::Host(_) => None,
            Drafter::Layers(layers) => Some(layers),
        }
    }
}

impl DraftLayers {
    /// The layers of a pass, as a model of its own.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// One layer like the model's, after a projection of a token's embedding and the model's last
    /// hidden state to one; embedding and head are the model's (EAGLE; vLLM `llama_eagle.py`).
    fn eagle(model: &Model, precision: Precision) -> Result<DraftLayers, DraftError> {
        let h = model.hidden_size;
        let layer = head_layer(model)?;
        Ok(DraftLayers {
            model: beside("the EAGLE head", model, vec![layer]),
            precision: Precision { weights: Dtype::Bf16, ..precision },
            copies: 1,
            fused_first: Vec::new(),
            fused: vec![[2 * h, h]],
            own_embedding: false,
            own_head: false,
        })
    }

    /// One layer like the model's whose attention reads a token's embedding and a hidden state side by
    /// side, after a projection of three hidden states to one before the first pass; its head has a
    /// vocabulary of its own (EAGLE-3; vLLM `llama_eagle3.py`).
    fn eagle3(model: &Model, precision: Precision) -> Result<DraftLayers, DraftError> {
        let h = model.hidden_size;
        let layer = head_layer(model)?;
        let columns = match layer.mixer {
            Mixer::Attention(attention) => {
                let queries = u64::from(attention.heads) * u64::from(attention.key_dim);
                u32::try_from(queries + attention.kv_columns()).unwrap_or(u32::MAX)
            }
            Mixer::Latent(latent) => latent.query_rank + latent.kv_rank + latent.rope_dim,
            Mixer::Recurrent(_) | Mixer::None => 0,
        };
        let mut head = beside("the EAGLE-3 head", model, vec![layer]);
        head.vocab_size = model.vocab_size.min(EAGLE3_VOCABULARY);
        head.tied_embeddings = false;
        Ok(DraftLayers {
            model: head,
            precision: Precision { weights: Dtype::Bf16, ..precision },
            copies: 1,
            fused_first: vec![[3 * h, h]],
            fused: vec![[h, columns]],
            own_embedding: false,
            own_head: true,
        })
    }

    /// The model's own layers for multi-token prediction: one a pass.
    fn predicting(model: &Model, precision: Precision) -> Result<DraftLayers, DraftError> {
        let layers = model.predicting_layers();
        if layers.is_empty() {
            return Err(DraftError::NoPredictingLayers { model: model.name.clone() });
        }
        let h = model.hidden_size;
        Ok(DraftLayers {
            model: beside("the layer that predicts", model, layers),
            precision,
            copies: model.predicting_modules(),
            fused_first: Vec::new(),
            fused: vec![[2 * h, h]],
            own_embedding: false,
            own_head: false,
        })
    }

    /// A model of its own, in the numbers of its checkpoint.
    fn small(
        small: &Model,
        model: &Model,
        precision: Precision,
    ) -> Result<DraftLayers, DraftError> {
        // vLLM refuses others (`verify_equal_vocab_size_if_draft_model`).
        if small.vocab_size != model.vocab_size {
            return Err(DraftError::Vocabulary {
                draft: small.name.clone(),
                of_draft: small.vocab_size,
                model: model.name.clone(),
                of_model: model.vocab_size,
            });
        }
        Ok(DraftLayers {
            model: small.clone(),
            precision: Precision { weights: Dtype::Auto, ..precision },
            copies: 1,
            fused_first: Vec::new(),
            fused: Vec::new(),
            own_embedding: true,
            own_head: true,
        })
    }

    /// How it is spread over GPUs: as the model is, on the last pipeline stage.
    pub(super) fn parallelism(&self, parallelism: Parallelism) -> Parallelism {
        let expert = parallelism.expert && self.model.experts().is_some();
        Parallelism { pipeline: 1, expert, ..parallelism }
    }

    /// Bytes of the projections before its layers.
    pub(super) fn fused_bytes(&self) -> u64 {
        let all = self.fused_first.iter().chain(&self.fused);
        all.map(|&[inputs, outputs]| 2 * u64::from(inputs) * u64::from(outputs)).sum()
    }
}

/// A layer of a head beside a model: attention over all tokens with the model's heads, and a dense
/// network as wide as the model's, or as all experts that a token goes to.
fn head_layer(model: &Model) -> Result<LayerGroup, DraftError> {
    let mixer = model.groups.iter().find_map(|group| match group.mixer {
        Mixer::Attention(attention) => Some(Mixer::Attention(Attention {
            reach: Reach::All,
            kv: Default::default(),
            gate_columns: 0,
            ..attention
        })),
        Mixer::Latent(latent) => {
            let latent = crate::catalog::Latent { indexer: None, gate_columns: 0, ..latent };
            Some(Mixer::Latent(latent))
        }
        Mixer::Recurrent(_) | Mixer::None => None,
    });
    let mixer = mixer.ok_or_else(|| DraftError::NoAttention { model: model.name.clone() })?;
    let dense = model.groups.iter().find_map(|group| match group.mlp {
        Mlp::Dense(dense) => Some(dense),
        Mlp::Experts(_) | Mlp::None => None,
    });
    let of_experts = || {
        let experts = model.experts()?;
        let width = experts.per_token * experts.width + experts.shared_width;
        Some(Dense { width, gated: experts.gated, bias: false })
    };
    let mlp = dense.or_else(of_experts).map_or(Mlp::None, Mlp::Dense);
    Ok(LayerGroup { layers: 1, mixer, mlp, norms: 2 })
}

/// Layers beside a model, as a model of their own.
fn beside(what: &str, model: &Model, groups: Vec<LayerGroup>) -> Model {
    Model {
        name: format!("{what} of {}", model.name),
        groups,
        other_parameters: 0,
        encoder_parameters: 0,
        draft_parameters: 0,
        published: Published::default(),
        assumed: Vec::new(),
        ..model.clone()
    }
}
