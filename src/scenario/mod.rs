//! Scenario files: the YAML schema, its errors, and resolution to an [`Experiment`].

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
mod schema;
mod source;
mod suggest;

pub use error::{Problem, Report, ScenarioError};
pub use experiment::*;
pub use files::Files;
pub use load::{Document, load};
pub use resolve::Resolved;
pub use schema::json_schema;
pub use source::{Source, Sources, Span as TextSpan};
pub(crate) use suggest::nearest;
