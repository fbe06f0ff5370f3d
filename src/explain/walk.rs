//! A request's way through its replica, gap by gap. Nothing is visited per token: a run of beats
//! is one call.

use super::cause::{Cause, Split};
use super::lane::LaneColumns;
use super::recording::Recording;
use crate::ids::LaneId;
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{RequestRow, Run, Status, TokenTrace};

/// Where each request's chunks and preemptions stand in the log of its lane.
pub(super) struct Places {
    /// Row r: the lane of request r, apart from its row: who looks for the requests of one lane
    /// reads nothing else.
    lane: Vec<LaneId>,
    /// Row r: where request r's chunks begin in `chunks`.
    first: Vec<u32>,
    /// `(iteration, place in its batch)`.
    chunks: Vec<(u32, u32)>,
    /// `(request, iteration whose batch was formed without it)`, in order.
    preempted: Vec<(RequestId, u32)>,
    /// Nanoseconds that each request stood behind a head of the queue that lacked memory while its
    /// own was free.
    pub behind: Vec<u64>,
}

impl Places {
    /// Finds them in all logs.
    pub(super) fn new(recording: &Recording<'_>, lanes: &[LaneColumns<'_>]) -> Places {
        let trace = recording.trace;
        let lane = trace.requests.iter().map(|row| row.lane).collect();
        let mut first = vec![0_u32; trace.requests.len() + 1];
        let prefills = || lanes.iter().flat_map(|lane| lane.log.prefills());
        for chunk in prefills().flat_map(|(_, chunks)| chunks) {
            first[chunk.request.index() + 1] += 1;
        }
        for row in 1..first.len() {
            first[row] += first[row - 1];
        }
        let mut next = first.clone();
        let mut chunks = vec![(0, 0); *first.last().expect("at least one row") as usize];
        for (index, batch) in prefills() {
            for (chunk, place) in batch.iter().zip(0_u32..) {
                let slot = &mut next[chunk.request.index()];
                chunks[*slot as usize] = (index as u32, place);
                *slot += 1;
            }
        }
        let lost = lanes
            .iter()
            .flat_map(|lane| lane.log.preemptions())
            .flat_map(|(index, lost)| lost.iter().map(move |&request| (request, index as u32)));
        let mut preempted: Vec<(RequestId, u32)> = lost.collect();
        preempted.sort_unstable();
        let behind = vec![0; trace.requests.len()];
        Places { lane, first, chunks, preempted, behind }
    }

    /// The lane of a request.
    pub(super) fn lane(&self, request: RequestId) -> LaneId {
        self.lane[request.index()]
    }

    /// A request's chunks in order.
    pub(super) fn chunks(&self, request: RequestId) -> &[(u32, u32)] {
        let (from, to) = (self.first[request.index()], self.first[request.index() + 1]);
        &self.chunks[from as usize..to as usize]
    }

    /// Iterations whose batches were formed by preempting it, in order.
    pub(super) fn preemptions(&self, request: RequestId) -> impl Iterator<Item = u32> + '_ {
        let from = self.preempted.partition_point(|&(of, _)| of < request);
        let own = self.preempted[from..].iter().take_while(move |&&(of, _)| of == request);
        own.map(|&(_, index)| index)
    }

    /// The first preemption of it in the batches after `after` and up to `upto`.
    fn preempted_within(&self, request: RequestId, after: u32, upto: u32) -> Option<u32> {
        let from = self.preempted.partition_point(|&of| of < (request, after + 1));
        self.preempted.get(from).filter(|&&(of, at)| of == request && at <= upto).map(|&(_, at)| at)
    }
}

/// The time before one token that is not the later beat of a run.
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
    pub from: u32,
    /// To the start of this one.
    pub to: u32,
    /// Whether it had been preempted: then it waits for memory whatever the queue's head is told.
    pub preempted: bool,
}

