//! What can be wrong with a workload: its description, or a file that it names.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a workload could not be drawn or read: where, what was found and what was expected.
///
/// `Display` gives it all on one line, `file:line: field: message`; the parts are there for a
/// command that wants to lay them out. [`help`](Self::help) is not part of the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{message}", Place(self), Field(self))]
pub struct WorkloadError {
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
    /// A description that cannot be followed; `field` is its name in a scenario.
    pub(crate) fn spec(field: &str, message: impl Into<String>) -> WorkloadError {
        WorkloadError {
            kind: ErrorKind::Spec,
            path: None,
            line: None,
            column: None,
            field: Some(field.to_owned()),
            message: message.into(),
            help: None,
        }
    }

    /// A file that could not be opened or read.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> WorkloadError {
        WorkloadError {
            kind: ErrorKind::Io,
            path: Some(path.to_owned()),
            line: None,
            column: None,
            field: None,
            message: error.to_string(),
            help: None,
        }
    }

    /// A file whose content is wrong; `line` counts from 1, `None` is the file as a whole.
    pub(crate) fn content(
        path: &Path,
        line: Option<u64>,
        message: impl Into<String>,
    ) -> WorkloadError {
        WorkloadError {
            kind: ErrorKind::Content,
            path: Some(path.to_owned()),
            line,
            column: None,
            field: None,
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn with_field(mut self, field: impl Into<String>) -> WorkloadError {
        self.field = Some(field.into());
        self
    }

    pub(crate) fn with_column(mut self, column: u64) -> WorkloadError {
        self.column = Some(column);
        self
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> WorkloadError {
        self.help = Some(help.into());
        self
    }

    /// What sort of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file, where one is to blame.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The line of the file, from 1.
    pub fn line(&self) -> Option<u64> {
        self.line
    }

    /// The character of the line, from 1, where known.
    pub fn column(&self) -> Option<u64> {
        self.column
    }

    /// The column, key or scenario field, where known.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// What was found and what was expected, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where there is something to say.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

struct Place<'a>(&'a WorkloadError);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(path) = &self.0.path else { return Ok(()) };
        write!(f, "{}:", path.display())?;
        if let Some(line) = self.0.line {
            write!(f, "{line}:")?;
            if let Some(column) = self.0.column {
                write!(f, "{column}:")?;
            }
        }
        write!(f, " ")
    }
}

struct Field<'a>(&'a WorkloadError);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.field {
            Some(field) => write!(f, "`{field}`: "),
            None => Ok(()),
        }
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
