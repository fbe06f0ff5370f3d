//! A request's way through its replica, gap by gap. Nothing is visited per token: a run of decode
//! steps is one call.

use super::cause::{Cause, Split};
use super::chain::Seen;
use super::evicted::Evicted;
use super::hand_walk::Came;
use super::lane::LaneColumns;
use super::recording::Recording;
use super::turn_order::TurnOrder;
use crate::ids::{ChunkPlace, DecodeStepNo, IterationNo, LaneId};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{ChunkAt, RequestRow, Run, Status, TokenTrace};

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
    fn preempted_within(
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

/// When a request was in the queue, by iterations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued {
    /// The first to start after it arrived.
    pub first: IterationNo,
    /// The first that was planned with it in the queue.
    pub seen: IterationNo,
    /// The one that admits it, or the one after all that began before observation ended.
    pub to: IterationNo,
}

/// When a request was in the queue; `None` where it never was, as far as is known.
pub(super) fn queued(
    trace: &TokenTrace,
    lane: &LaneColumns<'_>,
    places: &Places,
    request: RequestId,
) -> Option<Queued> {
    let row = &trace.requests[request.index()];
    queued_since(lane, row, places.entered(request, row), places.chunks(request))
}

/// When a request was in the queue of a lane that it came to at `entered`; `chunks` are those that the
/// lane computed.
fn queued_since(
    lane: &LaneColumns<'_>,
    row: &RequestRow,
    entered: Time,
    chunks: &[ChunkAt],
) -> Option<Queued> {
    // Most are admitted soon.
    let admitted = chunks.first().map(|chunk| chunk.iteration);
    let first = lane.log.begun_before(entered, admitted.unwrap_or(lane.log.numbers().end));
    let to = match admitted {
        Some(admitted) => admitted,
        None if row.status != Status::Unfinished => return None,
        // It waits for one that will never begin.
        None => lane.begun().max(first),
    };
    let ahead = lane.log.range(first..to);
    let ahead = ahead.take_while(|iteration| iteration.decided < entered).count();
    Some(Queued { first, seen: first.after(ahead as u32), to })
}

fn last_of(times: &[Time]) -> Time {
    *times.last().expect("a run holds tokens")
}

/// Walks one request.
pub(super) struct Walk<'w> {
    pub(super) trace: &'w TokenTrace,
    lanes: &'w [LaneColumns<'w>],
    pub(super) lane: &'w LaneColumns<'w>,
    /// Which that is.
    pub(super) id: LaneId,
    pub(super) places: &'w Places,
    pub(super) request: RequestId,
    pub(super) row: &'w RequestRow,
    /// When it came to the lane's queue.
    entered: Time,
    /// Chunks of the lane.
    computed: &'w [ChunkAt],
    /// Those of them that are not yet walked.
    pub(super) chunks: &'w [ChunkAt],
    /// The gap that is walked, as far as it is known.
    pub(super) gap: Gap,
    /// Tokens computed before the last preemption: computing them anew is recomputation.
    had: u32,
    /// The iteration of that preemption.
    lost_at: IterationNo,
}

