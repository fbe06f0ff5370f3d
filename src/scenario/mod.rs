//! Scenario files: the YAML schema, its errors, and resolution to an [`Experiment`].

mod experiment;

pub use experiment::*;
