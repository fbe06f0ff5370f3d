//! From a path to a scenario that can be run.

use std::io::Read;
use std::path::Path;

use super::bundled::{Bundled, bundled};
use super::error::ScenarioError;
use super::files::Files;
use super::overrides;
use super::resolve::{Resolved, resolve};
use crate::yaml::{Node, Path as NodePath, Problem, Sources, Span, Value, parse};

/// Longest scenario; a scenario takes a few kilobytes.
const BYTES_MAX: u64 = 1 << 20;

/// A scenario's file, read but not resolved: overrides may be tried on copies of it.
#[derive(Clone, Debug)]
pub struct Document {
    pub(super) root: Node,
    pub(super) sources: Sources,
    files: Files,
    stem: String,
}

impl Document {
    /// Reads a file, stdin for `-`, or a scenario that comes with the program, by its name. A file of
    /// that name comes first. What a bundled scenario names is looked for in the current folder.
    ///
    /// # Errors
    /// When it cannot be read or is not YAML.
    pub fn read(input: &str) -> Result<Document, ScenarioError> {
        if input == "-" {
            let bytes = read_limited(std::io::stdin().lock())
                .map_err(|error| unreadable("<stdin>", &error.to_string(), ""))?;
            return Document::from_bytes("<stdin>", bytes, Files::any(""));
        }
        let path = Path::new(input);
        if !path.exists()
            && let Some(bundled) = named(input)
        {
            return Document::from_text(&bundled.name, bundled.text, Files::any(""));
        }
        let help = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(unreadable(input, "is a folder, not a scenario", &beside(path)));
            }
            Ok(_) => String::new(),
            Err(_) => beside(path),
        };
        let read = std::fs::File::open(path).and_then(read_limited);
        let bytes = read.map_err(|error| {
            let what = match error.kind() {
                std::io::ErrorKind::NotFound => "is not there".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            unreadable(input, &what, &help)
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Document::from_bytes(input, bytes, Files::any(folder))
    }

    /// Reads a text. Errors call it `name`; it may name these files.
    ///
    /// # Errors
    /// When it is not YAML.
    pub fn from_text(name: &str, text: &str, files: Files) -> Result<Document, ScenarioError> {
        Document::from_bytes(name, text.as_bytes().to_vec(), files)
    }

    fn from_bytes(name: &str, bytes: Vec<u8>, files: Files) -> Result<Document, ScenarioError> {
        if bytes.len() as u64 > BYTES_MAX {
            let message =
                format!("is longer than {BYTES_MAX} bytes: a scenario takes a few thousand");
            return Err(unreadable(name, &message, "is this a scenario?"));
        }
        let mut sources = Sources::default();
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let id = sources.add(name, text);
                let span = Span { source: id, start: at, end: at };
                let problem = Problem::new(
                    "",
                    Some(span),
                    format!("expected UTF-8 text, found byte {at} that is not"),
                )
                .help("save the file as UTF-8");
                return Err(ScenarioError::new(vec![problem], sources));
            }
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let id = sources.add(name, text);
        let stem = Path::new(name).file_stem().and_then(|s| s.to_str()).unwrap_or("scenario");
        let stem = if name.starts_with('<') { "scenario" } else { stem };
        match parse(id, sources.get(id)) {
            Ok(root) => Ok(Document { root, stem: stem.to_owned(), sources, files }),
            Err(problems) => Err(ScenarioError::new(problems, sources)),
        }
    }

    /// The same document with `path=value` overrides applied in order: of two of one field the last
    /// counts.
    ///
    /// # Errors
    /// When one is not `path=value`, or leads to no element of a list.
    pub fn with(self, overrides: &[String]) -> Result<Document, ScenarioError> {
        Ok(self.with_from("--set", overrides)?.0)
    }

    /// The same, of overrides that another option gave: errors name that one. Also tells which field
    /// each of them sets, under whatever name of its: `schedulers.0.orca.max_num_seqs`.
    ///
    /// # Errors
    /// As for [`Document::with`].
    pub fn with_from(
        mut self,
        option: &str,
        overrides: &[String],
    ) -> Result<(Document, Vec<String>), ScenarioError> {
        let Document { root, sources, .. } = &mut self;
        let mut fields = Vec::with_capacity(overrides.len());
        for argument in overrides {
            match overrides::apply(root, sources, option, argument) {
                Ok(field) => fields.push(field.join(".")),
                Err(problems) => return Err(ScenarioError::new(problems, self.sources)),
            }
        }
        Ok((self, fields))
    }

    /// The tree that was read, overrides applied.
    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// Looks up names, fills in defaults, checks everything.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn resolve(&self, seed: Option<u64>) -> Result<Resolved, ScenarioError> {
        resolve(&self.root, &self.files, &self.stem, seed)
            .map_err(|problems| ScenarioError::new(problems, self.sources.clone()))
    }

    /// The error for a file that turned out to be of no use once it was read, marked where the
    /// scenario names it; `None` when the scenario does not.
    pub fn blame_file(
        &self,
        file: &Path,
        message: &str,
        help: Option<&str>,
    ) -> Option<ScenarioError> {
        let path = self.naming(file, &self.root, &NodePath::root())?;
        let span = self.root.locate(&path).span();
        let problem = Problem::new(path.to_string(), Some(span), message);
        let problem = match help {
            Some(help) => problem.help(help),
            None => problem,
        };
        Some(ScenarioError::new(vec![problem], self.sources.clone()))
    }

    /// An error at a key of the top level, where the document has it.
    pub fn blame(&self, key: &str, message: &str, help: &str) -> ScenarioError {
        let path = NodePath::root().key(key);
        let span = self.root.locate(&path).span();
        let problem = Problem::new(path.to_string(), Some(span), message).help(help);
        ScenarioError::new(vec![problem], self.sources.clone())
    }

    /// The first `file` key at or under `node` that names this file.
    fn naming(&self, file: &Path, node: &Node, at: &NodePath) -> Option<NodePath> {
        if let Value::List(items) = &node.value {
            let mut items = items.iter().enumerate();
            return items.find_map(|(i, item)| self.naming(file, item, &at.index(i)));
        }
        node.entries().iter().find_map(|entry| {
            let path = at.key(entry.key.as_str());
            let named = entry.key == "file"
                && entry.value.as_text().is_some_and(|given| self.files.path(given) == file);
            if named { Some(path) } else { self.naming(file, &entry.value, &path) }
        })
    }
}

