//! A prefix cache that costs by requests, not by blocks: runs of blocks that are filled, freed and
//! evicted together are one entry. For one group of layers with full attention; every answer is that of
//! [`PrefixCache`](super::PrefixCache), which knows each block by number and is its specification.
//!
//! Nobody sees a block's number: what is seen is how many blocks are free, how many of a prompt are
//! found, and in which order contents are lost. So
//!
//! - a *cell* is a stretch of content; cells make a forest, in which a chain of blocks is a walk;
//! - a *copy* is one physical copy of the first `n` blocks of a cell, all of which the same requests hold.
//!   A cell keeps its copies in the order of their registration; nearly always there is one. A block is
//!   found in the first copy that has it;
//! - the table of a request is a list of copies; whatever it holds behind them has no content that
//!   anybody can find yet, and is a number;
//! - the free list is a number of blocks without content, which are taken first, and then copies that
//!   nobody holds. Of each the last block goes first.
//!
//! A cell is cut where the blocks of a copy begin to differ, and joined again when nothing tells its
//! two parts apart. Both leave tables alone: a copy that was cut names its second part.
//!
//! What no other request can have ([`Chain::private_from`]) is not put into the forest while its
//! request runs, and when that has ended all that is left of it is a number of blocks.

mod forest;
mod held;
mod queue;
mod slabs;
#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;

use self::queue::Queue;
use self::slabs::{CellId, CopyId, Slabs};
use super::chain::Chain;
use super::{CacheRules, Hit};
use crate::ids::SlotId;

/// Runs of a replica's blocks, found by content. The counts are the [`Pool`](super::Pool)'s.
#[derive(Clone, Debug)]
pub(super) struct ExtentCache {
    rules: CacheRules,
    slabs: Slabs,
    queue: Queue,
    /// Cells by the cell before them and the name of their first block.
    children: FxHashMap<(CellId, (u64, bool)), CellId>,
    owners: Vec<Owner>,
    /// Copies that a walk over an item of a table has met.
    met: Vec<CopyId>,
    evicted: u64,
    /// Blocks that are held and in no owner's table.
    detached: u64,
    /// Evicted contents, in order; `None` for what nobody could have found.
    #[cfg(test)]
    log: Vec<Option<super::BlockKey>>,
    /// A rule that is broken, so that tests are seen to notice.
    #[cfg(test)]
    wrong: Option<Wrong>,
}

/// What a request holds.
#[derive(Clone, Debug, Default)]
struct Owner {
    /// The head of its table: copies, one after the other.
    items: Vec<Item>,
    /// Blocks of these.
    covered: u32,
    /// Blocks that have content. Those beyond `covered` are in no cell: nobody else can have them.
    registered: u32,
}

/// So many blocks, in this copy and, where it has fewer, in those that were cut off its end.
#[derive(Clone, Copy, Debug)]
struct Item {
    copy: CopyId,
    blocks: u32,
}

/// Blocks of a request that has left them and gives them back later.
#[derive(Clone, Debug)]
pub(super) struct DetachedRuns {
    owner: Owner,
    held: u32,
}

/// Whether a request gives its blocks back for good.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leaves<'a> {
    /// It has ended: what it alone could find is of no use to anybody.
    ForGood,
    /// It was preempted, and will look for what its blocks contain.
    ForNow(&'a Chain),
}

/// Rules that can be got wrong without a golden case noticing.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    PlaceKeptWhileGrowing,
    SplitHeadFirst,
    NewContentGrowsASharedCopy,
    TableFreedHeadFirst,
    LastCopyAnswers,
    UnregisteredToTheBack,
    HitTakesTheWholeNode,
    JoinsWithoutEqualReferences,
    JoinsIdlePartsApart,
    PreemptedLosesItsOwn,
    UnmetPutInFront,
}

/// Whether a test has broken a rule; never elsewhere.
macro_rules! broken {
    ($cache:expr, $rule:ident) => {{
        #[cfg(test)]
        let broken = $cache.wrong == Some(crate::kv::extents::Wrong::$rule);
        #[cfg(not(test))]
        let broken = false;
        broken
    }};
}
use broken;

impl ExtentCache {
    pub(super) fn new(total: u32, rules: CacheRules) -> ExtentCache {
        debug_assert!(!rules.newest_wins, "the first copy answers");
        let mut slabs = Slabs::new();
        let queue = Queue::new(&mut slabs, total, rules.keyless_first);
        ExtentCache {
            rules,
            slabs,
            queue,
            children: FxHashMap::default(),
            owners: Vec::new(),
            met: Vec::new(),
            evicted: 0,
            detached: 0,
            #[cfg(test)]
            log: Vec::new(),
            #[cfg(test)]
            wrong: None,
        }
    }

