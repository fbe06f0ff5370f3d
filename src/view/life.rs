//! What a request did from its arrival to its last token, on the clock of the batch: the rows of a
//! Gantt chart.

use std::collections::HashMap;

use serde::Serialize;

use super::waiting::{Queue, Wait};
use crate::explain::Recording;
use crate::ids::{IterationNo, LaneId};
use crate::request::RequestId;
use crate::time::{Span, Time};
use crate::trace::{RequestRow, Status};

/// What a request is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It has no seat yet.
    Queued,
    /// Iterations prefill its prompt.
    Prefill,
    /// Iterations bring it tokens.
    Decode,
    /// It has a seat, but iterations go by without it.
    Stalled,
    /// It lost its KV blocks and waits for a seat again.
    Preempted,
    /// Its KV is on the way from the replica that computed its prompt to the one that answers it.
    Sending,
}

/// A stretch of a request's life: phase, from, to; microseconds.
pub type Part = (Phase, u64, u64);

/// A request's life.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Life {
    /// Whose.
    pub request: RequestId,
    /// The lane that it first was in; see [`super::LaneView::lane`].
    #[serde(rename = "replica")]
    pub lane: LaneId,
    /// When it was sent.
    pub arrival_us: u64,
    /// When its last token came; none where it had not ended when observation did, or has no token.
    pub end_us: Option<u64>,
    /// Whether it was turned away, or lost.
    pub lost: bool,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Tokens that it got.
    pub tokens: u32,
    /// Its stretches, in order, each from where the one before ends.
    pub parts: Vec<Part>,
}

/// A stretch, exactly.
type Stretch = (Phase, Time, Time);

/// An iteration that a request was in.
#[derive(Clone, Copy, Debug)]
struct Busy {
    start: Time,
    end: Time,
    lane: LaneId,
    number: IterationNo,
    prefill: bool,
}

/// The lives of a run's requests.
pub struct Lives<'a> {
    recording: &'a Recording<'a>,
    /// The stretches without a seat.
    waits: HashMap<RequestId, Vec<Stretch>>,
    prefills: HashMap<RequestId, Vec<(LaneId, IterationNo)>>,
}

