//! Columns of running sums over one lane's iterations (a replica has one, or one a pipeline stage): any stretch of time, by cause, is the
//! difference of two rows, whatever lies between.

use super::attribution::RecordedPool;
use super::cause::{Cause, Split};
use super::chain::{PrefillChain, Pricer};
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
    /// Row i: nanoseconds by [`DECODING`] up to the tokens of iteration i - 1.
    decoding: Vec<[u64; 8]>,
    /// Row i: nanoseconds by [`HELD`] from the start of iteration 0 to that of iteration i, each
    /// iteration's under the reason that stood while it ran.
    held: Vec<[u64; 5]>,
    /// Row i: the same for running requests that were passed over: for want of token budget
    /// where others' chunks ran, by the policy's choice where none did.
    passed: Vec<[u64; 2]>,
    /// Iterations that are beats, in order.
    pub beats: Vec<u32>,
    /// Row i: beats before iteration i.
    beats_before: Vec<u32>,
    /// Row i: chunks before iteration i.
    pub chunks_before: Vec<u32>,
    /// Every chunk's own view of its iteration, in order.
    pub prefills: Vec<PrefillChain>,
}

impl<'a> LaneColumns<'a> {
    /// Sums up a replica's log.
    pub fn new(log: &'a [Iteration], pool: RecordedPool<'a>) -> LaneColumns<'a> {
        let mut pricer = Pricer::of(&pool);
        let rows = log.len() + 1;
        let mut lane = LaneColumns {
            log,
            pool,
            staged: pool.cost.stages() > 1,
            decoding: Vec::with_capacity(rows),
            held: Vec::with_capacity(rows),
            passed: Vec::with_capacity(rows),
            beats: Vec::new(),
            beats_before: Vec::with_capacity(rows),
            chunks_before: Vec::with_capacity(rows),
            prefills: Vec::new(),
        };
        let staged = lane.staged;
        let (mut decoding, mut held, mut passed) = ([0; 8], [0; 5], [0; 2]);
        lane.decoding.push(decoding);
        let mut free = log.first().map_or(Time::ZERO, |first| first.start);
        for (index, iteration) in log.iter().enumerate() {
            let chain = pricer.chains(iteration, &mut lane.prefills);
            let idle = iteration.start.since(free).as_nanos();
            // In a pipeline stage 0 is another lane's meanwhile.
            decoding[if staged { 7 } else { 6 }] += idle;
            decoding[7] += chain.bubble;
            if iteration.decodes > 0 {
                decoding[0] += chain.own;
                decoding[1] += chain.batch_growth;
                decoding[2] += chain.prefill;
                decoding[4] += chain.communication;
                decoding[5] += chain.host;
                lane.beats.push(index as u32);
            } else {
                decoding[3] += iteration.end.since(iteration.start).as_nanos() - chain.bubble;
            }
            lane.decoding.push(decoding);
            // Host work after the tokens lies in the next gap.
            decoding[5] += iteration.free.since(iteration.end).as_nanos();
            free = iteration.free;

            lane.held.push(held);
            lane.passed.push(passed);
            lane.chunks_before.push((lane.prefills.len() - iteration.chunks.len()) as u32);
            lane.beats_before.push(lane.beats.len() as u32 - u32::from(iteration.decodes > 0));
            let until = log.get(index + 1).map_or(iteration.free, |next| next.start);
            let lasted = until.since(iteration.start).as_nanos();
            held[column(reason(iteration))] += lasted;
            passed[usize::from(iteration.chunks.is_empty())] += lasted;
        }
        lane.held.push(held);
        lane.passed.push(passed);
        lane.chunks_before.push(lane.prefills.len() as u32);
        lane.beats_before.push(lane.beats.len() as u32);
        lane
    }

    /// The iteration that brought tokens at this instant.
    pub fn iteration_at(&self, tokens: Time) -> u32 {
        let at = self.log.binary_search_by_key(&tokens, |iteration| iteration.end);
        at.expect("tokens come at the end of an iteration") as u32
    }

    /// From the tokens of iteration `from` to those of iteration `to`, for a request that decodes
    /// in every beat between.
    pub fn decoding(&self, from: u32, to: u32, into: &mut Split) {
        let (before, after) = (&self.decoding[from as usize + 1], &self.decoding[to as usize + 1]);
        for (column, cause) in DECODING.into_iter().enumerate() {
            into.add(cause, after[column] - before[column]);
        }
    }

    /// Nanoseconds by [`DECODING`] of the gap that ends with iteration `to` and began with the
    /// tokens of iteration `from`.
    pub fn decoding_row(&self, from: u32, to: u32) -> [u64; 8] {
        let (before, after) = (&self.decoding[from as usize + 1], &self.decoding[to as usize + 1]);
        std::array::from_fn(|column| after[column] - before[column])
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
        let (before, after) = (&self.decoding[index as usize], &self.decoding[index as usize + 1]);
        let all = after.iter().sum::<u64>() - before.iter().sum::<u64>();
        all - (after[3] - before[3])
    }

    /// From the start of iteration `from` to that of iteration `to`, for a waiting request.
    pub fn waited(&self, from: u32, to: u32, into: &mut Split) {
        let (before, after) = (&self.held[from as usize], &self.held[to as usize]);
        for (column, cause) in HELD.into_iter().enumerate() {
            into.add(cause, after[column] - before[column]);
        }
    }

    /// The same stretch for a running request whose prefill was passed over.
    pub fn passed_over(&self, from: u32, to: u32, into: &mut Split) {
        let (before, after) = (&self.passed[from as usize], &self.passed[to as usize]);
        into.add(Cause::NoTokenBudget, after[0] - before[0]);
        into.add(Cause::PolicyDeferred, after[1] - before[1]);
    }

    /// Beats among the iterations `from..to`.
    pub fn beats_within(&self, from: u32, to: u32) -> u32 {
        self.beats_before[to as usize] - self.beats_before[from as usize]
    }

    /// How long the reason given at an iteration stood: from its start to the next one's.
    pub fn stood(&self, index: u32) -> u64 {
        let (before, after) = (&self.held[index as usize], &self.held[index as usize + 1]);
        after.iter().sum::<u64>() - before.iter().sum::<u64>()
    }

    /// What iteration `index` was made of, from its start to its tokens: a decode alone, the other
    /// decodes, prefill, communication, host work. They sum to its time.
    pub fn parts(&self, index: u32) -> [(Cause, u64); 5] {
        let place = index as usize;
        let iteration = &self.log[place];
        let time = iteration.end.since(iteration.start).as_nanos();
        let (own, growth, communication, host) = if iteration.decodes > 0 {
            let (before, after) = (&self.decoding[place], &self.decoding[place + 1]);
            let part = |column: usize| after[column] - before[column];
            // Host work after the tokens before lies in this row too.
            let tail = place.checked_sub(1).map_or(0, |before| {
                let before = &self.log[before];
                before.free.since(before.end).as_nanos()
            });
            (part(0), part(1), part(4), part(5) - tail)
        } else {
            let chain = &self.prefills[self.chunks_before[place] as usize];
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
        let (before, after) = (&self.decoding[index as usize], &self.decoding[index as usize + 1]);
        after[2] - before[2] + after[3] - before[3]
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
