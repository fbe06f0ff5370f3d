//! Drafts that are found in what was said before: right in a stretch that copies, wrong elsewhere.

use crate::catalog::CopyingFigures;

use super::chance::{Chance, For, OfRequest};

/// A chain of two states along an answer: it copies, or it does not.
///
/// At each position the text begins anew with some chance, and then copies with another; otherwise
/// it goes on as it was. This is the chain of two states of any share and any correlation of
/// neighbours, and the state of a position is found by looking back to where the text last began
/// anew, without the states before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copying {
    /// A text begins anew where a byte lies below this.
    renews_below: u32,
    /// Whether what begins copies.
    copies: Chance,
    /// Of a draft in a copy.
    inside: Chance,
    /// Of one elsewhere.
    outside: Chance,
}

/// Positions whose bytes are in one draw.
const LANES: u32 = 8;

impl Copying {
    /// The correlation of neighbours is kept as a whole number of 256ths.
    pub(super) fn new(figures: &CopyingFigures) -> Copying {
        Copying {
            renews_below: ((1.0 - figures.persistence) * 256.0).round().clamp(1.0, 256.0) as u32,
            copies: Chance::of(figures.share),
            inside: Chance::of(figures.accepted),
            outside: Chance::of(figures.elsewhere),
        }
    }

    #[inline]
    fn renews(&self, bytes: u64, lane: u32) -> bool {
        u32::from((bytes >> (8 * lane)) as u8) < self.renews_below
    }

    /// Where the text that holds `position` began.
    #[inline]
    fn began(&self, draws: OfRequest, position: u32) -> u32 {
        let mut word = position / LANES;
        let mut lane = position % LANES;
        loop {
            let bytes = draws.at(For::Renewal, word);
            loop {
                if self.renews(bytes, lane) {
                    return word * LANES + lane;
                }
                if lane == 0 {
                    break;
                }
                lane -= 1;
            }
            if word == 0 {
                return 0;
            }
            word -= 1;
            lane = LANES - 1;
        }
    }

    #[inline]
    pub(super) fn accepted(&self, draws: OfRequest, position: u32, drafts: u32) -> u32 {
        let mut began = self.began(draws, position);
        let mut copies = self.copies.takes(draws.at(For::State, began));
        for place in 0..drafts {
            let at = position.wrapping_add(place);
            if place > 0 {
                if self.renews(draws.at(For::Renewal, at / LANES), at % LANES) {
                    began = at;
                    copies = self.copies.takes(draws.at(For::State, began));
                }
            }
            let chance = if copies { self.inside } else { self.outside };
            if !chance.takes(draws.at(For::Draft, at)) {
                return place;
            }
        }
        drafts
    }
}
