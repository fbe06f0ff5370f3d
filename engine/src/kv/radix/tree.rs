//! The tree: look-ups, insertions, locks and evictions. Rules read off SGLang 0.5.23's
//! `UnifiedRadixCache`, whose every step the golden cases hold it to.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::text::{Origin, Text};

/// A node of one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// What a look-up or an insertion found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Tokens that were there.
    pub tokens: u32,
    /// The node that they end with, or after an insertion all that was inserted.
    pub node: NodeId,
}

/// When a node was last used: later ones are larger, and no two are equal. A look-up stamps the path
/// from its deepest node up, each a little older than its child.
type Stamp = u64;

/// Stamps of one look-up.
const STAMPS: u64 = 1 << 24;

#[derive(Clone, Debug)]
struct Node {
    /// A request's text that holds these tokens, and where they lie in it.
    text: Arc<Text>,
    from: u32,
    to: u32,
    up: NodeId,
    kids: u32,
    locks: u32,
    used: Stamp,
}

/// A radix tree over whole pages of `page` tokens.
#[derive(Clone, Debug)]
pub struct RadixTree {
    page: u32,
    nodes: Vec<Node>,
    vacant: Vec<NodeId>,
    /// By parent and the origin of the last token of the first page, which tells pages apart.
    kids: FxHashMap<(NodeId, Origin), NodeId>,
    /// Who can be evicted.
    leaves: BTreeSet<(Stamp, NodeId)>,
    clock: u64,
    idle: u64,
    held: u64,
    evicted: u64,
}

impl RadixTree {
    /// The root, which holds nothing.
    pub const ROOT: NodeId = NodeId(0);

    /// An empty tree.
    pub fn new(page: u32) -> RadixTree {
        assert!(page > 0, "a page holds at least one token");
        let root = Node {
            text: Arc::new(Text::new(&[], 1, 0, 0)),
            from: 0,
            to: 0,
            up: RadixTree::ROOT,
            kids: 0,
            locks: 1,
            used: 0,
        };
        RadixTree {
            page,
            nodes: vec![root],
            vacant: Vec::new(),
            kids: FxHashMap::default(),
            leaves: BTreeSet::new(),
            clock: 0,
            idle: 0,
            held: 0,
            evicted: 0,
        }
    }

    /// Tokens that nobody holds: evictable, now or once their children are gone.
    pub fn idle(&self) -> u64 {
        self.idle
    }

    /// Tokens that somebody holds.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Tokens evicted so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Whole pages of so many tokens, in tokens.
    pub fn floor(&self, tokens: u32) -> u32 {
        tokens / self.page * self.page
    }

    /// The longest prefix of the first `tokens` tokens of a text that is there, in whole pages. Its
    /// path becomes the newest, the deepest node the newest of it; a node that it ends within is
    /// split.
    pub fn look_up(&mut self, text: &Text, tokens: u32) -> Matched {
        let tokens = self.floor(tokens);
        let (mut node, mut at) = (RadixTree::ROOT, 0);
        if tokens == 0 {
            return Matched { tokens: 0, node };
        }
        while let Some(kid) = self.kid(node, text, at, tokens) {
            let same = self.agrees(kid, text, tokens);
            let whole = same == self.node(kid).to;
            at = same;
            node = if whole { kid } else { self.split(kid, same) };
            if !whole {
                break;
            }
        }
        self.clock += 1;
        let (mut stamp, mut up) = (self.clock * STAMPS, node);
        while up != RadixTree::ROOT {
            self.stamp(up, stamp);
            stamp -= 1;
            up = self.node(up).up;
        }
        Matched { tokens: at, node }
    }

    /// How many tokens a [look-up](Self::look_up) would find; nothing is touched.
    pub fn peek(&self, text: &Text, tokens: u32) -> u32 {
        let tokens = self.floor(tokens);
        let (mut node, mut at) = (RadixTree::ROOT, 0);
        while let Some(kid) = self.kid(node, text, at, tokens) {
            at = self.agrees(kid, text, tokens);
            if at < self.node(kid).to {
                break;
            }
            node = kid;
        }
        at
    }

    /// Puts the whole pages of the first `tokens` tokens of a text into the tree, the new ones as
    /// one leaf that nobody holds yet. Says how many were there.
    pub fn insert(&mut self, text: &Arc<Text>, tokens: u32) -> Matched {
        let tokens = self.floor(tokens);
        let (mut node, mut at) = (RadixTree::ROOT, 0);
        while let Some(kid) = self.kid(node, text, at, tokens) {
            self.touch(kid);
            let same = self.agrees(kid, text, tokens);
            node = if same < self.node(kid).to { self.split(kid, same) } else { kid };
            at = same;
        }
        let there = at;
        if at < tokens {
            node = self.add_leaf(node, text, at, tokens);
        }
        Matched { tokens: there, node }
    }

    /// Keeps a path from being evicted.
    pub fn lock(&mut self, node: NodeId) {
        let mut at = node;
        while at != RadixTree::ROOT {
            if self.node(at).locks == 0 {
                self.no_leaf(at);
                let tokens = self.tokens(at);
                self.idle -= tokens;
                self.held += tokens;
            }
            let node = self.node_mut(at);
            node.locks += 1;
            at = node.up;
        }
    }

    /// Undoes one [`lock`](Self::lock).
    pub fn unlock(&mut self, node: NodeId) {
        let mut at = node;
        while at != RadixTree::ROOT {
            let node = self.node_mut(at);
            node.locks = node.locks.checked_sub(1).expect("it was locked");
            let up = node.up;
            if self.node(at).locks == 0 {
                let tokens = self.tokens(at);
                self.idle += tokens;
                self.held -= tokens;
                self.perhaps_leaf(at);
            }
            at = up;
        }
    }

