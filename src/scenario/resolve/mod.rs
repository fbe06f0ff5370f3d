//! From a document to an [`Experiment`]: names looked up, defaults filled in, and everything that
//! is wrong found at once.

mod cache_routers;
mod check;
mod day;
mod disaggregation;
mod engine;
mod experts;
mod feasible;
mod fits;
mod fleet;
mod hardware;
mod kv;
mod kv_tiers;
mod lengths;
mod links;
mod lists;
mod model;
mod models;
mod owner;
mod router;
mod schedulers;
mod session_presets;
mod sessions;
mod slo;
mod speculative;
mod workload;

use crate::scenario::files::Files;

use std::collections::BTreeMap;
use std::path::PathBuf;

use self::check::Check;
use self::slo::Promised;
use super::experiment::{EngineLimits, Experiment, SchedulerRun};
use super::raw::{self, Scenario};
use super::resolved::{
    Derived, DerivedParameters, DerivedPool, DerivedScheduler, ResolvedScenario,
};
use crate::excerpt::bounded;
use crate::metrics::Measure;
use crate::scenario::places::advice;
use crate::scheduler::{EngineInfo, SchedulerConfig};
use crate::time::Span;
use crate::units::Duration;
use crate::yaml::{Decoded, Node, Path, Problem, Value, decode};

/// A scenario ready to run.
#[derive(Clone)]
pub struct Resolved {
    /// What a run needs.
    pub experiment: Experiment,
    /// The scenario with every default filled in.
    pub scenario: ResolvedScenario,
    /// What a user should know.
    pub warnings: Vec<String>,
    /// Of those, the one of given KV blocks that the GPU's memory does not hold: a run goes on with them, a
    /// plan does not.
    pub beyond_memory: Option<String>,
    /// Every file that the scenario names, by its name there: a result depends on their contents.
    pub files: BTreeMap<String, PathBuf>,
}

/// Resolves a document. `files` are those that it may name, `stem` the name of a
/// scenario that has none.
///
/// # Errors
/// Everything that is wrong.
pub(super) fn resolve(
    root: &Node,
    files: &Files,
    stem: &str,
    seed: Option<u64>,
) -> Result<Resolved, Vec<Problem>> {
    if let Some(problem) = not_a_map(root) {
        return Err(vec![problem]);
    }
    let long = lists::too_long(root);
    if !long.is_empty() {
        return Err(long);
    }
    let Decoded { value, mut problems, cut } =
        decode::<Scenario>(root, &|entry, at, names| advice(root, entry, at, names));
    let Some(given) = value else { return Err(problems) };
    let mut check = Check::new(root, &cut, files);
    let checked = checked(&mut check, given, stem, seed);
    let Check { problems: more, warnings, beyond_memory, named: files, .. } = check;
    // Pools say of what they share the same.
    let mut told = std::collections::HashSet::new();
    problems.extend(more);
    problems.retain(|p| told.insert((p.path.clone(), p.message.clone())));
    let mut told = std::collections::HashSet::new();
    let warnings: Vec<String> =
        warnings.into_iter().filter(|warning| told.insert(warning.clone())).map(readable).collect();
    match checked {
        Some((experiment, scenario)) if problems.is_empty() => {
            Ok(Resolved { experiment, scenario, warnings, beyond_memory, files })
        }
        _ => Err(problems),
    }
}

/// A warning, whatever it quotes, short enough to be read.
fn readable(warning: String) -> String {
    bounded(warning, 1000)
}

fn not_a_map(root: &Node) -> Option<Problem> {
    let help = "a scenario is a map with `model`, `gpu`, `schedulers` and `workload`";
    let found = match &root.value {
        Value::Map(entries) if !entries.is_empty() => return None,
        Value::Null => "expected a scenario, found an empty file".to_owned(),
        _ => format!("expected a map, found {}", root.describe()),
    };
    Some(Problem::new("", Some(root.span), found).help(help))
}

