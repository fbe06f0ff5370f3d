//! What policies that look at deadlines are told: the scenario's promises, and a predictor.

use std::sync::Arc;

use crate::metrics::Deadlines;
use crate::replica::{Outlook, Predictor, Promise};
use crate::runner::{Requests, deadlines};
use crate::scenario::Experiment;

/// By pool. Pools differ in what their iterations take; users are promised the same.
///
/// # Panics
/// When the scenario's figures make no deadlines, which resolving it rules out.
pub(super) fn of_pools(experiment: &Experiment, requests: Option<&Requests>) -> Vec<Arc<Outlook>> {
    let told = deadlines::for_policies(experiment, requests);
    let (common, of_classes) = told.unwrap_or_else(|error| panic!("{error}"));
    let (common, of_classes): (Promise, Vec<Promise>) =
        (promise(common), of_classes.into_iter().map(promise).collect());
    let of = |pool: crate::scenario::PoolView<'_>| {
        Arc::new(Outlook {
            common: common.clone(),
            of_classes: of_classes.clone(),
            cost: Arc::clone(pool.cost),
            predictor: Predictor { seed: experiment.seed, ..pool.engine.predictor.predictor() },
        })
    };
    experiment.fleet().into_iter().map(of).collect()
}

fn promise(deadlines: Deadlines) -> Promise {
    let (tbt, fluid_index) = (deadlines.tbt(), deadlines.fluid_index());
    Promise { first: Arc::new(move |prompt| deadlines.ttft(prompt)), tbt, fluid_index }
}
