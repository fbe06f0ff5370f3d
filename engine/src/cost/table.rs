//! Functions of one variable, tabulated, so that pricing needs no powers and no exponentials.

/// A function of a whole number: exact up to [`DENSE`], linear between knots up to [`LAST`].
///
/// Beyond, the caller evaluates the function itself. The functions tabulated are smooth, so
/// that the knots are off by less than 1 part in 10,000.
#[derive(Clone, Debug)]
pub(super) struct CountTable {
    dense: Vec<f64>,
    knots: Vec<f64>,
}

/// Up to here every value is stored.
pub(super) const DENSE: u64 = 1024;
/// Distance of the knots beyond.
const STEP: u64 = 32;
/// The last knot.
pub(super) const LAST: u64 = 32_768;

impl CountTable {
    pub(super) fn new(function: impl Fn(f64) -> f64) -> CountTable {
        let dense = (0..=DENSE).map(|n| function(n as f64)).collect();
        let knots = (DENSE..=LAST).step_by(STEP as usize).map(|n| function(n as f64)).collect();
        CountTable { dense, knots }
    }

    /// The value at `count`, or `None` beyond the last knot.
    pub(super) fn get(&self, count: u64) -> Option<f64> {
        if count <= DENSE {
            return Some(self.dense[count as usize]);
        }
        if count >= LAST {
            return None;
        }
        let beyond = count - DENSE;
        let knot = (beyond / STEP) as usize;
        let part = (beyond % STEP) as f64 * (1.0 / STEP as f64);
        let low = self.knots[knot];
        Some(low + (self.knots[knot + 1] - low) * part)
    }
}

/// A function of a real number on an interval from 0, linear between even knots, and constant
/// beyond.
#[derive(Clone, Debug)]
pub(super) struct RealTable {
    knots: Vec<f64>,
    /// Knots less one, where the table ends.
    last: f64,
    knots_per_unit: f64,
}

impl RealTable {
    pub(super) fn new(end: f64, intervals: u32, function: impl Fn(f64) -> f64) -> RealTable {
        let step = end / f64::from(intervals);
        let knots = (0..=intervals).map(|i| function(f64::from(i) * step)).collect();
        RealTable { knots, last: f64::from(intervals), knots_per_unit: f64::from(intervals) / end }
    }

    /// The value at `x`, which must be at least 0.
    #[inline]
    pub(super) fn get(&self, x: f64) -> f64 {
        let position = x * self.knots_per_unit;
        if position >= self.last {
            return self.knots[self.knots.len() - 1];
        }
        // Through i32: the conversion that processors have.
        let knot = position as i32;
        let part = position - f64::from(knot);
        let low = self.knots[knot as usize];
        low + (self.knots[knot as usize + 1] - low) * part
    }
}
