//! A scenario, read and checked against what the playground plays.

use super::bounds::{seats, token_budget};
use super::fit::{Fitted, fitted};
use super::{Allowance, Asked, Problems, Weight, limits};
use crate::explain::Recording;
use crate::inert::{self, Ended, Written, list_index};
use crate::progress::Progress;
use crate::result::Found;
use crate::runner::prepare::draw;
use crate::runner::{
    PrepareError, Prepared, Requests, RunInput, RunOptions, SchedulerOutput, recording,
    run_experiment,
};
use crate::scenario::{Document, Experiment, Files, Report, ResolvedScenario, ScenarioError};
use crate::scheduler::{EngineInfo, SchedulerConfig};

/// What errors call the scenario.
const NAME: &str = "scenario.yaml";

/// A scenario that is ready to play, schedulers not shown left out.
pub(super) struct Loaded {
    /// Its text, overrides written into it.
    pub text: String,
    pub document: Document,
    pub experiment: Experiment,
    pub requests: Requests,
    pub resolved: ResolvedScenario,
    pub warnings: Vec<String>,
    /// What was done so that a model that was chosen fits, in words.
    pub fitted: Option<String>,
    /// The keys that stand in it.
    written: Vec<Written>,
    /// Labels of all schedulers of the scenario.
    pub schedulers: Vec<String>,
    /// Which of those are played.
    pub shown: Vec<usize>,
}

impl Loaded {
    /// Reads, resolves, checks the limits and draws the requests.
    pub(super) fn of(asked: &Asked, files: &Files) -> Result<Loaded, Problems> {
        limits::asked(asked)?;
        let given = Document::from_text(NAME, &asked.text, files.clone()).map_err(broken(None))?;
        let text = given.rewritten(&asked.set).map_err(broken(None))?;
        let document =
            Document::from_text(NAME, &text, files.clone()).map_err(broken(Some(&text)))?;
        let (text, document, resolved, told) = match document.resolve(None) {
            Ok(resolved) => (text, document, resolved, None),
            Err(error) => match fitted(&document, NAME, &asked.set, files) {
                Some(Fitted { text, document, resolved, told }) => {
                    (text, document, resolved, Some(told))
                }
                None => return Err(broken(Some(&text))(error)),
            },
        };
        let within = |problems: Problems| problems.in_text(&text);
        limits::experiment(&resolved.experiment).map_err(within)?;
        let prepared = draw(&document, resolved, 1).map_err(|error| match error {
            PrepareError::Scenario(error) => broken(Some(&text))(*error),
            PrepareError::Workload(error) => {
                within(Problems::one("workload", error.to_string(), error.help()))
            }
            PrepareError::Threads(error) => Problems::one("", error.to_string(), None),
        })?;
        let Prepared { mut experiment, requests, resolved, warnings, .. } = prepared;
        limits::requests(&requests).map_err(within)?;
        let schedulers: Vec<String> =
            experiment.schedulers.iter().map(|run| run.label.clone()).collect();
        let mut shown: Vec<usize> = Vec::new();
        for &place in asked.show.iter().filter(|&&place| place < schedulers.len()) {
            if !shown.contains(&place) && shown.len() < limits::SCHEDULERS_SHOWN {
                shown.push(place);
            }
        }
        if shown.is_empty() {
            shown = (0..schedulers.len().min(limits::SCHEDULERS_SHOWN)).collect();
        }
        let played = shown.iter().map(|&place| experiment.schedulers[place].clone());
        experiment.schedulers = played.collect();
        limits::memory(&experiment).map_err(within)?;
        Ok(Loaded {
            text,
            experiment,
            requests,
            resolved,
            warnings,
            fitted: told,
            written: inert::written(&document),
            document,
            schedulers,
            shown,
        })
    }

