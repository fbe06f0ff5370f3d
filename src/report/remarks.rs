//! What a reader should know beside the verdict, each point once.

use std::collections::BTreeMap;

use crate::inert::sentence;
use crate::result::features::{switches_off, uneven_features, why_not_comparable};
use crate::result::{ResultFile, RunResult};
use crate::scheduler::Feature;

/// The warnings of a result and of its runs, and what was set without effect. What its verdict says
/// already, which runs are not ranked against each other and why, is left out; what holds for several
/// runs is said once, of all of them.
pub fn remarks(result: &ResultFile) -> Vec<String> {
    let runs = &result.runs;
    let said = why_not_comparable(runs);
    let mut told: Vec<String> =
        result.warnings.iter().filter(|warning| !said.contains(warning)).cloned().collect();
    told.extend(result.inert.iter().map(sentence));
    let uneven = uneven_features(runs);
    let mut of_runs: Vec<(String, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for run in runs {
        for text in own(run, &uneven) {
            let place = *places.entry(text).or_insert_with_key(|text| {
                of_runs.push((text.clone(), Vec::new()));
                of_runs.len() - 1
            });
            of_runs[place].1.push(&run.label);
        }
    }
    told.extend(of_runs.into_iter().map(|(text, labels)| format!("{}: {text}", labels.join(", "))));
    told
}

/// What is to be said of one run among others.
fn own(run: &RunResult, uneven: &[Feature]) -> Vec<String> {
    let inert = run.inert.iter().filter(|one| !switches_off(uneven, run, &one.path)).map(sentence);
    run.warnings.iter().cloned().chain(inert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::fixture;
    use crate::result::{FeatureUse, Inert};
    use crate::scheduler::Feature;

    fn inert(path: &str) -> Inert {
        Inert { path: path.to_owned(), value: true.into(), why: "so it is".to_owned() }
    }

    #[test]
    fn what_the_verdict_says_is_not_said_again() {
        let mut with = fixture::run("vllm-v1");
        with.features.insert(Feature::PrefixCaching, FeatureUse::On);
        let mut without = fixture::run("orca");
        without.features.insert(Feature::PrefixCaching, FeatureUse::None);
        without.inert = vec![inert("engine.prefix_caching"), inert("engine.dtype")];
        let mut other = without.clone();
        other.label = "tgi".to_owned();
        let mut result = fixture::result(vec![with, without, other]);
        result.warnings = why_not_comparable(&result.runs);
        assert_eq!(result.warnings.len(), 1, "the verdict says it");
        result.warnings.push("a word".to_owned());
        let told = remarks(&result);
        assert_eq!(told, ["a word", "orca, tgi: engine.dtype has no effect here: so it is"]);
        // Nobody else has it: then nothing else says so.
        result.runs.remove(0);
        assert!(remarks(&result).iter().any(|told| told.contains("prefix_caching")));
    }
}
