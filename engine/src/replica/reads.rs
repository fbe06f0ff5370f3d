//! What the decodes of a batch read of KV within each of a model's reaches, kept as running sums.
//!
//! A member reads one entry more at each decode step until it has reached a window's width; within
//! chunks it starts anew at each border. Both steps are known when it joins, like its end, so that
//! no member is touched in between.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::catalog::{REACHES_MAX, Reach, Reaches};
use crate::cost::Within;
use crate::ids::SlotId;

/// KV entries that the decodes of one decode step read within each reach, and how many of the
/// decodes read one more at the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Entries.
    pub within: Within,
    /// Decodes that go on to read more. Of those at the border of a chunk, which start anew, this
    /// says nothing.
    pub growing: [u32; REACHES_MAX],
}

impl Reads {
    /// `steps` decode steps later, if none of the decodes turns until then.
    #[must_use]
    pub fn later(self, steps: u32) -> Reads {
        let mut later = self;
        for (within, growing) in later.within.iter_mut().zip(self.growing) {
            *within += u64::from(growing) * u64::from(steps);
        }
        later
    }

    /// Counts one decode, its sequence's `length`-th token.
    pub(super) fn count(&mut self, reaches: &Reaches, length: u64) {
        for (row, reach) in reaches.iter().enumerate().filter(|(_, reach)| **reach != Reach::All) {
            self.within[row] += reach.of(length);
            self.growing[row] += u32::from(goes_on(*reach, length));
        }
    }
}

/// Whether the token after the `length`-th reads more than it, or starts anew in a chunk.
fn goes_on(reach: Reach, length: u64) -> bool {
    match reach {
        Reach::All => false,
        Reach::Window(most) | Reach::Picked(most) => length < u64::from(most),
        Reach::Chunk(_) => true,
    }
}

/// No turn ahead.
const NEVER: u32 = u32::MAX;

/// The sums of the decode set that touches no member at a decode step.
#[derive(Clone, Debug)]
pub(super) struct ReadSums {
    reaches: Reaches,
    next: Reads,
    /// Of each member its next turn in each reach.
    turns: Vec<[u32; REACHES_MAX]>,
    /// `(decode step, row of the reach, member)`. One that is not the member's next turn any more is
    /// skipped.
    queue: BinaryHeap<Reverse<(u32, u8, SlotId)>>,
}

impl ReadSums {
    /// `None` for models that look at all tokens.
    pub(super) fn of(reaches: Reaches) -> Option<ReadSums> {
        let any = reaches.iter().any(|reach| *reach != Reach::All);
        any.then(|| ReadSums {
            reaches,
            next: Reads::default(),
            turns: Vec::new(),
            queue: BinaryHeap::new(),
        })
    }

    /// What the next decode step reads.
    pub(super) fn next(&self) -> Reads {
        self.next
    }

    /// A member with `done` tokens joins at decode step `now`.
    pub(super) fn join(&mut self, member: SlotId, now: u32, done: u32) {
        if member.index() >= self.turns.len() {
            self.turns.resize(member.index() + 1, [NEVER; REACHES_MAX]);
        }
        self.next.count(&self.reaches, u64::from(done) + 1);
        for row in 0..REACHES_MAX {
            let turn = match self.reaches[row] {
                Reach::All => NEVER,
                Reach::Window(most) | Reach::Picked(most) => match most.checked_sub(done + 1) {
                    None | Some(0) => NEVER,
                    Some(left) => now.saturating_add(left),
                },
                Reach::Chunk(chunk) => now.saturating_add(chunk - done % chunk),
            };
            self.set_turn(row, member, turn);
        }
    }

    /// A member with `done` tokens leaves.
    pub(super) fn leave(&mut self, member: SlotId, done: u32) {
        let mut own = Reads::default();
        own.count(&self.reaches, u64::from(done) + 1);
        for row in 0..REACHES_MAX {
            self.next.within[row] -= own.within[row];
            self.next.growing[row] -= own.growing[row];
        }
        self.turns[member.index()] = [NEVER; REACHES_MAX];
    }

