//! A scheduler with its parameters, as a scenario names it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, DeserializeSeed, EnumAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::draws::Draws;
use super::facts::Facts;
use super::parameters::{Evidence, Feature, Idle, Problem, Setting};
use super::proofs::Proof;
use super::registry::{BUILT_IN, Given, Policy, names, policies};
use super::{EngineInfo, Scheduler};

/// A scheduler and its parameters, as in `sarathi: {chunk_size: 512}`.
#[derive(Clone)]
pub struct SchedulerConfig {
    policy: &'static Policy,
    parameters: Arc<dyn Given>,
}

impl SchedulerConfig {
    /// Every registered name.
    pub fn names() -> &'static [&'static str] {
        names()
    }

    /// Every registered scheduler with its defaults.
    pub fn all() -> impl Iterator<Item = SchedulerConfig> {
        policies().iter().map(|policy| SchedulerConfig { policy, parameters: (policy.default)() })
    }

    /// Whether every registered scheduler is this crate's.
    pub fn all_built_in() -> bool {
        policies().len() == BUILT_IN.len()
    }

    /// The scheduler of this name with its defaults.
    pub fn by_name(name: &str) -> Option<SchedulerConfig> {
        let policy = policy(name)?;
        Some(SchedulerConfig { policy, parameters: (policy.default)() })
    }

    /// Whether it is this crate's, and not registered by whoever uses it.
    pub fn is_built_in(&self) -> bool {
        policies().iter().take(BUILT_IN.len()).any(|one| one.name == self.policy.name)
    }

    /// The scheduler of this name with random parameters, for tests.
    pub fn draw(name: &str, draws: &mut Draws<'_>) -> Option<SchedulerConfig> {
        let policy = policy(name)?;
        Some(SchedulerConfig { policy, parameters: (policy.draw)(draws) })
    }

    /// Its registered name.
    pub fn name(&self) -> &'static str {
        self.policy.name
    }

    /// The system that it models, and the version.
    pub fn system(&self) -> &'static str {
        self.policy.system
    }

    /// What it does, in one line.
    pub fn summary(&self) -> &'static str {
        self.policy.summary
    }

    /// What its likeness to the real system rests on.
    pub fn evidence(&self) -> Evidence {
        self.policy.evidence
    }

    /// What it is proven by.
    pub fn proofs(&self) -> &'static [Proof] {
        self.policy.proofs
    }

    /// Whether it has a feature, used or not.
    pub fn has(&self, feature: Feature) -> bool {
        self.policy.features.contains(&feature)
    }

    /// Whether its system has a feature on, in the version that the parameters name, where nobody says.
    pub fn on_by_default(&self, feature: Feature) -> bool {
        self.parameters.on_by_default().contains(&feature)
    }

    /// What is wrong with its parameters for this engine.
    pub fn problems(&self, engine: &EngineInfo) -> Vec<Problem> {
        self.parameters.problems(engine)
    }

    /// Parameters that have no effect; see [`Parameters::idle`](super::Parameters::idle).
    pub fn idle(&self, setting: &Setting) -> Vec<Idle> {
        self.parameters.idle(setting)
    }

    /// The same with defaults that depend on the engine filled in.
    pub fn resolved(&self, engine: &EngineInfo) -> SchedulerConfig {
        SchedulerConfig { policy: self.policy, parameters: self.parameters.resolved(engine) }
    }

    /// The policy for one replica.
    pub fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        self.parameters.build(engine)
    }

    /// What its parameters bound, and how it goes about prompts and memory.
    pub fn facts(&self, engine: &EngineInfo) -> Facts {
        self.parameters.facts(engine)
    }

    /// Its parameters as a JSON object.
    pub fn parameters(&self) -> Value {
        self.parameters.json()
    }

    /// All names of its parameters that a scenario may give, other names of one too.
    pub fn parameter_names(&self) -> &'static [&'static str] {
        (self.policy.fields)()
    }
}

fn policy(name: &str) -> Option<&'static Policy> {
    policies().iter().copied().find(|policy| policy.name == name)
}

impl fmt::Debug for SchedulerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.parameters())
    }
}

impl PartialEq for SchedulerConfig {
    fn eq(&self, other: &SchedulerConfig) -> bool {
        self.name() == other.name() && self.parameters() == other.parameters()
    }
}

impl Serialize for SchedulerConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = names().iter().position(|name| *name == self.name()).unwrap_or_default();
        let parameters = self.parameters();
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        serializer.serialize_newtype_variant("SchedulerConfig", place, self.name(), &parameters)
    }
}

impl<'de> Deserialize<'de> for SchedulerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Config;
        impl<'de> Visitor<'de> for Config {
            type Value = SchedulerConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("enum SchedulerConfig")
            }

            fn visit_enum<A: EnumAccess<'de>>(self, choice: A) -> Result<Self::Value, A::Error> {
                let (policy, content) = choice.variant_seed(Name)?;
                let parameters = content.newtype_variant_seed(ParametersOf(policy))?;
                Ok(SchedulerConfig { policy, parameters })
            }
        }
        deserializer.deserialize_enum("SchedulerConfig", names(), Config)
    }
}

/// Reads a registered name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = &'static Policy;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = &'static Policy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variant identifier")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        policy(name).ok_or_else(|| E::unknown_variant(name, names()))
    }
}

/// Reads parameters of this policy.
struct ParametersOf(&'static Policy);

impl<'de> DeserializeSeed<'de> for ParametersOf {
    type Value = Arc<dyn Given>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        let mut from = <dyn erased_serde::Deserializer<'_>>::erase(from);
        (self.0.read)(&mut from).map_err(de::Error::custom)
    }
}

impl JsonSchema for SchedulerConfig {
    fn schema_name() -> Cow<'static, str> {
        "SchedulerConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let choices: Vec<Value> = policies()
            .iter()
            .map(|policy| {
                json!({
                    "type": "object",
                    "properties": { policy.name: (policy.schema)(generator) },
                    "required": [policy.name],
                    "additionalProperties": false,
                    "description": format!("`{}`", policy.name),
                })
            })
            .collect();
        json_schema!({ "oneOf": choices })
    }
}
