//! From a YAML text to a [`Node`] tree. Problems of the text itself are found here: broken
//! syntax, doubled keys, aliases that multiply, nesting without end.

use std::collections::HashMap;

use granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, Span as RawSpan};

use super::node::{Entry, Node, Path, Value};
use super::problem::Problem;
use super::scalar::resolve_plain;
use super::source::{Source, Span};
use crate::excerpt::quoted;

/// Deepest nesting of a document; scenarios need about ten.
const DEPTH_MAX: usize = 64;
/// Most values that the aliases of a document repeat.
const REPEATED_MAX: usize = 100_000;

/// Reads the one document of a text.
///
/// # Errors
/// Everything that is wrong with the text. Doubled keys are reported together; broken syntax ends
/// the reading.
pub fn parse(id: u32, source: &Source) -> Result<Node, Vec<Problem>> {
    let text = source.text.as_str();
    if let Some(problem) = control_character(id, text) {
        return Err(vec![problem]);
    }
    let options = granit_parser::options! { emit_comments: false };
    let mut builder = Builder {
        id,
        text,
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes: 0,
        repeated: 0,
        problems: Vec::new(),
    };
    match builder.document() {
        Ok(root) if builder.problems.is_empty() => Ok(root),
        Ok(_) => Err(builder.problems),
        Err(Stop(problem)) => {
            builder.problems.push(*problem);
            Err(builder.problems)
        }
    }
}

/// Why reading cannot go on.
struct Stop(Box<Problem>);

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Stop {
        Stop(Box::new(problem))
    }
}

