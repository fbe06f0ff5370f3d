//! What every scheduler of a scenario is judged by: from its promises to the deadlines of tokens.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;

use crate::cost::{CostModel, prefill_time};
use crate::fleet::Role;
use crate::ids::ClassId;
use crate::metrics::{Count, Deadlines, FirstToken, Options, PrefillCurve};
use crate::promise::{Slo, TtftDeadline};
use crate::request::Request;
use crate::runner::{PlayOptions, Requests, RunError, RunInput, Simulate};
use crate::scenario::{Experiment, PoolView, SchedulerRun};
use crate::sim::Outcome;
use crate::time::{Span, Time};
use crate::workload::Workload;

/// What a run of this input is judged by: the deadlines of each class's requests, for prompts as long as
/// those of `outcomes`.
///
/// # Errors
/// When the scenario's figures make no deadlines, or a scheduler's own curve cannot be played.
pub(super) fn judged_by(
    input: RunInput<'_>,
    outcomes: &[Outcome],
    simulate: &dyn Simulate,
) -> Result<Options, RunError> {
    let RunInput { experiment, .. } = input;
    options(input, |slo, class| deadlines(experiment, (slo, class), outcomes, simulate))
}

/// The same before anything is played, for requests that are known by then; `None` where they are not, or
/// where a scheduler's own curve is asked for.
pub(super) fn before_a_run(input: RunInput<'_>) -> Result<Option<Options>, RunError> {
    let RunInput { experiment, requests } = input;
    let known = requests.known();
    let mut prompts = None;
    let can_be = experiment.promises.all().all(|slo| match &slo.ttft {
        TtftDeadline::Fixed(_) => true,
        TtftDeadline::PrefillCurvePlus { of, .. } => of.is_none() && known.is_some(),
    });
    if !can_be {
        return Ok(None);
    }
    let deadlines = |slo: &Slo, class: Option<&str>| {
        let first = match &slo.ttft {
            TtftDeadline::Fixed(span) => FirstToken::Fixed(*span),
            TtftDeadline::PrefillCurvePlus { slack, .. } => {
                let all = known.map_or(&[][..], |workload| &workload.requests);
                let lengths = || all.par_iter().map(|request| request.prompt_tokens);
                let prompts = prompts.get_or_insert_with(|| Prompts::of(experiment, lengths()));
                let curve = fleet_curve(experiment, class, prompts);
                FirstToken::Curve { curve: Arc::new(curve), slack: *slack }
            }
        };
        slo.deadlines(first).map_err(|e| RunError::Deadlines(e.to_string()))
    };
    options(input, deadlines).map(Some)
}

/// What policies that look at deadlines are told of them: those of all requests, and those of each class
/// where classes have their own. The same as a run is judged by, for prompts as long as those of the
/// requests, or as the context where they are not known beforehand. A scheduler's own curve, which only
/// its runs tell, has no such policy beside it: resolving a scenario sees to that.
pub(super) fn for_policies(
    experiment: &Experiment,
    requests: Option<&Requests>,
) -> Result<(Deadlines, Vec<Deadlines>), RunError> {
    let mut prompts = None;
    let mut curve = None;
    let by_model = experiment.models_differ();
    let mut of = |slo: &Slo, class: Option<&str>| {
        let first = match &slo.ttft {
            TtftDeadline::Fixed(span) => FirstToken::Fixed(*span),
            TtftDeadline::PrefillCurvePlus { slack, .. } => {
                let prompts =
                    prompts.get_or_insert_with(|| match requests.and_then(Requests::known) {
                        Some(workload) => {
                            let all = workload.requests.par_iter();
                            Prompts::of(experiment, all.map(|request| request.prompt_tokens))
                        }
                        None => {
                            Prompts { longest: experiment.engine.max_model_len, long: Vec::new() }
                        }
                    });
                let of_class = || Arc::new(fleet_curve(experiment, class, prompts));
                // One for all, where all classes ask for the same model.
                let curve = match by_model {
                    true => of_class(),
                    false => Arc::clone(curve.get_or_insert_with(of_class)),
                };
                FirstToken::Curve { curve, slack: *slack }
            }
        };
        slo.deadlines(first).map_err(|e| RunError::Deadlines(e.to_string()))
    };
    let promises = &experiment.promises;
    let common = of(&promises.common, None)?;
    let classes = match (promises.of_classes.is_empty() && !by_model, requests) {
        (false, Some(requests)) => requests.classes(),
        _ => &[],
    };
    let each = |class: &String| match promises.own(class) {
        Some(own) => of(own, Some(class)),
        None if by_model => of(&promises.common, Some(class)),
        None => Ok(common.clone()),
    };
    let of_classes = classes.iter().map(each).collect::<Result<_, _>>()?;
    Ok((common, of_classes))
}

