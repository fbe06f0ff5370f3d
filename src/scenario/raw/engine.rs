//! The engine: version, memory, limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text_or_map::{InPlaceOfText, TextOr};
use super::{KvLoad, KvTier, Speculative};
use crate::catalog::StepLaw;
use crate::cost::{Dtype, KvDtype};
use crate::units::{Bytes, Duration};

/// The engine of one replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{profile: vllm-0.19}`")]
pub struct Engine {
    /// What the engine's version adds to the kernels' time: a name of `metron-sim list profiles`,
    /// a file, or a constant time an iteration. `vllm-0.19` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileRef>,
    /// Number format of the matrices of the layers: `bf16`, `fp16`, `fp8`, `int8`, `int4`, `mxfp4` or
    /// `nvfp4`; `auto`, what the model's config says, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// Number format of the KV cache: `auto` (what the model's config says, else 16 bits), `bf16`,
    /// `fp16`, `fp8`, `int8` or `nvfp4`; `auto` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache_dtype: Option<KvDtype>,
    /// Tokens in a KV block; the profile's unless given (16).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_block_tokens: Option<u32>,
    /// The part of GPU memory that the engine may use; the profile's unless given (0.9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory_utilization: Option<f64>,
    /// Memory of a GPU for activations, CUDA graphs and context; the profile's unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_memory: Option<Bytes>,
    /// The engine's `num_gpu_blocks`, where known; else it follows from the memory. Where both
    /// are given, this one holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_blocks: Option<u32>,
    /// Longest prompt plus output. Unless given, the smaller of the model's
    /// `max_position_embeddings` and what the KV cache holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_model_len: Option<u32>,
    /// Whether full KV blocks are kept and found again by content, by policies that can (vllm-v1, sglang).
    /// Unless given, on where both the profile's version and the scheduler's have it on by default: from
    /// vLLM V1 on, not in the profiles vllm-0.4 and vllm-0.6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_caching: Option<bool>,
    /// Whether a step is planned while the one before runs, by policies that can (vllm-v1, sglang). Unless
    /// given, on where both the profile's version and the scheduler's have it on by default: in vLLM from
    /// 0.14 on, not in vllm-v1 with `version: 0.10`, and not with drafts of `ngram` or `suffix` in the profiles
    /// vllm-0.14, vllm-0.19 and sglang-0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub async_scheduling: Option<bool>,
    /// Whether CUDA graphs are left out, as by vLLM's `--enforce-eager`: decode batches are not padded,
    /// and the host launches every kernel; the profile's unless given (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce_eager: Option<bool>,
    /// What lies between clients and the engine: HTTP, tokenising, detokenising; the profile's unless
    /// given, and no time where that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub front_end: Option<FrontEnd>,
    /// How a policy that looks at deadlines (fluid, qoserve, medha, slai) is wrong about the time that an
    /// iteration will take, not at all unless given; and about how long answers will be (fluid), where that
    /// is predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictor: Option<PredictorError>,
    /// Speculative decoding, for policies that can (vllm-v1); none unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speculative: Option<Speculative>,
    /// What keeps KV for which the GPUs have no room, for policies that can (vllm-v1): the host's memory
    /// first, and a disk or a shared store below it. None unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_tiers: Option<Vec<KvTier>>,
    /// What goes to `kv_tiers`, and what is brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_load: Option<KvLoad>,
}

/// What a prediction of an iteration's time differs by from the time that it takes, and one of an answer's
/// length from that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{bias: -0.2, spread: 0.2}`")]
pub struct PredictorError {
    /// The same share every time, above -1: -0.2 where iterations are expected a fifth too short; 0 unless
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias: Option<f64>,
    /// Up to such a share more or less, from 0 to below 1, evenly at random for each decision, by the
    /// scenario's seed; 0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
    /// How long an answer will be is predicted too, within such a share, from 0 to below 1, evenly at random
    /// for each request, by the scenario's seed; not predicted unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_spread: Option<f64>,
}

/// Times of a front end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a map such as `{before: 3ms, after: 1ms, request: 500us}`"
)]
pub struct FrontEnd {
    /// From a client's sending to the engine's queue, of a request alone; 0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Duration>,
    /// From the engine's token to the client; 0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// Of `before`, what is served one request after the other; 0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
}

/// A profile's name, or where it comes from.
pub type ProfileRef = TextOr<ProfileSource>;

/// A profile that has no name here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSource {
    /// A profile's file, relative to the scenario's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A linear law of the step's time, in microseconds, such as `{iteration_us: 3500, prefill_token_us: 60}`:
    /// for a machine of which nothing else is known. No GPU is needed where `kv_blocks` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_law: Option<StepLaw>,
    /// Every iteration takes the same time: for teaching and for checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<FixedProfile>,
}

impl InPlaceOfText for ProfileSource {
    const EXPECTING: &'static str = "an engine profile's name such as `vllm-0.19`, or a map such as `{file: profile.yaml}`, `{step_law: {iteration_us: 3500}}` or `{fixed: {iteration: 5ms}}`";
}

/// Every iteration takes the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{iteration: 5ms}`")]
pub struct FixedProfile {
    /// The time of an iteration, such as `5ms`.
    pub iteration: Duration,
}
