//! The tables of a run: what every question about it starts from.

use std::ops::Range;

use super::cause::Cause;
use super::lane::LaneColumns;
use super::line::Line;
use super::recording::Recording;
use super::turn_walk::TurnWalk;
use super::walk::{Gap, Places, Visit, Walk};
use crate::ids::{DecodeStepNo, IterationNo, LaneId};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{ChunkAt, Run, TokenTrace};

/// The iterations of every lane, summed up, and where each request stands in them.
pub struct Tables<'a> {
    /// What is explained.
    pub recording: Recording<'a>,
    pub(super) lanes: Vec<LaneColumns<'a>>,
    pub(super) places: Places,
    /// Who stood behind the head of each replica's queue.
    pub(super) lines: Vec<Line>,
}

impl<'a> Tables<'a> {
    /// Sums up the iterations. Costs by iterations and chunks, not by tokens.
    pub(super) fn new(recording: Recording<'a>) -> Tables<'a> {
        let lanes: Vec<LaneColumns<'a>> = recording
            .log
            .iter()
            .zip((0..).map(LaneId))
            .map(|(log, lane)| LaneColumns::new(log, *recording.pool(lane), recording.trace.end))
            .collect();
        let mut places = Places::new(&recording, &lanes);
        let lines: Vec<Line> = lanes
            .iter()
            .zip((0..).map(LaneId))
            .map(|(lane, id)| Line::new(&recording, lane, &mut places, id))
            .collect();
        Tables { recording, lanes, places, lines }
    }

    /// What an iteration of a lane was made of, in nanoseconds by cause.
    pub fn parts(&self, lane: LaneId, iteration: IterationNo) -> Vec<(Cause, u64)> {
        self.lanes[lane.index()].parts(iteration)
    }

    /// The last iteration that started before `before` and had a chunk of a request.
    pub fn chunk_before(&self, request: RequestId, before: Time) -> Option<ChunkAt> {
        let chunks = self.places.chunks(request);
        let started = |at: &ChunkAt| self.lanes[at.lane.index()].log.start(at.iteration) < before;
        let after = chunks.partition_point(started);
        after.checked_sub(1).map(|last| chunks[last])
    }

    /// The lane of a request; where its replica works turn by turn, that of its first admission.
    pub fn lane(&self, request: RequestId) -> LaneId {
        self.places.lane(request)
    }

    /// The lanes of a lane's replica, or those that it steps together with.
    pub(super) fn lanes_beside(&self, lane: LaneId) -> Range<LaneId> {
        let ranks = self.lanes[lane.index()].pool.in_step as usize;
        if ranks <= 1 {
            return self.trace().lanes_beside(lane);
        }
        let pool = |lane: usize| self.trace().lanes.get(lane).map(|lane| lane.pool);
        let own = |&other: &usize| pool(other) == pool(lane.index());
        let first = (0..=lane.index()).rev().take_while(own).last().unwrap_or(lane.index());
        let end = (lane.index()..self.lanes.len()).take_while(own).last().unwrap_or(first) + 1;
        let start = first + (lane.index() - first) / ranks * ranks;
        LaneId::at(start)..LaneId::at(end.min(start + ranks))
    }

    /// The lanes that a request was in: where its prompt was computed for another, and its own.
    pub fn legs(&self, request: RequestId) -> impl Iterator<Item = LaneId> + use<> {
        let hand = self.trace().hand_over(request);
        let own = hand.map_or(self.lane(request), |hand| hand.to);
        hand.map(|hand| hand.from).into_iter().chain([own])
    }

    /// The trace.
    pub fn trace(&self) -> &'a TokenTrace {
        self.recording.trace
    }

    /// Every request, in order.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = RequestId> + Clone + use<> {
        (0..self.trace().requests.len()).map(RequestId::at)
    }

    /// Walks one request.
    pub fn walk(&self, request: RequestId, visit: &mut impl Visit) {
        match self.places.turns_of(self.lane(request)) {
            None => Walk::new(self.trace(), &self.lanes, &self.places, request).go(visit),
            Some(order) => {
                TurnWalk::new(self.trace(), &self.lanes, order, &self.places, request).go(visit);
            }
        }
    }

    /// The gap before one token (0 is the first), or `None` when there is no such token. The gap
    /// that was open when observation ended is that before the next token.
    pub fn gap(&self, request: RequestId, token: u32) -> Option<Gap> {
        let mut found = Found { tables: self, token, gap: None };
        self.walk(request, &mut found);
        found.gap
    }

    /// Every gap of a request, expanded, the open one too: for tests and for a single request's
    /// story.
    pub fn gaps(&self, request: RequestId) -> Vec<Gap> {
        let mut all = All { tables: self, gaps: Vec::new() };
        self.walk(request, &mut all);
        all.gaps
    }

    pub(super) fn lane_of(&self, request: RequestId) -> &LaneColumns<'a> {
        &self.lanes[self.lane(request).index()]
    }

    /// The lane whose decode steps are a run's.
    pub(super) fn lane_of_run(&self, run: Run) -> &LaneColumns<'a> {
        let lane = self.trace().steps_of(run).expect("a run of decode steps");
        &self.lanes[lane.index()]
    }

    /// The gap that ends with a decode step of a lane, for a request that was in the decode step
    /// before too.
    pub(super) fn decode_step_gap(
        &self,
        lane: &LaneColumns<'_>,
        token: u32,
        decode_step: DecodeStepNo,
    ) -> Gap {
        let (before, at) = lane.decode_step_gap(decode_step);
        Gap {
            token,
            from: lane.log.end(before),
            to: lane.log.end(at),
            split: lane.decode_step(decode_step),
        }
    }
}

struct Found<'f, 'a> {
    tables: &'f Tables<'a>,
    token: u32,
    gap: Option<Gap>,
}

impl Visit for Found<'_, '_> {
    fn gap(&mut self, gap: &Gap) {
        if gap.token == self.token {
            self.gap = Some(*gap);
        }
    }

    fn decode_steps(&mut self, token: u32, run: Run) {
        if (token..token + run.len - 1).contains(&self.token) {
            let decode_step = DecodeStepNo(run.first + 1 + (self.token - token));
            let lane = self.tables.lane_of_run(run);
            self.gap = Some(self.tables.decode_step_gap(lane, self.token, decode_step));
        }
    }
}

struct All<'f, 'a> {
    tables: &'f Tables<'a>,
    gaps: Vec<Gap>,
}

impl Visit for All<'_, '_> {
    fn gap(&mut self, gap: &Gap) {
        self.gaps.push(*gap);
    }

    fn decode_steps(&mut self, token: u32, run: Run) {
        let lane = self.tables.lane_of_run(run);
        for k in 0..run.len - 1 {
            let decode_step = DecodeStepNo(run.first + 1 + k);
            self.gaps.push(self.tables.decode_step_gap(lane, token + k, decode_step));
        }
    }
}
