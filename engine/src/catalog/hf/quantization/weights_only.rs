//! Methods that quantise weights alone: products are computed in 16 bits, but for torchao's few.

use serde_json::{Map, Value};

use super::Scheme;
use super::methods::{group_size, number, of_all};
use crate::catalog::hf::config::{Config, Keys, whole};
use crate::catalog::hf::error::HfConfigError;
use crate::catalog::hf::patterns::Patterns;
use crate::catalog::hf::schemes;
use crate::catalog::hf::tensors::Class;
use crate::catalog::model::{Format, FormatName};

type Result<T> = std::result::Result<T, HfConfigError>;

pub(super) fn bitsandbytes(keys: &Keys<'_>) -> Result<Format> {
    for key in
        ["llm_int8_threshold", "llm_int8_has_fp16_weight", "llm_int8_enable_fp32_cpu_offload"]
    {
        keys.get(key);
    }
    for key in ["bnb_4bit_compute_dtype", "bnb_4bit_quant_storage", "bnb_4bit_quant_type"] {
        keys.get(key);
    }
    let four = keys.flag("load_in_4bit")?.or(keys.flag("_load_in_4bit")?).unwrap_or(false);
    let eight = keys.flag("load_in_8bit")?.or(keys.flag("_load_in_8bit")?).unwrap_or(false);
    let double = keys.flag("bnb_4bit_use_double_quant")?.unwrap_or(false);
    match (four, eight) {
        // Blocks of 64 with a 32-bit scale; quantised once more, 8 bits and one of 32 for each 256.
        (true, _) => {
            let bits = if double { 4 * 1024 + 130 } else { 4 * 1024 + 512 };
            Ok(Format { name: FormatName::Int4, bits_1024ths: bits })
        }
        (false, true) => Ok(Format { name: FormatName::Int8Weights, bits_1024ths: 8 * 1024 }),
        (false, false) => Err(HfConfigError::Missing(keys.path_of("load_in_4bit"))),
    }
}

pub(super) fn hqq(keys: &Keys<'_>) -> Result<Format> {
    keys.get("skip_modules");
    let need = || HfConfigError::Missing(keys.path_of("quant_config.weight_quant_params"));
    let inner = keys.nested("quant_config")?.ok_or_else(need)?;
    let weights = inner.nested("weight_quant_params")?.ok_or_else(need)?;
    let bits = weights.number("nbits")?.unwrap_or(4);
    let group = group_size(&weights, &["group_size"], 64)?;
    schemes::int_weights(&weights.path_of("nbits"), bits, group, true)
}

pub(super) fn torchao(keys: &Keys<'_>) -> Result<Format> {
    let named = keys.get("quant_type").and_then(|value| match value {
        Value::String(name) => Some(name.as_str()),
        other => other.get("default")?.get("_type")?.as_str(),
    });
    keys.get("quant_type_kwargs");
    keys.get("include_input_output_embeddings");
    keys.get("untie_embedding_weights");
    match named {
        Some(
            "Float8DynamicActivationFloat8WeightConfig" | "float8_dynamic_activation_float8_weight",
        ) => Ok(Format::FP8),
        Some("Float8WeightOnlyConfig" | "float8_weight_only") => {
            Ok(Format { name: FormatName::Fp8Weights, ..Format::FP8 })
        }
        Some("Int8WeightOnlyConfig" | "int8_weight_only") => {
            schemes::int_weights("bits", 8, 0, false)
        }
        Some("Int8DynamicActivationInt8WeightConfig" | "int8_dynamic_activation_int8_weight") => {
            Ok(Format::INT8)
        }
        Some("Int4WeightOnlyConfig" | "int4_weight_only") => {
            schemes::int_weights("bits", 4, 128, true)
        }
        other => Err(HfConfigError::unknown(
            &keys.path_of("quant_type"),
            other.unwrap_or("a type without a name"),
            "int4_weight_only, int8_weight_only, float8_weight_only, float8_dynamic_activation_float8_weight",
        )),
    }
}

