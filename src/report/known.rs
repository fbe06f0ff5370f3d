//! What is known of a figure: the least and the most that it can be.

use crate::metrics::{Bounds, Distribution, Latency, Summary};

/// The least and the most that a figure can be; one and the same where it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) least: Option<f64>,
    pub(super) most: Option<f64>,
    /// Whether it may be ranked: not where its own file contradicts it.
    pub(super) sound: bool,
}

impl From<f64> for Known {
    fn from(value: f64) -> Known {
        Known { least: Some(value), most: Some(value), sound: true }
    }
}

impl From<Bounds> for Known {
    fn from(of: Bounds) -> Known {
        Known { least: Some(of.lower), most: Some(of.upper), sound: true }
    }
}

impl Known {
    /// The value, or its bounds where there is none.
    pub(super) fn or_within(value: Option<f64>, bounds: Option<Bounds>) -> Option<Known> {
        value.map(Known::from).or_else(|| bounds.map(Known::from))
    }

    /// One figure of a latency.
    pub(super) fn of_latency(
        summary: &Summary,
        latency: Latency,
        figure: impl Fn(&Distribution) -> Option<f64>,
    ) -> Option<Known> {
        let (least, most) = summary.within(latency, figure);
        (least.is_some() || most.is_some()).then_some(Known { least, most, sound: true })
    }

    /// The same, as no more than an upper bound.
    pub(super) fn no_more(self) -> Known {
        Known { least: None, ..self }
    }

    /// The same, as no more than a lower bound.
    pub(super) fn no_less(self) -> Known {
        Known { most: None, ..self }
    }

    /// Whether it is known to the last digit.
    pub(super) fn is_exact(self) -> bool {
        self.least.is_some() && self.least == self.most
    }

    /// Whether it is 0 and nothing else.
    pub(super) fn is_zero(self) -> bool {
        let zero = |bound: Option<f64>| bound.is_none_or(|bound| bound == 0.0);
        zero(self.least) && zero(self.most)
    }
}
