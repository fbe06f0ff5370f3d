//! A scenario, played: figures, verdict and everything that is drawn.

use serde::Serialize;
use serde_json::Value;

use super::dials::{Dial, SchedulerDials, dials, scheduler_dials};
use super::figures::{KeyFigure, key_figures};
use super::load::LoadFigures;
use super::loaded::Loaded;
use super::reach::Reach;
use super::steps::{Steps, Window, around};
use super::{Allowance, Around, Problems, limits};
use crate::explain::{Cause, Index};
use crate::ids::{IterationNo, LaneId};
use crate::report::header::header;
use crate::report::remarks::remarks;
use crate::report::verdict::verdict;
use crate::result::{ResultFile, Tool};
use crate::runner::SchedulerOutput;
use crate::threads;
use crate::view::{CauseName, Drawn, Room, RunView};

/// Columns of a run's timeline: one a pixel column or so, since they are sent with every change; a
/// page asks for the iterations of a stretch when it shows one.
const COLUMNS: usize = 1_000;
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
    /// What stands in the curves against the load where the page is.
    load: Vec<LoadFigures>,
    /// Each run, ready to draw.
    runs: Vec<RunView>,
    /// And its iterations around the time that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Steps>,
    causes: Vec<CauseName>,
    warnings: Vec<String>,
    /// What was done so that a model that was chosen fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    fitted: Option<String>,
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
    let indexed = |place: usize| {
        let output = &outputs[place];
        let index = Index::new(loaded.recording(place, output));
        let drawn = Drawn {
            result: &output.result,
            judged_by: &output.judged_by,
            index: &index,
            explanation: None,
        };
        let view = RunView::of(&drawn, room);
        (view, index)
    };
    let (runs, indices): (Vec<RunView>, Vec<Index<'_>>) =
        threads::spread_up_to(outputs.len(), indexed).into_iter().unzip();
    let told = |asked: Around| {
        let runs = runs.iter().zip(outputs).enumerate();
        runs.map(|(place, (view, output))| {
            let lane = view.lanes.first().map_or(LaneId(0), |view| view.lane);
            let at_us = Some(asked.at_us);
            around(
                &loaded,
                place,
                output,
                &indices[place],
                Window { lane, from: IterationNo::FIRST, at_us, count: asked.count },
            )
        })
        .collect::<Result<Vec<Steps>, Problems>>()
    };
    let steps = steps.map(told).transpose()?.unwrap_or_default();
    drop(indices);
    let results: Vec<_> = outputs.iter().map(|output| output.result.clone()).collect();
    let file = ResultFile::new(loaded.resolved.to_json(), results, loaded.warnings.clone())
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
    let most = outputs.iter().map(|output| output.outcome.iterations.total()).max();
    let reach = Reach::of(&loaded, most.unwrap_or(0));
    let listed = loaded.document.elements("schedulers");
    let names = loaded.experiment.schedulers.first().map(|run| run.name.as_str());
    let other = if names == Some("sarathi") { "vllm-v0" } else { "sarathi" };
    Ok(Played {
        tool: Tool::this(),
        title: loaded.experiment.name.clone(),
        header: header(&file),
        verdict: verdict(&file.runs),
        figures: key_figures(&values),
        load: values.iter().map(LoadFigures::of).collect(),
        results: values,
        runs,
        steps,
        causes: Cause::ALL
            .iter()
            .map(|cause| CauseName { name: cause.name(), meaning: cause.meaning() })
            .collect(),
        warnings,
        fitted: loaded.fitted.clone(),
        dials: dials(&loaded, &reach),
        scheduler_dials: scheduler_dials(&loaded, &reach),
        add: (listed.len() == 1).then(|| format!("schedulers=[{}, {other}: {{}}]", listed[0])),
        remove: (listed.len() > 1).then(|| format!("schedulers=[{}]", listed[0])),
        text: loaded.text,
        scenario: loaded.resolved.to_json(),
        schedulers: loaded.schedulers,
        shown: loaded.shown,
    })
}
