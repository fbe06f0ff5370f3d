//! A request's way through a replica that works turn by turn: through whatever lanes it comes.
//!
//! It is told by instants, each nanosecond once. A request decodes in one lane while it misses no turn,
//! and its gaps are that lane's; where it comes to another lane, and in each chunk of its prompt, it
//! sees of the iteration what it has not seen of one before, which may be in the pipeline at the
//! same time. Before that it waited: in the queue under the reasons that turns gave, whatever their
//! lanes; for its lane's turn; or, when that came and left it out, for want of token budget.

use super::cause::{Cause, Split};
use super::chain::Seen;
use super::evicted::Evicted;
use super::lane::LaneColumns;
use super::places::Places;
use super::turn_order::{BatchNo, TurnOrder};
use super::visit::{Gap, Visit};
use crate::ids::{DecodeStepNo, IterationNo, LaneId};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{ChunkAt, RequestRow, Status, TokenTrace};

/// Walks one request.
pub(super) struct TurnWalk<'w> {
    trace: &'w TokenTrace,
    lanes: &'w [LaneColumns<'w>],
    order: &'w TurnOrder,
    row: &'w RequestRow,
    /// When the engine got it.
    entered: Time,
    request: RequestId,
    /// Prefixes that had gone.
    evicted: &'w Evicted,
    /// All of its chunks.
    all_chunks: &'w [ChunkAt],
    /// Chunks not yet walked.
    chunks: &'w [ChunkAt],
    /// Batches that were formed by preempting it, not yet walked.
    lost: Vec<BatchNo>,
    /// The last batch that it was in.
    at: Option<BatchNo>,
    /// Whether that left some of its prompt to compute.
    prefilling: bool,
    /// Up to where time is told.
    told: Time,
    /// The gap that is walked, as far as it is known.
    gap: Gap,
    /// Tokens computed before the last preemption: computing them anew is recomputation.
    had: u32,
}

