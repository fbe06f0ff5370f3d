//! Stalls, with where their culprits stand in the timeline.

use serde::Serialize;

use crate::explain::{ByCause, Cause, CulpritReport, Index, StallReport};
use crate::ids::LaneId;
use crate::request::RequestId;
use crate::time::Time;

/// Culprits told of one stall.
const CULPRITS_TOLD: usize = 6;
/// Iterations marked for one culprit.
const MARKED: usize = 40;

/// A stall.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StallView {
    /// Whose text.
    pub request: RequestId,
    /// Its lane; see [`super::LaneView::lane`].
    #[serde(rename = "replica")]
    pub lane: LaneId,
    /// The late token's number, from 0.
    pub token: u32,
    /// Whether it had still not come when observation ended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// The token before, or the arrival.
    pub from_us: u64,
    /// The late token.
    pub to_us: u64,
    /// Its length.
    pub length_ns: u64,
    /// Beyond the deadline's pace.
    pub beyond_ns: u64,
    /// Requests that it hit, this one included.
    pub requests_hit: u32,
    /// The cause to look at.
    pub main_cause: Cause,
    /// Where the time went.
    pub causes_ns: ByCause,
    /// Who caused it, most first; the largest few.
    pub culprits: Vec<CulpritPlaces>,
    /// How many more there were.
    pub culprits_more: usize,
    /// Their part, all together.
    pub culprits_more_ns: u64,
}

/// A request's part in a stall, and where it did it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CulpritPlaces {
    /// Who, by what, for how long.
    #[serde(flatten)]
    pub part: CulpritReport,
    /// Its lane, another one than the victim's where lanes of a pipeline stand in each other's way.
    pub lane: LaneId,
    /// That lane's iterations within the stall that prefilled it: start and end, microseconds.
    pub iterations_us: Vec<(u64, u64)>,
}

pub(super) fn stall_view(index: &Index<'_>, stall: &StallReport) -> StallView {
    let told = stall.culprits.len().min(CULPRITS_TOLD);
    let (culprits, more) = stall.culprits.split_at(told);
    let within = (Time::from_nanos(stall.from_ns), Time::from_nanos(stall.to_ns));
    let places = |culprit: &CulpritReport| {
        let (lane, iterations_us) = prefills(index, culprit.request, within);
        CulpritPlaces { part: culprit.clone(), lane, iterations_us }
    };
    StallView {
        request: stall.request,
        lane: index.lane(stall.request),
        token: stall.token,
        open: stall.open,
        from_us: stall.from_ns / 1000,
        to_us: stall.to_ns / 1000,
        length_ns: stall.length_ns,
        beyond_ns: stall.beyond_ns,
        requests_hit: stall.requests_hit,
        main_cause: stall.main_cause,
        causes_ns: stall.causes_ns.clone(),
        culprits: culprits.iter().map(places).collect(),
        culprits_more: more.len(),
        culprits_more_ns: more.iter().map(|culprit| culprit.ns).sum(),
    }
}

/// The iterations that prefilled a request between two times, of one lane: the last one's where turns
/// spread a prompt over several.
fn prefills(
    index: &Index<'_>,
    request: RequestId,
    (from, to): (Time, Time),
) -> (LaneId, Vec<(u64, u64)>) {
    let last = index.chunk_before(request, to);
    let lane = last.map_or_else(|| index.lane(request), |at| at.lane);
    let Some(log) = index.recording.log.get(lane.index()) else {
        return (lane, Vec::new());
    };
    let first = log.partition_point(|i| i.end <= from);
    let last = log.partition_point(|i| i.start < to).max(first);
    let iterations = log
        .range(first..last)
        .filter(|i| i.chunks.iter().any(|chunk| chunk.request == request))
        .take(MARKED)
        .map(|i| (i.start.as_nanos() / 1000, i.end.as_nanos() / 1000))
        .collect();
    (lane, iterations)
}
