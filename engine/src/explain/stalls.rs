//! The worst stalls of a run, each told once however many requests it hit, and who caused them.

use std::ops::Range;

use rustc_hash::{FxHashMap, FxHashSet};

use super::apportion::apportion;
use super::blame::{Culprit, share_waits};
use super::bubble::{Bubbles, Share, Turn};
use super::cause::{Cause, SHARED};
use super::chain::{Pricer, Seen, shares};
use super::hold::Means;
use super::index::Index;
use super::lane::LaneColumns;
use super::piece::{Piece, Shares};
use super::pressure::{self, Pressure, Waits, means_of};
use super::visit::{Gap, Visit, Wait};
use crate::ids::{ChunkPlace, DecodeStepNo, IterationNo, LaneId};
use crate::metrics::Options;
use crate::request::RequestId;
use crate::threads;
use crate::time::{Span, Time};
use crate::trace::{ChunkAt, ChunkRecord, Run, Status};

/// A token that came late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Whose text.
    pub request: RequestId,
    /// The gap, with its causes.
    pub gap: Gap,
    /// How far it goes beyond its deadline's pace (`D_p` for the first token, `D_d` later).
    pub beyond: Span,
    /// Requests of the same lane with a stall of the same kind at the same time, this one
    /// included.
    pub hit: u32,
    /// Who caused it, most first.
    pub culprits: Vec<Culprit>,
}

/// One candidate: a gap that goes beyond its pace.
#[derive(Clone, Copy, Debug)]
struct Late {
    beyond: u64,
    request: RequestId,
    token: u32,
    lane: LaneId,
    from: Time,
    to: Time,
    hit: u32,
    /// Whether it is one request's alone.
    single: bool,
}

/// The worst stalls, at most `top` of them, worst first. Gaps of one lane in the same stretch
/// of time are one stall, told by the request that it hit hardest.
pub fn worst(index: &Index<'_>, options: &Options, top: usize) -> Vec<Stall> {
    let mut late = late_gaps(index, options);
    late.sort_by_key(|l| (std::cmp::Reverse(l.beyond), l.request, l.token));
    let mut chosen: Vec<Late> = Vec::new();
    for one in late {
        let same = |other: &Late| {
            (other.lane, other.token == 0) == (one.lane, one.token == 0)
                && overlap((other.from, other.to), (one.from, one.to))
        };
        match chosen.iter().position(same) {
            // Decode steps within a longer stall hit the same requests again and again.
            Some(place) if one.single || chosen[place].to == one.to => {
                chosen[place].hit += one.hit;
            }
            Some(_) => {}
            None if chosen.len() < top => chosen.push(one),
            None => {}
        }
    }
    let tell = |late: Late| tell(index, late.request, late.token, late.beyond, late.hit);
    threads::map(chosen, tell).into_iter().flatten().collect()
}

/// The longest time from one token of a text to the next that goes beyond its pace; none where no text
/// stood still.
pub fn longest_pause(index: &Index<'_>, options: &Options) -> Option<Stall> {
    let late = late_gaps(index, options).into_iter().filter(|late| late.token > 0);
    let longest =
        late.max_by_key(|l| (l.to.since(l.from), std::cmp::Reverse((l.request, l.token))))?;
    tell(index, longest.request, longest.token, longest.beyond, longest.hit)
}

/// Whether two gaps lie in the same stretch of time, by half of the shorter one at least.
fn overlap(a: (Time, Time), b: (Time, Time)) -> bool {
    let (from, to) = (a.0.max(b.0), a.1.min(b.1));
    let shorter = a.1.since(a.0).min(b.1.since(b.0)).as_nanos();
    to > from && to.since(from).as_nanos() * 2 >= shorter
}

/// One gap as a stall, whether or not it was late.
pub fn one(index: &Index<'_>, options: &Options, request: RequestId, token: u32) -> Option<Stall> {
    let row = index.trace().requests.get(request.index())?;
    let gap = index.gap(request, token)?;
    let deadlines = options.deadlines_of(row.class);
    let pace = if token == 0 { deadlines.ttft(row.prompt_tokens) } else { deadlines.tbt() };
    let beyond = gap.to.since(gap.from).as_nanos().saturating_sub(pace.as_nanos());
    tell(index, request, token, beyond, 1)
}

fn tell(index: &Index<'_>, request: RequestId, token: u32, beyond: u64, hit: u32) -> Option<Stall> {
    let gap = index.gap(request, token)?;
    let culprits = culprits(index, request, token);
    Some(Stall { request, gap, beyond: Span::from_nanos(beyond), hit, culprits })
}

