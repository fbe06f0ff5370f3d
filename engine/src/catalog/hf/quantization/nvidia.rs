//! NVIDIA's words, in the config itself or in a file beside it.

use serde_json::{Map, Value};

use super::methods::{SILENT, kv, leave_out, number};
use super::{LINEAR, Scheme};
use crate::catalog::hf::config::{Config, Keys};
use crate::catalog::hf::error::HfConfigError;
use crate::catalog::hf::schemes;
use crate::catalog::hf::tensors::Class;
use crate::catalog::model::Model;

type Result<T> = std::result::Result<T, HfConfigError>;

/// Keys of what is quantised that shape nothing that is counted here.
const QUIET: [&str; 7] = [
    "quant_type",
    "quantization_type",
    "awq_block_size",
    "has_zero_point",
    "pre_quant_scale",
    "weight_block_size",
    "moe_quant_algo",
];

/// Reads `quantization_config`.
pub(super) fn read<'a>(config: &Config<'a>, keys: &Keys<'a>, model: &Model) -> Result<Scheme> {
    keys.pass(&QUIET);
    // The same once more, in compressed-tensors' words.
    if let Some(groups) = keys.nested("config_groups")? {
        for (_, group) in groups.entries()? {
            schemes::compressed(config, &group, model.hidden_size)?;
            group.get("targets");
            config.keep(group);
        }
    }
    let algorithm = keys.string("quant_algo")?.unwrap_or("NONE");
    let group = number(keys, &["group_size"])?;
    let path = keys.path_of("quant_algo");
    if algorithm.eq_ignore_ascii_case("MIXED_PRECISION") {
        return mixed(config, keys);
    }
    Ok(Scheme { otherwise: schemes::modelopt(&path, algorithm, group)?, ..Scheme::none() })
}

/// Formats module by module.
fn mixed<'a>(config: &Config<'a>, keys: &Keys<'a>) -> Result<Scheme> {
    let path = keys.path_of("quantized_layers");
    let layers =
        keys.nested("quantized_layers")?.ok_or_else(|| HfConfigError::Missing(path.clone()))?;
    let mut modules = Vec::new();
    for (name, own) in layers.entries()? {
        let algorithm = own.string("quant_algo")?.unwrap_or("NONE");
        let group = own.number("group_size")?;
        modules.push((name, schemes::modelopt(&path, algorithm, group)?));
        own.pass(&QUIET);
        config.keep(own);
    }
    let mut scheme = Scheme::none();
    scheme.classes = LINEAR.to_vec();
    scheme.classes.push(Class::Head);
    scheme.single(&path, modules)?;
    Ok(scheme)
}

/// What of `hf_quant_config.json` beside the config says the formats: `quantization` in it, or all
/// of it.
pub(super) fn in_file<'a>(config: &Config<'a>, map: &'a Map<String, Value>) -> Result<Keys<'a>> {
    let file = Keys::new(map, "hf_quant_config.json: ");
    file.get("producer");
    if let Some(inside) = file.nested("quantization")? {
        config.keep(file);
        return Ok(inside);
    }
    match file.peek("quant_algo") {
        Some(_) => Ok(file),
        None => Err(HfConfigError::Missing(file.path_of("quantization"))),
    }
}

/// Reads that.
pub(super) fn beside<'a>(config: &Config<'a>, keys: Keys<'a>, model: &Model) -> Result<Scheme> {
    keys.pass(&SILENT);
    keys.pass(&["quant_method"]);
    let mut scheme = read(config, &keys, model)?;
    leave_out(&keys, &mut scheme)?;
    scheme.kv_bits_1024ths = kv(config, &keys)?;
    config.keep(keys);
    Ok(scheme)
}
