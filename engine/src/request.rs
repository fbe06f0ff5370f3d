//! What a client sends: the unit of work that flows from the workload to the engine.

use crate::time::Time;

pub use crate::ids::{ClassId, RequestId};

/// One request as the workload draws it.
///
/// `output_tokens` is the truth that only the engine knows. A policy is given
/// [`RequestView`](crate::replica::RequestView), which has no such field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it reaches the router.
    pub arrival: Time,
    /// Prompt length, at least 1.
    pub prompt_tokens: u32,
    /// True answer length, at least 1. Never shown to a policy.
    pub output_tokens: u32,
    /// The longest answer that the client declares; at least `output_tokens`.
    pub max_tokens: u32,
    /// Lower is more urgent (vLLM's meaning); ties go by arrival.
    pub priority: i32,
    /// Its class.
    pub class: ClassId,
}

// Every request of a run is in memory at once.
const _: () = assert!(size_of::<Request>() == 32);

/// A stretch of a workload's table of content ids: equal ids mean equal prompt prefixes.
/// Ids are chained, so an id stands for its block and everything before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockIds {
    /// Index of the first id.
    pub start: u32,
    /// How many ids.
    pub len: u32,
}

impl BlockIds {
    /// The ids themselves, from the table that this is a stretch of.
    ///
    /// # Panics
    /// When the table is shorter.
    pub fn of(self, table: &[u64]) -> &[u64] {
        &table[self.start as usize..][..self.len as usize]
    }
}
