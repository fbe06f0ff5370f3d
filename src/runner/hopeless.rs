//! Runs whose promise is broken for certain before they end: so many of the requests that are known to
//! come have broken it that no others can mend it. Nothing is estimated: such a run would have ended
//! with the same verdict, so ending it there has no error.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::ids::{ClassId, RequestId};
use crate::metrics::{Latency, Measure, Options, tally_of};
use crate::promise::{Bound, FLUID_SHARE, KEPT_SHARE, Slo, TtftDeadline};
use crate::runner::{Requests, RunError, RunInput};
use crate::scenario::Experiment;
use crate::time::Time;
use crate::trace::{RequestRow, Status, TokenTrace};

/// Which terms of a promise end a run that breaks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndingTerms {
    /// The share of fluid requests.
    pub shares: bool,
    /// Bounds on latencies.
    pub bounds: bool,
}

/// Watches one run for the instant from which on its promise cannot be kept any more.
pub struct Hopeless {
    judged_by: Options,
    terms: Vec<EndingTerm>,
    /// Whether tokens after a request's first are written down when it ends.
    sees_tokens: bool,
    broken: OnceLock<String>,
}

/// One term, and how many requests may break it.
struct EndingTerm {
    /// The class that it is about, or all.
    class: Option<ClassId>,
    what: What,
    /// So many broke it.
    seen: AtomicU64,
    /// As soon as so many do, the term is broken.
    most: u64,
    /// What is said of it then.
    words: String,
}

enum What {
    /// Requests must be fluid, and where first tokens are promised, get theirs in time.
    Share { first_tokens: bool },
    /// A figure of a latency must stay within a bound.
    Within(Bound),
}

impl Hopeless {
    /// For a run of this input; `None` where how many requests will count is not known, or nothing in
    /// the promise can be broken for certain before the end.
    ///
    /// # Errors
    /// When the scenario's figures make no deadlines.
    pub fn of(input: RunInput<'_>, terms: EndingTerms) -> Result<Option<Hopeless>, RunError> {
        let RunInput { experiment, requests } = input;
        let promises = &experiment.promises;
        let own_curve =
            |slo: &Slo| matches!(&slo.ttft, TtftDeadline::PrefillCurvePlus { of: Some(_), .. });
        let counted = counted(experiment, requests);
        let Some(counted) = counted.filter(|_| !promises.all().any(own_curve)) else {
            return Ok(None);
        };
        let Some(judged_by) = super::deadlines::before_a_run(input)? else { return Ok(None) };
        let mut ending = Vec::new();
        add(&mut ending, None, &promises.common, counted.iter().sum(), terms);
        for (name, slo) in &promises.of_classes {
            let class = requests.classes().iter().position(|class| class == name);
            let class = class.filter(|_| counted.len() == requests.classes().len());
            if let Some(class) = class {
                let whose = Some((ClassId(class as u16), name.as_str()));
                add(&mut ending, whose, slo, counted[class], terms);
            }
        }
        let sees_tokens = experiment.fleet().iter().all(|pool| pool.engine.speculative.is_none());
        let hopeless = Hopeless { judged_by, terms: ending, sees_tokens, broken: OnceLock::new() };
        Ok((!hopeless.terms.is_empty()).then_some(hopeless))
    }

    /// What was broken for certain, where the run was ended for it.
    pub fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// What the run is judged by.
    pub(super) fn judged_by(&self) -> &Options {
        &self.judged_by
    }

    /// Begins anew. `own` says that the outcome counts only where nobody is preempted: what is seen
    /// after that may be otherwise in the end.
    pub(super) fn watch(
        &self,
        unless_preempted: bool,
    ) -> impl Fn(&TokenTrace, RequestId) -> bool + Sync {
        self.terms.iter().for_each(|term| term.seen.store(0, Ordering::Relaxed));
        let preempted = AtomicBool::new(false);
        move |trace, request| {
            if self.broken.get().is_some() {
                return false;
            }
            let row = &trace.requests[request.index()];
            for term in &self.terms {
                let counts = term.class.is_none_or(|class| class == row.class);
                if !counts || self.keeps(term, trace, row) {
                    continue;
                }
                if unless_preempted {
                    let any = || trace.requests.iter().any(|row| row.preemptions > 0);
                    if preempted.load(Ordering::Relaxed) || any() {
                        preempted.store(true, Ordering::Relaxed);
                        return true;
                    }
                }
                if term.seen.fetch_add(1, Ordering::Relaxed) + 1 >= term.most {
                    let _ = self.broken.set(term.words.clone());
                    return false;
                }
            }
            true
        }
    }