/// What a walk comes by. All of a gap's parts are told before the gap is.
pub trait Visit {
    /// Whether the causes of a gap are told with it as far as it decoded in every beat: finding
    /// them is most of a walk, and [`decoding`](Visit::decoding) tells of these stretches too.
    const BEATS: bool = true;

    /// A gap that is told by itself.
    fn gap(&mut self, _gap: &Gap) {}
    /// The later beats of a run: the token numbered `token` is that of the run's second beat.
    fn beats(&mut self, _token: u32, _run: Run) {}
    /// It decoded, or could have, from the tokens of one iteration to those of another; `in_batch`
    /// when it was in every beat between.
    fn decoding(&mut self, _from: u32, _to: u32, _in_batch: bool) {}
    /// One of its chunks was in this iteration, at this place.
    fn chunk(&mut self, _iteration: u32, _place: u32) {}
    /// It waited for stage 0 of a pipeline, from the end of the iteration before this one to its start,
    /// and did not decode.
    fn stage_0(&mut self, _iteration: u32) {}
    /// It waited.
    fn wait(&mut self, _wait: Wait) {}
    /// It arrived while the iteration before `first` ran, `in_flight` before `first` started, and
    /// the iterations from `first` up to `seen` were planned without it.
    fn unseen(&mut self, _first: u32, _seen: u32, _in_flight: u64) {}
    /// Its prefill was passed over in these iterations.
    fn passed_over(&mut self, _from: u32, _to: u32) {}
    /// It computed anew for so long what was lost in the preemption before iteration `preempted`.
    fn recomputed(&mut self, _preempted: u32, _ns: u64) {}
}

/// When a request was in the queue, by iterations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued {
    /// The first to start after it arrived.
    pub first: u32,
    /// The first that was planned with it in the queue.
    pub seen: u32,
    /// The one that admits it, or the one after all that began before observation ended.
    pub to: u32,
}

/// When a request was in the queue; `None` where it never was, as far as is known.
pub(super) fn queued(
    trace: &TokenTrace,
    lane: &LaneColumns<'_>,
    places: &Places,
    request: RequestId,
) -> Option<Queued> {
    let row = &trace.requests[request.index()];
    // Most are admitted soon.
    let admitted = places.chunks(request).first().map_or(lane.log.len(), |&(at, _)| at as usize);
    let first = lane.log.begun_before(row.arrival, admitted) as u32;
    let to = match places.chunks(request).first() {
        Some(&(admitted, _)) => admitted,
        None if row.status != Status::Unfinished => return None,
        // It waits for one that will never begin.
        None => lane.begun().max(first),
    };
    let ahead = lane.log.range(first as usize, to as usize);
    let ahead = ahead.take_while(|iteration| iteration.decided < row.arrival).count();
    Some(Queued { first, seen: first + ahead as u32, to })
}

fn last_of(times: &[Time]) -> Time {
    *times.last().expect("a run holds tokens")
}

