//! Who waits at every instant. The log counts a queue once a batch is formed, when those that it took
//! have left; here a request waits until its first batch begins, as its user does.

use std::collections::HashMap;

use crate::explain::Recording;
use crate::ids::{IterationNo, LaneId, ReplicaId};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{Log, Status};

/// A stretch of time that a request spent without a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who.
    pub request: RequestId,
    /// When it began.
    pub from: Time,
    /// When a batch with it began; [`Time::NEVER`] where none did.
    pub to: Time,
    /// Whether it had lost its KV blocks before.
    pub preempted: bool,
}

/// The line before one replica.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// In order of their beginning.
    waits: Vec<Wait>,
    /// When they ended, rising.
    ends: Vec<Time>,
}

impl Queue {
    /// The lines before all replicas. A request that a policy dropped without ever running it is
    /// left out: when it was dropped is not written down.
    pub fn of_replicas(recording: &Recording<'_>) -> Vec<Queue> {
        let trace = recording.trace;
        let mut queues: Vec<Queue> = Vec::new();
        let mut add = |replica: ReplicaId, wait: Wait| {
            if wait.from >= wait.to {
                return;
            }
            let replica = replica.index();
            if queues.len() <= replica {
                queues.resize_with(replica + 1, Queue::default);
            }
            queues[replica].waits.push(wait);
        };
        let answered = answered(recording);
        for (request, row) in (0..).map(RequestId).zip(&trace.requests) {
            if row.status == Status::Rejected && row.scheduled == Time::NEVER {
                continue;
            }
            let scheduled = trace.scheduled(row).unwrap_or(Time::NEVER);
            let wait = Wait { request, from: row.arrival, to: scheduled, preempted: false };
            let Some(hand) = trace.hand_over(request) else {
                add(trace.replica_of(row), wait);
                continue;
            };
            let [from, to] = [hand.from, hand.to].map(|lane| trace.lane(lane).replica);
            if hand.is_destination_first() {
                add(to, Wait { to: hand.begun, ..wait });
                add(from, Wait { from: hand.begun, ..wait });
            } else {
                add(from, wait);
            }
            // It stands in line with its KV on its way, too.
            let begun = answered.get(&request).copied().unwrap_or(hand.landed);
            add(to, Wait { from: hand.at, to: begun, ..wait });
        }
        let mut lane = LaneId(0);
        while lane.index() < recording.log.len() {
            let lanes = trace.lanes_beside(lane);
            let replica = trace.lane(lane).replica;
            let logs = &recording.log[lane.index()..lanes.end.index().min(recording.log.len())];
            lane = lanes.end;
            for wait in preempted(logs) {
                let row = &trace.requests[wait.request.index()];
                let gone = row.status == Status::Rejected && wait.to == Time::NEVER;
                if !gone {
                    add(replica, wait);
                }
            }
        }
        for queue in &mut queues {
            queue.waits.sort_by_key(|wait| wait.from);
            queue.ends = queue.waits.iter().map(|wait| wait.to).collect();
            queue.ends.sort_unstable();
        }
        queues
    }

    /// The line before a lane's replica.
    pub fn of_lane(recording: &Recording<'_>, lane: LaneId) -> Queue {
        let replica = recording.trace.lane(lane).replica;
        let queues = Queue::of_replicas(recording);
        queues.into_iter().nth(replica.index()).unwrap_or_default()
    }

    /// The fewest and the most at once from one instant up to another, which is left out.
    pub fn extremes(&self, from: Time, to: Time) -> (u32, u32) {
        let mut came = self.waits.partition_point(|wait| wait.from <= from);
        let mut went = self.ends.partition_point(|&end| end <= from);
        let (mut least, mut most) = (came - went, came - went);
        loop {
            let arrival = self.waits.get(came).map_or(Time::NEVER, |wait| wait.from);
            let next = arrival.min(self.ends.get(went).copied().unwrap_or(Time::NEVER));
            if next >= to || next == Time::NEVER {
                return (least as u32, most as u32);
            }
            came += self.waits[came..].iter().take_while(|wait| wait.from <= next).count();
            went += self.ends[went..].iter().take_while(|&&end| end <= next).count();
            least = least.min(came - went);
            most = most.max(came - went);
        }
    }

    /// All waits, in order of their beginning.
    pub fn waits(&self) -> impl Iterator<Item = Wait> {
        self.waits.iter().copied()
    }

    /// The waits that a preemption began, in order.
    pub fn preempted(&self) -> impl Iterator<Item = Wait> {
        self.waits.iter().copied().filter(|wait| wait.preempted)
    }

    /// Those who wait at an instant: first those who lost their blocks, then by arrival.
    pub fn names(&self, instant: Time) -> Vec<RequestId> {
        let came = self.waits.partition_point(|wait| wait.from <= instant);
        let there = self.waits[..came].iter().filter(|wait| wait.to > instant);
        let mut there: Vec<&Wait> = there.collect();
        there.sort_by_key(|wait| (!wait.preempted, wait.from));
        there.into_iter().map(|wait| wait.request).collect()
    }

    /// Who joins the line (true) or leaves it after one instant and before another, in order.
    pub fn changes(&self, from: Time, to: Time) -> Vec<(Time, RequestId, bool)> {
        let within = |at: Time| from < at && at < to;
        let begun = self.waits.partition_point(|wait| wait.from < to);
        let mut changes = Vec::new();
        for wait in &self.waits[..begun] {
            if within(wait.from) {
                changes.push((wait.from, wait.request, true));
            }
            if within(wait.to) {
                changes.push((wait.to, wait.request, false));
            }
        }
        changes.sort_by_key(|&(at, ..)| at);
        changes
    }
}

/// When the first batch began with each request whose prompt another replica had computed.
fn answered(recording: &Recording<'_>) -> HashMap<RequestId, Time> {
    let trace = recording.trace;
    let mut first = HashMap::new();
    if trace.hand_overs.is_empty() {
        return first;
    }
    for (log, lane) in recording.log.iter().zip((0..).map(LaneId)) {
        for (number, chunks) in log.prefills() {
            for request in chunks.iter().map(|chunk| chunk.request) {
                let hand = trace.hand_over(request);
                if hand.is_some_and(|hand| trace.lanes_beside(hand.to).contains(&lane)) {
                    let begun = log.start(number);
                    let known = first.entry(request).or_insert(begun);
                    *known = begun.min(*known);
                }
            }
        }
    }
    first
}

/// The stretches between a preemption and the batch that took the request back, of one replica's
/// lanes: where these are turns, another lane may take it back.
fn preempted(logs: &[Log]) -> Vec<Wait> {
    let mut waits: Vec<Wait> = Vec::new();
    if logs.iter().all(|log| log.preemptions().next().is_none()) {
        return waits;
    }
    let mut batches: Vec<(Time, usize, IterationNo)> = Vec::new();
    for (lane, log) in logs.iter().enumerate() {
        let numbers = log.prefills().map(|(number, _)| number);
        let numbers = numbers.chain(log.preemptions().map(|(number, _)| number));
        batches.extend(numbers.map(|number| (log.end(number), lane, number)));
    }
    batches.sort_unstable();
    batches.dedup();
    let mut away = HashMap::new();
    for (_, lane, number) in batches {
        let iteration = logs[lane].at(number);
        for &request in iteration.preempted {
            away.insert(request, waits.len());
            let from = iteration.start;
            waits.push(Wait { request, from, to: Time::NEVER, preempted: true });
        }
        for chunk in iteration.chunks {
            if let Some(at) = away.remove(&chunk.request) {
                waits[at].to = iteration.start;
            }
        }
    }
    waits
}
