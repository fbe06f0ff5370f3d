//! The highest load that keeps a promise, scheduler by scheduler, and the fewest replicas for a
//! given load.

mod alone;
mod compared;
mod file;
mod fleet;
mod knob;
mod notes;
mod ratios;
mod seed;
mod text;

use rayon::prelude::*;
use serde_json::Value;

use self::alone::alone;
use self::knob::Knob;
use self::seed::{SeedSearch, TRIES, glimpse, search_seed};
use super::depends::build;
use super::interval::Border;
use super::probe::{Probe, SearchError, Study};
use super::size::Steps;
use super::sweep::Shard;
use super::watch::Task;
use crate::order;
use crate::result::Tool;
use crate::runner::{Requests, comparable_schedulers};
use crate::scenario::SchedulerRun;
use crate::threads;

pub(super) use file::full_capacity;
pub use file::{
    Alone, AtCapacity, Capacity, CapacityFile, ForLoad, Searched, SeedCapacity, SizingPrice,
    capacity_schema,
};
pub use ratios::{RatioCapacity, ratios};
pub(crate) use ratios::{best, ratio_lines};
pub use text::{capacity_answers, capacity_rows, to_text};

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct CapacityOptions {
    /// Relative distance between the highest load that holds and the lowest that does not.
    pub precision: f64,
    /// Runs with seeds of their own, each with its own capacity: at least 1.
    pub seeds: u32,
    /// Only a part of the seeds, which fills a cache for a search with all of them: no fleet is sized.
    pub shard: Option<Shard>,
    /// Find the fewest replicas for this many requests a second, too.
    pub for_rate: Option<f64>,
    /// Find the fewest replicas for this many users of a closed loop, too.
    pub for_users: Option<u32>,
    /// The pool whose replicas are counted; without it all pools grow in proportion.
    pub pool: Option<String>,
    /// Larger fleets are not simulated.
    pub max_replicas: u32,
    /// Threads.
    pub jobs: usize,
}

impl Default for CapacityOptions {
    fn default() -> CapacityOptions {
        CapacityOptions {
            precision: 0.01,
            seeds: 3,
            shard: None,
            for_rate: None,
            for_users: None,
            pool: None,
            max_replicas: MAX_REPLICAS,
            jobs: 1,
        }
    }
}

