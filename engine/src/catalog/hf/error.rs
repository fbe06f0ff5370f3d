//! Why a config gives no model.

use crate::catalog::check::InvalidFigure;

/// Why a `config.json` or a GGUF file gives no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HfConfigError {
    /// Not a JSON object.
    #[error("not a JSON object: {0}")]
    NotAnObject(String),
    /// A key that is needed is not there.
    #[error("the key `{0}` is missing")]
    Missing(String),
    /// A key holds another type of value than it should.
    #[error("`{key}` must be {expected}, found {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A known key holds a value that is not known.
    #[error("`{key}`: {value} is not known; known: {known}")]
    UnknownValue {
        /// The key.
        key: String,
        /// What it holds.
        value: String,
        /// What it may hold.
        known: String,
    },
    /// A key that may shape the model and is not known.
    #[error(
        "`{key}` is not known, and {value} there may change the model's size; what is modelled is \
         {modelled}. If it changes nothing, say so: `model: {{config: ..., assume: {{{key}: ignored}}}}`"
    )]
    UnknownKey {
        /// The key, with those that it lies in, dotted.
        key: String,
        /// What it holds, shortened.
        value: String,
        /// What is read of this config.
        modelled: String,
    },
    /// An assumption about a key that needs none.
    #[error("assume: `{key}` {problem}")]
    Assumed {
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An architecture whose work is not modelled.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// A GGUF file that cannot be read.
    #[error("not a GGUF file that can be read: {0}")]
    Gguf(String),
    /// A figure out of range.
    #[error(transparent)]
    Figure(#[from] InvalidFigure),
}

impl HfConfigError {
    pub(super) fn wrong(key: &str, expected: &'static str, found: impl ToString) -> HfConfigError {
        HfConfigError::WrongType { key: key.to_owned(), expected, found: shown(&found.to_string()) }
    }

    pub(super) fn unknown(key: &str, value: impl ToString, known: &str) -> HfConfigError {
        HfConfigError::UnknownValue {
            key: key.to_owned(),
            value: shown(&value.to_string()),
            known: known.to_owned(),
        }
    }
}

/// A value, shortened where it is long.
pub(super) fn shown(value: &str) -> String {
    const LONGEST: usize = 80;
    if value.chars().count() <= LONGEST {
        return value.to_owned();
    }
    value.chars().take(LONGEST).chain("...".chars()).collect()
}
