//! How much load is asked for.

use super::file::PlanFile;
use super::question::short;
use super::search::PlanError;
use super::sessions::Pace;
use crate::scenario::Experiment;
use crate::search::goal::Goal;
use crate::search::probe::{SearchError, Study};
use crate::search::settled::Settling;
use crate::search::watch::Watch;
use crate::shown::duration;
use crate::workload::{Arrivals, Source};

/// The load of a scenario, or what is asked for in its place.
pub(super) fn load_of(
    experiment: &Experiment,
    rate: Option<f64>,
    file: &mut PlanFile,
) -> Result<Asked, PlanError> {
    if let Some(users) = experiment.workload.users() {
        return match rate {
            None => {
                file.notes.extend(in_step(experiment, users));
                Ok(Asked::Users(users))
            }
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

/// What to know of users of a closed loop, who all think for the same time.
fn in_step(experiment: &Experiment, users: u32) -> Option<String> {
    let source = &experiment.workload.source;
    let Some(Arrivals::ClosedLoop { think_time, .. }) = source.arrivals() else { return None };
    let think_s = think_time.as_secs_f64();
    if source.has_turns() || users < 2 || think_s <= 0.0 {
        return None;
    }
    let most = short(f64::from(users) / think_s);
    Some(format!(
        "all users ask at once at the start and then think for exactly {0}: where their requests are alike they \
         stay in step, and the GPUs are those that such waves take. People who think for {0} on the average, some \
         longer than others, bring {most} requests/s at the most, at random: ask for these with --rate {most}",
        duration(think_s)
    ))
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
    if users.is_some() && !settles {
        let lasts = duration(pace.mean.stay_s);
        notes.push(format!(
            "a session lasts {lasts} on the average, and a run is too short for more than one or two of \
             each user: contexts may be shorter than in a day's work"
        ));
    }
    notes
}

/// How a note begins that says why there is no answer.
pub(super) const NO_ANSWER: &str = "no answer: ";

/// Why there is no answer where more sessions begin than are played.
pub(super) fn too_many_sessions(seen: &Settling) -> String {
    let (starts, stay) = (duration(seen.starts_s), duration(seen.stay_s));
    let rate = f64::from(seen.begun) / seen.starts_s.max(1e-9);
    let shown = short(rate * seen.starts_s / (seen.stay_s * 2.5));
    format!(
        "{NO_ANSWER}a session lasts {stay}, and a run of {} requests, the most that are played, has sessions \
         begin for {starts}, too short a time for as many to end as begin; ask for a part of the load, such as \
         {shown} sessions/s, and take so many times the GPUs",
        (seen.turns * f64::from(seen.begun)).round()
    )
}

/// What to know of recorded sessions that begin for too short a time.
pub(super) fn short_recording(seen: &Settling) -> String {
    let (starts, stay) = (duration(seen.starts_s), duration(seen.stay_s));
    format!(
        "the sessions of the trace begin for {starts} and one lasts {stay}: the GPUs hold the trace as it is \
         played, and it is too short to say so of such a rate kept up, or of a higher one"
    )
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
