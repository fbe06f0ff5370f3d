//! What a change of one field does, all else equal, in words.

use std::collections::BTreeSet;

use serde_json::Value;

use super::grid::names;
use super::pareto::range;
use super::{Point, Vary};
use crate::promise::judged_by::{self, Agreement, JudgedBy};
use crate::result::assertion::{bounds, figure};
use crate::scheduler::SchedulerConfig;
use crate::search::interval::overlap;

const CAPACITY: &str = "capacity";
const PER_GPU: &str = "capacity per GPU";
const USERS: &str = "users";

/// What is told of a change.
const TOLD: [(&str, &str, Kind); 11] = [
    ("fluid share", "fluidity.fluid_request_share", Kind::Points),
    ("throughput", "throughput.output_tokens_per_s", Kind::Percent),
    ("P99 TTFT", "ttft_s.p99", Kind::Percent),
    ("P99 TBT", "tbt_s.p99", Kind::Percent),
    ("cost per output token", "cost.usd_per_million_output_tokens", Kind::Percent),
    // A sweep of capacities has these instead.
    (CAPACITY, "requests_per_s.mean", Kind::Percent),
    (PER_GPU, "requests_per_s_per_gpu.mean", Kind::Percent),
    (USERS, "users.mean", Kind::Percent),
    ("users per GPU", "users_per_gpu.mean", Kind::Percent),
    ("cost per output token", "price.usd_per_million_output_tokens", Kind::Percent),
    ("P99 TTFT", "at_capacity.ttft_p99_s", Kind::Percent),
];

/// What depends on the deadlines that runs are judged by.
const JUDGED: [&str; 5] = ["fluid share", CAPACITY, PER_GPU, USERS, "users per GPU"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A difference of shares.
    Points,
    /// A ratio.
    Percent,
}

/// A sentence for each step from one value of a field to its next, for each scheduler: the mean
/// over all pairs of points that differ in that step alone.
pub(super) fn sensitivities(vary: &[Vary], points: &[Point]) -> Vec<String> {
    let mut sentences = Vec::new();
    let runs = points.iter().map(|point| point.runs.len()).max().unwrap_or(0);
    let names = names(vary);
    for (field, one) in vary.iter().enumerate() {
        for step in one.values.windows(2) {
            for run in 0..runs {
                // Points that differ in what does not concern this scheduler are one.
                let mut told = BTreeSet::new();
                let pairs: Vec<(&Value, &Value)> = points
                    .iter()
                    .filter(|point| point.values[field] == step[0])
                    .filter_map(|from| {
                        let mut values = from.values.clone();
                        values[field].clone_from(&step[1]);
                        let to = points.iter().find(|point| point.values == values)?;
                        let (a, b) = (from.runs.get(run)?, to.runs.get(run)?);
                        let scheduler = a["scheduler"].as_str().unwrap_or_default();
                        (a["scheduler"] == b["scheduler"]
                            && told.insert(telling(vary, from, scheduler, run)))
                        .then_some((a, b))
                    })
                    .collect();
                if pairs.is_empty() {
                    continue;
                }
                let scheduler = pairs[0].0["scheduler"].as_str().unwrap_or_default();
                if !concerns(&one.path, scheduler, run) {
                    continue;
                }
                let of = |run: &Value, key: &str| run[key].as_str().unwrap_or_default().to_owned();
                let all = &points[0].runs;
                let alike = all.iter().filter(|other| of(other, "scheduler") == scheduler).count();
                let who = match (runs, alike) {
                    (0 | 1, _) => String::new(),
                    (_, 0 | 1) => format!("{scheduler}: "),
                    _ => format!("{}: ", of(pairs[0].0, "label")),
                };
                let mut changes: Vec<String> = Vec::new();
                for (name, path, amount) in TOLD.iter().filter_map(|&told| change(told, &pairs)) {
                    let tie = if tied(&pairs, path) { " (a tie)" } else { "" };
                    let judged = JUDGED.contains(&name) && moves_deadlines(&one.path, &pairs);
                    let judged = if judged { " (judged by other deadlines)" } else { "" };
                    let amount = format!("{amount}{tie}{judged}");
                    // One GPU a replica: the capacity of all is that of each.
                    let again = |of: &str| changes.contains(&format!("{of} {amount}"));
                    let said = match name {
                        PER_GPU => again(CAPACITY),
                        "users per GPU" => again(USERS),
                        _ => false,
                    };
                    if !said {
                        changes.push(format!("{name} {amount}"));
                    }
                }
                let what = match changes.is_empty() {
                    true if one_sided(&pairs) => "one of the two has no figure".to_owned(),
                    true if bounded(&pairs) => {
                        "not known: figures are bounds, as observation ended too soon".to_owned()
                    }
                    true => "no change".to_owned(),
                    false => changes.join(", "),
                };
                let (name, from, to) = (names[field], &step[0], &step[1]);
                let mean = match pairs.len() {
                    1 => String::new(),
                    n => format!(" (mean of {n} pairs)"),
                };
                sentences.push(format!("{who}{name} {from} -> {to}: {what}{mean}"));
            }
        }
    }
    sentences
}