impl<'w> Walk<'w> {
    /// A walk at its beginning.
    pub(super) fn new(
        trace: &'w TokenTrace,
        lanes: &'w [LaneColumns<'w>],
        places: &'w Places,
        request: RequestId,
    ) -> Walk<'w> {
        let row = &trace.requests[request.index()];
        let entered = places.entered(request, row);
        Walk {
            entered,
            trace,
            lanes,
            lane: &lanes[row.lane.index()],
            id: row.lane,
            places,
            request,
            row,
            computed: places.chunks_on(request, row.lane),
            chunks: places.chunks_on(request, row.lane),
            gap: Gap::behind_front_end(row.arrival, entered),
            had: 0,
            lost_at: IterationNo::FIRST,
        }
    }

    /// What follows happens in this lane, to whose queue it came at `entered`.
    pub(super) fn turn_to(&mut self, lane: &'w LaneColumns<'w>, id: LaneId, entered: Time) {
        self.computed = self.places.chunks_on(self.request, id);
        (self.lane, self.id, self.entered, self.chunks) = (lane, id, entered, self.computed);
        (self.had, self.lost_at) = (0, IterationNo::FIRST);
    }

    /// Walks to the last token, and of an unfinished request on to the end of observation.
    pub(super) fn go(mut self, visit: &mut impl Visit) {
        let told = self.row.first_token != Time::NEVER || self.row.status == Status::Unfinished;
        let mut carried = false;
        if let Some(hand) = self.trace.hand_over(self.request).filter(|_| told) {
            match self.handed_over(self.lanes, hand, visit) {
                Came::NoFarther => return self.cut_off(visit),
                Came::Prefills => return self.open_gap(None, visit),
                Came::ToItsAnswer => carried = hand.carried,
            }
        }
        if let Some(load) = self.trace.first_load(self.request).filter(|_| told)
            && !self.loaded(load, visit)
        {
            return self.cut_off(visit);
        }
        let at = match self.row.first_token {
            Time::NEVER => None,
            _ if carried => self.delivered(None, visit),
            _ => {
                let at = self.prompt_computed(visit);
                self.delivered(Some(at), visit)
            }
        };
        if self.row.status == Status::Unfinished {
            self.open_gap(at, visit);
        }
    }

    /// Up to its first token, which an iteration of the lane brought: says which.
    fn prompt_computed(&mut self, visit: &mut impl Visit) -> IterationNo {
        let is_before = |chunk: &ChunkAt| self.lane.log.end(chunk.iteration) < self.row.first_token;
        let at = self.chunks[self.chunks.partition_point(is_before)].iteration;
        self.first_token(at, visit);
        at
    }

    /// All tokens, of which iteration `first` brought the first, or none did; says which brought the last.
    fn delivered(
        &mut self,
        first: Option<IterationNo>,
        visit: &mut impl Visit,
    ) -> Option<IterationNo> {
        self.close(0, self.row.arrival, self.row.first_token, visit);
        let mut carried = first.is_none();
        let mut at = match first {
            Some(first) => first,
            // The lane's own first token is that of a prefill, like another's first.
            None => {
                let run = self.trace.runs(self.row).next()?;
                let time = self.trace.times(run)[0];
                let at = self.lane.iteration_at(time);
                self.first_token(at, visit);
                self.close(1, self.row.first_token, time, visit);
                at
            }
        };
        // The last time of a run is far away in memory: it is read where another run follows.
        let (mut token, mut before) = (1, None);
        for run in self.trace.runs(self.row) {
            let times = self.trace.times(run);
            let from = before.map_or(self.row.first_token, last_of);
            before = Some(times);
            if std::mem::take(&mut carried) {
                at = self.one_by_one(at, (2, times[0]), &times[1..], visit);
                token += run.len;
                continue;
            }
            if self.trace.steps_of(run).is_none() {
                at = self.one_by_one(at, (token, from), times, visit);
                token += run.len;
                continue;
            }
            let decode_step = DecodeStepNo(run.first);
            let to = self.lane.decode_steps.at(decode_step);
            self.next_token(at, to, decode_step, visit);
            self.close(token, from, times[0], visit);
            at = to;
            if run.len > 1 {
                let last = self.lane.decode_steps.at(DecodeStepNo(run.first + run.len - 1));
                visit.decoding(self.id, at, last, true);
                visit.decode_steps(token + 1, run);
                at = last;
            }
            token += run.len;
        }
        assert_eq!(token, self.row.tokens, "every token is walked");
        Some(at)
    }

    /// Tokens that came on their own, from the one after iteration `at` on: of prompts that were
    /// computed anew, and where drafts bring several at once. Says which iteration brought the last.
    fn one_by_one(
        &mut self,
        mut at: IterationNo,
        (mut token, mut from): (u32, Time),
        times: &[Time],
        visit: &mut impl Visit,
    ) -> IterationNo {
        for &time in times {
            // Tokens of one step come together.
            if time > from {
                let to = self.lane.iteration_at(time);
                self.next_token(at, to, self.lane.decode_steps.from(to), visit);
                at = to;
            }
            self.close(token, from, time, visit);
            (token, from) = (token + 1, time);
        }
        at
    }

    /// From the last token, which iteration `at` brought, or from the arrival to the end of
    /// observation: waits up to then, and iterations up to the last that was over. What it did in
    /// one that still ran is cut off.
    fn open_gap<V: Visit>(&mut self, at: Option<IterationNo>, visit: &mut V) {
        let from = self.trace.last_token(self.row).unwrap_or(self.row.arrival);
        let to = self.trace.end.max(from);
        match at {
            None => self.not_begun(visit),
            Some(at) => self.not_gone_on(at, visit),
        }
        self.close_open(from, to, visit);
    }

    /// What is not known of an open gap was cut off.
    fn close_open<V: Visit>(&mut self, from: Time, to: Time, visit: &mut V) {
        let known = self.gap.split.total();
        self.gap
            .split
            .add(Cause::CutOff, to.since(from).as_nanos().saturating_sub(known.as_nanos()));
        self.close(self.row.tokens, from, to, visit);
    }

    /// Observation ended before it came to the queue of the replica that answers it.
    fn cut_off(&mut self, visit: &mut impl Visit) {
        let from = self.row.arrival;
        self.close_open(from, self.trace.end.max(from), visit);
    }

    /// Of a request without a token.
    fn not_begun(&mut self, visit: &mut impl Visit) {
        let Some(queued) = self.queued() else {
            // It came while the last iteration ran: nothing was decided with it.
            return;
        };
        // What the front end took is in it.
        let mut split = self.gap.split;
        // One that was handed over has waited for steps before.
        let before = split[Cause::StepInFlight];
        let admitted = self.chunks.first().map(|chunk| chunk.iteration);
        if queued.first == self.lane.begun() {
            return self.came_last(queued.first, visit);
        }
        self.before_seen(queued, &mut split);
        self.unseen(queued, split[Cause::StepInFlight] - before, visit);
        self.waited(queued, &mut split);
        self.gap.split = split;
        visit.wait(Wait { from: queued.seen, to: queued.to, preempted: false });
        if admitted.is_some() {
            self.prefill_so_far(visit);
        }
    }

    /// It came when the last iteration had begun.
    fn came_last(&mut self, next: IterationNo, visit: &mut impl Visit) {
        let Some(last) = next.before() else { return };
        let free = self.lane.log.free(last).min(self.trace.end);
        if free > self.entered {
            let in_flight = free.since(self.entered).as_nanos();
            self.gap.split.add(Cause::StepInFlight, in_flight);
            visit.unseen(next, next, in_flight);
        }
    }

    /// Of a request whose last token iteration `at` brought.
    fn not_gone_on(&mut self, at: IterationNo, visit: &mut impl Visit) {
        let (observed, begun) = (self.lane.observed(), self.lane.begun());
        let last = begun.before().unwrap_or(IterationNo::FIRST);
        let own = (self.request, self.id);
        let Some(preempted) = self.places.preempted_within(own, at, last) else {
            self.missed_until(at, observed, visit);
            return;
        };
        self.missed_until(at, preempted, visit);
        (self.had, self.lost_at) = (u32::MAX, preempted);
        self.tail(preempted, visit);
        let admitted = self.chunks.first().map(|chunk| chunk.iteration);
        self.queue(preempted, admitted.filter(|&number| number < begun).unwrap_or(begun), visit);
        if admitted.is_some() {
            self.prefill_so_far(visit);
        }
    }

    /// Its chunks in iterations that were over, and what came between them and after.
    fn prefill_so_far(&mut self, visit: &mut impl Visit) {
        let (observed, begun) = (self.lane.observed(), self.lane.begun());
        let mut before: Option<IterationNo> = None;
        while let Some((&chunk, rest)) = self.chunks.split_first() {
            let number = chunk.iteration;
            if number >= begun {
                break;
            }
            self.chunks = rest;
            if let Some(before) = before {
                self.between(before, number, visit);
            }
            if number >= observed {
                return;
            }
            self.chunk(chunk, visit);
            before = Some(number);
        }
        let (Some(before), Some(last)) = (before, begun.before()) else { return };
        if before >= last {
            return;
        }
        match self.places.preempted_within((self.request, self.id), before, last) {
            Some(_) => self.between(before, begun, visit),
            None => self.passed_over(before, begun, visit),
        }
    }

    fn close<V: Visit>(&mut self, token: u32, from: Time, to: Time, visit: &mut V) {
        (self.gap.token, self.gap.from, self.gap.to) = (token, from, to);
        let whole = self.gap.split.total() == to.since(from);
        debug_assert!(whole || !V::DECODE_STEPS, "a gap's causes add up to it");
        visit.gap(&self.gap);
        self.gap.split = Split::ZERO;
    }

    /// From the arrival to the start of the first iteration that was planned with it.
    fn before_seen(&self, Queued { first, seen, .. }: Queued, split: &mut Split) {
        let begun = self.lane.begins(first);
        split.add(Cause::StepInFlight, begun.since(self.entered).as_nanos());
        if seen > first {
            split.add(Cause::ScheduledAhead, self.lane.begins(seen).since(begun).as_nanos());
        }
    }

    /// Tells of the step that it arrived in. Who comes to a rank that runs none while others of its
    /// group do waits for theirs: nobody of its own lane is to blame for that.
    fn unseen(&self, Queued { first, seen, .. }: Queued, in_flight: u64, visit: &mut impl Visit) {
        if !self.lane.in_step {
            return visit.unseen(first, seen, in_flight);
        }
        let own = self.lane.log.free_before(first).max(self.entered);
        visit.unseen(first, seen, in_flight.min(own.since(self.entered).as_nanos()));
    }

    fn queued(&self) -> Option<Queued> {
        queued_since(self.lane, self.row, self.entered, self.chunks)
    }

    /// In the queue, seen.
    fn waited(&self, Queued { seen, to, .. }: Queued, split: &mut Split) {
        self.lane.waited(seen, to, split);
        let behind = self.places.behind[self.request.index()];
        split[Cause::NoKvBlocks] -= behind;
        split[Cause::HeadOfLine] += behind;
    }

    /// From the arrival to the tokens of iteration `to`.
    pub(super) fn first_token(&mut self, to: IterationNo, visit: &mut impl Visit) {
        let queued = self.queued().expect("a first token follows an admission");
        // What the front end took is in it.
        let mut split = self.gap.split;
        // One that was handed over has waited for steps before.
        let before = split[Cause::StepInFlight];
        self.before_seen(queued, &mut split);
        self.unseen(queued, split[Cause::StepInFlight] - before, visit);
        self.waited(queued, &mut split);
        self.gap.split = split;
        visit.wait(Wait { from: queued.seen, to: queued.to, preempted: false });
        self.prefill(to, visit);
    }

    /// From the tokens of iteration `from` to those of iteration `to`, its next ones: the
    /// `decode_step`, where no prefill brought them.
    fn next_token<V: Visit>(
        &mut self,
        from: IterationNo,
        to: IterationNo,
        decode_step: DecodeStepNo,
        visit: &mut V,
    ) {
        let own = (self.request, self.id);
        let Some(preempted) = self.places.preempted_within(own, from, to) else {
            let mut at = from;
            if decode_step.before().is_some_and(|before| self.lane.decode_steps.at(before) > from) {
                at = self.missed_until(from, to, visit);
            }
            if V::DECODE_STEPS {
                self.lane.decoding(at, to, &mut self.gap.split);
            }
            return visit.decoding(self.id, at, to, true);
        };
        self.missed_until(from, preempted, visit);
        let admitted = self.chunks.first().expect("a preempted request is prefilled again");
        let admitted = admitted.iteration;
        (self.had, self.lost_at) = (u32::MAX, preempted);
        self.tail(preempted, visit);
        self.queue(preempted, admitted, visit);
        self.prefill(to, visit);
    }

    /// It could decode and did not, from the tokens of iteration `from` to those of the last one
    /// before
    /// `next`, which is told.
    fn missed_until(
        &mut self,
        from: IterationNo,
        next: IterationNo,
        visit: &mut impl Visit,
    ) -> IterationNo {
        let Some(last) = next.before().filter(|&last| last > from) else { return from };
        self.lane.missed(from, last, &mut self.gap.split);
        visit.decoding(self.id, from, last, false);
        last
    }

    /// Its chunks from the start of the first one's iteration to the tokens of iteration `to`.
    fn prefill(&mut self, to: IterationNo, visit: &mut impl Visit) {
        let mut before: Option<IterationNo> = None;
        while let Some((&chunk, rest)) = self.chunks.split_first() {
            if chunk.iteration > to {
                break;
            }
            self.chunks = rest;
            if let Some(before) = before {
                self.between(before, chunk.iteration, visit);
            }
            self.chunk(chunk, visit);
            before = Some(chunk.iteration);
        }
        assert_eq!(before, Some(to), "the last chunk brings the token");
    }

    fn chunk(&mut self, at: ChunkAt, visit: &mut impl Visit) {
        let (chunk, chain) = self.lane.prefill(at);
        let own = if chunk.context < self.had { Cause::Recompute } else { Cause::Own };
        if own == Cause::Recompute {
            visit.recomputed(self.lost_at, chain.own);
        }
        self.lane.add_prefill(chain, own, &mut self.gap.split);
        if own == Cause::Own {
            let ns = self.places.evicted.part(self.request, chunk, chain.own);
            self.gap.split.move_to_evicted(ns);
            if ns > 0 {
                visit.evicted(ns);
            }
        }
        visit.chunk(at, self.lane.whole(at.iteration));
    }

    /// From the tokens of one chunk's iteration to the start of the next one's.
    fn between(&mut self, before: IterationNo, next: IterationNo, visit: &mut impl Visit) {
        let own = (self.request, self.id);
        let Some(preempted) = self.places.preempted_within(own, before, next) else {
            return self.passed_over(before, next, visit);
        };
        self.lost_at = preempted;
        if self.had == 0 {
            let done = self.computed.iter();
            let done = done.take_while(|chunk| chunk.iteration <= before);
            let tokens = |&at: &ChunkAt| {
                let (chunk, _) = self.lane.prefill(at);
                chunk.context + chunk.tokens
            };
            self.had = done.map(tokens).max().unwrap_or(0);
        }
        self.passed_over(before, preempted, visit);
        self.queue(preempted, next, visit);
    }

    /// From the tokens of iteration `before` to the start of iteration `next`, of a running request
    /// whose prefill did not go on.
    fn passed_over(&mut self, before: IterationNo, next: IterationNo, visit: &mut impl Visit) {
        let from = before.next();
        self.tail(from, visit);
        visit.passed_over(from, next);
        self.lane.passed_over(from, next, &mut self.gap.split);
    }

    /// From the tokens of the iteration before `next` to the start of `next`.
    fn tail(&mut self, next: IterationNo, visit: &mut impl Visit) {
        if self.lane.staged {
            visit.stage_0(self.id, next);
        }
        let (free, start) = (self.lane.log.free_before(next), self.lane.log.start(next));
        self.gap.split.add(Cause::Host, self.lane.tail_before(next));
        let until = self.lane.waits_for().unwrap_or(self.lane.idles_for());
        self.gap.split.add(until, start.since(free).as_nanos());
    }

    /// In the queue after a preemption.
    fn queue(&mut self, preempted: IterationNo, admitted: IterationNo, visit: &mut impl Visit) {
        let from = self.lane.log.start(preempted);
        let waited = self.lane.begins(admitted).since(from).as_nanos();
        self.gap.split.add(Cause::PreemptedWaiting, waited);
        visit.wait(Wait { from: preempted, to: admitted, preempted: true });
    }
}
