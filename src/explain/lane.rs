//! Sums over one lane's iterations (a replica has one lane, or one a pipeline stage), by cause. They are
//! kept at every sixteenth iteration, and what each iteration added in a few bytes: any stretch of time
//! is the difference of two sums, each a few additions away from a kept one.

use super::attribution::RecordedPool;
use super::cause::{Cause, Split};
use super::chain::{DecodeChain, PrefillChain, Pricer};
use super::parts::PartsColumn;
use crate::replica::Held;
use crate::time::Time;
use crate::trace::{Iteration, Log};

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
pub struct LaneColumns<'a> {
    /// The iterations.
    pub log: &'a Log,
    /// What its replica is.
    pub pool: RecordedPool<'a>,
    /// Whether other lanes share the replica with it. Only prefills have culprits then: lanes of a
    /// pipeline share seats and memory, and their iterations overlap, so who else was in the way is
    /// not told apart.
    pub staged: bool,
    /// What came before every [`MARK`]th iteration.
    marks: Vec<Row>,
    /// What the log does not tell of each iteration.
    parts: PartsColumn,
    /// Iterations that are beats, in order.
    pub beats: Vec<u32>,
}

/// Iterations between two marks: more take less memory, and longer to sum up.
const MARK: usize = 16;

/// Iterations of a stretch that are priced in one call.
const PRICED_TOGETHER: usize = 256;

/// Sums over iterations in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// Nanoseconds by [`DECODING`], from the tokens before the first iteration to those of the last.
    decoding: [u64; 8],
    waits: Waits,
}

/// Sums of what held requests back over iterations in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    /// Nanoseconds by [`HELD`], from the start of the first iteration to that of the one after the
    /// last, each iteration's under the reason that stood while it ran.
    held: [u64; 5],
    /// The same for running requests that were passed over: for want of token budget where others'
    /// chunks ran, by the policy's choice where none did.
    passed: [u64; 2],
}

