//! Commands, asked from Python: on a thread of their own, so that signals are heard meanwhile.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metron_sim::commands::{self, Asked, Error, Steering};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use crate::error::{internal, of_command};
use crate::policy;
use crate::scenario::Given;
use crate::table::Table;

/// Between two looks at signals and counters.
const TICK: Duration = Duration::from_millis(50);
/// How long a command that was ended may take to do so before it is left to itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a command says.
#[pyclass(frozen, module = "metron_sim._native")]
pub(crate) struct Answer {
    /// The exit code that the program would end with.
    #[pyo3(get)]
    exit: u8,
    /// The result: JSON.
    #[pyo3(get)]
    result: String,
    /// What a terminal would show.
    #[pyo3(get)]
    text: String,
    /// A page (HTML), where it was to be kept.
    #[pyo3(get)]
    page: Option<String>,
    /// What a reader should know.
    #[pyo3(get)]
    warnings: Vec<String>,
    /// How it went.
    #[pyo3(get)]
    notes: Vec<String>,
    /// The runs, where they were to be kept.
    #[pyo3(get)]
    runs: Option<Py<Runs>>,
}

/// Runs of a scenario, in memory.
#[pyclass(frozen, module = "metron_sim._native")]
pub(crate) struct Runs(Arc<commands::Runs>);

/// Does what the arguments ask for, without the GIL. `progress` is called with what is counted, how
/// many are done and how many there will be.
#[pyfunction]
#[pyo3(signature = (args, scenarios, keeps_runs = false, keeps_page = false, progress = None))]
pub(crate) fn ask(
    py: Python<'_>,
    args: Vec<String>,
    scenarios: Vec<(String, Given)>,
    keeps_runs: bool,
    keeps_page: bool,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<Answer> {
    let mut asked = Asked::new(args);
    asked.keeps_runs = keeps_runs;
    asked.keeps_page = keeps_page;
    for (key, given) in &scenarios {
        let document = given.document();
        let document = document.map_err(|error| crate::error::of_scenario(py, &error))?;
        asked.scenarios.push((key.clone(), document));
    }
    let answer = watched(py, progress, move |steering| commands::ask(&asked, steering))?;
    let runs = answer.runs.map(|runs| Py::new(py, Runs(Arc::new(runs)))).transpose()?;
    Ok(Answer {
        exit: answer.exit.code(),
        result: answer.result,
        text: answer.text,
        page: answer.page,
        warnings: answer.warnings,
        notes: answer.notes,
        runs,
    })
}

/// Does some work on a thread of its own, hears signals, and tells how far it is.
fn watched<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<Bound<'_, PyAny>>,
    work: impl FnOnce(&Arc<Steering>) -> Result<T, Error> + Send + 'static,
) -> PyResult<T> {
    let alone = policy::alone(py)?;
    let plays = alone.is_some();
    let steering = Arc::<Steering>::default();
    let (done, ended) = channel();
    let ended = Mutex::new(ended);
    // No other thread has it.
    let wait = |time| ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(time);
    let of_work = steering.clone();
    let spawned = std::thread::Builder::new().name("metron-sim".to_owned()).spawn(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&of_work)));
        // Nobody waits for it where it was left to itself.
        let _ = done.send(result);
        drop(alone);
    });
    spawned?;
    let result = loop {
        match py.detach(|| wait(TICK)) {
            Ok(result) => break result,
            Err(RecvTimeoutError::Disconnected) => return Err(internal("a command was lost")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let told = py.check_signals().and_then(|()| match &progress {
            Some(progress) => progress.call1(steering.totals()).map(drop),
            None => Ok(()),
        });
        if let Err(error) = told {
            steering.stop();
            let _ = py.detach(|| wait(PATIENCE));
            return Err(error);
        }
    };
    if let Some(raised) = policy::raised().filter(|_| plays) {
        return Err(raised);
    }
    match result {
        Ok(Ok(value)) => {
            if let Some(progress) = &progress {
                progress.call1(steering.totals())?;
            }
            Ok(value)
        }
        Ok(Err(_)) if steering.is_stopped() => Err(PyKeyboardInterrupt::new_err(())),
        Ok(Err(error)) => Err(of_command(py, &error)),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(internal(said.unwrap_or("a command panicked")))
        }
    }
}

#[pymethods]
impl Runs {
    /// A row for each request of each scheduler.
    fn requests(&self, py: Python<'_>) -> PyResult<Table> {
        let runs = self.0.clone();
        let columns = py.detach(move || runs.requests())?;
        Table::new(columns)
    }

    /// A row for each output token of each scheduler.
    fn tokens(&self, py: Python<'_>) -> PyResult<Table> {
        let runs = self.0.clone();
        Table::new(py.detach(move || runs.tokens()))
    }

    /// A row for each iteration of each scheduler.
    fn iterations(&self, py: Python<'_>, jobs: usize) -> PyResult<Table> {
        let runs = self.0.clone();
        Table::new(watched(py, None, move |steering| runs.iterations(jobs, steering))?)
    }

    /// The page with the table and the plots.
    fn page(&self, py: Python<'_>, jobs: usize) -> PyResult<String> {
        let runs = self.0.clone();
        watched(py, None, move |steering| runs.page(jobs, steering))
    }

    /// The worst stalls of each scheduler.
    fn stalls(&self, py: Python<'_>, top: usize, jobs: usize) -> PyResult<Table> {
        let runs = self.0.clone();
        Table::new(watched(py, None, move |steering| runs.stalls(top, jobs, steering))?)
    }
}

/// The command-line program with these arguments, its name first: its exit code.
///
/// # Errors
/// What a policy in Python has raised.
#[pyfunction]
pub(crate) fn program(py: Python<'_>, args: Vec<std::ffi::OsString>) -> PyResult<u8> {
    let alone = policy::alone(py)?;
    let code = py.detach(|| commands::program_with(args, &policy::failed));
    match alone.and_then(|_| policy::raised()) {
        Some(raised) => Err(raised),
        None => Ok(code),
    }
}
