//! Sums over one lane's iterations (a replica has one lane, or one a pipeline stage), by cause.
//! They are kept at every sixteenth iteration, and what each iteration added in a few bytes: any
//! stretch of time is the difference of two sums, each a few additions away from a kept one.

use std::ops::Range;

use super::cause::{Cause, Split};
use super::chain::{DecodeChain, PrefillChain, Pricer, Seen};
use super::decode_steps::DecodeSteps;
use super::parts::{PartsColumn, Sums};
use super::recording::RecordedPool;
use crate::ids::{DecodeStepNo, IterationNo};
use crate::replica::Held;
use crate::time::Time;
use crate::trace::{ChunkAt, ChunkRecord, Iteration, Log};

/// Causes between two tokens of a request that decodes in every decode step.
pub const DECODING: [Cause; 10] = [
    Cause::Own,
    Cause::BatchGrowth,
    Cause::PrefillInterference,
    Cause::PrefillOnly,
    Cause::Communication,
    Cause::Host,
    Cause::Idle,
    Cause::PipelineBubble,
    Cause::LockstepWait,
    Cause::DraftRejected,
];

/// Why requests wait, by what the policy said.
pub const HELD: [Cause; 5] = [
    Cause::NoSeat,
    Cause::NoKvBlocks,
    Cause::NoTokenBudget,
    Cause::PolicyDeferred,
    Cause::PipelineBubble,
];

/// The iterations of one replica and their sums.
pub(super) struct LaneColumns<'a> {
    /// The iterations.
    pub log: &'a Log,
    /// What its replica is.
    pub pool: RecordedPool<'a>,
    /// Whether other lanes share the replica with it. Only prefills, those of the other lanes
    /// included, have culprits then: lanes of a pipeline share seats and memory, and their
    /// iterations overlap, so who else was in the way is not told apart.
    pub staged: bool,
    /// Whether it steps with other ranks that share its experts, and waits for the slowest.
    pub in_step: bool,
    /// What came before every [`MARK`]th iteration: parts of it, and what held requests back.
    marks: Vec<Sums>,
    wait_marks: Vec<Waits>,
    /// What the log does not tell of each iteration.
    parts: PartsColumn,
    /// Iterations before which the lane stood idle, with the nanoseconds that it was idle up to
    /// there in all.
    idle: Vec<(IterationNo, u64)>,
    /// Iterations that are decode steps, in order.
    pub decode_steps: DecodeSteps,
    /// When observation ended: the reason that the last iteration gave stood until then.
    end: Time,
}

/// Iterations between two marks: more take less memory, and longer to sum up.
const MARK: u32 = 16;

/// Sums of what held requests back over iterations in a row, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    /// By [`HELD`], from the start of the first iteration to that of the one after the last, each
    /// iteration's under the reason that stood while it ran.
    held: [u64; 5],
    /// The same for running requests that were passed over: for want of token budget where others'
    /// chunks ran, by the policy's choice where none did.
    passed: [u64; 2],
}

