//! The list of schedulers. A new policy is one file and one line here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

    /// What is wrong with these values; empty when nothing is.
    fn problems(&self, engine: &EngineInfo) -> Vec<Problem>;

    /// The same parameters with defaults that depend on the engine filled in.
    fn resolved(&self, _engine: &EngineInfo) -> Self {
        self.clone()
    }

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

            /// The same with defaults that depend on the engine filled in.
            pub fn resolved(&self, engine: &EngineInfo) -> SchedulerConfig {
                match self {
                    $(SchedulerConfig::$variant(p) => {
                        SchedulerConfig::$variant(p.resolved(engine))
                    })+
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