impl<'a> Lives<'a> {
    /// Sums up who waited and who was prefilled when.
    pub fn of(recording: &'a Recording<'a>) -> Lives<'a> {
        let mut waits: HashMap<RequestId, Vec<Stretch>> = HashMap::new();
        for wait in Queue::of_replicas(recording).iter().flat_map(Queue::waits) {
            let Wait { request, from, to, preempted } = wait;
            let of = waits.entry(request).or_default();
            let hand = recording.trace.hand_over(request).filter(|hand| hand.at == from);
            match hand.filter(|_| !preempted) {
                Some(hand) => {
                    let [begun, landed] = [hand.begun, hand.landed].map(|at| at.clamp(from, to));
                    of.push((Phase::Queued, from, begun));
                    of.push((Phase::Sending, begun, landed));
                    of.push((Phase::Queued, landed, to));
                }
                None if preempted => of.push((Phase::Preempted, from, to)),
                None => match recording.trace.first_load(request) {
                    Some(load) => {
                        let [begun, landed] =
                            [load.begun, load.landed].map(|at| at.clamp(from, to));
                        of.push((Phase::Queued, from, begun));
                        of.push((Phase::Sending, begun, landed));
                        of.push((Phase::Queued, landed, to));
                    }
                    None => of.push((Phase::Queued, from, to)),
                },
            }
        }
        let mut prefills: HashMap<RequestId, Vec<(LaneId, IterationNo)>> = HashMap::new();
        for (log, lane) in recording.log.iter().zip((0..).map(LaneId)) {
            for (number, chunks) in log.prefills() {
                for chunk in chunks {
                    prefills.entry(chunk.request).or_default().push((lane, number));
                }
            }
        }
        Lives { recording, waits, prefills }
    }

    /// The requests that were there at some time between two, in order of their arrival.
    pub fn between(&self, from: Time, to: Time) -> Vec<RequestId> {
        let trace = self.recording.trace;
        let rows = (0..).map(RequestId).zip(&trace.requests);
        let there = rows.filter(|(_, row)| row.arrival < to && self.end(row) >= from);
        let mut there: Vec<(Time, RequestId)> =
            there.map(|(request, row)| (row.arrival, request)).collect();
        there.sort_unstable();
        there.into_iter().map(|(_, request)| request).collect()
    }

    /// Whether the run has such a request.
    pub fn knows(&self, request: RequestId) -> bool {
        request.index() < self.recording.trace.requests.len()
    }

    /// A request's life between two times. Of stretches shorter than `finest` those beside each other
    /// are told as one, by what most of its time was.
    pub fn life(&self, request: RequestId, (from, to): (Time, Time), finest: Span) -> Life {
        let trace = self.recording.trace;
        let row = &trace.requests[request.index()];
        let us = |at: Time| at.as_nanos() / 1000;
        let within = self.parts(request, row).into_iter();
        let within = within.map(|(phase, a, b)| (phase, a.max(from), b.min(to)));
        let parts = coarse(joined(within.filter(|&(_, a, b)| a < b).collect()), finest);
        Life {
            request,
            lane: row.lane,
            arrival_us: us(row.arrival),
            end_us: match row.status {
                Status::Unfinished => None,
                _ => trace.last_token(row).map(us),
            },
            lost: row.status.is_lost(),
            prompt_tokens: row.prompt_tokens,
            tokens: row.tokens,
            parts: parts.into_iter().map(|(phase, a, b)| (phase, us(a), us(b))).collect(),
        }
    }

    /// When a request left, or observation ended.
    fn end(&self, row: &RequestRow) -> Time {
        self.recording.trace.stay(row).to.min(self.recording.trace.end)
    }

    fn parts(&self, request: RequestId, row: &RequestRow) -> Vec<Stretch> {
        let end = self.end(row);
        let mut parts: Vec<Stretch> = Vec::new();
        for &(phase, from, to) in self.waits.get(&request).into_iter().flatten() {
            parts.push((phase, from, to.min(end)));
        }
        let mut before: Option<Busy> = None;
        for busy in self.busy(request, row) {
            let phase = if busy.prefill { Phase::Prefill } else { Phase::Decode };
            if let Some(last) = before {
                // Until it is its turn again: unseen where that is the next iteration.
                let phase = match self.follows(last, busy) {
                    true if last.prefill => Phase::Prefill,
                    true => Phase::Decode,
                    false => Phase::Stalled,
                };
                parts.push((phase, last.end, busy.start));
            }
            parts.push((phase, busy.start, busy.end));
            before = Some(busy);
        }
        if let Some(last) = before.filter(|last| last.end < end) {
            let log = &self.recording.log[last.lane.index()];
            let more = last.number.next() < log.numbers().end;
            let on = if last.prefill { Phase::Prefill } else { Phase::Decode };
            parts.push((if more { Phase::Stalled } else { on }, last.end, end));
        }
        apart(parts)
    }

    /// Whether no iteration went by without the request between two that it was in.
    fn follows(&self, last: Busy, next: Busy) -> bool {
        let by_turns = self.recording.pool(next.lane).by_turns;
        by_turns || last.lane != next.lane || last.number.next() >= next.number
    }

    /// The iterations that the request was in, in order.
    fn busy(&self, request: RequestId, row: &RequestRow) -> Vec<Busy> {
        let (trace, logs) = (self.recording.trace, self.recording.log);
        let of = |lane: LaneId, number: IterationNo, prefill: bool| {
            let log = &logs[lane.index()];
            Busy { start: log.start(number), end: log.end(number), lane, number, prefill }
        };
        let chunks = self.prefills.get(&request).map_or(&[][..], Vec::as_slice);
        let mut all: Vec<Busy> =
            chunks.iter().map(|&(lane, number)| of(lane, number, true)).collect();
        for run in trace.runs(row) {
            let lanes = match trace.steps_of(run) {
                Some(lane) => lane..LaneId(lane.0 + 1),
                None => trace.lanes_beside(row.lane),
            };
            let mut seen = Time::NEVER;
            for &at in trace.times(run) {
                if at == seen {
                    continue;
                }
                seen = at;
                let lanes = (lanes.start.0..lanes.end.0).map(LaneId);
                let found = lanes
                    .filter(|lane| lane.index() < logs.len())
                    .find_map(|lane| Some((lane, logs[lane.index()].with_tokens_at(at)?)));
                all.extend(found.map(|(lane, number)| of(lane, number, false)));
            }
        }
        all.sort_by_key(|busy| (busy.start, !busy.prefill));
        // A prompt's last chunk brings a token too.
        all.dedup_by_key(|busy| (busy.lane, busy.number));
        all
    }
}

