//! Who delayed a request in one iteration of which it saw a part: in a replica that works turn by turn
//! where it came to another lane, and in each chunk of its prompt.

use super::bubble::Bubbles;
use super::cause::Cause;
use super::chain::{Pricer, Seen, shares};
use super::lane::LaneColumns;
use crate::ids::{ChunkPlace, IterationNo};
use crate::request::RequestId;
use crate::trace::ChunkAt;

/// What a request saw of an iteration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub iteration: IterationNo,
    pub seen: Seen,
    /// The place of its own chunk, where it prefilled; otherwise it decoded.
    pub own: Option<ChunkPlace>,
}

/// Where the piece is, and what it is shared by.
pub(super) struct Shares<'p, 'a> {
    pub lane: &'p LaneColumns<'a>,
    pub pricer: &'p mut Pricer<'a>,
    /// Of the iteration's chunks.
    pub weights: &'p [u64],
    pub bubbles: Option<&'p Bubbles>,
}

impl Piece {
    /// One of a request's chunks.
    pub(super) fn chunk(at: ChunkAt, seen: Seen) -> Piece {
        Piece { iteration: at.iteration, seen, own: Some(at.place) }
    }

    /// An iteration in which it decoded.
    pub(super) fn joined(iteration: IterationNo, seen: Seen) -> Piece {
        Piece { iteration, seen, own: None }
    }

    /// Shares of others in it: prefill and communication among the other chunks of the iteration, waits
    /// between stages among those ahead, but for what was the `victim`'s own.
    pub(super) fn shares(
        self,
        victim: RequestId,
        by: Shares<'_, '_>,
        mut give: impl FnMut(RequestId, Cause, u64),
    ) {
        let Piece { iteration: number, seen, own } = self;
        let Shares { lane, pricer, weights, bubbles } = by;
        let iteration = lane.log.at(number);
        let others = iteration.chunks.len() - usize::from(own.is_some());
        if others > 0 {
            let (prefill, communication) = match own {
                Some(place) => {
                    let at = ChunkAt { iteration: number, place, ..ChunkAt::default() };
                    let others = lane.prefill(at).1.seen(seen).others;
                    (others, pricer.communication_of_others(&iteration, place))
                }
                None => {
                    let prefill = lane.decode_chain(number).seen(seen).prefill;
                    (prefill, pricer.communication_of_prefill(&iteration))
                }
            };
            let skip = own.map(ChunkPlace::index);
            let communication = seen.floor(communication);
            let causes =
                [(Cause::PrefillInterference, prefill), (Cause::Communication, communication)];
            for (cause, ns) in causes {
                shares(ns, weights, skip, |place, ns| {
                    give(iteration.chunks[place].request, cause, ns);
                });
            }
        }
        for share in bubbles.map_or(&[][..], |bubbles| bubbles.at(number)) {
            let ns = seen.floor(share.between);
            if ns > 0 && share.request != victim {
                give(share.request, lane.waits_for().unwrap_or(Cause::PipelineBubble), ns);
            }
        }
    }
}
