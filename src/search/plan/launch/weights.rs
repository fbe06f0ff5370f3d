//! Number formats of weights: which a flag asks for, and which a checkpoint must come in.

use super::{Engine, Line};
use crate::catalog::{self, FormatName, Formats};
use crate::cost::Dtype;

/// Flags for the weights' format, where the checkpoint of that name gets it by flags.
pub(super) fn weights(
    engine: &Engine<'_>,
    line: &mut Line,
    prequantised: fn(Dtype) -> Option<&'static str>,
) {
    let (model, asked) = (&engine.pricing.model, engine.pricing.precision.weights);
    let (own, name) = (&model.formats, engine.model());
    let served = engine.pricing.precision.formats(model);
    if let Ok(catalogued) = catalog::model(model.name.trim_end_matches('*')) {
        let shape =
            |model: &catalog::Model| (model.hidden_size, model.vocab_size, model.groups.clone());
        if shape(&catalogued) != shape(model) {
            line.left_out(format!(
                "the model's figures, which are not those of {name}: give a checkpoint that has them in \
                 its place"
            ));
        }
        if asked == Dtype::Auto && catalogued.formats != *own {
            return line.left_out(other_checkpoint(own, name));
        }
    }
    if !own.is_16_bit() {
        if asked != Dtype::Auto && served.classes() != own.classes() {
            line.left_out(format!(
                "weights in {asked}: {name} comes in {own}, which this line loads; give a checkpoint in \
                 {asked} in its place"
            ));
        }
        return;
    }
    match asked {
        Dtype::Auto => {}
        Dtype::Bf16 => line.value("dtype", "bfloat16"),
        Dtype::Fp16 => line.value("dtype", "float16"),
        Dtype::Fp8 => line.value("quantization", "fp8"),
        Dtype::Int8 | Dtype::Int4 | Dtype::Mxfp4 | Dtype::Nvfp4 => {
            if let Some(method) = prequantised(asked) {
                line.value("quantization", method);
            }
            line.left_out(format!(
                "weights in {asked}: no flag makes them; give a checkpoint of the model in {asked} in \
                 place of {name}"
            ));
        }
    }
}

fn other_checkpoint(formats: &Formats, name: &str) -> String {
    let gguf = formats.classes().iter().any(|(_, format)| format.name == FormatName::Gguf);
    let what = if gguf { "a GGUF file" } else { "a checkpoint" };
    format!("weights in {formats}: give {what} in that format in place of {name}")
}
