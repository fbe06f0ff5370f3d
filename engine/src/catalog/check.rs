//! Range checks of figures that come from files.

/// A figure that cannot be priced with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct InvalidFigure {
    /// Dotted path of the key.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl InvalidFigure {
    pub(super) fn new(path: &str, problem: String) -> InvalidFigure {
        InvalidFigure { path: path.to_owned(), problem }
    }
}

/// Far beyond any figure of a GPU or a model, and small enough that no product of a few
/// overflows.
const LARGEST: f64 = 1e12;

/// So that no reciprocal is beyond [`LARGEST`].
const SMALLEST: f64 = 1e-6;

/// A number without hundreds of digits.
fn shown(value: f64) -> String {
    let short = value == 0.0 || !value.is_finite() || (1e-9..1e15).contains(&value.abs());
    if short { value.to_string() } else { format!("{value:e}") }
}

pub(super) fn positive(path: &str, value: f64) -> Result<(), InvalidFigure> {
    if (SMALLEST..=LARGEST).contains(&value) {
        return Ok(());
    }
    Err(InvalidFigure::new(
        path,
        format!("must lie in {SMALLEST} to {LARGEST:e}, got {}", shown(value)),
    ))
}

pub(super) fn at_least_zero(path: &str, value: f64) -> Result<(), InvalidFigure> {
    if (0.0..=LARGEST).contains(&value) {
        return Ok(());
    }
    Err(InvalidFigure::new(path, format!("must lie in 0 to {LARGEST:e}, got {}", shown(value))))
}

/// A count from 1 to `most`. The limits of a model's counts are such that no product of them
/// that is computed overflows 64 bits.
pub(super) fn count(path: &str, value: u32, most: u32) -> Result<(), InvalidFigure> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(InvalidFigure::new(path, format!("must lie in 1 to {most}, got {value}")))
}
