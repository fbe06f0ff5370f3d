//! What some of the runs have and others lack: they are not ranked across it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RunResult;
use crate::promise::judged_by::{self, Agreement};
use crate::scheduler::Feature;

/// How a scheduler stands to a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureUse {
    /// It has it, and makes use of it.
    On,
    /// It has it, and it is turned off.
    Off,
    /// It has none, or none of it is modelled.
    None,
}

/// The features that make a difference to a run's requests, and how its scheduler stands to each.
pub type Features = BTreeMap<Feature, FeatureUse>;

/// A feature that some have on and others do without.
struct Uneven {
    feature: Feature,
    on: Vec<usize>,
    off: Vec<usize>,
    none: Vec<usize>,
}

/// The runs that can be compared with each other: places of each group, in order. One group where
/// all of them can.
pub fn comparable(all: &[&Features]) -> Vec<Vec<usize>> {
    let mut groups: Vec<(Vec<bool>, Vec<usize>)> = Vec::new();
    for (place, features) in all.iter().enumerate() {
        let has = LISTED.map(|feature| counts(features, feature)).to_vec();
        match groups.iter_mut().find(|(known, _)| *known == has) {
            Some((_, places)) => places.push(place),
            None => groups.push((has, vec![place])),
        }
    }
    groups.into_iter().map(|(_, places)| places).collect()
}

/// Why not all can be compared, a sentence for each feature; none where all can. `names` are those
/// of the runs.
pub fn reasons(all: &[&Features], names: &[&str]) -> Vec<String> {
    let listed = |places: &[usize]| {
        let (mut known, mut seen): (Vec<String>, _) = (Vec::new(), BTreeSet::new());
        for &place in places {
            if seen.insert(names[place]) {
                known.push(names[place].to_owned());
            }
        }
        (known.len() > 1, crate::shown::join(&known))
    };
    let sentence = |uneven: Uneven| {
        let (_, on) = listed(&uneven.on);
        let (what, switch) = words(uneven.feature);
        let mut without = Vec::new();
        if !uneven.none.is_empty() {
            let (several, none) = listed(&uneven.none);
            without.push(format!("{none} {} none here", if several { "have" } else { "has" }));
        }
        if !uneven.off.is_empty() {
            let (several, off) = listed(&uneven.off);
            without.push(format!("{off} {} it off", if several { "have" } else { "has" }));
        }
        let without = crate::shown::join(&without);
        format!(
            "{what} is on for {on}, and {without}: they are not ranked against each other \
             ({switch})"
        )
    };
    LISTED.into_iter().filter_map(|feature| uneven(all, feature)).map(sentence).collect()
}

/// Features across which runs are not ranked.
const LISTED: [Feature; 3] =
    [Feature::PrefixCaching, Feature::AsyncScheduling, Feature::Priorities];

/// Whether a run is compared with those that have a feature on.
fn counts(features: &Features, feature: Feature) -> bool {
    match features.get(&feature) {
        Some(FeatureUse::On) => true,
        // Who has priorities turns them on or off by a parameter, which is what is compared then.
        Some(FeatureUse::Off) => feature == Feature::Priorities,
        _ => false,
    }
}

fn uneven(all: &[&Features], feature: Feature) -> Option<Uneven> {
    let mut uneven = Uneven { feature, on: Vec::new(), off: Vec::new(), none: Vec::new() };
    for (place, features) in all.iter().enumerate() {
        match features.get(&feature)? {
            _ if counts(features, feature) => uneven.on.push(place),
            FeatureUse::None => uneven.none.push(place),
            _ => uneven.off.push(place),
        }
    }
    let some_without = !uneven.none.is_empty() || !uneven.off.is_empty();
    (some_without && !uneven.on.is_empty()).then_some(uneven)
}

/// Features that some of the runs have on and others do without.
pub fn uneven_features(runs: &[RunResult]) -> Vec<Feature> {
    let all: Vec<&Features> = runs.iter().map(|run| &run.features).collect();
    LISTED.into_iter().filter(|feature| uneven(&all, *feature).is_some()).collect()
}

/// Whether a key is the switch of a feature that is among the `uneven` ones and this run does without:
/// why they are not ranked says so already.
pub fn switches_off(uneven: &[Feature], run: &RunResult, key: &str) -> bool {
    let name = key.rsplit('.').next();
    let switch = |feature| match feature {
        Feature::PrefixCaching => Some("prefix_caching"),
        Feature::AsyncScheduling => Some("async_scheduling"),
        Feature::Priorities => Some("priority"),
        Feature::DeclaredLengths => None,
    };
    uneven.iter().any(|&feature| switch(feature) == name && !counts(&run.features, feature))
}

/// A feature in words, and how all do without it.
fn words(feature: Feature) -> (&'static str, &'static str) {
    match feature {
        Feature::PrefixCaching => {
            ("prefix caching", "all do without it under `engine.prefix_caching: false`")
        }
        Feature::AsyncScheduling => {
            ("asynchronous scheduling", "all do without it under `engine.async_scheduling: false`")
        }
        Feature::Priorities => ("ordering by priority", "leave the priorities of classes out"),
        Feature::DeclaredLengths => ("looking at `max_tokens`", "declare `max_tokens: exact`"),
    }
}

