//! The simulator: clock, replicas, and what a run leaves behind.

mod apart;
mod calendar;
mod capacity;
mod engine;
mod fleet;
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
pub use engine::{SimError, SimOptions, play, play_fleet};
pub use fleet::{FleetSetup, MakeScheduler, PoolSetup, Setup};
pub use outcome::*;
pub use replay::{Replay, ReplayRequest, StepRecord};
pub use router::{ClassPools, RouteDecision, RouteReason, Router, Routing};
