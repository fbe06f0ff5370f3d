//! Exact quantiles: Hyndman-Fan type 7, numpy's default.
//!
//! Of `n` ordered samples `x[0..n]` the quantile at `p` thousandths lies at rank
//! `h = (n - 1) * p / 1000`, interpolated linearly between `x[floor(h)]` and the sample after it.
//! Ranks are integers with a remainder, so that no rounding decides which samples are meant.

use ordered_float::OrderedFloat;

use super::summary::Distribution;

/// A latency per token or a rate: a quotient, with the order that quantiles need.
pub(super) type Ratio = OrderedFloat<f64>;

/// A sample of a latency: integer nanoseconds, or a ratio in seconds.
pub trait Sample: Copy + Ord {
    /// The sample in seconds.
    fn seconds(self) -> f64;
    /// The point `thousandths` of the way up to `above`, in seconds.
    fn towards(self, above: Self, thousandths: u64) -> f64;
    /// The sum of all samples over `count`, in seconds: exact for integers, in the given order
    /// for ratios.
    fn mean(samples: &[Self]) -> f64;
}

impl Sample for u64 {
    fn seconds(self) -> f64 {
        self as f64 / 1e9
    }

    fn towards(self, above: u64, thousandths: u64) -> f64 {
        if thousandths == 0 {
            return self.seconds();
        }
        let rise = u128::from(above - self) * u128::from(thousandths);
        (u128::from(self) * 1000 + rise) as f64 / 1e12
    }

    fn mean(samples: &[u64]) -> f64 {
        mean_of_nanos(samples.iter().map(|&ns| u128::from(ns)).sum(), samples.len() as u64)
    }
}

impl Sample for Ratio {
    fn seconds(self) -> f64 {
        self.0
    }

    fn towards(self, above: Ratio, thousandths: u64) -> f64 {
        let rise = (above.0 - self.0) * (thousandths as f64 / 1e3);
        if thousandths == 0 { self.0 } else { self.0 + rise }
    }

    fn mean(samples: &[Ratio]) -> f64 {
        samples.iter().map(|ratio| ratio.0).sum::<f64>() / samples.len() as f64
    }
}

/// An exact sum of nanoseconds, divided once.
pub(super) fn mean_of_nanos(sum: u128, count: u64) -> f64 {
    sum as f64 / (count as f64 * 1e9)
}

/// The rank of a quantile among `count` samples, and how many thousandths of the way to the next
/// rank it lies.
pub(super) fn rank(count: u64, thousandths: u64) -> (u64, u64) {
    let h = u128::from(count - 1) * u128::from(thousandths);
    ((h / 1000) as u64, (h % 1000) as u64)
}

/// How many of `count` samples, at the least, must lie above a bound for the quantile at `thousandths` to
/// lie above it for certain, whatever the others are, and of however many fewer samples it is in the
/// end: those from the rank below the quantile on.
pub(super) fn above_for_certain(count: u64, thousandths: u64) -> u64 {
    if count == 0 { 1 } else { count - rank(count, thousandths).0 }
}

/// The quantiles at `thousandths` (rising), in seconds. Reorders the samples.
///
/// # Panics
/// When there is no sample.
pub(super) fn quantiles<T: Sample, const N: usize>(
    samples: &mut [T],
    thousandths: [u64; N],
) -> [f64; N] {
    // Everything before `settled` is no greater than everything from it on.
    let mut settled = 0;
    thousandths.map(|p| {
        let (low, rest) = rank(samples.len() as u64, p);
        let mut at = |rank: usize| {
            // A rank below was selected before and is in its place already.
            if rank >= settled {
                samples[settled..].select_nth_unstable(rank - settled);
                settled = rank + 1;
            }
            samples[rank]
        };
        let below = at(low as usize);
        let above = if rest == 0 { below } else { at(low as usize + 1) };
        below.towards(above, rest)
    })
}

/// The distribution of unweighted samples. Reorders them.
pub fn distribution<T: Sample>(samples: &mut [T]) -> Distribution {
    let Some((min, max)) = extremes(samples) else {
        return Distribution::default();
    };
    let (count, mean) = (samples.len() as u64, T::mean(samples));
    let quantiles = quantiles(samples, [500, 900, 950, 990, 999]);
    of_parts(count, mean, min.seconds(), quantiles, max.seconds())
}

/// The distribution of lengths of time in nanoseconds. Reorders them.
pub fn distribution_of_nanos(nanos: &mut [u64]) -> Distribution {
    distribution(nanos)
}

/// A distribution from its parts; `quantiles` are P50, P90, P95, P99 and P99.9.
pub(super) fn of_parts(
    count: u64,
    mean: f64,
    min: f64,
    quantiles: [f64; 5],
    max: f64,
) -> Distribution {
    let [p50, p90, p95, p99, p999] = quantiles.map(Some);
    Distribution {
        count,
        mean: Some(mean),
        min: Some(min),
        p50,
        p90,
        p95,
        p99,
        p999,
        max: Some(max),
    }
}

fn extremes<T: Sample>(samples: &[T]) -> Option<(T, T)> {
    Some((*samples.iter().min()?, *samples.iter().max()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_7_as_numpy_gives_it() {
        // numpy.percentile([1, 2, 4, 8, 16], [50, 90, 95, 99, 99.9])
        let mut seconds = [16.0, 1.0, 8.0, 2.0, 4.0].map(Ratio::from);
        let d = distribution(&mut seconds);
        assert_eq!(d.count, 5);
        assert_eq!((d.min, d.max, d.mean), (Some(1.0), Some(16.0), Some(6.2)));
        for (got, want) in [d.p50, d.p90, d.p95, d.p99, d.p999]
            .into_iter()
            .flatten()
            .zip([4.0, 12.8, 14.4, 15.68, 15.968])
        {
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        }
        let mut nanos = [16, 1, 8, 2, 4].map(|s: u64| s * 1_000_000_000);
        let d = distribution(&mut nanos);
        assert_eq!(
            (d.p50, d.p90, d.p95, d.p99, d.p999),
            (Some(4.0), Some(12.8), Some(14.4), Some(15.68), Some(15.968))
        );
    }

    #[test]
    fn a_rank_that_is_whole_is_a_sample() {
        // 0.99 * 100 and the like must not fall short of a whole number.
        let mut nanos: Vec<u64> = (0..=100_000).rev().collect();
        let [p1, p99, p999] = quantiles(&mut nanos, [10, 990, 999]);
        assert_eq!((p1, p99, p999), (1_000.0 / 1e9, 99_000.0 / 1e9, 99_900.0 / 1e9));
    }

    #[test]
    fn one_sample_is_every_quantile_and_none_is_null() {
        let d = distribution(&mut [5_000_000u64]);
        assert_eq!((d.p50, d.p999, d.mean), (Some(0.005), Some(0.005), Some(0.005)));
        assert_eq!(distribution::<u64>(&mut []), Distribution::default());
    }

    #[test]
    fn the_largest_samples_do_not_overflow() {
        let d = distribution(&mut [u64::MAX, u64::MAX, 0]);
        assert_eq!(d.p50, Some(u64::MAX as f64 / 1e9));
        assert!(d.mean.unwrap() > d.p50.unwrap() / 2.0);
    }
}
