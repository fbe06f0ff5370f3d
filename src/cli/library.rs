//! The real backend: scenario files, the catalog, the scheduler registry and the simulator.

use serde_json::Value;

use crate::catalog::{self, Kind};
use crate::cli::args::Listed;
use crate::cli::backend::{Backend, ListEntry, Loaded, ScenarioRequest};
use crate::cli::error::Error;
use crate::cli::figures::Figures;
use crate::inert;
use crate::runner::{PlayError, PlayOptions, Prepared, Requests, Simulate, Simulator, prepare};
use crate::scenario::{self, Document, Experiment, ScenarioError, SchedulerDetails, SchedulerRun};
use crate::scheduler::SchedulerConfig;
use crate::sim::Outcome;

/// This library, as the program uses it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Library;

impl Backend for Library {
    fn load(&self, request: &ScenarioRequest) -> Result<Loaded, Error> {
        loaded(self.document(&request.path), request)
    }

    fn list(&self, what: Listed) -> Vec<ListEntry> {
        let catalog = |kind| {
            let entries = catalog::list(kind).into_iter();
            entries
                .map(|e| ListEntry {
                    figures: Figures::of(kind, &e.name),
                    name: e.name,
                    description: e.description,
                    scheduler: None,
                })
                .collect()
        };
        match what {
            Listed::Gpus => catalog(Kind::Gpu),
            Listed::Models => catalog(Kind::Model),
            Listed::Profiles => catalog(Kind::Profile),
            Listed::Acceptance => catalog(Kind::Acceptance),
            Listed::Links => catalog(Kind::Link),
            Listed::Schedulers => schedulers(),
            Listed::Scenarios => scenarios(),
        }
    }

    fn scenario_schema(&self) -> Value {
        scenario::json_schema()
    }
}

/// The document that a request names, resolved and its requests drawn.
///
/// # Errors
/// When it cannot be read or run.
pub(super) fn loaded(
    document: Result<Document, ScenarioError>,
    request: &ScenarioRequest,
) -> Result<Loaded, Error> {
    let broken = |error| Error::Scenario(Box::new(error));
    let document = document.and_then(|document| document.with(&request.set)).map_err(broken)?;
    let Prepared { experiment, requests, resolved, warnings, files } =
        prepare(&document, request.seed, request.jobs)?;
    Ok(Loaded {
        experiment,
        requests,
        resolved,
        warnings,
        written: inert::written(&document),
        files,
        document: Some(document),
    })
}

impl Simulate for Library {
    fn simulate(
        &self,
        experiment: &Experiment,
        scheduler: &SchedulerRun,
        requests: &Requests,
        options: PlayOptions<'_>,
    ) -> Result<Outcome, PlayError> {
        Simulator.simulate(experiment, scheduler, requests, options)
    }
}

fn schedulers() -> Vec<ListEntry> {
    let known = SchedulerConfig::all();
    known
        .map(|config| ListEntry {
            name: config.name().to_owned(),
            description: config.summary().to_owned(),
            scheduler: Some(SchedulerDetails::of(&config)),
            figures: None,
        })
        .collect()
}

/// What each scenario says of itself.
fn scenarios() -> Vec<ListEntry> {
    let entries = scenario::bundled().into_iter();
    entries
        .map(|one| ListEntry {
            name: one.name,
            description: one.description,
            scheduler: None,
            figures: None,
        })
        .collect()
}
