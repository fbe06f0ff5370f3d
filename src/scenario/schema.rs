//! The JSON Schema of scenario files, for editors and checks.
//!
//! A page has it as text: what makes it of the types would be a fiftieth of the engine in the page. What
//! keys mean is left out of it, but for the parameters of schedulers, which the page shows.

#[cfg(not(target_arch = "wasm32"))]
mod made;

#[cfg(not(target_arch = "wasm32"))]
pub use made::json_schema;
#[cfg(not(target_arch = "wasm32"))]
pub(super) use made::schedulers;

/// As elsewhere, without descriptions.
#[cfg(target_arch = "wasm32")]
pub fn json_schema() -> serde_json::Value {
    serde_json::from_str(include_str!("schema/scenario.json")).expect("a test reads it")
}

/// JSON Schema of an element of `schedulers`, without what only scenario files may write.
#[cfg(target_arch = "wasm32")]
pub(super) fn schedulers() -> serde_json::Value {
    serde_json::from_str(include_str!("schema/schedulers.json")).expect("a test reads it")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{json_schema, schedulers};

    fn without_words(schema: &Value) -> Value {
        match schema {
            Value::Object(members) => {
                // A key of this name has a schema, which is no text.
                let said = |name: &str, value: &Value| name == "description" && value.is_string();
                let kept = members.iter().filter(|(name, value)| !said(name, value));
                kept.map(|(name, value)| (name.clone(), without_words(value))).collect()
            }
            Value::Array(items) => items.iter().map(without_words).collect(),
            other => other.clone(),
        }
    }

    #[test]
    fn a_page_has_the_same_schema() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/scenario/schema");
        let files =
            [("scenario.json", without_words(&json_schema())), ("schedulers.json", schedulers())];
        for (name, schema) in files {
            let path = format!("{folder}/{name}");
            let text = format!("{schema}\n");
            if std::env::var_os("UPDATE_SCHEMA").is_some() {
                std::fs::write(&path, &text).expect("writable");
            }
            let there = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                there == text,
                "src/scenario/schema/{name} is out of date: UPDATE_SCHEMA=1 cargo test --lib schema"
            );
        }
    }
}
