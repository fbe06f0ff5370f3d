//! A scenario, played: figures, verdict and everything that is drawn.

use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::dials::{Dial, SchedulerDials, dials, scheduler_dials, seats, token_budget};
use super::figures::{KeyFigure, key_figures};
use super::steps::{Steps, Window, around};
use super::{Allowance, Around, Asked, Problems, limits};
use crate::explain::{Cause, Recording};
use crate::inert::{self, Ended, Written, list_index};
use crate::progress::Progress;
use crate::report::header::header;
use crate::report::remarks::remarks;
use crate::report::verdict::verdict;
use crate::report::{ResultFile, Tool};
use crate::runner::{Requests, RunInput, RunOptions, SchedulerOutput, recording, run_experiment};
use crate::scenario::{Document, Experiment, Files, Report, ScenarioError};
use crate::scheduler::{EngineInfo, SchedulerConfig};
use crate::view::{CauseName, Drawn, Room, RunView};

/// Columns of a run's timeline: one a pixel column or so, since they are sent with every change; a
/// page asks for the iterations of a stretch when it shows one.
const COLUMNS: usize = 1_000;
/// What errors call the scenario.
const NAME: &str = "scenario.yaml";

/// A scenario that is ready to play, schedulers not shown left out.
pub(super) struct Loaded {
    /// Its text, overrides written into it.
    pub text: String,
    pub document: Document,
    pub experiment: Experiment,
    pub requests: Requests,
    pub resolved: Value,
    pub warnings: Vec<String>,
    /// The keys that stand in it.
    written: Vec<Written>,
    /// Labels of all schedulers of the scenario.
    pub schedulers: Vec<String>,
    /// Which of those are played.
    pub shown: Vec<usize>,
}

impl Loaded {
    /// Reads, resolves, checks the limits and draws the requests.
    pub fn of(asked: &Asked, files: &Files) -> Result<Loaded, Problems> {
        limits::asked(asked)?;
        let given = Document::from_text(NAME, &asked.text, files.clone()).map_err(broken(None))?;
        let text = given.rewritten(&asked.set).map_err(broken(None))?;
        let document =
            Document::from_text(NAME, &text, files.clone()).map_err(broken(Some(&text)))?;
        let resolved = document.resolve(None).map_err(broken(Some(&text)))?;
        let mut experiment = resolved.experiment;
        let within = |problems: Problems| problems.in_text(&text);
        limits::experiment(&experiment).map_err(within)?;
        let (requests, notes) = Requests::of(&experiment).map_err(|error| {
            let located = error
                .path()
                .and_then(|file| document.blame_file(file, &error.to_string(), error.help()));
            match located {
                Some(error) => broken(Some(&text))(error),
                None => within(Problems::one("workload", error.to_string(), error.help())),
            }
        })?;
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
        let mut warnings = resolved.warnings;
        warnings.extend(notes.iter().map(ToString::to_string));
        Ok(Loaded {
            text,
            experiment,
            requests,
            resolved: resolved.scenario,
            warnings,
            written: inert::written(&document),
            document,
            schedulers,
            shown,
        })
    }

