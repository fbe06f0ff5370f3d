//! The real backend: scenario files, the catalog, the scheduler registry and the simulator.

use crate::catalog::{self, Kind};
use crate::cli::args::Listed;
use crate::cli::backend::ListEntry;
use crate::scheduler::{Evidence, SchedulerConfig};

/// What has names in this library.
pub(super) fn list(what: Listed) -> Vec<ListEntry> {
    let catalog = |kind| {
        let entries = catalog::list(kind).into_iter();
        entries.map(|e| ListEntry { name: e.name, description: e.description }).collect()
    };
    match what {
        Listed::Gpus => catalog(Kind::Gpu),
        Listed::Models => catalog(Kind::Model),
        Listed::Profiles => catalog(Kind::Profile),
        Listed::Schedulers => schedulers(),
        Listed::Scenarios => Vec::new(),
    }
}

fn schedulers() -> Vec<ListEntry> {
    let known = SchedulerConfig::NAMES.iter().filter_map(|name| SchedulerConfig::by_name(name));
    known
        .map(|config| {
            let evidence = match config.evidence() {
                Evidence::Proven => "equal to the system's own code in every golden step",
                Evidence::Modelled => "written from a description",
            };
            let description =
                format!("{} [{}; {evidence}]", config.summary(), config.system());
            ListEntry { name: config.name().to_owned(), description }
        })
        .collect()
}
