//! One entry of `schedulers`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapDeserializer;
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, VariantAccess, Visitor,
};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::scheduler::SchedulerConfig;

/// A scheduler to run: `sarathi`, `sarathi: {}` or `sarathi: {chunk_size: 512}`, and beside the
/// name, where wanted, a `label` for results.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulerEntry {
    /// The scheduler and its parameters.
    pub config: SchedulerConfig,
    /// Its name in results; name and parameters given, unless given.
    pub label: Option<String>,
}

impl<'de> Deserialize<'de> for SchedulerEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = SchedulerEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scheduler such as `sarathi` or `sarathi: {chunk_size: 512}`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<SchedulerEntry, E> {
                // A name alone: an empty map stands for its parameters.
                let choice = Choice { name: name.to_owned(), map: None::<Empty<E>> };
                let config = SchedulerConfig::deserialize(choice)?;
                Ok(SchedulerEntry { config, label: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SchedulerEntry, A::Error> {
                let (mut config, mut label) = (None::<SchedulerConfig>, None);
                while let Some(key) = map.next_key::<String>()? {
                    if key == "label" {
                        label = Some(map.next_value()?);
                        continue;
                    }
                    if let Some(first) = &config {
                        return Err(de::Error::custom(format!(
                            "expected one scheduler, found both `{}` and `{key}`\n\
                             help: each scheduler is an element of the list, with a `-` of its own",
                            first.name()
                        )));
                    }
                    let choice = Choice { name: key, map: Some(&mut map) };
                    config = Some(SchedulerConfig::deserialize(choice)?);
                }
                let config = config.ok_or_else(|| de::Error::missing_field(""))?;
                Ok(SchedulerEntry { config, label })
            }
        }
        deserializer.deserialize_any(EntryVisitor)
    }
}

type Empty<E> = MapDeserializer<'static, std::iter::Empty<(&'static str, &'static str)>, E>;

/// A choice whose name was read already, and whose content is the map's next value (an empty map
/// where there is none).
struct Choice<A> {
    name: String,
    map: Option<A>,
}

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Choice<A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl<'de, A: MapAccess<'de>> EnumAccess<'de> for Choice<A> {
    type Error = A::Error;
    type Variant = Choice<A>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        mut self,
        seed: V,
    ) -> Result<(V::Value, Choice<A>), A::Error> {
        let name = std::mem::take(&mut self.name);
        let name: de::value::StringDeserializer<A::Error> = name.into_deserializer();
        seed.deserialize(name).map(|value| (value, self))
    }
}

impl<'de, A: MapAccess<'de>> VariantAccess<'de> for Choice<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        Err(de::Error::custom("expected a scheduler's parameters"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        match self.map {
            Some(mut map) => map.next_value_seed(seed),
            None => seed.deserialize(Empty::<A::Error>::new(std::iter::empty())),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, A::Error> {
        Err(de::Error::custom("expected a scheduler's parameters"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, A::Error> {
        Err(de::Error::custom("expected a scheduler's parameters"))
    }
}

impl Serialize for SchedulerEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.config.name(), &self.config.parameters())?;
        if let Some(label) = &self.label {
            map.serialize_entry("label", label)?;
        }
        map.end()
    }
}

impl JsonSchema for SchedulerEntry {
    fn schema_name() -> Cow<'static, str> {
        "SchedulerEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // The registry's schema is a list of `{name: {...}}`. Here a name alone will do, nothing
        // may stand for the parameters, and a label beside them.
        let mut config = SchedulerConfig::json_schema(generator);
        let choices = match config.remove("oneOf") {
            Some(Json::Array(choices)) => choices,
            _ => Vec::new(),
        };
        let mut alternatives = vec![json!({"type": "string", "enum": SchedulerConfig::names()})];
        for mut choice in choices {
            if let Some(properties) = choice.get_mut("properties").and_then(Json::as_object_mut) {
                for (name, parameters) in properties.iter_mut() {
                    let mut given = parameters.take();
                    add_aliases(generator, name, &mut given);
                    *parameters = json!({"anyOf": [given, {"type": "null"}]});
                }
                let label = json!({"type": "string", "description": "Its name in results."});
                properties.insert("label".to_owned(), label);
            }
            alternatives.push(choice);
        }
        json_schema!({
            "description": "A scheduler to run: `sarathi`, or `sarathi: {chunk_size: 512}`, and beside it, where wanted, a `label`.",
            "anyOf": alternatives,
        })
    }
}

/// Adds the other names of parameters, which schemars does not know of, to their schema.
fn add_aliases(generator: &mut SchemaGenerator, scheduler: &str, parameters: &mut Json) {
    let reference = parameters.get("$ref").and_then(Json::as_str);
    let definition = reference.and_then(|r| r.rsplit('/').next()).map(str::to_owned);
    let schema = match definition {
        Some(name) => generator.definitions_mut().get_mut(&name),
        None => Some(parameters),
    };
    let Some(Json::Object(properties)) = schema.and_then(|s| s.get_mut("properties")) else {
        return;
    };
    let known = SchedulerConfig::by_name(scheduler);
    for name in known.iter().flat_map(|config| config.parameter_names()) {
        if !properties.contains_key(*name) {
            let description = "Another name of one of these.";
            properties.insert((*name).to_owned(), json!({"description": description}));
        }
    }
}