impl<'a> LaneColumns<'a> {
    /// Sums up a replica's log.
    pub fn new(log: &'a Log, pool: RecordedPool<'a>) -> LaneColumns<'a> {
        let mut lane = LaneColumns {
            log,
            pool,
            staged: pool.cost.stages() > 1,
            marks: Vec::with_capacity(log.len() / MARK + 1),
            parts: PartsColumn::with_capacity(log.len(), log.chunks()),
            beats: Vec::with_capacity(log.len()),
        };
        let mut pricer = Pricer::of(&pool);
        let (mut chunks, mut owns) = (Vec::new(), Vec::new());
        let mut row = Row::default();
        let mut before: Option<Iteration<'_>> = None;
        let few = |(from, to): (usize, usize)| {
            (from..to).step_by(PRICED_TOGETHER).map(move |at| (at, to.min(at + PRICED_TOGETHER)))
        };
        for (from, to) in log.stretches().flat_map(few) {
            pricer.steady(&log.at(from), to - from, &mut owns);
            for (iteration, place) in log.range(from, to).zip(from..) {
                if let Some(before) = &before {
                    row.waits.add(before, iteration.start);
                }
                if place.is_multiple_of(MARK) {
                    lane.marks.push(row);
                }
                let chain = match owns.get(place - from) {
                    Some(&own) => pricer.steady_chain(&iteration, own),
                    None => pricer.chains(&iteration, &mut chunks),
                };
                lane.parts.push(&chain, lane.staged);
                lane.parts.push_chunks(&chunks);
                chunks.clear();
                if iteration.decodes > 0 {
                    lane.beats.push(place as u32);
                }
                add_decoding(&mut row.decoding, &iteration, before.as_ref(), &chain, lane.staged);
                before = Some(iteration);
            }
        }
        if let Some(before) = &before {
            row.waits.add(before, before.free);
        }
        if log.len().is_multiple_of(MARK) {
            lane.marks.push(row);
        }
        lane
    }

    fn add_decoding(&self, from: usize, to: usize, decoding: &mut [u64; 8]) {
        let mut before =
            from.checked_sub(1).filter(|_| from < to).map(|before| self.log.at(before));
        for (iteration, place) in self.log.range(from, to).zip(from..) {
            let lasted = iteration.end.since(iteration.start).as_nanos();
            let chain = self.parts.decodes(place, lasted);
            add_decoding(decoding, &iteration, before.as_ref(), &chain, self.staged);
            before = Some(iteration);
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
            waits.add(last, self.over(to - 1, last));
        }
    }

    /// Nanoseconds by [`DECODING`] of the iterations `from..to`.
    fn decoded(&self, from: usize, to: usize) -> [u64; 8] {
        if to - from <= MARK {
            let mut sum = [0; 8];
            self.add_decoding(from, to, &mut sum);
            return sum;
        }
        let before = |place: usize| {
            let mark = place / MARK;
            let mut sum = self.marks[mark].decoding;
            self.add_decoding(mark * MARK, place, &mut sum);
            sum
        };
        let (before, after) = (before(from), before(to));
        std::array::from_fn(|column| after[column] - before[column])
    }

    /// What held requests back in the iterations `from..to`.
    fn stretch(&self, from: usize, to: usize) -> Waits {
        if to - from <= MARK {
            let mut sum = Waits::default();
            self.add_waits(from, to, &mut sum);
            return sum;
        }
        let before = |place: usize| {
            let mark = place / MARK;
            let mut sum = self.marks[mark].waits;
            self.add_waits(mark * MARK, place, &mut sum);
            sum
        };
        let (before, after) = (before(from), before(to));
        Waits {
            held: std::array::from_fn(|column| after.held[column] - before.held[column]),
            passed: std::array::from_fn(|column| after.passed[column] - before.passed[column]),
        }
    }

    /// The iteration that brought tokens at this instant.
    pub fn iteration_at(&self, tokens: Time) -> u32 {
        let at = self.log.place_of_tokens(tokens);
        at.expect("tokens come at the end of an iteration") as u32
    }

    /// From the tokens of iteration `from` to those of iteration `to`, for a request that decodes
    /// in every beat between.
    pub fn decoding(&self, from: u32, to: u32, into: &mut Split) {
        for (cause, ns) in DECODING.into_iter().zip(self.decoding_row(from, to)) {
            into.add(cause, ns);
        }
    }

    /// Nanoseconds by [`DECODING`] of the gap that ends with iteration `to` and began with the
    /// tokens of iteration `from`.
    pub fn decoding_row(&self, from: u32, to: u32) -> [u64; 8] {
        self.decoded(from as usize + 1, to as usize + 1)
    }

    /// The same stretch for a request that could decode and was in no batch: iterations of
    /// prefills alone are what they are; the rest was given to others.
    pub fn missed(&self, from: u32, to: u32, into: &mut Split) {
        let all = self.decoding_row(from, to);
        into.add(Cause::PrefillOnly, all[3]);
        into.add(Cause::PipelineBubble, all[7]);
        let rest = all.iter().sum::<u64>() - all[3] - all[7];
        into.add(Cause::NoTokenBudget, rest);
    }

    /// The part of [`missed`](LaneColumns::missed) that iteration `index` brings and that is not
    /// prefill alone.
    pub fn missed_beside_prefill(&self, index: u32) -> u64 {
        let all = self.decoded(index as usize, index as usize + 1);
        all.iter().sum::<u64>() - all[3]
    }

    /// From the start of iteration `from` to that of iteration `to`, for a waiting request.
    pub fn waited(&self, from: u32, to: u32, into: &mut Split) {
        let waits = self.stretch(from as usize, to as usize);
        for (cause, ns) in HELD.into_iter().zip(waits.held) {
            into.add(cause, ns);
        }
    }

    /// The same stretch for a running request whose prefill was passed over.
    pub fn passed_over(&self, from: u32, to: u32, into: &mut Split) {
        let [beside_chunks, alone] = self.stretch(from as usize, to as usize).passed;
        into.add(Cause::NoTokenBudget, beside_chunks);
        into.add(Cause::PolicyDeferred, alone);
    }

    /// Beats among the iterations `from..to`.
    pub fn beats_within(&self, from: u32, to: u32) -> u32 {
        let before = |index: u32| self.beats.partition_point(|&beat| beat < index);
        (before(to) - before(from)) as u32
    }

    /// How long the reason given at an iteration stood: from its start to the next one's.
    pub fn stood(&self, index: u32) -> u64 {
        let iteration = self.log.at(index as usize);
        self.over(index as usize, &iteration).since(iteration.start).as_nanos()
    }

    /// When the iteration after this one begins, or could.
    fn over(&self, place: usize, iteration: &Iteration<'_>) -> Time {
        if place + 1 < self.log.len() { self.log.start(place + 1) } else { iteration.free }
    }

    /// Iteration `index` as its chunk at this place sees it.
    pub fn prefill(&self, index: u32, place: u32) -> PrefillChain {
        let at = index as usize;
        self.parts.prefill(at, self.lasted(index), self.log.chunks_before(at) + place as usize)
    }

    /// From the start of an iteration to its tokens, in nanoseconds.
    fn lasted(&self, index: u32) -> u64 {
        self.log.end(index as usize).since(self.log.start(index as usize)).as_nanos()
    }

    /// What iteration `index` was made of, from its start to its tokens: a decode alone, the other
    /// decodes, prefill, communication, host work. They sum to its time.
    pub fn parts(&self, index: u32) -> [(Cause, u64); 5] {
        let time = self.lasted(index);
        let chain = self.parts.decodes(index as usize, time);
        let DecodeChain { own, batch_growth, communication, host, .. } = chain;
        let own = if self.log.at(index as usize).decodes > 0 { own } else { 0 };
        let prefill = time - own - batch_growth - communication - host;
        [
            (Cause::Own, own),
            (Cause::BatchGrowth, batch_growth),
            (Cause::PrefillInterference, prefill),
            (Cause::Communication, communication),
            (Cause::Host, host),
        ]
    }

    /// Delay by others' prefill that iteration `index` meant for each decoding request.
    pub fn others_prefill(&self, index: u32) -> u64 {
        let all = self.decoded(index as usize, index as usize + 1);
        all[2] + all[3]
    }
}