fn read_limited(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(name: &str, what: &str, help: &str) -> ScenarioError {
    let problem = Problem::new("", None, format!("the scenario `{name}` {what}"));
    let problem = if help.is_empty() { problem } else { problem.help(help) };
    ScenarioError::new(vec![problem], Sources::default())
}

/// The scenario of this name that comes with the program.
fn named(name: &str) -> Option<Bundled> {
    bundled().into_iter().find(|one| one.name == name)
}

/// What was probably meant by a scenario's file that is not there: one that comes with the program, or
/// one of those that stand where it was looked for.
fn beside(path: &Path) -> String {
    let all = bundled();
    let names = || all.iter().map(|one| one.name.as_str());
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let there = in_folder(path);
    if names().any(|name| name == stem) {
        let by_name = format!(
            "`{stem}` comes with the program: give its name alone, as in `metron-sim run {stem}`"
        );
        return if there.is_empty() { by_name } else { format!("{by_name}; {there}") };
    }
    let no_file_meant = !there.starts_with("did you mean");
    if path.components().count() == 1 && path.extension().is_none() && no_file_meant {
        let meant = crate::suggest::nearest(stem, names())
            .map(|name| format!("did you mean `{name}`, which comes with the program? "));
        let names: Vec<&str> = names().collect();
        let names = names.join(", ");
        let meant = meant.unwrap_or_default();
        let help = format!("{meant}by name there are {names}");
        return if there.is_empty() { help } else { format!("{help}; {there}") };
    }
    there
}

fn in_folder(path: &Path) -> String {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let folder = folder.filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else {
        return format!("there is no folder {}", folder.display());
    };
    let mut names: Vec<String> = entries
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| n.ends_with(".yaml") || n.ends_with(".yml"))
        .collect();
    names.sort_unstable();
    let wanted = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    match crate::suggest::nearest(wanted, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{}`?", folder.join(name).display()),
        None if names.is_empty() => String::new(),
        None => {
            names.truncate(10);
            format!("scenarios there: {}", names.join(", "))
        }
    }
}
