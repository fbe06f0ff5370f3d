//! What each `quant_method` says, by its own words.

use serde_json::Value;

use super::{Scheme, compressed, nvidia, quark, weights_only};
use crate::catalog::hf::config::{Config, Keys, whole};
use crate::catalog::hf::error::HfConfigError;
use crate::catalog::hf::patterns::Patterns;
use crate::catalog::hf::schemes;
use crate::catalog::hf::tensors::Class;
use crate::catalog::model::{Format, Model};

type Result<T> = std::result::Result<T, HfConfigError>;

const LEFT_OUT: [&str; 9] = [
    "skip_modules",
    "modules_to_not_convert",
    "ignore",
    "ignored_layers",
    "exclude_modules",
    "exclude",
    "llm_int8_skip_modules",
    "modules_not_to_quantize",
    "ignored_modules",
];

/// Reads `quantization_config`.
pub(super) fn read<'a>(config: &Config<'a>, keys: &Keys<'a>, model: &Model) -> Result<Scheme> {
    keys.pass(&SILENT);
    let method = keys.string("quant_method")?.map(str::to_ascii_lowercase);
    let algorithm = keys.peek("quant_algo").is_some();
    let groups = keys.peek("config_groups").is_some();
    let mut scheme = match method.as_deref() {
        _ if algorithm
            && method.as_deref().is_none_or(|m| m.starts_with("modelopt") || m == "fp8") =>
        {
            nvidia::read(config, keys, model)?
        }
        Some("modelopt" | "modelopt_fp4" | "modelopt_mixed") if groups => {
            compressed::read(config, keys, model)?
        }
        Some("compressed-tensors") => compressed::read(config, keys, model)?,
        Some("fp8" | "fbgemm_fp8" | "fp8_e4m3") => of_all(fp8(keys)?),
        Some("awq" | "awq_marlin" | "moe_wna16") => of_all(weights_only::awq(keys)?),
        Some("gptq" | "gptq_marlin" | "gptqmodel") => weights_only::gptq(config, keys)?,
        Some("auto-round" | "auto_round" | "autoround" | "intel/auto-round") => {
            weights_only::auto_round(config, keys)?
        }
        Some("mxfp4") => only_experts(Format::MXFP4),
        Some("bitsandbytes") => of_all(weights_only::bitsandbytes(keys)?),
        Some("quark") => quark::read(config, keys)?,
        Some("int8" | "w8a8_int8" | "w8a8") => of_all(Format::INT8),
        Some("w8a8_fp8") => of_all(Format::FP8),
        Some("eetq" | "experts_int8") => of_all(schemes::int_weights("bits", 8, 0, false)?),
        Some("hqq") => of_all(weights_only::hqq(config, keys)?),
        Some("torchao") => of_all(weights_only::torchao(config, keys)?),
        Some("bitnet") => of_all(schemes::int_weights("quant_method", 2, 0, false)?),
        None if keys.peek("bits").is_some() => weights_only::mlx(config, keys)?,
        None if groups => compressed::read(config, keys, model)?,
        Some(other) => {
            return Err(HfConfigError::unknown(&keys.path_of("quant_method"), other, KNOWN));
        }
        None => return Err(HfConfigError::Missing(keys.path_of("quant_method"))),
    };
    leave_out(keys, &mut scheme)?;
    if scheme.kv_bits_1024ths.is_none() {
        scheme.kv_bits_1024ths = kv(config, keys)?;
    }
    Ok(scheme)
}

const KNOWN: &str = "fp8, fbgemm_fp8, awq, gptq, auto-round, compressed-tensors, modelopt, mxfp4, \
                     bitsandbytes, quark, int8, hqq, torchao, eetq, bitnet";

