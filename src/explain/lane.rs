//! Sums over one lane's iterations (a replica has one lane, or one a pipeline stage), by cause. They are
//! kept at every eighth iteration, and what each iteration added in a few bytes: any stretch of time is
//! the difference of two sums, each a few additions away from a kept one.

use rustc_hash::FxHashMap;

use super::attribution::RecordedPool;
use super::cause::{Cause, Split};
use super::chain::{DecodeChain, PrefillChain, Pricer};
use crate::replica::Held;
use crate::time::Time;
use crate::trace::Iteration;

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
    pub log: &'a [Iteration],
    /// What its replica is.
    pub pool: RecordedPool<'a>,
    /// Whether other lanes share the replica with it. Only prefills have culprits then: lanes of a
    /// pipeline share seats and memory, and their iterations overlap, so who else was in the way is
    /// not told apart.
    pub staged: bool,
    /// What came before every [`MARK`]th iteration.
    marks: Vec<Row>,
    /// What the log does not tell of each iteration.
    parts: Vec<Parts>,
    /// The same of those that are too long for it.
    long: FxHashMap<u32, Long>,
    /// Waiting between pipeline stages in each iteration; nothing without stages.
    bubbles: Vec<u64>,
    /// Iterations that are beats, in order.
    pub beats: Vec<u32>,
    /// Every chunk's own view of its iteration, in order.
    pub prefills: Vec<PrefillChain>,
}

/// Iterations between two marks: more take less memory, and longer to sum up.
const MARK: usize = 8;

/// Sums over iterations in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// Nanoseconds by [`DECODING`], from the tokens before the first iteration to those of the last.
    decoding: [u64; 8],
    /// Nanoseconds by [`HELD`], from the start of the first iteration to that of the one after the
    /// last, each iteration's under the reason that stood while it ran.
    held: [u64; 5],
    /// The same for running requests that were passed over: for want of token budget where others'
    /// chunks ran, by the policy's choice where none did.
    passed: [u64; 2],
    beats: u32,
    chunks: u32,
}

/// Parts of one iteration in nanoseconds; the rest is a decode's own.
#[derive(Clone, Copy, Debug)]
struct Parts {
    batch_growth: u32,
    prefill: u32,
    communication: u32,
    /// [`LONG`] where one of the parts is too long.
    host: u32,
}

type Long = [u64; 4];

const LONG: u32 = u32::MAX;