/// Fleets larger than this are not simulated unless that is asked for.
pub const MAX_REPLICAS: u32 = 1_000;

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
    threads::on(options.jobs, || search(study, scenario, options))
        .map_err(crate::runner::RunError::from)?
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
    let (knob, steps) = checked(study, options)?;
    let mut notes = Vec::new();
    let mut seeds: Vec<u64> =
        (0..options.seeds.max(1)).map(|i| experiment.seed.wrapping_add(u64::from(i))).collect();
    if seeds.len() > 1 && !study.seed_matters()? {
        seeds.truncate(1);
        notes.push("every seed gives the same requests: one sample, no interval".to_owned());
    }
    notes.extend(notes::users(study));
    let first = seeds[0];
    // What is decided by all seeds is decided by them for a part too.
    let all_seeds = seeds.clone();
    if let Some(Shard { index, of }) = options.shard {
        if of > options.seeds.max(1) as usize {
            let seeds = options.seeds;
            return Err(SearchError::NoSense(format!(
                "shard {index}/{of}: there are {seeds} seeds; give no more shards than seeds"
            )));
        }
        seeds = all_seeds.iter().copied().skip(index - 1).step_by(of).collect();
        if seeds.is_empty() {
            // All of them give the same requests.
            seeds.push(first);
        }
        let listed: Vec<String> = seeds.iter().map(u64::to_string).collect();
        let listed = listed.join(", ");
        notes
            .push(format!("shard {index}/{of}: seeds {listed} alone, which are kept in the cache"));
    }
    // The requests are drawn for this alone: not where there is nothing to compare.
    let groups = match experiment.schedulers.len() {
        0 | 1 => Vec::new(),
        _ => comparable_schedulers(experiment, &Requests::of(experiment)?.0),
    };
    let lone: Vec<Result<Option<Alone>, SearchError>> =
        threads::spread_map(experiment.schedulers.iter().collect(), |scheduler| {
            alone(study, scheduler, knob, &all_seeds)
        });
    let lone = lone.into_iter().collect::<Result<Vec<_>, _>>()?;
    let hopeless = |place: usize| lone[place].as_ref().is_some_and(|one| one.decides);
    // By seed first, so that where time runs out each scheduler has been looked at.
    let tasks: Vec<(u64, usize)> = seeds
        .iter()
        .flat_map(|&seed| (0..lone.len()).filter(|&place| !hopeless(place)).map(move |s| (seed, s)))
        .collect();
    let guess = u64::from(experiment.workload.amount.requests.unwrap_or(1_000)) * TRIES;
    let tasks: Vec<_> =
        tasks.into_iter().map(|(seed, of)| (seed, of, study.watch.task(guess))).collect();
    // Until more is known, as if each replica carried the scenario's own load.
    let asked = options.for_rate.or(options.for_users.map(f64::from));
    let asked = asked.filter(|_| options.shard.is_none());
    let fleets: Vec<Task<'_>> = lone
        .iter()
        .map(|_| {
            let times = asked.map_or(0.0, |load| (load / knob.own()).max(1.0));
            study.watch.task((guess as f64 * times) as u64 * seeds.len() as u64)
        })
        .collect();
    let looked: Vec<Result<Option<f64>, SearchError>> =
        threads::spread_map((0..lone.len()).collect(), |place| match hopeless(place) {
            true => Ok(None),
            false => glimpse(study, &experiment.schedulers[place], first, knob),
        });
    let glimpses = looked.into_iter().collect::<Result<Vec<Option<f64>>, _>>()?;
    // In order, as threads come free.
    let mut found: Vec<(usize, Result<SeedSearch, SearchError>)> = tasks
        .into_iter()
        .enumerate()
        .par_bridge()
        .map(|(place, (seed, of, task))| {
            let scheduler = &experiment.schedulers[of];
            let guess = glimpses[of];
            (place, search_seed(study, scheduler, seed, knob, (options.precision, guess), task))
        })
        .collect();
    order::sort_by_key(&mut found, |(place, _)| *place);
    let searched: Vec<usize> = (0..lone.len()).filter(|&place| !hopeless(place)).collect();
    let mut of_each: Vec<Vec<SeedSearch>> = lone.iter().map(|_| Vec::new()).collect();
    for (place, one) in found {
        of_each[searched[place % searched.len()]].push(one?);
    }
    let each = of_each.into_iter().zip(lone).zip(&experiment.schedulers).zip(fleets).collect();
    let schedulers: Vec<Result<Capacity, SearchError>> =
        threads::spread_map(each, |(((searches, alone), scheduler), task)| {
            let best = searches.iter().find_map(|search| search.best.as_ref());
            let stay_s = best.map(|probe| probe.steadiness.mean_stay_s);
            let mut capacity = put_together(study, scheduler, searches, alone, knob);
            if let Some(load) = asked {
                let rate = match knob {
                    Knob::Rate { sessions: false, .. } => Some(load),
                    // How long a session stays is not how long a request does.
                    Knob::Rate { .. } | Knob::Users { .. } => None,
                };
                let requests_max = fleet::requests_max(rate, stay_s);
                let sized =
                    fleet::Asked { load, knob, steps: &steps, seeds: &seeds, task, requests_max };
                let sized = sized.fewest(study, scheduler, &capacity, options.max_replicas)?;
                match knob {
                    Knob::Rate { .. } => capacity.for_rate = Some(sized),
                    Knob::Users { .. } => capacity.for_users = Some(sized),
                }
            }
            Ok(capacity)
        });
    let schedulers = schedulers.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(CapacityFile {
        schema_version: crate::result::SCHEMA_VERSION,
        kind: "capacity".to_owned(),
        tool: Tool::this(),
        build: build().to_owned(),
        scenario,
        searched: knob.searched(),
        promise: promised(study),
        precision: options.precision,
        seeds,
        scenario_requests_per_s: knob.own_rate(),
        scenario_users: experiment.workload.users(),
        complete: options.shard.is_none() && schedulers.iter().all(Capacity::complete),
        comparison: compared::comparison(&schedulers, &groups),
        warnings: notes::warnings(&schedulers),
        schedulers,
        notes,
        ratios: Vec::new(),
        inert: Vec::new(),
    })
}

