//! Prefill and decode on replicas of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text_or_map::{InPlaceOfText, TextOr};
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
    /// Which replica decodes a request, chosen when its prompt is computed: `round-robin` unless given,
    /// or another router that is a name. `router` chooses among the replicas that prefill.
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
