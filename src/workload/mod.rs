//! Workloads: which requests arrive when, and how long they are.

mod spec;

pub use spec::*;

use crate::request::Request;

/// All requests of a run, drawn or read before it starts, in order of arrival. Every scheduler of
/// a scenario faces the same ones. (A closed loop is drawn as it goes: see `ClosedLoop`.)
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
