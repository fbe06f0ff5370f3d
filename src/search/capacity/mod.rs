//! The highest rate that keeps a promise, scheduler by scheduler, and the fewest replicas for a
//! given rate.

mod file;
mod fleet;
mod notes;
mod text;

use rayon::prelude::*;
use serde_json::Value;

use super::bisect::bracket_and_bisect;
use super::interval::interval;
use super::probe::{Load, Probe, SearchError, Study};
use crate::report::Tool;
use crate::scenario::SchedulerRun;

pub use file::{
    AtCapacity, Capacity, CapacityFile, ForRate, SeedCapacity, SizingPrice, capacity_schema,
};
pub use text::{capacity_answers, capacity_rows, to_text};

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct CapacityOptions {
    /// Relative distance between the highest rate that holds and the lowest that does not.
    pub precision: f64,
    /// Runs with seeds of their own, each with its own capacity: at least 1.
    pub seeds: u32,
    /// Find the fewest replicas for this many requests a second, too.
    pub for_rate: Option<f64>,
    /// Threads.
    pub jobs: usize,
}

impl Default for CapacityOptions {
    fn default() -> CapacityOptions {
        CapacityOptions { precision: 0.01, seeds: 3, for_rate: None, jobs: 1 }
    }
}

/// Searched from the scenario's rate times 2^-this to the rate times 2^this.
const OCTAVES: u32 = 14;

/// Searches for the capacity of each scheduler of the scenario.
///
/// # Errors
/// When the workload has no rate to scale or a simulation is stuck; of several errors that of the
/// first scheduler and seed.
pub fn find_capacity(
    study: Study<'_>,
    scenario: Value,
    options: &CapacityOptions,
) -> Result<CapacityFile, SearchError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.jobs.max(1)).build();
    let pool = pool.map_err(crate::runner::RunError::from)?;
    pool.install(|| search(study, scenario, options))
}

/// The same on the threads of whoever calls.
///
/// # Errors
/// As for [`find_capacity`].
pub(super) fn search(
    study: Study<'_>,
    scenario: Value,
    options: &CapacityOptions,
) -> Result<CapacityFile, SearchError> {
    let experiment = study.experiment;
    if study.goal.asks_nothing(&experiment.slo) {
        return Err(SearchError::NoSense(
            "the scenario has no bounds to hold: set some, such as --set slo.bounds.ttft.p99=500ms"
                .to_owned(),
        ));
    }
    if options.for_rate.is_some() && !experiment.pools.is_empty() {
        let name = &experiment.pools[0].name;
        return Err(SearchError::NoSense(format!(
            "--for-rate searches for one number of replicas, and the scenario has pools of different \
             ones: leave it out for the highest rate of this fleet, and compare fleets with \
             `sweep --capacity --vary pools.{name}.replicas=1,2,3`"
        )));
    }
    let base = study.base_rate_per_s()?;
    let mut notes = Vec::new();
    let mut seeds: Vec<u64> =
        (0..options.seeds.max(1)).map(|i| experiment.seed.wrapping_add(u64::from(i))).collect();
    if seeds.len() > 1 && !study.seed_matters()? {
        seeds.truncate(1);
        notes.push("every seed gives the same requests: one sample, no interval".to_owned());
    }
    let tasks: Vec<(usize, u64)> = (0..experiment.schedulers.len())
        .flat_map(|scheduler| seeds.iter().map(move |&seed| (scheduler, seed)))
        .collect();
    let found: Vec<Result<SeedSearch, SearchError>> = tasks
        .par_iter()
        .map(|&(scheduler, seed)| {
            search_seed(study, &experiment.schedulers[scheduler], seed, base, options.precision)
        })
        .collect();
    let mut found: Vec<SeedSearch> = found.into_iter().collect::<Result<_, _>>()?;
    let schedulers: Vec<Result<Capacity, SearchError>> = {
        let mut of_each = Vec::new();
        for _ in &experiment.schedulers {
            let rest = found.split_off(seeds.len());
            of_each.push(std::mem::replace(&mut found, rest));
        }
        of_each
            .into_par_iter()
            .zip(&experiment.schedulers)
            .map(|(searches, scheduler)| {
                let mut capacity = put_together(study, scheduler, searches);
                if let Some(rate) = options.for_rate {
                    capacity.for_rate = Some(fleet::fewest_replicas(
                        study, scheduler, &capacity, &seeds, base, rate,
                    )?);
                }
                Ok(capacity)
            })
            .collect()
    };
    Ok(CapacityFile {
        schema_version: crate::report::SCHEMA_VERSION,
        kind: "capacity".to_owned(),
        tool: Tool::this(),
        scenario,
        promise: study.goal.words(&experiment.slo),
        precision: options.precision,
        seeds,
        scenario_requests_per_s: base,
        schedulers: schedulers.into_iter().collect::<Result<_, _>>()?,
        notes,
        inert: Vec::new(),
    })
}

