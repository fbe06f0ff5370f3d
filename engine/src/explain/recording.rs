//! What is explained: a run's log, and how each pool of its replicas was priced.

use crate::cost::CostModel;
use crate::ids::LaneId;
use crate::kv::KeptBlocks;
use crate::time::Time;
use crate::trace::{Log, TokenTrace};
use crate::workload::SessionTurn;

/// What a run wrote down, and how its iterations were priced.
#[derive(Clone)]
pub struct Recording<'a> {
    /// Token times.
    pub trace: &'a TokenTrace,
    /// Every iteration, one log a lane.
    pub log: &'a [Log],
    /// When the engine got each request, where that is later than its arrival; else nothing.
    pub entered: &'a [Time],
    /// What each request is to its session, where requests are turns of sessions; else nothing.
    pub turns: &'a [SessionTurn],
    /// Pools of identical replicas, one at least; replicas are numbered pool after pool.
    pub pools: Vec<RecordedPool<'a>>,
}

/// How the iterations of identical replicas were priced.
#[derive(Clone, Copy)]
pub struct RecordedPool<'a> {
    /// The pool's name, where replicas differ.
    pub name: Option<&'a str>,
    /// How many.
    pub replicas: u32,
    /// What priced them.
    pub cost: &'a dyn CostModel,
    /// Whether steps were planned ahead, so that host work beside the GPU's took no time.
    pub planned_ahead: bool,
    /// Whether the lanes of a replica are turns of one running list, in which host work comes before a
    /// batch begins.
    pub by_turns: bool,
    /// Replicas in a row that stepped together, each as long as the slowest; 1 where none did.
    pub in_step: u32,
    /// What is kept by content, so that the next turn of a session can find it.
    pub caches: Option<KeptBlocks>,
    /// Whether it had tiers behind its blocks.
    pub tiers: bool,
    /// Whether steps waited for what came from them, and so lasted longer than their own price.
    pub loads_in_step: bool,
    /// KV memory of one replica.
    pub memory: Memory,
}

/// KV memory of one replica, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Tokens in a block.
    pub block_tokens: u32,
    /// Blocks that requests can use.
    pub blocks: u32,
    /// Of these, blocks that an admission leaves free.
    pub watermark_blocks: u32,
}

impl<'a> Recording<'a> {
    /// The pool of a lane.
    pub fn pool(&self, lane: LaneId) -> &RecordedPool<'a> {
        &self.pools[self.trace.lane(lane).pool.index()]
    }
}