    /// Evicts the least recently used leaf; says how many tokens it held, 0 where nothing can go.
    pub fn evict_one(&mut self) -> u64 {
        let Some((_, leaf)) = self.leaves.pop_first() else { return 0 };
        let tokens = self.tokens(leaf);
        let key = (self.node(leaf).up, self.first_page(leaf));
        self.kids.remove(&key);
        self.node_mut(key.0).kids -= 1;
        self.perhaps_leaf(key.0);
        // Its text is needed no more.
        let nothing = self.node(RadixTree::ROOT).text.clone();
        self.node_mut(leaf).text = nothing;
        self.vacant.push(leaf);
        self.idle -= tokens;
        self.evicted += tokens;
        tokens
    }

    /// The child that goes on with the page of `text` at `at`.
    fn kid(&self, node: NodeId, text: &Text, at: u32, tokens: u32) -> Option<NodeId> {
        let last = (at < tokens).then(|| text.origin(at + self.page - 1))?;
        self.kids.get(&(node, last)).copied()
    }

    /// Up to where a node agrees with a text, in whole pages: at least its first.
    fn agrees(&self, kid: NodeId, text: &Text, tokens: u32) -> u32 {
        let node = self.node(kid);
        self.floor(node.text.differs(text, node.from, node.to.min(tokens)))
    }

    /// Splits a node in two at a place of its text; the upper part is returned, the rest is newer.
    fn split(&mut self, kid: NodeId, at: u32) -> NodeId {
        let Node { text, from, up, locks, .. } = self.node(kid).clone();
        self.clock += 1;
        let used = self.clock * STAMPS;
        let upper = self.add(Node { text, from, to: at, up, kids: 1, locks, used });
        let key = (up, self.first_page(kid));
        self.kids.insert(key, upper);
        let lower = self.node_mut(kid);
        lower.from = at;
        lower.up = upper;
        let key = (upper, self.first_page(kid));
        self.kids.insert(key, kid);
        self.touch(kid);
        upper
    }

    fn add_leaf(&mut self, up: NodeId, text: &Arc<Text>, from: u32, to: u32) -> NodeId {
        self.no_leaf(up);
        self.node_mut(up).kids += 1;
        self.clock += 1;
        let used = self.clock * STAMPS;
        let text = text.clone();
        let leaf = self.add(Node { text, from, to, up, kids: 0, locks: 0, used });
        let key = (up, self.first_page(leaf));
        self.kids.insert(key, leaf);
        self.idle += u64::from(to - from);
        self.perhaps_leaf(leaf);
        leaf
    }

    fn add(&mut self, node: Node) -> NodeId {
        match self.vacant.pop() {
            Some(id) => {
                *self.node_mut(id) = node;
                id
            }
            None => {
                self.nodes.push(node);
                NodeId(u32::try_from(self.nodes.len() - 1).expect("fewer nodes than tokens"))
            }
        }
    }

    fn first_page(&self, node: NodeId) -> Origin {
        let node = self.node(node);
        node.text.origin(node.from + self.page - 1)
    }

    /// Makes a node the newest.
    fn touch(&mut self, node: NodeId) {
        self.clock += 1;
        self.stamp(node, self.clock * STAMPS);
    }

    fn stamp(&mut self, node: NodeId, used: Stamp) {
        self.no_leaf(node);
        self.node_mut(node).used = used;
        self.perhaps_leaf(node);
    }

    fn is_leaf(&self, id: NodeId) -> bool {
        let node = self.node(id);
        id != RadixTree::ROOT && node.kids == 0 && node.locks == 0
    }

    fn perhaps_leaf(&mut self, id: NodeId) {
        if self.is_leaf(id) {
            self.leaves.insert((self.node(id).used, id));
        }
    }

    fn no_leaf(&mut self, id: NodeId) {
        if self.is_leaf(id) {
            self.leaves.remove(&(self.node(id).used, id));
        }
    }

    fn tokens(&self, id: NodeId) -> u64 {
        let node = self.node(id);
        u64::from(node.to - node.from)
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ids: &[u64], owner: u64) -> Arc<Text> {
        Arc::new(Text::new(ids, 10, u32::MAX, owner))
    }

    #[test]
    fn a_split_off_rest_goes_before_what_was_looked_up() {
        let mut tree = RadixTree::new(1);
        tree.insert(&text(&[1, 2], 1), 30);
        let hit = tree.look_up(&text(&[1, 3], 2), 25);
        assert_eq!(hit.tokens, 10);
        tree.insert(&text(&[9], 3), 5);
        assert_eq!((tree.idle(), tree.held()), (35, 0));
        assert_eq!(tree.evict_one(), 20);
        // What was inserted last is newer than the part that was found.
        assert_eq!(tree.evict_one(), 10);
        assert_eq!(tree.evict_one(), 5);
        assert_eq!(tree.evict_one(), 0);
    }

    #[test]
    fn what_is_locked_stays_with_all_before_it() {
        let mut tree = RadixTree::new(4);
        let long = text(&[1, 2], 1);
        let short = tree.insert(&long, 10);
        assert_eq!((short.tokens, tree.idle()), (0, 8));
        let whole = tree.insert(&long, 23);
        assert_eq!((whole.tokens, tree.idle()), (8, 20));
        tree.lock(short.node);
        assert_eq!((tree.idle(), tree.held()), (12, 8));
        assert_eq!((tree.evict_one(), tree.evict_one()), (12, 0));
        tree.unlock(short.node);
        assert_eq!((tree.evict_one(), tree.evicted()), (8, 20));
    }
}
