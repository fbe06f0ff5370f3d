//! Results for people and programs: text, JSON, CSV, and the files beside them.

mod best;
pub mod calibration;
pub mod columns;
pub mod comparison;
pub mod csv;
pub(crate) mod csv_text;
mod handed;
pub mod header;
pub mod html;
mod known;
pub mod output_file;
pub mod pair;
pub mod provenance;
pub mod remarks;
pub mod requests;
pub mod step_law;
pub mod table;
pub mod text;
mod tiers;
pub mod timeline;
pub mod validation;
pub mod verdict;

pub use output_file::{OutputError, OutputFile, remove_unfinished, try_remove_unfinished};
pub use validation::json_schema;