/// The experiment, and the scenario with every default filled in; `None` when something is wrong, all of
/// which is reported.
fn checked(
    check: &mut Check<'_>,
    given: Scenario,
    stem: &str,
    seed: Option<u64>,
) -> Option<(Experiment, ResolvedScenario)> {
    let root = Path::root();
    let name = given.name.clone().unwrap_or_else(|| stem.to_owned());
    if name.trim().is_empty() {
        check.report(&root.key("name"), "expected a name, found an empty text", "");
    }
    let seed = seed.or(given.seed).unwrap_or(0);

    let names = schedulers::names(check, given.schedulers.as_deref());
    let mut known: Vec<String> =
        names.iter().flat_map(|(name, label)| [name.clone(), label.clone()]).collect();
    known.dedup();
    let Promised { promises, slo, promise, class_promises } = slo::promised(check, &given, &known);
    let observed = observation(check, &given);

    let fleet = fleet::fleet(check, &given);
    let workload = given.workload.as_ref();
    let (router, filled_router) =
        router::router(check, given.router.as_ref(), fleet.as_deref(), workload);
    let workload = match workload {
        Some(given) => workload::workload(check, given),
        None => {
            let help = "such as `workload: {requests: 1000, arrivals: {poisson: {rate: 2.0}}, lengths: {table: chat}}`";
            check.missing(
                &root,
                &["workload"],
                "`workload` is missing: which requests arrive?",
                help,
            );
            None
        }
    };
    // Parameters are checked even where the engine is in doubt.
    let infos = |config: &SchedulerConfig| -> Vec<EngineInfo> {
        match &fleet {
            Some(fleet) => fleet.iter().map(|pool| pool.engine.info(config)).collect(),
            None => vec![engine::any_engine()],
        }
    };
    let entries = given.schedulers.as_deref().unwrap_or_default();
    let runs = schedulers::runs(check, entries, names, infos);
    if let Some(fleet) = fleet.as_deref() {
        models::each_class_has_one(check, &router, fleet, given.workload.as_ref());
    }
    if let Some(fleet) = fleet.as_deref().filter(|_| check.problems.is_empty()) {
        schedulers::can_pipeline(check, &runs, fleet);
        schedulers::can_draft(check, &runs, fleet);
        kv_tiers::can_have_tiers(check, &runs, fleet);
        schedulers::simplified_pipelines(check, &runs, fleet);
        schedulers::uncached_states(check, &runs, fleet);
        schedulers::limits_at_first(check, &runs, fleet);
        router::cached_for_nothing(check, &router, &runs, fleet);
    }
    if let (Some(fleet), Some((workload, _))) = (&fleet, &workload) {
        schedulers::look_at_deadlines(check, &runs, fleet, (&promises, workload));
    }
    let (fleet, (workload, filled_workload)) = (fleet?, workload?);
    let apart = given.disaggregation.as_ref();
    let apart = disaggregation::disaggregation(check, apart, &fleet, (&router, &runs));
    let (apart, filled_apart) = apart.unzip();
    if check.problems.is_empty() {
        feasible::check(check, &workload, &fleet, &runs);
    }

    let filled = Scenario {
        name: Some(name.clone()),
        seed: Some(seed),
        router: Some(filled_router),
        disaggregation: filled_apart,
        schedulers: Some(runs.iter().map(entry).collect()),
        workload: Some(with_promises(filled_workload, class_promises)),
        slo,
        promise,
        // Both stand at the top level, wherever they were given.
        horizon: observed.horizon.map(Duration),
        measure: Some(raw::Measure {
            skip_first: Some(Duration(observed.measure.skip_first)),
            skip_last: Some(Duration(observed.measure.skip_last)),
        }),
        derived: None,
        ..given
    };
    let filled = fleet::filled_in(filled, &fleet, &runs);
    let scenario = ResolvedScenario { filled, derived: derived(&fleet, &runs) };

    let longest = fleet.iter().map(|pool| pool.engine.limits.max_model_len).max()?;
    let replicas = fleet.iter().map(|pool| pool.replicas).sum();
    let pools = fleet.iter().filter_map(fleet::Built::pool).collect();
    let engine = fleet.into_iter().next()?.engine;
    let experiment = Experiment {
        name,
        seed,
        replicas,
        pools,
        router,
        disaggregation: apart,
        cost: engine.cost,
        engine: EngineLimits { max_model_len: longest, ..engine.limits },
        schedulers: runs,
        workload,
        promises,
        horizon: observed.horizon,
        measure: observed.measure,
        hardware: engine.hardware,
    };
    Some((experiment, scenario))
}

