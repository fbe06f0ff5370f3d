//! From a document to an [`Experiment`]: names looked up, defaults filled in, and everything that
//! is wrong found at once.

mod check;
mod engine;
mod feasible;
mod fleet;
mod hardware;
mod lengths;
mod lists;
mod owner;
mod router;
mod schedulers;
mod slo;
mod workload;

use crate::scenario::files::Files;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use self::check::Check;
use super::experiment::{EngineLimits, Experiment, SchedulerRun};
use super::raw::{self, Scenario};
use crate::excerpt::bounded;
use crate::metrics::Measure;
use crate::promise::{DEFAULT_SLACK, Promises, Slo};
use crate::scenario::places::belongs;
use crate::scheduler::EngineInfo;
use crate::time::Span;
use crate::units::Duration;
use crate::yaml::{Decoded, Node, Path, Problem, Value, decode};

/// A scenario ready to run.
#[derive(Clone)]
pub struct Resolved {
    /// What a run needs.
    pub experiment: Experiment,
    /// The scenario with every default filled in, itself a scenario; `derived` holds what follows
    /// from it.
    pub scenario: Json,
    /// What a user should know.
    pub warnings: Vec<String>,
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
    let Decoded { value, mut problems, cut } = decode::<Scenario>(root, belongs);
    let Some(mut scenario) = value else { return Err(problems) };
    let mut check = Check::new(root, &cut, files);
    let experiment = experiment(&mut check, &mut scenario, stem, seed);
    let Check { problems: more, warnings, named: files, .. } = check;
    // Pools say of what they share the same.
    let mut told = std::collections::HashSet::new();
    problems.extend(more);
    problems.retain(|p| told.insert((p.path.clone(), p.message.clone())));
    let mut told = std::collections::HashSet::new();
    let warnings: Vec<String> =
        warnings.into_iter().filter(|warning| told.insert(warning.clone())).map(readable).collect();
    match experiment {
        Some((experiment, derived)) if problems.is_empty() => {
            scenario.derived = Some(derived);
            let scenario = serde_json::to_value(&scenario).expect("a scenario is plain data");
            Ok(Resolved { experiment, scenario, warnings, files })
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

/// The experiment and what it derives; `None` when something is wrong, all of which is reported.
fn experiment(
    check: &mut Check<'_>,
    scenario: &mut Scenario,
    stem: &str,
    seed: Option<u64>,
) -> Option<(Experiment, Json)> {
    let root = Path::root();
    let name = scenario.name.get_or_insert_with(|| stem.to_owned()).clone();
    if name.trim().is_empty() {
        check.report(&root.key("name"), "expected a name, found an empty text", "");
    }
    scenario.seed = seed.or(scenario.seed).or(Some(0));

    let names = schedulers::names(check, scenario.schedulers.as_deref());
    let mut known: Vec<String> =
        names.iter().flat_map(|(name, label)| [name.clone(), label.clone()]).collect();
    known.dedup();
    let slo = match &mut scenario.promise {
        Some(given) => {
            let beside = scenario.slo.is_some().then(|| root.key("slo"));
            slo::promise(check, &root.key("promise"), given, beside.as_ref())
        }
        None => slo(check, &mut scenario.slo, &known),
    };
    let of_classes = class_slos(check, scenario, &slo, &known);
    let promises = Promises { common: slo, of_classes };
    let (horizon, measure) = observation(check, scenario);

    let fleet = fleet::fleet(check, scenario);
    let given = scenario.router.get_or_insert_with(|| raw::TextOr::Text("round-robin".to_owned()));
    let router = router::router(check, given, fleet.as_deref(), scenario.workload.as_ref());
    let workload = match &mut scenario.workload {
        Some(given) => {
            let workload = workload::workload(check, given);
            given.max_tokens.get_or_insert(raw::MaxTokens::Exact);
            workload
        }
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
    let infos: Vec<EngineInfo> = match &fleet {
        Some(fleet) => fleet.iter().map(|pool| pool.engine.info()).collect(),
        None => vec![engine::any_engine()],
    };
    let entries = scenario.schedulers.as_deref().unwrap_or_default();
    let runs = schedulers::runs(check, entries, names, &infos);
    if let Some(fleet) = fleet.as_deref().filter(|_| check.problems.is_empty()) {
        schedulers::can_pipeline(check, &runs, fleet);
        schedulers::simplified_pipelines(check, &runs, fleet);
        schedulers::limits_at_first(check, &runs, fleet);
    }
    // With every parameter written out, a label can no longer tell which were given.
    for (entry, run) in scenario.schedulers.iter_mut().flatten().zip(&runs) {
        entry.label = Some(run.label.clone());
        entry.config = run.config.clone();
    }

    let (fleet, workload) = (fleet?, workload?);
    if check.problems.is_empty() {
        feasible::check(check, &workload, &fleet, &runs);
    }
    let derived = derived(&fleet, &runs);
    let longest = fleet.iter().map(|pool| pool.engine.limits.max_model_len).max()?;
    let replicas = fleet.iter().map(|pool| pool.replicas).sum();
    let pools = fleet.iter().filter_map(fleet::Built::pool).collect();
    let engine = fleet.into_iter().next()?.engine;
    let experiment = Experiment {
        name,
        seed: scenario.seed.unwrap_or(0),
        replicas,
        pools,
        router,
        cost: engine.cost,
        engine: EngineLimits { max_model_len: longest, ..engine.limits },
        schedulers: runs,
        workload,
        promises,
        horizon,
        measure,
        hardware: engine.hardware,
    };
    Some((experiment, derived))
}

/// What follows from the scenario: for all replicas, or pool by pool.
fn derived(fleet: &[fleet::Built], runs: &[SchedulerRun]) -> Json {
    let schedulers = |info: Option<&EngineInfo>| {
        let one = |run: &SchedulerRun| {
            let mut one = json!({
                "label": run.label,
                "system": run.config.system(),
                "evidence": format!("{:?}", run.config.evidence()).to_lowercase(),
            });
            if let Some(info) = info {
                one = json!({
                    "label": run.label,
                    "parameters": run.config.resolved(info).parameters(),
                });
            }
            one
        };
        runs.iter().map(one).collect::<Vec<_>>()
    };
    let of = |pool: &fleet::Built| {
        let engine = &pool.engine;
        json!({
            "kv_blocks": engine.kv_blocks_from,
            "max_model_len": engine.max_model_len_from,
            "gpu": engine.gpu,
            "profile": engine.profile,
        })
    };
    let model = &fleet[0].engine.model;
    if fleet[0].name.is_none() {
        let mut all = of(&fleet[0]);
        all["model"] = model.clone();
        all["schedulers"] = json!(schedulers(None));
        return all;
    }
    let pools: Vec<Json> = fleet
        .iter()
        .map(|pool| {
            let mut one = of(pool);
            one["name"] = json!(pool.name);
            one["replicas"] = json!(pool.replicas);
            one["schedulers"] = json!(schedulers(Some(&pool.engine.info())));
            one
        })
        .collect();
    json!({"model": model, "pools": pools, "schedulers": schedulers(None)})
}

fn slo(check: &mut Check<'_>, given: &mut Option<raw::Slo>, schedulers: &[String]) -> Slo {
    let default = Slo::default();
    let given = given.get_or_insert_default();
    let slo = slo::slo(check, &Path::root().key("slo"), given, &default, schedulers);
    given.ttft.get_or_insert(raw::Ttft::Curve(raw::PrefillCurve {
        prefill_curve_plus: Duration(DEFAULT_SLACK),
        of: None,
    }));
    given.tbt.get_or_insert(Duration(slo.tbt));
    let fluidity = given.fluidity.get_or_insert_default();
    fluidity.index.get_or_insert(slo.fluid_index);
    fluidity.share.get_or_insert(slo.fluid_share);
    slo
}

fn class_slos(
    check: &mut Check<'_>,
    scenario: &mut Scenario,
    otherwise: &Slo,
    schedulers: &[String],
) -> Vec<(String, Slo)> {
    let classes = scenario.workload.as_mut().and_then(|w| w.classes.as_deref_mut());
    let path = Path::root().key("workload").key("classes");
    let mut slos = Vec::new();
    for (i, class) in classes.unwrap_or_default().iter_mut().enumerate() {
        let path = check.element(&path, i);
        let own = path.key("slo");
        if let Some(given) = &mut class.promise {
            let beside = class.slo.is_some().then_some(&own);
            let slo = slo::promise(check, &path.key("promise"), given, beside);
            slos.push((class.name.clone(), slo));
        } else if let Some(given) = &class.slo {
            slos.push((class.name.clone(), slo::slo(check, &own, given, otherwise, schedulers)));
        }
    }
    slos
}

/// The horizon and what is measured, from where the scenario gives them.
fn observation(check: &mut Check<'_>, scenario: &mut Scenario) -> (Option<Span>, Measure) {
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
    // The resolved scenario has them at the top level.
    scenario.horizon = scenario.horizon.or(inner_horizon);
    scenario.measure = Some(raw::Measure {
        skip_first: Some(Duration(measure.skip_first)),
        skip_last: Some(Duration(measure.skip_last)),
    });
    if let Some(workload) = &mut scenario.workload {
        (workload.horizon, workload.measure) = (None, None);
    }
    (horizon, measure)
}
