//! A rate that changes over time, in straight lines.

use super::{Piece, WorkloadError};

/// The expected number of arrivals up to an instant, and back: an inhomogeneous Poisson process
/// has its arrivals where that number passes the arrival times of a process of rate 1 (Çinlar,
/// "Introduction to Stochastic Processes", 1975).
#[derive(Clone, Debug)]
pub(crate) struct RateCurve {
    segments: Vec<Segment>,
    /// The segment in which the last answer lay: questions ascend.
    current: usize,
    /// Whether the last rate holds on after the last segment.
    goes_on: bool,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    start_ns: f64,
    /// Expected arrivals before it.
    before: f64,
    /// Expected arrivals in it.
    inside: f64,
    /// Arrivals a second at its beginning.
    rate: f64,
    /// Arrivals a second at its end.
    last_rate: f64,
    /// How much the rate grows in a second.
    slope: f64,
    length_s: f64,
}

impl RateCurve {
    /// Pieces one after another from time 0. Arrivals end with the last piece, unless `goes_on`:
    /// then its last rate holds.
    pub(crate) fn new(pieces: &[Piece], goes_on: bool) -> Result<RateCurve, WorkloadError> {
        let wrong = |message: String| Err(WorkloadError::spec("arrivals.piecewise", message));
        let mut segments = Vec::with_capacity(pieces.len());
        let (mut start_ns, mut before) = (0.0, 0.0);
        for (index, piece) in pieces.iter().enumerate() {
            for rate in [piece.rate, piece.ramp_to] {
                if !(rate >= 0.0 && rate.is_finite()) {
                    return wrong(format!(
                        "piece {index}: expected requests a second of 0 or more, found {rate}"
                    ));
                }
            }
            let length_s = piece.length.as_secs_f64();
            if length_s <= 0.0 {
                return wrong(format!("piece {index}: expected a length above 0"));
            }
            let inside = (piece.rate + piece.ramp_to) / 2.0 * length_s;
            segments.push(Segment {
                start_ns,
                before,
                inside,
                rate: piece.rate,
                last_rate: piece.ramp_to,
                slope: (piece.ramp_to - piece.rate) / length_s,
                length_s,
            });
            start_ns += piece.length.as_nanos() as f64;
            before += inside;
        }
        if !(before > 0.0 && before.is_finite()) {
            return wrong("expected a piece with a rate above 0".to_owned());
        }
        Ok(RateCurve { segments, current: 0, goes_on })
    }

    /// Time-weighted mean of the pieces, arrivals a second.
    pub(crate) fn mean_rate_per_s(&self) -> f64 {
        let seconds: f64 = self.segments.iter().map(|s| s.length_s).sum();
        let last = self.segments[self.segments.len() - 1];
        (last.before + last.inside) / seconds
    }

    /// The instant, in ns, up to which `expected` arrivals are expected; `None` when there is none.
    /// Each question must be at least the one before.
    pub(crate) fn time_at_ns(&mut self, expected: f64) -> Option<f64> {
        while let Some(segment) = self.segments.get(self.current) {
            let inside = expected - segment.before;
            if inside <= segment.inside && segment.inside > 0.0 {
                if inside <= 0.0 {
                    return Some(segment.start_ns);
                }
                // inside = rate t + slope t^2 / 2, in the form that loses no digits.
                let root = segment.rate * segment.rate + 2.0 * segment.slope * inside;
                let seconds = 2.0 * inside / (segment.rate + root.max(0.0).sqrt());
                return Some(segment.start_ns + seconds.min(segment.length_s) * 1e9);
            }
            self.current += 1;
        }
        let last = self.segments[self.segments.len() - 1];
        if !self.goes_on || last.last_rate == 0.0 {
            return None;
        }
        let seconds = last.length_s + (expected - last.before - last.inside) / last.last_rate;
        Some(last.start_ns + seconds * 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    fn piece(seconds: u64, rate: f64, ramp_to: f64) -> Piece {
        Piece { length: Span::from_nanos(seconds * 1_000_000_000), rate, ramp_to }
    }

    #[test]
    fn the_cumulative_rate_is_inverted() {
        // 10 s at 2/s (20), a pause of 5 s, a ramp 0 -> 4 over 10 s (20), then 4 -> 0 (20).
        let pieces =
            [piece(10, 2.0, 2.0), piece(5, 0.0, 0.0), piece(10, 0.0, 4.0), piece(10, 4.0, 0.0)];
        let mut curve = RateCurve::new(&pieces, false).unwrap();
        for (expected, seconds) in [
            (0.5, 0.25),
            (20.0, 10.0),
            (25.0, 20.0), // 5 = 0.2 t^2: t = 5
            (40.0, 25.0),
            (55.0, 30.0), // 15 = 4 t - 0.2 t^2: t = 5
            (60.0, 35.0),
        ] {
            let got = curve.time_at_ns(expected).unwrap();
            assert!((got - seconds * 1e9).abs() < 1.0, "{expected}: {got}");
        }
        assert_eq!(curve.time_at_ns(60.1), None);
        assert!((curve.mean_rate_per_s() - 60.0 / 35.0).abs() < 1e-12);
    }

    #[test]
    fn the_last_rate_holds_where_asked() {
        let mut curve = RateCurve::new(&[piece(10, 1.0, 3.0)], true).unwrap();
        assert_eq!(curve.time_at_ns(26.0), Some(12e9));
        let mut curve = RateCurve::new(&[piece(10, 3.0, 0.0)], true).unwrap();
        assert_eq!(curve.time_at_ns(26.0), None);
    }
}
