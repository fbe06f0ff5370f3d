//! Formats by the words that quantised checkpoints use for them.

use serde_json::Value;

use super::config::{Config, Keys, whole};
use super::error::HfConfigError;
use crate::catalog::model::{Format, FormatName};

type Result<T> = std::result::Result<T, HfConfigError>;

/// A format of bits that the words themselves give, scales not counted.
fn plain(name: FormatName, bits: u32) -> Format {
    Format { name, bits_1024ths: bits * 1024 }
}

/// Weights alone in so many bits, in groups with a 16-bit scale; a group of 0 is a whole row.
pub(super) fn int_weights(key: &str, bits: u32, group: u32, zero_points: bool) -> Result<Format> {
    if !(2..=8).contains(&bits) {
        return Err(HfConfigError::unknown(key, bits, "2 to 8 bits"));
    }
    Ok(match group {
        0 => Format::int_groups(bits, 1 << 16, false),
        group => Format::int_groups(bits, group, zero_points),
    })
}

/// NVIDIA's names (`quant_algo`); `None` is 16 bits.
pub(super) fn modelopt(key: &str, algorithm: &str, group: Option<u32>) -> Result<Option<Format>> {
    let known = "FP8, FP8_PB_WO, FP8_PER_CHANNEL_PER_TOKEN, NVFP4, NVFP4_AWQ, W4A16_NVFP4, W4A16_AWQ, \
                 W4A8_AWQ, W4A8_NVFP4_FP8, MXFP4, W4A8_MXFP4_FP8, MXFP8, W8A8_SQ_PER_CHANNEL, \
                 INT8_SQ, W8A16, MIXED_PRECISION";
    Ok(Some(match algorithm.to_ascii_uppercase().as_str() {
        "NONE" | "NO_QUANT" | "BF16" | "FP16" => return Ok(None),
        "FP8" | "FP8_PER_CHANNEL_PER_TOKEN" => Format::FP8,
        "FP8_PB_WO" | "FP8_PB_REAL" | "FP8_BLOCK_SCALES" | "FP8_2D_BLOCKWISE_WEIGHT_ONLY" => {
            Format::FP8_BLOCKS
        }
        "NVFP4" | "NVFP4_AWQ" | "NVFP4_SVDQUANT" | "NVFP4_AWQ_LITE" => Format {
            bits_1024ths: 4 * 1024 + 8 * 1024 / group.unwrap_or(16).max(1),
            ..Format::NVFP4
        },
        "W4A16_NVFP4" | "NVFP4_W4A16" | "NVFP4A16" => {
            Format { name: FormatName::Fp4Weights, ..Format::NVFP4 }
        }
        "W4A8_NVFP4_FP8" => Format { name: FormatName::Int4Fp8, ..Format::NVFP4 },
        "W4A8_MXFP4_FP8" => Format { name: FormatName::Int4Fp8, ..Format::MXFP4 },
        "MXFP4" | "W4A4_MXFP4" => Format::MXFP4,
        "W4A16_MXFP4" => Format { name: FormatName::Fp4Weights, ..Format::MXFP4 },
        "MXFP8" => Format { bits_1024ths: 8 * 1024 + 256, ..Format::FP8 },
        "W4A16_AWQ" | "W4A16" | "INT4_AWQ" => {
            Format::int_groups(4, group.filter(|&group| group > 0).unwrap_or(128), false)
        }
        "W4A8_AWQ" => {
            let groups = Format::int_groups(4, group.filter(|&g| g > 0).unwrap_or(128), false);
            Format { name: FormatName::Int4Fp8, ..groups }
        }
        "W8A8_SQ_PER_CHANNEL" | "INT8_SQ" | "INT8" | "W8A8_SQ_PER_CHANNEL_PER_TOKEN_PLUGIN" => {
            Format::INT8
        }
        "W8A16" | "INT8_WO" => plain(FormatName::Int8Weights, 8),
        _ => return Err(HfConfigError::unknown(key, algorithm, known)),
    }))
}

/// Bits of KV by NVIDIA's names (`kv_cache_quant_algo`), in 1,024ths.
pub(super) fn kv_algorithm(key: &str, algorithm: &str) -> Result<Option<u32>> {
    match algorithm.to_ascii_uppercase().as_str() {
        "NONE" | "AUTO" | "" => Ok(None),
        "FP8" | "INT8" | "FP8_AFFINE" | "FP8_E4M3" => Ok(Some(8 * 1024)),
        "NVFP4" | "NVFP4_AFFINE" | "NVFP4_ROTATE" => Ok(Some(4 * 1024 + 512)),
        _ => Err(HfConfigError::unknown(key, algorithm, "FP8, INT8, NVFP4")),
    }
}

