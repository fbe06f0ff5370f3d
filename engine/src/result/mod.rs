//! What a run says: its figures, the verdict on the promise, energy and cost, assertions on them.
//! `report`, `view` and `playground` show it; `runner` makes it.

pub mod assertion;
pub mod energy;
pub mod features;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod fixture;
pub mod measured;
mod run;
pub mod stated;

pub use assertion::{Assertion, AssertionError};
pub use features::FeatureUse;
pub use measured::{GapBounds, MeasuredDeadlines, MeasuredResult, Plots, RequestProgress};
pub use run::{
    ClassResult, Cost, Energy, Fairness, Found, Inert, IterationResult, KvResult, PoolResult,
    ResultFile, RunResult, SCHEMA_VERSION, StallsResult, Tool,
};
