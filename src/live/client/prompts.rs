//! Prompts of the asked lengths, in ids or words: alike where the scenario says that they begin alike,
//! and different from there on, so that no cache helps by accident.

use std::fmt::Write as _;

use crate::content::Origin;
use crate::ids::RequestId;

/// Words that are one token each, with a space before them, in the vocabularies of most models.
pub(super) const WORDS: &[&str] = &[
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
    "problem",
    "hand",
    "part",
    "place",
    "case",
    "week",
    "company",
    "system",
    "program",
    "question",
    "work",
    "government",
    "number",
    "night",
    "point",
    "home",
    "water",
    "room",
    "mother",
    "area",
    "money",
    "story",
    "fact",
    "month",
    "lot",
    "right",
    "study",
    "book",
    "eye",
    "job",
    "word",
    "business",
    "issue",
    "side",
    "kind",
    "head",
    "house",
    "service",
    "friend",
    "father",
    "power",
    "hour",
    "game",
    "line",
    "end",
    "member",
    "law",
    "car",
    "city",
    "community",
    "name",
    "president",
    "team",
    "minute",
    "idea",
    "kid",
    "body",
    "information",
    "back",
    "parent",
    "face",
    "others",
    "level",
    "office",
    "door",
    "health",
    "person",
    "art",
    "war",
    "history",
    "party",
    "result",
    "change",
    "morning",
    "reason",
    "research",
    "girl",
    "guy",
    "moment",
    "air",
    "teacher",
    "force",
    "education",
    "red",
    "blue",
    "green",
    "black",
    "white",
    "small",
    "large",
    "long",
    "short",
    "high",
    "low",
    "old",
    "new",
    "good",
    "great",
    "little",
    "own",
    "other",
    "big",
    "different",
    "early",
    "young",
    "important",
    "few",
    "public",
    "bad",
    "same",
    "able",
];

/// What stands at a place of a prompt: the same number, the same token.
type Unit = u64;

/// Makes prompts.
#[derive(Clone, Debug)]
pub struct Speaker {
    seed: u64,
    /// Tokens that a content id stands for.
    block_tokens: u32,
    /// The first id that is used, and how many.
    ids: (u32, u32),
    /// Words that are used, each one token.
    pub(super) words: Vec<&'static str>,
}

impl Speaker {
    /// For a model with so many ids, where that is known.
    pub fn new(seed: u64, block_tokens: u32, vocabulary: Option<u32>) -> Speaker {
        // What is special to a model stands at an end of its ids.
        let vocabulary = vocabulary.unwrap_or(32_000).max(16);
        let first = vocabulary / 8;
        let ids = (first, (vocabulary / 8 * 7).saturating_sub(first).max(1));
        Speaker { seed, block_tokens, ids, words: WORDS.to_vec() }
    }

    /// One that says the same nowhere, and differs by what is asked of it as this one does.
    pub fn anew(&self, seed: u64) -> Speaker {
        Speaker { seed: mix(mix(self.seed, seed), 1 << 43), ..self.clone() }
    }

    /// What stands in the prompt of a request. `origin` tells what is known of a request's tokens, and
    /// `lengths` how long its prompt is.
    pub(super) fn units(
        &self,
        request: RequestId,
        tokens: u32,
        origin: &dyn Fn(RequestId) -> Origin,
        prompt_tokens: &dyn Fn(RequestId) -> u32,
    ) -> Vec<Unit> {
        let Origin { ids, covers, parent, .. } = origin(request);
        let mut units = match parent {
            Some(parent) => {
                let inherited = parent.tokens.min(tokens);
                let theirs = inherited.min(prompt_tokens(parent.request));
                let mut units = self.units(parent.request, theirs, origin, prompt_tokens);
                // The answer's place, as a script has it.
                let script = mix(self.seed, u64::from(parent.request.0) | 1 << 40);
                units.extend((theirs..inherited).map(|place| mix(script, place.into())));
                units
            }
            None => Vec::with_capacity(tokens as usize),
        };
        let named = ids.as_ref().map(|ids| ids.as_slice()).unwrap_or_default();
        let own = mix(self.seed, u64::from(request.0) | 1 << 41);
        for place in units.len() as u32..tokens {
            let id =
                (place < covers).then(|| named.get((place / self.block_tokens.max(1)) as usize));
            units.push(match id.flatten() {
                Some(&id) => mix(mix(self.seed, id ^ 1 << 62), (place % self.block_tokens).into()),
                None => mix(own, place.into()),
            });
        }
        units
    }

    /// Units that are nobody else's.
    pub(super) fn fresh(&self, key: u64, tokens: u32) -> Vec<Unit> {
        let own = mix(self.seed, key | 1 << 42);
        (0..tokens).map(|place| mix(own, place.into())).collect()
    }

    /// Appends units as a JSON list of ids.
    pub(super) fn push_ids(&self, units: &[Unit], out: &mut String) {
        out.push('[');
        for (place, unit) in units.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            let _ = write!(out, "{}", u64::from(self.ids.0) + unit % u64::from(self.ids.1));
        }
        out.push(']');
    }

    /// Appends units as words with a space before each but the first of a text.
    pub(super) fn push_words(&self, units: &[Unit], out: &mut String) {
        for unit in units {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(self.words[(unit % self.words.len() as u64) as usize]);
        }
    }
}

/// A number that two others make (SplitMix64).
fn mix(one: u64, other: u64) -> u64 {
    let mut z = one.wrapping_add(other.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Ids, Parent};

    #[test]
    fn prompts_are_alike_as_far_as_the_scenario_says_and_no_further() {
        let speaker = Speaker::new(7, 16, Some(2048));
        let named = |ids: &[u64]| Origin {
            ids: Ids::all(ids.to_vec()),
            covers: 16 * ids.len() as u32,
            ..Origin::default()
        };
        let parent = Parent { request: RequestId(0), tokens: 60 };
        let origins = [
            named(&[1, 2]),
            named(&[1, 3]),
            Origin { parent: Some(parent), ..Origin::default() },
            Origin::default(),
        ];
        let origin = |id: RequestId| origins[id.index()].clone();
        let units = |id, tokens| speaker.units(RequestId(id), tokens, &origin, &|_| 50);
        let alike = |a: &[u64], b: &[u64]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
        assert_eq!(alike(&units(0, 50), &units(1, 50)), 16);
        assert_eq!(alike(&units(0, 50), &units(2, 90)), 50);
        assert_eq!(alike(&units(0, 50), &units(3, 50)), 0);
        assert_eq!(units(2, 90).len(), 90);
        assert_eq!(units(3, 5), units(3, 5));
        let anew = speaker.anew(1);
        let again = |id| anew.units(RequestId(id), 50, &origin, &|_| 50);
        assert_eq!(alike(&again(0), &again(1)), 16, "what is shared is shared in each run");
        assert_eq!(alike(&again(0), &units(0, 50)), 0, "and with no other run");
        assert_eq!(again(3), speaker.anew(1).units(RequestId(3), 50, &origin, &|_| 50));
        let mut text = String::new();
        speaker.push_words(&units(3, 40), &mut text);
        assert_eq!(text.split(' ').count(), 40);
        let mut ids = String::new();
        speaker.push_ids(&units(3, 400), &mut ids);
        let ids: Vec<u32> = serde_json::from_str(&ids).expect("a list");
        assert!(ids.len() == 400 && ids.iter().all(|id| (256..1792).contains(id)));
    }
}
