//! Whom one request delayed, and by how much each.
//!
//! Delay by its prefill is exact for each victim. A wait that is shared among many is weighed for
//! each victim and rounded over them, so that the victims' delays add up to the request's blame
//! under each cause.

use std::ops::Range;
use std::sync::OnceLock;

use super::apportion::apportion;
use super::blame::Blame;
use super::bubble::Caused;
use super::cause::{CAUSES, Cause};
use super::chain::{Pricer, Seen, shares};
use super::hold::{Means, Sums};
use super::index::Index;
use super::lane::{LaneColumns, reason};
use super::piece::{Piece, Shares};
use super::pressure::behind;
use super::visit::{Visit, Wait};
use super::weights::chunk_weights;
use crate::ids::{IterationNo, LaneId};
use crate::request::RequestId;
use crate::trace::{ChunkAt, Iteration};

/// Whom a request delayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Victims {
    /// `(request, nanoseconds)`, most first.
    pub delayed: Vec<(RequestId, u64)>,
}

impl Victims {
    /// All of their delay, up to the most that nanoseconds hold.
    pub fn total_ns(&self) -> u64 {
        self.delayed.iter().fold(0, |sum: u64, &(_, ns)| sum.saturating_add(ns))
    }
}

/// Whom each of `culprits` delayed, in their order.
pub fn victims(index: &Index<'_>, blame: &Blame, culprits: &[RequestId]) -> Vec<Victims> {
    let of_lanes: Vec<OnceLock<LaneSums<'_>>> =
        index.lanes.iter().map(|_| OnceLock::new()).collect();
    let one = |&culprit: &RequestId| {
        let lane = index.lane(culprit);
        if index.lanes[lane.index()].pool.by_turns {
            return by_turns(index, culprit);
        }
        let legs = index
            .legs(culprit)
            .map(|lane| of_lanes[lane.index()].get_or_init(|| LaneSums::new(index, lane)));
        victims_in(&legs.collect::<Vec<_>>(), index, blame, culprit)
    };
    culprits.iter().map(one).collect()
}

/// Whom a request delayed in a replica that works turn by turn: by its chunks, in whatever lanes.
fn by_turns(index: &Index<'_>, culprit: RequestId) -> Victims {
    let first = index.lane(culprit);
    let caused = |id: LaneId| {
        let lane = &index.lanes[id.index()];
        let weights = chunk_weights(lane);
        let chunks = index.places.chunks(culprit).iter().copied().filter(|at| at.lane == id);
        let chunks = Chunks::new(lane, &weights, chunks.collect());
        let bubbles = index.bubbles(id).map(|bubbles| Caused::by(culprit, bubbles));
        InLane { id, weights, chunks, bubbles }
    };
    let lanes: Vec<InLane> = LaneId::each(index.trace().lanes_beside(first)).map(caused).collect();
    let pricer = Pricer::of(&index.lanes[first.index()].pool);
    let mut suffer =
        SufferInTurns { index, lanes: &lanes, culprit, victim: culprit, pricer, ns: 0 };
    let mut delayed = Vec::new();
    for victim in index.requests() {
        if lanes.iter().all(|lane| lane.id != index.lane(victim)) {
            continue;
        }
        (suffer.victim, suffer.ns) = (victim, 0);
        index.walk(victim, &mut suffer);
        if suffer.ns > 0 {
            delayed.push((victim, suffer.ns));
        }
    }
    delayed.sort_unstable_by_key(|&(victim, ns)| (std::cmp::Reverse(ns), victim));
    Victims { delayed }
}

/// What a culprit did to one lane.
struct InLane {
    id: LaneId,
    weights: Vec<u64>,
    chunks: Chunks,
    bubbles: Option<Caused>,
}

struct SufferInTurns<'s, 'a> {
    index: &'s Index<'a>,
    lanes: &'s [InLane],
    culprit: RequestId,
    victim: RequestId,
    pricer: Pricer<'a>,
    ns: u64,
}

impl SufferInTurns<'_, '_> {
    fn lane(&self, id: LaneId) -> &InLane {
        self.lanes.iter().find(|lane| lane.id == id).expect("a lane of its replica")
    }

