//! What a run must achieve for its load to count as held.

use serde_json::Value;

use crate::report::{RunResult, SloResult, SloTerm};
use crate::scenario::Slo;

/// Which terms of the scenario's SLO count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Terms {
    /// All of them.
    #[default]
    All,
    /// The share of fluid requests alone.
    Fluidity,
    /// The bounds alone: TBT and TTFT, TTFT and TPOT, or whatever the scenario bounds.
    Bounds,
}

/// A comparison of one figure of the result with a number, such as `tbt_s.p99<=0.05`.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    path: String,
    at_least: bool,
    bound: f64,
}

/// What a run must achieve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Goal {
    /// Terms of the SLO.
    pub terms: Terms,
    /// Further figures.
    pub assertions: Vec<Assertion>,
}

const FLUID: &str = "fluid_request_share";

impl Assertion {
    /// Reads `PATH<=NUMBER` or `PATH>=NUMBER`; the path is one of the JSON result's run.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Assertion, String> {
        let wrong = || format!("expected PATH<=NUMBER or PATH>=NUMBER, found `{text}`");
        let (at_least, (path, bound)) = match (text.split_once("<="), text.split_once(">=")) {
            (Some(parts), None) => (false, parts),
            (None, Some(parts)) => (true, parts),
            _ => return Err(wrong()),
        };
        let bound: f64 = bound.trim().parse().map_err(|_| wrong())?;
        if !bound.is_finite() || path.trim().is_empty() {
            return Err(wrong());
        }
        Ok(Assertion { path: path.trim().to_owned(), at_least, bound })
    }

    fn broken(&self, run: &Value) -> Option<String> {
        let value = figure(run, &self.path);
        let kept = value.is_some_and(|value| match self.at_least {
            true => value >= self.bound,
            false => value <= self.bound,
        });
        let found = value.map_or("no value".to_owned(), |value| format!("{value:.4}"));
        (!kept).then(|| format!("{} = {found}", self.path))
    }
}

/// A number of a run's JSON by its dotted path.
pub fn figure(run: &Value, path: &str) -> Option<f64> {
    let mut at = run;
    for name in path.split('.') {
        at = match at {
            Value::Array(items) => items.get(name.parse::<usize>().ok()?)?,
            _ => at.get(name)?,
        };
    }
    at.as_f64().or_else(|| at.as_bool().map(|yes| f64::from(u8::from(yes))))
}

impl Goal {
    /// What of it the run does not keep; empty when all is kept.
    pub fn broken(&self, run: &RunResult) -> Vec<String> {
        let mut broken: Vec<String> =
            self.counted(&run.slo).filter(|term| !term.met).map(told).collect();
        if !self.assertions.is_empty() {
            let value = serde_json::to_value(run).expect("a run is plain data");
            broken.extend(self.assertions.iter().filter_map(|a| a.broken(&value)));
        }
        broken
    }

    /// The terms of a promise that count.
    pub fn counted<'a>(&self, slo: &'a SloResult) -> impl Iterator<Item = &'a SloTerm> {
        let terms = self.terms;
        slo.terms.iter().filter(move |term| match terms {
            Terms::All => true,
            Terms::Fluidity => term.metric == FLUID,
            Terms::Bounds => term.metric != FLUID,
        })
    }

    /// The goal in words, such as `25 ms TBT fluidity and P99 TTFT of 500 ms`.
    pub fn words(&self, slo: &Slo) -> String {
        use crate::report::units::duration;
        let mut parts = Vec::new();
        if self.terms != Terms::Bounds && slo.fluid_share > 0.0 {
            parts.push(format!("{} ms TBT fluidity", slo.tbt.as_millis_f64()));
        }
        if self.terms != Terms::Fluidity {
            parts.extend(slo.bounds.iter().map(|bound| {
                let stat = format!("{:?}", bound.stat).replace("P999", "P99.9");
                let metric = format!("{:?}", bound.metric).to_uppercase();
                format!("{stat} {metric} of {}", duration(bound.at_most.as_secs_f64()))
            }));
        }
        parts.extend(
            self.assertions.iter().map(|a| {
                format!("{} {} {}", a.path, if a.at_least { ">=" } else { "<=" }, a.bound)
            }),
        );
        match parts.len() {
            0 => "no promise at all".to_owned(),
            _ => parts.join(" and "),
        }
    }

    /// Whether nothing is asked.
    pub fn asks_nothing(&self, slo: &Slo) -> bool {
        self.assertions.is_empty() && self.terms == Terms::Bounds && slo.bounds.is_empty()
    }
}

fn told(term: &SloTerm) -> String {
    let class = term.class.as_ref().map_or(String::new(), |class| format!("{class}: "));
    let stat = term.stat.as_ref().map_or(String::new(), |stat| format!(".{stat}"));
    let value = term.value.map_or("no value".to_owned(), |value| format!("{value:.4}"));
    format!("{class}{}{stat} = {value}", term.metric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn assertions_read_any_number_of_the_result() {
        let run = fixture::run("sarathi");
        let p99 = run.summary.ttft_s.p99.expect("a figure");
        let goal = |text: &str| Goal {
            terms: Terms::Fluidity,
            assertions: vec![Assertion::parse(text).expect(text)],
        };
        assert!(goal(&format!("ttft_s.p99 <= {p99}")).broken(&run).is_empty());
        assert_eq!(goal(&format!("ttft_s.p99<={}", p99 * 0.5)).broken(&run).len(), 1);
        assert_eq!(goal("no.such.figure>=0").broken(&run), ["no.such.figure = no value"]);
        for text in ["ttft_s.p99", "a<=x", "<=3", "a<=1>=2", "a>=nan"] {
            assert!(Assertion::parse(text).is_err(), "{text}");
        }
    }
}
