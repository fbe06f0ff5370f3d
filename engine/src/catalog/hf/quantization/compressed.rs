//! compressed-tensors' groups: each of some modules, in order.

use serde_json::Value;

use super::Scheme;
use crate::catalog::hf::config::{Config, Keys};
use crate::catalog::hf::error::HfConfigError;
use crate::catalog::hf::patterns::{Patterns, is_outside};
use crate::catalog::hf::schemes;
use crate::catalog::hf::tensors::{Module, modules};
use crate::catalog::model::Model;

type Result<T> = std::result::Result<T, HfConfigError>;

/// Reads the groups.
pub(super) fn read<'a>(config: &Config<'a>, keys: &Keys<'a>, model: &Model) -> Result<Scheme> {
    let mut scheme = Scheme::none();
    keys.pass(&["format", "sparsity_config", "transform_config", "quant_algo"]);
    let sparsity = keys.peek("sparsity_config").and_then(|map| map.get("format")?.as_str());
    if let Some(format) = sparsity.filter(|&format| format != "dense") {
        let key = keys.path_of("sparsity_config.format");
        return Err(HfConfigError::unknown(&key, format, "dense"));
    }
    let Some(groups) = keys.nested("config_groups")? else {
        // Only KV is quantised.
        return Ok(scheme);
    };
    let modules = modules(model);
    for (name, group) in groups.entries()? {
        let format = schemes::compressed(config, &group, model.hidden_size)?;
        let targets = targets(&group, &modules)?;
        if targets.is_empty() || targets.contains(&"Linear") {
            scheme.otherwise = format;
        } else {
            let path = groups.path_of(name);
            scheme.rule(&path, Patterns::new(&path, targets)?, format)?;
        }
        config.keep(group);
    }
    Ok(scheme)
}

/// The modules that a group is of: names, or `Linear` for all matrices of the layers.
fn targets<'a>(group: &Keys<'a>, modules: &[Module]) -> Result<Vec<&'a str>> {
    let path = group.path_of("targets");
    let Some(value) = group.get("targets") else { return Ok(Vec::new()) };
    let list = value.as_array().ok_or_else(|| HfConfigError::wrong(&path, "a list", value))?;
    let name = |value: &'a Value| {
        value.as_str().ok_or_else(|| HfConfigError::wrong(&path, "a list of names", value))
    };
    let targets = list.iter().map(name).collect::<Result<Vec<&str>>>()?;
    for &target in targets.iter().filter(|&&target| target != "Linear") {
        // Classes of modules have capitals; names of modules have none at their beginning.
        if target.starts_with(|first: char| first.is_ascii_uppercase()) {
            let known = "Linear, names of modules, `re:` and a regular expression";
            return Err(HfConfigError::unknown(&path, target, known));
        }
        let pattern = Patterns::new(&path, [target])?;
        // One expert stands for all of a layer, so that others' names say nothing here.
        let apart = is_outside(target) || target.contains("experts.");
        if !apart && !modules.iter().any(|module| pattern.matches_any(&module.names)) {
            let known = "what names a matrix of the model, such as `self_attn.q_proj`";
            return Err(HfConfigError::unknown(&path, target, known));
        }
    }
    Ok(targets)
}
