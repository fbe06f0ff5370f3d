//! Enough GPUs for the model that was chosen.

use super::bounds::TENSOR;
use crate::scenario::{Document, Files, Resolved};

/// What a menu sets that may need more GPUs than there were.
const CHOSEN: [&str; 3] = ["model=", "gpu=", "engine.dtype="];

/// A scenario with the fewest GPUs a replica on which it can be, and what to say of it.
pub(super) struct Fitted {
    pub text: String,
    pub document: Document,
    pub resolved: Resolved,
    pub told: String,
}

/// The same scenario on another number of GPUs, where one of the overrides chose its model, GPU or
/// number format: whoever writes the text has it as it stands.
pub(super) fn fitted(
    given: &Document,
    name: &str,
    set: &[String],
    files: &Files,
) -> Option<Fitted> {
    let chose = |one: &String| CHOSEN.iter().any(|field| one.starts_with(field));
    let asks = |one: &String| one.starts_with("parallelism");
    if !set.iter().any(chose) || set.iter().any(asks) || given.gives("pools") {
        return None;
    }
    TENSOR.iter().find_map(|gpus| {
        let text = given.rewritten(&[format!("parallelism.tensor={gpus}")]).ok()?;
        let document = Document::from_text(name, &text, files.clone()).ok()?;
        let resolved = document.resolve(None).ok()?;
        let told = format!(
            "GPUs per replica: now {gpus}, the fewest that this model on this GPU can be played with"
        );
        Some(Fitted { text, document, resolved, told })
    })
}
