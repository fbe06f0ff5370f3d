//! How KV blocks stand where their want has brought a replica to a standstill.

use super::Replica;
use super::step::{Held, Step};

/// KV blocks of a replica on which nothing goes on for want of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShortage {
    /// Blocks that are free.
    pub free: u32,
    /// Blocks in all.
    pub total: u32,
    /// Free blocks that the request needs whose turn it is, those that its policy keeps free included;
    /// `None` where the policy counts otherwise.
    pub needed: Option<u32>,
}

impl KvShortage {
    /// It in words.
    pub(crate) fn words(self) -> String {
        let KvShortage { free, total, needed } = self;
        let needs = needed.map_or(String::new(), |needed| {
            format!(", and the request whose turn it is needs {needed}")
        });
        let rest = if free < total { "; requests that do not run hold the rest" } else { "" };
        format!("it last held back for want of KV blocks: {free} of {total} free{needs}{rest}")
    }
}

impl Step<'_> {
    /// Says that the queue's head was left waiting for want of KV blocks
    /// ([`hold`](Step::hold)), and how many it needs free: those of a watermark, or that the policy
    /// reserves, included.
    pub fn hold_for_blocks(&mut self, needed: u32) {
        self.replica.members.batch.blocks_needed = Some(needed);
        self.hold(Held::NoKvBlocks);
    }

    /// The reason why a request waits that needs so many blocks free, more than there are. How many is
    /// noted of the first such request of a step.
    pub fn short_of(&mut self, needed: u32) -> Held {
        self.replica.members.batch.blocks_needed.get_or_insert(needed);
        Held::NoKvBlocks
    }

    /// Says no to a request that needs so many blocks free.
    pub(super) fn refused(&mut self, needed: u32) -> bool {
        self.short_of(needed);
        false
    }
}

impl Replica {
    /// How KV blocks stand where their want held requests back in the last step: by the policy's word, or
    /// where it gave none because a request did not get those that it needed.
    pub(crate) fn shortage(&self) -> Option<KvShortage> {
        let batch = &self.members.batch;
        let needed = batch.blocks_needed;
        let is_short = match batch.held {
            Some(held) => held == Held::NoKvBlocks,
            None => needed.is_some(),
        };
        let (free, total) = (self.pool.free(), self.pool.total());
        is_short.then_some(KvShortage { free, total, needed })
    }
}
