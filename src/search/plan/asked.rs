//! How much load is asked for.

use super::file::PlanFile;
use super::question::short;
use super::search::PlanError;
use super::sessions::Pace;
use crate::scenario::Experiment;
use crate::search::goal::Goal;
use crate::search::probe::{SearchError, Study};
use crate::search::watch::Watch;
use crate::workload::{Arrivals, Source};

/// The load of a scenario, or what is asked for in its place.
pub(super) fn load_of(
    experiment: &Experiment,
    rate: Option<f64>,
    file: &mut PlanFile,
) -> Result<Asked, PlanError> {
    if let Some(users) = experiment.workload.users() {
        return match rate {
            None => Ok(Asked::Users(users)),
            Some(_) => Err(PlanError::NoSense(
                "--rate asks for arrivals a second, and the scenario has users of a closed loop: leave \
                 it out"
                    .to_owned(),
            )),
        };
    }
    if let Source::Synthetic { arrivals: Arrivals::Piecewise(pieces), .. } =
        &experiment.workload.source
    {
        let peak = pieces.iter().map(|piece| piece.rate.max(piece.ramp_to)).fold(0.0, f64::max);
        let parts = pieces.iter().map(|piece| {
            let seconds = piece.length.as_secs_f64();
            (seconds, seconds * (piece.rate + piece.ramp_to) / 2.0)
        });
        let (seconds, arrivals) = parts.fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
        let mean = arrivals / f64::max(seconds, 1e-9);
        let rate = rate.unwrap_or(peak);
        file.notes.push(format!(
            "the rate changes with time: the fleet is sized for its highest, {} requests/s, kept up; \
             cost per token is at its mean, {}",
            short(rate),
            short(mean)
        ));
        return Ok(Asked::Rate { rate, times: 1.0, mean: Some(mean), steady: Some(rate) });
    }
    let base = any_rate(experiment)?;
    let rate = rate.unwrap_or(base);
    Ok(Asked::Rate { rate, times: rate / base, mean: None, steady: None })
}

/// The scenario's own requests, or sessions, a second.
pub(super) fn any_rate(experiment: &Experiment) -> Result<f64, SearchError> {
    let goal = Goal::default();
    let (watch, simulate) = (Watch::default(), crate::runner::Simulator);
    let study = Study {
        experiment,
        simulate: &simulate,
        goal: &goal,
        kept: None,
        watch: &watch,
        at_once: 1,
    };
    study.base_rate_per_s()
}

/// What to know of sessions that are counted here.
pub(super) fn sessions_note(pace: &Pace, settles: bool, users: Option<u32>) -> Vec<String> {
    let mut notes = vec![
        "a session stays on its replica (`router: session-affinity`), where its context is found again"
            .to_owned(),
    ];
    if !settles {
        let lasts = crate::shown::duration(pace.mean.stay_s);
        notes.push(match users {
            Some(_) => format!(
                "a session lasts {lasts} on the average, and a run is too short for more than one or two of \
                 each user: contexts may be shorter than in a day's work"
            ),
            None => format!(
                "a session lasts {lasts} on the average, and a run is too short for as many to end as \
                 begin: fewer are under way than such a rate brings, and more GPUs may be needed"
            ),
        });
    }
    notes
}

/// The load that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Asked {
    Users(u32),
    Rate {
        /// Requests a second.
        rate: f64,
        /// As many times the scenario's.
        times: f64,
        /// Requests a second that are paid for, where they are fewer.
        mean: Option<f64>,
        /// Where the scenario's rate changes: the one that is kept up in its place.
        steady: Option<f64>,
    },
}

impl Asked {
    /// How much it is, in whatever it is counted.
    pub(super) fn amount(self) -> f64 {
        match self {
            Asked::Users(users) => f64::from(users),
            Asked::Rate { rate, .. } => rate,
        }
    }
}
