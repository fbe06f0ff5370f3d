//! Scenario files: the YAML schema, its errors, and resolution to an [`Experiment`].

mod bundled;
mod decode;
mod error;
mod experiment;
mod files;
mod load;
mod node;
mod overrides;
mod parse;
mod places;
pub mod raw;
mod resolve;
mod scalar;
mod scheduler_details;
mod schema;
mod source;
mod suggest;
mod write;

pub use bundled::{Bundled, bundled};
pub use error::{Problem, Report, ScenarioError};
pub use experiment::*;
pub use files::Files;
pub use load::{Document, load};
pub(crate) use node::{Node as DocumentNode, Value as DocumentValue};
pub use resolve::Resolved;
pub use scheduler_details::{Parameter, SchedulerDetails};
pub use schema::json_schema;
pub use source::{Source, Sources, Span as TextSpan};
pub(crate) use suggest::nearest;
