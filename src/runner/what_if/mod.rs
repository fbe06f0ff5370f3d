//! What would have helped: the same requests again, with one thing changed.
//!
//! [`menu`] says which changes fit which cause, [`bound`] what limited the run, [`refused`] what it
//! turned away, [`change`] and [`system`]
//! make the changes from that, [`figures`] tells what came of each, and [`rank`] puts them in order.

mod bound;
mod change;
mod drafts;
mod figures;
mod menu;
mod rank;
mod refused;
mod swap;
mod system;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::explain::{ByCause, Cause, StallReport};
use crate::ids::PoolId;
use crate::order;
use crate::request::RequestId;
use crate::runner::{
    AtOnce, PlayOptions, Requests, RunInput, SchedulerOutput, Simulate, check_limits, threads_for,
};
use crate::scenario::{Document, Experiment, ResolvedScenario};
use crate::scheduler::SchedulerConfig;
use crate::sim::Outcome;
use crate::threads;
use crate::time::Time;
use crate::trace::{HandOver, RequestRow};

use change::{Change, IfInert, Load};
pub use figures::{Figures, WorstStall};
pub use rank::Effect;
use refused::Refused;

/// A change, and what the simulation made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhatIf {
    /// In words; the run as it was comes first.
    pub change: String,
    /// What to give to `--set`, in order, to see it again.
    pub set: Vec<String>,
    /// Why it could help.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What could not be held fixed beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_held: Vec<String>,
    /// What it gives up for what it gains: nothing that the figures do not show, where empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gives_up: String,
    /// Whether it is another scheduler, with everything else held as far as it can be.
    #[serde(default)]
    pub other_scheduler: bool,
    /// Whether fewer requests are sent.
    #[serde(skip)]
    pub(crate) less_load: bool,
    /// What came of it.
    pub figures: Option<Figures>,
    /// What it did to the promise and to the stall.
    pub effect: Effect,
    /// Whether it is worth a thought: it brings the promise nearer, or makes the stall at least a
    /// tenth shorter at no cost to the promise.
    pub helps: bool,
}

impl WhatIf {
    /// Whether one row is enough for both.
    fn comes_to_the_same(&self, other: &WhatIf) -> bool {
        let of = |one: &WhatIf| (one.other_scheduler, one.gives_up.clone(), one.not_held.clone());
        self.figures == other.figures && of(self) == of(other)
    }
}

/// What to do about a stall.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// Whether the run kept its promise as it was: then nothing has to change. `None` where that is
    /// not known.
    pub keeps_promise: Option<bool>,
    /// The run as it was, then each change, the best first.
    pub tried: Vec<WhatIf>,
    /// What helps most, as its place in `tried`; `None` where nothing helps or nothing has to
    /// change.
    pub best: Option<usize>,
    /// Whether the stall is to be cured: it is not where it was in time and only requests that were
    /// turned away break the promise.
    pub stall_counts: bool,
    /// Changes that could not be tried, or changed nothing, with the reason.
    pub notes: Vec<String>,
}

/// The run whose stall is to be cured.
pub struct Patient<'p> {
    /// Its scenario, overrides applied.
    pub document: &'p Document,
    /// The seed in place of the scenario's.
    pub seed: Option<u64>,
    /// The scenario with all defaults filled in.
    pub resolved: &'p ResolvedScenario,
    /// The same, ready to run.
    pub experiment: &'p Experiment,
    /// Its requests: the changed runs face the same.
    pub requests: &'p Requests,
    /// Place of its scheduler in the scenario's list.
    pub scheduler: usize,
    /// Its scheduler.
    pub config: &'p SchedulerConfig,
    /// The run, with its log.
    pub output: &'p SchedulerOutput,
    /// The stall: request and token.
    pub stall: (RequestId, u32),
}

impl Patient<'_> {
    /// The pool of replicas that the stall came about in, where there are pools: of a first token whose prompt
    /// another replica computed the one where most of the time went by.
    fn pool(&self) -> Option<PoolId> {
        let trace = &self.output.outcome.trace;
        let (request, token) = self.stall;
        let row = &trace.requests[request.index()];
        let lane = match trace.hand_over(request) {
            Some(hand) if token == 0 && mostly_before(row, hand, trace.end) => hand.from,
            _ => row.lane,
        };
        self.experiment.pool_of(trace.lane(lane).replica)
    }
}

/// Whether a request waited longer for its prompt than for what came then, up to its first token.
fn mostly_before(row: &RequestRow, hand: &HandOver, end: Time) -> bool {
    let until = |at: Time| at.min(end);
    let from = if hand.is_destination_first() { until(hand.begun) } else { row.arrival };
    let prompt = until(hand.at).since(from.min(until(hand.at)));
    let all = until(row.first_token).since(row.arrival.min(until(row.first_token)));
    prompt.as_nanos() > all.as_nanos() / 2
}

/// A cause is worth a cure when it makes up this part of a stall, or of all missed deadlines, as one
/// over it.
const WORTH_A_CURE: u64 = 5;

/// The stall's main cause, those that make up a fifth of it, and those that a fifth of the run's
/// missed deadlines are charged to.
pub fn worth_a_cure(stall: &StallReport, misses: &ByCause) -> Vec<Cause> {
    let mut causes = vec![stall.main_cause];
    let all_missed: u64 = misses.values().fold(0, |sum: u64, &n| sum.saturating_add(n));
    for (by_cause, all) in [(&stall.causes_ns, stall.length_ns), (misses, all_missed)] {
        let mut others: Vec<(u64, Cause)> = by_cause
            .iter()
            .filter(|&(_, &part)| part > 0 && part.saturating_mul(WORTH_A_CURE) >= all)
            .map(|(&cause, &part)| (part, cause))
            .collect();
        order::sort_by_key(&mut others, |&(part, cause)| (std::cmp::Reverse(part), cause));
        causes.extend(others.into_iter().map(|(_, cause)| cause));
    }
    let mut known = Vec::new();
    causes.retain(|cause| {
        let new = !known.contains(cause);
        known.push(*cause);
        new
    });
    causes
}

