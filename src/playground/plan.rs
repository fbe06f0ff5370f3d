//! `metron-sim plan` on the page: the same search, told as it goes, and its answers ready to play.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use serde_json::json;

use super::limits::{self, REQUEST_BYTES};
use super::{Allowance, Problems, REPLICAS_MAX, TOKENS_MAX, Weight};
use crate::runner::{PlayError, PlayOptions, Requests, Simulate, Simulator};
use crate::scenario::{Experiment, Report, SchedulerRun};
use crate::search::{
    PlanAnswer, PlanAsked, PlanError, PlanFile, PlanForm, TrafficLengths, Watch, find_plan,
    plan_answer,
};
use crate::sim::Outcome;

/// Most prompt tokens of a run: what prefix caches track grows with them.
const PROMPT_TOKENS_MAX: u64 = 400_000_000;

/// Whether a question makes sense: the answer to `plan` with `check`.
#[derive(Serialize)]
pub(super) struct Checked {
    /// The line that asks the same on the command line.
    command: String,
}

/// The answer to `plan`.
#[derive(Serialize)]
pub(super) struct Planned {
    /// As `metron-sim plan --format json` gives it.
    plan: PlanFile,
    /// The best of it in a sentence.
    answer: String,
    /// The line that asks the same on the command line.
    command: String,
    /// Each answer as a scenario for this page, in their order.
    scenarios: Vec<Playable>,
}

/// An answer that can be played here.
#[derive(Serialize)]
struct Playable {
    /// The scenario, YAML; none where it is too large for the page.
    text: Option<String>,
    /// Why there is none, or how it differs from the answer.
    note: Option<String>,
}

/// Reads the question and says what is wrong with which control.
pub(super) fn checked(form: &PlanForm) -> Result<Checked, Problems> {
    read(form).map(|asked| Checked { command: asked.command })
}

fn read(form: &PlanForm) -> Result<PlanAsked, Problems> {
    let asked = form.read().map_err(|wrong| {
        let report = |(path, message): (&str, String)| Report {
            file: None,
            line: None,
            column: None,
            path: path.to_owned(),
            message,
            help: None,
        };
        let problems = wrong.into_iter().map(|one| report((one.control, one.message)));
        Problems { problems: problems.collect(), text: None }
    })?;
    let (requests, prompt, output) = sizes(&asked);
    for (path, tokens, most) in
        [("prompt", prompt, PROMPT_TOKENS_MAX), ("output", output, TOKENS_MAX)]
    {
        if requests * tokens > most {
            let message = format!(
                "{requests} requests are played, which may have {most} {path} tokens together: expected \
                 {} at most, found {tokens}",
                most / requests
            );
            return Err(Problems::one(path, message, Some(limits::ELSEWHERE_PLAN)));
        }
    }
    Ok(asked)
}

/// Requests of a run, and the tokens of a prompt and an answer.
fn sizes(asked: &PlanAsked) -> (u64, u64, u64) {
    let requests = u64::from(asked.traffic.requests().unwrap_or_default()).max(1);
    match asked.traffic.lengths {
        TrafficLengths::Fixed { prompt, output, .. } => (requests, prompt.into(), output.into()),
        TrafficLengths::Trace(_) | TrafficLengths::Sessions(_) => (requests, 0, 0),
    }
}

/// Searches. Where time runs out the answer is what is known by then, as with `--max-time`.
pub(super) fn plan(form: &PlanForm, allowance: &Allowance<'_>) -> Result<Planned, Problems> {
    let mut asked = read(form)?;
    // Half of the machine: whoever asks goes on simulating meanwhile.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    asked.options.jobs = (cores / 2).max(1);
    let (requests, ..) = sizes(&asked);
    let bytes = asked.options.jobs as u64 * requests * REQUEST_BYTES;
    let work = 100 * requests * asked.question.gpus.len() as u64;
    allowance.enter(Weight { bytes, work, long: true })?;
    let watch = Watch::stopped_by(None, Arc::clone(&allowance.stop));
    let simulate = Told { watch: &watch, tell: allowance.tell };
    simulate.tell();
    let words = asked.traffic.question();
    let mut plan = find_plan(&asked.question, words, &asked.options, &simulate, &watch)
        .map_err(|error| problem(&error))?;
    simulate.tell();
    if allowance.stop.load(Ordering::Relaxed) {
        plan.complete = false;
    }
    let scenarios = plan.answers.iter().map(|answer| playable(&asked, answer)).collect();
    Ok(Planned { answer: plan_answer(&plan), plan, command: asked.command, scenarios })
}

fn problem(error: &PlanError) -> Problems {
    Problems::one("", error.to_string(), Some(limits::ELSEWHERE_PLAN))
}

/// The scenario of an answer, as long as the page plays.
fn playable(asked: &PlanAsked, answer: &PlanAnswer) -> Playable {
    if answer.replicas > REPLICAS_MAX {
        let note = format!("the page plays up to {REPLICAS_MAX} replicas");
        return Playable { text: None, note: Some(note) };
    }
    let (requests, prompt, output) = sizes(asked);
    let most = TOKENS_MAX / (prompt + output).max(1);
    let mut set = answer.set.clone();
    let shortened = (requests > most).then(|| {
        set.push(format!("workload.requests={most}"));
        format!("with the first {most} of {requests} requests, as many as the page plays")
    });
    match asked.question.document.rewritten(&set) {
        Ok(text) => Playable { text: Some(text), note: shortened },
        Err(error) => Playable { text: None, note: Some(error.to_string()) },
    }
}

/// The simulator, which tells how far the search has come after each run.
struct Told<'a> {
    watch: &'a Watch,
    tell: &'a (dyn Fn(String) + Sync),
}

impl Told<'_> {
    fn tell(&self) {
        let ((decided, cells), (played, requests)) = (self.watch.cells(), self.watch.totals());
        let told =
            json!({"cells": cells, "decided": decided, "played": played, "requests": requests});
        (self.tell)(json!({ "told": told }).to_string());
    }
}

impl Simulate for Told<'_> {
    fn simulate(
        &self,
        experiment: &Experiment,
        scheduler: &SchedulerRun,
        requests: &Requests,
        options: PlayOptions<'_>,
    ) -> Result<Outcome, PlayError> {
        let outcome = Simulator.simulate(experiment, scheduler, requests, options);
        self.tell();
        outcome
    }
}
