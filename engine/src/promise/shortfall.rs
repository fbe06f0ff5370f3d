//! How far a promise was from being kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verdict::{Sense, Term, Verdict};

/// What became of a promise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Promise")]
pub struct Shortfall {
    /// Whether every term of it was kept; null where that is not known.
    pub kept: Option<bool>,
    /// How far it was from being kept: the term that was missed by most, as the part that was
    /// missing of a share, or the part of a latency that was too much. 0 when kept, at most 1; where
    /// it is not known, the most that it may be.
    #[serde(rename = "shortfall")]
    pub most: f64,
    /// Then it is no less than this.
    #[serde(rename = "shortfall_at_least")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// That term, and what came of it, in words; where it was kept, the term of the fluid share.
    pub term: String,
    /// What came of it, as short as a column wants it, such as `97.0 %`, `<= 43.5 %` or `P99 TTFT`.
    #[serde(default)]
    pub short: String,
}

impl Shortfall {
    /// That of a run.
    pub fn of(verdict: &Verdict) -> Shortfall {
        // Terms that are open break nothing: where one is broken, that is the one to tell.
        let missed = verdict.terms.iter().filter(|term| term.met != Some(true));
        let telling = missed.filter(|term| verdict.met.is_none() || term.met == Some(false));
        let far = |term: &Term| (missing(term, Far::Least), missing(term, Far::Most));
        let furthest = telling.max_by(|a, b| {
            let (a, b) = (far(a), far(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        let (least, most) = match verdict.met {
            Some(true) => (0.0, 0.0),
            _ => furthest.map_or((1.0, 1.0), far),
        };
        let term = furthest.or(verdict.terms.first());
        Shortfall {
            kept: verdict.met,
            most,
            at_least: (least < most).then_some(least),
            term: term.map_or(String::new(), Term::in_words),
            short: term.map_or(String::new(), Term::in_short),
        }
    }

    /// The least and the most that it is.
    pub fn range(&self) -> (f64, f64) {
        (self.at_least.unwrap_or(self.most), self.most)
    }
}

/// Which end of what is known of a term.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Far {
    Least,
    Most,
}

/// How far a term that is not known to be met is from being met, from 0 to 1.
fn missing(term: &Term, far: Far) -> f64 {
    let end = match (term.sense, far) {
        (Sense::AtLeast, Far::Most) | (Sense::AtMost, Far::Least) => term.lower,
        (Sense::AtMost, Far::Most) | (Sense::AtLeast, Far::Least) => term.upper,
    };
    let unknown = if far == Far::Most { 1.0 } else { 0.0 };
    let Some(value) = term.value.or(end) else { return unknown };
    let missing = match term.sense {
        Sense::AtLeast => (term.bound - value) / term.bound,
        Sense::AtMost => (value - term.bound) / value,
    };
    if missing.is_nan() { unknown } else { missing.clamp(0.0, 1.0) }
}