/// Whether a figure is there on one side of a pair alone, such as a capacity where the other has none.
fn one_sided(pairs: &[(&Value, &Value)]) -> bool {
    let there = |run: &Value, path: &str| figure(run, path).is_some();
    let apart = |(a, b): &(&Value, &Value)| {
        TOLD.iter().any(|(_, path, _)| there(a, path) != there(b, path))
    };
    pairs.iter().any(apart)
}

/// Whether a field that is no promise changes the deadlines, as another GPU does where they follow
/// its prefill curve.
fn moves_deadlines(path: &str, pairs: &[(&Value, &Value)]) -> bool {
    let of = |run: &Value| -> Vec<JudgedBy> {
        serde_json::from_value(run["judged_by"].clone()).unwrap_or_default()
    };
    let differ = |(a, b): &(&Value, &Value)| {
        matches!(judged_by::compared(&of(a), &of(b)), Agreement::Differ(_))
    };
    !path.contains("slo") && !path.contains("promise") && pairs.iter().any(differ)
}

/// Whether a figure is known by bounds only.
fn bounded(pairs: &[(&Value, &Value)]) -> bool {
    let of = |run: &Value| TOLD.iter().any(|(_, path, _)| bounds(run, path).is_some());
    pairs.iter().any(|(a, b)| of(a) || of(b))
}

/// Whether a capacity is no more than another as far as is known: in every pair the intervals
/// overlap.
fn tied(pairs: &[(&Value, &Value)], path: &str) -> bool {
    let both = |(a, b): &(&Value, &Value)| Some((range(a, path)?, range(b, path)?));
    let known: Vec<_> = pairs.iter().filter_map(both).collect();
    !known.is_empty() && known.iter().all(|(a, b)| overlap(*a, *b))
}

/// Whether a field can matter to a scheduler, the one at `place` of the list: another's parameter
/// cannot. Such a field is `schedulers.NAME.parameter` or `schedulers.PLACE.NAME.parameter`.
fn concerns(path: &str, scheduler: &str, place: usize) -> bool {
    let Some(rest) = path.strip_prefix("schedulers.") else { return true };
    let mut names = rest.split('.');
    let mut first = names.next().unwrap_or_default();
    if let Ok(of) = first.parse::<usize>() {
        match names.next() {
            // All of the entry is replaced, its name too.
            None => return of == place,
            Some(_) if of != place => return false,
            Some(name) => first = name,
        }
    }
    SchedulerConfig::names().iter().all(|name| *name != first) || first == scheduler
}

/// The values of a point that can matter to a scheduler; `-` for the others.
pub(crate) fn telling(vary: &[Vary], point: &Point, scheduler: &str, place: usize) -> Vec<String> {
    let fields = vary.iter().zip(&point.values);
    let told = |(vary, value): (&Vary, &String)| match concerns(&vary.path, scheduler, place) {
        true => value.clone(),
        false => "-".to_owned(),
    };
    fields.map(told).collect()
}