/// Why not all of these runs can be compared, a sentence for each feature and one for measured files
/// that are judged by several promises; none where all can.
pub fn why_not_comparable(runs: &[RunResult]) -> Vec<String> {
    let features: Vec<&Features> = runs.iter().map(|run| &run.features).collect();
    // Schedulers by name, with the features of the first run of each, and whether others differ.
    let mut of_scheduler: BTreeMap<&str, (&Features, bool)> = BTreeMap::new();
    for run in runs {
        let known = of_scheduler.entry(&run.scheduler).or_insert((&run.features, false));
        known.1 |= *known.0 != run.features;
    }
    let name = |run: &RunResult| match of_scheduler.get(run.scheduler.as_str()) {
        Some((_, true)) => run.label.clone(),
        _ => run.scheduler.clone(),
    };
    let names: Vec<String> = runs.iter().map(name).collect();
    let mut all = reasons(&features, &names.iter().map(String::as_str).collect::<Vec<_>>());
    if runs.iter().any(|run| !judged_alike(run, &runs[0])) {
        all.push(
            "the runs are judged by different deadlines: those judged by others are not ranked \
             against each other (`--ttft` and `--tbt` give all of them the same)"
                .to_owned(),
        );
    }
    all
}

/// Whether two runs are judged by the same deadlines, as far as that is known.
fn judged_alike(a: &RunResult, b: &RunResult) -> bool {
    match judged_by::compared(&a.judged_by, &b.judged_by) {
        Agreement::Same => return true,
        Agreement::Differ(_) => return false,
        Agreement::Open => {}
    }
    match (&a.measured, &b.measured) {
        (Some(a), Some(b)) => {
            let (a, b) = (&a.deadlines, &b.deadlines);
            a.ttft == b.ttft && a.stated_ttft == b.stated_ttft
        }
        _ => true,
    }
}

/// Places of the runs that can be compared with each other, a group after the other.
fn groups(runs: &[RunResult]) -> Vec<Vec<usize>> {
    let features: Vec<&Features> = runs.iter().map(|run| &run.features).collect();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for group in comparable(&features) {
        let first = groups.len();
        for place in group {
            let alike = |known: &&mut Vec<usize>| judged_alike(&runs[known[0]], &runs[place]);
            match groups[first..].iter_mut().find(alike) {
                Some(known) => known.push(place),
                None => groups.push(vec![place]),
            }
        }
    }
    groups
}

/// The runs that can be compared with each other, a group after the other.
pub fn comparable_runs(runs: &[RunResult]) -> Vec<Vec<RunResult>> {
    let group = |places: Vec<usize>| places.into_iter().map(|place| runs[place].clone()).collect();
    groups(runs).into_iter().map(group).collect()
}

/// Whether all of these runs can be compared with each other.
pub fn all_comparable(runs: &[RunResult]) -> bool {
    groups(runs).len() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(feature: Feature, used: FeatureUse) -> Features {
        BTreeMap::from([(feature, used)])
    }

    #[test]
    fn who_has_a_feature_on_is_compared_with_those_alone() {
        let [on, none, off] = [FeatureUse::On, FeatureUse::None, FeatureUse::Off]
            .map(|used| with(Feature::PrefixCaching, used));
        let all = [&on, &none, &on, &off];
        assert_eq!(comparable(&all), [vec![0, 2], vec![1, 3]]);
        let said = reasons(&all, &["vllm-v1", "tgi", "sglang", "mine"]);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with(
                "prefix caching is on for vllm-v1 and sglang, and tgi has none here and mine has it off"
            ),
            "{said:?}"
        );
        assert!(said[0].contains("`engine.prefix_caching: false`"), "{said:?}");
    }

    #[test]
    fn without_a_feature_that_is_on_all_are_compared() {
        let none = with(Feature::PrefixCaching, FeatureUse::None);
        let off = with(Feature::PrefixCaching, FeatureUse::Off);
        let nothing = Features::new();
        assert_eq!(comparable(&[&none, &off]).len(), 1);
        assert!(reasons(&[&none, &off], &["a", "b"]).is_empty());
        assert_eq!(comparable(&[&nothing, &nothing, &nothing]), [vec![0, 1, 2]]);
        assert!(comparable(&[]).is_empty());
    }

    #[test]
    fn priorities_turned_off_by_a_parameter_are_what_is_compared() {
        let [on, off, none] = [FeatureUse::On, FeatureUse::Off, FeatureUse::None]
            .map(|used| with(Feature::Priorities, used));
        assert_eq!(comparable(&[&on, &off]).len(), 1);
        assert_eq!(comparable(&[&on, &off, &none]), [vec![0, 1], vec![2]]);
    }
}
