//! What a run must achieve for its load to count as held.

use crate::report::{Assertion, RunResult, SloResult, SloTerm};
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

/// What a run must achieve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Goal {
    /// Terms of the SLO.
    pub terms: Terms,
    /// Further figures.
    pub assertions: Vec<Assertion>,
}

const FLUID: &str = "fluid_request_share";

impl Goal {
    /// What of it the run does not keep; empty when all is kept.
    pub fn broken(&self, run: &RunResult) -> Vec<String> {
        let mut broken: Vec<String> =
            self.counted(&run.slo).filter(|term| term.met != Some(true)).map(told).collect();
        if !self.assertions.is_empty() {
            let value = serde_json::to_value(run).expect("a run is plain data");
            broken.extend(self.assertions.iter().filter_map(|assertion| {
                let found = assertion.broken(&value)?;
                let found = found.map_or("no value".to_owned(), |value| format!("{value:.4}"));
                Some(format!("{} = {found}", assertion.path()))
            }));
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
        parts.extend(self.assertions.iter().map(Assertion::words));
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
    let value = match (term.value, term.lower, term.upper) {
        (Some(value), _, _) => format!("{value:.4}"),
        (None, Some(lower), Some(upper)) => format!("{lower:.4} to {upper:.4}"),
        (None, Some(lower), None) => format!("at least {lower:.4}"),
        _ => "no value".to_owned(),
    };
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
        let mut untold = run.clone();
        untold.energy = None;
        assert_eq!(goal("energy.joules>=0").broken(&untold), ["energy.joules = no value"]);
    }
}
