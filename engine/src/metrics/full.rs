//! The full figures: what TBT deadline users can be promised, and how the miss rate falls with it.
//!
//! Both judge every request against many deadlines `D`, first tokens left out. A longer deadline
//! never makes a request's miss rate rise: the token after one that came at `e` is due at
//! `max(due, e) + D`, which grows with `due` and with `D`, so under a longer `D` every token is due
//! later; fewer come late, each by less, and what they miss is counted in larger units. Hence the
//! smallest deadline that a request keeps is found by bisection, on which side of a deadline
//! requests are takes one judgement each, and a request without a miss needs no further look.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::fluidity::{Judge, demand};
use super::quantile::{Ratio, Sample, rank};
use crate::ids::RequestId;
use crate::threads;
use crate::time::{Span, Time};
use crate::trace::{Part, Parts, RequestRow, Status, TokenTrace};

/// The largest deadline of the miss-rate curve, in milliseconds.
const CURVE_MS: u32 = 100;
/// Requests few enough to work out the smallest deadline of each.
const FEW: usize = 32;

/// What is only worked out when asked for.
pub(super) struct FullFigures {
    /// 1 / P99 over requests of the smallest TBT deadline, per second.
    pub(super) fluid_tokens_per_s: Option<f64>,
    /// P99 over requests of the miss rate for deadlines of 1 ms, 2 ms, ...
    pub(super) p99_miss_rate_by_tbt_ms: Option<Vec<(u32, f64)>>,
}

/// The full figures of those of `rows`, indices that rise, that have a deadline after the first
/// token.
pub(super) fn full_figures(trace: &dyn Parts, rows: &[RequestId]) -> FullFigures {
    let mut judged = Vec::with_capacity(rows.len());
    trace.each_part(&mut |part| {
        let has_gap = |&row: &RequestId| longest_gap(part.trace, part.row(row)).is_some();
        judged.extend(part.of(rows).iter().copied().filter(has_gap));
    });
    let rows = judged;
    if rows.is_empty() {
        return FullFigures { fluid_tokens_per_s: None, p99_miss_rate_by_tbt_ms: None };
    }
    let (low, rest) = rank(rows.len() as u64, 990);
    let promised = || {
        let (below, above) = nth_min_tbt_deadlines(trace, rows.clone(), low as usize);
        below.towards(if rest == 0 { below } else { above }, rest)
    };
    let (promised, curve) = threads::both(promised, || miss_rate_curve(trace, &rows));
    FullFigures { fluid_tokens_per_s: Some(1.0 / promised), p99_miss_rate_by_tbt_ms: Some(curve) }
}

/// The smallest TBT deadline, in whole nanoseconds from 1 on, at which at most a tenth of a
/// request's deadlines are missed, first token left out. `None` for a request that was not answered to
/// the end, whose deadline is not known, and for one without a second token.
#[cfg(any(test, feature = "internals"))]
pub fn min_tbt_deadline(trace: &TokenTrace, row: &RequestRow) -> Option<Span> {
    longest_gap(trace, row).map(|longest| Span::from_nanos(bisect(trace, row, longest)))
}

/// Nothing is missed with a deadline of the longest gap, so the answer is no greater.
fn bisect(trace: &TokenTrace, row: &RequestRow, longest: u64) -> u64 {
    let (mut fails, mut holds) = (0, longest.max(1));
    while holds - fails > 1 {
        let middle = fails + (holds - fails) / 2;
        let tally = Judge::token_by_token(trace, middle).tally(row, None);
        *(if tally.at_most_a_tenth_missed() { &mut holds } else { &mut fails }) = middle;
    }
    holds
}

/// The longest gap that has the deadline of a later token, in nanoseconds.
fn longest_gap(trace: &TokenTrace, row: &RequestRow) -> Option<u64> {
    if row.first_token == Time::NEVER || row.status != Status::Completed {
        return None;
    }
    let mut before = row.first_token;
    let mut longest = None;
    for run in trace.runs(row) {
        for &time in trace.times(run) {
            longest = longest.max(Some(time.since(before).as_nanos()));
            before = time;
        }
    }
    longest
}

/// The smallest TBT deadline of each of these requests, which have one.
fn min_tbt_deadlines(trace: &dyn Parts, rows: &[RequestId]) -> Vec<u64> {
    let mut deadlines = Vec::with_capacity(rows.len());
    trace.each_part(&mut |part| {
        for row in part.of(rows).iter().map(|&row| part.row(row)) {
            let longest = longest_gap(part.trace, row).expect("a row with a deadline");
            deadlines.push(bisect(part.trace, row, longest));
        }
    });
    deadlines
}

