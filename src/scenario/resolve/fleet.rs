//! The replicas: all alike, or pools of them.

use super::check::Check;
use super::engine::{self, Engine, Given};
use super::owner::Owner;
use super::slo;
use crate::excerpt::quoted;
use crate::promise::Slo;
use crate::scenario::experiment::Pool;
use crate::scenario::raw::{self, GpuRef, Scenario};
use crate::yaml::Path;

/// The most replicas of a run, data-parallel ranks included.
pub(super) const REPLICAS_MAX: u32 = 10_000;

/// Replicas that are alike.
pub(super) struct Built {
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
    /// As an experiment has it, where there are pools.
    pub(super) fn pool(&self) -> Option<Pool> {
        Some(Pool {
            name: self.name.clone()?,
            replicas: self.replicas,
            cost: self.engine.cost.clone(),
            engine: self.engine.limits,
            hardware: self.engine.hardware.clone(),
            promise: self.promise.clone(),
        })
    }
}

/// The pools, or one without a name where the scenario has none; `None` when something is wrong (and
/// reported). Fills in the defaults.
pub(super) fn fleet(check: &mut Check<'_>, scenario: &mut Scenario) -> Option<Vec<Built>> {
    let fleet = match scenario.pools.take() {
        Some(mut given) => {
            let built = pools(check, scenario, &mut given);
            scenario.pools = Some(given);
            built?
        }
        None => {
            let replicas = *scenario.replicas.get_or_insert(1);
            check.whole(&Path::root().key("replicas"), replicas, 1, REPLICAS_MAX);
            let owner = Owner::default();
            let given = Given {
                model: scenario.model.as_ref(),
                gpu: scenario.gpu.as_ref(),
                parallelism: scenario.parallelism.get_or_insert_default(),
                engine: scenario.engine.get_or_insert_default(),
            };
            let engine = engine::engine(check, &owner, given)?;
            let replicas = replicas.saturating_mul(engine.data_ranks);
            vec![Built { name: None, owner, replicas, engine, promise: None }]
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

fn pools(
    check: &mut Check<'_>,
    scenario: &Scenario,
    given: &mut [raw::Pool],
) -> Option<Vec<Built>> {
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
    names(check, scenario, given);
    let mut fleet = Vec::new();
    let mut agreed = Vec::new();
    let mut sound = !given.is_empty();
    for (i, pool) in given.iter_mut().enumerate() {
        let place = check.element(&path, i);
        check.whole(&place.key("replicas"), pool.replicas, 1, REPLICAS_MAX);
        pool.gpu = pool.gpu.take().or(scenario.gpu.clone());
        let mut parallelism = pool
            .parallelism
            .take()
            .unwrap_or_default()
            .or(scenario.parallelism.unwrap_or_default());
        let otherwise = scenario.engine.clone().unwrap_or_default();
        let mut engine = pool.engine.take().unwrap_or_default().or(otherwise);
        agreed.push(engine.max_model_len.is_none());
        let promise = pool
            .promise
            .as_mut()
            .map(|given| slo::promise(check, &place.key("promise"), given, None));
        let owner = Owner { pool: Some(place) };
        let given = Given {
            model: scenario.model.as_ref(),
            gpu: pool.gpu.as_ref(),
            parallelism: &mut parallelism,
            engine: &mut engine,
        };
        let built = engine::engine(check, &owner, given);
        (pool.parallelism, pool.engine) = (Some(parallelism), Some(engine));
        match built {
            Some(engine) => {
                let replicas = pool.replicas.saturating_mul(engine.data_ranks);
                let name = pool.name.clone();
                fleet.push(Built { name, owner, replicas, engine, promise });
            }
            None => sound = false,
        }
    }
    if !sound {
        return None;
    }
    one_max_model_len(check, &mut fleet, &agreed, given);
    Some(fleet)
}

/// Users see one endpoint: where no length is given, the pools agree on the smallest that all of
/// them hold, so that the router does not decide whether a request can be served.
fn one_max_model_len(
    check: &mut Check<'_>,
    fleet: &mut [Built],
    agreed: &[bool],
    given: &mut [raw::Pool],
) {
    let own = fleet.iter().zip(agreed).filter(|(_, agreed)| **agreed);
    let shortest = own.map(|(pool, _)| pool.engine.limits.max_model_len).min();
    for ((pool, raw), _) in fleet.iter_mut().zip(given).zip(agreed).filter(|(_, agreed)| **agreed) {
        let Some(shortest) = shortest else { continue };
        if pool.engine.limits.max_model_len > shortest {
            pool.engine.limits.max_model_len = shortest;
            pool.engine.max_model_len_from =
                serde_json::json!({"value": shortest, "from": "the smallest over the pools"});
        }
        if let Some(engine) = &mut raw.engine {
            engine.max_model_len = Some(shortest);
        }
    }
    let lengths: Vec<u32> = fleet.iter().map(|pool| pool.engine.limits.max_model_len).collect();
    if lengths.iter().any(|length| *length != lengths[0]) {
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

/// Fills in the names that are not given, and refuses those that could be mistaken.
fn names(check: &mut Check<'_>, scenario: &Scenario, given: &mut [raw::Pool]) {
    let path = Path::root().key("pools");
    let mut taken: Vec<Option<String>> = given.iter().map(|pool| pool.name.clone()).collect();
    let gpus: Vec<Option<String>> =
        given.iter().map(|pool| gpu_name(pool.gpu.as_ref().or(scenario.gpu.as_ref()))).collect();
    for (i, pool) in given.iter_mut().enumerate() {
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
            continue;
        }
        // The GPU's, where it names no other pool.
        let only = |name: &String| {
            let same = |other: &Option<String>| other.as_ref() == Some(name);
            !taken.iter().any(same) && gpus.iter().filter(|gpu| same(gpu)).count() == 1
        };
        let name = gpus[i].clone().filter(only);
        let name = name.unwrap_or_else(|| {
            let numbered = (i..).map(|n| format!("pool-{n}"));
            let mut free = numbered.filter(|name| !taken.contains(&Some(name.clone())));
            free.next().expect("some number is free")
        });
        pool.name = Some(name.clone());
        taken.push(Some(name));
    }
}

fn gpu_name(gpu: Option<&GpuRef>) -> Option<String> {
    match gpu? {
        GpuRef::Text(name) => Some(name.clone()),
        GpuRef::Map(figures) => figures.base.clone(),
    }
}
