//! AMD's Quark: formats of all modules, of some by name, and of what they put out.

use super::Scheme;
use super::methods::group_size;
use crate::catalog::hf::config::{Config, Keys};
use crate::catalog::hf::error::HfConfigError;
use crate::catalog::hf::patterns::Patterns;
use crate::catalog::hf::schemes;
use crate::catalog::model::{Format, FormatName};

type Result<T> = std::result::Result<T, HfConfigError>;

/// Keys of a tensor's format that change no bits.
const QUIET: [&str; 11] = [
    "qscheme",
    "ch_axis",
    "is_dynamic",
    "observer_cls",
    "symmetric",
    "round_method",
    "scale_type",
    "scale_format",
    "scale_calculation_mode",
    "mx_element_dtype",
    "zero_point_type",
];

/// Reads `quantization_config`.
pub(super) fn read<'a>(config: &Config<'a>, keys: &Keys<'a>) -> Result<Scheme> {
    keys.pass(&["quant_mode", "kv_cache_post_rope", "kv_cache_group", "min_kv_scale"]);
    let all = keys.nested("global_quant_config")?;
    let all = all.ok_or_else(|| HfConfigError::Missing(keys.path_of("global_quant_config")))?;
    let mut scheme = Scheme { otherwise: format(config, &all)?, ..Scheme::none() };
    no_outputs(&all)?;
    config.keep(all);
    if let Some(layers) = keys.nested("layer_quant_config")? {
        for (name, own) in layers.entries()? {
            let format = format(config, &own)?;
            let path = layers.path_of(name);
            scheme.rule(&path, Patterns::new(&path, [name])?, format)?;
            // What the projections of K and V put out is what is kept.
            if name.contains("k_proj") || name.contains("v_proj") {
                scheme.kv_bits_1024ths = outputs(config, &own)?.or(scheme.kv_bits_1024ths);
            } else {
                no_outputs(&own)?;
            }
            config.keep(own);
        }
    }
    if let Some(kept) = keys.nested("kv_cache_quant_config")? {
        for (_, own) in kept.entries()? {
            // The weights' format is that of all, or of their layers.
            format(config, &own)?;
            scheme.kv_bits_1024ths = outputs(config, &own)?.or(scheme.kv_bits_1024ths);
            config.keep(own);
        }
    }
    Ok(scheme)
}

/// Bits of what a module puts out, in 1,024ths.
fn outputs<'a>(config: &Config<'a>, keys: &Keys<'a>) -> Result<Option<u32>> {
    let Some(outputs) = keys.nested("output_tensors")? else { return Ok(None) };
    outputs.pass(&QUIET);
    outputs.pass(&["group_size"]);
    let bits = match outputs.string("dtype")? {
        None => None,
        Some("fp8_e4m3" | "fp8_e5m2" | "int8") => Some(8 * 1024),
        Some(other) => {
            return Err(HfConfigError::unknown(&outputs.path_of("dtype"), other, "fp8_e4m3, int8"));
        }
    };
    config.keep(outputs);
    Ok(bits)
}

/// Formats of outputs that are not kept, and of biases, which no engine reads.
fn no_outputs(keys: &Keys<'_>) -> Result<()> {
    for key in ["output_tensors", "bias"] {
        if let Some(value) = keys.get(key) {
            return Err(HfConfigError::unknown(&keys.path_of(key), value, "null"));
        }
    }
    Ok(())
}

fn format<'a>(config: &Config<'a>, keys: &Keys<'a>) -> Result<Option<Format>> {
    // A list where tensors are quantised twice (W4A8 of two steps): the last counts.
    let inputs = keys.nested_or_list("input_tensors")?;
    let with_inputs = !inputs.is_empty();
    for inputs in inputs {
        inputs.pass(&QUIET);
        inputs.pass(&["dtype", "group_size"]);
        config.keep(inputs);
    }
    let mut format = None;
    for weights in keys.nested_or_list("weight")? {
        weights.pass(&QUIET);
        format = Some(of_weights(&weights, with_inputs)?);
        config.keep(weights);
    }
    Ok(format)
}

fn of_weights(weights: &Keys<'_>, with_inputs: bool) -> Result<Format> {
    let group = group_size(weights, &["group_size"], 32)?;
    let path = weights.path_of("dtype");
    Ok(match (weights.string("dtype")?, with_inputs) {
        (Some("fp8_e4m3" | "fp8_e5m2"), true) => Format::FP8,
        (Some("fp8_e4m3" | "fp8_e5m2"), false) => {
            Format { name: FormatName::Fp8Weights, ..Format::FP8 }
        }
        (Some("fp4" | "mxfp4"), true) => Format::MXFP4,
        (Some("fp4" | "mxfp4"), false) => Format { name: FormatName::Fp4Weights, ..Format::MXFP4 },
        (Some("int8"), true) => Format::INT8,
        (Some("int8"), false) => schemes::int_weights(&path, 8, 0, false)?,
        (Some("int4" | "uint4"), _) => schemes::int_weights(&path, 4, group, true)?,
        (other, _) => {
            let other = other.unwrap_or("nothing");
            return Err(HfConfigError::unknown(&path, other, "fp8_e4m3, fp4, int8, int4, uint4"));
        }
    })
}
