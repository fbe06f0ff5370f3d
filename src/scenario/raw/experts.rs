//! The way to experts that are spread over GPUs.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess};
use serde::{Deserialize, Serialize, Serializer};

use crate::cost::ExpertExchange;

/// How tokens get to the experts of a mixture, and how evenly they choose them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{imbalance: 1.3}`")]
pub struct ExpertTraffic {
    /// How data-parallel ranks that hold whole experts exchange tokens: `allgather_reducescatter`
    /// unless given, which is vLLM's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExpertExchange>,
    /// How evenly tokens choose experts: `{cv: 0.84}` unless given, `{cv: 0}` for models of fewer
    /// than 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imbalance: Option<Imbalance>,
}

impl ExpertTraffic {
    /// This, and where it is silent, `otherwise`.
    #[must_use]
    pub fn or(self, otherwise: ExpertTraffic) -> ExpertTraffic {
        ExpertTraffic {
            exchange: self.exchange.or(otherwise.exchange),
            imbalance: self.imbalance.or(otherwise.imbalance),
        }
    }
}

/// How unevenly tokens choose experts.
#[derive(Clone, Debug, PartialEq)]
pub enum Imbalance {
    /// The load of the busiest rank as a multiple of the mean.
    Ratio(f64),
    /// By a law or by what was counted.
    Shares(ExpertShares),
}

/// The shares of experts; exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a map such as `{cv: 0.84}`, `{zipf: 0.5}` or `{file: loads.json}`"
)]
pub struct ExpertShares {
    /// The standard deviation of shares over their mean, with popular experts on any rank; 0 is even.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cv: Option<f64>,
    /// Shares that fall with this power of an expert's rank; 0 is even.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zipf: Option<f64>,
    /// A file with a number for each expert, a JSON list or one a line: how often it was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl<'de> Deserialize<'de> for Imbalance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Imbalance;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "the busiest rank's load over the mean, such as 1.3, or a map such as \
                     `{cv: 0.84}`, `{zipf: 0.5}` or `{file: loads.json}`",
                )
            }
            fn visit_f64<E: de::Error>(self, ratio: f64) -> Result<Imbalance, E> {
                Ok(Imbalance::Ratio(ratio))
            }
            fn visit_u64<E: de::Error>(self, ratio: u64) -> Result<Imbalance, E> {
                Ok(Imbalance::Ratio(ratio as f64))
            }
            fn visit_i64<E: de::Error>(self, ratio: i64) -> Result<Imbalance, E> {
                Ok(Imbalance::Ratio(ratio as f64))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Imbalance, A::Error> {
                ExpertShares::deserialize(MapAccessDeserializer::new(map)).map(Imbalance::Shares)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Imbalance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Imbalance::Ratio(ratio) => serializer.serialize_f64(*ratio),
            Imbalance::Shares(shares) => shares.serialize(serializer),
        }
    }
}

impl JsonSchema for Imbalance {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Imbalance".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<ExpertShares>();
        json_schema!({"anyOf": [{"type": "number", "minimum": 1}, map]})
    }
}
