//! Whether a run came to a steady state, or its queue was still growing when the arrivals ended.
//!
//! A system that is offered more than it can serve answers well for a while: what a short run of
//! it says depends on its length. Two signs are looked for in the number of requests present,
//! L(t): it grows from the middle third of the arrivals to the last, and a part of the arrivals
//! stays behind.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sim::Outcome;
use crate::time::Time;
use crate::trace::{Status, TokenTrace};

/// What was seen of the number of requests present.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Steadiness {
    /// Whether the queue was still growing at the end of the arrivals.
    pub growing: bool,
    /// Mean number of requests present in the middle third of the arrivals.
    pub present_middle: f64,
    /// The same in their last third.
    pub present_last: f64,
    /// From the first arrival to the last, in seconds.
    pub arrivals_s: f64,
    /// From the last arrival to the last token, in seconds.
    pub drain_s: f64,
    /// Mean time that a completed request spent, in seconds.
    pub mean_stay_s: f64,
}

/// Growth over a third of the arrivals that chance does not explain. In a linearly growing queue
/// the last third holds 5/3 of the middle third.
const GROWTH: f64 = 1.25;
/// Of the arrivals of a third, this share must have stayed behind.
const LEFT_BEHIND: f64 = 0.02;
/// With a rate that changes, the queue may grow at the end by design; then the drain must be this
/// share of the arrivals' time, too.
const DRAIN: f64 = 0.25;

/// Looks at the requests present over time. `stationary` says that the arrival rate is constant.
pub fn steadiness(outcome: &Outcome, stationary: bool) -> Steadiness {
    let trace = &outcome.trace;
    let stays = stays(trace);
    let arrivals = || stays.iter().map(|stay| stay.0);
    let (Some(first), Some(last)) = (arrivals().reduce(f64::min), arrivals().reduce(f64::max))
    else {
        return Steadiness {
            growing: false,
            present_middle: 0.0,
            present_last: 0.0,
            arrivals_s: 0.0,
            drain_s: 0.0,
            mean_stay_s: 0.0,
        };
    };
    let span = last - first;
    let (middle, end) = (first + span / 3.0, first + span * 2.0 / 3.0);
    let present_middle = mean_present(&stays, middle, end);
    let present_last = mean_present(&stays, end, last);
    let left = stays.iter().map(|stay| stay.1 - last).fold(0.0, f64::max);
    let behind = (present_last - present_middle) / (stays.len() as f64 / 3.0);
    let grows = present_last > GROWTH * present_middle && behind > LEFT_BEHIND;
    let growing = grows && (stationary || left > DRAIN * span);
    let total: f64 = stays.iter().map(|stay| stay.1 - stay.0).sum();
    Steadiness {
        growing,
        present_middle,
        present_last,
        arrivals_s: span,
        drain_s: left,
        mean_stay_s: total / stays.len() as f64,
    }
}

/// From when to when each request that was let in was there, in seconds.
fn stays(trace: &TokenTrace) -> Vec<(f64, f64)> {
    let rows = trace.requests.iter().filter(|row| row.status != Status::Rejected);
    rows.map(|row| {
        let end = match row.status {
            Status::Completed => {
                let run = trace.runs(row).last();
                let last = run.and_then(|run| trace.times(run).last().copied());
                last.unwrap_or(row.first_token)
            }
            _ => trace.end.max(row.arrival),
        };
        debug_assert_ne!(end, Time::NEVER, "what is complete has a token");
        (row.arrival.as_secs_f64(), end.as_secs_f64())
    })
    .collect()
}

fn mean_present(stays: &[(f64, f64)], from: f64, to: f64) -> f64 {
    if to <= from {
        return 0.0;
    }
    let inside = |&(a, b): &(f64, f64)| (b.min(to) - a.max(from)).max(0.0);
    stays.iter().map(inside).sum::<f64>() / (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{RequestRow, Run};

    /// A request a second for 300 s that stays as long as `stay` says.
    fn run(stay: impl Fn(u64) -> u64) -> Outcome {
        let mut outcome = Outcome::default();
        for second in 0..300 {
            let arrival = Time::from_nanos(second * 1_000_000_000);
            let left = Time::from_nanos((second + stay(second)) * 1_000_000_000);
            outcome.trace.requests.push(RequestRow {
                arrival,
                scheduled: arrival,
                first_token: left,
                run: Run::EMPTY,
                prompt_tokens: 1,
                tokens: 1,
                hit_tokens: 0,
                preemptions: 0,
                replica: 0,
                class: 0,
                status: Status::Completed,
            });
        }
        outcome
    }

    #[test]
    fn the_same_stay_for_all_is_steady_and_littles_law_holds() {
        let seen = steadiness(&run(|_| 20), true);
        assert!(!seen.growing, "{seen:?}");
        assert!((seen.present_last - 20.0).abs() < 0.5, "{seen:?}");
        assert!((seen.drain_s - 20.0).abs() < 1e-9, "{seen:?}");
        assert!((seen.mean_stay_s - 20.0).abs() < 1e-9, "{seen:?}");
    }

    #[test]
    fn stays_that_lengthen_with_time_are_a_growing_queue() {
        assert!(steadiness(&run(|second| 5 + second / 4), true).growing);
        // A burst at the end that is gone soon is no growth where the rate changes.
        let burst = run(|second| if second > 250 { 20 } else { 5 });
        assert!(steadiness(&burst, true).growing);
        assert!(!steadiness(&burst, false).growing);
    }

    #[test]
    fn nothing_is_steady() {
        assert!(!steadiness(&Outcome::default(), true).growing);
    }
}
