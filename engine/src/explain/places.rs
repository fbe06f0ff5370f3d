//! Where requests stand in the logs of their replicas' lanes.

use super::evicted::Evicted;
use super::lane::LaneColumns;
use super::recording::Recording;
use super::turn_order::TurnOrder;
use crate::ids::{ChunkPlace, IterationNo, LaneId};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{ChunkAt, RequestRow, TokenTrace};

/// Where each request's chunks and preemptions stand in the logs of its replica's lanes.
pub(super) struct Places {
    /// Row r: the lane of request r, apart from its row: who looks for the requests of one lane
    /// reads nothing else.
    lane: Vec<LaneId>,
    /// Row r: where request r's chunks begin in `chunks`.
    first: Vec<u32>,
    /// Where each stands.
    chunks: Vec<ChunkAt>,
    /// `(request, iteration whose batch was formed without it, its lane)`, in order.
    preempted: Vec<(RequestId, IterationNo, LaneId)>,
    /// Whether requests go from one replica to another, so that chunks and preemptions of one are on two
    /// lanes.
    handed: bool,
    /// The replicas that work turn by turn.
    turns: Vec<TurnOrder>,
    /// By lane: the place of its replica in `turns`, where that works so.
    turns_of: Vec<Option<usize>>,
    /// Nanoseconds that each request stood behind a head of the queue that lacked memory while its
    /// own was free.
    pub behind: Vec<u64>,
    /// Prefixes that had gone.
    pub evicted: Evicted,
    /// Row r: when the engine got request r; no rows where no front end stands before it.
    entered: Vec<Time>,
}

