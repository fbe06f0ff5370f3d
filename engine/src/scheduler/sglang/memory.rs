//! KV tokens: those that are free, those in the tree, and how requests take, publish and return
//! theirs.

use super::machine::Machine;
use super::request::Rid;
use crate::kv::radix::RadixTree;

/// The KV tokens of one engine.
#[derive(Debug)]
pub(super) struct Memory {
    page: u32,
    /// Free tokens. Below 0 where the real system has run out of memory and ended.
    pub free: i64,
    pub tree: RadixTree,
    /// Whether anything is kept in the tree.
    pub caches: bool,
    /// How often tokens were taken that are not there: the real system ends the first time.
    pub overdrawn: u64,
}

impl Memory {
    pub(super) fn new(tokens: u32, page: u32, caches: bool) -> Memory {
        let tree = RadixTree::new(page);
        Memory { page, free: i64::from(tokens / page * page), tree, caches, overdrawn: 0 }
    }

    /// Free tokens, and those that are cached and held by nobody.
    pub(super) fn available(&self) -> i64 {
        self.free + self.tree.idle() as i64
    }

    /// Whole pages that hold so many tokens, in tokens.
    pub(super) fn ceil(&self, tokens: u32) -> i64 {
        i64::from(tokens.div_ceil(self.page)) * i64::from(self.page)
    }

    /// Makes so many tokens free, if the cache has them.
    pub(super) fn evict(&mut self, wanted: i64) {
        while self.free < wanted {
            match self.tree.evict_one() {
                0 => return,
                tokens => self.free += tokens as i64,
            }
        }
    }

    pub(super) fn take(&mut self, tokens: i64) {
        self.free -= tokens;
        self.overdrawn += u64::from(tokens > 0 && self.free < 0);
    }
}

impl Machine {
    /// Takes memory for a request's tokens `from..to`.
    pub(super) fn take_tokens(&mut self, from: u32, to: u32) {
        let tokens = self.memory.ceil(to) - self.memory.ceil(from);
        self.memory.take(tokens);
    }

    /// Hands what is computed of a request to the tree. What was there already is freed at once, and
    /// the request goes on with the tree's.
    pub(super) fn publish(&mut self, rid: Rid, up_to: u32) {
        if !self.memory.caches {
            return;
        }
        let splits = self.rules.splits_at_prompt;
        let req = &mut self.reqs[rid.0 as usize];
        let tree = &mut self.memory.tree;
        let up_to = up_to.min(req.len());
        let found = tree.insert(&req.text, up_to);
        let (published, prompt) = (tree.floor(up_to), tree.floor(req.prompt));
        if splits && prompt > 0 && prompt < published {
            tree.insert(&req.text, prompt);
        }
        self.memory.free += i64::from(found.tokens.saturating_sub(req.protected));
        if let Some(lock) = req.lock {
            tree.unlock(lock);
        }
        tree.lock(found.node);
        req.lock = Some(found.node);
        req.node = found.node;
        req.protected = published;
    }

    /// A request gives its row and its memory back, what is computed of it to the tree if it is to
    /// be kept.
    pub(super) fn release(&mut self, rid: Rid, keep: bool) {
        let allocated = self.req(rid).allocated;
        if keep {
            self.publish(rid, allocated);
        }
        let req = &mut self.reqs[rid.0 as usize];
        self.memory.free += self.memory.ceil(allocated) - i64::from(req.protected);
        if let Some(lock) = req.lock.take() {
            self.memory.tree.unlock(lock);
        }
        req.has_row = false;
        req.allocated = 0;
        self.rows += 1;
    }
}
