//! Users who wait for an answer, think, and ask again.

use crate::request::{Request, RequestId};
use crate::time::Time;

use super::{Arriving, Limits, Warning, WorkloadError, WorkloadSpec};

/// A source of requests that depends on the answers: `users` each send their next request
/// `think_time` after the last token of their answer.
///
/// All users send their first request at time 0, in user order; at one instant the lower user
/// comes first. A clone of a fresh source plays the same requests again, so one serves every
/// scheduler of a scenario; arrival times then differ from scheduler to scheduler, lengths by
/// user and turn do not.
#[derive(Clone, Debug)]
pub struct ClosedLoop {}

impl ClosedLoop {
    /// A closed loop from a description that asks for one.
    ///
    /// # Errors
    /// When the arrivals are not a closed loop, when nothing bounds them, and as
    /// [`draw`](super::draw).
    pub fn new(
        _spec: &WorkloadSpec,
        _seed: u64,
        _limits: Limits,
    ) -> Result<ClosedLoop, WorkloadError> {
        todo!()
    }

    /// What a user should know about the files that were read.
    pub fn warnings(&self) -> &[Warning] {
        &[]
    }
}

impl Arriving for ClosedLoop {
    fn next_arrival(&self) -> Option<Time> {
        todo!()
    }

    fn take(&mut self) -> Request {
        todo!()
    }

    fn finished(&mut self, _request: RequestId, _at: Time) {
        todo!()
    }

    fn block_ids(&self) -> &[u64] {
        todo!()
    }

    fn block_tokens(&self) -> u32 {
        todo!()
    }

    fn classes(&self) -> &[String] {
        todo!()
    }
}