    fn piece(&mut self, id: LaneId, piece: Piece) {
        let lanes = self.lanes;
        let of = lanes.iter().find(|lane| lane.id == id).expect("a lane of its replica");
        let lane = &self.index.lanes[id.index()];
        let chunks = lane.log.at(piece.iteration).chunks.len();
        let first = lane.log.chunks_before(piece.iteration);
        let weights = &of.weights[first..first + chunks];
        let bubbles = self.index.bubbles(id);
        let by = Shares { lane, pricer: &mut self.pricer, weights, bubbles };
        piece.shares(self.victim, by, |culprit, _, ns| {
            self.ns += if culprit == self.culprit { ns } else { 0 };
        });
    }
}

impl Visit for SufferInTurns<'_, '_> {
    fn decoding(&mut self, lane: LaneId, from: IterationNo, to: IterationNo, in_batch: bool) {
        let of = self.lane(lane);
        let bubbles = of.bubbles.as_ref().map_or(0, |bubbles| bubbles.between(from, to));
        self.ns += of.chunks.between(from, to, usize::from(!in_batch)) + bubbles;
    }

    fn joined(&mut self, lane: LaneId, iteration: IterationNo, seen: Seen) {
        self.piece(lane, Piece::joined(iteration, seen));
    }

    fn chunk(&mut self, at: ChunkAt, seen: Seen) {
        self.piece(at.lane, Piece::chunk(at, seen));
    }
}

/// Sums of a lane, for one waiting request at a time.
struct LaneSums<'r> {
    lane: &'r LaneColumns<'r>,
    id: LaneId,
    weights: Vec<u64>,
    seat: Sums,
    memory: Sums,
    preempted: Sums,
    budget: Sums,
    deferred: Sums,
    unseen: Sums,
    passed_budget: Sums,
    passed_deferred: Sums,
    missed: Sums,
}

impl<'r> LaneSums<'r> {
    fn new(index: &'r Index<'_>, id: LaneId) -> LaneSums<'r> {
        let lane = &index.lanes[id.index()];
        let holders = index.holders(id);
        let sums = |means, counts: &dyn Fn(&Iteration<'_>) -> bool| {
            let stood = |(iteration, number): (Iteration<'_>, IterationNo)| match counts(&iteration)
            {
                true => lane.stood(number),
                false => 0,
            };
            let waited: Vec<u64> =
                lane.log.iter().zip(IterationNo::FIRST.onwards()).map(stood).collect();
            holders.sums(lane, means, IterationNo::FIRST, &waited)
        };
        let missed: Vec<u64> =
            IterationNo::each(lane.log.numbers()).map(|at| lane.missed_for_budget(at)).collect();
        LaneSums {
            lane,
            id,
            weights: chunk_weights(lane),
            seat: sums(Means::Seats, &|i| reason(i) == Cause::NoSeat),
            memory: sums(Means::Blocks, &|i| reason(i) == Cause::NoKvBlocks),
            preempted: sums(Means::Blocks, &|_| true),
            budget: sums(Means::Batch, &|i| reason(i) == Cause::NoTokenBudget),
            deferred: sums(Means::Batch, &|i| reason(i) == Cause::PolicyDeferred),
            unseen: sums(Means::Batch, &|_| true),
            passed_budget: sums(Means::Batch, &|i| !i.chunks.is_empty()),
            passed_deferred: sums(Means::Batch, &|i| i.chunks.is_empty()),
            missed: holders.sums(lane, Means::Batch, IterationNo::FIRST, &missed),
        }
    }

    /// What each victim suffered here: exactly, and by weights under the causes that are shared.
    fn suffered(&self, index: &Index<'_>, culprit: RequestId) -> Vec<Suffered> {
        // Who was never admitted can still have stood at the head of the queue.
        let holder = index.holders(self.id).requests.binary_search(&culprit).ok();
        let chunks = index.places.chunks_on(culprit, self.id).to_vec();
        let chunks = Chunks::new(self.lane, &self.weights, chunks);
        let lanes = LaneId::each(index.lanes_beside(self.id));
        let caused = |lane| Some((lane, Caused::by(culprit, index.bubbles(lane)?)));
        let others: Vec<(LaneId, Caused)> =
            lanes.filter(|&lane| lane != self.id).filter_map(caused).collect();
        let mut suffered = Vec::new();
        for victim in index.requests() {
            let lane = index.lane(victim);
            if index.legs(victim).all(|lane| lane != self.id) {
                if let Some((_, caused)) = others.iter().find(|&&(other, _)| other == lane) {
                    suffered.push((victim, caused.suffered(index, victim), [0.0; CAUSES]));
                }
                continue;
            }
            let mut suffer = Suffer {
                index,
                sums: self,
                chunks: &chunks,
                culprit,
                holder,
                here: index.legs(victim).next() == Some(self.id),
                victim,
                exact: 0,
                weights: [0.0; CAUSES],
            };
            index.walk(victim, &mut suffer);
            if suffer.exact > 0 || suffer.weights.iter().any(|&weight| weight > 0.0) {
                suffered.push((victim, suffer.exact, suffer.weights));
            }
        }
        suffered
    }
}