/// Keys that shape nothing that is counted here.
pub(super) const SILENT: [&str; 40] = [
    "activation_scheme",
    "fmt",
    "scale_fmt",
    "version",
    "backend",
    "do_fuse",
    "fuse_max_seq_len",
    "modules_to_fuse",
    "exllama_config",
    "desc_act",
    "static_groups",
    "true_sequential",
    "damp_percent",
    "model_name_or_path",
    "model_file_base_name",
    "checkpoint_format",
    "meta",
    "is_marlin_format",
    "dataset",
    "tokenizer",
    "batch_size",
    "pad_token_id",
    "use_cuda_fp16",
    "use_exllama",
    "max_input_length",
    "module_name_preceding_first_block",
    "block_name_to_quantize",
    "model_seqlen",
    "cache_block_outputs",
    "disable_exllama",
    "quantization_status",
    "producer",
    "export",
    "algo_config",
    "activation_scale_ub",
    "global_compression_ratio",
    "autoround_version",
    "iters",
    "low_gpu_mem_usage",
    "packing_format",
];

pub(super) fn of_all(format: Format) -> Scheme {
    Scheme { otherwise: Some(format), ..Scheme::none() }
}

fn only_experts(format: Format) -> Scheme {
    Scheme { otherwise: Some(format), classes: vec![Class::Experts], ..Scheme::none() }
}

/// What the config leaves in 16 bits comes before all else.
pub(super) fn leave_out(keys: &Keys<'_>, scheme: &mut Scheme) -> Result<()> {
    for key in LEFT_OUT {
        let Some(value) = keys.get(key) else { continue };
        let path = keys.path_of(key);
        let list = value.as_array().ok_or_else(|| HfConfigError::wrong(&path, "a list", value))?;
        let names = list
            .iter()
            .map(|name| name.as_str().ok_or_else(|| HfConfigError::wrong(&path, "names", name)));
        let names = names.collect::<Result<Vec<&str>>>()?;
        scheme.rules.insert(0, (Patterns::new(&path, names)?, None));
    }
    Ok(())
}

pub(super) fn kv<'a>(config: &Config<'a>, keys: &Keys<'a>) -> Result<Option<u32>> {
    if let Some(name) = keys.string("kv_cache_quant_algo")? {
        return schemes::kv_algorithm(&keys.path_of("kv_cache_quant_algo"), name);
    }
    if let Some(name) = keys.string("kv_cache_quant_method")? {
        return schemes::kv_algorithm(&keys.path_of("kv_cache_quant_method"), name);
    }
    if let Some(name) = keys.peek("kv_cache_scheme").and_then(Value::as_str) {
        keys.get("kv_cache_scheme");
        return schemes::kv_algorithm(&keys.path_of("kv_cache_scheme"), name);
    }
    let Some(scheme) = keys.nested("kv_cache_scheme")? else { return Ok(None) };
    let bits = schemes::kv_scheme(&scheme)?;
    config.keep(scheme);
    Ok(bits)
}

pub(super) fn number(keys: &Keys<'_>, names: &[&str]) -> Result<Option<u32>> {
    for name in names {
        if let Some(number) = keys.number(name)? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Weights in a group; -1, or none, is a whole row, as 0 here.
pub(super) fn group_size(keys: &Keys<'_>, names: &[&str], otherwise: u32) -> Result<u32> {
    for name in names {
        match keys.get(name) {
            None => {}
            Some(Value::Number(number)) if number.as_i64() == Some(-1) => return Ok(0),
            Some(value) => return whole(&keys.path_of(name), value),
        }
    }
    Ok(otherwise)
}

fn fp8(keys: &Keys<'_>) -> Result<Format> {
    let Some(value) = keys.get("weight_block_size") else { return Ok(Format::FP8) };
    let path = keys.path_of("weight_block_size");
    let sides = match value.as_array().map(Vec::as_slice) {
        Some([rows, columns]) => [whole(&path, rows)?, whole(&path, columns)?],
        _ => return Err(HfConfigError::wrong(&path, "two numbers", value)),
    };
    let block = u64::from(sides[0]) * u64::from(sides[1]);
    // A 32-bit scale a block.
    let extra = (32 * 1024_u64).checked_div(block).unwrap_or(0).min(64 * 1024);
    Ok(Format { bits_1024ths: Format::FP8.bits_1024ths + extra as u32, ..Format::FP8 })
}
