//! What a run's token and request files state of it.

use serde_json::Value;

use crate::metrics::Options;
use crate::result::stated::{StatedRun, StatedSlo};
use crate::scenario::Experiment;
use crate::trace::TokenTrace;

/// What a run of this experiment states; `resolved` is the scenario as published, `runs` how
/// many runs the file holds.
pub fn stated(
    experiment: &Experiment,
    resolved: &Value,
    classes: &[String],
    judged_by: &Options,
    runs: usize,
    trace: &TokenTrace,
) -> StatedRun {
    let ttft = ["/promise/ttft", "/slo/ttft"].iter().find_map(|path| resolved.pointer(path));
    StatedRun {
        runs: runs as u64,
        requests: trace.requests.len() as u64,
        nominal_rate_per_s: judged_by.nominal_rate_per_s.map(|rate| rate.to_string()),
        full_metrics: judged_by.full,
        skip_first_ns: experiment.measure.skip_first.as_nanos(),
        skip_last_ns: experiment.measure.skip_last.as_nanos(),
        end_ns: Some(trace.end.as_nanos()),
        classes: classes.to_vec(),
        slo: StatedSlo::of(&experiment.promises.common, ttft.cloned().unwrap_or(Value::Null)),
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
    }
}
