//! Tables: what a request holds, walked over and given back.

use super::slabs::{CellId, CopyId};
use super::{ExtentCache, Item, Owner, broken};
use crate::ids::SlotId;
use crate::kv::chain::Chain;

impl ExtentCache {
    /// The copy that an item of a table ends with.
    pub(super) fn last_of(&self, item: &Item) -> CopyId {
        let Item { mut copy, mut blocks } = *item;
        while blocks > self.slabs[copy].blocks {
            blocks -= self.slabs[copy].blocks;
            copy = self.slabs[copy].rest;
        }
        copy
    }

    /// Gives back what is held of an owner that has left, the last block first.
    pub(super) fn give_back(&mut self, holds: &mut Owner, held: u32) -> u32 {
        let raw = held - holds.registered;
        let private = holds.registered - holds.covered;
        let mut freed = raw + private;
        if raw > 0 {
            match broken!(self, UnregisteredToTheBack) {
                true => self.queue.add_nameless(&mut self.slabs, raw, CellId::NO_CONTENT),
                false => self.queue.add_blank(&mut self.slabs, raw),
            }
        }
        if private > 0 {
            match broken!(self, UnmetPutInFront) {
                true => self.queue.add_blank(&mut self.slabs, private),
                false => self.queue.add_forgotten(&mut self.slabs, private),
            }
        }
        let mut met = std::mem::take(&mut self.met);
        if broken!(self, TableFreedHeadFirst) {
            holds.items.reverse();
        }
        while let Some(Item { mut copy, mut blocks }) = holds.items.pop() {
            met.clear();
            while blocks > 0 {
                met.push(copy);
                blocks -= self.slabs[copy].blocks;
                copy = self.slabs[copy].rest;
            }
            for &copy in met.iter().rev() {
                self.slabs[copy].holders -= 1;
                if self.slabs[copy].holders == 0 {
                    freed += self.slabs[copy].blocks;
                    self.queue.push_back(&mut self.slabs, copy);
                }
                self.join(self.slabs[copy].cell);
            }
        }
        self.met = met;
        freed
    }

    /// An owner comes back: what it alone can find has to be there then.
    pub(super) fn put_private_into_cells(&mut self, owner: SlotId, chain: &Chain) {
        if broken!(self, PreemptedLosesItsOwn) {
            return;
        }
        let holds = self.owner(owner);
        let (covered, registered) = (holds.covered, holds.registered);
        if registered > covered {
            self.put_into_cells(owner, registered, chain);
        }
    }

    /// Checks copies against their cells, and their holders against tables.
    pub(super) fn check_forest(&self) {
        let holders: u64 = self
            .slabs
            .all_cells()
            .flat_map(|cell| self.slabs.copies_of(cell))
            .map(|copy| u64::from(self.slabs[copy].holders) * u64::from(self.slabs[copy].blocks))
            .sum();
        let covered: u64 = self.owners.iter().map(|owner| u64::from(owner.covered)).sum();
        assert!(covered <= holders, "a table's blocks are held");
        assert!(holders <= covered + self.detached, "a held block has no holder");
        for cell in self.slabs.all_cells() {
            let at = &self.slabs[cell];
            let known = self.children.get(&(at.up, at.chain.name(at.start)));
            assert_eq!(known, Some(&cell), "a cell is found from the one before it");
            let fits = self.slabs.copies_of(cell).all(|copy| {
                let copy = &self.slabs[copy];
                copy.cell == cell && 0 < copy.blocks && copy.blocks <= at.len()
            });
            assert!(fits, "a copy lies in its cell");
            let last = self.slabs.copies_of(cell).last();
            assert_eq!(last, Some(at.last_copy), "a cell has a copy, and knows the last");
        }
    }
}

#[cfg(test)]
impl ExtentCache {
    pub(super) fn note_evicted(&mut self, copy: CopyId, taken: u32) {
        let (cell, blocks) = (self.slabs[copy].cell, self.slabs[copy].blocks);
        if cell == CellId::NO_CONTENT {
            return;
        }
        for nth in (blocks - taken..blocks).rev() {
            let key =
                cell.is_cell().then(|| self.slabs[cell].chain.key(self.slabs[cell].start + nth));
            self.log.push(key);
        }
    }
}
