//! Who held seats and KV memory, and who was in the batches that ran; and sums by which a wait is
//! shared among them.
//!
//! A request holds the blocks that it took with its last chunk until its answer outgrows them, and
//! then a block more every so many decode steps. What it held over a stretch, weighed by how many
//! waited for how long, is a difference of running sums: no token is visited.

use std::ops::Range;

use super::lane::LaneColumns;
use super::tables::Tables;
use crate::ids::{DecodeStepNo, IterationNo, LaneId};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{ChunkAt, HandOver, Status};

/// A stretch of iterations in which a request held a seat, and memory.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: IterationNo,
    to: IterationNo,
    held: Held,
    /// Blocks of these that it found in a cache when it was admitted.
    found: u32,
    /// Whether it holds a seat too: not what is kept for another replica to fetch.
    seated: bool,
}

/// What a request holds at an iteration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holding {
    pub request: RequestId,
    pub blocks: u32,
    /// Of these, found in a cache when it was admitted.
    pub found: u32,
    pub seated: bool,
}

/// A run of decodes of a request.
#[derive(Clone, Copy, Debug)]
struct Decoded {
    first: DecodeStepNo,
    last: DecodeStepNo,
    /// In memory at the first.
    tokens: i64,
}

/// Blocks of a piece.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// The same all along.
    Blocks(u32),
    /// Those of so many tokens more than there were decode steps, this iteration's included.
    Grows(i64),
}

/// Who held what on one lane, and who ran.
#[derive(Debug, Default)]
pub(super) struct Holders {
    id: LaneId,
    block_tokens: i64,
    /// Those who were ever admitted here, in order, with where their pieces and runs begin.
    pub requests: Vec<RequestId>,
    first_piece: Vec<u32>,
    pieces: Vec<Piece>,
    first_run: Vec<u32>,
    /// Decodes: from the iteration of a run's first decode step to that of its last.
    runs: Vec<(IterationNo, IterationNo)>,
    /// Where those of `in_vain` begin.
    first_vain: Vec<u32>,
    /// Decode steps that a request ran for nothing: where an answer ended after it was planned, or a
    /// preemption threw its token away; or that still ran when observation ended.
    in_vain: Vec<IterationNo>,
    /// Row i: seats taken at iteration i.
    pub seats: Vec<u32>,
    /// Row i: blocks held, those that several share counted for each.
    pub blocks: Vec<u64>,
}

/// What is shared among those who hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Means {
    /// Seats, equally.
    #[default]
    Seats,
    /// KV memory, by blocks.
    Blocks,
    /// The batch of an iteration, by tokens.
    Batch,
}

impl Holders {
    /// Of one lane.
    pub(super) fn new(tables: &Tables<'_>, id: LaneId) -> Holders {
        let lane = &tables.lanes[id.index()];
        let block_tokens = i64::from(lane.pool.memory.block_tokens.max(1));
        let mut holders = Holders { id, block_tokens, ..Holders::default() };
        for request in tables.requests() {
            // Lanes that are turns of one running list hold nothing of their own.
            let own = !lane.pool.by_turns && tables.legs(request).any(|lane| lane == id);
            if own && !tables.places.chunks_on(request, id).is_empty() {
                holders.requests.push(request);
                holders.first_piece.push(holders.pieces.len() as u32);
                holders.first_run.push(holders.runs.len() as u32);
                holders.first_vain.push(holders.in_vain.len() as u32);
                match tables.trace().hand_over(request).filter(|hand| hand.from == id) {
                    Some(hand) => holders.add_prompt(tables, lane, hand),
                    None => holders.add(tables, lane, request),
                }
            }
        }
        holders.first_piece.push(holders.pieces.len() as u32);
        holders.first_run.push(holders.runs.len() as u32);
        holders.first_vain.push(holders.in_vain.len() as u32);
        if lane.pool.planned_ahead {
            holders.keep_vain(lane);
        } else {
            // A wasted step takes planning ahead; one that was cut off does not.
            let trace = tables.trace();
            let requests = holders.requests.clone();
            holders.keep_vain_where(|holder, _| {
                let row = &trace.requests[requests[holder].index()];
                row.status == Status::Unfinished
            });
        }
        holders.sum(lane);
        holders
    }

