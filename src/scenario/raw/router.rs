//! How requests are spread over replicas.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserializer, SeqAccess};
use serde::{Deserialize, Serialize};

use super::cache_routers::{
    DynamoKvRouter, LlmDRouter, ProductionStackRouter, RayPrefixRouter, SglangCacheAwareRouter,
};
use super::text_or_map::{InPlaceOfText, TextOr};

/// A router's name, or a map: one with parameters, or replicas for each class.
pub type RouterRef = TextOr<RouterMap>;

/// A router with what it needs beyond its name: one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouterMap {
    /// Each class of requests has replicas of its own: a pool's name, or their numbers from 0 on.
    /// Classes may share replicas; a class that is not named goes to any replica.
    #[serde(rename = "class-to-pool", skip_serializing_if = "Option::is_none")]
    pub class_to_pool: Option<BTreeMap<String, ReplicasOfClass>>,
    /// How requests are spread over the replicas of a class: `round-robin` unless given, or any
    /// other router but `class-to-pool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<WithinRef>,
    /// The replicas are the engines of one vLLM deployment with internal load balancing.
    #[serde(rename = "vllm-dp", skip_serializing_if = "Option::is_none")]
    pub vllm_dp: Option<VllmDpRouter>,
    /// SGLang's cache-aware router: where the longest beginning of a prompt went, unless requests
    /// pile up there.
    #[serde(rename = "sglang-cache-aware", skip_serializing_if = "Option::is_none")]
    pub sglang_cache_aware: Option<SglangCacheAwareRouter>,
    /// Dynamo's KV router: where a request costs the fewest blocks.
    #[serde(rename = "dynamo-kv", skip_serializing_if = "Option::is_none")]
    pub dynamo_kv: Option<DynamoKvRouter>,
    /// llm-d's router: where the weighted sum of scores is highest.
    #[serde(rename = "llm-d", skip_serializing_if = "Option::is_none")]
    pub llm_d: Option<LlmDRouter>,
    /// Ray Serve's prefix router: where the longest beginning of a prompt went.
    #[serde(rename = "ray-prefix", skip_serializing_if = "Option::is_none")]
    pub ray_prefix: Option<RayPrefixRouter>,
    /// The router of vLLM's production stack.
    #[serde(rename = "production-stack", skip_serializing_if = "Option::is_none")]
    pub production_stack: Option<ProductionStackRouter>,
}

impl InPlaceOfText for RouterMap {
    const EXPECTING: &'static str = "a router's name such as `least-requests`, or a map such as `{class-to-pool: {chat: [0, 1], batch: [2]}}`";
}

/// The name of the router over the replicas of a class, or a map with its parameters.
pub type WithinRef = TextOr<WithinMap>;

/// A router over the replicas of a class, with parameters: one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithinMap {
    /// The replicas of each class are the engines of a vLLM deployment.
    #[serde(rename = "vllm-dp", skip_serializing_if = "Option::is_none")]
    pub vllm_dp: Option<VllmDpRouter>,
    /// SGLang's cache-aware router: where the longest beginning of a prompt went, unless requests
    /// pile up there.
    #[serde(rename = "sglang-cache-aware", skip_serializing_if = "Option::is_none")]
    pub sglang_cache_aware: Option<SglangCacheAwareRouter>,
    /// Dynamo's KV router: where a request costs the fewest blocks.
    #[serde(rename = "dynamo-kv", skip_serializing_if = "Option::is_none")]
    pub dynamo_kv: Option<DynamoKvRouter>,
    /// llm-d's router: where the weighted sum of scores is highest.
    #[serde(rename = "llm-d", skip_serializing_if = "Option::is_none")]
    pub llm_d: Option<LlmDRouter>,
    /// Ray Serve's prefix router: where the longest beginning of a prompt went.
    #[serde(rename = "ray-prefix", skip_serializing_if = "Option::is_none")]
    pub ray_prefix: Option<RayPrefixRouter>,
    /// The router of vLLM's production stack.
    #[serde(rename = "production-stack", skip_serializing_if = "Option::is_none")]
    pub production_stack: Option<ProductionStackRouter>,
}

impl WithinMap {
    /// The same as a router over all replicas.
    pub fn over_all(self) -> RouterMap {
        RouterMap {
            class_to_pool: None,
            within: None,
            vllm_dp: self.vllm_dp,
            sglang_cache_aware: self.sglang_cache_aware,
            dynamo_kv: self.dynamo_kv,
            llm_d: self.llm_d,
            ray_prefix: self.ray_prefix,
            production_stack: self.production_stack,
        }
    }
}

impl RouterMap {
    /// The names of the routers that it gives.
    pub fn names(&self) -> Vec<String> {
        let given = [
            ("class-to-pool", self.class_to_pool.is_some()),
            ("vllm-dp", self.vllm_dp.is_some()),
            ("sglang-cache-aware", self.sglang_cache_aware.is_some()),
            ("dynamo-kv", self.dynamo_kv.is_some()),
            ("llm-d", self.llm_d.is_some()),
            ("ray-prefix", self.ray_prefix.is_some()),
            ("production-stack", self.production_stack.is_some()),
        ];
        given.iter().filter(|(_, given)| *given).map(|(name, _)| (*name).to_owned()).collect()
    }

    /// The same over the replicas of a class.
    pub fn within_class(self) -> WithinMap {
        WithinMap {
            vllm_dp: self.vllm_dp,
            sglang_cache_aware: self.sglang_cache_aware,
            dynamo_kv: self.dynamo_kv,
            llm_d: self.llm_d,
            ray_prefix: self.ray_prefix,
            production_stack: self.production_stack,
        }
    }
}

impl InPlaceOfText for WithinMap {
    const EXPECTING: &'static str =
        "a router's name such as `least-requests`, or a map such as `{vllm-dp: {clients: 1}}`";
}

/// vLLM's internal load balancing between data-parallel engines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VllmDpRouter {
    /// API servers, each of which decides by itself; a request reaches any of them. As many as
    /// there are replicas unless given, as vLLM starts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,
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