/// The promise in words, with those of classes that have their own.
fn promised(study: Study<'_>) -> String {
    let own = study.experiment.promises.of_classes.iter();
    let own = own.map(|(class, slo)| format!("; of class {class} {}", study.goal.words(slo)));
    [study.goal.words(&study.experiment.promises.common)].into_iter().chain(own).collect()
}

/// What is searched over, and how fleets grow, if what is asked makes sense.
fn checked(study: Study<'_>, options: &CapacityOptions) -> Result<(Knob, Steps), SearchError> {
    let experiment = study.experiment;
    let no_sense = |message: &str| Err(SearchError::NoSense(message.to_owned()));
    if study.goal.asks_nothing(&experiment.promises.common) {
        return no_sense(
            "the scenario has no bounds to hold: set some, such as --set slo.bounds.ttft.p99=500ms",
        );
    }
    let knob = Knob::of(study)?;
    match (knob, options.for_rate, options.for_users) {
        (Knob::Users { .. }, Some(_), _) => {
            return no_sense(
                "--for-rate asks for arrivals a second, and the scenario's closed loop has users: \
                 ask with --for-users, or give the workload a rate",
            );
        }
        (Knob::Rate { .. }, _, Some(_)) => {
            return no_sense(
                "--for-users asks for users of a closed loop, and the scenario has an arrival rate: \
                 ask with --for-rate, or with --set \
                 'workload.arrivals={closed_loop: {users: 1, think_time: 5s}}'",
            );
        }
        _ => {}
    }
    let sizes = options.for_rate.is_some() || options.for_users.is_some();
    if options.pool.is_some() && !sizes {
        return no_sense("--pool says which pool to size: give --for-rate or --for-users, too");
    }
    let steps = Steps::of(experiment, options.pool.as_deref())?;
    if sizes {
        // Whether the router lets the fleet grow is known before anything runs.
        steps.at(steps.own + 1).apply(&mut experiment.clone())?;
    }
    Ok((knob, steps))
}