    /// Keeps the wasted decode steps of iterations that decoded more than tokens came of.
    fn keep_vain(&mut self, lane: &LaneColumns<'_>) {
        let mut decodes = vec![0_i64; lane.log.len() + 1];
        for &(first, last) in &self.runs {
            decodes[first.index()] += 1;
            decodes[last.next().index()] -= 1;
        }
        let mut sum = 0;
        for (decodes, iteration) in decodes.iter_mut().zip(lane.log) {
            sum += *decodes;
            *decodes = i64::from(iteration.decodes) - sum;
        }
        self.keep_vain_where(|_, number| {
            lane.log.at(number).decodes > 0 && decodes[number.index()] > 0
        });
    }

    /// Keeps the wasted decode steps of those holders and iterations.
    fn keep_vain_where(&mut self, keep: impl Fn(usize, IterationNo) -> bool) {
        let all = std::mem::take(&mut self.in_vain);
        let mut from = 0;
        for holder in 0..self.requests.len() {
            let to = self.first_vain[holder + 1] as usize;
            let own = all[from..to].iter().copied().filter(|&number| keep(holder, number));
            self.in_vain.extend(own);
            from = to;
            self.first_vain[holder + 1] = self.in_vain.len() as u32;
        }
    }

    fn push(&mut self, from: IterationNo, to: IterationNo, held: Held, found: u32) {
        if from < to {
            self.pieces.push(Piece { from, to, held, found, seated: true });
        }
    }

    /// Who holds blocks at each iteration of a stretch, in order of their numbers.
    pub(super) fn at_each(
        &self,
        lane: &LaneColumns<'_>,
        stretch: Range<IterationNo>,
    ) -> Vec<Vec<Holding>> {
        let mut lists = vec![Vec::new(); stretch.end.since(stretch.start) as usize];
        let bounds = self.first_piece.windows(2).map(|two| two[0] as usize..two[1] as usize);
        for (&request, bounds) in self.requests.iter().zip(bounds) {
            let pieces = &self.pieces[bounds];
            let first = pieces.partition_point(|piece| piece.to <= stretch.start);
            for piece in pieces[first..].iter().take_while(|piece| piece.from < stretch.end) {
                let both = piece.from.max(stretch.start)..piece.to.min(stretch.end);
                for number in IterationNo::each(both) {
                    let blocks = self.held_at(lane, piece, number);
                    let found = piece.found.min(blocks);
                    let seated = piece.seated;
                    let list = &mut lists[number.since(stretch.start) as usize];
                    if blocks > 0 {
                        list.push(Holding { request, blocks, found, seated });
                    }
                }
            }
        }
        lists
    }

    fn blocks_for(&self, tokens: i64) -> u32 {
        (tokens.max(0) as u64).div_ceil(self.block_tokens as u64) as u32
    }

    /// A prompt that was computed here and is answered elsewhere: its blocks stay until they are
    /// fetched.
    fn add_prompt(&mut self, tables: &Tables<'_>, lane: &LaneColumns<'_>, hand: &HandOver) {
        let chunks = tables.places.chunks_on(hand.request, self.id);
        let Some(last) = chunks.last() else { return };
        let over = left(lane, last.iteration);
        let id = self.id;
        let lost = tables.places.preemptions(hand.request).filter(move |&(of, _)| of == id);
        let mut rest = chunks;
        for out in lost.map(|(_, number)| number).chain([over]) {
            let (these, later) = rest.split_at(rest.partition_point(|at| at.iteration < out));
            rest = later;
            self.residence(tables, lane, these, &[], out);
        }
        let to = lane.log.partition_point(|iteration| iteration.decided < hand.released);
        if over < to {
            let held = Held::Blocks(hand.held_blocks);
            let found = self.found(tables, lane, chunks[0], hand.request);
            self.pieces.push(Piece { from: over, to, held, found, seated: false });
        }
    }

