//! What can be wrong with a workload: its description, or a file that it names.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a workload could not be drawn or read: where, what was found and what was expected.
///
/// `Display` gives it all on one line, `file:line: field: message`; the parts are there for a
/// command that wants to lay them out. [`help`](Self::help) is not part of the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WorkloadError(Box<Details>);

/// Boxed, so that a result that may hold an error stays small.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    kind: ErrorKind,
    path: Option<PathBuf>,
    line: Option<u64>,
    column: Option<u64>,
    field: Option<String>,
    message: String,
    help: Option<String>,
}

/// What sort of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The description asks for something that cannot be had.
    Spec,
    /// The operating system would not give us the file.
    Io,
    /// The file is there but its content is not what was expected.
    Content,
}

impl WorkloadError {
    fn new(kind: ErrorKind, path: Option<&Path>, message: String) -> WorkloadError {
        WorkloadError(Box::new(Details {
            kind,
            path: path.map(Path::to_owned),
            line: None,
            column: None,
            field: None,
            message,
            help: None,
        }))
    }

    /// A description that cannot be followed; `field` is its name in a scenario.
    pub fn spec(field: &str, message: impl Into<String>) -> WorkloadError {
        WorkloadError::new(ErrorKind::Spec, None, message.into()).with_field(field)
    }

    /// A file that could not be opened or read.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> WorkloadError {
        WorkloadError::new(ErrorKind::Io, Some(path), error.to_string())
    }

    /// A file whose content is wrong; `line` counts from 1, `None` is the file as a whole.
    pub(crate) fn content(
        path: &Path,
        line: Option<u64>,
        message: impl Into<String>,
    ) -> WorkloadError {
        let mut error = WorkloadError::new(ErrorKind::Content, Some(path), message.into());
        error.0.line = line;
        error
    }

    pub(crate) fn with_field(mut self, field: impl Into<String>) -> WorkloadError {
        self.0.field = Some(field.into());
        self
    }

    pub(crate) fn with_column(mut self, column: u64) -> WorkloadError {
        self.0.column = Some(column);
        self
    }

    /// The same with what could help.
    pub fn with_help(mut self, help: impl Into<String>) -> WorkloadError {
        self.0.help = Some(help.into());
        self
    }

    /// What sort of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file, where one is to blame.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The line of the file, from 1.
    pub fn line(&self) -> Option<u64> {
        self.0.line
    }

    /// The character of the line, from 1, where known.
    pub fn column(&self) -> Option<u64> {
        self.0.column
    }

    /// The column, key or scenario field, where known.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// What was found and what was expected, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, where there is something to say.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}:", path.display())?;
            for place in [self.line, self.column].iter().flatten() {
                write!(f, "{place}:")?;
            }
            write!(f, " ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "`{field}`: ")?;
        }
        write!(f, "{}", self.message)
    }
}

/// Something a user should know about a workload that can be used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file it is about, where there is one.
    pub path: Option<PathBuf>,
    /// One sentence.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: {}", path.display(), self.message),
            None => write!(f, "{}", self.message),
        }
    }
}
