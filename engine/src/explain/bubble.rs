//! Whose prefill made the bubbles of a pipeline.
//!
//! Micro-batches leave a pipeline in the order in which they began, so an iteration waits only for
//! iterations of other lanes that began before it: for stage 0 among those that went on after its
//! lane's last iteration was over, between stages among those that went on after it had begun. Each
//! of them is so ahead of one iteration of every other lane at most. Their chunks share the
//! iteration's waits in proportion to what each took, and at most that; the rest is nobody's. It
//! depends on the iteration alone: every request that sees a wait is delayed by the same shares.
//!
//! A request in the queue whose lane admits nobody because it is another lane's turn waits for what
//! runs in the other lanes meanwhile: the prefill chunks in it share that wait in proportion to the
//! part of each that lies within it, and at most that.

use std::ops::Range;

use super::cause::Cause;
use super::chain::Seen;
use super::chain::shares;
use super::lane::{LaneColumns, reason};
use super::tables::Tables;
use super::visit::{Visit, Wait};
use super::weights::chunk_weights;
use crate::ids::{IterationNo, LaneId};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::ChunkAt;

/// Shares in the waits of one lane's iterations, in order of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bubbles {
    all: Vec<Share>,
    turns: Vec<Turn>,
}

/// One chunk's share in the waits of an iteration of another lane, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// The iteration that waited.
    pub iteration: IterationNo,
    /// The chunk's request.
    pub request: RequestId,
    /// Tokens of the chunk.
    pub tokens: u32,
    /// When the chunk's iteration began: with the request it tells chunks apart.
    pub began: Time,
    /// Of the wait for stage 0 before the iteration.
    pub stage_0: u64,
    /// Of its waits between stages.
    pub between: u64,
}

/// One chunk's share in the wait of those in the queue, while it was another lane's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// The iteration of the waiting request's lane that ran meanwhile.
    pub iteration: IterationNo,
    /// The chunk's request.
    pub request: RequestId,
    /// Tokens of the chunk.
    pub tokens: u32,
    /// When the chunk's iteration began.
    pub began: Time,
    /// Nanoseconds.
    pub ns: u64,
}

/// An iteration that prefilled.
pub(super) struct Prefill {
    pub lane: LaneId,
    pub start: Time,
    end: Time,
    /// What each of its chunks took, in the log's order.
    pub chunks: Vec<Piece>,
}

/// What a chunk took.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub request: RequestId,
    pub tokens: u32,
    pub ns: u64,
}

impl Bubbles {
    /// `prefills` are those of the replica in order of their start.
    pub(super) fn new(lane: &LaneColumns<'_>, id: LaneId, prefills: &[Prefill]) -> Bubbles {
        let turns = turns(lane, id, prefills);
        let mut bubbles = Bubbles { all: Vec::new(), turns };
        let mut ahead: Vec<&Prefill> = Vec::new();
        let (mut next, behind) = (IterationNo::FIRST, lane.log.numbers().end);
        for prefill in prefills.iter().filter(|prefill| prefill.lane != id) {
            let began_before = |number| lane.log.start(number) <= prefill.start;
            if next < behind && began_before(next) {
                bubbles.share(lane, next, &ahead);
                ahead.clear();
                while next < behind && began_before(next) {
                    next = next.next();
                }
            }
            if next < behind && prefill.end > lane.log.free_before(next) {
                ahead.push(prefill);
            }
        }
        bubbles.share(lane, next, &ahead);
        bubbles
    }