    /// From each admission to the preemption after it, or to the end.
    fn add(&mut self, tables: &Tables<'_>, lane: &LaneColumns<'_>, request: RequestId) {
        let trace = tables.trace();
        let row = &trace.requests[request.index()];
        let end = lane.log.numbers().end;
        let mut runs = Vec::new();
        let carried = trace.hand_over(request).is_some_and(|hand| hand.carried);
        let mut last = match row.first_token {
            Time::NEVER => end,
            // No step of the lane brought it.
            _ if carried => end,
            first => lane.iteration_at(first),
        };
        // Tokens in memory at a run's first decode step: the prompt and what was answered before.
        let mut tokens = i64::from(row.prompt_tokens) + 1;
        for run in trace.runs(row) {
            if trace.steps_of(run).is_some() {
                let decode_steps = (DecodeStepNo(run.first), DecodeStepNo(run.first + run.len - 1));
                last = lane.decode_steps.at(decode_steps.1);
                runs.push(Decoded { first: decode_steps.0, last: decode_steps.1, tokens });
                self.runs.push((lane.decode_steps.at(decode_steps.0), last));
            } else {
                last =
                    self.one_by_one(tables, lane, (request, tokens), trace.times(run), &mut runs);
            }
            tokens += i64::from(run.len);
        }
        let over = if row.status == Status::Completed { left(lane, last) } else { end };
        let vain = match row.status {
            Status::Completed => Some(last.next()),
            // In the batch that still ran when observation ended.
            Status::Unfinished => lane.unobserved().filter(|&number| {
                let mut lost = tables.places.preemptions(request);
                let lost = lost.any(|(of, at)| of == self.id && at > last);
                number > last && !lost && lane.log.at(number).decodes > 0
            }),
            _ => None,
        };
        let id = self.id;
        let own = tables.places.preemptions(request).filter(move |&(of, _)| of == id);
        let lost = own.map(|(_, number)| number);
        let outs = lost.chain([over]);
        let mut chunks = tables.places.chunks_on(request, self.id);
        let mut runs = runs.as_slice();
        for out in outs {
            let before = chunks.partition_point(|chunk| chunk.iteration < out);
            let (these, rest) = chunks.split_at(before);
            chunks = rest;
            let mine = runs.partition_point(|run| lane.decode_steps.at(run.first) < out);
            let (decoded, later) = runs.split_at(mine);
            runs = later;
            self.residence(tables, lane, these, decoded, out);
            if lane.pool.planned_ahead && out < over {
                // A step that was in flight when it was preempted, and brought it nothing.
                let ran = decoded.last().map(|run| lane.decode_steps.at(run.last));
                let ran = ran.max(these.last().map(|chunk| chunk.iteration));
                let wasted = ran.filter(|ran| ran.next() < out).map(|_| out.back(1));
                self.in_vain.extend(wasted);
            }
        }
        self.in_vain.extend(vain.filter(|&number| number < end));
    }

    /// Tokens that came on their own: by prompts that were computed anew, and by steps of which drafts
    /// made several. Says which iteration brought the last.
    fn one_by_one(
        &mut self,
        tables: &Tables<'_>,
        lane: &LaneColumns<'_>,
        (request, mut tokens): (RequestId, i64),
        times: &[Time],
        runs: &mut Vec<Decoded>,
    ) -> IterationNo {
        let chunks = tables.places.chunks_on(request, self.id);
        let mut last = IterationNo::FIRST;
        for together in times.chunk_by(|a, b| a == b) {
            last = lane.iteration_at(together[0]);
            let prefilled = chunks.binary_search_by_key(&last, |chunk| chunk.iteration).is_ok();
            if !prefilled {
                let step = lane.decode_steps.from(last);
                let goes_on = runs.last().is_some_and(|run| run.last.next() == step);
                match self.runs.last_mut().filter(|_| goes_on) {
                    Some(run) => run.1 = last,
                    None => self.runs.push((last, last)),
                }
                runs.push(Decoded { first: step, last: step, tokens });
            }
            tokens += together.len() as i64;
        }
        last
    }