fn put_together(
    study: Study<'_>,
    scheduler: &SchedulerRun,
    searches: Vec<SeedSearch>,
    alone: Option<Alone>,
    knob: Knob,
) -> Capacity {
    let experiment = study.experiment;
    let gpus = experiment.gpus();
    // A search that came to an open end gives no number; neither does a mean over the others. Where
    // time ran out, what is bracketed counts.
    let open = searches.iter().any(|s| s.found.complete && s.found.ends().is_none());
    let brackets: Vec<(f64, Option<f64>)> =
        searches.iter().filter_map(|search| search.found.ends()).collect();
    let border = Border::of(&brackets, knob.whole()).filter(|_| !open);
    let per_gpu = border.map(|border| border.per(gpus, knob.whole()));
    let mut limited_by: Vec<String> = Vec::new();
    for search in &searches {
        let broken = search.found.broken.iter().map(|told| term_of(told).to_owned());
        let open = search.found.open.iter().map(|told| format!("{} not known", term_of(told)));
        let growing = search.found.growing.then(|| "the queue keeps growing".to_owned());
        for name in broken.chain(open).chain(growing) {
            if !limited_by.contains(&name) {
                limited_by.push(name);
            }
        }
    }
    if let Some(alone) = alone.as_ref().filter(|alone| alone.decides) {
        let figure = |told: &String| told.split(" is ").next().unwrap_or_default().to_owned();
        limited_by = alone.broken.iter().map(figure).collect();
    }
    let mut notes = notes::notes(study, &searches, alone.as_ref(), knob);
    notes.extend(border.and_then(|border| notes::wide(&border)));
    let best = searches.iter().find_map(|search| search.best.as_ref());
    let any = best.or(searches.iter().find_map(|search| search.worst()));
    let at_capacity = best.and_then(|probe| probe.result.as_ref()).map(AtCapacity::of);
    let begun = border
        .zip(at_capacity)
        .and_then(|(border, at)| knob.sessions_per_s(experiment, border.mean, at));
    let turns = at_capacity.and_then(|at| at.requests_per_session);
    let rate = match knob {
        Knob::Rate { sessions: false, .. } => border.map(|border| border.mean),
        // A run of sessions ends long after the last of them began.
        Knob::Rate { .. } | Knob::Users { .. } if turns.is_some() => {
            begun.zip(turns).map(|(begun, turns)| begun * turns)
        }
        Knob::Rate { .. } | Knob::Users { .. } => {
            at_capacity.and_then(|at| at.requests_per_s).filter(|_| border.is_some())
        }
    };
    let price = experiment
        .usd_per_hour()
        .map(|usd_per_hour| SizingPrice::of(usd_per_hour, rate, begun, at_capacity));
    let warned =
        |probe: &Probe| probe.result.as_ref().map_or(Vec::new(), |run| run.warnings.clone());
    let found = (border, per_gpu);
    let none = (None, None);
    let (rates, sessions, users) = match knob {
        Knob::Rate { sessions: false, .. } => (found, none, none),
        Knob::Rate { .. } => (none, found, none),
        Knob::Users { .. } => (none, none, found),
    };
    let started = match experiment.fleet().as_slice() {
        [pool] => crate::search::launch(pool, scheduler),
        _ => None,
    };
    Capacity {
        scheduler: scheduler.name.clone(),
        label: scheduler.label.clone(),
        replicas: experiment.replicas,
        gpus,
        requests_per_s: rates.0,
        requests_per_s_per_gpu: rates.1,
        sessions_per_s: sessions.0,
        sessions_per_s_per_gpu: sessions.1,
        users: users.0,
        users_per_gpu: users.1,
        limited_by,
        judged_by: best
            .and_then(|probe| probe.result.as_ref())
            .map_or(Vec::new(), |run| run.judged_by.clone()),
        at_capacity,
        price,
        for_rate: None,
        for_users: None,
        launch: started.as_ref().map(|one| one.line.clone()),
        not_in_launch: started.map_or(Vec::new(), |one| one.left_out),
        warnings: match (any, &alone) {
            (Some(probe), _) => warned(probe),
            (None, Some(alone)) => alone.warnings.clone(),
            (None, None) => Vec::new(),
        },
        alone,
        notes,
        seeds: searches.into_iter().map(|search| search.found).collect(),
    }
}

/// What is broken of `chat: ttft_s.p99 = 0.5123`, without by how much: the term, and whose it is.
fn term_of(told: &str) -> &str {
    let ends = [" = ", " < ", " > "].iter().filter_map(|sign| told.find(sign));
    ends.min().map_or(told, |end| &told[..end])
}

#[cfg(test)]
mod tests {
    use super::term_of;

    #[test]
    fn a_term_keeps_its_class() {
        assert_eq!(term_of("chat: fluid_request_share = 0.9012"), "chat: fluid_request_share");
        assert_eq!(term_of("our chat: ttft_s.p99 > 0.5"), "our chat: ttft_s.p99");
        assert_eq!(term_of("goodput.share < 0.99"), "goodput.share");
        assert_eq!(term_of("steady_state"), "steady_state");
    }
}
