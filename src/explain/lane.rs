//! Sums over one lane's iterations (a replica has one lane, or one a pipeline stage), by cause. They are
//! kept at every sixteenth iteration, and what each iteration added in a few bytes: any stretch of time
//! is the difference of two sums, each a few additions away from a kept one.

use super::beats::Beats;
use super::cause::{Cause, Split};
use super::chain::{DecodeChain, PrefillChain, Pricer};
use super::parts::{PartsColumn, Sums};
use super::recording::RecordedPool;
use crate::replica::Held;
use crate::time::Time;
use crate::trace::{ChunkRecord, Iteration, Log};

/// Causes between two tokens of a request that decodes in every beat.
pub const DECODING: [Cause; 8] = [
    Cause::Own,
    Cause::BatchGrowth,
    Cause::PrefillInterference,
    Cause::PrefillOnly,
    Cause::Communication,
    Cause::Host,
    Cause::Idle,
    Cause::PipelineBubble,
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
    /// included, have culprits then: lanes of a pipeline share seats and memory, and their iterations
    /// overlap, so who else was in the way is not told apart.
    pub staged: bool,
    /// What came before every [`MARK`]th iteration: parts of it, and what held requests back.
    marks: Vec<Sums>,
    wait_marks: Vec<Waits>,
    /// What the log does not tell of each iteration.
    parts: PartsColumn,
    /// Iterations before which the lane stood idle, with the nanoseconds that it was idle up to
    /// there in all.
    idle: Vec<(u32, u64)>,
    /// Iterations that are beats, in order.
    pub beats: Beats,
    /// When observation ended: the reason that the last iteration gave stood until then.
    end: Time,
}

