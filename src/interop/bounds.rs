//! Bounds of the fluidity-index where only the first and the last token's times are known.
//!
//! Let `k` gaps of deadline `D` take `T` in all, with slack `s` left by the first token (0 when it
//! was late or is not judged).
//!
//! *At most.* When `T <= s + k D`, tokens can all have been in time. Otherwise the deadlines' clock
//! is set forward by `X = T - s - k D` or more in all; setting it forward by `x` at one late token
//! costs `1 + floor(x / D)` misses and a hit, so one late token costs least: `k - 1` hits and
//! `1 + floor(X / D)` misses.
//!
//! *At least.* Missed deadlines are instants up to `T` (one at the very instant of a late token is
//! missed too), the first no earlier than `s + D`, each `D` or more after the one before; late
//! tokens likewise, but more than `D` apart. So there are at most `1 + floor((T - s - D) / D)`
//! misses, none when `T <= s + D`, and `floor((T - s) / (D + 1 ns))` late tokens; the other
//! tokens are hits. This may be lower than any real course of tokens, never higher.

use crate::metrics::{Options, Tally, index_over_requests};
use crate::report::GapBounds;
use crate::time::Time;
use crate::trace::{Parts, RequestRow, Status, last_tokens};

/// Least and most that a request's tally can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Range {
    worst: Tally,
    best: Tally,
}

/// Bounds over all requests.
pub(super) fn fluidity_bounds(trace: &impl Parts, options: &Options) -> GapBounds {
    let lasts = last_tokens(trace);
    let (mut low, mut high) = (Vec::new(), Vec::new());
    let (mut fluid_low, mut fluid_high) = (0u64, 0u64);
    let (mut worst, mut best) = (Tally::default(), Tally::default());
    let mut open = false;
    for (row, &last) in trace.requests().iter().zip(&lasts) {
        let threshold = options.deadlines_of(row.class).fluid_index();
        if row.status.is_lost() {
            low.push(0.0);
            high.push(0.0);
            continue;
        }
        if row.status == Status::Unfinished {
            // Whatever it got, anything can still become of it.
            low.push(0.0);
            high.push(1.0);
            fluid_high += 1;
            open = true;
            continue;
        }
        let range = of_request(options, row, last);
        fluid_low += u64::from(range.worst.index() >= threshold);
        fluid_high += u64::from(range.best.index() >= threshold);
        low.push(range.worst.index());
        high.push(range.best.index());
        for (sum, tally) in [(&mut worst, range.worst), (&mut best, range.best)] {
            sum.met = sum.met.saturating_add(tally.met);
            sum.missed = sum.missed.saturating_add(tally.missed);
        }
    }
    let all = trace.requests().len() as u64;
    let share = |part: u64| (all > 0).then(|| part as f64 / all as f64);
    let rate = |tally: Tally| (tally.total() > 0).then(|| tally.miss_rate());
    GapBounds {
        index_at_least: index_over_requests(low.into_iter()),
        index_at_most: index_over_requests(high.into_iter()),
        fluid_request_share_at_least: share(fluid_low),
        fluid_request_share_at_most: share(fluid_high),
        service_miss_rate_at_least: if open { Some(0.0) } else { rate(best) },
        service_miss_rate_at_most: if open { Some(1.0) } else { rate(worst) },
    }
}

fn of_request(options: &Options, row: &RequestRow, last: Time) -> Range {
    let deadlines = options.deadlines_of(row.class);
    let tbt = deadlines.tbt().as_nanos();
    let (mut first, mut slack) = (Tally::default(), 0);
    if row.first_token == Time::NEVER {
        return Range { worst: first, best: first };
    }
    if options.judge_first_token {
        let ttft = row.first_token.since(row.arrival).as_nanos();
        (first, slack) = judge_first(ttft, deadlines.ttft(row.prompt_tokens).as_nanos(), tbt);
    }
    let gaps = u64::from(row.tokens.saturating_sub(1));
    let (worst, best) = later(last.since(row.first_token).as_nanos(), gaps, slack, tbt);
    let with = |tally: Tally| Tally {
        met: first.met + tally.met,
        missed: first.missed.saturating_add(tally.missed),
    };
    Range { worst: with(worst), best: with(best) }
}

/// The first token's tally, and the slack that it leaves.
fn judge_first(ttft: u64, deadline: u64, tbt: u64) -> (Tally, u64) {
    match ttft.checked_sub(deadline).filter(|&late| late > 0) {
        None => (Tally { met: 1, missed: 0 }, deadline - ttft),
        Some(late) => (Tally { met: 0, missed: (late / tbt).saturating_add(1) }, 0),
    }
}

/// Worst and best tally of `gaps` later tokens that took `time` in all.
fn later(time: u64, gaps: u64, slack: u64, tbt: u64) -> (Tally, Tally) {
    if gaps == 0 {
        return (Tally::default(), Tally::default());
    }
    let (time, gaps_wide) = (u128::from(time), u128::from(gaps));
    let (slack, tbt) = (u128::from(slack), u128::from(tbt));
    let narrow = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
    let best = match time.checked_sub(slack + gaps_wide * tbt).filter(|&over| over > 0) {
        None => Tally { met: gaps, missed: 0 },
        Some(over) => Tally { met: gaps - 1, missed: narrow(1 + over / tbt) },
    };
    let beyond = time.saturating_sub(slack + tbt);
    let missed = if beyond > 0 { narrow(1 + beyond / tbt) } else { 0 };
    let late_max = narrow((time.saturating_sub(slack) / (tbt + 1)).min(gaps_wide));
    let worst = Tally { met: gaps - late_max, missed };
    (worst, best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the gaps were, the bounds from first and last alone hold.
        #[test]
        fn bounds_hold_for_any_course_of_tokens(
            ttft in 0u64..200,
            deadline in 0u64..200,
            tbt in 1u64..30,
            gaps in proptest::collection::vec(prop_oneof![0u64..40, 0u64..4, 0u64..400], 1..12),
            judge_first_token: bool,
        ) {
            let due = judge_first_token.then_some(deadline);
            let all: Vec<u64> = std::iter::once(ttft).chain(gaps.iter().copied()).collect();
            let tally = reference::tally(&all, due, tbt);
            let (first, slack) = if judge_first_token {
                judge_first(ttft, deadline, tbt)
            } else {
                (Tally::default(), 0)
            };
            let (worst, best) = later(gaps.iter().sum(), gaps.len() as u64, slack, tbt);
            let index = |t: Tally| {
                Tally { met: t.met + first.met, missed: t.missed + first.missed }.index()
            };
            prop_assert!(index(worst) <= tally.index() + 1e-12, "{worst:?} {tally:?}");
            prop_assert!(tally.index() <= index(best) + 1e-12, "{best:?} {tally:?}");
            prop_assert!(tally.missed >= first.missed + best.missed);
            prop_assert!(tally.missed <= first.missed + worst.missed);
        }
    }
}
