//! The keys of a GGUF file in the words of a Hugging Face config.

use gguf_rs_lib::format::MetadataValue;
use serde_json::{Map, Value, json};

use super::architecture::{HARMLESS, KEYS, REFUSED, model_type};
use super::file::Header;
use super::tensors::Sums;
use crate::catalog::hf::HfConfigError;
use crate::excerpt::quoted;

/// A metadata value as JSON.
fn value(given: &MetadataValue) -> Value {
    match given {
        MetadataValue::Array(list) => list.iter().map(value).collect(),
        MetadataValue::String(text) => json!(text),
        MetadataValue::Bool(flag) => json!(flag),
        other => match (other.as_u64(), other.as_i64(), other.as_f64()) {
            (Some(number), ..) => json!(number),
            (None, Some(number), _) => json!(number),
            (None, None, number) => json!(number),
        },
    }
}

/// The config.
pub(super) fn config(header: &Header, sums: &Sums) -> Result<Map<String, Value>, HfConfigError> {
    let architecture = header
        .text("general.architecture")
        .ok_or_else(|| HfConfigError::Missing("general.architecture".into()))?;
    let prefix = format!("{architecture}.");
    let get = |key: &str| header.get(&format!("{prefix}{key}")).map(value);
    let number = |key: &str| get(key).and_then(|value| value.as_u64());
    let need =
        |key: &str| number(key).ok_or_else(|| HfConfigError::Missing(format!("{prefix}{key}")));
    refused(header, architecture, &prefix)?;
    let has_experts = number("expert_count").unwrap_or(0) > 0;
    let mut config = Map::new();
    match model_type(architecture, has_experts) {
        Some(kind) => config.insert("model_type".into(), json!(kind)),
        // Named by no class, it is read as one like Llama, and said.
        None => config.insert("model_type".into(), json!(format!("GGUF {architecture}"))),
    };
    // The layers for multi-token prediction are counted among the others.
    let drafting = number("nextn_predict_layers").unwrap_or(0);
    let layers = need("block_count")?.saturating_sub(drafting);
    config.insert("num_hidden_layers".into(), json!(layers));
    for (own, theirs) in KEYS.iter().filter(|(_, theirs)| !theirs.is_empty()) {
        if let Some(value) = get(own) {
            config.insert((*theirs).to_owned(), value);
        }
    }
    let vocabulary = match (sums.vocabulary, header.get("tokenizer.ggml.tokens")) {
        (Some(rows), _) => Some(rows),
        (None, Some(MetadataValue::Array(tokens))) => u64::try_from(tokens.len()).ok(),
        _ => None,
    };
    if let Some(vocabulary) = vocabulary {
        config.insert("vocab_size".into(), json!(vocabulary));
    }
    config.insert("tie_word_embeddings".into(), json!(!sums.has_head()));
    by_tensors(&mut config, sums);
    by_layer(&mut config, layers);
    of_architecture(architecture, &mut config, &get)?;
    // What is not known is judged like any key.
    for (key, given) in header.sorted() {
        let Some(own) = key.strip_prefix(&prefix) else { continue };
        let known = KEYS.iter().any(|(known, _)| *known == own)
            || HARMLESS.contains(&own)
            || own == "attention.causal";
        if !known && !own.starts_with("rope.") {
            config.insert(key.to_owned(), value(given));
        }
    }
    Ok(config)
}

/// Refuses what is no model of these: encoders, and states in words that are not known.
fn refused(header: &Header, architecture: &str, prefix: &str) -> Result<(), HfConfigError> {
    let why = if REFUSED.contains(&architecture) {
        "its layers are not modelled"
    } else if header.get(&format!("{prefix}attention.causal")).map(value) == Some(json!(false)) {
        "it is no model that generates from left to right (`attention.causal`)"
    } else if model_type(architecture, false).is_none()
        && header.sorted().iter().any(|(key, _)| key.starts_with(&format!("{prefix}ssm.")))
    {
        "its layers that carry a state (`ssm.`) are not modelled"
    } else {
        return Ok(());
    };
    Err(HfConfigError::Unsupported(format!("the architecture `{}`: {why}", quoted(architecture))))
}

/// What the tensors say: biases, norms, the gate of the networks.
fn by_tensors(config: &mut Map<String, Value>, sums: &Sums) {
    let kind = config.get("model_type").and_then(Value::as_str).unwrap_or("");
    let known = !kind.starts_with("GGUF");
    if known {
        return;
    }
    config.insert("attention_bias".into(), json!(sums.biases.0));
    config.insert("attention_out_bias".into(), json!(sums.biases.1));
    config.insert("use_qk_norm".into(), json!(sums.qk_norm));
    config.insert("gated_mlp".into(), json!(sums.gate));
}

