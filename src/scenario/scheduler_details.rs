//! What `metron-sim list schedulers` says of each scheduler: read from the parameter types and
//! their doc comments, so that it cannot differ from what scenarios accept.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::schema::schedulers;
use crate::scheduler::{Evidence, Proof, SchedulerConfig};

/// Where a scheduler's rules come from, and what can be set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SchedulerDetails {
    /// The system that it models, and the version.
    pub system: &'static str,
    /// What its likeness to the system rests on.
    pub evidence: Evidence,
    /// By what it is proven, where it is.
    pub proofs: &'static [Proof],
    /// Its parameters, in the order in which they are documented.
    pub parameters: Vec<Parameter>,
}

/// A parameter of a scheduler.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// The real system's name for it.
    pub name: String,
    /// Its value unless given; null where it depends on the GPU or on the engine's limits, as the
    /// description says.
    pub default: Value,
    /// What it may be; empty where its values are no names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Value>,
    /// Other names that a scenario may give.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<&'static str>,
    /// What it means.
    pub description: String,
}

impl SchedulerDetails {
    /// The details of a scheduler.
    pub fn of(config: &SchedulerConfig) -> SchedulerDetails {
        let defaults = config.parameters();
        let schema = schedulers();
        let properties = properties(&schema, config.name());
        let aliases = aliases(config, &defaults);
        let parameters = properties
            .into_iter()
            .map(|(name, property)| Parameter {
                default: defaults.get(&name).cloned().unwrap_or(Value::Null),
                choices: choices(&schema, &property),
                aliases: aliases.iter().filter(|(_, of)| *of == name).map(|(a, _)| *a).collect(),
                description: text(&property, "description"),
                name,
            })
            .collect();
        let (evidence, proofs) = (config.evidence(), config.proofs());
        SchedulerDetails { system: config.system(), evidence, proofs, parameters }
    }

    /// Every name that a scenario may give a parameter.
    pub fn names_of<'n>(&self, parameter: &'n str) -> impl Iterator<Item = &'n str> {
        let known = self.parameters.iter().find(|known| known.name == parameter);
        let aliases = known.map_or(Vec::new(), |known| known.aliases.clone());
        aliases.into_iter().chain([parameter])
    }
}

/// The schema's properties of a scheduler's parameters.
fn properties(schema: &Value, scheduler: &str) -> Map<String, Value> {
    let choices = schema.get("oneOf").and_then(Value::as_array);
    choices
        .into_iter()
        .flatten()
        .find_map(|choice| choice.get("properties")?.get(scheduler))
        .map(|parameters| resolved(schema, parameters))
        .and_then(|parameters| parameters.get("properties")?.as_object().cloned())
        .unwrap_or_default()
}

/// What a reference points to, or the schema itself.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    reference.and_then(|path| root.pointer(path.strip_prefix('#')?)).unwrap_or(schema)
}

/// The values of an enumeration.
fn choices(root: &Value, property: &Value) -> Vec<Value> {
    let schema = resolved(root, property);
    let plain = schema.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
    let described = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    plain.into_iter().chain(described.filter_map(|one| one.get("const").cloned())).collect()
}

/// Other names, each with the parameter that it stands for.
fn aliases(config: &SchedulerConfig, defaults: &Value) -> Vec<(&'static str, String)> {
    let names = config.parameter_names().iter();
    names
        .filter(|name| defaults.get(**name).is_none())
        .filter_map(|alias| {
            // The parameter that another value under this name changes.
            let values = [json!(7), json!(true), json!(false)];
            let changed = values.iter().find_map(|value| {
                let given = json!({ config.name(): { *alias: value } });
                let given: SchedulerConfig = serde_json::from_value(given).ok()?;
                let given = given.parameters();
                let mut differing = given.as_object()?.iter();
                differing
                    .find(|(name, value)| defaults.get(name) != Some(value))
                    .map(|(n, _)| n.clone())
            });
            Some((*alias, changed?))
        })
        .collect()
}

fn text(schema: &Value, key: &str) -> String {
    let text = schema.get(key).and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(name: &str) -> SchedulerDetails {
        SchedulerDetails::of(&SchedulerConfig::by_name(name).expect("registered"))
    }

    fn parameter(scheduler: &str, name: &str) -> Parameter {
        let found = details(scheduler).parameters.into_iter().find(|p| p.name == name);
        found.unwrap_or_else(|| panic!("{scheduler} has {name}"))
    }

    #[test]
    fn every_parameter_is_described_and_every_default_known() {
        for name in SchedulerConfig::names() {
            let config = SchedulerConfig::by_name(name).expect("registered");
            let details = SchedulerDetails::of(&config);
            let given = config.parameters();
            let given = given.as_object().expect("a map");
            assert_eq!(details.parameters.len(), given.len(), "{name}");
            for parameter in &details.parameters {
                assert_eq!(Some(&parameter.default), given.get(&parameter.name), "{name}");
                assert!(!parameter.description.is_empty(), "{name}.{}", parameter.name);
                let says = parameter.description.to_lowercase().contains("default");
                assert!(!parameter.default.is_null() || says, "{name}.{}", parameter.name);
            }
            // Every name that a scenario may give is listed.
            let listed = details.parameters.iter().map(|p| 1 + p.aliases.len()).sum::<usize>();
            assert_eq!(listed, config.parameter_names().len(), "{name}");
        }
    }

    #[test]
    fn real_names_defaults_aliases_and_choices() {
        assert_eq!(details("sarathi").evidence, Evidence::Proven);
        assert_eq!(details("tgi").evidence, Evidence::Modelled);
        assert_eq!(details("vllm-v0").system, "vLLM 0.4.2");
        let chunk = parameter("sarathi", "chunk_size");
        assert_eq!((chunk.default, chunk.aliases), (json!(512), vec!["chunk_tokens"]));
        let policy = parameter("vllm-v1", "policy");
        assert_eq!(
            (policy.default, policy.choices),
            (json!("fcfs"), vec![json!("fcfs"), json!("priority")])
        );
        let chunked = parameter("tensorrt-llm", "enable_chunked_prefill");
        assert_eq!(chunked.aliases, ["enable_chunked_context"]);
    }
}
