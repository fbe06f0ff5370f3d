//! The queue of free blocks: a doubly linked list over block numbers, so that a block can also
//! leave from the middle when a prefix hit takes it.

const NONE: u32 = u32::MAX;

/// Free blocks from the next to be taken to the last.
#[derive(Clone, Debug)]
pub(super) struct FreeList {
    next: Vec<u32>,
    prev: Vec<u32>,
    head: u32,
    tail: u32,
    len: u32,
}

impl FreeList {
    /// Blocks `0..n`, in order.
    pub(super) fn full(n: u32) -> FreeList {
        let mut list = FreeList {
            next: vec![NONE; n as usize],
            prev: vec![NONE; n as usize],
            head: NONE,
            tail: NONE,
            len: 0,
        };
        for block in 0..n {
            list.push_back(block);
        }
        list
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn push_back(&mut self, block: u32) {
        self.insert_between(self.tail, block, NONE);
    }

    pub(super) fn push_front(&mut self, block: u32) {
        self.insert_between(NONE, block, self.head);
    }

    pub(super) fn pop_front(&mut self) -> Option<u32> {
        let block = self.head;
        (block != NONE).then(|| {
            self.remove(block);
            block
        })
    }

    pub(super) fn remove(&mut self, block: u32) {
        let (prev, next) = (self.prev[block as usize], self.next[block as usize]);
        self.link(prev, next);
        self.len -= 1;
    }

    /// Block numbers from the front on.
    #[cfg(test)]
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        let some = |block: u32| (block != NONE).then_some(block);
        std::iter::successors(some(self.head), move |&block| some(self.next[block as usize]))
    }

    fn insert_between(&mut self, prev: u32, block: u32, next: u32) {
        self.link(prev, block);
        self.link(block, next);
        self.len += 1;
    }

    /// Makes `a` and `b` neighbours; `NONE` stands for the list's ends.
    fn link(&mut self, a: u32, b: u32) {
        match a {
            NONE => self.head = b,
            _ => self.next[a as usize] = b,
        }
        match b {
            NONE => self.tail = a,
            _ => self.prev[b as usize] = a,
        }
    }
}
