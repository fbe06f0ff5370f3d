//! Culprits: whose work or memory the others waited for.
//!
//! An iteration's delay by prefill is shared among its chunks; a wait for seats or memory among
//! those who hold them; a wait for a place in a batch among those who were in it. What a run's
//! requests are blamed for equals what others suffered, cause by cause, to the nanosecond.

use rustc_hash::FxHashMap;

use super::apportion::apportion;
use super::bubble::Bubbles;
use super::cause::{Cause, SHARED, Split};
use super::chain::{Pricer, Seen, shares};
use super::index::Index;
use super::lane::LaneColumns;
use super::piece::{Piece, Shares};
use super::pressure::{Pressure, Waits, means_of};
use super::visit::{Visit, Wait};
use super::weights::chunk_weights;
use crate::ids::{IterationNo, LaneId};
use crate::request::RequestId;
use crate::trace::ChunkAt;

/// Who delayed whom, in sum.
pub struct Blame {
    /// By request: delay that it caused others, summed over them, by cause.
    pub given: Vec<Split>,
    /// By request: the most requests of one lane that one of its chunks delayed at once.
    pub delayed_at_once: Vec<u32>,
}

/// How many requests each iteration of a replica delayed by its prefill.
struct Cover {
    /// Row i: change in the number of requests that decode across iteration i.
    decoding: Vec<i64>,
    waits: Waits,
    /// Row i, in a pipeline and on ranks that step together: how many waited for stage 0 before iteration i without decoding, and
    /// how many prefilled in it.
    prefilling: Vec<[u32; 2]>,
}

impl Blame {
    /// Shares out all delay of a run.
    pub fn new(index: &Index<'_>) -> Blame {
        let requests = index.trace().requests.len();
        let mut blame =
            Blame { given: vec![Split::ZERO; requests], delayed_at_once: vec![0; requests] };
        let lanes = &index.lanes;
        let weights: Vec<Vec<u64>> = lanes.iter().map(chunk_weights).collect();
        let cover = |lane: &LaneColumns<'_>| Cover {
            decoding: vec![0; lane.log.len() + 2],
            waits: Waits::within(lane.log.numbers()),
            prefilling: vec![[0; 2]; if lane.waits_for().is_some() { lane.log.len() } else { 0 }],
        };
        let mut covers: Vec<Cover> = lanes.iter().map(cover).collect();
        let mut lost = FxHashMap::default();
        for request in index.requests() {
            let id = index.lane(request);
            let mut collect = Collect {
                index,
                request,
                id,
                pricer: Pricer::of(&lanes[id.index()].pool),
                weights: &weights,
                covers: &mut covers,
                lost: &mut lost,
                blame: &mut blame,
            };
            index.walk(request, &mut collect);
        }
        index.places.evicted.share(&lost, |culprit, cause, ns| {
            blame.given[culprit.index()].add(cause, ns);
        });
        for (place, cover) in covers.into_iter().enumerate() {
            let (id, lane) = (LaneId::at(place), &lanes[place]);
            blame.share_prefill(lane, &weights[place], &cover);
            if let Some(bubbles) = index.bubbles(id) {
                let cause = lane.waits_for().unwrap_or(Cause::PipelineBubble);
                blame.share_bubbles(cause, bubbles, &cover);
                blame.share_turns(bubbles, &cover);
            }
            let line = &index.lines[place].behind;
            for &(_, head, ns) in line {
                blame.given[head.index()].add(Cause::HeadOfLine, ns);
            }
            let behind = line.iter().map(|&(number, _, ns)| (number, ns));
            let pressure = cover.waits.pressure(lane, behind);
            let given = &mut blame.given;
            share_waits(index, id, &pressure, |culprit, cause, ns| {
                given[culprit.index()].add(cause, ns);
            });
        }
        blame
    }

    fn share_prefill(&mut self, lane: &LaneColumns<'_>, weights: &[u64], cover: &Cover) {
        let mut pricer = Pricer::of(&lane.pool);
        let (mut decoding, mut missed, mut next, mut first) = (0, 0, 0, 0);
        for (number, chunks) in lane.log.prefills() {
            let row = number.index();
            decoding += cover.decoding[next..=row].iter().sum::<i64>();
            missed += cover.waits.missed[next..=row].iter().sum::<i64>();
            next = row + 1;
            let iteration = lane.log.at(number);
            let alone = iteration.decodes == 0;
            let victims = (decoding + if alone { missed } else { 0 }) as u64;
            let cause = if alone { Cause::PrefillOnly } else { Cause::PrefillInterference };
            let weights = &weights[first..first + chunks.len()];
            first += chunks.len();
            shares(lane.others_prefill(number), weights, None, |place, ns| {
                let (culprit, all) = (chunks[place].request, ns.saturating_mul(victims));
                self.add(culprit, cause, all, victims as u32);
            });
            if alone || decoding == 0 {
                continue;
            }
            let communication = pricer.communication_of_prefill(&iteration);
            shares(communication, weights, None, |place, ns| {
                let all = ns.saturating_mul(decoding as u64);
                self.add(chunks[place].request, Cause::Communication, all, decoding as u32);
            });
        }
    }

    /// Others see a wait as long as it is: who decodes both, who prefills what it stood through.
    fn share_bubbles(&mut self, cause: Cause, bubbles: &Bubbles, cover: &Cover) {
        let (mut decoding, mut next) = (0, 0);
        for share in bubbles.all() {
            while next <= share.iteration.index() {
                decoding += cover.decoding[next] + cover.waits.missed[next];
                next += 1;
            }
            let prefilling = cover.prefilling[share.iteration.index()];
            for (ns, prefilling) in [share.stage_0, share.between].into_iter().zip(prefilling) {
                let victims = decoding as u64 + u64::from(prefilling);
                if ns > 0 && victims > 0 {
                    let all = ns.saturating_mul(victims);
                    self.add(share.request, cause, all, victims as u32);
                }
            }
        }
    }

    /// Those in the queue see a wait for another lane's turn as long as it is.
    fn share_turns(&mut self, bubbles: &Bubbles, cover: &Cover) {
        let (mut waiting, mut next) = (0, 0);
        for turn in bubbles.turns() {
            while next <= turn.iteration.index() {
                waiting += cover.waits.waiting[next];
                next += 1;
            }
            if waiting > 0 {
                let all = turn.ns.saturating_mul(waiting as u64);
                self.add(turn.request, Cause::PipelineBubble, all, waiting as u32);
            }
        }
    }

    fn add(&mut self, culprit: RequestId, cause: Cause, ns: u64, at_once: u32) {
        self.given[culprit.index()].add(cause, ns);
        let most = &mut self.delayed_at_once[culprit.index()];
        *most = at_once.max(*most);
    }
}

