//! The policies that are known by a name: the built-in ones, and those of a program around the
//! library. A new built-in policy is one file and one line here.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use super::draws::Draws;
use super::facts::Facts;
use super::fields::fields_of;
use super::parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
use super::proofs::Proof;
use super::{EngineInfo, Scheduler};

pub(super) static BUILT_IN: [Policy; 20] = [
    Policy::of::<super::VllmV1Params>("vllm-v1"),
    Policy::of::<super::VllmV0Params>("vllm-v0"),
    Policy::of::<super::VllmV0ChunkedParams>("vllm-v0-chunked"),
    Policy::of::<super::SarathiParams>("sarathi"),
    Policy::of::<super::OrcaParams>("orca"),
    Policy::of::<super::FasterTransformerParams>("faster-transformer"),
    Policy::of::<super::NanoVllmParams>("nano-vllm"),
    Policy::of::<super::LightLlmParams>("lightllm"),
    Policy::of::<super::SgLangParams>("sglang"),
    Policy::of::<super::TensorRtLlmParams>("tensorrt-llm"),
    Policy::of::<super::LlamaCppParams>("llama-cpp"),
    Policy::of::<super::TgiParams>("tgi"),
    Policy::of::<super::SplitFuseParams>("splitfuse"),
    Policy::of::<super::FluidParams>("fluid"),
    Policy::of::<super::QoServeParams>("qoserve"),
    Policy::of::<super::EdfParams>("edf"),
    Policy::of::<super::SrptParams>("srpt"),
    Policy::of::<super::MedhaParams>("medha"),
    Policy::of::<super::SlaiParams>("slai"),
    Policy::of::<super::VtcParams>("vtc"),
];

/// A name under which a policy cannot be known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another policy has it.
    #[error("there is a scheduler named `{0}` already")]
    Taken(String),
    /// It could not be written in a scenario like the others, or stands for something else there.
    #[error(
        "`{0}` cannot name a scheduler: expected lower-case letters, digits and dashes, a letter \
         first, and not `label`"
    )]
    NoName(String),
    /// The name alone must do in a scenario.
    #[error("`{name}` needs a default for each parameter (`#[serde(default)]`): {why}")]
    NoDefaults {
        /// The name.
        name: String,
        /// What could not be read from no parameters at all.
        why: String,
    },
}

/// Makes a policy known by a name to everything in this process that reads a scenario or lists
/// schedulers: call it before any of that, first thing in `main`.
///
/// # Errors
/// When the name is taken or is none, or when a parameter has no default.
pub fn register<P: Parameters>(name: &str) -> Result<(), RegisterError> {
    let owned = || name.to_owned();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if name == "label" || !begins || !name.chars().all(plain) {
        return Err(RegisterError::NoName(owned()));
    }
    if let Err(error) = P::deserialize(Value::Object(Default::default())) {
        return Err(RegisterError::NoDefaults { name: owned(), why: error.to_string() });
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if known.names.contains(&name) {
        return Err(RegisterError::Taken(owned()));
    }
    // Policies last as long as the process, so names and tables are handed out without counting.
    let policy: &'static Policy = Box::leak(Box::new(Policy::of::<P>(owned().leak())));
    *known = Known::of(known.policies.iter().copied().chain([policy]).collect());
    Ok(())
}

/// Every policy, in the order in which they are listed.
#[derive(Clone, Copy)]
struct Known {
    policies: &'static [&'static Policy],
    names: &'static [&'static str],
}

impl Known {
    fn of(policies: Vec<&'static Policy>) -> Known {
        let names: Vec<&'static str> = policies.iter().map(|policy| policy.name).collect();
        Known { policies: policies.leak(), names: names.leak() }
    }
}

static KNOWN: LazyLock<RwLock<Known>> =
    LazyLock::new(|| RwLock::new(Known::of(BUILT_IN.iter().collect())));

fn known() -> Known {
    *KNOWN.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn names() -> &'static [&'static str] {
    known().names
}

pub(super) fn policies() -> &'static [&'static Policy] {
    known().policies
}

