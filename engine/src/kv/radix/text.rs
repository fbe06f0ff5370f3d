//! What a request's tokens are, by their origin.

use crate::content::{Content, Ids};
use crate::request::RequestId;

/// Where a token comes from. At one place of two texts equal origins mean equal tokens there and at
/// all places before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A chained content id of the workload: it stands for its tokens and all before them.
    Shared(u64),
    /// The prompt or answer of one request alone.
    Own(u64),
}

/// The tokens of a request, from its prompt's first to any of its answer.
#[derive(Clone, Debug)]
pub struct Text {
    /// Stretches one after the other; the last has no end.
    stretches: Vec<Stretch>,
}

#[derive(Clone, Debug)]
struct Stretch {
    /// The place after its last token.
    to: u32,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// Content ids from the text's beginning on, so many tokens each.
    Ids(Ids, u32),
    Request(u64),
}

impl Text {
    /// A prompt whose head is known by chained content ids of `id_tokens` tokens each, up to
    /// `known` tokens of it, and the rest of which is `owner`'s own.
    pub fn new(ids: &[u64], id_tokens: u32, known: u32, owner: u64) -> Text {
        let named = u32::try_from(ids.len()).unwrap_or(u32::MAX).saturating_mul(id_tokens);
        let known = known.min(named);
        let named = Ids::all(ids.to_vec()).filter(|_| known > 0);
        let head = named.map(|ids| Stretch { to: known, source: Source::Ids(ids, id_tokens) });
        let own = Stretch { to: u32::MAX, source: Source::Request(owner) };
        Text { stretches: head.into_iter().chain([own]).collect() }
    }

    /// The tokens of `request`, as far as its content says whose they are. A replica that is played
    /// alone numbers its requests anew, and contents do not.
    pub fn of(content: &Content, request: RequestId) -> Text {
        let request = content.request().unwrap_or(request);
        let mut stretches = Vec::new();
        let mut from = 0;
        for (end, owner, ids, covers) in content.stretches() {
            let named = covers.min(end);
            if let Some(ids) = ids.filter(|_| named > from && content.id_tokens() > 0) {
                let source = Source::Ids(ids.clone(), content.id_tokens());
                stretches.push(Stretch { to: named, source });
                from = named;
            }
            if from < end {
                stretches.push(Stretch { to: end, source: Source::Request(owner.0.into()) });
                from = end;
            }
        }
        if from < u32::MAX {
            stretches.push(Stretch { to: u32::MAX, source: Source::Request(request.0.into()) });
        }
        Text { stretches }
    }

    /// A prompt that begins with the first `tokens` tokens of `parent`, prompt and answer alike,
    /// and goes on with `owner`'s own.
    pub fn after(parent: &Text, tokens: u32, owner: u64) -> Text {
        let mut stretches = Vec::with_capacity(parent.stretches.len() + 1);
        let mut from = 0;
        for stretch in parent.stretches.iter().take_while(|_| tokens > 0) {
            if from >= tokens {
                break;
            }
            let to = stretch.to.min(tokens);
            stretches.push(Stretch { to, source: stretch.source.clone() });
            from = to;
        }
        stretches.push(Stretch { to: u32::MAX, source: Source::Request(owner) });
        Text { stretches }
    }

    /// Where the token at a place comes from.
    pub fn origin(&self, place: u32) -> Origin {
        let after = self.stretches.partition_point(|stretch| stretch.to <= place);
        match &self.stretches[after.min(self.stretches.len() - 1)].source {
            Source::Ids(ids, id_tokens) => {
                Origin::Shared(ids.as_slice()[(place / id_tokens) as usize])
            }
            Source::Request(owner) => Origin::Own(*owner),
        }
    }

    /// The first place in `from..to` at which two texts differ that agree before `from`; `to` where
    /// they do not.
    pub fn differs(&self, other: &Text, from: u32, to: u32) -> u32 {
        let same = |place: u32| self.origin(place) == other.origin(place);
        if from >= to || std::ptr::eq(self, other) || same(to - 1) {
            return to;
        }
        let (mut low, mut high) = (from, to - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if same(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_agree_as_far_as_their_ids_and_ancestors_do() {
        let one = Text::new(&[7, 8, 9], 16, 40, 1);
        let two = Text::new(&[7, 8, 5], 16, 48, 2);
        assert_eq!(one.differs(&two, 0, 100), 32);
        assert_eq!(one.differs(&two, 0, 20), 20);
        let child = Text::after(&one, 60, 3);
        assert_eq!(child.differs(&one, 0, 100), 60);
        assert_eq!(child.differs(&two, 0, 100), 32);
        assert_eq!(Text::after(&child, 10, 4).differs(&one, 0, 100), 10);
        assert_eq!(Text::new(&[], 16, 0, 5).differs(&one, 0, 9), 0);
        assert_eq!((one.origin(39), one.origin(40)), (Origin::Shared(9), Origin::Own(1)));
    }
}
