//! What the tokens of a request are, as far as other requests have the same ones: what a prefix
//! cache can find.
//!
//! Two things are known of a token. A workload may give *content ids*, which are chained: whoever has
//! an id has all tokens before it too. And a turn of a conversation begins with the tokens of the
//! turn before it, prompt and answer, and that one with those of the turn before. All other
//! tokens are the request's own.

use std::sync::Arc;

use crate::kv::chain::{Ids as BlockIdsOf, Names, Run, Widths};
use crate::kv::{BlockKey, Chain};
use crate::request::{BlockIds, RequestId};

/// A stretch of a table of content ids, shared with all who have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    table: Arc<Vec<u64>>,
    place: BlockIds,
}

impl Ids {
    /// The stretch of `table` that `place` says; `None` where it is empty.
    pub fn of(table: &Arc<Vec<u64>>, place: BlockIds) -> Option<Ids> {
        (place.len > 0).then(|| Ids { table: Arc::clone(table), place })
    }

    /// All of these ids; `None` where there are none.
    pub fn all(ids: Vec<u64>) -> Option<Ids> {
        let place = BlockIds { start: 0, len: ids.len() as u32 };
        Ids::of(&Arc::new(ids), place)
    }

    /// The ids.
    pub fn as_slice(&self) -> &[u64] {
        self.place.of(&self.table)
    }
}

/// A request whose tokens another one begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Which request; it came before.
    pub request: RequestId,
    /// How many of its tokens, prompt and then answer.
    pub tokens: u32,
}

/// What a request's place in a conversation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Whose tokens it begins with.
    pub parent: Option<Parent>,
    /// Whether another request begins with its tokens.
    pub followed: bool,
}

/// What is said of the tokens of one request, without those that it goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Chained content ids from its first token on.
    pub ids: Option<Ids>,
    /// Tokens that the ids cover: of the prompt, and of the answer where they go beyond it.
    pub covers: u32,
    /// Whose tokens it begins with. Before their end its own ids say nothing.
    pub parent: Option<Parent>,
    /// Whether tokens that are its own, of its answer or of its prompt, can be met in another request.
    pub own_is_met: bool,
}

/// What all tokens of a request are. Shares the ids of those that it goes on from.
#[derive(Clone, Debug, Default)]
pub struct Content {
    request: RequestId,
    /// From the first token on; empty where all tokens are its own.
    stretches: Box<[Stretch]>,
    id_tokens: u32,
    own_is_met: bool,
}

/// Tokens that one request has said what they are of: those before `end` that no stretch before
/// this one has.
#[derive(Clone, Debug)]
struct Stretch {
    end: u32,
    request: RequestId,
    ids: Option<Ids>,
    covers: u32,
}

/// Tokens in a row that are known by one name: a content id, or the request whose own they are.
struct Piece {
    what: (u64, bool),
    end: u32,
}

impl Content {
    /// The content of `request`, where an id stands for `id_tokens` tokens and `origin` says what is
    /// known of it and of all that it goes on from.
    ///
    /// # Panics
    /// When a request goes on from one that comes after it.
    pub fn of(request: RequestId, id_tokens: u32, origin: impl Fn(RequestId) -> Origin) -> Content {
        let mut here = origin(request);
        let own_is_met = here.own_is_met;
        let mut stretches = Vec::new();
        if here.ids.is_some() || here.parent.is_some() {
            let (mut owner, mut end) = (request, u32::MAX);
            loop {
                let inherited = here.parent.map_or(0, |parent| parent.tokens.min(end));
                if inherited < end {
                    let Origin { ids, covers, .. } = here;
                    stretches.push(Stretch { end, request: owner, ids, covers });
                }
                let Some(parent) = here.parent.filter(|_| inherited > 0) else { break };
                assert!(parent.request < owner, "a turn follows one before it");
                (owner, end) = (parent.request, inherited);
                here = origin(owner);
            }
            stretches.reverse();
            keep_ids_that_go_on(&mut stretches, id_tokens);
        }
        Content { request, stretches: stretches.into(), id_tokens, own_is_met }
    }

    /// Whether another request can have some of its tokens.
    pub(crate) fn is_shared(&self) -> bool {
        self.own_is_met || !self.stretches.is_empty()
    }

    /// How many of its tokens, from the first on, another request can have; without end where those
    /// of its own can be met.
    pub(crate) fn shared_tokens(&self) -> u32 {
        if self.own_is_met {
            return u32::MAX;
        }
        let shared = |stretch: &Stretch| match &stretch.ids {
            _ if stretch.request != self.request => stretch.end,
            Some(ids) => ids.place.len.saturating_mul(self.id_tokens).min(stretch.covers),
            None => 0,
        };
        self.stretches.iter().map(shared).max().unwrap_or(0)
    }

