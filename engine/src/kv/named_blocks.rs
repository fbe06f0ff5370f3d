//! Blocks with identities: who references them, what they contain, and in which order free ones are
//! taken. What the prefix caches of one group of layers and of several have in common.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::CacheRules;
use super::free_list::FreeList;

const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Block<K> {
    references: u32,
    key: Option<K>,
    /// The next block with the same key, hashed later.
    duplicate: u32,
}

/// The blocks of one pool by number, found by key.
#[derive(Clone, Debug)]
pub(super) struct NamedBlocks<K> {
    rules: CacheRules,
    blocks: Vec<Block<K>>,
    free: FreeList,
    by_key: FxHashMap<K, u32>,
    evicted: u64,
    /// Contents that were lost, in order.
    #[cfg(test)]
    log: Vec<K>,
}

impl<K: Copy + Eq + Hash> NamedBlocks<K> {
    pub(super) fn new(total: u32, rules: CacheRules) -> NamedBlocks<K> {
        let block = Block { references: 0, key: None, duplicate: NONE };
        NamedBlocks {
            rules,
            blocks: vec![block; total as usize],
            free: FreeList::full(total),
            by_key: FxHashMap::default(),
            evicted: 0,
            #[cfg(test)]
            log: Vec::new(),
        }
    }

    /// Blocks that lost their content because they were taken for something else.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn rules(&self) -> CacheRules {
        self.rules
    }

    /// The block found by a key.
    pub(super) fn find(&self, key: &K) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// Whether nobody references a block.
    pub(super) fn is_idle(&self, number: u32) -> bool {
        self.blocks[number as usize].references == 0
    }

    /// Adds a reference to a block that keeps its content; says whether it had none.
    pub(super) fn share(&mut self, number: u32) -> bool {
        let block = &mut self.blocks[number as usize];
        let idle = block.references == 0;
        if idle {
            self.free.remove(number);
        }
        block.references += 1;
        idle
    }

    /// Takes the next free block for new content.
    pub(super) fn take(&mut self) -> u32 {
        let number = self.free.pop_front().expect("the pool counted a free block");
        self.forget_key(number);
        self.blocks[number as usize].references = 1;
        number
    }

    /// Drops a reference to each of `numbers`, and tells how many blocks nobody references now. The
    /// first of them is the first to be taken again, those without a key before all others where
    /// the rules say so.
    pub(super) fn drop_all(&mut self, numbers: impl Iterator<Item = u32>) -> u32 {
        let mut freed = 0;
        let mut keyless = Vec::new();
        for number in numbers {
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

    /// Gives a block its key, unless it has one.
    pub(super) fn name(&mut self, number: u32, key: impl FnOnce() -> K) {
        if self.blocks[number as usize].key.is_none() {
            self.give_key(number, key());
        }
    }

    /// Takes the keys of all blocks that can be found and nobody references, but for those of these
    /// numbers.
    pub(super) fn forget_idle(&mut self, keep: &[u32]) {
        let idle = |&number: &u32| self.is_idle(number) && !keep.contains(&number);
        let idle: Vec<u32> = self.by_key.values().copied().filter(idle).collect();
        for number in idle {
            self.forget_key(number);
        }
    }

    /// Checks the queue against the pool's count and every reference against a holder.
    pub(super) fn check(&self, free: u32, held: u64) {
        assert_eq!(self.free.len(), free, "free queue and pool disagree");
        let references: u64 = self.blocks.iter().map(|block| u64::from(block.references)).sum();
        assert_eq!(references, held, "references and holders disagree");
    }

    fn give_key(&mut self, number: u32, key: K) {
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
        #[cfg(test)]
        self.log.push(key);
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

/// What tests look at.
#[cfg(test)]
impl<K: Copy + Eq + Hash> NamedBlocks<K> {
    /// The contents that were lost since the last call, in order.
    pub(super) fn take_log(&mut self) -> Vec<K> {
        std::mem::take(&mut self.log)
    }

    /// The contents of free blocks, from the next to be taken on.
    pub(super) fn free_contents(&self) -> Vec<Option<K>> {
        self.free.numbers().map(|number| self.blocks[number as usize].key).collect()
    }

    /// Of each content the references of its blocks, in the order in which they got it.
    pub(super) fn contents(&self) -> Vec<(K, Vec<u32>)> {
        let of = |(&key, &first): (&K, &u32)| {
            let some = |number: u32| (number != NONE).then_some(number);
            let next = |&number: &u32| some(self.blocks[number as usize].duplicate);
            let all = std::iter::successors(some(first), next);
            (key, all.map(|number| self.blocks[number as usize].references).collect())
        };
        self.by_key.iter().map(of).collect()
    }
}
