//! The same random operations on the block pool and on extents, compared after each: free blocks, hits,
//! contents evicted in order; every few operations the whole free list and all contents with their
//! holders in the order of registration. And each rule that can be got wrong, broken.

mod examples;
mod world;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::world::World;
use super::{DetachedRuns, ExtentCache, Leaves, Wrong};
use crate::ids::SlotId;
use crate::kv::chain::Chain;
use crate::kv::{BlockKey, CacheRules, PrefixCache};

const RULES: CacheRules = CacheRules {
    keyless_first: true,
    newest_wins: false,
    hash_at_schedule: true,
    keeps_states: true,
};

/// Both caches.
pub(super) struct Both {
    named: PrefixCache,
    extents: ExtentCache,
    free: u32,
    /// Requests that have ended: what was theirs alone is of no account.
    ended: HashSet<u64>,
    /// From which block on it is a request's alone.
    private: HashMap<u64, u32>,
}

/// A request with what is known of it outside of the caches.
#[derive(Clone)]
pub(super) struct Asking {
    slot: SlotId,
    number: u64,
    chain: Chain,
    /// Whether others may begin with all of its blocks.
    followed: bool,
    /// Blocks of its prompt.
    prompt: u32,
    held: u32,
    registered: u32,
}

pub(super) struct Late {
    named: Vec<u32>,
    extents: DetachedRuns,
    number: u64,
}

impl Both {
    pub(super) fn new(total: u32, rules: CacheRules, wrong: Option<Wrong>) -> Both {
        let mut extents = ExtentCache::new(total, rules);
        extents.wrong = wrong;
        Both {
            named: PrefixCache::new(total, rules),
            extents,
            free: total,
            ended: HashSet::new(),
            private: HashMap::new(),
        }
    }

    /// A block's content, or `None` where nobody can find it any more.
    fn seen(&self, key: BlockKey) -> Option<BlockKey> {
        let alone = |number: &u64| self.private.get(number).is_some_and(|&from| key.index >= from);
        (key.shared || !self.ended.contains(&key.id) || !alone(&key.id)).then_some(key)
    }

    pub(super) fn lookup(&self, chain: &Chain, blocks: u32, drops_last: bool) -> u32 {
        let keys = (0..blocks).map(|block| chain.key(block));
        let hit = self.named.lookup(keys, drops_last);
        assert_eq!(hit, self.extents.lookup(chain, blocks, drops_last), "hit");
        hit.blocks
    }

    /// Takes a hit and so many blocks beyond it; whether they are there.
    pub(super) fn admit(&mut self, asks: &mut Asking, hit: u32, new: u32) -> bool {
        let idle = self.extents.lookup(&asks.chain, hit, false).idle;
        if idle + new > self.free {
            return false;
        }
        let keys = (0..hit).map(|block| asks.chain.key(block));
        self.named.take_hit(asks.slot, keys);
        self.extents.take_hit(asks.slot, hit, &asks.chain);
        self.free -= idle;
        (asks.held, asks.registered) = (hit, hit);
        self.grow(asks, new)
    }

    pub(super) fn grow(&mut self, asks: &mut Asking, new: u32) -> bool {
        if new > self.free {
            return false;
        }
        self.named.take_new(asks.slot, new);
        self.extents.take(new);
        self.free -= new;
        asks.held += new;
        let evicted: Vec<Option<BlockKey>> =
            self.named.blocks.take_log().into_iter().map(|key| self.seen(key)).collect();
        let log = std::mem::take(&mut self.extents.log);
        let log: Vec<_> = log.into_iter().map(|key| key.and_then(|key| self.seen(key))).collect();
        assert_eq!(evicted, log, "evicted");
        assert_eq!(self.named.evicted(), self.extents.evicted());
        true
    }

    pub(super) fn register(&mut self, asks: &mut Asking, full: u32) {
        let full = full.min(asks.held);
        self.named.hash(asks.slot, full, false, |block| asks.chain.key(block));
        self.extents.register(asks.slot, full, &asks.chain);
        asks.registered = asks.registered.max(full);
    }

    pub(super) fn release(&mut self, asks: &mut Asking, for_good: bool) {
        let leaves = if for_good { Leaves::ForGood } else { Leaves::ForNow(&asks.chain) };
        let freed = self.named.release(asks.slot);
        assert_eq!(freed, self.extents.release(asks.slot, asks.held, leaves), "freed");
        self.free += freed;
        (asks.held, asks.registered) = (0, 0);
        if for_good {
            self.ended.insert(asks.number);
        }
    }