/// Adds an iteration to a sum of those before it. `before` is the last of them.
#[inline]
fn add_decoding(
    decoding: &mut [u64; 8],
    iteration: &Iteration<'_>,
    before: Option<&Iteration<'_>>,
    chain: &DecodeChain,
    staged: bool,
) {
    let idle = before.map_or(0, |before| iteration.start.since(before.free).as_nanos());
    let tail = before.map_or(0, |before| before.free.since(before.end).as_nanos());
    // In a pipeline stage 0 is another lane's meanwhile.
    decoding[if staged { 7 } else { 6 }] += idle;
    decoding[7] += chain.bubble;
    if iteration.decodes > 0 {
        decoding[0] += chain.own;
        decoding[1] += chain.batch_growth;
        decoding[2] += chain.prefill;
        decoding[4] += chain.communication;
        decoding[5] += chain.host;
    } else {
        let lasted = iteration.end.since(iteration.start).as_nanos();
        decoding[3] += lasted - chain.bubble;
    }
    // Host work after the tokens before lies in this gap.
    decoding[5] += tail;
}

impl Waits {
    /// Adds an iteration whose reason stood up to `until`.
    fn add(&mut self, iteration: &Iteration<'_>, until: Time) {
        let stood = until.since(iteration.start).as_nanos();
        self.held[column(iteration.held)] += stood;
        self.passed[usize::from(iteration.chunks.is_empty())] += stood;
    }
}

/// The reason that stood while an iteration ran. A policy that gives none has passed a waiting
/// request over by its own choice.
pub fn reason(iteration: &Iteration<'_>) -> Cause {
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
