//! What a search turns: the arrival rate, or the users of a closed loop.

use super::Study;
use super::file::{AtCapacity, Searched};
use crate::scenario::Experiment;
use crate::search::bisect::Range;
use crate::search::probe::{Offered, SearchError};
use crate::workload::Arrivals;

/// Rates are searched from the scenario's times 2^-this to that times 2^this.
const OCTAVES: u32 = 14;
/// More users than these are a mistake, or a question for a rate.
const USERS_MAX: f64 = 1e6;

/// What a search turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Knob {
    /// Arrivals a second, as a multiple of the scenario's.
    Rate {
        /// Those.
        base: f64,
        /// Whether sessions arrive, not requests.
        sessions: bool,
    },
    /// Users of a closed loop.
    Users {
        /// The scenario's.
        base: u32,
    },
}

impl Knob {
    /// What the scenario has.
    ///
    /// # Errors
    /// When it has neither a rate nor users.
    pub(super) fn of(study: Study<'_>) -> Result<Knob, SearchError> {
        match study.experiment.workload.users() {
            Some(base) => Ok(Knob::Users { base }),
            None => Ok(Knob::Rate {
                base: study.base_rate_per_s()?,
                sessions: study.experiment.workload.source.has_turns(),
            }),
        }
    }

    /// Where it is turned.
    pub(super) fn range(self) -> Range {
        match self {
            Knob::Rate { .. } => Range {
                from: 1.0,
                least: 1.0 / f64::from(1 << OCTAVES),
                most: f64::from(1 << OCTAVES),
                whole: false,
            },
            Knob::Users { base } => {
                let from = f64::from(base).min(USERS_MAX);
                Range { from, least: 1.0, most: USERS_MAX, whole: true }
            }
        }
    }

    /// What is offered where it stands at `value`.
    pub(super) fn offered(self, value: f64) -> Offered {
        match self {
            Knob::Rate { .. } => Offered::Times(value),
            Knob::Users { .. } => Offered::Users(value as u32),
        }
    }

    /// What is offered at `value`: users, or requests a second as stated.
    pub(super) fn amount(self, value: f64) -> f64 {
        match self {
            Knob::Rate { base, .. } => value * base,
            Knob::Users { .. } => value,
        }
    }

    /// Whether only whole numbers make sense.
    pub(super) fn whole(self) -> bool {
        matches!(self, Knob::Users { .. })
    }

    /// What the scenario offers.
    pub(super) fn own(self) -> f64 {
        match self {
            Knob::Rate { base, .. } => base,
            Knob::Users { base } => f64::from(base),
        }
    }

    /// The scenario's own rate, where it has one.
    pub(super) fn own_rate(self) -> Option<f64> {
        match self {
            Knob::Rate { base, sessions: false } => Some(base),
            Knob::Rate { .. } | Knob::Users { .. } => None,
        }
    }

    /// Sessions that begin a second at a load; none where requests belong to none.
    pub(super) fn sessions_per_s(
        self,
        experiment: &Experiment,
        load: f64,
        at: AtCapacity,
    ) -> Option<f64> {
        match (self, experiment.workload.source.arrivals()) {
            (Knob::Rate { sessions: true, .. }, _) => Some(load),
            // Little's law: each user has a session, or thinks.
            (Knob::Users { .. }, Some(&Arrivals::ClosedLoop { think_time, .. })) => {
                Some(load / (at.session_s? + think_time.as_secs_f64()))
            }
            _ => None,
        }
    }

    /// Its name in results.
    pub(super) fn searched(self) -> Searched {
        match self {
            Knob::Rate { sessions: true, .. } => Searched::SessionsPerS,
            Knob::Rate { .. } => Searched::RequestsPerS,
            Knob::Users { .. } => Searched::Users,
        }
    }

    /// What one of it is called.
    pub(super) fn unit(self) -> &'static str {
        self.searched().unit()
    }
}