    /// Blocks that a request found in a cache when it was admitted with this chunk: of the tokens before it
    /// those that nothing brought from elsewhere.
    fn found(
        &self,
        tables: &Tables<'_>,
        lane: &LaneColumns<'_>,
        first: ChunkAt,
        request: RequestId,
    ) -> u32 {
        let context = lane.log.chunk(lane.log.chunk_row(first)).context;
        let trace = tables.trace();
        let handed = trace.hand_over(request).filter(|hand| hand.from != self.id);
        let handed = handed.map(|hand| context.saturating_sub(hand.tokens));
        let begun = lane.log.start(first.iteration);
        let loads = trace.loads(request).iter().rev();
        let loaded = loads
            .filter(|load| load.landed <= begun && load.context + load.tokens == context)
            .map(|load| load.context);
        let tokens = handed.or(loaded.take(1).next()).unwrap_or(context);
        tokens / self.block_tokens as u32
    }

    fn residence(
        &mut self,
        tables: &Tables<'_>,
        lane: &LaneColumns<'_>,
        chunks: &[ChunkAt],
        runs: &[Decoded],
        out: IterationNo,
    ) {
        let (Some(&first_chunk), Some(&last_chunk)) = (chunks.first(), chunks.last()) else {
            return;
        };
        let request = lane.log.chunk(lane.log.chunk_row(first_chunk)).request;
        let found = self.found(tables, lane, first_chunk, request);
        let blocks_of = |at: ChunkAt| lane.log.chunk(lane.log.chunk_row(at)).blocks;
        for pair in chunks.windows(2) {
            self.push(
                pair[0].iteration,
                pair[1].iteration,
                Held::Blocks(blocks_of(pair[0])),
                found,
            );
        }
        let mut held = blocks_of(last_chunk);
        let mut at = last_chunk.iteration;
        for &Decoded { first, last, tokens } in runs {
            // The first decode step whose tokens go beyond what is held already.
            let room = i64::from(held) * self.block_tokens - tokens + 1;
            let beyond = i64::from(first.0) + room.max(0);
            let to = lane.decode_steps.at(last).next().min(out);
            let grows = match u32::try_from(beyond).map(DecodeStepNo) {
                Ok(beyond) if beyond <= last => lane.decode_steps.at(beyond).min(to),
                _ => to,
            };
            self.push(at, grows, Held::Blocks(held), found);
            self.push(grows, to, Held::Grows(tokens - i64::from(first.0) - 1), found);
            held = held.max(self.blocks_for(tokens + i64::from(last.since(first))));
            at = to;
        }
        self.push(at, out, Held::Blocks(held), found);
    }

    fn sum(&mut self, lane: &LaneColumns<'_>) {
        let rows = lane.log.len() + 1;
        let (mut seats, mut blocks) = (vec![0_i64; rows], vec![0_i64; rows]);
        let stride = self.block_tokens as usize;
        let mut steps = vec![0_i64; lane.decode_steps.len() + stride + 2];
        for piece in &self.pieces {
            let (from, to) = (piece.from.index(), piece.to.index());
            if piece.seated {
                seats[from] += 1;
                seats[to] -= 1;
            }
            let last = piece.to.back(1);
            blocks[from] += i64::from(self.held_at(lane, piece, piece.from));
            blocks[to] -= i64::from(self.held_at(lane, piece, last));
            if let Held::Grows(more) = piece.held {
                let (first, after) = self.steps(lane, more, piece.from..piece.to);
                steps[first] += 1;
                steps[after] -= 1;
            }
        }
        for decode_steps in stride..steps.len() {
            steps[decode_steps] += steps[decode_steps - stride];
        }
        for (decode_step, step) in DecodeStepNo::each(lane.decode_steps.numbers()).zip(&steps[1..])
        {
            blocks[lane.decode_steps.at(decode_step).index()] += step;
        }
        let (mut seat, mut block) = (0, 0);
        for row in 0..lane.log.len() {
            seat += seats[row];
            block += blocks[row];
            self.seats.push(seat as u32);
            self.blocks.push(block as u64);
        }
    }

