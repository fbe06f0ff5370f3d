//! Requests whose prompt one replica computed and another answers: what went between the two, and when.

use super::TokenTrace;
use crate::ids::{LaneId, RequestId};
use crate::time::Time;

/// A request that was handed from a replica that prefills to one that decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// Which.
    pub request: RequestId,
    /// The lane that computed its prompt.
    pub from: LaneId,
    /// The first lane of the replica that answers it.
    pub to: LaneId,
    /// When its prompt was computed; [`Time::NEVER`] if never.
    pub at: Time,
    /// When the replica that answers it had taken blocks for it: after `at` where the source is first, before
    /// its prompt was begun where the destination is; [`Time::NEVER`] if never.
    pub begun: Time,
    /// When all of its KV was there, or the transfer had failed; [`Time::NEVER`] if never.
    pub landed: Time,
    /// When the blocks of the replica that computed it came free; [`Time::NEVER`] if never.
    pub released: Time,
    /// Prompt tokens whose KV went over.
    pub tokens: u32,
    /// KV blocks that the replica which computed it held for it.
    pub held_blocks: u32,
    /// KV blocks that went over.
    pub blocks: u32,
    /// Bytes that went over.
    pub bytes: u64,
    /// Whether its KV was gone before it could be fetched.
    pub lost: bool,
    /// Whether the first token of its answer came with its KV.
    pub carried: bool,
}

impl HandOver {
    /// Whether blocks were to be taken where it is answered before its prompt was computed.
    pub fn is_destination_first(&self) -> bool {
        self.at == Time::NEVER || self.begun < self.at
    }

    /// When its KV set out, or the first of it where that goes chunk by chunk and the last is waited for.
    pub fn sets_out(&self) -> Time {
        self.begun.max(self.at)
    }
}

impl TokenTrace {
    /// The hand-over of a request, where it had one.
    #[inline]
    pub fn hand_over(&self, request: RequestId) -> Option<&HandOver> {
        if self.hand_overs.is_empty() {
            return None;
        }
        let found = self.hand_overs.binary_search_by_key(&request, |one| one.request).ok()?;
        Some(&self.hand_overs[found])
    }
}
