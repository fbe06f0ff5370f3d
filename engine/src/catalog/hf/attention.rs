//! Attention with stored KV heads: its figures by the kind of layer.

use serde_json::Value;

use super::config::{Config, Keys, whole};
use super::error::HfConfigError;
use super::families::{Biases, Family, reads};
use super::layers::Kind;
use crate::catalog::check::InvalidFigure;
use crate::catalog::model::{Attention, KvSource, QkNorm, Reach};

type Result<T> = std::result::Result<T, HfConfigError>;

pub(super) const HEADS: [&str; 6] = [
    "num_attention_heads",
    "n_head",
    "n_heads",
    "attention_heads",
    "decoder_attention_heads",
    "num_heads",
];
const KV_HEADS: [&str; 6] = [
    "num_key_value_heads",
    "num_kv_heads",
    "n_head_kv",
    "num_query_groups",
    "num_attention_groups",
    "n_kv_heads",
];
const HEAD_DIM: [&str; 4] =
    ["head_dim", "kv_channels", "attention_head_dim", "attention_head_size"];

/// Figures of attention layers of each kind.
pub(super) struct Heads {
    full: Attention,
    window: Attention,
}

impl Heads {
    /// Attention of a kind.
    pub(super) fn of(&self, kind: Kind) -> Attention {
        match kind {
            Kind::Window | Kind::Chunk => self.window,
            _ => self.full,
        }
    }
}

/// Reads the figures of attention.
pub(super) fn read(
    config: &Config<'_>,
    family: &Family,
    hidden_size: u32,
    has_windows: bool,
) -> Result<Heads> {
    let nested = config.text.nested("attn_config")?;
    let heads = config.number(&HEADS)?;
    let head_dim = match config.optional(&HEAD_DIM)? {
        Some(dim) if dim > 0 => dim,
        _ if heads == 0 => {
            return Err(InvalidFigure::new("heads", "must be above 0".into()).into());
        }
        _ => hidden_size / heads,
    };
    let kv_heads = kv_heads(config, nested.as_ref(), heads)?;
    let (qkv_bias, output_bias) = biases(config, family)?;
    let gate = gate_columns(config, heads, head_dim)?;
    let full = Attention {
        heads,
        kv_heads,
        key_dim: head_dim,
        value_dim: config.optional(&["v_head_dim", "attention_v_head_dim"])?.unwrap_or(head_dim),
        reach: Reach::All,
        kv: KvSource::Own,
        qk_norm: qk_norm(config, family)?,
        qkv_bias,
        output_bias,
        gate_columns: gate,
    };
    if let Some(keys) = nested {
        read_dbrx_and_mpt(config, &keys)?;
        config.keep(keys);
    }
    let mut both = Heads { full, window: full };
    if has_windows && reads(config.kind, &["mimo", "step3"]) {
        of_windows(config, &mut both)?;
    }
    if has_windows && reads(config.kind, &["gemma4"]) {
        of_global_layers(config, &mut both)?;
    }
    Ok(both)
}

/// Keys of `attn_config` in DBRX and MPT that shape nothing here.
fn read_dbrx_and_mpt(config: &Config<'_>, keys: &Keys<'_>) -> Result<()> {
    for key in ["attn_type", "softmax_scale", "attn_uses_sequence_id", "attn_impl", "prefix_lm"] {
        keys.get(key);
    }
    if keys.flag("qk_ln")? == Some(true) || keys.flag("qk_gn")? == Some(true) {
        config.say("norms of queries and keys (`qk_ln`) are left out");
    }
    Ok(())
}

fn kv_heads(config: &Config<'_>, nested: Option<&Keys<'_>>, heads: u32) -> Result<u32> {
    if let Some(keys) = nested {
        if keys.peek("kv_n_heads").is_some() {
            return Ok(keys.number("kv_n_heads")?.unwrap_or(heads));
        }
        return Ok(match keys.string("attn_type")? {
            Some("multiquery_attention") => 1,
            _ => heads,
        });
    }
    match config.kind {
        // Falcon's own code: `num_kv_heads` counts in its new architecture only.
        "falcon" | "RefinedWeb" | "RefinedWebModel" => {
            let new = config.flag(&["new_decoder_architecture"], false)?;
            let stored = config.optional(&["num_kv_heads", "n_head_kv"])?;
            let one = config.flag(&["multi_query"], true)?;
            return Ok(match (new, one) {
                (true, _) => stored.unwrap_or(heads),
                (false, true) => 1,
                (false, false) => heads,
            });
        }
        "gpt_bigcode" => {
            config.pass(&KV_HEADS);
            return Ok(if config.flag(&["multi_query"], true)? { 1 } else { heads });
        }
        "chatglm" => {
            let groups = config.optional(&["multi_query_group_num"])?;
            let several = config.flag(&["multi_query_attention"], false)?;
            return Ok(groups.filter(|_| several).unwrap_or(heads));
        }
        _ => {}
    }
    if let Some(kv_heads) = config.optional(&KV_HEADS)? {
        // Nemotron-H's and Jais's configs say 0 or leave it to mean as many as query heads.
        return Ok(if kv_heads == 0 { heads } else { kv_heads });
    }
    match config.given(&["multi_query"]) {
        Some((_, Value::Bool(true))) => Ok(1),
        _ => Ok(heads),
    }
}

