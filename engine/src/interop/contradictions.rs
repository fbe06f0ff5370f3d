//! What one file says that cannot all be true.
//!
//! A request whose own times cannot be is refused where it is read (see `builder`). Here, what a
//! file says of a whole run is held against what its requests add up to: how many completed, their
//! tokens, how long it took, and the latencies that the client worked out itself. A figure off by
//! more than rounding or another way of counting explains is a contradiction. Nothing tells then
//! which of the two is wrong, so that the run gets no verdict.

use std::collections::BTreeMap;

use super::measured::Measured;
use crate::metrics::{Distribution, Summary};
use crate::shown::{count, duration};
use crate::trace::{Status, last_tokens};

/// Below this relative difference two figures may come from two ways of working them out.
const ALIKE: f64 = 0.25;

/// The same of latencies in seconds that differ by no more than this.
const ALIKE_S: f64 = 0.001;

/// Of counts and of time the two sides are closer.
const CLOSE: f64 = 0.1;

/// A latency that a client worked out: the factor to seconds, and ours.
type Claim = (f64, fn(&Summary) -> Option<&Distribution>, Stat);
type Stat = fn(&Distribution) -> Option<f64>;

/// What a client's figure of that name claims, such as `p99_ttft_ms`.
fn claim(name: &str) -> Option<Claim> {
    const MEAN: Stat = |of| of.mean;
    match name {
        "mean_tpot" => return Some((1.0, |s| Some(&s.tpot_s), MEAN)),
        "mean_normalized_end_to_end_latency" => {
            return Some((1.0, |s| Some(&s.normalized_latency_s_per_token), MEAN));
        }
        "metrics.time_to_first_token_ms.mean" => return Some((1e-3, |s| Some(&s.ttft_s), MEAN)),
        "metrics.time_to_first_token_ms.median" => {
            return Some((1e-3, |s| Some(&s.ttft_s), |of| of.p50));
        }
        "metrics.request_latency.mean" => return Some((1.0, |s| Some(&s.e2e_s), MEAN)),
        "metrics.request_latency.median" => return Some((1.0, |s| Some(&s.e2e_s), |of| of.p50)),
        _ => {}
    }
    let (stat, latency) = name.strip_suffix("_ms")?.split_once('_')?;
    let stat: Stat = match stat {
        "mean" => MEAN,
        "median" | "p50" => |of| of.p50,
        "p90" => |of| of.p90,
        "p95" => |of| of.p95,
        "p99" => |of| of.p99,
        _ => return None,
    };
    match latency {
        "ttft" => Some((1e-3, |s| Some(&s.ttft_s), stat)),
        "tpot" => Some((1e-3, |s| Some(&s.tpot_s), stat)),
        "itl" => Some((1e-3, |s| s.tbt_s.as_ref(), stat)),
        "e2el" | "e2e_latency" => Some((1e-3, |s| Some(&s.e2e_s), stat)),
        _ => None,
    }
}

/// Whether two figures differ by less than this share of the larger.
fn close(a: f64, b: f64, share: f64) -> bool {
    (a - b).abs() <= share * a.abs().max(b.abs())
}

/// Puts what a client worked out over its run into the run, and holds it against the requests: `empty`
/// ones were answered without a token.
pub(super) fn hold(measured: &mut Measured, reported: BTreeMap<String, f64>, empty: u64) {
    let (finite, not): (BTreeMap<_, _>, BTreeMap<_, _>) =
        reported.into_iter().partition(|(_, value)| value.is_finite());
    measured.reported = finite;
    let answered = measured.trace.requests.iter().any(|row| row.status == Status::Completed);
    // Of no answer there is no mean.
    let not = not.into_keys().filter(|_| answered);
    let told = not.map(|name| format!("`{name}` is no finite number, and requests were answered"));
    measured.contradictions.extend(told);
    let found = of_counts(measured, empty);
    measured.contradictions.extend(found);
}

