//! Observation that ends early, beside the same run to its end: whatever becomes of the requests that
//! were cut off lies within the bounds, and no verdict is ever taken back.

use metron_sim::metrics::{
    Bounds, Distribution, FirstToken, LatencyRange, Options, RequestBounds, Statistic, Summary,
    evaluate, reference,
};
use metron_sim::promise::{BOUNDED, Bound, Slo, TtftDeadline, judge};
use metron_sim::sim::Outcome;
use metron_sim::time::Span;
use metron_sim::trace::Status;
use proptest::prelude::*;
use proptest::sample::select;

use super::reference::{run, system};

const STATS: [Statistic; 6] = [
    Statistic::Mean,
    Statistic::Min,
    Statistic::P50,
    Statistic::P90,
    Statistic::P99,
    Statistic::Max,
];

fn bound() -> impl Strategy<Value = Bound> {
    (select(BOUNDED.to_vec()), select(STATS.to_vec()), 1..400u64)
        .prop_map(|(latency, stat, ms)| Bound { latency, stat, at_most: Span::from_millis(ms) })
}

fn slo() -> impl Strategy<Value = Slo> {
    let ttft = select(vec![5u64, 50, 200, 2000]);
    let tbt = select(vec![2u64, 5, 10, 40]);
    let shares = (select(vec![0.5, 0.9, 1.0]), select(vec![0.1, 0.5, 0.9, 0.99]));
    (ttft, tbt, shares, any::<bool>(), prop::collection::vec(bound(), 0..3)).prop_map(
        |(ttft, tbt, (fluid_index, fluid_share), first_tokens_promised, bounds)| Slo {
            ttft: TtftDeadline::Fixed(Span::from_millis(ttft)),
            tbt: Span::from_millis(tbt),
            fluid_index,
            fluid_share,
            first_tokens_promised,
            bounds,
        },
    )
}

fn options(slo: &Slo, judge_first_token: bool, limits: RequestBounds) -> Options {
    let TtftDeadline::Fixed(ttft) = slo.ttft else { unreachable!("a fixed one") };
    let deadlines = slo.deadlines(FirstToken::Fixed(ttft));
    let mut options = Options::new(deadlines.expect("sound"));
    options.judge_first_token = judge_first_token;
    options.full = true;
    options.bounds = Some(limits);
    options
}

/// The same figure of both: what was seen, in bounds where it was not known, and the truth.
fn within(
    name: &str,
    seen: Option<f64>,
    bounds: Option<Bounds>,
    truth: Option<f64>,
) -> Result<(), TestCaseError> {
    // Sums of ratios in another order of magnitude.
    const SLACK: f64 = 1e-12;
    let Some(truth) = truth else { return Ok(()) };
    if let Some(seen) = seen {
        prop_assert!((seen - truth).abs() <= SLACK, "{name}: seen {seen}, was {truth}");
    }
    if let Some(Bounds { lower, upper }) = bounds {
        let fits = lower - SLACK <= truth && truth <= upper + SLACK;
        prop_assert!(fits, "{name}: {truth} is not within {lower} to {upper}");
    }
    prop_assert!(seen.is_some() || bounds.is_some(), "{name}: nothing is said of {truth}");
    Ok(())
}

fn distribution_within(
    name: &str,
    range: LatencyRange,
    truth: &Distribution,
) -> Result<(), TestCaseError> {
    let figures =
        |of: &Distribution| [of.mean, of.min, of.p50, of.p90, of.p95, of.p99, of.p999, of.max];
    let (lower, upper) = (figures(&range.lower), figures(&range.upper));
    for ((lower, upper), truth) in lower.into_iter().zip(upper).zip(figures(truth)) {
        let Some(truth) = truth else { continue };
        let slack = 1e-9 * truth;
        prop_assert!(lower.is_none_or(|low| low <= truth + slack), "{name}: {lower:?} {truth}");
        prop_assert!(upper.is_none_or(|high| truth <= high + slack), "{name}: {truth} {upper:?}");
    }
    Ok(())
}

