//! The router: a name, one with parameters, or replicas for each class.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cache_routers;
use super::check::Check;
use super::fleet::Built;
use crate::excerpt::quoted;
use crate::fleet::{ClassPools, DpBalancer};
use crate::ids::ReplicaId;
use crate::scenario::SchedulerRun;
use crate::scenario::experiment::RouterKind;
use crate::scenario::raw::{
    PoolRole, ReplicasOfClass, RouterMap, RouterRef, VllmDpRouter, WithinRef, Workload,
};
use crate::shown::join;
use crate::suggest::advice;
use crate::yaml::Path;

/// The router, and the same as a scenario has it with every default filled in.
pub(super) fn router(
    check: &mut Check<'_>,
    given: Option<&RouterRef>,
    fleet: Option<&[Built]>,
    workload: Option<&Workload>,
) -> (RouterKind, RouterRef) {
    let given = given.cloned().unwrap_or_else(|| RouterRef::Text("round-robin".to_owned()));
    let path = Path::root().key("router");
    let router = match &given {
        RouterRef::Text(name) => {
            let router = by_name(check, &path, name);
            let alike = |pool: &Built| pool.role() == PoolRole::Both;
            let several = fleet.is_some_and(|fleet| fleet.len() > 1 && fleet.iter().all(alike));
            if several && matches!(router, RouterKind::RoundRobin | RouterKind::Random) {
                check.warnings.push(format!(
                    "router: {name} sends a replica of each pool as many requests, whatever its \
                     pace: `least-requests` goes by what is outstanding, `class-to-pool` by class"
                ));
            }
            router
        }
        RouterRef::Map(map) => {
            let mut map = map.clone();
            let router = of_map(check, &path, &mut map, fleet, workload);
            return (router, RouterRef::Map(map));
        }
    };
    (router, given)
}

/// How requests are spread over the replicas of a class, unless given.
const WITHIN: &str = "round-robin";

fn by_name(check: &mut Check<'_>, path: &Path, name: &str) -> RouterKind {
    RouterKind::by_name(name).unwrap_or_else(|| {
        let message = format!("unknown router `{}`", quoted(name));
        let help = match name {
            "class-to-pool" => {
                "it needs the replicas of each class: `{class-to-pool: {chat: [0, 1], batch: [2]}}`"
                    .to_owned()
            }
            _ => advice(name, RouterKind::NAMES),
        };
        check.report(path, message, &help);
        RouterKind::RoundRobin
    })
}

/// API servers of a deployment at most: each keeps counts of its own for every engine.
const CLIENTS_MAX: u32 = 1024;

fn vllm_dp(check: &mut Check<'_>, path: &Path, given: &VllmDpRouter) -> RouterKind {
    if let Some(clients) = given.clients
        && !(1..=CLIENTS_MAX).contains(&clients)
    {
        let message = format!("expected 1 to {CLIENTS_MAX} API servers, found {clients}");
        check.report(&path.key("vllm-dp").key("clients"), message, "");
    }
    RouterKind::VllmDp(DpBalancer { clients: given.clients })
}

fn of_map(
    check: &mut Check<'_>,
    path: &Path,
    map: &mut RouterMap,
    fleet: Option<&[Built]>,
    workload: Option<&Workload>,
) -> RouterKind {
    if let Some(classes) = &map.class_to_pool
        && map.names().len() == 1
    {
        let within = map.within.get_or_insert_with(|| WithinRef::Text(WITHIN.to_owned()));
        return class_to_pool(check, path, (classes, within), fleet, workload);
    }
    if map.names().len() != 1 || map.within.is_some() {
        let help = "`within` belongs to `class-to-pool`: `{class-to-pool: {chat: [0], batch: [1, 2]}, \
                    within: vllm-dp}`";
        let found = match &map.names()[..] {
            [] => "none".to_owned(),
            [_] => "`within` beside it".to_owned(),
            several => join(several),
        };
        check.report(path, format!("expected one router, found {found}"), help);
        return RouterKind::RoundRobin;
    }
    of_one(check, path, map)
}

/// A router with parameters of its own, whose defaults are filled in.
fn of_one(check: &mut Check<'_>, path: &Path, map: &mut RouterMap) -> RouterKind {
    match map {
        RouterMap { vllm_dp: Some(given), .. } => vllm_dp(check, path, given),
        RouterMap { sglang_cache_aware: Some(given), .. } => {
            cache_routers::sglang_cache_aware(check, path, given)
        }
        RouterMap { dynamo_kv: Some(given), .. } => cache_routers::dynamo_kv(check, path, given),
        RouterMap { llm_d: Some(given), .. } => cache_routers::llm_d(check, path, given),
        RouterMap { ray_prefix: Some(given), .. } => cache_routers::ray_prefix(check, path, given),
        RouterMap { production_stack: Some(given), .. } => {
            cache_routers::production_stack(check, path, given)
        }
        _ => RouterKind::RoundRobin,
    }
}

