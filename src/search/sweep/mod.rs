//! A grid of what-ifs: every combination of some fields' values, in parallel.

mod differences;
mod grid;
mod inert;
mod pareto;
mod said;
mod seal;
mod sensitivity;
mod text;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use grid::Vary;
pub use pareto::{Choice, Objective, Pareto, range};
pub(crate) use sensitivity::telling;
pub use text::{sweep_to_csv, sweep_to_text};

use super::cache::Cache;
use super::capacity::{CapacityOptions, search};
use super::depends::{Contents, FileDigests, build};
use super::goal::Goal;
use super::probe::{SearchError, Study};
use super::watch::Watch;
use crate::order;
use crate::progress::RunProgress;
use crate::result::{Assertion, Inert, Tool};
use crate::runner::{
    Requests, RunInput, RunOptions, Simulate, Watched, run_scheduler_watched, uneven,
};
use crate::scenario::{Document, Resolved, ScenarioError};
use crate::threads;

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
    /// A digest of the sources that the program was built from.
    #[serde(default)]
    pub build: String,
    /// A digest of everything else in the file, by which `merge` knows that it is as it was written.
    #[serde(default)]
    pub digest: String,
    /// Digests of the files that the points name, by their names in the scenario.
    #[serde(default)]
    pub files: Contents,
    /// The first point's scenario as resolved.
    pub scenario: Value,
    /// What was varied.
    pub vary: Vec<Vary>,
    /// How capacities were searched for; null where each point is one run.
    pub capacity: Option<Value>,
    /// Whether the full figures were worked out.
    #[serde(default)]
    pub full_metrics: bool,
    /// Whether all points of the grid, or of the shard, are there: not where time ran out.
    #[serde(default = "yes")]
    pub complete: bool,
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
    /// What the scenarios, their workloads and the runs warn of, each once; empty for a shard.
    #[serde(default)]
    pub warnings: Vec<String>,
}

fn yes() -> bool {
    true
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
    /// What a reader should know of its scenario and workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
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
    /// A grid, or files to merge, that make no sense.
    #[error("{0}")]
    NoSense(String),
}

/// What to sweep.
pub struct Sweep<'a> {
    /// The scenario, read but not resolved.
    pub document: &'a Document,
    /// Which fields of it `--set` gave: none may be varied.
    pub set: &'a [String],
    /// In place of its seed.
    pub seed: Option<u64>,
    /// The fields and their values.
    pub vary: Vec<Vary>,
    /// Search for the capacity of each point instead of running it once.
    pub capacity: Option<(CapacityOptions, Goal)>,
    /// Work out the full figures of each run.
    pub full_metrics: bool,
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
    /// Ends it when its time is up.
    pub watch: &'a Watch,
    /// Says what speaks against reading a file that a point names, before any point is run.
    pub spare: &'a (dyn Fn(&Path) -> Result<(), String> + Sync),
}

