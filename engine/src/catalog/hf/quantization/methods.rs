//! What each `quant_method` says, by its own words.

use serde_json::{Map, Value};

use super::{LINEAR, Scheme, weights_only};
use crate::catalog::hf::config::{Config, Keys, whole};
use crate::catalog::hf::error::HfConfigError;
use crate::catalog::hf::patterns::Patterns;
use crate::catalog::hf::schemes;
use crate::catalog::hf::tensors::Class;
use crate::catalog::model::{Format, FormatName, Model};

type Result<T> = std::result::Result<T, HfConfigError>;

const LEFT_OUT: [&str; 8] = [
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
    for key in SILENT {
        keys.get(key);
    }
    let method = keys.string("quant_method")?.map(str::to_ascii_lowercase);
    let algorithm = keys.peek("quant_algo").is_some();
    let groups = keys.peek("config_groups").is_some();
    let mut scheme = match method.as_deref() {
        _ if algorithm
            && method.as_deref().is_none_or(|m| m.starts_with("modelopt") || m == "fp8") =>
        {
            modelopt(keys)?
        }
        Some("modelopt" | "modelopt_fp4" | "modelopt_mixed") if groups => {
            compressed(config, keys, model)?
        }
        Some("compressed-tensors") => compressed(config, keys, model)?,
        Some("fp8" | "fbgemm_fp8" | "fp8_e4m3") => of_all(fp8(keys)?),
        Some("awq" | "awq_marlin" | "moe_wna16") => of_all(weights_only::awq(keys)?),
        Some("gptq" | "gptq_marlin" | "gptqmodel") => weights_only::gptq(keys)?,
        Some("auto-round" | "auto_round" | "autoround" | "intel/auto-round") => {
            weights_only::auto_round(keys)?
        }
        Some("mxfp4") => only_experts(Format::MXFP4),
        Some("bitsandbytes") => of_all(weights_only::bitsandbytes(keys)?),
        Some("quark") => quark(keys)?,
        Some("int8" | "w8a8_int8" | "w8a8") => of_all(Format::INT8),
        Some("w8a8_fp8") => of_all(Format::FP8),
        Some("eetq" | "experts_int8") => of_all(schemes::int_weights("bits", 8, 0, false)?),
        Some("hqq") => of_all(weights_only::hqq(keys)?),
        Some("torchao") => of_all(weights_only::torchao(keys)?),
        Some("bitnet") => of_all(schemes::int_weights("quant_method", 2, 0, false)?),
        None if keys.peek("bits").is_some() => weights_only::mlx(config, keys)?,
        None if groups => compressed(config, keys, model)?,
        Some(other) => {
            return Err(HfConfigError::unknown(&keys.path_of("quant_method"), other, KNOWN));
        }
        None => return Err(HfConfigError::Missing(keys.path_of("quant_method"))),
    };
    leave_out(keys, &mut scheme)?;
    if scheme.kv_bits_1024ths.is_none() {
        scheme.kv_bits_1024ths = kv(keys)?;
    }
    Ok(scheme)
}

const KNOWN: &str = "fp8, fbgemm_fp8, awq, gptq, auto-round, compressed-tensors, modelopt, mxfp4, \
                     bitsandbytes, quark, int8, hqq, torchao, eetq, bitnet";

