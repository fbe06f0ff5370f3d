//! KV that came from a tier behind a replica's blocks.

use super::TokenTrace;
use crate::ids::{LaneId, RequestId};
use crate::time::Time;

/// KV of a request that was brought from the host's memory, or from further down, in place of being computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLoad {
    /// Whose.
    pub request: RequestId,
    /// The lane that it was brought to.
    pub lane: LaneId,
    /// When the first of it set out.
    pub begun: Time,
    /// When KV blocks were taken for it: later than that where it came to the host's memory first, and earlier
    /// where a step was planned ahead that waits for it; [`Time::NEVER`] if never.
    pub taken: Time,
    /// When all of it was there; [`Time::NEVER`] if never.
    pub landed: Time,
    /// Whether the first step with the request waited for it, and not the request for a step.
    pub in_step: bool,
    /// Tokens of it that the replica had itself.
    pub context: u32,
    /// Tokens that came; 0 where they came to the host and no further.
    pub tokens: u32,
    /// Those of them, in whole chunks, that lay below the host's memory.
    pub from_below: u32,
    /// Bytes that went from the host to the GPUs.
    pub bytes: u64,
}

impl KvLoad {
    /// Whether the request waited for it beside the steps of others.
    pub fn is_waited_for(&self) -> bool {
        self.begun < self.ready()
    }

    /// When the request could be in a batch as far as this load goes: a batch that waits for the KV itself is
    /// formed when blocks are taken.
    pub fn ready(&self) -> Time {
        if self.in_step { self.taken } else { self.landed }
    }
}

impl TokenTrace {
    /// All loads of a request.
    pub fn loads(&self, request: RequestId) -> &[KvLoad] {
        let from = self.kv_loads.partition_point(|load| load.request < request);
        let own = self.kv_loads[from..].partition_point(|load| load.request == request);
        &self.kv_loads[from..from + own]
    }

    /// The load that a request waited for before it was first in a batch, where it did.
    pub fn first_load(&self, request: RequestId) -> Option<&KvLoad> {
        if self.kv_loads.is_empty() {
            return None;
        }
        let first = self.kv_loads.partition_point(|load| load.request < request);
        let load = self.kv_loads.get(first).filter(|load| load.request == request)?;
        let scheduled = self.requests[request.index()].scheduled;
        let waited_for = load.begun < scheduled && load.landed <= scheduled;
        (waited_for || load.in_step && load.begun <= scheduled || scheduled == Time::NEVER)
            .then_some(load)
    }
}
