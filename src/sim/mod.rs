//! The simulator: clock, replicas, and what a run leaves behind.

mod engine;
mod lane;
mod outcome;
mod pipeline;
mod planner;
mod replay;
mod router;
mod server;
mod tally;

pub use crate::replica::Scheduled;
pub use engine::{Setup, SimError, SimOptions, play};
pub use outcome::*;
pub use replay::{Replay, ReplayRequest, StepRecord};
pub use router::{RouteDecision, RouteReason, Router, Routing};
