//! From a scenario's text to what a run needs: the one way of the command line, the playground and
//! of programs around the library.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Requests, measures_many};
use crate::excerpt::quoted;
use crate::scenario::{
    Document, Experiment, Resolved, ResolvedScenario, RouterKind, ScenarioError,
};
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
    let Resolved { experiment, scenario, mut warnings, files, .. } = resolved;
    let drawn = match jobs {
        _ if jobs < 2 || !measures_many(&experiment) => Requests::of(&experiment),
        jobs => threads::on(jobs, || Requests::of(&experiment))?,
    };
    let (requests, notes) = drawn.map_err(|error| located(document, error))?;
    warnings.extend(notes.iter().map(ToString::to_string));
    if let Some(class) = unsent(&experiment, &requests) {
        let message = format!(
            "the pools serve different models, and nothing says which of them `{}` asks for",
            quoted(class)
        );
        let blamed = document.blame("router", &message, "send each class of the trace to a pool");
        return Err(PrepareError::Scenario(Box::new(blamed)));
    }
    Ok(Prepared { experiment, requests, resolved: scenario, warnings, files })
}

/// A class of the requests that is sent to no model in particular, where models differ.
fn unsent<'r>(experiment: &Experiment, requests: &'r Requests) -> Option<&'r str> {
    let RouterKind::ClassToPool(sent) = &experiment.router else { return None };
    let classes = requests.classes().iter().filter(|_| experiment.models_differ());
    let mut classes = classes.map(String::as_str);
    classes.find(|class| !sent.pools.iter().any(|(name, _)| name == class))
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