impl<'a> LaneColumns<'a> {
    /// Sums up a replica's log; observation ended at `end`.
    pub(super) fn new(log: &'a Log, pool: RecordedPool<'a>, end: Time) -> LaneColumns<'a> {
        let marks = log.len() / MARK as usize + 1;
        let mut lane = LaneColumns {
            log,
            pool,
            staged: pool.cost.stages() > 1,
            in_step: pool.in_step > 1,
            marks: Vec::with_capacity(marks),
            wait_marks: Vec::with_capacity(marks),
            parts: PartsColumn::with_capacity(log.len(), log.chunks()),
            idle: Vec::new(),
            decode_steps: DecodeSteps::default(),
            end,
        };
        let mut pricer = Pricer::of(&pool);
        let (mut sums, mut waits) = (Sums::default(), Waits::default());
        let mut before: Option<Iteration<'_>> = None;
        for (first, numbers) in log.stretches() {
            // A stretch stands under one reason.
            if let Some(before) = &before {
                waits.add(before, first.start);
            }
            lane.add_idle(numbers.start, first.start);
            lane.add_stretch(numbers.clone(), &first, &mut pricer, (&mut sums, &waits));
            lane.decode_steps.extend(numbers, first.decodes > 0);
            before = Some(first);
        }
        let behind = log.numbers().end;
        if let Some(before) = &before {
            waits.add(before, lane.begins(behind));
        }
        if behind.0.is_multiple_of(MARK) {
            lane.marks.push(sums);
            lane.wait_marks.push(waits);
        }
        lane
    }

    /// Adds iterations that repeat `first` to what is kept and to sums of all before them.
    fn add_stretch(
        &mut self,
        numbers: Range<IterationNo>,
        first: &Iteration<'_>,
        pricer: &mut Pricer<'_>,
        (sums, waits): (&mut Sums, &Waits),
    ) {
        let steady = pricer.steady(first);
        let steady = steady.filter(|_| !self.log.has_tails() && !self.log.has_drafts());
        let (mut number, mut start) = (numbers.start, first.start);
        while number < numbers.end {
            if number.0.is_multiple_of(MARK) {
                let mut waits = *waits;
                waits.add(first, start);
                self.marks.push(*sums);
                self.wait_marks.push(waits);
            }
            let until = mark_of(number).after(MARK).min(numbers.end);
            let ends = self.log.ends(number..until);
            let priced = steady.is_some_and(|steady| {
                let kv = steady.kv + u64::from(number.since(numbers.start));
                self.parts.extend(&steady, start, ends, pricer.singles(kv), sums)
            });
            if !priced {
                self.add_one_by_one(number..until, pricer, sums);
            }
            (number, start) = (until, self.log.free_before(until));
        }
    }

    fn add_one_by_one(
        &mut self,
        numbers: Range<IterationNo>,
        pricer: &mut Pricer<'_>,
        sums: &mut Sums,
    ) {
        let mut chunks = Vec::new();
        let kept = (self.waits_for().is_some(), self.log.has_drafts());
        for (iteration, number) in self.log.range(numbers.clone()).zip(numbers.start.onwards()) {
            let decoded = iteration.decodes > 0;
            let chain = pricer.chains(&iteration, &mut chunks);
            self.parts.push(&chain, decoded, kept);
            sums.add(&chain, decoded);
            sums.host += self.tail_before(number);
        }
        self.parts.push_chunks(&chunks);
    }

    fn add_idle(&mut self, number: IterationNo, start: Time) {
        let Some(before) = number.before() else { return };
        let idle = start.since(self.log.free(before)).as_nanos();
        if idle > 0 {
            let sum = self.idle.last().map_or(0, |&(_, sum)| sum);
            self.idle.push((number, sum + idle));
        }
    }

    /// Idle time before the iterations up to this one, that one left out.
    fn idle_before(&self, number: IterationNo) -> u64 {
        let after = self.idle.partition_point(|&(at, _)| at < number);
        after.checked_sub(1).map_or(0, |last| self.idle[last].1)
    }

    /// Host work that the iteration before this one left to be done after its tokens.
    pub(super) fn tail_before(&self, number: IterationNo) -> u64 {
        number.before().map_or(0, |before| self.log.tail(before).as_nanos())
    }

    fn add_parts(&self, numbers: Range<IterationNo>, sums: &mut Sums) {
        self.parts.add(numbers.clone(), sums);
        if self.log.has_tails() {
            // Host work after the tokens before lies in this gap.
            let tails = IterationNo::each(numbers).map(|number| self.tail_before(number));
            sums.host += tails.sum::<u64>();
        }
    }

    /// Nanoseconds by [`DECODING`] of some iterations, from the tokens before the first to those of
    /// the last.
    fn decoded(&self, numbers: Range<IterationNo>) -> [u64; 10] {
        let Range { start: from, end: to } = numbers;
        let mut sums = Sums::default();
        if to.since(from) <= MARK {
            self.add_parts(from..to, &mut sums);
        } else {
            let before = |number: IterationNo| {
                let mark = mark_of(number);
                let mut sums = self.marks[mark_row(mark)];
                self.add_parts(mark..number, &mut sums);
                sums
            };
            sums = before(to).since(before(from));
        }
        let idle = self.idle_before(to) - self.idle_before(from);
        let begun = from.before().map(|before| self.log.end(before));
        let over = to.before().filter(|_| from < to).map(|last| self.log.end(last));
        let begun = || begun.unwrap_or_else(|| self.log.start(IterationNo::FIRST));
        let total = over.map_or(0, |over| over.since(begun()).as_nanos());
        let own = total - idle - sums.total();
        let Sums {
            batch_growth,
            prefill_interference,
            prefill_only,
            communication,
            host,
            bubble,
            rejected,
        } = sums;
        // In a pipeline stage 0 is another lane's meanwhile.
        // A rank that steps with others runs a dummy batch while they run theirs. What a step waited for KV
        // stands with what it waited for before it began.
        let (idle, bubble, waited) = match (self.staged, self.in_step) {
            (true, _) => (0, bubble + idle, 0),
            (false, true) => (0, 0, bubble + idle),
            (false, false) => (idle + bubble, 0, 0),
        };
        [
            own,
            batch_growth,
            prefill_interference,
            prefill_only,
            communication,
            host,
            idle,
            bubble,
            waited,
            rejected,
        ]
    }

    /// What held requests back in some iterations.
    fn waits(&self, numbers: Range<IterationNo>) -> Waits {
        let Range { start: from, end: to } = numbers;
        if to.since(from) <= MARK {
            let mut sum = Waits::default();
            self.add_waits(from..to, &mut sum);
            return sum;
        }
        let before = |number: IterationNo| {
            let mark = mark_of(number);
            let mut sum = self.wait_marks[mark_row(mark)];
            self.add_waits(mark..number, &mut sum);
            sum
        };
        let (before, after) = (before(from), before(to));
        Waits {
            held: std::array::from_fn(|column| after.held[column] - before.held[column]),
            passed: std::array::from_fn(|column| after.passed[column] - before.passed[column]),
        }
    }

    fn add_waits(&self, numbers: Range<IterationNo>, waits: &mut Waits) {
        let behind = numbers.end;
        let mut before: Option<Iteration<'_>> = None;
        for iteration in self.log.range(numbers) {
            if let Some(before) = &before {
                waits.add(before, iteration.start);
            }
            before = Some(iteration);
        }
        if let Some(last) = &before {
            waits.add(last, self.begins(behind));
        }
    }

    /// The iteration that brought tokens at this instant.
    pub(super) fn iteration_at(&self, tokens: Time) -> IterationNo {
        self.log.with_tokens_at(tokens).expect("tokens come at the end of an iteration")
    }

    /// From the tokens of iteration `from` to those of iteration `to`, for a request that decodes
    /// in every decode step between.
    pub(super) fn decoding(&self, from: IterationNo, to: IterationNo, into: &mut Split) {
        let causes = self.decoding_causes();
        for (cause, ns) in causes.into_iter().zip(self.decoding_row(from, to)) {
            into.add(cause, ns);
        }
    }

    /// The gap that ends with a decode step, for a request that was in the decode step before too.
    pub(super) fn decode_step(&self, decode_step: DecodeStepNo) -> Split {
        let (from, to) = self.decode_step_gap(decode_step);
        let mut split = Split::ZERO;
        self.decoding(from, to, &mut split);
        split
    }

    /// The iterations of the decode step before and of a decode step, which is not the first.
    pub(super) fn decode_step_gap(&self, decode_step: DecodeStepNo) -> (IterationNo, IterationNo) {
        let before = decode_step.before().expect("a gap begins with a decode_step");
        (self.decode_steps.at(before), self.decode_steps.at(decode_step))
    }

    /// The time between tokens of all requests that decode in every decode step, where row i of
    /// `change` says how many more of them decode across iteration i than across the one before.
    pub(super) fn decoding_of_all(&self, change: &[i32], into: &mut Split) {
        let (mut from, mut requests) = (IterationNo::FIRST, 0_u64);
        let changes = IterationNo::FIRST.onwards().zip(change);
        for (number, &change) in changes.filter(|(_, change)| **change != 0) {
            if requests > 0 {
                let causes = self.decoding_causes();
                for (cause, ns) in causes.into_iter().zip(self.decoded(from..number)) {
                    into.add(cause, ns.saturating_mul(requests));
                }
            }
            from = number;
            requests = requests.checked_add_signed(change.into()).expect("who ends has begun");
        }
    }

    /// Nanoseconds by [`DECODING`] of the gap that ends with iteration `to` and began with the
    /// tokens of iteration `from`.
    pub(super) fn decoding_row(&self, from: IterationNo, to: IterationNo) -> [u64; 10] {
        self.decoded(from.next()..to.next())
    }

    /// The same stretch for a request that could decode and was in no batch: iterations of
    /// prefills alone are what they are; the rest was given to others.
    pub(super) fn missed(&self, from: IterationNo, to: IterationNo, into: &mut Split) {
        let all = self.decoding_row(from, to);
        into.add(Cause::PrefillOnly, all[3]);
        into.add(Cause::PipelineBubble, all[7]);
        into.add(Cause::LockstepWait, all[8]);
        into.add(Cause::NoTokenBudget, given_to_others(&all));
    }

    /// What an iteration adds to the want of token budget of one that could decode and was in no
    /// batch.
    pub(super) fn missed_for_budget(&self, number: IterationNo) -> u64 {
        given_to_others(&self.decoded(number..number.next()))
    }

    /// From the start of iteration `from` to that of iteration `to`, for a waiting request.
    pub(super) fn waited(&self, from: IterationNo, to: IterationNo, into: &mut Split) {
        for (cause, ns) in HELD.into_iter().zip(self.waits(from..to).held) {
            into.add(cause, ns);
        }
    }

    /// The same stretch for a running request whose prefill was passed over.
    pub(super) fn passed_over(&self, from: IterationNo, to: IterationNo, into: &mut Split) {
        let [beside_chunks, alone] = self.waits(from..to).passed;
        into.add(Cause::NoTokenBudget, beside_chunks);
        into.add(Cause::PolicyDeferred, alone);
    }

    /// How long the reason given at an iteration stood: from its start to the next one's.
    pub(super) fn stood(&self, number: IterationNo) -> u64 {
        self.over(number).since(self.log.start(number)).as_nanos()
    }

    /// When the iteration after this one begins, or observation ends.
    pub(super) fn over(&self, number: IterationNo) -> Time {
        let next = number.next();
        let over = match next < self.log.numbers().end {
            true => self.log.start(next).min(self.end),
            false => self.end,
        };
        over.max(self.log.start(number))
    }

    /// When an iteration begins; the one after the last never did before observation ended.
    pub(super) fn begins(&self, number: IterationNo) -> Time {
        match number.before() {
            None => self.log.get(number).map_or(self.end, |first| first.start),
            Some(before) => self.over(before),
        }
    }

    /// The first iteration that did not bring its tokens before observation ended: it was still
    /// running, or never began.
    pub(super) fn observed(&self) -> IterationNo {
        self.log.partition_point(|iteration| iteration.end <= self.end)
    }

    /// The iteration that still ran when observation ended.
    pub(super) fn unobserved(&self) -> Option<IterationNo> {
        self.begun().before().filter(|&last| last >= self.observed())
    }

    /// The first iteration that did not begin before observation ended, or the number behind the
    /// last.
    pub(super) fn begun(&self) -> IterationNo {
        self.log.partition_point(|iteration| iteration.start <= self.end)
    }

    /// From the start of an iteration to its tokens.
    pub(super) fn lasted(&self, number: IterationNo) -> u64 {
        self.log.end(number).since(self.log.start(number)).as_nanos()
    }

    /// A chunk, and its iteration as it sees it.
    pub(super) fn prefill(&self, at: ChunkAt) -> (&ChunkRecord, PrefillChain) {
        let row = self.log.chunk_row(at);
        let chain = self.parts.prefill(at.iteration, row, self.lasted(at.iteration));
        (self.log.chunk(row), chain)
    }

    /// Adds an iteration that computed a chunk to a gap, by causes: the chunk's own work under `own`.
    pub(super) fn add_prefill(&self, chain: PrefillChain, own: Cause, split: &mut Split) {
        split.add(own, chain.own);
        split.add(Cause::PrefillInterference, chain.others);
        split.add(Cause::DecodesAlongside, chain.decodes);
        split.add(Cause::Communication, chain.communication);
        split.add(Cause::Host, chain.host);
        split.add(self.waits_for().unwrap_or(Cause::PipelineBubble), chain.bubble);
        split.add(Cause::DraftRejected, chain.rejected);
    }

    /// An iteration as those who decode in it see it.
    pub(super) fn decode_chain(&self, number: IterationNo) -> DecodeChain {
        self.parts.decodes(number, self.lasted(number))
    }

    /// All of an iteration.
    pub(super) fn whole(&self, number: IterationNo) -> Seen {
        Seen::whole(self.lasted(number))
    }

    /// What an iteration was made of, from its start to its tokens: a decode alone, the other
    /// decodes, prefill, communication, host work, and in a pipeline waits between stages. They sum
    /// to its time.
    pub(super) fn parts(&self, number: IterationNo) -> Vec<(Cause, u64)> {
        let time = self.lasted(number);
        let chain = self.parts.decodes(number, time);
        let DecodeChain { own, batch_growth, communication, host, bubble, rejected, .. } = chain;
        let own = if self.log.at(number).decodes > 0 { own } else { 0 };
        let prefill = time - own - batch_growth - communication - host - bubble - rejected;
        let mut parts = vec![
            (Cause::Own, own),
            (Cause::BatchGrowth, batch_growth),
            (Cause::PrefillInterference, prefill),
            (Cause::Communication, communication),
            (Cause::Host, host),
        ];
        parts.extend(self.waits_for().map(|cause| (cause, bubble)));
        if self.log.has_drafts() {
            parts.push((Cause::DraftRejected, rejected));
        }
        parts
    }

    /// Why a lane runs nothing while a request of it runs: the step that comes waits for copies out of
    /// blocks that it takes.
    pub(super) fn idles_for(&self) -> Cause {
        if self.pool.tiers { Cause::KvLoad } else { Cause::Idle }
    }

    /// [`DECODING`], with this lane's reason to run nothing.
    pub(super) fn decoding_causes(&self) -> [Cause; DECODING.len()] {
        DECODING.map(|cause| if cause == Cause::Idle { self.idles_for() } else { cause })
    }

    /// What the time of an iteration beyond its own price is, where there is some.
    pub(super) fn waits_for(&self) -> Option<Cause> {
        match (self.staged, self.in_step) {
            (true, _) => Some(Cause::PipelineBubble),
            (false, true) => Some(Cause::LockstepWait),
            (false, false) => self.pool.loads_in_step.then_some(Cause::KvLoad),
        }
    }

    /// Waits for stage 0 before an iteration, and between stages in it.
    pub(super) fn pipeline_waits(&self, number: IterationNo) -> (u64, u64) {
        let idle = self.idle_before(number.next()) - self.idle_before(number);
        (idle, self.parts.bubble(number))
    }

    /// Delay by others' prefill that an iteration meant for each decoding request.
    pub(super) fn others_prefill(&self, number: IterationNo) -> u64 {
        let all = self.decoded(number..number.next());
        all[2] + all[3]
    }
}

