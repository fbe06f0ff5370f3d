//! What a run says: its figures, the promise term by term, energy and cost, assertions on them, and how
//! numbers are written. `report`, `view` and `playground` show it; `runner` makes it.

pub mod assertion;
pub mod energy;
pub mod features;
#[cfg(test)]
pub(crate) mod fixture;
pub mod judged_by;
pub mod measured;
mod run;
pub mod slo;
pub mod stated;
pub mod units;

pub use assertion::{Assertion, AssertionError};
pub use features::FeatureUse;
pub use judged_by::JudgedBy;
pub use measured::{GapBounds, MeasuredDeadlines, MeasuredResult, Plots, RequestProgress};
pub use run::{
    ClassResult, Cost, Energy, Fairness, Found, Inert, IterationResult, KvResult, PoolResult,
    ResultFile, RunResult, SCHEMA_VERSION, Sense, SloResult, SloTerm, StallsResult, Tool, all_met,
};