fn options(
    input: RunInput<'_>,
    mut deadlines: impl FnMut(&Slo, Option<&str>) -> Result<Deadlines, RunError>,
) -> Result<Options, RunError> {
    let RunInput { experiment, requests } = input;
    let promises = &experiment.promises;
    let mut options = Options::new(deadlines(&promises.common, None)?);
    // A prompt's own time is that of the model which the class asks for.
    let by_model = experiment.models_differ();
    if by_model || !promises.of_classes.is_empty() {
        let common = options.deadlines.clone();
        let each = |class: &String| match promises.own(class) {
            Some(own) => deadlines(own, Some(class)),
            None if by_model => deadlines(&promises.common, Some(class)),
            None => Ok(common.clone()),
        };
        options.per_class = requests.classes().iter().map(each).collect::<Result<_, _>>()?;
    }
    options.count = Count { window: experiment.measure, ..Count::default() };
    options.bounds = Some(promises.common.request_bounds());
    options.nominal_rate_per_s = requests.nominal_rate_per_s();
    options.users = experiment.workload.users();
    Ok(options)
}

fn deadlines(
    experiment: &Experiment,
    (slo, class): (&Slo, Option<&str>),
    outcomes: &[Outcome],
    simulate: &dyn Simulate,
) -> Result<Deadlines, RunError> {
    let ttft = match &slo.ttft {
        TtftDeadline::Fixed(span) => FirstToken::Fixed(*span),
        TtftDeadline::PrefillCurvePlus { slack, of } => {
            let curve = match of {
                None => {
                    let rows = outcomes.par_iter().flat_map(|outcome| &outcome.trace.requests);
                    let prompts = Prompts::of(experiment, rows.map(|row| row.prompt_tokens));
                    fleet_curve(experiment, class, &prompts)
                }
                Some(name) => {
                    let scheduler = find(experiment, name)?;
                    own_curve(experiment, (scheduler, class), outcomes, simulate)?
                }
            };
            FirstToken::Curve { curve: Arc::new(curve), slack: *slack }
        }
    };
    slo.deadlines(ttft).map_err(|e| RunError::Deadlines(e.to_string()))
}

/// Up to here a curve has a point for every length, and beyond for those that occur: a file can name
/// prompts of billions of tokens.
const EACH_LENGTH_MAX: u32 = 1 << 20;

/// The lengths of prompts that the model has room for.
struct Prompts {
    longest: u32,
    /// Those above [`EACH_LENGTH_MAX`], rising.
    long: Vec<u32>,
}

impl Prompts {
    fn of(experiment: &Experiment, lengths: impl ParallelIterator<Item = u32> + Clone) -> Prompts {
        // Longer ones are turned away, and need no deadline.
        let room = experiment.engine.max_model_len;
        let lengths = lengths.filter(|&tokens| tokens <= room);
        let mut long: Vec<u32> =
            lengths.clone().filter(|&tokens| tokens > EACH_LENGTH_MAX).collect();
        long.par_sort_unstable();
        long.dedup();
        Prompts { longest: lengths.max().unwrap_or(1), long }
    }
}

