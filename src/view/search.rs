//! Capacities and grids, ready to draw.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::search::CapacityFile;
use crate::search::sweep::{Objective, SweepFile, telling};

/// Results of a grid that are drawn.
const POINTS_MAX: usize = 4_000;
/// Rates of one search that are drawn.
const TRIED_MAX: usize = 60;

/// Capacities of all schedulers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CapacityView {
    /// What had to hold.
    pub promise: String,
    /// The scenario's own rate.
    pub scenario_requests_per_s: f64,
    /// Share of fluid requests that is asked for, where it is.
    pub fluid_share: Option<f64>,
    /// One for each scheduler.
    pub schedulers: Vec<ProbedScheduler>,
}

/// What one scheduler's search tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbedScheduler {
    /// Name and parameters.
    pub label: String,
    /// The highest rate that held, the mean over [`seeds`](Self::seeds); none where there is no
    /// number.
    pub requests_per_s: Option<f64>,
    /// Seeds that were searched.
    pub seeds: usize,
    /// Half of its 95 % interval.
    pub half_width: Option<f64>,
    /// What gives way above it.
    pub limited_by: Vec<String>,
    /// Every rate tried, rising.
    pub probed: Vec<Probed>,
}

/// One rate that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Probed {
    /// Requests a second.
    pub rate: f64,
    /// Whether it was held.
    pub held: bool,
    /// Share of fluid requests; none where it is not known.
    pub fluid: Option<f64>,
    /// The seed.
    pub seed: u64,
}

impl CapacityView {
    pub(super) fn of(file: &CapacityFile) -> CapacityView {
        let share = file.scenario.pointer("/slo/fluidity/share").and_then(Value::as_f64);
        let schedulers = file.schedulers.iter().map(|capacity| {
            let mut probed = Vec::new();
            for seed in &capacity.seeds {
                // The last ones tried are nearest to the border.
                let skipped = seed.tried.len().saturating_sub(TRIED_MAX);
                let fluid = |place: usize| *seed.tried_fluid_request_share.get(place)?;
                let tried = seed.tried.iter().enumerate().skip(skipped);
                probed.extend(tried.map(|(place, &(rate, held))| Probed {
                    rate,
                    held,
                    fluid: fluid(place),
                    seed: seed.seed,
                }));
            }
            probed.truncate(POINTS_MAX / file.schedulers.len().max(1));
            probed.sort_by(|a, b| a.rate.total_cmp(&b.rate).then(a.seed.cmp(&b.seed)));
            ProbedScheduler {
                label: capacity.label.clone(),
                requests_per_s: capacity.requests_per_s.map(|rate| rate.mean),
                half_width: capacity.requests_per_s.and_then(|rate| rate.half_width),
                seeds: capacity.seeds.len(),
                limited_by: capacity.limited_by.clone(),
                probed,
            }
        });
        CapacityView {
            promise: file.promise.clone(),
            scenario_requests_per_s: file.scenario_requests_per_s,
            fluid_share: share,
            schedulers: schedulers.collect(),
        }
    }
}

/// A grid.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepView {
    /// What was varied.
    pub paths: Vec<String>,
    /// Figures that points have.
    pub figures: Vec<Figure>,
    /// Places in `figures` of the two to begin with.
    pub axes: [usize; 2],
    /// Schedulers by name, in order of appearance; a point names its place.
    pub schedulers: Vec<String>,
    /// The points.
    pub points: Vec<SweepPoint>,
    /// Results that are not drawn.
    pub left_out: usize,
    /// What each step of each field changes.
    pub sensitivities: Vec<String>,
}

/// A figure of a result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Its path in a run.
    pub path: String,
    /// In words.
    pub name: String,
    /// Whether more is better.
    pub maximise: bool,
}

