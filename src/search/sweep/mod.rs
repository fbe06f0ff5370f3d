//! A grid of what-ifs: every combination of some fields' values, in parallel.

mod grid;
mod inert;
mod pareto;
mod sensitivity;
mod text;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use grid::Vary;
pub use pareto::{Choice, Objective, Pareto};
pub use text::{sweep_to_csv, sweep_to_text};

use super::cache::{self, Cache};
use super::capacity::{CapacityOptions, search};
use super::goal::Goal;
use super::probe::{SearchError, Study};
use crate::progress::RunProgress;
use crate::report::{Inert, OutputError, Tool};
use crate::runner::{Requests, RunInput, RunOptions, Simulate, run_scheduler};
use crate::scenario::{Document, Resolved, ScenarioError};

/// More points are a mistyped grid.
pub const POINTS_MAX: usize = 1_000_000;

/// A part of a grid, for batch systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shard {
    /// Which, from 1.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

/// The published result of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepFile {
    /// Version of this layout.
    pub schema_version: u32,
    /// `sweep`.
    pub kind: String,
    /// What made it.
    pub tool: Tool,
    /// The first point's scenario as resolved.
    pub scenario: Value,
    /// What was varied.
    pub vary: Vec<Vary>,
    /// How capacities were searched for; null where each point is one run.
    pub capacity: Option<Value>,
    /// Points of the whole grid.
    pub points_total: usize,
    /// The part that this is; null for all of it.
    pub shard: Option<Shard>,
    /// The points, in the grid's order: the last field changes fastest.
    pub points: Vec<Point>,
    /// The front, where it was asked for and all points are there.
    pub pareto: Option<Pareto>,
    /// What each step of each field changes, all else equal; empty for a shard.
    pub sensitivities: Vec<String>,
    /// Settings of the scenario that change nothing at any point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inert: Vec<Inert>,
}

/// One combination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Its place in the grid.
    pub index: usize,
    /// Values of the varied fields, in their order.
    pub values: Vec<String>,
    /// A result for each scheduler: a run, or a capacity.
    pub runs: Vec<Value>,
}

/// Why a sweep has no result.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A combination that is no scenario.
    #[error(transparent)]
    Scenario(#[from] Box<ScenarioError>),
    /// A point that has no result.
    #[error("{at}: {source}")]
    Point {
        /// The combination.
        at: String,
        /// What happened.
        source: SearchError,
    },
    /// A point that could not be kept.
    #[error(transparent)]
    Keep(#[from] OutputError),
    /// A grid, or files to merge, that make no sense.
    #[error("{0}")]
    NoSense(String),
}

/// What to sweep.
pub struct Sweep<'a> {
    /// The scenario, read but not resolved.
    pub document: &'a Document,
    /// In place of its seed.
    pub seed: Option<u64>,
    /// The fields and their values.
    pub vary: Vec<Vary>,
    /// Search for the capacity of each point instead of running it once.
    pub capacity: Option<(CapacityOptions, Goal)>,
    /// Only a part of the points.
    pub shard: Option<Shard>,
    /// Threads.
    pub jobs: usize,
    /// Points finished before, and where to keep new ones.
    pub cache: Option<&'a Cache>,
    /// The simulator.
    pub simulate: &'a dyn Simulate,
    /// Where to say how far it has come, in points.
    pub progress: Option<&'a RunProgress>,
}

