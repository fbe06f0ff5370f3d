//! Whose prefill made the bubbles of a pipeline.
//!
//! Micro-batches leave a pipeline in the order in which they began, so an iteration waits only for
//! iterations of other lanes that began before it: for stage 0 among those that went on after its
//! lane's last iteration was over, between stages among those that went on after it had begun. Each
//! of them is so ahead of one iteration of every other lane at most. Their chunks share the
//! iteration's waits in proportion to what each took, and at most that; the rest is nobody's. It
//! depends on the iteration alone: every request that sees a wait is delayed by the same shares.

use super::attribution::Attribution;
use super::blame::chunk_weights;
use super::chain::shares;
use super::lane::LaneColumns;
use super::walk::Visit;
use crate::request::RequestId;
use crate::time::Time;

/// Shares in the waits of one lane's iterations, in order of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bubbles {
    all: Vec<Share>,
}

/// One chunk's share in the waits of an iteration of another lane, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// The iteration that waited.
    pub iteration: u32,
    /// The chunk's request.
    pub request: RequestId,
    /// Tokens of the chunk.
    pub tokens: u32,
    /// Of the wait for stage 0 before the iteration.
    pub stage_0: u64,
    /// Of its waits between stages.
    pub between: u64,
}

/// An iteration that prefilled.
struct Prefill {
    lane: usize,
    start: Time,
    end: Time,
    /// What each of its chunks took, in the log's order.
    chunks: Vec<Piece>,
}

#[derive(Clone, Copy)]
struct Piece {
    request: RequestId,
    tokens: u32,
    ns: u64,
}

impl Bubbles {
    /// Of every lane, in order; nothing for lanes without others beside them.
    pub fn of_all(attribution: &Attribution<'_>) -> Vec<Bubbles> {
        let lanes = &attribution.lanes;
        let mut all = Vec::with_capacity(lanes.len());
        while all.len() < lanes.len() {
            let group = attribution.recording.lanes_beside(all.len());
            if group.len() == 1 {
                all.push(Bubbles::default());
                continue;
            }
            let prefills = prefills(lanes, group.clone());
            all.extend(group.map(|lane| Bubbles::new(&lanes[lane], lane, &prefills)));
        }
        all
    }

    /// `prefills` are those of the replica in order of their start.
    fn new(lane: &LaneColumns<'_>, number: usize, prefills: &[Prefill]) -> Bubbles {
        let mut bubbles = Bubbles::default();
        let mut ahead: Vec<&Prefill> = Vec::new();
        let mut next = 0;
        for prefill in prefills.iter().filter(|prefill| prefill.lane != number) {
            let began_before = |place| lane.log.start(place) <= prefill.start;
            if next < lane.log.len() && began_before(next) {
                bubbles.share(lane, next, &ahead);
                ahead.clear();
                while next < lane.log.len() && began_before(next) {
                    next += 1;
                }
            }
            let since = match next.checked_sub(1) {
                Some(before) => lane.log.free(before),
                None => Time::ZERO,
            };
            if next < lane.log.len() && prefill.end > since {
                ahead.push(prefill);
            }
        }
        bubbles.share(lane, next, &ahead);
        bubbles
    }

    /// Shares the waits of one iteration among those ahead of it.
    fn share(&mut self, lane: &LaneColumns<'_>, iteration: usize, ahead: &[&Prefill]) {
        if ahead.is_empty() {
            return;
        }
        let (stage_0, between) = lane.pipeline_waits(iteration);
        let start = lane.log.start(iteration);
        let pieces = || ahead.iter().flat_map(|prefill| &prefill.chunks);
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
        for (piece, [stage_0, between]) in pieces().zip(both) {
            if stage_0 + between > 0 {
                let &Piece { request, tokens, .. } = piece;
                self.all.push(Share {
                    iteration: iteration as u32,
                    request,
                    tokens,
                    stage_0,
                    between,
                });
            }
        }
    }

