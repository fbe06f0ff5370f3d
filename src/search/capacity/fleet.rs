//! The fewest replicas for a given load.

use super::file::{Capacity, ForLoad, SizingPrice};
use super::knob::Knob;
use crate::scenario::SchedulerRun;
use crate::search::bisect::{Range, Shown, bracket_from};
use crate::search::interval::interval;
use crate::search::probe::{Length, Load, Offered, SearchError, Study};
use crate::search::size::{FleetSize, Steps};
use crate::search::watch::Task;
use crate::threads;

/// Precision of the capacity of a fleet that was found big enough.
const FLEET_PRECISION: f64 = 0.02;
/// The capacity of such a fleet is searched up to so many times the load that was asked for.
const TIMES_MAX: f64 = 1024.0;
/// The guess may be wrong by this much before the search gives up.
const GUESS_WRONG: u32 = 8;

/// What a fleet is to carry.
pub(super) struct Asked<'a> {
    /// Requests a second, or users.
    pub load: f64,
    pub knob: Knob,
    /// How the fleet grows.
    pub steps: &'a Steps,
    pub seeds: &'a [u64],
    pub task: Task<'a>,
    /// The most requests of a run, where the scenario's own fleet needs no more.
    pub requests_max: u32,
}

/// A large fleet's run has so many requests at most, if they come over so many times as long as one stays:
/// a thousandth of them is twenty, and the start and the end weigh little.
const REQUESTS_MAX: f64 = 20_000.0;
const STAYS_MIN: f64 = 20.0;

/// The most requests of a run at so many requests a second that stay so long each.
pub(super) fn requests_max(requests_per_s: Option<f64>, stay_s: Option<f64>) -> u32 {
    let Some((rate, stay_s)) = requests_per_s.zip(stay_s) else { return u32::MAX };
    (STAYS_MIN * stay_s * rate).max(REQUESTS_MAX) as u32
}

