//! Drafts that are found in what was said before: right in a stretch that copies, wrong elsewhere.

use crate::catalog::CopyingFigures;

use super::chance::{Chance, For, OfRequest, in_a_row};

/// A chain of two states along an answer: it copies, or it does not.
///
/// At each position the text begins anew with some chance, and then copies with another; otherwise
/// it goes on as it was. This is the chain of two states of any share and any correlation of
/// neighbours, and the state of a position is found by looking back to where the text last began
/// anew, without the states before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copying {
    /// A text begins anew where a byte lies below this.
    renews_below: u64,
    /// Whether what begins copies.
    copies: Chance,
    /// Of a draft in a copy.
    inside: Chance,
    /// Of one elsewhere.
    outside: Chance,
}

/// Positions whose bytes are in one draw.
const LANES: u32 = 8;
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

impl Copying {
    /// The correlation of neighbours is kept as a whole number of 256ths.
    pub(super) fn new(figures: &CopyingFigures) -> Copying {
        Copying {
            renews_below: ((1.0 - figures.persistence) * 256.0).round().clamp(1.0, 256.0) as u64,
            copies: Chance::of(figures.share),
            inside: Chance::of(figures.accepted),
            outside: Chance::of(figures.elsewhere),
        }
    }

    /// The high bit of each of eight positions at which the text begins anew: the first from
    /// `LANES * word` on in the lowest byte.
    #[inline]
    fn renewals(&self, draws: OfRequest, word: u32) -> u64 {
        let bytes = draws.at(For::Renewal, word);
        // A byte with its high bit left out, and as much as it may lack, never carries into the next.
        let from = |bytes: u64, least: u64| {
            (((bytes & !HIGH_BITS) + (128 - least) * LOW_BITS) | bytes) & HIGH_BITS
        };
        match self.renews_below {
            below @ ..=128 => from(bytes, below) ^ HIGH_BITS,
            below => from(!bytes, 256 - below),
        }
    }

    /// Where the text that holds `position` began, and the renewals around that position.
    #[inline]
    fn began(&self, draws: OfRequest, position: u32) -> (u32, u64) {
        let around = self.renewals(draws, position / LANES);
        let mut word = position / LANES;
        let mut found = around & (u64::MAX >> (8 * (LANES - 1 - position % LANES)));
        while found == 0 && word > 0 {
            word -= 1;
            found = self.renewals(draws, word);
        }
        // An answer begins anew.
        let lane = if found == 0 { 0 } else { (63 - found.leading_zeros()) / 8 };
        (word * LANES + lane, around)
    }

    #[inline(never)]
    pub(super) fn accepted(&self, draws: OfRequest, position: u32, drafts: u32) -> u32 {
        let begins = |at: u32| self.copies.takes(draws.at(For::State, at));
        let (began, mut renewals) = self.began(draws, position);
        let mut copies = begins(began);
        in_a_row(drafts, |place| {
            let at = position.wrapping_add(place);
            if place > 0 {
                if at.is_multiple_of(LANES) {
                    renewals = self.renewals(draws, at / LANES);
                }
                if renewals >> (8 * (at % LANES)) & 0x80 != 0 {
                    copies = begins(at);
                }
            }
            let chance = if copies { self.inside } else { self.outside };
            chance.takes(draws.at(For::Draft, at))
        })
    }
}