/// Late gaps; of the decode steps of a lane each is there once for all who had it.
fn late_gaps(index: &Index<'_>, options: &Options) -> Vec<Late> {
    let trace = index.trace();
    let mut late = Vec::new();
    let mut spans: Vec<Spans> =
        index.lanes.iter().map(|l| Spans::new(l.decode_steps.len())).collect();
    for request in index.requests() {
        let row = &trace.requests[request.index()];
        if row.status == Status::Rejected {
            continue;
        }
        let deadlines = options.deadlines_of(row.class);
        let tbt = deadlines.tbt().as_nanos();
        let first = options.judge_first_token.then(|| deadlines.ttft(row.prompt_tokens).as_nanos());
        let lane = index.lane(request);
        let (late, spans) = (&mut late, &mut spans[..]);
        index.walk(request, &mut Single { index, request, lane, tbt, first, late, spans });
    }
    for (mut spans, (lane, decode_steps)) in spans.into_iter().zip(trace.steps()) {
        spans.runs.sort_unstable_by_key(|run| run.first);
        let (mut count, mut next) = (0_i64, 0);
        // The run that reaches furthest tells the stalls within it.
        let mut teller: Option<RunGaps> = None;
        for decode_step in
            DecodeStepNo::each(index.lanes[lane.index()].decode_steps.numbers()).skip(1)
        {
            let (from, to) =
                (decode_steps[decode_step.index() - 1], decode_steps[decode_step.index()]);
            count += spans.change[decode_step.index()];
            while let Some(&run) = spans.runs.get(next).filter(|run| run.first <= decode_step) {
                if teller.is_none_or(|teller| run.last > teller.last) {
                    teller = Some(run);
                }
                next += 1;
            }
            let Some(RunGaps { first, last, request, token, tbt }) = teller else { continue };
            let gap = to.since(from).as_nanos();
            if count > 0 && gap > tbt && decode_step <= last {
                late.push(Late {
                    beyond: gap - tbt,
                    request,
                    token: token + decode_step.since(first),
                    lane,
                    from,
                    to,
                    hit: count as u32,
                    single: false,
                });
            }
        }
    }
    late
}

/// Runs by the decode steps whose gaps they hold.
struct Spans {
    change: Vec<i64>,
    runs: Vec<RunGaps>,
}

/// A request's run, by the decode steps that end its gaps.
#[derive(Clone, Copy)]
struct RunGaps {
    first: DecodeStepNo,
    last: DecodeStepNo,
    request: RequestId,
    /// The token of the first.
    token: u32,
    /// Its deadline's pace.
    tbt: u64,
}

impl Spans {
    fn new(decode_steps: usize) -> Spans {
        Spans { change: vec![0; decode_steps + 1], runs: Vec::new() }
    }
}

struct Single<'s, 'a> {
    index: &'s Index<'a>,
    request: RequestId,
    lane: LaneId,
    tbt: u64,
    first: Option<u64>,
    late: &'s mut Vec<Late>,
    /// By lane.
    spans: &'s mut [Spans],
}

impl Visit for Single<'_, '_> {
    fn gap(&mut self, gap: &Gap) {
        let Some(pace) = gap.pace(self.first, self.tbt) else { return };
        let took = gap.to.since(gap.from).as_nanos();
        if took > pace {
            self.late.push(Late {
                beyond: took - pace,
                request: self.request,
                token: gap.token,
                lane: self.lane,
                from: gap.from,
                to: gap.to,
                hit: 1,
                single: true,
            });
        }
    }

    fn decode_steps(&mut self, token: u32, run: Run) {
        let (first, last) = (DecodeStepNo(run.first + 1), DecodeStepNo(run.first + run.len - 1));
        let Some(lane) = self.index.trace().steps_of(run) else { return };
        let &mut Single { request, tbt, .. } = self;
        let spans = &mut self.spans[lane.index()];
        spans.change[first.index()] += 1;
        spans.change[last.next().index()] -= 1;
        spans.runs.push(RunGaps { first, last, request, token, tbt });
    }
}

