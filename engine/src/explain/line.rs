//! Who stood behind a head of the queue that lacked memory, while the memory for its own prompt
//! was free.
//!
//! A request's need is the blocks that it took when it was admitted (those of its prompt where it
//! never was). In an iteration that left the queue's head waiting for KV blocks, a request that
//! needs fewer than the head, and no more than were free beyond the watermark, waits for the head
//! and not for memory. Found for all requests in one sweep over the iterations, with sums by need.

use super::lane::LaneColumns;
use super::places::Places;
use super::recording::{RecordedPool, Recording};
use super::walk::queued;
use crate::ids::{IterationNo, LaneId};
use crate::replica::Held;
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{Iteration, Log, Status};

/// The line before one replica.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// `(iteration, head, nanoseconds that the others stood behind it, summed over them)`.
    pub behind: Vec<(IterationNo, RequestId, u64)>,
}

/// A waiting request.
struct Waiter {
    request: RequestId,
    from: IterationNo,
    to: IterationNo,
    need: u32,
    /// Whether it got its first token, so that its wait is somebody's blame.
    counts: bool,
}

impl Line {
    /// Sweeps over a replica, and writes what each request lost into `places`.
    pub(super) fn new(
        recording: &Recording<'_>,
        lane: &LaneColumns<'_>,
        places: &mut Places,
        id: LaneId,
    ) -> Line {
        let mut line = Line::default();
        // Who is handed over waits for memory in two places: there no line is told apart.
        let trace = recording.trace;
        let handed = !trace.hand_overs.is_empty() || !trace.kv_loads.is_empty();
        if handed || lane.staged || !lane.log.ever_held(Held::NoKvBlocks) {
            return line;
        }
        let mut waiters = waiters(recording, lane, places, id);
        let most = waiters.iter().map(|waiter| waiter.need).max().unwrap_or(0) as usize;
        waiters.sort_unstable_by_key(|waiter| (waiter.from, waiter.request));
        let mut ends: Vec<usize> = (0..waiters.len()).collect();
        ends.sort_unstable_by_key(|&place| waiters[place].to);
        // By need: time in which so many blocks would have done; and waiting requests.
        let (mut time, mut count) = (Tree::new(most + 1), Tree::new(most + 1));
        let (mut starting, mut ending) = (0, ends.as_slice());
        for number in IterationNo::each(IterationNo::FIRST..lane.log.numbers().end.next()) {
            while let Some((&place, rest)) = ending.split_first() {
                let waiter = &waiters[place];
                if waiter.to > number {
                    break;
                }
                ending = rest;
                let behind = &mut places.behind[waiter.request.index()];
                *behind = behind.wrapping_add(time.from(waiter.need as usize));
                if waiter.counts {
                    count.add(waiter.need as usize, u64::MAX);
                }
            }
            while let Some(waiter) = waiters.get(starting).filter(|waiter| waiter.from <= number) {
                starting += 1;
                let before = &mut places.behind[waiter.request.index()];
                *before = before.wrapping_sub(time.from(waiter.need as usize));
                if waiter.counts {
                    count.add(waiter.need as usize, 1);
                }
            }
            let Some(iteration) = lane.log.get(number) else { break };
            let Some((head, room)) = room(recording, places, &iteration) else { continue };
            let room = (room as usize).min(most);
            let stood = lane.stood(number);
            time.add(room, stood);
            let behind = count.upto(room);
            if behind > 0 {
                line.behind.push((number, head, behind * stood));
            }
        }
        line
    }
}

fn waiters(
    recording: &Recording<'_>,
    lane: &LaneColumns<'_>,
    places: &Places,
    id: LaneId,
) -> Vec<Waiter> {
    let mut waiters = Vec::new();
    for (row, request) in recording.trace.requests.iter().zip((0..).map(RequestId)) {
        if places.lane(request) != id || row.status == Status::Rejected && row.tokens == 0 {
            continue;
        }
        let Some(queued) = queued(recording.trace, lane, places, request) else { continue };
        let (from, to) = (queued.seen, queued.to);
        let need = need(recording, places, lane.log, request);
        if from < to {
            // Waits of those that were dropped unserved are nobody's blame.
            let counts = row.first_token != Time::NEVER || row.status == Status::Unfinished;
            waiters.push(Waiter { request, from, to, need, counts });
        }
    }
    waiters
}

/// Blocks that a request took when it was admitted.
fn need(recording: &Recording<'_>, places: &Places, log: &Log, request: RequestId) -> u32 {
    match places.chunks(request).first() {
        Some(&first) => log.chunk(log.chunk_row(first)).blocks,
        None => {
            let row = &recording.trace.requests[request.index()];
            let memory = recording.pool(row.lane).memory;
            row.prompt_tokens.div_ceil(memory.block_tokens.max(1))
        }
    }
}

/// The head of the queue and the largest need that stood behind it and not for want of memory,
/// where the head was left waiting for KV blocks.
fn room(
    recording: &Recording<'_>,
    places: &Places,
    iteration: &Iteration<'_>,
) -> Option<(RequestId, u32)> {
    let head = iteration.head.filter(|_| iteration.held == Some(Held::NoKvBlocks))?;
    let lane = recording.trace.requests[head.index()].lane;
    let &RecordedPool { cost, memory, .. } = recording.pool(lane);
    // Lanes of a pipeline share queue and memory but decide apart: no line is told apart there.
    if cost.stages() > 1 {
        return None;
    }
    let free = memory.blocks.saturating_sub(iteration.kv_used + memory.watermark_blocks);
    let log = &recording.log[lane.index()];
    let needed = need(recording, places, log, head);
    (needed > 0).then(|| (head, free.min(needed - 1)))
}

/// Who stood behind the head in one iteration: the head, when `request` did.
pub(super) fn head_of(
    recording: &Recording<'_>,
    places: &Places,
    iteration: &Iteration<'_>,
    request: RequestId,
) -> Option<RequestId> {
    let (head, room) = room(recording, places, iteration)?;
    let log = &recording.log[recording.trace.requests[request.index()].lane.index()];
    (need(recording, places, log, request) <= room).then_some(head)
}

/// Sums over a range of places, kept up to date (Fenwick's tree). Sums wrap, so that differences
/// and removals work.
struct Tree {
    nodes: Vec<u64>,
    total: u64,
}

impl Tree {
    fn new(places: usize) -> Tree {
        Tree { nodes: vec![0; places + 1], total: 0 }
    }

    fn add(&mut self, place: usize, value: u64) {
        self.total = self.total.wrapping_add(value);
        let mut node = place + 1;
        while node < self.nodes.len() {
            self.nodes[node] = self.nodes[node].wrapping_add(value);
            node += node & node.wrapping_neg();
        }
    }

    /// Places up to this one.
    fn upto(&self, place: usize) -> u64 {
        let (mut sum, mut node) = (0_u64, place + 1);
        while node > 0 {
            sum = sum.wrapping_add(self.nodes[node]);
            node -= node & node.wrapping_neg();
        }
        sum
    }

    /// This place and those after it.
    fn from(&self, place: usize) -> u64 {
        match place {
            0 => self.total,
            _ => self.total.wrapping_sub(self.upto(place - 1)),
        }
    }
}
