//! What the batch of each iteration held, and who did without.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde::Serialize;

use super::blocks::{Change, changes};
use super::bounds::{seats, token_budget};
use super::loaded::Loaded;
use super::{Allowance, Problems};
use crate::explain::{Index, Recording};
use crate::ids::{IterationNo, LaneId};
use crate::request::RequestId;
use crate::runner::SchedulerOutput;
use crate::time::Time;
use crate::trace::{Drafts, Log, TokenTrace};
use crate::view::{Columns, Queue, Wait, columns};

/// Most iterations of one answer.
const COUNT_MAX: usize = 400;
/// Most iterations of a stretch.
const STRETCH_MAX: u32 = 6_000;
/// Waiting requests named, and requests that stand still.
const NAMED: usize = 96;
/// Most requests named in one answer; of more the first iterations are told.
const NAMES_MAX: usize = 400_000;

/// Which iterations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub lane: LaneId,
    pub from: IterationNo,
    /// In place of `from`: those around this time, microseconds.
    pub at_us: Option<u64>,
    pub count: usize,
}

/// The answer to `steps`.
#[derive(Serialize)]
pub(super) struct Steps {
    #[serde(rename = "replica")]
    lane: LaneId,
    /// Iterations that it ran.
    iterations: usize,
    /// The first one told.
    from: IterationNo,
    /// What bounds an iteration's tokens: the parameter and its value.
    budget: Option<(&'static str, u64)>,
    /// What bounds the requests with a seat.
    seats: Option<(&'static str, u64)>,
    /// KV blocks of the replica.
    kv_blocks: u64,
    /// One after the other.
    steps: Vec<Step>,
}

/// An iteration.
#[derive(Serialize)]
struct Step {
    start_us: u64,
    end_us: u64,
    /// Requests that decoded: a token each, or with drafts several.
    decodes: Vec<RequestId>,
    /// Prefill: request, tokens computed before, tokens of this chunk, length of the prompt.
    chunks: Vec<(RequestId, u32, u32, u32)>,
    /// What was drafted, where something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    drafts: Option<StepDrafts>,
    /// Requests that hold a seat and get nothing from this iteration; the first few.
    frozen: Vec<RequestId>,
    /// How many there are.
    frozen_count: u32,
    /// Requests in the queue of the replica when it began, oldest first; the first few.
    waiting: Vec<RequestId>,
    /// How many there were.
    waiting_count: u32,
    /// Who joins the queue (true) or leaves it before the next iteration begins: when, who.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue: Vec<(u64, RequestId, bool)>,
    /// Requests that held a seat.
    running: u32,
    /// Requests that lost their KV blocks before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    preempted: Vec<RequestId>,
    /// KV blocks in use.
    kv_used: u32,
    /// Whose blocks have changed since the step before; of the first of a window all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held: Vec<Change>,
}

/// Drafts of an iteration.
#[derive(Serialize)]
struct StepDrafts {
    /// Those that its decodes verified, beyond a token each.
    verified: u32,
    /// Those of them that were accepted.
    accepted: u32,
    /// Tokens drafted behind it for each request.
    next: u32,
}

impl StepDrafts {
    fn of(drafts: Drafts) -> Option<StepDrafts> {
        let Drafts { verified, accepted, next, .. } = drafts;
        (drafts != Drafts::NONE).then_some(StepDrafts { verified, accepted, next })
    }
}

pub(super) fn steps(
    loaded: &Loaded,
    window: Window,
    allowance: &Allowance<'_>,
) -> Result<Steps, Problems> {
    let outputs = loaded.play(allowance)?;
    let index = Index::new(loaded.recording(0, &outputs[0]));
    around(loaded, 0, &outputs[0], &index, window)
}

/// The iterations of a window, of the run at this place.
pub(super) fn around(
    loaded: &Loaded,
    place: usize,
    output: &SchedulerOutput,
    index: &Index<'_>,
    window: Window,
) -> Result<Steps, Problems> {
    let outcome = &output.outcome;
    let log = log_of(output, window.lane)?;
    let count = window.count.clamp(1, COUNT_MAX) as u32;
    let from = match window.at_us {
        None => window.from,
        Some(at) => {
            let at = log.partition_point(|i| i.end.as_nanos() / 1000 <= at);
            at.back(count / 2)
        }
    };
    let behind = log.numbers().end;
    let from = from.min(behind.back(1));
    let to = from.after(count).min(behind);
    let config = &loaded.experiment.schedulers[place].config;
    let fleet = loaded.experiment.fleet();
    let pool_place = outcome.trace.lane(window.lane).pool.index();
    let pool = fleet.get(pool_place).unwrap_or(&fleet[0]);
    let info = pool.engine_info(config);
    let told = Told::new(&index.recording, window.lane);
    let held = changes(index, window.lane, from..to);
    let mut steps = told.steps(log, from..to);
    steps.truncate(held.len());
    for (step, held) in steps.iter_mut().zip(held) {
        step.held = held;
    }
    Ok(Steps {
        lane: window.lane,
        iterations: log.len(),
        from,
        budget: token_budget(config, &info),
        seats: seats(config, &info),
        kv_blocks: outcome.pools.get(pool_place).map_or(0, |pool| u64::from(pool.kv.blocks)),
        steps,
    })
}

/// The iterations of a stretch as columns of a timeline.
#[derive(Serialize)]
pub(super) struct Stretch {
    #[serde(rename = "replica")]
    lane: LaneId,
    columns: Columns,
}

/// The answer to `columns`: the iterations between two times, microseconds, one by one; of too
/// long a stretch those in its middle.
pub(super) fn stretch(
    loaded: &Loaded,
    lane: LaneId,
    (from_us, to_us): (u64, u64),
    allowance: &Allowance<'_>,
) -> Result<Stretch, Problems> {
    let outputs = loaded.play(allowance)?;
    let log = log_of(&outputs[0], lane)?;
    let from = log.partition_point(|i| i.end.as_nanos() / 1000 <= from_us);
    let to = log.partition_point(|i| i.start.as_nanos() / 1000 < to_us).max(from);
    let cut = to.since(from).saturating_sub(STRETCH_MAX);
    let numbers = from.after(cut / 2)..to.back(cut.div_ceil(2));
    let recording = loaded.recording(0, &outputs[0]);
    let queue = Queue::of_lane(&recording, lane);
    Ok(Stretch { lane, columns: columns(log, &queue, numbers, usize::MAX) })
}

fn log_of(output: &SchedulerOutput, lane: LaneId) -> Result<&Log, Problems> {
    let logs = output.outcome.log.as_deref().unwrap_or_default();
    logs.get(lane.index()).ok_or_else(|| {
        let lanes = &output.outcome.trace.lanes;
        let what = if lanes.iter().any(|of| of.part.is_some()) { "lanes" } else { "replicas" };
        let message = format!("there are {} {what}, numbered from 0", logs.len());
        Problems::one("", message, None)
    })
}

/// One lane, with what its steps say of it.
struct Told<'a> {
    trace: &'a TokenTrace,
    lane: LaneId,
    /// Whether it is one of the turns of a running list that other lanes share: who is in another
    /// lane's batch does not stand still.
    by_turns: bool,
    /// The requests that it served, in order, and when the first batch with each began; by turns those of
    /// its replica.
    own: BTreeMap<RequestId, Time>,
    queue: Queue,
    /// When its own requests were without their blocks.
    away: Vec<Wait>,
}

impl<'a> Told<'a> {
    fn new(recording: &Recording<'a>, lane: LaneId) -> Told<'a> {
        let trace = recording.trace;
        let queue = Queue::of_lane(recording, lane);
        let by_turns = recording.pool(lane).by_turns;
        // A request stays with the lane that first prefilled it, or comes through all of the replica.
        let lanes = if by_turns { trace.lanes_beside(lane) } else { lane..LaneId(lane.0 + 1) };
        let logs = &recording.log[lanes.start.index()..lanes.end.index()];
        let mut own = BTreeMap::new();
        for log in logs {
            for (number, chunks) in log.prefills() {
                for chunk in chunks {
                    let begun = log.start(number);
                    let first = own.entry(chunk.request).or_insert(begun);
                    *first = begun.min(*first);
                }
            }
        }
        let away = queue.preempted().filter(|wait| own.contains_key(&wait.request)).collect();
        Told { trace, lane, by_turns, own, queue, away }
    }

    fn steps(&self, log: &Log, numbers: Range<IterationNo>) -> Vec<Step> {
        let decoded = self.decoded(log, numbers.clone());
        let seated = self.seated(log, numbers.clone());
        let nexts = numbers.start.next().onwards();
        let mut named = 0;
        let mut steps = Vec::new();
        for ((iteration, decodes), (seated, next)) in
            log.range(numbers).zip(decoded).zip(seated.into_iter().zip(nexts))
        {
            let next = if next < log.numbers().end { log.start(next) } else { Time::NEVER };
            let mut waiting = self.queue.names(iteration.start);
            let waiting_count = waiting.len() as u32;
            waiting.truncate(NAMED);
            let busy = |request: &RequestId| {
                decodes.binary_search(request).is_ok()
                    || iteration.chunks.iter().any(|chunk| chunk.request == *request)
            };
            let mut frozen = seated;
            frozen.retain(|request| !busy(request));
            let frozen_count = frozen.len() as u32;
            frozen.truncate(NAMED);
            let us = |at: Time| at.as_nanos() / 1000;
            let changes = self.queue.changes(iteration.start, next);
            named += decodes.len() + frozen.len() + waiting.len() + changes.len();
            let prompt = |request: RequestId| self.trace.requests[request.index()].prompt_tokens;
            steps.push(Step {
                start_us: us(iteration.start),
                end_us: us(iteration.end),
                decodes,
                chunks: iteration
                    .chunks
                    .iter()
                    .map(|c| (c.request, c.context, c.tokens, prompt(c.request)))
                    .collect(),
                drafts: StepDrafts::of(iteration.drafts),
                frozen,
                frozen_count,
                waiting,
                waiting_count,
                queue: changes.into_iter().map(|(at, who, came)| (us(at), who, came)).collect(),
                running: iteration.running,
                preempted: iteration.preempted.to_vec(),
                kv_used: iteration.kv_used,
                held: Vec::new(),
            });
            if named > NAMES_MAX {
                break;
            }
        }
        steps
    }

    /// For each iteration of the window the requests that decoded a token in it: those with a token
    /// at its end that no prefill brought. In order.
    fn decoded(&self, log: &Log, numbers: Range<IterationNo>) -> Vec<Vec<RequestId>> {
        let ends = log.ends(numbers.clone());
        let mut lists = vec![Vec::new(); ends.len()];
        let (Some(&first), Some(&last)) = (ends.first(), ends.last()) else { return lists };
        for &request in self.own.keys() {
            let row = &self.trace.requests[request.index()];
            if row.first_token > last {
                continue;
            }
            for run in self.trace.runs(row) {
                if self.trace.steps_of(run).is_some_and(|lane| lane != self.lane) {
                    continue;
                }
                let times = self.trace.times(run);
                let at = times.partition_point(|&time| time < first);
                for &time in times[at..].iter().take_while(|&&time| time <= last) {
                    let Some(number) = log.with_tokens_at(time) else { continue };
                    let list = &mut lists[number.since(numbers.start) as usize];
                    // A step may bring it several tokens.
                    if list.last() != Some(&request)
                        && log.at(number).chunks.iter().all(|chunk| chunk.request != request)
                    {
                        list.push(request);
                    }
                }
            }
        }
        lists
    }

    /// For each iteration of the window the requests of this lane that hold a seat and await a
    /// token, in order.
    fn seated(&self, log: &Log, numbers: Range<IterationNo>) -> Vec<Vec<RequestId>> {
        let starts: Vec<Time> = IterationNo::each(numbers).map(|at| log.start(at)).collect();
        let mut lists = vec![Vec::new(); starts.len()];
        if self.by_turns {
            return lists;
        }
        let mut away: HashMap<RequestId, Vec<&Wait>> = HashMap::default();
        for wait in &self.away {
            away.entry(wait.request).or_default().push(wait);
        }
        for (&request, &begun) in &self.own {
            let row = &self.trace.requests[request.index()];
            // A prompt that is answered elsewhere has its seat until it is computed.
            let handed = self.trace.hand_over(request);
            let left = handed.filter(|hand| !self.trace.lanes_beside(hand.to).contains(&self.lane));
            let done = left.map_or(self.trace.stay(row).to, |hand| hand.at);
            let first = starts.partition_point(|&start| start < begun);
            let last = starts.partition_point(|&start| start < done);
            let lost = away.get(&request).map_or(&[][..], Vec::as_slice);
            for place in first..last.max(first) {
                let at = starts[place];
                if lost.iter().all(|wait| at < wait.from || wait.to <= at) {
                    lists[place].push(request);
                }
            }
        }
        lists
    }
}
