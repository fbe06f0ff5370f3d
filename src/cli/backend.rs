//! What commands need of the rest of the library.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::cli::args::{GlobalFlags, Listed};
use crate::cli::error::Error;
use crate::cli::figures::Figures;
use crate::inert::{self, Ended, Written};
use crate::result::Found;
use crate::runner::{Requests, SchedulerOutput, Simulate};
use crate::scenario::{Document, Experiment, ResolvedScenario, ScenarioError, SchedulerDetails};

/// A scenario as the command line names it.
#[derive(Clone, Debug)]
pub struct ScenarioRequest {
    /// The file; `-` is stdin.
    pub path: String,
    /// `path=value` overrides, in the order given.
    pub set: Vec<String>,
    /// In place of the scenario's seed.
    pub seed: Option<u64>,
    /// Threads to draw its requests on; at least 1.
    pub jobs: usize,
}

impl ScenarioRequest {
    /// A scenario under the options of every command.
    pub fn new(path: String, global: &GlobalFlags) -> ScenarioRequest {
        ScenarioRequest { path, set: global.set.clone(), seed: global.seed, jobs: global.threads() }
    }
}

/// A scenario that is ready to run.
pub struct Loaded {
    /// What to simulate.
    pub experiment: Experiment,
    /// Its requests.
    pub requests: Requests,
    /// The scenario with every default filled in.
    pub resolved: ResolvedScenario,
    /// What a reader should know.
    pub warnings: Vec<String>,
    /// The keys that stand in it, overrides included.
    pub written: Vec<Written>,
    /// Every file that the scenario names, by its name there.
    pub files: BTreeMap<String, PathBuf>,
    /// The scenario as it was read, overrides applied, so that changes of it can be tried; `None`
    /// where it did not come from a file.
    pub document: Option<Document>,
}

impl Loaded {
    /// That a live server, or one that poses as such, can stand for the fleet: it has one name.
    ///
    /// # Errors
    /// When the pools serve different models.
    #[cfg(feature = "live")]
    pub(super) fn serves_one_model(&self) -> Result<(), Error> {
        if !self.experiment.models_differ() {
            return Ok(());
        }
        let message = "the pools serve different models, and requests to a live server ask for one: \
                       give it a scenario with the pools of one model";
        Err(Error::NoSense(message.to_owned()))
    }

    /// The keys that have no effect; `ended` tells how each run ended, where that is known.
    pub fn inert(&self, ended: Option<&[Ended]>) -> Found {
        inert::inert(&self.written, &self.resolved, &self.experiment, &self.requests, ended)
    }

    /// The same once the runs are known.
    pub fn inert_in<'o>(&self, outputs: impl IntoIterator<Item = &'o SchedulerOutput>) -> Found {
        let count = self.requests.count(&self.experiment);
        let ended: Vec<Ended> =
            outputs.into_iter().map(|one| Ended::of(count, &one.outcome)).collect();
        self.inert(Some(&ended))
    }
}

/// A line of `metron-sim list`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ListEntry {
    /// The name that a scenario gives.
    pub name: String,
    /// What it is.
    pub description: String,
    /// More of a scheduler.
    #[serde(flatten)]
    pub scheduler: Option<SchedulerDetails>,
    /// More of a GPU, a model or a profile.
    #[serde(flatten)]
    pub figures: Option<Figures>,
}

/// Scenarios, catalogs and the simulator, as commands see them: a seam, so that commands can be
/// tested on made-up simulations.
pub trait Backend: Simulate {
    /// The scenario that an argument names, read but not resolved.
    ///
    /// # Errors
    /// When it cannot be read or is not YAML.
    fn document(&self, name: &str) -> Result<Document, ScenarioError> {
        Document::read(name)
    }

    /// Whether a scenario of this name is there besides files and those that come with the program.
    fn has(&self, _name: &str) -> bool {
        false
    }

    /// Reads and resolves a scenario and draws its requests.
    ///
    /// # Errors
    /// When it cannot be read or run.
    fn load(&self, request: &ScenarioRequest) -> Result<Loaded, Error>;

    /// What has names.
    fn list(&self, what: Listed) -> Vec<ListEntry>;

    /// JSON Schema of a scenario file.
    fn scenario_schema(&self) -> Value;
}