fn class_to_pool(
    check: &mut Check<'_>,
    path: &Path,
    (classes, within): (&BTreeMap<String, ReplicasOfClass>, &mut WithinRef),
    fleet: Option<&[Built]>,
    workload: Option<&Workload>,
) -> RouterKind {
    let inner = path.key("within");
    let within = match within {
        WithinRef::Text(name) => by_name(check, &inner, name),
        WithinRef::Map(map) => {
            let mut given = std::mem::take(map).over_all();
            let names = given.names();
            let router = match names.len() {
                1 => of_one(check, &inner, &mut given),
                _ => {
                    let found = if names.is_empty() { "none".to_owned() } else { join(&names) };
                    check.report(&inner, format!("expected one router, found {found}"), "");
                    RouterKind::RoundRobin
                }
            };
            *map = given.within_class();
            router
        }
    };
    let path = path.key("class-to-pool");
    // A trace may bring classes that the scenario does not name.
    let known: Option<Vec<&str>> = workload
        .filter(|given| given.trace.is_none())
        .map(|given| given.classes.iter().flatten().map(|class| class.name.as_str()).collect());
    if classes.is_empty() {
        check.report(&path, "expected replicas for a class at least, found none", "");
    }
    let mut pools = Vec::new();
    for (class, given) in classes {
        let path = path.key(class.as_str());
        if let Some(known) = &known
            && !known.contains(&class.as_str())
        {
            let help = match known.is_empty() {
                true => "name the classes under `workload.classes`".to_owned(),
                false => advice(class, known.iter().copied()),
            };
            check.report(&path, "no class of the workload has this name", &help);
        }
        // Where the replicas themselves are in doubt, nothing can be said of their numbers.
        let Some(fleet) = fleet else { continue };
        let replicas = match given {
            ReplicasOfClass::Pool(name) => of_pool(check, &path, name, fleet),
            ReplicasOfClass::Numbers(numbers) => {
                check_numbers(check, &path, numbers, fleet);
                numbers.clone()
            }
        };
        let replicas = replicas.into_iter().map(ReplicaId).collect();
        pools.push((class.clone(), replicas));
    }
    let all_sent = known.is_some_and(|known| {
        !known.is_empty() && known.iter().all(|class| classes.contains_key(*class))
    });
    if all_sent && let Some(fleet) = fleet {
        unused(check, fleet, &pools);
    }
    RouterKind::ClassToPool(Arc::new(ClassPools { pools, within }))
}

/// Warns of routers that look for what no replica keeps, and of one that never balances.
pub(super) fn cached_for_nothing(
    check: &mut Check<'_>,
    router: &RouterKind,
    runs: &[SchedulerRun],
    fleet: &[Built],
) {
    let replicas: u32 = fleet.iter().map(|pool| pool.replicas).sum();
    if replicas < 2 {
        return;
    }
    let caches = |run: &&SchedulerRun| {
        fleet.iter().any(|pool| {
            let info = pool.engine.info(&run.config);
            run.config.build(&info).needs().caches_on(&info)
        })
    };
    let none: Vec<String> =
        runs.iter().filter(|run| !caches(run)).map(|run| run.label.clone()).collect();
    if router.reads_prompts() && !none.is_empty() {
        check.warnings.push(format!(
            "router: it goes by what replicas have cached, and with {} none keeps anything: set \
             `engine.prefix_caching: true`",
            join(&none)
        ));
    }
    let within = match router {
        RouterKind::ClassToPool(pools) => &pools.within,
        own => own,
    };
    match within {
        RouterKind::RayPrefix(set) if set.imbalanced_threshold.is_none() => {
            check.warnings.push(
                "router: ray-prefix never balances unless `imbalanced_threshold` is given (Ray's default \
                 is infinity): what is asked for most piles up where it went first"
                    .to_owned(),
            );
        }
        _ => {}
    }
}

/// Warns of replicas that no class is sent to.
fn unused(check: &mut Check<'_>, fleet: &[Built], pools: &[(String, Vec<ReplicaId>)]) {
    let replicas: u32 = fleet.iter().map(|pool| pool.replicas).sum();
    let sent = |replica: &ReplicaId| pools.iter().any(|(_, of)| of.contains(replica));
    let unused: Vec<String> = (0..replicas)
        .map(ReplicaId)
        .filter(|replica| !sent(replica))
        .map(|replica| replica.to_string())
        .collect();
    if unused.is_empty() {
        return;
    }
    check.warnings.push(match unused.as_slice() {
        [one] => format!("router: no class is sent to replica {one}: it is paid for, and idle"),
        _ => format!(
            "router: no class is sent to replicas {}: they are paid for, and idle",
            join(&unused)
        ),
    });
}

fn check_numbers(check: &mut Check<'_>, path: &Path, numbers: &[u32], fleet: &[Built]) {
    let replicas: u32 = fleet.iter().map(|pool| pool.replicas).sum();
    if numbers.is_empty() {
        check.report(path, "expected a replica at least, found an empty list", "");
    }
    for (i, &replica) in numbers.iter().enumerate() {
        let path = check.element(path, i);
        if replica >= replicas {
            let help = format!("replicas are numbered from 0; there are {replicas}");
            check.report(&path, format!("there is no replica {replica}"), &help);
        } else if numbers[..i].contains(&replica) {
            check.report(&path, format!("replica {replica} stands twice"), "");
        }
    }
}

/// The replicas of a pool, by its name.
fn of_pool(check: &mut Check<'_>, path: &Path, name: &str, fleet: &[Built]) -> Vec<u32> {
    let mut first = 0;
    for pool in fleet {
        if pool.name.as_deref() == Some(name) {
            return (first..first + pool.replicas).collect();
        }
        first += pool.replicas;
    }
    let message = format!("there is no pool `{}`", quoted(name));
    let names: Vec<&str> = fleet.iter().filter_map(|pool| pool.name.as_deref()).collect();
    let help = match names.is_empty() {
        true => {
            "the scenario has no `pools`: give the replicas' numbers, such as `[0, 1]`".to_owned()
        }
        false => advice(name, names),
    };
    check.report(path, message, &help);
    Vec::new()
}
