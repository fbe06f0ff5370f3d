//! Whether requests are worth drawing: a run that is refused for their number is refused before.

use super::OUTPUT_TOKENS_MAX;
use super::memory::{available, gib};
use crate::request::Request;
use crate::scenario::Experiment;
use crate::trace::RequestRow;
use crate::workload::{Arrivals, Dist, Lengths, Shape, Source, WorkloadError};

/// Refuses requests that memory cannot hold, or whose answers are known to be too long together.
pub(super) fn check(experiment: &Experiment) -> Result<(), WorkloadError> {
    let count = fewest(experiment);
    let bytes = count * (size_of::<Request>() + size_of::<RequestRow>()) as u64;
    if let Some(there) = available().filter(|&there| bytes > there) {
        let message = format!(
            "out of memory: {count} requests take {} at least, and {} are left",
            gib(bytes),
            gib(there)
        );
        return Err(WorkloadError::spec("requests", message)
            .with_help("lower `requests`, the rate or `duration`"));
    }
    let outputs = count.saturating_mul(answer(experiment).into());
    if experiment.horizon.is_none() && outputs > OUTPUT_TOKENS_MAX {
        let message = format!(
            "the requests have {outputs} output tokens together, and a run may have \
             {OUTPUT_TOKENS_MAX}"
        );
        return Err(WorkloadError::spec("requests", message)
            .with_help("ask for fewer or shorter answers, or set a `horizon`"));
    }
    Ok(())
}

/// So many requests arrive at least: none where that is known only once they are drawn.
fn fewest(experiment: &Experiment) -> u64 {
    let amount = experiment.workload.amount;
    let Source::Synthetic { arrivals, .. } = &experiment.workload.source else { return 0 };
    let within = amount.duration.map(|span| span.as_secs_f64());
    let by_time = match (arrivals, within) {
        (Arrivals::ClosedLoop { .. } | Arrivals::Piecewise(_), _) => return 0,
        (Arrivals::AllAtOnce, _) | (_, None) => u64::MAX,
        // Chance may bring fewer than the rate, not half of many.
        (
            Arrivals::Poisson { rate }
            | Arrivals::Constant { rate }
            | Arrivals::Gamma { rate, .. }
            | Arrivals::Weibull { rate, .. },
            Some(within),
        ) => (rate * within / 2.0) as u64,
    };
    let fewest = amount.requests.map_or(by_time, |asked| by_time.min(asked.into()));
    // Without an end they are refused in other words, as are more than there may be.
    if fewest > crate::workload::MAX_REQUESTS.into() { 0 } else { fewest }
}

/// Tokens of each answer, where all are alike.
fn answer(experiment: &Experiment) -> u32 {
    let workload = &experiment.workload;
    let Source::Synthetic { lengths: Lengths::Independent { prompt, output }, .. } =
        &workload.source
    else {
        return 0;
    };
    let fixed = |dist: &Dist| match dist.shape {
        Shape::Fixed(tokens) if dist.min.is_none() && dist.max.is_none() => Some(tokens),
        _ => None,
    };
    let own = workload.classes.iter().any(|class| class.lengths.is_some());
    match (fixed(prompt), fixed(output)) {
        (Some(prompt), Some(output)) if !own => {
            // Answers are cut to the context.
            output.min(experiment.engine.max_model_len.saturating_sub(prompt))
        }
        _ => 0,
    }
}
