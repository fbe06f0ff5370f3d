//! What each `quant_method` says, by its own words.

use serde_json::{Map, Value};

use super::{LINEAR, Scheme};
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
        _ if algorithm && method.as_deref().is_none_or(|m| m.starts_with("modelopt") || m == "fp8") => {
            modelopt(keys)?
        }
        Some("modelopt" | "modelopt_fp4" | "modelopt_mixed") if groups => compressed(config, keys, model)?,
        Some("compressed-tensors") => compressed(config, keys, model)?,
        Some("fp8" | "fbgemm_fp8" | "fp8_e4m3") => of_all(fp8(keys)?),
        Some("awq" | "awq_marlin" | "moe_wna16") => of_all(awq(keys)?),
        Some("gptq" | "gptq_marlin" | "gptqmodel") => gptq(keys)?,
        Some("auto-round" | "auto_round" | "autoround" | "intel/auto-round") => auto_round(keys)?,
        Some("mxfp4") => only_experts(Format::MXFP4),
        Some("bitsandbytes") => of_all(bitsandbytes(keys)?),
        Some("quark") => quark(keys)?,
        Some("int8" | "w8a8_int8" | "w8a8") => of_all(Format::INT8),
        Some("w8a8_fp8") => of_all(Format::FP8),
        Some("eetq" | "experts_int8") => of_all(schemes::int_weights("bits", 8, 0, false)?),
        Some("hqq") => of_all(hqq(keys)?),
        Some("torchao") => of_all(torchao(keys)?),
        Some("bitnet") => of_all(schemes::int_weights("quant_method", 2, 0, false)?),
        None if keys.peek("bits").is_some() => mlx(config, keys)?,
        None if groups => compressed(config, keys, model)?,
        Some(other) => return Err(HfConfigError::unknown(&keys.path_of("quant_method"), other, KNOWN)),
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
    "activation_scheme", "fmt", "scale_fmt", "version", "backend", "do_fuse", "fuse_max_seq_len",
    "modules_to_fuse", "exllama_config", "desc_act", "static_groups", "true_sequential", "damp_percent",
    "model_name_or_path", "model_file_base_name", "checkpoint_format", "meta", "is_marlin_format",
    "dataset", "tokenizer", "batch_size", "pad_token_id", "use_cuda_fp16", "use_exllama",
    "max_input_length", "module_name_preceding_first_block", "block_name_to_quantize", "model_seqlen",
    "cache_block_outputs", "disable_exllama", "quantization_status", "producer", "export", "algo_config",
    "activation_scale_ub", "global_compression_ratio", "autoround_version", "iters", "low_gpu_mem_usage",
    "packing_format",
];