struct Builder<'a> {
    id: u32,
    text: &'a str,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    /// Anchored nodes, with how many values each holds and how deep it is.
    anchors: HashMap<usize, (Node, usize, usize)>,
    nodes: usize,
    /// Of these, those that aliases repeat.
    repeated: usize,
    problems: Vec<Problem>,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        while let Some((event, raw)) = self.next()? {
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Problem::new(
                        "",
                        Some(self.span(&raw)),
                        "expected one YAML document, found a second",
                    )
                    .help("a scenario is one document: remove this `---` and what follows")
                    .into());
                }
                Event::DocumentStart(..) => {}
                event => root = Some(self.node(event, raw, &Path::root(), 0)?),
            }
        }
        Ok(root.unwrap_or_else(|| Node { span: self.empty_span(), value: Value::Null }))
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, RawSpan)>, Stop> {
        match self.parser.next() {
            None => Ok(None),
            Some(Ok(next)) => Ok(Some(next)),
            Some(Err(error)) => Err(self.syntax_problem(&error).into()),
        }
    }

    /// The event after `path` began, when the stream must go on.
    fn expect_next(&mut self) -> Result<(Event<'a>, RawSpan), Stop> {
        match self.next()? {
            Some(next) => Ok(next),
            None => {
                Err(Problem::new("", Some(self.empty_span()), "unexpected end of the text").into())
            }
        }
    }

    fn node(
        &mut self,
        event: Event<'a>,
        raw: RawSpan,
        path: &Path,
        depth: usize,
    ) -> Result<Node, Stop> {
        let mut span = self.span(&raw);
        check_depth(depth, span)?;
        self.nodes += 1;
        let before = self.nodes;
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let Some(&(ref node, size, height)) = self.anchors.get(&anchor) else {
                    return Err(Problem::new(
                        path.to_string(),
                        Some(span),
                        "this alias stands inside the value that it refers to",
                    )
                    .into());
                };
                // Positions stay those of the anchor's value, where a mistake must be mended.
                let node = node.clone();
                self.repeat(size, span)?;
                check_depth(depth + height, span)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = match tag.as_deref().map(|t| (t.core_suffix(), t)) {
                    None if style == ScalarStyle::Plain => resolve_plain(&text),
                    None | Some((Some("str"), _)) => Value::Text(text.into_owned()),
                    Some((Some(_), _)) => resolve_plain(&text),
                    Some((None, tag)) => {
                        let tag = format!("{}{}", tag.original_handle(), tag.suffix());
                        return Err(Problem::new(
                            path.to_string(),
                            Some(span),
                            format!("the tag `{}` means nothing here", quoted(&tag)),
                        )
                        .help("remove it; a text that begins with `!` needs quotes")
                        .into());
                    }
                };
                (value, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    let (event, raw) = self.expect_next()?;
                    if matches!(event, Event::SequenceEnd) {
                        span.end = self.span(&raw).end.max(span.end);
                        break;
                    }
                    let path = path.index(items.len());
                    items.push(self.node(event, raw, &path, depth + 1)?);
                }
                (Value::List(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                (Value::Map(self.entries(&mut span, path, depth)?), anchor)
            }
            _ => return Err(Problem::new(path.to_string(), Some(span), "expected a value").into()),
        };
        let node = Node { span, value };
        if anchor != 0 {
            let size = self.nodes - before + 1;
            let height = height(&node);
            self.anchors.insert(anchor, (node.clone(), size, height));
        }
        Ok(node)
    }

    fn entries(&mut self, span: &mut Span, path: &Path, depth: usize) -> Result<Vec<Entry>, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, raw) = self.expect_next()?;
            if matches!(event, Event::MappingEnd) {
                span.end = self.span(&raw).end.max(span.end);
                break;
            }
            let key_node = self.node(event, raw, path, depth + 1)?;
            let key_span = key_node.span;
            let Some(key) = self.key_text(&key_node) else {
                return Err(Problem::new(
                    path.to_string(),
                    Some(key_span),
                    format!("expected a name as key, found {}", key_node.describe()),
                )
                .into());
            };
            let (event, raw) = self.expect_next()?;
            let value = self.node(event, raw, &path.key(&key), depth + 1)?;
            if key == "<<" {
                merged.extend(self.merge(value, path)?);
            } else if let Some(&first) = seen.get(&key) {
                let problem = Problem::new(
                    path.key(&key).to_string(),
                    Some(key_span),
                    format!("the key `{}` is given twice", quoted(&key)),
                )
                .label("again here")
                .other(entries[first].key_span, "first here")
                .help("keep one of the two");
                self.problems.push(problem);
            } else {
                seen.insert(key.clone(), entries.len());
                entries.push(Entry { key, key_span, value });
            }
        }
        for entry in merged {
            if !seen.contains_key(&entry.key) {
                seen.insert(entry.key.clone(), entries.len());
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// The entries that `<<` brings in: a map's, or those of a list of maps.
    fn merge(&self, value: Node, path: &Path) -> Result<Vec<Entry>, Stop> {
        let span = value.span;
        let wrong = |found: String| {
            Problem::new(
                path.key("<<").to_string(),
                Some(span),
                format!("expected a map to merge, found {found}"),
            )
        };
        match value.value {
            Value::Map(entries) => Ok(entries),
            Value::List(items) => {
                let mut all = Vec::new();
                for item in items {
                    match item.value {
                        Value::Map(entries) => all.extend(entries),
                        _ => return Err(wrong(item.describe()).into()),
                    }
                }
                Ok(all)
            }
            value => Err(wrong(Node { span, value }.describe()).into()),
        }
    }

    fn key_text(&self, key: &Node) -> Option<String> {
        match &key.value {
            Value::Text(text) => Some(text.clone()),
            Value::Int(_) | Value::Bool(_) | Value::Float(..) | Value::Null => {
                self.text.get(key.span.start..key.span.end).map(str::to_owned)
            }
            Value::List(_) | Value::Map(_) => None,
        }
    }

    fn repeat(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes += nodes;
        self.repeated += nodes;
        if self.repeated <= REPEATED_MAX {
            return Ok(());
        }
        let message = format!("aliases repeat more than {REPEATED_MAX} values");
        Err(Problem::new("", Some(span), message).help("aliases of aliases multiply").into())
    }

    fn span(&self, raw: &RawSpan) -> Span {
        let start = self.offset(&raw.start);
        let end = self.offset(&raw.end).max(start);
        Span { source: self.id, start, end }
    }

    fn offset(&self, marker: &granit_parser::Marker) -> usize {
        marker.byte_offset().unwrap_or_else(|| {
            self.text.char_indices().nth(marker.index()).map_or(self.text.len(), |(at, _)| at)
        })
    }

    fn empty_span(&self) -> Span {
        Span { source: self.id, start: 0, end: 0 }
    }

    fn syntax_problem(&self, error: &granit_parser::ScanError) -> Problem {
        let at = self.offset(error.marker()).min(self.text.len());
        if let Some(tab) = tab_in_indentation(self.text, at) {
            let span = Span { source: self.id, start: tab, end: tab + 1 };
            return Problem::new("", Some(span), "a tab in the indentation")
                .label("a tab")
                .help("YAML is indented with spaces");
        }
        let span = Span { source: self.id, start: at, end: at };
        let (message, help) = match error.kind() {
            ErrorKind::ExpectedBlockMappingKey => (
                "expected a key at this indentation".to_owned(),
                Some("keys of one map begin in the same column"),
            ),
            ErrorKind::ExpectedBlockSequenceEntry => (
                "expected `- ` at this indentation".to_owned(),
                Some("elements of one list begin in the same column"),
            ),
            ErrorKind::MappingValueNotAllowed => (
                "a `key:` where a value goes on".to_owned(),
                Some("check this line's indentation, and that the line above is complete"),
            ),
            ErrorKind::SimpleKeyExpected => (
                "expected `key: value`".to_owned(),
                Some("a key is followed by a colon and a space"),
            ),
            ErrorKind::InvalidQuotedScalarIndent => (
                "a quoted text goes on at the wrong indentation".to_owned(),
                Some("is its closing quote missing?"),
            ),
            ErrorKind::ExpectedFlowMappingSeparator
            | ErrorKind::UnexpectedEofFlowMapping
            | ErrorKind::UnexpectedEofImplicitFlowMapping => (
                "expected `,` or `}`".to_owned(),
                Some("is a closing brace missing on this line or above?"),
            ),
            ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::UnexpectedEofFlowSequence => (
                "expected `,` or `]`".to_owned(),
                Some("is a closing bracket missing on this line or above?"),
            ),
            ErrorKind::UnknownAnchor => {
                ("this alias refers to no anchor before it".to_owned(), None)
            }
            kind => (kind.to_string(), None),
        };
        let problem = Problem::new("", Some(span), format!("not YAML: {message}"));
        match help {
            Some(help) => problem.help(help),
            None => problem,
        }
    }
}

fn check_depth(depth: usize, span: Span) -> Result<(), Stop> {
    if depth <= DEPTH_MAX {
        return Ok(());
    }
    Err(Problem::new("", Some(span), format!("nested more than {DEPTH_MAX} deep"))
        .help("a scenario needs about ten levels")
        .into())
}

/// How many levels lie under a node.
fn height(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|e| height(&e.value)).max().unwrap_or(0),
        _ => 0,
    }
}

/// The first tab in the indentation of a line up to the one that `at` is in.
fn tab_in_indentation(text: &str, at: usize) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if start > at {
            return None;
        }
        let indentation = line.len() - line.trim_start_matches([' ', '\t', '-']).len();
        let blank = line.trim().is_empty();
        if let Some(tab) = line[..indentation].find('\t').filter(|_| !blank) {
            return Some(start + tab);
        }
        start += line.len();
    }
    None
}

fn control_character(id: u32, text: &str) -> Option<Problem> {
    let found = text
        .char_indices()
        .find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}'));
    found.map(|(start, c)| {
        let span = Span { source: id, start, end: start + c.len_utf8() };
        let name = if c == '\0' {
            "a NUL character".to_owned()
        } else {
            format!("the control character U+{:04X}", u32::from(c))
        };
        Problem::new("", Some(span), format!("expected text, found {name}"))
            .help("is this a YAML file?")
    })
}
