//! The model: by name, from a Hugging Face config or from a GGUF file.

use std::io::BufReader;

use super::check::Check;
use super::hardware::{FILE_BYTES_MAX, either, figure, found};
use super::owner::Owner;
use crate::catalog::{self, Assumption, Formats, HfConfigError, HfFiles, Model, ModelOverrides};
use crate::scenario::raw::{self, TextOr};
use crate::yaml::Path;

/// Longest config: those that list what is quantised of thousands of modules take some megabytes.
const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// The model's figures; `None` when it is not given or wrong (and reported).
pub(super) fn model(
    check: &mut Check<'_>,
    owner: &Owner,
    given: Option<&raw::ModelRef>,
) -> Option<Model> {
    model_at(check, &owner.path(check, &["model"]), given?)
}

/// The same of the model that stands at `path`.
pub(super) fn model_at(check: &mut Check<'_>, path: &Path, given: &raw::ModelRef) -> Option<Model> {
    let figures = match given {
        TextOr::Text(name) => return found(check, path, catalog::model(name)),
        TextOr::Map(figures) => figures,
    };
    let model = whole(check, path, figures)?;
    let model = match &figures.weights {
        None => model,
        Some(_) if figures.gguf.is_some() => {
            let message = "`weights` does not go with `gguf`, whose tensors have their own formats";
            check.report(&path.key("weights"), message.to_owned(), "leave one of the two out");
            return None;
        }
        Some(mix) => match model.with_gguf_mix(mix) {
            Some(model) => model,
            None => {
                let known: Vec<&str> = Formats::gguf_mixes().collect();
                let message =
                    format!("`{mix}` is no mix of llama.cpp's; known: {}", known.join(", "));
                check.report(&path.key("weights"), message, "such as `q4_k_m`");
                return None;
            }
        },
    };
    let overrides = ModelOverrides {
        hidden_size: figures.hidden_size,
        intermediate_size: figures.intermediate_size,
        layers: figures.layers,
        heads: figures.heads,
        kv_heads: figures.kv_heads,
        head_dim: figures.head_dim,
        vocab_size: figures.vocab_size,
        max_position_embeddings: figures.max_position_embeddings,
    };
    figure(check, path, model.with(&overrides))
}

/// The model before any figure is replaced.
fn whole(check: &mut Check<'_>, path: &Path, figures: &raw::ModelFigures) -> Option<Model> {
    let given = [
        ("base", figures.base.is_some()),
        ("config", figures.config.is_some()),
        ("gguf", figures.gguf.is_some()),
    ];
    let names: Vec<&str> =
        given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    if let [one, other, ..] = names[..] {
        either(check, path, one, other);
        return None;
    }
    if let (Some(base), false) = (&figures.base, figures.assume.is_empty()) {
        let message = format!("`assume` does not go with `base: {base}`, whose keys are all known");
        check.report(&path.key("assume"), message, "leave it out");
        return None;
    }
    let assume: Vec<(String, Assumption)> = figures
        .assume
        .iter()
        .map(|(key, raw::AssumedKey::Ignored)| (key.clone(), Assumption::Ignored))
        .collect();
    if let Some(config) = &figures.config {
        return from_config(check, path, config, &assume);
    }
    if let Some(gguf) = &figures.gguf {
        return from_gguf(check, path, gguf, &assume);
    }
    let Some(base) = &figures.base else {
        let help = "such as `{config: path/to/config.json}` or `{base: llama-3.1-8b, layers: 16}`";
        let problem = "expected `config`, `gguf` or `base`, found none of them";
        check.nothing_in(path, &["base", "config", "gguf"], problem, help);
        return None;
    };
    found(check, &path.key("base"), catalog::model(base))
}

/// Reads a config, and what lies beside it.
fn from_config(
    check: &mut Check<'_>,
    path: &Path,
    config: &str,
    assume: &[(String, Assumption)],
) -> Option<Model> {
    let at = path.key("config");
    let text = check.read_file(&at, config, CONFIG_BYTES_MAX)?;
    let quant_config = beside(check, &at, config, "hf_quant_config.json")?;
    let generation_config = beside(check, &at, config, "generation_config.json")?;
    let files = HfFiles {
        config: &text,
        quant_config: quant_config.as_deref(),
        generation_config: generation_config.as_deref(),
        place: config,
        assume,
    };
    told(check, path, "config", config, "is not a model's config.json", Model::from_hf(&files))
}

/// The text of a file beside a `config.json`, `Some(None)` where there is none. A config of another
/// name may lie among those of other models: what is beside it is not its own.
fn beside(check: &mut Check<'_>, path: &Path, config: &str, name: &str) -> Option<Option<String>> {
    let Some(folder) = config.strip_suffix("config.json") else { return Some(None) };
    if !folder.is_empty() && !folder.ends_with(['/', '\\']) {
        return Some(None);
    }
    let given = format!("{folder}{name}");
    if !check.is_file(&given) {
        return Some(None);
    }
    check.read_file(path, &given, FILE_BYTES_MAX).map(Some)
}

/// Reads the header of a GGUF file.
fn from_gguf(
    check: &mut Check<'_>,
    path: &Path,
    gguf: &str,
    assume: &[(String, Assumption)],
) -> Option<Model> {
    let at = path.key("gguf");
    let file = check.open_file(&at, gguf)?;
    let model = Model::from_gguf(BufReader::new(file), gguf, assume);
    told(check, path, "gguf", gguf, "is not a model's GGUF file", model)
}

/// The model, or a reported problem: at the assumption that is wrong, else at the file.
fn told(
    check: &mut Check<'_>,
    path: &Path,
    key: &str,
    file: &str,
    problem: &str,
    model: Result<Model, HfConfigError>,
) -> Option<Model> {
    match model {
        Ok(model) => Some(model),
        Err(HfConfigError::Assumed { key, problem }) => {
            let message = format!("the key `{key}` of `{file}` {problem}");
            check.report(&path.key("assume"), message, "leave it out of `assume`");
            None
        }
        Err(error @ (HfConfigError::UnknownKey { .. } | HfConfigError::UnknownValue { .. })) => {
            check.report(&path.key(key), format!("`{file}`: {error}"), "");
            None
        }
        Err(error) => {
            check.report(&path.key(key), format!("`{file}` {problem}: {error}"), "");
            None
        }
    }
}
