//! The simulator: clock, replicas, and what a run leaves behind.

mod outcome;
mod replay;

pub use crate::replica::Scheduled;
pub use outcome::*;
pub use replay::{Replay, ReplayRequest, StepRecord};