fn biases(config: &Config<'_>, family: &Family) -> Result<(bool, bool)> {
    const INPUTS: [&str; 8] = [
        "attention_bias",
        "use_qkv_bias",
        "add_qkv_bias",
        "qkv_bias",
        "attn_bias",
        "enable_bias",
        "bias",
        "use_bias",
    ];
    let said = config.optional_flag(&INPUTS)?;
    let output = config.optional_flag(&["attention_out_bias", "o_bias", "attn_out_bias"])?;
    let (inputs, all) = match family.biases {
        Biases::Never => (false, false),
        Biases::Inputs(default) => (said.unwrap_or(default), false),
        Biases::All(default) => (said.unwrap_or(default), said.unwrap_or(default)),
    };
    Ok((inputs, output.unwrap_or(all)))
}

fn qk_norm(config: &Config<'_>, family: &Family) -> Result<QkNorm> {
    let said =
        config.optional_flag(&["use_qk_norm", "qk_layernorm", "qk_norm", "use_qk_layernorm"])?;
    if let Some((key, value)) = config.given(&["qk_norm_type"]) {
        return match value.as_str() {
            Some("per_head" | "per_layer_head") => Ok(QkNorm::PerHead),
            Some("per_layer" | "whole") => Ok(QkNorm::Whole),
            _ => Err(HfConfigError::unknown(key, value, "per_head, per_layer")),
        };
    }
    Ok(match (said, family.qk_norm) {
        (Some(false), _) => QkNorm::None,
        // Llama 4's norms have no weights.
        (Some(true), _) if config.kind.starts_with("llama4") => QkNorm::None,
        (Some(true), QkNorm::None) => QkNorm::PerHead,
        (_, norm) => norm,
    })
}

/// Columns of a projection that gates attention's output.
fn gate_columns(config: &Config<'_>, heads: u32, head_dim: u32) -> Result<u32> {
    let whole = heads.saturating_mul(head_dim);
    let kind = config.kind;
    let by_class = kind.starts_with("qwen3_next")
        || kind.starts_with("qwen3_5")
        || matches!(kind, "afmoe" | "beam");
    let said = config.optional_flag(&[
        "attn_output_gate",
        "attention_output_gate",
        "use_attn_output_gate",
        "use_attention_gate",
    ])?;
    if said.unwrap_or(by_class) {
        return Ok(whole);
    }
    // One gate a head.
    match config.given(&["use_head_wise_attn_gate", "gating"]) {
        Some((_, Value::Bool(true))) => Ok(heads),
        Some((_, Value::String(text))) if text == "per-head" => Ok(heads),
        Some((_, Value::Bool(false))) | None => Ok(0),
        Some((key, other)) => Err(HfConfigError::unknown(key, other, "true, false, per-head")),
    }
}

/// Layers with windows that have figures of their own (MiMo-V2, Step 3.5).
fn of_windows(config: &Config<'_>, both: &mut Heads) -> Result<()> {
    let window = &mut both.window;
    if let Some(heads) = config.optional(&["swa_num_attention_heads"])? {
        window.heads = heads;
    }
    if let Some(heads) = config.optional(&["swa_num_key_value_heads"])? {
        window.kv_heads = heads;
    }
    if let Some(dim) = config.optional(&["swa_head_dim"])? {
        (window.key_dim, window.value_dim) = (dim, dim);
    }
    if let Some(dim) = config.optional(&["swa_v_head_dim"])? {
        window.value_dim = dim;
    }
    let Some(keys) = config.text.nested("attention_other_setting")? else { return Ok(()) };
    keys.get("attention_type");
    keys.get("true_head_dim");
    if let Some(heads) = keys.number("num_attention_heads")? {
        window.heads = heads;
    }
    if let Some(heads) = keys.number("num_attention_groups")? {
        window.kv_heads = heads;
    }
    if let Some(dim) = keys.number("head_dim")? {
        (window.key_dim, window.value_dim) = (dim, dim);
    }
    if both.full.gate_columns > 0 {
        window.gate_columns = window.heads;
    }
    config.keep(keys);
    Ok(())
}

/// Layers that look at all tokens and have figures of their own (Gemma 4).
fn of_global_layers(config: &Config<'_>, both: &mut Heads) -> Result<()> {
    let full = &mut both.full;
    if let Some(dim) = config.optional(&["global_head_dim"])? {
        (full.key_dim, full.value_dim) = (dim, dim);
    }
    let own = config.flag(&["attention_k_eq_v"], false)?;
    let kv_heads = config.optional(&["num_global_key_value_heads"])?;
    if own {
        full.kv = KvSource::KeyIsValue;
        full.kv_heads = kv_heads.unwrap_or(full.kv_heads);
    }
    Ok(())
}

/// Counts attention's keys as looked at in a model whose layers have none.
pub(super) fn pass(config: &Config<'_>) {
    for names in [&HEADS[..], &KV_HEADS[..], &HEAD_DIM[..]] {
        config.pass(names);
    }
    config.pass(&["attention_bias"]);
}

/// Query heads of a layer where a list has them by layer (Laguna).
pub(super) fn heads_by_layer(config: &Config<'_>) -> Result<Option<Vec<u32>>> {
    if !reads(config.kind, &["laguna"]) {
        return Ok(None);
    }
    let Some((key, list)) = config.by_layer(&["num_attention_heads_per_layer"])? else {
        return Ok(None);
    };
    list.iter().map(|value| whole(&key, value)).collect::<Result<Vec<u32>>>().map(Some)
}
