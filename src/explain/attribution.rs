//! Every gap of a run, split; and sums over them.

use std::sync::OnceLock;

use super::bubble::Bubbles;
use super::cause::{Cause, Split};
use super::hold::Holders;
use super::lane::LaneColumns;
use super::line::Line;
use super::recording::Recording;
use super::walk::{Gap, Places, Visit, Walk};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{Run, TokenTrace};

/// A run whose every nanosecond is accounted for.
pub struct Attribution<'a> {
    /// What was attributed.
    pub recording: Recording<'a>,
    pub(super) lanes: Vec<LaneColumns<'a>>,
    pub(super) places: Places,
    /// Who stood behind the head of each replica's queue.
    pub(super) lines: Vec<Line>,
    holders: Vec<OnceLock<Holders>>,
    bubbles: OnceLock<Vec<Bubbles>>,
}

/// A request's time, or a run's, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// From arrival to first token.
    pub first_token: Split,
    /// Between tokens, all gaps together.
    pub between_tokens: Split,
}

impl Totals {
    /// Both.
    pub fn all(&self) -> Split {
        self.first_token + self.between_tokens
    }
}

impl<'a> Attribution<'a> {
    /// Sums up the iterations. Costs by iterations and chunks, not by tokens.
    pub fn new(recording: Recording<'a>) -> Attribution<'a> {
        let lanes: Vec<LaneColumns<'a>> = recording
            .log
            .iter()
            .enumerate()
            .map(|(lane, log)| LaneColumns::new(log, *recording.pool(lane), recording.trace.end))
            .collect();
        let mut places = Places::new(&recording, &lanes);
        let lines: Vec<Line> = lanes
            .iter()
            .zip(0..)
            .map(|(lane, index)| Line::new(&recording, lane, &mut places, index))
            .collect();
        let holders = lanes.iter().map(|_| OnceLock::new()).collect();
        let bubbles = OnceLock::new();
        Attribution { recording, lanes, places, lines, holders, bubbles }
    }

    /// Who held and ran what on a replica; worked out when it is first asked for.
    pub(super) fn holders(&self, replica: u32) -> &Holders {
        self.holders[replica as usize].get_or_init(|| Holders::new(self, replica))
    }

    /// Whose prefill made the bubbles of a lane; worked out for all lanes when it is first asked for.
    /// `None` where no other lane shares the replica.
    pub(super) fn bubbles(&self, lane: usize) -> Option<&Bubbles> {
        let of_all = || Bubbles::of_all(self);
        self.lanes[lane].staged.then(|| &self.bubbles.get_or_init(of_all)[lane])
    }

    /// What an iteration of a lane was made of, in nanoseconds by cause.
    pub fn parts(&self, replica: usize, iteration: usize) -> Vec<(Cause, u64)> {
        self.lanes[replica].parts(iteration as u32)
    }

    /// The last of a request's chunks whose iteration started before `before`, as the place of
    /// that iteration in the log of its replica.
    pub fn chunk_before(&self, request: RequestId, before: Time) -> Option<usize> {
        let lane = self.lane_of(request);
        let chunks = self.places.chunks(request);
        let after = chunks.partition_point(|&(index, _)| lane.log.start(index as usize) < before);
        after.checked_sub(1).map(|place| chunks[place].0 as usize)
    }

    /// The lane of a request, among those of all replicas: its place in the log.
    pub fn lane_index(&self, request: RequestId) -> usize {
        self.places.lane(request)
    }

    /// KV blocks held at each iteration of a replica, summed over those who hold them; blocks that
    /// several share are counted for each.
    pub fn blocks_held(&self, replica: u32) -> &[u64] {
        &self.holders(replica).blocks
    }

    /// The trace.
    pub fn trace(&self) -> &'a TokenTrace {
        self.recording.trace
    }

    /// Every request, in order.
    pub fn requests(&self) -> std::ops::Range<RequestId> {
        0..self.trace().requests.len() as RequestId
    }

    /// Walks one request.
    pub fn walk(&self, request: RequestId, visit: &mut impl Visit) {
        self.walker(request).go(visit);
    }

