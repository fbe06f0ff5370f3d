//! What limits the comparison: rejections, a queue that grows, full KV memory, a cut-off run.

use super::Names;
use crate::metrics::Latency;
use crate::result::RunResult;
use crate::shown::{count, duration, join, percent};

/// Sentences on the conditions of these runs.
pub(super) fn conditions<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Vec<String> {
    few(runs, names)
        .into_iter()
        .chain(rejections(runs, names))
        .chain(failures(runs, names))
        .chain(cancelled(runs, names))
        .chain(unfinished(runs, names))
        .chain(overload(runs, names))
        .chain(memory(runs, names))
        .collect()
}

/// `figure (name)` for each run that has the figure, as a list; `None` when none has.
fn of_each<'a>(
    runs: &'a [RunResult],
    names: &Names<'a>,
    figure: impl Fn(&RunResult) -> Option<String>,
) -> Option<String> {
    let each: Vec<String> = runs
        .iter()
        .filter_map(|run| {
            let figure = figure(run)?;
            Some(match names.name(run) {
                // A file may name none.
                "" => figure,
                name => format!("{figure} ({name})"),
            })
        })
        .collect();
    (!each.is_empty()).then(|| join(&each))
}

/// Measurements of so few requests that a share of them, or a high quantile, is that of one request.
fn few<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Option<String> {
    const ENOUGH: u64 = 100;
    let each = of_each(runs, names, |run| {
        let judged = run.summary.requests.judged();
        let few = super::share::is_sample(run) && judged > 0 && judged < ENOUGH;
        few.then(|| match judged {
            1 => "1 request".to_owned(),
            _ => format!(
                "{judged} requests, one request is {} of them",
                percent(1.0 / judged as f64)
            ),
        })
    })?;
    Some(format!("Few requests: {each}. A P99 of so few is hardly more than the worst one."))
}

fn rejections<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Option<String> {
    let each = of_each(runs, names, |run| {
        let counts = run.summary.requests;
        let many = counts.rejected.saturating_mul(100) > counts.offered && counts.completed > 0;
        many.then(|| {
            let share = percent(counts.rejected as f64 / counts.offered as f64);
            format!("{} of {}, {share}", count(counts.rejected), count(counts.offered))
        })
    })?;
    Some(format!(
        "Requests were rejected: {each}. Latencies leave them out; the share of fluid requests \
         counts them as not fluid."
    ))
}

/// Requests that the server failed, or took too long over.
fn failures<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Option<String> {
    let each = of_each(runs, names, |run| {
        let counts = run.summary.requests;
        let lost = counts.failed + counts.timed_out;
        (lost > 0 && counts.completed > 0).then(|| {
            format!(
                "{} failed and {} timed out of {}",
                count(counts.failed),
                count(counts.timed_out),
                count(counts.offered)
            )
        })
    })?;
    Some(format!(
        "Requests were lost: {each}. The share of fluid requests counts them as not fluid."
    ))
}

fn cancelled<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Option<String> {
    let each = of_each(runs, names, |run| {
        let counts = run.summary.requests;
        (counts.cancelled > 0)
            .then(|| format!("{} of {}", count(counts.cancelled), count(counts.offered)))
    })?;
    Some(format!("Cancelled by the client, and left out of every share: {each} requests."))
}

fn unfinished<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Option<String> {
    let each = of_each(runs, names, |run| {
        let counts = run.summary.requests;
        let any = runs.iter().any(|run| run.summary.requests.completed > 0);
        (counts.unfinished > 0 && any).then(|| {
            let open = match counts.censored {
                0 => String::new(),
                open => format!(", {} of them still to be decided", count(open)),
            };
            format!("{} of {} requests{open}", count(counts.unfinished), count(counts.offered))
        })
    })?;
    Some(format!(
        "Unfinished when observation ended: {each}. What becomes of them is within the bounds shown."
    ))
}

/// Runs that could not keep up.
fn overload<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Option<String> {
    let arrivals_s = runs.iter().find_map(backlog)?.arrivals_s;
    // Where observation ended first, the rest takes longer than that.
    let drains = of_each(runs, names, |run| {
        let took = duration(backlog(run)?.drain_s);
        let cut = run.summary.requests.unfinished > 0;
        Some(if cut { format!("more than another {took}") } else { format!("another {took}") })
    })?;
    let delays = of_each(runs, names, |run| {
        backlog(run)?;
        let (least, most) = run.summary.within(Latency::SchedulingDelay, |of| of.p99);
        let known = if most == least { "" } else { "at least " };
        Some(format!("{known}{}", duration(least?)))
    })?;
    let in_closed_loop =
        |run: &RunResult| run.summary.arrival_rate_per_s.is_some_and(|rate| rate.users.is_some());
    if runs.iter().any(in_closed_loop) {
        return Some(format!(
            "Users waited for others' answers before theirs began: the P99 scheduling delay is \
             {delays}. A closed loop sends no faster than it is served: fewer users or more replicas \
             shorten that."
        ));
    }
    Some(format!(
        "Requests came faster than they were served: after {} of arrivals, the rest took \
         {drains}; the P99 scheduling delay is {delays}. Such latencies grow with the length of \
         the run: lower the rate or add replicas.",
        duration(arrivals_s)
    ))
}

struct Backlog {
    arrivals_s: f64,
    drain_s: f64,
}

/// A run is behind when draining took more than a tenth of the time of arrivals and was spent on a
/// queue: somebody waited at least half as long to be scheduled. (A long last answer drains slowly
/// too, but nobody waits then. What all wait for alike, such as a front end, and KV on its way are no queue.)
fn backlog(run: &RunResult) -> Option<Backlog> {
    let summary = &run.summary;
    let rate = summary.arrival_rate_per_s.as_ref()?.realised?;
    let arrivals_s = (summary.requests.offered.checked_sub(1)?) as f64 / rate;
    let drain_s = summary.duration_s? - arrivals_s;
    let delay = summary.scheduling_delay_s.as_ref()?;
    let loads = run.kv_tiers.as_ref().and_then(|tiers| tiers.load_s.p99).unwrap_or(0.0);
    let delay_s = delay.p99? - delay.min? - loads;
    let behind = arrivals_s > 0.0 && drain_s > 0.1 * arrivals_s && delay_s >= 0.5 * drain_s;
    behind.then_some(Backlog { arrivals_s, drain_s })
}

fn memory<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Option<String> {
    let each = of_each(runs, names, |run| {
        let kv = run.kv?;
        (kv.preemptions > 0).then(|| {
            let blocks = format!("{} of {} blocks", count(kv.peak_used), count(kv.blocks));
            format!("{} at a peak of {blocks}", count(kv.preemptions))
        })
    })?;
    Some(format!(
        "KV memory ran out; preemptions: {each}. A preempted request loses its KV and gets no \
         token until it is recomputed."
    ))
}