    /// Shares the waits of one iteration among those ahead of it.
    fn share(&mut self, lane: &LaneColumns<'_>, iteration: IterationNo, ahead: &[&Prefill]) {
        if ahead.is_empty() {
            return;
        }
        let (stage_0, between) = lane.pipeline_waits(iteration);
        let start = lane.log.start(iteration);
        let pieces = || ahead.iter().flat_map(|prefill| &prefill.chunks);
        let began = ahead.iter().flat_map(|prefill| prefill.chunks.iter().map(|_| prefill.start));
        let in_flight = |prefill: &&&Prefill| prefill.end > start;
        let mut left: Vec<u64> = pieces().map(|piece| piece.ns).collect();
        let held: Vec<u64> = ahead
            .iter()
            .flat_map(|prefill| prefill.chunks.iter().map(move |piece| (prefill, piece)))
            .map(|(prefill, piece)| if in_flight(&prefill) { piece.ns } else { 0 })
            .collect();
        let sum = |ns: &[u64]| ns.iter().fold(0, |sum: u64, &ns| sum.saturating_add(ns));
        let mut both = vec![[0; 2]; left.len()];
        shares(between.min(sum(&held)), &held, None, |place, ns| {
            both[place][1] = ns;
            left[place] -= ns;
        });
        shares(stage_0.min(sum(&left)), &left, None, |place, ns| both[place][0] = ns);
        for ((piece, began), [stage_0, between]) in pieces().zip(began).zip(both) {
            if stage_0 + between > 0 {
                let &Piece { request, tokens, .. } = piece;
                self.all.push(Share { iteration, request, tokens, began, stage_0, between });
            }
        }
    }

    /// One more share, in order of iterations.
    pub(super) fn push(&mut self, share: Share) {
        self.all.push(share);
    }

    /// Every share.
    pub(super) fn all(&self) -> &[Share] {
        &self.all
    }

    /// Every share in waits for another lane's turn.
    pub(super) fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Shares in waits for another lane's turn from iteration `from` to before `to`.
    pub(super) fn turns_within(&self, from: IterationNo, to: IterationNo) -> &[Turn] {
        let before =
            |number: IterationNo| self.turns.partition_point(|turn| turn.iteration < number);
        &self.turns[before(from)..before(to)]
    }

    /// Shares in the waits of the iterations after `from` and up to `to`.
    pub(super) fn within(&self, from: IterationNo, to: IterationNo) -> &[Share] {
        let upto =
            |number: IterationNo| self.all.partition_point(|share| share.iteration <= number);
        &self.all[upto(from)..upto(to)]
    }

    /// Shares in the waits of one iteration.
    pub(super) fn at(&self, iteration: IterationNo) -> &[Share] {
        let before = self.all.partition_point(|share| share.iteration < iteration);
        let of = self.all[before..].iter().take_while(|share| share.iteration == iteration);
        &self.all[before..before + of.count()]
    }
}

/// Shares in the waits of those in the queue of lane `id` for another lane's turn.
fn turns(lane: &LaneColumns<'_>, id: LaneId, prefills: &[Prefill]) -> Vec<Turn> {
    let (mut turns, mut passed) = (Vec::new(), 0);
    for (first, numbers) in lane.log.stretches() {
        if first.waiting == 0 || reason(&first) != Cause::PipelineBubble {
            continue;
        }
        for iteration in IterationNo::each(numbers) {
            let (start, over) = (lane.log.start(iteration), lane.over(iteration));
            while prefills.get(passed).is_some_and(|prefill| prefill.end <= start) {
                passed += 1;
            }
            let meanwhile = prefills[passed..].iter().take_while(|prefill| prefill.start < over);
            let others: Vec<&Prefill> =
                meanwhile.filter(|prefill| prefill.lane != id && prefill.end > start).collect();
            let within = |prefill: &Prefill, ns: u64| {
                let lasted = prefill.end.since(prefill.start).as_nanos();
                let both = prefill.end.min(over).since(prefill.start.max(start)).as_nanos();
                (u128::from(ns) * u128::from(both) / u128::from(lasted.max(1))) as u64
            };
            let pieces: Vec<(&Prefill, Piece)> = others
                .iter()
                .flat_map(|prefill| prefill.chunks.iter().map(|&piece| (*prefill, piece)))
                .collect();
            let took: Vec<u64> =
                pieces.iter().map(|&(prefill, piece)| within(prefill, piece.ns)).collect();
            let all = took.iter().fold(0, |sum: u64, &ns| sum.saturating_add(ns));
            let stood = over.since(start).as_nanos();
            shares(stood.min(all), &took, None, |place, ns| {
                let (prefill, Piece { request, tokens, .. }) = pieces[place];
                turns.push(Turn { iteration, request, tokens, began: prefill.start, ns });
            });
        }
    }
    turns
}

