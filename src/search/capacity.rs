//! The highest rate that keeps a promise, scheduler by scheduler, and the fewest replicas for a
//! given rate.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bisect::bracket_and_bisect;
use super::interval::{Interval, interval};
use super::probe::{Load, Probe, SearchError, Study};
use crate::report::Tool;
use crate::report::units::three_digits;
use crate::scenario::SchedulerRun;

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
/// An interval this wide, as a share of its mean, says little.
const WIDE: f64 = 0.25;
/// A scenario may ask for as many replicas.
const REPLICAS_MAX: u32 = 10_000;
/// Precision of the capacity of a fleet that was found big enough.
const FLEET_PRECISION: f64 = 0.02;
/// A quantile, or a share, should rest on this many samples beyond it.
const TAIL_SAMPLES: f64 = 10.0;
/// The arrivals should last this many times a request's stay.
const STAYS: f64 = 5.0;

/// The published result of a capacity search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityFile {
    /// Version of this layout.
    pub schema_version: u32,
    /// `capacity`.
    pub kind: String,
    /// What made it.
    pub tool: Tool,
    /// The scenario as resolved.
    pub scenario: Value,
    /// What had to hold, in words.
    pub promise: String,
    /// Relative distance between the rates of each bracket.
    pub precision: f64,
    /// Seeds of the runs.
    pub seeds: Vec<u64>,
    /// The scenario's own rate.
    pub scenario_requests_per_s: f64,
    /// One for each scheduler.
    pub schedulers: Vec<Capacity>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// What one scheduler can carry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Registered name.
    pub scheduler: String,
    /// Name and parameters.
    pub label: String,
    /// Replicas that were simulated.
    pub replicas: u32,
    /// Their GPUs.
    pub gpus: u32,
    /// Highest rate that holds on all of them; null when none does, or none fails.
    pub requests_per_s: Option<Interval>,
    /// The same for one GPU.
    pub requests_per_s_per_gpu: Option<Interval>,
    /// What gives way just above: figures of the promise, or `the queue keeps growing`.
    pub limited_by: Vec<String>,
    /// Seed by seed.
    pub seeds: Vec<SeedCapacity>,
    /// What users get at the highest rate, for the first seed.
    pub at_capacity: Option<AtCapacity>,
    /// Money at the highest rate; null where no price is known.
    pub price: Option<SizingPrice>,
    /// Replicas for the rate asked for.
    pub for_rate: Option<ForRate>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// What one seed's search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeedCapacity {
    /// The seed.
    pub seed: u64,
    /// Highest rate that held; null when none did.
    pub holds_requests_per_s: Option<f64>,
    /// Lowest rate above it that did not; null when none failed.
    pub fails_requests_per_s: Option<f64>,
    /// What was not kept there.
    pub broken: Vec<String>,
    /// Whether the queue was growing there.
    pub growing: bool,
    /// Every rate tried, and whether it held.
    pub tried: Vec<(f64, bool)>,
    /// Share of fluid requests at each of those rates.
    #[serde(default)]
    pub tried_fluid_request_share: Vec<Option<f64>>,
}

/// Figures of the run at the highest rate that held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AtCapacity {
    /// Share of fluid requests.
    pub fluid_request_share: Option<f64>,
    /// P99 of the time to first token.
    pub ttft_p99_s: Option<f64>,
    /// P99 of the time between tokens.
    pub tbt_p99_s: Option<f64>,
    /// Output tokens of a request, on average.
    pub output_tokens_per_request: Option<f64>,
}

/// Money for a steady load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SizingPrice {
    /// Of all GPUs.
    pub usd_per_hour: f64,
    /// At the load in question.
    pub usd_per_million_output_tokens: Option<f64>,
    /// At the load in question, for each request that is fluid.
    #[serde(default)]
    pub usd_per_fluid_request: Option<f64>,
}