fn shares_within(seen: &Summary, truth: &Summary) -> Result<(), TestCaseError> {
    let (f, t) = (seen.fluidity.as_ref().unwrap(), truth.fluidity.as_ref().unwrap());
    let bounds = f.bounds.unwrap_or_default();
    within("fluid", f.fluid_request_share, bounds.fluid_request_share, t.fluid_request_share)?;
    within("missed", f.service_miss_rate, bounds.service_miss_rate, t.service_miss_rate)?;
    within("index", f.index.mean, bounds.index_mean, t.index.mean)?;
    within("index p1", f.index.p1, bounds.index_p1, t.index.p1)?;
    within("index p5", f.index.p5, bounds.index_p5, t.index.p5)?;
    within("index p50", f.index.p50, bounds.index_p50, t.index.p50)?;
    let in_time = (seen.ttft_in_time_share, seen.ttft_in_time_bounds);
    within("in time", in_time.0, in_time.1, truth.ttft_in_time_share)?;
    let (g, t) = (seen.goodput.unwrap(), truth.goodput.unwrap());
    within("goodput", g.share, g.bounds.and_then(|bounds| bounds.share), t.share)
}

/// The run to its end, of the requests that had come when observation ended.
fn to_its_end(whole: &Outcome, cut: &Outcome) -> metron_sim::trace::TokenTrace {
    let mut trace = whole.trace.clone();
    trace.requests.truncate(cut.trace.requests.len());
    trace
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn what_becomes_of_the_rest_is_within_the_bounds(
        system in system(),
        at in 0.0..1.0f64,
        slo in slo(),
        judge_first_token in prop::bool::weighted(0.8),
        limits in (1..300u64, 1..2000u64, 1..60u64, any::<[bool; 5]>()),
    ) {
        let whole = run(&system.until(None), false);
        let end = Span::from_nanos((whole.trace.end.as_nanos() as f64 * at) as u64);
        let cut = run(&system.until(Some(end)), false);
        let (ttft, e2e, tpot, [with_ttft, with_e2e, with_tpot, fluid, in_time]) = limits;
        let span = |ms, given: bool| given.then(|| Span::from_millis(ms));
        let limits = RequestBounds {
            ttft: span(ttft, with_ttft),
            e2e: span(e2e, with_e2e),
            tpot: span(tpot, with_tpot),
            fluid,
            first_in_time: (in_time && judge_first_token) || slo.first_tokens_promised,
        };
        let judge_first_token = judge_first_token || slo.first_tokens_promised;
        let options = options(&slo, judge_first_token, limits);
        let after = to_its_end(&whole, &cut);
        let (seen, truth) = (evaluate(&cut.trace, &options), evaluate(&after, &options));
        prop_assert_eq!(&seen, &reference::evaluate(&cut.trace, &options));

        let counts = seen.requests;
        prop_assert_eq!(counts.offered, truth.requests.offered);
        prop_assert_eq!(counts.completed + counts.unfinished + counts.rejected, counts.offered);
        prop_assert!(counts.censored <= counts.unfinished);
        shares_within(&seen, &truth)?;

        // Latencies take it that all are answered in the end.
        let dropped = cut.trace.requests.iter().zip(&after.requests).any(|(then, now)| {
            then.status == Status::Unfinished && now.status == Status::Rejected
        });
        if let Some(bounds) = seen.latency_bounds.as_ref().filter(|_| !dropped) {
            distribution_within("ttft", bounds.ttft_s, &truth.ttft_s)?;
            let tbt = bounds.tbt_s.expect("lengths are known");
            distribution_within("tbt", tbt, truth.tbt_s.as_ref().unwrap())?;
            distribution_within("tpot", bounds.tpot_s, &truth.tpot_s)?;
            distribution_within("e2e", bounds.e2e_s, &truth.e2e_s)?;
        }

        let (verdict, in_the_end) = (judge(&slo, &seen), judge(&slo, &truth));
        for (then, now) in verdict.terms.iter().zip(&in_the_end.terms) {
            if then.met.is_some() && (then.stat.is_none() || !dropped) {
                prop_assert_eq!(then.met, now.met, "{:?} {:?}", then, now);
            }
        }
        if counts.completed == 0 {
            prop_assert_ne!(verdict.met, Some(true), "nothing was delivered");
        }
        if counts.unfinished == 0 {
            prop_assert_eq!(verdict.met, in_the_end.met);
        }
    }
}
