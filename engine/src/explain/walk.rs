//! A request's way through its replica, gap by gap. Nothing is visited per token: a run of decode
//! steps is one call.

use super::cause::{Cause, Split};
use super::lane::LaneColumns;
use super::places::Places;
use super::visit::{Gap, Visit, Wait};
use crate::ids::{DecodeStepNo, IterationNo, LaneId};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{ChunkAt, RequestRow, Status, TokenTrace};

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

/// How far a request that is handed over has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Its prompt is not computed.
    Prefills,
    /// Its KV is there.
    ToItsAnswer,
    /// It waits where it is answered, for memory or for its KV.
    NoFarther,
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
        if let Some(load) =
            self.trace.first_load(self.request).filter(|load| told && load.is_waited_for())
            && !self.loaded(load, visit)
        {
            return self.cut_off(visit);
        }
        let at = match self.row.first_token {
            Time::NEVER => None,
            _ if carried => {
                // It goes out when a step begins with it, or where no step does when its KV is there.
                if !self.chunks.is_empty() {
                    self.admitted(visit);
                }
                let at = self.delivered(None, visit);
                if at.is_none() && self.row.status == Status::Unfinished {
                    return self.second_to_come(visit);
                }
                at
            }
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
            // The first that a step of the lane brings is the second.
            None => {
                let run = self.trace.runs(self.row).next()?;
                let time = self.trace.times(run)[0];
                let at = self.lane.iteration_at(time);
                self.prefill(at, visit);
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

    /// Its first token went out, and the step that began with it was not over.
    fn second_to_come(&mut self, visit: &mut impl Visit) {
        self.prefill_so_far(visit);
        let from = self.row.first_token;
        self.close_open(from, self.trace.end.max(from), visit);
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
        // Ranks and stages wait for the steps of others.
        let free = match self.lane.in_step || self.lane.staged {
            true => begun,
            false => self.lane.log.free_before(first).clamp(self.entered, begun),
        };
        split.add(Cause::StepInFlight, free.since(self.entered).as_nanos());
        split.add(self.stands_still_for(), begun.since(free).as_nanos());
        if seen > first {
            split.add(Cause::ScheduledAhead, self.lane.begins(seen).since(begun).as_nanos());
        }
    }

    /// Why its lane ran nothing while it was in the queue: memory was taken by KV that was on its way.
    fn stands_still_for(&self) -> Cause {
        match (self.trace.hand_over(self.request), self.lane.idles_for()) {
            (Some(_), _) => Cause::KvTransfer,
            (None, Cause::KvLoad) => Cause::KvLoad,
            _ => Cause::PolicyDeferred,
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
        self.admitted(visit);
        self.prefill(to, visit);
    }

    /// From the arrival to the start of the iteration that admits it.
    fn admitted(&mut self, visit: &mut impl Visit) {
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
