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
use crate::excerpt::quoted;

/// What a scenario takes for granted about a key that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assumption {
    /// It changes neither size nor work.
    Ignored,
}

/// Parts of names that speak of a model's shape wherever they stand.
const STRUCTURAL: [&str; 14] = [
    "layer",
    "attn",
    "attention",
    "head",
    "expert",
    "moe",
    "mlp",
    "ffn",
    "lora",
    "quant",
    "embd",
    "embed",
    "hidden",
    "window",
];

/// The same for those that are also part of longer words that say nothing (`position_id`, `resize`,
/// `aggregate`): only at the beginning of a word.
const STRUCTURAL_WORDS: [&str; 55] = [
    "index",
    "compress",
    "conv",
    "ssm",
    "mamba",
    "state",
    "kv",
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
    "altup",
    "laurel",
    "skip",
    "repeat",
    "loop",
    "parallel",
    "feed_forward",
    "inner",
    "dim",
    "size",
    "width",
    "depth",
    "adapter",
    "memory",
    "cache",
    "route",
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
    "nbits",
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
fn is_absent(key: &str, value: &Value) -> bool {
    const FLAGS: [&str; 5] = ["use_", "is_", "has_", "enable_", "with_"];
    match value {
        Value::Number(number) if FLAGS.iter().any(|flag| key.starts_with(flag)) => {
            number.as_f64() == Some(0.0)
        }
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn is_structural(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    if STRUCTURAL.iter().any(|part| lower.contains(part)) {
        return true;
    }
    let bytes = key.as_bytes();
    let begins = |at: usize| {
        at == 0 || !bytes[at - 1].is_ascii_alphabetic() || bytes[at].is_ascii_uppercase()
    };
    let mut words = (0..bytes.len()).filter(|&at| begins(at));
    words.any(|at| {
        let rest = lower.as_bytes().get(at..).unwrap_or_default();
        STRUCTURAL_WORDS.iter().any(|part| rest.starts_with(part.as_bytes()))
    })
}

/// Whether a text says something other than a figure, or than what each layer is. Floats that are not
/// finite are read as texts.
fn is_word(key: &str, value: &Value) -> bool {
    let figure = |text: &str| matches!(text, "NaN" | "Infinity" | "-Infinity");
    value.as_str().is_some_and(|text| !figure(text) && !key.contains("pattern"))
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
            if is_absent(key, value) || is_harmless(key) {
                continue;
            }
            // What lies around the language model repeats some of its keys; its own are what counts.
            if let Some(inner) = own.get(key).filter(|inner| is_around && !inner.is_null()) {
                if *inner != value && is_structural(key) && !is_word(key, value) {
                    let inner = value_shown(inner);
                    config.say(format!(
                        "`{path}`: {} is not read: the language model's own is {inner}",
                        value_shown(value)
                    ));
                }
                continue;
            }
            let assumed = assume.iter().position(|(name, _)| *name == path || name == key);
            if let Some(at) = assumed {
                needed[at] = true;
                config.say(format!("`{path}`: {} is ignored, as assumed", value_shown(value)));
            } else if is_structural(key) && !is_word(key, value) {
                unknown.get_or_insert_with(|| HfConfigError::UnknownKey {
                    key: path,
                    value: value_shown(value),
                    modelled: modelled.to_owned(),
                    form: "config",
                });
            } else {
                odd.push(quoted(&path));
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

#[cfg(test)]
mod tests {
    use super::is_structural;

    #[test]
    fn parts_that_longer_words_have_count_at_the_beginning_of_a_word() {
        for key in [
            "num_foo",
            "moe_n_foo",
            "nheads",
            "kvGroups",
            "fooSize",
            "top2_size",
            "a.n_b",
            "foo_size",
        ] {
            assert!(is_structural(key), "{key}");
        }
        for key in
            ["position_id_per_seconds", "train_foo", "version_id", "resized", "aggregate", "é"]
        {
            assert!(!is_structural(key), "{key}");
        }
    }
}
