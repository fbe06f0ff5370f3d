//! A model's file: the keys of its `config.json` that shape it, and what its makers publish.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{FileError, Model, Published};
use crate::yaml;

/// One model of the catalog, or of a user's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelFile {
    name: String,
    pub(super) description: String,
    config: Map<String, Value>,
    #[serde(default)]
    published: Published,
    source: String,
}

impl ModelFile {
    fn model(self) -> Result<Model, FileError> {
        let model = Model::from_hf_keys(&self.config, None, &self.name, &[])?;
        let ModelFile { name, description, published, source, .. } = self;
        Ok(Model { name, description, published, source, ..model })
    }
}

impl Model {
    /// Reads a catalog file of a user's own and checks its figures.
    ///
    /// # Errors
    /// With line and column when it is not YAML or has other keys; with the key where its `config` is
    /// no model's, or a figure is out of range.
    pub fn from_yaml(text: &str) -> Result<Model, FileError> {
        yaml::read::<ModelFile>(text)?.model()
    }
}
