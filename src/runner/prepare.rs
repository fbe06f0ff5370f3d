//! From a scenario's text to what a run needs: the one way of the command line, the playground and
//! of programs around the library.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Requests, measures_many};
use crate::scenario::{Document, Experiment, Resolved, ResolvedScenario, ScenarioError};
use crate::threads;
use crate::workload::WorkloadError;

/// A scenario that is ready to run.
#[non_exhaustive]
pub struct Prepared {
    /// What to simulate.
    pub experiment: Experiment,
    /// Its requests.
    pub requests: Requests,
    /// The scenario with every default filled in.
    pub resolved: ResolvedScenario,
    /// What a reader should know of the scenario and its requests.
    pub warnings: Vec<String>,
    /// Every file that the scenario names, by its name there.
    pub files: BTreeMap<String, PathBuf>,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// Something is wrong with it, or with a file where it names that.
    #[error(transparent)]
    Scenario(#[from] Box<ScenarioError>),
    /// Its requests cannot be drawn.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The system gave no threads.
    #[error("cannot start threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// Resolves a document and draws its requests, on `jobs` threads where there are many.
///
/// # Errors
/// When something is wrong with the scenario or a file that it names.
pub fn prepare(
    document: &Document,
    seed: Option<u64>,
    jobs: usize,
) -> Result<Prepared, PrepareError> {
    draw(document, document.resolve(seed).map_err(Box::new)?, jobs)
}

/// The same of a document that is resolved, for who looks at the experiment before anything is drawn.
///
/// # Errors
/// As for [`prepare`].
pub fn draw(
    document: &Document,
    resolved: Resolved,
    jobs: usize,
) -> Result<Prepared, PrepareError> {
    let Resolved { experiment, scenario, mut warnings, files } = resolved;
    let drawn = match jobs {
        _ if jobs < 2 || !measures_many(&experiment) => Requests::of(&experiment),
        jobs => threads::on(jobs, || Requests::of(&experiment))?,
    };
    let (requests, notes) = drawn.map_err(|error| located(document, error))?;
    warnings.extend(notes.iter().map(ToString::to_string));
    Ok(Prepared { experiment, requests, resolved: scenario, warnings, files })
}

/// An error in a file of requests, with the place where the scenario names the file.
fn located(document: &Document, error: WorkloadError) -> PrepareError {
    let blamed =
        error.path().and_then(|file| document.blame_file(file, &error.to_string(), error.help()));
    match blamed {
        Some(blamed) => PrepareError::Scenario(Box::new(blamed)),
        None => PrepareError::Workload(error),
    }
}
