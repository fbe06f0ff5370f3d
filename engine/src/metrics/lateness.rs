//! The late tokens of one column that many requests share, for one TBT deadline.
//!
//! Few late tokens are found one after another; where there are many, the forest goes from the
//! first to the last at once. It is built when so many were found that it is cheaper.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::forest::{Forest, Misses};
use super::peaks::Peaks;
use crate::time::Time;

/// Finds late entries of a column.
pub(crate) struct Lateness<'a> {
    column: &'a [Time],
    tbt: u64,
    peaks: Peaks,
    /// Misses walked so far; of two threads that count at once, one may be forgotten.
    walked: AtomicUsize,
    forest: OnceLock<Option<Forest>>,
}

impl<'a> Lateness<'a> {
    /// Of a column; `None` when its numbers are too large for it (times and deadlines of decades)
    /// and tokens have to be judged one after another.
    pub(crate) fn new(column: &'a [Time], tbt: u64) -> Option<Lateness<'a>> {
        let peaks = Peaks::new(column, tbt)?;
        Some(Lateness { column, tbt, peaks, walked: AtomicUsize::new(0), forest: OnceLock::new() })
    }

    /// The time of an entry in nanoseconds.
    pub(crate) fn at(&self, entry: usize) -> u64 {
        self.column[entry].as_nanos()
    }

    /// The first entry of `first..end` that comes late, when `first` itself is due at `due`.
    pub(crate) fn first_miss(&self, first: usize, end: usize, due: u64) -> Option<usize> {
        self.peaks.next_above(self.column, first, end, self.peaks.base(first, due))
    }

    /// The next entry before `end` to come late after a miss at `miss`, and how many deadlines it
    /// misses.
    pub(crate) fn next_miss(&self, miss: usize, end: usize) -> Option<(usize, u64)> {
        let v = self.peaks.v(miss, self.column[miss]);
        let next = self.peaks.next_above(self.column, miss + 1, end, v)?;
        let above = self.peaks.v(next, self.column[next]);
        Some((next, 1 + (above - v) as u64 / self.tbt))
    }

    /// The misses of the entries before `end` that follow a miss at `miss`.
    pub(crate) fn misses_after(&self, miss: usize, end: usize) -> Misses {
        if let Some(forest) = self.forest() {
            return forest.misses_after(miss as u32, end as u32 - 1);
        }
        let mut misses = Misses { deadlines: 0, tokens: 0, last: miss as u32 };
        while let Some((next, deadlines)) = self.next_miss(misses.last as usize, end) {
            misses.deadlines += deadlines;
            misses.tokens += 1;
            misses.last = next as u32;
        }
        let walked = self.walked.load(Ordering::Relaxed) + misses.tokens as usize;
        self.walked.store(walked, Ordering::Relaxed);
        misses
    }

    /// The forest, where so much was walked that it is worth its while.
    pub(crate) fn forest(&self) -> Option<&Forest> {
        if self.walked.load(Ordering::Relaxed) < self.column.len() / 4 {
            return None;
        }
        self.forest.get_or_init(|| Forest::new(self.column, self.tbt)).as_ref()
    }
}
