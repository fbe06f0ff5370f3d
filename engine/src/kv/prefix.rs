//! The prefix cache: KV blocks found again by their content, as vLLM V1 and nano-vllm keep them.
//!
//! A full block gets a key that stands for its tokens and all before them. A block that nobody
//! references keeps its key while it waits in the free queue, and loses it when it is taken for
//! something else. Rules read from vLLM 0.33 and 0.10.2 (`v1/core/block_pool.py`) and from
//! nano-vllm bb823b3 (`block_manager.py`).

use rustc_hash::FxHashMap;

use super::Hit;
use super::free_list::FreeList;
use crate::ids::SlotId;

const NONE: u32 = u32::MAX;

/// What a full block contains: equal keys mean equal tokens from the prompt's beginning on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockKey {
    /// A content id of the workload, or the request's own number where the content is its own.
    pub id: u64,
    /// Which block of the request, from 0.
    pub index: u32,
    /// Whether `id` is a content id that other requests can share.
    pub shared: bool,
}

/// How systems differ in keeping blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheRules {
    /// Freed blocks without a key go to the queue's front (vLLM 0.33); otherwise all go to its end.
    pub keyless_first: bool,
    /// Of blocks with equal keys the newest is found (nano-vllm); otherwise the oldest.
    pub newest_wins: bool,
    /// Keys are given when a chunk is scheduled (vLLM), so that requests of one step can share;
    /// otherwise after the step (nano-vllm).
    pub hash_at_schedule: bool,
}

#[derive(Clone, Debug)]
struct Block {
    references: u32,
    key: Option<BlockKey>,
    /// The next block with the same key, hashed later.
    duplicate: u32,
}

/// Block identities of one pool. The counts are the [`Pool`](super::Pool)'s.
#[derive(Clone, Debug)]
pub struct PrefixCache {
    rules: CacheRules,
    blocks: Vec<Block>,
    free: FreeList,
    by_key: FxHashMap<BlockKey, u32>,
    /// Blocks of each owner in order, and how many of them are known to have keys.
    tables: Vec<Table>,
    evicted: u64,
}

#[derive(Clone, Debug, Default)]
struct Table {
    blocks: Vec<u32>,
    hashed: u32,
}

impl PrefixCache {
    pub(super) fn new(total: u32, rules: CacheRules) -> PrefixCache {
        let block = Block { references: 0, key: None, duplicate: NONE };
        PrefixCache {
            rules,
            blocks: vec![block; total as usize],
            free: FreeList::full(total),
            by_key: FxHashMap::default(),
            tables: Vec::new(),
            evicted: 0,
        }
    }

    /// Blocks that lost their content because they were taken for something else.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn rules(&self) -> CacheRules {
        self.rules
    }

    pub(super) fn held(&self, owner: SlotId) -> u32 {
        self.tables.get(owner.index()).map_or(0, |table| table.blocks.len() as u32)
    }

    pub(super) fn lookup(&self, keys: impl Iterator<Item = BlockKey>) -> Hit {
        let mut hit = Hit::default();
        for block in keys.map_while(|key| self.by_key.get(&key)) {
            hit.blocks += 1;
            hit.idle += u32::from(self.blocks[*block as usize].references == 0);
        }
        hit
    }

    pub(super) fn take_hit(&mut self, owner: SlotId, keys: impl Iterator<Item = BlockKey>) {
        debug_assert_eq!(self.held(owner), 0);
        for key in keys {
            let number = self.by_key[&key];
            let block = &mut self.blocks[number as usize];
            if block.references == 0 {
                self.free.remove(number);
            }
            block.references += 1;
            self.table(owner).blocks.push(number);
        }
        let table = self.table(owner);
        table.hashed = table.blocks.len() as u32;
    }

    pub(super) fn take_new(&mut self, owner: SlotId, n: u32) {
        for _ in 0..n {
            let number = self.free.pop_front().expect("the pool counted a free block");
            self.forget_key(number);
            self.blocks[number as usize].references = 1;
            self.table(owner).blocks.push(number);
        }
    }

    pub(super) fn hash(&mut self, owner: SlotId, full: u32, key: impl Fn(u32) -> BlockKey) {
        let table = self.table(owner);
        let from = table.hashed;
        table.hashed = from.max(full);
        for index in from..full {
            let number = self.tables[owner.index()].blocks[index as usize];
            if self.blocks[number as usize].key.is_none() {
                self.give_key(number, key(index));
            }
        }
    }

    /// Returns the owner's blocks, last block first, and tells how many nobody references now.
    pub(super) fn release(&mut self, owner: SlotId) -> u32 {
        let table = std::mem::take(self.table(owner));
        let mut freed = 0;
        let mut keyless = Vec::new();
        for &number in table.blocks.iter().rev() {
            let block = &mut self.blocks[number as usize];
            block.references -= 1;
            if block.references > 0 {
                continue;
            }
            freed += 1;
            if self.rules.keyless_first && block.key.is_none() {
                keyless.push(number);
            } else {
                self.free.push_back(number);
            }
        }
        for number in keyless.into_iter().rev() {
            self.free.push_front(number);
        }
        freed
    }

    /// Checks the queue against the pool's count and every reference against a holder.
    pub(super) fn check(&self, free: u32) {
        assert_eq!(self.free.len(), free, "free queue and pool disagree");
        let references: u64 = self.blocks.iter().map(|block| u64::from(block.references)).sum();
        let held: u64 = self.tables.iter().map(|table| table.blocks.len() as u64).sum();
        assert_eq!(references, held, "references and holders disagree");
    }

    fn table(&mut self, owner: SlotId) -> &mut Table {
        let index = owner.index();
        if index >= self.tables.len() {
            self.tables.resize_with(index + 1, Table::default);
        }
        &mut self.tables[index]
    }

    fn give_key(&mut self, number: u32, key: BlockKey) {
        self.blocks[number as usize].key = Some(key);
        self.blocks[number as usize].duplicate = NONE;
        let Some(&first) = self.by_key.get(&key) else {
            self.by_key.insert(key, number);
            return;
        };
        if self.rules.newest_wins {
            // The older block keeps its key but can no longer be found, as in nano-vllm.
            self.by_key.insert(key, number);
            return;
        }
        let mut last = first;
        while self.blocks[last as usize].duplicate != NONE {
            last = self.blocks[last as usize].duplicate;
        }
        self.blocks[last as usize].duplicate = number;
    }

    fn forget_key(&mut self, number: u32) {
        let Some(key) = self.blocks[number as usize].key.take() else { return };
        self.evicted += 1;
        let next = self.blocks[number as usize].duplicate;
        let first = match self.by_key.get(&key) {
            Some(&first) => first,
            None => return,
        };
        if first == number {
            match next {
                NONE => self.by_key.remove(&key),
                _ => self.by_key.insert(key, next),
            };
            return;
        }
        let mut at = first;
        while at != NONE {
            let after = self.blocks[at as usize].duplicate;
            if after == number {
                self.blocks[at as usize].duplicate = next;
                return;
            }
            at = after;
        }
    }
}