/// The `nth` smallest, from 0 on, of the smallest TBT deadlines of `rows`, and the next (the same
/// one where there is none): quickselect, where which side of the pivot a request is on takes one
/// judgement at the pivot.
fn nth_min_tbt_deadlines(
    trace: &dyn Parts,
    mut rows: Vec<RequestId>,
    mut nth: usize,
) -> (u64, u64) {
    // Requests that need longer deadlines than all of `rows`, and shorter ones than all others.
    let mut next: Vec<RequestId> = Vec::new();
    while rows.len() > FEW {
        // The pivot is about as far up in a sample as the answer is among all.
        let sampled: Vec<RequestId> =
            rows.iter().copied().step_by(rows.len().div_ceil(FEW)).collect();
        let mut sample = min_tbt_deadlines(trace, &sampled);
        sample.sort_unstable();
        let pivot = sample[nth * sample.len() / rows.len()];
        let (up_to_pivot, above) = split(trace, &rows, pivot);
        if nth >= up_to_pivot.len() {
            nth -= up_to_pivot.len();
            rows = above;
            continue;
        }
        next = if above.is_empty() { next } else { above };
        if pivot > 1 {
            let (below, at_pivot) = split(trace, &up_to_pivot, pivot - 1);
            assert!(!at_pivot.is_empty(), "the pivot is one of them");
            if nth < below.len() {
                (rows, next) = (below, at_pivot);
                continue;
            }
        }
        let more = nth + 1 < up_to_pivot.len() || next.is_empty();
        return (pivot, if more { pivot } else { least_min_tbt_deadline(trace, next) });
    }
    let mut few = min_tbt_deadlines(trace, &rows);
    few.sort_unstable();
    let above = match few.get(nth + 1) {
        Some(&above) => above,
        None if next.is_empty() => few[nth],
        None => least_min_tbt_deadline(trace, next),
    };
    (few[nth], above)
}

/// The least of the smallest TBT deadlines of these requests.
fn least_min_tbt_deadline(trace: &dyn Parts, rows: Vec<RequestId>) -> u64 {
    nth_min_tbt_deadlines(trace, rows, 0).0
}

/// Splits requests into those that keep this TBT deadline and those that need a longer one.
fn split(trace: &dyn Parts, rows: &[RequestId], tbt: u64) -> (Vec<RequestId>, Vec<RequestId>) {
    let (mut keep, mut need_longer) = (Vec::new(), Vec::new());
    trace.each_part(&mut |part| {
        let rows = part.of(rows);
        let judge = judge(part, rows.iter().copied(), tbt);
        for &row in rows {
            let kept = judge.tally(part.row(row), None).at_most_a_tenth_missed();
            if kept { &mut keep } else { &mut need_longer }.push(row);
        }
    });
    (keep, need_longer)
}

fn judge<'t>(part: Part<'t>, rows: impl Iterator<Item = RequestId>, tbt: u64) -> Judge<'t> {
    Judge::new(part.trace, tbt, &demand(part.trace, rows.map(|row| part.row(row))))
}

/// P99 over requests of the miss rate, for each deadline; only the highest hundredth is looked at.
fn miss_rate_curve(trace: &dyn Parts, rows: &[RequestId]) -> Vec<(u32, f64)> {
    let (low, rest) = rank(rows.len() as u64, 990);
    let wanted = rows.len() - low as usize;
    let mut highest: Vec<Vec<Ratio>> = (1..=CURVE_MS).map(|_| Vec::new()).collect();
    trace.each_part(&mut |part| {
        let rows = part.of(rows);
        highest_rates(part, rows, wanted.min(rows.len()), &mut highest);
        for rates in highest.iter_mut().filter(|rates| rates.len() > wanted) {
            rates.select_nth_unstable_by(wanted - 1, |a, b| b.cmp(a));
            rates.truncate(wanted);
        }
    });
    let point = |(ms, mut rates): (u32, Vec<Ratio>)| {
        rates.sort_unstable();
        let (below, above) = (rates[0], rates[usize::from(rest > 0)]);
        (ms, below.towards(above, rest))
    };
    (1..=CURVE_MS).zip(highest).map(point).collect()
}

/// Appends the `wanted` highest miss rates of these requests, for each deadline. What a request
/// missed under a shorter deadline is a bound for the next: requests are judged from the highest
/// bound down until no other can be among the highest.
fn highest_rates(part: Part<'_>, rows: &[RequestId], wanted: usize, into: &mut [Vec<Ratio>]) {
    // The bound, whether it is the rate itself, and whose.
    let mut queue: BinaryHeap<(Ratio, bool, Reverse<RequestId>)> =
        rows.iter().map(|&row| (Ratio::from(1.0), false, Reverse(row))).collect();
    // Those judged at the deadline before tell how much of a column is worth an index.
    let mut judged = rows.to_vec();
    let mut highest = Vec::with_capacity(wanted);
    for (ms, rates) in (1..).zip(into) {
        let judge = judge(part, judged.drain(..), Span::from_millis(ms).as_nanos());
        while highest.len() < wanted {
            let (bound, exact, Reverse(row)) = queue.pop().expect("as many as there are rows");
            // One without a miss has none later, and neither have all that follow.
            if exact || bound == Ratio::from(0.0) {
                highest.push((bound, row));
            } else {
                let rate = Ratio::from(judge.tally(part.row(row), None).miss_rate());
                judged.push(row);
                queue.push((rate, true, Reverse(row)));
            }
        }
        rates.extend(highest.iter().map(|&(rate, _)| rate));
        // What is exact at this deadline bounds the next.
        let others = std::mem::take(&mut queue).into_vec();
        let others = others.into_iter().map(|(bound, _, Reverse(row))| (bound, row));
        let bounds = highest.drain(..).chain(others);
        queue = bounds.map(|(bound, row)| (bound, false, Reverse(row))).collect();
    }
}
