//! What a walk along a request's way tells whoever follows it.

use super::cause::Split;
use super::chain::Seen;
use crate::ids::{IterationNo, LaneId};
use crate::time::Time;
use crate::trace::{ChunkAt, Run};

/// The time before one token that is not the later decode step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The token's number, from 0.
    pub token: u32,
    /// The token before, or the arrival.
    pub from: Time,
    /// The token.
    pub to: Time,
    /// Where the time went.
    pub split: Split,
}

impl Gap {
    /// The nanoseconds that it may take: `first` for a first token (not judged for `None`), `tbt`
    /// for later ones.
    pub(super) fn pace(&self, first: Option<u64>, tbt: u64) -> Option<u64> {
        if self.token == 0 { first } else { Some(tbt) }
    }
}

/// A stretch of iterations that a request spent waiting for what others hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// From the start of this iteration.
    pub from: IterationNo,
    /// To the start of this one.
    pub to: IterationNo,
    /// Whether it had been preempted: then it waits for memory whatever the queue's head is told.
    pub preempted: bool,
}

/// What a walk comes by. All of a gap's parts are told before the gap is.
pub trait Visit {
    /// Whether the causes of a gap are told with it as far as it decoded in every decode step:
    /// finding them is most of a walk, and [`decoding`](Visit::decoding) tells of these stretches
    /// too.
    const DECODE_STEPS: bool = true;

    /// What follows happened in this lane, up to the next that is told; at first all did in that of the
    /// request.
    fn leg(&mut self, _lane: LaneId) {}
    /// A gap that is told by itself.
    fn gap(&mut self, _gap: &Gap) {}
    /// The later decode steps of a run: the token numbered `token` is that of the run's second
    /// decode step.
    fn decode_steps(&mut self, _token: u32, _run: Run) {}
    /// It decoded, or could have, from the tokens of one iteration to those of another; `in_batch`
    /// when it was in every decode step between.
    fn decoding(&mut self, _lane: LaneId, _from: IterationNo, _to: IterationNo, _in_batch: bool) {}
    /// It decoded in an iteration of another lane than before, of which it saw so much; what it waited
    /// for before is nobody's.
    fn joined(&mut self, _lane: LaneId, _iteration: IterationNo, _seen: Seen) {}
    /// One of its chunks was computed, and it saw so much of the iteration.
    fn chunk(&mut self, _at: ChunkAt, _seen: Seen) {}
    /// It waited for stage 0 of a pipeline, from the end of the iteration before this one to its
    /// start, and did not decode.
    fn stage_0(&mut self, _lane: LaneId, _iteration: IterationNo) {}
    /// It waited.
    fn wait(&mut self, _wait: Wait) {}
    /// It arrived while the iteration before `first` ran, which took `in_flight` from then on, and
    /// the iterations from `first` up to `seen` were planned without it.
    fn unseen(&mut self, _first: IterationNo, _seen: IterationNo, _in_flight: u64) {}
    /// Its prefill was passed over in these iterations.
    fn passed_over(&mut self, _from: IterationNo, _to: IterationNo) {}
    /// It computed for so long what its session had said and what had gone from the cache.
    fn evicted(&mut self, _ns: u64) {}
    /// It computed anew for so long what was lost in the preemption before iteration `preempted`.
    fn recomputed(&mut self, _preempted: IterationNo, _ns: u64) {}
}
