//! Reads a model's figures from a GGUF file, the format of llama.cpp's models.
//!
//! Its keys are put into the words of a Hugging Face config, which is read as one; the format of each
//! class of tensors is what the tensors themselves have. So the sum of their weights checks the
//! reading: where it differs from the model's, the file is refused.

mod architecture;
mod file;
mod keys;
mod tensors;

use std::io::Read;

use self::file::Header;
use super::hf::{Assumption, HfConfigError};
use super::model::Model;

/// How far the sum of the tensors' weights may lie from that of the model.
const TOLERANCE: f64 = 0.005;

impl Model {
    /// Reads the header of a GGUF file at `place`, whose name stands for that of a model that does not
    /// say its own. The tensors themselves are not read, and may be missing.
    ///
    /// # Errors
    /// When it is not a GGUF file, its architecture is not modelled, one of its keys may shape the
    /// model and is not known, or its tensors are others than its keys say.
    pub fn from_gguf(
        reader: impl Read,
        place: &str,
        assume: &[(String, Assumption)],
    ) -> Result<Model, HfConfigError> {
        let header = Header::read(reader)?;
        let sums = tensors::sums(&header.tensors)?;
        let config = keys::config(&header, &sums)?;
        let model = Model::from_hf_keys(&config, None, place, assume);
        let mut model = model.map_err(HfConfigError::of_gguf)?;
        if let Some(name) = header.text("general.name").filter(|name| !name.is_empty()) {
            model.name = name.to_lowercase().replace(' ', "-");
        }
        model.description = format!("{}, from its GGUF file", model.name);
        model.source = "GGUF file".into();
        check(&mut model, &header, &sums)?;
        model.formats = sums.formats();
        Ok(model)
    }
}

fn check(model: &mut Model, header: &Header, sums: &tensors::Sums) -> Result<(), HfConfigError> {
    let parts =
        header.get("split.count").and_then(gguf_rs_lib::format::MetadataValue::as_u64).unwrap_or(1);
    if parts > 1 {
        model.assumed.push(format!(
            "one of {parts} parts of a GGUF file: the formats of its tensors stand for all"
        ));
        return Ok(());
    }
    let (own, said) = (sums.weights(), model.parameters());
    let drafted = said.saturating_add(model.draft_parameters);
    let off = |of: u64| (own as f64 / of as f64 - 1.0).abs();
    if off(said) > TOLERANCE && off(drafted) > TOLERANCE {
        return Err(HfConfigError::Gguf(format!(
            "its tensors hold {own} weights, and its keys make {said} of them"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