/// What the file says of the run against what its requests add up to. `empty` requests were
/// answered without a token: clients count them on either side.
fn of_counts(measured: &Measured, empty: u64) -> Vec<String> {
    let said = |name: &str| measured.reported.get(name).copied();
    let rows = &measured.trace.requests;
    let completed = || rows.iter().filter(|row| row.status == Status::Completed);
    let answered = completed().count() as u64;
    let all = rows.len() as u64;
    let mut found = Vec::new();
    let without_details = measured.totals_ns.is_some();
    let mut counted = |name: &str, least: u64, most: u64| {
        let wrong = said(name).filter(|&said| said < least as f64 || said > most as f64);
        if let Some(said) = wrong {
            found.push(format!("`{name}` is {said}, and its requests are {}", count(least)));
        }
    };
    if without_details {
        // The file does not tell which of them failed.
        counted("completed", all.saturating_sub(measured.failed), all);
    } else {
        counted("completed", answered, answered + empty);
        counted("failed", (all - answered).saturating_sub(empty), all - answered);
    }
    if let Some(said) = said("num_prompts").filter(|&said| said != all as f64) {
        found.push(format!("`num_prompts` is {said}, and it holds {} requests", count(all)));
    }
    if let Some(said) = said("max_concurrent_requests").filter(|&said| said > all as f64) {
        found.push(format!(
            "`max_concurrent_requests` is {said}, and it holds {} requests",
            count(all)
        ));
    }
    if let (Some(good), Some(all)) = (said("request_goodput"), said("request_throughput"))
        && good > all * (1.0 + CLOSE)
    {
        found.push(format!("`request_goodput` is {good}, and `request_throughput` {all}"));
    }
    if !without_details {
        let prompt: u64 = completed().map(|row| u64::from(row.prompt_tokens)).sum();
        let output: u64 = completed().map(|row| u64::from(row.tokens)).sum();
        for (name, sum) in [("total_input_tokens", prompt), ("total_output_tokens", output)] {
            let wrong = said(name).filter(|&said| !close(said, sum as f64, CLOSE));
            if let Some(said) = wrong.filter(|_| sum > 0) {
                found
                    .push(format!("`{name}` is {said}, and its requests add up to {}", count(sum)));
            }
        }
    }
    if let Some(limit) = said("max_concurrency").filter(|_| measured.knows.arrivals) {
        let most = most_at_once(measured);
        if most as f64 > limit {
            found.push(format!(
                "`max_concurrency` is {limit}, and {} of its requests are under way at once",
                count(most)
            ));
        }
    }
    if let Some(took) = said("duration") {
        let waits = measured.client_queue_ns.iter().flatten().copied();
        let waited = waits.max().unwrap_or(0) as f64 / 1e9;
        if took * (1.0 + CLOSE) + 0.05 < waited {
            let (took, waited) = (duration(took), duration(waited));
            found.push(format!("`duration` is {took}, and a request waited {waited} to be sent"));
        }
        if let Some(at_once) = said("concurrency") {
            let own = together_s(measured) / took;
            if !close(at_once, own, ALIKE) && (at_once - own).abs() > CLOSE {
                found.push(format!("`concurrency` is {at_once}, and its requests give {own:.2}"));
            }
        }
        let longest = longest_s(measured);
        if took * (1.0 + CLOSE) + 0.05 < longest {
            let (took, longest) = (duration(took), duration(longest));
            found.push(format!("`duration` is {took}, and its requests take {longest}"));
        }
        let (input, output) = ("total_input_tokens", "total_output_tokens");
        for (rate, names) in [
            ("request_throughput", &["completed"][..]),
            ("output_throughput", &[output]),
            ("input_throughput", &[input]),
            ("total_throughput", &[input, output]),
            ("total_token_throughput", &[input, output]),
        ] {
            let all: Option<f64> = names.iter().map(|name| said(name)).sum();
            if let (Some(per_s), Some(all)) = (said(rate), all)
                && !close(per_s * took, all, CLOSE)
            {
                let (names, took) = (names.join("` and `"), duration(took));
                found.push(format!("`{rate}` is {per_s}, and `{names}` {all} in {took}"));
            }
        }
    }
    found
}

/// The most requests that are under way at once for longer than a millisecond.
fn most_at_once(measured: &Measured) -> u64 {
    const SLACK_NS: u64 = 1_000_000;
    let rows = measured.trace.requests.iter().zip(last_tokens(measured));
    let answered = rows.filter(|(row, _)| row.status == Status::Completed);
    let mut changes: Vec<(u64, i64)> = answered
        .flat_map(|(row, last)| {
            let (from, to) = (row.arrival.as_nanos(), last.as_nanos().saturating_sub(SLACK_NS));
            [(from, 1), (to.max(from), -1)]
        })
        .collect();
    changes.sort_unstable();
    let at_once = changes.iter().scan(0i64, |now, (_, change)| {
        *now += change;
        Some(*now)
    });
    at_once.max().unwrap_or(0).max(0) as u64
}

/// The time that all answered requests took, one after another.
fn together_s(measured: &Measured) -> f64 {
    let rows = measured.trace.requests.iter().zip(last_tokens(measured));
    let answered = rows.filter(|(row, _)| row.status == Status::Completed);
    answered.map(|(row, last)| last.since(row.arrival).as_secs_f64()).sum()
}

/// The span of all requests where one clock tells of it, else the longest of them.
fn longest_s(measured: &Measured) -> f64 {
    let longest = |of: &mut dyn Iterator<Item = u64>| of.max().unwrap_or(0) as f64 / 1e9;
    if let Some(totals) = &measured.totals_ns {
        return longest(&mut totals.iter().copied());
    }
    let rows = measured.trace.requests.iter().zip(last_tokens(measured));
    let answered = rows.filter(|(row, _)| row.status == Status::Completed);
    if measured.knows.arrivals {
        // The earliest arrival is at 0.
        longest(&mut answered.map(|(_, last)| last.as_nanos()))
    } else {
        longest(&mut answered.map(|(row, last)| last.since(row.arrival).as_nanos()))
    }
}

/// The latencies that the client worked out against those of its requests.
pub(super) fn of_latencies(measured: &Measured, summary: &Summary) -> Vec<String> {
    let mut found = Vec::new();
    for (name, said) in &measured.reported {
        // Gaps that the client spread over a chunk's tokens were put together again.
        if measured.smoothed && name.contains("itl") {
            continue;
        }
        let Some((unit, of, stat)) = claim(name) else { continue };
        let said = said * unit;
        let Some(own) = of(summary).and_then(stat) else { continue };
        if !close(said, own, ALIKE) && (said - own).abs() > ALIKE_S {
            let (said, own) = (duration(said), duration(own));
            found.push(format!("`{name}` is {said}, and its requests give {own}"));
        }
    }
    found
}
