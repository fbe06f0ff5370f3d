//! Paged KV memory of one replica: a pool of equal blocks, with or without a prefix cache.
//!
//! Without a cache only counts matter, so a pool is a few numbers and the number of blocks that a
//! request holds lives with the request. With a cache blocks are found by their content: run by run where
//! each of a model's layers looks at all tokens (`extents`), otherwise each by its number, which is
//! also the specification of the first ([`PrefixCache`]). Where a model has several groups of layers
//! ([`KvGroups`]) they share the pool, and a request's blocks are the sum over them.

pub(crate) mod chain;
mod extents;
mod free_list;
mod grouped;
mod grouping;
mod groups;
pub mod host_tier;
mod named_blocks;
mod prefix;
pub mod radix;
mod reuse;

pub use chain::Chain;
pub(crate) use extents::Leaves;
pub use grouping::{EqualBlock, Grouping, LayerKv, block_tokens_that_hold, equal_block};
pub use groups::{KvGroups, WINDOW_KINDS_MAX, WindowGroups};
pub use prefix::{BlockKey, CacheRules, PrefixCache};
pub use reuse::{KeptBlocks, Reuse, Stored, Whole};

use crate::ids::SlotId;
use extents::{DetachedRuns, ExtentCache};
use grouped::GroupedCache;

/// The blocks of one replica.
///
/// Invariant: `free + in use = total`, where a cached block that nobody references is free.
#[derive(Clone, Debug)]
pub struct Pool {
    block_tokens: u32,
    groups: KvGroups,
    /// Whether there is more than one group.
    several: bool,
    /// Whether states are kept at the ends of blocks, for others to go on from.
    aligned: bool,
    /// Scratch blocks that a request holds behind each of those states, for its drafts.
    scratch: u32,
    total: u32,
    free: u32,
    peak_used: u32,
    cache: Option<Cache>,
    /// Whether the policy keeps the memory itself and tells how much of it is free.
    told: bool,
    /// What it last told besides.
    last_told: Told,
}

/// What a policy that keeps its own memory says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Blocks that are free now.
    pub free: u32,
    /// Blocks evicted so far.
    pub evicted: u64,
    /// How often so far blocks were taken that are not there, with which the real system ends.
    pub overdrawn: u64,
}

/// Contents of blocks, of one group of layers or of several.
#[derive(Clone, Debug)]
enum Cache {
    One(PrefixCache),
    Several(GroupedCache),
    /// Of one group, by runs of blocks.
    Runs(ExtentCache),
}

/// Blocks that have no owner any more and are not free yet.
#[derive(Clone, Debug)]
pub(crate) struct Detached {
    held: u32,
    blocks: Blocks,
}

/// Which blocks they are.
#[derive(Clone, Debug)]
enum Blocks {
    /// So many; nothing tells them apart.
    Any,
    Numbers(Vec<u32>),
    Runs(DetachedRuns),
}

impl Detached {
    /// How many.
    pub(crate) fn held(&self) -> u32 {
        self.held
    }
}

/// Cached blocks at the head of a request's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// Whole blocks found.
    pub blocks: u32,
    /// Those of them that nobody references: they sit in the free queue and leave it when taken.
    pub idle: u32,
    /// With several groups of layers, the longest prefix that some of them could go on from, in
    /// blocks, where that is longer; otherwise 0.
    pub junction: u32,
    /// Whether it ends with a state that is computed only in the step being formed, so that nobody
    /// can go on from it yet.
    pub unready: bool,
    /// Tokens after these blocks whose KV is copied into blocks of the request's own.
    pub copied: u32,
    /// Tokens at the end of these blocks that are computed anew, in place.
    pub again: u32,
}

impl Hit {
    /// Tokens that need not be computed.
    pub fn tokens(&self, block_tokens: u32) -> u32 {
        self.blocks * block_tokens + self.copied - self.again
    }
}

impl Pool {
    /// A pool of `total` usable blocks of `block_tokens` tokens for `groups` of layers, with a
    /// prefix cache if rules are given. Each state that a request holds has `scratch` blocks beside
    /// it.
    pub fn new(
        total: u32,
        block_tokens: u32,
        groups: KvGroups,
        cache: Option<CacheRules>,
        scratch: u32,
    ) -> Pool {
        assert!(block_tokens > 0, "a KV block holds at least one token");
        let several = !groups.is_one();
        let cache = cache.map(|rules| match several {
            true => Cache::Several(GroupedCache::new(total, block_tokens, groups, rules, scratch)),
            false => Cache::One(PrefixCache::new(total, rules)),
        });
        let aligned = cache.is_some() && groups.states() > 0;
        let groups = if aligned { groups } else { groups.with_scratch(scratch) };
        Pool {
            block_tokens,
            groups,
            several,
            aligned,
            scratch,
            total,
            free: total,
            peak_used: 0,
            cache,
            told: false,
            last_told: Told::default(),
        }
    }

