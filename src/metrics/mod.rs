//! Fluidity and the conventional latency metrics, for simulated and measured traces alike.

mod curve;
mod deadline;
mod options;
mod summary;

pub use curve::{CurveError, PrefillCurve};
pub use deadline::{DeadlineError, Deadlines, FirstToken};
pub use options::{Count, Knowledge, Options, RequestBounds};
pub use summary::{
    ArrivalRate, Distribution, Fluidity, FluidityIndex, Goodput, RequestCounts, Summary,
    Throughput, TokenCounts,
};

use crate::trace::TokenTrace;

/// Every metric of the requests that `options` count.
pub fn evaluate(_trace: &TokenTrace, _options: &Options) -> Summary {
    unimplemented!("follows in the next commit")
}
