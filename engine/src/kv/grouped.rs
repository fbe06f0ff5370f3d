//! The prefix cache of a model with several groups of layers.
//!
//! Every group has a table of its own, some places of which hold nothing: what lies behind a
//! window, and all states but the last ones. A hit needs, in each full group, all blocks up to its
//! end; in each window group those that the next token reads; in each state group the state at its
//! end. Rules read from vLLM 0.33.0 (`v1/core/kv_cache_coordinator.py`,
//! `v1/core/single_type_kv_cache_manager.py`).

use rustc_hash::FxHashSet;

use super::groups::{KvGroups, STATE_TOKENS, WindowGroups, below_window};
use super::named_blocks::NamedBlocks;
use super::{BlockKey, CacheRules, Hit};
use crate::ids::SlotId;

const NONE: u32 = u32::MAX;

/// What a block of one group contains.
type GroupKey = (u32, BlockKey);

/// Block identities of one pool that holds several groups of layers.
#[derive(Clone, Debug)]
pub(super) struct GroupedCache {
    groups: KvGroups,
    block_tokens: u32,
    /// Groups of one kind, looked up together: full ones first, then windows, then states.
    kinds: Vec<Kind>,
    /// Blocks behind a state that its drafts write their own into.
    scratch: u32,
    blocks: NamedBlocks<GroupKey>,
    owners: Vec<Owner>,
    /// Blocks that were taken from their owners and are not returned yet.
    detached: u64,
    /// States that got their keys in the step being formed: nobody can go on from them yet.
    unready: FxHashSet<GroupKey>,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    reads: Reads,
    /// Its first group, and how many there are.
    first: u32,
    count: u32,
}

/// Of what lies before it, what the next token reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    All,
    Window(WindowGroups),
    State,
}

#[derive(Clone, Debug, Default)]
struct Owner {
    /// A table for each group, all of one length.
    tables: Vec<Table>,
    /// Blocks in them.
    held: u32,
    /// Places of them that are known to have keys.
    hashed: u32,
    /// Blocks that its tokens fill or begin, as far as its tables of states go.
    states: u32,
}

#[derive(Clone, Debug, Default)]
struct Table {
    blocks: Vec<u32>,
    /// Places at its head that hold nothing any more.
    gone: u32,
}

impl GroupedCache {
    pub(super) fn new(
        total: u32,
        block_tokens: u32,
        groups: KvGroups,
        rules: CacheRules,
        scratch: u32,
    ) -> GroupedCache {
        let mut kinds = Vec::new();
        let mut first = 0;
        let windows = groups.windows().map(|window| (Reads::Window(window), window.count));
        let all = [(Reads::All, groups.full())].into_iter().chain(windows);
        for (reads, count) in all.chain([(Reads::State, groups.states())]) {
            if count > 0 {
                kinds.push(Kind { reads, first, count });
                first += count;
            }
        }
        GroupedCache {
            groups,
            block_tokens,
            kinds,
            scratch,
            blocks: NamedBlocks::new(total, rules),
            owners: Vec::new(),
            detached: 0,
            unready: FxHashSet::default(),
        }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.blocks.evicted()
    }

    pub(super) fn rules(&self) -> CacheRules {
        self.blocks.rules()
    }

    /// A new step is being formed: states of the one before are there.
    pub(super) fn begin_step(&mut self) {
        self.unready.clear();
    }

    pub(super) fn held(&self, owner: SlotId) -> u32 {
        self.owners.get(owner.index()).map_or(0, |owner| owner.held)
    }

    /// The longest prefix of `keys` that every group can go on from.
    pub(super) fn lookup(&self, keys: &[BlockKey]) -> Hit {
        let (mut end, mut longest) = (keys.len(), 0);
        let mut whole = None;
        loop {
            let start = end;
            for kind in &self.kinds {
                end = match (kind.reads, whole) {
                    (Reads::All, Some(whole)) => end.min(whole),
                    (Reads::All, None) => *whole.insert(self.find(kind, &keys[..end])),
                    _ => self.find(kind, &keys[..end]),
                };
                longest = longest.max(end);
            }
            let one_pass = self.kinds.len() <= 2 && self.kinds[0].reads == Reads::All;
            if end >= start || one_pass || self.groups.all() == 1 {
                break;
            }
        }
        let junction = if longest > end { longest as u32 } else { 0 };
        let mut hit = Hit { blocks: end as u32, junction, ..Hit::default() };
        for kind in &self.kinds {
            for (group, place) in
                kind.places(end, end as u32 * self.block_tokens, self.block_tokens)
            {
                let key = (group, keys[place]);
                let block = self.blocks.find(&key).expect("it is part of the hit");
                hit.idle += u32::from(self.blocks.is_idle(block));
                hit.unready |= kind.reads == Reads::State && self.unready.contains(&key);
            }
        }
        hit
    }

