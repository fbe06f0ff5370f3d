//! metron-sim for Python: what the package `metron_sim` is built on.
//!
//! It is thin. Commands are asked as a terminal would ask them, with JSON for an answer, so that numbers
//! are the program's own; besides there are tables of runs as Arrow arrays, and policies in Python.

mod asking;
mod error;
mod policy;
mod scenario;
mod table;

use pyo3::prelude::*;

/// The compiled part of `metron_sim`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::asking::{Answer, Runs, ask, program};
    #[pymodule_export]
    use super::policy::{Past, Request, Standing, Step, python_schedulers, register_scheduler};
    #[pymodule_export]
    use super::scenario::{check_scenario, scenario_not_there};
    #[pymodule_export]
    use super::table::Table;

    /// The version of the library.
    #[allow(non_upper_case_globals)]
    #[pymodule_export]
    const version: &str = env!("CARGO_PKG_VERSION");
}
