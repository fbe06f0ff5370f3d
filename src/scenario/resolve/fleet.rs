//! The replicas: all alike, or pools of them.

use super::check::Check;
use super::engine::{self, Engine, Given};
use super::owner::Owner;
use super::slo;
use crate::catalog::Model;
use crate::excerpt::quoted;
use crate::promise::Slo;
use crate::scenario::experiment::{Pool, SchedulerRun};
use crate::scenario::raw::{self, GpuRef, ModelRef, Scenario, TextOr};
use crate::scenario::resolved::{DerivedLength, LengthFrom};
use crate::scheduler::{Feature, SchedulerConfig};
use crate::yaml::Path;

/// The most replicas of a run, data-parallel ranks included.
pub(super) const REPLICAS_MAX: u32 = 10_000;

/// Replicas that are alike.
pub(super) struct Built {
    /// What a scenario gives of them, every default filled in.
    pub filled: raw::Pool,
    /// The pool's name, where there are pools.
    pub name: Option<String>,
    /// Whose fields made them.
    pub owner: Owner,
    /// How many; each data-parallel rank is one.
    pub replicas: u32,
    /// Their engine.
    pub engine: Engine,
    /// What the requests of a pool are promised.
    pub promise: Option<Slo>,
}

impl Built {
    /// What its replicas do for a request.
    pub(super) fn role(&self) -> raw::PoolRole {
        self.filled.role.unwrap_or_default()
    }

    /// As an experiment has it, where there are pools.
    pub(super) fn pool(&self) -> Option<Pool> {
        Some(Pool {
            name: self.name.clone()?,
            replicas: self.replicas,
            cost: self.engine.cost.clone(),
            engine: self.engine.limits.clone(),
            hardware: self.engine.hardware.clone(),
            promise: self.promise.clone(),
            role: self.role().into(),
        })
    }
}

/// The pools, or one without a name where the scenario has none; `None` when something is wrong (and
/// reported).
pub(super) fn fleet(check: &mut Check<'_>, scenario: &Scenario) -> Option<Vec<Built>> {
    let fleet = match &scenario.pools {
        Some(given) => pools(check, scenario, given)?,
        None => {
            let replicas = scenario.replicas.unwrap_or(1);
            check.whole(&Path::root().key("replicas"), replicas, 1, REPLICAS_MAX);
            let given = raw::Pool {
                name: None,
                role: None,
                replicas,
                model: None,
                gpu: scenario.gpu.clone(),
                parallelism: scenario.parallelism,
                experts: scenario.experts.clone(),
                links: scenario.links,
                engine: scenario.engine.clone(),
                promise: None,
            };
            vec![built(check, scenario, Owner::default(), given, None)?]
        }
    };
    let replicas = fleet.iter().fold(0, |sum: u32, pool| sum.saturating_add(pool.replicas));
    if replicas > REPLICAS_MAX {
        let ranked = fleet.iter().find(|pool| pool.engine.data_ranks > 1);
        let (path, what) = match ranked {
            Some(pool) => (pool.owner.path(check, &["parallelism", "data"]), "replicas x data"),
            None => (Path::root().key("pools"), "the sum of all `replicas`"),
        };
        // One pool alone was told already.
        if ranked.is_some() || fleet.len() > 1 {
            let message = format!("{what} is {replicas}, more than {REPLICAS_MAX}");
            check.report(&path, message, "");
        }
    }
    Some(fleet)
}

/// The replicas that a scenario or one of its pools gives.
fn built(
    check: &mut Check<'_>,
    scenario: &Scenario,
    owner: Owner,
    given: raw::Pool,
    promise: Option<Slo>,
) -> Option<Built> {
    let from = Given {
        model: given.model.as_ref().or(scenario.model.as_ref()),
        own_models: scenario.pools.iter().flatten().any(|pool| pool.model.is_some()),
        gpu: given.gpu.as_ref(),
        parallelism: given.parallelism.unwrap_or_default(),
        links: given.links.unwrap_or_default(),
        engine: &given.engine.clone().unwrap_or_default(),
        experts: given.experts.as_ref(),
        classes: &class_names(scenario),
    };
    let engine = engine::engine(check, &owner, from)?;
    let filled = raw::Pool {
        parallelism: Some(engine.filled_parallelism),
        engine: Some(engine.filled.clone()),
        ..given
    };
    let replicas = filled.replicas.saturating_mul(engine.data_ranks);
    Some(Built { name: filled.name.clone(), filled, owner, replicas, engine, promise })
}

