//! Whether a run came to a steady state, or its backlog was still growing when the arrivals ended.
//!
//! A system that is offered more than it can serve answers well for a while: what a short run of
//! it says depends on its length. So the requests present, L(t), are looked at over the last half of
//! the arrivals: the backlog grows when there are more of them at its end than at its beginning, by
//! more than chance brings about, and it never came back to where it was. A system that was empty fills
//! first, and that is no backlog: what is looked at begins when those who came first have left.
//!
//! Where requests are turns of sessions, it is sessions that begin: their turns go on long after the last of
//! them has begun, and fewer of them are no sign that the load was held.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stays::{self, Stay};
use crate::sim::Outcome;

/// What was seen of the number of requests present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Steadiness {
    /// Whether the backlog was still growing at the end of the arrivals.
    pub growing: bool,
    /// Requests present halfway through the arrivals, or when the first tenth of them would have left, where
    /// that is later.
    pub present_halfway: u64,
    /// Requests present at the last arrival; of sessions, when the last of them began.
    pub present_at_end: u64,
    /// Of the arrivals from then on, the share by which the requests present grew.
    pub left_behind: f64,
    /// Mean number of requests present in the third quarter of the arrivals: the first half of what is
    /// looked at.
    pub present_third_quarter: f64,
    /// The same in their last quarter: the second half of it.
    pub present_last_quarter: f64,
    /// From the first arrival to the last, in seconds; of sessions where requests are turns of some.
    pub arrivals_s: f64,
    /// From the last of these to the last token, in seconds.
    pub drain_s: f64,
    /// Mean time that a request, or a session, spent, in seconds.
    pub mean_stay_s: f64,
}

/// Growth that chance does not explain, in standard deviations of a difference of two numbers
/// present. Where nothing queues, such a number has a variance of half its mean times one plus the
/// squared coefficient of variation of the gaps between arrivals (Poisson: its mean).
const BEYOND_CHANCE: f64 = 2.0;
/// With a rate that changes, the backlog may grow at the end by design; then the drain must be this
/// share of the arrivals' time, too.
const DRAIN: f64 = 0.25;

/// Looks at the requests present over time. `stationary` says that the arrival rate is constant.
pub fn steadiness(outcome: &Outcome, stationary: bool) -> Steadiness {
    let mut stays = stays::of_requests(&outcome.trace);
    let sessions = stays::of_sessions(outcome);
    if let Some(last) = sessions.iter().map(|stay| stay.0).reduce(f64::max) {
        stays.retain(|stay| stay.0 <= last);
    }
    let begun = if sessions.is_empty() { &stays } else { &sessions };
    let arrivals = || begun.iter().map(|stay| stay.0);
    let (Some(first), Some(last)) = (arrivals().reduce(f64::min), arrivals().reduce(f64::max))
    else {
        return Steadiness::default();
    };
    let span = last - first;
    let half = (first + span / 2.0).max(filled(begun)).min(last);
    let three_quarters = f64::midpoint(half, last);
    let present = Present::of(&stays);
    let (halfway, at_end) = (present.at(half), present.at(last));
    let third = mean_present(&stays, half, three_quarters);
    let fourth = mean_present(&stays, three_quarters, last);
    let chance = BEYOND_CHANCE * (halfway.max(1) as f64 * (1.0 + present.gaps_cv2)).sqrt();
    let grows = at_end as f64 - halfway as f64 > chance
        && fourth > third
        && present.least(three_quarters, last) > present.least(half, three_quarters);
    let arrived = stays.iter().filter(|stay| stay.0 > half).count();
    let left = begun.iter().map(|stay| stay.1 - last).fold(0.0, f64::max);
    let total: f64 = begun.iter().map(|stay| stay.1 - stay.0).sum();
    Steadiness {
        growing: grows && (stationary || left > DRAIN * span),
        present_halfway: halfway,
        present_at_end: at_end,
        left_behind: (at_end as f64 - halfway as f64) / arrived.max(1) as f64,
        present_third_quarter: third,
        present_last_quarter: fourth,
        arrivals_s: span,
        drain_s: left,
        mean_stay_s: total / begun.len() as f64,
    }
}

/// When a system that was empty has filled: what comes first finds no queue, and as many requests are there as
/// it has room to serve once the first of them leave.
fn filled(stays: &[Stay]) -> f64 {
    let mut first: Vec<Stay> = stays.to_vec();
    first.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    first.truncate(first.len().div_ceil(10));
    let stay: f64 = first.iter().map(|stay| stay.1 - stay.0).sum();
    first[0].0 + stay / first.len() as f64
}

