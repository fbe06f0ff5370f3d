//! The maps of a scenario, each with its keys, at the first place where it stands.

use std::collections::VecDeque;

use serde_json::Value as Json;

use super::{kind, parameters};
use crate::order;
use crate::scenario::json_schema;
use crate::scheduler::SchedulerConfig;

/// A map with its keys.
#[derive(Clone, Debug)]
pub struct Section {
    /// Where it stands: the place that it is described at first.
    pub paths: Vec<String>,
    /// What it is.
    pub text: String,
    /// Its keys, in the order of the schema.
    pub keys: Vec<Key>,
    /// Its name in the schema, where it has one.
    definition: Option<String>,
    /// Places of the keys that lead here, so that sections can be put in order.
    order: Vec<usize>,
}

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// From the root, with `[]` for an element of a list: `workload.classes[].name`.
    pub path: String,
    /// The last step of that.
    pub name: String,
    /// What its value is, in words.
    pub kind: String,
    /// What it means.
    pub text: String,
    /// Whether the map needs it.
    pub required: bool,
}

impl Section {
    pub(super) fn title(&self) -> String {
        match self.paths[0].as_str() {
            "" => "The whole".to_owned(),
            path => format!("`{path}`"),
        }
    }

    /// Steps from the root.
    pub(super) fn depth(&self) -> usize {
        self.order.len()
    }
}

/// A schema still to be looked at.
struct Pending<'s> {
    schema: &'s Json,
    path: String,
    order: Vec<usize>,
}

/// All of them: the root first, and each before those that stand in it. What stands in several places
/// is described at the one that is nearest to the root.
pub fn sections() -> Vec<Section> {
    let schema = json_schema();
    let definitions = &schema["$defs"];
    let mut sections: Vec<Section> = Vec::new();
    let mut pending =
        VecDeque::from([Pending { schema: &schema, path: String::new(), order: Vec::new() }]);
    while let Some(Pending { schema, path, order }) = pending.pop_front() {
        for found in maps(schema, definitions, None, "") {
            let path = format!("{path}{}", found.step);
            let known = found.definition.as_ref().and_then(|name| {
                sections.iter_mut().find(|one| one.definition.as_ref() == Some(name))
            });
            if let Some(known) = known.filter(|known| known.paths[0] != path) {
                if !known.paths.contains(&path) {
                    known.paths.push(path);
                }
                continue;
            }
            let here = sections.iter().position(|one| one.paths[0] == path);
            let at = here.unwrap_or_else(|| {
                sections.push(Section {
                    paths: vec![path.clone()],
                    text: plain(found.text),
                    keys: Vec::new(),
                    definition: found.definition.clone(),
                    order: order.clone(),
                });
                sections.len() - 1
            });
            for (name, property) in found.properties {
                let key_path =
                    if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                if sections[at].keys.iter().any(|key| key.name == *name) {
                    continue;
                }
                let mut order = order.clone();
                order.push(sections[at].keys.len());
                sections[at].keys.push(Key {
                    path: key_path.clone(),
                    name: name.clone(),
                    kind: kind::of(property, definitions),
                    text: key_text(&path, name, property, found.map),
                    required: found.alone
                        && found.map["required"].as_array().is_some_and(|all| {
                            all.iter().any(|one| one.as_str() == Some(name.as_str()))
                        }),
                });
                match SchedulerConfig::by_name(name).filter(|_| path == "schedulers[]") {
                    Some(config) => sections.push(Section {
                        text: format!("{}; {}.", config.system(), config.evidence().meaning()),
                        keys: parameters(&key_path, &config),
                        paths: vec![key_path],
                        definition: None,
                        order,
                    }),
                    None => pending.push_back(Pending { schema: property, path: key_path, order }),
                }
            }
        }
    }
    sections.retain(|section| !section.keys.is_empty());
    order::sort_by(&mut sections, |a, b| a.order.cmp(&b.order));
    sections
}

/// A map that may stand where a schema holds.
struct Found<'s> {
    map: &'s Json,
    properties: &'s serde_json::Map<String, Json>,
    definition: Option<String>,
    /// From the schema to the map: nothing, an element of a list, a name.
    step: &'static str,
    text: &'s str,
    /// Whether it is the one form of its value.
    alone: bool,
}

fn maps<'s>(
    schema: &'s Json,
    definitions: &'s Json,
    definition: Option<&str>,
    step: &'static str,
) -> Vec<Found<'s>> {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return maps(&definitions[name], definitions, Some(name), step);
    }
    let mut found = Vec::new();
    if let Some(properties) = schema["properties"].as_object() {
        found.push(Found {
            map: schema,
            properties,
            definition: definition.map(str::to_owned),
            step,
            text: schema["description"].as_str().unwrap_or_default(),
            alone: true,
        });
    }
    for of in ["anyOf", "oneOf"] {
        let choices = schema[of].as_array().map_or(&[][..], Vec::as_slice);
        for choice in choices {
            let named = choice["$ref"].is_string();
            let of = definition.filter(|_| !named);
            for mut one in maps(choice, definitions, of, step) {
                // Forms of one value are described together, under its name.
                if !named && one.definition.as_deref() == of {
                    one.text = schema["description"].as_str().unwrap_or_default();
                    one.alone = false;
                }
                found.push(one);
            }
        }
    }
    if schema["items"].is_object() {
        found.extend(maps(&schema["items"], definitions, None, "[]"));
    }
    if schema["additionalProperties"].is_object() {
        found.extend(maps(&schema["additionalProperties"], definitions, None, ".NAME"));
    }
    found
}

/// What a key means: its own words, or those of the form that it names.
fn key_text(path: &str, name: &str, property: &Json, map: &Json) -> String {
    if path == "schedulers[]"
        && let Some(config) = SchedulerConfig::by_name(name)
    {
        return sentence(config.summary());
    }
    let own = property["description"].as_str().or_else(|| map["description"].as_str());
    plain(own.unwrap_or_default())
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let rest = letters.as_str().trim_end_matches('.');
    format!("{first}{rest}.")
}

/// A doc comment as one paragraph; links to code are the bare names.
fn plain(text: &str) -> String {
    let lines = text.replace('\n', " ");
    lines.replace("[`", "`").replace("`]", "`")
}