/// A scheduler as a scenario has it with every parameter written out. A label could no longer tell
/// which were given.
fn entry(run: &SchedulerRun) -> raw::SchedulerEntry {
    raw::SchedulerEntry { config: run.config.clone(), label: Some(run.label.clone()) }
}

/// A workload whose classes have these promises in one line, and that leaves it to the scenario what is
/// observed.
fn with_promises(workload: raw::Workload, of_classes: Vec<Option<raw::Promise>>) -> raw::Workload {
    let with = |(class, promise)| raw::Class { promise, ..class };
    let classes =
        workload.classes.map(|classes| classes.into_iter().zip(of_classes).map(with).collect());
    raw::Workload { classes, horizon: None, measure: None, ..workload }
}

/// What follows from the scenario: for all replicas, or pool by pool.
fn derived(fleet: &[fleet::Built], runs: &[SchedulerRun]) -> Derived {
    let own_models = fleet::models_differ(fleet);
    let scheduler = |run: &SchedulerRun| DerivedScheduler {
        label: run.label.clone(),
        system: run.config.system(),
        evidence: run.config.evidence(),
    };
    let pool = |pool: &fleet::Built| {
        let parameters = |run: &SchedulerRun| DerivedParameters {
            label: run.label.clone(),
            parameters: run.config.resolved(&pool.engine.info(&run.config)).parameters(),
        };
        Some(DerivedPool {
            of_replicas: pool.engine.derived.clone(),
            name: pool.name.clone()?,
            replicas: pool.replicas,
            model: own_models.then(|| pool.engine.model.clone()).flatten().map(Into::into),
            schedulers: runs.iter().map(parameters).collect(),
        })
    };
    let pools: Option<Vec<DerivedPool>> = fleet.iter().map(pool).collect();
    // Where models differ, none stands for all.
    let first = fleet[0].engine.model.clone().filter(|_| !own_models);
    Derived {
        alike: pools.is_none().then(|| fleet[0].engine.derived.clone()),
        model_formats: first.as_ref().and_then(|_| fleet[0].engine.formats_in_words()),
        model_evidence: first.as_ref().map(crate::catalog::Model::evidence),
        model: first.map(Into::into),
        pools,
        schedulers: runs.iter().map(scheduler).collect(),
    }
}

/// What is observed of a run.
struct Observed {
    /// Where observation ends.
    horizon: Option<Span>,
    /// Which requests the results are about.
    measure: Measure,
}

/// The horizon and what is measured, from where the scenario gives them.
fn observation(check: &mut Check<'_>, scenario: &Scenario) -> Observed {
    let root = Path::root();
    let workload = root.key("workload");
    let inner = scenario.workload.as_ref();
    let mut place = |name: &str, outer: bool, inner: bool| {
        if outer && inner {
            let message = format!("`{name}` is given here and at the top level");
            check.report(&workload.key(name), message, "keep one of the two");
        }
        if outer { root.key(name) } else { workload.key(name) }
    };
    let inner_horizon = inner.and_then(|w| w.horizon);
    let inner_measure = inner.and_then(|w| w.measure);
    let horizon_path = place("horizon", scenario.horizon.is_some(), inner_horizon.is_some());
    let measure_path = place("measure", scenario.measure.is_some(), inner_measure.is_some());
    let horizon =
        scenario.horizon.or(inner_horizon).map(|h| check.time_above_zero(&horizon_path, h));
    let given = scenario.measure.or(inner_measure).unwrap_or_default();
    let mut skip = |name: &str, time: Option<Duration>| {
        time.map_or(Span::ZERO, |t| check.time(&measure_path.key(name), t))
    };
    let measure = Measure {
        skip_first: skip("skip_first", given.skip_first),
        skip_last: skip("skip_last", given.skip_last),
    };
    let duration = inner.and_then(|w| w.duration).map(|d| d.0);
    let skipped = measure.skip_first.as_nanos().saturating_add(measure.skip_last.as_nanos());
    if duration.is_some_and(|d| skipped > 0 && skipped >= d.as_nanos()) {
        let message =
            "nothing is left to measure: `skip_first` and `skip_last` cover the whole `duration`";
        check.report(&measure_path, message, "");
    }
    Observed { horizon, measure }
}