fn of_all(format: Format) -> Scheme {
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

fn number(keys: &Keys<'_>, names: &[&str]) -> Result<Option<u32>> {
    for name in names {
        if let Some(number) = keys.number(name)? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Weights in a group; -1, or none, is a whole row, as 0 here.
fn group_size(keys: &Keys<'_>, names: &[&str], otherwise: u32) -> Result<u32> {
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

fn awq(keys: &Keys<'_>) -> Result<Format> {
    let bits = number(keys, &["bits", "w_bit"])?.unwrap_or(4);
    let group = group_size(keys, &["group_size", "q_group_size"], 128)?;
    let zeros = keys.flag("zero_point")?.unwrap_or(true);
    keys.get("linear_quant_method");
    schemes::int_weights(&keys.path_of("bits"), bits, group, zeros)
}

/// GPTQ keeps zero points also where they are all the same (`sym`).
fn gptq(keys: &Keys<'_>) -> Result<Scheme> {
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
            let patterns = Patterns::new(&keys.path_of("dynamic"), [format!("re:{regex}").as_str()])?;
            let own_bits = own.get("bits").map(|v| whole(&key, v)).transpose()?.unwrap_or(bits);
            let own_group = own.get("group_size").map(|v| whole(&key, v)).transpose()?;
            let own = schemes::int_weights(&key, own_bits, own_group.unwrap_or(group), true)?;
            scheme.rules.push((patterns, (!out).then_some(own)));
        }
        dynamic.use_all();
    }
    Ok(scheme)
}

fn auto_round(keys: &Keys<'_>) -> Result<Scheme> {
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
    for silent in ["enable_quanted_input", "enable_minmax_tuning", "quant_block_list", "scale_dtype"] {
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

fn bitsandbytes(keys: &Keys<'_>) -> Result<Format> {
    for key in ["llm_int8_threshold", "llm_int8_has_fp16_weight", "llm_int8_enable_fp32_cpu_offload"] {
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

fn hqq(keys: &Keys<'_>) -> Result<Format> {
    keys.get("skip_modules");
    let need = || HfConfigError::Missing(keys.path_of("quant_config.weight_quant_params"));
    let inner = keys.nested("quant_config")?.ok_or_else(need)?;
    let weights = inner.nested("weight_quant_params")?.ok_or_else(need)?;
    let bits = weights.number("nbits")?.unwrap_or(4);
    let group = group_size(&weights, &["group_size"], 64)?;
    schemes::int_weights(&weights.path_of("nbits"), bits, group, true)
}

fn torchao(keys: &Keys<'_>) -> Result<Format> {
    let named = keys.get("quant_type").and_then(|value| match value {
        Value::String(name) => Some(name.as_str()),
        other => other.get("default")?.get("_type")?.as_str(),
    });
    keys.get("quant_type_kwargs");
    keys.get("include_input_output_embeddings");
    keys.get("untie_embedding_weights");
    match named {
        Some("Float8DynamicActivationFloat8WeightConfig" | "float8_dynamic_activation_float8_weight") => {
            Ok(Format::FP8)
        }
        Some("Float8WeightOnlyConfig" | "float8_weight_only") => {
            Ok(Format { name: FormatName::Fp8Weights, ..Format::FP8 })
        }
        Some("Int8WeightOnlyConfig" | "int8_weight_only") => schemes::int_weights("bits", 8, 0, false),
        Some("Int8DynamicActivationInt8WeightConfig" | "int8_dynamic_activation_int8_weight") => {
            Ok(Format::INT8)
        }
        Some("Int4WeightOnlyConfig" | "int4_weight_only") => schemes::int_weights("bits", 4, 128, true),
        other => Err(HfConfigError::unknown(
            &keys.path_of("quant_type"),
            other.unwrap_or("a type without a name"),
            "int4_weight_only, int8_weight_only, float8_weight_only, float8_dynamic_activation_float8_weight",
        )),
    }
}

/// MLX's: all matrices, embedding and head too, with a 16-bit scale and a 16-bit bias a group.
fn mlx(config: &Config<'_>, keys: &Keys<'_>) -> Result<Scheme> {
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

/// compressed-tensors' groups: each of some modules, in order.
fn compressed<'a>(config: &Config<'a>, keys: &Keys<'a>, model: &Model) -> Result<Scheme> {
    let mut scheme = Scheme::none();
    for silent in ["format", "sparsity_config", "transform_config", "quantization_status", "quant_algo"] {
        keys.get(silent);
    }
    if let Some(format) = keys.peek("sparsity_config").and_then(|map| map.get("format")) {
        if format.as_str().is_some_and(|format| format != "dense") {
            let key = keys.path_of("sparsity_config.format");
            return Err(HfConfigError::unknown(&key, format, "dense"));
        }
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
    for silent in ["quant_type", "quantization_type", "config_groups", "group_size", "awq_block_size"] {
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
    let layers = keys.nested("quantized_layers")?.ok_or_else(|| HfConfigError::Missing(path.clone()))?;
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
    for silent in ["quant_mode", "softmax_quant_spec", "layer_type_quant_config", "kv_cache_quant_config"] {
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
            let map = value.as_object().ok_or_else(|| HfConfigError::wrong(&path, "a map", value))?;
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
        (Some("fp8_e4m3" | "fp8_e5m2"), false) => Format { name: FormatName::Fp8Weights, ..Format::FP8 },
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