/// Who caused a gap: shares of others' prefill, of seats and of memory, most first. They add up to
/// the gap's time under those causes; in a pipeline, to no more.
pub fn culprits(index: &Index<'_>, request: RequestId, token: u32) -> Vec<Culprit> {
    let own = index.lane(request);
    let mut parts = Parts { index, token, current: vec![Part::of(own)], found: Vec::new() };
    index.walk(request, &mut parts);
    let mut found = Found::default();
    for part in &parts.found {
        add_culprits(index, request, part, &mut found);
    }
    let culprit = |((request, cause), (ns, tokens))| Culprit { request, cause, ns, tokens };
    let mut culprits: Vec<Culprit> =
        found.into_iter().filter(|(_, (ns, _))| *ns > 0).map(culprit).collect();
    culprits.sort_unstable_by_key(|c| (std::cmp::Reverse(c.ns), c.request, c.cause));
    culprits
}

/// Nanoseconds of culprits, and their prefill tokens, by cause.
type Found = FxHashMap<(RequestId, Cause), (u64, u64)>;

/// Adds who caused the part of a gap that lies in one lane.
fn add_culprits(index: &Index<'_>, request: RequestId, part: &Part, found: &mut Found) {
    let lane = &index.lanes[part.lane.index()];
    let mut pricer = Pricer::of(&lane.pool);
    let mut weights = Vec::new();
    for &(of, from, to, in_batch) in &part.decoding {
        let lane = &index.lanes[of.index()];
        for number in IterationNo::each(from.next()..to.next()) {
            let iteration = lane.log.at(number);
            if iteration.chunks.is_empty() || (iteration.decodes > 0 && !in_batch) {
                continue;
            }
            let cause = match iteration.decodes {
                0 => Cause::PrefillOnly,
                _ => Cause::PrefillInterference,
            };
            pricer.weights(&iteration, &mut weights);
            for chunk in iteration.chunks {
                found.entry((chunk.request, cause)).or_default().1 += u64::from(chunk.tokens);
            }
            shares(lane.others_prefill(number), &weights, None, |place, ns| {
                found.entry((iteration.chunks[place].request, cause)).or_default().0 += ns;
            });
            if in_batch {
                let communication = pricer.communication_of_prefill(&iteration);
                shares(communication, &weights, None, |place, ns| {
                    add_communication(found, &iteration.chunks[place], ns);
                });
            }
        }
    }
    for &(of, piece) in &part.pieces {
        let lane = &index.lanes[of.index()];
        let iteration = lane.log.at(piece.iteration);
        if iteration.chunks.is_empty() {
            weights.clear();
        } else {
            pricer.weights(&iteration, &mut weights);
        }
        let own = piece.own.map(ChunkPlace::index);
        for (_, chunk) in
            iteration.chunks.iter().enumerate().filter(|&(place, _)| Some(place) != own)
        {
            let cause = Cause::PrefillInterference;
            found.entry((chunk.request, cause)).or_default().1 += u64::from(chunk.tokens);
        }
        let by = Shares { lane, pricer: &mut pricer, weights: &weights, bubbles: None };
        piece.shares(request, by, |culprit, cause, ns| {
            let (sum, tokens) = found.entry((culprit, cause)).or_default();
            *sum += ns;
            if cause == Cause::Communication {
                let own = iteration.chunks.iter().filter(|chunk| chunk.request == culprit);
                *tokens += own.map(|chunk| u64::from(chunk.tokens)).sum::<u64>();
            }
        });
    }
    if lane.pool.by_turns {
        let mut known: FxHashSet<(RequestId, Time)> = FxHashSet::default();
        for turn in part.bubbles_by_turns(index, request) {
            let (sum, tokens) = found.entry((turn.request, Cause::PipelineBubble)).or_default();
            *sum += turn.ns;
            if known.insert((turn.request, turn.began)) {
                *tokens += u64::from(turn.tokens);
            }
        }
    } else if let Some(bubbles) = index.bubbles(part.lane) {
        // A chunk's tokens count once, however many waits it stood behind.
        let mut known: FxHashSet<(RequestId, Time)> = FxHashSet::default();
        for piece in part.bubbles(bubbles) {
            let cause = lane.waits_for().unwrap_or(Cause::PipelineBubble);
            let (sum, tokens) = found.entry((piece.request, cause)).or_default();
            *sum += piece.ns;
            if known.insert((piece.request, piece.began)) {
                *tokens += u64::from(piece.tokens);
            }
        }
    }
    let mut behind = Vec::new();
    for &wait in &part.waits {
        for (number, head, ns) in pressure::behind(index, request, wait) {
            found.entry((head, Cause::HeadOfLine)).or_default().0 += ns;
            behind.push((number, ns));
        }
    }
    let pressure = part.pressure(lane, behind);
    for (place, cause) in SHARED.into_iter().enumerate() {
        if means_of(cause) != Means::Batch {
            continue;
        }
        let within = IterationNo::each(pressure.within.clone());
        let waited = within.zip(pressure.of(place)).filter(|(_, ns)| **ns > 0);
        for chunk in waited.flat_map(|(number, _)| lane.log.at(number).chunks) {
            found.entry((chunk.request, cause)).or_default().1 += u64::from(chunk.tokens);
        }
    }
    share_waits(index, part.lane, &pressure, |culprit, cause, ns| {
        found.entry((culprit, cause)).or_default().0 += ns;
    });
    if part.evicted > 0 && !lane.staged {
        let takers = index.places.evicted.takers(request);
        let weights: Vec<f64> = takers.iter().map(|&(_, tokens)| tokens as f64).collect();
        for (&(taker, tokens), ns) in takers.iter().zip(apportion(part.evicted, &weights)) {
            let (sum, all) = found.entry((taker, Cause::CacheEvicted)).or_default();
            *sum += ns;
            *all += tokens;
        }
    }
}

