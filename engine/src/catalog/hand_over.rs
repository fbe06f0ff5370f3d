//! How an engine hands a request from a replica that prefills to one that decodes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The way of an engine, unless a scenario says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOverWay {
    /// Which of the two takes blocks first.
    #[serde(default)]
    pub order: HandOverOrder,
    /// Where the first token of the answer comes from.
    #[serde(default)]
    pub first_token: FirstToken,
}

impl HandOverWay {
    /// Whether it is what is taken where nothing is said.
    pub fn is_usual(&self) -> bool {
        *self == HandOverWay::default()
    }
}

/// Which of the two replicas that serve a request takes blocks for it first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HandOverOrder {
    /// The one that prefills: it computes the prompt and holds its blocks; then the one that decodes takes
    /// blocks for all of it in the order of its own queue, and pulls (vLLM 0.33.0,
    /// `kv_connector/v1/nixl/pull_scheduler.py`; TensorRT-LLM).
    #[default]
    SourceFirst,
    /// The one that decodes: the other begins with a prompt when blocks are taken for all of it, and sends
    /// each chunk as it is computed (SGLang 0.5, `srt/disaggregation/decode.py` and `prefill.py`).
    DestinationFirst,
}

/// Where the first token of an answer comes from that one replica prefills and another decodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FirstToken {
    /// The replica that decodes computes the prompt's last token again; the other's is thrown away (vLLM).
    #[default]
    Recomputed,
    /// The replica that prefills; it comes with the KV, and the other decodes from the second token on
    /// (SGLang's metadata buffer; TensorRT-LLM's `first_gen_tokens`).
    Carried,
}
