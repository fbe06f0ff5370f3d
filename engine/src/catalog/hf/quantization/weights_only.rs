//! Methods that quantise weights alone: products are computed in 16 bits, but for torchao's few.

use serde_json::Value;

use super::Scheme;
use super::methods::{group_size, number, of_all};
use crate::catalog::hf::config::{Config, Keys};
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

pub(super) fn hqq<'a>(config: &Config<'a>, keys: &Keys<'a>) -> Result<Format> {
    let need = || HfConfigError::Missing(keys.path_of("quant_config.weight_quant_params"));
    let inner = keys.nested("quant_config")?.ok_or_else(need)?;
    let weights = inner.nested("weight_quant_params")?.ok_or_else(need)?;
    let bits = weights.number("nbits")?.unwrap_or(4);
    let group = group_size(&weights, &["group_size"], 64)?;
    weights.pass(&["axis", "channel_wise", "round_zero", "optimize", "view_as_float"]);
    inner.pass(&["offload_meta"]);
    let format = schemes::int_weights(&weights.path_of("nbits"), bits, group, true)?;
    config.keep(weights);
    config.keep(inner);
    Ok(format)
}

/// Figures of torchao's formats that change no bits.
const QUIET_TORCHAO: [&str; 6] = [
    "kernel_preference",
    "weight_dtype",
    "activation_dtype",
    "int4_packing_format",
    "inner_k_tiles",
    "set_inductor_config",
];

pub(super) fn torchao<'a>(config: &Config<'a>, keys: &Keys<'a>) -> Result<Format> {
    keys.pass(&["include_input_output_embeddings", "untie_embedding_weights"]);
    let (named, figures) = match keys.get("quant_type") {
        Some(Value::String(name)) => (Some(name.as_str()), keys.nested("quant_type_kwargs")?),
        None => (None, None),
        Some(_) => {
            let types = keys.nested("quant_type")?;
            let types = types.ok_or_else(|| HfConfigError::Missing(keys.path_of("quant_type")))?;
            let all = types.nested("default")?;
            let all = all.ok_or_else(|| HfConfigError::Missing(types.path_of("default")))?;
            // Modules with formats of their own.
            if let Some((name, _)) = types.unused().next() {
                let path = keys.path_of("quant_type");
                return Err(HfConfigError::unknown(&path, name, "default alone"));
            }
            all.get("_version");
            let figures = all.nested("_data")?;
            let name = all.string("_type")?;
            config.keep(all);
            (name, figures)
        }
    };
    let mut group = 128;
    if let Some(figures) = figures {
        group = group_size(&figures, &["group_size"], group)?;
        figures.pass(&QUIET_TORCHAO);
        config.keep(figures);
    }
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
        // A scale and a zero point of 16 bits each a group.
        Some("Int4WeightOnlyConfig" | "int4_weight_only") => {
            let scales = (32 * 1024_u32).checked_div(group).unwrap_or(0);
            Ok(Format { name: FormatName::Int4, bits_1024ths: 4 * 1024 + scales })
        }
        other => Err(HfConfigError::unknown(
            &keys.path_of("quant_type"),
            other.unwrap_or("a type without a name"),
            "int4_weight_only, int8_weight_only, float8_weight_only, float8_dynamic_activation_float8_weight",
        )),
    }
}

/// MLX's: all matrices, embedding and head too, with a 16-bit scale and a 16-bit bias a group.
pub(super) fn mlx<'a>(config: &Config<'a>, keys: &Keys<'a>) -> Result<Scheme> {
    let mut scheme = Scheme::none();
    scheme.classes.extend([Class::Embedding, Class::Head]);
    scheme.otherwise = mlx_figures(keys)?;
    let mut modules = Vec::new();
    for (name, value) in keys.unused() {
        let format = match value {
            Value::Object(_) => {
                let Some(own) = keys.nested(name)? else { continue };
                let format = mlx_figures(&own)?;
                config.keep(own);
                format
            }
            Value::Bool(false) => None,
            _ => continue,
        };
        keys.get(name);
        modules.push((name, format));
    }
    scheme.single("quantization", modules)?;
    config.say("quantised as MLX does: priced as weights only, whatever the engine");
    Ok(scheme)
}

