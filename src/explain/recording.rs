//! What is explained: a run's log, and how each pool of its replicas was priced.

use std::ops::Range;

use crate::cost::CostModel;
use crate::trace::{Log, TokenTrace};

/// What a run wrote down, and how its iterations were priced.
#[derive(Clone)]
pub struct Recording<'a> {
    /// Token times.
    pub trace: &'a TokenTrace,
    /// Every iteration, one log a lane.
    pub log: &'a [Log],
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
    /// The first lane of a replica.
    pub(super) fn first_lane(&self, replica: u32) -> usize {
        let found = self.pool_that(|pool| replica < pool.replica + pool.of.replicas);
        found.lane + (replica - found.replica) as usize * found.stages()
    }

    /// The lanes of a lane's replica.
    pub(super) fn lanes_beside(&self, lane: usize) -> Range<usize> {
        let pool = self.pool_that(|pool| pool.has_lane(lane));
        let stages = pool.stages();
        let from = pool.lane + (lane - pool.lane) / stages * stages;
        from..(from + stages).min(self.log.len())
    }

    /// The replica of a lane and the lane's number within it; none where a replica is one lane.
    pub fn part_of_replica(&self, lane: usize) -> Option<(u32, u32)> {
        let pool = self.pool_that(|pool| pool.has_lane(lane));
        let stages = pool.stages();
        let (replica, part) = ((lane - pool.lane) / stages, (lane - pool.lane) % stages);
        (stages > 1).then_some((pool.replica + replica as u32, part as u32))
    }

    /// The replica of a lane.
    pub fn replica_of_lane(&self, lane: usize) -> u32 {
        let pool = self.pool_that(|pool| pool.has_lane(lane));
        pool.replica + ((lane - pool.lane) / pool.stages()) as u32
    }

    /// The pool of a lane.
    pub fn pool(&self, lane: usize) -> &RecordedPool<'a> {
        self.pool_that(|pool| pool.has_lane(lane)).of
    }

    /// The first pool that `has` what is looked for; the last where none says so.
    fn pool_that(&self, has: impl Fn(&Placed<'_, 'a>) -> bool) -> Placed<'_, 'a> {
        let (last, before) = self.pools.split_last().expect("a recording has a pool");
        let (mut replica, mut lane) = (0, 0);
        for of in before {
            let pool = Placed { of, replica, lane };
            if has(&pool) {
                return pool;
            }
            replica += of.replicas;
            lane += pool.lanes();
        }
        Placed { of: last, replica, lane }
    }
}

/// A pool, and where it begins.
struct Placed<'p, 'a> {
    of: &'p RecordedPool<'a>,
    /// Its first replica.
    replica: u32,
    /// Its first lane.
    lane: usize,
}

impl Placed<'_, '_> {
    /// Lanes of a replica: one a stage.
    fn stages(&self) -> usize {
        self.of.cost.stages() as usize
    }

    fn lanes(&self) -> usize {
        self.of.replicas as usize * self.stages()
    }

    fn has_lane(&self, lane: usize) -> bool {
        lane < self.lane + self.lanes()
    }
}
