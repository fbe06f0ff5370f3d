//! What is wrong with a measured file, and where.

use std::fmt;
use std::path::PathBuf;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1 on.
    pub line: u64,
    /// Column in bytes, from 1 on; 0 for the whole line.
    pub column: u64,
    /// Bytes before it.
    pub byte: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if self.column > 0 {
            write!(f, ", column {}", self.column)?;
        }
        write!(f, ", byte {}", self.byte)
    }
}

/// Something wrong at a place of the file that is being read. Says what was expected and what kind
/// of thing was found, never the file's own text: that may be a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where; `None` for the file as a whole.
    pub at: Option<Position>,
    /// What.
    pub message: String,
    /// What was read of the run that it is in, in words.
    pub read: Option<String>,
}

impl Fault {
    /// A fault of the file as a whole.
    pub fn whole(message: impl Into<String>) -> Fault {
        Fault { at: None, message: message.into(), read: None }
    }

    /// A fault at a place.
    pub fn at(at: Position, message: impl Into<String>) -> Fault {
        Fault { at: Some(at), message: message.into(), read: None }
    }

    /// The same fault in a list, after so many entries of it.
    pub fn after(self, entries: usize, list: &str) -> Fault {
        let plural = if entries == 1 { "entry" } else { "entries" };
        Fault { read: Some(format!("{entries} {plural} of `{list}`")), ..self }
    }

    /// The same fault at a place, unless it has one already.
    pub fn or_at(self, at: Position) -> Fault {
        Fault { at: self.at.or(Some(at)), ..self }
    }
}

/// Why a measured file cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.sentence())]
#[non_exhaustive]
pub struct InteropError {
    /// The file.
    pub path: PathBuf,
    /// What it was read as, once that was known.
    pub format: Option<&'static str>,
    /// Where, and what.
    pub fault: Fault,
    /// How far reading had come, in words.
    pub read_so_far: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl InteropError {
    fn sentence(&self) -> String {
        let mut text = self.path.display().to_string();
        if let Some(at) = self.fault.at {
            text.push_str(&format!(", {at}"));
        }
        text.push_str(&format!(": {}", self.fault.message));
        if let Some(format) = self.format {
            text.push_str(&format!(" (read as {format}"));
            if let Some(so_far) = &self.read_so_far {
                text.push_str(&format!(", after {so_far}"));
            }
            text.push(')');
        }
        text
    }
}