/// A figure's name and path, and by how much it changes on average; `None` when it does not.
fn change(
    (name, path, kind): (&'static str, &'static str, Kind),
    pairs: &[(&Value, &Value)],
) -> Option<(&'static str, &'static str, String)> {
    let changes: Vec<f64> = pairs
        .iter()
        .filter_map(|(a, b)| {
            let (a, b) = (figure(a, path)?, figure(b, path)?);
            match kind {
                Kind::Points => Some((b - a) * 100.0),
                Kind::Percent => (a > 0.0).then(|| (b / a - 1.0) * 100.0),
            }
        })
        .collect();
    if changes.is_empty() {
        return None;
    }
    let mean = changes.iter().sum::<f64>() / changes.len() as f64;
    let rounded = if mean.abs() < 9.95 { format!("{mean:+.1}") } else { format!("{mean:+.0}") };
    let rounded = rounded.trim_end_matches(".0");
    let unit = if kind == Kind::Points { "points" } else { "%" };
    (mean.abs() >= 0.05).then(|| (name, path, format!("{rounded} {unit}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_within_the_intervals_is_a_tie() {
        let run = |rate: f64, off: f64| {
            let of = json!({"mean": rate, "lower": rate - off, "upper": rate + off});
            json!({"scheduler": "sarathi", "requests_per_s": of, "requests_per_s_per_gpu": of})
        };
        let vary = [Vary::parse("replicas=1,2").unwrap()];
        let said = |off| {
            let point = |index, value: &str, rate| {
                let (values, runs) = (vec![value.to_owned()], vec![run(rate, off)]);
                Point { index, values, runs, warnings: Vec::new() }
            };
            sensitivities(&vary, &[point(0, "1", 4.0), point(1, "2", 4.2)])
        };
        assert_eq!(said(0.5), ["replicas 1 -> 2: capacity +5 % (a tie)"]);
        assert_eq!(said(0.05), ["replicas 1 -> 2: capacity +5 %"]);
        let none = json!({"scheduler": "sarathi", "requests_per_s": null});
        let point = |index, value: &str, run| {
            let (values, runs) = (vec![value.to_owned()], vec![run]);
            Point { index, values, runs, warnings: Vec::new() }
        };
        assert_eq!(
            sensitivities(&vary, &[point(0, "1", run(4.0, 0.1)), point(1, "2", none)]),
            ["replicas 1 -> 2: one of the two has no figure"]
        );
    }

    #[test]
    fn a_scheduler_that_lacks_a_field_is_one_pair() {
        let run = |name: &str, rate: f64| json!({"scheduler": name, "throughput": {"output_tokens_per_s": rate}});
        let vary = [
            Vary::parse("workload.arrivals.poisson.rate=2,4").unwrap(),
            Vary::parse("schedulers.sarathi.chunk_size=128,256").unwrap(),
        ];
        let mut points = Vec::new();
        for (rate, orca) in [("2", 100.0), ("4", 150.0)] {
            for (chunk, sarathi) in [("128", 100.0), ("256", 120.0)] {
                points.push(Point {
                    index: points.len(),
                    values: vec![rate.into(), chunk.into()],
                    runs: vec![run("orca", orca), run("sarathi", sarathi)],
                    warnings: Vec::new(),
                });
            }
        }
        assert_eq!(
            sensitivities(&vary, &points),
            [
                "orca: rate 2 -> 4: throughput +50 %",
                "sarathi: rate 2 -> 4: no change (mean of 2 pairs)",
                "sarathi: chunk_size 128 -> 256: throughput +20 % (mean of 2 pairs)",
            ]
        );
    }

    #[test]
    fn a_parameter_concerns_its_own_scheduler_alone() {
        for path in ["schedulers.sarathi.chunk_size", "schedulers.1.sarathi.chunk_size"] {
            assert!(concerns(path, "sarathi", 1) && !concerns(path, "orca", 0), "{path}");
        }
        assert!(!concerns("schedulers.1.sarathi.chunk_size", "sarathi", 0));
        assert!(concerns("schedulers.0", "orca", 0) && !concerns("schedulers.0", "orca", 1));
        assert!(concerns("workload.arrivals.poisson.rate", "orca", 0));
        assert!(concerns("schedulers", "orca", 3));
    }

    #[test]
    fn a_step_is_told_in_points_and_percent() {
        let run = |share: f64, rate: f64| {
            json!({"scheduler": "sarathi", "fluidity": {"fluid_request_share": share},
                   "throughput": {"output_tokens_per_s": rate}})
        };
        let vary = [Vary::parse("schedulers.sarathi.chunk_size=512,1024").unwrap()];
        let point = |index, value: &str, runs| Point {
            index,
            values: vec![value.into()],
            runs,
            warnings: Vec::new(),
        };
        let points =
            [point(0, "512", vec![run(0.98, 1000.0)]), point(1, "1024", vec![run(0.80, 1090.0)])];
        assert_eq!(
            sensitivities(&vary, &points),
            ["chunk_size 512 -> 1024: fluid share -18 points, throughput +9 %"]
        );
    }
}
