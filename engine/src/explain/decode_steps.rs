//! Which iterations of a lane are decode steps. Nearly all are, so the others are listed.

use std::ops::Range;

use crate::ids::{DecodeStepNo, IterationNo};

/// The iterations that decoded something, numbered in order.
#[derive(Debug, Default)]
pub(super) struct DecodeSteps {
    count: u32,
    /// Iterations that decoded nothing.
    others: Vec<IterationNo>,
    /// Row i: the first decode step after `others[i]`.
    after: Vec<DecodeStepNo>,
}

impl DecodeSteps {
    /// Adds the next iterations.
    pub(super) fn extend(&mut self, iterations: Range<IterationNo>, decoded: bool) {
        if decoded {
            self.count += iterations.end.since(iterations.start);
        } else {
            self.others.extend(IterationNo::each(iterations));
            self.after.resize(self.others.len(), DecodeStepNo(self.count));
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// Their numbers.
    pub(super) fn numbers(&self) -> Range<DecodeStepNo> {
        DecodeStepNo::FIRST..DecodeStepNo(self.count)
    }

    /// The iteration of a decode step.
    #[inline]
    pub(super) fn at(&self, decode_step: DecodeStepNo) -> IterationNo {
        assert!(
            decode_step.0 < self.count,
            "there are {} decode_steps, not {decode_step}",
            self.count
        );
        let skipped = self.after.partition_point(|&after| after <= decode_step);
        IterationNo(decode_step.0 + skipped as u32)
    }

    /// The first decode step that is this iteration or comes after it: as many lie before it.
    pub(super) fn from(&self, iteration: IterationNo) -> DecodeStepNo {
        let others = self.others.partition_point(|&other| other < iteration);
        DecodeStepNo(iteration.0 - others as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_are_skipped() {
        let decoded = [false, true, true, false, false, true, false];
        let mut decode_steps = DecodeSteps::default();
        for (at, &decoded) in IterationNo::FIRST.onwards().zip(&decoded) {
            decode_steps.extend(at..at.next(), decoded);
        }
        assert_eq!(decode_steps.len(), 3);
        assert_eq!(
            [0, 1, 2].map(|decode_step| decode_steps.at(DecodeStepNo(decode_step)).0),
            [1, 2, 5]
        );
        let from = |at| decode_steps.from(IterationNo(at)).0;
        assert_eq!([0, 1, 2, 3, 5, 6, 7].map(from), [0, 0, 1, 2, 2, 3, 3]);
    }
}
