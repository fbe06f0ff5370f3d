//! Multi-head latent attention, and the indexer that picks what it reads.

use super::attention::HEADS;
use super::config::Config;
use super::error::HfConfigError;
use super::families::reads;
use crate::catalog::model::{Indexer, Latent};

type Result<T> = std::result::Result<T, HfConfigError>;

/// Reads the figures of latent attention; `None` where it is of another kind.
pub(super) fn read(config: &Config<'_>) -> Result<Option<Latent>> {
    const CLASSES: [&str; 13] = [
        "deepseek",
        "kimi",
        "glm_moe_dsa",
        "glm4_moe_lite",
        "minicpm3",
        "youtu",
        "axk",
        "longcat",
        "mistral4",
        "sarvam_mla",
        "bailing",
        "dots3",
        "hy_v4",
    ];
    if !reads(config.kind, &CLASSES) {
        return Ok(None);
    }
    let Some(kv_rank) = config.optional(&["kv_lora_rank"])? else { return Ok(None) };
    // The class's own `head_dim` is that of the rotary part; KV heads do not count.
    config.pass(&["head_dim", "num_key_value_heads", "qk_head_dim", "mla_scale_q_lora"]);
    config.pass(&["mla_scale_kv_lora", "attention_bias", "qk_layernorm"]);
    if config.kind.starts_with("bailing") {
        config.pass(&["use_qk_norm"]);
    }
    config.pass(&["sliding_window", "attention_method", "mla_config", "num_query_groups"]);
    let heads = config.number(&HEADS)?;
    let rope_dim = config.number(&["qk_rope_head_dim"])?;
    let key_dim = config.number(&["qk_nope_head_dim"])?.saturating_add(rope_dim);
    let value_dim = config.number(&["v_head_dim"])?;
    let gate_columns = match (config.kind, config.flag(&["mla_use_output_gate"], false)?) {
        ("bailing_hybrid", _) => heads,
        (_, true) => heads.saturating_mul(value_dim),
        (_, false) => 0,
    };
    Ok(Some(Latent {
        heads,
        kv_rank,
        query_rank: config.optional(&["q_lora_rank"])?.unwrap_or(0),
        key_dim,
        rope_dim,
        value_dim,
        gate_columns,
        indexer: indexer(config)?,
    }))
}

fn indexer(config: &Config<'_>) -> Result<Option<Indexer>> {
    if !reads(config.kind, &["deepseek_v32", "glm_moe_dsa", "axk2", "dots3", "hy_v4"]) {
        return Ok(None);
    }
    let Some(top) = config.optional(&["index_topk"])? else { return Ok(None) };
    config.pass(&["indexer_rope_interleave", "index_rope_interleave"]);
    Ok(Some(Indexer {
        heads: config.number(&["index_n_heads"])?,
        dim: config.number(&["index_head_dim"])?,
        top,
    }))
}

/// Which layers have an indexer of their own, where a list says it; the others read what an earlier
/// layer's picked (GLM-5.2).
pub(super) fn indexers(config: &Config<'_>) -> Result<Vec<bool>> {
    if !reads(config.kind, &["glm_moe_dsa"]) {
        return Ok(Vec::new());
    }
    const RULE: [&str; 3] = ["index_topk_pattern", "index_topk_freq", "index_skip_topk_offset"];
    if let Some((key, list)) = config.by_layer(&["indexer_types"])? {
        config.pass(&RULE);
        return list
            .iter()
            .map(|value| match value.as_str() {
                Some("full") => Ok(true),
                Some("shared") => Ok(false),
                _ => Err(HfConfigError::unknown(&key, value, "full, shared")),
            })
            .collect();
    }
    if let Some((key, value)) = config.given(&RULE[..1]) {
        config.pass(&RULE);
        let text = value.as_str().ok_or_else(|| HfConfigError::wrong(key, "letters", value))?;
        if text.chars().count() < config.layers.get() as usize {
            return Err(HfConfigError::wrong(key, "a letter for each layer", text));
        }
        let own = |letter| match letter {
            'F' => Ok(true),
            'S' => Ok(false),
            other => Err(HfConfigError::unknown(key, other, "F, S")),
        };
        return text.chars().map(own).collect();
    }
    let step = config.given_number(&RULE[1..2])?.unwrap_or(1).max(1);
    let first = config.given_number(&RULE[2..])?.unwrap_or(2);
    let own = |layer: u32| {
        let behind = (layer + 1).saturating_sub(first);
        behind.is_multiple_of(step)
    };
    Ok((0..config.layers.get()).map(own).collect())
}
