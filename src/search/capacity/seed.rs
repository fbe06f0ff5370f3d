//! The search for one seed's capacity: a glimpse says about where it is, whole runs show it.

use super::file::SeedCapacity;
use super::knob::Knob;
use crate::metrics::Measure;
use crate::scenario::SchedulerRun;
use crate::search::bisect::{Bracket, Shown, bracket_and_bisect, bracket_from};
use crate::search::probe::{Length, Load, Probe, SearchError, Study};
use crate::search::size::FleetSize;
use crate::search::watch::Task;

/// Simulations that a search takes by experience, for a first guess.
pub(super) const TRIES: u64 = 10;

/// What the search for one seed found, and the runs at its ends.
pub(super) struct SeedSearch {
    pub(super) found: SeedCapacity,
    /// The run at the highest load that held.
    pub(super) best: Option<Probe>,
    /// The run at the lowest load above that was shown not to.
    pub(super) fails: Option<Probe>,
    /// The run at the lowest load above of which it is not known.
    pub(super) open: Option<Probe>,
}

impl SeedSearch {
    /// The run at the lowest load above that was not shown to hold.
    pub(super) fn worst(&self) -> Option<&Probe> {
        self.open.as_ref().or(self.fails.as_ref())
    }
}

/// The runs at the ends of what a search knows.
#[derive(Default)]
struct Ends {
    holds: Option<(f64, Probe)>,
    fails: Option<(f64, Probe)>,
    open: Option<(f64, Probe)>,
}

impl Ends {
    /// Keeps the run at a value where it is an end: the highest that held, the lowest others.
    fn take(&mut self, value: f64, probe: Probe) {
        let (end, higher) = match probe.shows() {
            Shown::Holds => (&mut self.holds, true),
            Shown::Fails => (&mut self.fails, false),
            Shown::Nothing => (&mut self.open, false),
        };
        if end.as_ref().is_none_or(|(other, _)| (value > *other) == higher) {
            *end = Some((value, probe));
        }
        let Some((held, _)) = &self.holds else { return };
        self.fails.take_if(|(value, _)| *value <= *held);
        self.open.take_if(|(value, _)| *value <= *held);
    }

    /// Halvings that are left, by what is known.
    fn left(&self, precision: f64) -> u64 {
        let value = |end: &Option<(f64, Probe)>| end.as_ref().map(|(value, _)| *value);
        let high = [value(&self.fails), value(&self.open)].into_iter().flatten();
        match value(&self.holds).zip(high.reduce(f64::min)) {
            Some((low, high)) => {
                let parts = ((high - low) / (low * precision)).max(1.0);
                libm::ceil(libm::log2(parts)).min(60.0) as u64
            }
            None => TRIES - 2,
        }
    }
}

/// A glimpse has this share of the requests, and so many at least.
const GLIMPSE: (f64, f64) = (0.125, 250.0);
/// How closely a glimpse looks.
const GLIMPSE_PRECISION: f64 = 0.04;

/// About where the border is, by the first requests alone: where the search for every seed begins. `None`
/// where the first requests are not like the others, as those of sessions never are, or there are few anyway.
///
/// # Errors
/// When a simulation is stuck.
pub(super) fn glimpse(
    study: Study<'_>,
    scheduler: &SchedulerRun,
    seed: u64,
    knob: Knob,
) -> Result<Option<f64>, SearchError> {
    let experiment = study.experiment;
    let requests = f64::from(experiment.workload.amount.requests.unwrap_or(0));
    let share = GLIMPSE.0.max(GLIMPSE.1 / requests.max(1.0));
    if share > 0.5
        || experiment.horizon.is_some()
        || experiment.measure != Measure::default()
        || !experiment.workload.is_stationary()
        || matches!(knob, Knob::Rate { sessions: true, .. })
    {
        return Ok(None);
    }
    let size = FleetSize::of(experiment);
    let bracket = bracket_and_bisect(GLIMPSE_PRECISION, knob.range(), |value| {
        let played = Length::Glimpse(share);
        let load = Load { played, ..Load::whole(knob.offered(value), size.clone(), seed) };
        Ok::<_, SearchError>(study.probe(scheduler, &load)?.map(|probe| probe.shows()))
    })?;
    Ok(bracket.ends().map(|(low, high)| (low * high).sqrt()))
}

