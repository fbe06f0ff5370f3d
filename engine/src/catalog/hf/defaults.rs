//! What a class of Hugging Face transformers takes where its config is silent.
//!
//! `defaults.json` has, for each `model_type` whose layers are modelled, the shaping keys of its class
//! as they are by default; for each other one a null, so that it is refused by name instead of being
//! read as something else.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Where the figures are from.
pub(super) const SOURCE: &str = "transformers 5.24.0";

static DEFAULTS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("defaults.json")).expect("a test reads the table")
});

/// The class's defaults.
pub(super) fn of(kind: &str) -> Option<&'static Map<String, Value>> {
    DEFAULTS.get(kind)?.as_object()
}

/// Whether it is a class of transformers whose layers are not modelled.
pub(super) fn is_other(kind: &str) -> bool {
    DEFAULTS.get(kind).is_some_and(Value::is_null)
}

/// The class of a multimodal model's language part, where that part does not name it.
pub(super) fn text_type(kind: &str) -> &str {
    match DEFAULTS.get(kind).and_then(Value::as_str) {
        Some(text) => text,
        None => kind,
    }
}

/// The `model_type` of a class by its name, such as `LlamaForCausalLM`.
pub(super) fn of_class(class: &str) -> Option<&'static str> {
    let whole = |name: &str| name.to_ascii_lowercase().replace(['_', '-'], "");
    let mut stem = class.split_once("For").map_or(class, |(stem, _)| stem);
    for end in ["Model", "LMHead", "Encoder", "PreTrained"] {
        stem = stem.strip_suffix(end).unwrap_or(stem);
    }
    let stem = whole(stem);
    DEFAULTS.keys().map(String::as_str).find(|kind| whole(kind) == stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_classes_names_of_text_parts_and_what_is_not_modelled() {
        assert_eq!(of("gemma3_text").and_then(|map| map["vocab_size"].as_u64()), Some(262_208));
        assert_eq!(text_type("gemma3"), "gemma3_text");
        assert_eq!(text_type("llama"), "llama");
        for (class, kind) in [
            ("LlamaForCausalLM", Some("llama")),
            ("GPT2LMHeadModel", Some("gpt2")),
            ("Qwen2MoeForCausalLM", Some("qwen2_moe")),
            ("RobertaForMaskedLM", Some("roberta")),
            ("T5EncoderModel", Some("t5")),
            ("NewcomerForCausalLM", None),
        ] {
            assert_eq!(of_class(class), kind, "{class}");
        }
        assert!(is_other("xlnet") && !is_other("llama") && !is_other("foo"));
    }
}
