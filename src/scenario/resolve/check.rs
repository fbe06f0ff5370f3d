//! Collects what is wrong with values, each at its place.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::{Path as FilePath, PathBuf};

use crate::scenario::files::Files;
use crate::suggest::nearest;
use crate::time::Span;
use crate::units::Duration;
use crate::workload::trace_parts;
use crate::yaml::{Node, Path, Problem, Step};

/// Longest time that a scenario may ask for: sums of several stay far from the 584 years that
/// fit in a [`Span`].
const TIME_MAX: Span = Span::from_nanos(10 * 365 * 86_400 * 1_000_000_000);

/// What is wrong so far, and the document to find places in.
pub(super) struct Check<'a> {
    root: &'a Node,
    cut: &'a HashSet<Path>,
    /// Elements of lists that could not be read: for each list their places, rising.
    cut_elements: HashMap<Path, Vec<usize>>,
    /// The files that the scenario may name.
    files: &'a Files,
    /// The files that it does name, by their names as it spells them.
    pub named: BTreeMap<String, PathBuf>,
    /// What is wrong so far.
    pub problems: Vec<Problem>,
    /// What a user should know.
    pub warnings: Vec<String>,
    /// The warning of KV blocks that are given and that no memory holds.
    pub beyond_memory: Option<String>,
}

impl<'a> Check<'a> {
    /// Nothing is wrong yet. `cut` holds the paths of values that could not be read.
    pub(super) fn new(root: &'a Node, cut: &'a HashSet<Path>, files: &'a Files) -> Check<'a> {
        let mut cut_elements: HashMap<Path, Vec<usize>> = HashMap::new();
        for path in cut {
            if let Some((list, index)) = path.element_of() {
                cut_elements.entry(list).or_default().push(index);
            }
        }
        cut_elements.values_mut().for_each(|places| places.sort_unstable());
        Check {
            root,
            cut,
            cut_elements,
            files,
            named: BTreeMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            beyond_memory: None,
        }
    }

    /// The document's root.
    pub(super) fn root(&self) -> &'a Node {
        self.root
    }

    /// A problem with the value at `path`, to be completed and pushed.
    pub(super) fn at(&self, path: &Path, message: impl Into<String>) -> Problem {
        let span = self.root.locate(path).span();
        Problem::new(path.to_string(), Some(span), message)
    }

