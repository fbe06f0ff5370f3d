//! Why a config gives no model.

use crate::catalog::check::InvalidFigure;
use crate::excerpt::bounded;

/// Why a `config.json` or a GGUF file gives no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HfConfigError {
    /// Not a JSON object.
    #[error("not a JSON object: {0}")]
    NotAnObject(String),
    /// A key that is needed is not there.
    #[error("the key `{}` is missing", key_shown(.0))]
    Missing(String),
    /// A key holds another type of value than it should.
    #[error("`{}` must be {expected}, found {found}", key_shown(.key))]
    WrongType {
        /// The key.
        key: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A known key holds a value that is not known.
    #[error("`{}`: {value} is not known; known: {known}", key_shown(.key))]
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
        "`{0}` is not known, and {value} there may change the model's size; what is modelled is \
         {modelled}. If it changes nothing, say so: `model: {{{form}: ..., assume: {{{0}: ignored}}}}`",
        key_shown(.key)
    )]
    UnknownKey {
        /// The key, with those that it lies in, dotted.
        key: String,
        /// What it holds, shortened.
        value: String,
        /// What is read of this config.
        modelled: String,
        /// How a scenario names its file: `config` or `gguf`.
        form: &'static str,
    },
    /// An assumption about a key that needs none.
    #[error("assume: `{}` {problem}", key_shown(.key))]
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
    /// The same of a GGUF file.
    pub(in crate::catalog) fn of_gguf(self) -> HfConfigError {
        match self {
            HfConfigError::UnknownKey { key, value, modelled, .. } => {
                HfConfigError::UnknownKey { key, value, modelled, form: "gguf" }
            }
            other => other,
        }
    }

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

/// A value, shortened where it is long, without what a screen would obey.
pub(super) fn shown(value: &str) -> String {
    const LONGEST: usize = 80;
    match value.char_indices().nth(LONGEST) {
        None => printable(value),
        Some((end, _)) => printable(&value[..end]) + "...",
    }
}

/// A key in a sentence.
fn key_shown(key: &str) -> String {
    const LONGEST: usize = 200;
    bounded(printable(key), LONGEST)
}

/// A text with what a screen would obey escaped.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\'' | '\\' => out.push(letter),
            other => out.extend(other.escape_debug()),
        }
    }
    out
}