    /// Counts of decode steps at which a growing piece takes a block, beyond its first iteration's:
    /// the first, and the first that lies behind its end; one every `block_tokens`.
    fn steps(
        &self,
        lane: &LaneColumns<'_>,
        more: i64,
        within: Range<IterationNo>,
    ) -> (usize, usize) {
        let block = self.block_tokens;
        // The least count above `decode_steps` that begins a block.
        let next =
            |decode_steps: i64| decode_steps + 1 + (-(more + decode_steps)).rem_euclid(block);
        let (first, last) = (within.start, within.end.back(1));
        (
            next(decode_steps_upto(lane, first)) as usize,
            next(decode_steps_upto(lane, last)) as usize,
        )
    }

    fn held_at(&self, lane: &LaneColumns<'_>, piece: &Piece, number: IterationNo) -> u32 {
        match piece.held {
            Held::Blocks(blocks) => blocks,
            Held::Grows(more) => self.blocks_for(more + decode_steps_upto(lane, number)),
        }
    }

    /// Running sums for waits of `waited` nanoseconds at each iteration from `first` on.
    pub(super) fn sums(
        &self,
        lane: &LaneColumns<'_>,
        means: Means,
        first: IterationNo,
        waited: &[u64],
    ) -> Sums {
        let mut sums = Sums { means, first, ..Sums::default() };
        sums.rows.reserve(waited.len() + 1);
        let (mut sum, mut decoded) = (0.0, 0.0);
        sums.rows.push(sum);
        if means == Means::Batch {
            sums.decodes.push(decoded);
        }
        for (number, &ns) in first.onwards().zip(waited) {
            if ns > 0 {
                let iteration = lane.log.at(number);
                let among = match means {
                    Means::Seats => u64::from(self.seats[number.index()]),
                    Means::Blocks => self.blocks[number.index()],
                    Means::Batch => batch_tokens(&iteration),
                };
                let each = ns as f64 / among.max(1) as f64;
                sum += each;
                if iteration.decodes > 0 {
                    decoded += each;
                }
                // As sums over many requests do, it ends at the most that nanoseconds hold.
                sums.total = sums.total.saturating_add(ns);
            }
            sums.rows.push(sum);
            if means == Means::Batch {
                sums.decodes.push(decoded);
            }
        }
        if means == Means::Blocks && sums.total > 0 {
            let stride = self.block_tokens as usize;
            let (from, to) = (
                lane.decode_steps.from(first),
                lane.decode_steps.from(first.after(waited.len() as u32)),
            );
            sums.decode_steps = from.index();
            sums.strided = vec![0.0; to.since(from) as usize + 1];
            for (k, decode_step) in (1..).zip(DecodeStepNo::each(from..to)) {
                let before = if k > stride { sums.strided[k - stride] } else { 0.0 };
                sums.strided[k] = before + sums.row(lane.decode_steps.at(decode_step));
            }
        }
        sums
    }

    /// What the `holder`th of [`requests`](Holders::requests) has to do with the waits in `sums`
    /// within these iterations, in nanoseconds.
    pub(super) fn share(
        &self,
        tables: &Tables<'_>,
        lane: &LaneColumns<'_>,
        sums: &Sums,
        holder: usize,
        within: Range<IterationNo>,
    ) -> f64 {
        if sums.total == 0 || within.is_empty() {
            return 0.0;
        }
        if sums.means == Means::Batch {
            return self.ran(tables, lane, sums, holder, within);
        }
        let pieces = self.first_piece[holder] as usize..self.first_piece[holder + 1] as usize;
        let part = |piece: &Piece| {
            let both = piece.from.max(within.start)..piece.to.min(within.end);
            let counts = piece.seated || sums.means != Means::Seats;
            (counts && !both.is_empty()).then(|| self.part(lane, sums, piece, both))
        };
        self.pieces[pieces].iter().filter_map(part).sum::<f64>().max(0.0)
    }

