//! The order in which free blocks are taken: those without content, then runs that nobody holds.

use super::slabs::{CellId, CopyId, Slabs};

/// Free blocks, from the next to be taken to the last.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    /// Blocks without content, before all others.
    blank: u32,
    /// Whether what comes back without content is blank; otherwise it goes to the back like all else.
    blank_first: bool,
}

impl Queue {
    pub(super) fn new(slabs: &mut Slabs, total: u32, blank_first: bool) -> Queue {
        let mut queue = Queue { blank: 0, blank_first };
        if total > 0 {
            queue.add_blank(slabs, total);
        }
        queue
    }

    /// Takes up to `n` of the blank blocks, and tells how many are left to be taken.
    pub(super) fn take_blank(&mut self, n: u32) -> u32 {
        let taken = n.min(self.blank);
        self.blank -= taken;
        n - taken
    }

    /// The run that is taken from next.
    pub(super) fn front(&self, slabs: &Slabs) -> CopyId {
        let front = slabs[CopyId::ENDS].after;
        assert!(front != CopyId::ENDS, "the pool counted a free block");
        front
    }

    /// Blocks come back that never had content.
    pub(super) fn add_blank(&mut self, slabs: &mut Slabs, n: u32) {
        match self.blank_first {
            true => self.blank += n,
            false => self.add_nameless(slabs, n, CellId::NO_CONTENT),
        }
    }

    /// Blocks come back whose content nobody can find.
    pub(super) fn add_forgotten(&mut self, slabs: &mut Slabs, n: u32) {
        self.add_nameless(slabs, n, CellId::FORGOTTEN);
    }

    /// Blocks that nothing tells apart go to the back, as one entry with those before them.
    pub(super) fn add_nameless(&mut self, slabs: &mut Slabs, n: u32, kind: CellId) {
        let last = slabs[CopyId::ENDS].before;
        if last != CopyId::ENDS && slabs[last].cell == kind {
            slabs[last].blocks += n;
            return;
        }
        let entry = slabs.add_copy(kind, n, 0);
        self.push_back(slabs, entry);
    }

    pub(super) fn push_back(&mut self, slabs: &mut Slabs, copy: CopyId) {
        self.link_before(slabs, copy, CopyId::ENDS);
    }

    /// Puts a run directly before another one.
    pub(super) fn link_before(&mut self, slabs: &mut Slabs, copy: CopyId, next: CopyId) {
        let before = slabs[next].before;
        slabs[copy].before = before;
        slabs[copy].after = next;
        slabs[before].after = copy;
        slabs[next].before = copy;
    }

    pub(super) fn unlink(&mut self, slabs: &mut Slabs, copy: CopyId) {
        let (before, after) = (slabs[copy].before, slabs[copy].after);
        slabs[before].after = after;
        slabs[after].before = before;
    }

    /// Runs from the front to the back.
    pub(super) fn runs<'a>(&self, slabs: &'a Slabs) -> impl Iterator<Item = CopyId> + 'a {
        let some = |id: CopyId| (id != CopyId::ENDS).then_some(id);
        std::iter::successors(some(slabs[CopyId::ENDS].after), move |&id| some(slabs[id].after))
    }

    /// All free blocks.
    pub(super) fn blocks(&self, slabs: &Slabs) -> u32 {
        self.blank + self.runs(slabs).map(|copy| slabs[copy].blocks).sum::<u32>()
    }

    #[cfg(test)]
    pub(super) fn blank(&self) -> u32 {
        self.blank
    }
}
