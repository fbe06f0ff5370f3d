//! Reads a model's figures from any Hugging Face `config.json`, or from a GGUF file.
//!
//! Models differ in the names of their keys, and in what their classes do without a key. So keys are
//! looked up by all the names in use; what a class does of itself is in [`families`]; what a config
//! leaves out is as its class has it by default, said aloud. Every key that reading did not look at is
//! judged in [`keys`]: what may shape the model and is not known refuses the config.

mod attention;
mod config;
mod defaults;
mod draft;
mod encoder;
mod error;
mod families;
mod groups;
mod json;
mod keys;
mod latent;
mod layers;
mod mlp;
mod name;
mod patterns;
mod quantization;
mod recurrent;
mod regexes;
mod schemes;
mod special;
mod tensors;
mod windows;

use serde_json::{Map, Value};

use self::config::Config;
pub use self::error::HfConfigError;
pub use self::keys::Assumption;
use crate::catalog::model::{Model, Published};

/// A config, and what lies beside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct HfFiles<'a> {
    /// The text of `config.json`.
    pub config: &'a str,
    /// The text of `hf_quant_config.json` beside it, where there is one: the formats of a checkpoint
    /// of NVIDIA's whose config does not say them.
    pub quant_config: Option<&'a str>,
    /// The text of `generation_config.json` beside it. Nothing in it shapes a model: it is only held to
    /// be a JSON object.
    pub generation_config: Option<&'a str>,
    /// Where the config lies: its name, or its folder's, stands for that of a model that does not say
    /// its own.
    pub place: &'a str,
    /// What is taken for granted about keys that are not known.
    pub assume: &'a [(String, Assumption)],
}

impl Model {
    /// Reads a Hugging Face `config.json`; of a multimodal one, its language model and its encoders'
    /// weights.
    ///
    /// # Errors
    /// When the text is not a JSON object, a needed key is missing or of the wrong type, a key that may
    /// shape the model is not known, or its layers are of a kind that is not modelled.
    pub fn from_hf_config(json: &str) -> Result<Model, HfConfigError> {
        Model::from_hf(&HfFiles { config: json, ..HfFiles::default() })
    }

    /// The same for a file at `place`.
    ///
    /// # Errors
    /// As [`from_hf_config`](Model::from_hf_config).
    pub fn from_hf_config_at(json: &str, place: &str) -> Result<Model, HfConfigError> {
        Model::from_hf(&HfFiles { config: json, place, ..HfFiles::default() })
    }

    /// The same for a file and what lies beside it.
    ///
    /// # Errors
    /// As [`from_hf_config`](Model::from_hf_config), and where an assumption names a key that is not in
    /// the config, or that needs none.
    pub fn from_hf(files: &HfFiles<'_>) -> Result<Model, HfConfigError> {
        let beside = |text: Option<&str>, name: &str| {
            let object = text.map(json::object).transpose();
            object.map_err(|e| HfConfigError::NotAnObject(format!("{name}: {e}")))
        };
        let config = json::object(files.config).map_err(HfConfigError::NotAnObject)?;
        let quant = beside(files.quant_config, "hf_quant_config.json")?;
        beside(files.generation_config, "generation_config.json")?;
        Model::from_hf_keys(&config, quant.as_ref(), files.place, files.assume)
    }

    /// The same of the keys themselves.
    ///
    /// # Errors
    /// As [`from_hf`](Model::from_hf).
    pub(super) fn from_hf_keys<'a>(
        outer: &'a Map<String, Value>,
        quant: Option<&'a Map<String, Value>>,
        place: &str,
        assume: &[(String, Assumption)],
    ) -> Result<Model, HfConfigError> {
        let config = Config::new(outer)?;
        let mut model = read(&config, quant, place)?;
        keys::judge(&config, assume, &groups::described(&model))?;
        model.assumed = config.notes();
        model.validate()?;
        Ok(model)
    }
}

fn read<'a>(
    config: &Config<'a>,
    quant: Option<&'a Map<String, Value>>,
    place: &str,
) -> Result<Model, HfConfigError> {
    let family = groups::family(config)?;
    let frame = groups::frame(config)?;
    let groups = groups::read(config, &family, frame.hidden_size)?;
    let tables = groups::tables(config, &family, &frame)?;
    let encoders = encoder::parameters(config, frame.hidden_size)?;
    let name = name::of(config, place);
    let mut model = Model {
        name: name.to_lowercase(),
        description: format!("{name}, from its config.json"),
        hidden_size: frame.hidden_size,
        groups: groups::runs(&groups),
        vocab_size: frame.vocab_size,
        max_position_embeddings: frame.max_position_embeddings,
        tied_embeddings: frame.tied_embeddings,
        formats: Default::default(),
        other_parameters: tables,
        encoder_parameters: encoders,
        draft_parameters: 0,
        layers_fixed: groups::fixed(config, groups.len())?,
        published: Published::default(),
        assumed: Vec::new(),
        source: "config.json".into(),
    };
    // What sums are made of must be in range.
    model.validate()?;
    model.draft_parameters = draft::parameters(config, &groups, model.hidden_size)?;
    model.formats = quantization::read(config, quant, &model)?;
    Ok(model)
}

#[cfg(test)]
mod tests;