    /// Every share.
    pub fn all(&self) -> &[Share] {
        &self.all
    }

    /// Shares in the waits of the iterations after `from` and up to `to`.
    pub fn within(&self, from: u32, to: u32) -> &[Share] {
        let upto = |index: u32| self.all.partition_point(|share| share.iteration <= index);
        &self.all[upto(from)..upto(to)]
    }

    /// Shares in the waits of one iteration.
    pub fn at(&self, iteration: u32) -> &[Share] {
        let before = self.all.partition_point(|share| share.iteration < iteration);
        let of = self.all[before..].iter().take_while(|share| share.iteration == iteration);
        &self.all[before..before + of.count()]
    }
}

/// Iterations of these lanes that prefilled, in order of their start.
fn prefills(lanes: &[LaneColumns<'_>], group: std::ops::Range<usize>) -> Vec<Prefill> {
    let mut all = Vec::new();
    for number in group {
        let lane = &lanes[number];
        let weights = chunk_weights(lane);
        for (index, records) in lane.log.prefills() {
            let first = lane.log.chunks_before(index);
            let piece = |record: &crate::trace::ChunkRecord| Piece {
                request: record.request,
                tokens: record.tokens,
                ns: 0,
            };
            let mut chunks: Vec<Piece> = records.iter().map(piece).collect();
            let weights = &weights[first..first + chunks.len()];
            shares(lane.others_prefill(index as u32), weights, None, |place, ns| {
                chunks[place].ns = ns;
            });
            let (start, end) = (lane.log.start(index), lane.log.end(index));
            all.push(Prefill { lane: number, start, end, chunks });
        }
    }
    all.sort_by_key(|prefill| prefill.start);
    all
}

/// One culprit's shares in the waits of another lane, with running sums.
pub(super) struct Caused {
    iterations: Vec<u32>,
    /// Row k: before the k-th; for stage 0, and between stages.
    sums: Vec<[u64; 2]>,
}

impl Caused {
    /// Of a culprit.
    pub fn by(culprit: RequestId, bubbles: &Bubbles) -> Caused {
        let mut caused = Caused { iterations: Vec::new(), sums: vec![[0; 2]] };
        let mut sum = [0; 2];
        for share in bubbles.all.iter().filter(|share| share.request == culprit) {
            sum = [sum[0] + share.stage_0, sum[1] + share.between];
            caused.iterations.push(share.iteration);
            caused.sums.push(sum);
        }
        caused
    }

    /// What of it a request saw.
    pub fn suffered(&self, attribution: &Attribution<'_>, victim: RequestId) -> u64 {
        if self.iterations.is_empty() {
            return 0;
        }
        let mut suffer = Suffer { caused: self, ns: 0 };
        attribution.walk(victim, &mut suffer);
        suffer.ns
    }

    /// Before the iterations from this one on.
    fn before(&self, iteration: u32) -> [u64; 2] {
        self.sums[self.iterations.partition_point(|&index| index < iteration)]
    }
}

struct Suffer<'s> {
    caused: &'s Caused,
    ns: u64,
}

impl Suffer<'_> {
    /// From the start of the wait for stage 0 of one iteration to that of another.
    fn between(&self, from: u32, to: u32) -> [u64; 2] {
        let (before, after) = (self.caused.before(from), self.caused.before(to));
        [after[0] - before[0], after[1] - before[1]]
    }
}

impl Visit for Suffer<'_> {
    fn decoding(&mut self, from: u32, to: u32, _in_batch: bool) {
        self.ns += self.between(from + 1, to + 1).iter().sum::<u64>();
    }

    fn chunk(&mut self, iteration: u32, _place: u32) {
        self.ns += self.between(iteration, iteration + 1)[1];
    }

    fn stage_0(&mut self, iteration: u32) {
        self.ns += self.between(iteration, iteration + 1)[0];
    }
}