/// The number of requests present, after each change of it.
struct Present {
    steps: Vec<(f64, u64)>,
    /// Squared coefficient of variation of the gaps between arrivals.
    gaps_cv2: f64,
}

impl Present {
    fn of(stays: &[Stay]) -> Present {
        let mut from: Vec<f64> = stays.iter().map(|stay| stay.0).collect();
        let mut to: Vec<f64> = stays.iter().map(|stay| stay.1).collect();
        from.sort_unstable_by(f64::total_cmp);
        to.sort_unstable_by(f64::total_cmp);
        let mut steps = Vec::with_capacity(from.len() + to.len());
        let (mut left, mut present) = (0, 0u64);
        for &arrival in &from {
            while to[left] <= arrival && present > 0 {
                present -= 1;
                steps.push((to[left], present));
                left += 1;
            }
            present += 1;
            steps.push((arrival, present));
        }
        let n = from.len().saturating_sub(1).max(1) as f64;
        let mean = (from[from.len() - 1] - from[0]) / n;
        let off = |pair: &[f64]| pair[1] - pair[0] - mean;
        let square = |pair: &[f64]| off(pair) * off(pair);
        let variance = from.windows(2).map(square).sum::<f64>() / n;
        let gaps_cv2 = if mean > 0.0 { variance / (mean * mean) } else { 0.0 };
        Present { steps, gaps_cv2 }
    }

    /// How many are there at an instant up to the last arrival.
    fn at(&self, instant: f64) -> u64 {
        let after = self.steps.partition_point(|step| step.0 <= instant);
        after.checked_sub(1).map_or(0, |step| self.steps[step].1)
    }

    /// The fewest from one instant to another.
    fn least(&self, from: f64, to: f64) -> u64 {
        let steps = self.steps.iter().skip_while(|step| step.0 <= from);
        let within = steps.take_while(|step| step.0 <= to).map(|step| step.1);
        within.min().map_or(self.at(from), |least| least.min(self.at(from)))
    }
}

fn mean_present(stays: &[Stay], from: f64, to: f64) -> f64 {
    if to <= from {
        return 0.0;
    }
    let inside = |&(a, b): &Stay| (b.min(to) - a.max(from)).max(0.0);
    stays.iter().map(inside).sum::<f64>() / (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClassId, LaneId};
    use crate::time::Time;
    use crate::trace::{RequestRow, Run, Status};

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
                lane: LaneId(0),
                class: ClassId(0),
                status: Status::Completed,
            });
        }
        outcome
    }

    #[test]
    fn the_same_stay_for_all_is_steady_and_littles_law_holds() {
        let seen = steadiness(&run(|_| 20), true);
        assert!(!seen.growing, "{seen:?}");
        assert!((seen.present_last_quarter - 20.0).abs() < 0.5, "{seen:?}");
        assert!((seen.drain_s - 20.0).abs() < 1e-9, "{seen:?}");
        assert!((seen.mean_stay_s - 20.0).abs() < 1e-9, "{seen:?}");
    }

    #[test]
    fn stays_that_lengthen_with_time_are_a_growing_queue() {
        assert!(steadiness(&run(|second| 5 + second / 4), true).growing);
        // A backlog at the end that is gone soon is no growth where the rate changes.
        let burst = run(|second| if second > 150 { 5 + (second - 150) / 4 } else { 5 });
        assert!(steadiness(&burst, true).growing);
        assert!(!steadiness(&burst, false).growing);
    }

    #[test]
    fn a_burst_that_is_gone_by_the_end_is_no_growth() {
        let burst = run(|second| if (200..240).contains(&second) { 60 } else { 5 });
        assert!(!steadiness(&burst, true).growing);
    }

    #[test]
    fn an_empty_system_that_fills_is_no_growing_queue() {
        // All stay longer than half of the arrivals last: they pile up until the first ones leave.
        for stay in [180, 250, 400] {
            let seen = steadiness(&run(|_| stay), true);
            assert!(!seen.growing, "{stay}: {seen:?}");
        }
        assert!(steadiness(&run(|second| 160 + second), true).growing);
    }

    #[test]
    fn nothing_is_steady() {
        assert!(!steadiness(&Outcome::default(), true).growing);
    }
}
