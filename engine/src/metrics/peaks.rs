//! Late tokens found by looking only where one can be, for one TBT deadline `D`.
//!
//! With `v[p] = time[p] - p * D` (see [`forest`](super::forest)) a token at `q` is late for a
//! clock that started at `p` when `v[q] > v[p]`. The largest `v` of each block of entries, and of
//! each block of blocks, says where to look. Building this is one pass over the column; a stretch
//! without a miss, the usual one, costs a few dozen looks whatever its length. Where many tokens
//! are late the forest is cheaper.

use crate::time::Time;

/// Entries in a block, and blocks in a large block.
const FAN: usize = 16;
const LARGE: usize = FAN * FAN;

/// The peaks of one column for one `D`.
pub(super) struct Peaks {
    tbt: i64,
    origin: u64,
    blocks: Vec<i64>,
    large: Vec<i64>,
}

impl Peaks {
    /// The peaks of a column; `None` when its numbers are too large (times and deadlines of
    /// decades) and tokens have to be judged one after another.
    pub(super) fn new(column: &[Time], tbt: u64) -> Option<Peaks> {
        const ROOM: u128 = 1 << 61;
        let origin = column.iter().min()?.as_nanos();
        let reach = column.iter().max()?.as_nanos() - origin;
        if u128::from(reach) >= ROOM || column.len() as u128 * u128::from(tbt) >= ROOM {
            return None;
        }
        let mut peaks = Peaks { tbt: tbt as i64, origin, blocks: Vec::new(), large: Vec::new() };
        // As `v` has it, its product kept as a sum.
        let mut passed = 0;
        let block = |times: &[Time]| {
            let mut peak = i64::MIN;
            for time in times {
                peak = peak.max((time.as_nanos() - origin) as i64 - passed);
                passed += peaks.tbt;
            }
            peak
        };
        let blocks: Vec<i64> = column.chunks(FAN).map(block).collect();
        peaks.large =
            blocks.chunks(FAN).map(|chunk| *chunk.iter().max().expect("not empty")).collect();
        peaks.blocks = blocks;
        Some(peaks)
    }

    /// `time - origin - index * D`.
    pub(super) fn v(&self, index: usize, time: Time) -> i64 {
        (time.as_nanos() - self.origin) as i64 - index as i64 * self.tbt
    }

    /// What `v` is greater than at late entries, when the entry `first` is due at `due`.
    pub(super) fn base(&self, first: usize, due: u64) -> i64 {
        let base = i128::from(due) - i128::from(self.origin) - first as i128 * i128::from(self.tbt);
        base.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// The first entry of `from..end` whose `v` is greater than `base`.
    pub(super) fn next_above(
        &self,
        column: &[Time],
        from: usize,
        end: usize,
        base: i64,
    ) -> Option<usize> {
        let mut at = from;
        while at < end {
            if at.is_multiple_of(LARGE) && self.large[at / LARGE] <= base {
                at += LARGE;
            } else if at.is_multiple_of(FAN) && self.blocks[at / FAN] <= base {
                at += FAN;
            } else {
                let stop = end.min((at / FAN + 1) * FAN);
                let late = (at..stop).find(|&index| self.v(index, column[index]) > base);
                if late.is_some() {
                    return late;
                }
                at = stop;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_the_first_that_is_above(
            gaps in prop::collection::vec(0u64..40, 1..1500),
            tbt in 1u64..40,
            (from, end) in (0usize..1500, 0usize..1500),
            due in 0u64..30_000,
        ) {
            let times = gaps.iter().scan(7, |at, gap| { *at += gap; Some(Time::from_nanos(*at)) });
            let column: Vec<Time> = times.collect();
            let (from, end) = (from.min(column.len()), end.min(column.len()));
            let peaks = Peaks::new(&column, tbt).expect("small numbers");
            let base = peaks.base(from, due);
            let found = peaks.next_above(&column, from, end, base);
            let late = |&q: &usize| column[q].as_nanos() > due + (q - from) as u64 * tbt;
            prop_assert_eq!(found, (from..end).find(late));
        }
    }
}
