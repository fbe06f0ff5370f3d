//! The three lists of keys: those that the reader looks at, those that are known not to shape a
//! model, and all others.
//!
//! The first list is not written down: a key is understood when reading this config looked at it. So a
//! key that another family has is unknown in a config whose class does not read it.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::Value;

use super::config::{Config, Keys, value_shown};
use super::error::HfConfigError;

/// What a scenario takes for granted about a key that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assumption {
    /// It changes neither size nor work.
    Ignored,
}

/// Parts of names that speak of a model's shape.
const STRUCTURAL: [&str; 69] = [
    "layer",
    "attn",
    "attention",
    "head",
    "expert",
    "moe",
    "mlp",
    "window",
    "index",
    "compress",
    "conv",
    "ssm",
    "mamba",
    "state",
    "kv",
    "quant",
    "rank",
    "share",
    "topk",
    "top_k",
    "pattern",
    "block",
    "hash",
    "mtp",
    "nextn",
    "linear",
    "delta",
    "lora",
    "altup",
    "laurel",
    "skip",
    "repeat",
    "loop",
    "parallel",
    "ffn",
    "feed_forward",
    "hidden",
    "inner",
    "dim",
    "size",
    "width",
    "depth",
    "embed",
    "embd",
    "adapter",
    "memory",
    "cache",
    "route",
    "router",
    "sparse",
    "sparsity",
    "dense",
    "group",
    "recurrent",
    "recursion",
    "chunk",
    "local",
    "global",
    "swa",
    "gate",
    "gating",
    "latent",
    "stride",
    "kernel",
    "bits",
    "dtype",
    "per_token",
    "num_",
    "n_",
];

/// Keys that shape no model, in any config.
const HARMLESS: &str = include_str!("harmless.txt");

static HARMLESS_NAMES: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| HARMLESS.lines().collect());

/// Ends of names that shape no model.
const HARMLESS_ENDS: [&str; 21] = [
    "_token_id",
    "_token_ids",
    "_token_index",
    "_dropout",
    "dropout_prob",
    "_dropout_rate",
    "_drop_rate",
    "_pdrop",
    "_eps",
    "_epsilon",
    "_loss_coef",
    "_loss_weight",
    "_loss_factor",
    "_aux_loss",
    "_loss_alpha",
    "_init_std",
    "_initializer_range",
    "_jitter_noise",
    "_act_fn",
    "_hidden_act",
    "_softcapping",
];

/// Whether a key shapes no model whatever it holds.
pub(super) fn is_harmless(key: &str) -> bool {
    HARMLESS_NAMES.contains(key) || HARMLESS_ENDS.iter().any(|end| key.ends_with(end))
}

/// Whether a value says that there is nothing of its kind.
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn is_structural(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    STRUCTURAL.iter().any(|part| key.contains(part))
}

/// Judges every key that reading the config did not look at.
///
/// # Errors
/// At the first one that is not known and may shape the model; at an assumption that names none.
pub(super) fn judge(
    config: &Config<'_>,
    assume: &[(String, Assumption)],
    modelled: &str,
) -> Result<(), HfConfigError> {
    let mut needed = vec![false; assume.len()];
    let mut unknown: Option<HfConfigError> = None;
    let mut odd: Vec<String> = Vec::new();
    let own = config.text_keys();
    let mut judge_map = |keys: &Keys<'_>, is_around: bool| {
        for (key, value) in keys.unused() {
            let path = keys.path_of(key);
            // What lies around the language model repeats some of its keys; its own are what counts.
            let repeats = is_around && own.contains_key(key);
            if is_absent(value) || is_harmless(key) || repeats {
                continue;
            }
            let assumed = assume.iter().position(|(name, _)| *name == path || name == key);
            if let Some(at) = assumed {
                needed[at] = true;
                config.say(format!("`{path}`: {} is ignored, as assumed", value_shown(value)));
            } else if is_structural(key) && !value.is_string() {
                unknown.get_or_insert_with(|| HfConfigError::UnknownKey {
                    key: path,
                    value: value_shown(value),
                    modelled: modelled.to_owned(),
                });
            } else {
                odd.push(path);
            }
        }
    };
    judge_map(&config.text, false);
    for keys in &config.around {
        judge_map(keys, true);
    }
    for keys in config.opened.borrow().values() {
        judge_map(keys, false);
    }
    if !odd.is_empty() {
        const SHOWN: usize = 12;
        let more = odd.len().saturating_sub(SHOWN);
        odd.truncate(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        config.say(format!("keys not known, taken not to matter: {}{more}", odd.join(", ")));
    }
    if let Some(unknown) = unknown {
        return Err(unknown);
    }
    match needed.iter().position(|&needed| !needed) {
        None => Ok(()),
        Some(at) => {
            let name = &assume[at].0;
            Err(HfConfigError::Assumed { key: name.clone(), problem: problem(config, name).into() })
        }
    }
}

/// Why an assumption about `name` is of no use.
fn problem(config: &Config<'_>, name: &str) -> &'static str {
    let last = name.rsplit('.').next().unwrap_or(name);
    let opened = config.opened.borrow();
    let mut maps = std::iter::once(&config.text).chain(&config.around).chain(opened.values());
    if maps.any(|keys| keys.peek(last).is_some()) {
        "is understood or known not to matter: it needs no assumption"
    } else {
        "is not in the config"
    }
}
