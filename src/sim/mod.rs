//! The simulator: clock, replicas, and what a run leaves behind.

mod outcome;
mod replay;

pub use outcome::*;
pub use crate::replica::Scheduled;
pub use replay::{Replay, ReplayRequest, StepRecord};