/// MLX's: all matrices, embedding and head too, with a 16-bit scale and a 16-bit bias a group.
pub(super) fn mlx(config: &Config<'_>, keys: &Keys<'_>) -> Result<Scheme> {
    let figures = |map: &Map<String, Value>| -> Result<Option<Format>> {
        let key = keys.path_of("bits");
        let Some(bits) = map.get("bits") else { return Ok(None) };
        let bits = whole(&key, bits)?;
        let group = map.get("group_size").map(|v| whole(&key, v)).transpose()?.unwrap_or(64);
        if !(2..=8).contains(&bits) {
            return Err(HfConfigError::unknown(&key, bits, "2 to 8 bits"));
        }
        let name = if bits == 8 { FormatName::Int8Weights } else { FormatName::Int4 };
        let scale = match map.get("mode").and_then(Value::as_str) {
            None | Some("affine") => 32,
            Some("mxfp4" | "mxfp8" | "nvfp4") => 8,
            Some(other) => {
                let known = "affine, mxfp4, mxfp8, nvfp4";
                return Err(HfConfigError::unknown(&keys.path_of("mode"), other, known));
            }
        };
        let bits_1024ths = bits * 1024 + scale * 1024 / group.max(1);
        Ok(Some(Format { name, bits_1024ths }))
    };
    for key in ["bits", "group_size", "mode"] {
        keys.get(key);
    }
    let mut scheme = Scheme::none();
    scheme.classes.extend([Class::Embedding, Class::Head]);
    let own: Map<String, Value> = ["bits", "group_size", "mode"]
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), keys.peek(key)?.clone())))
        .collect();
    scheme.otherwise = figures(&own)?;
    for (name, value) in keys.unused() {
        match value {
            Value::Object(map) => {
                scheme.rules.push((Patterns::new(name, [name])?, figures(map)?));
                keys.get(name);
            }
            Value::Bool(false) => {
                scheme.rules.push((Patterns::new(name, [name])?, None));
                keys.get(name);
            }
            _ => {}
        }
    }
    config.say("quantised as MLX does: priced as weights only, whatever the engine");
    Ok(scheme)
}

pub(super) fn awq(keys: &Keys<'_>) -> Result<Format> {
    let bits = number(keys, &["bits", "w_bit"])?.unwrap_or(4);
    let group = group_size(keys, &["group_size", "q_group_size"], 128)?;
    let zeros = keys.flag("zero_point")?.unwrap_or(true);
    keys.get("linear_quant_method");
    schemes::int_weights(&keys.path_of("bits"), bits, group, zeros)
}

/// GPTQ keeps zero points also where they are all the same (`sym`).
pub(super) fn gptq(keys: &Keys<'_>) -> Result<Scheme> {
    let bits = keys.number("bits")?.unwrap_or(4);
    let group = group_size(keys, &["group_size"], 128)?;
    keys.get("sym");
    let key = keys.path_of("bits");
    let format = schemes::int_weights(&key, bits, group, true)?;
    let mut scheme = of_all(format);
    if keys.flag("lm_head")? == Some(true) {
        scheme.classes.push(Class::Head);
    }
    if let Some(dynamic) = keys.nested("dynamic")? {
        for (pattern, own) in dynamic.unused() {
            // `-:` leaves a module out, `+:` or nothing gives it figures of its own.
            let (out, regex) = match (pattern.strip_prefix("-:"), pattern.strip_prefix("+:")) {
                (Some(regex), _) => (true, regex),
                (None, Some(regex)) => (false, regex),
                (None, None) => (false, pattern),
            };
            let patterns =
                Patterns::new(&keys.path_of("dynamic"), [format!("re:{regex}").as_str()])?;
            let own_bits = own.get("bits").map(|v| whole(&key, v)).transpose()?.unwrap_or(bits);
            let own_group = own.get("group_size").map(|v| whole(&key, v)).transpose()?;
            let own = schemes::int_weights(&key, own_bits, own_group.unwrap_or(group), true)?;
            scheme.rules.push((patterns, (!out).then_some(own)));
        }
        dynamic.use_all();
    }
    Ok(scheme)
}

pub(super) fn auto_round(keys: &Keys<'_>) -> Result<Scheme> {
    let bits = keys.number("bits")?.unwrap_or(4);
    let group = group_size(keys, &["group_size"], 128)?;
    let zeros = !keys.flag("sym")?.unwrap_or(true);
    let key = keys.path_of("bits");
    match keys.string("data_type")? {
        None | Some("int") => {}
        Some(other) => {
            return Err(HfConfigError::unknown(&keys.path_of("data_type"), other, "int"));
        }
    }
    for silent in ["lr", "minmax_lr", "nsamples", "seqlen", "gradient_accumulate_steps", "amp"] {
        keys.get(silent);
    }
    for silent in
        ["enable_quanted_input", "enable_minmax_tuning", "quant_block_list", "scale_dtype"]
    {
        keys.get(silent);
    }
    let mut scheme = of_all(schemes::int_weights(&key, bits, group, zeros)?);
    if let Some(extra) = keys.nested("extra_config")? {
        for (name, own) in extra.unused() {
            let own_bits = own.get("bits").map(|v| whole(&key, v)).transpose()?.unwrap_or(bits);
            let patterns = Patterns::new(&keys.path_of("extra_config"), [name])?;
            let format = match own_bits {
                16.. => None,
                own => Some(schemes::int_weights(&key, own, group, zeros)?),
            };
            scheme.rules.push((patterns, format));
        }
        extra.use_all();
    }
    Ok(scheme)
}
