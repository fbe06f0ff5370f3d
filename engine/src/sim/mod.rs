//! The simulator: clock, replicas, and what a run leaves behind.

mod apart;
mod balance;
mod caches;
mod calendar;
mod capacity;
mod engine;
mod flights;
mod front_end;
mod hand_over;
mod host_copies;
mod lane;
mod live;
mod lockstep;
mod outcome;
mod own_tokens;
mod part;
mod pipeline;
mod planner;
mod progress;
mod replay;
mod reports;
mod reserved;
mod server;
mod tally;
mod told;
mod turns;
mod watched;

pub use crate::replica::Scheduled;
pub use engine::{SimError, SimOptions, ToldOfTheEnded, play_fleet};
pub use front_end::{BehindFrontEnd, FrontEnd};
pub use hand_over::LinkUse;
pub use live::{Coming, Live};
pub use outcome::*;
pub use replay::{Replay, ReplayRequest, ReplayTransfer, ReplayTransfers, StepRecord, Transferred};
pub use told::Told;
