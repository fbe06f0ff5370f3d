//! Whose the KV blocks of a replica are while an iteration runs.

use std::ops::Range;

use super::hold::Holding;
use super::{Index, Tables};
use crate::ids::{IterationNo, LaneId};
use crate::request::RequestId;
use crate::time::Time;

/// Why a request holds blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldFor {
    /// It has a seat.
    Seat,
    /// Another replica fetches them.
    Fetch,
    /// Its KV is on the way, or has come and waits for a seat.
    Arrival,
}

/// Blocks of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBlocks {
    /// Whose.
    pub request: RequestId,
    /// How many.
    pub blocks: u32,
    /// Of these, found in a cache when it was admitted: others may hold the same ones.
    pub found: u32,
    /// Why.
    pub held_for: HeldFor,
}

impl Index<'_> {
    /// Who holds blocks of a lane's replica while each iteration of a stretch runs, in order of their numbers.
    /// Nobody where the lanes of a replica are turns of one running list.
    pub fn held(&self, lane: LaneId, stretch: Range<IterationNo>) -> Vec<Vec<HeldBlocks>> {
        let columns = &self.lanes[lane.index()];
        let lists = self.holders(lane).at_each(columns, stretch.clone());
        let (beside, arrivals) = match columns.pool.by_turns {
            true => (Vec::new(), Vec::new()),
            false => {
                let lanes = self.trace().lanes_beside(lane);
                let lanes = (lanes.start.0..lanes.end.0).map(LaneId);
                (lanes.filter(|&other| other != lane).collect(), arrivals(self, lane))
            }
        };
        let each = lists.into_iter().zip(IterationNo::each(stretch)).map(|(list, number)| {
            let mut all: Vec<HeldBlocks> = list.into_iter().map(HeldBlocks::from).collect();
            let at = columns.log.at(number).decided;
            let there = arrivals.iter().filter(|one| one.begun <= at && at < one.over);
            let known = all.len();
            for Arrival { held, .. } in there {
                if all[..known].binary_search_by_key(&held.request, |one| one.request).is_err() {
                    all.push(*held);
                }
            }
            all.extend(beside.iter().flat_map(|&other| self.held_at(other, at)));
            all.sort_by_key(|held| held.request);
            all
        });
        each.collect()
    }

    /// Who holds blocks by way of another lane of the replica at an instant.
    fn held_at(&self, lane: LaneId, at: Time) -> Vec<HeldBlocks> {
        let columns = &self.lanes[lane.index()];
        let formed = columns.log.partition_point(|iteration| iteration.decided <= at);
        if formed == IterationNo::FIRST {
            return Vec::new();
        }
        let number = formed.back(1);
        let lists = self.holders(lane).at_each(columns, number..formed);
        let held = lists.into_iter().flatten().map(HeldBlocks::from);
        let trace = self.trace();
        held.filter(|one| trace.stay(&trace.requests[one.request.index()]).to > at).collect()
    }
}

impl From<Holding> for HeldBlocks {
    fn from(holding: Holding) -> HeldBlocks {
        let Holding { request, blocks, found, seated } = holding;
        let held_for = if seated { HeldFor::Seat } else { HeldFor::Fetch };
        HeldBlocks { request, blocks, found, held_for }
    }
}

/// Blocks of a request whose KV is on its way, or has come and waits for a seat.
struct Arrival {
    begun: Time,
    /// When the batch was formed that took it over, or it left.
    over: Time,
    held: HeldBlocks,
}

/// All that came to a lane.
fn arrivals(tables: &Tables<'_>, lane: LaneId) -> Vec<Arrival> {
    let (trace, columns) = (tables.trace(), &tables.lanes[lane.index()]);
    let block_tokens = columns.pool.memory.block_tokens.max(1);
    // Its first batch from then on takes it over.
    let over = |request: RequestId, landed: Time| {
        let chunks = tables.places.chunks_on(request, lane).iter();
        let mut begun = chunks.map(|at| columns.log.at(at.iteration));
        let first = begun.find(|iteration| iteration.start >= landed);
        let leaves = trace.stay(&trace.requests[request.index()]).to;
        first.map_or(leaves, |first| first.decided)
    };
    let handed = trace.hand_overs.iter().filter(|hand| trace.lanes_beside(hand.to).contains(&lane));
    let handed = handed.map(|hand| Arrival {
        begun: hand.begun,
        over: over(hand.request, hand.landed),
        held: HeldBlocks {
            request: hand.request,
            blocks: hand.blocks,
            found: 0,
            held_for: HeldFor::Arrival,
        },
    });
    let loads = trace.kv_loads.iter().filter(|load| load.lane == lane && load.tokens > 0);
    let loads = loads.map(|load| Arrival {
        begun: load.taken,
        over: over(load.request, load.landed),
        held: HeldBlocks {
            request: load.request,
            blocks: (load.context + load.tokens).div_ceil(block_tokens),
            found: load.context / block_tokens,
            held_for: HeldFor::Arrival,
        },
    });
    handed.chain(loads).collect()
}
