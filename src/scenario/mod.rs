//! Scenario files: the YAML schema, its errors, and resolution to an [`Experiment`].

mod decode;
mod error;
mod experiment;
mod node;
mod parse;
mod policies;
pub mod raw;
mod source;
mod suggest;

pub use error::{Problem, Report, ScenarioError};
pub use experiment::*;
pub use source::{Source, Sources, Span};
