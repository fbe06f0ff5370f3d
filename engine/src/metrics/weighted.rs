//! The distribution of weighted samples, exact and without sorting them all.
//!
//! A first pass adds up weights by magnitude (exponent and ten bits of mantissa), which tells in
//! which few classes the wanted ranks lie; a second one collects and sorts the samples of those.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::quantile::{Sample, mean_of_nanos, of_parts, rank};
use super::summary::Distribution;
use crate::threads;

/// Bits below the leading one that tell magnitudes apart: classes are a thousandth wide.
const MANTISSA_BITS: u32 = 10;
/// Classes of numbers up to 2^63.
const CLASSES: usize = (64 << MANTISSA_BITS) + 1;
/// The exponent of 1.0 and no mantissa: what class 0 starts with.
const FIRST: usize = 1023 << MANTISSA_BITS;

/// Samples that are kept before equal ones are put together. Beyond twice as many different ones as
/// that, memory follows their number; that of all samples, never.
const KEPT_AT_FIRST: usize = 1 << 16;
/// Ranks whose classes are kept at once.
const RANKS_AT_ONCE: usize = 16;

/// Pieces that are worth another thread.
const PIECES_MIN: usize = 4;

/// Samples in nanoseconds with weights above 0, in pieces that threads can share.
pub(super) trait Weighted: Sync {
    /// How many pieces.
    fn pieces(&self) -> usize;

    /// Calls `visit` with every `(sample, weight)` of a piece.
    fn each(&self, piece: usize, visit: impl FnMut(u64, u64));
}

/// What `add` makes of all samples, begun anew by each thread that takes a share of them.
fn gathered<T: Send>(
    samples: &impl Weighted,
    start: impl Fn() -> T + Sync + Send,
    add: impl Fn(&mut T, u64, u64) + Sync + Send,
) -> Vec<T> {
    let pieces = samples.pieces();
    let shares = match threads::count() {
        1 => 1,
        threads => (pieces / PIECES_MIN).clamp(1, threads),
    };
    // Whoever is free takes the next piece: what is gathered does not depend on their order.
    let next = AtomicUsize::new(0);
    threads::up_to(shares, |_| {
        let mut gathered = start();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces {
                return gathered;
            }
            samples.each(piece, |sample, weight| add(&mut gathered, sample, weight));
        }
    })
}

/// Samples by class.
struct Weights {
    of_class: Vec<u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Weights {
    fn of(samples: &impl Weighted) -> Weights {
        let none =
            || Weights { of_class: vec![0; CLASSES], count: 0, sum: 0, min: u64::MAX, max: 0 };
        let shares = gathered(samples, none, |weights, sample, weight| {
            weights.of_class[class(sample)] += weight;
            weights.count += weight;
            weights.sum += u128::from(sample) * u128::from(weight);
            weights.min = weights.min.min(sample);
            weights.max = weights.max.max(sample);
        });
        let whole = shares.into_iter().reduce(|mut whole, share| {
            whole.of_class.iter_mut().zip(share.of_class).for_each(|(all, more)| *all += more);
            whole.count += share.count;
            whole.sum += share.sum;
            whole.min = whole.min.min(share.min);
            whole.max = whole.max.max(share.max);
            whole
        });
        whole.unwrap_or_else(none)
    }
}

/// The distribution of a sample repeated as often as its weight says.
pub(super) fn distribution(samples: &impl Weighted) -> Distribution {
    let Weights { of_class, count, sum, min, max } = Weights::of(samples);
    if count == 0 {
        return Distribution::default();
    }
    let ranks = [500, 900, 950, 990, 999].map(|thousandths| rank(count, thousandths));
    let wanted: Vec<u64> = ranks.iter().flat_map(|&(low, _)| [low, low + 1]).collect();
    let classes = Classes::that_hold(&wanted, &of_class, samples);
    let quantiles = ranks.map(|(low, rest)| {
        let value = classes.sample(low);
        let above = if rest > 0 { classes.sample(low + 1) } else { value };
        value.towards(above, rest)
    });
    of_parts(count, mean_of_nanos(sum, count), min.seconds(), quantiles, max.seconds())
}

/// How many samples there are, each as often as its weight says, and those at the ranks that `ranks`
/// makes of that number: from 0 on, rising, below it. Nothing where there is no sample.
pub(super) fn at_ranks(
    samples: &impl Weighted,
    ranks: impl FnOnce(u64) -> Vec<u64>,
) -> (u64, Vec<u64>) {
    let Weights { of_class, count, .. } = Weights::of(samples);
    if count == 0 {
        return (0, Vec::new());
    }
    let ranks = ranks(count);
    let mut found = Vec::with_capacity(ranks.len());
    for some in ranks.chunks(RANKS_AT_ONCE) {
        let classes = Classes::that_hold(some, &of_class, samples);
        found.extend(some.iter().map(|&rank| classes.sample(rank)));
    }
    (count, found)
}

/// The class of a sample; a greater sample is never in a smaller class.
fn class(sample: u64) -> usize {
    // The bits of a positive float rise with it, and start with what is wanted. Half of the range is
    // centuries of nanoseconds.
    let float = sample.min(i64::MAX as u64) as i64 as f64;
    ((float + 1.0).to_bits() >> (f64::MANTISSA_DIGITS - 1 - MANTISSA_BITS)) as usize - FIRST
}

/// The classes in which wanted ranks lie, with their samples in order.
struct Classes {
    /// Class, and the weight of all smaller ones.
    starts: Vec<(usize, u64)>,
    /// `(sample, weight)` of these classes.
    samples: Vec<(u64, u64)>,
}

impl Classes {
    /// Those of `ranks`, which rise but for neighbours.
    fn that_hold(ranks: &[u64], weights: &[u64], samples: &impl Weighted) -> Classes {
        let mut wanted = vec![false; weights.len()];
        let mut starts = Vec::new();
        let mut ranks = ranks.iter().copied().peekable();
        let mut before = 0;
        for (class, weight) in weights.iter().enumerate() {
            while ranks.next_if(|&rank| rank < before + weight).is_some() {
                wanted[class] = true;
            }
            if wanted[class] {
                starts.push((class, before));
            }
            before += weight;
        }
        let none = || (Vec::new(), KEPT_AT_FIRST);
        let shares = gathered(samples, none, |(kept, most), sample, weight| {
            if wanted[class(sample)] {
                if kept.len() == *most {
                    merge(kept);
                    *most = (*most).max(kept.len() * 2);
                }
                kept.push((sample, weight));
            }
        });
        let shares = shares.into_iter().map(|(kept, _)| kept);
        let mut samples: Vec<(u64, u64)> =
            shares.reduce(|a, b| [a, b].concat()).unwrap_or_default();
        samples.sort_unstable();
        Classes { starts, samples }
    }