/// The names of the workload's classes, in order.
fn class_names(scenario: &Scenario) -> Vec<String> {
    let classes = scenario.workload.as_ref().and_then(|workload| workload.classes.as_ref());
    classes.into_iter().flatten().map(|class| class.name.clone()).collect()
}

/// A pool's links, and the scenario's where it has none. The link of a GPU of its own comes before the
/// scenario's.
fn links(pool: &raw::Pool, scenario: &Scenario) -> Option<raw::Links> {
    let has_own = matches!(&pool.gpu, Some(TextOr::Map(gpu)) if gpu.interconnect.is_some());
    let others =
        scenario.links.map(|links| raw::Links { node: links.node.filter(|_| !has_own), ..links });
    match (pool.links, others) {
        (Some(own), Some(others)) => Some(own.or(others)),
        (own, others) => own.or(others),
    }
}

/// How tokens get to experts in a pool, and where it is silent, the scenario's.
fn experts(pool: &raw::Pool, scenario: &Scenario) -> Option<raw::ExpertTraffic> {
    match (pool.experts.clone(), scenario.experts.clone()) {
        (Some(own), Some(others)) => Some(own.or(others)),
        (own, others) => own.or(others),
    }
}

fn pools(check: &mut Check<'_>, scenario: &Scenario, given: &[raw::Pool]) -> Option<Vec<Built>> {
    let path = Path::root().key("pools");
    if scenario.replicas.is_some() {
        let sum = given.iter().fold(0, |sum: u32, pool| sum.saturating_add(pool.replicas));
        let message = "`replicas` cannot stand beside `pools`: each pool has its own number";
        let help = format!(
            "leave it out: the pools have {sum} together; `pools.NAME.replicas` changes one of them"
        );
        check.report(&Path::root().key("replicas"), message, &help);
    }
    if given.is_empty() {
        let help = "such as `pools: [{name: fast, replicas: 2, gpu: h100-sxm}, {name: cheap, \
                    replicas: 4, gpu: l40s}]`";
        check.nothing_in(&path, &[], "expected a pool at least, found an empty list", help);
    }
    let names = names(check, scenario, given);
    // Where a pool has its own, a reader finds each one's with it.
    let of_pools = given.iter().any(|pool| pool.model.is_some());
    let mut fleet = Vec::new();
    let mut agreed = Vec::new();
    for (i, (pool, name)) in given.iter().zip(names).enumerate() {
        let place = check.element(&path, i);
        check.whole(&place.key("replicas"), pool.replicas, 1, REPLICAS_MAX);
        let parallelism = pool.parallelism.unwrap_or_default();
        let own = pool.engine.clone().unwrap_or_default();
        let engine = own.or(scenario.engine.clone().unwrap_or_default());
        agreed.push(engine.max_model_len.is_none());
        let promise =
            pool.promise.map(|given| slo::promise(check, &place.key("promise"), given, None));
        let (promise, in_one_line) = promise.unzip();
        if promise.is_some() && pool.role == Some(raw::PoolRole::Prefill) {
            let message =
                "nobody is answered by a pool that prefills: a promise there would never be judged";
            check.report(
                &place.key("promise"),
                message,
                "give it to the pool that decodes, or to `slo`",
            );
        }
        let given = raw::Pool {
            name: Some(name),
            role: pool.role,
            replicas: pool.replicas,
            model: pool.model.clone().or_else(|| scenario.model.clone().filter(|_| of_pools)),
            gpu: pool.gpu.clone().or_else(|| scenario.gpu.clone()),
            parallelism: Some(parallelism.or(scenario.parallelism.unwrap_or_default())),
            experts: experts(pool, scenario),
            links: links(pool, scenario),
            engine: Some(engine),
            promise: in_one_line,
        };
        fleet.push(built(check, scenario, Owner { pool: Some(place) }, given, promise));
    }
    let mut fleet: Vec<Built> = fleet.into_iter().collect::<Option<_>>()?;
    if fleet.is_empty() {
        return None;
    }
    one_max_model_len(check, &mut fleet, &agreed);
    let first = fleet[0].engine.limits.front_end;
    if let Some(other) = fleet.iter().find(|pool| pool.engine.limits.front_end != first) {
        let path = |pool: &Built| pool.owner.path(check, &["engine", "front_end"]);
        let written = fleet.iter().map(path).find(|path| check.root().locate(path).found);
        let path = written.unwrap_or_else(|| path(other));
        let message = "pools with different front ends are not modelled: a request goes through one \
                       before it is known which pool serves it";
        let help = "give `engine: {front_end: {before: 3ms}}` at the top level, or `{}` for none";
        check.report(&path, message, help);
    }
    Some(fleet)
}