    /// The keys that have no effect in what was played. Keys of schedulers that are not shown are not
    /// judged.
    fn inert_in(&self, outputs: &[SchedulerOutput]) -> inert::Found {
        let count = self.requests.count(&self.experiment);
        let ended: Vec<Ended> = outputs.iter().map(|one| Ended::of(count, &one.outcome)).collect();
        // What is played is numbered anew: its keys too, until they are told.
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
    pub fn only(mut self, scheduler: usize) -> Result<Loaded, Problems> {
        let Some(at) = self.shown.iter().position(|&place| place == scheduler) else {
            let message = format!("scheduler {scheduler} is not one of those shown");
            return Err(Problems::one("schedulers", message, None));
        };
        self.experiment.schedulers = vec![self.experiment.schedulers.swap_remove(at)];
        self.shown = vec![scheduler];
        Ok(self)
    }

    /// Plays what is shown, with every iteration kept.
    pub fn play(&self, allowance: &Allowance<'_>) -> Result<Vec<SchedulerOutput>, Problems> {
        let fleet = self.experiment.fleet();
        for scheduler in &self.experiment.schedulers {
            // By the largest limits of any pool there are the fewest iterations.
            let most = |bound: fn(&SchedulerConfig, &EngineInfo) -> Option<(&'static str, u64)>| {
                let limits: Option<Vec<u64>> = fleet
                    .iter()
                    .map(|pool| Some(bound(&scheduler.config, &pool.engine_info())?.1))
                    .collect();
                limits.and_then(|all| all.into_iter().max())
            };
            let (budget, seats) = (most(token_budget), most(seats));
            limits::least_iterations(&scheduler.label, &self.requests, budget, seats)?;
        }
        let input = RunInput { experiment: &self.experiment, requests: &self.requests };
        // One scheduler's figures are worked out on two.
        let jobs = self.experiment.schedulers.len().max(2);
        let options = RunOptions { jobs, keep_log: true, ..RunOptions::default() };
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
    pub fn recording<'a>(&'a self, place: usize, output: &'a SchedulerOutput) -> Recording<'a> {
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

/// The answer to `simulate`.
#[derive(Serialize)]
pub(super) struct Played {
    /// What made it.
    tool: Tool,
    /// The scenario's name.
    title: String,
    /// Its text, overrides written into it.
    pub text: String,
    /// With every default filled in.
    scenario: Value,
    /// What was simulated.
    header: Vec<String>,
    /// The answer, sentence by sentence.
    verdict: Vec<String>,
    /// Figures side by side.
    figures: Vec<KeyFigure>,
    /// Each run's result, as `--format json` gives it.
    pub results: Vec<Value>,
    /// Each run, ready to draw.
    runs: Vec<RunView>,
    /// And its iterations around the time that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Steps>,
    causes: Vec<CauseName>,
    warnings: Vec<String>,
    /// What can be turned.
    dials: Vec<Dial>,
    /// And for each scheduler that is shown.
    scheduler_dials: Vec<SchedulerDials>,
    /// All schedulers of the scenario.
    schedulers: Vec<String>,
    /// Places of those that are shown.
    shown: Vec<usize>,
    /// Override that adds a scheduler beside the first; none where there are two.
    add: Option<String>,
    /// Override that leaves the first alone; none where it is.
    remove: Option<String>,
}

pub(super) fn simulate(
    loaded: Loaded,
    steps: Option<Around>,
    allowance: &Allowance<'_>,
) -> Result<Played, Problems> {
    let outputs = loaded.play(allowance).map_err(|problems| problems.in_text(&loaded.text))?;
    played(loaded, &outputs, steps)
}

fn played(
    loaded: Loaded,
    outputs: &[SchedulerOutput],
    steps: Option<Around>,
) -> Result<Played, Problems> {
    let iterations = outputs.iter().map(|output| output.outcome.iterations.total()).sum();
    let room = Room::for_runs(outputs.len(), iterations);
    let room = Room { columns: room.columns.min(COLUMNS), packed: false, ..room };
    let runs: Vec<RunView> = outputs
        .par_iter()
        .enumerate()
        .map(|(place, output)| {
            let recording = loaded.recording(place, output);
            let drawn = Drawn {
                result: &output.result,
                judged_by: &output.judged_by,
                recording,
                explanation: None,
            };
            RunView::of(&drawn, room)
        })
        .collect();
    let told = |asked: Around| {
        let runs = runs.iter().zip(outputs).enumerate();
        runs.map(|(place, (view, output))| {
            let lane = view.lanes.first().map_or(0, |lane| lane.replica);
            let at_us = Some(asked.at_us);
            around(&loaded, place, output, Window { lane, from: 0, at_us, count: asked.count })
        })
        .collect::<Result<Vec<Steps>, Problems>>()
    };
    let steps = steps.map(told).transpose()?.unwrap_or_default();
    let results: Vec<_> = outputs.iter().map(|output| output.result.clone()).collect();
    let file = ResultFile::new(loaded.resolved.clone(), results, loaded.warnings.clone())
        .with_inert(loaded.inert_in(outputs));
    let mut warnings = remarks(&file);
    if loaded.schedulers.len() > loaded.shown.len() {
        warnings.push(format!(
            "the scenario has {} schedulers; the page plays {} at a time",
            loaded.schedulers.len(),
            limits::SCHEDULERS_SHOWN
        ));
    }
    let values: Vec<Value> = file
        .runs
        .iter()
        .map(|run| serde_json::to_value(run).expect("a result is plain data"))
        .collect();
    let listed = loaded.document.elements("schedulers");
    let names = loaded.experiment.schedulers.first().map(|run| run.name.as_str());
    let other = if names == Some("sarathi") { "vllm-v0" } else { "sarathi" };
    Ok(Played {
        tool: Tool::this(),
        title: loaded.experiment.name.clone(),
        header: header(&file),
        verdict: verdict(&file.runs),
        figures: key_figures(&values),
        results: values,
        runs,
        steps,
        causes: Cause::ALL
            .iter()
            .map(|cause| CauseName { name: cause.name(), meaning: cause.meaning() })
            .collect(),
        warnings,
        dials: dials(&loaded),
        scheduler_dials: scheduler_dials(&loaded),
        add: (listed.len() == 1).then(|| format!("schedulers=[{}, {other}: {{}}]", listed[0])),
        remove: (listed.len() > 1).then(|| format!("schedulers=[{}]", listed[0])),
        text: loaded.text,
        scenario: loaded.resolved,
        schedulers: loaded.schedulers,
        shown: loaded.shown,
    })
}
