//! What the batch of each iteration held.

use serde::Serialize;

use super::dials::{seats, token_budget};
use super::play::Loaded;
use super::{Asked, Problems};
use crate::runner::SchedulerOutput;
use crate::scenario::Files;
use crate::time::Time;
use crate::trace::{Log, Status, TokenTrace};
use crate::view::{Columns, columns};

/// Most iterations of one answer.
const COUNT_MAX: usize = 400;
/// Most iterations of a stretch.
const STRETCH_MAX: usize = 6_000;
/// Waiting requests named.
const WAITING_NAMED: usize = 48;

/// Which iterations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub replica: u32,
    pub from: usize,
    /// In place of `from`: those around this time, microseconds.
    pub at_us: Option<u64>,
    pub count: usize,
}

/// The answer to `steps`.
#[derive(Serialize)]
pub(super) struct Steps {
    /// Which replica.
    replica: u32,
    /// Iterations that it ran.
    iterations: usize,
    /// Number of the first one told.
    from: usize,
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
    /// Requests that decoded one token each.
    decodes: Vec<u32>,
    /// Prefill: request, tokens computed before, tokens of this chunk, length of the prompt.
    chunks: Vec<(u32, u32, u32, u32)>,
    /// Requests in the queue, oldest first; the first few.
    waiting: Vec<u32>,
    /// How many there were.
    waiting_count: u32,
    /// Requests that held a seat.
    running: u32,
    /// Requests that lost their KV blocks before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    preempted: Vec<u32>,
    /// KV blocks in use.
    kv_used: u32,
}

pub(super) fn steps(
    asked: &Asked,
    files: &Files,
    scheduler: usize,
    window: Window,
) -> Result<Steps, Problems> {
    let loaded = Loaded::of(asked, files)?.only(scheduler)?;
    let outputs = loaded.play()?;
    around(&loaded, 0, &outputs[0], window)
}

/// The iterations of a window, of the run at this place.
pub(super) fn around(
    loaded: &Loaded,
    place: usize,
    output: &SchedulerOutput,
    window: Window,
) -> Result<Steps, Problems> {
    let outcome = &output.outcome;
    let log = log_of(output, window.replica)?;
    let count = window.count.clamp(1, COUNT_MAX);
    let from = match window.at_us {
        None => window.from,
        Some(at) => {
            let at = log.partition_point(|i| i.end.as_nanos() / 1000 <= at);
            at.saturating_sub(count / 2)
        }
    };
    let from = from.min(log.len().saturating_sub(1));
    let to = from.saturating_add(count).min(log.len());
    let config = &loaded.experiment.schedulers[place].config;
    let fleet = loaded.experiment.fleet();
    let place = outcome.lanes().get(window.replica as usize).map_or(0, |lane| lane.pool);
    let pool = fleet.get(place).unwrap_or(&fleet[0]);
    let info = pool.engine_info();
    Ok(Steps {
        replica: window.replica,
        iterations: log.len(),
        from,
        budget: token_budget(config, &info),
        seats: seats(config, &info),
        kv_blocks: outcome.pools.get(place).map_or(0, |pool| u64::from(pool.kv.blocks)),
        steps: told(&outcome.trace, log, window.replica, from, to),
    })
}

/// The iterations of a stretch as columns of a timeline.
#[derive(Serialize)]
pub(super) struct Stretch {
    replica: u32,
    columns: Columns,
}

/// The answer to `columns`: the iterations between two times, microseconds, one by one; of too
/// long a stretch those in its middle.
pub(super) fn stretch(
    asked: &Asked,
    files: &Files,
    (scheduler, replica): (usize, u32),
    (from_us, to_us): (u64, u64),
) -> Result<Stretch, Problems> {
    let loaded = Loaded::of(asked, files)?.only(scheduler)?;
    let outputs = loaded.play()?;
    let log = log_of(&outputs[0], replica)?;
    let from = log.partition_point(|i| i.end.as_nanos() / 1000 <= from_us);
    let to = log.partition_point(|i| i.start.as_nanos() / 1000 < to_us).max(from);
    let cut = (to - from).saturating_sub(STRETCH_MAX);
    let (from, to) = (from + cut / 2, to - cut.div_ceil(2));
    Ok(Stretch { replica, columns: columns(log, from, to, usize::MAX) })
}

