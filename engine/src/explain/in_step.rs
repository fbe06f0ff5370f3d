//! Whose prefill ranks that step together waited for.
//!
//! A step lasts as long as the batch of its slowest rank. Where that batch prefilled, its chunks share each
//! other rank's wait in proportion to what each took, and at most that; the rest, and waits for a rank that
//! only decoded, are nobody's.

use std::ops::Range;

use super::bubble::{Bubbles, Prefill, Share, prefills};
use super::chain::shares;
use super::lane::LaneColumns;
use super::tables::Tables;
use crate::ids::{IterationNo, LaneId};
use crate::time::Time;

/// The bubbles of every lane, in order: those of a pipeline, the waits of ranks that step together, and
/// nothing for lanes without others beside them.
pub(super) fn bubbles(tables: &Tables<'_>) -> Vec<Bubbles> {
    let lanes = &tables.lanes;
    let mut all = Vec::with_capacity(lanes.len());
    while all.len() < lanes.len() {
        let group = tables.lanes_beside(LaneId::at(all.len()));
        if lanes[all.len()].in_step {
            all.extend(shares_of(lanes, group));
            continue;
        }
        if group.end.since(group.start) == 1 {
            all.push(Bubbles::default());
            continue;
        }
        let prefills = prefills(lanes, group.clone());
        let of = |id: LaneId| Bubbles::new(&lanes[id.index()], id, &prefills);
        all.extend(LaneId::each(group).map(of));
    }
    all
}

/// Shares in the waits of each of the lanes of `group`, which step together.
fn shares_of(lanes: &[LaneColumns<'_>], group: Range<LaneId>) -> Vec<Bubbles> {
    let mut all: Vec<Bubbles> = LaneId::each(group.clone()).map(|_| Bubbles::default()).collect();
    let prefills = prefills(lanes, group.clone());
    for step in prefills.chunk_by(|one, other| one.start == other.start) {
        let start = step[0].start;
        let ranks: Vec<(LaneId, IterationNo)> = LaneId::each(group.clone())
            .filter_map(|id| Some((id, begun_at(&lanes[id.index()], start)?)))
            .collect();
        let waited =
            |&(id, number): &(LaneId, IterationNo)| lanes[id.index()].pipeline_waits(number).1;
        let Some(&slowest) = ranks.iter().min_by_key(|rank| waited(rank)) else { continue };
        let Some(prefill) = step.iter().find(|prefill| prefill.lane == slowest.0) else { continue };
        for rank in ranks.iter().filter(|rank| rank.0 != slowest.0) {
            let bubbles = &mut all[rank.0.index() - group.start.index()];
            share(bubbles, rank.1, waited(rank), prefill);
        }
    }
    all
}

/// The iteration of a lane that began then.
fn begun_at(lane: &LaneColumns<'_>, start: Time) -> Option<IterationNo> {
    let Range { start: mut low, end } = lane.log.numbers();
    let mut high = end;
    while low < high {
        let middle = IterationNo(low.0 + (high.0 - low.0) / 2);
        if lane.log.start(middle) < start {
            low = middle.next();
        } else {
            high = middle;
        }
    }
    (low < end && lane.log.start(low) == start).then_some(low)
}

fn share(bubbles: &mut Bubbles, iteration: IterationNo, waited: u64, prefill: &Prefill) {
    let took: Vec<u64> = prefill.chunks.iter().map(|piece| piece.ns).collect();
    let all = took.iter().fold(0, |sum: u64, &ns| sum.saturating_add(ns));
    shares(waited.min(all), &took, None, |place, between| {
        let (piece, began) = (&prefill.chunks[place], prefill.start);
        let (request, tokens) = (piece.request, piece.tokens);
        if between > 0 {
            bubbles.push(Share { iteration, request, tokens, began, stage_0: 0, between });
        }
    });
}