impl Sweep<'_> {
    /// Works out every point of the shard, those of the cache excepted; also tells how many of
    /// those there were. Points that are not finished when the time is up are left out.
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
        let first = self.resolve(0)?.scenario.to_json();
        let (digests, files) = (FileDigests::default(), Mutex::new(Contents::new()));
        let (done, reused) = (AtomicU64::new(0), AtomicU64::new(0));
        let points = threads::on(self.jobs, || {
            let checked: Vec<Result<(), SweepError>> =
                threads::spread_map(indices.clone(), |index| {
                    let files = self.resolve(index)?.files;
                    let spared = files.values().try_for_each(|file| (self.spare)(file));
                    spared.map_err(SweepError::NoSense)
                });
            checked.into_iter().collect::<Result<(), _>>()?;
            let points: Vec<Result<Option<Point>, SweepError>> =
                threads::spread_map(indices.clone(), |index| {
                    let point = self.point(index, &digests, &files)?;
                    let Some((point, kept)) = point else { return Ok(None) };
                    reused.fetch_add(u64::from(kept), Ordering::Relaxed);
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if let Some(progress) = self.progress {
                        progress.set(done, indices.len() as u64);
                    }
                    Ok(Some(point))
                });
            let points = points.into_iter().filter_map(Result::transpose);
            points.collect::<Result<Vec<Point>, SweepError>>()
        });
        let points = points.map_err(|error| SweepError::NoSense(error.to_string()))??;
        let file = SweepFile {
            schema_version: crate::result::SCHEMA_VERSION,
            kind: "sweep".to_owned(),
            tool: Tool::this(),
            build: build().to_owned(),
            digest: String::new(),
            files: files.into_inner().unwrap_or_else(PoisonError::into_inner),
            scenario: first,
            vary: self.vary.clone(),
            capacity: self.how(),
            full_metrics: self.full_metrics,
            complete: points.len() == indices.len(),
            points_total: total,
            shard: self.shard,
            points,
            pareto: None,
            sensitivities: Vec::new(),
            inert: Vec::new(),
            warnings: Vec::new(),
        };
        Ok((file, reused.into_inner() as usize))
    }

    /// The document of a point, and which fields its values set.
    fn document_at(&self, index: usize) -> Result<(Document, Vec<String>), SweepError> {
        let values = grid::values_of(&self.vary, index);
        let pairs = self.vary.iter().zip(&values);
        let overrides: Vec<String> = pairs.map(|(one, v)| format!("{}={v}", one.path)).collect();
        let with = self.document.clone().with_from("--vary", &overrides).map_err(Box::new)?;
        match grid::clash(&self.vary, &with.1, self.set) {
            Some(problem) => Err(SweepError::NoSense(problem)),
            None => Ok(with),
        }
    }

    fn resolve(&self, index: usize) -> Result<Resolved, SweepError> {
        Ok(self.document_at(index)?.0.resolve(self.seed).map_err(Box::new)?)
    }

    fn how(&self) -> Option<Value> {
        let (options, goal) = self.capacity.as_ref()?;
        Some(json!({
            "precision": options.precision, "seeds": options.seeds, "for_rate": options.for_rate,
            "for_users": options.for_users, "pool": options.pool,
            "max_replicas": options.max_replicas, "goal": format!("{goal:?}"),
        }))
    }

    /// A point, and whether it was kept from before; `None` when the time was up before it was
    /// finished.
    fn point(
        &self,
        index: usize,
        digests: &FileDigests,
        files: &Mutex<Contents>,
    ) -> Result<Option<(Point, bool)>, SweepError> {
        let values = grid::values_of(&self.vary, index);
        let resolved = self.resolve(index)?;
        let contents = digests.of(&resolved.files);
        let key = json!({
            "build": build(), "scenario": resolved.scenario, "capacity": self.how(),
            "full_metrics": self.full_metrics, "files": contents,
        });
        files.lock().unwrap_or_else(PoisonError::into_inner).extend(contents);
        let found = self.cache.and_then(|cache| cache.find(&key)).and_then(|mut kept| kept.pop());
        if let Some(played) = found.and_then(|kept| serde_json::from_value(kept).ok()) {
            let Played { runs, warnings } = played;
            return Ok(Some((Point { index, values, runs, warnings }, true)));
        }
        let played = self
            .play(&resolved)
            .map_err(|source| SweepError::Point { at: values.join(", "), source })?;
        let Some(played) = played else { return Ok(None) };
        if let Some(cache) = self.cache {
            cache.keep(&key, &[serde_json::to_value(&played).expect("plain data")]);
        }
        let Played { runs, warnings } = played;
        Ok(Some((Point { index, values, runs, warnings }, false)))
    }

    fn play(&self, resolved: &Resolved) -> Result<Option<Played>, SearchError> {
        let plain = "a result is plain data";
        let experiment = &resolved.experiment;
        let mut warnings = resolved.warnings.clone();
        if self.watch.is_over() {
            return Ok(None);
        }
        let (requests, notes) = Requests::of(experiment)?;
        warnings.extend(notes.iter().map(ToString::to_string));
        warnings.extend(uneven(experiment, &requests));
        let points = grid::combinations(&self.vary).unwrap_or(usize::MAX);
        let at_once = points.min(POINTS_MAX).saturating_mul(experiment.schedulers.len());
        if let Some((options, goal)) = &self.capacity {
            let watch = self.watch;
            let at_once = at_once * options.seeds.max(1) as usize;
            let simulate = self.simulate;
            let study = Study { experiment, simulate, goal, kept: None, watch, at_once };
            let file = search(study, Value::Null, options)?;
            if !file.complete {
                return Ok(None);
            }
            warnings.extend(file.notes);
            let each = file.schedulers.iter();
            let runs = each.map(|one| serde_json::to_value(one).expect(plain)).collect();
            return Ok(Some(Played { runs, warnings }));
        }
        let input = RunInput { experiment, requests: &requests };
        let full_metrics = self.full_metrics;
        let schedulers = experiment.schedulers.iter().collect();
        let runs: Vec<Result<Option<Value>, SearchError>> =
            threads::spread_map(schedulers, |scheduler| {
                let options = RunOptions { full_metrics, alike: at_once, ..RunOptions::default() };
                let output = self.watch.play(|progress| {
                    let watched = Watched { progress: Some(progress), ..Watched::default() };
                    run_scheduler_watched(input, scheduler, options, self.simulate, watched)
                })?;
                Ok(output.map(|output| serde_json::to_value(output.result).expect(plain)))
            });
        let runs = runs.into_iter().collect::<Result<Option<Vec<Value>>, _>>()?;
        Ok(runs.map(|runs| Played { runs, warnings }))
    }
}

