//! Stand-in for the scheduler registry until it lands: the same shape, a few policies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! policies {
    ($($name:literal => $variant:ident($params:ident { $($(#[$attr:meta])* $field:ident: $type:ty = $default:expr),* $(,)? }),)+) => {
        /// A scheduler and its parameters.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum SchedulerConfig {
            $(
                #[doc = concat!("`", $name, "`")]
                #[serde(rename = $name)]
                $variant($params),
            )+
        }
        $(
            #[doc = concat!("Parameters of `", $name, "`.")]
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
            #[serde(deny_unknown_fields, default)]
            pub struct $params { $(#[doc = stringify!($field)] $(#[$attr])* pub $field: $type,)* }
            impl Default for $params {
                fn default() -> Self {
                    $params { $($field: $default,)* }
                }
            }
        )+
        impl SchedulerConfig {
            /// Every name.
            pub const NAMES: &'static [&'static str] = &[$($name),+];
            /// Its name.
            pub fn name(&self) -> &'static str {
                match self { $(SchedulerConfig::$variant(_) => $name,)+ }
            }
            /// Its parameters as a JSON object.
            pub fn parameters(&self) -> serde_json::Value {
                match self {
                    $(SchedulerConfig::$variant(p) => serde_json::to_value(p).expect("parameters are plain data"),)+
                }
            }
        }
    };
}

policies! {
    "vllm-v1" => VllmV1(VllmV1Params { max_num_batched_tokens: u32 = 8192, max_num_seqs: u32 = 1024, long_prefill_token_threshold: u32 = 0 }),
    "vllm-v0" => VllmV0(VllmV0Params { max_num_seqs: u32 = 256, watermark: f64 = 0.01 }),
    "sarathi" => Sarathi(SarathiParams { #[serde(alias = "chunk_tokens")] chunk_size: u32 = 512, max_num_seqs: u32 = 128, watermark: f64 = 0.01 }),
    "orca" => Orca(OrcaParams { max_num_seqs: u32 = 128 }),
}

/// What a policy is built for.
pub struct EngineInfo {
    /// Longest prompt plus output.
    pub max_model_len: u32,
}

/// A parameter that cannot be used.
pub struct Problem {
    /// Its name.
    pub parameter: &'static str,
    /// What was expected of it.
    pub expected: String,
}

impl SchedulerConfig {
    /// What is wrong with its parameters.
    pub fn problems(&self, _: &EngineInfo) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let SchedulerConfig::Sarathi(p) = self
            && p.chunk_size == 0
        {
            problems.push(Problem { parameter: "chunk_size", expected: "at least 1".to_owned() });
        }
        problems
    }
}