fn add_communication(found: &mut Found, chunk: &ChunkRecord, ns: u64) {
    let (sum, tokens) = found.entry((chunk.request, Cause::Communication)).or_default();
    *sum += ns;
    *tokens += u64::from(chunk.tokens);
}

/// What a gap was made of in one lane.
#[derive(Clone, Default)]
struct Part {
    lane: LaneId,
    decoding: Vec<(LaneId, IterationNo, IterationNo, bool)>,
    /// Its chunks, and iterations of another lane than before in which it decoded.
    pieces: Vec<(LaneId, Piece)>,
    stage_0: Vec<IterationNo>,
    waits: Vec<Wait>,
    unseen: Vec<(IterationNo, IterationNo, u64)>,
    passed: Vec<(IterationNo, IterationNo)>,
    recomputed: Vec<(IterationNo, u64)>,
    /// Nanoseconds in which it computed what had gone from the cache.
    evicted: u64,
}

impl Part {
    fn of(lane: LaneId) -> Part {
        Part { lane, ..Part::default() }
    }

    /// The same in a replica that works turn by turn.
    fn bubbles_by_turns(&self, index: &Index<'_>, victim: RequestId) -> Vec<Turn> {
        let mut all = Vec::new();
        let mut add = |share: &Share, ns: u64| {
            let &Share { iteration, request, tokens, began, .. } = share;
            if ns > 0 {
                all.push(Turn { iteration, request, tokens, began, ns });
            }
        };
        for &(lane, from, to, _) in &self.decoding {
            let within = index.bubbles(lane).map_or(&[][..], |bubbles| bubbles.within(from, to));
            within.iter().for_each(|share| add(share, share.stage_0 + share.between));
        }
        for &(lane, piece) in &self.pieces {
            let at = index.bubbles(lane).map_or(&[][..], |bubbles| bubbles.at(piece.iteration));
            for share in at.iter().filter(|share| share.request != victim) {
                add(share, piece.seen.floor(share.between));
            }
        }
        all
    }

    /// Shares in its waits for other lanes of a pipeline, each of them once.
    fn bubbles(&self, bubbles: &Bubbles) -> Vec<Turn> {
        let waits = self.waits.iter().filter(|wait| !wait.preempted);
        let turns = waits.flat_map(|wait| bubbles.turns_within(wait.from, wait.to).iter().copied());
        let told = |(&Share { iteration, request, tokens, began, .. }, ns)| Turn {
            iteration,
            request,
            tokens,
            began,
            ns,
        };
        turns.chain(self.shares(bubbles).into_iter().map(told)).collect()
    }

