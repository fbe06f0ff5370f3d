//! Where a key belongs that was written at another place.

use std::sync::OnceLock;

use serde_json::Value as Json;

use super::schema::json_schema;
use super::synonyms;
use crate::suggest::{in_another_word, is_spelt_otherwise};
use crate::yaml::{Entry, Node, Path, Step, Value};

/// Deepest key looked for.
const DEPTH_MAX: usize = 6;

/// What to write in place of an entry that is not known where it stands, beside `names`: another tool's
/// name for a key, or a key of another place. `None` where one of the names was meant.
pub(super) fn advice(root: &Node, entry: &Entry, at: &Path, names: &[&str]) -> Option<String> {
    if is_spelt_otherwise(&entry.key, names) {
        return None;
    }
    let value = match &entry.value.value {
        Value::Null => None,
        Value::List(_) | Value::Map(_) => Some(entry.value.json().to_string()),
        _ => entry.value.scalar_text(),
    };
    let value = value.filter(|value| value.len() <= 200);
    if let Some(fix) = synonyms::fix(root, &entry.key, value.as_deref(), at) {
        let write = format!("write `{}`, or `{}`", fix.yaml(), fix.set());
        // The name is right, the place is not.
        let misplaced = fix.path.rsplit('.').next() == Some(entry.key.as_str());
        let place = misplaced.then(|| format!("it belongs at `{}`: ", fix.path));
        return Some(format!("{}{write}", place.unwrap_or_default()));
    }
    if in_another_word(&entry.key, names).is_some() {
        return None;
    }
    belongs(&entry.key, at).map(|place| format!("it belongs at `{place}`"))
}

/// The place of a key of this name nearest to where it was written, such as `engine.kv_blocks`.
pub(super) fn belongs(key: &str, written: &Path) -> Option<String> {
    static PLACES: OnceLock<Vec<Vec<String>>> = OnceLock::new();
    let places = PLACES.get_or_init(|| {
        let schema = json_schema();
        let mut places = Vec::new();
        walk(&schema, &schema["$defs"], &mut Vec::new(), &mut places);
        places
    });
    let written: Vec<&str> = written
        .steps()
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    let shared = |place: &[String]| place.iter().zip(&written).take_while(|(a, b)| a == b).count();
    places
        .iter()
        .filter(|place| place.last().is_some_and(|last| last == key))
        .min_by_key(|place| (std::cmp::Reverse(shared(place)), place.len()))
        .map(|place| place.join("."))
}

fn walk(schema: &Json, definitions: &Json, path: &mut Vec<String>, places: &mut Vec<Vec<String>>) {
    if path.len() >= DEPTH_MAX {
        return;
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        walk(&definitions[name], definitions, path, places);
    }
    for choices in ["anyOf", "oneOf", "allOf"] {
        for choice in schema[choices].as_array().into_iter().flatten() {
            walk(choice, definitions, path, places);
        }
    }
    if schema["items"].is_object() {
        walk(&schema["items"], definitions, path, places);
    }
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        path.push(key.clone());
        // Other names of a key have no type of their own.
        if property.as_object().is_some_and(|p| p.keys().any(|k| k != "description")) {
            places.push(path.clone());
        }
        walk(property, definitions, path, places);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_at_the_wrong_level_are_told_where_they_go() {
        let root = Path::root();
        assert_eq!(belongs("kv_blocks", &root).as_deref(), Some("engine.kv_blocks"));
        assert_eq!(belongs("requests", &root).as_deref(), Some("workload.requests"));
        assert_eq!(belongs("bounds", &root).as_deref(), Some("slo.bounds"));
        assert_eq!(belongs("max_model_len", &root).as_deref(), Some("engine.max_model_len"));
        assert_eq!(belongs("chunk_size", &root).as_deref(), Some("schedulers.sarathi.chunk_size"));
        let slo = root.key("slo");
        assert_eq!(belongs("share", &slo).as_deref(), Some("slo.fluidity.share"));
        assert_eq!(belongs("flavour", &root), None);
    }
}