    /// The same for one group of layers with full attention, and a prefix cache that costs by runs of
    /// blocks.
    ///
    /// # Panics
    /// With rules by which the newest of equal blocks is found.
    pub(crate) fn by_runs(total: u32, block_tokens: u32, rules: CacheRules) -> Pool {
        assert!(!rules.newest_wins, "of equal blocks the oldest is found");
        Pool {
            cache: Some(Cache::Runs(ExtentCache::new(total, rules))),
            ..Pool::new(total, block_tokens, KvGroups::ONE, None, 0)
        }
    }

    /// Whether runs of blocks have contents rather than each block, so that who takes blocks for new
    /// content need not be said.
    #[inline]
    pub(crate) fn keeps_runs(&self) -> bool {
        matches!(self.cache, Some(Cache::Runs(_)))
    }

    /// A pool whose policy keeps the memory itself: blocks are nobody's here, and how many are free
    /// is what the policy [tells](Self::tell).
    pub(crate) fn told(total: u32, block_tokens: u32) -> Pool {
        Pool { told: true, ..Pool::new(total, block_tokens, KvGroups::ONE, None, 0) }
    }

    /// Whether the policy keeps the memory itself.
    #[inline]
    pub(crate) fn is_told(&self) -> bool {
        self.told
    }

    /// What the policy says of its memory.
    pub(crate) fn tell(&mut self, told: Told) {
        debug_assert!(self.told);
        self.free = told.free.min(self.total);
        self.last_told = told;
    }

    /// How often blocks were taken that are not there; only where the policy keeps the memory.
    pub fn overdrawn(&self) -> u64 {
        self.last_told.overdrawn
    }

    /// Whether `n` more blocks can be taken now; always where the policy sees to it itself.
    #[inline]
    pub(crate) fn has(&self, n: u32) -> bool {
        self.told || n <= self.free
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
        match &self.cache {
            None => self.last_told.evicted,
            Some(Cache::One(cache)) => cache.evicted(),
            Some(Cache::Several(cache)) => cache.evicted(),
            Some(Cache::Runs(cache)) => cache.evicted(),
        }
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

    /// Blocks that a new request takes to have room for `tokens` tokens, `hit` blocks of which it
    /// takes from the cache.
    #[inline]
    pub(crate) fn blocks_beyond(&self, hit: u32, tokens: u32) -> u32 {
        let new = self.length_for(tokens).saturating_sub(hit);
        match self.several {
            true if new > 0 => self.groups.held(new, 0, self.block_tokens) + self.scratch_blocks(),
            true => 0,
            false => new,
        }
    }

    /// Scratch blocks beside the states of a request, where those are kept at the ends of blocks.
    pub(crate) fn scratch_blocks(&self) -> u32 {
        if self.aligned { self.groups.states() * self.scratch } else { 0 }
    }

    /// New blocks that request `owner`, whose tables are `have` blocks long, takes so that they are
    /// `length` long, and those of states as long as its tokens without slots for drafts are.
    #[inline]
    pub(crate) fn growth_to(&self, owner: SlotId, have: u32, length: u32, tokens: u32) -> u32 {
        let more = length.saturating_sub(have);
        match &self.cache {
            Some(Cache::Several(cache)) if self.scratch > 0 && self.aligned => {
                let states = u32::from(tokens > cache.states_length(owner)) * self.groups.states();
                self.groups.growing() * more + states
            }
            _ => self.growth(more),
        }
    }

    /// Blocks of one group's table that has room for `tokens` tokens.
    #[inline]
    pub(crate) fn length_for(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.block_tokens)
    }

    /// Blocks of request `owner`, whose tables are `length` blocks long and which last took memory
    /// when `computed()` of its tokens were known to be computed.
    #[inline]
    pub(crate) fn held(&self, owner: SlotId, length: u32, computed: impl FnOnce() -> u32) -> u32 {
        if !self.several {
            return length;
        }
        match &self.cache {
            Some(Cache::Several(cache)) => cache.held(owner),
            _ => self.groups.held(length, computed(), self.block_tokens),
        }
    }

    /// Blocks that a request takes whose tables grow by `lengths` blocks each: however many these
    /// are, one of them holds a state.
    #[inline]
    pub(crate) fn growth(&self, lengths: u32) -> u32 {
        if self.several { self.growth_in_groups(lengths) } else { lengths }
    }

    fn growth_in_groups(&self, lengths: u32) -> u32 {
        let states = if self.aligned && lengths > 0 { self.groups.states() } else { 0 };
        self.groups.growing().saturating_mul(lengths).saturating_add(states)
    }

