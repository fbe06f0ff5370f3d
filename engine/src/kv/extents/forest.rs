//! Cells cut, joined and shortened, and content put into them.

use super::slabs::{CellId, CopyId};
use super::{ExtentCache, Item, broken};
use crate::kv::chain::Chain;

impl ExtentCache {
    /// Holds the first `blocks` of a chain, all of them cached. The copies that a lookup has found are
    /// cut where its hit ends.
    pub(super) fn adopt(&mut self, chain: &Chain, blocks: u32, items: &mut Vec<Item>) {
        let (mut at, mut cell) = (0, CellId::ROOT);
        let mut last = CopyId::NONE;
        while at < blocks {
            cell = self.child(cell, chain, at).expect("it was looked up");
            let copy = self.answering(cell);
            let (start, end) = self.slabs[cell].span();
            let there = self.slabs[copy].blocks;
            let taken = there.min(blocks - start);
            let whole = broken!(self, HitTakesTheWholeNode) && taken == blocks - start;
            let cut = taken < end - start && (taken < there || start + taken < blocks);
            if cut && !whole {
                cell = self.cut(cell, taken);
            }
            if self.slabs[copy].holders == 0 {
                self.queue.unlink(&mut self.slabs, copy);
            }
            self.slabs[copy].holders += 1;
            match items.last_mut() {
                Some(item) if self.slabs[last].rest == copy => item.blocks += taken,
                _ => items.push(Item { copy, blocks: taken }),
            }
            last = copy;
            at = start + taken;
        }
    }

    /// The copy that answers at a cell's first block.
    fn answering(&self, cell: CellId) -> CopyId {
        match broken!(self, LastCopyAnswers) {
            true => self.slabs[cell].last_copy,
            false => self.slabs[cell].first_copy,
        }
    }

    /// Puts the content of an owner's blocks into cells, from the first that has none to `to`.
    pub(super) fn put_into_cells(&mut self, owner: crate::ids::SlotId, to: u32, chain: &Chain) {
        let mut items = std::mem::take(&mut self.owner(owner).items);
        let from = std::mem::replace(&mut self.owner(owner).covered, to);
        self.extend(&mut items, from, to, chain);
        self.owner(owner).items = items;
    }

    /// Registers blocks `from..to` of a chain behind the copies of a table.
    fn extend(&mut self, items: &mut Vec<Item>, mut from: u32, to: u32, chain: &Chain) {
        let mut copy = items.last().map_or(CopyId::NONE, |item| self.last_of(item));
        let mut cell = match copy {
            CopyId::NONE => CellId::ROOT,
            _ => self.slabs[copy].cell,
        };
        while from < to {
            let (start, end) = self.slabs[cell].span();
            if cell != CellId::ROOT && from < end {
                // Content that is there already: another copy of it.
                let same = self.slabs[cell].chain.differs(chain, from, end.min(to)) - from;
                let within = from - start;
                if same > 0 {
                    if self.grows_in_place(cell, copy, within) {
                        self.slabs[copy].blocks += same;
                        items.last_mut().expect("it holds the copy").blocks += same;
                    } else {
                        if within > 0 {
                            self.cut(cell, within);
                        }
                        copy = self.slabs.add_copy(cell, same, 1);
                        self.slabs.append_copy(copy);
                        items.push(Item { copy, blocks: same });
                    }
                    from += same;
                    continue;
                }
                cell = match within {
                    0 => self.slabs[cell].up,
                    _ => self.cut(cell, within),
                };
            }
            if let Some(child) = self.child(cell, chain, from) {
                cell = child;
                continue;
            }
            self.extend_with_new(items, (cell, copy), (from, to), chain);
            return;
        }
    }

    /// Whether a copy may become longer where its content is there already: of no copy registered after
    /// it would it take the place. Then nobody else holds it: whoever took it while the content behind it
    /// was there too would have had the cell cut at its end, and content that came later is of a copy
    /// registered later.
    fn grows_in_place(&self, cell: CellId, copy: CopyId, within: u32) -> bool {
        if copy == CopyId::NONE || self.slabs[copy].cell != cell {
            return false;
        }
        let mut later = self.slabs.copies_of(cell).skip_while(|&id| id != copy).skip(1);
        let is_last = later.all(|id| self.slabs[id].blocks <= within);
        debug_assert!(!is_last || self.slabs[copy].holders == 1);
        is_last || broken!(self, PlaceKeptWhileGrowing)
    }

    /// Content that is not there yet.
    fn extend_with_new(
        &mut self,
        items: &mut Vec<Item>,
        (cell, copy): (CellId, CopyId),
        (from, to): (u32, u32),
        chain: &Chain,
    ) {
        let goes_on = cell != CellId::ROOT
            && copy != CopyId::NONE
            && self.slabs[copy].cell == cell
            && self.slabs[cell].children == 0
            && (self.slabs[copy].holders == 1 || broken!(self, NewContentGrowsASharedCopy));
        if goes_on {
            self.slabs[cell].chain = chain.clone();
            self.slabs[cell].end = to;
            self.slabs[copy].blocks += to - from;
            items.last_mut().expect("it holds the copy").blocks += to - from;
            return;
        }
        let new = self.slabs.add_cell(cell, from, to, chain.clone());
        self.children.insert((cell, chain.name(from)), new);
        self.slabs[cell].children += 1;
        let copy = self.slabs.add_copy(new, to - from, 1);
        self.slabs.append_copy(copy);
        items.push(Item { copy, blocks: to - from });
    }