/// Figures that a list has layer by layer: one figure where all are the same, else figures of single
/// layers.
fn by_layer(config: &mut Map<String, Value>, layers: u64) {
    let mut single: Map<String, Value> = Map::new();
    for key in ["num_key_value_heads", "num_attention_heads", "intermediate_size"] {
        let Some(Value::Array(list)) = config.get(key).cloned() else { continue };
        let most = list.iter().max_by_key(|value| value.as_u64()).cloned().unwrap_or(Value::Null);
        if key == "num_key_value_heads" && list.iter().any(|value| value.as_u64() == Some(0)) {
            // No KV heads: a layer that carries a state.
            let kind = |value: &Value| match value.as_u64() {
                Some(0) => json!("conv"),
                _ => json!("full_attention"),
            };
            config.insert("layer_types".into(), list.iter().map(kind).collect());
        } else if list.iter().any(|value| *value != most) {
            for (layer, value) in (0..layers).zip(&list) {
                let own = single.entry(layer.to_string()).or_insert_with(|| json!({}));
                if let Some(own) = own.as_object_mut() {
                    own.insert(key.into(), value.clone());
                }
            }
        }
        config.insert(key.into(), most);
    }
    if !single.is_empty() {
        config.insert("per_layer_config".into(), Value::Object(single));
    }
}

/// What some architectures say in their own way.
fn of_architecture(
    architecture: &str,
    config: &mut Map<String, Value>,
    get: &dyn Fn(&str) -> Option<Value>,
) -> Result<(), HfConfigError> {
    let number = |key: &str| get(key).and_then(|value| value.as_u64());
    match architecture {
        "deepseek2" => {
            // Of a latent cache, `key_length` is that of the compressed key where the other is there.
            let rope = number("rope.dimension_count").unwrap_or(64);
            let key = number("attention.key_length_mla").or(number("attention.key_length"));
            let key = key.ok_or_else(|| HfConfigError::Missing("attention.key_length".into()))?;
            let wide = number("attention.value_length_mla").or(number("attention.value_length"));
            config.insert("qk_rope_head_dim".into(), json!(rope));
            config.insert("qk_nope_head_dim".into(), json!(key.saturating_sub(rope)));
            config.insert("v_head_dim".into(), json!(wide.unwrap_or(key)));
            config.entry("q_lora_rank").or_insert(Value::Null);
            config.remove("head_dim");
        }
        "qwen3next" | "qwen35" | "qwen35moe" => {
            let heads = number("ssm.time_step_rank").unwrap_or(0).max(1);
            let inner = number("ssm.inner_size").unwrap_or(0);
            config.insert("linear_value_head_dim".into(), json!(inner / heads));
        }
        "jamba" | "mamba" => {
            for (own, theirs) in [
                ("ssm.conv_kernel", "mamba_d_conv"),
                ("ssm.state_size", "mamba_d_state"),
                ("ssm.time_step_rank", "mamba_dt_rank"),
            ] {
                if let Some(value) = get(own) {
                    config.insert(theirs.into(), value);
                }
            }
            for key in ["linear_conv_kernel_dim", "linear_key_head_dim", "linear_num_value_heads"] {
                config.remove(key);
            }
        }
        "lfm2" => {
            config.insert("block_auto_adjust_ff_dim".into(), json!(false));
        }
        // Experts as wide as the one key says.
        "gpt-oss" | "llama" | "granitemoe" | "phimoe"
            if config.contains_key("num_experts")
                && !config.contains_key("moe_intermediate_size") =>
        {
            let width = config.get("intermediate_size").cloned().unwrap_or(Value::Null);
            config.insert("moe_intermediate_size".into(), width);
        }
        _ => {}
    }
    match get("attention.sliding_window_pattern") {
        Some(Value::Array(list)) => {
            let kind = |value: &Value| match value.as_bool() {
                Some(true) => json!("sliding_attention"),
                _ => json!("full_attention"),
            };
            config.insert("layer_types".into(), list.iter().map(kind).collect());
        }
        Some(value) if value.is_number() => {
            config.insert("sliding_window_pattern".into(), value);
        }
        _ => {}
    }
    if config.get("sliding_window").and_then(Value::as_u64) == Some(0) {
        config.remove("sliding_window");
    }
    if config.get("num_experts").and_then(Value::as_u64) == Some(0) {
        config.insert("num_experts_per_tok".into(), Value::Null);
    }
    Ok(())
}
