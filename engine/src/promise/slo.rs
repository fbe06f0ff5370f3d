//! What is promised, checked and with nothing left out.

use crate::metrics::{DeadlineError, Deadlines, FirstToken, Latency, RequestBounds, Statistic};
use crate::time::Span;

/// What is promised to some requests: all of a scenario's, those of a class, or those of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// Deadline of the first token.
    pub ttft: TtftDeadline,
    /// Deadline of each later token.
    pub tbt: Span,
    /// A request is fluid when its fluidity-index reaches this.
    pub fluid_index: f64,
    /// The share of requests that must be fluid.
    pub fluid_share: f64,
    /// Whether a request must also get its first token by its deadline to count in that share: a
    /// promise about single requests. Otherwise that deadline is the fluidity-index's alone.
    pub first_tokens_promised: bool,
    /// Terms besides fluidity.
    pub bounds: Vec<Bound>,
}

/// Deadline of the first token, `D_p`, as it is promised; [`FirstToken`] is what becomes of it once
/// the curve is known.
#[derive(Clone, Debug, PartialEq)]
pub enum TtftDeadline {
    /// The same for every request.
    Fixed(Span),
    /// The time of an unchunked, uncached prefill on an idle replica, plus slack. `of` names the
    /// scheduler whose own curve is asked for instead of the scenario's common one.
    PrefillCurvePlus {
        /// Slack for scheduling.
        slack: Span,
        /// A scheduler of the scenario.
        of: Option<String>,
    },
}

/// An upper bound on one statistic of a latency, such as P99 TBT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Which latency, one of [`BOUNDED`].
    pub latency: Latency,
    /// Which statistic of it.
    pub stat: Statistic,
    /// The most it may be.
    pub at_most: Span,
}

/// Latencies that a promise can bound.
pub const BOUNDED: [Latency; 4] = [Latency::Ttft, Latency::Tbt, Latency::Tpot, Latency::E2e];

/// Slack on top of a prefill curve where none is given.
pub const DEFAULT_SLACK: Span = Span::from_millis(300);

/// Deadline of later tokens where none is given.
pub const DEFAULT_TBT: Span = Span::from_millis(25);

/// Fluidity-index, and the share of requests that must reach it, where none is given.
pub const DEFAULT_FLUIDITY: (f64, f64) = (0.9, 0.99);

impl Default for Slo {
    /// The promise of a scenario that makes none.
    fn default() -> Slo {
        Slo {
            ttft: TtftDeadline::PrefillCurvePlus { slack: DEFAULT_SLACK, of: None },
            tbt: DEFAULT_TBT,
            fluid_index: DEFAULT_FLUIDITY.0,
            fluid_share: DEFAULT_FLUIDITY.1,
            first_tokens_promised: false,
            bounds: Vec::new(),
        }
    }
}

impl Slo {
    /// The deadlines of its requests' tokens, with the first token's as it was settled.
    ///
    /// # Errors
    /// When its figures make no deadlines.
    pub fn deadlines(&self, first: FirstToken) -> Result<Deadlines, DeadlineError> {
        Deadlines::new(first, self.tbt, self.fluid_index)
    }

    /// Bounds on high quantiles of TTFT, TPOT and E2E, each asked of single requests, plus fluidity:
    /// what goodput counts. A bound on a mean or a median says nothing of one request.
    pub fn request_bounds(&self) -> RequestBounds {
        use Statistic::{Max, P90, P95, P99, P999};
        let mut bounds = RequestBounds {
            fluid: true,
            first_in_time: self.first_tokens_promised,
            ..RequestBounds::default()
        };
        for bound in &self.bounds {
            if !matches!(bound.stat, P90 | P95 | P99 | P999 | Max) {
                continue;
            }
            let one = match bound.latency {
                Latency::Ttft => &mut bounds.ttft,
                Latency::Tpot => &mut bounds.tpot,
                Latency::E2e => &mut bounds.e2e,
                Latency::Tbt | Latency::SchedulingDelay => continue,
            };
            *one = Some(one.map_or(bound.at_most, |other| other.min(bound.at_most)));
        }
        bounds
    }
}

/// What all requests are promised, and what those of some classes are instead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Promises {
    /// To all, and to each request whose class has none of its own.
    pub common: Slo,
    /// To classes that have their own, by name, in the scenario's order.
    pub of_classes: Vec<(String, Slo)>,
}

impl Promises {
    /// The same to all.
    pub fn to_all(slo: Slo) -> Promises {
        Promises { common: slo, of_classes: Vec::new() }
    }

    /// What requests of a class are promised.
    pub fn to(&self, class: &str) -> &Slo {
        self.own(class).unwrap_or(&self.common)
    }

    /// The promise that a class has for itself.
    pub fn own(&self, class: &str) -> Option<&Slo> {
        self.of_classes.iter().find(|(name, _)| name == class).map(|(_, slo)| slo)
    }

    /// All of them, the common one first.
    pub fn all(&self) -> impl Iterator<Item = &Slo> {
        [&self.common].into_iter().chain(self.of_classes.iter().map(|(_, slo)| slo))
    }
}
