//! Paged KV memory of one replica: a pool of equal blocks, with or without a prefix cache.
//!
//! Without a cache only counts matter, so a pool is a few numbers and the number of blocks that a
//! request holds lives with the request. With a cache every block has an identity: see
//! [`PrefixCache`].

mod free_list;
mod groups;
mod prefix;

pub use groups::{KvGroups, WINDOW_KINDS_MAX, WindowGroups};
pub use prefix::{BlockKey, CacheRules, PrefixCache};

use crate::ids::SlotId;

/// The blocks of one replica.
///
/// Invariant: `free + in use = total`, where a cached block that nobody references is free.
#[derive(Clone, Debug)]
pub struct Pool {
    block_tokens: u32,
    groups: KvGroups,
    /// Whether there is more than one group.
    several: bool,
    total: u32,
    free: u32,
    peak_used: u32,
    cache: Option<PrefixCache>,
}

/// Cached blocks at the head of a request's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// Whole blocks found.
    pub blocks: u32,
    /// Those of them that nobody references: they sit in the free queue and leave it when taken.
    pub idle: u32,
}

impl Pool {
    /// A pool of `total` usable blocks of `block_tokens` tokens for `groups` of layers, with a
    /// prefix cache if rules are given.
    pub fn new(total: u32, block_tokens: u32, groups: KvGroups, cache: Option<CacheRules>) -> Pool {
        assert!(block_tokens > 0, "a KV block holds at least one token");
        let cache = cache.map(|rules| PrefixCache::new(total, rules));
        let several = !groups.is_one();
        Pool { block_tokens, groups, several, total, free: total, peak_used: 0, cache }
    }

    /// Usable blocks.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Blocks that nobody references.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// The most blocks that were in use at once.
    pub fn peak_used(&self) -> u32 {
        self.peak_used
    }

    /// Cached blocks that lost their content because they were taken for something else.
    pub fn evicted(&self) -> u64 {
        self.cache.as_ref().map_or(0, PrefixCache::evicted)
    }

    /// The groups of layers whose blocks these are.
    pub fn groups(&self) -> &KvGroups {
        &self.groups
    }

    /// Blocks that a new request takes to have room for `tokens` tokens.
    #[inline]
    pub fn blocks_for(&self, tokens: u32) -> u32 {
        let length = self.length_for(tokens);
        if self.several { self.groups.held(length, 0, self.block_tokens) } else { length }
    }

    /// Blocks of one group's table that has room for `tokens` tokens.
    #[inline]
    pub(crate) fn length_for(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.block_tokens)
    }

    /// Blocks of a request whose tables are `length` blocks long and that last took memory when
    /// `computed()` of its tokens were computed.
    #[inline]
    pub(crate) fn held(&self, length: u32, computed: impl FnOnce() -> u32) -> u32 {
        if self.several { self.groups.held(length, computed(), self.block_tokens) } else { length }
    }

    /// Blocks with which all tables together grow by `lengths` blocks each.
    #[inline]
    pub(crate) fn growth(&self, lengths: u32) -> u32 {
        if self.several { self.groups.growing() * lengths } else { lengths }
    }

    /// Whether blocks come back while a request runs.
    #[inline]
    pub(crate) fn trims(&self) -> bool {
        self.several && self.groups.has_windows()
    }

    /// Blocks that a request gives back which last took memory when `before` of its tokens were
    /// computed, and is about to take some now that `computed` are.
    pub(crate) fn out_of_window(&self, before: u32, computed: u32) -> u32 {
        let given_back = |computed| self.groups.given_back(computed, self.block_tokens);
        given_back(computed) - given_back(before)
    }

    /// Takes back `n` blocks of requests that go on.
    pub(crate) fn give_back(&mut self, n: u32) {
        self.free += n;
        assert!(self.free <= self.total, "more KV blocks freed than there are");
    }

    /// Notes how many blocks are in use. Where blocks come back while requests run only what a
    /// whole step comes to is counted, so that the order within it is of no account.
    #[inline]
    pub(crate) fn settle(&mut self) {
        self.peak_used = self.peak_used.max(self.total - self.free);
    }

    /// Whether blocks have identities.
    pub fn caching(&self) -> bool {
        self.cache.is_some()
    }

    /// The longest cached prefix of `keys`, in whole blocks. Nothing without a cache.
    pub fn lookup(&self, keys: impl Iterator<Item = BlockKey>) -> Hit {
        self.cache.as_ref().map_or(Hit::default(), |cache| cache.lookup(keys))
    }

    /// Takes the cached blocks of a hit for request `owner`, which holds none yet.
    pub fn take_hit(&mut self, owner: SlotId, hit: Hit, keys: impl Iterator<Item = BlockKey>) {
        if let Some(cache) = &mut self.cache {
            cache.take_hit(owner, keys.take(hit.blocks as usize));
            self.take_count(hit.idle);
        }
    }

    /// Takes `n` new blocks for request `owner`.
    ///
    /// # Panics
    /// When fewer are free: policies ask first.
    #[inline]
    pub fn take(&mut self, owner: SlotId, n: u32) {
        self.take_count(n);
        if let Some(cache) = &mut self.cache {
            cache.take_new(owner, n);
        }
    }

    /// Gives content keys to the first `full` blocks of request `owner`, all of them full.
    pub fn hash(&mut self, owner: SlotId, full: u32, key: impl Fn(u32) -> BlockKey) {
        if let Some(cache) = &mut self.cache {
            cache.hash(owner, full, key);
        }
    }

    /// Whether blocks get their keys when they are scheduled rather than after the step.
    pub fn hashes_at_schedule(&self) -> bool {
        self.cache.as_ref().is_some_and(|cache| cache.rules().hash_at_schedule)
    }

    /// Returns the `held` blocks of request `owner`.
    pub fn release(&mut self, owner: SlotId, held: u32) {
        self.free += match &mut self.cache {
            None => held,
            Some(cache) => {
                debug_assert_eq!(cache.held(owner), held);
                cache.release(owner)
            }
        };
        assert!(self.free <= self.total, "more KV blocks freed than there are");
    }

    /// Checks that allocated and free blocks add up; `held` is the sum over requests.
    ///
    /// # Panics
    /// When they do not: with a cache shared blocks count once, so `held` may only be larger.
    pub fn check(&self, held: u64) {
        let used = u64::from(self.total - self.free);
        match &self.cache {
            None => assert_eq!(used, held, "KV blocks allocated + free = total"),
            Some(cache) => {
                assert!(used <= held, "a referenced block has no holder");
                cache.check(self.free);
            }
        }
    }

    #[inline]
    fn take_count(&mut self, n: u32) {
        self.free = self.free.checked_sub(n).expect("took more KV blocks than are free");
        if !self.trims() {
            self.settle();
        }
    }
}
