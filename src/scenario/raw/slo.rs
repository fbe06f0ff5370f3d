//! The promise to users.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IntoDeserializer, MapAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::Duration;

/// The promise to users. `ttft` and `tbt` are deadlines of the fluidity-index and bind only
/// through `fluidity`; `bounds` are terms of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{tbt: 25ms}`")]
pub struct Slo {
    /// Deadline of the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft: Option<Ttft>,
    /// Deadline of each later token; 25ms unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tbt: Option<Duration>,
    /// How smooth, and for how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fluidity: Option<Fluidity>,
    /// Upper bounds on latencies, terms besides fluidity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
}

/// What a user is promised, in one line, in place of an `slo`: a request keeps it when its first token
/// comes within `ttft` and its fluidity-index, with deadlines of `ttft` and then of `1 / tokens_per_s`,
/// reaches `index`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{ttft: 1s, tokens_per_s: 30}`")]
pub struct Promise {
    /// The first token comes within this time.
    pub ttft: Duration,
    /// Then so many tokens a second, at least.
    pub tokens_per_s: f64,
    /// The part of requests that must keep it; 0.99 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The fluidity-index that a request must reach; 0.9 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<f64>,
}

/// How smooth, and for how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{index: 0.9, share: 0.99}`")]
pub struct Fluidity {
    /// A request is fluid when its fluidity-index reaches this; 0.9 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<f64>,
    /// The part of requests that must be fluid; 0.99 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// Upper bounds on latencies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{ttft: {p99: 500ms}}`")]
pub struct Bounds {
    /// Time to first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft: Option<StatBounds>,
    /// Time between tokens, pooled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tbt: Option<StatBounds>,
    /// Time per output token, a request's mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot: Option<StatBounds>,
    /// From arrival to the last token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e: Option<StatBounds>,
}

/// Upper bounds by statistic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{p99: 500ms}`")]
pub struct StatBounds {
    /// Mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Duration>,
    /// Smallest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Duration>,
    /// Median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<Duration>,
    /// 90th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90: Option<Duration>,
    /// 95th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<Duration>,
    /// 99th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<Duration>,
    /// 99.9th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p999: Option<Duration>,
    /// Largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
}

/// Deadline of the first token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ttft {
    /// The same for every request: `500ms`.
    Fixed(Duration),
    /// The prompt's own prefill time plus slack.
    Curve(PrefillCurve),
}

/// The time of an unchunked prefill of the prompt on an idle replica, plus slack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrefillCurve {
    /// Slack for scheduling, such as `300ms`.
    pub prefill_curve_plus: Duration,
    /// A scheduler of the scenario whose own curve holds; otherwise all share one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

impl<'de> Deserialize<'de> for Ttft {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Ttft;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as `500ms`, or `{prefill_curve_plus: 300ms}`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Ttft, E> {
                Duration::deserialize(text.into_deserializer()).map(Ttft::Fixed)
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Ttft, E> {
                Duration::deserialize(n.into_deserializer()).map(Ttft::Fixed)
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Ttft, E> {
                Duration::deserialize(n.into_deserializer()).map(Ttft::Fixed)
            }
            fn visit_f64<E: de::Error>(self, n: f64) -> Result<Ttft, E> {
                Duration::deserialize(n.into_deserializer()).map(Ttft::Fixed)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ttft, A::Error> {
                PrefillCurve::deserialize(MapAccessDeserializer::new(map)).map(Ttft::Curve)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Ttft {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Ttft::Fixed(duration) => duration.serialize(serializer),
            Ttft::Curve(curve) => curve.serialize(serializer),
        }
    }
}

impl JsonSchema for Ttft {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Ttft".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let duration = generator.subschema_for::<Duration>();
        let curve = generator.subschema_for::<PrefillCurve>();
        json_schema!({"anyOf": [duration, curve]})
    }
}
