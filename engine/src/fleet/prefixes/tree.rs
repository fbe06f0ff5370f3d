//! A radix tree over prompts in which each node knows the replicas that were sent its tokens: the index
//! that a router makes for itself. It sees no evictions; what it forgets, it forgets by rules of its
//! own.
//!
//! What no other request can have is never looked for, so it is no node: it counts as held, and can be
//! forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::prompt::Prompt;
use crate::ids::ReplicaId;
use crate::kv::radix::{Origin, Text};

/// A node of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::fleet) struct PrefixId(u32);

/// A node on the way down along a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fleet) struct Step {
    pub node: PrefixId,
    /// Where it begins in the prompt.
    pub from: u32,
    /// Up to where the prompt agrees with it; the last may be met in part.
    pub to: u32,
}

/// What is forgotten first of what was used equally long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fleet) enum Goes {
    /// Nothing ever is.
    Never,
    /// The deepest: leaves of a tree.
    TailFirst,
    /// What comes first in its prompt: entries of a list of blocks.
    HeadFirst,
}

/// What becomes of a node in the middle of which a prompt ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// It is split there.
    Split,
    /// It stays whole, and its holders say how far they have it.
    Within,
}

/// A replica that holds a node.
#[derive(Clone, Copy, Debug)]
struct Holder {
    replica: ReplicaId,
    /// Up to where in the prompt: the end of the node, unless nodes are not split at the ends of prompts.
    to: u32,
    used: u64,
}

#[derive(Debug)]
struct Node {
    text: Arc<Text>,
    from: u32,
    to: u32,
    up: PrefixId,
    kids: u32,
    /// In the order of their numbers, and of how far they reach.
    holders: Vec<Holder>,
    /// Who used it last.
    latest: ReplicaId,
}

/// Something that a replica holds, by its last use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    used: u64,
    /// By place in the prompt, counted from where it is forgotten first.
    place: u32,
    what: Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Node(PrefixId),
    /// So many tokens that nobody else can have.
    Tail(u32),
}

/// Prompts in whole pages, and who was sent them.
#[derive(Debug)]
pub(in crate::fleet) struct PrefixTree {
    page: u32,
    goes: Goes,
    nodes: Vec<Node>,
    vacant: Vec<PrefixId>,
    /// By parent and the origin of the last token of the first page, which tells pages apart.
    kids: FxHashMap<(PrefixId, Origin), PrefixId>,
    /// Tokens by replica.
    sizes: Vec<u64>,
    /// What each replica holds, by last use, where anything is ever forgotten.
    uses: Vec<BTreeSet<Use>>,
}

impl PrefixTree {
    const ROOT: PrefixId = PrefixId(0);

    /// An empty tree over pages of `page` tokens; replicas are numbered below `replicas`.
    pub(in crate::fleet) fn new(page: u32, replicas: usize, goes: Goes) -> PrefixTree {
        assert!(page > 0, "a page holds at least one token");
        let root = Node {
            text: Arc::new(Text::new(&[], 1, 0, 0)),
            from: 0,
            to: 0,
            up: PrefixTree::ROOT,
            kids: 0,
            holders: Vec::new(),
            latest: ReplicaId::default(),
        };
        PrefixTree {
            page,
            goes,
            nodes: vec![root],
            vacant: Vec::new(),
            kids: FxHashMap::default(),
            sizes: vec![0; replicas],
            uses: match goes {
                Goes::Never => Vec::new(),
                _ => vec![BTreeSet::new(); replicas],
            },
        }
    }

    /// Whole pages of so many tokens, in tokens.
    pub(in crate::fleet) fn floor(&self, tokens: u32) -> u32 {
        tokens / self.page * self.page
    }

    /// Tokens that a replica was sent and that are not forgotten, shared ones once.
    pub(in crate::fleet) fn size(&self, replica: ReplicaId) -> u64 {
        self.sizes[replica.index()]
    }

