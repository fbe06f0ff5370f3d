//! The prefill curve: how long an undisturbed prefill takes, by prompt length.

use std::fmt;

use crate::time::Span;

/// Time of one prefill by prompt length, never falling as the prompt grows.
///
/// A request is promised its first token within this time plus a slack. Between two points the
/// time is interpolated; outside of the points the nearest end's time holds, and
/// [`covers`](PrefillCurve::covers) tells that the promise is a guess there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefillCurve {
    points: Vec<(u32, Span)>,
}

/// Why points do not make a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurveError {
    /// There is no point.
    Empty,
    /// A prompt length is there twice with different times.
    Doubled(u32),
}

impl fmt::Display for CurveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CurveError::Empty => write!(f, "a prefill curve needs at least one point"),
            CurveError::Doubled(prompt) => {
                write!(f, "the prefill curve has two different times for {prompt} prompt tokens")
            }
        }
    }
}

impl std::error::Error for CurveError {}

impl PrefillCurve {
    /// A curve through `(prompt tokens, time)` points in any order, made monotone by a running
    /// maximum. Any number of points will do: two, or one for each prompt length.
    ///
    /// # Errors
    /// When there is no point, or one prompt length has two different times.
    pub fn new(points: impl IntoIterator<Item = (u32, Span)>) -> Result<PrefillCurve, CurveError> {
        let mut points: Vec<_> = points.into_iter().collect();
        points.sort_unstable();
        points.dedup();
        if points.is_empty() {
            return Err(CurveError::Empty);
        }
        if let Some(pair) = points.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(CurveError::Doubled(pair[0].0));
        }
        let mut highest = Span::ZERO;
        for (_, time) in &mut points {
            highest = highest.max(*time);
            *time = highest;
        }
        Ok(PrefillCurve { points })
    }

    /// The prefill time of a prompt, to the nearest nanosecond (halves up).
    pub fn at(&self, prompt_tokens: u32) -> Span {
        let right = self.points.partition_point(|&(prompt, _)| prompt < prompt_tokens);
        let Some(&(p1, t1)) = self.points.get(right) else {
            return self.points[self.points.len() - 1].1;
        };
        if p1 == prompt_tokens || right == 0 {
            return t1;
        }
        let (p0, t0) = self.points[right - 1];
        let (part, whole) = (u128::from(prompt_tokens - p0), u128::from(p1 - p0) * 2);
        let above = u128::from((t1 - t0).as_nanos()) * part * 2 + whole / 2;
        // Nearly always a short division will do.
        let above = match u64::try_from(above) {
            Ok(above) => above / whole as u64,
            Err(_) => (above / whole) as u64,
        };
        t0 + Span::from_nanos(above)
    }

    /// Whether the prompt length lies within the curve's points.
    pub fn covers(&self, prompt_tokens: u32) -> bool {
        let (first, last) = self.range();
        (first..=last).contains(&prompt_tokens)
    }

    /// The shortest and the longest prompt of the curve's points.
    pub fn range(&self) -> (u32, u32) {
        (self.points[0].0, self.points[self.points.len() - 1].0)
    }

    /// The points, by growing prompt length, after the running maximum.
    pub fn points(&self) -> &[(u32, Span)] {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Span {
        Span::from_millis(ms)
    }

    #[test]
    fn interpolates_between_points_and_holds_the_ends() {
        let curve = PrefillCurve::new([(1024, ms(80)), (256, ms(30)), (4096, ms(270))]).unwrap();
        assert_eq!(curve.at(256), ms(30));
        assert_eq!(curve.at(640), ms(55));
        assert_eq!(curve.at(4096), ms(270));
        assert_eq!(curve.at(1), ms(30));
        assert_eq!(curve.at(u32::MAX), ms(270));
        assert_eq!(curve.range(), (256, 4096));
        assert!(curve.covers(256) && curve.covers(4096));
        assert!(!curve.covers(255) && !curve.covers(4097));
    }

    #[test]
    fn rounds_to_the_nearest_nanosecond() {
        let curve = PrefillCurve::new([(0, Span::ZERO), (3, Span::from_nanos(2))]).unwrap();
        let times: Vec<u64> = (0..=3).map(|p| curve.at(p).as_nanos()).collect();
        assert_eq!(times, [0, 1, 1, 2]);
    }

    #[test]
    fn a_dip_is_filled_by_the_running_maximum() {
        let curve = PrefillCurve::new([(1, ms(10)), (2, ms(7)), (3, ms(12))]).unwrap();
        assert_eq!(curve.points(), [(1, ms(10)), (2, ms(10)), (3, ms(12))]);
    }

    #[test]
    fn the_longest_spans_do_not_overflow() {
        let curve = PrefillCurve::new([(0, Span::ZERO), (u32::MAX, Span::MAX)]).unwrap();
        assert_eq!(curve.at(u32::MAX), Span::MAX);
        assert!(curve.at(u32::MAX - 1) < Span::MAX);
    }

    #[test]
    fn bad_points_are_errors() {
        assert_eq!(PrefillCurve::new([]), Err(CurveError::Empty));
        assert_eq!(PrefillCurve::new([(5, ms(1)), (5, ms(2))]), Err(CurveError::Doubled(5)));
        assert!(PrefillCurve::new([(5, ms(1)), (5, ms(1))]).is_ok());
    }
}
