//! Which iterations of a lane are beats. Nearly all are, so the others are listed.

use std::ops::Range;

use crate::ids::{BeatNo, IterationNo};

/// The iterations that decoded something, numbered in order.
#[derive(Debug, Default)]
pub(super) struct Beats {
    count: u32,
    /// Iterations that decoded nothing.
    others: Vec<IterationNo>,
    /// Row i: the first beat after `others[i]`.
    after: Vec<BeatNo>,
}

impl Beats {
    /// Adds the next iterations.
    pub(super) fn extend(&mut self, iterations: Range<IterationNo>, decoded: bool) {
        if decoded {
            self.count += iterations.end.since(iterations.start);
        } else {
            self.others.extend(IterationNo::each(iterations));
            self.after.resize(self.others.len(), BeatNo(self.count));
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// Their numbers.
    pub(super) fn numbers(&self) -> Range<BeatNo> {
        BeatNo::FIRST..BeatNo(self.count)
    }

    /// The iteration of a beat.
    #[inline]
    pub(super) fn at(&self, beat: BeatNo) -> IterationNo {
        assert!(beat.0 < self.count, "there are {} beats, not {beat}", self.count);
        let skipped = self.after.partition_point(|&after| after <= beat);
        IterationNo(beat.0 + skipped as u32)
    }

    /// The first beat that is this iteration or comes after it: as many lie before it.
    pub(super) fn from(&self, iteration: IterationNo) -> BeatNo {
        let others = self.others.partition_point(|&other| other < iteration);
        BeatNo(iteration.0 - others as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_are_skipped() {
        let decoded = [false, true, true, false, false, true, false];
        let mut beats = Beats::default();
        for (at, &decoded) in IterationNo::FIRST.onwards().zip(&decoded) {
            beats.extend(at..at.next(), decoded);
        }
        assert_eq!(beats.len(), 3);
        assert_eq!([0, 1, 2].map(|beat| beats.at(BeatNo(beat)).0), [1, 2, 5]);
        let from = |at| beats.from(IterationNo(at)).0;
        assert_eq!([0, 1, 2, 3, 5, 6, 7].map(from), [0, 0, 1, 2, 2, 3, 3]);
    }
}
