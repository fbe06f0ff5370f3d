//! Prefill and decode on replicas of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text_or_map::{InPlaceOfText, TextOr};
use crate::catalog::{FirstToken, HandOverOrder};
use crate::units::{Bandwidth, Bytes, Duration};

/// What the replicas of a pool do for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolRole {
    /// Its prefill alone: a replica of a `decode` pool fetches the KV and answers.
    Prefill,
    /// Its decode.
    Decode,
    /// Its prefill and its decode.
    #[default]
    Both,
}

/// How requests go from the pools that prefill to those that decode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a map such as `{transfer: {link: ib-400g}, decode_router: least-requests}`"
)]
pub struct Disaggregation {
    /// Which of the two replicas takes KV blocks for a request first, as the engine's profile has it unless
    /// given: `source-first`, the one that prefills (vLLM, TensorRT-LLM), or `destination-first` (SGLang).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<HandOverOrder>,
    /// Where the first token of an answer comes from, as the engine's profile has it unless given: `recomputed`
    /// by the replica that answers (vLLM), or `carried` over with the KV (SGLang, TensorRT-LLM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token: Option<FirstToken>,
    /// Destination first: tokens that each request which decodes may still take, left free when blocks are taken
    /// for a prompt; 512 unless given (SGLang's `--num-reserved-decode-tokens`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_decode_tokens: Option<u32>,
    /// Which prompts are computed by the pools that prefill: `always`, unless given, or a rule such as
    /// `{conditional: {}}`. The others are computed where they are answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decider: Option<DeciderRef>,
    /// Which replica decodes a request, chosen when its prompt is computed, or when it comes where a `decider`
    /// asks or the destination is first: `round-robin` unless given, or another router that is a name. `router` chooses among the replicas that prefill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode_router: Option<String>,
    /// What it takes to bring the KV over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<KvTransfer>,
    /// The longest that a replica which prefills keeps blocks that nobody has begun to fetch. For ever
    /// unless given: vLLM's decode side renews its lease (30 s) for as long as the request waits there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_lease: Option<Duration>,
    /// What becomes of a request whose KV is gone when it is to be fetched: it fails, unless given, or
    /// its prompt is computed again where it decodes (vLLM's `kv_load_failure_policy`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

/// The name of a decider, or its rule.
pub type DeciderRef = TextOr<DeciderRules>;

/// Which prompts are computed by pools that prefill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeciderRules {
    /// By the tokens that are new to the replica which answers, as Dynamo does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditional: Option<ConditionalDecider>,
    /// By these and the prompt's length, as llm-d does.
    #[serde(rename = "prefix-based", skip_serializing_if = "Option::is_none")]
    pub prefix_based: Option<PrefixBasedDecider>,
}

impl InPlaceOfText for DeciderRules {
    const EXPECTING: &'static str =
        "`always`, or a map such as `{conditional: {min_new_tokens: 2048, min_new_ratio: 0.7}}`";
}

/// A prompt stays where it is answered when fewer tokens than `min_new_tokens` are new there, and they are
/// less than `min_new_ratio` of it (Dynamo's `IslBounding`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{min_new_tokens: 2048}`")]
pub struct ConditionalDecider {
    /// 2048 unless given (Dynamo's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_new_tokens: Option<u32>,
    /// From 0 to 1; 0.7 unless given (Dynamo's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_new_ratio: Option<f64>,
}

/// A prompt of `prompt_tokens` or more goes to a replica that prefills when `non_cached_tokens` or more of it
/// are new to the replica which answers (llm-d's `prefix-based-pd-decider`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{non_cached_tokens: 16}`")]
pub struct PrefixBasedDecider {
    /// 0, unless given (llm-d's): no prompt goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_cached_tokens: Option<u32>,
    /// 0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u32>,
}

/// What becomes of a request whose KV is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It ends with an error.
    #[default]
    Fail,
    /// The replica that decodes computes its prompt.
    Recompute,
}

/// The transfer of a request's KV: `setup` + latency + blocks x `per_block`, then bytes over what is the
/// narrowest of the links that it shares with the other transfers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{link: ib-400g, setup: 1ms}`")]
pub struct KvTransfer {
    /// What the KV goes over: a name of `metron-sim list links`, or its figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkRef>,
    /// The connector's own time for a transfer, before its first byte moves; 350us unless given, which
    /// with a link's latency is what vLLM with Mooncake takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<Duration>,
    /// The same for each KV block that goes over; none unless given. Descriptors of 96 KB took vLLM's
    /// NIXL connector 3.8us each to post (vllm issue 50913).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_block: Option<Duration>,
    /// Whether only those blocks go over that the replica which decodes does not find in its prefix
    /// cache; so unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_only: Option<bool>,
    /// Bytes of a token's KV on all GPUs of a replica that decodes; the model's own unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_token: Option<Bytes>,
}

/// A link's name, or its figures.
pub type LinkRef = TextOr<LinkFigures>;

/// A link between replicas by its figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkFigures {
    /// What it carries one way, such as `50GB/s`: what transfers reach, not the line's rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// Such as `20us`; none unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
    /// Whose it is; each GPU's unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<LinkScope>,
}

impl InPlaceOfText for LinkFigures {
    const EXPECTING: &'static str =
        "a link's name such as `ib-400g`, or a map such as `{bandwidth: 50GB/s, latency: 20us}`";
}

/// Whose a link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkScope {
    /// Each GPU has one.
    #[default]
    Gpu,
    /// The GPUs of a replica share one.
    Replica,
    /// All transfers of the fleet share one.
    Fleet,
}
