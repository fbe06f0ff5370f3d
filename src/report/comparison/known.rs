//! What is known of a figure in the table.

use crate::metrics::{Bounds, Fluidity, FluidityBounds};
use crate::report::result::RunResult;

/// What is known of a figure: the least and the most that it can be.
#[derive(Clone, Copy, PartialEq)]
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
    pub(super) fn is_value(self) -> bool {
        self.least.is_some() && self.least == self.most
    }

    /// A figure of chunks that is no less, or no more, for the tokens in them.
    pub(super) fn at_most(value: f64) -> Known {
        Known { least: None, ..Known::from(value) }
    }

    pub(super) fn at_least(value: f64) -> Known {
        Known { most: None, ..Known::from(value) }
    }
}

/// A figure of fluidity, or its bounds.
pub(super) fn known(
    run: &RunResult,
    value: fn(&Fluidity) -> Option<f64>,
    bounds: fn(&FluidityBounds) -> Option<Bounds>,
) -> Option<Known> {
    let fluidity = run.summary.fluidity.as_ref()?;
    let within = || fluidity.bounds.as_ref().and_then(bounds).map(Known::from);
    value(fluidity).map(Known::from).or_else(within)
}

pub(super) fn fluid_tokens_per_s(run: &RunResult) -> Option<f64> {
    run.summary.fluidity.as_ref()?.fluid_tokens_per_s.filter(|rate| *rate != 0.0)
}

/// A figure as it stands, or as the bound that it is where a file tells of chunks. Where some chunks
/// are no token it is neither.
pub(super) fn by_chunks(run: &RunResult, value: f64, bound: fn(f64) -> Known) -> Known {
    match &run.measured {
        Some(measured) if measured.granularity == "chunk" => match measured.extra_chunks {
            true => Known { sound: false, ..Known::from(value) },
            false => bound(value),
        },
        _ => Known::from(value),
    }
}
