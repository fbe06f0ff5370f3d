//! All that one page draws.

use serde::Serialize;
use serde_json::Value;

use super::measured::measured_run;
use super::run::{Drawn, RunView, draw, iterations_of};
use super::search::{CapacityView, SweepView};
use super::{ITERATIONS_MAX, PACKED_MAX, Room};
use crate::explain::Cause;
use crate::request::RequestId;
use crate::result::{ResultFile, Tool};
use crate::runner::WhatIf;
use crate::search::CapacityFile;
use crate::search::sweep::SweepFile;
use crate::shown::count;

/// What a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// Simulated runs.
    Run,
    /// Simulated runs, with what would have helped.
    Explain,
    /// Measured runs.
    Evaluate,
    /// The highest load that keeps the promise.
    Capacity,
    /// A grid of what-ifs.
    Sweep,
    /// The cheapest GPUs for a question.
    Plan,
}

/// A part of a page that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Absent {
    /// Which.
    pub part: &'static str,
    /// Why.
    pub why: String,
}

/// A cause in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CauseName {
    /// Its name in files.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// Everything that a page draws.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// What it is about.
    pub kind: PageKind,
    /// What made it.
    pub tool: Tool,
    /// The scenario's name, or another title.
    pub title: String,
    /// The runs, in order; a run's place picks its colour everywhere.
    pub runs: Vec<RunView>,
    /// Every cause.
    pub causes: Vec<CauseName>,
    /// What would have helped, scheduler by scheduler: its stall, the changes that were simulated.
    pub cures: Vec<CuresView>,
    /// Capacities.
    pub capacity: Option<CapacityView>,
    /// A grid.
    pub sweep: Option<SweepView>,
    /// Where something was thinned.
    pub thinned: Vec<String>,
    /// The scenario as resolved.
    pub scenario: Value,
}

/// What would have helped one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CuresView {
    /// The scheduler.
    pub label: String,
    /// Whose stall.
    pub request: RequestId,
    /// The late token, from 0.
    pub token: u32,
    /// Its cause.
    pub main_cause: Option<Cause>,
    /// Whether the run kept its promise as it was; null where that is not known.
    pub keeps_promise: Option<bool>,
    /// The run as it was, then each change, the best first.
    pub tried: Vec<WhatIf>,
    /// What helps most, as its place in `tried`.
    pub best: Option<usize>,
    /// Changes that could not be tried, or changed nothing.
    pub notes: Vec<String>,
}

impl Page {
    fn new(kind: PageKind, title: &str, scenario: &Value) -> Page {
        let name = scenario.get("name").and_then(Value::as_str);
        let names = Cause::ALL.iter();
        Page {
            kind,
            tool: Tool::this(),
            title: name.unwrap_or(title).to_owned(),
            runs: Vec::new(),
            causes: names.map(|c| CauseName { name: c.name(), meaning: c.meaning() }).collect(),
            cures: Vec::new(),
            capacity: None,
            sweep: None,
            thinned: Vec::new(),
            scenario: scenario.clone(),
        }
    }

    /// A plan: all of it is words and a table.
    pub fn of_plan(plan: &Value) -> Page {
        Page::new(PageKind::Plan, "metron-sim plan", plan)
    }

    /// Simulated runs; with cures it is an explanation.
    pub fn of_runs(scenario: &Value, runs: &[Drawn<'_>], cures: Option<Vec<CuresView>>) -> Page {
        let kind = if cures.is_some() { PageKind::Explain } else { PageKind::Run };
        let mut page = Page::new(kind, "metron-sim run", scenario);
        page.runs = draw(runs);
        page.cures = cures.unwrap_or_default();
        let iterations = iterations_of(runs);
        if iterations > ITERATIONS_MAX {
            let single = match iterations {
                0..=PACKED_MAX => "Zoom in, and every iteration is there.".to_owned(),
                _ => format!(
                    "Around the worst stalls every iteration is there; a page keeps all of them \
                     up to {}.",
                    count(PACKED_MAX)
                ),
            };
            page.thinned.push(format!(
                "More than {} iterations ran, so a column of the timeline stands for \
                 several: it shows the largest and the smallest of each number. {single}",
                count(ITERATIONS_MAX)
            ));
        }
        for view in &page.runs {
            if view.lanes.len() < view.replicas {
                page.thinned.push(format!(
                    "{}: {} of {} {} are drawn, those with the worst stalls first.",
                    view.label,
                    view.lanes.len(),
                    view.replicas,
                    if view.lanes.iter().any(|lane| lane.part.is_some()) {
                        "lanes"
                    } else {
                        "replicas"
                    }
                ));
            }
        }
        page
    }

    /// Measured runs.
    pub fn of_measured(result: &ResultFile) -> Page {
        let mut page = Page::new(PageKind::Evaluate, "metron-sim evaluate", &result.scenario);
        let room = Room::for_runs(result.runs.len(), 0);
        page.runs = result.runs.iter().map(|run| measured_run(run, room)).collect();
        page
    }

    /// A capacity search.
    pub fn of_capacity(file: &CapacityFile) -> Page {
        let mut page = Page::new(PageKind::Capacity, "metron-sim capacity", &file.scenario);
        page.capacity = Some(CapacityView::of(file));
        page
    }

    /// A sweep.
    pub fn of_sweep(file: &SweepFile) -> Page {
        let mut page = Page::new(PageKind::Sweep, "metron-sim sweep", &file.scenario);
        let view = SweepView::of(file);
        if view.left_out > 0 {
            page.thinned.push(format!(
                "{} of {} results are drawn; those of the Pareto front are all there.",
                view.points.len(),
                view.points.len() + view.left_out
            ));
        }
        page.sweep = Some(view);
        page
    }

    /// The iterations of its lanes, packed; see [`super::Packed::id`].
    pub fn packed(&self) -> Vec<&str> {
        let lanes = self.runs.iter().flat_map(|run| &run.lanes);
        lanes.filter_map(|lane| Some(lane.packed.as_ref()?.text.as_str())).collect()
    }

    /// As JSON on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a page is plain data")
    }
}