impl Asked<'_> {
    /// Searches around what the capacity of the scenario's own fleet suggests.
    ///
    /// # Errors
    /// When a simulation is stuck.
    pub(super) fn fewest(
        &self,
        study: Study<'_>,
        scheduler: &SchedulerRun,
        capacity: &Capacity,
        max_replicas: u32,
    ) -> Result<ForLoad, SearchError> {
        let experiment = study.experiment;
        let whole = self.knob.whole();
        let mut sized = ForLoad {
            requests_per_s: (!whole).then_some(self.load),
            users: whole.then_some(self.load as u32),
            replicas: None,
            pools: None,
            gpus: None,
            share_of_capacity: None,
            price: None,
            estimate: None,
            complete: true,
            fewer_not_known: false,
            why: None,
            tried: Vec::new(),
        };
        let Some(own) = capacity.border().filter(|border| border.mean > 0.0) else {
            self.task.expects(0);
            sized.complete = capacity.seeds.iter().all(|seed| seed.complete);
            sized.why = Some(match sized.complete {
                true => "the scenario's own fleet has no capacity to start from".to_owned(),
                false => "time ran out before the scenario's own fleet was known".to_owned(),
            });
            return Ok(sized);
        };
        let suggested = (self.load / own.mean * f64::from(self.steps.own)).ceil().max(1.0);
        let most = self.steps.most(max_replicas);
        let of_step =
            f64::from(self.steps.at(1).replicas()) - f64::from(self.steps.at(0).replicas());
        let estimate = f64::from(self.steps.at(0).replicas()) + suggested * of_step;
        sized.estimate = Some(estimate as u64);
        if suggested > f64::from(most) {
            self.task.expects(0);
            sized.why = Some(format!(
                "it would take some {estimate:.0} replicas by what {} carr{}, more than are \
                 simulated (--max-replicas {max_replicas})",
                experiment.replicas,
                if experiment.replicas == 1 { "ies" } else { "y" },
            ));
            return Ok(sized);
        }
        let guess = suggested as u32;
        let task = self.task;
        let of_run = u64::from(experiment.workload.amount.requests.unwrap_or(1_000));
        let run = |size: &FleetSize| {
            of_run * u64::from(size.replicas()) / u64::from(experiment.replicas.max(1))
        };
        let seeds = self.seeds.len() as u64;
        task.expects(run(&self.steps.at(guess)) * seeds * 10);
        let mut tried = Vec::new();
        let mut undecided: Vec<u32> = Vec::new();
        let found = fewest(guess, most, |steps| -> Result<Option<bool>, SearchError> {
            let size = self.steps.at(steps);
            let probe = |&seed: &u64| -> Result<Option<Shown>, SearchError> {
                let load = self.on(self.offered(), &size, seed);
                Ok(study.probe(scheduler, &load)?.map(|probe| probe.shows()))
            };
            // What the first seed does not hold the others need not.
            let (first, others) = self.seeds.split_at(1.min(self.seeds.len()));
            let mut shown: Vec<Result<Option<Shown>, SearchError>> =
                first.iter().map(probe).collect();
            if !matches!(shown.first(), Some(Ok(Some(Shown::Fails)))) {
                shown.extend(threads::spread_map(others.iter().collect(), probe));
            }
            let shown = shown.into_iter().collect::<Result<Option<Vec<Shown>>, _>>()?;
            let Some(shown) = shown else { return Ok(None) };
            let held = shown.iter().filter(|shown| **shown == Shown::Holds).count();
            if held < shown.len() && !shown.contains(&Shown::Fails) {
                undecided.push(steps);
            }
            tried.push((size.replicas(), held as u32));
            task.expects(run(&size) * seeds * 9);
            Ok(Some(held == self.seeds.len()))
        })?;
        sized.tried = tried;
        match found {
            Fewest::Found(steps) => {
                let size = self.steps.at(steps);
                sized.fewer_not_known = undecided.contains(&steps.saturating_sub(1));
                let carried = self.carried(study, scheduler, &size)?;
                sized.complete = carried.complete;
                sized.share_of_capacity = carried.mean.map(|all| self.load / all);
                sized.replicas = Some(size.replicas());
                sized.pools = size.by_name(experiment);
                sized.gpus = Some(size.gpus(experiment));
                let at = capacity.at_capacity;
                let begun = at.and_then(|at| self.knob.sessions_per_s(experiment, self.load, at));
                let turns = at.and_then(|at| at.requests_per_session);
                let rate = match self.knob {
                    Knob::Rate { sessions: false, .. } => Some(self.load),
                    Knob::Rate { .. } | Knob::Users { .. } if turns.is_some() => {
                        begun.zip(turns).map(|(begun, turns)| begun * turns)
                    }
                    // As many a user as at the capacity of the scenario's own fleet.
                    Knob::Rate { .. } | Knob::Users { .. } => {
                        let rate = at.and_then(|at| at.requests_per_s);
                        rate.map(|rate| rate * self.load / own.mean)
                    }
                };
                sized.price =
                    size.usd_per_hour(experiment).map(|usd| SizingPrice::of(usd, rate, begun, at));
            }
            Fewest::NoneUpTo(steps) => {
                let most = self.steps.at(steps).replicas();
                sized.why = Some(match !undecided.is_empty() {
                    true => format!(
                        "it is not known whether any number of replicas up to {most} holds: runs end \
                         before that is decided"
                    ),
                    false => format!("no number of replicas was found that holds, up to {most}"),
                });
            }
            Fewest::TimeRanOut => {
                sized.complete = false;
                sized.why = Some(format!(
                    "time ran out before a number of replicas was found; what the scenario's own \
                     fleet carries suggests some {estimate:.0}"
                ));
            }
        }
        task.expects(0);
        Ok(sized)
    }

    /// A load on a fleet, as far as it is played.
    fn on(&self, offered: Offered, size: &FleetSize, seed: u64) -> Load {
        let whole = Load::whole(offered, size.clone(), seed);
        Load { played: Length::UntilBroken, requests_max: self.requests_max, ..whole }
    }

    fn offered(&self) -> Offered {
        match self.knob {
            Knob::Rate { base, .. } => Offered::Times(self.load / base),
            Knob::Users { .. } => Offered::Users(self.load as u32),
        }
    }

    /// What that many replicas carry together, searched upwards from a load that holds: not so many
    /// times what one does, since the router changes how evenly requests come to each.
    fn carried(
        &self,
        study: Study<'_>,
        scheduler: &SchedulerRun,
        size: &FleetSize,
    ) -> Result<Carried, SearchError> {
        let search = |&seed: &u64| {
            let from = self.offered();
            let whole = self.knob.whole();
            let start = if whole { self.load } else { 1.0 };
            let range = Range { from: start, least: start, most: start * TIMES_MAX, whole };
            let guess = start * (1.0 + 0.5 / f64::from(size.replicas().max(1)));
            let bracket = bracket_from(FLEET_PRECISION, range, Some(guess), |value| {
                // It held there a moment ago.
                if value == start {
                    return Ok(Some(Shown::Holds));
                }
                let offered = match from {
                    Offered::Times(factor) => Offered::Times(factor * value),
                    Offered::Users(_) => Offered::Users(value as u32),
                };
                let load = self.on(offered, size, seed);
                Ok::<_, SearchError>(study.probe(scheduler, &load)?.map(|probe| probe.shows()))
            })?;
            let loads = |value: f64| if whole { value } else { value * self.load };
            // Where nothing is shown just above, more may be carried than is shown.
            let known = bracket.ends().filter(|_| bracket.open.is_none());
            Ok((bracket.complete, known.map(|(holds, _)| loads(holds))))
        };
        let found: Vec<Result<_, SearchError>> =
            threads::spread_map(self.seeds.iter().collect(), search);
        let found = found.into_iter().collect::<Result<Vec<(bool, Option<f64>)>, _>>()?;
        let complete = found.iter().all(|(complete, _)| *complete);
        let all: Option<Vec<f64>> = found.into_iter().map(|(_, held)| held).collect();
        let mean = all.as_deref().and_then(interval).filter(|_| complete);
        Ok(Carried { complete, mean: mean.map(|mean| mean.mean) })
    }
}