/// Neighbours of one phase as one.
fn joined(parts: Vec<Stretch>) -> Vec<Stretch> {
    let mut whole: Vec<Stretch> = Vec::new();
    for (phase, from, to) in parts {
        match whole.last_mut() {
            Some(last) if last.0 == phase && last.2 == from => last.2 = to,
            _ => whole.push((phase, from, to)),
        }
    }
    whole
}

/// Short stretches of the batch beside each other put together, until they are as long as `finest`.
fn coarse(parts: Vec<Stretch>, finest: Span) -> Vec<Stretch> {
    let mut out: Vec<Stretch> = Vec::new();
    let mut group: Vec<Stretch> = Vec::new();
    for part in parts {
        let long = part.2.since(part.1) >= finest || !seated(part.0);
        if long || group.last().is_some_and(|last| last.2 != part.1) {
            out.extend(most_of(&group));
            group.clear();
        }
        if long {
            out.push(part);
            continue;
        }
        group.push(part);
        if part.2.since(group[0].1) >= finest {
            out.extend(most_of(&group));
            group.clear();
        }
    }
    out.extend(most_of(&group));
    joined(out)
}

/// Some stretches as one, by the phase that took most of their time.
fn most_of(group: &[Stretch]) -> Option<Stretch> {
    let (from, to) = (group.first()?.1, group.last()?.2);
    let time = |phase: Phase| -> u64 {
        let of = group.iter().filter(|part| part.0 == phase);
        of.map(|part| part.2.since(part.1).as_nanos()).sum()
    };
    let phases = group.iter().map(|part| part.0);
    let most = phases.max_by_key(|&phase| time(phase))?;
    Some((most, from, to))
}

fn seated(phase: Phase) -> bool {
    matches!(phase, Phase::Prefill | Phase::Decode | Phase::Stalled)
}

/// The same stretches, none over another: time in the queue goes before all else.
fn apart(mut parts: Vec<Stretch>) -> Vec<Stretch> {
    let waits: Vec<(Time, Time)> = parts
        .iter()
        .filter(|(phase, ..)| !seated(*phase))
        .map(|&(_, from, to)| (from, to))
        .collect();
    let mut cut = Vec::with_capacity(parts.len());
    for (phase, from, to) in parts.drain(..) {
        if !seated(phase) {
            cut.push((phase, from, to));
            continue;
        }
        let mut at = from;
        for &(a, b) in waits.iter().filter(|&&(a, b)| a < to && b > from) {
            if a > at {
                cut.push((phase, at, a));
            }
            at = at.max(b);
        }
        cut.push((phase, at, to));
    }
    cut.retain(|(_, from, to)| from < to);
    cut.sort_by_key(|&(_, from, to)| (from, to));
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PHASES: [Phase; 6] = [
        Phase::Queued,
        Phase::Prefill,
        Phase::Decode,
        Phase::Stalled,
        Phase::Preempted,
        Phase::Sending,
    ];

    fn time(parts: &[Stretch], phase: Phase) -> u64 {
        let of = parts.iter().filter(|part| part.0 == phase);
        of.map(|part| part.2.since(part.1).as_nanos()).sum()
    }

    proptest! {
        /// Nothing is lost or told twice, and no stretch that is long enough to be seen is told as
        /// another phase.
        #[test]
        fn what_is_put_together_is_told_by_what_it_mostly_was(
            list in prop::collection::vec((0usize..6, 1u64..120), 1..80),
        ) {
            let mut at = 0;
            let parts: Vec<Stretch> = list
                .into_iter()
                .map(|(phase, length)| {
                    let from = at;
                    at += length;
                    (PHASES[phase], Time::from_nanos(from), Time::from_nanos(at))
                })
                .collect();
            let fine = joined(parts);
            let told = coarse(fine.clone(), Span::from_nanos(50));
            prop_assert_eq!(told[0].1, fine[0].1);
            prop_assert!(told.windows(2).all(|two| two[0].2 == two[1].1));
            prop_assert_eq!(told[told.len() - 1].2, Time::from_nanos(at));
            for &(phase, from, to) in fine.iter().filter(|part| part.2.since(part.1).as_nanos() >= 50) {
                let same = told.iter().any(|one| one.0 == phase && one.1 <= from && to <= one.2);
                prop_assert!(same, "{phase:?} {from:?}");
            }
            for phase in [Phase::Queued, Phase::Preempted, Phase::Sending] {
                prop_assert_eq!(time(&told, phase), time(&fine, phase));
            }
        }
    }
}
