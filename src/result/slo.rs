//! Whether a run kept the scenario's promise, term by term.

use crate::metrics::{Bounds, Distribution, Latency, Summary};
use crate::result::units::{count, duration, percent};
use crate::result::{Sense, SloResult, SloTerm};
use crate::scenario::{Bound, BoundMetric, Slo, Stat};

/// Judges `summary` by `slo`: the share of fluid requests, then each bound.
pub fn judge(slo: &Slo, summary: &Summary) -> SloResult {
    let mut terms = vec![fluidity_term(slo, summary)];
    terms.extend(slo.bounds.iter().map(|bound| bound_term(bound, summary)));
    SloResult::of(terms, || no_verdict(summary))
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

/// What the share of requests that keep a promise for single requests is called.
pub const PROMISE: &str = "goodput.share";

/// The share of requests that are fluid, and where first tokens are promised as well, in time.
fn fluidity_term(slo: &Slo, summary: &Summary) -> SloTerm {
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
    SloTerm {
        class: None,
        pool: None,
        metric: if slo.first_tokens_promised { PROMISE } else { "fluid_request_share" }.to_owned(),
        stat: None,
        sense: Sense::AtLeast,
        bound: slo.fluid_share,
        value: known.value,
        lower: known.lower,
        upper: known.upper,
        met: met.filter(|met| !met || summary.requests.completed > 0),
    }
}

fn bound_term(bound: &Bound, summary: &Summary) -> SloTerm {
    let (metric, latency) = match bound.metric {
        BoundMetric::Ttft => ("ttft_s", Latency::Ttft),
        BoundMetric::Tbt => ("tbt_s", Latency::Tbt),
        BoundMetric::Tpot => ("tpot_s", Latency::Tpot),
        BoundMetric::E2e => ("e2e_s", Latency::E2e),
    };
    let (stat, figure) = statistic(bound.stat);
    let at_most = bound.at_most.as_secs_f64();
    let (least, most) = summary.within(latency, figure);
    let known = Known::within(least, most);
    // Without a sample there is no gap to bound, if anything was answered at all.
    let (samples, _) = summary.within(latency, |of| Some(of.count as f64));
    let met = if samples == Some(0.0) { Some(true) } else { known.keeps(Sense::AtMost, at_most) };
    SloTerm {
        class: None,
        pool: None,
        metric: metric.to_owned(),
        stat: Some(stat.to_owned()),
        sense: Sense::AtMost,
        bound: at_most,
        value: known.value,
        lower: known.lower,
        upper: known.upper,
        met: met.filter(|met| !met || summary.requests.completed > 0),
    }
}

fn statistic(stat: Stat) -> (&'static str, fn(&Distribution) -> Option<f64>) {
    match stat {
        Stat::Mean => ("mean", |of| of.mean),
        Stat::Min => ("min", |of| of.min),
        Stat::P50 => ("p50", |of| of.p50),
        Stat::P90 => ("p90", |of| of.p90),
        Stat::P95 => ("p95", |of| of.p95),
        Stat::P99 => ("p99", |of| of.p99),
        Stat::P999 => ("p999", |of| of.p999),
        Stat::Max => ("max", |of| of.max),
    }
}

/// A term with its value, in words.
pub fn term_in_words(term: &SloTerm) -> String {
    let show = |value: f64| match term.sense {
        Sense::AtLeast => percent(value),
        Sense::AtMost => duration(value),
    };
    let of_class = match (&term.class, &term.pool) {
        (Some(class), _) => format!("{class}: "),
        (None, Some(pool)) => format!("pool {pool}: "),
        (None, None) => String::new(),
    };
    let at_least = term.sense == Sense::AtLeast;
    // Of two bounds the one that decides is enough.
    let value = match (term.value, term.lower, term.upper) {
        (Some(value), _, _) => show(value),
        (None, Some(lower), _) if term.met.is_some_and(|met| met == at_least) => {
            format!("at least {}", show(lower))
        }
        (None, _, Some(upper)) if term.met.is_some() => format!("at most {}", show(upper)),
        (None, Some(lower), Some(upper)) if !at_least && lower == 0.0 => {
            format!("at most {}", show(upper))
        }
        (None, Some(lower), Some(upper)) => format!("{} to {}", show(lower), show(upper)),
        (None, Some(lower), None) => format!("at least {}", show(lower)),
        _ => "unknown (no sample)".to_owned(),
    };
    let bound = show(term.bound);
    match term.sense {
        Sense::AtLeast if term.metric == PROMISE => format!(
            "{of_class}{value} of requests get their first token in time and fluid text ({bound} \
             asked)"
        ),
        Sense::AtLeast if term.value.is_none() && term.upper.is_some() => {
            format!("{of_class}{value} fluid, {bound} asked")
        }
        Sense::AtLeast => format!("{of_class}{value} of requests are fluid ({bound} asked)"),
        Sense::AtMost => {
            let metric = term.metric.trim_end_matches("_s").to_uppercase();
            let stat = term.stat.as_deref().unwrap_or("").to_uppercase();
            let stat = if stat == "P999" { "P99.9" } else { &stat };
            format!("{of_class}{stat} {metric} is {value} ({bound} allowed)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::fixture;
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
        assert!(kept.met == Some(true), "{kept:?}");
        assert_eq!(kept.terms.len(), 2);
        slo.bounds.push(bound(BoundMetric::Ttft, Stat::P99, 499));
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
        slo.bounds = vec![bound(BoundMetric::Tpot, Stat::P99, 50)];
        assert_eq!(judge(&slo, &summary).terms[1].met, Some(true));
        summary.requests.completed = 0;
        let nothing = judge(&slo, &summary);
        assert_eq!((nothing.terms[1].met, nothing.met), (None, None));
        assert!(nothing.why.expect("a reason").contains("none of 1,000 requests"));
    }
}