/// Shares waits among those who held what was waited for, or ran: whole nanoseconds by largest
/// remainder, so that they add up to what was waited under each cause.
pub(super) fn share_waits(
    index: &Index<'_>,
    id: LaneId,
    pressure: &Pressure,
    mut give: impl FnMut(RequestId, Cause, u64),
) {
    let lane = &index.lanes[id.index()];
    if lane.staged {
        return;
    }
    let within = &pressure.within;
    for (place, cause) in SHARED.into_iter().enumerate() {
        if pressure.of(place).is_empty() {
            continue;
        }
        let holders = index.holders(id);
        let sums = holders.sums(lane, means_of(cause), within.start, pressure.of(place));
        let share = |holder: usize| holders.share(index, lane, &sums, holder, within.clone());
        let weights: Vec<f64> = (0..holders.requests.len()).map(share).collect();
        for (&request, ns) in holders.requests.iter().zip(apportion(sums.total, &weights)) {
            if ns > 0 {
                give(request, cause, ns);
            }
        }
    }
}

/// What a request was delayed by.
struct Collect<'c, 'a> {
    index: &'c Index<'a>,
    request: RequestId,
    /// Its lane.
    id: LaneId,
    pricer: Pricer<'a>,
    /// By lane.
    weights: &'c [Vec<u64>],
    covers: &'c mut [Cover],
    /// What each request lost to a cache that was too small.
    lost: &'c mut FxHashMap<RequestId, u64>,
    blame: &'c mut Blame,
}

impl Collect<'_, '_> {
    fn cover(&mut self) -> &mut Cover {
        &mut self.covers[self.id.index()]
    }

    fn piece(&mut self, lane: LaneId, piece: Piece, bubbles: bool) {
        let bubbles = self.index.bubbles(lane).filter(|_| bubbles);
        let weights = &self.weights[lane.index()];
        let lane = &self.index.lanes[lane.index()];
        let first = lane.log.chunks_before(piece.iteration);
        let chunks = lane.log.at(piece.iteration).chunks.len();
        let weights = &weights[first..first + chunks];
        let by = Shares { lane, pricer: &mut self.pricer, weights, bubbles };
        piece.shares(self.request, by, |culprit, cause, ns| {
            self.blame.add(culprit, cause, ns, 1);
        });
    }
}

impl Visit for Collect<'_, '_> {
    fn leg(&mut self, lane: LaneId) {
        self.id = lane;
        self.pricer = Pricer::of(&self.index.lanes[lane.index()].pool);
    }

    fn decoding(&mut self, lane: LaneId, from: IterationNo, to: IterationNo, in_batch: bool) {
        let cover = &mut self.covers[lane.index()];
        cover.waits.decoding(lane, from, to, in_batch);
        if in_batch {
            cover.decoding[from.next().index()] += 1;
            cover.decoding[to.next().index()] -= 1;
        }
    }

    fn joined(&mut self, lane: LaneId, iteration: IterationNo, seen: Seen) {
        self.piece(lane, Piece::joined(iteration, seen), true);
    }

    fn chunk(&mut self, at: ChunkAt, seen: Seen) {
        let by_turns = self.index.lanes[at.lane.index()].pool.by_turns;
        // Others see the waits of an iteration as long as they are: they are counted.
        if let Some(counts) = self.covers[at.lane.index()].prefilling.get_mut(at.iteration.index())
            && !by_turns
        {
            counts[1] += 1;
        }
        self.piece(at.lane, Piece::chunk(at, seen), by_turns);
    }

    fn stage_0(&mut self, lane: LaneId, iteration: IterationNo) {
        self.covers[lane.index()].prefilling[iteration.index()][0] += 1;
    }

    fn wait(&mut self, wait: Wait) {
        self.cover().waits.wait(wait);
    }

    fn unseen(&mut self, first: IterationNo, seen: IterationNo, in_flight: u64) {
        self.cover().waits.unseen(first, seen, in_flight);
    }

    fn passed_over(&mut self, from: IterationNo, to: IterationNo) {
        self.cover().waits.passed_over(from, to);
    }

    fn evicted(&mut self, ns: u64) {
        if !self.index.lanes[self.id.index()].staged {
            *self.lost.entry(self.request).or_default() += ns;
        }
    }

    fn recomputed(&mut self, preempted: IterationNo, ns: u64) {
        self.cover().waits.recomputed(preempted, ns);
    }
}

/// One culprit of one stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// Who.
    pub request: RequestId,
    /// By what.
    pub cause: Cause,
    /// How long.
    pub ns: u64,
    /// Prefill tokens of it that ran within the stall; 0 where it held seats or memory.
    pub tokens: u64,
}
