//! Whether a run kept the scenario's promise, term by term.

use crate::metrics::{Distribution, Summary};
use crate::report::result::{Sense, SloResult, SloTerm};
use crate::scenario::{Bound, BoundMetric, Slo, Stat};

/// Judges `summary` by `slo`: the share of fluid requests, then each bound.
pub fn judge(slo: &Slo, summary: &Summary) -> SloResult {
    let mut terms = vec![fluidity_term(slo, summary)];
    terms.extend(slo.bounds.iter().map(|bound| bound_term(bound, summary)));
    SloResult { met: terms.iter().all(|term| term.met), terms }
}

fn fluidity_term(slo: &Slo, summary: &Summary) -> SloTerm {
    let value = summary.fluidity.as_ref().and_then(|f| f.fluid_request_share);
    SloTerm {
        class: None,
        metric: "fluid_request_share".to_owned(),
        stat: None,
        sense: Sense::AtLeast,
        bound: slo.fluid_share,
        value,
        met: value.is_some_and(|share| share >= slo.fluid_share),
    }
}

fn bound_term(bound: &Bound, summary: &Summary) -> SloTerm {
    let (metric, distribution) = match bound.metric {
        BoundMetric::Ttft => ("ttft_s", Some(&summary.ttft_s)),
        BoundMetric::Tbt => ("tbt_s", summary.tbt_s.as_ref()),
        BoundMetric::Tpot => ("tpot_s", Some(&summary.tpot_s)),
        BoundMetric::E2e => ("e2e_s", Some(&summary.e2e_s)),
    };
    let (stat, value) = statistic(bound.stat, distribution);
    let at_most = bound.at_most.as_secs_f64();
    SloTerm {
        class: None,
        metric: metric.to_owned(),
        stat: Some(stat.to_owned()),
        sense: Sense::AtMost,
        bound: at_most,
        value,
        met: value.map_or(summary.requests.completed > 0, |value| value <= at_most),
    }
}

fn statistic(stat: Stat, of: Option<&Distribution>) -> (&'static str, Option<f64>) {
    let pick = |get: fn(&Distribution) -> Option<f64>| of.and_then(get);
    match stat {
        Stat::Mean => ("mean", pick(|d| d.mean)),
        Stat::Min => ("min", pick(|d| d.min)),
        Stat::P50 => ("p50", pick(|d| d.p50)),
        Stat::P90 => ("p90", pick(|d| d.p90)),
        Stat::P95 => ("p95", pick(|d| d.p95)),
        Stat::P99 => ("p99", pick(|d| d.p99)),
        Stat::P999 => ("p999", pick(|d| d.p999)),
        Stat::Max => ("max", pick(|d| d.max)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::time::Span;

    fn bound(metric: BoundMetric, stat: Stat, ms: u64) -> Bound {
        Bound { metric, stat, at_most: Span::from_millis(ms) }
    }

    #[test]
    fn bounds_are_inclusive_and_one_broken_term_breaks_the_promise() {
        let mut summary = fixture::summary();
        summary.ttft_s.p99 = Some(0.5);
        let mut slo = fixture::slo();
        slo.bounds = vec![bound(BoundMetric::Ttft, Stat::P99, 500)];
        let kept = judge(&slo, &summary);
        assert!(kept.met, "{kept:?}");
        assert_eq!(kept.terms.len(), 2);
        slo.bounds.push(bound(BoundMetric::Ttft, Stat::P99, 499));
        let broken = judge(&slo, &summary);
        assert!(!broken.met);
        assert_eq!(broken.terms.iter().map(|t| t.met).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn the_share_must_reach_the_asked_one() {
        let mut summary = fixture::summary();
        let slo = fixture::slo();
        let mut met_at = |share| {
            summary.fluidity.as_mut().expect("there").fluid_request_share = share;
            judge(&slo, &summary).met
        };
        assert!(met_at(Some(0.99)));
        assert!(!met_at(Some(0.9899)));
        assert!(!met_at(None));
    }

    #[test]
    fn without_samples_a_bound_holds_only_if_something_completed() {
        let mut summary = fixture::summary();
        summary.tpot_s = Distribution::default();
        let mut slo = fixture::slo();
        slo.bounds = vec![bound(BoundMetric::Tpot, Stat::P99, 50)];
        assert!(judge(&slo, &summary).terms[1].met);
        summary.requests.completed = 0;
        assert!(!judge(&slo, &summary).terms[1].met);
    }
}
