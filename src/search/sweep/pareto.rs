//! The Pareto front: what no other choice beats in both of two numbers.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Point;
use crate::result::assertion::{self, figure};
use crate::result::features::{Features, comparable};
use crate::search::capacity::full_capacity;
use crate::search::interval::overlap;

/// A number to make large or small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Objective {
    /// Its path in a run of the result.
    pub path: String,
    /// Whether more is better.
    pub maximise: bool,
}

/// The front of two numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pareto {
    /// The two numbers.
    pub objectives: [Objective; 2],
    /// The choices that no other beats in both, by point and run.
    pub front: Vec<Choice>,
    /// Choices that nothing beats and that are tied among themselves: the intervals of their numbers
    /// overlap, so that none is shown to be better.
    #[serde(default)]
    pub ties: Vec<Choice>,
}

/// A run of a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// The point's index.
    pub point: usize,
    /// The run's place in it.
    pub run: usize,
    /// Its two numbers.
    pub values: [f64; 2],
}

/// A capacity in which every figure is there, as JSON.
static CAPACITY: LazyLock<Value> = LazyLock::new(|| {
    let mut all = serde_json::to_value(full_capacity()).expect("a result is plain data");
    assertion::fill(&mut all);
    all
});

impl Objective {
    /// Reads `PATH`, `PATH:min` or `PATH:max`. Without a sense, shares, indices, users and rates per
    /// second are better when large, everything else when small.
    fn parse(text: &str) -> Objective {
        let (path, maximise) = match text.trim().rsplit_once(':') {
            Some((path, "min")) => (path, false),
            Some((path, "max")) => (path, true),
            _ => {
                let path = text.trim();
                let large = ["share", "index", "_per_s", ".met"];
                let many = large.iter().any(|name| path.contains(name));
                (path, many || path.starts_with("users"))
            }
        };
        Objective { path: path.trim().to_owned(), maximise }
    }

    /// Reads two of them, with a comma between. The paths must be ones that a run can have, or a
    /// capacity where `of_capacities`, so that a misspelt one is told before any work is done.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse_two(text: &str, of_capacities: bool) -> Result<[Objective; 2], String> {
        let parts: Vec<Objective> = text.split(',').map(Objective::parse).collect();
        let two: Result<[Objective; 2], _> = parts.try_into();
        let two = match two {
            Ok(two) if two.iter().all(|one| !one.path.is_empty()) => two,
            _ => {
                return Err(format!(
                    "expected two paths such as cost.usd,throughput.requests_per_s, found `{text}`"
                ));
            }
        };
        let wrong = |one: &Objective| match of_capacities {
            false => assertion::unknown_path(&one.path),
            true => (!assertion::known_in(&CAPACITY, &one.path)).then(|| {
                let near = assertion::near_in(&CAPACITY, &one.path);
                let meant = near.map_or(String::new(), |path| format!("; did you mean `{path}`?"));
                format!("a capacity has no number `{}`{meant}", one.path)
            }),
        };
        if two[0].path == two[1].path {
            return Err(format!(
                "`{}` is given twice: expected two paths that differ",
                two[0].path
            ));
        }
        match two.iter().find_map(wrong) {
            Some(problem) => Err(problem),
            None => Ok(two),
        }
    }

    /// Whether it is a figure that is only worked out when asked for.
    pub fn needs_full_metrics(&self) -> bool {
        assertion::needs_full_metrics(&self.path)
    }
}

/// Between what a figure of a capacity may be: that of a border, or a price that follows from it.
/// `None` for figures that are known without one.
pub fn range(run: &Value, path: &str) -> Option<(f64, f64)> {
    let ends = |border: &str| {
        let end = |name: &str| figure(run, &format!("{border}.{name}"));
        // Without an upper end nothing is known above.
        Some((end("mean")?, end("lower")?, end("upper").unwrap_or(f64::INFINITY)))
    };
    if let Some(border) = path.strip_suffix(".mean") {
        return ends(border).map(|(_, lower, upper)| (lower, upper));
    }
    let follows = ["price.usd_per_million_output_tokens", "price.usd_per_fluid_request"];
    if !follows.contains(&path) {
        return None;
    }
    let price = figure(run, path)?;
    let (mean, lower, upper) = ends("requests_per_s").or_else(|| ends("users"))?;
    Some((price * mean / upper, if lower > 0.0 { price * mean / lower } else { f64::INFINITY }))
}

/// How one number compares with another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Better,
    Worse,
    Same,
    /// They differ by less than is known of them.
    Tied,
}

/// A choice, with what is known of its numbers.
struct Known {
    choice: Choice,
    ranges: [Option<(f64, f64)>; 2],
    /// What its scheduler has on; no two are compared across one of these.
    features: Features,
}

impl Known {
    fn against(&self, other: &Known, objectives: &[Objective; 2], place: usize) -> Order {
        let (own, theirs) = (self.choice.values[place], other.choice.values[place]);
        if own == theirs {
            return Order::Same;
        }
        if let (Some(a), Some(b)) = (self.ranges[place], other.ranges[place])
            && overlap(a, b)
        {
            return Order::Tied;
        }
        if (own > theirs) == objectives[place].maximise { Order::Better } else { Order::Worse }
    }
}

