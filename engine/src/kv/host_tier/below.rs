//! A tier below the host's memory: a disk, or a store that replicas share. It knows which chunks it has; the
//! least recently used go first.
//!
//! Chunks come to it from the host, when they have been written there, and go back through the host: a
//! lookup that finds chunks here has them copied up first, and is asked again when they are there (vLLM's
//! `TieringOffloadingSpec`, whose secondary tiers are reached through the CPU tier alone).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::kv::BlockKey;

/// The chunks of such a tier, which several replicas may hold.
#[derive(Clone, Debug)]
pub struct Below {
    chunks: Arc<Mutex<Chunks>>,
}

#[derive(Debug)]
struct Chunks {
    capacity: u32,
    used_at: HashMap<BlockKey, u64>,
    by_use: BTreeMap<u64, BlockKey>,
    uses: u64,
}

impl Below {
    /// An empty tier that holds so many chunks.
    pub fn new(capacity: u32) -> Below {
        let chunks = Chunks { capacity, used_at: HashMap::new(), by_use: BTreeMap::new(), uses: 0 };
        Below { chunks: Arc::new(Mutex::new(chunks)) }
    }

    fn chunks(&self) -> MutexGuard<'_, Chunks> {
        self.chunks.lock().expect("nobody panics with it")
    }

    /// Whether a chunk is there.
    pub(super) fn has(&self, key: &BlockKey) -> bool {
        self.chunks().used_at.contains_key(key)
    }

    /// These chunks have been written, or are used again.
    pub(super) fn use_all<'k>(&self, keys: impl Iterator<Item = &'k BlockKey>) {
        let mut chunks = self.chunks();
        keys.for_each(|key| chunks.use_one(*key));
    }

    /// Chunks that are there.
    pub fn used(&self) -> u32 {
        self.chunks().used_at.len() as u32
    }
}

impl Chunks {
    fn use_one(&mut self, key: BlockKey) {
        if self.capacity == 0 {
            return;
        }
        self.uses += 1;
        if let Some(before) = self.used_at.insert(key, self.uses) {
            self.by_use.remove(&before);
        }
        self.by_use.insert(self.uses, key);
        if self.used_at.len() > self.capacity as usize {
            let (_, oldest) = self.by_use.pop_first().expect("it is over full");
            self.used_at.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_chunk_goes_first() {
        let below = Below::new(2);
        let keys = [1, 2, 3].map(|id| BlockKey { id, index: 0, shared: true });
        below.use_all(keys[..2].iter());
        below.use_all(keys[..1].iter());
        let other = below.clone();
        other.use_all(keys[2..].iter());
        assert_eq!(keys.map(|key| below.has(&key)), [true, false, true]);
        assert_eq!(below.used(), 2);
    }
}