    /// Where the longest hit of one kind's groups ends, in blocks.
    fn find(&self, kind: &Kind, keys: &[BlockKey]) -> usize {
        let cached = |&place: &usize| {
            let mut groups = kind.first..kind.first + kind.count;
            groups.all(|group| self.blocks.find(&(group, keys[place])).is_some())
        };
        match kind.reads {
            Reads::All => (0..keys.len()).take_while(cached).count(),
            Reads::State => (0..keys.len()).rev().find(cached).map_or(0, |place| place + 1),
            Reads::Window(window) => {
                let wanted = (window.tokens - 1).div_ceil(self.block_tokens) as usize;
                let mut run = 0;
                for place in (0..keys.len()).rev() {
                    run = if cached(&place) { run + 1 } else { 0 };
                    if run > 0 && run >= wanted {
                        return place + run;
                    }
                }
                run
            }
        }
    }

    /// Takes the blocks of a hit of the first `keys` for `owner`, which holds none yet, and tells how
    /// many of them nobody referenced. `external` tokens behind it come from elsewhere: what lies behind
    /// their windows is left (vLLM 0.33.0's `allocate_new_computed_blocks`).
    pub(super) fn take_hit(&mut self, owner: SlotId, keys: &[BlockKey], external: u32) -> u32 {
        debug_assert_eq!(self.held(owner), 0);
        self.owners_tables(owner, keys.len());
        let computed = keys.len() as u32 * self.block_tokens + external;
        let mut idle = 0;
        for kind in &self.kinds {
            for (group, place) in kind.places(keys.len(), computed, self.block_tokens) {
                let block = self.blocks.find(&(group, keys[place])).expect("it was looked up");
                idle += u32::from(self.blocks.share(block));
                let owner = &mut self.owners[owner.index()];
                owner.tables[group as usize].blocks[place] = block;
                owner.held += 1;
            }
        }
        self.owners[owner.index()].hashed = keys.len() as u32;
        for (group, gone) in self.behind(computed) {
            let table = &mut self.owners[owner.index()].tables[group as usize];
            table.gone = gone;
            if table.blocks.len() < gone as usize {
                table.blocks.resize(gone as usize, NONE);
            }
        }
        idle
    }

    /// Blocks that an owner's tokens fill or begin, as far as its tables of states go.
    pub(super) fn states_length(&self, owner: SlotId) -> u32 {
        self.owners.get(owner.index()).map_or(0, |owner| owner.states)
    }

    /// Makes an owner's tables `length` blocks long, those of states `tokens` long: of these only
    /// the last is kept, with the scratch blocks behind it, which move along (vLLM 0.33.0's
    /// `MambaManager.allocate_new_blocks`).
    pub(super) fn take_to(&mut self, owner: SlotId, length: u32, tokens: u32) {
        self.owners_tables(owner, 0);
        let scratch = self.scratch as usize;
        let has_scratch = self.owners[owner.index()].states > 0;
        for kind in &self.kinds {
            for group in kind.first..kind.first + kind.count {
                let owner = &mut self.owners[owner.index()];
                let table = &mut owner.tables[group as usize].blocks;
                let length = match kind.reads {
                    Reads::State => tokens as usize + scratch,
                    _ => length as usize,
                };
                if kind.reads == Reads::State && table.len() < length {
                    let before = table.len();
                    let current = tokens as usize - 1;
                    if before < current {
                        table.resize(current, NONE);
                    }
                    let moved = if has_scratch { before - scratch..before } else { 0..0 };
                    for place in moved.take_while(|&place| place < current) {
                        let block = std::mem::replace(&mut table[place], NONE);
                        table.push(block);
                    }
                }
                while table.len() < length {
                    table.push(self.blocks.take());
                    owner.held += 1;
                }
            }
        }
        let owner = &mut self.owners[owner.index()];
        owner.states = owner.states.max(tokens);
    }

    /// Drops what an owner with `computed` tokens no longer reads, last block first, and tells how
    /// many blocks nobody references now.
    pub(super) fn trim(&mut self, owner: SlotId, computed: u32) -> u32 {
        let mut freed = 0;
        for (group, gone) in self.behind(computed) {
            let Some(owner) = self.owners.get_mut(owner.index()) else { break };
            let Some(table) = owner.tables.get_mut(group as usize) else { break };
            let gone = gone.min(table.blocks.len() as u32).max(table.gone);
            let dropped = &mut table.blocks[table.gone as usize..gone as usize];
            let blocks = dropped.iter_mut().rev().map(|block| std::mem::replace(block, NONE));
            let blocks: Vec<u32> = blocks.filter(|&block| block != NONE).collect();
            table.gone = gone;
            owner.held -= blocks.len() as u32;
            freed += self.blocks.drop_all(blocks.into_iter());
        }
        freed
    }

