//! The prefix cache: KV blocks found again by their content, as vLLM V1 and nano-vllm keep them.
//!
//! A full block gets a key that stands for its tokens and all before them. A block that nobody
//! references keeps its key while it waits in the free queue, and loses it when it is taken for
//! something else. Rules read from vLLM 0.33 and 0.10.2 (`v1/core/block_pool.py`) and from
//! nano-vllm bb823b3 (`block_manager.py`).

use super::named_blocks::NamedBlocks;
use super::{Hit, KvGroups};
use crate::ids::SlotId;

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
    /// Chunks are cut so that the states of recurrent layers are there at the ends of blocks, and
    /// these are kept (vLLM 0.33's `align` mode for Mamba).
    pub keeps_states: bool,
}

impl CacheRules {
    /// Whether blocks can be found again where a model has these groups of layers.
    pub fn allow(&self, groups: &KvGroups) -> bool {
        groups.states() == 0 || self.keeps_states
    }
}

/// Block identities of one pool. The counts are the [`Pool`](super::Pool)'s.
#[derive(Clone, Debug)]
pub struct PrefixCache {
    pub(super) blocks: NamedBlocks<BlockKey>,
    /// Blocks of each owner in order, and how many of them are known to have keys.
    tables: Vec<Table>,
    /// Blocks that are referenced and in no table.
    detached: u64,
}

#[derive(Clone, Debug, Default)]
struct Table {
    blocks: Vec<u32>,
    hashed: u32,
}

impl PrefixCache {
    pub(super) fn new(total: u32, rules: CacheRules) -> PrefixCache {
        PrefixCache { blocks: NamedBlocks::new(total, rules), tables: Vec::new(), detached: 0 }
    }

    /// Blocks that lost their content because they were taken for something else.
    pub(super) fn evicted(&self) -> u64 {
        self.blocks.evicted()
    }

    pub(super) fn rules(&self) -> CacheRules {
        self.blocks.rules()
    }

    pub(super) fn held(&self, owner: SlotId) -> u32 {
        self.tables.get(owner.index()).map_or(0, |table| table.blocks.len() as u32)
    }

    /// The numbers of the owner's blocks, in order.
    pub(super) fn blocks_of(&self, owner: SlotId) -> &[u32] {
        self.tables.get(owner.index()).map_or(&[], |table| &table.blocks)
    }

    /// The longest hit, or with `drops_last` one block less.
    pub(super) fn lookup(&self, keys: impl Iterator<Item = BlockKey>, drops_last: bool) -> Hit {
        let mut hit = Hit::default();
        let mut last = None;
        for block in keys.map_while(|key| self.blocks.find(&key)) {
            hit.blocks += 1;
            hit.idle += u32::from(self.blocks.is_idle(block));
            last = Some(block);
        }
        if let Some(block) = last.filter(|_| drops_last) {
            hit.blocks -= 1;
            hit.idle -= u32::from(self.blocks.is_idle(block));
        }
        hit
    }

    pub(super) fn take_hit(&mut self, owner: SlotId, keys: impl Iterator<Item = BlockKey>) {
        debug_assert_eq!(self.held(owner), 0);
        for key in keys {
            let number = self.blocks.find(&key).expect("it was looked up");
            self.blocks.share(number);
            self.table(owner).blocks.push(number);
        }
        let table = self.table(owner);
        table.hashed = table.blocks.len() as u32;
    }

    pub(super) fn take_new(&mut self, owner: SlotId, n: u32) {
        for _ in 0..n {
            let number = self.blocks.take();
            self.table(owner).blocks.push(number);
        }
    }

    pub(super) fn hash(
        &mut self,
        owner: SlotId,
        full: u32,
        once: bool,
        key: impl Fn(u32) -> BlockKey,
    ) {
        let table = self.table(owner);
        let from = table.hashed;
        table.hashed = from.max(full);
        for index in from..full {
            let number = self.tables[owner.index()].blocks[index as usize];
            if !once || self.blocks.find(&key(index)).is_none() {
                self.blocks.name(number, || key(index));
            }
        }
    }

    /// Takes the content of all blocks that nobody references, but for those found by `keep`.
    pub(super) fn forget_idle(&mut self, keep: impl Iterator<Item = BlockKey>) {
        let keep: Vec<u32> = keep.map_while(|key| self.blocks.find(&key)).collect();
        self.blocks.forget_idle(&keep);
    }

    /// Takes the owner's blocks from it, in order; they stay referenced.
    pub(super) fn detach(&mut self, owner: SlotId) -> Vec<u32> {
        let blocks = std::mem::take(self.table(owner)).blocks;
        self.detached += blocks.len() as u64;
        blocks
    }

    /// Returns blocks that were detached, last block first, and tells how many nobody references
    /// now.
    pub(super) fn put_back(&mut self, blocks: Vec<u32>) -> u32 {
        self.detached -= blocks.len() as u64;
        self.blocks.drop_all(blocks.into_iter().rev())
    }

    /// Returns the owner's blocks, last block first, and tells how many nobody references now.
    pub(super) fn release(&mut self, owner: SlotId) -> u32 {
        let table = std::mem::take(self.table(owner));
        self.blocks.drop_all(table.blocks.into_iter().rev())
    }

    /// Checks the queue against the pool's count and every reference against a holder.
    pub(super) fn check(&self, free: u32) {
        let held: u64 = self.tables.iter().map(|table| table.blocks.len() as u64).sum();
        self.blocks.check(free, held + self.detached);
    }

    fn table(&mut self, owner: SlotId) -> &mut Table {
        let index = owner.index();
        if index >= self.tables.len() {
            self.tables.resize_with(index + 1, Table::default);
        }
        &mut self.tables[index]
    }
}