/// Parameters of a policy whose type is not known here.
pub(super) trait Given: Send + Sync {
    fn on_by_default(&self) -> &'static [Feature];
    fn problems(&self, engine: &EngineInfo) -> Vec<Problem>;
    fn idle(&self, setting: &Setting) -> Vec<Idle>;
    fn resolved(&self, engine: &EngineInfo) -> Arc<dyn Given>;
    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler>;
    fn facts(&self, engine: &EngineInfo) -> Facts;
    fn json(&self) -> Value;
}

impl<P: Parameters> Given for P {
    fn on_by_default(&self) -> &'static [Feature] {
        Parameters::on_by_default(self)
    }

    fn problems(&self, engine: &EngineInfo) -> Vec<Problem> {
        Parameters::problems(self, engine)
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        Parameters::idle(self, setting)
    }

    fn resolved(&self, engine: &EngineInfo) -> Arc<dyn Given> {
        Arc::new(Parameters::resolved(self, engine))
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        Parameters::build(self, engine)
    }

    fn facts(&self, engine: &EngineInfo) -> Facts {
        Parameters::facts(self, engine)
    }

    fn json(&self) -> Value {
        serde_json::to_value(self).expect("parameters are plain data")
    }
}

/// Reads parameters from any format.
type Read = fn(&mut dyn erased_serde::Deserializer<'_>) -> erased_serde::Result<Arc<dyn Given>>;

/// What is known of a policy whatever its parameters, and how they are made.
pub(super) struct Policy {
    pub name: &'static str,
    pub system: &'static str,
    pub summary: &'static str,
    pub evidence: Evidence,
    pub proofs: &'static [Proof],
    pub features: &'static [Feature],
    /// All names of parameters that are read, other names of one too.
    pub fields: fn() -> &'static [&'static str],
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    pub default: fn() -> Arc<dyn Given>,
    pub draw: fn(&mut Draws<'_>) -> Arc<dyn Given>,
    pub read: Read,
}

impl Policy {
    const fn of<P: Parameters>(name: &'static str) -> Policy {
        Policy {
            name,
            system: P::SYSTEM,
            summary: P::SUMMARY,
            evidence: P::EVIDENCE,
            proofs: P::PROOFS,
            features: P::FEATURES,
            fields: fields_of::<P>,
            // A page has the schema as text.
            schema: |generator| match cfg!(target_arch = "wasm32") {
                true => Schema::default(),
                false => generator.subschema_for::<P>(),
            },
            default: || Arc::new(P::default()),
            draw: |draws| Arc::new(P::draw(draws)),
            read: |from| Ok(Arc::new(erased_serde::deserialize::<P>(from)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::QueueOrder;
    use crate::scheduler::{KvGroups, SarathiParams, SchedulerConfig};

    /// What a policy says of itself is what the engine is told.
    #[test]
    fn features_are_those_of_the_policy() {
        let engine = EngineInfo {
            kv_block_tokens: 16,
            kv_blocks: 1000,
            max_model_len: 4096,
            prefix_caching: true,
            kv_groups: KvGroups::ONE,
            large_gpu: false,
            gpu_memory_gib: None,
            speculative: None,
        };
        for name in SchedulerConfig::names() {
            let config = SchedulerConfig::by_name(name).expect("registered");
            let needs = config.build(&engine).needs();
            assert_eq!(config.has(Feature::PrefixCaching), needs.can_cache(), "{name}");
            assert_eq!(config.has(Feature::AsyncScheduling), needs.plans_ahead, "{name}");
            let given = [
                serde_json::json!({ *name: {"policy": "priority"} }),
                serde_json::json!({ *name: {"enable_priority_scheduling": true} }),
            ];
            let by_priority = |c: SchedulerConfig| {
                let needs = c.build(&engine).needs();
                needs.queue == QueueOrder::Priority || needs.priorities
            };
            let mut given = given.into_iter().filter_map(|c| serde_json::from_value(c).ok());
            let sorts = given.any(by_priority);
            assert_eq!(config.has(Feature::Priorities), sorts, "{name}");
        }
    }

    #[test]
    fn a_name_is_taken_once_and_written_like_the_others() {
        let taken = Err(RegisterError::Taken("orca".to_owned()));
        assert_eq!(register::<SarathiParams>("orca"), taken);
        for name in ["label", "", "My-policy", "my policy", "a.b", "1st", "-x"] {
            let none = Err(RegisterError::NoName(name.to_owned()));
            assert_eq!(register::<SarathiParams>(name), none, "{name}");
        }
    }
}