/// The fewest replicas for a rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForRate {
    /// The rate.
    pub requests_per_s: f64,
    /// The fewest replicas that hold it with every seed, a multiple of the data-parallel ranks of a
    /// deployment; null when none do.
    pub replicas: Option<u32>,
    /// Their GPUs.
    pub gpus: Option<u32>,
    /// The rate over the highest rate that as many replicas carry, to 2 %.
    pub share_of_capacity: Option<f64>,
    /// Money for it.
    pub price: Option<SizingPrice>,
    /// Replicas tried, and the number of seeds that held.
    pub tried: Vec<(u32, u32)>,
}

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
                    capacity.for_rate =
                        Some(fewest_replicas(study, scheduler, &capacity, &seeds, base, rate)?);
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
    })
}

/// JSON Schema (2020-12) of [`CapacityFile`].
pub fn capacity_schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(CapacityFile);
    schema.insert("title".into(), "metron-sim capacity".into());
    schema
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

/// What to say where the seeds leave the rate open.
fn wide(rate: &Interval) -> Option<String> {
    let off = rate.half_width.filter(|off| *off > WIDE * rate.mean)?;
    let least = (rate.mean - off).max(0.0);
    Some(format!(
        "{} seeds leave the rate open, between {} and {}: give more of them (--seeds {}), or more \
         requests",
        rate.count,
        three_digits(least),
        three_digits(rate.mean + off),
        rate.count * 2 + 1
    ))
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
    let mut notes = notes(study, &searches);
    notes.extend(requests_per_s.and_then(|rate| wide(&rate)));
    let at_capacity = searches[0].best.as_ref().map(at_capacity);
    let price = experiment.usd_per_hour().map(|usd_per_hour| {
        let rate = requests_per_s.map(|rate| rate.mean);
        price(usd_per_hour, rate, at_capacity)
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

fn at_capacity(probe: &Probe) -> AtCapacity {
    let summary = &probe.result.summary;
    let offered = summary.requests.offered;
    AtCapacity {
        fluid_request_share: summary.fluidity.as_ref().and_then(|f| f.fluid_request_share),
        ttft_p99_s: summary.ttft_s.p99,
        tbt_p99_s: summary.tbt_s.as_ref().and_then(|tbt| tbt.p99),
        output_tokens_per_request: (offered > 0)
            .then(|| summary.tokens.output as f64 / offered as f64),
    }
}

fn price(usd_per_hour: f64, rate: Option<f64>, at: Option<AtCapacity>) -> SizingPrice {
    let tokens = at.and_then(|at| at.output_tokens_per_request);
    let per_hour = rate.zip(tokens).map(|(rate, tokens)| rate * tokens * 3600.0);
    let share = at.and_then(|at| at.fluid_request_share);
    let fluid_per_hour = rate.zip(share).map(|(rate, share)| rate * share * 3600.0);
    SizingPrice {
        usd_per_hour,
        usd_per_million_output_tokens: per_hour
            .filter(|tokens| *tokens > 0.0)
            .map(|tokens| usd_per_hour / tokens * 1e6),
        usd_per_fluid_request: fluid_per_hour
            .filter(|requests| *requests > 0.0)
            .map(|requests| usd_per_hour / requests),
    }
}

/// What makes the numbers weak.
fn notes(study: Study<'_>, searches: &[SeedSearch]) -> Vec<String> {
    let mut notes = Vec::new();
    let lowest = searches.iter().find(|search| search.found.holds_requests_per_s.is_none());
    if let Some(search) = lowest {
        let rate = search.found.tried.last().map_or(0.0, |tried| tried.0);
        let why = match search.worst.as_ref() {
            Some(probe) if !probe.broken.is_empty() => probe.broken.join(", "),
            _ => "the queue keeps growing".to_owned(),
        };
        notes.push(format!("not held at any rate down to {rate:.3} requests/s: {why}"));
        return notes;
    }
    if let Some(search) = searches.iter().find(|s| s.found.fails_requests_per_s.is_none()) {
        let rate = search.found.tried.last().map_or(0.0, |tried| tried.0);
        notes.push(format!("held at every rate up to {rate:.0} requests/s: no limit found"));
        return notes;
    }
    let only_growth = |s: &SeedSearch| s.found.growing && s.found.broken.is_empty();
    if searches.iter().any(only_growth) {
        notes.push(
            "not stable above: the queue grows as long as requests keep coming, and the promise \
             still holds there only because the run ends; the number is where growth begins"
                .to_owned(),
        );
    }
    let Some(best) = searches.iter().find_map(|search| search.best.as_ref()) else { return notes };
    for term in study.goal.counted(&best.result.slo) {
        notes.extend(weak_term(term, &best.result));
    }
    let steady = best.steadiness;
    if steady.arrivals_s < STAYS * steady.mean_stay_s {
        notes.push(format!(
            "the run is too short for a steady state: at capacity arrivals last {:.1} s and a \
             request stays {:.1} s; take {:.0} times the requests",
            steady.arrivals_s,
            steady.mean_stay_s,
            (STAYS * steady.mean_stay_s / steady.arrivals_s.max(1e-9)).ceil().max(2.0)
        ));
    }
    notes
}

/// Says when a share or a quantile rests on few samples.
fn weak_term(term: &crate::report::SloTerm, run: &crate::report::RunResult) -> Option<String> {
    let summary = &run.summary;
    let (beyond, samples, what) = match (term.metric.as_str(), term.stat.as_deref()) {
        ("fluid_request_share", _) => {
            (1.0 - term.bound, summary.requests.offered, "the share of fluid requests".to_owned())
        }
        (metric, Some(stat)) => {
            let beyond = match stat {
                "p90" => 0.1,
                "p95" => 0.05,
                "p99" => 0.01,
                "p999" => 0.001,
                _ => return None,
            };
            let samples = match metric {
                "ttft_s" => summary.ttft_s.count,
                "tpot_s" => summary.tpot_s.count,
                "e2e_s" => summary.e2e_s.count,
                _ => summary.tbt_s.as_ref().map_or(0, |tbt| tbt.count),
            };
            (beyond, samples, format!("{metric}.{stat}"))
        }
        _ => return None,
    };
    let tail = beyond * samples as f64;
    (beyond > 0.0 && tail < TAIL_SAMPLES).then(|| {
        format!(
            "the run is too short for {what}: it rests on the worst {tail:.1} of {samples} \
             samples; take {:.0} times the requests",
            (TAIL_SAMPLES / tail.max(1e-3)).ceil()
        )
    })
}

fn fewest_replicas(
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
    let mut replicas = None;
    if let Some(one) = one {
        let mut holds = |deployments: u32| -> Result<bool, SearchError> {
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
        let guess = (rate / one).ceil().clamp(1.0, f64::from(deployments_max)) as u32;
        let mut at = guess;
        if holds(at)? {
            while at > 1 && holds(at - 1)? {
                at -= 1;
            }
            replicas = Some(at * ranks);
        } else {
            // More deployments come in steps that grow, then the gap is bisected.
            let (mut low, mut step) = (at, 1);
            let high = loop {
                at = at.saturating_add(step).min(deployments_max);
                if holds(at)? {
                    break Some(at);
                }
                if at == deployments_max || at > guess.saturating_mul(8).saturating_add(8) {
                    break None;
                }
                (low, step) = (at, step * 2);
            };
            if let Some(mut high) = high {
                while high - low > 1 {
                    let middle = low + (high - low) / 2;
                    if holds(middle)? { high = middle } else { low = middle }
                }
                replicas = Some(high * ranks);
            }
        }
    }
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
        price: gpus
            .zip(usd)
            .map(|(gpus, usd)| price(usd * f64::from(gpus), Some(rate), capacity.at_capacity)),
        tried,
    })
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
    fn a_wide_interval_is_said_and_never_reaches_below_nothing() {
        let of = |half_width| Interval { mean: 2.0, half_width, count: 2 };
        assert_eq!(wide(&of(None)), None);
        assert_eq!(wide(&of(Some(0.5))), None);
        let said = wide(&of(Some(14.0))).expect("wide");
        assert!(said.contains("between 0 and 16.0") && said.contains("--seeds 5"), "{said}");
    }
}
