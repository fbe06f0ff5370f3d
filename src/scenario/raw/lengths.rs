//! How long prompts and outputs are.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Lengths: `prompt` and `output`, or a `table`, or a `file`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a map such as `{prompt: {fixed: 512}, output: {fixed: 128}}` or `{table: chat}`"
)]
pub struct Lengths {
    /// Prompt tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Dist>,
    /// Output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Dist>,
    /// A built-in table: `chat`, `summarisation`, `long-form` or `code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// A CSV file of pairs with a header, used in order and again from its start; relative to the
    /// scenario's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Built-in tables of lengths, made from published traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// ShareGPT conversations.
    Chat,
    /// arXiv summarisation.
    Summarisation,
    /// Long-form writing (BWB).
    LongForm,
    /// Azure's code completion service.
    Code,
}

/// A distribution of whole token counts: one shape, and clamps. Values are rounded to the nearest
/// whole token, at least 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a distribution such as `{fixed: 512}` or `{lognormal: {mean: 1024, sigma: 0.6}}`"
)]
pub struct Dist {
    /// Always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<u32>,
    /// Whole numbers, each as likely as the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uniform: Option<Uniform>,
    /// Lognormal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lognormal: Option<Lognormal>,
    /// Geometric on 1, 2, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub geometric: Option<Geometric>,
    /// The probability of k is proportional to (k - min + 1)^-theta.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zipf: Option<Zipf>,
    /// Tokens by probability, straight lines in between: `{0.5: 200, 0.9: 900}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<Quantiles>,
    /// Smaller values become this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Larger values become this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

/// Whole numbers from `min` to `max`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{min: 100, max: 1000}`")]
pub struct Uniform {
    /// Smallest.
    pub min: u32,
    /// Largest.
    pub max: u32,
}

/// Lognormal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{mean: 1024, sigma: 0.6}`")]
pub struct Lognormal {
    /// Mean of the values.
    pub mean: f64,
    /// Standard deviation of their logarithm.
    pub sigma: f64,
    /// Smaller values become this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Larger values become this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

/// Geometric on 1, 2, ...
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{mean: 256}`")]
pub struct Geometric {
    /// Mean, at least 1.
    pub mean: f64,
    /// Smaller values become this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Larger values become this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

/// Zipf.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{min: 128, max: 4096, theta: 0.6}`")]
pub struct Zipf {
    /// Smallest.
    pub min: u32,
    /// Largest.
    pub max: u32,
    /// Exponent.
    pub theta: f64,
}

/// `(probability, tokens)` in the order of the file, probabilities as written; `min` and `max`
/// clamp.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantiles(pub Vec<(String, f64)>);

impl<'de> Deserialize<'de> for Quantiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Quantiles;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tokens by probability such as `{0.5: 200, 0.9: 900}`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Quantiles, A::Error> {
                let mut points = Vec::new();
                while let Some(point) = map.next_entry()? {
                    points.push(point);
                }
                Ok(Quantiles(points))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl Serialize for Quantiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (probability, tokens) in &self.0 {
            map.serialize_entry(probability, tokens)?;
        }
        map.end()
    }
}

impl JsonSchema for Quantiles {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantiles".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "patternProperties": {r"^([0-9.eE+-]+|min|max)$": {"type": "number"}},
            "additionalProperties": false,
            "minProperties": 1,
        })
    }
}
