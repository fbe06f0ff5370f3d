//! How requests are spread over replicas.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserializer, SeqAccess};
use serde::{Deserialize, Serialize};

use super::text_or_map::{InPlaceOfText, TextOr};

/// A router's name, or replicas for each class.
pub type RouterRef = TextOr<ClassRouter>;

/// Each class of requests has replicas of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassRouter {
    /// The replicas of a class: a pool's name, or their numbers from 0 on. Classes may share
    /// replicas; a class that is not named goes to any replica.
    #[serde(rename = "class-to-pool")]
    pub class_to_pool: BTreeMap<String, ReplicasOfClass>,
    /// How requests are spread over a pool: `round-robin` unless given, or any other router's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

impl InPlaceOfText for ClassRouter {
    const EXPECTING: &'static str = "a router's name such as `least-requests`, or a map such as `{class-to-pool: {chat: [0, 1], batch: [2]}}`";
}

/// The replicas of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ReplicasOfClass {
    /// All of a pool, by its name.
    Pool(String),
    /// By their numbers.
    Numbers(Vec<u32>),
}

impl<'de> Deserialize<'de> for ReplicasOfClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = ReplicasOfClass;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of replicas such as `[0, 1]`, or the name of a pool")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<ReplicasOfClass, E> {
                Ok(ReplicasOfClass::Pool(name.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ReplicasOfClass, A::Error> {
                let numbers = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(ReplicasOfClass::Numbers(numbers))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for ReplicasOfClass {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ReplicasOfClass".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let numbers = generator.subschema_for::<Vec<u32>>();
        json_schema!({"anyOf": [{"type": "string"}, numbers]})
    }
}
