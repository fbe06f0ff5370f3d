//! The promise to users: what is promised, and how a scenario with every default filled in puts it.

use super::check::Check;
use crate::excerpt::quoted;
use crate::metrics::{Latency, Statistic};
use crate::promise::{Bound, DEFAULT_FLUIDITY, DEFAULT_SLACK, Promises, Slo, TtftDeadline};
use crate::scenario::raw;
use crate::shown::percent;
use crate::suggest::advice;
use crate::time::Span;
use crate::units::Duration;
use crate::yaml::Path;

/// What users are promised.
pub(super) struct Promised {
    /// To all, and to classes that have their own.
    pub promises: Promises,
    /// The same as keys of the scenario, defaults filled in.
    pub slo: Option<raw::Slo>,
    /// In place of `slo`.
    pub promise: Option<raw::Promise>,
    /// By class, in the order of `workload.classes`: a class's one-line promise.
    pub class_promises: Vec<Option<raw::Promise>>,
}

/// The promises of a scenario. `schedulers` are the names and labels that a curve may be asked of.
pub(super) fn promised(
    check: &mut Check<'_>,
    given: &raw::Scenario,
    schedulers: &[String],
) -> Promised {
    let path = Path::root();
    let (common, slo, in_one_line) = match given.promise {
        Some(in_one_line) => {
            let beside = given.slo.is_some().then(|| path.key("slo"));
            let path = path.key("promise");
            let (common, filled) = promise(check, &path, in_one_line, beside.as_ref());
            (common, given.slo.clone(), Some(filled))
        }
        None => {
            let given = given.slo.clone().unwrap_or_default();
            let common = in_full(check, &path.key("slo"), &given, &Slo::default(), schedulers);
            let filled = filled(given, &common);
            (common, Some(filled), None)
        }
    };
    let classes = given.workload.as_ref().and_then(|workload| workload.classes.as_deref());
    let path = path.key("workload").key("classes");
    let (mut of_classes, mut class_promises) = (Vec::new(), Vec::new());
    for (i, class) in classes.unwrap_or_default().iter().enumerate() {
        let path = check.element(&path, i);
        let own = path.key("slo");
        let mut in_one_line = None;
        if let Some(given) = class.promise {
            let beside = class.slo.is_some().then_some(&own);
            let (slo, filled) = promise(check, &path.key("promise"), given, beside);
            in_one_line = Some(filled);
            of_classes.push((class.name.clone(), slo));
        } else if let Some(given) = &class.slo {
            of_classes.push((class.name.clone(), in_full(check, &own, given, &common, schedulers)));
        }
        class_promises.push(in_one_line);
    }
    for (name, slo) in of_classes.iter().filter(|(_, slo)| slo.fluid_share < common.fluid_share) {
        let [own, all] = [slo.fluid_share, common.fluid_share].map(percent);
        check.warnings.push(format!(
            "workload.classes: {own} of class {name} are to be fluid, and {all} of all requests, its own \
             among them: give the scenario a share that all together can reach"
        ));
    }
    let promises = Promises { common, of_classes };
    Promised { promises, slo, promise: in_one_line, class_promises }
}

/// An `slo` with what it leaves open as it was settled. A class's stays as it is: where it is silent,
/// the scenario's speaks.
fn filled(given: raw::Slo, settled: &Slo) -> raw::Slo {
    let curve = || {
        raw::Ttft::Curve(raw::PrefillCurve {
            prefill_curve_plus: Duration(DEFAULT_SLACK),
            of: None,
        })
    };
    let fluidity = given.fluidity.unwrap_or_default();
    raw::Slo {
        ttft: Some(given.ttft.unwrap_or_else(curve)),
        tbt: Some(given.tbt.unwrap_or(Duration(settled.tbt))),
        fluidity: Some(raw::Fluidity {
            index: Some(fluidity.index.unwrap_or(settled.fluid_index)),
            share: Some(fluidity.share.unwrap_or(settled.fluid_share)),
        }),
        bounds: given.bounds,
    }
}

/// A promise; where it is silent, `otherwise` speaks. `schedulers` are the names and labels that
/// a curve may be asked of.
fn in_full(
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

/// A promise in one line, and the same with its defaults filled in. `beside` is the path of an `slo` that stands beside it.
pub(super) fn promise(
    check: &mut Check<'_>,
    path: &Path,
    given: raw::Promise,
    beside: Option<&Path>,
) -> (Slo, raw::Promise) {
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
    let share = given.share.unwrap_or(DEFAULT_FLUIDITY.1);
    let index = given.index.unwrap_or(DEFAULT_FLUIDITY.0);
    let rate = check.positive(
        &path.key("tokens_per_s"),
        given.tokens_per_s,
        TOKENS_PER_S.0,
        TOKENS_PER_S.1,
    );
    let slo = Slo {
        ttft: TtftDeadline::Fixed(check.time_above_zero(&path.key("ttft"), given.ttft)),
        // To the nearest nanosecond, as a server's own clock would round it.
        tbt: Span::from_nanos(libm::round(1e9 / rate) as u64),
        fluid_index: check.share_above_zero(&path.key("index"), index),
        fluid_share: check.share_above_zero(&path.key("share"), share),
        bounds: Vec::new(),
        first_tokens_promised: true,
    };
    (slo, raw::Promise { share: Some(share), index: Some(index), ..given })
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