    /// Whether tokens of its own can be met in another request, so that its blocks must be found
    /// as soon as they are full.
    #[inline]
    pub(crate) fn own_is_met(&self) -> bool {
        self.own_is_met
    }

    /// Whether ids say what tokens behind its first `prompt` are, so that others may have the same
    /// by name.
    pub(crate) fn names_beyond(&self, prompt: u32) -> bool {
        self.stretches.iter().any(|stretch| stretch.ids.is_some() && stretch.covers > prompt)
    }

    /// Its tokens from the first on, as stretches: where each ends, whose it is, its ids and the
    /// tokens that these cover. Nothing where all tokens are its own.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = (u32, RequestId, Option<&Ids>, u32)> {
        self.stretches.iter().map(|s| (s.end, s.request, s.ids.as_ref(), s.covers))
    }

    /// The request whose own tokens are those that nothing else is said of.
    pub(crate) fn owner(&self) -> RequestId {
        self.request
    }

    /// Whose it is; `None` where nothing was said of any tokens.
    pub(crate) fn request(&self) -> Option<RequestId> {
        (self.id_tokens > 0).then_some(self.request)
    }

    /// Tokens that an id stands for.
    pub(crate) fn id_tokens(&self) -> u32 {
        self.id_tokens
    }

    /// How many tokens at the head are the same as those of `other`, as far as is known; without end
    /// where all of one are.
    pub fn common(&self, other: &Content) -> u32 {
        let mut at = 0;
        loop {
            let (one, two) = (self.piece(at), other.piece(at));
            if one.what != two.what {
                return at;
            }
            at = one.end.min(two.end);
            if at == u32::MAX {
                return at;
            }
        }
    }

    /// The tokens from `at` on that are known by one name.
    fn piece(&self, at: u32) -> Piece {
        let place = self.stretches.partition_point(|stretch| stretch.end <= at);
        let own = Piece { what: (u64::from(self.request.0), false), end: u32::MAX };
        let Some(stretch) = self.stretches.get(place) else { return own };
        let named = stretch.ids.as_ref().filter(|_| at < stretch.covers && self.id_tokens > 0);
        let id = named.and_then(|ids| {
            let index = at / self.id_tokens;
            let end = (index + 1).saturating_mul(self.id_tokens);
            ids.as_slice().get(index as usize).map(|&id| (id, end.min(stretch.covers)))
        });
        match id {
            Some((id, end)) => Piece { what: (id, true), end: end.min(stretch.end) },
            None => Piece { what: (stretch.request.0.into(), false), end: stretch.end },
        }
    }

    /// What its blocks of `block_tokens` tokens contain, where `ahead` tokens behind a block belong to what
    /// it is, too: the same as [`key`](Self::key) says of each.
    pub(crate) fn chain(&self, block_tokens: u32, ahead: u32) -> Chain {
        let own = self.request.0.into();
        if self.stretches.is_empty() {
            return Chain::own(own, self.own_is_met);
        }
        let widths = Widths { block_tokens, ahead, id_tokens: self.id_tokens };
        let mut runs: Vec<Run> = Vec::with_capacity(2 * self.stretches.len() + 1);
        let mut push = |end: u32, names| {
            if runs.last().is_none_or(|last| last.end < end) {
                runs.push(Run { end, names });
            }
        };
        for stretch in &self.stretches {
            let end = match stretch.end {
                u32::MAX => Run::NO_END,
                tokens => widths.blocks_within(tokens),
            };
            if let Some(ids) = stretch.ids.as_ref().filter(|_| self.id_tokens > 0) {
                let named = ids.place.len.saturating_mul(self.id_tokens).min(stretch.covers);
                let (table, start) = (Arc::clone(&ids.table), ids.place.start);
                let names = Names::Ids(BlockIdsOf { table, start, widths });
                push(widths.blocks_within(named).min(end), names);
            }
            push(end, Names::Own(stretch.request.0.into()));
        }
        push(Run::NO_END, Names::Own(own));
        // A run of no blocks in front is none.
        runs.retain(|run| run.end > 0);
        let alone = match self.own_is_met {
            true => u32::MAX,
            false => match &runs[..] {
                [.., before, Run { names: Names::Own(last), .. }] if *last == own => before.end,
                [Run { names: Names::Own(last), .. }] if *last == own => 0,
                _ => u32::MAX,
            },
        };
        Chain::of(runs, alone)
    }

    /// The key of the request's block `index`, where all tokens before `end` make up what it is.
    ///
    /// A block belongs to the id that its last token lies in. Ids are chained, so whoever has that id
    /// has all tokens before it too, and n ids in common are `floor(n * S / B)` shared blocks, whether
    /// B divides S or not (a block widened to hold a state is as wide as it must be).
    pub fn key(&self, index: u32, end: u64) -> BlockKey {
        let own = |request: RequestId| BlockKey { id: request.0.into(), index, shared: false };
        let place = self.stretches.partition_point(|stretch| u64::from(stretch.end) < end);
        let Some(stretch) = self.stretches.get(place) else { return own(self.request) };
        if let Some(ids) = &stretch.ids
            && end <= u64::from(stretch.covers)
            && self.id_tokens > 0
        {
            let id = (end - 1) / u64::from(self.id_tokens);
            if let Some(&id) = ids.as_slice().get(id as usize) {
                return BlockKey { id, index, shared: true };
            }
        }
        own(stretch.request)
    }
}

