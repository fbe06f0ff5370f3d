//! Controllers: who changes the fleet while it serves.
//!
//! A router is asked when a request arrives; a controller is asked at times of its own, after all
//! else that happens at that instant. None of those built in acts yet: a fleet is what its scenario
//! says, from the beginning to the end.

use super::view::FleetView;
use crate::time::Time;

/// A controller at work.
pub trait Controller: Send {
    /// When it wants to be asked next, later than when it was asked last; `None` for never again.
    fn next(&self) -> Option<Time>;

    /// What it wants done now, in order.
    fn tick(&mut self, now: Time, fleet: &FleetView<'_>) -> Vec<Action>;
}

/// Makes the controllers of a run, each new.
pub type MakeControllers<'a> = dyn Fn() -> Vec<Box<dyn Controller>> + Sync + 'a;

/// What a controller can do to the fleet: nothing as yet, so there is no value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {}
