//! Results for people and programs: text, JSON, CSV, and the files beside them.

pub mod assertion;
pub mod calibration;
pub mod comparison;
pub mod csv;
pub(crate) mod csv_text;
pub mod energy;
pub mod features;
#[cfg(test)]
pub(crate) mod fixture;
pub mod header;
pub mod html;
mod known;
pub mod measured;
pub mod output_file;
pub mod pair;
pub mod remarks;
pub mod requests;
mod result;
pub mod slo;
pub mod stated;
pub mod table;
pub mod text;
pub mod timeline;
pub mod units;
pub mod validation;
pub mod verdict;

pub use assertion::{Assertion, AssertionError};
pub use features::FeatureUse;
pub use measured::{GapBounds, MeasuredDeadlines, MeasuredResult, Plots, RequestProgress};
pub use output_file::{OutputError, OutputFile, remove_unfinished};
pub use result::{
    ClassResult, Cost, Energy, Fairness, Inert, IterationResult, KvResult, PoolResult, ResultFile,
    RunResult, SCHEMA_VERSION, Sense, SloResult, SloTerm, StallsResult, Tool, all_met, json_schema,
};
