//! The schedulers to run.

use std::collections::HashMap;

use super::check::Check;
use super::fleet::Built;
use crate::promise::{Promises, Slo, TtftDeadline};
use crate::scenario::experiment::SchedulerRun;
use crate::scenario::raw::SchedulerEntry;
use crate::scheduler::{Counted, EngineInfo, SchedulerConfig};
use crate::suggest::advice;
use crate::workload::{MaxTokens, WorkloadSpec};
use crate::yaml::{Node, Path};

/// Names and labels of the schedulers, in order, labels made unique.
pub(super) fn names(
    check: &mut Check<'_>,
    given: Option<&[SchedulerEntry]>,
) -> Vec<(String, String)> {
    let path = Path::root().key("schedulers");
    let Some(entries) = given else {
        let help = advice("", SchedulerConfig::names().iter().copied());
        let message = "`schedulers` is missing: which schedulers are to be compared?";
        check.missing(&Path::root(), &["schedulers"], message, &help);
        return Vec::new();
    };
    if entries.is_empty() {
        let help = advice("", SchedulerConfig::names().iter().copied());
        let message = "expected at least one scheduler, found an empty list";
        check.nothing_in(&path, &[], message, &help);
    }
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut all = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let name = entry.config.name();
        let path = check.element(&path, i);
        let label = match &entry.label {
            Some(label) if label.trim().is_empty() => {
                check.report(&path.key("label"), "expected a label, found an empty text", "");
                name.to_owned()
            }
            Some(label) => label.clone(),
            None => {
                let given = check.root().locate(&path.key(name));
                label(name, given.found.then_some(given.node))
            }
        };
        let times = seen.entry(label.clone()).or_insert(0);
        *times += 1;
        let label = if *times == 1 { label } else { format!("{label} #{times}") };
        all.push((name.to_owned(), label));
    }
    all
}

/// Name and the parameters that were given, such as `sarathi(chunk_size=512)`.
fn label(name: &str, parameters: Option<&Node>) -> String {
    let given: Vec<String> = parameters
        .map(Node::entries)
        .unwrap_or_default()
        .iter()
        .filter_map(|e| Some(format!("{}={}", e.key, e.value.scalar_text()?)))
        .collect();
    if given.is_empty() { name.to_owned() } else { format!("{name}({})", given.join(", ")) }
}

/// The runs, their parameters checked against the engines of all pools. Defaults that follow from
/// the engine are filled in where all pools come to the same; elsewhere each pool has its own.
pub(super) fn runs(
    check: &mut Check<'_>,
    entries: &[SchedulerEntry],
    names: Vec<(String, String)>,
    engines: impl Fn(&SchedulerConfig) -> Vec<EngineInfo>,
) -> Vec<SchedulerRun> {
    let mut runs = Vec::new();
    for (i, (entry, (name, label))) in entries.iter().zip(names).enumerate() {
        let path = check.element(&Path::root().key("schedulers"), i).key(&name);
        let engines = engines(&entry.config);
        for problem in engines.iter().flat_map(|engine| entry.config.problems(engine)) {
            let path = path.key(problem.parameter);
            let found = entry.config.parameters();
            let found =
                found.get(problem.parameter).map_or("nothing".to_owned(), ToString::to_string);
            let expected = match problem.expected.starts_with("from ") {
                true => format!("a number {}", problem.expected),
                false => problem.expected,
            };
            check.expected(&path, &expected, found);
        }
        let mut resolved = engines.iter().map(|engine| entry.config.resolved(engine));
        let config = resolved.next().filter(|first| resolved.all(|other| other == *first));
        let config = config.unwrap_or_else(|| entry.config.clone());
        runs.push(SchedulerRun { name, label, config });
    }
    runs
}

/// Refuses schedulers that cannot be one of several lanes of a pipeline.
pub(super) fn can_pipeline(check: &mut Check<'_>, runs: &[SchedulerRun], fleet: &[Built]) {
    let refused = fleet.iter().filter(|pool| pool.engine.stages > 1).flat_map(|pool| {
        let refuses =
            |run: &&SchedulerRun| run.config.build(&pool.engine.info(&run.config)).needs().one_lane;
        runs.iter().filter(refuses).map(move |run| (pool, run))
    });
    for (pool, run) in refused {
        let pipeline = pool.engine.stages;
        let message = format!(
            "{} does not run in a pipeline: expected 1, found {pipeline}: its rules need every \
             request of the replica before them, and a pipeline's lanes see their own",
            run.name
        );
        let path = pool.owner.path(check, &["parallelism", "pipeline"]);
        check.report(&path, message, "use `pipeline: 1`, or leave the scheduler out");
    }
}

/// Refuses schedulers that do not draft where the engine is to.
pub(super) fn can_draft(check: &mut Check<'_>, runs: &[SchedulerRun], fleet: &[Built]) {
    for pool in fleet.iter().filter(|pool| pool.engine.limits.speculative.is_some()) {
        let drafts =
            |config: &SchedulerConfig| config.build(&pool.engine.info(config)).needs().drafts;
        for run in runs.iter().filter(|run| !drafts(&run.config)) {
            let able: Vec<&str> = SchedulerConfig::all()
                .filter(|config| drafts(config))
                .map(|config| config.name())
                .collect();
            let message = format!(
                "{} has no speculative decoding here; those that have: {}",
                run.name,
                able.join(", ")
            );
            let path = pool.owner.path(check, &["engine", "speculative"]);
            check.report(&path, message, "leave it out, or the scheduler");
        }
    }
}

