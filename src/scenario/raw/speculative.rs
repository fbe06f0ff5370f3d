//! Speculative decoding.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess};
use serde::{Deserialize, Serialize, Serializer};

use super::ModelRef;
use crate::excerpt::quoted;
use crate::speculative::Method;
use crate::suggest::nearest;

/// The forms of the key, for who wrote another.
pub const SPECULATIVE_FORMS: &str = "`engine.speculative` is `{method: eagle | eagle3 | mtp | ngram | \
     draft_model | suffix, num_speculative_tokens: k (alias tokens), draft_model:, off_above_running:, \
     num_speculative_tokens_per_batch_size:, acceptance: {rate: a} | {by_position: [conditional rates]} \
     | {length: mean with the bonus token, 1 to k+1} | {by_class: {...}} | {trace: file} | {preset: \
     name}}`";

/// How the engine drafts tokens and how many of them are accepted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a map such as `{method: eagle3, num_speculative_tokens: 3, acceptance: {length: 2.4}}`"
)]
pub struct Speculative {
    /// Who drafts: `eagle`, `eagle3` (a head on the model's hidden states), `mtp` (the model's own
    /// layers for multi-token prediction), `draft_model` (a small model), `ngram` or `suffix` (looked up
    /// by the host in what was said before).
    pub method: DraftMethod,
    /// Tokens drafted for a request at a time (vLLM's `num_speculative_tokens`), 1 to 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_speculative_tokens: Option<u32>,
    /// The same by a shorter name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// The small model, where `method` is `draft_model`: a name of `metron-sim list models`, or as
    /// `model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft_model: Option<ModelRef>,
    /// Nothing is drafted while more requests than this run; no limit unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_above_running: Option<u32>,
    /// Drafts by the number of running requests, such as `{"1-16": 3, "64-128": 2, "256-4096": 0}`:
    /// both ends belong to a range, and what lies between two is as the one below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_speculative_tokens_per_batch_size: Option<BTreeMap<String, u32>>,
    /// How many drafts are accepted; what is published for the method and the model unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<DraftAcceptance>,
}

/// Who drafts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DraftMethod(
    /// Its place in [`Method::NAMES`].
    usize,
);

impl DraftMethod {
    /// Its name.
    pub fn name(self) -> &'static str {
        Method::NAMES[self.0]
    }
}

impl<'de> Deserialize<'de> for DraftMethod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = DraftMethod;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "one of {}", Method::NAMES.map(|name| format!("`{name}`")).join(", "))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<DraftMethod, E> {
                if let Some(place) = Method::NAMES.iter().position(|name| *name == text) {
                    return Ok(DraftMethod(place));
                }
                let near = match nearest(text, Method::NAMES) {
                    Some(name) => format!("did you mean `{name}`? "),
                    None => String::new(),
                };
                let given = quoted(text);
                Err(E::custom(format!("unknown method `{given}`\nhelp: {near}{SPECULATIVE_FORMS}")))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for DraftMethod {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl JsonSchema for DraftMethod {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DraftMethod".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "enum": Method::NAMES})
    }
}

/// How many drafts are accepted; exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DraftAcceptance {
    /// The chance of every draft, given that those before it in its step were accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// The chance of each draft by its place in a step, given that those before it were accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_position: Option<Vec<f64>>,
    /// Mean tokens a step, the model's own ("bonus") token included: from 1 to one more than are
    /// drafted. With the least variance, as vLLM's synthetic acceptance has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<f64>,
    /// One of the other forms for each class of the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_class: Option<BTreeMap<String, DraftAcceptance>>,
    /// A file of recorded rounds: a line for each request, `{"accepted": [2, 0, 3]}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// A published one: a name of `metron-sim list acceptance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
}

impl<'de> Deserialize<'de> for DraftAcceptance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = DraftAcceptance;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map such as `{rate: 0.7}`, `{length: 2.4}` or `{preset: name}`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DraftAcceptance, A::Error> {
                let mut given = DraftAcceptance::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "rate" => given.rate = Some(map.next_value()?),
                        "by_position" => given.by_position = Some(map.next_value()?),
                        "length" => given.length = Some(map.next_value()?),
                        "by_class" => given.by_class = Some(map.next_value()?),
                        "trace" => given.trace = Some(map.next_value()?),
                        "preset" => given.preset = Some(map.next_value()?),
                        _ => {
                            let key = quoted(&key);
                            return Err(de::Error::custom(format!(
                                "unknown form of acceptance `{key}`\nhelp: {SPECULATIVE_FORMS}"
                            )));
                        }
                    }
                }
                Ok(given)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