/// What of a stretch by [`DECODING`] others were computed in beside those who decode: all but
/// prefill alone and waits for stages and ranks.
fn given_to_others(all: &[u64; 10]) -> u64 {
    all.iter().sum::<u64>() - all[3] - all[7] - all[8]
}

/// The last iteration up to this one before which sums are kept, or were.
fn mark_of(number: IterationNo) -> IterationNo {
    IterationNo(number.0 - number.0 % MARK)
}

/// Where the sums before a marked iteration are kept.
fn mark_row(mark: IterationNo) -> usize {
    (mark.0 / MARK) as usize
}

impl Waits {
    /// Adds an iteration, and those that repeat it, whose reason stood until then.
    fn add(&mut self, iteration: &Iteration<'_>, until: Time) {
        let stood = until.since(iteration.start).as_nanos();
        self.held[held_column(iteration.held)] += stood;
        self.passed[usize::from(iteration.chunks.is_empty())] += stood;
    }
}

/// The reason that stood while an iteration ran. A policy that gives none has passed a waiting
/// request over by its own choice.
pub(super) fn reason(iteration: &Iteration<'_>) -> Cause {
    HELD[held_column(iteration.held)]
}

/// The place in [`HELD`] of what the policy said.
pub(super) fn held_column(held: Option<Held>) -> usize {
    match held {
        Some(Held::NoSeat) => 0,
        // Nothing is admitted in a step that preempted, and it preempts for want of memory.
        Some(Held::NoKvBlocks | Held::Preempting) => 1,
        // Too little of the iteration's time was left.
        Some(Held::NoTokenBudget | Held::Sliver) => 2,
        Some(Held::Deferred | Held::Relegated | Held::SlackSaved) | None => 3,
        Some(Held::OtherLane) => 4,
    }
}
