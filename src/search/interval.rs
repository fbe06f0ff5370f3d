//! A mean of few independent runs, with Student's interval; and the border that searches bracket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A mean and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Mean of the samples.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval; null for a single sample.
    pub half_width: Option<f64>,
    /// Samples.
    pub count: u32,
}

/// 97.5 % quantiles of Student's t distribution for 1 to 30 degrees of freedom (Abramowitz and
/// Stegun, table 26.10).
const T_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

/// Mean and 95 % confidence interval of independent samples; `None` without samples.
pub fn interval(samples: &[f64]) -> Option<Interval> {
    let n = samples.len();
    if n == 0 {
        return None;
    }
    let mean = samples.iter().sum::<f64>() / n as f64;
    let half_width = (n > 1).then(|| {
        let squares: f64 = samples.iter().map(|x| (x - mean) * (x - mean)).sum();
        let t = T_975.get(n - 2).copied().unwrap_or(1.96);
        t * (squares / (n - 1) as f64 / n as f64).sqrt()
    });
    Some(Interval { mean, half_width, count: n as u32 })
}

/// What the figure of a border is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Estimate {
    /// The highest value that was seen to hold, in one search.
    HighestThatHeld,
    /// The mean over seeds of the highest values that were seen to hold.
    MeanOverSeeds,
}

/// The border between what holds and what does not, as one search or several bracket it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Border {
    /// The figure: the mean, over the searches, of the highest value that held. Of users, whole
    /// ones.
    pub mean: f64,
    /// How far `lower` and `upper` are from it at most; null for a single search, and where nothing
    /// is known above.
    pub half_width: Option<f64>,
    /// Searches.
    pub count: u32,
    /// What the figure is.
    pub is: Estimate,
    /// Lower end of the interval: for one search the highest value that held, for several the lower
    /// end of the 95 % confidence interval of their mean; not below 0.
    pub lower: f64,
    /// Its upper end: for one search the lowest value that did not hold, for several the upper end
    /// of the 95 % confidence interval of the mean of those. Null where a search knows of no value
    /// above that does not hold: runs end before it is known.
    pub upper: Option<f64>,
}

impl Border {
    /// The border that searches found: the highest value that held in each, and the lowest that is
    /// known not to. `None` without any.
    pub fn of(brackets: &[(f64, Option<f64>)], whole: bool) -> Option<Border> {
        let held = interval(&brackets.iter().map(|ends| ends.0).collect::<Vec<_>>())?;
        let failed: Option<Vec<f64>> = brackets.iter().map(|ends| ends.1).collect();
        let failed = failed.as_deref().and_then(interval);
        let mut border = Border {
            mean: held.mean,
            half_width: None,
            count: held.count,
            is: match held.count {
                1 => Estimate::HighestThatHeld,
                _ => Estimate::MeanOverSeeds,
            },
            lower: (held.mean - held.half_width.unwrap_or(0.0)).max(0.0),
            upper: failed
                .map(|failed| (failed.mean + failed.half_width.unwrap_or(0.0)).max(held.mean)),
        };
        border.round(whole);
        border.half_width = held.half_width.and_then(|_| border.off());
        Some(border)
    }

    /// To whole numbers, where only those make sense.
    fn round(&mut self, whole: bool) {
        if whole {
            self.mean = self.mean.floor();
            (self.lower, self.upper) = (self.lower.floor(), self.upper.map(f64::ceil));
        }
    }

    /// How far its ends are off at most.
    fn off(&self) -> Option<f64> {
        self.upper.map(|upper| (upper - self.mean).max(self.mean - self.lower))
    }

    /// The border of one of so many equal parts.
    pub fn per(&self, parts: u32, whole: bool) -> Border {
        let of = |value: f64| value / f64::from(parts.max(1));
        let mut border = Border {
            mean: of(self.mean),
            half_width: self.half_width.map(of),
            lower: of(self.lower),
            upper: self.upper.map(of),
            ..*self
        };
        border.round(whole);
        if whole {
            border.half_width = border.half_width.and_then(|_| border.off());
        }
        border
    }