    pub(super) fn detach(&mut self, asks: &Asking) -> Late {
        Late {
            named: self.named.detach(asks.slot),
            extents: self.extents.detach(asks.slot, asks.held),
            number: asks.number,
        }
    }

    pub(super) fn put_back(&mut self, late: Late) {
        let freed = self.named.put_back(late.named);
        assert_eq!(freed, self.extents.put_back(late.extents), "freed late");
        self.free += freed;
        self.ended.insert(late.number);
    }

    /// The contents of free blocks in the order in which they are taken, without identity where nobody
    /// can find them.
    pub(super) fn free_contents(&self) -> Vec<Option<BlockKey>> {
        let mut ours: Vec<Option<BlockKey>> = vec![None; self.extents.queue.blank() as usize];
        for copy in self.extents.queue.runs(&self.extents.slabs) {
            let copy = &self.extents.slabs[copy];
            for nth in (0..copy.blocks).rev() {
                let cell = copy.cell.is_cell().then(|| &self.extents.slabs[copy.cell]);
                let key = cell.map(|cell| cell.chain.key(cell.start + nth));
                ours.push(key.and_then(|key| self.seen(key)));
            }
        }
        let named = self.named.blocks.free_contents().into_iter();
        let named: Vec<_> = named.map(|key| key.and_then(|key| self.seen(key))).collect();
        assert_eq!(named, ours, "free list");
        ours
    }

    /// Of each content that somebody else may find, who holds its copies.
    pub(super) fn compare_all(&self) {
        self.free_contents();
        self.extents.check(self.free);
        let public = |key: &BlockKey| {
            key.shared || self.private.get(&key.id).is_none_or(|&from| key.index < from)
        };
        let sorted = |key: BlockKey| (key.shared, key.id, key.index);
        let named: BTreeMap<_, _> = self
            .named
            .blocks
            .contents()
            .into_iter()
            .filter(|(key, _)| public(key))
            .map(|(key, holders)| (sorted(key), holders))
            .collect();
        let mut ours: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        for cell in self.extents.slabs.all_cells() {
            let at = &self.extents.slabs[cell];
            for copy in self.extents.slabs.copies_of(cell) {
                let copy = &self.extents.slabs[copy];
                for nth in 0..copy.blocks {
                    let key = at.chain.key(at.start + nth);
                    if public(&key) {
                        ours.entry(sorted(key)).or_default().push(copy.holders);
                    }
                }
            }
        }
        assert_eq!(named, ours, "contents");
    }
}

fn play(seed: u64, steps: u32, wrong: Option<Wrong>) {
    let mut world = World::new(seed, wrong);
    for step in 0..steps {
        world.step();
        if step % 7 == 0 {
            world.both.compare_all();
        }
    }
    world.both.compare_all();
}

#[test]
fn extents_answer_as_blocks_do() {
    for seed in 0..400 {
        let played = catch_unwind(AssertUnwindSafe(|| play(seed, 600, None)));
        assert!(played.is_ok(), "seed {seed}");
    }
}

/// Hundreds of times as many: `cargo test -p metron-engine --lib --release kv::extents -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn extents_answer_as_blocks_do_for_long() {
    for seed in 1_000..6_000 {
        let played = catch_unwind(AssertUnwindSafe(|| play(seed, 1_500, None)));
        assert!(played.is_ok(), "seed {seed}");
    }
}

/// What the comparison is worth: every rule that can be got wrong is noticed.
#[test]
fn every_broken_rule_is_noticed() {
    let rules = [
        Wrong::PlaceKeptWhileGrowing,
        Wrong::SplitHeadFirst,
        Wrong::NewContentGrowsASharedCopy,
        Wrong::TableFreedHeadFirst,
        Wrong::LastCopyAnswers,
        Wrong::UnregisteredToTheBack,
        Wrong::HitTakesTheWholeNode,
        Wrong::JoinsWithoutEqualReferences,
        Wrong::JoinsIdlePartsApart,
        Wrong::PreemptedLosesItsOwn,
        Wrong::UnmetPutInFront,
    ];
    let caught = |rule| {
        (0..400)
            .find(|&seed| catch_unwind(AssertUnwindSafe(|| play(seed, 600, Some(rule)))).is_err())
    };
    let caught = rules.map(|rule| (rule, caught(rule)));
    for (rule, seed) in caught {
        assert!(seed.is_some(), "{rule:?} goes unnoticed");
    }
}