/// Refuses promises that are only known after a run beside schedulers that look at deadlines, and says
/// where those are told what no engine knows.
pub(super) fn look_at_deadlines(
    check: &mut Check<'_>,
    runs: &[SchedulerRun],
    fleet: &[Built],
    (promises, workload): (&Promises, &WorkloadSpec),
) {
    let looks = |run: &&SchedulerRun| {
        let needs = |pool: &Built| run.config.build(&pool.engine.info(&run.config)).needs();
        run.config.problems(&fleet[0].engine.info(&run.config)).is_empty()
            && fleet.iter().any(|pool| needs(pool).deadlines)
    };
    let looking: Vec<&SchedulerRun> = runs.iter().filter(looks).collect();
    let Some(first) = looking.first() else { return };
    let own = |slo: &Slo| matches!(&slo.ttft, TtftDeadline::PrefillCurvePlus { of: Some(_), .. });
    if promises.all().any(own) {
        let of_common = own(&promises.common);
        let path = match of_common {
            true => Path::root().key("slo").key("ttft").key("of"),
            false => Path::root().key("workload").key("classes"),
        };
        let message = format!(
            "{} looks at deadlines while it runs, and those of a scheduler's own prefill curve are \
             known after it has run",
            first.name
        );
        check.report(&path, message, "leave `of` out, for the scenario's common curve");
    }
    if workload.max_tokens == MaxTokens::Exact {
        let labels: Vec<&str> = looking.iter().map(|run| run.label.as_str()).collect();
        check.warnings.push(format!(
            "workload.max_tokens: `exact`, the default, declares every answer's true length, which no \
             engine knows, to {}, which {} at what is known of requests: compare with another one, such \
             as `max_tokens: {{fixed: 2048}}`",
            labels.join(", "),
            if labels.len() == 1 { "looks" } else { "look" }
        ));
    }
}

/// Warns of every run that would keep blocks for reuse and cannot with the model's layers.
pub(super) fn uncached_states(check: &mut Check<'_>, runs: &[SchedulerRun], fleet: &[Built]) {
    for pool in fleet {
        for run in runs {
            let info = pool.engine.info(&run.config);
            let needs = run.config.build(&info).needs();
            // Of a default nobody waits for its effect.
            let given = pool.engine.limits.prefix_caching == Some(true);
            let asked = given || needs.always_caches;
            if asked && needs.can_cache() && !needs.caches_on(&info) {
                let path = pool.owner.path(check, &["engine", "prefix_caching"]);
                let why = match info.kv_groups.states() > 0 {
                    true => "it keeps no states of layers that carry one",
                    false => "it finds nothing again where layers have windows",
                };
                check
                    .warnings
                    .push(format!("{path}: {} runs without prefix cache here: {why}", run.label));
            }
        }
    }
}

/// Warns of every run whose batches a pipeline forms by simpler rules than the system's own, and says
/// which way its figures are off.
pub(super) fn simplified_pipelines(check: &mut Check<'_>, runs: &[SchedulerRun], fleet: &[Built]) {
    for pool in fleet.iter().filter(|pool| pool.engine.stages > 1) {
        for run in runs {
            let stages = pool.engine.stages;
            let info = pool.engine.info(&run.config);
            if run.config.build(&info).needs().by_request {
                // Its batches are the system's own, turn by turn.
                continue;
            }
            let facts = run.config.facts(&info);
            let most = facts.most_at_once().filter(|&most| most < u32::MAX);
            let all = most.map(|most| u64::from(most) * u64::from(stages));
            let how = match (facts.seats_over_pipeline, most.zip(all)) {
                (Some(true), Some((most, all))) => format!(
                    "its limit of {most} requests at once, which the system counts over all batches, \
                     holds here for each of {stages}, so that up to {all} run, and requests are spread \
                     evenly over the batches"
                ),
                (None, Some((most, all))) => format!(
                    "its limit of {most} requests at once holds here for each of {stages} batches, so \
                     that up to {all} run, and requests are spread evenly over them"
                ),
                _ => "requests are spread evenly over them, with one memory for all".to_owned(),
            };
            let whose = pool.name.as_ref().map_or(String::new(), |name| format!(" in pool {name}"));
            check.warnings.push(format!(
                "{}{whose}: batches in a pipeline are simplified: {how}. Throughput is likely too high \
                 here, and waits too short: take them as bounds",
                run.label
            ));
        }
    }
}

/// Warns of a limit on requests that holds for the first batch alone.
pub(super) fn limits_at_first(check: &mut Check<'_>, runs: &[SchedulerRun], fleet: &[Built]) {
    for run in runs {
        let of_pool = |pool: &Built| run.config.facts(&pool.engine.info(&run.config)).seats;
        let seats = fleet.iter().find_map(of_pool);
        let Some(seats) = seats.filter(|seats| seats.counts == Counted::AtFirst) else { continue };
        if let Some(most) = seats.limit.most {
            check.warnings.push(format!(
                "{}: {} {most} holds only for a batch that is formed while nobody runs; more requests \
                 join it",
                run.label, seats.limit.parameter
            ));
        }
    }
}