    /// Between what it is; without end where nothing is known above.
    pub fn range(&self) -> (f64, f64) {
        (self.lower, self.upper.unwrap_or(f64::INFINITY))
    }

    /// Whether the intervals of two have something in common: then neither is shown to be more.
    pub fn overlaps(&self, other: &Border) -> bool {
        overlap(self.range(), other.range())
    }
}

/// A border of whole numbers, as results have it.
#[derive(Serialize)]
struct WholeBorder {
    mean: u64,
    half_width: Option<u64>,
    count: u32,
    is: Estimate,
    lower: u64,
    upper: Option<u64>,
}

/// Writes a border of whole numbers as such.
///
/// # Errors
/// When it cannot be written.
pub(super) fn whole<S: Serializer>(border: &Option<Border>, to: S) -> Result<S::Ok, S::Error> {
    let whole = |border: &Border| WholeBorder {
        mean: border.mean as u64,
        half_width: border.half_width.map(|off| off as u64),
        count: border.count,
        is: border.is,
        lower: border.lower as u64,
        upper: border.upper.map(|upper| upper as u64),
    };
    border.as_ref().map(whole).serialize(to)
}

/// Whether two intervals have something in common.
pub(super) fn overlap(a: (f64, f64), b: (f64, f64)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_samples_by_hand() {
        let found = interval(&[1.0, 2.0, 3.0]).expect("samples");
        assert!((found.mean - 2.0).abs() < 1e-12);
        assert!((found.half_width.expect("three") - 4.303 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(interval(&[5.0]).expect("one").half_width, None);
        assert_eq!(interval(&[]), None);
    }

    #[test]
    fn a_border_is_never_known_better_than_its_bracket() {
        let same = Border::of(&[(2.0, Some(2.02)); 3], false).expect("three");
        assert_eq!((same.mean, same.lower, same.upper), (2.0, 2.0, Some(2.02)));
        assert!(same.half_width.expect("three") > 0.0199);
        assert_eq!(same.is, Estimate::MeanOverSeeds);
        let one = Border::of(&[(2.0, Some(2.02))], false).expect("one");
        assert_eq!((one.half_width, one.lower, one.upper), (None, 2.0, Some(2.02)));
        assert_eq!(one.is, Estimate::HighestThatHeld);
        assert_eq!(Border::of(&[], false), None);
    }

    #[test]
    fn where_one_search_knows_of_no_failure_nothing_is_known_above() {
        let found = Border::of(&[(2.0, Some(2.02)), (2.2, None)], false).expect("two");
        assert_eq!((found.upper, found.half_width), (None, None));
        assert!(found.lower < 2.1 && found.per(2, false).upper.is_none());
        let more = Border::of(&[(5.0, Some(5.1))], false).expect("one");
        let open = Border::of(&[(2.0, None)], false).expect("one");
        assert!(open.overlaps(&more) && more.overlaps(&open));
        assert!(!open.overlaps(&Border::of(&[(1.0, Some(1.1))], false).expect("one")));
    }

    #[test]
    fn an_interval_does_not_go_below_nothing_and_users_are_whole() {
        let wide = Border::of(&[(1.0, Some(1.1)), (9.0, Some(9.1))], false).expect("two");
        assert_eq!((wide.mean, wide.lower), (5.0, 0.0));
        assert!(wide.upper > Some(50.0));
        let users = Border::of(&[(10.0, Some(11.0)), (13.0, Some(14.0))], true).expect("two");
        assert_eq!(users.mean, 11.0);
        assert_eq!((users.lower.fract(), users.upper.map(f64::fract)), (0.0, Some(0.0)));
        let half = users.per(2, true);
        assert_eq!((half.mean, half.lower), (5.0, 0.0));
    }

    #[test]
    fn what_overlaps_is_a_tie() {
        let of = |low, high| Border::of(&[(low, Some(high))], false).expect("one");
        assert!(of(1.0, 1.1).overlaps(&of(1.05, 1.2)) && of(1.05, 1.2).overlaps(&of(1.0, 1.1)));
        assert!(!of(1.0, 1.1).overlaps(&of(1.2, 1.3)));
    }
}
