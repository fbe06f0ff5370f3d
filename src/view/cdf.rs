//! Distribution curves with few points.

use serde::Serialize;

/// The share of samples up to a value.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cdf {
    /// Samples.
    pub count: u64,
    /// Values, rising: seconds, or an index.
    pub value: Vec<f64>,
    /// Share of the samples that are at most that large, rising to 1.
    pub share: Vec<f64>,
}

impl Cdf {
    /// Of sorted samples with weights, by at most `points` points beside the smallest and the
    /// largest. Half of the points lie in the last hundredth, where stalls are. `None` without
    /// samples.
    pub fn of_weighted(sorted: &[(f64, u64)], points: usize) -> Option<Cdf> {
        let count: u64 = sorted.iter().map(|&(_, weight)| weight).sum();
        if count == 0 {
            return None;
        }
        let mut cdf = Cdf { count, ..Cdf::default() };
        let wanted = ranks(count, points.max(2));
        let (mut next, mut upto) = (0, 0);
        let last = sorted.len() - 1;
        for (place, &(value, weight)) in sorted.iter().enumerate().filter(|(_, s)| s.1 > 0) {
            upto += weight;
            // One value is one point, with all of its samples.
            if place < last && sorted[place + 1].0 == value {
                continue;
            }
            let hit = next < wanted.len() && wanted[next] <= upto;
            while next < wanted.len() && wanted[next] <= upto {
                next += 1;
            }
            if hit || cdf.value.is_empty() || upto == count {
                cdf.value.push(value);
                cdf.share.push(upto as f64 / count as f64);
            }
        }
        Some(cdf)
    }

    /// Of single samples.
    pub fn of(mut samples: Vec<f64>, points: usize) -> Option<Cdf> {
        samples.sort_unstable_by(f64::total_cmp);
        let weighted: Vec<(f64, u64)> = samples.into_iter().map(|value| (value, 1)).collect();
        Cdf::of_weighted(&weighted, points)
    }

    /// Of points that are known already.
    pub fn of_points(count: u64, points: &[(f64, f64)]) -> Option<Cdf> {
        let (value, share) = points.iter().copied().unzip();
        (!points.is_empty()).then_some(Cdf { count, value, share })
    }
}

/// Ranks from 1 to `count`: evenly spread, and again over the last hundredth and the last
/// thousandth.
fn ranks(count: u64, points: usize) -> Vec<u64> {
    let spread = |from: u64, points: usize| {
        let (width, points) = (u128::from(count - from), points.max(1) as u128);
        (1..=points).map(move |k| from + ((width * k) / points) as u64)
    };
    let beyond = |part: u64| count - count / part;
    let mut ranks: Vec<u64> = spread(0, points / 2)
        .chain(spread(beyond(100), points / 4))
        .chain(spread(beyond(1000), points / 4))
        .filter(|&rank| rank > 0)
        .collect();
    ranks.sort_unstable();
    ranks.dedup();
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_values_are_one_point_and_nothing_is_no_curve() {
        let cdf = Cdf::of(vec![2.0, 1.0, 1.0, 1.0], 10).expect("samples");
        assert_eq!((cdf.value, cdf.share), (vec![1.0, 2.0], vec![0.75, 1.0]));
        assert_eq!(Cdf::of(Vec::new(), 10), None);
        assert_eq!(Cdf::of_weighted(&[(1.0, 0)], 10), None);
    }

    proptest! {
        #[test]
        fn few_points_keep_both_ends_and_lie_on_the_curve(
            mut values in prop::collection::vec((0u32..50, 1u64..9), 1..400),
            points in 2usize..60,
        ) {
            values.sort_unstable();
            let sorted: Vec<(f64, u64)> = values.iter().map(|&(v, w)| (f64::from(v), w)).collect();
            let cdf = Cdf::of_weighted(&sorted, points).expect("samples");
            let count: u64 = values.iter().map(|v| v.1).sum();
            prop_assert_eq!(cdf.value[0], sorted[0].0);
            prop_assert_eq!(*cdf.value.last().unwrap(), sorted[sorted.len() - 1].0);
            prop_assert_eq!(*cdf.share.last().unwrap(), 1.0);
            prop_assert!(cdf.value.len() <= points + 2, "{} points", cdf.value.len());
            for (value, share) in cdf.value.iter().zip(&cdf.share) {
                let upto: u64 = sorted.iter().filter(|s| s.0 <= *value).map(|s| s.1).sum();
                prop_assert_eq!(*share, upto as f64 / count as f64);
            }
        }
    }
}