/// The same for a fleet. Users do not see the router, so where pools differ the promise is still one:
/// the slowest pool's time for a prompt of each length, which a lone request gets wherever it goes. They
/// see which model they ask for: where models differ, only pools that serve their class's count.
fn fleet_curve(experiment: &Experiment, class: Option<&str>, prompts: &Prompts) -> PrefillCurve {
    let fleet = serving(experiment, class);
    let costs: Vec<&dyn CostModel> = fleet.iter().map(|pool| pool.cost.as_ref()).collect();
    slowest_curve(&costs, prompts)
}

fn serving<'e>(experiment: &'e Experiment, class: Option<&str>) -> Vec<PoolView<'e>> {
    match class.filter(|_| experiment.models_differ()) {
        Some(class) => experiment.serving(class),
        None => experiment.fleet(),
    }
}

fn slowest_curve(costs: &[&dyn CostModel], prompts: &Prompts) -> PrefillCurve {
    let time = |tokens: u32| {
        let times = costs.iter().map(|&cost| prefill_time(cost, tokens));
        times.max().unwrap_or(Span::ZERO)
    };
    let each = 1..=prompts.longest.clamp(1, EACH_LENGTH_MAX);
    let long = prompts.long.par_iter().copied().filter(|&tokens| tokens > EACH_LENGTH_MAX);
    let points: Vec<_> =
        each.into_par_iter().chain(long).map(|tokens| (tokens, time(tokens))).collect();
    PrefillCurve::new(points).expect("each length is there once")
}

/// The TTFT of `scheduler` for a lone request, for each prompt length that occurs; where pools
/// differ, that on the slowest.
fn own_curve(
    experiment: &Experiment,
    (scheduler, class): (&SchedulerRun, Option<&str>),
    outcomes: &[Outcome],
    simulate: &dyn Simulate,
) -> Result<PrefillCurve, RunError> {
    let rows = outcomes.iter().flat_map(|outcome| &outcome.trace.requests);
    let lengths: BTreeSet<u32> = rows.map(|row| row.prompt_tokens).collect();
    let mut points = Vec::with_capacity(lengths.len());
    let each: Vec<Experiment> = match experiment.pools.is_empty() {
        true => vec![experiment.clone()],
        false => {
            // Whoever decodes for others computes no prompt.
            let prefills = |pool: &PoolView<'_>| pool.role != Role::Decode;
            let pools = serving(experiment, class).into_iter().filter(prefills);
            pools.map(|pool| experiment.alone_on(pool)).collect()
        }
    };
    for prompt_tokens in lengths {
        let alone = Requests::Open(Workload {
            requests: vec![Request {
                arrival: Time::ZERO,
                prompt_tokens,
                output_tokens: 1,
                max_tokens: 1,
                priority: 0,
                class: ClassId(0),
            }],
            block_tokens: experiment.engine.kv_block_tokens,
            classes: vec![String::new()],
            ..Workload::default()
        });
        let mut slowest: Option<Span> = None;
        for one in &each {
            let outcome =
                simulate.simulate(one, scheduler, &alone, PlayOptions::default()).map_err(
                    |source| RunError::Simulation { label: scheduler.label.clone(), source },
                )?;
            // A prompt that the engine rejects has no first token, and needs no deadline.
            let first = outcome.trace.requests.first().map(|row| row.first_token);
            if let Some(first) = first.filter(|&first| first != Time::NEVER) {
                slowest = slowest.max(Some(first.since(Time::ZERO)));
            }
        }
        points.extend(slowest.map(|time| (prompt_tokens, time)));
    }
    if points.is_empty() {
        points.push((1, Span::ZERO));
    }
    Ok(PrefillCurve::new(points).expect("each length is there once"))
}

fn find<'a>(experiment: &'a Experiment, name: &str) -> Result<&'a SchedulerRun, RunError> {
    let by_label = experiment.schedulers.iter().find(|run| run.label == name);
    by_label
        .or_else(|| experiment.schedulers.iter().find(|run| run.name == name))
        .ok_or_else(|| RunError::Deadlines(format!("no scheduler `{name}` to take a curve of")))
}