impl<'w> TurnWalk<'w> {
    /// A walk at its beginning.
    pub(super) fn new(
        trace: &'w TokenTrace,
        lanes: &'w [LaneColumns<'w>],
        order: &'w TurnOrder,
        places: &'w Places,
        request: RequestId,
    ) -> TurnWalk<'w> {
        let row = &trace.requests[request.index()];
        let mut lost: Vec<BatchNo> =
            places.preemptions(request).map(|(lane, number)| order.batch(lane, number)).collect();
        // The next one last.
        lost.sort_unstable_by_key(|&batch| std::cmp::Reverse(batch));
        let entered = places.entered(request, row);
        TurnWalk {
            trace,
            lanes,
            order,
            row,
            request,
            evicted: &places.evicted,
            all_chunks: places.chunks(request),
            chunks: places.chunks(request),
            lost,
            at: None,
            prefilling: true,
            told: entered,
            entered,
            gap: Gap::behind_front_end(row.arrival, entered),
            had: 0,
        }
    }

    /// Walks to the last token, and of an unfinished request on to the end of observation.
    pub(super) fn go(mut self, visit: &mut impl Visit) {
        if self.row.first_token != Time::NEVER {
            self.delivered(visit);
        }
        if self.row.status == Status::Unfinished {
            self.open_gap(visit);
        }
    }

    fn lane(&self, lane: LaneId) -> &'w LaneColumns<'w> {
        &self.lanes[lane.index()]
    }

    fn delivered(&mut self, visit: &mut impl Visit) {
        let mut last = self.row.first_token;
        self.advance(self.brought_at(last), visit);
        self.close(self.row.arrival, last, visit);
        for run in self.trace.runs(self.row) {
            let times = self.trace.times(run);
            let Some(id) = self.trace.steps_of(run) else {
                for &at in times {
                    // Tokens of one step come together.
                    if at > last {
                        self.advance(self.brought_at(at), visit);
                    }
                    self.close(last, at, visit);
                    last = at;
                }
                continue;
            };
            let lane = self.lane(id);
            let first = lane.decode_steps.at(DecodeStepNo(run.first));
            self.advance(self.order.batch(id, first), visit);
            self.close(last, times[0], visit);
            last = times[0];
            if run.len > 1 {
                let end = lane.decode_steps.at(DecodeStepNo(run.first + run.len - 1));
                visit.decoding(id, first, end, true);
                visit.decode_steps(self.gap.token, run);
                self.gap.token += run.len - 1;
                (self.at, self.told) = (Some(self.order.batch(id, end)), lane.log.end(end));
                last = self.told;
            }
        }
        assert_eq!(self.gap.token, self.row.tokens, "every token is walked");
    }

    fn brought_at(&self, at: Time) -> BatchNo {
        self.order.with_tokens_at(at).expect("tokens come at the end of a batch")
    }

    fn close<V: Visit>(&mut self, from: Time, to: Time, visit: &mut V) {
        (self.gap.from, self.gap.to) = (from, to);
        let whole = self.gap.split.total() == to.since(from);
        debug_assert!(whole || !V::DECODE_STEPS, "a gap's causes add up to it");
        visit.gap(&self.gap);
        self.gap = Gap::before(self.gap.token + 1, to);
    }

    /// To the tokens of a batch that it was in.
    fn advance(&mut self, to: BatchNo, visit: &mut impl Visit) {
        while let Some((&chunk, rest)) = self.chunks.split_first() {
            let batch = self.order.batch(chunk.lane, chunk.iteration);
            if batch > to {
                break;
            }
            self.chunks = rest;
            self.until_begun(batch);
            self.chunk(chunk, batch, visit);
        }
        if self.at != Some(to) {
            self.decode(to, visit);
        }
    }

    /// A batch in which it decoded.
    fn decode<V: Visit>(&mut self, to: BatchNo, visit: &mut V) {
        let (id, number) = self.order.place(to);
        let lane = self.lane(id);
        match self.goes_on(id, number, to) {
            Some(before) => {
                if V::DECODE_STEPS {
                    lane.decoding(before, number, &mut self.gap.split);
                }
                visit.decoding(id, before, number, true);
            }
            None => {
                self.until_begun(to);
                let seen = self.seen(lane, number);
                let chain = lane.decode_chain(number).seen(seen);
                let split = &mut self.gap.split;
                split.add(Cause::Own, chain.own);
                split.add(Cause::BatchGrowth, chain.batch_growth);
                split.add(Cause::PrefillInterference, chain.prefill);
                split.add(Cause::Communication, chain.communication);
                split.add(Cause::Host, chain.host);
                split.add(Cause::PipelineBubble, chain.bubble);
                split.add(Cause::DraftRejected, chain.rejected);
                visit.joined(id, number, seen);
            }
        }
        self.is_in(to, lane.log.end(number), false);
    }

    /// The iteration before, where this one is the next decode step of the same lane.
    fn goes_on(&self, id: LaneId, number: IterationNo, to: BatchNo) -> Option<IterationNo> {
        if self.lost.last().is_some_and(|&lost| lost <= to) {
            return None;
        }
        let (lane, before) = self.order.place(self.at?);
        let steps = &self.lane(id).decode_steps;
        let last = steps.from(number).before().map(|step| steps.at(step));
        (lane == id && last.is_none_or(|last| last <= before)).then_some(before)
    }

    fn chunk(&mut self, at: ChunkAt, batch: BatchNo, visit: &mut impl Visit) {
        let lane = self.lane(at.lane);
        let seen = self.seen(lane, at.iteration);
        let (chunk, chain) = lane.prefill(at);
        let chain = chain.seen(seen);
        let own = if chunk.context < self.had { Cause::Recompute } else { Cause::Own };
        lane.add_prefill(chain, own, &mut self.gap.split);
        if own == Cause::Own {
            let ns = self.evicted.part(self.request, chunk, chain.own);
            self.gap.split.move_to_evicted(ns);
        }
        visit.chunk(at, seen);
        self.is_in(batch, lane.log.end(at.iteration), !chunk.samples);
    }

    /// What of an iteration is not told yet.
    fn seen(&self, lane: &LaneColumns<'_>, number: IterationNo) -> Seen {
        let of = lane.lasted(number);
        Seen { ns: lane.log.end(number).since(self.told).as_nanos().min(of), of }
    }

    fn is_in(&mut self, batch: BatchNo, end: Time, prefilling: bool) {
        (self.at, self.told, self.prefilling) = (Some(batch), end, prefilling);
    }

    /// Up to the start of a batch that it is in.
    fn until_begun(&mut self, batch: BatchNo) {
        let (id, number) = self.order.place(batch);
        let lane = self.lane(id);
        let host = lane.tail_before(number);
        let lost = self.lost.last().copied().filter(|&lost| lost <= batch);
        self.until(lane.log.start(number), (lost, host), batch);
    }

    /// Up to an instant before batch `next`, which the engine took `host` to send.
    fn until(&mut self, until: Time, (lost, host): (Option<BatchNo>, u64), next: BatchNo) {
        match (self.at, lost) {
            (None, _) => self.queued(until, host, next),
            (Some(at), None) => self.without(at, until, host),
            (Some(at), Some(lost)) => {
                let gone = self.order.begins(lost).max(self.told).min(until);
                self.without(at, gone, 0);
                self.take(Cause::PreemptedWaiting, until);
                while self.lost.last().is_some_and(|&lost| lost <= next) {
                    self.lost.pop();
                }
                self.has_lost();
            }
        }
    }

    /// What is computed again from now on.
    fn has_lost(&mut self) {
        if self.gap.token > 0 {
            self.had = u32::MAX;
        } else if self.had == 0 {
            let done = self.all_chunks.len() - self.chunks.len();
            let tokens = |&at: &ChunkAt| {
                let (chunk, _) = self.lane(at.lane).prefill(at);
                chunk.context + chunk.tokens
            };
            // The chunk that comes next is not done yet.
            let done = &self.all_chunks[..done.saturating_sub(1)];
            self.had = done.iter().map(tokens).max().unwrap_or(0);
        }
    }

    /// From where it is told to an instant: all of it under one cause.
    fn take(&mut self, cause: Cause, until: Time) {
        if until > self.told {
            self.gap.split.add(cause, until.since(self.told).as_nanos());
            self.told = until;
        }
    }

    /// The same, where the engine itself was busy for so much of it.
    fn wait_for_turn(&mut self, until: Time, host: u64) {
        if until > self.told {
            let ns = until.since(self.told).as_nanos();
            let host = host.min(ns);
            self.gap.split.add(Cause::Host, host);
            self.gap.split.add(Cause::PipelineBubble, ns - host);
            self.told = until;
        }
    }

    /// Running, and in no batch after `at` before an instant.
    fn without(&mut self, at: BatchNo, until: Time, host: u64) {
        if until <= self.told {
            return;
        }
        let turn = if self.prefilling {
            // It could have been in the next batch.
            self.order.begins(at.next())
        } else {
            let (id, number) = self.order.place(at);
            let log = self.lane(id).log;
            let next = number.next();
            if next < log.numbers().end { log.start(next) } else { until }
        };
        let turn = turn.max(self.told).min(until);
        self.wait_for_turn(turn, if turn == until { host } else { 0 });
        if self.prefilling && until > self.told {
            self.order.passed_over(self.told, until, &mut self.gap.split);
            self.told = until;
        }
        self.take(Cause::NoTokenBudget, until);
    }

    /// From its arrival, in the queue up to an instant before batch `to`.
    fn queued(&mut self, until: Time, host: u64, to: BatchNo) {
        let arrival = self.entered;
        let first = self.order.begun_before(arrival).min(to);
        let log = |lane: LaneId| self.lane(lane).log;
        let seen = self.order.formed_from((first, to), arrival, log);
        let begun = self.order.begins(first).min(until);
        match self.order.runs_at(arrival) {
            true => {
                let host = if first == to { host } else { 0 };
                let host = host.min(begun.since(arrival).as_nanos());
                self.gap.split.add(Cause::Host, host);
                let rest = begun.since(arrival).as_nanos() - host;
                self.gap.split.add(Cause::StepInFlight, rest);
                self.told = begun;
            }
            // Nothing was in its way: the engine formed the batch, and sent it.
            false => self.take(Cause::Host, begun),
        }
        self.take(Cause::ScheduledAhead, self.order.begins(seen).min(until));
        if until > self.told {
            self.order.waited(self.told, until, &mut self.gap.split);
            self.told = until;
        }
    }

    /// From the last token, or the arrival, to the end of observation. What it did in a batch that
    /// still ran is cut off.
    fn open_gap(&mut self, visit: &mut impl Visit) {
        let from = match self.row.first_token {
            Time::NEVER => self.row.arrival,
            _ => self.told,
        };
        let to = self.trace.end.max(self.told);
        let behind = self.order.behind();
        let mut cut = false;
        while let Some((&chunk, rest)) = self.chunks.split_first() {
            let log = self.lane(chunk.lane).log;
            if log.start(chunk.iteration) > to {
                break;
            }
            self.chunks = rest;
            let batch = self.order.batch(chunk.lane, chunk.iteration);
            self.until_begun(batch);
            if log.end(chunk.iteration) > to {
                cut = true;
                break;
            }
            self.chunk(chunk, batch, visit);
        }
        if !cut {
            let lost = self.lost.last().copied().filter(|&lost| self.order.begins(lost) <= to);
            let begun = self.order.begun_before(self.entered) < behind;
            if self.at.is_some() && lost.is_some() || self.at.is_none() && begun {
                self.until(to, (lost, 0), behind);
            }
        }
        self.take(Cause::CutOff, to);
        self.close(from, to, visit);
    }
}

impl Gap {
    /// That before a first token, of which the time at the front end is told.
    pub(super) fn behind_front_end(arrival: Time, entered: Time) -> Gap {
        let mut gap = Gap::before(0, arrival);
        gap.split.add(Cause::FrontEnd, entered.since(arrival).as_nanos());
        gap
    }

    /// One of which nothing is told yet.
    pub(super) fn before(token: u32, from: Time) -> Gap {
        Gap { token, from, to: from, split: Split::ZERO }
    }
}