/// Ids are chained, so those of a stretch stand for all tokens before it too: they count only where
/// these are the ones before it.
fn keep_ids_that_go_on(stretches: &mut [Stretch], id_tokens: u32) {
    for place in 1..stretches.len() {
        let (before, here) = stretches.split_at_mut(place);
        let before = &before[place - 1];
        let id_at_end = |ids: &Ids| {
            let id = (before.end - 1).checked_div(id_tokens)?;
            ids.as_slice().get(id as usize).copied()
        };
        let last = before.ids.as_ref().filter(|_| before.covers >= before.end).and_then(id_at_end);
        if last.is_none() || here[0].ids.as_ref().and_then(id_at_end) != last {
            here[0].ids = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: u32 = 16;

    fn own(request: u32, index: u32) -> BlockKey {
        BlockKey { id: request.into(), index, shared: false }
    }

    fn shared(id: u64, index: u32) -> BlockKey {
        BlockKey { id, index, shared: true }
    }

    fn follows(request: u32, tokens: u32) -> Option<Parent> {
        Some(Parent { request: RequestId(request), tokens })
    }

    /// The keys of the first blocks, each of which `lookahead` tokens after it belong to as well.
    fn keys(content: &Content, blocks: u32, lookahead: u32) -> Vec<BlockKey> {
        let end = |index: u32| u64::from((index + 1) * WIDTH + lookahead);
        (0..blocks).map(|index| content.key(index, end(index))).collect()
    }

    fn content(request: u32, origins: &[Origin]) -> Content {
        Content::of(RequestId(request), WIDTH, |id| origins[id.index()].clone())
    }

    #[test]
    fn a_turn_has_the_blocks_of_the_turns_before_it() {
        let system = Origin { ids: Ids::all(vec![7, 8]), covers: 32, ..Origin::default() };
        // 70 tokens of the first, then 130 of the second, which had 70 from the first.
        let second = Origin { parent: follows(0, 70), ..Origin::default() };
        let third = Origin { parent: follows(1, 130), ..Origin::default() };
        let origins = [system, second, third];
        let first = [shared(7, 0), shared(8, 1), own(0, 2), own(0, 3)];
        assert_eq!(keys(&content(0, &origins), 4, 0), first);
        let second = [&first[..], &[own(1, 4), own(1, 5)]].concat();
        assert_eq!(keys(&content(1, &origins), 6, 0), second);
        let third = [&second[..], &[own(1, 6), own(1, 7), own(2, 8)]].concat();
        assert_eq!(keys(&content(2, &origins), 9, 0), third);
    }

    #[test]
    fn a_chain_says_of_every_block_what_its_key_is() {
        let system = Origin { ids: Ids::all(vec![7, 8, 9]), covers: 40, ..Origin::default() };
        let second = Origin { parent: follows(0, 70), ..Origin::default() };
        let third = Origin { parent: follows(1, 130), own_is_met: true, ..Origin::default() };
        let ids = (0..9).collect();
        let other = Origin { ids: Ids::all(ids), covers: 1000, ..Origin::default() };
        let tail = Origin { parent: follows(3, 10), ..Origin::default() };
        let origins = [system, second, third, other, tail, Origin::default()];
        for (request, block_tokens, ahead) in
            (0..6).flat_map(|r| [(r, 16, 0), (r, 16, 1), (r, 16, 20), (r, 5, 0), (r, 48, 3)])
        {
            let content = content(request, &origins);
            let chain = content.chain(block_tokens, ahead);
            for index in 0..40 {
                let end = u64::from((index + 1) * block_tokens + ahead);
                let key = content.key(index, end);
                assert_eq!(chain.key(index), key, "{request} {block_tokens} {ahead}");
                let alone = key.id == u64::from(request) && !key.shared && request != 2;
                let says = index >= chain.private_from();
                assert_eq!(says, alone, "{request} {block_tokens} {ahead} {index}");
            }
        }
    }

    #[test]
    fn what_a_block_is_reaches_into_the_tokens_after_it() {
        // 64 tokens in common: four blocks, or three where the token after a block counts.
        let origins = [Origin::default(), Origin { parent: follows(0, 64), ..Origin::default() }];
        let [parent, child] = [0, 1].map(|request| content(request, &origins));
        let alike = |lookahead| {
            let pairs = keys(&parent, 8, lookahead).into_iter().zip(keys(&child, 8, lookahead));
            pairs.take_while(|(a, b)| a == b).count()
        };
        assert_eq!([0, 1, 3, 16, 17].map(alike), [4, 3, 3, 3, 2]);
        let ids =
            |ids: &[u64]| Origin { ids: Ids::all(ids.to_vec()), covers: 64, ..Origin::default() };
        let [a, b] = [[1, 2, 3, 4], [1, 2, 3, 9]].map(|own| content(0, &[ids(&own)]));
        assert_eq!(keys(&a, 2, 1), keys(&b, 2, 1));
        assert_ne!(keys(&a, 3, 1)[2], keys(&b, 3, 1)[2]);
    }

    #[test]
    fn common_tokens_are_counted_through_names_and_turns() {
        let named = |ids: &[u64], parent| Origin {
            ids: Ids::all(ids.to_vec()),
            covers: 16 * ids.len() as u32,
            parent,
            ..Origin::default()
        };
        let origins = [
            named(&[1, 2], None),
            Origin { parent: follows(0, 70), ..Origin::default() },
            named(&[1, 3], None),
            Origin::default(),
        ];
        let all: Vec<Content> = (0..4).map(|request| content(request, &origins)).collect();
        assert_eq!(all[0].common(&all[1]), 70);
        assert_eq!(all[1].common(&all[2]), 16);
        assert_eq!((all[0].common(&all[3]), all[3].common(&all[3])), (0, u32::MAX));
    }

    #[test]
    fn a_turn_that_keeps_less_has_less() {
        // The third begins with 40 tokens of the second, all of which were the first's.
        let origins = [
            Origin::default(),
            Origin { parent: follows(0, 50), ..Origin::default() },
            Origin { parent: follows(1, 40), ..Origin::default() },
        ];
        assert_eq!(keys(&content(2, &origins), 3, 0), [own(0, 0), own(0, 1), own(2, 2)]);
    }

    #[test]
    fn ids_that_do_not_go_on_from_the_parents_tokens_say_nothing() {
        let group = |ids: &[u64]| Origin {
            ids: Ids::all(ids.to_vec()),
            covers: 16 * ids.len() as u32,
            ..Origin::default()
        };
        let after = |origin: Origin, tokens| Origin { parent: follows(0, tokens), ..origin };
        let third_of = |origins: &[Origin; 2]| keys(&content(1, origins), 3, 0)[2];
        let long = || group(&[1, 2, 3]);
        // 32 tokens of the first, all of them named, and one more block of the same text.
        assert_eq!(third_of(&[long(), after(long(), 32)]), shared(3, 2));
        // Other text, or tokens of an answer before it.
        assert_eq!(third_of(&[group(&[8, 9]), after(long(), 32)]), own(1, 2));
        assert_eq!(third_of(&[group(&[1]), after(long(), 32)]), own(1, 2));
    }

    #[test]
    fn a_block_across_two_ids_is_shared_by_who_has_both() {
        let content = |request: u32, ids: &[u64]| {
            let ids = Ids::all(ids.to_vec());
            Content::of(RequestId(request), 512, |_| Origin {
                ids: ids.clone(),
                covers: 1100,
                ..Origin::default()
            })
        };
        let [all, same, other] = [content(0, &[1, 2, 3]), content(1, &[1, 2]), content(2, &[1, 9])];
        // 528 tokens reach into the second id, 1056 into the third, and 1584 beyond what is named.
        let key = |content: &Content, index: u32| content.key(index, u64::from(index + 1) * 528);
        assert_eq!(key(&all, 0), shared(2, 0));
        assert_eq!(key(&all, 0), key(&same, 0));
        assert_ne!(key(&all, 0), key(&other, 0));
        assert_eq!(key(&all, 1), shared(3, 1));
        assert!(!key(&same, 1).shared && !key(&all, 2).shared);
    }
}
