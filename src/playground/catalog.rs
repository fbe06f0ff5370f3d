//! Everything that has a name.

use serde::Serialize;

use super::lessons::{Heading, headings};
use crate::catalog::{Kind, list};
use crate::scenario::{SchedulerDetails, bundled};
use crate::scheduler::SchedulerConfig;

#[derive(Serialize)]
struct Named {
    name: String,
    description: String,
}

#[derive(Serialize)]
struct Described {
    name: &'static str,
    description: &'static str,
    #[serde(flatten)]
    details: SchedulerDetails,
}

#[derive(Serialize)]
struct Text {
    name: String,
    description: String,
    text: &'static str,
}

/// The answer to `catalog`.
#[derive(Serialize)]
pub(super) struct Catalog {
    gpus: Vec<Named>,
    models: Vec<Named>,
    profiles: Vec<Named>,
    schedulers: Vec<Described>,
    scenarios: Vec<Text>,
    lessons: Vec<Heading>,
}

pub(super) fn catalog() -> Catalog {
    let named = |kind| {
        let entries = list(kind).into_iter();
        entries.map(|e| Named { name: e.name, description: e.description }).collect()
    };
    let known = SchedulerConfig::all();
    Catalog {
        gpus: named(Kind::Gpu),
        models: named(Kind::Model),
        profiles: named(Kind::Profile),
        schedulers: known
            .map(|config| Described {
                name: config.name(),
                description: config.summary(),
                details: SchedulerDetails::of(&config),
            })
            .collect(),
        scenarios: bundled()
            .into_iter()
            .map(|one| Text { name: one.name, description: one.description, text: one.text })
            .collect(),
        lessons: headings(),
    }
}
