//! The list of schedulers. A new policy is one file and one line here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::draws::{Draws, Scale};
use super::facts::Facts;
use super::{EngineInfo, Scheduler};

/// A policy's parameters, under the real system's names and with its real defaults.
pub trait Parameters: Default + Clone {
    /// The system whose rules these are, with the version they were read from.
    const SYSTEM: &'static str;
    /// What it does, in one line.
    const SUMMARY: &'static str;
    /// What the likeness to the real system rests on.
    const EVIDENCE: Evidence;

    /// What it has of what not every system has.
    const FEATURES: &'static [Feature] = &[];

    /// What is wrong with these values; empty when nothing is.
    fn problems(&self, engine: &EngineInfo) -> Vec<Problem>;

    /// The parameters that cannot have an effect beside the others in this setting, whatever their
    /// value, so that nobody who gives one waits for its effect.
    fn idle(&self, _setting: &Setting) -> Vec<Idle> {
        Vec::new()
    }

    /// The same parameters with defaults that depend on the engine filled in.
    fn resolved(&self, _engine: &EngineInfo) -> Self {
        self.clone()
    }

    /// Random values for tests: every parameter away from its default now and then.
    fn draw(draws: &mut Draws<'_>) -> Self;

    /// The policy for one replica. Call it only when there are no [`problems`](Self::problems).
    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler>;

    /// What these parameters bound, and how the policy goes about prompts and memory.
    fn facts(&self, engine: &EngineInfo) -> Facts;
}

/// What a policy's likeness to the real system rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Equal to the system's own code in every step of the golden files.
    Proven,
    /// Written from a description of the system.
    Modelled,
}

/// What a system has and another may lack: two of them are not compared across it without a word.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// KV blocks are kept and found again by content.
    PrefixCaching,
    /// A step is planned while the one before runs.
    AsyncScheduling,
    /// Requests have priorities.
    Priorities,
    /// The declared `max_tokens` of a request is looked at.
    DeclaredLengths,
}

/// What a policy's parameters may depend on besides each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The engine.
    pub engine: EngineInfo,
    /// Whether two prompts begin with the same whole KV block.
    pub shares_prefixes: bool,
    /// Whether requests differ in priority.
    pub priorities_differ: bool,
    /// Tokens of the longest prompt with its answer, where they are known.
    pub longest_request: Option<u32>,
}

/// A parameter that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Its name.
    pub parameter: &'static str,
    /// Why.
    pub why: String,
}

impl Idle {
    /// Collects a parameter that is idle `when`, with the reason.
    pub fn when(idle: bool, parameter: &'static str, why: &str) -> Option<Idle> {
        idle.then(|| Idle { parameter, why: why.to_owned() })
    }

    /// The watermark, where its share of the KV blocks is less than one of them.
    pub fn watermark(watermark: f64, engine: &EngineInfo) -> Option<Idle> {
        let blocks = engine.kv_blocks;
        let none = watermark > 0.0 && ((watermark * f64::from(blocks)) as u32) == 0;
        none.then(|| Idle {
            parameter: "watermark",
            why: format!("it is less than one of {blocks} KV blocks"),
        })
    }
}

/// A parameter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The parameter's name.
    pub parameter: &'static str,
    /// What was expected of it.
    pub expected: String,
}

impl Problem {
    /// Collects a problem when `wrong`.
    pub fn when(wrong: bool, parameter: &'static str, expected: &str) -> Option<Problem> {
        wrong.then(|| Problem { parameter, expected: expected.to_owned() })
    }
}

