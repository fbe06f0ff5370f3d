//! Errors of commands, and the exit code of each: the one place that decides both.

use crate::interop::{InteropError, JudgeError};
use crate::report::OutputError;
use crate::result::AssertionError;
use crate::runner::{PrepareError, RunError};
use crate::scenario::ScenarioError;
use crate::search::sweep::SweepError;
use crate::search::{CacheError, SearchError};
use crate::validation::{CalibrationError, LogError, ObservedError, ReplayError};
use crate::workload::WorkloadError;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Fine,
    /// I/O or internal error.
    Failure,
    /// Bad usage or input.
    BadInput,
    /// The SLO, or an assertion, is not met.
    NotMet,
    /// Ended by an interrupt; 130, as shells report one.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Failure => 1,
            Exit::BadInput => 2,
            Exit::NotMet => 3,
            Exit::Interrupted => 130,
        }
    }
}

/// Why a command could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Flags that make no sense together or have a bad value.
    #[error("{0}")]
    Usage(String),
    /// A scenario that cannot be run.
    #[error(transparent)]
    Scenario(#[from] Box<ScenarioError>),
    /// A workload that cannot be drawn or read.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// An output file that cannot be written.
    #[error(transparent)]
    Write(#[from] OutputError),
    /// Finished points that cannot be kept where they should.
    #[error(transparent)]
    Keep(#[from] CacheError),
    /// Stdout that cannot be written (a closed pipe is none).
    #[error("cannot write to stdout: {0}")]
    Stdout(std::io::Error),
    /// A run that could not go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A measured file that cannot be read.
    #[error(transparent)]
    Interop(#[from] Box<InteropError>),
    /// A measured file that cannot be judged as asked.
    #[error("{file}: {error}")]
    Judge {
        /// The file.
        file: String,
        /// Why.
        error: JudgeError,
    },
    /// An assertion that cannot be judged.
    #[error(transparent)]
    Assertion(#[from] AssertionError),
    /// A real run that cannot be read.
    #[error(transparent)]
    Observed(#[from] ObservedError),
    /// An iteration log that cannot be read.
    #[error(transparent)]
    IterationLog(#[from] LogError),
    /// A real run of other requests than the scenario's.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Constants that cannot be fitted.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// What was asked makes no sense for this scenario.
    #[error("{0}")]
    NoSense(String),
    /// Two runs of the same scenario that differ.
    #[error("not deterministic: {0}; this is a bug in metron-sim")]
    NotDeterministic(String),
}

impl From<PrepareError> for Error {
    fn from(error: PrepareError) -> Error {
        match error {
            PrepareError::Scenario(error) => Error::Scenario(error),
            PrepareError::Workload(error) => Error::Workload(error),
            PrepareError::Threads(error) => Error::Run(RunError::Threads(error)),
        }
    }
}

impl From<SearchError> for Error {
    fn from(error: SearchError) -> Error {
        match error {
            SearchError::Workload(error) => error.into(),
            SearchError::Run(error) => error.into(),
            SearchError::NoSense(message) => Error::NoSense(message),
        }
    }
}

impl From<SweepError> for Error {
    fn from(error: SweepError) -> Error {
        match error {
            SweepError::Scenario(error) => error.into(),
            SweepError::Point { at, source: SearchError::NoSense(message) } => {
                Error::NoSense(format!("{at}: {message}"))
            }
            SweepError::Point { source, .. } => source.into(),
            SweepError::NoSense(message) => Error::NoSense(message),
        }
    }
}

impl Error {
    /// The exit code that this error calls for.
    pub fn exit(&self) -> Exit {
        match self {
            // Input that is not there or cannot be read is bad input; output that cannot be
            // written is an I/O error.
            Error::Usage(_)
            | Error::Scenario(_)
            | Error::Workload(_)
            | Error::Interop(_)
            | Error::Judge { .. }
            | Error::Assertion(_)
            | Error::Observed(_)
            | Error::IterationLog(_)
            | Error::Replay(_)
            | Error::Calibration(_)
            | Error::NoSense(_)
            | Error::Run(RunError::Deadlines(_) | RunError::TooLarge(_)) => Exit::BadInput,
            Error::Write(_)
            | Error::Keep(_)
            | Error::Stdout(_)
            | Error::Run(_)
            | Error::NotDeterministic(_) => Exit::Failure,
        }
    }

    /// What to do about it, where there is something to say.
    pub fn help(&self) -> Option<String> {
        match self {
            Error::Interop(error) => error.help.clone(),
            Error::Workload(error) => error.help().map(str::to_owned),
            _ => None,
        }
    }
}
