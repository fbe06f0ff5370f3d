//! From a simulation's outcome to its part of the published result.

use std::collections::BTreeMap;

use crate::metrics::{self, Count, Deadlines, Options, RequestBounds, Summary};
use crate::report::energy::Usage;
use crate::report::{Fairness, IterationResult, KvResult, RunResult, slo};
use crate::runner::RunInput;
use crate::scenario::{BoundMetric, Slo, Stat};
use crate::sim::{Outcome, Rejection};

/// Output tokens of all requests.
pub fn output_tokens(outcome: &Outcome) -> u64 {
    outcome.trace.requests.iter().map(|row| u64::from(row.tokens)).sum()
}

/// Measures one scheduler's outcome.
pub fn summarise(
    input: RunInput<'_>,
    scheduler: &str,
    label: String,
    outcome: &Outcome,
    deadlines: &Deadlines,
    full: bool,
) -> RunResult {
    let experiment = input.experiment;
    let mut options = Options::new(deadlines.clone());
    options.count = Count { window: experiment.measure, class: None };
    options.full = full;
    options.bounds = Some(request_bounds(&experiment.slo));
    options.nominal_rate_per_s = input.requests.nominal_rate_per_s();
    let summary = metrics::evaluate(&outcome.trace, &options);
    let classes = classes(outcome, &options, input.requests.classes());
    let usage = Usage::of(outcome, experiment.replicas, &input.gpu);
    RunResult {
        scheduler: scheduler.to_owned(),
        label,
        slo: slo::judge(&experiment.slo, &summary),
        warnings: rejection_warning(outcome).into_iter().collect(),
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
        energy: input.gpu.power_w.map(|power| usage.energy(power)),
        cost: input.gpu.usd_per_gpu_hour.map(|price| usage.cost(price)),
    }
}

/// Bounds on high quantiles of TTFT, TPOT and E2E, each asked of single requests, plus fluidity:
/// what goodput counts. A bound on a mean or a median says nothing of one request.
fn request_bounds(slo: &Slo) -> RequestBounds {
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
    outcome: &Outcome,
    options: &Options,
    names: &[String],
) -> Option<BTreeMap<String, Summary>> {
    if names.len() < 2 {
        return None;
    }
    let mut summaries = BTreeMap::new();
    for (class, name) in (0u16..).zip(names) {
        let mut options = options.clone();
        options.count.class = Some(class);
        // The workload's rate is that of all classes together.
        options.nominal_rate_per_s = None;
        summaries.insert(name.clone(), metrics::evaluate(&outcome.trace, &options));
    }
    Some(summaries)
}

fn fairness(classes: &BTreeMap<String, Summary>) -> Fairness {
    let shares = classes.values().filter_map(|s| s.fluidity.as_ref()?.fluid_request_share);
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
