//! Reads a model's figures from any Hugging Face `config.json`.
//!
//! Models differ in the names of their keys, not in what is needed here, so the keys are looked
//! up by all the names in use instead of by a type for each `model_type`. A figure is never
//! guessed where a wrong guess would change the answer: a missing key is an error.

use serde_json::{Map, Value};

use super::check::InvalidFigure;
use super::model::{
    Attention, Dense, Experts, Formats, KvSource, Latent, LayerGroup, Mixer, Mlp, Model, Published, QkNorm, Reach,
};

/// Why a `config.json` gives no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HfConfigError {
    /// Not a JSON object.
    #[error("not a JSON object: {0}")]
    NotAnObject(String),
    /// A key that is needed is not there.
    #[error("the key `{0}` is missing")]
    Missing(String),
    /// A key holds something else than a whole number.
    #[error("`{key}` must be {expected}, found {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// An architecture whose work is not modelled.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// A figure out of range.
    #[error(transparent)]
    Figure(#[from] InvalidFigure),
}

impl Model {
    /// Reads a Hugging Face `config.json`; of a multimodal one, its language model
    /// (`text_config`).
    ///
    /// # Errors
    /// When the text is not a JSON object, a needed key is missing or of the wrong type, or the
    /// attention is of a kind that is not modelled (state-space layers, encoder-decoders).
    pub fn from_hf_config(json: &str) -> Result<Model, HfConfigError> {
        Model::from_hf_config_at(json, "")
    }

    /// The same for a file at `place`, whose name, or whose folder's, stands for that of a model that
    /// does not say its own.
    ///
    /// # Errors
    /// As [`from_hf_config`](Model::from_hf_config).
    pub fn from_hf_config_at(json: &str, place: &str) -> Result<Model, HfConfigError> {
        let value: Value =
            serde_json::from_str(json).map_err(|e| HfConfigError::NotAnObject(e.to_string()))?;
        let Value::Object(outer) = value else {
            return Err(HfConfigError::NotAnObject("another JSON value".into()));
        };
        Model::from_hf_keys(&outer, place)
    }

    /// The same of the keys themselves.
    ///
    /// # Errors
    /// As [`from_hf_config`](Model::from_hf_config).
    pub(super) fn from_hf_keys(
        outer: &Map<String, Value>,
        place: &str,
    ) -> Result<Model, HfConfigError> {
        let inner = ["text_config", "llm_config", "language_config"]
            .iter()
            .find_map(|key| outer.get(*key).and_then(Value::as_object));
        let model = read(&Config { inner: inner.unwrap_or(outer), outer }, place)?;
        model.validate()?;
        Ok(model)
    }
}

struct Config<'a> {
    inner: &'a Map<String, Value>,
    outer: &'a Map<String, Value>,
}

impl Config<'_> {
    /// The first of `keys` that is there and not null.
    fn find<'k>(&self, keys: &[&'k str]) -> Option<(&'k str, &Value)> {
        keys.iter().find_map(|&key| {
            let value = self.inner.get(key)?;
            (!value.is_null()).then_some((key, value))
        })
    }

    fn optional(&self, keys: &[&str]) -> Result<Option<u32>, HfConfigError> {
        let Some((key, value)) = self.find(keys) else { return Ok(None) };
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        number.map(Some).ok_or_else(|| HfConfigError::WrongType {
            key: key.to_owned(),
            expected: "a whole number",
            found: value.to_string(),
        })
    }

    fn number(&self, keys: &[&str]) -> Result<u32, HfConfigError> {
        self.optional(keys)?.ok_or_else(|| HfConfigError::Missing(keys[0].to_owned()))
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, HfConfigError> {
        let Some((key, value)) = self.find(&[key]) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| HfConfigError::WrongType {
            key: key.to_owned(),
            expected: "true or false",
            found: value.to_string(),
        })
    }

    fn model_type(&self) -> &str {
        [self.inner, self.outer]
            .iter()
            .find_map(|map| map.get("model_type").and_then(Value::as_str))
            .unwrap_or("")
    }
}