    /// The nodes along the first `tokens` tokens of a prompt, from the first on.
    pub(in crate::fleet) fn walk(&self, prompt: &Prompt, tokens: u32, steps: &mut Vec<Step>) {
        steps.clear();
        let tokens = self.floor(tokens.min(prompt.reach));
        let (mut node, mut at) = (PrefixTree::ROOT, 0);
        while let Some(kid) = self.kid(node, &prompt.text, at, tokens) {
            let to = self.agrees(kid, &prompt.text, tokens);
            steps.push(Step { node: kid, from: at, to });
            if to < self.node(kid).to {
                break;
            }
            (node, at) = (kid, to);
        }
    }

    /// Who holds a node, in the order of their numbers.
    pub(in crate::fleet) fn holders(
        &self,
        node: PrefixId,
    ) -> impl ExactSizeIterator<Item = ReplicaId> + '_ {
        self.node(node).holders.iter().map(|holder| holder.replica)
    }

    /// Who holds the beginning of a node at least, and up to where, in the order of their numbers; of one
    /// replica the furthest comes last.
    pub(in crate::fleet) fn reaches(
        &self,
        node: PrefixId,
    ) -> impl Iterator<Item = (ReplicaId, u32)> + '_ {
        self.node(node).holders.iter().map(|holder| (holder.replica, holder.to))
    }

    /// Whether a replica holds a node.
    pub(in crate::fleet) fn holds(&self, node: PrefixId, replica: ReplicaId) -> bool {
        self.node(node).place_of(replica).is_ok()
    }

    /// Whoever of its holders used a node last.
    pub(in crate::fleet) fn latest(&self, node: PrefixId) -> Option<ReplicaId> {
        let node = self.node(node);
        match node.place_of(node.latest) {
            Ok(_) => Some(node.latest),
            Err(_) => node.holders.first().map(|holder| holder.replica),
        }
    }

    /// Notes that a replica used a node that it holds.
    pub(in crate::fleet) fn touch(&mut self, node: PrefixId, replica: ReplicaId, used: u64) {
        if self.holds(node, replica) {
            self.mark(node, replica, used);
        }
    }

    /// Notes that the first `tokens` tokens of a prompt were sent to a replica, as use number `used`:
    /// later ones are larger.
    pub(in crate::fleet) fn insert(
        &mut self,
        prompt: &Prompt,
        tokens: u32,
        replica: ReplicaId,
        used: u64,
    ) {
        let tokens = self.floor(tokens);
        let shared = self.floor(prompt.reach.min(tokens));
        self.descend(prompt, (shared, Ends::Split), (replica, used), |tree, node, to| {
            tree.mark_to(node, (replica, to), used);
        });
        let tail = tokens - shared;
        if tail > 0 {
            self.sizes[replica.index()] += u64::from(tail);
            let entry = self.entry(used, shared, Kept::Tail(tail));
            if let Some(uses) = self.uses.get_mut(replica.index()) {
                uses.insert(entry);
            }
        }
    }

    /// The same where nothing is forgotten and [reaches](Self::reaches) are asked for: the node in which a
    /// prompt ends stays whole. A long beginning that many prompts share is one node then, however
    /// many others end in the middle of it.
    ///
    /// # Panics
    /// In a tree that forgets.
    pub(in crate::fleet) fn reach(&mut self, prompt: &Prompt, tokens: u32, replica: ReplicaId) {
        assert!(self.uses.is_empty(), "what is forgotten is whole nodes");
        let shared = self.floor(prompt.reach.min(tokens));
        self.descend(prompt, (shared, Ends::Within), (replica, 0), |tree, node, to| {
            tree.mark_to(node, (replica, to), 0);
        });
    }

    /// The first `tokens` tokens of a prompt are at work at a replica, until they are
    /// [released](Self::release): what several requests have there counts once. As with
    /// [`reach`](Self::reach) the node in which a prompt ends stays whole; `used` counts the requests that
    /// hold it so far.
    ///
    /// # Panics
    /// In a tree that forgets.
    pub(in crate::fleet) fn hold(&mut self, prompt: &Prompt, tokens: u32, replica: ReplicaId) {
        assert!(self.uses.is_empty(), "what is at work is not forgotten");
        let tokens = self.floor(tokens);
        let shared = self.floor(prompt.reach.min(tokens));
        self.descend(prompt, (shared, Ends::Within), (replica, 1), |tree, node, to| {
            tree.hold_to(node, (replica, to));
        });
        self.sizes[replica.index()] += u64::from(tokens - shared);
    }

    /// They are no more: what was [held](Self::hold) once.
    pub(in crate::fleet) fn release(&mut self, prompt: &Prompt, tokens: u32, replica: ReplicaId) {
        let tokens = self.floor(tokens);
        let shared = self.floor(prompt.reach.min(tokens));
        let mut steps = Vec::new();
        self.walk(prompt, shared, &mut steps);
        for step in steps.iter().rev() {
            let node = &mut self.nodes[step.node.0 as usize];
            let place = node.place_up_to(replica, step.to).expect("it was held there");
            node.holders[place].used -= 1;
            if node.holders[place].used == 0 {
                node.holders.remove(place);
                let less = step.to.saturating_sub(node.reach_of(replica));
                self.sizes[replica.index()] -= u64::from(less);
                self.remove_if_empty(step.node);
            }
        }
        self.sizes[replica.index()] -= u64::from(tokens - shared);
    }

    /// Goes down along a prompt's shared tokens and notes each node that is there, and up to where the
    /// prompt has it. What is not there yet becomes a leaf of that replica, used so.
    fn descend(
        &mut self,
        prompt: &Prompt,
        (shared, ends): (u32, Ends),
        (replica, used): (ReplicaId, u64),
        note: impl Fn(&mut PrefixTree, PrefixId, u32),
    ) {
        let (mut node, mut at) = (PrefixTree::ROOT, 0);
        while let Some(kid) = self.kid(node, &prompt.text, at, shared) {
            let to = self.agrees(kid, &prompt.text, shared);
            let stays = to == self.node(kid).to || ends == Ends::Within && to == shared;
            node = if stays { kid } else { self.split(kid, to) };
            note(self, node, to);
            at = to;
        }
        if at < shared {
            self.add_leaf(node, &prompt.text, (at, shared), replica, used);
        }
    }

    /// One request more holds a node up to some place.
    fn hold_to(&mut self, id: PrefixId, (replica, to): (ReplicaId, u32)) {
        let node = &mut self.nodes[id.0 as usize];
        let more = to.saturating_sub(node.reach_of(replica));
        match node.place_up_to(replica, to) {
            Ok(place) => node.holders[place].used += 1,
            Err(place) => node.holders.insert(place, Holder { replica, to, used: 1 }),
        }
        self.sizes[replica.index()] += u64::from(more);
    }

    /// Forgets what a replica has not used for longest until it holds no more than `most` tokens;
    /// with `together` all that was used at one time goes.
    pub(in crate::fleet) fn forget_beyond(
        &mut self,
        replica: ReplicaId,
        most: u64,
        together: bool,
    ) {
        let mut last = None;
        while let Some(&oldest) = self.uses[replica.index()].first() {
            let size = self.sizes[replica.index()];
            if size <= most && !(together && last == Some(oldest.used)) {
                break;
            }
            last = Some(oldest.used);
            self.forget(replica, oldest, size.saturating_sub(most));
        }
    }

    /// Forgets what a replica has not used since `used`.
    pub(in crate::fleet) fn forget_before(&mut self, replica: ReplicaId, used: u64) {
        while let Some(&oldest) = self.uses[replica.index()].first()
            && oldest.used < used
        {
            self.forget(replica, oldest, u64::MAX);
        }
    }

    /// Forgets an entry; of one that goes head first no more than whole pages for `excess` tokens.
    fn forget(&mut self, replica: ReplicaId, entry: Use, excess: u64) {
        let pages = excess.div_ceil(self.page.into()).saturating_mul(self.page.into());
        match entry.what {
            Kept::Tail(tokens) => {
                self.uses[replica.index()].remove(&entry);
                let gone = match self.goes {
                    Goes::HeadFirst => pages.min(tokens.into()) as u32,
                    _ => tokens,
                };
                self.sizes[replica.index()] -= u64::from(gone);
                if gone < tokens {
                    let place = entry.place + gone;
                    let what = Kept::Tail(tokens - gone);
                    self.uses[replica.index()].insert(Use { place, what, ..entry });
                }
            }
            Kept::Node(node) => {
                let (from, to) = (self.node(node).from, self.node(node).to);
                let part = self.goes == Goes::HeadFirst && pages < u64::from(to - from);
                let node = if part { self.split(node, from + pages as u32) } else { node };
                self.unmark(node, replica);
            }
        }
    }

    /// A replica holds a node, used now.
    fn mark(&mut self, id: PrefixId, replica: ReplicaId, used: u64) {
        self.mark_to(id, (replica, self.node(id).to), used);
    }

    /// A replica holds a node up to some place at least, used now.
    fn mark_to(&mut self, id: PrefixId, (replica, to): (ReplicaId, u32), used: u64) {
        let node = &mut self.nodes[id.0 as usize];
        node.latest = replica;
        let from = node.from;
        let (before, held_to) = match node.place_of(replica) {
            Ok(place) => {
                let holder = &mut node.holders[place];
                let held_to = holder.to;
                holder.to = held_to.max(to);
                (Some(std::mem::replace(&mut holder.used, used)), held_to)
            }
            Err(place) => {
                node.holders.insert(place, Holder { replica, to, used });
                (None, from)
            }
        };
        self.sizes[replica.index()] += u64::from(to.saturating_sub(held_to));
        if self.uses.is_empty() || before == Some(used) {
            return;
        }
        if let Some(before) = before {
            let entry = self.entry(before, from, Kept::Node(id));
            self.uses[replica.index()].remove(&entry);
        }
        let entry = self.entry(used, from, Kept::Node(id));
        self.uses[replica.index()].insert(entry);
    }

    /// A replica holds a node no more.
    fn unmark(&mut self, id: PrefixId, replica: ReplicaId) {
        let node = &mut self.nodes[id.0 as usize];
        let Ok(place) = node.place_of(replica) else { return };
        let holder = node.holders.remove(place);
        let from = node.from;
        self.sizes[replica.index()] -= u64::from(holder.to - from);
        let entry = self.entry(holder.used, from, Kept::Node(id));
        if let Some(uses) = self.uses.get_mut(replica.index()) {
            uses.remove(&entry);
        }
        self.remove_if_empty(id);
    }

    /// Takes nodes out that nobody holds and that lead nowhere.
    fn remove_if_empty(&mut self, mut id: PrefixId) {
        while id != PrefixTree::ROOT {
            let node = self.node(id);
            if node.kids > 0 || !node.holders.is_empty() {
                return;
            }
            let up = node.up;
            self.kids.remove(&(up, self.first_page(id)));
            self.nodes[up.0 as usize].kids -= 1;
            let nothing = self.node(PrefixTree::ROOT).text.clone();
            self.nodes[id.0 as usize].text = nothing;
            self.vacant.push(id);
            id = up;
        }
    }

    fn entry(&self, used: u64, from: u32, what: Kept) -> Use {
        let place = if self.goes == Goes::TailFirst { u32::MAX - from } else { from };
        Use { used, place, what }
    }

    fn kid(&self, node: PrefixId, text: &Text, at: u32, tokens: u32) -> Option<PrefixId> {
        let last = (at < tokens).then(|| text.origin(at + self.page - 1))?;
        self.kids.get(&(node, last)).copied()
    }

    /// Up to where a node agrees with a text, in whole pages: at least its first.
    fn agrees(&self, kid: PrefixId, text: &Text, tokens: u32) -> u32 {
        let node = self.node(kid);
        self.floor(node.text.differs(text, node.from, node.to.min(tokens)))
    }

    /// Splits a node in two at a place of its text; the upper part is returned.
    fn split(&mut self, kid: PrefixId, at: u32) -> PrefixId {
        let (text, from, up) =
            (self.node(kid).text.clone(), self.node(kid).from, self.node(kid).up);
        let (mut holders, latest) = (self.node(kid).holders.clone(), self.node(kid).latest);
        self.nodes[kid.0 as usize].holders.retain(|holder| holder.to > at);
        holders.iter_mut().for_each(|holder| holder.to = holder.to.min(at));
        holders.dedup_by(|next, before| {
            let same = (next.replica, next.to) == (before.replica, before.to);
            before.used += if same { next.used } else { 0 };
            same
        });
        let key = (up, self.first_page(kid));
        let upper = Node { text, from, to: at, up, kids: 1, holders, latest };
        let upper = self.add(upper);
        self.kids.insert(key, upper);
        self.nodes[kid.0 as usize].from = at;
        self.nodes[kid.0 as usize].up = upper;
        self.kids.insert((upper, self.first_page(kid)), kid);
        if !self.uses.is_empty() {
            for place in 0..self.node(kid).holders.len() {
                let Holder { replica, used, .. } = self.node(kid).holders[place];
                let [before, above, below] = [(from, kid), (from, upper), (at, kid)]
                    .map(|(place, node)| self.entry(used, place, Kept::Node(node)));
                let uses = &mut self.uses[replica.index()];
                uses.remove(&before);
                uses.insert(above);
                uses.insert(below);
            }
        }
        self.remove_if_empty(kid);
        upper
    }

    fn add_leaf(
        &mut self,
        up: PrefixId,
        text: &Arc<Text>,
        (from, to): (u32, u32),
        replica: ReplicaId,
        used: u64,
    ) {
        self.nodes[up.0 as usize].kids += 1;
        let text = text.clone();
        let leaf = Node { text, from, to, up, kids: 0, holders: Vec::new(), latest: replica };
        let leaf = self.add(leaf);
        self.kids.insert((up, self.first_page(leaf)), leaf);
        self.mark(leaf, replica, used);
    }

    fn add(&mut self, node: Node) -> PrefixId {
        match self.vacant.pop() {
            Some(id) => {
                self.nodes[id.0 as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                PrefixId(u32::try_from(self.nodes.len() - 1).expect("fewer nodes than tokens"))
            }
        }
    }

    fn first_page(&self, node: PrefixId) -> Origin {
        let node = self.node(node);
        node.text.origin(node.from + self.page - 1)
    }

    fn node(&self, id: PrefixId) -> &Node {
        &self.nodes[id.0 as usize]
    }
}

impl Node {
    fn place_of(&self, replica: ReplicaId) -> Result<usize, usize> {
        self.holders.binary_search_by_key(&replica, |holder| holder.replica)
    }

    fn place_up_to(&self, replica: ReplicaId, to: u32) -> Result<usize, usize> {
        self.holders.binary_search_by_key(&(replica, to), |holder| (holder.replica, holder.to))
    }

    /// Up to where a replica holds it: its beginning where it does not.
    fn reach_of(&self, replica: ReplicaId) -> u32 {
        let after = self.holders.partition_point(|holder| holder.replica <= replica);
        let last = after.checked_sub(1).map(|place| self.holders[place]);
        last.filter(|holder| holder.replica == replica).map_or(self.from, |holder| holder.to)
    }
}

#[cfg(test)]
mod tests;
