//! Culprits of pipeline bubbles, found by looking at every pair of iterations: slow, plain, and
//! without any of the sums that the program keeps.

use std::collections::{BTreeMap, BTreeSet};

use metron_sim::cost::{BatchShape, Chunk, CostModel, Decodes};
use metron_sim::explain::{Cause, Gap, Index};
use metron_sim::ids::{IterationNo, LaneId};
use metron_sim::request::RequestId;
use metron_sim::scheduler::Held;
use metron_sim::sim::{ChunkRecord, Iteration, Outcome};
use metron_sim::time::Time;

/// A chunk's part in the waits of one iteration, nanoseconds.
struct Part {
    request: RequestId,
    tokens: u64,
    /// When the chunk's iteration began.
    began: Time,
    stage_0: u64,
    between: u64,
}

/// A chunk's part in the wait of those in the queue for another lane's turn, while one iteration of
/// their lane ran.
struct Turn {
    request: RequestId,
    tokens: u64,
    /// When the chunk's iteration began.
    began: Time,
    ns: u64,
}

/// Parts by lane and iteration.
pub(crate) struct Reference {
    lanes: Vec<Vec<Vec<Part>>>,
    turns: Vec<Vec<Vec<Turn>>>,
}

/// A chunk that ran ahead, and what it took.
struct Ahead {
    in_flight: bool,
    request: RequestId,
    tokens: u64,
    began: Time,
    took: u64,
}

fn chunks_of(iteration: &Iteration<'_>) -> Vec<Chunk> {
    let chunk = |c: &ChunkRecord| Chunk { context: c.context, tokens: c.tokens };
    iteration.chunks.iter().map(chunk).collect()
}

fn shape<'c>(iteration: &Iteration<'_>, chunks: &'c [Chunk], sampled: u32) -> BatchShape<'c> {
    let tokens = iteration.decodes + iteration.drafts.verified;
    let decodes = Decodes::verifying(iteration.decodes, tokens, iteration.decode_kv_tokens);
    BatchShape::new(chunks, decodes, sampled)
}

/// Where the host's work is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Host {
    /// In the iteration, as far as stage 0 does not hide it.
    Hidden,
    /// In the iteration.
    Seen,
    /// Before it begins.
    Before,
}

/// Waits between stages: what an iteration took beyond its own stages.
fn between(iteration: &Iteration<'_>, cost: &dyn CostModel, host: Host) -> u64 {
    let chunks = chunks_of(iteration);
    let shape = shape(iteration, &chunks, iteration.sampled());
    let whole = cost.time(&shape);
    let host = match host {
        Host::Hidden => {
            let first = cost.stage_time(&shape, 0);
            first.host.as_nanos().saturating_sub(first.gpu.as_nanos())
        }
        Host::Seen => cost.time(&shape).host.as_nanos(),
        Host::Before => 0,
    };
    let draft = iteration.drafting(&chunks).map(|draft| cost.draft_time(&draft).gpu.as_nanos());
    let lasted = iteration.end.since(iteration.start).as_nanos();
    lasted.saturating_sub(whole.gpu.as_nanos() + draft.unwrap_or(0) + host)
}

/// What the batch would take less without each of its chunks.
fn weights(iteration: &Iteration<'_>, cost: &dyn CostModel) -> Vec<u64> {
    let all = chunks_of(iteration);
    let took = |chunks: &[Chunk], sampled| {
        let time = cost.time(&shape(iteration, chunks, sampled));
        time.gpu.as_nanos() + time.host.as_nanos()
    };
    let whole = took(&all, iteration.sampled());
    let saved = |(place, record): (usize, &ChunkRecord)| {
        let mut others = all.clone();
        others.remove(place);
        whole.saturating_sub(took(&others, iteration.sampled() - u32::from(record.samples)))
    };
    let weights: Vec<u64> = iteration.chunks.iter().enumerate().map(saved).collect();
    match weights.iter().any(|&weight| weight > 0) {
        true => weights,
        false => iteration.chunks.iter().map(|chunk| u64::from(chunk.tokens)).collect(),
    }
}

/// Differences of running sums, rounded half up.
fn divide(ns: u64, weights: &[u64]) -> Vec<u64> {
    let total: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    let upto = |n: usize| {
        let sum: u128 = weights[..n].iter().map(|&weight| u128::from(weight)).sum();
        (2 * u128::from(ns) * sum + total).checked_div(2 * total).unwrap_or(0) as u64
    };
    (0..weights.len()).map(|place| upto(place + 1) - upto(place)).collect()
}

impl Reference {
    /// Of a run in which every replica has as many stages as `cost`.
    pub(crate) fn new(
        outcome: &Outcome,
        cost: &dyn CostModel,
        planned_ahead: bool,
        index: &Index<'_>,
    ) -> Reference {
        Reference::of(outcome, cost, if planned_ahead { Host::Hidden } else { Host::Seen }, index)
    }

    /// The same where lanes are turns of one running list.
    pub(crate) fn by_turns(
        outcome: &Outcome,
        cost: &dyn CostModel,
        index: &Index<'_>,
    ) -> Reference {
        Reference::of(outcome, cost, Host::Before, index)
    }

