//! A smooth maximum, tabulated.

use crate::cost::table::RealTable;

/// `(a^p + b^p)^(1/p)`, tabulated by the ratio of both.
#[derive(Clone, Debug)]
pub(super) struct Bend(RealTable);

impl Bend {
    pub(super) fn new(knee: f64) -> Bend {
        Bend(RealTable::new(1.0, 1024, |x| libm::pow(1.0 + libm::pow(x, knee), 1.0 / knee)))
    }

    #[inline]
    pub(super) fn of(&self, a: f64, b: f64) -> f64 {
        let (large, small) = if a > b { (a, b) } else { (b, a) };
        if small <= 0.0 { large } else { large * self.0.get(small / large) }
    }
}
