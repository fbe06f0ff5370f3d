//! The router: a name, or replicas for each class.

use std::sync::Arc;

use super::check::Check;
use crate::scenario::experiment::Router;
use crate::scenario::node::Path;
use crate::scenario::raw::{ClassRouter, RouterRef, Workload};
use crate::scenario::suggest::advice;
use crate::sim::ClassPools;

/// The router, with what it leaves open filled in.
pub fn router(
    check: &mut Check<'_>,
    given: &mut RouterRef,
    replicas: u32,
    workload: Option<&Workload>,
) -> Router {
    let path = Path::root().key("router");
    match given {
        RouterRef::Text(name) => by_name(check, &path, name),
        RouterRef::Map(map) => class_to_pool(check, &path, map, replicas, workload),
    }
}

fn by_name(check: &mut Check<'_>, path: &Path, name: &str) -> Router {
    Router::by_name(name).unwrap_or_else(|| {
        let shown: String = name.chars().take(60).collect();
        let message = format!("unknown router `{}`", shown.escape_debug());
        let help = match name {
            "class-to-pool" => {
                "it needs the replicas of each class: `{class-to-pool: {chat: [0, 1], batch: [2]}}`"
                    .to_owned()
            }
            _ => advice(name, Router::NAMES),
        };
        check.report(path, message, &help);
        Router::RoundRobin
    })
}

fn class_to_pool(
    check: &mut Check<'_>,
    path: &Path,
    map: &mut ClassRouter,
    replicas: u32,
    workload: Option<&Workload>,
) -> Router {
    let within = map.within.get_or_insert_with(|| "round-robin".to_owned()).clone();
    let within = by_name(check, &path.key("within"), &within);
    let path = path.key("class-to-pool");
    // A trace may bring classes that the scenario does not name.
    let known: Option<Vec<&str>> = workload
        .filter(|given| given.trace.is_none())
        .map(|given| given.classes.iter().flatten().map(|class| class.name.as_str()).collect());
    if map.class_to_pool.is_empty() {
        check.report(&path, "expected replicas for a class at least, found none", "");
    }
    for (class, pool) in &map.class_to_pool {
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
        if pool.is_empty() {
            check.report(&path, "expected a replica at least, found an empty list", "");
        }
        for (i, &replica) in pool.iter().enumerate() {
            let path = check.element(&path, i);
            if replica >= replicas {
                let help = format!("replicas are numbered from 0; `replicas` is {replicas}");
                check.report(&path, format!("there is no replica {replica}"), &help);
            } else if pool[..i].contains(&replica) {
                check.report(&path, format!("replica {replica} stands twice"), "");
            }
        }
    }
    let pools = map.class_to_pool.clone().into_iter().collect();
    Router::ClassToPool(Arc::new(ClassPools { pools, within }))
}
