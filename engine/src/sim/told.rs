//! What a run tells as it goes: tokens when they are there, instead of a trace in the end.

use super::Rejection;
use crate::request::RequestId;
use crate::time::Time;

/// Something that a client is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A step brought a request tokens, more than one where drafts were accepted.
    Tokens {
        /// Whose.
        request: RequestId,
        /// When they are there.
        at: Time,
        /// How many; at least one.
        count: u32,
        /// Whether the answer ends with them.
        last: bool,
    },
    /// A request gets no answer, or no more of it.
    Rejected {
        /// Which.
        request: RequestId,
        /// When.
        at: Time,
        /// Why.
        why: Rejection,
    },
}

/// Collects what is to be told.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// By request: tokens that are still to be told.
    left: Vec<u32>,
    /// Whose token on its way was thrown away.
    thrown_away: Vec<RequestId>,
    told: Vec<Told>,
}

impl Telling {
    /// A request has arrived, whose whole answer has so many tokens.
    pub(super) fn arrive(&mut self, output_tokens: u32) {
        self.left.push(output_tokens);
    }

    /// A request goes on elsewhere, where its whole answer has so many tokens; none was told yet.
    pub(super) fn hand_over(&mut self, request: RequestId, output_tokens: u32) {
        self.left[request.index()] = output_tokens;
    }

    /// The token that the step in flight brings a request does not count.
    pub(super) fn throw_away(&mut self, request: RequestId) {
        self.thrown_away.push(request);
    }

    /// A step brought a request so many tokens; what it computes beyond the end of an answer that
    /// nobody foresaw is nothing.
    pub(super) fn bring(&mut self, request: RequestId, at: Time, count: u32) {
        if let Some(place) = self.thrown_away.iter().position(|&other| other == request) {
            self.thrown_away.swap_remove(place);
            return;
        }
        let left = &mut self.left[request.index()];
        let count = count.min(*left);
        if count > 0 {
            *left -= count;
            self.told.push(Told::Tokens { request, at, count, last: *left == 0 });
        }
    }

    /// A request is rejected.
    pub(super) fn reject(&mut self, request: RequestId, at: Time, why: Rejection) {
        self.left[request.index()] = 0;
        self.told.push(Told::Rejected { request, at, why });
    }

    /// What was collected since the last call.
    pub(super) fn take(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }
}
