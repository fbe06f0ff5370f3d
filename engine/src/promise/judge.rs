//! Whether a run kept a promise, term by term.

use super::verdict::{FLUID_SHARE, KEPT_SHARE, Sense, Term, Verdict};
use super::{Bound, Promises, Slo};
use crate::metrics::{Bounds, Summary};
use crate::shown::count;

/// Judges `summary` by `slo`: the share of fluid requests, then each bound.
pub fn judge(slo: &Slo, summary: &Summary) -> Verdict {
    let mut terms = vec![fluidity_term(slo, summary)];
    terms.extend(slo.bounds.iter().map(|bound| bound_term(bound, summary)));
    Verdict::of(terms, || no_verdict(summary))
}

impl Promises {
    /// The terms of the promise to all, judged by `summary`, and after them those of classes that have
    /// their own, with what `of_class` tells of each.
    pub fn terms<'v>(
        &self,
        summary: &Summary,
        of_class: impl Fn(&str) -> Option<&'v Verdict>,
    ) -> Vec<Term> {
        let mut terms = judge(&self.common, summary).terms;
        for (name, _) in &self.of_classes {
            terms.extend(of_class(name).into_iter().flat_map(|one| one.terms_of_class(name)));
        }
        terms
    }
}

/// Why a promise that was not broken cannot be said to be kept.
pub fn no_verdict(summary: &Summary) -> String {
    let counts = summary.requests;
    if counts.offered == 0 {
        return "no request was offered".to_owned();
    }
    if counts.completed == 0 {
        return format!("none of {} requests was answered to the end", count(counts.offered));
    }
    if counts.unfinished > 0 {
        return format!(
            "{} of {} requests were cut off by the end of observation, and what becomes of them \
             decides",
            count(counts.unfinished),
            count(counts.offered)
        );
    }
    "the figures are known within bounds only".to_owned()
}

/// What is known of a value: itself, or bounds of it.
#[derive(Clone, Copy, Default)]
struct Known {
    value: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
}

impl Known {
    fn value_or(value: Option<f64>, bounds: Option<Bounds>) -> Known {
        match (value, bounds) {
            (None, Some(Bounds { lower, upper })) => {
                Known { value, lower: Some(lower), upper: Some(upper) }
            }
            _ => Known { value, lower: None, upper: None },
        }
    }

    /// Between these two; the value where they are one.
    fn within(lower: Option<f64>, upper: Option<f64>) -> Known {
        match (lower, upper) {
            (Some(low), Some(high)) if low == high => Known { value: lower, ..Known::default() },
            _ => Known { value: None, lower, upper },
        }
    }

    /// Whether the value keeps the bound, where all that it can be agree.
    fn keeps(self, sense: Sense, bound: f64) -> Option<bool> {
        let good = |value: f64| match sense {
            Sense::AtLeast => value >= bound,
            Sense::AtMost => value <= bound,
        };
        match (self.value, self.lower, self.upper) {
            (Some(value), _, _) => Some(good(value)),
            (None, Some(lower), Some(upper)) if good(lower) == good(upper) => Some(good(lower)),
            (None, Some(lower), None) if sense == Sense::AtMost && !good(lower) => Some(false),
            _ => None,
        }
    }
}

/// The share of requests that are fluid, and where first tokens are promised as well, in time.
fn fluidity_term(slo: &Slo, summary: &Summary) -> Term {
    let fluidity = summary.fluidity.as_ref();
    let known = if slo.first_tokens_promised {
        let goodput = summary.goodput.as_ref();
        let bounds = goodput.and_then(|good| good.bounds?.share);
        Known::value_or(goodput.and_then(|good| good.share), bounds)
    } else {
        let bounds = fluidity.and_then(|f| f.bounds?.fluid_request_share);
        Known::value_or(fluidity.and_then(|f| f.fluid_request_share), bounds)
    };
    let met = known.keeps(Sense::AtLeast, slo.fluid_share);
    Term {
        class: None,
        pool: None,
        metric: if slo.first_tokens_promised { KEPT_SHARE } else { FLUID_SHARE }.to_owned(),
        stat: None,
        sense: Sense::AtLeast,
        bound: slo.fluid_share,
        value: known.value,
        lower: known.lower,
        upper: known.upper,
        met: met.filter(|met| !met || summary.requests.completed > 0),
    }
}

fn bound_term(bound: &Bound, summary: &Summary) -> Term {
    let at_most = bound.at_most.as_secs_f64();
    let (least, most) = summary.within(bound.latency, |of| bound.stat.of(of));
    let known = Known::within(least, most);
    // Without a sample there is no gap to bound, if anything was answered at all.
    let (samples, _) = summary.within(bound.latency, |of| Some(of.count as f64));
    let met = if samples == Some(0.0) { Some(true) } else { known.keeps(Sense::AtMost, at_most) };
    Term {
        class: None,
        pool: None,
        metric: format!("{}_s", bound.latency.name()),
        stat: Some(bound.stat.name().to_owned()),
        sense: Sense::AtMost,
        bound: at_most,
        value: known.value,
        lower: known.lower,
        upper: known.upper,
        met: met.filter(|met| !met || summary.requests.completed > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Distribution, Latency, Statistic};
    use crate::result::fixture;
    use crate::time::Span;

    fn bound(latency: Latency, stat: Statistic, ms: u64) -> Bound {
        Bound { latency, stat, at_most: Span::from_millis(ms) }
    }

    #[test]
    fn bounds_are_inclusive_and_one_broken_term_breaks_the_promise() {
        let mut summary = fixture::summary();
        summary.ttft_s.p99 = Some(0.5);
        let mut slo = fixture::slo();
        slo.bounds = vec![bound(Latency::Ttft, Statistic::P99, 500)];
        let kept = judge(&slo, &summary);
        assert!(kept.met == Some(true), "{kept:?}");
        assert_eq!(kept.terms.len(), 2);
        slo.bounds.push(bound(Latency::Ttft, Statistic::P99, 499));
        let broken = judge(&slo, &summary);
        assert_eq!(broken.met, Some(false));
        assert_eq!(
            broken.terms.iter().map(|t| t.met).collect::<Vec<_>>(),
            [true, true, false].map(Some)
        );
    }

    #[test]
    fn the_share_must_reach_the_asked_one() {
        let mut summary = fixture::summary();
        let slo = fixture::slo();
        let mut met_at = |share| {
            summary.fluidity.as_mut().expect("there").fluid_request_share = share;
            judge(&slo, &summary).met
        };
        assert_eq!(met_at(Some(0.99)), Some(true));
        assert_eq!(met_at(Some(0.9899)), Some(false));
        assert_eq!(met_at(None), None);
    }

    #[test]
    fn without_samples_a_bound_holds_only_if_something_completed() {
        let mut summary = fixture::summary();
        summary.tpot_s = Distribution::default();
        let mut slo = fixture::slo();
        slo.bounds = vec![bound(Latency::Tpot, Statistic::P99, 50)];
        assert_eq!(judge(&slo, &summary).terms[1].met, Some(true));
        summary.requests.completed = 0;
        let nothing = judge(&slo, &summary);
        assert_eq!((nothing.terms[1].met, nothing.met), (None, None));
        assert!(nothing.why.expect("a reason").contains("none of 1,000 requests"));
    }
}