macro_rules! schedulers {
    ($($name:literal => $variant:ident($params:path),)+) => {
        /// A scheduler and its parameters, as in `sarathi: {chunk_size: 512}`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum SchedulerConfig {
            $(
                #[doc = concat!("`", $name, "`")]
                #[serde(rename = $name)]
                $variant($params),
            )+
        }

        impl SchedulerConfig {
            /// Every registered name.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The scheduler of this name with its defaults.
            pub fn by_name(name: &str) -> Option<SchedulerConfig> {
                match name {
                    $($name => Some(SchedulerConfig::$variant(Default::default())),)+
                    _ => None,
                }
            }

            /// Its registered name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(SchedulerConfig::$variant(_) => $name,)+
                }
            }

            /// The system that it models, and the version.
            pub fn system(&self) -> &'static str {
                match self {
                    $(SchedulerConfig::$variant(p) => system_of(p),)+
                }
            }

            /// What it does, in one line.
            pub fn summary(&self) -> &'static str {
                match self {
                    $(SchedulerConfig::$variant(p) => summary_of(p),)+
                }
            }

            /// What its likeness to the real system rests on.
            pub fn evidence(&self) -> Evidence {
                match self {
                    $(SchedulerConfig::$variant(p) => evidence_of(p),)+
                }
            }

            /// What is wrong with its parameters for this engine.
            pub fn problems(&self, engine: &EngineInfo) -> Vec<Problem> {
                match self {
                    $(SchedulerConfig::$variant(p) => p.problems(engine),)+
                }
            }

            /// Whether it has a feature, used or not.
            pub fn has(&self, feature: Feature) -> bool {
                match self {
                    $(SchedulerConfig::$variant(p) => features_of(p).contains(&feature),)+
                }
            }

            /// Parameters that have no effect; see [`Parameters::idle`].
            pub fn idle(&self, setting: &Setting) -> Vec<Idle> {
                match self {
                    $(SchedulerConfig::$variant(p) => p.idle(setting),)+
                }
            }

            /// The same with defaults that depend on the engine filled in.
            pub fn resolved(&self, engine: &EngineInfo) -> SchedulerConfig {
                match self {
                    $(SchedulerConfig::$variant(p) => {
                        SchedulerConfig::$variant(p.resolved(engine))
                    })+
                }
            }

            /// The scheduler of this name with random parameters, for tests.
            pub fn draw(name: &str, draws: &mut Draws<'_>) -> Option<SchedulerConfig> {
                match name {
                    $($name => Some(SchedulerConfig::$variant(Parameters::draw(draws))),)+
                    _ => None,
                }
            }

            /// The policy for one replica.
            pub fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
                match self {
                    $(SchedulerConfig::$variant(p) => p.build(engine),)+
                }
            }

            /// What its parameters bound, and how it goes about prompts and memory.
            pub fn facts(&self, engine: &EngineInfo) -> Facts {
                match self {
                    $(SchedulerConfig::$variant(p) => p.facts(engine),)+
                }
            }

            /// Its parameters as a JSON object.
            pub fn parameters(&self) -> serde_json::Value {
                match self {
                    $(SchedulerConfig::$variant(p) => {
                        serde_json::to_value(p).expect("parameters are plain data")
                    })+
                }
            }
        }
    };
}

fn system_of<P: Parameters>(_: &P) -> &'static str {
    P::SYSTEM
}

fn summary_of<P: Parameters>(_: &P) -> &'static str {
    P::SUMMARY
}

fn features_of<P: Parameters>(_: &P) -> &'static [Feature] {
    P::FEATURES
}

fn evidence_of<P: Parameters>(_: &P) -> Evidence {
    P::EVIDENCE
}

schedulers! {
    "vllm-v1" => VllmV1(super::vllm_v1::VllmV1Params),
    "vllm-v0" => VllmV0(super::vllm_v0::VllmV0Params),
    "vllm-v0-chunked" => VllmV0Chunked(super::vllm_v0_chunked::VllmV0ChunkedParams),
    "sarathi" => Sarathi(super::sarathi::SarathiParams),
    "orca" => Orca(super::orca::OrcaParams),
    "faster-transformer" => FasterTransformer(super::faster_transformer::FasterTransformerParams),
    "nano-vllm" => NanoVllm(super::nano_vllm::NanoVllmParams),
    "lightllm" => LightLlm(super::lightllm::LightLlmParams),
    "sglang" => SgLang(super::sglang::SgLangParams),
    "tensorrt-llm" => TensorRtLlm(super::tensorrt_llm::TensorRtLlmParams),
    "llama-cpp" => LlamaCpp(super::llama_cpp::LlamaCppParams),
    "tgi" => Tgi(super::tgi::TgiParams),
    "splitfuse" => SplitFuse(super::splitfuse::SplitFuseParams),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::QueueOrder;

    /// What a policy says of itself is what the engine is told.
    #[test]
    fn features_are_those_of_the_policy() {
        let engine = EngineInfo {
            kv_block_tokens: 16,
            kv_blocks: 1000,
            max_model_len: 4096,
            prefix_caching: true,
            large_gpu: false,
        };
        for name in SchedulerConfig::NAMES {
            let config = SchedulerConfig::by_name(name).expect("registered");
            let needs = config.build(&engine).needs();
            assert_eq!(config.has(Feature::PrefixCaching), needs.cache.is_some(), "{name}");
            assert_eq!(config.has(Feature::AsyncScheduling), needs.plans_ahead, "{name}");
            let given = serde_json::json!({ *name: {"policy": "priority"} });
            let by_priority = serde_json::from_value::<SchedulerConfig>(given).ok();
            let sorts =
                by_priority.is_some_and(|c| c.build(&engine).needs().queue == QueueOrder::Priority);
            assert_eq!(config.has(Feature::Priorities), sorts, "{name}");
        }
    }
}
