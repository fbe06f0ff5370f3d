//! What limits the comparison: rejections, a queue that grows, full KV memory, a cut-off run.

use super::{Names, join};
use crate::report::result::RunResult;
use crate::report::units::{count, duration, percent};

/// Sentences on the conditions of these runs.
pub(super) fn conditions<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Vec<String> {
    let each = |sentence: fn(&RunResult, &str) -> Option<String>| {
        runs.iter().filter_map(move |run| sentence(run, names.name(run)))
    };
    each(rejections)
        .chain(each(unfinished))
        .chain(overload(runs, names))
        .chain(each(memory))
        .collect()
}

fn rejections(run: &RunResult, name: &str) -> Option<String> {
    let counts = run.summary.requests;
    let many = counts.rejected.saturating_mul(100) > counts.offered && counts.completed > 0;
    many.then(|| {
        format!(
            "{name} rejected {} of {} requests ({}); its latencies are those of the others, its \
             share of fluid requests counts them as not fluid.",
            count(counts.rejected),
            count(counts.offered),
            percent(counts.rejected as f64 / counts.offered as f64)
        )
    })
}

fn unfinished(run: &RunResult, name: &str) -> Option<String> {
    let counts = run.summary.requests;
    (counts.unfinished > 0 && counts.completed > 0).then(|| {
        format!(
            "{name} had {} of {} requests unfinished when observation ended.",
            count(counts.unfinished),
            count(counts.offered)
        )
    })
}

/// Runs that could not keep up: all in one sentence.
fn overload<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Option<String> {
    let behind: Vec<(&RunResult, Backlog)> =
        runs.iter().filter_map(|run| Some((run, backlog(run)?))).collect();
    let arrivals_s = behind.first()?.1.arrivals_s;
    let each: Vec<String> = behind
        .iter()
        .map(|(run, backlog)| {
            format!(
                "{} went on for {} after the last of {} of arrivals, and its P99 scheduling \
                 delay is {}",
                names.name(run),
                duration(backlog.drain_s),
                duration(arrivals_s),
                duration(backlog.delay_s)
            )
        })
        .collect();
    Some(format!(
        "Requests came faster than they were served: {}. Such latencies grow with the length of \
         the run: lower the rate or add replicas.",
        join(&each)
    ))
}

struct Backlog {
    arrivals_s: f64,
    drain_s: f64,
    delay_s: f64,
}

/// A run is behind when draining took more than a tenth of the time of arrivals and was spent on a
/// queue: somebody waited at least half as long to be scheduled. (A long last answer drains slowly
/// too, but nobody waits then.)
fn backlog(run: &RunResult) -> Option<Backlog> {
    let summary = &run.summary;
    let rate = summary.arrival_rate_per_s.as_ref()?.realised?;
    let arrivals_s = (summary.requests.offered.checked_sub(1)?) as f64 / rate;
    let drain_s = summary.duration_s? - arrivals_s;
    let delay_s = summary.scheduling_delay_s.as_ref()?.p99?;
    let behind = arrivals_s > 0.0 && drain_s > 0.1 * arrivals_s && delay_s >= 0.5 * drain_s;
    behind.then_some(Backlog { arrivals_s, drain_s, delay_s })
}

fn memory(run: &RunResult, name: &str) -> Option<String> {
    let kv = run.kv?;
    (kv.preemptions > 0).then(|| {
        format!(
            "{name} ran out of KV memory: {} preemptions at a peak of {} of {} blocks; a preempted \
             request loses its KV and gets no token until it is back.",
            count(kv.preemptions),
            count(kv.peak_used),
            count(kv.blocks)
        )
    })
}