struct Carried {
    complete: bool,
    /// Mean over the seeds; none where nothing fails or is shown just above, or time ran out.
    mean: Option<f64>,
}

/// How a search for the fewest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fewest {
    /// With the lowest count that holds.
    Found(u32),
    /// None up to this one does.
    NoneUpTo(u32),
    /// With nothing.
    TimeRanOut,
}

/// The lowest count near `guess` that holds, up to `most` and to some eight times the guess.
fn fewest<E>(
    guess: u32,
    most: u32,
    mut holds: impl FnMut(u32) -> Result<Option<bool>, E>,
) -> Result<Fewest, E> {
    let mut at = guess;
    let Some(held) = holds(at)? else { return Ok(Fewest::TimeRanOut) };
    if held {
        // Down by steps that grow, then the gap is bisected.
        let (mut high, mut low, mut step) = (at, 0, 1);
        while high - low > 1 && low == 0 {
            let below = high.saturating_sub(step).max(1);
            match holds(below)? {
                Some(true) => high = below,
                Some(false) => low = below,
                None => return Ok(Fewest::TimeRanOut),
            }
            step *= 2;
        }
        return between(low, high, holds);
    }
    // Steps that grow, then the gap is bisected.
    let (mut low, mut step) = (at, 1);
    loop {
        at = at.saturating_add(step).min(most);
        if at == low {
            return Ok(Fewest::NoneUpTo(at));
        }
        match holds(at)? {
            Some(true) => break,
            Some(false) => {}
            None => return Ok(Fewest::TimeRanOut),
        }
        if at > guess.saturating_mul(GUESS_WRONG).saturating_add(GUESS_WRONG) {
            return Ok(Fewest::NoneUpTo(at));
        }
        (low, step) = (at, step * 2);
    }
    between(low, at, holds)
}

/// The lowest count that holds, between one that does not (or none) and one that does.
fn between<E>(
    mut low: u32,
    mut high: u32,
    mut holds: impl FnMut(u32) -> Result<Option<bool>, E>,
) -> Result<Fewest, E> {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match holds(middle)? {
            Some(true) => high = middle,
            Some(false) => low = middle,
            None => return Ok(Fewest::TimeRanOut),
        }
    }
    Ok(Fewest::Found(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_that_hold_are_found_from_any_guess() {
        for needed in 1..200 {
            for guess in [1, 2, 30, 199] {
                let mut tried = Vec::new();
                let found = fewest(guess, 1000, |count| {
                    tried.push(count);
                    Ok::<_, ()>(Some(count >= needed))
                });
                let reached = needed <= guess || tried.iter().any(|&count| count >= needed);
                match found.expect("no error") {
                    Fewest::Found(count) => assert!(reached && count == needed, "from {guess}"),
                    // The search may give up on a guess that is far too low, on no other.
                    Fewest::NoneUpTo(_) => assert!(!reached && needed > 8 * guess, "from {guess}"),
                    Fewest::TimeRanOut => panic!("no time runs here"),
                }
            }
        }
        assert_eq!(fewest(5, 9, |_| Ok::<_, ()>(Some(false))), Ok(Fewest::NoneUpTo(9)));
        assert_eq!(fewest(9, 9, |_| Ok::<_, ()>(Some(false))), Ok(Fewest::NoneUpTo(9)));
        assert_eq!(fewest(5, 9, |_| Ok::<_, ()>(None)), Ok(Fewest::TimeRanOut));
        assert_eq!(fewest(5, 9, |_| Err::<Option<bool>, ()>(())), Err(()));
    }
}