/// Walks one request.
pub(super) struct Walk<'w> {
    trace: &'w TokenTrace,
    lane: &'w LaneColumns<'w>,
    places: &'w Places,
    request: RequestId,
    row: &'w RequestRow,
    /// Chunks not yet walked.
    chunks: &'w [(u32, u32)],
    /// The gap that is walked, as far as it is known.
    gap: Gap,
    /// Tokens computed before the last preemption: computing them anew is recomputation.
    had: u32,
    /// The iteration of that preemption.
    lost_at: u32,
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
        Walk {
            trace,
            lane: &lanes[row.lane.index()],
            places,
            request,
            row,
            chunks: places.chunks(request),
            gap: Gap { token: 0, from: Time::ZERO, to: Time::ZERO, split: Split::ZERO },
            had: 0,
            lost_at: 0,
        }
    }

    /// Walks to the last token, and of an unfinished request on to the end of observation.
    pub(super) fn go(mut self, visit: &mut impl Visit) {
        let at = match self.row.first_token {
            Time::NEVER => None,
            _ => Some(self.delivered(visit)),
        };
        if self.row.status == Status::Unfinished {
            self.open_gap(at, visit);
        }
    }

    /// All tokens; says which iteration brought the last.
    fn delivered(&mut self, visit: &mut impl Visit) -> u32 {
        let end = |index: u32| self.lane.log.end(index as usize);
        let prefilled = self.chunks.partition_point(|&(at, _)| end(at) < self.row.first_token);
        let mut at = self.chunks[prefilled].0;
        self.first_token(at, visit);
        self.close(0, self.row.arrival, self.row.first_token, visit);
        // The last time of a run is far away in memory: it is read where another run follows.
        let (mut token, mut before) = (1, None);
        for run in self.trace.runs(self.row) {
            let times = self.trace.times(run);
            let beat = self.trace.steps_of(run).map(|_| run.first as usize);
            // Recomputed tokens come one by one.
            let to = match beat {
                Some(beat) => self.lane.beats.at(beat),
                None => self.lane.iteration_at(times[0]),
            };
            self.next_token(at, to, beat, visit);
            let from = before.map_or(self.row.first_token, last_of);
            self.close(token, from, times[0], visit);
            at = to;
            if run.len > 1 {
                let last = self.lane.beats.at((run.first + run.len - 1) as usize);
                visit.decoding(at, last, true);
                visit.beats(token + 1, run);
                at = last;
            }
            token += run.len;
            before = Some(times);
        }
        assert_eq!(token, self.row.tokens, "every token is walked");
        at
    }

    /// From the last token, which iteration `at` brought, or from the arrival to the end of
    /// observation: waits up to then, and iterations up to the last that was over. What it did in one
    /// that still ran is cut off.
    fn open_gap<V: Visit>(&mut self, at: Option<u32>, visit: &mut V) {
        let from = self.trace.last_token(self.row).unwrap_or(self.row.arrival);
        let to = self.trace.end.max(from);
        match at {
            None => self.not_begun(visit),
            Some(at) => self.not_gone_on(at, visit),
        }
        let known = self.gap.split.total();
        self.gap
            .split
            .add(Cause::CutOff, to.since(from).as_nanos().saturating_sub(known.as_nanos()));
        self.close(self.row.tokens, from, to, visit);
    }

    /// Of a request without a token.
    fn not_begun(&mut self, visit: &mut impl Visit) {
        let Some(queued) = self.queued() else {
            // It came while the last iteration ran: nothing was decided with it.
            return;
        };
        let mut split = Split::ZERO;
        let admitted = self.chunks.first().map(|&(index, _)| index);
        if queued.first == self.lane.begun() {
            return self.came_last(queued.first, visit);
        }
        self.before_seen(queued, &mut split);
        visit.unseen(queued.first, queued.seen, split[Cause::StepInFlight]);
        self.waited(queued, &mut split);
        self.gap.split = split;
        visit.wait(Wait { from: queued.seen, to: queued.to, preempted: false });
        if admitted.is_some() {
            self.prefill_so_far(visit);
        }
    }

    /// It came when the last iteration had begun.
    fn came_last(&mut self, next: u32, visit: &mut impl Visit) {
        let Some(last) = next.checked_sub(1) else { return };
        let free = self.lane.log.free(last as usize).min(self.trace.end);
        if free > self.row.arrival {
            let in_flight = free.since(self.row.arrival).as_nanos();
            self.gap.split.add(Cause::StepInFlight, in_flight);
            visit.unseen(next, next, in_flight);
        }
    }

    /// Of a request whose last token iteration `at` brought.
    fn not_gone_on(&mut self, at: u32, visit: &mut impl Visit) {
        let (observed, begun) = (self.lane.observed(), self.lane.begun());
        let last = begun.saturating_sub(1);
        let Some(preempted) = self.places.preempted_within(self.request, at, last) else {
            if observed > at + 1 {
                self.lane.missed(at, observed - 1, &mut self.gap.split);
                visit.decoding(at, observed - 1, false);
            }
            return;
        };
        if preempted > at + 1 {
            self.lane.missed(at, preempted - 1, &mut self.gap.split);
            visit.decoding(at, preempted - 1, false);
        }
        (self.had, self.lost_at) = (u32::MAX, preempted);
        self.tail(preempted - 1, preempted, visit);
        let admitted = self.chunks.first().map(|&(index, _)| index);
        self.queue(preempted, admitted.filter(|&index| index < begun).unwrap_or(begun), visit);
        if admitted.is_some() {
            self.prefill_so_far(visit);
        }
    }

    /// Its chunks in iterations that were over, and what came between them and after.
    fn prefill_so_far(&mut self, visit: &mut impl Visit) {
        let (observed, begun) = (self.lane.observed(), self.lane.begun());
        let mut before: Option<u32> = None;
        while let Some((&(index, place), rest)) = self.chunks.split_first() {
            if index >= begun {
                break;
            }
            self.chunks = rest;
            if let Some(before) = before {
                self.between(before, index, visit);
            }
            if index >= observed {
                return;
            }
            self.chunk(index, place, visit);
            visit.chunk(index, place);
            before = Some(index);
        }
        let Some(before) = before.filter(|&before| before + 1 < begun) else { return };
        let last = begun - 1;
        match self.places.preempted_within(self.request, before, last) {
            Some(_) => self.between(before, begun, visit),
            None => {
                self.tail(before, before + 1, visit);
                visit.passed_over(before + 1, begun);
                self.lane.passed_over(before + 1, begun, &mut self.gap.split);
            }
        }
    }

    fn close<V: Visit>(&mut self, token: u32, from: Time, to: Time, visit: &mut V) {
        (self.gap.token, self.gap.from, self.gap.to) = (token, from, to);
        let whole = self.gap.split.total() == to.since(from);
        debug_assert!(whole || !V::BEATS, "a gap's causes add up to it");
        visit.gap(&self.gap);
        self.gap.split = Split::ZERO;
    }

    /// From the arrival to the start of the first iteration that was planned with it.
    fn before_seen(&self, Queued { first, seen, .. }: Queued, split: &mut Split) {
        let begun = self.lane.begins(first);
        split.add(Cause::StepInFlight, begun.since(self.row.arrival).as_nanos());
        if seen > first {
            split.add(Cause::ScheduledAhead, self.lane.begins(seen).since(begun).as_nanos());
        }
    }

    fn queued(&self) -> Option<Queued> {
        queued(self.trace, self.lane, self.places, self.request)
    }

    /// In the queue, seen.
    fn waited(&self, Queued { seen, to, .. }: Queued, split: &mut Split) {
        self.lane.waited(seen, to, split);
        let behind = self.places.behind[self.request.index()];
        split[Cause::NoKvBlocks] -= behind;
        split[Cause::HeadOfLine] += behind;
    }

    /// From the arrival to the tokens of iteration `to`.
    fn first_token(&mut self, to: u32, visit: &mut impl Visit) {
        let queued = self.queued().expect("a first token follows an admission");
        let mut split = Split::ZERO;
        self.before_seen(queued, &mut split);
        visit.unseen(queued.first, queued.seen, split[Cause::StepInFlight]);
        self.waited(queued, &mut split);
        self.gap.split = split;
        visit.wait(Wait { from: queued.seen, to: queued.to, preempted: false });
        self.prefill(to, visit);
    }

    /// From the tokens of iteration `from` to those of iteration `to`, its next ones: a `beat`,
    /// where no prefill brought them.
    fn next_token<V: Visit>(&mut self, from: u32, to: u32, beat: Option<usize>, visit: &mut V) {
        let Some(preempted) = self.places.preempted_within(self.request, from, to) else {
            let beat = beat.expect("only a preempted request computes its prompt anew");
            let mut at = from;
            if beat > 0 && self.lane.beats.at(beat - 1) > from {
                self.lane.missed(from, to - 1, &mut self.gap.split);
                visit.decoding(from, to - 1, false);
                at = to - 1;
            }
            if V::BEATS {
                self.lane.decoding(at, to, &mut self.gap.split);
            }
            return visit.decoding(at, to, true);
        };
        // Until then it could decode.
        if preempted > from + 1 {
            self.lane.missed(from, preempted - 1, &mut self.gap.split);
            visit.decoding(from, preempted - 1, false);
        }
        let admitted = self.chunks.first().expect("a preempted request is prefilled again").0;
        (self.had, self.lost_at) = (u32::MAX, preempted);
        self.tail(preempted - 1, preempted, visit);
        self.queue(preempted, admitted, visit);
        self.prefill(to, visit);
    }

    /// Its chunks from the start of the first one's iteration to the tokens of iteration `to`.
    fn prefill(&mut self, to: u32, visit: &mut impl Visit) {
        let mut before: Option<u32> = None;
        while let Some((&(index, place), rest)) = self.chunks.split_first() {
            if index > to {
                break;
            }
            self.chunks = rest;
            if let Some(before) = before {
                self.between(before, index, visit);
            }
            self.chunk(index, place, visit);
            visit.chunk(index, place);
            before = Some(index);
        }
        assert_eq!(before, Some(to), "the last chunk brings the token");
    }

    fn chunk(&mut self, index: u32, place: u32, visit: &mut impl Visit) {
        let (chunk, chain) = self.lane.prefill(index, place);
        if chunk.context < self.had {
            self.gap.split.add(Cause::Recompute, chain.own);
            visit.recomputed(self.lost_at, chain.own);
        } else {
            self.gap.split.add(Cause::Own, chain.own);
        }
        self.gap.split.add(Cause::PrefillInterference, chain.others);
        self.gap.split.add(Cause::DecodesAlongside, chain.decodes);
        self.gap.split.add(Cause::Communication, chain.communication);
        self.gap.split.add(Cause::Host, chain.host);
        self.gap.split.add(Cause::PipelineBubble, chain.bubble);
    }

    /// From the tokens of one chunk's iteration to the start of the next one's.
    fn between(&mut self, before: u32, next: u32, visit: &mut impl Visit) {
        let Some(preempted) = self.places.preempted_within(self.request, before, next) else {
            self.tail(before, before + 1, visit);
            visit.passed_over(before + 1, next);
            return self.lane.passed_over(before + 1, next, &mut self.gap.split);
        };
        self.lost_at = preempted;
        if self.had == 0 {
            let done = self.places.chunks(self.request).iter();
            let done = done.take_while(|&&(index, _)| index <= before);
            let tokens = |&(index, place): &(u32, u32)| {
                let (chunk, _) = self.lane.prefill(index, place);
                chunk.context + chunk.tokens
            };
            self.had = done.map(tokens).max().unwrap_or(0);
        }
        self.tail(before, before + 1, visit);
        visit.passed_over(before + 1, preempted);
        self.lane.passed_over(before + 1, preempted, &mut self.gap.split);
        self.queue(preempted, next, visit);
    }

    /// From the tokens of iteration `index` to the start of the next one.
    fn tail(&mut self, index: u32, next: u32, visit: &mut impl Visit) {
        if self.lane.staged {
            visit.stage_0(next);
        }
        let (iteration, next) = (self.lane.log.at(index as usize), self.lane.log.at(next as usize));
        self.gap.split.add(Cause::Host, iteration.free.since(iteration.end).as_nanos());
        let until = if self.lane.staged { Cause::PipelineBubble } else { Cause::Idle };
        self.gap.split.add(until, next.start.since(iteration.free).as_nanos());
    }

    /// In the queue after a preemption.
    fn queue(&mut self, preempted: u32, admitted: u32, visit: &mut impl Visit) {
        let from = self.lane.log.start(preempted as usize);
        let waited = self.lane.begins(admitted).since(from).as_nanos();
        self.gap.split.add(Cause::PreemptedWaiting, waited);
        visit.wait(Wait { from: preempted, to: admitted, preempted: true });
    }
}
