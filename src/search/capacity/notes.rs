//! What makes the numbers of a capacity search weak, and what to do about it.

use super::SeedSearch;
use crate::report::units::three_digits;
use crate::report::{RunResult, SloTerm};
use crate::search::interval::Interval;
use crate::search::probe::Study;

/// An interval this wide, as a share of its mean, says little.
const WIDE: f64 = 0.25;
/// A quantile, or a share, should rest on this many samples beyond it.
const TAIL_SAMPLES: f64 = 10.0;
/// The arrivals should last this many times a request's stay.
const STAYS: f64 = 5.0;

/// What makes the numbers weak.
pub(super) fn notes(study: Study<'_>, searches: &[SeedSearch]) -> Vec<String> {
    let mut notes = Vec::new();
    let lowest = searches.iter().find(|search| search.found.holds_requests_per_s.is_none());
    if let Some(search) = lowest {
        let rate = search.found.tried.last().map_or(0.0, |tried| tried.0);
        let why = match search.worst.as_ref() {
            Some(probe) if !probe.broken.is_empty() => probe.broken.join(", "),
            _ => "the queue keeps growing".to_owned(),
        };
        notes.push(format!("not held at any rate down to {rate:.3} requests/s: {why}"));
        return notes;
    }
    if let Some(search) = searches.iter().find(|s| s.found.fails_requests_per_s.is_none()) {
        let rate = search.found.tried.last().map_or(0.0, |tried| tried.0);
        notes.push(format!("held at every rate up to {rate:.0} requests/s: no limit found"));
        return notes;
    }
    let only_growth = |s: &SeedSearch| s.found.growing && s.found.broken.is_empty();
    if searches.iter().any(only_growth) {
        notes.push(
            "not stable above: the queue grows as long as requests keep coming, and the promise \
             still holds there only because the run ends; the number is where growth begins"
                .to_owned(),
        );
    }
    let Some(best) = searches.iter().find_map(|search| search.best.as_ref()) else { return notes };
    for term in study.goal.counted(&best.result.slo) {
        notes.extend(weak_term(term, &best.result));
    }
    let steady = best.steadiness;
    if steady.arrivals_s < STAYS * steady.mean_stay_s {
        notes.push(format!(
            "the run is too short for a steady state: at capacity arrivals last {:.1} s and a \
             request stays {:.1} s; take {:.0} times the requests",
            steady.arrivals_s,
            steady.mean_stay_s,
            (STAYS * steady.mean_stay_s / steady.arrivals_s.max(1e-9)).ceil().max(2.0)
        ));
    }
    notes
}

/// Says when a share or a quantile rests on few samples.
fn weak_term(term: &SloTerm, run: &RunResult) -> Option<String> {
    let summary = &run.summary;
    let (beyond, samples, what) = match (term.metric.as_str(), term.stat.as_deref()) {
        ("fluid_request_share", _) => {
            (1.0 - term.bound, summary.requests.offered, "the share of fluid requests".to_owned())
        }
        (metric, Some(stat)) => {
            let beyond = match stat {
                "p90" => 0.1,
                "p95" => 0.05,
                "p99" => 0.01,
                "p999" => 0.001,
                _ => return None,
            };
            let samples = match metric {
                "ttft_s" => summary.ttft_s.count,
                "tpot_s" => summary.tpot_s.count,
                "e2e_s" => summary.e2e_s.count,
                _ => summary.tbt_s.as_ref().map_or(0, |tbt| tbt.count),
            };
            (beyond, samples, format!("{metric}.{stat}"))
        }
        _ => return None,
    };
    let tail = beyond * samples as f64;
    (beyond > 0.0 && tail < TAIL_SAMPLES).then(|| {
        format!(
            "the run is too short for {what}: it rests on the worst {tail:.1} of {samples} \
             samples; take {:.0} times the requests",
            (TAIL_SAMPLES / tail.max(1e-3)).ceil()
        )
    })
}

/// What to say where the seeds leave the rate open.
pub(super) fn wide(rate: &Interval) -> Option<String> {
    let off = rate.half_width.filter(|off| *off > WIDE * rate.mean)?;
    let least = (rate.mean - off).max(0.0);
    Some(format!(
        "{} seeds leave the rate open, between {} and {}: give more of them (--seeds {}), or more \
         requests",
        rate.count,
        three_digits(least),
        three_digits(rate.mean + off),
        rate.count * 2 + 1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_interval_is_said_and_never_reaches_below_nothing() {
        let of = |half_width| Interval { mean: 2.0, half_width, count: 2 };
        assert_eq!(wide(&of(None)), None);
        assert_eq!(wide(&of(Some(0.5))), None);
        let said = wide(&of(Some(14.0))).expect("wide");
        assert!(said.contains("between 0 and 16.0") && said.contains("--seeds 5"), "{said}");
    }
}