    /// Shares in its pipeline bubbles.
    fn shares<'b>(&self, bubbles: &'b Bubbles) -> Vec<(&'b Share, u64)> {
        let mut all = Vec::new();
        for &(_, from, to, _) in &self.decoding {
            let both = |share: &'b Share| (share, share.stage_0 + share.between);
            all.extend(bubbles.within(from, to).iter().map(both));
        }
        // Chunks of iterations in a row stood through both waits too.
        let iterations: Vec<IterationNo> =
            self.pieces.iter().map(|(_, piece)| piece.iteration).collect();
        for &number in &self.stage_0 {
            let both = iterations.binary_search(&number).is_ok();
            let ns = |share: &Share| share.stage_0 + if both { share.between } else { 0 };
            all.extend(bubbles.at(number).iter().map(|share| (share, ns(share))));
        }
        let told = |number: &IterationNo| self.stage_0.binary_search(number).is_ok();
        for number in iterations.into_iter().filter(|number| !told(number)) {
            all.extend(bubbles.at(number).iter().map(|share| (share, share.between)));
        }
        all.retain(|&(_, ns)| ns > 0);
        all
    }

    /// The iterations that it waited for.
    fn waited(&self) -> Range<IterationNo> {
        let missed = self.decoding.iter().filter(|&&(.., within)| !within);
        let stretches = (missed.map(|&(_, from, to, _)| (from.next(), to.next())))
            .chain(self.waits.iter().map(|wait| (wait.from, wait.to)))
            .chain(self.unseen.iter().map(|&(first, seen, _)| {
                let in_flight = first.back(1);
                (in_flight, seen.max(in_flight.next()))
            }))
            .chain(self.passed.iter().copied())
            .chain(self.recomputed.iter().map(|&(at, _)| (at, at.next())));
        let both = |(a, b): (IterationNo, IterationNo), (from, to)| (a.min(from), b.max(to));
        let (from, to) = stretches.reduce(both).unwrap_or_default();
        from..to
    }

    fn pressure(&self, lane: &LaneColumns<'_>, behind: Vec<(IterationNo, u64)>) -> Pressure {
        let mut waits = Waits::within(self.waited());
        let decoding = self.decoding.iter();
        decoding.for_each(|&(lane, from, to, within)| waits.decoding(lane, from, to, within));
        self.waits.iter().for_each(|&wait| waits.wait(wait));
        self.unseen.iter().for_each(|&(first, seen, ns)| waits.unseen(first, seen, ns));
        self.passed.iter().for_each(|&(from, to)| waits.passed_over(from, to));
        self.recomputed.iter().for_each(|&(at, ns)| waits.recomputed(at, ns));
        waits.pressure(lane, behind)
    }
}

struct Parts<'p, 'a> {
    index: &'p Index<'a>,
    token: u32,
    /// One a lane, in order.
    current: Vec<Part>,
    found: Vec<Part>,
}

impl Parts<'_, '_> {
    fn last(&mut self) -> &mut Part {
        self.current.last_mut().expect("one at least")
    }

    /// The next gap begins in the lane in which this one ends.
    fn take(&mut self) -> Vec<Part> {
        let next = vec![Part::of(self.last().lane)];
        std::mem::replace(&mut self.current, next)
    }
}

impl Visit for Parts<'_, '_> {
    fn gap(&mut self, gap: &Gap) {
        let parts = self.take();
        if gap.token == self.token {
            self.found = parts;
        }
    }

    fn decode_steps(&mut self, token: u32, run: Run) {
        // What was told of the run as a whole is no gap's.
        self.take();
        if (token..token + run.len - 1).contains(&self.token) {
            let before = DecodeStepNo(run.first + (self.token - token));
            let Some(lane) = self.index.trace().steps_of(run) else { return };
            let iteration = |step| self.index.lanes[lane.index()].decode_steps.at(step);
            let decoding = vec![(lane, iteration(before), iteration(before.next()), true)];
            self.found = vec![Part { decoding, ..Part::of(lane) }];
        }
    }

    fn leg(&mut self, lane: LaneId) {
        self.current.push(Part::of(lane));
    }

    fn decoding(&mut self, lane: LaneId, from: IterationNo, to: IterationNo, in_batch: bool) {
        self.last().decoding.push((lane, from, to, in_batch));
    }

    fn joined(&mut self, lane: LaneId, iteration: IterationNo, seen: Seen) {
        self.last().pieces.push((lane, Piece::joined(iteration, seen)));
    }

    fn chunk(&mut self, at: ChunkAt, seen: Seen) {
        self.last().pieces.push((at.lane, Piece::chunk(at, seen)));
    }

    fn stage_0(&mut self, _: LaneId, iteration: IterationNo) {
        self.last().stage_0.push(iteration);
    }

    fn wait(&mut self, wait: Wait) {
        self.last().waits.push(wait);
    }

    fn unseen(&mut self, first: IterationNo, seen: IterationNo, in_flight: u64) {
        self.last().unseen.push((first, seen, in_flight));
    }

    fn passed_over(&mut self, from: IterationNo, to: IterationNo) {
        self.last().passed.push((from, to));
    }

    fn evicted(&mut self, ns: u64) {
        self.last().evicted += ns;
    }

    fn recomputed(&mut self, preempted: IterationNo, ns: u64) {
        self.last().recomputed.push((preempted, ns));
    }
}