impl Places {
    /// Finds them in all logs.
    pub(super) fn new(recording: &Recording<'_>, lanes: &[LaneColumns<'_>]) -> Places {
        let trace = recording.trace;
        let lane = trace.requests.iter().map(|row| row.lane).collect();
        let mut first = vec![0_u32; trace.requests.len() + 1];
        let prefills = || {
            lanes.iter().zip((0..).map(LaneId)).flat_map(|(lane, id)| {
                lane.log.prefills().map(move |(at, chunks)| (id, at, chunks))
            })
        };
        for chunk in prefills().flat_map(|(.., chunks)| chunks) {
            first[chunk.request.index() + 1] += 1;
        }
        for row in 1..first.len() {
            first[row] += first[row - 1];
        }
        let mut next = first.clone();
        let mut chunks =
            vec![ChunkAt::default(); *first.last().expect("at least one row") as usize];
        for (lane, iteration, batch) in prefills() {
            for (chunk, place) in batch.iter().zip((0..).map(ChunkPlace)) {
                let row = &mut next[chunk.request.index()];
                chunks[*row as usize] = ChunkAt { lane, iteration, place };
                *row += 1;
            }
        }
        let mut preempted = Vec::new();
        for (lane, id) in lanes.iter().zip((0..).map(LaneId)) {
            for (number, lost) in lane.log.preemptions() {
                preempted.extend(lost.iter().map(|&request| (request, number, id)));
            }
        }
        preempted.sort_unstable();
        let behind = vec![0; trace.requests.len()];
        let (turns, turns_of) = turn_orders(recording, lanes);
        let entered = recording.entered.to_vec();
        let evicted = Evicted::new(recording);
        let mut places = Places {
            lane,
            first,
            chunks,
            preempted,
            handed: false,
            turns,
            turns_of,
            behind,
            evicted,
            entered,
        };
        places.order_chunks(lanes);
        places.order_handed(trace);
        places
    }

    /// Puts the chunks of those who come through several lanes into the order of their batches.
    fn order_chunks(&mut self, lanes: &[LaneColumns<'_>]) {
        if self.turns.is_empty() {
            return;
        }
        for request in (0..self.lane.len()).map(RequestId::at) {
            if self.turns_of(self.lane(request)).is_some() {
                let (from, to) = (self.first[request.index()], self.first[request.index() + 1]);
                let end = |at: &ChunkAt| lanes[at.lane.index()].log.end(at.iteration);
                self.chunks[from as usize..to as usize].sort_unstable_by_key(end);
            }
        }
    }

    /// Puts the chunks of those who were handed over into the order of their lanes.
    fn order_handed(&mut self, trace: &TokenTrace) {
        for hand in &trace.hand_overs {
            self.handed = true;
            let row = hand.request.index();
            let (from, to) = (self.first[row] as usize, self.first[row + 1] as usize);
            self.chunks[from..to].sort_by_key(|at| at.lane != hand.from);
        }
    }

    /// Chunks of a request that a lane computed, in order.
    pub(super) fn chunks_on(&self, request: RequestId, lane: LaneId) -> &[ChunkAt] {
        let chunks = self.chunks(request);
        if !self.handed {
            return chunks;
        }
        let first = chunks.iter().take_while(|at| at.lane != lane).count();
        let after = chunks[first..].iter().take_while(|at| at.lane == lane).count();
        &chunks[first..first + after]
    }

    /// The order of the batches of a lane's replica, where that works turn by turn.
    pub(super) fn turns_of(&self, lane: LaneId) -> Option<&TurnOrder> {
        self.turns_of.get(lane.index()).copied().flatten().map(|place| &self.turns[place])
    }

    /// The lane of a request; where its replica works turn by turn the one that admitted it first.
    pub(super) fn lane(&self, request: RequestId) -> LaneId {
        self.lane[request.index()]
    }

    /// When the engine got a request.
    pub(super) fn entered(&self, request: RequestId, row: &RequestRow) -> Time {
        self.entered.get(request.index()).copied().unwrap_or(row.arrival)
    }

    /// A request's chunks in order.
    pub(super) fn chunks(&self, request: RequestId) -> &[ChunkAt] {
        let (from, to) = (self.first[request.index()], self.first[request.index() + 1]);
        &self.chunks[from as usize..to as usize]
    }

    /// Iterations whose batches were formed by preempting it: in order, in each lane.
    pub(super) fn preemptions(
        &self,
        request: RequestId,
    ) -> impl Iterator<Item = (LaneId, IterationNo)> + '_ {
        let from = self.preempted.partition_point(|&(of, ..)| of < request);
        let own = self.preempted[from..].iter().take_while(move |&&(of, ..)| of == request);
        own.map(|&(_, number, lane)| (lane, number))
    }

    /// The first preemption of it in the batches after `after` and up to `upto`.
    pub(super) fn preempted_within(
        &self,
        (request, lane): (RequestId, LaneId),
        after: IterationNo,
        upto: IterationNo,
    ) -> Option<IterationNo> {
        if self.handed {
            let own = self.preemptions(request).filter(|&(of, _)| of == lane);
            return own.map(|(_, at)| at).find(|&at| at > after && at <= upto);
        }
        let from =
            self.preempted.partition_point(|&(of, at, _)| (of, at) < (request, after.next()));
        let found = self.preempted.get(from).filter(|&&(of, at, _)| of == request && at <= upto);
        found.map(|&(_, at, _)| at)
    }
}

/// The replicas that work turn by turn, and which of them each lane belongs to.
fn turn_orders(
    recording: &Recording<'_>,
    lanes: &[LaneColumns<'_>],
) -> (Vec<TurnOrder>, Vec<Option<usize>>) {
    let mut turns = Vec::new();
    let mut turns_of = vec![None; lanes.len()];
    for (lane, id) in lanes.iter().zip((0..).map(LaneId)) {
        if lane.pool.by_turns && turns_of[id.index()].is_none() {
            let group = recording.trace.lanes_beside(id);
            turns_of[group.start.index()..group.end.index()].fill(Some(turns.len()));
            turns.push(TurnOrder::new(lanes, group, recording.trace.end));
        }
    }
    (turns, turns_of)
}
