//! Errors of the library as exceptions of the package.

use metron_sim::commands::Error;
use metron_sim::{RunError, ScenarioError};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// An exception of `metron_sim._errors`, with a text and what else it takes.
pub(crate) fn exception(
    py: Python<'_>,
    class: &str,
    message: &str,
    help: Option<&str>,
    problems: Option<Bound<'_, PyList>>,
) -> PyErr {
    let made = || -> PyResult<Bound<'_, PyAny>> {
        let class = py.import("metron_sim._errors")?.getattr(class)?;
        let given = PyDict::new(py);
        given.set_item("help", help)?;
        if let Some(problems) = problems {
            given.set_item("problems", problems)?;
        }
        class.call((message,), Some(&given))
    };
    match made() {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// An error in a scenario: every problem with its place.
pub(crate) fn of_scenario(py: Python<'_>, error: &ScenarioError) -> PyErr {
    let problems = PyList::empty(py);
    for report in error.reports() {
        let row =
            (report.path, report.message, report.help, report.file, report.line, report.column);
        if let Err(error) = problems.append(row) {
            return error;
        }
    }
    exception(py, "ScenarioError", error.render(false).trim_end(), None, Some(problems))
}

/// The exception for whatever a command could not do.
pub(crate) fn of_command(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error {
        Error::Scenario(error) => return of_scenario(py, error),
        Error::Usage(_) | Error::Assertion(_) | Error::NoSense(_) => "UsageError",
        Error::Run(error) if error.is_stuck() => "StuckError",
        Error::Run(RunError::Deadlines(_) | RunError::TooLarge(_)) => "UsageError",
        Error::Run(_) | Error::NotDeterministic(_) => "RunError",
        Error::Write(_) | Error::Keep(_) | Error::Stdout(_) => "WriteError",
        _ => "InputError",
    };
    let help = match error {
        Error::Usage(_) => None,
        error => error.help(),
    };
    exception(py, class, &error.to_string(), help.as_deref(), None)
}

/// A bug: it is said as one.
pub(crate) fn internal(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("{what}: this is a bug in metron-sim"))
}