/// The most changes that are tried, and the fewest however long a run is.
const TRIALS: (usize, usize) = (30, 6);
/// Iterations and requests that all trials together may take, as the run itself took them.
const WORK_MAX: u64 = 100_000_000;

/// Plays the run again with each change that fits one of the causes.
pub fn what_if(patient: &Patient<'_>, causes: &[Cause], simulate: &dyn Simulate) -> Advice {
    let output = patient.output;
    let refused = Refused::of(patient.requests, &output.outcome);
    let stall_counts = !refused.breaks_alone(patient);
    let causes = if stall_counts { causes } else { &[] };
    let mut changes = patient.changes(causes, refused);
    let mut notes = Vec::new();
    let work = output.outcome.iterations.total() + output.outcome.trace.requests.len() as u64;
    let afford = (WORK_MAX / work.max(1)) as usize;
    let most = afford.clamp(TRIALS.1, TRIALS.0);
    if changes.len() > most {
        notes.push(format!(
            "{} more of the changes that fit the causes {} not tried: {most} are enough for a run of \
             this length",
            changes.len() - most,
            if changes.len() - most == 1 { "was" } else { "were" },
        ));
        changes.truncate(most);
    }
    let before = patient.figures(patient.experiment, &output.result, &output.outcome);
    let was = WhatIf {
        change: "as it was".to_owned(),
        set: Vec::new(),
        why: String::new(),
        not_held: Vec::new(),
        gives_up: String::new(),
        other_scheduler: false,
        less_load: false,
        figures: Some(before.clone()),
        effect: Effect::None,
        helps: false,
    };
    let played: Vec<(Change, Result<Trial, String>)> = threads::spread_map(changes, |change| {
        let played = patient.play(&change, simulate);
        (change, played)
    });
    let mut tried: Vec<WhatIf> = Vec::new();
    for (change, played) in played {
        match played {
            Err(why) => {
                notes.push(format!("{} was not tried: {why}", change.words));
            }
            Ok(Trial::Same) if change.if_inert == IfInert::Silent => {}
            Ok(Trial::Same) => notes
                .push(format!("{} changes nothing: every token comes when it came", change.words)),
            // Another GPU that nobody is sent to costs, and changes nothing else.
            Ok(Trial::Played(figures)) if figures.serves_as(&before) => {
                notes.push(format!("{} changes no figure", change.words));
            }
            Ok(Trial::Played(figures)) => {
                let one = WhatIf {
                    change: change.words,
                    set: change.set,
                    why: change.why.to_owned(),
                    not_held: change.not_held,
                    gives_up: change.gives_up.to_owned(),
                    other_scheduler: change.other_scheduler,
                    less_load: change.less_load,
                    figures: Some(*figures),
                    effect: Effect::None,
                    helps: false,
                };
                match tried.iter().find(|before| before.comes_to_the_same(&one)) {
                    Some(before) => {
                        notes
                            .push(format!("{} comes to the same as {}", one.change, before.change));
                    }
                    None => tried.push(one),
                }
            }
        }
    }
    Advice { stall_counts, ..rank::rank(was, tried, notes) }
}

/// What came of a change.
enum Trial {
    /// Every token came at the same time.
    Same,
    /// Something changed.
    Played(Box<Figures>),
}

impl Patient<'_> {
    fn play(&self, change: &Change, simulate: &dyn Simulate) -> Result<Trial, String> {
        // Where it stands in a `--set` that the reader did not write says nothing.
        let text = |error: crate::scenario::ScenarioError| {
            let said: Vec<&str> =
                error.problems().iter().map(|problem| problem.message.as_str()).collect();
            said.join("; ")
        };
        let document = self.document.clone().with(&change.set).map_err(text)?;
        let experiment = document.resolve(self.seed).map_err(text)?.experiment;
        let drawn;
        // Answers are cut to the context: in another one they are as long as they were meant.
        let context = |of: &Experiment| of.engine.max_model_len;
        let load = match context(&experiment) == context(self.experiment) {
            true => change.load,
            false => Load::Drawn,
        };
        let requests = match load {
            Load::Same => self.requests,
            Load::Drawn => {
                drawn = Requests::of(&experiment).map_err(|error| error.to_string())?.0;
                &drawn
            }
        };
        let at_once = AtOnce::Alike(threads_for(TRIALS.0));
        check_limits(RunInput { experiment: &experiment, requests }, at_once)
            .map_err(|error| error.to_string())?;
        let scheduler = &experiment.schedulers[self.scheduler];
        let outcome = simulate
            .simulate(&experiment, scheduler, requests, PlayOptions::default())
            .map_err(|error| first_line(&error.to_string()))?;
        if self.is_same(&outcome) {
            return Ok(Trial::Same);
        }
        let input = RunInput { experiment: &experiment, requests };
        let result = self.measured(input, scheduler, &outcome);
        Ok(Trial::Played(Box::new(self.figures(&experiment, &result, &outcome))))
    }

    /// Whether every token came when it came before.
    fn is_same(&self, outcome: &Outcome) -> bool {
        let before = &self.output.outcome;
        outcome.trace == before.trace && outcome.rejections == before.rejections
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("it cannot be simulated").to_owned()
}