/// One result of a grid.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepPoint {
    /// Place in the grid.
    pub index: usize,
    /// Values of the varied fields; `-` for a parameter of another scheduler.
    pub values: Vec<String>,
    /// Place of its scheduler.
    pub scheduler: usize,
    /// Name and parameters.
    pub label: String,
    /// Its figures, in the order of `figures`.
    pub figures: Vec<Option<f64>>,
}

/// Figures to choose from: path, words, whether more is better.
const FIGURES: [(&str, &str, bool); 11] = [
    ("throughput.output_tokens_per_s", "output tokens/s", true),
    ("fluidity.fluid_request_share", "fluid requests, share", true),
    ("requests_per_s_per_gpu.mean", "capacity, requests/s a GPU", true),
    ("requests_per_s.mean", "capacity, requests/s", true),
    ("price.usd_per_hour", "$ an hour", false),
    ("ttft_s.p99", "P99 TTFT, s", false),
    ("tbt_s.p99", "P99 TBT, s", false),
    ("tpot_s.p99", "P99 TPOT, s", false),
    ("e2e_s.p99", "P99 end to end, s", false),
    ("cost.usd_per_million_output_tokens", "$ per M output tokens", false),
    ("energy.joules_per_output_token", "J per output token", false),
];

impl SweepView {
    pub(super) fn of(file: &SweepFile) -> SweepView {
        let runs = || file.points.iter().flat_map(|point| &point.runs);
        let known = |path: &str| runs().any(|run| figure(run, path).is_some());
        let mut figures: Vec<Figure> = FIGURES
            .into_iter()
            .filter(|(path, ..)| known(path))
            .map(|(path, name, maximise)| Figure {
                path: path.to_owned(),
                name: name.to_owned(),
                maximise,
            })
            .collect();
        let mut place = |objective: &Objective| {
            let at = figures.iter().position(|figure| figure.path == objective.path);
            let at = at.unwrap_or_else(|| {
                let (path, name) = (objective.path.clone(), objective.path.clone());
                figures.push(Figure { path, name, maximise: objective.maximise });
                figures.len() - 1
            });
            figures[at].maximise = objective.maximise;
            at
        };
        let asked = file.pareto.as_ref().map(|pareto| pareto.objectives.each_ref().map(&mut place));
        let axes = asked.unwrap_or([0, usize::from(figures.len() > 1)]);
        let front: BTreeSet<(usize, usize)> = file
            .pareto
            .iter()
            .flat_map(|pareto| &pareto.front)
            .map(|choice| (choice.point, choice.run))
            .collect();
        let every = runs().count().div_ceil(POINTS_MAX).max(1);
        let (mut schedulers, mut points, mut number) = (Vec::new(), Vec::new(), 0);
        let mut told = BTreeSet::new();
        for point in &file.points {
            for (run, value) in point.runs.iter().enumerate() {
                // What another scheduler's parameter does not change is one result, told once.
                let name = value["scheduler"].as_str().unwrap_or_default();
                let values = telling(&file.vary, point, name, run);
                if !told.insert((run, values.clone())) {
                    continue;
                }
                number += 1;
                if (number - 1) % every != 0 && !front.contains(&(point.index, run)) {
                    continue;
                }
                let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
                let name = text("scheduler");
                let scheduler = schedulers.iter().position(|s| *s == name);
                let scheduler = scheduler.unwrap_or_else(|| {
                    schedulers.push(name);
                    schedulers.len() - 1
                });
                points.push(SweepPoint {
                    index: point.index,
                    values,
                    scheduler,
                    label: text("label"),
                    figures: figures.iter().map(|f| figure(value, &f.path)).collect(),
                });
            }
        }
        SweepView {
            paths: file.vary.iter().map(|vary| vary.path.clone()).collect(),
            left_out: number - points.len(),
            figures,
            axes,
            schedulers,
            points,
            sensitivities: file.sensitivities.clone(),
        }
    }
}

/// A number of a run's JSON by its dotted path.
fn figure(run: &Value, path: &str) -> Option<f64> {
    path.split('.').try_fold(run, |at, name| at.get(name))?.as_f64()
}