    /// Blocks that lost their content because they were taken for something else.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn rules(&self) -> CacheRules {
        self.rules
    }

    /// The longest hit among the first `blocks` of a chain, or with `drops_last` one block less.
    pub(super) fn lookup(&self, chain: &Chain, blocks: u32, drops_last: bool) -> Hit {
        let mut hit = Hit::default();
        let mut last_is_idle = false;
        let mut cell = CellId::ROOT;
        while hit.blocks < blocks {
            let Some(child) = self.child(cell, chain, hit.blocks) else { break };
            cell = child;
            let (start, end) = self.slabs[cell].span();
            let most = self.slabs[cell].chain.differs(chain, start, end.min(blocks)) - start;
            let mut found = 0;
            for copy in self.slabs.copies_of(cell) {
                let copy = &self.slabs[copy];
                let to = copy.blocks.min(most);
                if to > found {
                    last_is_idle = copy.holders == 0;
                    hit.idle += if last_is_idle { to - found } else { 0 };
                    found = to;
                }
                if found == most {
                    break;
                }
            }
            hit.blocks = start + found;
            if found < end - start {
                break;
            }
        }
        if drops_last && hit.blocks > 0 {
            hit.blocks -= 1;
            hit.idle -= u32::from(last_is_idle);
        }
        hit
    }

    /// Takes the first `blocks` of a chain, all of them cached, for an owner that holds none.
    pub(super) fn take_hit(&mut self, owner: SlotId, blocks: u32, chain: &Chain) {
        let mut holds = std::mem::take(self.owner(owner));
        debug_assert!(holds.items.is_empty());
        self.adopt(chain, blocks, &mut holds.items);
        holds.covered = blocks;
        holds.registered = blocks;
        *self.owner(owner) = holds;
    }

    /// Takes the next `n` free blocks for new content.
    pub(super) fn take(&mut self, n: u32) {
        let mut left = self.queue.take_blank(n);
        while left > 0 {
            let copy = self.queue.front(&self.slabs);
            let before = self.slabs[copy].blocks;
            let taken = left.min(before);
            left -= taken;
            if self.slabs[copy].cell != CellId::NO_CONTENT {
                self.evicted += u64::from(taken);
            }
            #[cfg(test)]
            self.note_evicted(copy, taken);
            self.slabs[copy].blocks = before - taken;
            if taken == before {
                self.queue.unlink(&mut self.slabs, copy);
            }
            self.shrunk(copy);
        }
    }

    /// Gives content to the first `full` blocks of an owner's table.
    #[inline]
    pub(super) fn register(&mut self, owner: SlotId, full: u32, chain: &Chain) {
        let holds = self.owner(owner);
        if full <= holds.registered {
            return;
        }
        holds.registered = full;
        let public = full.min(chain.private_from());
        if public > holds.covered {
            self.put_into_cells(owner, public, chain);
        }
    }

    /// Returns the `held` blocks of an owner, last block first, and tells how many nobody holds now.
    pub(super) fn release(&mut self, owner: SlotId, held: u32, leaves: Leaves) -> u32 {
        if let Leaves::ForNow(chain) = leaves {
            self.put_private_into_cells(owner, chain);
        }
        let mut holds = std::mem::take(self.owner(owner));
        let freed = self.give_back(&mut holds, held);
        // The list keeps its memory for the next request.
        *self.owner(owner) = Owner { items: holds.items, ..Owner::default() };
        freed
    }

    /// Takes the `held` blocks of an owner that has ended from it; they stay held.
    pub(super) fn detach(&mut self, owner: SlotId, held: u32) -> DetachedRuns {
        self.detached += u64::from(held);
        DetachedRuns { owner: std::mem::take(self.owner(owner)), held }
    }

    /// Returns blocks that were detached, and tells how many nobody holds now.
    pub(super) fn put_back(&mut self, mut detached: DetachedRuns) -> u32 {
        self.detached -= u64::from(detached.held);
        self.give_back(&mut detached.owner, detached.held)
    }

    /// Checks the free list against the pool's count, and copies against their cells and holders.
    pub(super) fn check(&self, free: u32) {
        assert_eq!(self.queue.blocks(&self.slabs), free, "free list and pool disagree");
        self.check_forest();
    }

    fn owner(&mut self, owner: SlotId) -> &mut Owner {
        let index = owner.index();
        if index >= self.owners.len() {
            self.owners.resize_with(index + 1, Owner::default);
        }
        &mut self.owners[index]
    }

    /// The cell that goes on after `cell` with a chain's block.
    fn child(&self, cell: CellId, chain: &Chain, block: u32) -> Option<CellId> {
        if self.children.is_empty() {
            return None;
        }
        self.children.get(&(cell, chain.name(block))).copied()
    }
}
