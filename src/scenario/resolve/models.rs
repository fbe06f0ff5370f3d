//! Several models in one fleet: a request asks for one of them, so its class says which replicas may
//! serve it.

use super::check::Check;
use super::fleet::{Built, models_differ};
use crate::excerpt::quoted;
use crate::ids::ReplicaId;
use crate::scenario::experiment::RouterKind;
use crate::scenario::raw::{PoolRole, Workload};
use crate::shown::join;
use crate::yaml::Path;

/// Reports where the pools serve different models and the router does not send each class of requests to
/// the replicas of one of them.
pub(super) fn each_class_has_one(
    check: &mut Check<'_>,
    router: &RouterKind,
    fleet: &[Built],
    workload: Option<&Workload>,
) {
    if !models_differ(fleet) {
        return;
    }
    if fleet.iter().any(|pool| pool.role() != PoolRole::Both) {
        let message = "pools with roles serve one model: which of several a request goes on with is \
                       not modelled";
        return check.report(&Path::root().key("pools"), message, "leave `role` or `model` out");
    }
    let path = Path::root().key("router");
    let example = || {
        let class = workload.and_then(|w| Some(w.classes.as_ref()?.first()?.name.clone()));
        let class = class.unwrap_or_else(|| "chat".to_owned());
        let pool = fleet[0].name.as_deref().unwrap_or("fast");
        format!(
            "such as `router: {{class-to-pool: {{{class}: {pool}, ...}}}}`, with each class in it"
        )
    };
    let RouterKind::ClassToPool(classes) = router else {
        let models: Vec<String> = fleet.iter().map(model_of).collect();
        let message = format!(
            "the pools serve different models ({}), and this router sends any request anywhere: a \
             request asks for one of them",
            join(&models)
        );
        return check.report(&path, message, &example());
    };
    let path = path.key("class-to-pool");
    for (class, replicas) in &classes.pools {
        let mut served = replicas.iter().filter_map(|&replica| pool_of(fleet, replica));
        let Some(first) = served.next() else { continue };
        if let Some(other) = served.find(|pool| pool.engine.model != first.engine.model) {
            let message = format!(
                "`{}` is sent to replicas of {} and of {}: a request asks for one model",
                quoted(class),
                model_of(first),
                model_of(other)
            );
            check.report(&path.key(class.as_str()), message, "name replicas of one model");
        }
    }
    // Those of a trace are known when it is read: `runner::prepare` looks at them.
    let Some(known) = workload.filter(|workload| workload.trace.is_none()) else { return };
    let sent = |name: &str| classes.pools.iter().any(|(class, _)| class == name);
    let names: Vec<&str> =
        known.classes.iter().flatten().map(|class| class.name.as_str()).collect();
    let unsent: Vec<String> =
        names.iter().filter(|name| !sent(name)).map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        let message = "the pools serve different models, and the workload has no classes: which \
                       request asks for which?";
        check.report(
            &path,
            message,
            "name the classes under `workload.classes`, with their shares",
        );
    } else if !unsent.is_empty() {
        let message = format!(
            "the pools serve different models, and nothing says which of them {} ask{} for",
            join(&unsent),
            if unsent.len() == 1 { "s" } else { "" }
        );
        check.report(&path, message, "send each class to a pool");
    }
}

fn model_of(pool: &Built) -> String {
    let name = pool.engine.model.as_ref().map(|model| model.name.clone());
    name.unwrap_or_else(|| "no model".to_owned())
}

fn pool_of(fleet: &[Built], replica: ReplicaId) -> Option<&Built> {
    let mut before = 0;
    fleet.iter().find(|pool| {
        before += pool.replicas;
        replica.0 < before
    })
}