/// A scenario with what is filled in of its replicas.
pub(super) fn filled_in(scenario: Scenario, fleet: &[Built], runs: &[SchedulerRun]) -> Scenario {
    let with_switches = |pool: &Built| {
        let engine = pool.filled.engine.clone().map(|engine| switched(engine, pool, runs));
        raw::Pool { engine, ..pool.filled.clone() }
    };
    let filled: Vec<raw::Pool> = fleet.iter().map(with_switches).collect();
    match filled.as_slice() {
        [raw::Pool { name: None, replicas, parallelism, engine, .. }] => Scenario {
            replicas: Some(*replicas),
            parallelism: *parallelism,
            engine: engine.clone(),
            ..scenario
        },
        _ => {
            // One that every pool replaces is nobody's.
            let used = fleet.iter().any(|pool| pool.filled.model == scenario.model);
            let model = scenario.model.clone().filter(|_| used || filled[0].model.is_none());
            Scenario { pools: Some(filled), model, ..scenario }
        }
    }
}

/// The engine with its switches as the schedulers that have them come to by themselves, where nobody says.
/// Where they come to different ones no value stands for all of them, and none is written.
fn switched(engine: raw::Engine, pool: &Built, runs: &[SchedulerRun]) -> raw::Engine {
    let limits = &pool.engine.limits;
    let all = |feature: Feature, on: &dyn Fn(&SchedulerConfig) -> bool| {
        let mut able =
            runs.iter().map(|run| &run.config).filter(|config| config.has(feature)).map(on);
        let first = able.next().unwrap_or(false);
        able.all(|other| other == first).then_some(first)
    };
    let caching = all(Feature::PrefixCaching, &|config| limits.prefix_caching(config));
    let planning = all(Feature::AsyncScheduling, &|config| limits.async_scheduling(config));
    raw::Engine {
        prefix_caching: limits.prefix_caching.or(caching),
        async_scheduling: limits.async_scheduling.or(planning),
        ..engine
    }
}

/// Whether some pool serves another model than the first.
pub(super) fn models_differ(fleet: &[Built]) -> bool {
    fleet.iter().any(|pool| pool.engine.model != fleet[0].engine.model)
}