    fn part(
        &self,
        lane: &LaneColumns<'_>,
        sums: &Sums,
        piece: &Piece,
        within: Range<IterationNo>,
    ) -> f64 {
        let whole = sums.row(within.end) - sums.row(within.start);
        match (sums.means, piece.held) {
            (Means::Seats | Means::Batch, _) => whole,
            (Means::Blocks, Held::Blocks(blocks)) => f64::from(blocks) * whole,
            (Means::Blocks, Held::Grows(more)) => {
                let first = self.held_at(lane, piece, within.start);
                let (step, after) = self.steps(lane, more, within.clone());
                let stride = self.block_tokens as usize;
                let taken = (after - step) / stride;
                // Nobody waited before the first row.
                let strided =
                    |decode_steps: usize| match decode_steps.checked_sub(sums.decode_steps) {
                        None => 0.0,
                        Some(row) => sums.strided[row],
                    };
                let later = match taken {
                    0 => 0.0,
                    _ => {
                        let before = if step > stride { strided(step - stride) } else { 0.0 };
                        taken as f64 * sums.row(within.end) - (strided(after - stride) - before)
                    }
                };
                f64::from(first) * whole + later
            }
        }
    }

    /// Its tokens in the batches that ran.
    fn ran(
        &self,
        tables: &Tables<'_>,
        lane: &LaneColumns<'_>,
        sums: &Sums,
        holder: usize,
        within: Range<IterationNo>,
    ) -> f64 {
        let Range { start: from, end: to } = within;
        let mut share = 0.0;
        let chunks = tables.places.chunks_on(self.requests[holder], self.id);
        let first = chunks.partition_point(|chunk| chunk.iteration < from);
        for &at in chunks[first..].iter().take_while(|chunk| chunk.iteration < to) {
            let tokens = lane.log.chunk(lane.log.chunk_row(at)).tokens;
            share += f64::from(tokens) * sums.at(at.iteration);
        }
        let runs = self.first_run[holder] as usize..self.first_run[holder + 1] as usize;
        for &(first, last) in &self.runs[runs] {
            let (from, to) = (first.max(from), last.next().min(to));
            if from < to {
                let row = |number: IterationNo| sums.decodes[number.since(sums.first) as usize];
                share += row(to) - row(from);
            }
        }
        let vain = self.first_vain[holder] as usize..self.first_vain[holder + 1] as usize;
        for &vain in self.in_vain[vain].iter().filter(|&vain| (from..to).contains(vain)) {
            share += sums.at(vain);
        }
        share.max(0.0)
    }
}

/// The first iteration without a request whose last one was `last`. One that was planned ahead, before that
/// had ended, still has its seat and its blocks.
fn left(lane: &LaneColumns<'_>, last: IterationNo) -> IterationNo {
    let next = last.next();
    let end = lane.log.numbers().end;
    let lingers =
        lane.pool.planned_ahead && next < end && lane.log.at(next).decided < lane.log.end(last);
    next.after(u32::from(lingers)).min(end)
}

/// Decode steps up to an iteration, it included.
fn decode_steps_upto(lane: &LaneColumns<'_>, number: IterationNo) -> i64 {
    i64::from(lane.decode_steps.from(number.next()).0)
}

/// Tokens that an iteration computes.
fn batch_tokens(iteration: &crate::trace::Iteration<'_>) -> u64 {
    let chunks = iteration.chunks.iter().map(|chunk| u64::from(chunk.tokens)).sum::<u64>();
    chunks + u64::from(iteration.decodes)
}

/// Running sums of waits, each divided by all that is shared at its iteration.
#[derive(Debug, Default)]
pub(super) struct Sums {
    means: Means,
    /// The iteration of row 0.
    first: IterationNo,
    rows: Vec<f64>,
    /// For batches: iterations with decodes alone.
    decodes: Vec<f64>,
    /// Decode steps before the first row.
    decode_steps: usize,
    /// For blocks. Row k: what stands in `rows` at decode steps k, k - block, k - 2 blocks, ... of
    /// those from the first row on, summed.
    strided: Vec<f64>,
    /// Nanoseconds waited in all.
    pub total: u64,
}

impl Sums {
    /// What was waited before this iteration.
    fn row(&self, number: IterationNo) -> f64 {
        self.rows[number.since(self.first) as usize]
    }

    /// What was waited at this iteration.
    fn at(&self, number: IterationNo) -> f64 {
        self.row(number.next()) - self.row(number)
    }
}
