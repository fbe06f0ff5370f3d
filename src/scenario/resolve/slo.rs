//! The promise to users.

use super::check::Check;
use crate::excerpt::quoted;
use crate::metrics::{Latency, Statistic};
use crate::promise::{Bound, Slo, TtftDeadline};
use crate::scenario::raw;
use crate::suggest::advice;
use crate::time::Span;
use crate::yaml::Path;

/// A promise; where it is silent, `otherwise` speaks. `schedulers` are the names and labels that
/// a curve may be asked of.
pub(super) fn slo(
    check: &mut Check<'_>,
    path: &Path,
    given: &raw::Slo,
    otherwise: &Slo,
    schedulers: &[String],
) -> Slo {
    let mut slo = otherwise.clone();
    match &given.ttft {
        None => {}
        Some(raw::Ttft::Fixed(time)) => {
            slo.ttft = TtftDeadline::Fixed(check.time_above_zero(&path.key("ttft"), *time));
        }
        Some(raw::Ttft::Curve(curve)) => {
            let path = path.key("ttft");
            if let Some(of) = &curve.of
                && !schedulers.contains(of)
            {
                let help = advice(of, schedulers.iter().map(String::as_str));
                check.report(
                    &path.key("of"),
                    format!("`{}` is no scheduler of this scenario", quoted(of)),
                    &help,
                );
            }
            let slack = check.time(&path.key("prefill_curve_plus"), curve.prefill_curve_plus);
            slo.ttft = TtftDeadline::PrefillCurvePlus { slack, of: curve.of.clone() };
        }
    }
    if let Some(tbt) = given.tbt {
        slo.tbt = check.time_above_zero(&path.key("tbt"), tbt);
    }
    if let Some(fluidity) = given.fluidity {
        let path = path.key("fluidity");
        if let Some(index) = fluidity.index {
            slo.fluid_index = check.share_above_zero(&path.key("index"), index);
        }
        if let Some(share) = fluidity.share {
            slo.fluid_share = check.share(&path.key("share"), share);
        }
    }
    if let Some(bounds) = &given.bounds {
        slo.bounds = self::bounds(check, &path.key("bounds"), bounds);
    }
    slo
}

/// A promise in one line; fills in its defaults. `beside` is the path of an `slo` that stands beside it.
pub(super) fn promise(
    check: &mut Check<'_>,
    path: &Path,
    given: &mut raw::Promise,
    beside: Option<&Path>,
) -> Slo {
    if let Some(slo) = beside {
        let other = check.root().locate(slo).span();
        let problem = check
            .at(path, "expected either `promise` or `slo`, found both")
            .label("and this")
            .other(other, "this")
            .help(
                "a promise is an SLO in one line: keep one of the two (`slo.bounds` holds further \
                 terms, with `ttft`, `tbt` and `fluidity` in place of the promise)",
            );
        check.problems.push(problem);
    }
    let default = Slo::default();
    let share = *given.share.get_or_insert(default.fluid_share);
    let index = *given.index.get_or_insert(default.fluid_index);
    let rate = check.positive(
        &path.key("tokens_per_s"),
        given.tokens_per_s,
        TOKENS_PER_S.0,
        TOKENS_PER_S.1,
    );
    Slo {
        ttft: TtftDeadline::Fixed(check.time_above_zero(&path.key("ttft"), given.ttft)),
        // To the nearest nanosecond, as a server's own clock would round it.
        tbt: Span::from_nanos(libm::round(1e9 / rate) as u64),
        fluid_index: check.share_above_zero(&path.key("index"), index),
        fluid_share: check.share_above_zero(&path.key("share"), share),
        bounds: Vec::new(),
        first_tokens_promised: true,
    }
}

/// Slowest and fastest pace that can be promised.
const TOKENS_PER_S: (f64, f64) = (1e-3, 1e6);

fn bounds(check: &mut Check<'_>, path: &Path, given: &raw::Bounds) -> Vec<Bound> {
    let mut bounds = Vec::new();
    for (latency, stats) in [
        (Latency::Ttft, &given.ttft),
        (Latency::Tbt, &given.tbt),
        (Latency::Tpot, &given.tpot),
        (Latency::E2e, &given.e2e),
    ] {
        let Some(s) = stats else { continue };
        let path = path.key(latency.name());
        let before = bounds.len();
        for (stat, at_most) in [
            (Statistic::Mean, s.mean),
            (Statistic::Min, s.min),
            (Statistic::P50, s.p50),
            (Statistic::P90, s.p90),
            (Statistic::P95, s.p95),
            (Statistic::P99, s.p99),
            (Statistic::P999, s.p999),
            (Statistic::Max, s.max),
        ] {
            if let Some(at_most) = at_most {
                let at_most = check.time_above_zero(&path.key(stat.name()), at_most);
                bounds.push(Bound { latency, stat, at_most });
            }
        }
        if bounds.len() == before {
            check.nothing_in(
                &path,
                &["p99", "mean", "min", "p50", "p90", "p95", "p999", "max"],
                "expected a bound, found none",
                "such as `{p99: 500ms}`",
            );
        }
    }
    bounds
}
