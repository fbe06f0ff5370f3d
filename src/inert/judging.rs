//! Keys of the promise, of what is observed and of chance.

use super::Effect::{Always, Unless};
use super::{Entry, Facts, Written};
use crate::fleet::RouterKind;
use crate::runner::Requests;
use crate::scenario::{Experiment, ResolvedScenario};
use crate::workload::{Arrivals, Dist, Gap, GapShape, Lengths, Shape, Source};

const BOUND: Entry = ("", Always("a term of the SLO"));

/// Every key of these parts.
pub(super) const TABLE: &[Entry] = &[
    ("Scenario.seed", Unless(seed)),
    ("Scenario.slo", Always("its keys are judged one by one")),
    ("Scenario.promise", Always("its share is asked of all requests")),
    ("Promise.ttft", Always("part of the promise")),
    ("Promise.tokens_per_s", Always("part of the promise")),
    ("Promise.share", Always("part of the promise")),
    ("Promise.index", Always("part of the promise")),
    ("Scenario.horizon", Unless(horizon)),
    ("Workload.horizon", Unless(horizon)),
    ("Scenario.measure", Unless(measure)),
    ("Workload.measure", Unless(measure)),
    ("Measure.skip_first", Unless(measure)),
    ("Measure.skip_last", Unless(measure)),
    ("Slo.ttft", Unless(deadline)),
    ("Slo.tbt", Unless(deadline)),
    ("Slo.fluidity", Always("its keys are judged one by one")),
    ("Slo.bounds", BOUND.1),
    ("Fluidity.index", Unless(deadline)),
    ("Fluidity.share", BOUND.1),
    ("Bounds.ttft", BOUND.1),
    ("Bounds.tbt", BOUND.1),
    ("Bounds.tpot", BOUND.1),
    ("Bounds.e2e", BOUND.1),
    ("StatBounds.mean", BOUND.1),
    ("StatBounds.min", BOUND.1),
    ("StatBounds.p50", BOUND.1),
    ("StatBounds.p90", BOUND.1),
    ("StatBounds.p95", BOUND.1),
    ("StatBounds.p99", BOUND.1),
    ("StatBounds.p999", BOUND.1),
    ("StatBounds.max", BOUND.1),
    ("PrefillCurve.prefill_curve_plus", Always("judged with `ttft`")),
    ("PrefillCurve.of", Always("judged with `ttft`")),
];

/// Whether every seed gives the same run: nothing in it is drawn.
pub fn seed_is_inert(experiment: &Experiment, requests: &Requests) -> bool {
    // Chance is a matter of what is run: how the scenario puts it is not looked at.
    let scenario = ResolvedScenario::default();
    without_chance(&Facts::new(&[], &scenario, experiment, requests, None)).is_some()
}

fn seed(facts: &Facts<'_>, _: &Written) -> Option<String> {
    without_chance(facts)
}

fn without_chance(facts: &Facts<'_>) -> Option<String> {
    let workload = &facts.experiment.workload;
    let routed_by_chance = facts.chooses(|router| match router {
        RouterKind::Random | RouterKind::PowerOfTwo => true,
        RouterKind::VllmDp(balancer) => balancer.clients != Some(1),
        RouterKind::DynamoKv(_) | RouterKind::LlmD(_) | RouterKind::ProductionStack(_) => true,
        RouterKind::RayPrefix(set) => set.imbalanced_threshold.is_some(),
        _ => false,
    });
    let arrive_by_chance = match workload.source.arrivals() {
        None
        | Some(Arrivals::Constant { .. } | Arrivals::AllAtOnce | Arrivals::ClosedLoop { .. }) => {
            false
        }
        Some(_) => true,
    };
    let long_by_chance = facts.drawn_lengths().into_iter().any(|lengths| match lengths {
        Lengths::Independent { prompt, output } => varies(prompt) || varies(output),
        Lengths::Table(_) => true,
        Lengths::File(_) => false,
    });
    let sessions_by_chance = workload.source.sessions().is_some_and(|of| {
        let lengths = [&of.first_prompt, &of.turns, &of.new_tokens, &of.output];
        let one = |gap: &Gap| matches!(gap.shape, GapShape::Fixed(_));
        lengths.into_iter().any(varies)
            || of.gap.len() > 1
            || !of.gap.iter().all(one)
            || of.shared_prefix.is_some_and(|prefix| prefix.count > 1)
    });
    let with_requests = workload.classes.iter().filter(|class| class.share > 0.0).count();
    let named = facts.requests.known().is_some_and(|known| known.names_classes);
    let classed_by_chance = with_requests > 1 && !named;
    let grouped_by_chance = workload
        .prefix_groups
        .is_some_and(|groups| groups.share > 0.0 && (groups.share < 1.0 || groups.count > 1));
    let by_chance = routed_by_chance
        || arrive_by_chance
        || long_by_chance
        || classed_by_chance
        || grouped_by_chance
        || sessions_by_chance;
    let what = match workload.source {
        Source::Trace(_) => "everything comes from the trace",
        Source::Synthetic { .. } | Source::Sessions(_) => "nothing is left to chance",
    };
    (!by_chance).then(|| what.to_owned())
}

/// Whether a distribution gives more than one value.
fn varies(dist: &Dist) -> bool {
    let clamped_to_one = dist.min.is_some() && dist.min == dist.max;
    let one = match &dist.shape {
        Shape::Fixed(_) => true,
        Shape::Uniform { min, max } | Shape::Zipf { min, max, .. } => min == max,
        Shape::Lognormal { sigma, .. } => *sigma == 0.0,
        Shape::Geometric { mean } => *mean == 1.0,
        Shape::Quantiles(points) => points.iter().all(|point| point.1 == points[0].1),
    };
    !one && !clamped_to_one
}

fn horizon(facts: &Facts<'_>, _: &Written) -> Option<String> {
    facts.ended()?.drained.then(|| "every run had come to its end before".to_owned())
}

/// A window is a whole or one of its ends.
fn measure(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let window = facts.experiment.measure;
    let (first, last) = (window.skip_first.as_nanos() == 0, window.skip_last.as_nanos() == 0);
    let nothing = match key.knob.as_str() {
        "Measure.skip_first" => first,
        "Measure.skip_last" => last,
        _ => first && last,
    };
    nothing.then(|| "it leaves no request out".to_owned())
}

/// A deadline of the fluidity-index, or the index that is asked for, where no share of requests must
/// be fluid.
fn deadline(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let experiment = facts.experiment;
    if let Some(place) = key.index_in("workload.classes") {
        let name = &experiment.workload.classes.get(place)?.name;
        let own = experiment.promises.own(name);
        return own.filter(|slo| slo.fluid_share == 0.0).map(|_| NO_SHARE.to_owned());
    }
    let classes = &experiment.workload.classes;
    let part = key.path.strip_prefix("slo")?;
    let own = |place: usize| {
        let class = format!("workload.classes.{place}");
        facts.wrote(&format!("{class}.slo{part}")) || facts.wrote(&format!("{class}.promise"))
    };
    let all_own = (0..classes.len()).all(own);
    if all_own
        && !classes.is_empty()
        && matches!(experiment.workload.source, Source::Synthetic { .. })
    {
        return Some("every class has its own".to_owned());
    }
    let asked = experiment.promises.all().any(|slo| slo.fluid_share > 0.0);
    (!asked).then(|| NO_SHARE.to_owned())
}

const NO_SHARE: &str = "the SLO asks for no share of fluid requests (`fluidity.share` is 0)";