    /// The sample at a wanted rank.
    fn sample(&self, rank: u64) -> u64 {
        let place = self.starts.partition_point(|&(_, before)| before <= rank) - 1;
        let (its_class, mut before) = self.starts[place];
        let first = self.samples.partition_point(|&(sample, _)| class(sample) < its_class);
        for &(sample, weight) in &self.samples[first..] {
            before += weight;
            if rank < before {
                return sample;
            }
        }
        unreachable!("the rank lies in its class")
    }
}

/// Sorts samples and puts equal ones together.
fn merge(samples: &mut Vec<(u64, u64)>) {
    samples.sort_unstable();
    samples.dedup_by(|next, before| {
        let same = next.0 == before.0;
        if same {
            before.1 += next.1;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::quantile;

    /// Pieces of a few samples.
    const PIECE: usize = 3;

    impl Weighted for Vec<(u64, u64)> {
        fn pieces(&self) -> usize {
            self.len().div_ceil(PIECE)
        }

        fn each(&self, piece: usize, mut visit: impl FnMut(u64, u64)) {
            let samples = self.iter().skip(piece * PIECE).take(PIECE);
            samples.for_each(|&(sample, weight)| visit(sample, weight));
        }
    }

    #[test]
    fn classes_rise_with_samples_and_stay_in_the_table() {
        let powers = (0..64).flat_map(|bit| {
            let power = 1u64 << bit;
            [power - 1, power, power + power / 1024, power + power / 2, power + (power - 1)]
        });
        let mut samples: Vec<u64> = powers.chain([u64::MAX]).collect();
        samples.sort_unstable();
        assert!(samples.is_sorted_by_key(|&sample| class(sample)));
        assert!(class(u64::MAX) < CLASSES);
        assert!(class(1_000_000) != class(1_002_000) && class(5) != class(6));
    }

    #[test]
    fn many_alike_are_put_together() {
        // All of one magnitude, far more than are kept, and few that differ.
        let samples: Vec<(u64, u64)> =
            (0..3 * KEPT_AT_FIRST as u64).map(|i| (10_000_000 + i * 7 % 1000, 1 + i % 2)).collect();
        let mut repeated: Vec<u64> =
            samples.iter().flat_map(|&(s, weight)| (0..weight).map(move |_| s)).collect();
        assert_eq!(distribution(&samples), quantile::distribution(&mut repeated));
        let mut few = samples[..5000].to_vec();
        merge(&mut few);
        assert_eq!((few.len(), few.iter().map(|s| s.1).sum::<u64>()), (1000, 7500));
        assert!(few.is_sorted());
    }

    proptest! {
        #[test]
        fn ranks_are_those_of_the_sorted_samples(
            samples in prop::collection::vec(
                (prop_oneof![0u64..20, 1_000_000u64..1_010_000, 0..u64::MAX], 1u64..4),
                0..200,
            ),
            step in 1usize..30,
        ) {
            let mut repeated: Vec<u64> = samples
                .iter()
                .flat_map(|&(sample, weight)| std::iter::repeat_n(sample, weight as usize))
                .collect();
            repeated.sort_unstable();
            let (count, found) = at_ranks(&samples, |n| (0..n).step_by(step).collect());
            prop_assert_eq!(count, repeated.len() as u64);
            prop_assert!(found.into_iter().eq(repeated.into_iter().step_by(step)));
        }

        #[test]
        fn as_if_each_sample_were_repeated(
            samples in prop::collection::vec(
                (prop_oneof![0u64..20, 1_000_000u64..1_010_000, 0..u64::MAX], 1u64..40),
                0..200,
            )
        ) {
            let mut repeated: Vec<u64> = samples
                .iter()
                .flat_map(|&(sample, weight)| std::iter::repeat_n(sample, weight as usize))
                .collect();
            prop_assert_eq!(distribution(&samples), quantile::distribution(&mut repeated));
        }
    }
}
