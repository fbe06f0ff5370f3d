//! Workloads: which requests arrive when, and how long they are.
//!
//! [`draw`] makes every request of a run before it starts, from distributions or from a trace
//! file; [`ClosedLoop`] makes them as answers come. Both are [`Arriving`], which the simulator
//! polls. Every random value has a stream of its own, keyed by seed, purpose and request index, so
//! that `requests: N` is a prefix of `requests: 2N` and no option moves the draws of another.

mod closed_loop;
mod error;
mod source;
mod spec;

pub use closed_loop::ClosedLoop;
pub use error::{ErrorKind, Warning, WorkloadError};
pub use source::{Arriving, OpenArrivals};
pub use spec::*;

use crate::request::Request;

/// All requests of a run, drawn or read before it starts, in order of arrival. Every scheduler of
/// a scenario faces the same ones. (A closed loop is drawn as it goes: see [`ClosedLoop`].)
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// In order of arrival; the index is the request's id.
    pub requests: Vec<Request>,
    /// Content ids of prompt blocks; requests point into it.
    pub block_ids: Vec<u64>,
    /// Tokens that one content id stands for.
    pub block_tokens: u32,
    /// Class names; at least one.
    pub classes: Vec<String>,
    /// Arrivals a second as the scenario states them, where it does.
    pub nominal_rate_per_s: Option<f64>,
}

/// What a workload must know of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest prompt plus output; outputs are cut to it.
    pub max_model_len: u32,
    /// Tokens in one of the engine's KV blocks.
    pub kv_block_tokens: u32,
}

/// A workload, and what a user should know about how it came to be.
#[derive(Clone, Debug, Default)]
pub struct Drawn {
    /// The requests.
    pub workload: Workload,
    /// Ignored columns, rows sorted or left out, units assumed.
    pub warnings: Vec<Warning>,
}

/// Draws or reads all requests of a run; the same arguments give the same bytes on any machine.
///
/// # Errors
/// When the description cannot be followed (a closed loop among them: see [`ClosedLoop`]), and
/// when a file that it names cannot be read or is not what it should be.
pub fn draw(_spec: &WorkloadSpec, _seed: u64, _limits: Limits) -> Result<Drawn, WorkloadError> {
    todo!()
}
