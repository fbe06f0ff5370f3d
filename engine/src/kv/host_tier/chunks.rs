//! The chunks in host memory, and which of them goes when there is no room: the least recently used of
//! those that nobody reads or writes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::kv::BlockKey;

/// When a chunk was last used; the smallest goes first. No two chunks have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Recency {
    rank: u64,
    /// Later chunks of one request are older.
    place: Reverse<u32>,
}

impl Recency {
    /// Of a chunk at `place` of a request with this rank, which has not ended.
    pub(super) fn of_running(rank: u64, place: u32) -> Recency {
        Recency { rank, place: Reverse(place + 1) }
    }

    /// Of a chunk with a rank of its own.
    pub(super) fn of_ended(rank: u64) -> Recency {
        Recency { rank, place: Reverse(0) }
    }
}

/// What is done with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Being copied from the replica.
    Written,
    /// Being copied to the replica for so many requests; 0: idle.
    Read(u32),
}

impl Use {
    pub(super) fn is_written(self) -> bool {
        self == Use::Written
    }

    pub(super) fn is_read(self) -> bool {
        matches!(self, Use::Read(1..))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Chunks {
    capacity: u32,
    all: HashMap<BlockKey, (Use, Recency)>,
    idle: BTreeMap<Recency, BlockKey>,
    /// Chunks that stay for requests which wait for others of theirs, with how many such requests there are.
    kept_for: HashMap<BlockKey, u32>,
    /// Changes whenever what is there, or what is done with it, does.
    version: u64,
}

impl Chunks {
    pub(super) fn new(capacity: u32) -> Chunks {
        let (all, idle) = (HashMap::new(), BTreeMap::new());
        Chunks { capacity, all, idle, kept_for: HashMap::new(), version: 0 }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn len(&self) -> u32 {
        self.all.len() as u32
    }

    pub(super) fn get(&self, key: &BlockKey) -> Option<Use> {
        self.all.get(key).map(|&(use_, _)| use_)
    }

    /// Makes room for `more` chunks; those of `keep` stay. Says `false` and changes nothing where too
    /// few others are idle.
    pub(super) fn make_room(
        &mut self,
        more: u32,
        keep: &HashSet<BlockKey>,
        evicted: &mut Vec<BlockKey>,
    ) -> bool {
        let over = (self.len() + more).saturating_sub(self.capacity) as usize;
        let going: Vec<(Recency, BlockKey)> = self
            .idle
            .iter()
            .filter(|(_, key)| !keep.contains(key) && !self.kept_for.contains_key(key))
            .map(|(&recency, &key)| (recency, key))
            .take(over)
            .collect();
        if going.len() < over {
            return false;
        }
        self.version += u64::from(over > 0);
        for (recency, key) in going {
            self.idle.remove(&recency);
            self.all.remove(&key);
            evicted.push(key);
        }
        true
    }

    /// A chunk stays until it is [let go](Self::let_go).
    pub(super) fn keep(&mut self, key: BlockKey) {
        *self.kept_for.entry(key).or_default() += 1;
    }

    /// One request fewer waits for others of its chunks.
    pub(super) fn let_go(&mut self, key: &BlockKey) {
        let waiting = self.kept_for.get_mut(key).expect("it is kept");
        *waiting -= 1;
        if *waiting == 0 {
            self.kept_for.remove(key);
        }
    }

    /// A chunk that was not there is being written.
    pub(super) fn begin_write(&mut self, key: BlockKey, recency: Recency) {
        self.version += 1;
        let before = self.all.insert(key, (Use::Written, recency));
        assert!(before.is_none(), "a chunk is written once");
    }

    pub(super) fn end_write(&mut self, key: &BlockKey) {
        self.change(key, |use_| {
            assert!(use_.is_written(), "it was being written");
            Use::Read(0)
        });
    }

    pub(super) fn begin_read(&mut self, key: &BlockKey) {
        self.change(key, |use_| match use_ {
            Use::Read(readers) => Use::Read(readers + 1),
            Use::Written => panic!("it is there before it is read"),
        });
    }

    pub(super) fn end_read(&mut self, key: &BlockKey) {
        self.change(key, |use_| match use_ {
            Use::Read(readers @ 1..) => Use::Read(readers - 1),
            _ => panic!("it was being read"),
        });
    }

    /// A chunk, where it is there, was used then.
    pub(super) fn used(&mut self, key: &BlockKey, recency: Recency) {
        let Some((use_, last)) = self.all.get_mut(key) else { return };
        if *use_ == Use::Read(0) {
            self.idle.remove(last);
            self.idle.insert(recency, *key);
        }
        *last = recency;
    }

    /// The same, but for what was used later.
    pub(super) fn used_at_least(&mut self, key: &BlockKey, recency: Recency) {
        if self.all.get(key).is_some_and(|&(_, last)| last < recency) {
            self.used(key, recency);
        }
    }

    fn change(&mut self, key: &BlockKey, change: impl FnOnce(Use) -> Use) {
        self.version += 1;
        let (use_, recency) = self.all.get_mut(key).expect("it is there");
        let before = std::mem::replace(use_, change(*use_));
        match (before, *use_) {
            (Use::Read(0), _) => {
                self.idle.remove(recency);
            }
            (_, Use::Read(0)) => {
                self.idle.insert(*recency, *key);
            }
            _ => {}
        }
    }
}
