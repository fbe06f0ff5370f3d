//! The tokens of a request that has times of its own, while a run goes on: in a byte a step.

use crate::ids::LaneId;
use crate::time::Time;

/// Stands before a lane and a step of it: a count follows, of tokens that come with that step.
const STEP: u8 = 0;
/// Stands before an instant at which one token comes.
const INSTANT: u8 = u8::MAX;

/// When the tokens of one request come.
///
/// A step brings few, and mostly each step of a lane brings some: then a step is its count alone, and
/// elsewhere its place comes before the count. The times themselves are those of the lanes' steps, so
/// that memory grows by steps, not by tokens, until all is written down.
#[derive(Clone, Debug)]
pub(super) struct OwnTokens {
    bytes: Vec<u8>,
    /// The step that would need no place.
    next: (LaneId, u32),
    tokens: u32,
}

impl OwnTokens {
    /// The most tokens of a step.
    const MOST: u32 = u8::MAX as u32 - 1;

    /// Room for so many times beyond its own is asked for while they are written.
    pub(super) const BESIDE: usize = 3;

    /// None yet.
    pub(super) const NONE: OwnTokens =
        OwnTokens { bytes: Vec::new(), next: (LaneId(u32::MAX), 0), tokens: 0 };

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.tokens
    }

    /// A step of a lane brings some, at least one.
    #[inline]
    pub(super) fn step(&mut self, lane: LaneId, step: u32, tokens: u32) {
        debug_assert!((1..=OwnTokens::MOST).contains(&tokens), "more than a step drafts");
        if self.next != (lane, step) {
            self.place(lane, step);
        }
        self.next.1 = step + 1;
        self.bytes.push(tokens as u8);
        self.tokens += tokens;
    }

    #[cold]
    fn place(&mut self, lane: LaneId, step: u32) {
        self.bytes.push(STEP);
        self.bytes.extend(lane.0.to_le_bytes());
        self.bytes.extend(step.to_le_bytes());
        self.next = (lane, step);
    }

    /// One comes at an instant that need not be a decode step's.
    pub(super) fn instant(&mut self, at: Time) {
        self.bytes.push(INSTANT);
        self.bytes.extend(at.as_nanos().to_le_bytes());
        self.tokens += 1;
    }

    /// Appends the times of all, where `times` are those of a lane's steps.
    pub(super) fn write<'t>(&self, times: impl Fn(LaneId) -> &'t [Time], out: &mut Vec<Time>) {
        let mut bytes = self.bytes.as_slice();
        let mut steps: &[Time] = &[];
        while let Some((&head, rest)) = bytes.split_first() {
            match head {
                STEP => {
                    bytes = rest;
                    let lane = LaneId(u32::from_le_bytes(taken(&mut bytes)));
                    let step = u32::from_le_bytes(taken(&mut bytes));
                    steps = &times(lane)[step as usize..];
                }
                INSTANT => {
                    bytes = rest;
                    out.push(Time::from_nanos(u64::from_le_bytes(taken(&mut bytes))));
                }
                _ => {
                    // Mostly many steps in a row.
                    assert!(!steps.is_empty(), "the step has begun");
                    let mut row = 0;
                    for (&count, &at) in bytes.iter().zip(steps) {
                        if count == STEP || count == INSTANT {
                            break;
                        }
                        push_all(out, usize::from(count), at);
                        row += 1;
                    }
                    (bytes, steps) = (&bytes[row..], &steps[row..]);
                }
            }
        }
    }
}

/// Appends `count` times, all of them `at`.
#[inline]
fn push_all(out: &mut Vec<Time>, count: usize, at: Time) {
    let all = out.len() + count;
    // Four in one go, though fewer may be meant, cost less than a look at each.
    if count <= 4 {
        out.extend_from_slice(&[at; 4]);
        out.truncate(all);
    } else {
        out.resize(all, at);
    }
}

/// The next bytes, of which there are enough.
fn taken<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (head, rest) = bytes.split_first_chunk().expect("written whole");
    *bytes = rest;
    *head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_places_and_instants_come_back_in_their_order() {
        let at = Time::from_nanos;
        let lanes = [[at(10), at(20), at(30), at(40)], [at(11), at(21), at(31), at(41)]];
        let mut own = OwnTokens::NONE;
        own.step(LaneId(0), 0, 3);
        own.step(LaneId(0), 1, 1);
        own.instant(at(25));
        own.step(LaneId(0), 2, 2);
        own.step(LaneId(1), 3, 129);
        let mut out = Vec::new();
        own.write(|lane| &lanes[lane.index()], &mut out);
        let told = [10, 10, 10, 20, 25, 30, 30].map(at);
        assert_eq!(out[..7], told);
        assert_eq!(out[7..], [at(41); 129]);
        assert_eq!(own.len() as usize, out.len());
    }

    #[test]
    fn steps_in_a_row_take_a_byte_each() {
        let mut own = OwnTokens::NONE;
        (5..1005).for_each(|step| own.step(LaneId(2), step, 1 + step % 4));
        assert_eq!(own.bytes.len(), 1000 + 9);
        let times: Vec<Time> = (0..1005).map(Time::from_nanos).collect();
        let mut out = Vec::new();
        own.write(|_| &times, &mut out);
        let told: Vec<Time> = (5..1005_u32)
            .flat_map(|step| vec![Time::from_nanos(step.into()); 1 + step as usize % 4])
            .collect();
        assert_eq!(out, told);
    }
}