fn log_of(output: &SchedulerOutput, replica: u32) -> Result<&Log, Problems> {
    let logs = output.outcome.log.as_deref().unwrap_or_default();
    logs.get(replica as usize).ok_or_else(|| {
        let message = format!("there are {} replicas, numbered from 0", logs.len());
        Problems::one("", message, None)
    })
}

fn told(trace: &TokenTrace, log: &Log, replica: u32, from: usize, to: usize) -> Vec<Step> {
    let decoded = decoded(trace, log, replica, from, to);
    let away = away(log, to);
    log.range(from, to)
        .zip(decoded)
        .zip(from..)
        .map(|((iteration, decodes), number)| {
            let queued = |(request, row): (u32, &crate::trace::RequestRow)| {
                let fresh = row.replica == replica
                    && row.status != Status::Rejected
                    && row.arrival <= iteration.decided
                    && row.scheduled > iteration.start;
                fresh.then_some(request)
            };
            let thrown_out =
                away.iter().filter(|(_, from, to)| (*from..*to).contains(&number)).map(|a| a.0);
            let waiting = thrown_out.chain((0..).zip(&trace.requests).filter_map(queued));
            let most = (iteration.waiting as usize).min(WAITING_NAMED);
            Step {
                start_us: iteration.start.as_nanos() / 1000,
                end_us: iteration.end.as_nanos() / 1000,
                decodes,
                chunks: iteration
                    .chunks
                    .iter()
                    .map(|c| {
                        let prompt = trace.requests[c.request as usize].prompt_tokens;
                        (c.request, c.context, c.tokens, prompt)
                    })
                    .collect(),
                waiting: waiting.take(most).collect(),
                waiting_count: iteration.waiting,
                running: iteration.running,
                preempted: iteration.preempted.to_vec(),
                kv_used: iteration.kv_used,
            }
        })
        .collect()
}

/// For each iteration of the window the requests that decoded a token in it: those with a token at
/// its end that no prefill brought.
fn decoded(trace: &TokenTrace, log: &Log, replica: u32, from: usize, to: usize) -> Vec<Vec<u32>> {
    let mut lists = vec![Vec::new(); to - from];
    if lists.is_empty() {
        return lists;
    }
    let (first, last): (Time, Time) = (log.end(from), log.end(to - 1));
    for (request, row) in (0..).zip(&trace.requests) {
        if row.replica != replica || row.first_token > last {
            continue;
        }
        for run in trace.runs(row) {
            let times = trace.times(run);
            let at = times.partition_point(|&time| time < first);
            for &time in times[at..].iter().take_while(|&&time| time <= last) {
                let Some(place) = log.place_of_tokens(time) else { continue };
                if log.at(place).chunks.iter().all(|chunk| chunk.request != request) {
                    lists[place - from].push(request);
                }
            }
        }
    }
    lists
}

/// Requests that lost their blocks: from which iteration until the one that took them back.
fn away(log: &Log, to: usize) -> Vec<(u32, usize, usize)> {
    let mut away: Vec<(u32, usize, usize)> = Vec::new();
    let mut open = 0;
    for (number, iteration) in log.range(0, to).enumerate() {
        for &request in iteration.preempted {
            away.push((request, number, usize::MAX));
            open += 1;
        }
        if open == 0 {
            continue;
        }
        for chunk in iteration.chunks {
            let back =
                |one: &&mut (u32, usize, usize)| one.0 == chunk.request && one.2 == usize::MAX;
            if let Some(one) = away.iter_mut().rev().find(back) {
                one.2 = number;
                open -= 1;
            }
        }
    }
    away
}