/// Bits of KV by a scheme of compressed-tensors (`kv_cache_scheme`), in 1,024ths.
pub(super) fn kv_scheme(keys: &Keys<'_>) -> Result<Option<u32>> {
    for key in
        ["type", "dynamic", "symmetric", "strategy", "observer", "observer_kwargs", "actorder"]
    {
        keys.get(key);
    }
    for key in ["block_structure", "scale_dtype", "zp_dtype", "group_size"] {
        keys.get(key);
    }
    match keys.number("num_bits")? {
        None => Ok(None),
        Some(8) => Ok(Some(8 * 1024)),
        Some(4) => Ok(Some(4 * 1024 + 512)),
        Some(bits) => Err(HfConfigError::unknown(&keys.path_of("num_bits"), bits, "8, 4")),
    }
}

/// What a scheme of compressed-tensors says of weights or of what they are multiplied with.
struct Scheme {
    bits: u32,
    float: bool,
    group: Option<u32>,
    by_channel: bool,
    symmetric: bool,
}

fn scheme(keys: &Keys<'_>) -> Result<Scheme> {
    for key in ["dynamic", "observer", "observer_kwargs", "actorder", "scale_dtype", "zp_dtype"] {
        keys.get(key);
    }
    let bits = keys.number("num_bits")?.unwrap_or(8);
    let float = match keys.string("type")? {
        None | Some("int") => false,
        Some("float") => true,
        Some(other) => {
            return Err(HfConfigError::unknown(&keys.path_of("type"), other, "int, float"));
        }
    };
    let group = match keys.get("group_size") {
        Some(Value::Number(number)) if number.as_i64() == Some(-1) => None,
        Some(value) => Some(whole(&keys.path_of("group_size"), value)?),
        None => None,
    };
    let block =
        keys.get("block_structure").is_some_and(|value| value.is_array() || value.is_string());
    let by_channel = match keys.string("strategy")? {
        Some("channel" | "token") => true,
        None | Some("tensor" | "group" | "tensor_group" | "block" | "attn_head") => false,
        Some(other) => {
            let known = "tensor, channel, group, tensor_group, block, token";
            return Err(HfConfigError::unknown(&keys.path_of("strategy"), other, known));
        }
    };
    let symmetric = keys.flag("symmetric")?.unwrap_or(true);
    Ok(Scheme { bits, float, group: group.filter(|_| !block), by_channel, symmetric })
}

/// The format of a group of compressed-tensors, or of AMD's Quark with the same words.
pub(super) fn compressed<'a>(
    config: &Config<'a>,
    group: &Keys<'a>,
    hidden_size: u32,
) -> Result<Option<Format>> {
    group.pass(&["output_activations", "format"]);
    let read = |key: &str| -> Result<Option<Scheme>> {
        let Some(keys) = group.nested(key)? else { return Ok(None) };
        let scheme = scheme(&keys)?;
        config.keep(keys);
        Ok(Some(scheme))
    };
    let inputs = read("input_activations")?;
    let Some(own) = read("weights")? else { return Ok(None) };
    let unknown = |what: String| {
        let known = "int of 2 to 8 bits, float of 4 or 8 bits";
        HfConfigError::unknown(&group.path_of("weights"), what, known)
    };
    let inputs_8_float = inputs.as_ref().is_some_and(|inputs| inputs.float && inputs.bits == 8);
    let format = match (own.float, own.bits, inputs.is_some()) {
        (true, 8, true) => Format::FP8,
        (true, 8, false) => plain(FormatName::Fp8Weights, 8),
        (true, 4, with_inputs) => {
            let base = if own.group == Some(32) { Format::MXFP4 } else { Format::NVFP4 };
            match (with_inputs, inputs_8_float) {
                (false, _) => Format { name: FormatName::Fp4Weights, ..base },
                (true, true) => Format { name: FormatName::Int4Fp8, ..base },
                (true, false) => base,
            }
        }
        (false, 8, true) => Format::INT8,
        (false, bits, _) => {
            let key = group.path_of("weights.num_bits");
            let groups = int_weights(&key, bits, own.group.unwrap_or(0), !own.symmetric)?;
            match inputs_8_float {
                true => Format { name: FormatName::Int4Fp8, ..groups },
                false => groups,
            }
        }
        (true, bits, _) => return Err(unknown(format!("float of {bits} bits"))),
    };
    Ok(Some(if own.by_channel { format.per_channel(32, hidden_size) } else { format }))
}