    fn walker(&self, request: RequestId) -> Walk<'_> {
        Walk::new(self.trace(), &self.lanes, &self.places, request)
    }

    /// A request's time by cause: a few differences, however many tokens it has.
    pub fn totals_of(&self, request: RequestId) -> Totals {
        let mut totals = Totals::default();
        self.walk(request, &mut Sum { lane: self.lane_of(request), totals: &mut totals });
        totals
    }

    /// All requests' time by cause.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let none = |lane: &LaneColumns<'_>| vec![0; lane.log.len() + 1];
        let mut decoding: Vec<Vec<i32>> = self.lanes.iter().map(none).collect();
        for request in self.requests() {
            let decoding = &mut decoding[self.places.lane(request)];
            self.walk(request, &mut SumOfAll { decoding, totals: &mut totals });
        }
        for (lane, decoding) in self.lanes.iter().zip(&decoding) {
            lane.decoding_of_all(decoding, &mut totals.between_tokens);
        }
        totals
    }

    /// The gap before one token (0 is the first), or `None` when there is no such token. The gap that
    /// was open when observation ended is that before the next token.
    pub fn gap(&self, request: RequestId, token: u32) -> Option<Gap> {
        let mut found = Found { attribution: self, request, token, gap: None };
        self.walk(request, &mut found);
        found.gap
    }

    /// Every gap of a request, expanded, the open one too: for tests and for a single request's story.
    pub fn gaps(&self, request: RequestId) -> Vec<Gap> {
        let mut all = All { attribution: self, request, gaps: Vec::new() };
        self.walk(request, &mut all);
        all.gaps
    }

    pub(super) fn lane_of(&self, request: RequestId) -> &LaneColumns<'a> {
        &self.lanes[self.places.lane(request)]
    }

    /// The gap that ends with entry `beat` of the beats of a request's lane, for a request that
    /// was in the beat before too.
    pub(super) fn beat_gap(&self, request: RequestId, token: u32, beat: u32) -> Gap {
        let lane = self.lane_of(request);
        let (before, at) = (lane.beats.at(beat as usize - 1), lane.beats.at(beat as usize));
        let split = lane.beat(beat as usize);
        let time = |index: u32| lane.log.end(index as usize);
        Gap { token, from: time(before), to: time(at), split }
    }
}

struct Sum<'s> {
    lane: &'s LaneColumns<'s>,
    totals: &'s mut Totals,
}

impl Visit for Sum<'_> {
    fn gap(&mut self, gap: &Gap) {
        match gap.token {
            0 => self.totals.first_token += gap.split,
            _ => self.totals.between_tokens += gap.split,
        }
    }

    fn beats(&mut self, _: u32, run: Run) {
        let beat = |place: u32| self.lane.beats.at(place as usize);
        let (first, last) = (beat(run.first), beat(run.first + run.len - 1));
        self.lane.decoding(first, last, &mut self.totals.between_tokens);
    }
}

/// Beats are counted for all requests together and looked at once.
struct SumOfAll<'s> {
    /// Row i: how many more requests decode across iteration i than across the one before.
    decoding: &'s mut [i32],
    totals: &'s mut Totals,
}

impl Visit for SumOfAll<'_> {
    const BEATS: bool = false;

    fn gap(&mut self, gap: &Gap) {
        match gap.token {
            0 => self.totals.first_token += gap.split,
            _ => self.totals.between_tokens += gap.split,
        }
    }

    fn decoding(&mut self, from: u32, to: u32, in_batch: bool) {
        if in_batch {
            self.decoding[from as usize + 1] += 1;
            self.decoding[to as usize + 1] -= 1;
        }
    }
}

struct Found<'f, 'a> {
    attribution: &'f Attribution<'a>,
    request: RequestId,
    token: u32,
    gap: Option<Gap>,
}

impl Visit for Found<'_, '_> {
    fn gap(&mut self, gap: &Gap) {
        if gap.token == self.token {
            self.gap = Some(*gap);
        }
    }

    fn beats(&mut self, token: u32, run: Run) {
        if (token..token + run.len - 1).contains(&self.token) {
            let beat = run.first + 1 + (self.token - token);
            self.gap = Some(self.attribution.beat_gap(self.request, self.token, beat));
        }
    }
}

struct All<'f, 'a> {
    attribution: &'f Attribution<'a>,
    request: RequestId,
    gaps: Vec<Gap>,
}

impl Visit for All<'_, '_> {
    fn gap(&mut self, gap: &Gap) {
        self.gaps.push(*gap);
    }

    fn beats(&mut self, token: u32, run: Run) {
        for k in 0..run.len - 1 {
            let beat = run.first + 1 + k;
            self.gaps.push(self.attribution.beat_gap(self.request, token + k, beat));
        }
    }
}

/// When a gap's causes are mostly others', the largest of theirs; otherwise the largest.
pub fn main_cause(split: &Split) -> Cause {
    split.main().unwrap_or(Cause::Own)
}

/// Whether two gaps lie in the same stretch of time, by half of the shorter one at least.
pub(super) fn overlap(a: (Time, Time), b: (Time, Time)) -> bool {
    let (from, to) = (a.0.max(b.0), a.1.min(b.1));
    let shorter = a.1.since(a.0).min(b.1.since(b.0)).as_nanos();
    to > from && to.since(from).as_nanos() * 2 >= shorter
}