/// Keys that shape nothing that is counted here.
const SILENT: [&str; 40] = [
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
fn leave_out(keys: &Keys<'_>, scheme: &mut Scheme) -> Result<()> {
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

fn kv(keys: &Keys<'_>) -> Result<Option<u32>> {
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
    schemes::kv_scheme(&scheme)
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

/// compressed-tensors' groups: each of some modules, in order.
fn compressed<'a>(config: &Config<'a>, keys: &Keys<'a>, model: &Model) -> Result<Scheme> {
    let mut scheme = Scheme::none();
    for silent in
        ["format", "sparsity_config", "transform_config", "quantization_status", "quant_algo"]
    {
        keys.get(silent);
    }
    let sparsity = keys.peek("sparsity_config").and_then(|map| map.get("format")?.as_str());
    if let Some(format) = sparsity.filter(|&format| format != "dense") {
        let key = keys.path_of("sparsity_config.format");
        return Err(HfConfigError::unknown(&key, format, "dense"));
    }
    let Some(groups) = keys.nested("config_groups")? else {
        // Only KV is quantised.
        return Ok(scheme);
    };
    for (name, value) in groups.unused() {
        let path = groups.path_of(name);
        let Some(map) = value.as_object() else {
            // A preset's name, with its targets.
            return Err(HfConfigError::wrong(&path, "a map", value));
        };
        let group = Keys::new(map, &format!("{path}."));
        group.get("output_activations");
        group.get("format");
        let format = schemes::compressed(&group, model.hidden_size)?;
        let targets = group.get("targets").and_then(Value::as_array);
        let targets: Vec<&str> =
            targets.map_or_else(Vec::new, |list| list.iter().filter_map(Value::as_str).collect());
        if targets.is_empty() || targets.contains(&"Linear") {
            scheme.otherwise = format;
        } else {
            scheme.rules.push((Patterns::new(&path, targets)?, format));
        }
        config.keep(group);
    }
    groups.use_all();
    Ok(scheme)
}

/// NVIDIA's words, in the config itself.
fn modelopt(keys: &Keys<'_>) -> Result<Scheme> {
    let algorithm = keys.string("quant_algo")?.unwrap_or("NONE");
    for silent in
        ["quant_type", "quantization_type", "config_groups", "group_size", "awq_block_size"]
    {
        keys.get(silent);
    }
    for silent in ["has_zero_point", "pre_quant_scale", "weight_block_size", "moe_quant_algo"] {
        keys.get(silent);
    }
    let group = number(keys, &["group_size"])?;
    let path = keys.path_of("quant_algo");
    if algorithm.eq_ignore_ascii_case("MIXED_PRECISION") {
        return mixed(keys);
    }
    Ok(Scheme { otherwise: schemes::modelopt(&path, algorithm, group)?, ..Scheme::none() })
}

/// Formats module by module.
fn mixed(keys: &Keys<'_>) -> Result<Scheme> {
    let path = keys.path_of("quantized_layers");
    let layers =
        keys.nested("quantized_layers")?.ok_or_else(|| HfConfigError::Missing(path.clone()))?;
    let mut by_format: Vec<(Option<Format>, Vec<&str>)> = Vec::new();
    for (name, value) in layers.unused() {
        let algorithm = value.get("quant_algo").and_then(Value::as_str).unwrap_or("NONE");
        let group = value.get("group_size").map(|v| whole(&path, v)).transpose()?;
        let format = schemes::modelopt(&path, algorithm, group)?;
        match by_format.iter_mut().find(|(known, _)| *known == format) {
            Some((_, names)) => names.push(name),
            None => by_format.push((format, vec![name])),
        }
    }
    layers.use_all();
    let mut scheme = Scheme::none();
    scheme.classes = LINEAR.to_vec();
    scheme.classes.push(Class::Head);
    for (format, names) in by_format {
        scheme.rules.push((Patterns::new(&path, names)?, format));
    }
    Ok(scheme)
}

/// `hf_quant_config.json` beside the config.
pub(super) fn beside(map: &Map<String, Value>) -> Result<Scheme> {
    let keys = Keys::new(map, "hf_quant_config.json: ");
    let mut scheme = modelopt(&keys)?;
    leave_out(&keys, &mut scheme)?;
    scheme.kv_bits_1024ths = kv(&keys)?;
    Ok(scheme)
}

/// AMD's Quark: formats of all, and of some by name.
fn quark(keys: &Keys<'_>) -> Result<Scheme> {
    for silent in
        ["quant_mode", "softmax_quant_spec", "layer_type_quant_config", "kv_cache_quant_config"]
    {
        keys.get(silent);
    }
    for silent in ["kv_cache_post_rope", "kv_cache_group", "algo_config", "min_kv_scale"] {
        keys.get(silent);
    }
    let all = keys.nested("global_quant_config")?;
    let all = all.ok_or_else(|| HfConfigError::Missing(keys.path_of("global_quant_config")))?;
    let mut scheme = Scheme { otherwise: quark_format(&all)?, ..Scheme::none() };
    if let Some(layers) = keys.nested("layer_quant_config")? {
        for (name, value) in layers.unused() {
            let path = layers.path_of(name);
            let map =
                value.as_object().ok_or_else(|| HfConfigError::wrong(&path, "a map", value))?;
            let format = quark_format(&Keys::new(map, &format!("{path}.")))?;
            scheme.rules.push((Patterns::new(&path, [name])?, format));
        }
        layers.use_all();
    }
    Ok(scheme)
}

fn quark_format(keys: &Keys<'_>) -> Result<Option<Format>> {
    // A list where weights are quantised twice (W4A8 of two steps): the last counts.
    let weights = match keys.get("weight") {
        Some(Value::Array(list)) => list.last().and_then(Value::as_object),
        Some(value) => value.as_object(),
        None => None,
    };
    let Some(weights) = weights else { return Ok(None) };
    let weights = Keys::new(weights, &format!("{}.", keys.path_of("weight")));
    let inputs = keys.peek("input_tensors").is_some();
    let group = group_size(&weights, &["group_size"], 32)?;
    let path = weights.path_of("dtype");
    Ok(Some(match (weights.string("dtype")?, inputs) {
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
    }))
}
