//! The promise to users. What is promised: an [`Slo`] to some requests, [`Promises`] to all of them
//! and to their classes. What became of it: a [`Verdict`] with its [`Term`]s, and how far it was from
//! being kept, a [`Shortfall`]. In between stand the deadlines of single tokens, which
//! [`metrics`](crate::metrics) judges by; [`JudgedBy`] tells which they were.
//!
//! How a file writes a promise is `scenario::raw`'s; how a command line gives one for a measured file,
//! [`interop`](crate::interop)'s. Both end here.

mod judge;
pub mod judged_by;
mod shortfall;
mod slo;
mod verdict;
mod words;

pub use judge::{judge, no_verdict};
pub use judged_by::JudgedBy;
pub use shortfall::Shortfall;
pub use slo::{
    BOUNDED, Bound, DEFAULT_FLUIDITY, DEFAULT_SLACK, DEFAULT_TBT, Promises, Slo, TtftDeadline,
};
pub use verdict::{FLUID_SHARE, KEPT_SHARE, Sense, Term, Verdict, all_met};