/// The model's name in a path: of `Qwen/Qwen2.5-7B`, of `qwen/config.json`, of `qwen-awq.json`, of a
/// file in Hugging Face's cache. `None` where nothing in it is a name.
fn name_in(path: &str) -> Option<&str> {
    let hash = |part: &str| part.len() >= 40 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let nameless = |part: &str| {
        matches!(part, "" | "." | ".." | "config" | "snapshots" | "main") || hash(part)
    };
    path.rsplit(['/', '\\'])
        .map(|part| part.strip_suffix(".json").unwrap_or(part))
        .find(|part| !nameless(part))
        // The cache's folder of `org/name` is `models--org--name`.
        .and_then(|part| part.rsplit("--").next())
}

fn read(config: &Config<'_>, place: &str) -> Result<Model, HfConfigError> {
    let kind = config.model_type();
    refuse_unsupported(config, kind)?;
    let hidden_size = config.number(&["hidden_size", "n_embd", "d_model"])?;
    let heads = config.number(&["num_attention_heads", "n_head", "n_heads"])?;
    let latent_attention = config.optional(&["kv_lora_rank"])?;
    let head_dim = match config.optional(&["head_dim"])? {
        // DeepSeek V3's own key of this name is the size of the rotary part.
        _ if latent_attention.is_some() => {
            let rope = config.number(&["qk_rope_head_dim"])?;
            config.number(&["qk_nope_head_dim"])?.saturating_add(rope)
        }
        Some(d) => d,
        None if kind.starts_with("gemma") => return Err(HfConfigError::Missing("head_dim".into())),
        None if heads == 0 => {
            return Err(InvalidFigure::new("heads", "must be above 0".into()).into());
        }
        None => hidden_size / heads,
    };
    let layers = config.number(&["num_hidden_layers", "n_layer", "n_layers", "num_layers"])?;
    let experts = read_experts(config)?;
    let dense_layers = if experts.is_some() { dense_layers(config)? } else { layers };
    let intermediate_keys =
        ["intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_hidden_size"];
    let intermediate_size = match (&experts, config.optional(&intermediate_keys)?) {
        (_, Some(size)) => size,
        (Some(experts), None) if dense_layers == 0 => experts.width,
        _ => return Err(HfConfigError::Missing("intermediate_size".into())),
    };
    // Classes whose code differs from Llama's in ways that their config does not say.
    let qk_norm = config
        .flag("use_qk_norm")?
        .unwrap_or(kind.starts_with("qwen3") || kind.starts_with("gemma3"));
    let qkv_bias = config
        .flag("attention_bias")?
        .unwrap_or(kind.starts_with("qwen2") || kind == "phi" || kind == "gpt_oss");
    let tied = kind.starts_with("gemma") || kind.starts_with("cohere");
    let own = [config.outer, config.inner]
        .iter()
        .find_map(|m| m.get("_name_or_path").and_then(Value::as_str).and_then(name_in));
    let kind_or = if kind.is_empty() { "model" } else { kind };
    let model_name = own.or_else(|| name_in(place)).unwrap_or(kind_or);
    let kv_heads = config.optional(&["num_key_value_heads", "num_kv_heads"])?.unwrap_or(heads);
    let window = read_window(config)?;
    let gated = !matches!(kind, "phi" | "gpt_neox" | "gpt2" | "starcoder2" | "opt" | "nemotron");
    let mixer = |reach: Reach| -> Result<Mixer, HfConfigError> {
        if let Some(kv_rank) = latent_attention {
            return Ok(Mixer::Latent(Latent {
                heads,
                kv_rank,
                query_rank: config.optional(&["q_lora_rank"])?.unwrap_or(0),
                key_dim: head_dim,
                rope_dim: config.number(&["qk_rope_head_dim"])?,
                value_dim: config.number(&["v_head_dim"])?,
                indexer: None,
            }));
        }
        Ok(Mixer::Attention(Attention {
            heads,
            kv_heads,
            key_dim: head_dim,
            value_dim: head_dim,
            reach,
            kv: KvSource::Own,
            qk_norm: if qk_norm { QkNorm::PerHead } else { QkNorm::None },
            qkv_bias,
            output_bias: false,
            gate_columns: 0,
        }))
    };
    let norms = if matches!(kind, "gemma2" | "gemma3" | "gemma3_text") { 4 } else { 2 };
    let mut groups: Vec<LayerGroup> = Vec::new();
    for layer in 0..layers.min(1 << 12) {
        let reach = match window {
            Some(w) if kind != "gemma2" || layer % 2 == 0 => Reach::Window(w),
            _ => Reach::All,
        };
        let mlp = match experts {
            Some(experts) if layer >= dense_layers => Mlp::Experts(experts),
            _ => Mlp::Dense(Dense { width: intermediate_size, gated, bias: false }),
        };
        let group = LayerGroup { layers: 1, mixer: mixer(reach)?, mlp, norms };
        match groups.last_mut() {
            Some(last) if (LayerGroup { layers: 1, ..*last }) == group => last.layers += 1,
            _ => groups.push(group),
        }
    }
    Ok(Model {
        name: model_name.to_lowercase(),
        description: format!("{model_name}, from its config.json"),
        hidden_size,
        groups,
        vocab_size: config.number(&["vocab_size"])?,
        max_position_embeddings: config.number(&[
            "max_position_embeddings",
            "n_positions",
            "max_seq_len",
        ])?,
        tied_embeddings: config.flag("tie_word_embeddings")?.unwrap_or(tied),
        formats: Formats::BF16,
        other_parameters: 0,
        draft_parameters: 0,
        published: Published::default(),
        assumed: Vec::new(),
        source: "config.json".into(),
    })
}

