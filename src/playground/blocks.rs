//! Whose KV blocks are, iteration by iteration, as changes from one to the next.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use crate::explain::{HeldBlocks, HeldFor, Index};
use crate::ids::{IterationNo, LaneId};
use crate::request::RequestId;

/// Most changes of one answer; of more the first iterations are told.
const CHANGES_MAX: usize = 200_000;

/// Why a request holds blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    Seat,
    Fetch,
    Arrival,
}

/// What a request holds from an iteration on: blocks, of these found in a cache, and why. No blocks:
/// nothing any more.
pub(super) type Change = (RequestId, u32, u32, Why);

/// What has changed with each iteration of a stretch; with the first all that is held.
pub(super) fn changes(
    index: &Index<'_>,
    lane: LaneId,
    stretch: Range<IterationNo>,
) -> Vec<Vec<Change>> {
    let mut held: BTreeMap<RequestId, HeldBlocks> = BTreeMap::new();
    let (mut all, mut told) = (Vec::new(), 0);
    for now in index.held(lane, stretch) {
        let why = |one: &HeldBlocks| match one.held_for {
            HeldFor::Seat => Why::Seat,
            HeldFor::Fetch => Why::Fetch,
            HeldFor::Arrival => Why::Arrival,
        };
        let new = now.iter().filter(|one| held.get(&one.request) != Some(*one));
        let mut changes: Vec<Change> =
            new.map(|one| (one.request, one.blocks, one.found, why(one))).collect();
        let stays = |request| now.binary_search_by_key(&request, |one| one.request).is_ok();
        let gone = held.values().filter(|one| !stays(one.request));
        changes.extend(gone.map(|one| (one.request, 0, 0, why(one))));
        held = now.into_iter().map(|one| (one.request, one)).collect();
        told += changes.len();
        if told > CHANGES_MAX {
            break;
        }
        all.push(changes);
    }
    all
}
