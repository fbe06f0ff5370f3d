//! What a run must achieve for its load to count as held.

use crate::promise::{Slo, Term, TtftDeadline, Verdict};
use crate::result::assertion;
use crate::result::{Assertion, RunResult};
use crate::shown::{duration, percent, three_digits};
use crate::time::Span;

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

/// What of a goal a run does not keep, and what of it the run leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What is broken.
    pub broken: Vec<String>,
    /// What is not known: observation ended too soon to tell.
    pub open: Vec<String>,
}

impl Goal {
    /// Judges a run. A figure that an assertion asks for and the run does not have holds no assertion.
    pub fn judge(&self, run: &RunResult) -> Judged {
        let mut judged = Judged::default();
        for term in self.counted(&run.slo) {
            match term.met {
                Some(true) => {}
                Some(false) => judged.broken.push(term.by_path()),
                None => judged.open.push(term.by_path()),
            }
        }
        if !self.assertions.is_empty() {
            let value = serde_json::to_value(run).expect("a run is plain data");
            for assertion in &self.assertions {
                let told = |found: String| format!("{} = {found}", assertion.path());
                match assertion.judged(&value) {
                    assertion::Judged::Holds => {}
                    assertion::Judged::Broken(Some(value)) => {
                        judged.broken.push(told(format!("{value:.4}")));
                    }
                    assertion::Judged::Broken(None) => {
                        judged.broken.push(told("no value".to_owned()));
                    }
                    assertion::Judged::Open(within) => judged.open.push(told(within)),
                }
            }
        }
        judged
    }

    /// The terms of a promise that count.
    pub fn counted<'a>(&self, verdict: &'a Verdict) -> impl Iterator<Item = &'a Term> {
        let terms = self.terms;
        verdict.terms.iter().filter(move |term| match terms {
            Terms::All => true,
            Terms::Fluidity => term.is_share(),
            Terms::Bounds => !term.is_share(),
        })
    }

    /// The goal in words, such as `25 ms TBT fluidity and P99 TTFT of 500 ms`.
    pub fn words(&self, slo: &Slo) -> String {
        let mut parts = Vec::new();
        if self.terms != Terms::Bounds && slo.fluid_share > 0.0 {
            parts.push(match (&slo.ttft, slo.first_tokens_promised) {
                (TtftDeadline::Fixed(ttft), true) => format!(
                    "first token within {} and then {} tokens/s for {} of requests",
                    duration(ttft.as_secs_f64()),
                    three_digits(1.0 / slo.tbt.as_secs_f64()),
                    percent(slo.fluid_share)
                ),
                _ if slo.tbt < Span::from_millis(1) || slo.tbt >= Span::from_millis(10_000) => {
                    format!("{} TBT fluidity", duration(slo.tbt.as_secs_f64()))
                }
                // 30 tokens a second are 33.33 ms.
                _ => {
                    format!("{} ms TBT fluidity", (100.0 * slo.tbt.as_millis_f64()).round() / 100.0)
                }
            });
        }
        if self.terms != Terms::Fluidity {
            parts.extend(slo.bounds.iter().map(|bound| {
                let stat = format!("{:?}", bound.stat).replace("P999", "P99.9");
                let metric = bound.latency.name().to_uppercase();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::fixture;

    #[test]
    fn assertions_read_any_number_of_the_result() {
        let run = fixture::run("sarathi");
        let p99 = run.summary.ttft_s.p99.expect("a figure");
        let goal = |text: &str| Goal {
            terms: Terms::Fluidity,
            assertions: vec![Assertion::parse(text).expect(text)],
        };
        let broken = |text: &str, run: &RunResult| goal(text).judge(run).broken;
        assert!(broken(&format!("ttft_s.p99 <= {p99}"), &run).is_empty());
        assert_eq!(broken(&format!("ttft_s.p99<={}", p99 * 0.5), &run).len(), 1);
        let mut untold = run.clone();
        untold.energy = None;
        assert_eq!(broken("energy.joules>=0", &untold), ["energy.joules = no value"]);
    }

    #[test]
    fn what_is_not_known_is_neither_kept_nor_broken() {
        let mut run = fixture::run("sarathi");
        run.slo.terms[0].met = None;
        run.slo.terms[0].value = None;
        (run.slo.terms[0].lower, run.slo.terms[0].upper) = (Some(0.5), Some(1.0));
        let judged = Goal::default().judge(&run);
        assert_eq!(judged.broken, Vec::<String>::new());
        assert_eq!(judged.open, ["fluid_request_share = 0.5000 to 1.0000"]);
    }
}
