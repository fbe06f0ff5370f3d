//! Which features each run makes use of, so that no two are compared across one without a word.

use std::collections::BTreeMap;

use super::Requests;
use crate::result::FeatureUse;
use crate::result::features::{Features, comparable, reasons};
use crate::scenario::{Experiment, SchedulerRun};
use crate::scheduler::Feature;

/// How a scheduler of an experiment stands to each feature that can make a difference to these
/// requests.
pub fn features(experiment: &Experiment, requests: &Requests, run: &SchedulerRun) -> Features {
    let of = |feature: Feature| {
        let used = experiment.fleet().iter().any(|pool| pool.uses(run, feature));
        match (used, run.config.has(feature)) {
            (true, _) => FeatureUse::On,
            (false, true) => FeatureUse::Off,
            (false, false) => FeatureUse::None,
        }
    };
    let mut features = BTreeMap::from([(Feature::AsyncScheduling, of(Feature::AsyncScheduling))]);
    if requests.shares_prefixes(experiment) {
        features.insert(Feature::PrefixCaching, of(Feature::PrefixCaching));
    }
    if requests.priorities_differ(experiment) {
        features.insert(Feature::Priorities, of(Feature::Priorities));
    }
    features
}

/// Why the schedulers of an experiment cannot all be compared, a sentence for each feature that is on
/// and that some of them lack.
pub fn uneven(experiment: &Experiment, requests: &Requests) -> Vec<String> {
    let runs = &experiment.schedulers;
    let each: Vec<Features> = runs.iter().map(|run| features(experiment, requests, run)).collect();
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    reasons(&each.iter().collect::<Vec<_>>(), &names)
}

/// The schedulers of an experiment that can be compared with each other: their places, a group after the
/// other.
pub fn comparable_schedulers(experiment: &Experiment, requests: &Requests) -> Vec<Vec<usize>> {
    let runs = &experiment.schedulers;
    let each: Vec<Features> = runs.iter().map(|run| features(experiment, requests, run)).collect();
    comparable(&each.iter().collect::<Vec<_>>())
}
