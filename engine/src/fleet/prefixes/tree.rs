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
        let (mut node, mut at) = (PrefixTree::ROOT, 0);
        while let Some(kid) = self.kid(node, &prompt.text, at, shared) {
            let to = self.agrees(kid, &prompt.text, shared);
            node = if to < self.node(kid).to { self.split(kid, to) } else { kid };
            self.mark(node, replica, used);
            at = to;
        }
        if at < shared {
            self.add_leaf(node, &prompt.text, (at, shared), replica, used);
        }
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
        let (mut node, mut at) = (PrefixTree::ROOT, 0);
        while let Some(kid) = self.kid(node, &prompt.text, at, shared) {
            let to = self.agrees(kid, &prompt.text, shared);
            let branches = to < self.node(kid).to && to < shared;
            node = if branches { self.split(kid, to) } else { kid };
            self.mark_to(node, (replica, to), 0);
            at = to;
        }
        if at < shared {
            self.add_leaf(node, &prompt.text, (at, shared), replica, 0);
        }
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
        let (mut node, mut at) = (PrefixTree::ROOT, 0);
        while let Some(kid) = self.kid(node, &prompt.text, at, shared) {
            let to = self.agrees(kid, &prompt.text, shared);
            let branches = to < self.node(kid).to && to < shared;
            node = if branches { self.split(kid, to) } else { kid };
            self.hold_to(node, (replica, to));
            at = to;
        }
        if at < shared {
            self.add_leaf(node, &prompt.text, (at, shared), replica, 1);
        }
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
mod tests {
    use super::*;
    use crate::content::{Content, Ids, Origin as Known};
    use crate::request::RequestId;

    /// A prompt of named pages of ten tokens, and more of its own.
    fn prompt(id: u32, ids: &[u64], tokens: u32) -> Prompt {
        let covers = 10 * ids.len() as u32;
        let content = Content::of(RequestId(id), 10, |_| Known {
            ids: Ids::all(ids.to_vec()),
            covers,
            ..Known::default()
        });
        Prompt::of(RequestId(id), content, tokens, 1)
    }

    /// Names of so many pages, each of which tells those before it.
    fn branch(pages: u64, mut draw: impl FnMut(u64) -> u64) -> Vec<u64> {
        let below = |name: &u64| Some(2 * name + draw(2));
        std::iter::successors(Some(1), below).skip(1).take(pages as usize).collect()
    }

    fn replicas(tree: &PrefixTree, prompt: &Prompt) -> Vec<(u32, u32, Vec<u32>)> {
        let mut steps = Vec::new();
        tree.walk(prompt, prompt.tokens, &mut steps);
        let held = |step: &Step| tree.holders(step.node).map(|one| one.0).collect();
        steps.iter().map(|step| (step.from, step.to, held(step))).collect()
    }

    #[test]
    fn a_prompt_is_found_as_far_as_it_was_sent_somewhere() {
        let mut tree = PrefixTree::new(5, 3, Goes::Never);
        let [one, two, three] =
            [prompt(0, &[1, 2, 3], 42), prompt(1, &[1, 2, 9], 33), prompt(2, &[1], 90)];
        tree.insert(&one, 42, ReplicaId(2), 1);
        assert_eq!(replicas(&tree, &two), [(0, 20, vec![2])]);
        tree.insert(&two, 33, ReplicaId(0), 2);
        assert_eq!(replicas(&tree, &one), [(0, 20, vec![0, 2]), (20, 30, vec![2])]);
        assert_eq!(replicas(&tree, &three), [(0, 10, vec![0, 2])]);
        // What is a request's own counts, in whole pages.
        assert_eq!([0, 1, 2].map(|one| tree.size(ReplicaId(one))), [30, 0, 40]);
    }

    #[test]
    fn the_longest_unused_leaf_goes_first_and_shared_parts_last() {
        let mut tree = PrefixTree::new(10, 1, Goes::TailFirst);
        let replica = ReplicaId(0);
        let [one, two] = [prompt(0, &[1, 2, 3], 30), prompt(1, &[1, 8], 40)];
        tree.insert(&one, 30, replica, 1);
        tree.insert(&two, 40, replica, 2);
        assert_eq!(tree.size(replica), 60);
        tree.forget_beyond(replica, 59, false);
        assert_eq!(tree.size(replica), 40, "[2, 3] of the first");
        assert_eq!(replicas(&tree, &one), [(0, 10, vec![0])]);
        tree.forget_beyond(replica, 39, false);
        assert_eq!(tree.size(replica), 20, "what was the second's own");
        tree.forget_beyond(replica, 19, false);
        assert_eq!(replicas(&tree, &two), [(0, 10, vec![0])]);
        tree.forget_beyond(replica, 0, false);
        assert_eq!((tree.size(replica), tree.kids.len()), (0, 0));
    }

    #[test]
    fn a_list_of_blocks_loses_the_heads_of_prompts() {
        let mut tree = PrefixTree::new(10, 1, Goes::HeadFirst);
        let replica = ReplicaId(0);
        let one = prompt(0, &[1, 2, 3], 60);
        tree.insert(&one, 60, replica, 1);
        tree.forget_beyond(replica, 45, false);
        assert_eq!(tree.size(replica), 40);
        assert_eq!(replicas(&tree, &one), [(0, 20, vec![]), (20, 30, vec![0])]);
        tree.forget_beyond(replica, 20, false);
        assert_eq!(tree.size(replica), 20, "of its own tail");
    }