/// Users see one endpoint for each model: where no length is given, its pools agree on the smallest that
/// all of them hold, so that the router does not decide whether a request can be served.
fn one_max_model_len(check: &mut Check<'_>, fleet: &mut [Built], agreed: &[bool]) {
    let agreed_on = |fleet: &[Built], model: Option<&Model>| {
        let own = fleet.iter().zip(agreed).filter(|(_, agreed)| **agreed);
        let same = own.filter(|(pool, _)| pool.engine.model.as_ref() == model);
        same.map(|(pool, _)| pool.engine.limits.max_model_len).min()
    };
    let shortest: Vec<Option<u32>> =
        fleet.iter().map(|pool| agreed_on(fleet, pool.engine.model.as_ref())).collect();
    let all = fleet.iter_mut().zip(agreed).zip(shortest).filter(|((_, agreed), _)| **agreed);
    for ((pool, _), shortest) in all {
        let Some(shortest) = shortest else { continue };
        if pool.engine.limits.max_model_len > shortest {
            pool.engine.limits.max_model_len = shortest;
            pool.engine.derived.max_model_len =
                DerivedLength { value: shortest, from: LengthFrom::SmallestPool };
        }
        if let Some(engine) = &mut pool.filled.engine {
            engine.max_model_len = Some(shortest);
        }
    }
    let differs = |one: &Built| {
        let same = fleet.iter().filter(|other| other.engine.model == one.engine.model);
        let mut lengths = same.map(|other| other.engine.limits.max_model_len);
        lengths.any(|length| length != one.engine.limits.max_model_len)
    };
    if fleet.iter().any(differs) {
        let told: Vec<String> = fleet
            .iter()
            .map(|pool| {
                let name = pool.name.as_deref().unwrap_or_default();
                format!("{name} {}", pool.engine.limits.max_model_len)
            })
            .collect();
        check.warnings.push(format!(
            "pools: max_model_len is not the same ({}): what is longer than that of the replica that \
             the router picks is rejected or cut there",
            told.join(", ")
        ));
    }
}

/// The pools' names, those that are not given filled in; refuses those that could be mistaken.
fn names(check: &mut Check<'_>, scenario: &Scenario, given: &[raw::Pool]) -> Vec<String> {
    let path = Path::root().key("pools");
    let mut taken: Vec<Option<String>> = given.iter().map(|pool| pool.name.clone()).collect();
    let gpus: Vec<Option<String>> =
        given.iter().map(|pool| gpu_name(pool.gpu.as_ref().or(scenario.gpu.as_ref()))).collect();
    let models: Vec<Option<String>> =
        given.iter().map(|pool| model_name(pool.model.as_ref())).collect();
    let mut names = Vec::new();
    for (i, pool) in given.iter().enumerate() {
        let place = check.element(&path, i).key("name");
        if let Some(name) = &pool.name {
            if name.trim().is_empty() {
                check.report(&place, "expected a name, found an empty text", "");
            } else if name.trim().parse::<u64>().is_ok() {
                let help = "a number means the place in the list: use a word such as `fast`";
                check.report(&place, format!("expected a name, found the number {name}"), help);
            } else if taken[..i].contains(&pool.name) {
                let message = format!("two pools are named `{}`", quoted(name));
                check.report(&place, message, "give each a name of its own");
            }
            names.push(name.clone());
            continue;
        }
        // The GPU's, or that of a model of its own, where it names no other pool.
        let only = |all: &[Option<String>]| {
            let name = all[i].clone();
            let one = all.iter().filter(|other| **other == name).count() == 1;
            name.filter(|_| one && !taken.contains(&all[i]))
        };
        let name = only(&gpus).or_else(|| only(&models));
        let name = name.unwrap_or_else(|| {
            let numbered = (i..).map(|n| format!("pool-{n}"));
            let mut free = numbered.filter(|name| !taken.contains(&Some(name.clone())));
            free.next().expect("some number is free")
        });
        taken.push(Some(name.clone()));
        names.push(name);
    }
    names
}

fn gpu_name(gpu: Option<&GpuRef>) -> Option<String> {
    match gpu? {
        GpuRef::Text(name) => Some(name.clone()),
        GpuRef::Map(figures) => figures.base.clone(),
    }
}

fn model_name(model: Option<&ModelRef>) -> Option<String> {
    match model? {
        ModelRef::Text(name) => Some(name.clone()),
        ModelRef::Map(figures) => figures.base.clone(),
    }
}
