//! The index of a run: built once, and asked by everything that explains it.

use std::ops::Deref;
use std::sync::OnceLock;

use super::bubble::Bubbles;
use super::hold::Holders;
use super::in_step;
use super::recording::Recording;
use super::tables::Tables;
use crate::ids::LaneId;

/// A run whose every nanosecond is accounted for. Totals, blame, victims, stalls and misses are
/// questions to it; none of them changes it.
pub struct Index<'a> {
    tables: Tables<'a>,
    holders: Vec<OnceLock<Holders>>,
    bubbles: OnceLock<Vec<Bubbles>>,
}

impl<'a> Index<'a> {
    /// Sums up the iterations. Costs by iterations and chunks, not by tokens.
    pub fn new(recording: Recording<'a>) -> Index<'a> {
        let tables = Tables::new(recording);
        let holders = tables.lanes.iter().map(|_| OnceLock::new()).collect();
        Index { tables, holders, bubbles: OnceLock::new() }
    }

    /// Who held and ran what on a lane; worked out when it is first asked for.
    pub(super) fn holders(&self, lane: LaneId) -> &Holders {
        self.holders[lane.index()].get_or_init(|| Holders::new(&self.tables, lane))
    }

    /// Whose prefill made the bubbles of a lane, or its waits for ranks that it steps with; worked out for
    /// all lanes when it is first asked for. `None` where there is no other lane beside it.
    pub(super) fn bubbles(&self, lane: LaneId) -> Option<&Bubbles> {
        let lane = lane.index();
        let of_all = || in_step::bubbles(&self.tables);
        let several = self.lanes[lane].staged || self.lanes[lane].in_step;
        several.then(|| &self.bubbles.get_or_init(of_all)[lane])
    }

    /// KV blocks held at each iteration of a lane, summed over those who hold them; blocks that
    /// several share are counted for each.
    pub fn blocks_held(&self, lane: LaneId) -> &[u64] {
        &self.holders(lane).blocks
    }
}

impl<'a> Deref for Index<'a> {
    type Target = Tables<'a>;

    fn deref(&self) -> &Tables<'a> {
        &self.tables
    }
}