/// Iterations between two marks: more take less memory, and longer to sum up.
const MARK: usize = 16;

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
        let mut lane = LaneColumns {
            log,
            pool,
            staged: pool.cost.stages() > 1,
            marks: Vec::with_capacity(log.len() / MARK + 1),
            wait_marks: Vec::with_capacity(log.len() / MARK + 1),
            parts: PartsColumn::with_capacity(log.len(), log.chunks()),
            idle: Vec::new(),
            beats: Beats::default(),
            end,
        };
        let mut pricer = Pricer::of(&pool);
        let (mut sums, mut waits) = (Sums::default(), Waits::default());
        let mut before: Option<Iteration<'_>> = None;
        for (first, from, to) in log.stretches() {
            // A stretch stands under one reason.
            if let Some(before) = &before {
                waits.add(before, first.start);
            }
            lane.add_idle(from, first.start);
            lane.add_stretch((from, to), &first, &mut pricer, (&mut sums, &waits));
            lane.beats.extend(from as u32, to as u32, first.decodes > 0);
            before = Some(first);
        }
        if let Some(before) = &before {
            waits.add(before, lane.over(log.len() - 1));
        }
        if log.len().is_multiple_of(MARK) {
            lane.marks.push(sums);
            lane.wait_marks.push(waits);
        }
        lane
    }

    /// Adds the iterations `from..to`, which repeat `first`, to what is kept and to sums of all
    /// before them.
    fn add_stretch(
        &mut self,
        (from, to): (usize, usize),
        first: &Iteration<'_>,
        pricer: &mut Pricer<'_>,
        (sums, waits): (&mut Sums, &Waits),
    ) {
        let steady = pricer.steady(first).filter(|_| !self.log.has_tails());
        let (mut place, mut start) = (from, first.start);
        while place < to {
            if place.is_multiple_of(MARK) {
                let mut waits = *waits;
                waits.add(first, start);
                self.marks.push(*sums);
                self.wait_marks.push(waits);
            }
            let until = to.min((place / MARK + 1) * MARK);
            let ends = self.log.ends(place, until);
            let priced = steady.is_some_and(|steady| {
                let kv = steady.kv + (place - from) as u64;
                self.parts.extend(&steady, start, ends, pricer.singles(kv), sums)
            });
            if !priced {
                self.add_one_by_one((place, until), pricer, sums);
            }
            (place, start) = (until, self.log.free(until - 1));
        }
    }

    fn add_one_by_one(
        &mut self,
        (from, to): (usize, usize),
        pricer: &mut Pricer<'_>,
        sums: &mut Sums,
    ) {
        let mut chunks = Vec::new();
        for (iteration, place) in self.log.range(from, to).zip(from..) {
            let decoded = iteration.decodes > 0;
            let chain = pricer.chains(&iteration, &mut chunks);
            self.parts.push(&chain, decoded, self.staged);
            sums.add(&chain, decoded);
            sums.host += self.tail_before(place);
        }
        self.parts.push_chunks(&chunks);
    }

    fn add_idle(&mut self, place: usize, start: Time) {
        let Some(before) = place.checked_sub(1) else { return };
        let idle = start.since(self.log.free(before)).as_nanos();
        if idle > 0 {
            let sum = self.idle.last().map_or(0, |&(_, sum)| sum);
            self.idle.push((place as u32, sum + idle));
        }
    }

    /// Idle time before the iterations up to `place`, that one left out.
    fn idle_before(&self, place: usize) -> u64 {
        let after = self.idle.partition_point(|&(at, _)| (at as usize) < place);
        after.checked_sub(1).map_or(0, |last| self.idle[last].1)
    }

    /// Host work that the iteration before this one left to be done after its tokens.
    fn tail_before(&self, place: usize) -> u64 {
        place.checked_sub(1).map_or(0, |before| self.log.tail(before).as_nanos())
    }

    fn add_parts(&self, from: usize, to: usize, sums: &mut Sums) {
        self.parts.add(from, to, sums);
        if self.log.has_tails() {
            // Host work after the tokens before lies in this gap.
            sums.host += (from..to).map(|place| self.tail_before(place)).sum::<u64>();
        }
    }

    /// Nanoseconds by [`DECODING`] of the iterations `from..to`, from the tokens before the first
    /// to those of the last.
    fn decoded(&self, from: usize, to: usize) -> [u64; 8] {
        let mut sums = Sums::default();
        if to - from <= MARK {
            self.add_parts(from, to, &mut sums);
        } else {
            let before = |place: usize| {
                let mark = place / MARK;
                let mut sums = self.marks[mark];
                self.add_parts(mark * MARK, place, &mut sums);
                sums
            };
            sums = before(to).since(before(from));
        }
        let idle = self.idle_before(to) - self.idle_before(from);
        let begun = from.checked_sub(1).map(|before| self.log.end(before));
        let over = to.checked_sub(1).filter(|_| from < to).map(|last| self.log.end(last));
        let total = over
            .map_or(0, |over| over.since(begun.unwrap_or_else(|| self.log.start(0))).as_nanos());
        let own = total - idle - sums.total();
        let Sums { batch_growth, prefill_interference, prefill_only, communication, host, bubble } =
            sums;
        // In a pipeline stage 0 is another lane's meanwhile.
        let (idle, bubble) = if self.staged { (0, bubble + idle) } else { (idle, bubble) };
        [own, batch_growth, prefill_interference, prefill_only, communication, host, idle, bubble]
    }

    /// What held requests back in the iterations `from..to`.
    fn waits(&self, from: usize, to: usize) -> Waits {
        if to - from <= MARK {
            let mut sum = Waits::default();
            self.add_waits(from, to, &mut sum);
            return sum;
        }
        let before = |place: usize| {
            let mark = place / MARK;
            let mut sum = self.wait_marks[mark];
            self.add_waits(mark * MARK, place, &mut sum);
            sum
        };
        let (before, after) = (before(from), before(to));
        Waits {
            held: std::array::from_fn(|column| after.held[column] - before.held[column]),
            passed: std::array::from_fn(|column| after.passed[column] - before.passed[column]),
        }
    }

    fn add_waits(&self, from: usize, to: usize, waits: &mut Waits) {
        let mut before: Option<Iteration<'_>> = None;
        for iteration in self.log.range(from, to) {
            if let Some(before) = &before {
                waits.add(before, iteration.start);
            }
            before = Some(iteration);
        }
        if let Some(last) = &before {
            waits.add(last, self.over(to - 1));
        }
    }

    /// The iteration that brought tokens at this instant.
    pub(super) fn iteration_at(&self, tokens: Time) -> u32 {
        let at = self.log.place_of_tokens(tokens);
        at.expect("tokens come at the end of an iteration") as u32
    }

    /// From the tokens of iteration `from` to those of iteration `to`, for a request that decodes
    /// in every beat between.
    pub(super) fn decoding(&self, from: u32, to: u32, into: &mut Split) {
        for (cause, ns) in DECODING.into_iter().zip(self.decoding_row(from, to)) {
            into.add(cause, ns);
        }
    }

    /// The gap that ends with a beat, for a request that was in the beat before too.
    pub(super) fn beat(&self, beat: usize) -> Split {
        let mut split = Split::ZERO;
        self.decoding(self.beats.at(beat - 1), self.beats.at(beat), &mut split);
        split
    }

    /// The time between tokens of all requests that decode in every beat, where row i of `change`
    /// says how many more of them decode across iteration i than across the one before.
    pub(super) fn decoding_of_all(&self, change: &[i32], into: &mut Split) {
        let (mut from, mut requests) = (0, 0_u64);
        for (place, &change) in change.iter().enumerate().filter(|(_, change)| **change != 0) {
            if requests > 0 {
                for (cause, ns) in DECODING.into_iter().zip(self.decoded(from, place)) {
                    into.add(cause, ns.saturating_mul(requests));
                }
            }
            from = place;
            requests = requests.checked_add_signed(change.into()).expect("who ends has begun");
        }
    }

    /// Nanoseconds by [`DECODING`] of the gap that ends with iteration `to` and began with the
    /// tokens of iteration `from`.
    pub(super) fn decoding_row(&self, from: u32, to: u32) -> [u64; 8] {
        self.decoded(from as usize + 1, to as usize + 1)
    }

    /// The same stretch for a request that could decode and was in no batch: iterations of
    /// prefills alone are what they are; the rest was given to others.
    pub(super) fn missed(&self, from: u32, to: u32, into: &mut Split) {
        let all = self.decoding_row(from, to);
        into.add(Cause::PrefillOnly, all[3]);
        into.add(Cause::PipelineBubble, all[7]);
        let rest = all.iter().sum::<u64>() - all[3] - all[7];
        into.add(Cause::NoTokenBudget, rest);
    }

    /// The part of [`missed`](LaneColumns::missed) that iteration `index` brings and that is not
    /// prefill alone.
    pub(super) fn missed_beside_prefill(&self, index: u32) -> u64 {
        let all = self.decoded(index as usize, index as usize + 1);
        all.iter().sum::<u64>() - all[3]
    }

    /// From the start of iteration `from` to that of iteration `to`, for a waiting request.
    pub(super) fn waited(&self, from: u32, to: u32, into: &mut Split) {
        let waits = self.waits(from as usize, to as usize);
        for (cause, ns) in HELD.into_iter().zip(waits.held) {
            into.add(cause, ns);
        }
    }

    /// The same stretch for a running request whose prefill was passed over.
    pub(super) fn passed_over(&self, from: u32, to: u32, into: &mut Split) {
        let [beside_chunks, alone] = self.waits(from as usize, to as usize).passed;
        into.add(Cause::NoTokenBudget, beside_chunks);
        into.add(Cause::PolicyDeferred, alone);
    }

    /// Beats among the iterations `from..to`.
    pub(super) fn beats_within(&self, from: u32, to: u32) -> u32 {
        self.beats.before(to) - self.beats.before(from)
    }

    /// How long the reason given at an iteration stood: from its start to the next one's.
    pub(super) fn stood(&self, index: u32) -> u64 {
        self.over(index as usize).since(self.log.start(index as usize)).as_nanos()
    }

    /// When the iteration after this one begins, or observation ends.
    pub(super) fn over(&self, place: usize) -> Time {
        let next = match place + 1 < self.log.len() {
            true => self.log.start(place + 1).min(self.end),
            false => self.end,
        };
        next.max(self.log.start(place))
    }

    /// When an iteration begins; the one after the last never did before observation ended.
    pub(super) fn begins(&self, index: u32) -> Time {
        match index as usize {
            0 => self.log.get(0).map_or(self.end, |first| first.start),
            index => self.over(index - 1),
        }
    }

    /// How many iterations brought their tokens before observation ended: the others were still
    /// running, or never began.
    pub(super) fn observed(&self) -> u32 {
        self.log.partition_point(|iteration| iteration.end <= self.end) as u32
    }

    /// The iteration that still ran when observation ended.
    pub(super) fn unobserved(&self) -> Option<u32> {
        let last = self.begun().checked_sub(1)?;
        (last >= self.observed()).then_some(last)
    }

    /// How many iterations began before observation ended.
    pub(super) fn begun(&self) -> u32 {
        self.log.partition_point(|iteration| iteration.start <= self.end) as u32
    }

    /// From the start of iteration `index` to its tokens.
    fn lasted(&self, index: u32) -> u64 {
        self.log.end(index as usize).since(self.log.start(index as usize)).as_nanos()
    }

    /// The chunk of iteration `index` at this place, and the iteration as it sees it.
    pub(super) fn prefill(&self, index: u32, place: u32) -> (&ChunkRecord, PrefillChain) {
        let number = self.log.chunks_before(index as usize) + place as usize;
        let chain = self.parts.prefill(number, index as usize, self.lasted(index));
        (self.log.chunk(number), chain)
    }

    /// What iteration `index` was made of, from its start to its tokens: a decode alone, the other
    /// decodes, prefill, communication, host work, and in a pipeline waits between stages. They sum
    /// to its time.
    pub(super) fn parts(&self, index: u32) -> Vec<(Cause, u64)> {
        let time = self.lasted(index);
        let chain = self.parts.decodes(index as usize, time);
        let DecodeChain { own, batch_growth, communication, host, bubble, .. } = chain;
        let own = if self.log.at(index as usize).decodes > 0 { own } else { 0 };
        let prefill = time - own - batch_growth - communication - host - bubble;
        let mut parts = vec![
            (Cause::Own, own),
            (Cause::BatchGrowth, batch_growth),
            (Cause::PrefillInterference, prefill),
            (Cause::Communication, communication),
            (Cause::Host, host),
        ];
        parts.extend(self.staged.then_some((Cause::PipelineBubble, bubble)));
        parts
    }

    /// Waits for stage 0 before iteration `place`, and between stages in it.
    pub(super) fn pipeline_waits(&self, place: usize) -> (u64, u64) {
        let idle = self.idle_before(place + 1) - self.idle_before(place);
        (idle, self.parts.bubble(place))
    }

    /// Delay by others' prefill that iteration `index` meant for each decoding request.
    pub(super) fn others_prefill(&self, index: u32) -> u64 {
        let all = self.decoded(index as usize, index as usize + 1);
        all[2] + all[3]
    }
}

impl Waits {
    /// Adds an iteration, and those that repeat it, whose reason stood until then.
    fn add(&mut self, iteration: &Iteration<'_>, until: Time) {
        let stood = until.since(iteration.start).as_nanos();
        self.held[column(iteration.held)] += stood;
        self.passed[usize::from(iteration.chunks.is_empty())] += stood;
    }
}

/// The reason that stood while an iteration ran. A policy that gives none has passed a waiting
/// request over by its own choice.
pub(super) fn reason(iteration: &Iteration<'_>) -> Cause {
    HELD[column(iteration.held)]
}

/// The place in [`HELD`] of what the policy said.
fn column(held: Option<Held>) -> usize {
    match held {
        Some(Held::NoSeat) => 0,
        // Nothing is admitted in a step that preempted, and it preempts for want of memory.
        Some(Held::NoKvBlocks | Held::Preempting) => 1,
        Some(Held::NoTokenBudget) => 2,
        Some(Held::Deferred) | None => 3,
        Some(Held::OtherLane) => 4,
    }
}