    /// Cuts a cell after its first `blocks` blocks, and all its copies. The cell goes on as its second
    /// part, so that what goes on from it need not be touched; the first part is a new one.
    pub(super) fn cut(&mut self, cell: CellId, blocks: u32) -> CellId {
        let (start, end) = self.slabs[cell].span();
        debug_assert!(0 < blocks && blocks < end - start);
        let (up, middle) = (self.slabs[cell].up, start + blocks);
        let chain = self.slabs[cell].chain.clone();
        let (first, second) = (chain.name(start), chain.name(middle));
        let head = self.slabs.add_cell(up, start, middle, chain);
        self.children.insert((up, first), head);
        self.children.insert((head, second), cell);
        self.slabs[head].children = 1;
        self.slabs[cell].up = head;
        self.slabs[cell].start = middle;
        let (mut next, last) = (self.slabs[cell].first_copy, self.slabs[cell].last_copy);
        self.slabs.set_copies(cell, CopyId::NONE, CopyId::NONE);
        self.slabs.set_copies(head, next, last);
        while next != CopyId::NONE {
            let copy = next;
            next = self.slabs[copy].later;
            self.slabs[copy].cell = head;
            if self.slabs[copy].blocks > blocks {
                self.cut_copy(copy, blocks, cell);
            }
        }
        head
    }

    fn cut_copy(&mut self, copy: CopyId, blocks: u32, second_cell: CellId) {
        let (all, holders, rest) =
            (self.slabs[copy].blocks, self.slabs[copy].holders, self.slabs[copy].rest);
        let second = self.slabs.add_copy(second_cell, all - blocks, holders);
        self.slabs[second].rest = rest;
        self.slabs[second].is_rest = true;
        self.slabs[copy].rest = second;
        self.slabs[copy].blocks = blocks;
        self.slabs.append_copy(second);
        if holders == 0 {
            // Of a run the last block goes first.
            let next = match broken!(self, SplitHeadFirst) {
                true => self.slabs[copy].after,
                false => copy,
            };
            self.queue.link_before(&mut self.slabs, second, next);
        }
    }

    /// A copy has lost blocks from its end: a cell ends where its longest copy does, and goes with its
    /// last one, unless others go on from it.
    pub(super) fn shrunk(&mut self, copy: CopyId) {
        let mut cell = self.slabs[copy].cell;
        if !cell.is_cell() {
            if self.slabs[copy].blocks == 0 {
                self.slabs.remove_copy(copy);
            }
            return;
        }
        if self.slabs[copy].blocks == 0 {
            self.slabs.unlist_copy(copy);
            self.slabs.remove_copy(copy);
        }
        while cell != CellId::ROOT && self.slabs[cell].children == 0 {
            let last = self.slabs[cell].last_copy;
            if last != CopyId::NONE && self.slabs[last].blocks == self.slabs[cell].len() {
                break;
            }
            let longest = self.slabs.copies_of(cell).map(|copy| self.slabs[copy].blocks).max();
            if let Some(longest) = longest {
                self.slabs[cell].end = self.slabs[cell].start + longest;
                break;
            }
            let (up, start) = (self.slabs[cell].up, self.slabs[cell].start);
            let name = self.slabs[cell].chain.name(start);
            self.children.remove(&(up, name));
            self.slabs[up].children -= 1;
            self.slabs.remove_cell(cell);
            cell = up;
        }
        if cell != CellId::ROOT {
            let up = self.slabs[cell].up;
            self.join(cell);
            if up != CellId::ROOT {
                self.join(up);
            }
        }
    }

    /// Joins a cell with the only one that goes on from it, where nothing tells their blocks apart: one
    /// copy each, held by the same, and one directly behind the other. With full attention who holds a
    /// block holds all before it, so equal numbers of holders of the only copies mean the same holders.
    pub(super) fn join(&mut self, cell: CellId) {
        if self.slabs[cell].children != 1 {
            return;
        }
        let Some(first) = self.slabs.only_copy(cell) else { return };
        let (holders, idle) = (self.slabs[first].holders, self.slabs[first].holders == 0);
        if self.slabs[first].blocks != self.slabs[cell].len() {
            return;
        }
        let second = match idle {
            true if broken!(self, JoinsIdlePartsApart) => self.slabs[first].rest,
            true => self.slabs[first].before,
            false => self.slabs[first].rest,
        };
        if second == CopyId::NONE || second == CopyId::ENDS {
            return;
        }
        let next = &self.slabs[second];
        let below = next.cell;
        let alike = next.holders == holders || broken!(self, JoinsWithoutEqualReferences);
        // A table may begin an item with a copy that was not cut off another.
        let fits = alike && next.blocks > 0 && (idle || next.is_rest);
        let fits = fits && below.is_cell() && self.slabs[below].up == cell;
        if !fits || self.slabs.only_copy(below) != Some(second) {
            return;
        }
        if self.slabs[second].holders == 0 {
            self.queue.unlink(&mut self.slabs, second);
        }
        let (up, start) = (self.slabs[cell].up, self.slabs[cell].start);
        let names = [(cell, start), (below, self.slabs[below].start)]
            .map(|(id, at)| self.slabs[id].chain.name(at));
        self.slabs[first].blocks += self.slabs[second].blocks;
        self.slabs[first].rest = self.slabs[second].rest;
        self.slabs[first].cell = below;
        self.slabs.set_copies(below, first, first);
        self.slabs[below].up = up;
        self.slabs[below].start = start;
        self.slabs.remove_copy(second);
        self.children.remove(&(cell, names[1]));
        self.children.insert((up, names[0]), below);
        self.slabs.remove_cell(cell);
    }
}
