//! Scenario files: the YAML schema, its errors, and resolution to an [`Experiment`].

mod bundled;
mod error;
mod experiment;
mod files;
mod load;
mod overrides;
mod places;
mod proof_table;
pub mod raw;
mod reference;
mod resolve;
mod resolved;
mod scheduler_details;
mod schema;
mod synonyms;
mod write;

pub use bundled::{Bundled, bundled};
pub use error::{Report, ScenarioError};
pub use experiment::*;
pub use files::Files;
pub use load::Document;
#[cfg(any(test, feature = "internals"))]
pub use proof_table::proof_table_markdown;
pub use proof_table::{CELLS, ProofRow, Standing, proof_table, proof_table_text};
pub use reference::reference;
#[cfg(any(test, feature = "internals"))]
pub use reference::{BASE, Example, example_of, examples, sections};
pub use resolve::Resolved;
pub use resolved::*;
pub use scheduler_details::{Parameter, SchedulerDetails};
pub use schema::json_schema;
pub(crate) use synonyms::{Fix, fix};

pub(crate) use crate::yaml::{Node as DocumentNode, Value as DocumentValue};
pub use crate::yaml::{Problem, Source, Sources, Span as TextSpan};
