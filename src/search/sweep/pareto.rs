//! The Pareto front: what no other choice beats in both of two numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Point;
use crate::report::assertion::figure;

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

impl Objective {
    /// Reads `PATH`, `PATH:min` or `PATH:max`. Without a sense, shares, indices and rates per second
    /// are better when large, everything else when small.
    fn parse(text: &str) -> Objective {
        let (path, maximise) = match text.trim().rsplit_once(':') {
            Some((path, "min")) => (path, false),
            Some((path, "max")) => (path, true),
            _ => {
                let path = text.trim();
                let large = ["share", "index", "_per_s", ".met"];
                (path, large.iter().any(|name| path.contains(name)))
            }
        };
        Objective { path: path.to_owned(), maximise }
    }

    /// Reads two of them, with a comma between.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse_two(text: &str) -> Result<[Objective; 2], String> {
        let parts: Vec<Objective> = text.split(',').map(Objective::parse).collect();
        let two: Result<[Objective; 2], _> = parts.try_into();
        match two {
            Ok(two) if two.iter().all(|one| !one.path.is_empty()) => Ok(two),
            _ => Err(format!(
                "expected two paths such as cost.usd,throughput.requests_per_s, found `{text}`"
            )),
        }
    }
}

/// The front over every run that has both numbers.
pub fn pareto(points: &[Point], objectives: [Objective; 2]) -> Pareto {
    let mut choices = Vec::new();
    for point in points {
        for (run, value) in point.runs.iter().enumerate() {
            let number = |objective: &Objective| figure(value, &objective.path);
            if let (Some(a), Some(b)) = (number(&objectives[0]), number(&objectives[1])) {
                choices.push(Choice { point: point.index, run, values: [a, b] });
            }
        }
    }
    // As if small were better in both.
    let signed = |choice: &Choice| {
        [0, 1].map(|i| if objectives[i].maximise { -choice.values[i] } else { choice.values[i] })
    };
    let beaten = |choice: &Choice| {
        let own = signed(choice);
        choices.iter().map(signed).any(|other| {
            other[0] <= own[0] && other[1] <= own[1] && (other[0] < own[0] || other[1] < own[1])
        })
    };
    let front = choices.iter().filter(|choice| !beaten(choice)).cloned().collect();
    Pareto { objectives, front }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_beaten_in_both_is_left_out_and_ties_stay() {
        let runs = [(1.0, 0.5), (2.0, 0.9), (2.0, 0.9), (3.0, 0.8), (0.5, 0.1)];
        let points: Vec<Point> = runs
            .iter()
            .enumerate()
            .map(|(index, (cost, share))| Point {
                index,
                values: Vec::new(),
                runs: vec![json!({"cost": {"usd": cost}, "share": share})],
            })
            .collect();
        let objectives = Objective::parse_two("cost.usd,share").unwrap();
        assert_eq!(objectives.each_ref().map(|o| o.maximise), [false, true]);
        let front = pareto(&points, objectives).front;
        assert_eq!(front.iter().map(|c| c.point).collect::<Vec<_>>(), [0, 1, 2, 4]);
        assert!(Objective::parse_two("a").is_err() && Objective::parse_two("a,b,c").is_err());
    }
}