    fn of(outcome: &Outcome, cost: &dyn CostModel, host: Host, index: &Index<'_>) -> Reference {
        let logs = outcome.log.as_deref().expect("kept");
        let stages = cost.stages() as usize;
        let took = |lane: usize, number: IterationNo| -> Vec<u64> {
            let iteration = logs[lane].at(number);
            let bubble = between(&iteration, cost, host);
            let parts = index.parts(LaneId::at(lane), number);
            let part = |cause| parts.iter().find(|(of, _)| *of == cause).expect("a part").1;
            assert_eq!(part(Cause::PipelineBubble), bubble, "lane {lane}, iteration {number}");
            let lasted = iteration.end.since(iteration.start).as_nanos();
            let prefill = match iteration.decodes {
                0 => lasted - bubble,
                _ => part(Cause::PrefillInterference),
            };
            divide(prefill, &weights(&iteration, cost))
        };
        let mut prefills = Vec::new();
        for (lane, log) in logs.iter().enumerate() {
            let numbered = IterationNo::FIRST.onwards().zip(log);
            for (number, i) in numbered.filter(|(_, i)| !i.chunks.is_empty()) {
                let part = |(chunk, took): (&ChunkRecord, u64)| {
                    (chunk.request, u64::from(chunk.tokens), took)
                };
                let chunks: Vec<_> = i.chunks.iter().zip(took(lane, number)).map(part).collect();
                prefills.push((i.start, i.end, lane, chunks));
            }
        }
        prefills.sort();
        let mut lanes = Vec::new();
        let mut turns = Vec::new();
        for (lane, log) in logs.iter().enumerate() {
            let (mut parts, mut free) = (Vec::new(), None);
            let mut waits: Vec<Vec<Turn>> = Vec::new();
            for iteration in log {
                let beside = |other: usize| other != lane && other / stages == lane / stages;
                let mut ahead = Vec::new();
                for &(start, end, other, ref chunks) in &prefills {
                    let overlaps = free.is_none_or(|free| end > free);
                    if beside(other) && start < iteration.start && overlaps {
                        let in_flight = end > iteration.start;
                        let one = |&(request, tokens, took)| Ahead {
                            in_flight,
                            request,
                            tokens,
                            began: start,
                            took,
                        };
                        ahead.extend(chunks.iter().map(one));
                    }
                }
                let idle = free.map_or(0, |free| iteration.start.since(free).as_nanos());
                parts.push(share(idle, between(&iteration, cost, host), &ahead));
                free = Some(iteration.free);
                let next = log.get(IterationNo::at(waits.len() + 1)).map(|next| next.start);
                // The reason that the last one gave stood until observation ended.
                let end = outcome.trace.end;
                let until = next.unwrap_or(end).min(end).max(iteration.start);
                let mut meanwhile = Vec::new();
                if iteration.waiting > 0 && iteration.held == Some(Held::OtherLane) {
                    for &(start, end, other, ref chunks) in &prefills {
                        if beside(other) && start < until && end > iteration.start {
                            let lasted = end.since(start).as_nanos();
                            let within = end.min(until).since(start.max(iteration.start));
                            let part = u128::from(within.as_nanos());
                            let one = |&(request, tokens, took): &(RequestId, u64, u64)| {
                                let ns = u128::from(took) * part / u128::from(lasted.max(1));
                                Turn { request, tokens, began: start, ns: ns as u64 }
                            };
                            meanwhile.extend(chunks.iter().map(one));
                        }
                    }
                    let took: Vec<u64> = meanwhile.iter().map(|turn| turn.ns).collect();
                    let stood = until.since(iteration.start).as_nanos();
                    let shared = divide(stood.min(took.iter().sum()), &took);
                    meanwhile.iter_mut().zip(shared).for_each(|(turn, ns)| turn.ns = ns);
                }
                waits.push(meanwhile);
            }
            lanes.push(parts);
            turns.push(waits);
        }
        Reference { lanes, turns }
    }

