//! What a run's token and request files state of it.

use serde_json::Value;

use crate::metrics::Options;
use crate::result::stated::{StatedRun, StatedSlo};
use crate::scenario::raw::Scenario;
use crate::scenario::{Experiment, ResolvedScenario};
use crate::trace::TokenTrace;

/// What a run of this experiment states; `resolved` is its scenario, `runs` how many runs the
/// file holds.
pub fn stated(
    experiment: &Experiment,
    resolved: &ResolvedScenario,
    classes: &[String],
    judged_by: &Options,
    runs: usize,
    trace: &TokenTrace,
) -> StatedRun {
    let Scenario { promise, slo, .. } = &resolved.filled;
    let ttft = match promise {
        Some(promise) => serde_json::to_value(promise.ttft),
        None => serde_json::to_value(slo.as_ref().and_then(|slo| slo.ttft.as_ref())),
    };
    StatedRun {
        runs: runs as u64,
        requests: trace.requests.len() as u64,
        nominal_rate_per_s: judged_by.nominal_rate_per_s.map(|rate| rate.to_string()),
        full_metrics: judged_by.full,
        skip_first_ns: experiment.measure.skip_first.as_nanos(),
        skip_last_ns: experiment.measure.skip_last.as_nanos(),
        end_ns: Some(trace.end.as_nanos()),
        classes: classes.to_vec(),
        slo: StatedSlo::of(&experiment.promises.common, ttft.expect("a deadline is plain data")),
        class_slos: experiment
            .promises
            .of_classes
            .iter()
            .map(|(class, slo)| (class.clone(), StatedSlo::of(slo, Value::Null)))
            .collect(),
        pools: experiment
            .pools
            .iter()
            .filter(|pool| pool.promise.is_some())
            .map(|pool| pool.name.clone())
            .collect(),
        live: None,
    }
}
