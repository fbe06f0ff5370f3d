//! Keys that a user wrote and that have no effect here.
//!
//! One table for the whole scenario: every key of the JSON Schema has an entry in it, which says
//! either why the key always has an effect (or is not meant to have one), or when it has none. A key
//! without an entry fails a test. The parameters of a policy are the policy's own matter: see
//! [`Parameters::idle`](crate::scheduler::Parameters::idle).
//!
//! A key is reported only where no other value of it, in the same place and of the same kind, would
//! change a figure of the run. Keys that a user did not write are never reported.

mod apart;
mod facts;
mod judging;
mod system;
mod workload;
mod written;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::excerpt::bounded;
use crate::result::{Found, Inert};
use crate::runner::Requests;
use crate::scenario::{Experiment, ResolvedScenario, SchedulerDetails};
pub use facts::{Ended, Facts};
pub use judging::seed_is_inert;
pub use written::{Written, list_index, written};

/// A key without effect in one line, for people.
pub fn sentence(inert: &Inert) -> String {
    format!("{} has no effect here: {}", inert.path, inert.why)
}

/// Whether a key can be without effect.
#[derive(Clone, Copy)]
pub enum Effect {
    /// It never is, or its effect is not on figures: this is why.
    Always(#[allow(dead_code, reason = "said to who reads the table")] &'static str),
    /// It is where this gives a reason.
    Unless(fn(&Facts<'_>, &Written) -> Option<String>),
}

/// An entry of the table: a key by the type and name that the JSON Schema has for it.
pub type Entry = (&'static str, Effect);

/// The entries of every key but the schedulers' parameters.
pub fn table() -> impl Iterator<Item = &'static Entry> {
    [system::TABLE, apart::TABLE, workload::TABLE, judging::TABLE].into_iter().flatten()
}

/// The keys that have no effect in an experiment. `ended` tells how each run ended, where that is
/// known: a few keys can be judged only then.
pub fn inert(
    written: &[Written],
    scenario: &ResolvedScenario,
    experiment: &Experiment,
    requests: &Requests,
    ended: Option<&[Ended]>,
) -> Found {
    let facts = Facts::new(written, scenario, experiment, requests, ended);
    let everywhere = of_runs(&facts);
    let runs = experiment.schedulers.len();
    if runs == 1 {
        return Found { everywhere, of_run: vec![Vec::new()] };
    }
    let known = |one: &Inert| everywhere.iter().any(|other| other.path == one.path);
    let of_run = (0..runs)
        .map(|run| of_runs(&facts.only(run)).into_iter().filter(|one| !known(one)).collect())
        .collect();
    Found { everywhere, of_run }
}

/// The keys that have no effect in the runs that the facts are about.
fn of_runs(facts: &Facts<'_>) -> Vec<Inert> {
    let table: BTreeMap<&str, Effect> = table().copied().collect();
    let idle = idle_parameters(facts);
    let mut found: Vec<Inert> = Vec::new();
    for key in facts.written {
        let under = |one: &Inert| {
            key.path.strip_prefix(&one.path).is_some_and(|rest| rest.starts_with('.'))
        };
        if found.iter().any(under) {
            continue;
        }
        let why = match table.get(key.knob.as_str()) {
            Some(Effect::Unless(rule)) => rule(facts, key),
            _ => idle.get(&key.path).cloned(),
        };
        if let Some(why) = why {
            found.push(Inert { path: key.path.clone(), value: short(&key.value), why });
        }
    }
    found
}

/// A value as a message shows it.
fn short(value: &Json) -> Json {
    let text = value.to_string();
    if text.len() <= 1000 { value.clone() } else { Json::String(bounded(text, 200)) }
}

/// Paths of parameters that their policy says are idle, other names of them included. In a fleet of
/// several kinds they must be idle everywhere.
fn idle_parameters(facts: &Facts<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let fleet = facts.experiment.fleet();
    for &(index, run) in &facts.runs {
        let place = format!("schedulers.{index}.{}", run.name);
        if !facts.wrote(&place) {
            continue;
        }
        let of = |pool| run.config.idle(&facts.setting(pool, run));
        let mut everywhere = of(&fleet[0]);
        for pool in &fleet[1..] {
            let there = of(pool);
            everywhere.retain(|one| there.iter().any(|other| other.parameter == one.parameter));
        }
        if everywhere.is_empty() {
            continue;
        }
        let details = SchedulerDetails::of(&run.config);
        for idle in everywhere {
            for name in details.names_of(idle.parameter) {
                found.insert(format!("{place}.{name}"), idle.why.clone());
            }
        }
    }
    found
}