    /// What there was to share of waits for another lane's turn, each iteration once.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.iter().flatten().flatten().map(|turn| turn.ns).sum()
    }

    /// The same where lanes are turns of one running list: what the request saw of each iteration that
    /// it was in, and before it where it decoded in the decode step before of the same lane.
    pub(crate) fn culprits_by_turns(
        &self,
        outcome: &Outcome,
        victim: RequestId,
        gap: &Gap,
    ) -> BTreeMap<RequestId, (u64, u64)> {
        let logs = outcome.log.as_deref().expect("kept");
        let trace = &outcome.trace;
        let beside = trace.lanes_beside(trace.requests[victim.index()].lane);
        let of_lane = |lane: LaneId| {
            let iterations = logs[lane.index()].iter().enumerate();
            iterations.map(move |(number, iteration)| (iteration.end, lane.index(), number))
        };
        let mut batches: Vec<(Time, usize, usize)> =
            LaneId::each(beside).flat_map(of_lane).collect();
        batches.sort_unstable();
        let at = |lane: usize, number: usize| logs[lane].at(IterationNo::at(number));
        let mut found: BTreeMap<RequestId, (u64, u64)> = BTreeMap::new();
        let mut known: BTreeSet<(RequestId, Time)> = BTreeSet::new();
        let mut add = |part: &Part, ns: u64| {
            if ns > 0 {
                let sum = found.entry(part.request).or_default();
                let new = known.insert((part.request, part.began));
                *sum = (sum.0 + ns, sum.1 + if new { part.tokens } else { 0 });
            }
        };
        let open = gap.token >= trace.requests[victim.index()].tokens;
        let (mut told, mut last) = (gap.from, None);
        if gap.token > 0 {
            last = batches.iter().copied().find(|&(end, ..)| end == gap.from);
        }
        let mut preempted = false;
        for &(end, lane, number) in batches.iter().filter(|&&(end, ..)| end > gap.from) {
            let iteration = at(lane, number);
            preempted |= iteration.preempted.contains(&victim);
            let prefills = iteration.chunks.iter().any(|chunk| chunk.request == victim);
            let decodes = !prefills && !open && end == gap.to;
            if end > gap.to || !prefills && !decodes {
                continue;
            }
            let before = last.filter(|&(_, of, _)| of == lane && decodes && !preempted);
            let steps = |(.., before): (Time, usize, usize)| {
                (before + 1..number).all(|between| at(lane, between).decodes == 0)
            };
            if let Some((.., before)) = before.filter(|&before| steps(before)) {
                for parts in &self.lanes[lane][before + 1..=number] {
                    parts.iter().for_each(|part| add(part, part.stage_0 + part.between));
                }
            } else {
                let lasted = u128::from(end.since(iteration.start).as_nanos());
                let seen = u128::from(end.since(told.max(iteration.start)).as_nanos());
                for part in self.lanes[lane][number].iter().filter(|part| part.request != victim) {
                    add(part, (u128::from(part.between) * seen / lasted) as u64);
                }
            }
            (told, last) = (end, Some((end, lane, number)));
        }
        found
    }

    /// Culprits of a gap's bubbles: nanoseconds, and prefill tokens.
    pub(crate) fn culprits(
        &self,
        outcome: &Outcome,
        lane: usize,
        victim: RequestId,
        gap: &Gap,
    ) -> BTreeMap<RequestId, (u64, u64)> {
        let log = &outcome.log.as_deref().expect("kept")[lane];
        let mut found: BTreeMap<RequestId, (u64, u64)> = BTreeMap::new();
        let (mut decodes, mut prefilled) = (gap.token > 0, false);
        let mut queued = gap.token == 0;
        // A chunk's tokens count once, whatever waits it stood in.
        let mut known: BTreeSet<(RequestId, Time)> = BTreeSet::new();
        let from = log.partition_point(|iteration| iteration.end <= gap.from);
        // Who still waits when observation ends waits through the iteration that then runs.
        let to = log.partition_point(|iteration| iteration.start <= gap.to);
        for (place, iteration) in (from.index()..).zip(log.range(from..to)) {
            let ended = iteration.end <= gap.to;
            let preempted = decodes && iteration.preempted.contains(&victim);
            let prefills = iteration.chunks.iter().any(|chunk| chunk.request == victim);
            decodes &= !preempted;
            // It sees the wait before an iteration if it ran in the one before, and the waits in
            // it if it runs; who decodes and is left out of a batch waits all the same.
            let before = decodes && ended || preempted || prefilled;
            let within = ended && (decodes || prefills);
            prefilled = !decodes && prefills;
            queued &= !prefills;
            if queued && iteration.decided >= gap.from {
                for turn in self.turns[lane][place].iter().filter(|turn| turn.ns > 0) {
                    let sum = found.entry(turn.request).or_default();
                    let new = known.insert((turn.request, turn.began));
                    *sum = (sum.0 + turn.ns, sum.1 + if new { turn.tokens } else { 0 });
                }
            }
            for part in &self.lanes[lane][place] {
                let ns =
                    if before { part.stage_0 } else { 0 } + if within { part.between } else { 0 };
                if ns > 0 {
                    let sum = found.entry(part.request).or_default();
                    let new = known.insert((part.request, part.began));
                    *sum = (sum.0 + ns, sum.1 + if new { part.tokens } else { 0 });
                }
            }
        }
        found
    }
}

fn share(stage_0: u64, between: u64, ahead: &[Ahead]) -> Vec<Part> {
    let held: Vec<u64> = ahead.iter().map(|a| if a.in_flight { a.took } else { 0 }).collect();
    let of_between = divide(between.min(held.iter().sum()), &held);
    let left: Vec<u64> = ahead.iter().zip(&of_between).map(|(a, ns)| a.took - ns).collect();
    let of_stage_0 = divide(stage_0.min(left.iter().sum()), &left);
    let part = |(ahead, (&between, &stage_0)): (&Ahead, (&u64, &u64))| {
        assert!(stage_0 + between <= ahead.took, "at most what it took");
        let &Ahead { request, tokens, began, .. } = ahead;
        Part { request, tokens, began, stage_0, between }
    };
    ahead.iter().zip(of_between.iter().zip(&of_stage_0)).map(part).collect()
}
