//! What slots still hold of earlier requests, and the copies of it in the host's memory.

use std::collections::VecDeque;

use super::super::{Handle, Step};
use crate::content::Content;

/// The tokens of a prompt, or of what a slot holds: a prompt and its answer but for the last token.
///
/// What is not known of them is alike in no two requests.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    content: Content,
    /// How many there are.
    pub count: u32,
}

impl Tokens {
    /// Those of a request's prompt.
    pub(super) fn of_prompt(step: &Step<'_>, request: Handle) -> Tokens {
        let count = step.view(request).prompt_tokens;
        Tokens { content: step.content(request).clone(), count }
    }

    /// Those of a prompt of so many tokens.
    pub(super) fn of_content(content: &Content, count: u32) -> Tokens {
        Tokens { content: content.clone(), count }
    }

    /// The same with an answer behind them: so many in all.
    pub(super) fn grown_to(self, count: u32) -> Tokens {
        Tokens { count, ..self }
    }

    /// How many at the head are the same.
    pub(super) fn common(&self, other: &Tokens) -> u32 {
        self.content.common(&other.content).min(self.count).min(other.count)
    }
}

/// The share of `whole` that `part` is; as the server reckons, in single precision.
pub(super) fn share(part: u32, whole: u32) -> f32 {
    part as f32 / whole as f32
}

/// A copy of which less than this would be of use is left alone.
const LEAST_KEPT: f32 = 0.25;

/// Copies of what slots held, in the host's memory, oldest first (`server_prompt_cache`).
#[derive(Debug)]
pub(super) struct Copies {
    /// Tokens that all of them have room for.
    room: u32,
    states: VecDeque<Tokens>,
}

impl Copies {
    pub(super) fn with_room(room: u32) -> Copies {
        Copies { room, states: VecDeque::new() }
    }

    /// Whether there are to be any.
    pub(super) fn kept(&self) -> bool {
        self.room > 0
    }

    /// The most tokens that a copy and a prompt have in common.
    pub(super) fn common(&self, prompt: &Tokens) -> u32 {
        self.states.iter().map(|state| state.common(prompt)).max().unwrap_or(0)
    }

    /// Copies what a slot holds, unless that is contained in a copy that there is; those contained
    /// in it go. Says whether it did.
    pub(super) fn save(&mut self, held: &Tokens) -> bool {
        let contained = |state: &Tokens| state.common(held) == held.count;
        if held.count == 0 || held.count > self.room || self.states.iter().any(contained) {
            return false;
        }
        self.states.retain(|state| state.common(held) < state.count);
        self.states.push_back(held.clone());
        true
    }

    /// Puts the copy into a slot that has more of a prompt than what the slot holds, and of which
    /// more is of use; of several, the best so far in order of age.
    pub(super) fn load(&mut self, slot: &mut Option<Tokens>, prompt: &Tokens) {
        let (mut keeps, mut has) = match slot {
            None => (-1.0, 0.0),
            Some(held) => {
                let common = held.common(prompt);
                (share(common, held.count), share(common, prompt.count))
            }
        };
        let mut best = None;
        for (place, state) in self.states.iter().enumerate() {
            let common = state.common(prompt);
            let (would_keep, would_have) =
                (share(common, state.count), share(common, prompt.count));
            if would_keep >= LEAST_KEPT && would_keep > keeps && would_have > has {
                (keeps, has, best) = (would_keep, would_have, Some(place));
            }
        }
        if let Some(place) = best {
            *slot = self.states.remove(place);
        }
    }

    /// Drops the oldest until the rest has room.
    pub(super) fn make_room(&mut self) {
        let mut tokens: u64 = self.states.iter().map(|state| u64::from(state.count)).sum();
        while tokens > self.room.into() {
            tokens -= self.states.pop_front().map_or(0, |state| u64::from(state.count));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::content::{Ids, Origin};
    use crate::request::RequestId;

    /// Of a request of its own each time.
    fn tokens(ids: &[u64], count: u32) -> Tokens {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let request = RequestId(NEXT.fetch_add(1, Ordering::Relaxed));
        let origin = |_| Origin {
            ids: Ids::all(ids.to_vec()),
            covers: 10 * ids.len() as u32,
            ..Origin::default()
        };
        Tokens { content: Content::of(request, 10, origin), count }
    }

    #[test]
    fn tokens_in_common_are_those_of_the_ids_in_common() {
        let long = tokens(&[1, 2, 3], 35);
        assert_eq!(long.common(&tokens(&[1, 2, 9], 30)), 20);
        assert_eq!(long.common(&tokens(&[1, 2, 3], 35)), 30, "beyond the ids nothing is known");
        assert_eq!(long.common(&tokens(&[1, 2, 3], 24)), 24);
        assert_eq!(long.common(&tokens(&[], 24)), 0);
    }

    #[test]
    fn a_copy_contained_in_another_is_not_kept() {
        let mut copies = Copies::with_room(100);
        assert!(copies.save(&tokens(&[1, 2], 20)));
        assert!(!copies.save(&tokens(&[1, 2], 20)) && !copies.save(&tokens(&[1], 10)));
        assert!(copies.save(&tokens(&[1, 2, 3], 34)));
        assert_eq!(copies.states.len(), 1);
        assert!(!copies.save(&tokens(&[7], 101)), "too large for all the room");
        assert!(copies.save(&tokens(&[7], 67)));
        copies.make_room();
        assert_eq!(copies.states.iter().map(|state| state.count).collect::<Vec<_>>(), [67]);
    }

    #[test]
    fn a_copy_is_loaded_that_is_better_in_both_ways() {
        let mut copies = Copies::with_room(1000);
        for state in [tokens(&[1, 5], 100), tokens(&[1, 2], 25), tokens(&[1, 2, 3, 4], 60)] {
            assert!(copies.save(&state));
        }
        let prompt = tokens(&[1, 2, 3, 9], 40);
        // The first keeps 10 %: too little. The second keeps 20 of 25 and has 20 of 40; the third has
        // 30 of 40 and keeps only half.
        let mut slot = None;
        copies.load(&mut slot, &prompt);
        assert_eq!(slot.as_ref().map(|held| held.count), Some(25));
        // What the slot holds now keeps more than the rest would.
        copies.load(&mut slot, &prompt);
        assert_eq!((slot.map(|held| held.count), copies.states.len()), (Some(25), 2));
    }
}
