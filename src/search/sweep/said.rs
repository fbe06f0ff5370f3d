//! What the points of a sweep warn of, each once; and assertions on all of them.

use serde_json::Value;

use super::grid::names;
use super::pareto::Pareto;
use super::{Point, SweepFile};
use crate::result::Assertion;
use crate::result::assertion::{Judged, figure};

/// Warnings and notes of all points. Those that differ in their numbers alone are one, told as the
/// first point has it.
pub(super) fn warnings(points: &[Point]) -> Vec<String> {
    let mut all: Vec<(String, String, Vec<usize>)> = Vec::new();
    for point in points {
        let of_runs = point.runs.iter().flat_map(of_run);
        for said in point.warnings.iter().cloned().chain(of_runs) {
            let kind = without_numbers(&said);
            match all.iter_mut().find(|(other, ..)| *other == kind) {
                Some((.., at)) if at.last() == Some(&point.index) => {}
                Some((.., at)) => at.push(point.index),
                None => all.push((kind, said, vec![point.index])),
            }
        }
    }
    let told = |(_, said, at): (String, String, Vec<usize>)| match (at.len(), points.len()) {
        (_, 1) => said,
        (all, points) if all == points => format!("{said} (in every combination, or the like)"),
        (1, _) => format!("{said} (in one combination)"),
        (some, points) => {
            format!("{said} (in {some} of {points} combinations, or the like)")
        }
    };
    all.into_iter().map(told).collect()
}

/// What one run warns of, a capacity's notes included.
fn of_run(run: &Value) -> Vec<String> {
    let name = run["scheduler"].as_str().unwrap_or_default();
    let texts = |key: &str| -> Vec<String> {
        let all = run[key].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(|text| format!("{name}: {text}")).collect()
    };
    let inert = run["inert"].as_array().into_iter().flatten().filter_map(|one| {
        let (path, why) = (one["path"].as_str()?, one["why"].as_str()?);
        Some(format!("{name}: {path} has no effect: {why}"))
    });
    [texts("warnings"), texts("notes"), inert.collect()].concat()
}

fn without_numbers(text: &str) -> String {
    let mut kind = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' | '.' | ',' if kind.ends_with('#') => {}
            '0'..='9' => kind.push('#'),
            _ => kind.push(c),
        }
    }
    kind
}

/// Objectives that no run has, or some do not.
pub(super) fn unknown(front: &Pareto, points: &[Point]) -> Vec<String> {
    let runs = || points.iter().flat_map(|point| &point.runs);
    let without = |path: &str| runs().filter(|run| figure(run, path).is_none()).count();
    let each = front.objectives.iter().map(|one| (&one.path, without(&one.path)));
    each.filter(|(_, without)| *without > 0)
        .map(|(path, without)| {
            format!("--pareto: `{path}` is not known of {without} of {} runs", runs().count())
        })
        .collect()
}

/// The assertions that do not hold in every run.
pub(super) fn judge(assertions: &[Assertion], file: &SweepFile) -> Vec<String> {
    let total: usize = file.points.iter().map(|point| point.runs.len()).sum();
    let names = names(&file.vary);
    let judged = |assertion: &Assertion| {
        let mut broken = 0;
        let mut first = None;
        for point in &file.points {
            for run in &point.runs {
                let found = match assertion.judged(run) {
                    Judged::Holds => continue,
                    Judged::Broken(Some(value)) => value.to_string(),
                    Judged::Broken(None) => "not known".to_owned(),
                    Judged::Open(within) => format!("{within}, as far as observation went"),
                };
                broken += 1;
                first.get_or_insert_with(|| {
                    let each = names.iter().zip(&point.values);
                    let at: Vec<String> = each.map(|(name, v)| format!("{name}={v}")).collect();
                    let label = run["label"].as_str().unwrap_or_default();
                    format!("{}, {label}: {found}", at.join(" "))
                });
            }
        }
        let first = first?;
        Some(format!(
            "{} does not hold in {broken} of {total} runs, first with {first}",
            assertion.words()
        ))
    };
    assertions.iter().filter_map(judged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_in_numbers_alone_is_said_once() {
        let point = |index, rejected: u32| Point {
            index,
            values: vec![index.to_string()],
            runs: vec![json!({
                "scheduler": "vllm-v1", "label": "vllm-v1(max_num_seqs=4)",
                "warnings": [format!("{rejected} of 200 requests were rejected")],
            })],
            warnings: vec!["no price is known".to_owned()],
        };
        assert_eq!(
            warnings(&[point(0, 79), point(1, 12)]),
            [
                "no price is known (in every combination, or the like)",
                "vllm-v1: 79 of 200 requests were rejected (in every combination, or the like)"
            ]
        );
        assert_eq!(
            warnings(&[point(0, 79)]),
            ["no price is known", "vllm-v1: 79 of 200 requests were rejected"]
        );
    }
}