/// The front over every run that has both numbers; of schedulers that cannot be compared each kind has
/// its own. Where a number has an interval, one is better
/// than another only if their intervals are apart.
pub(super) fn pareto(points: &[Point], objectives: [Objective; 2]) -> Pareto {
    let mut all: Vec<Known> = Vec::new();
    for point in points {
        for (run, value) in point.runs.iter().enumerate() {
            let number = |objective: &Objective| figure(value, &objective.path);
            if let (Some(a), Some(b)) = (number(&objectives[0]), number(&objectives[1])) {
                let ranges = objectives.each_ref().map(|objective| range(value, &objective.path));
                let choice = Choice { point: point.index, run, values: [a, b] };
                let features = Features::deserialize(&value["features"]).unwrap_or_default();
                all.push(Known { choice, ranges, features });
            }
        }
    }
    let orders = |a: &Known, b: &Known| [0, 1].map(|place| a.against(b, &objectives, place));
    let beats = |a: &Known, b: &Known| {
        let orders = orders(a, b);
        let alike = comparable(&[&a.features, &b.features]).len() == 1;
        alike && orders.contains(&Order::Better) && !orders.contains(&Order::Worse)
    };
    let unbeaten: Vec<&Known> =
        all.iter().filter(|one| !all.iter().any(|other| beats(other, one))).collect();
    let tied = |one: &Known| {
        unbeaten.iter().any(|other| {
            let orders = orders(one, other);
            orders.contains(&Order::Tied)
                && orders.iter().all(|order| matches!(order, Order::Tied | Order::Same))
        })
    };
    let (ties, front): (Vec<&Known>, Vec<&Known>) =
        unbeaten.iter().copied().partition(|one| tied(one));
    let choices = |of: Vec<&Known>| of.into_iter().map(|one| one.choice.clone()).collect();
    Pareto { front: choices(front), ties: choices(ties), objectives }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn points(runs: Vec<Value>) -> Vec<Point> {
        let runs = runs.into_iter().enumerate();
        runs.map(|(index, run)| Point {
            index,
            values: Vec::new(),
            runs: vec![run],
            warnings: Vec::new(),
        })
        .collect()
    }

    fn numbers(choices: &[Choice]) -> Vec<usize> {
        choices.iter().map(|choice| choice.point).collect()
    }

    #[test]
    fn what_is_beaten_in_both_is_left_out_and_equals_stay() {
        let runs = [(1.0, 0.5), (2.0, 0.9), (2.0, 0.9), (3.0, 0.8), (0.5, 0.1)];
        let points = points(
            runs.iter()
                .map(|(cost, share)| {
                    json!({"cost": {"usd": cost}, "fluidity": {"fluid_request_share": share}})
                })
                .collect(),
        );
        let asked = "cost.usd,fluidity.fluid_request_share";
        let objectives = Objective::parse_two(asked, false).unwrap();
        assert_eq!(objectives.each_ref().map(|o| o.maximise), [false, true]);
        let found = pareto(&points, objectives);
        assert_eq!(numbers(&found.front), [0, 1, 2, 4]);
        assert_eq!(numbers(&found.ties), [0; 0]);
    }

    #[test]
    fn overlapping_intervals_are_a_tie_and_no_star() {
        let run = |rate: f64, off: f64, usd: f64| {
            json!({
                "requests_per_s": {"mean": rate, "lower": rate - off, "upper": rate + off},
                "price": {"usd_per_hour": 1.0, "usd_per_million_output_tokens": usd},
            })
        };
        let asked = "price.usd_per_million_output_tokens,requests_per_s.mean";
        let front = |runs| pareto(&points(runs), Objective::parse_two(asked, true).unwrap());
        let tie = front(vec![run(4.0, 0.3, 1.0), run(4.1, 0.3, 0.97), run(2.0, 0.1, 2.0)]);
        assert_eq!((numbers(&tie.front), numbers(&tie.ties)), (vec![], vec![0, 1]));
        let clear = front(vec![run(4.0, 0.01, 1.0), run(4.1, 0.01, 0.97)]);
        assert_eq!((numbers(&clear.front), numbers(&clear.ties)), (vec![1], vec![]));
    }

    #[test]
    fn paths_are_checked_at_once() {
        let wrong = |text: &str, capacities| Objective::parse_two(text, capacities).unwrap_err();
        for text in ["a", "a,b,c", ",cost.usd"] {
            assert!(wrong(text, false).contains("expected two paths"), "{text}");
        }
        let said = wrong("cost.usd,ttft.p99", false);
        assert!(said.contains("no number `ttft.p99`; did you mean `ttft_s.p99`?"), "{said}");
        let said = wrong("price.usd_per_hour,request_per_s.mean", true);
        assert!(said.contains("did you mean `requests_per_s.mean`?"), "{said}");
        assert!(Objective::parse_two("users.mean,at_capacity.ttft_p99_s", true).is_ok());
        assert!(Objective::parse_two("fluidity.fluid_tokens_per_s,cost.usd", false).is_ok());
        assert!(wrong("cost.usd:maxx,ttft_s.p99", false).contains("cost.usd:maxx"));
    }
}
