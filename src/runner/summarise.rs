//! From a simulation's outcome to its part of the published result.

use std::collections::BTreeMap;

use crate::metrics::{Count, Options, RequestBounds, Summary};
use crate::report::energy::Usage;
use crate::report::{
    ClassResult, Fairness, IterationResult, KvResult, RunResult, SloResult, SloTerm, slo,
};
use crate::runner::RunInput;
use crate::runner::deadlines::Promises;
use crate::scenario::{BoundMetric, Experiment, Slo, Stat};
use crate::sim::{Outcome, Rejection};
use crate::trace::TokenTrace;

/// The metric engine, or the slow reference of it.
pub type Evaluate = fn(&TokenTrace, &Options) -> Summary;

/// Output tokens of all requests.
pub fn output_tokens(outcome: &Outcome) -> u64 {
    outcome.trace.requests.iter().map(|row| u64::from(row.tokens)).sum()
}

/// What a run of this input is judged by.
pub fn metric_options(input: RunInput<'_>, promises: &Promises, full: bool) -> Options {
    let experiment = input.experiment;
    let mut options = Options::new(promises.common.clone());
    options.per_class = promises.per_class.clone();
    options.count = Count { window: experiment.measure, class: None };
    options.full = full;
    options.bounds = Some(request_bounds(&experiment.slo));
    options.nominal_rate_per_s = input.requests.nominal_rate_per_s();
    options
}

/// Measures one scheduler's outcome.
pub fn summarise(
    input: RunInput<'_>,
    scheduler: &str,
    label: String,
    outcome: &Outcome,
    judged_by: &Options,
    evaluate: Evaluate,
) -> RunResult {
    let experiment = input.experiment;
    let summary = evaluate(&outcome.trace, judged_by);
    let classes = classes(input, outcome, judged_by, evaluate);
    let hardware = &experiment.hardware;
    let usage = Usage::of(outcome, experiment.replicas, hardware.gpus_per_replica);
    let fluid_share = summary.fluidity.as_ref().and_then(|one| one.fluid_request_share);
    RunResult {
        scheduler: scheduler.to_owned(),
        label,
        slo: promise_kept(experiment, &summary, classes.as_ref()),
        warnings: rejection_warning(outcome).into_iter().collect(),
        unknown: Vec::new(),
        measured: None,
        summary,
        stalls: None,
        iterations: Some(iterations(outcome)),
        kv: Some(KvResult {
            blocks: u64::from(outcome.kv.blocks),
            peak_used: u64::from(outcome.kv.peak_used),
            preemptions: outcome.kv.preemptions,
            prefix_hit_tokens: outcome.kv.prefix_hit_tokens,
        }),
        fairness: classes.as_ref().map(fairness),
        classes,
        energy: hardware.power.map(|power| usage.energy(power)),
        cost: hardware.price_usd_per_gpu_hour.map(|price| usage.cost(price, fluid_share)),
    }
}

/// The scenario's promise over all requests, and those of classes that have one of their own.
fn promise_kept(
    experiment: &Experiment,
    summary: &Summary,
    classes: Option<&BTreeMap<String, ClassResult>>,
) -> SloResult {
    let mut promise = slo::judge(&experiment.slo, summary);
    for (name, _) in &experiment.class_slos {
        let Some(class) = classes.and_then(|classes| classes.get(name)) else { continue };
        promise.met &= class.slo.met;
        promise.terms.extend(
            class
                .slo
                .terms
                .iter()
                .map(|term| SloTerm { class: Some(name.clone()), ..term.clone() }),
        );
    }
    promise
}

/// Bounds on high quantiles of TTFT, TPOT and E2E, each asked of single requests, plus fluidity:
/// what goodput counts. A bound on a mean or a median says nothing of one request.
pub fn request_bounds(slo: &Slo) -> RequestBounds {
    let mut bounds = RequestBounds { fluid: true, ..RequestBounds::default() };
    for bound in &slo.bounds {
        if !matches!(bound.stat, Stat::P90 | Stat::P95 | Stat::P99 | Stat::P999 | Stat::Max) {
            continue;
        }
        let one = match bound.metric {
            BoundMetric::Ttft => &mut bounds.ttft,
            BoundMetric::Tpot => &mut bounds.tpot,
            BoundMetric::E2e => &mut bounds.e2e,
            BoundMetric::Tbt => continue,
        };
        *one = Some(one.map_or(bound.at_most, |other| other.min(bound.at_most)));
    }
    bounds
}

fn iterations(outcome: &Outcome) -> IterationResult {
    let counts = outcome.iterations;
    let count = counts.total();
    IterationResult {
        count,
        prefill_only: counts.prefill_only,
        mixed: counts.mixed,
        decode_only: counts.decode_only,
        mean_batch: (count > 0).then(|| counts.sequences as f64 / count as f64),
    }
}

fn classes(
    input: RunInput<'_>,
    outcome: &Outcome,
    judged_by: &Options,
    evaluate: Evaluate,
) -> Option<BTreeMap<String, ClassResult>> {
    let experiment = input.experiment;
    let names = input.requests.classes();
    if names.len() < 2 && experiment.class_slos.is_empty() {
        return None;
    }
    let mut results = BTreeMap::new();
    for (class, name) in (0u16..).zip(names) {
        let mut options = judged_by.clone();
        options.count.class = Some(class);
        // The workload's rate is that of all classes together.
        options.nominal_rate_per_s = None;
        let summary = evaluate(&outcome.trace, &options);
        let own = experiment.class_slos.iter().find(|(of, _)| of == name);
        let slo = slo::judge(own.map_or(&experiment.slo, |(_, slo)| slo), &summary);
        results.insert(name.clone(), ClassResult { summary, slo });
    }
    Some(results)
}

/// How evenly the classes were served.
pub fn fairness(classes: &BTreeMap<String, ClassResult>) -> Fairness {
    let shares =
        classes.values().filter_map(|class| class.summary.fluidity.as_ref()?.fluid_request_share);
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for share in shares {
        n += 1.0;
        sum += share;
        squares += share * share;
    }
    Fairness { jain_index: (squares > 0.0).then(|| sum * sum / (n * squares)) }
}

/// More than 1 % of the requests rejected is worth a warning, with the reasons.
fn rejection_warning(outcome: &Outcome) -> Option<String> {
    let rejected = outcome.rejections.len();
    let offered = outcome.trace.requests.len();
    if rejected * 100 <= offered {
        return None;
    }
    let reasons = [
        (Rejection::PromptTooLong, "prompt too long for max_model_len"),
        (Rejection::PromptOverBudget, "prompt over the token budget, chunking off"),
        (Rejection::NeverFits, "more KV blocks needed than a replica has"),
        (Rejection::DroppedByPolicy, "dropped by the policy"),
    ];
    let counted: Vec<String> = reasons
        .iter()
        .filter_map(|(reason, words)| {
            let n = outcome.rejections.iter().filter(|(_, why)| why == reason).count();
            (n > 0).then(|| format!("{n} {words}"))
        })
        .collect();
    Some(format!("{rejected} of {offered} requests were rejected: {}", counted.join(", ")))
}