/// Searches with one seed, from a guess where there is one.
///
/// # Errors
/// When a simulation is stuck.
pub(super) fn search_seed(
    study: Study<'_>,
    scheduler: &SchedulerRun,
    seed: u64,
    knob: Knob,
    (precision, guess): (f64, Option<f64>),
    task: Task<'_>,
) -> Result<SeedSearch, SearchError> {
    let (mut tried, mut shares) = (Vec::new(), Vec::new());
    let mut ends = Ends::default();
    let size = FleetSize::of(study.experiment);
    let whole = |value: f64| Load::whole(knob.offered(value), size.clone(), seed);
    let bracket = bracket_from(precision, knob.range(), guess, |value| {
        let load = Load { played: Length::UntilBroken, ..whole(value) };
        let Some(probe) = study.probe(scheduler, &load)? else { return Ok(None) };
        let (shown, requests) = (probe.shows(), probe.requests);
        tried.push((knob.amount(value), shown.held()));
        let fluidity = probe.result.as_ref().and_then(|run| run.summary.fluidity.as_ref());
        shares.push(fluidity.and_then(|fluidity| fluidity.fluid_request_share));
        ends.take(value, probe);
        task.expects(ends.left(precision) * requests);
        Ok::<_, SearchError>(Some(shown))
    })?;
    // What is said of the load that failed, it did to its end.
    if let Some((value, probe)) = ends.fails.as_mut().filter(|(_, probe)| probe.result.is_none())
        && let Some(played) = study.probe(scheduler, &whole(*value))?
    {
        *probe = played;
        let fluidity = probe.result.as_ref().and_then(|run| run.summary.fluidity.as_ref());
        let share = fluidity.and_then(|fluidity| fluidity.fluid_request_share);
        let amount = knob.amount(*value);
        if let Some(place) = tried.iter().position(|one| one.0 == amount) {
            shares[place] = share;
        }
    }
    task.expects(0);
    let Bracket { holds, fails, open, complete } = bracket;
    let run = |end: Option<(f64, Probe)>| end.map(|(_, probe)| probe);
    let (best, failing) = (run(ends.holds), run(ends.fails));
    // What is open above a failure is no border.
    let unknown = run(ends.open).filter(|_| open.is_some());
    let rate = |end: Option<f64>| end.filter(|_| !knob.whole()).map(|value| knob.amount(value));
    let requests = matches!(knob, Knob::Rate { sessions: false, .. });
    let came = |end: Option<f64>, probe: &Option<Probe>| {
        end.filter(|_| requests).and_then(|_| probe.as_ref()?.requests_per_s)
    };
    let users = |end: Option<f64>| end.filter(|_| knob.whole()).map(|users| users as u32);
    let (broken, growing) = failing
        .as_ref()
        .map_or((Vec::new(), false), |probe| (probe.broken.clone(), probe.steadiness.growing));
    Ok(SeedSearch {
        found: SeedCapacity {
            seed,
            holds_requests_per_s: rate(holds),
            fails_requests_per_s: rate(fails),
            open_requests_per_s: rate(open),
            holds_realised_requests_per_s: came(holds, &best),
            fails_realised_requests_per_s: came(fails, &failing),
            holds_users: users(holds),
            fails_users: users(fails),
            open_users: users(open),
            complete,
            broken,
            open: unknown.as_ref().or(failing.as_ref()).map_or(Vec::new(), |p| p.open.clone()),
            growing,
            tried,
            tried_fluid_request_share: shares,
        },
        best,
        fails: failing,
        open: unknown,
    })
}