impl Sweep<'_> {
    /// Works out every point of the shard, those of the cache excepted; also tells how many of
    /// those there were.
    ///
    /// # Errors
    /// Mistakes of any combination before anything runs; then the first point's that fails.
    pub fn run(&self) -> Result<(SweepFile, usize), SweepError> {
        let total =
            grid::combinations(&self.vary).filter(|&n| n <= POINTS_MAX).ok_or_else(|| {
                SweepError::NoSense(format!("the grid has more than {POINTS_MAX} points"))
            })?;
        let mine = |index: &usize| self.shard.is_none_or(|s| index % s.of == s.index - 1);
        let indices: Vec<usize> = (0..total).filter(mine).collect();
        let first = self.resolve(0)?.scenario;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.jobs.max(1)).build();
        let pool = pool.map_err(|error| SweepError::NoSense(error.to_string()))?;
        let (done, reused) = (AtomicU64::new(0), AtomicU64::new(0));
        let points: Vec<Point> = pool.install(|| {
            let checked: Vec<Result<(), SweepError>> =
                indices.par_iter().map(|&index| self.resolve(index).map(|_| ())).collect();
            checked.into_iter().collect::<Result<(), _>>()?;
            let points: Vec<Result<Point, SweepError>> = indices
                .par_iter()
                .map(|&index| {
                    let (point, kept) = self.point(index)?;
                    reused.fetch_add(u64::from(kept), Ordering::Relaxed);
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if let Some(progress) = self.progress {
                        progress.set(done, indices.len() as u64);
                    }
                    Ok(point)
                })
                .collect();
            points.into_iter().collect::<Result<_, SweepError>>()
        })?;
        let file = SweepFile {
            schema_version: crate::report::SCHEMA_VERSION,
            kind: "sweep".to_owned(),
            tool: Tool::this(),
            scenario: first,
            vary: self.vary.clone(),
            capacity: self.how(),
            points_total: total,
            shard: self.shard,
            points,
            pareto: None,
            sensitivities: Vec::new(),
            inert: Vec::new(),
        };
        Ok((file, reused.into_inner() as usize))
    }

    fn document_at(&self, index: usize) -> Result<Document, SweepError> {
        let values = grid::values_of(&self.vary, index);
        let pairs = self.vary.iter().zip(&values);
        let overrides: Vec<String> = pairs.map(|(one, v)| format!("{}={v}", one.path)).collect();
        Ok(self.document.clone().with(&overrides).map_err(Box::new)?)
    }

    fn resolve(&self, index: usize) -> Result<Resolved, SweepError> {
        Ok(self.document_at(index)?.resolve(self.seed).map_err(Box::new)?)
    }

    fn how(&self) -> Option<Value> {
        let (options, goal) = self.capacity.as_ref()?;
        Some(json!({
            "precision": options.precision, "seeds": options.seeds, "for_rate": options.for_rate,
            "goal": format!("{goal:?}"),
        }))
    }

    /// A point, and whether it was kept from before.
    fn point(&self, index: usize) -> Result<(Point, bool), SweepError> {
        let values = grid::values_of(&self.vary, index);
        let resolved = self.resolve(index)?;
        let key = json!({
            "tool": Tool::this(), "scenario": resolved.scenario, "capacity": self.how(),
            "files": cache::input_files(&resolved.experiment),
        });
        if let Some(runs) = self.cache.and_then(|cache| cache.find(&key)) {
            return Ok((Point { index, values, runs }, true));
        }
        let runs = self
            .play(&resolved)
            .map_err(|source| SweepError::Point { at: values.join(", "), source })?;
        if let Some(cache) = self.cache {
            cache.keep(&key, &runs)?;
        }
        Ok((Point { index, values, runs }, false))
    }

    fn play(&self, resolved: &Resolved) -> Result<Vec<Value>, SearchError> {
        let plain = "a result is plain data";
        let experiment = &resolved.experiment;
        if let Some((options, goal)) = &self.capacity {
            let study = Study { experiment, simulate: self.simulate, goal, kept: None };
            let file = search(study, Value::Null, options)?;
            let each = file.schedulers.iter();
            return Ok(each.map(|one| serde_json::to_value(one).expect(plain)).collect());
        }
        let (requests, _) = Requests::of(experiment)?;
        let input = RunInput { experiment, requests: &requests };
        let runs = experiment.schedulers.par_iter().map(|scheduler| {
            let options = RunOptions::default();
            let output = run_scheduler(input, scheduler, options, self.simulate)?;
            Ok(serde_json::to_value(output.result).expect(plain))
        });
        let runs: Vec<Result<Value, SearchError>> = runs.collect();
        runs.into_iter().collect()
    }
}

/// JSON Schema (2020-12) of [`SweepFile`].
pub fn sweep_schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(SweepFile);
    schema.insert("title".into(), "metron-sim sweep".into());
    schema
}

impl SweepFile {
    /// Adds what needs every point: the sensitivities, and the front where it is asked for. A
    /// shard stays as it is.
    pub fn conclude(&mut self, objectives: Option<[Objective; 2]>) {
        if self.points.len() == self.points_total {
            self.sensitivities = sensitivity::sensitivities(&self.vary, &self.points);
            self.pareto = objectives.map(|two| pareto::pareto(&self.points, two));
        }
    }

    /// Puts the shards of one sweep together.
    ///
    /// # Errors
    /// When they are not of one sweep, or points are missing or there twice.
    pub fn merge(shards: Vec<SweepFile>) -> Result<SweepFile, SweepError> {
        let mut shards = shards.into_iter();
        let no_sense = |message: String| Err(SweepError::NoSense(message));
        let Some(mut all) = shards.next() else {
            return no_sense("no shard to merge".to_owned());
        };
        for shard in shards {
            let same = shard.tool == all.tool
                && shard.scenario == all.scenario
                && shard.vary == all.vary
                && shard.capacity == all.capacity
                && shard.points_total == all.points_total;
            if !same {
                return no_sense(
                    "the shards are not of one sweep: their scenario, fields or version differ"
                        .to_owned(),
                );
            }
            all.points.extend(shard.points);
        }
        all.points.sort_by_key(|point| point.index);
        let indices: BTreeSet<usize> = all.points.iter().map(|point| point.index).collect();
        if indices.len() < all.points.len() {
            return no_sense("a point is there twice: is a shard given twice?".to_owned());
        }
        let missing: Vec<String> = (0..all.points_total)
            .filter(|index| !indices.contains(index))
            .map(|index| index.to_string())
            .collect();
        if !missing.is_empty() {
            let n = missing.len();
            let some = missing[..n.min(10)].join(", ");
            return no_sense(format!("{n} of {} points are missing: {some}", all.points_total));
        }
        all.shard = None;
        (all.pareto, all.sensitivities) = (None, Vec::new());
        Ok(all)
    }
}
