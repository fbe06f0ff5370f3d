//! What became of a promise: whether it was kept, term by term.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The promise, term by term.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SloResult")]
pub struct Verdict {
    /// Whether every term is met; null where that is not known.
    pub met: Option<bool>,
    /// Why it is not known; absent where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Fluidity first, then the bounds in the scenario's order, then those of classes with a
    /// promise of their own.
    pub terms: Vec<Term>,
}

/// One term of the promise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SloTerm")]
pub struct Term {
    /// The class that the term is about; null for all requests.
    pub class: Option<String>,
    /// The pool that the term is about; absent for the requests of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The member of the run that is bounded: `fluid_request_share`, `ttft_s`, `tbt_s`, `tpot_s`
    /// or `e2e_s`.
    pub metric: String,
    /// Which statistic of it, such as `p99`; null for a share.
    pub stat: Option<String>,
    /// Whether the value must reach the bound or stay below it.
    pub sense: Sense,
    /// The bound, in the metric's unit.
    pub bound: f64,
    /// The value; null when there is no sample, or only bounds are known.
    pub value: Option<f64>,
    /// The least that the value can be, where only bounds are known; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// The most that the value can be, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// Whether the term is met; null where that is not known. Without a sample it is met when
    /// requests completed (a bound on gaps, and answers of one token).
    pub met: Option<bool>,
}

/// Which side of a bound is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sense {
    /// Met when value >= bound.
    AtLeast,
    /// Met when value <= bound.
    AtMost,
}

/// What a term calls the share of requests that are fluid.
pub const FLUID_SHARE: &str = "fluid_request_share";

/// What a term calls the share of requests that keep a promise for single requests: fluid, and the
/// first token in time.
pub const KEPT_SHARE: &str = "goodput.share";

impl Verdict {
    /// The promise of these terms: broken by one that is, kept when all are, else not known, for the
    /// reason `why`.
    pub fn of(terms: Vec<Term>, why: impl FnOnce() -> String) -> Verdict {
        let met = all_met(terms.iter().map(|term| term.met));
        Verdict { met, why: met.is_none().then(why), terms }
    }

    /// The terms that are broken.
    pub fn broken(&self) -> impl Iterator<Item = &Term> {
        self.terms.iter().filter(|term| term.met == Some(false))
    }

    /// The terms of which it is not known whether they are kept.
    pub fn open(&self) -> impl Iterator<Item = &Term> {
        self.terms.iter().filter(|term| term.met.is_none())
    }

    /// Its terms, said of one class.
    pub fn terms_of_class(&self, class: &str) -> impl Iterator<Item = Term> {
        self.terms.iter().map(|term| Term { class: Some(class.to_owned()), ..term.clone() })
    }

    /// Its terms, said of one pool.
    pub fn terms_of_pool(&self, pool: &str) -> impl Iterator<Item = Term> {
        self.terms.iter().map(|term| Term { pool: Some(pool.to_owned()), ..term.clone() })
    }
}

impl Term {
    /// Whether it is about a share of requests; otherwise it bounds a latency.
    pub fn is_share(&self) -> bool {
        [FLUID_SHARE, KEPT_SHARE].contains(&self.metric.as_str())
    }
}

/// Whether all are met: not when one is not, and not known when one is not known.
pub fn all_met(met: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    met.reduce(|all, one| match (all, one) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    })
    .unwrap_or(Some(true))
}
