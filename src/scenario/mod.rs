//! Scenario files: the YAML schema, its errors, and resolution to an [`Experiment`].

mod error;
mod experiment;
mod node;
mod parse;
mod source;

pub use error::{Problem, Report, ScenarioError};
pub use experiment::*;
pub use source::{Source, Sources, Span};