impl<'a> LaneColumns<'a> {
    /// Sums up a replica's log.
    pub fn new(log: &'a [Iteration], pool: RecordedPool<'a>) -> LaneColumns<'a> {
        let mut pricer = Pricer::of(&pool);
        let mut lane = LaneColumns {
            log,
            pool,
            staged: pool.cost.stages() > 1,
            marks: Vec::with_capacity(log.len() / MARK + 1),
            parts: Vec::with_capacity(log.len()),
            long: FxHashMap::default(),
            bubbles: Vec::new(),
            beats: Vec::new(),
            prefills: Vec::new(),
        };
        let mut row = Row::default();
        for (index, iteration) in log.iter().enumerate() {
            if index.is_multiple_of(MARK) {
                lane.marks.push(row);
            }
            let chain = pricer.chains(iteration, &mut lane.prefills);
            lane.keep(index, &chain);
            if iteration.decodes > 0 {
                lane.beats.push(index as u32);
            }
            lane.add(index, &mut row);
        }
        if log.len().is_multiple_of(MARK) {
            lane.marks.push(row);
        }
        lane
    }

    fn keep(&mut self, index: usize, chain: &DecodeChain) {
        let all = [chain.batch_growth, chain.prefill, chain.communication, chain.host];
        let short = |ns: u64| u32::try_from(ns).ok().filter(|&ns| ns != LONG);
        let parts = match all.map(short) {
            [Some(batch_growth), Some(prefill), Some(communication), Some(host)] => {
                Parts { batch_growth, prefill, communication, host }
            }
            _ => {
                self.long.insert(index as u32, all);
                Parts { batch_growth: 0, prefill: 0, communication: 0, host: LONG }
            }
        };
        self.parts.push(parts);
        if self.staged {
            self.bubbles.push(chain.bubble);
        }
    }

    /// Batch growth, prefill, communication and host work of an iteration.
    fn parts_of(&self, index: usize) -> Long {
        let Parts { batch_growth, prefill, communication, host } = self.parts[index];
        match host {
            LONG => self.long[&(index as u32)],
            _ => [batch_growth, prefill, communication, host].map(u64::from),
        }
    }

    /// Adds iteration `index` to a sum of those before it.
    fn add(&self, index: usize, row: &mut Row) {
        let iteration = &self.log[index];
        self.add_decoding(index, &mut row.decoding);
        self.add_waits(index, row);
        row.beats += u32::from(iteration.decodes > 0);
        row.chunks += iteration.chunks.len() as u32;
    }

    fn add_decoding(&self, index: usize, decoding: &mut [u64; 8]) {
        let iteration = &self.log[index];
        let before = index.checked_sub(1).map(|before| &self.log[before]);
        let idle = before.map_or(0, |before| iteration.start.since(before.free).as_nanos());
        let tail = before.map_or(0, |before| before.free.since(before.end).as_nanos());
        let lasted = iteration.end.since(iteration.start).as_nanos();
        let bubble = self.bubbles.get(index).copied().unwrap_or(0);
        // In a pipeline stage 0 is another lane's meanwhile.
        decoding[if self.staged { 7 } else { 6 }] += idle;
        decoding[7] += bubble;
        if iteration.decodes > 0 {
            let [batch_growth, prefill, communication, host] = self.parts_of(index);
            decoding[0] += lasted - bubble - batch_growth - prefill - communication - host;
            decoding[1] += batch_growth;
            decoding[2] += prefill;
            decoding[4] += communication;
            decoding[5] += host;
        } else {
            decoding[3] += lasted - bubble;
        }
        // Host work after the tokens before lies in this gap.
        decoding[5] += tail;
    }

    fn add_waits(&self, index: usize, row: &mut Row) {
        let iteration = &self.log[index];
        let stood = self.stood(index as u32);
        row.held[column(reason(iteration))] += stood;
        row.passed[usize::from(iteration.chunks.is_empty())] += stood;
    }

    /// Nanoseconds by [`DECODING`] of the iterations `from..to`.
    fn decoded(&self, from: usize, to: usize) -> [u64; 8] {
        let sum = |mut row: [u64; 8], from: usize, to: usize| {
            (from..to).for_each(|index| self.add_decoding(index, &mut row));
            row
        };
        if to - from <= MARK {
            return sum([0; 8], from, to);
        }
        let before = |index: usize| {
            let mark = index / MARK;
            sum(self.marks[mark].decoding, mark * MARK, index)
        };
        let (before, after) = (before(from), before(to));
        std::array::from_fn(|column| after[column] - before[column])
    }

    /// Nanoseconds by [`HELD`] of the iterations `from..to`, and those of requests passed over.
    fn stretch(&self, from: usize, to: usize) -> ([u64; 5], [u64; 2]) {
        let sum = |mut row: Row, from: usize, to: usize| {
            (from..to).for_each(|index| self.add_waits(index, &mut row));
            row
        };
        if to - from <= MARK {
            let row = sum(Row::default(), from, to);
            return (row.held, row.passed);
        }
        let before = |index: usize| {
            let mark = index / MARK;
            sum(self.marks[mark], mark * MARK, index)
        };
        let (before, after) = (before(from), before(to));
        (
            std::array::from_fn(|column| after.held[column] - before.held[column]),
            std::array::from_fn(|column| after.passed[column] - before.passed[column]),
        )
    }

    /// Chunks before iteration `index`.
    pub fn chunks_before(&self, index: u32) -> usize {
        let mark = index as usize / MARK;
        let since = &self.log[mark * MARK..index as usize];
        let more: usize = since.iter().map(|iteration| iteration.chunks.len()).sum();
        self.marks[mark].chunks as usize + more
    }

    /// The iteration that brought tokens at this instant.
    pub fn iteration_at(&self, tokens: Time) -> u32 {
        let at = self.log.binary_search_by_key(&tokens, |iteration| iteration.end);
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
        let (held, _) = self.stretch(from as usize, to as usize);
        for (cause, ns) in HELD.into_iter().zip(held) {
            into.add(cause, ns);
        }
    }

    /// The same stretch for a running request whose prefill was passed over.
    pub fn passed_over(&self, from: u32, to: u32, into: &mut Split) {
        let (_, [beside_chunks, alone]) = self.stretch(from as usize, to as usize);
        into.add(Cause::NoTokenBudget, beside_chunks);
        into.add(Cause::PolicyDeferred, alone);
    }

    /// Beats among the iterations `from..to`.
    pub fn beats_within(&self, from: u32, to: u32) -> u32 {
        self.beats_before(to as usize) - self.beats_before(from as usize)
    }

    fn beats_before(&self, index: usize) -> u32 {
        let mark = index / MARK;
        let since = &self.log[mark * MARK..index];
        let more = since.iter().filter(|iteration| iteration.decodes > 0).count();
        self.marks[mark].beats + more as u32
    }

    /// How long the reason given at an iteration stood: from its start to the next one's.
    pub fn stood(&self, index: u32) -> u64 {
        let iteration = &self.log[index as usize];
        let next = self.log.get(index as usize + 1);
        next.map_or(iteration.free, |next| next.start).since(iteration.start).as_nanos()
    }

    /// What iteration `index` was made of, from its start to its tokens: a decode alone, the other
    /// decodes, prefill, communication, host work. They sum to its time.
    pub fn parts(&self, index: u32) -> [(Cause, u64); 5] {
        let place = index as usize;
        let iteration = &self.log[place];
        let time = iteration.end.since(iteration.start).as_nanos();
        let (own, growth, communication, host) = if iteration.decodes > 0 {
            let [growth, prefill, communication, host] = self.parts_of(place);
            let bubble = self.bubbles.get(place).copied().unwrap_or(0);
            let own = time - bubble - growth - prefill - communication - host;
            (own, growth, communication, host)
        } else {
            let chain = &self.prefills[self.chunks_before(index)];
            (0, 0, chain.communication, chain.host)
        };
        let prefill = time - own - growth - communication - host;
        [
            (Cause::Own, own),
            (Cause::BatchGrowth, growth),
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

/// The reason that stood while an iteration ran. A policy that gives none has passed a waiting
/// request over by its own choice.
pub fn reason(iteration: &Iteration) -> Cause {
    match iteration.held {
        Some(Held::NoSeat) => Cause::NoSeat,
        // Nothing is admitted in a step that preempted, and it preempts for want of memory.
        Some(Held::NoKvBlocks | Held::Preempting) => Cause::NoKvBlocks,
        Some(Held::NoTokenBudget) => Cause::NoTokenBudget,
        Some(Held::OtherLane) => Cause::PipelineBubble,
        Some(Held::Deferred) | None => Cause::PolicyDeferred,
    }
}

fn column(cause: Cause) -> usize {
    HELD.iter().position(|&held| held == cause).expect("a reason for waiting")
}
