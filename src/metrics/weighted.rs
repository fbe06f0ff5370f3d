//! The distribution of weighted samples, exact and without sorting them all.
//!
//! A first pass adds up weights by magnitude (exponent and ten bits of mantissa), which tells in
//! which few classes the wanted ranks lie; a second one collects and sorts the samples of those.

use super::quantile::{Sample, mean_of_nanos, of_parts, rank};
use super::summary::Distribution;

/// Bits below the leading one that tell magnitudes apart: classes are a thousandth wide.
const MANTISSA_BITS: u32 = 10;
/// Classes of numbers up to 2^63.
const CLASSES: usize = (64 << MANTISSA_BITS) + 1;
/// The exponent of 1.0 and no mantissa: what class 0 starts with.
const FIRST: usize = 1023 << MANTISSA_BITS;

/// Samples in nanoseconds with weights above 0.
pub(super) trait Weighted {
    /// Calls `visit` with every `(sample, weight)`, in the same order each time.
    fn each(&self, visit: impl FnMut(u64, u64));
}

/// The distribution of a sample repeated as often as its weight says.
pub(super) fn distribution(samples: &impl Weighted) -> Distribution {
    let mut weights = vec![0u64; CLASSES];
    let (mut count, mut sum, mut min, mut max) = (0u64, 0u128, u64::MAX, 0);
    samples.each(|sample, weight| {
        weights[class(sample)] += weight;
        count += weight;
        sum += u128::from(sample) * u128::from(weight);
        min = min.min(sample);
        max = max.max(sample);
    });
    if count == 0 {
        return Distribution::default();
    }
    let ranks = [500, 900, 950, 990, 999].map(|thousandths| rank(count, thousandths));
    let classes = Classes::that_hold(&ranks, &weights, samples);
    let quantiles = ranks.map(|(low, rest)| {
        let value = classes.sample(low);
        let above = if rest > 0 { classes.sample(low + 1) } else { value };
        value.towards(above, rest)
    });
    of_parts(count, mean_of_nanos(sum, count), min.seconds(), quantiles, max.seconds())
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
    /// Those of `ranks` (rising) and of the ranks after them.
    fn that_hold(ranks: &[(u64, u64)], weights: &[u64], samples: &impl Weighted) -> Classes {
        let mut wanted = vec![false; weights.len()];
        let mut starts = Vec::new();
        let mut ranks = ranks.iter().flat_map(|&(low, _)| [low, low + 1]).peekable();
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
        let mut kept = Vec::new();
        samples.each(|sample, weight| {
            if wanted[class(sample)] {
                kept.push((sample, weight));
            }
        });
        kept.sort_unstable();
        Classes { starts, samples: kept }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::quantile;

    impl Weighted for Vec<(u64, u64)> {
        fn each(&self, mut visit: impl FnMut(u64, u64)) {
            self.iter().for_each(|&(sample, weight)| visit(sample, weight));
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

    proptest! {
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
