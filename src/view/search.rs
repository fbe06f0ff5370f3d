//! Capacities and grids, ready to draw.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::order;
use crate::search::sweep::{Objective, SweepFile, range, telling};
use crate::search::{CapacityFile, Estimate};

/// Results of a grid that are drawn.
const POINTS_MAX: usize = 4_000;
/// Rates of one search that are drawn.
const TRIED_MAX: usize = 60;

/// Capacities of all schedulers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CapacityView {
    /// What had to hold.
    pub promise: String,
    /// What was searched over, in words: `requests/s` or `users`.
    pub unit: String,
    /// The scenario's own rate, or users.
    pub scenario_load: f64,
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
    /// The highest load that holds, or its mean over seeds; none where there is no number.
    pub load: Option<f64>,
    /// Ends of its interval, the bracket of the search included; no upper one where nothing is known
    /// above.
    pub interval: Option<(f64, Option<f64>)>,
    /// What the number is, in words.
    pub is: Option<String>,
    /// What gives way above it.
    pub limited_by: Vec<String>,
    /// Every rate tried, rising.
    pub probed: Vec<Probed>,
}

/// One rate that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Probed {
    /// Requests a second, or users.
    pub rate: f64,
    /// Whether it was held; none where that is not known.
    pub held: Option<bool>,
    /// Share of fluid requests; none where it is not known.
    pub fluid: Option<f64>,
    /// The seed.
    pub seed: u64,
}

impl CapacityView {
    pub(super) fn of(file: &CapacityFile) -> CapacityView {
        let share = ["/promise/share", "/slo/fluidity/share"]
            .iter()
            .find_map(|path| file.scenario.pointer(path)?.as_f64());
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
            order::sort_by(&mut probed, |a, b| a.rate.total_cmp(&b.rate).then(a.seed.cmp(&b.seed)));
            ProbedScheduler {
                label: capacity.label.clone(),
                load: capacity.border().map(|border| border.mean),
                interval: capacity.border().map(|border| (border.lower, border.upper)),
                is: capacity.border().map(|border| match border.is {
                    Estimate::HighestThatHeld => match border.upper {
                        Some(_) => "the highest that held".to_owned(),
                        None => "the highest shown to hold".to_owned(),
                    },
                    Estimate::MeanOverSeeds => match border.upper {
                        Some(_) => format!("mean of {} seeds", border.count),
                        None => format!("shown to hold, mean of {} seeds", border.count),
                    },
                }),
                limited_by: capacity.limited_by.clone(),
                probed,
            }
        });
        CapacityView {
            promise: file.promise.clone(),
            unit: file.searched.unit().to_owned(),
            scenario_load: file
                .scenario_requests_per_s
                .or(file.scenario_users.map(f64::from))
                .unwrap_or_default(),
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
    /// Between what each of them may be, where that is known: a capacity, or what follows from one.
    /// Empty where none of them has such an interval.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Option<[f64; 2]>>,
}

/// Figures to choose from: path, words, whether more is better.
const FIGURES: [(&str, &str, bool); 16] = [
    ("throughput.output_tokens_per_s", "output tokens/s", true),
    ("fluidity.fluid_request_share", "fluid requests, share", true),
    ("requests_per_s_per_gpu.mean", "capacity, requests/s a GPU", true),
    ("requests_per_s.mean", "capacity, requests/s", true),
    ("users.mean", "capacity, users", true),
    ("users_per_gpu.mean", "capacity, users a GPU", true),
    ("fluidity.fluid_tokens_per_s", "fluid tokens/s a user", true),
    ("ttft_in_time_share", "first tokens in time, share", true),
    ("at_capacity.ttft_in_time_share", "first tokens in time at capacity, share", true),
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
                let mut ranges: Vec<Option<[f64; 2]>> = figures
                    .iter()
                    .map(|f| range(value, &f.path))
                    // JSON has no infinity: a price of what may carry nothing.
                    .map(|range| range.map(|(low, high)| [low, high.min(f64::MAX)]))
                    .collect();
                if ranges.iter().all(Option::is_none) {
                    ranges.clear();
                }
                points.push(SweepPoint {
                    ranges,
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