/// Iterations of these lanes that prefilled, in order of their start.
pub(super) fn prefills(lanes: &[LaneColumns<'_>], group: Range<LaneId>) -> Vec<Prefill> {
    let mut all = Vec::new();
    for id in LaneId::each(group) {
        let lane = &lanes[id.index()];
        let weights = chunk_weights(lane);
        for (number, records) in lane.log.prefills() {
            let first = lane.log.chunks_before(number);
            let piece = |record: &crate::trace::ChunkRecord| Piece {
                request: record.request,
                tokens: record.tokens,
                ns: 0,
            };
            let mut chunks: Vec<Piece> = records.iter().map(piece).collect();
            let weights = &weights[first..first + chunks.len()];
            shares(lane.others_prefill(number), weights, None, |place, ns| {
                chunks[place].ns = ns;
            });
            let (start, end) = (lane.log.start(number), lane.log.end(number));
            all.push(Prefill { lane: id, start, end, chunks });
        }
    }
    all.sort_by_key(|prefill| prefill.start);
    all
}

/// One culprit's shares in the waits of another lane, with running sums.
pub(super) struct Caused {
    iterations: Vec<IterationNo>,
    /// Row k: before the k-th; for stage 0, and between stages.
    sums: Vec<[u64; 2]>,
    /// The same of waits for the culprit's lane's turn.
    turns: Vec<IterationNo>,
    turn_sums: Vec<u64>,
}

impl Caused {
    /// Of a culprit.
    pub(super) fn by(culprit: RequestId, bubbles: &Bubbles) -> Caused {
        let mut caused = Caused {
            iterations: Vec::new(),
            sums: vec![[0; 2]],
            turns: Vec::new(),
            turn_sums: vec![0],
        };
        let mut sum = [0; 2];
        for share in bubbles.all.iter().filter(|share| share.request == culprit) {
            sum = [sum[0] + share.stage_0, sum[1] + share.between];
            caused.iterations.push(share.iteration);
            caused.sums.push(sum);
        }
        let mut sum = 0;
        for turn in bubbles.turns.iter().filter(|turn| turn.request == culprit) {
            sum += turn.ns;
            caused.turns.push(turn.iteration);
            caused.turn_sums.push(sum);
        }
        caused
    }

    /// In the waits of the iterations after `from` and up to `to` of its lane.
    pub(super) fn between(&self, from: IterationNo, to: IterationNo) -> u64 {
        let (before, after) = (self.before(from.next()), self.before(to.next()));
        after[0] - before[0] + after[1] - before[1]
    }

    /// What of it a request saw.
    pub(super) fn suffered(&self, tables: &Tables<'_>, victim: RequestId) -> u64 {
        if self.iterations.is_empty() && self.turns.is_empty() {
            return 0;
        }
        let mut suffer = Suffer { caused: self, ns: 0 };
        tables.walk(victim, &mut suffer);
        suffer.ns
    }

    /// Before the iterations from this one on.
    fn before(&self, iteration: IterationNo) -> [u64; 2] {
        self.sums[self.iterations.partition_point(|&number| number < iteration)]
    }

    fn turns_before(&self, iteration: IterationNo) -> u64 {
        self.turn_sums[self.turns.partition_point(|&number| number < iteration)]
    }
}

struct Suffer<'s> {
    caused: &'s Caused,
    ns: u64,
}

impl Suffer<'_> {
    /// In the waits of some iterations: for stage 0 before each, and between stages.
    fn within(&self, iterations: Range<IterationNo>) -> [u64; 2] {
        let (before, after) =
            (self.caused.before(iterations.start), self.caused.before(iterations.end));
        [after[0] - before[0], after[1] - before[1]]
    }
}

impl Visit for Suffer<'_> {
    fn decoding(&mut self, _: LaneId, from: IterationNo, to: IterationNo, _in_batch: bool) {
        self.ns += self.within(from.next()..to.next()).iter().sum::<u64>();
    }

    fn chunk(&mut self, at: ChunkAt, _: Seen) {
        self.ns += self.within(at.iteration..at.iteration.next())[1];
    }

    fn stage_0(&mut self, _: LaneId, iteration: IterationNo) {
        self.ns += self.within(iteration..iteration.next())[0];
    }

    fn wait(&mut self, wait: Wait) {
        if !wait.preempted {
            self.ns += self.caused.turns_before(wait.to) - self.caused.turns_before(wait.from);
        }
    }
}
