//! The simulator: clock, replicas, and what a run leaves behind.

mod apart;
mod engine;
mod lane;
mod outcome;
mod part;
mod pipeline;
mod planner;
mod replay;
mod router;
mod server;
mod tally;

pub use crate::replica::Scheduled;
pub use engine::{MakeScheduler, Setup, SimError, SimOptions, play};
pub use outcome::*;
pub use replay::{Replay, ReplayRequest, StepRecord};
pub use router::{ClassPools, RouteDecision, RouteReason, Router, Routing};