    /// Whether a request that ended keeps its part of a term, as far as that is seen.
    fn keeps(&self, term: &EndingTerm, trace: &TokenTrace, row: &RequestRow) -> bool {
        let ttft = (row.first_token != Time::NEVER).then(|| row.first_token.since(row.arrival));
        match &term.what {
            What::Share { first_tokens } => {
                if row.status != Status::Completed {
                    return false;
                }
                let deadlines = self.judged_by.deadlines_of(row.class);
                let late = ttft.is_none_or(|ttft| ttft > deadlines.ttft(row.prompt_tokens));
                if *first_tokens && late {
                    return false;
                }
                !self.sees_tokens
                    || tally_of(trace, row, deadlines).index() >= deadlines.fluid_index()
            }
            What::Within(bound) => match bound.latency {
                Latency::Ttft => ttft.is_none_or(|ttft| ttft <= bound.at_most),
                _ if row.status != Status::Completed || !self.sees_tokens => true,
                Latency::E2e => {
                    let last = trace.last_token(row);
                    last.is_none_or(|last| last.since(row.arrival) <= bound.at_most)
                }
                Latency::Tpot => {
                    let last = trace.last_token(row).zip(ttft);
                    let gaps = u64::from(row.tokens.saturating_sub(1));
                    last.is_none_or(|(last, _)| {
                        let all = last.since(row.first_token).as_nanos();
                        u128::from(all) <= u128::from(bound.at_most.as_nanos()) * u128::from(gaps)
                    })
                }
                Latency::Tbt | Latency::SchedulingDelay => true,
            },
        }
    }
}

/// Adds the terms of a promise to `count` requests.
fn add(
    ending: &mut Vec<EndingTerm>,
    class: Option<(ClassId, &str)>,
    slo: &Slo,
    count: u64,
    terms: EndingTerms,
) {
    // The same form as a term by its path: `chat: P99 TTFT`.
    let whose = class.map_or(String::new(), |(_, name)| format!("{name}: "));
    let class = class.map(|(class, _)| class);
    let mut term = |what, most, words: String| {
        let words = format!("{whose}{words}");
        ending.push(EndingTerm { class, what, seen: AtomicU64::new(0), most, words });
    };
    if terms.shares && slo.fluid_share > 0.0 && count > 0 {
        let first_tokens = slo.first_tokens_promised;
        let name = if first_tokens { KEPT_SHARE } else { FLUID_SHARE };
        // As the verdict has it: a share of so many that is below what is asked.
        let below = |bad: u64| ((count - bad) as f64 / count as f64) < slo.fluid_share;
        let near = ((1.0 - slo.fluid_share) * count as f64) as u64;
        let most = (near.saturating_sub(1)..=count).find(|&bad| below(bad));
        if let Some(most) = most.filter(|&most| most > 0) {
            let words = format!("{name} < {}", slo.fluid_share);
            term(What::Share { first_tokens }, most, words);
        }
    }
    for bound in slo.bounds.iter().filter(|_| terms.bounds) {
        let ends = matches!(bound.latency, Latency::Ttft | Latency::Tpot | Latency::E2e);
        if let Some(most) = bound.stat.above_for_certain(count).filter(|_| ends && count > 0) {
            let (name, stat) = (bound.latency.name(), bound.stat.name());
            let words = format!("{name}_s.{stat} > {}", bound.at_most.as_secs_f64());
            term(What::Within(*bound), most, words);
        }
    }
}

/// How many requests of each class will count, where that is known before a run; one number where their
/// classes are not.
fn counted(experiment: &Experiment, requests: &Requests) -> Option<Vec<u64>> {
    if experiment.horizon.is_some()
        || experiment.measure != Measure::default()
        || experiment.pools.iter().any(|pool| pool.promise.is_some())
    {
        return None;
    }
    match requests {
        Requests::Open(workload) => {
            let mut counted = vec![0; workload.classes.len()];
            for request in &workload.requests {
                counted[request.class.index()] += 1;
            }
            Some(counted)
        }
        // How many turns there will be is not known.
        Requests::Closed(source) if source.has_turns() => None,
        Requests::Closed(_) => {
            let amount = experiment.workload.amount;
            let count = amount.requests.filter(|_| amount.duration.is_none())?;
            Some(vec![u64::from(count)])
        }
    }
}