    /// Reports a problem with the value at `path`.
    pub(super) fn report(&mut self, path: &Path, message: impl Into<String>, help: &str) {
        let problem = self.at(path, message);
        self.problems.push(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// Reports a value that is not as expected.
    pub(super) fn expected(&mut self, path: &Path, expected: &str, found: impl std::fmt::Display) {
        let place = self.root.locate(path);
        let found = match place.found {
            true => place.node.describe(),
            false => found.to_string(),
        };
        let problem = self
            .at(path, format!("expected {expected}, found {found}"))
            .label(format!("expected {expected}"));
        self.problems.push(problem);
    }

    /// Reports that the first of `names` is missing in the map at `parent`, unless one of them is
    /// there, misspelt or with a value that could not be read.
    pub(super) fn missing(
        &mut self,
        parent: &Path,
        names: &[&str],
        message: impl Into<String>,
        help: &str,
    ) {
        if !self.could_not_be_read(parent, names) {
            let path = names.first().map_or(parent.clone(), |name| parent.key(*name));
            self.report(&path, message, help);
        }
    }

    /// Reports that the map at `parent` has none of `names` (with no names: that the list at
    /// `parent` is empty), unless one is there that could not be read.
    pub(super) fn nothing_in(
        &mut self,
        parent: &Path,
        names: &[&str],
        message: impl Into<String>,
        help: &str,
    ) {
        if !self.could_not_be_read(parent, names) {
            self.report(parent, message, help);
        }
    }

    fn could_not_be_read(&self, parent: &Path, names: &[&str]) -> bool {
        let meant =
            |key: &str| names.contains(&key) || nearest(key, names.iter().copied()).is_some();
        self.cut.iter().any(|cut| {
            parent.is_under(cut)
                || cut.is_under(parent)
                    && match cut.steps().get(parent.steps().len()) {
                        Some(Step::Key(key)) => names.is_empty() || meant(key),
                        _ => true,
                    }
        })
    }

    /// The path of the `i`th element that could be read of the list at `path`.
    pub(super) fn element(&self, path: &Path, i: usize) -> Path {
        let cut = self.cut_elements.get(path).map_or(&[][..], Vec::as_slice);
        path.index(cut.iter().fold(i, |place, &cut| place + usize::from(cut <= place)))
    }

    /// Whether the value at `path`, or part of it, could not be read.
    pub(super) fn is_cut(&self, path: &Path) -> bool {
        self.cut.iter().any(|cut| cut.is_under(path) || path.is_under(cut))
    }

    /// A whole number within bounds.
    pub(super) fn whole(&mut self, path: &Path, value: u32, min: u32, max: u32) -> u32 {
        if value < min {
            self.expected(path, &format!("at least {min}"), format!("the number {value}"));
        } else if value > max {
            self.expected(path, &format!("at most {max}"), format!("the number {value}"));
        }
        value.clamp(min, max)
    }

    /// A finite number within bounds, both included.
    pub(super) fn number(&mut self, path: &Path, value: f64, min: f64, max: f64) -> f64 {
        if (min..=max).contains(&value) {
            return value;
        }
        let expected = if value < min && min == 0.0 {
            "a number not below 0".to_owned()
        } else if value.is_nan() || value.is_infinite() {
            format!("a finite number from {min} to {max}")
        } else if value < min {
            format!("at least {min}")
        } else {
            format!("at most {max}")
        };
        self.expected(path, &expected, format!("the number {value}"));
        min
    }

    /// A number above 0, within bounds.
    pub(super) fn positive(&mut self, path: &Path, value: f64, min: f64, max: f64) -> f64 {
        if value <= 0.0 {
            self.expected(path, "a number above 0", format!("the number {value}"));
            return min;
        }
        self.number(path, value, min, max)
    }

    /// A share: from 0 to 1.
    pub(super) fn share(&mut self, path: &Path, value: f64) -> f64 {
        if (0.0..=1.0).contains(&value) {
            return value;
        }
        self.expected(path, "a share from 0 to 1", format!("the number {value}"));
        if (2.0..=100.0).contains(&value)
            && let Some(problem) = self.problems.last_mut()
        {
            problem.help = Some(format!("{value} % is `{}`", value / 100.0));
        }
        1.0
    }

    /// A share above 0.
    pub(super) fn share_above_zero(&mut self, path: &Path, value: f64) -> f64 {
        if value == 0.0 {
            self.expected(path, "a share above 0, at most 1", "0");
            return 1.0;
        }
        self.share(path, value)
    }

    /// A length of time, of at most ten years.
    pub(super) fn time(&mut self, path: &Path, value: Duration) -> Span {
        if value.0 > TIME_MAX {
            self.expected(path, "at most 10 years", value);
            return TIME_MAX;
        }
        value.0
    }

    /// A length of time that is not zero.
    pub(super) fn time_above_zero(&mut self, path: &Path, value: Duration) -> Span {
        if value.0 == Span::ZERO {
            self.expected(path, "a time above 0", value);
        }
        self.time(path, value)
    }

    /// A path from the scenario, relative to its file.
    pub(super) fn file_path(&mut self, given: &str) -> PathBuf {
        let path = self.files.path(given);
        self.named.insert(given.to_owned(), path.clone());
        path
    }

    /// A file that must be there: its path, or a reported problem.
    pub(super) fn existing_file(&mut self, path: &Path, given: &str) -> PathBuf {
        let file = self.file_path(given);
        if let Some(problem) = self.why_not_a_file(&file) {
            let message = format!("`{given}` {problem}");
            let help = self.looked_for(&file);
            self.report(path, message, &help);
        }
        file
    }

    /// Why `file` cannot be read as a file; `None` when nothing speaks against it.
    pub(super) fn why_not_a_file(&self, file: &FilePath) -> Option<String> {
        if !self.files.allow(file) {
            return Some(
                "may not be read: no files are read for a scenario from a page".to_owned(),
            );
        }
        match std::fs::metadata(file) {
            Ok(metadata) if metadata.is_dir() => Some("is a folder, not a file".to_owned()),
            Ok(_) => None,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Some("is not there".to_owned())
            }
            Err(error) => Some(format!("cannot be read: {error}")),
        }
    }

    /// The same of a trace, which can be a folder of clients.
    pub(super) fn why_not_a_trace(&self, file: &FilePath) -> Option<String> {
        let clients = self.files.allow(file) && file.is_dir() && !trace_parts(file).is_empty();
        if clients { None } else { self.why_not_a_file(file) }
    }

    /// Where a file was looked for, in words.
    pub(super) fn looked_for(&self, file: &FilePath) -> String {
        if !self.files.allow(file) {
            return "run it from the command line, or give the figures in the scenario".to_owned();
        }
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        format!("looked for {}; paths are relative to the scenario's file", absolute.display())
    }

    /// Whether a file is there that may be read.
    pub(super) fn is_file(&self, given: &str) -> bool {
        self.why_not_a_file(&self.files.path(given)).is_none()
    }

    /// A file that the scenario names, open, or a reported problem.
    pub(super) fn open_file(&mut self, path: &Path, given: &str) -> Option<std::fs::File> {
        let before = self.problems.len();
        let file = self.existing_file(path, given);
        if self.problems.len() > before {
            return None;
        }
        match std::fs::File::open(&file) {
            Ok(file) => Some(file),
            Err(error) => {
                let help = self.looked_for(&file);
                self.report(path, format!("`{given}` cannot be read: {error}"), &help);
                None
            }
        }
    }

    /// The text of a file that the scenario names, or a reported problem.
    pub(super) fn read_file(&mut self, path: &Path, given: &str, bytes_max: u64) -> Option<String> {
        let before = self.problems.len();
        let file = self.existing_file(path, given);
        if self.problems.len() > before {
            return None;
        }
        // A device or a pipe has no length beforehand.
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&file)
            .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
        let text = match read {
            Ok(length) if length as u64 > bytes_max => {
                Err(format!("is longer than {bytes_max} bytes"))
            }
            Ok(_) => String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned()),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        match text {
            Ok(text) => Some(text),
            Err(problem) => {
                let help = self.looked_for(&file);
                self.report(path, format!("`{given}` {problem}"), &help);
                None
            }
        }
    }
}