/// What a victim suffered: exactly, and by weights under the causes that are shared.
type Suffered = (RequestId, u64, [f64; CAUSES]);

/// Whom a culprit delayed, in all the lanes that it was in.
fn victims_in(
    lanes: &[&LaneSums<'_>],
    index: &Index<'_>,
    blame: &Blame,
    culprit: RequestId,
) -> Victims {
    let given = &blame.given[culprit.index()];
    let mut suffered: Vec<Suffered> = Vec::new();
    for lane in lanes {
        suffered.extend(lane.suffered(index, culprit));
    }
    let mut delayed: Vec<(RequestId, u64)> =
        suffered.iter().map(|&(victim, exact, _)| (victim, exact)).collect();
    for (cause, ns) in given.iter().filter(|&(cause, ns)| ns > 0 && !is_prefill(cause)) {
        let weights: Vec<f64> =
            suffered.iter().map(|(.., weights)| weights[cause as usize]).collect();
        for ((_, sum), share) in delayed.iter_mut().zip(apportion(ns, &weights)) {
            *sum += share;
        }
    }
    if lanes.len() > 1 {
        delayed.sort_unstable();
        delayed.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                first.1 += later.1;
            }
            same
        });
    }
    delayed.retain(|&(_, ns)| ns > 0);
    delayed.sort_unstable_by_key(|&(victim, ns)| (std::cmp::Reverse(ns), victim));
    Victims { delayed }
}

fn is_prefill(cause: Cause) -> bool {
    use Cause::*;
    matches!(
        cause,
        PrefillInterference | PrefillOnly | PipelineBubble | LockstepWait | Communication
    )
}

/// The culprit's chunks, with running sums of what each meant for a request that decodes.
struct Chunks {
    all: Vec<ChunkAt>,
    /// Row k: before chunk k; all, and those of iterations that only prefilled.
    sums: Vec<[u64; 2]>,
}

impl Chunks {
    /// These, of one lane, whose chunks weigh so much.
    fn new(lane: &LaneColumns<'_>, weights: &[u64], chunks: Vec<ChunkAt>) -> Chunks {
        let mut pricer = Pricer::of(&lane.pool);
        let (mut all, mut alone) = (0, 0);
        let mut sums = vec![[0; 2]];
        for &at in &chunks {
            let iteration = lane.log.at(at.iteration);
            let first = lane.log.chunks_before(at.iteration);
            let weights = &weights[first..first + iteration.chunks.len()];
            shares(lane.others_prefill(at.iteration), weights, None, |place, ns| {
                if place == at.place.index() {
                    all += ns;
                    alone += if iteration.decodes == 0 { ns } else { 0 };
                }
            });
            shares(pricer.communication_of_prefill(&iteration), weights, None, |place, ns| {
                all += if place == at.place.index() { ns } else { 0 };
            });
            sums.push([all, alone]);
        }
        Chunks { all: chunks, sums }
    }

    /// In the iterations after `from` and up to `to`.
    fn between(&self, from: IterationNo, to: IterationNo, column: usize) -> u64 {
        let row = |upto: IterationNo| {
            self.sums[self.all.partition_point(|chunk| chunk.iteration <= upto)]
        };
        row(to)[column] - row(from)[column]
    }

    /// Its place in the batch of an iteration, where it is in it.
    fn place_in(&self, iteration: IterationNo) -> Option<usize> {
        let found = self.all.binary_search_by_key(&iteration, |chunk| chunk.iteration).ok()?;
        Some(self.all[found].place.index())
    }
}

struct Suffer<'s, 'a> {
    index: &'s Index<'a>,
    sums: &'s LaneSums<'s>,
    chunks: &'s Chunks,
    culprit: RequestId,
    /// Of the culprit, among the holders, where it is one.
    holder: Option<usize>,
    /// Whether the victim is in this lane.
    here: bool,
    victim: RequestId,
    exact: u64,
    weights: [f64; CAUSES],
}

