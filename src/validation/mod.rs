//! The simulator against a real run: the same requests played on a scenario, figure by figure, and
//! the cost model's constants fitted to what was seen.

mod calibrate;
mod compare;
mod constants;
mod entries;
mod fit;
mod iterations;
mod observed;
mod replay;
mod surface;
mod symmetric;

pub use calibrate::{Calibration, CalibrationError, Constant, Errors, Flat, calibrate};
pub use compare::{Compared, Unqueued, Validation, compare};
pub use constants::Group;
pub use iterations::{
    IterationLog, LawFit, LogError, LogFormat, Range, Residuals, Term, fit_law, read_log,
};
pub use observed::{ObservedError, ObservedRequest, ObservedRun};
pub use replay::{Replay, ReplayError};
