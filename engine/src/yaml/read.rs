//! A whole text read at once: files that are not scenarios.

use std::fmt;

use serde::de::DeserializeOwned;

use super::decode::decode;
use super::node::Node;
use super::parse::parse;
use super::problem::Problem;
use super::source::Sources;

/// A text that is not YAML, or not what it should describe.
#[derive(Clone, Debug)]
pub struct Unreadable {
    problems: Vec<Problem>,
    sources: Sources,
}

/// The tree of a text.
///
/// # Errors
/// When it is not YAML.
pub fn tree(text: &str) -> Result<Node, Unreadable> {
    parsed(text).map(|(root, _)| root)
}

/// A `T` from its text; keys that it does not know are mistakes.
///
/// # Errors
/// Every mistake, with its place.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    let (root, sources) = parsed(text)?;
    let decoded = decode::<T>(&root, &|_, _, _| None);
    match decoded.value {
        Some(value) if decoded.problems.is_empty() => Ok(value),
        _ => Err(Unreadable { problems: decoded.problems, sources }),
    }
}

fn parsed(text: &str) -> Result<(Node, Sources), Unreadable> {
    let mut sources = Sources::default();
    let id = sources.add("", text.strip_prefix('\u{feff}').unwrap_or(text));
    match parse(id, sources.get(id)) {
        Ok(root) => Ok((root, sources)),
        Err(problems) => Err(Unreadable { problems, sources }),
    }
}

/// The first mistake with line and column, and how many more there are.
impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = |p: &&Problem| p.span.map_or(0, |span| span.start);
        let Some(first) = self.problems.iter().min_by_key(start) else {
            return f.write_str("nothing in it can be read");
        };
        if let Some(span) = first.span {
            let (line, column) = self.sources.line_column(span);
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&first.clone().bounded().headline())?;
        if let Some(help) = &first.help {
            write!(f, " ({help})")?;
        }
        match self.problems.len() {
            0 | 1 => Ok(()),
            2 => f.write_str("; and one more problem"),
            all => write!(f, "; and {} more problems", all - 1),
        }
    }
}

impl std::error::Error for Unreadable {}