struct SeedSearch {
    found: SeedCapacity,
    /// The run at the highest rate that held.
    best: Option<Probe>,
    /// The run at the lowest rate, where none held.
    worst: Option<Probe>,
}

fn search_seed(
    study: Study<'_>,
    scheduler: &SchedulerRun,
    seed: u64,
    base: f64,
    precision: f64,
) -> Result<SeedSearch, SearchError> {
    let (mut tried, mut shares) = (Vec::new(), Vec::new());
    let (mut best, mut worst) = (None::<(f64, Probe)>, None::<(f64, Probe)>);
    let bracket = bracket_and_bisect(precision, OCTAVES, |factor| {
        let load = Load { factor, replicas: study.experiment.replicas, seed };
        let probe = study.probe(scheduler, load)?;
        let held = probe.held();
        tried.push((factor * base, held));
        let fluidity = probe.result.summary.fluidity.as_ref();
        shares.push(fluidity.and_then(|fluidity| fluidity.fluid_request_share));
        // The highest rate that held, the lowest that did not.
        let (kept, sign) = if held { (&mut best, 1.0) } else { (&mut worst, -1.0) };
        if kept.as_ref().is_none_or(|(other, _)| (factor - *other) * sign > 0.0) {
            *kept = Some((factor, probe));
        }
        Ok::<bool, SearchError>(held)
    })?;
    let failing = worst.as_ref().map(|(_, probe)| probe);
    Ok(SeedSearch {
        found: SeedCapacity {
            seed,
            holds_requests_per_s: bracket.holds.map(|factor| factor * base),
            fails_requests_per_s: bracket.fails.map(|factor| factor * base),
            broken: failing.map_or(Vec::new(), |probe| probe.broken.clone()),
            growing: failing.is_some_and(|probe| probe.steadiness.growing),
            tried,
            tried_fluid_request_share: shares,
        },
        best: best.map(|(_, probe)| probe),
        worst: worst.map(|(_, probe)| probe),
    })
}

fn put_together(study: Study<'_>, scheduler: &SchedulerRun, searches: Vec<SeedSearch>) -> Capacity {
    let experiment = study.experiment;
    let gpus = experiment.gpus();
    // A search with an open end gives no number; neither does a mean over some of the seeds.
    let closed = |search: &SeedSearch| match search.found.fails_requests_per_s {
        Some(_) => search.found.holds_requests_per_s,
        None => None,
    };
    let rates: Option<Vec<f64>> = searches.iter().map(closed).collect();
    let requests_per_s = rates.as_deref().and_then(interval);
    let per_gpu = |rate: &f64| rate / f64::from(gpus.max(1));
    let rates_per_gpu: Option<Vec<f64>> = rates.as_ref().map(|r| r.iter().map(per_gpu).collect());
    let mut limited_by: Vec<String> = Vec::new();
    for search in &searches {
        let names = search
            .found
            .broken
            .iter()
            .map(|b| b.split(" = ").next().unwrap_or_default().to_owned());
        let growing = search.found.growing.then(|| "the queue keeps growing".to_owned());
        for name in names.chain(growing) {
            if !limited_by.contains(&name) {
                limited_by.push(name);
            }
        }
    }
    let mut notes = notes::notes(study, &searches);
    notes.extend(requests_per_s.and_then(|rate| notes::wide(&rate)));
    let at_capacity = searches[0].best.as_ref().map(AtCapacity::of);
    let price = experiment.usd_per_hour().map(|usd_per_hour| {
        let rate = requests_per_s.map(|rate| rate.mean);
        SizingPrice::of(usd_per_hour, rate, at_capacity)
    });
    Capacity {
        scheduler: scheduler.name.clone(),
        label: scheduler.label.clone(),
        replicas: experiment.replicas,
        gpus,
        requests_per_s,
        requests_per_s_per_gpu: rates_per_gpu.as_deref().and_then(interval),
        limited_by,
        at_capacity,
        price,
        for_rate: None,
        notes,
        seeds: searches.into_iter().map(|search| search.found).collect(),
    }
}