    /// The keys that have no effect in what was played. Keys of schedulers that are not shown are not
    /// judged.
    pub(super) fn inert_in(&self, outputs: &[SchedulerOutput]) -> Found {
        let count = self.requests.count(&self.experiment);
        let ended: Vec<Ended> = outputs.iter().map(|one| Ended::of(count, &one.outcome)).collect();
        // The schedulers that are played have numbers of their own; the answer gives the scenario's.
        let of_played = |key: &Written| match key.index_in("schedulers") {
            None => Some(key.clone()),
            Some(place) => {
                let played = self.shown.iter().position(|&shown| shown == place)?;
                Some(Written { path: renumbered(&key.path, place, played), ..key.clone() })
            }
        };
        let written: Vec<Written> = self.written.iter().filter_map(of_played).collect();
        let Loaded { resolved, experiment, requests, .. } = self;
        let mut found = inert::inert(&written, resolved, experiment, requests, Some(&ended));
        for one in found.everywhere.iter_mut().chain(found.of_run.iter_mut().flatten()) {
            if let Some(played) = list_index(&one.path, "schedulers") {
                one.path = renumbered(&one.path, played, self.shown[played]);
            }
        }
        found
    }

    /// Only the scheduler at this place of the scenario.
    pub(super) fn only(mut self, scheduler: usize) -> Result<Loaded, Problems> {
        let Some(at) = self.shown.iter().position(|&place| place == scheduler) else {
            let message = format!("scheduler {scheduler} is not one of those shown");
            return Err(Problems::one("schedulers", message, None));
        };
        self.experiment.schedulers = vec![self.experiment.schedulers.swap_remove(at)];
        self.shown = vec![scheduler];
        Ok(self)
    }

    /// What it takes to play it `times` times.
    pub(super) fn weight(&self, times: u64) -> Weight {
        limits::weight(&self.experiment, &self.requests, times)
    }

    /// Plays what is shown, with every iteration kept.
    pub(super) fn play(&self, allowance: &Allowance<'_>) -> Result<Vec<SchedulerOutput>, Problems> {
        self.run(true, allowance)
    }

    /// Plays what is shown for its figures alone.
    pub(super) fn figures(
        &self,
        allowance: &Allowance<'_>,
    ) -> Result<Vec<SchedulerOutput>, Problems> {
        self.run(false, allowance)
    }

    fn run(
        &self,
        keep_log: bool,
        allowance: &Allowance<'_>,
    ) -> Result<Vec<SchedulerOutput>, Problems> {
        let fleet = self.experiment.fleet();
        for scheduler in &self.experiment.schedulers {
            // By the largest limits of any pool there are the fewest iterations.
            let most = |bound: fn(&SchedulerConfig, &EngineInfo) -> Option<(&'static str, u64)>| {
                let limits: Option<Vec<u64>> = fleet
                    .iter()
                    .map(|pool| {
                        Some(bound(&scheduler.config, &pool.engine_info(&scheduler.config))?.1)
                    })
                    .collect();
                limits.and_then(|all| all.into_iter().max())
            };
            let (budget, seats) = (most(token_budget), most(seats));
            limits::least_iterations(&scheduler.label, &self.requests, budget, seats)?;
        }
        let input = RunInput { experiment: &self.experiment, requests: &self.requests };
        // One scheduler's figures are worked out on two.
        let jobs = self.experiment.schedulers.len().max(2);
        let options = RunOptions { jobs, keep_log, ..RunOptions::default() };
        let progress = Progress::new(self.experiment.schedulers.len());
        let outputs = run_experiment(input, options, &allowance.simulator(), &progress)
            .map_err(|error| allowance.problem(&error))?;
        for (output, scheduler) in outputs.iter().zip(&self.experiment.schedulers) {
            limits::iterations(&scheduler.label, output.outcome.iterations.total())?;
        }
        allowance.go_on()?;
        Ok(outputs)
    }

    /// What a run wrote down.
    pub(super) fn recording<'a>(
        &'a self,
        place: usize,
        output: &'a SchedulerOutput,
    ) -> Recording<'a> {
        recording(&self.experiment, &self.experiment.schedulers[place], &output.outcome)
    }
}

/// The path of a scheduler's key, the scheduler at another place of the list.
fn renumbered(path: &str, from: usize, to: usize) -> String {
    path.replacen(&format!("schedulers.{from}"), &format!("schedulers.{to}"), 1)
}

/// An error of the scenario, positions in `text`.
fn broken(text: Option<&str>) -> impl Fn(ScenarioError) -> Problems {
    move |error| {
        // The file has no name here; an override keeps its own.
        let problems = error
            .reports()
            .into_iter()
            .map(|report| Report { file: report.file.filter(|file| file != NAME), ..report });
        Problems { problems: problems.collect(), text: text.map(str::to_owned) }
    }
}
