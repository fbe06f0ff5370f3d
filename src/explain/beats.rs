//! Which iterations of a lane are beats. Nearly all are, so the others are listed.

/// The iterations that decoded something, numbered in order.
#[derive(Debug, Default)]
pub(super) struct Beats {
    count: usize,
    /// Iterations that decoded nothing.
    others: Vec<u32>,
    /// Beats before each of these.
    before: Vec<u32>,
}

impl Beats {
    /// Adds iterations `from..to`, which are the next.
    pub(super) fn extend(&mut self, from: u32, to: u32, decoded: bool) {
        if decoded {
            self.count += (to - from) as usize;
        } else {
            self.others.extend(from..to);
            self.before.resize(self.others.len(), self.count as u32);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The iteration of a beat.
    #[inline]
    pub(super) fn at(&self, beat: usize) -> u32 {
        assert!(beat < self.count, "there are {} beats, not {beat}", self.count);
        let skipped = self.before.partition_point(|&before| before as usize <= beat);
        (beat + skipped) as u32
    }

    /// How many lie before an iteration.
    pub(super) fn before(&self, iteration: u32) -> u32 {
        iteration - self.others.partition_point(|&other| other < iteration) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_are_skipped() {
        let decoded = [false, true, true, false, false, true, false];
        let mut beats = Beats::default();
        for (at, &decoded) in (0..).zip(&decoded) {
            beats.extend(at, at + 1, decoded);
        }
        assert_eq!(beats.len(), 3);
        assert_eq!([0, 1, 2].map(|beat| beats.at(beat)), [1, 2, 5]);
        assert_eq!([0, 1, 2, 3, 5, 6, 7].map(|at| beats.before(at)), [0, 0, 1, 2, 2, 3, 3]);
    }
}
