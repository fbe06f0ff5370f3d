//! How requests are spread over replicas.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text_or_map::{InPlaceOfText, TextOr};

/// A router's name, or replicas for each class.
pub type RouterRef = TextOr<ClassRouter>;

/// Each class of requests has replicas of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassRouter {
    /// The replicas of a class, by their numbers from 0 on. Pools may share replicas; a class that
    /// is not named goes to any replica.
    #[serde(rename = "class-to-pool")]
    pub class_to_pool: BTreeMap<String, Vec<u32>>,
    /// How requests are spread over a pool: `round-robin` unless given, or any other router's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

impl InPlaceOfText for ClassRouter {
    const EXPECTING: &'static str = "a router's name such as `least-requests`, or a map such as `{class-to-pool: {chat: [0, 1], batch: [2]}}`";
}