    /// So many decode steps more, which end at decode step `now`, with no turn before the last.
    pub(super) fn advance(&mut self, decode_steps: u32, now: u32) {
        self.next = self.next.later(decode_steps);
        while let Some(&Reverse((turn, row, member))) = self.queue.peek() {
            if turn > now {
                break;
            }
            self.queue.pop();
            let row = usize::from(row);
            if self.turns[member.index()][row] != turn {
                continue;
            }
            match self.reaches[row] {
                Reach::Chunk(chunk) => {
                    self.next.within[row] -= u64::from(chunk);
                    self.set_turn(row, member, turn.saturating_add(chunk));
                }
                _ => {
                    self.next.growing[row] -= 1;
                    self.turns[member.index()][row] = NEVER;
                }
            }
        }
    }

    /// Decode steps until the next turn, `most` at most.
    pub(super) fn quiet(&self, most: u32, now: u32) -> u32 {
        let next = self.queue.peek().map_or(NEVER, |&Reverse((turn, ..))| turn);
        most.min(next.saturating_sub(now))
    }

    fn set_turn(&mut self, row: usize, member: SlotId, turn: u32) {
        self.turns[member.index()][row] = turn;
        if turn != NEVER {
            self.queue.push(Reverse((turn, row as u8, member)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decodes::{DecodeSet, Joining};
    use super::*;

    fn reach() -> impl Strategy<Value = Reach> {
        prop_oneof![
            Just(Reach::All),
            (1_u32..40).prop_map(Reach::Window),
            (1_u32..40).prop_map(Reach::Chunk),
            (1_u32..40).prop_map(Reach::Picked),
        ]
    }

    /// What one decode set does: `(a slot, tokens so far, decode steps)`.
    fn deeds() -> impl Strategy<Value = Vec<(u32, u32, u32)>> {
        proptest::collection::vec((0_u32..6, 0_u32..90, 0_u32..50), 1..60)
    }

    proptest! {
        /// The sums that touch no member are those of visiting every one, at every decode step.
        #[test]
        fn sums_are_those_of_the_plain_form(reaches in [reach(), reach()], deeds in deeds()) {
            let mut fast = DecodeSet::new(16, false, reaches);
            let mut plain = DecodeSet::new(16, true, reaches);
            let mut present = [false; 6];
            for (order, (slot, done, steps)) in deeds.into_iter().enumerate() {
                let id = SlotId(slot);
                if std::mem::replace(&mut present[slot as usize], true) {
                    present[slot as usize] = false;
                    prop_assert_eq!(fast.leave(id), plain.leave(id));
                } else {
                    let joining = Joining {
                        slot: id,
                        order: order as u64,
                        done,
                        left: 1 << 20,
                        blocks: done.div_ceil(16),
                        grows: true,
                    };
                    fast.join(joining);
                    plain.join(joining);
                }
                let mut left = steps;
                while left > 0 {
                    let quiet = fast.quiet(left);
                    prop_assert!(quiet > 0, "a turn is never due already");
                    let start = fast.reads();
                    for step in 0..quiet {
                        prop_assert_eq!(start.map(|reads| reads.later(step)), plain.reads());
                        plain.advance_by(1);
                    }
                    fast.advance_by(quiet);
                    left -= quiet;
                }
                prop_assert_eq!(fast.reads(), plain.reads());
            }
        }
    }

    #[test]
    fn reach_sums_are_those_of_their_tokens() {
        for reach in [Reach::All, Reach::Window(7), Reach::Chunk(5), Reach::Picked(3)] {
            let mut sum = 0;
            for length in 1..40 {
                sum += u128::from(reach.of(length));
                assert_eq!(reach.sum(length), sum, "{reach:?} {length}");
            }
        }
        assert_eq!((1..=11).map(|n| Reach::Chunk(5).of(n)).max(), Some(5));
        assert_eq!((Reach::Chunk(5).of(5), Reach::Chunk(5).of(6)), (5, 1));
    }
}
