//! What is known of a run's share of fluid requests, and who may be ranked by it.

use crate::result::RunResult;
use crate::scheduler::SchedulerConfig;
use crate::shown::percent;

/// Shares of fluid requests and fluidity-indices this close count as equal.
pub(super) const SAME_SHARE: f64 = 0.001;

/// The share of fluid requests as far as it is known: least and most.
pub(super) fn fluid_share(run: &RunResult) -> Option<(f64, f64)> {
    let fluidity = run.summary.fluidity.as_ref()?;
    let known = fluidity.fluid_request_share.map(|share| (share, share));
    let bounds = || fluidity.bounds?.fluid_request_share;
    known.or_else(|| bounds().map(|of| (of.lower, of.upper)))
}

/// The same for the system behind the run. Schedulers that are simulated face the same requests; a
/// measurement is a sample, and another would give another share (Wilson's interval, 95 %).
pub(crate) fn evidence(run: &RunResult) -> Option<(f64, f64)> {
    if is_sample(run) { as_a_sample(run) } else { fluid_share(run) }
}

/// The same where others were asked than in the run that it is compared with: whoever answered, it is a sample.
pub(crate) fn as_a_sample(run: &RunResult) -> Option<(f64, f64)> {
    let (lower, upper) = fluid_share(run)?;
    let n = run.summary.requests.judged() as f64;
    Some((wilson(lower, n, -1.0), wilson(upper, n, 1.0)))
}

/// Whether the run was measured: what a simulation wrote and `evaluate` read is not. It names its scheduler.
pub(super) fn is_sample(run: &RunResult) -> bool {
    let own = |format: &str| matches!(format, "tokens" | "requests");
    let name = run.scheduler.split('(').next().unwrap_or_default();
    let simulated = SchedulerConfig::names().contains(&name);
    run.measured.as_ref().is_some_and(|measured| !own(&measured.format) || !simulated)
}

/// One end of Wilson's interval of a share seen in `n` samples.
pub(super) fn wilson(share: f64, n: f64, side: f64) -> f64 {
    const Z: f64 = 1.96;
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle + side * half) / (1.0 + Z * Z / n)).clamp(0.0, 1.0)
}

/// The index of the worst-served percent; a measurement of few requests has no such percent.
pub(super) fn worst_percent(run: &RunResult) -> Option<f64> {
    let few = is_sample(run) && run.summary.requests.judged() < 100;
    run.summary.fluidity.as_ref()?.index.p1.filter(|_| !few)
}

/// Whether a gap is known for each token, and not for chunks of them.
pub(super) fn tells_tokens(run: &RunResult) -> bool {
    run.measured.as_ref().is_none_or(|measured| measured.granularity == "token")
}

pub(super) fn is_contradicted(run: &RunResult) -> bool {
    run.measured.as_ref().is_some_and(|measured| !measured.contradictions.is_empty())
}

/// Why a run is left out of the ranking among these, if it is.
pub(super) fn unranked(run: &RunResult, runs: &[RunResult]) -> Option<String> {
    if is_contradicted(run) {
        return Some("its file contradicts itself".to_owned());
    }
    if run.measured.is_some() && run.summary.requests.judged() == 0 {
        return Some("no request of it can be judged".to_owned());
    }
    let Some((lower, upper)) = fluid_share(run) else {
        return Some("its share of fluid requests is not known".to_owned());
    };
    // Bounds that leave the order open would leave it open for all.
    let overlaps = |other: &RunResult| {
        let of = fluid_share(other).filter(|_| !std::ptr::eq(other, run));
        of.is_some_and(|(least, most)| least <= upper && lower <= most)
    };
    (lower < upper && runs.iter().any(overlaps))
        .then(|| format!("its share of fluid requests is known as {} only", share_words(run)))
}

/// A share that is known within bounds.
pub(super) fn share_words(run: &RunResult) -> String {
    match fluid_share(run) {
        Some((lower, upper)) if lower == upper => percent(lower),
        Some((lower, upper)) => format!("{} to {}", percent(lower), percent(upper)),
        None => "not known".to_owned(),
    }
}

/// The smoothest run: by fluid share, then by its worst-served percent. `None` when these do not tell
/// one from all the others, or when what is known leaves that open.
pub(super) fn best<'a>(runs: &[&'a RunResult]) -> Option<&'a RunResult> {
    // Whoever beats all others is left when each is set against the one that is left so far.
    let left =
        |best: &'a RunResult, run: &&'a RunResult| if smoother(best, run) { best } else { *run };
    let best = runs.iter().skip(1).fold(*runs.first()?, left);
    let beats = |run: &&RunResult| std::ptr::eq(*run, best) || smoother(best, run);
    (runs.len() > 1 && runs.iter().all(beats)).then_some(best)
}

pub(super) fn smoother(a: &RunResult, b: &RunResult) -> bool {
    let (Some(of_a), Some(of_b)) = (evidence(a), evidence(b)) else { return false };
    let points = of_a.0 == of_a.1 && of_b.0 == of_b.1;
    if !points || (of_a.0 - of_b.0).abs() > SAME_SHARE {
        return of_a.0 > of_b.1 + SAME_SHARE;
    }
    let (Some(a), Some(b)) = (worst_percent(a), worst_percent(b)) else { return false };
    a > b + SAME_SHARE
}

#[cfg(test)]
mod tests {
    use super::wilson;

    #[test]
    fn one_stall_among_few_requests_is_chance_and_one_in_ten_is_not() {
        let could_be_chance = |[more, less]: [f64; 2], requests: f64| {
            wilson(more, requests, -1.0) <= wilson(less, requests, 1.0)
        };
        assert!(could_be_chance([1.0, 149.0 / 150.0], 150.0));
        assert!(could_be_chance([0.97, 0.95], 300.0));
        assert!(!could_be_chance([1.0, 0.9], 150.0));
        assert!(!could_be_chance([0.97, 0.95], 3000.0));
        assert!(could_be_chance([1.0, 1.0], 5.0));
    }
}
