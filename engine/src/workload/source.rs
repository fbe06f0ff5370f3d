//! The seam between a workload and the simulator: requests in the order in which they arrive.

use crate::content::{Content, Ids, Origin};
use crate::request::{BlockIds, Request, RequestId};
use crate::time::Time;

use super::{SessionTurn, Workload, WorkloadError};

/// Requests as the simulator takes them, one by one. The k-th request taken has id k.
///
/// An open workload knows them all beforehand ([`Workload::arriving`]); a closed loop makes the
/// next ones out of the answers ([`ClosedLoop`](super::ClosedLoop)). Nothing here allocates per
/// request beyond the amortised growth of one table.
pub trait Arriving: Sync {
    /// All requests in order of arrival, where they are known beforehand; the index is the id.
    fn known(&self) -> Option<&[Request]> {
        None
    }

    /// When the next request arrives; `None` when no more will, unless a
    /// [`finished`](Self::finished) brings some.
    fn next_arrival(&self) -> Option<Time>;

    /// The request that [`next_arrival`](Self::next_arrival) told of. Requests that arrive at one
    /// instant keep their order.
    ///
    /// # Panics
    /// When there is none.
    fn take(&mut self) -> Request;

    /// Tells that `request` came to its end at `at`, the instant of its last token or of its
    /// rejection. Call it once for each request, before asking for arrivals after `at`.
    fn finished(&mut self, request: RequestId, at: Time);

    /// Tells that `request` was turned away at `at`, in place of [`finished`](Self::finished): it has no
    /// answer.
    fn turned_away(&mut self, request: RequestId, at: Time) {
        self.finished(request, at);
    }

    /// The error to end a run with when arrivals stopped only because there were too many.
    ///
    /// # Errors
    /// When a loop bounded by `duration` alone passed the most requests that a run can have.
    fn check_complete(&self) -> Result<(), WorkloadError> {
        Ok(())
    }

    /// The session of a request that was taken: requests of one session belong to one conversation.
    fn session(&self, request: RequestId) -> Option<u32>;

    /// Whether an answer can bring an arrival, so that nobody may run ahead of the others.
    fn answers_bring_arrivals(&self) -> bool {
        false
    }

    /// What the tokens of a taken request are, as far as others can have the same ones.
    fn content(&self, request: RequestId) -> Content;

    /// What each request that was taken is to its session, by request; empty where none are turns of
    /// sessions.
    fn session_turns(&self) -> Vec<SessionTurn> {
        Vec::new()
    }

    /// The number of a taken request in the whole run, by which its luck is drawn.
    fn number(&self, request: RequestId) -> RequestId {
        request
    }

    /// Class names; at least one.
    fn classes(&self) -> &[String];
}

/// Tokens of a request that its content ids cover: of its prompt, and where ids `cover_answers` of
/// its answer too.
pub(super) fn ids_cover(
    ids: BlockIds,
    id_tokens: u32,
    prompt_tokens: u32,
    cover_answers: bool,
) -> u32 {
    let all = ids.len.saturating_mul(id_tokens);
    if cover_answers { all } else { all.min(prompt_tokens) }
}

/// A cursor over the requests of a workload.
#[derive(Clone, Debug)]
pub struct OpenArrivals<'a> {
    workload: &'a Workload,
    next: usize,
}

impl Workload {
    /// Its requests from the first on.
    pub fn arriving(&self) -> OpenArrivals<'_> {
        OpenArrivals { workload: self, next: 0 }
    }

    /// What is known of the tokens of a request.
    pub fn origin(&self, request: RequestId) -> Origin {
        let place = self.blocks.get(request.index()).copied().unwrap_or_default();
        let turn = self.turns.get(request.index()).copied().unwrap_or_default();
        let prompt_tokens = self.requests[request.index()].prompt_tokens;
        let covers = ids_cover(place, self.block_tokens, prompt_tokens, self.ids_cover_answers);
        Origin {
            ids: Ids::of(&self.block_ids, place),
            covers,
            parent: turn.parent,
            own_is_met: turn.followed || covers > prompt_tokens,
        }
    }
}

impl Arriving for OpenArrivals<'_> {
    fn known(&self) -> Option<&[Request]> {
        Some(&self.workload.requests)
    }

    #[inline]
    fn next_arrival(&self) -> Option<Time> {
        self.workload.requests.get(self.next).map(|request| request.arrival)
    }

    #[inline]
    fn take(&mut self) -> Request {
        let request = self.workload.requests[self.next];
        self.next += 1;
        request
    }

    #[inline]
    fn finished(&mut self, _request: RequestId, _at: Time) {}

    fn session(&self, request: RequestId) -> Option<u32> {
        self.workload.sessions.get(request.index()).copied().flatten()
    }

    fn content(&self, request: RequestId) -> Content {
        let workload = self.workload;
        Content::of(request, workload.block_tokens, |id| workload.origin(id))
    }

    fn classes(&self) -> &[String] {
        &self.workload.classes
    }
}
