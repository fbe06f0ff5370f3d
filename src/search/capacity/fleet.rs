//! The fewest replicas for a given rate.

use rayon::prelude::*;

use super::OCTAVES;
use super::file::{Capacity, ForRate, SizingPrice};
use crate::scenario::SchedulerRun;
use crate::search::bisect::bracket_and_bisect;
use crate::search::interval::{Interval, interval};
use crate::search::probe::{Load, SearchError, Study};

/// A scenario may ask for as many replicas.
const REPLICAS_MAX: u32 = 10_000;
/// Precision of the capacity of a fleet that was found big enough.
const FLEET_PRECISION: f64 = 0.02;

/// Searches around what the capacity of the scenario's own fleet suggests.
///
/// # Errors
/// When a simulation is stuck, or replicas cannot be added under the scenario's router.
pub(super) fn fewest_replicas(
    study: Study<'_>,
    scheduler: &SchedulerRun,
    capacity: &Capacity,
    seeds: &[u64],
    base: f64,
    rate: f64,
) -> Result<ForRate, SearchError> {
    let experiment = study.experiment;
    let mut tried: Vec<(u32, u32)> = Vec::new();
    // Data-parallel ranks of one deployment come together: one alone cannot be had, and where they
    // share experts it would not even hold the model.
    let ranks = experiment.hardware.data_ranks.max(1);
    let deployments_max = REPLICAS_MAX / ranks;
    let one = capacity.requests_per_s.map(|all| all.mean / f64::from(experiment.replicas / ranks));
    let holds = |deployments: u32| -> Result<bool, SearchError> {
        let replicas = deployments * ranks;
        let factor = rate / base;
        let probe = |&seed: &u64| {
            study.probe(scheduler, Load { factor, replicas, seed }).map(|probe| probe.held())
        };
        let held: Vec<Result<bool, SearchError>> = seeds.par_iter().map(probe).collect();
        let held = held.into_iter().collect::<Result<Vec<bool>, _>>()?;
        tried.push((replicas, held.iter().filter(|held| **held).count() as u32));
        Ok(held.iter().all(|held| *held))
    };
    let deployments = match one {
        Some(one) => {
            let guess = (rate / one).ceil().clamp(1.0, f64::from(deployments_max)) as u32;
            fewest(guess, deployments_max, holds)?
        }
        None => None,
    };
    let replicas = deployments.map(|deployments| deployments * ranks);
    // What that many carry together: not so many times what one does, since the router changes how
    // evenly requests come to each.
    let share_of_capacity = match replicas {
        Some(replicas) => fleet_capacity(study, scheduler, (replicas, rate / base), seeds, base)?,
        None => None,
    };
    let gpus = replicas.map(|replicas| replicas * experiment.hardware.gpus_per_replica);
    let usd = experiment.hardware.price_usd_per_gpu_hour;
    Ok(ForRate {
        requests_per_s: rate,
        replicas,
        gpus,
        share_of_capacity: share_of_capacity.map(|all| rate / all.mean),
        price: gpus.zip(usd).map(|(gpus, usd)| {
            SizingPrice::of(usd * f64::from(gpus), Some(rate), capacity.at_capacity)
        }),
        tried,
    })
}

/// The lowest count near `guess` that holds; `None` where none up to `most`, or up to some eight
/// times the guess, does.
fn fewest<E>(
    guess: u32,
    most: u32,
    mut holds: impl FnMut(u32) -> Result<bool, E>,
) -> Result<Option<u32>, E> {
    let mut at = guess;
    if holds(at)? {
        while at > 1 && holds(at - 1)? {
            at -= 1;
        }
        return Ok(Some(at));
    }
    // Steps that grow, then the gap is bisected.
    let (mut low, mut step) = (at, 1);
    loop {
        at = at.saturating_add(step).min(most);
        if holds(at)? {
            break;
        }
        if at == most || at > guess.saturating_mul(8).saturating_add(8) {
            return Ok(None);
        }
        (low, step) = (at, step * 2);
    }
    let mut high = at;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle)? { high = middle } else { low = middle }
    }
    Ok(Some(high))
}

/// Requests a second that `replicas` carry, searched upwards from a factor that holds.
fn fleet_capacity(
    study: Study<'_>,
    scheduler: &SchedulerRun,
    (replicas, from): (u32, f64),
    seeds: &[u64],
    base: f64,
) -> Result<Option<Interval>, SearchError> {
    let search = |&seed: &u64| {
        let bracket = bracket_and_bisect(FLEET_PRECISION, OCTAVES, |times| {
            // It held there a moment ago.
            if times == 1.0 {
                return Ok(true);
            }
            let load = Load { factor: from * times, replicas, seed };
            Ok::<bool, SearchError>(study.probe(scheduler, load)?.held())
        })?;
        Ok(bracket.holds.filter(|_| bracket.fails.is_some()).map(|times| times * from * base))
    };
    let found: Vec<Result<Option<f64>, SearchError>> = seeds.par_iter().map(search).collect();
    let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
    let found: Option<Vec<f64>> = found.into_iter().collect();
    Ok(found.as_deref().and_then(interval))
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
                    Ok::<bool, ()>(count >= needed)
                });
                let reached = needed <= guess || tried.iter().any(|&count| count >= needed);
                assert_eq!(found, Ok(reached.then_some(needed)), "from {guess}: {tried:?}");
                // The search may give up on a guess that is far too low, on no other.
                assert!(reached || needed > 8 * guess, "from {guess}: {tried:?}");
            }
        }
        assert_eq!(fewest(5, 9, |_| Ok::<bool, ()>(false)), Ok(None));
        assert_eq!(fewest(5, 9, |_| Err::<bool, ()>(())), Err(()));
    }
}
