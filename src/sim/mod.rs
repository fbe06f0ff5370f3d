//! The simulator: clock, replicas, and what a run leaves behind.

mod outcome;

pub use outcome::*;