fn mlx_figures(keys: &Keys<'_>) -> Result<Option<Format>> {
    let group = keys.number("group_size")?.unwrap_or(64);
    let scale = match keys.string("mode")? {
        None | Some("affine") => 32,
        Some("mxfp4" | "mxfp8" | "nvfp4") => 8,
        Some(other) => {
            let known = "affine, mxfp4, mxfp8, nvfp4";
            return Err(HfConfigError::unknown(&keys.path_of("mode"), other, known));
        }
    };
    let Some(bits) = keys.number("bits")? else { return Ok(None) };
    if !(2..=8).contains(&bits) {
        return Err(HfConfigError::unknown(&keys.path_of("bits"), bits, "2 to 8 bits"));
    }
    let name = if bits == 8 { FormatName::Int8Weights } else { FormatName::Int4 };
    Ok(Some(Format { name, bits_1024ths: bits * 1024 + scale * 1024 / group.max(1) }))
}

pub(super) fn awq(keys: &Keys<'_>) -> Result<Format> {
    let bits = number(keys, &["bits", "w_bit"])?.unwrap_or(4);
    let group = group_size(keys, &["group_size", "q_group_size"], 128)?;
    let zeros = keys.flag("zero_point")?.unwrap_or(true);
    keys.get("linear_quant_method");
    schemes::int_weights(&keys.path_of("bits"), bits, group, zeros)
}

/// GPTQ keeps zero points also where they are all the same (`sym`).
pub(super) fn gptq<'a>(config: &Config<'a>, keys: &Keys<'a>) -> Result<Scheme> {
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
        for (pattern, own) in dynamic.entries()? {
            // `-:` leaves a module out, `+:` or nothing gives it figures of its own.
            let (out, regex) = match (pattern.strip_prefix("-:"), pattern.strip_prefix("+:")) {
                (Some(regex), _) => (true, regex),
                (None, Some(regex)) => (false, regex),
                (None, None) => (false, pattern),
            };
            let patterns =
                Patterns::new(&keys.path_of("dynamic"), [format!("re:{regex}").as_str()])?;
            own.pass(&["sym", "desc_act", "damp_percent", "static_groups", "true_sequential"]);
            let own_bits = own.number("bits")?.unwrap_or(bits);
            let own_group = group_size(&own, &["group_size"], group)?;
            let format = schemes::int_weights(&own.path_of("bits"), own_bits, own_group, true)?;
            scheme.rule(&keys.path_of("dynamic"), patterns, (!out).then_some(format))?;
            config.keep(own);
        }
    }
    Ok(scheme)
}

pub(super) fn auto_round<'a>(config: &Config<'a>, keys: &Keys<'a>) -> Result<Scheme> {
    keys.pass(&["lr", "minmax_lr", "nsamples", "seqlen", "gradient_accumulate_steps", "amp"]);
    keys.pass(&["enable_quanted_input", "enable_minmax_tuning", "quant_block_list"]);
    let otherwise = Rounded { bits: 4, group: 128, symmetric: true };
    let all = Rounded::read(keys, &otherwise)?;
    let mut scheme = Scheme { otherwise: all.format(keys)?, ..Scheme::none() };
    if let Some(extra) = keys.nested("extra_config")? {
        let mut modules = Vec::new();
        for (name, own) in extra.entries()? {
            modules.push((name, Rounded::read(&own, &all)?.format(&own)?));
            config.keep(own);
        }
        scheme.single(&keys.path_of("extra_config"), modules)?;
    }
    Ok(scheme)
}

/// Figures of AutoRound's, of all modules or of one.
struct Rounded {
    bits: u32,
    group: u32,
    symmetric: bool,
}

impl Rounded {
    fn read(keys: &Keys<'_>, otherwise: &Rounded) -> Result<Rounded> {
        let bits = keys.number("bits")?.unwrap_or(otherwise.bits);
        match keys.string("data_type")? {
            None | Some("int") => {}
            Some("float") if bits >= 16 => {}
            Some(other) => {
                return Err(HfConfigError::unknown(&keys.path_of("data_type"), other, "int"));
            }
        }
        // What weights are multiplied with, where it is in 16 bits.
        let inputs = keys.number("act_bits")?.unwrap_or(16);
        if inputs < 16 {
            return Err(HfConfigError::unknown(&keys.path_of("act_bits"), inputs, "16"));
        }
        keys.pass(&["act_group_size", "act_sym", "act_dynamic", "act_data_type", "scale_dtype"]);
        Ok(Rounded {
            bits,
            group: group_size(keys, &["group_size"], otherwise.group)?,
            symmetric: keys.flag("sym")?.unwrap_or(otherwise.symmetric),
        })
    }

    /// `None` is 16 bits.
    fn format(&self, keys: &Keys<'_>) -> Result<Option<Format>> {
        match self.bits {
            16.. => Ok(None),
            bits => {
                let key = keys.path_of("bits");
                schemes::int_weights(&key, bits, self.group, !self.symmetric).map(Some)
            }
        }
    }
}