    #[test]
    fn what_is_held_is_the_longest_of_what_each_request_holds() {
        let mut state = 0x1234_5678_9ABC_DEF1_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut tree = PrefixTree::new(5, 3, Goes::Never);
        let mut held: Vec<(ReplicaId, Vec<u64>, Prompt)> = Vec::new();
        for id in 0..2000 {
            if held.len() > 12 || !held.is_empty() && draw(2) == 0 {
                let (replica, _, prompt) = held.swap_remove(draw(held.len() as u64) as usize);
                tree.release(&prompt, prompt.tokens, replica);
            } else {
                let ids = branch(1 + draw(5), &mut draw);
                let tokens = (1 + draw(60)) as u32;
                let replica = ReplicaId(draw(3) as u32);
                let prompt = prompt(id, &ids, tokens);
                tree.hold(&prompt, tokens, replica);
                held.push((replica, ids, prompt));
            }
            // Pages of 5 tokens by what they hold: a block of a name, or of one request alone.
            for replica in (0..3).map(ReplicaId) {
                let mut pages = std::collections::BTreeSet::new();
                for (owner, (_, ids, prompt)) in
                    held.iter().enumerate().filter(|(_, (at, ..))| *at == replica)
                {
                    for page in 0..prompt.tokens / 5 {
                        let shared = (page + 1) * 5 <= prompt.reach;
                        let name = ids.get(..=page as usize / 2).filter(|_| shared);
                        let own = if name.is_none() { owner } else { usize::MAX };
                        pages.insert((page, name.map(<[u64]>::to_vec), own));
                    }
                }
                assert_eq!(tree.size(replica), 5 * pages.len() as u64, "step {id}");
            }
            for (_, ids, prompt) in &held {
                let mut steps = Vec::new();
                tree.walk(prompt, prompt.tokens, &mut steps);
                let mut reach = [0; 3];
                for step in &steps {
                    for (replica, to) in tree.reaches(step.node) {
                        reach[replica.index()] = to.min(step.to);
                    }
                }
                let mut expected = [0; 3];
                for (replica, others, other) in &held {
                    let alike = ids.iter().zip(others).take_while(|(a, b)| a == b).count() as u32;
                    let whole = tree.floor(prompt.tokens.min(other.tokens));
                    let there = &mut expected[replica.index()];
                    *there = (10 * alike).min(whole).max(*there);
                }
                assert_eq!(reach, expected, "step {id}");
            }
        }
        held.drain(..)
            .for_each(|(replica, _, prompt)| tree.release(&prompt, prompt.tokens, replica));
        assert!(tree.kids.is_empty() && tree.sizes == [0; 3]);
    }

    #[test]
    fn what_several_hold_counts_once_until_the_last_is_gone() {
        let mut tree = PrefixTree::new(10, 2, Goes::Never);
        let [one, two] = [prompt(0, &[1, 2, 3], 45), prompt(1, &[1, 2], 25)];
        let sizes = |tree: &PrefixTree| [0, 1].map(|one| tree.size(ReplicaId(one)));
        tree.hold(&one, 45, ReplicaId(0));
        tree.hold(&two, 25, ReplicaId(0));
        tree.hold(&two, 25, ReplicaId(1));
        assert_eq!(sizes(&tree), [40, 20]);
        tree.release(&one, 45, ReplicaId(0));
        assert_eq!(sizes(&tree), [20, 20]);
        tree.hold(&two, 25, ReplicaId(0));
        tree.release(&two, 25, ReplicaId(0));
        tree.release(&two, 25, ReplicaId(1));
        assert_eq!(sizes(&tree), [20, 0]);
        tree.release(&two, 25, ReplicaId(0));
        assert_eq!((sizes(&tree), tree.kids.len()), ([0, 0], 0));
    }

    #[test]
    fn a_tree_that_is_not_split_at_ends_says_the_same() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for page in [1, 5, 10] {
            let mut split = PrefixTree::new(page, 4, Goes::Never);
            let mut whole = PrefixTree::new(page, 4, Goes::Never);
            for id in 0..300 {
                let ids = branch(1 + draw(6), &mut draw);
                let prompt = prompt(id, &ids, 1 + draw(70) as u32);
                let replica = ReplicaId(draw(4) as u32);
                let asked = prompt.tokens;
                let held = |tree: &PrefixTree| {
                    let mut steps = Vec::new();
                    tree.walk(&prompt, asked, &mut steps);
                    let mut held = [0; 4];
                    for step in &steps {
                        for (holder, to) in tree.reaches(step.node) {
                            held[holder.index()] = to.min(step.to);
                        }
                    }
                    held
                };
                assert_eq!(held(&split), held(&whole), "page {page}, prompt {id}");
                split.insert(&prompt, prompt.reach, replica, 0);
                whole.reach(&prompt, prompt.reach, replica);
                assert!(whole.nodes.len() <= split.nodes.len());
                assert_eq!(split.sizes, whole.sizes, "page {page}, prompt {id}");
            }
            assert!(whole.nodes.len() < split.nodes.len(), "page {page}: nothing ends in a node");
        }
    }

    #[test]
    fn what_was_used_at_one_time_can_go_together() {
        let mut tree = PrefixTree::new(1, 1, Goes::TailFirst);
        let replica = ReplicaId(0);
        tree.insert(&prompt(0, &[1, 2], 50), 50, replica, 1);
        tree.insert(&prompt(1, &[7], 20), 20, replica, 2);
        tree.forget_beyond(replica, 60, true);
        assert_eq!(tree.size(replica), 20);
        tree.forget_before(replica, 3);
        assert_eq!(tree.size(replica), 0);
    }
}