    pub(super) fn hash(&mut self, owner: SlotId, full: u32, key: impl Fn(u32) -> BlockKey) {
        self.owners_tables(owner, 0);
        let Owner { tables, hashed, .. } = &mut self.owners[owner.index()];
        let from = *hashed;
        *hashed = from.max(full);
        for kind in &self.kinds {
            for group in kind.first..kind.first + kind.count {
                for place in from..full {
                    let block = tables[group as usize].blocks[place as usize];
                    if block == NONE {
                        continue;
                    }
                    let key = (group, key(place));
                    self.blocks.name(block, || key);
                    if kind.reads == Reads::State {
                        self.unready.insert(key);
                    }
                }
            }
        }
    }

    /// Returns the owner's blocks, group by group, last block first, and tells how many nobody
    /// references now.
    pub(super) fn release(&mut self, owner: SlotId) -> u32 {
        self.owners_tables(owner, 0);
        let owner = std::mem::take(&mut self.owners[owner.index()]);
        let tables = owner.tables.into_iter();
        tables
            .map(|table| {
                let blocks = table.blocks.into_iter().rev();
                self.blocks.drop_all(blocks.filter(|&block| block != NONE))
            })
            .sum()
    }

    /// Takes the owner's blocks from it, in the order in which they are returned; they stay referenced.
    pub(super) fn detach(&mut self, owner: SlotId) -> Vec<u32> {
        self.owners_tables(owner, 0);
        let owner = std::mem::take(&mut self.owners[owner.index()]);
        let tables = owner.tables.into_iter();
        let blocks = tables.flat_map(|table| table.blocks.into_iter().rev());
        let blocks: Vec<u32> = blocks.filter(|&block| block != NONE).collect();
        self.detached += blocks.len() as u64;
        blocks
    }

    /// Returns blocks that were detached, and tells how many nobody references now.
    pub(super) fn put_back(&mut self, blocks: Vec<u32>) -> u32 {
        self.detached -= blocks.len() as u64;
        self.blocks.drop_all(blocks.into_iter())
    }

    pub(super) fn check(&self, free: u32) {
        let owners = (0..self.owners.len()).map(SlotId::at);
        let held: u64 = owners.map(|owner| u64::from(self.held(owner))).sum();
        self.blocks.check(free, held + self.detached);
    }

    /// Groups that drop blocks, and how many at the head of a table once `computed` tokens are.
    fn behind(&self, computed: u32) -> Vec<(u32, u32)> {
        let mut behind = Vec::new();
        for kind in &self.kinds {
            if let Some(window) = kind.window() {
                let gone = below_window(window, computed, self.block_tokens);
                behind.extend((kind.first..kind.first + kind.count).map(|group| (group, gone)));
            }
        }
        behind
    }

    /// Sees to it that an owner has tables, with at least `length` places.
    fn owners_tables(&mut self, owner: SlotId, length: usize) {
        let index = owner.index();
        if index >= self.owners.len() {
            self.owners.resize_with(index + 1, Owner::default);
        }
        let tables = &mut self.owners[index].tables;
        tables.resize_with(self.groups.all() as usize, Table::default);
        for table in tables.iter_mut().filter(|table| table.blocks.len() < length) {
            table.blocks.resize(length, NONE);
        }
    }
}

impl Kind {
    /// The window that says what it drops: a state is read by the next token alone.
    fn window(&self) -> Option<WindowGroups> {
        match self.reads {
            Reads::All => None,
            Reads::Window(window) => Some(window),
            Reads::State => Some(WindowGroups { tokens: STATE_TOKENS, count: self.count }),
        }
    }

    /// What a hit of `end` blocks takes where `computed` tokens are there with it and with what comes
    /// from elsewhere: groups and places in their tables.
    fn places(
        &self,
        end: usize,
        computed: u32,
        block_tokens: u32,
    ) -> impl Iterator<Item = (u32, usize)> + use<> {
        let from = self.window().map_or(0, |window| below_window(window, computed, block_tokens));
        let groups = self.first..self.first + self.count;
        groups.flat_map(move |group| (from as usize..end).map(move |place| (group, place)))
    }
}