impl Suffer<'_, '_> {
    fn add(&mut self, cause: Cause, sums: &Sums, within: Range<IterationNo>) {
        let share = self.share(sums, within);
        self.weights[cause as usize] += share;
    }

    fn share(&self, sums: &Sums, within: Range<IterationNo>) -> f64 {
        let Some(holder) = self.holder.filter(|_| !self.sums.lane.staged) else { return 0.0 };
        let holders = self.index.holders(self.sums.id);
        holders.share(self.index, self.sums.lane, sums, holder, within)
    }

    /// The culprit's part of a wait of `ns` at one iteration.
    fn at(&mut self, cause: Cause, sums: &Sums, number: IterationNo, ns: u64) {
        let stood = self.sums.lane.stood(number);
        if stood > 0 && ns > 0 {
            let share = self.share(sums, number..number.next()) / stood as f64;
            self.weights[cause as usize] += share * ns as f64;
        }
    }
}

impl Visit for Suffer<'_, '_> {
    fn leg(&mut self, lane: LaneId) {
        self.here = lane == self.sums.id;
    }

    fn decoding(&mut self, _: LaneId, from: IterationNo, to: IterationNo, in_batch: bool) {
        if !self.here {
            return;
        }
        self.exact += self.chunks.between(from, to, usize::from(!in_batch));
        if !in_batch {
            self.add(Cause::NoTokenBudget, &self.sums.missed, from.next()..to.next());
        }
    }

    fn chunk(&mut self, at: ChunkAt, _: Seen) {
        let Some(culprit) = self.chunks.place_in(at.iteration).filter(|_| self.here) else {
            return;
        };
        if self.culprit == self.victim {
            return;
        }
        let lane = self.sums.lane;
        let first = lane.log.chunks_before(at.iteration);
        let iteration = lane.log.at(at.iteration);
        let weights = &self.sums.weights[first..first + iteration.chunks.len()];
        let own = Some(at.place.index());
        let others = lane.prefill(at).1.others;
        shares(others, weights, own, |of, ns| {
            if of == culprit {
                self.exact += ns;
            }
        });
        let others = Pricer::of(&lane.pool).communication_of_others(&iteration, at.place);
        shares(others, weights, own, |of, ns| {
            if of == culprit {
                self.exact += ns;
            }
        });
    }

    fn wait(&mut self, wait: Wait) {
        if !self.here {
            return;
        }
        let (own, within) = (self.sums, || wait.from..wait.to);
        if wait.preempted {
            return self.add(Cause::PreemptedWaiting, &own.preempted, within());
        }
        self.add(Cause::NoSeat, &own.seat, within());
        self.add(Cause::NoTokenBudget, &own.budget, within());
        self.add(Cause::PolicyDeferred, &own.deferred, within());
        self.add(Cause::NoKvBlocks, &own.memory, within());
        for (number, head, ns) in behind(self.index, self.victim, wait) {
            let others = self.share(&own.memory, number..number.next());
            self.weights[Cause::NoKvBlocks as usize] -= others;
            if head == self.culprit {
                self.weights[Cause::HeadOfLine as usize] += ns as f64;
            }
        }
        // What a difference of sums leaves of nothing is nobody's delay.
        let memory = &mut self.weights[Cause::NoKvBlocks as usize];
        *memory = if *memory < 1e-3 { 0.0 } else { *memory };
    }

    fn unseen(&mut self, first: IterationNo, seen: IterationNo, in_flight: u64) {
        if !self.here {
            return;
        }
        let own = self.sums;
        self.at(Cause::StepInFlight, &own.unseen, first.back(1), in_flight);
        self.add(Cause::ScheduledAhead, &own.unseen, first..seen);
    }

    fn passed_over(&mut self, from: IterationNo, to: IterationNo) {
        if !self.here {
            return;
        }
        self.add(Cause::NoTokenBudget, &self.sums.passed_budget, from..to);
        self.add(Cause::PolicyDeferred, &self.sums.passed_deferred, from..to);
    }

    fn evicted(&mut self, ns: u64) {
        if !self.sums.lane.staged {
            let share = self.index.places.evicted.share_of(self.victim, self.culprit);
            self.weights[Cause::CacheEvicted as usize] += share * ns as f64;
        }
    }

    fn recomputed(&mut self, preempted: IterationNo, ns: u64) {
        if !self.here {
            return;
        }
        self.at(Cause::Recompute, &self.sums.preempted, preempted, ns);
    }
}