    /// Whether blocks come back while a request runs.
    #[inline]
    pub(crate) fn trims(&self) -> bool {
        self.several && (self.aligned || self.groups.has_windows())
    }

    /// Whether states are kept at the ends of blocks.
    pub(crate) fn aligned(&self) -> bool {
        self.aligned
    }

    /// Blocks that a request gives back, where they have no identities: it last took memory when
    /// `before` of its tokens were known to be computed, and is about to take some now that
    /// `computed` are.
    pub(crate) fn out_of_window(&self, before: u32, computed: u32) -> u32 {
        let given_back = |computed| self.groups.given_back(computed, self.block_tokens);
        given_back(computed) - given_back(before)
    }

    /// Takes back what request `owner`, which goes on, no longer reads once `computed` of its tokens
    /// are computed: blocks with identities, some of which others may hold.
    pub(crate) fn trim(&mut self, owner: SlotId, computed: u32) {
        if let Some(Cache::Several(cache)) = &mut self.cache {
            self.free += cache.trim(owner, computed);
        }
    }

    /// A new step is being formed.
    pub(crate) fn begin_step(&mut self) {
        if let (true, Some(Cache::Several(cache))) = (self.aligned, &mut self.cache) {
            cache.begin_step();
        }
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

    /// The longest cached prefix of `keys`, in whole blocks. Nothing without a cache. With
    /// `drops_last` one group of layers does without the last block (vLLM 0.33.0's
    /// `eagle_block_drop`).
    pub fn lookup(&self, keys: impl Iterator<Item = BlockKey>, drops_last: bool) -> Hit {
        match &self.cache {
            None => Hit::default(),
            Some(Cache::One(cache)) => cache.lookup(keys, drops_last),
            Some(Cache::Several(cache)) => cache.lookup(&keys.collect::<Vec<_>>()),
            Some(Cache::Runs(_)) => unreachable!("asked for by chains"),
        }
    }

    /// The same among the first `blocks` of a chain.
    pub(crate) fn find(&self, chain: &Chain, blocks: u32, drops_last: bool) -> Hit {
        match &self.cache {
            Some(Cache::Runs(cache)) => cache.lookup(chain, blocks, drops_last),
            _ => self.lookup((0..blocks).map(|block| chain.key(block)), drops_last),
        }
    }

    /// Takes the cached blocks of a hit for request `owner`, which holds none yet.
    pub fn take_hit(&mut self, owner: SlotId, hit: Hit, keys: impl Iterator<Item = BlockKey>) {
        self.take_hit_before(owner, (hit, 0), keys);
    }

    fn take_hit_before(
        &mut self,
        owner: SlotId,
        (hit, external): (Hit, u32),
        keys: impl Iterator<Item = BlockKey>,
    ) {
        let keys = keys.take(hit.blocks as usize);
        let idle = match &mut self.cache {
            None => return,
            Some(Cache::One(cache)) => {
                cache.take_hit(owner, keys);
                hit.idle
            }
            Some(Cache::Several(cache)) => {
                cache.take_hit(owner, &keys.collect::<Vec<_>>(), external)
            }
            Some(Cache::Runs(_)) => unreachable!("asked for by chains"),
        };
        self.take_count(idle);
    }

    /// The same of a chain's first blocks, behind which `external` tokens come from elsewhere.
    pub(crate) fn take_found(&mut self, owner: SlotId, hit: Hit, external: u32, chain: &Chain) {
        match &mut self.cache {
            Some(Cache::Runs(_)) if hit.blocks == 0 => {}
            Some(Cache::Runs(cache)) => {
                cache.take_hit(owner, hit.blocks, chain);
                self.take_count(hit.idle);
            }
            _ => {
                let keys = (0..hit.blocks).map(|block| chain.key(block));
                self.take_hit_before(owner, (hit, external), keys);
            }
        }
    }

    /// Takes `n` new blocks for request `owner`, whose tables are `length` blocks long with them.
    ///
    /// # Panics
    /// When fewer are free: policies ask first.
    #[inline]
    pub fn take(&mut self, owner: SlotId, n: u32, length: u32) {
        self.take_for(owner, n, length, length);
    }

    /// The same where the tables of states are only as long as its tokens are: `tokens` blocks.
    #[inline]
    pub(crate) fn take_for(&mut self, owner: SlotId, n: u32, length: u32, tokens: u32) {
        if self.told {
            return;
        }
        self.take_count(n);
        match &mut self.cache {
            None => {}
            Some(Cache::One(cache)) => cache.take_new(owner, n),
            Some(Cache::Several(cache)) => cache.take_to(owner, length, tokens),
            Some(Cache::Runs(cache)) => cache.take(n),
        }
    }

    /// Takes so many blocks for new content of any requests, where blocks have no identities.
    #[inline]
    pub(crate) fn take_nameless(&mut self, n: u32) {
        self.take_count(n);
        if let Some(Cache::Runs(cache)) = &mut self.cache {
            cache.take(n);
        }
    }

    /// Gives content keys to the first `full` blocks of request `owner`, all of them full.
    /// With `once` only those whose content no other block has.
    pub fn hash(&mut self, owner: SlotId, full: u32, once: bool, key: impl Fn(u32) -> BlockKey) {
        match &mut self.cache {
            None => {}
            Some(Cache::One(cache)) => cache.hash(owner, full, once, key),
            Some(Cache::Several(cache)) => cache.hash(owner, full, key),
            Some(Cache::Runs(_)) => unreachable!("registered by chains"),
        }
    }

    /// The same where a chain says what blocks contain.
    #[inline]
    pub(crate) fn register(&mut self, owner: SlotId, full: u32, once: bool, chain: &Chain) {
        match &mut self.cache {
            Some(Cache::Runs(cache)) => cache.register(owner, full, chain),
            _ => self.hash(owner, full, once, |block| chain.key(block)),
        }
    }

    /// The numbers of the blocks of request `owner`, in the order of its tokens; `None` where blocks
    /// have no identities, or there are several groups of layers.
    pub fn blocks_of(&self, owner: SlotId) -> Option<&[u32]> {
        match &self.cache {
            Some(Cache::One(cache)) => Some(cache.blocks_of(owner)),
            _ => None,
        }
    }

    /// Takes the content of all blocks that nobody references, but for those of a hit.
    pub(crate) fn forget_idle(&mut self, keep: impl Iterator<Item = BlockKey>) {
        match &mut self.cache {
            Some(Cache::One(cache)) => cache.forget_idle(keep),
            Some(Cache::Runs(_)) => {
                panic!("a policy that empties its cache says so (Reuse::forgets)")
            }
            _ => {}
        }
    }

    /// Whether blocks get their keys when they are scheduled rather than after the step.
    pub fn hashes_at_schedule(&self) -> bool {
        match &self.cache {
            None => false,
            Some(Cache::One(cache)) => cache.rules().hash_at_schedule,
            Some(Cache::Several(cache)) => cache.rules().hash_at_schedule,
            Some(Cache::Runs(cache)) => cache.rules().hash_at_schedule,
        }
    }

    /// Returns the `held` blocks of request `owner`.
    pub fn release(&mut self, owner: SlotId, held: u32) {
        self.release_of(owner, held, Leaves::ForGood);
    }

    /// The same where it is said whether it comes back.
    pub(crate) fn release_of(&mut self, owner: SlotId, held: u32, leaves: Leaves<'_>) {
        if self.told {
            return;
        }
        self.free += match &mut self.cache {
            None => held,
            Some(Cache::One(cache)) => {
                debug_assert_eq!(cache.held(owner), held);
                cache.release(owner)
            }
            Some(Cache::Several(cache)) => {
                debug_assert_eq!(cache.held(owner), held);
                cache.release(owner)
            }
            Some(Cache::Runs(cache)) => cache.release(owner, held, leaves),
        };
        assert!(self.free <= self.total, "more KV blocks freed than there are");
    }

    /// Takes the `held` blocks of request `owner` from it; they come back later.
    pub(crate) fn detach(&mut self, owner: SlotId, held: u32) -> Detached {
        let blocks = match &mut self.cache {
            None => Blocks::Any,
            Some(Cache::One(cache)) => Blocks::Numbers(cache.detach(owner)),
            Some(Cache::Several(cache)) => Blocks::Numbers(cache.detach(owner)),
            Some(Cache::Runs(cache)) => Blocks::Runs(cache.detach(owner, held)),
        };
        Detached { held, blocks }
    }

    /// Takes back blocks that were detached.
    pub(crate) fn put_back(&mut self, detached: Detached) {
        self.free += match (&mut self.cache, detached.blocks) {
            (Some(Cache::One(cache)), Blocks::Numbers(blocks)) => cache.put_back(blocks),
            (Some(Cache::Several(cache)), Blocks::Numbers(blocks)) => cache.put_back(blocks),
            (Some(Cache::Runs(cache)), Blocks::Runs(runs)) => cache.put_back(runs),
            _ => detached.held,
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
            None if self.told => {}
            None => assert_eq!(used, held, "KV blocks allocated + free = total"),
            Some(cache) => {
                assert!(used <= held, "a referenced block has no holder");
                match cache {
                    Cache::One(cache) => cache.check(self.free),
                    Cache::Several(cache) => cache.check(self.free),
                    Cache::Runs(cache) => cache.check(self.free),
                }
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
