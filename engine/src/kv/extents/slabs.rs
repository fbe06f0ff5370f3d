//! Cells and copies by number.

use std::ops::{Index, IndexMut};

use crate::kv::chain::Chain;

/// A cell of the forest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CellId(u32);

impl CellId {
    /// Where every chain begins; it has no blocks.
    pub(super) const ROOT: CellId = CellId(0);
    /// Of blocks that never had content.
    pub(super) const NO_CONTENT: CellId = CellId(u32::MAX);
    /// Of blocks whose content nobody can find.
    pub(super) const FORGOTTEN: CellId = CellId(u32::MAX - 1);

    /// Whether it is one: neither the root nor the absence of one.
    pub(super) fn is_cell(self) -> bool {
        self != CellId::ROOT && self < CellId::FORGOTTEN
    }
}

/// A copy of a cell's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopyId(u32);

impl CopyId {
    /// None.
    pub(super) const NONE: CopyId = CopyId(u32::MAX);
    /// Both ends of the free list.
    pub(super) const ENDS: CopyId = CopyId(0);
}

/// A stretch of content.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub up: CellId,
    /// Its blocks are `start..end` of every chain that runs through it, and of this one.
    pub start: u32,
    pub end: u32,
    pub chain: Chain,
    /// Cells that go on from it.
    pub children: u32,
    /// The copy that was registered first.
    pub first_copy: CopyId,
    /// The one that was registered last.
    pub last_copy: CopyId,
}

impl Cell {
    pub(super) fn span(&self) -> (u32, u32) {
        (self.start, self.end)
    }

    pub(super) fn len(&self) -> u32 {
        self.end - self.start
    }
}

/// One physical copy of the first blocks of a cell.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    pub cell: CellId,
    pub blocks: u32,
    pub holders: u32,
    /// The copy that was cut off its end. Numbers are used again: it may name a stranger, to whom
    /// nobody walks.
    pub rest: CopyId,
    /// Whether it was cut off another's end.
    pub is_rest: bool,
    /// The copy of this cell that was registered next.
    pub later: CopyId,
    /// Neighbours in the free list, where nobody holds it.
    pub before: CopyId,
    pub after: CopyId,
}

#[derive(Clone, Debug)]
pub(super) struct Slabs {
    cells: Vec<Cell>,
    vacant_cells: Vec<CellId>,
    copies: Vec<Copied>,
    vacant_copies: Vec<CopyId>,
}

impl Slabs {
    /// With the root and the ends of the free list.
    pub(super) fn new() -> Slabs {
        let mut slabs = Slabs {
            cells: Vec::new(),
            vacant_cells: Vec::new(),
            copies: Vec::new(),
            vacant_copies: Vec::new(),
        };
        slabs.add_cell(CellId::ROOT, 0, 0, Chain::own(u64::MAX, true));
        slabs.add_copy(CellId::NO_CONTENT, 0, 0);
        slabs
    }

    pub(super) fn add_cell(&mut self, up: CellId, start: u32, end: u32, chain: Chain) -> CellId {
        let (first_copy, last_copy) = (CopyId::NONE, CopyId::NONE);
        let cell = Cell { up, start, end, chain, children: 0, first_copy, last_copy };
        match self.vacant_cells.pop() {
            Some(id) => {
                self[id] = cell;
                id
            }
            None => {
                self.cells.push(cell);
                CellId(self.cells.len() as u32 - 1)
            }
        }
    }

    /// Takes a cell away that has neither copies nor children.
    pub(super) fn remove_cell(&mut self, id: CellId) {
        // What it has of a chain would stay in memory.
        self[id].chain = Chain::own(u64::MAX, true);
        self.set_copies(id, CopyId::NONE, CopyId::NONE);
        self.vacant_cells.push(id);
    }

    /// A copy that is in no list yet.
    pub(super) fn add_copy(&mut self, cell: CellId, blocks: u32, holders: u32) -> CopyId {
        let copy = Copied {
            cell,
            blocks,
            holders,
            rest: CopyId::NONE,
            is_rest: false,
            later: CopyId::NONE,
            before: CopyId::ENDS,
            after: CopyId::ENDS,
        };
        match self.vacant_copies.pop() {
            Some(id) => {
                self[id] = copy;
                id
            }
            None => {
                self.copies.push(copy);
                CopyId(self.copies.len() as u32 - 1)
            }
        }
    }

    /// Takes a copy away that is in no list.
    pub(super) fn remove_copy(&mut self, id: CopyId) {
        self[id].blocks = 0;
        self[id].cell = CellId::NO_CONTENT;
        self.vacant_copies.push(id);
    }

    /// The copies of a cell in the order of their registration.
    pub(super) fn copies_of(&self, cell: CellId) -> impl Iterator<Item = CopyId> + '_ {
        let some = |id: CopyId| (id != CopyId::NONE).then_some(id);
        std::iter::successors(some(self[cell].first_copy), move |&id| some(self[id].later))
    }

    /// The only copy of a cell.
    pub(super) fn only_copy(&self, cell: CellId) -> Option<CopyId> {
        let first = self[cell].first_copy;
        (first != CopyId::NONE && self[first].later == CopyId::NONE).then_some(first)
    }

    /// Registers a copy behind all others of its cell.
    pub(super) fn append_copy(&mut self, copy: CopyId) {
        let cell = self[copy].cell;
        match std::mem::replace(&mut self[cell].last_copy, copy) {
            CopyId::NONE => self[cell].first_copy = copy,
            last => self[last].later = copy,
        }
    }

    /// Makes a list of copies the cell's.
    pub(super) fn set_copies(&mut self, cell: CellId, first: CopyId, last: CopyId) {
        self[cell].first_copy = first;
        self[cell].last_copy = last;
    }

    /// Takes a copy out of its cell's list.
    pub(super) fn unlist_copy(&mut self, copy: CopyId) {
        let (cell, later) = (self[copy].cell, self[copy].later);
        let before = self.copies_of(cell).take_while(|&id| id != copy).last();
        match before {
            None => self[cell].first_copy = later,
            Some(before) => self[before].later = later,
        }
        if later == CopyId::NONE {
            self[cell].last_copy = before.unwrap_or(CopyId::NONE);
        }
        self[copy].later = CopyId::NONE;
    }

    /// How many cells and copies there are; for what memory they take.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (
            self.cells.len() - 1 - self.vacant_cells.len(),
            self.copies.len() - 1 - self.vacant_copies.len(),
        )
    }

    /// All cells but the root.
    pub(super) fn all_cells(&self) -> impl Iterator<Item = CellId> + '_ {
        let vacant: std::collections::HashSet<u32> =
            self.vacant_cells.iter().map(|cell| cell.0).collect();
        (1..self.cells.len() as u32).filter(move |cell| !vacant.contains(cell)).map(CellId)
    }
}

impl Index<CellId> for Slabs {
    type Output = Cell;
    fn index(&self, id: CellId) -> &Cell {
        &self.cells[id.0 as usize]
    }
}

impl IndexMut<CellId> for Slabs {
    fn index_mut(&mut self, id: CellId) -> &mut Cell {
        &mut self.cells[id.0 as usize]
    }
}

impl Index<CopyId> for Slabs {
    type Output = Copied;
    fn index(&self, id: CopyId) -> &Copied {
        &self.copies[id.0 as usize]
    }
}

impl IndexMut<CopyId> for Slabs {
    fn index_mut(&mut self, id: CopyId) -> &mut Copied {
        &mut self.copies[id.0 as usize]
    }
}
