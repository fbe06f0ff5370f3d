//! What a run says: its figures, the verdict on the promise, energy and cost, assertions on them.
//! `report`, `view` and `playground` show it; `runner` makes it.

pub mod assertion;
mod disaggregation;
pub mod energy;
pub mod features;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod fixture;
mod kv_tiers;
pub mod measured;
mod routing;
mod run;
mod session_times;
mod session_tokens;
mod sessions;
pub mod stated;

pub use assertion::{Assertion, AssertionError};
pub use disaggregation::{
    ColocatedResult, Decider, DisaggregationResult, SideResult, TakenTime, TtftStages,
};
pub use features::FeatureUse;
pub use kv_tiers::{KvTiersResult, TierResult};
pub use measured::{GapBounds, MeasuredDeadlines, MeasuredResult, Plots, RequestProgress};
pub use routing::{RouteCounts, RoutedToCaches, RoutingResult};
pub use run::{
    ClassResult, Cost, Energy, Fairness, Found, Inert, IterationResult, KvResult, PoolResult,
    PoolServed, ResultFile, RunResult, SCHEMA_VERSION, StallsResult, Tool,
};
pub use session_times::{Level, concurrent, working_set};
pub use session_tokens::{Fate, Fates, fates};
pub use sessions::{
    HitsBySource, KvFacts, Levels, MissedTokens, SessionsResult, TokenDistribution, TurnsResult,
};
