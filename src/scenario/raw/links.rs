//! What joins GPUs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Interconnect;

/// The links between GPUs: those of a node, and the network between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a map such as `{network: {bandwidth: 50GB/s, latency: 10us}}`"
)]
pub struct Links {
    /// Between the GPUs of a node, in place of the GPU's own figures; the same as the GPU's
    /// `interconnect`, beside which it cannot stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Interconnect>,
    /// Between nodes, bandwidth and latency both: an all-reduce over more GPUs than a node has goes
    /// over it. How many those are, `metron-sim list gpus -v` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Interconnect>,
}

impl Links {
    /// This, and where it is silent, `otherwise`.
    #[must_use]
    pub fn or(self, otherwise: Links) -> Links {
        Links { node: self.node.or(otherwise.node), network: self.network.or(otherwise.network) }
    }
}
