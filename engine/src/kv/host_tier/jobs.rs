//! Copies that are going on, and which KV blocks they read for requests that have ended.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::kv::BlockKey;
use crate::request::RequestId;

/// Numbers copies in the order in which they were decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the host.
    Load,
    /// To the host.
    Store,
    /// To the host, from the tier below.
    Up,
    /// From the host to the tier below.
    Down,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) direction: Direction,
    pub(super) request: RequestId,
    pub(super) keys: Vec<BlockKey>,
    /// KV blocks of the replica.
    pub(super) blocks: Vec<u32>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Jobs {
    going_on: BTreeMap<JobId, Job>,
    next: JobId,
    /// Blocks that were given back while stores read them, with these stores.
    watched: HashMap<u32, Vec<JobId>>,
}

impl Jobs {
    pub(super) fn is_empty(&self) -> bool {
        self.going_on.is_empty()
    }

    /// The number of the next one.
    pub(super) fn next(&self) -> JobId {
        self.next
    }

    pub(super) fn add(&mut self, job: Job) -> JobId {
        let id = self.next;
        self.next.0 += 1;
        self.going_on.insert(id, job);
        id
    }

    /// Whoever takes a block that one of these stores reads has to wait for it.
    pub(super) fn watch(&mut self, jobs: &[JobId]) {
        for &id in jobs {
            let job = &self.going_on[&id];
            if job.direction == Direction::Store {
                for &block in &job.blocks {
                    let watching = self.watched.entry(block).or_default();
                    if !watching.contains(&id) {
                        watching.push(id);
                    }
                }
            }
        }
    }

    /// Adds the watched stores that read any of these blocks.
    pub(super) fn reading(&self, blocks: &HashSet<u32>, into: &mut Vec<JobId>) {
        if self.watched.len() < blocks.len() {
            let taken = self.watched.iter().filter(|(block, _)| blocks.contains(block));
            taken.for_each(|(_, jobs)| into.extend(jobs));
        } else {
            blocks
                .iter()
                .filter_map(|block| self.watched.get(block))
                .for_each(|jobs| into.extend(jobs));
        }
    }

    /// Whether a copy reads any of these blocks.
    pub(super) fn reads_any(&self, job: JobId, blocks: &HashSet<u32>) -> bool {
        self.going_on[&job].blocks.iter().any(|block| blocks.contains(block))
    }

    pub(super) fn remove(&mut self, id: JobId) -> Job {
        let job = self.going_on.remove(&id).expect("a copy that is going on");
        for block in &job.blocks {
            if let Some(watching) = self.watched.get_mut(block) {
                watching.retain(|&watched| watched != id);
                if watching.is_empty() {
                    self.watched.remove(block);
                }
            }
        }
        job
    }
}
