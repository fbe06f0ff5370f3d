//! The keys that a user wrote, each with the name that the JSON Schema has for it.

use serde_json::Value as Json;

use crate::scenario::{Document, DocumentNode as Node, DocumentValue as Value, json_schema};

/// A key that stands in the scenario's file or in a `--set`.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Where it stands: `engine.prefix_caching`, `pools.0.engine.dtype`.
    pub path: String,
    /// Its type and name in the JSON Schema, such as `Engine.prefix_caching`; a scheduler's parameter
    /// by the scheduler, such as `sarathi.watermark`.
    pub knob: String,
    /// What was written.
    pub value: Json,
}

impl Written {
    /// As [`list_index`] of its path.
    pub fn index_in(&self, list: &str) -> Option<usize> {
        list_index(&self.path, list)
    }
}

/// The number in a key's path behind `list`: 1 for `pools.1.engine.dtype` and `pools`.
pub fn list_index(path: &str, list: &str) -> Option<usize> {
    let behind = path.strip_prefix(list)?.strip_prefix('.')?;
    behind.split('.').next()?.parse().ok()
}

/// Every key of a document that the schema knows, parents before children. None of a scenario that was
/// taken from a result: there the program wrote every default out, and what a user wrote is not known.
pub fn written(document: &Document) -> Vec<Written> {
    let root = document.root();
    if root.get("derived").is_some() {
        return Vec::new();
    }
    let schema = json_schema();
    let mut walk = Walk { definitions: &schema["$defs"], found: Vec::new() };
    walk.node(&schema, "Scenario", root, "");
    walk.found
}

struct Walk<'s> {
    definitions: &'s Json,
    found: Vec<Written>,
}

impl Walk<'_> {
    /// Looks for the keys of `node` in `schema`, which is that of the type `name`.
    fn node(&mut self, schema: &Json, name: &str, node: &Node, path: &str) {
        match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    let Some((owner, property)) = self.property(schema, name, &entry.key) else {
                        continue;
                    };
                    let path = join(path, &entry.key);
                    let knob = self.knob(&owner, &entry.key, &path);
                    let value = entry.value.json();
                    // Null is what stands where nothing is written.
                    if !value.is_null() {
                        self.found.push(Written { path: path.clone(), knob, value });
                    }
                    self.node(&property, &owner, &entry.value, &path);
                }
            }
            Value::List(items) => {
                let Some((owner, of)) = self.items(schema, name) else { return };
                for (index, item) in items.iter().enumerate() {
                    self.node(&of, &owner, item, &join(path, &index.to_string()));
                }
            }
            _ => {}
        }
    }

    /// The schema of a key, and the type that has it.
    fn property(&self, schema: &Json, name: &str, key: &str) -> Option<(String, Json)> {
        if let Some(found) = schema["properties"].get(key) {
            return Some((name.to_owned(), found.clone()));
        }
        self.choices(schema, name).find_map(|(name, choice)| self.property(choice, &name, key))
    }

    /// The schema of a list's elements, and the type that has the list.
    fn items(&self, schema: &Json, name: &str) -> Option<(String, Json)> {
        if schema["items"].is_object() {
            return Some((name.to_owned(), schema["items"].clone()));
        }
        self.choices(schema, name).find_map(|(name, choice)| self.items(choice, &name))
    }

    /// What a schema may stand for: the type that it names, and its alternatives.
    fn choices<'a>(
        &'a self,
        schema: &'a Json,
        name: &str,
    ) -> impl Iterator<Item = (String, &'a Json)> + use<'a> {
        let name = name.to_owned();
        let named = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let named = named.map(|name| (name.to_owned(), &self.definitions[name]));
        let alternatives = ["anyOf", "oneOf", "allOf"]
            .into_iter()
            .flat_map(|word| schema[word].as_array().into_iter().flatten());
        named.into_iter().chain(alternatives.map(move |choice| (name.clone(), choice)))
    }

    fn knob(&self, owner: &str, key: &str, path: &str) -> String {
        if !owner.ends_with("Params") {
            return format!("{owner}.{key}");
        }
        // `schedulers.1.sarathi.chunk_size`
        let scheduler = path.rsplit('.').nth(1).unwrap_or_default();
        format!("{scheduler}.{key}")
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