/// What came of a point.
#[derive(Serialize, Deserialize)]
struct Played {
    runs: Vec<Value>,
    warnings: Vec<String>,
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
            self.warnings = said::warnings(&self.points);
            self.warnings
                .extend(self.pareto.iter().flat_map(|front| said::unknown(front, &self.points)));
        }
    }

    /// What the points that are there warn of, each once.
    pub fn warned(&self) -> Vec<String> {
        if self.warnings.is_empty() { said::warnings(&self.points) } else { self.warnings.clone() }
    }

    /// Judges assertions on every run: those that do not hold in some, in words.
    pub fn judge(&self, assertions: &[Assertion]) -> Vec<String> {
        said::judge(assertions, self)
    }

    /// Puts the shards of one sweep together, each with the name that errors call it by.
    ///
    /// # Errors
    /// When they are not of one sweep, one is not as it was written, or points are missing or there
    /// twice.
    pub fn merge(shards: Vec<(String, SweepFile)>) -> Result<SweepFile, SweepError> {
        let no_sense = |message: String| Err(SweepError::NoSense(message));
        let mut shards = shards;
        let damage =
            shards.iter_mut().find_map(|(name, shard)| Some((name.clone(), shard.damage()?)));
        let mut shards = shards.into_iter().map(|(_, shard)| shard);
        let Some(mut all) = shards.next() else {
            return no_sense("no shard to merge".to_owned());
        };
        let rest: Vec<SweepFile> = shards.collect();
        // Two builds are the reason that helps more.
        if let Some(what) = rest.iter().find_map(|shard| differences::between(&all, shard)) {
            return no_sense(format!("the shards are not of one sweep: {what}"));
        }
        if let Some((name, damage)) = damage {
            return no_sense(format!("{name} {damage}"));
        }
        for shard in rest {
            all.files.extend(shard.files);
            all.points.extend(shard.points);
        }
        order::sort_by_key(&mut all.points, |point| point.index);
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
        (all.pareto, all.sensitivities, all.warnings) = (None, Vec::new(), Vec::new());
        Ok(all)
    }
}