/// The window, unless the config says that no layer uses it.
fn read_window(config: &Config<'_>) -> Result<Option<u32>, HfConfigError> {
    if config.flag("use_sliding_window")? == Some(false) {
        return Ok(None);
    }
    config.optional(&["sliding_window"])
}

fn read_experts(config: &Config<'_>) -> Result<Option<Experts>, HfConfigError> {
    let Some(count) = config.optional(&[
        "num_local_experts",
        "num_experts",
        "n_routed_experts",
        "moe_num_experts",
    ])?
    else {
        return Ok(None);
    };
    if count <= 1 {
        return Ok(None);
    }
    let intermediate_size =
        config.number(&["moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size"])?;
    let shared = match config
        .optional(&["shared_expert_intermediate_size", "shared_intermediate_size"])?
    {
        Some(width) => width,
        None => {
            let shared = config.optional(&["n_shared_experts", "num_shared_experts"])?.unwrap_or(0);
            shared.saturating_mul(intermediate_size)
        }
    };
    Ok(Some(Experts {
        count,
        per_token: config.number(&["num_experts_per_tok", "experts_per_token", "moe_top_k"])?,
        width: intermediate_size,
        shared_width: shared,
        gated: true,
        bias: false,
        latent: 0,
    }))
}

/// Layers that keep the dense network, by any of the three ways to say it.
fn dense_layers(config: &Config<'_>) -> Result<u32, HfConfigError> {
    let layers = config.number(&["num_hidden_layers", "n_layer", "n_layers", "num_layers"])?;
    if let Some(first) = config.optional(&["first_k_dense_replace"])? {
        return Ok(first.min(layers));
    }
    let only = config.find(&["mlp_only_layers"]).and_then(|(_, v)| v.as_array());
    let listed = u32::try_from(only.map_or(0, Vec::len)).unwrap_or(layers);
    let step = config.optional(&["decoder_sparse_step", "interleave_moe_layer_step"])?.unwrap_or(1);
    Ok((layers - layers / step.max(1)).max(listed).min(layers))
}

fn refuse_unsupported(config: &Config<'_>, kind: &str) -> Result<(), HfConfigError> {
    let refuse = |what: &str| Err(HfConfigError::Unsupported(what.to_owned()));
    if config.flag("is_encoder_decoder")? == Some(true) {
        return refuse("encoder-decoder models");
    }
    let recurrent =
        ["ssm_cfg", "state_size", "mamba_d_state", "mamba_n_heads", "linear_num_key_heads"];
    if config.find(&recurrent).is_some() || kind.contains("mamba") || kind.contains("rwkv") {
        return refuse("state-space and linear-attention layers");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
