//! What is wrong with a scenario, as a compiler would say it.

use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};
use serde::Serialize;
use textwrap::{WordSeparator, WordSplitter};

use crate::order;
use crate::yaml::{Problem, Sources, Span, floor_char_boundary};

/// Most problems that are kept.
const PROBLEMS_MAX: usize = 100;
/// Most problems that people are shown at once: the first ones often bring about the rest.
const SHOWN_MAX: usize = 10;
/// Beyond so many bytes no further problem is shown.
const SHOWN_BYTES_MAX: usize = 4000;

/// A scenario that cannot be run: every problem that was found, and the texts they are in.
#[derive(Clone, Debug)]
pub struct ScenarioError {
    problems: Vec<Problem>,
    sources: Sources,
    /// How many were found.
    found: usize,
}

/// A problem with its position worked out, for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file, `<stdin>`, or the option (`--set`, `--vary`) that it stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// From 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The field's path.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl ScenarioError {
    /// Problems in order of their position.
    pub(super) fn new(mut problems: Vec<Problem>, sources: Sources) -> ScenarioError {
        assert!(!problems.is_empty(), "an error says what is wrong");
        // Overlapping checks may find the same thing twice.
        let mut seen = Vec::new();
        problems.retain(|p| {
            let new = !seen.contains(p);
            if new && seen.len() < PROBLEMS_MAX {
                seen.push(p.clone());
            }
            new
        });
        let mut problems: Vec<Problem> = problems.into_iter().map(Problem::bounded).collect();
        order::sort_by_key(&mut problems, |p| p.span.map_or((0, 0), |s| (s.source, s.start)));
        let found = problems.len();
        let more = found.saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        if more > 0 {
            problems.push(Problem::new("", None, format!("{more} more problems")));
        }
        ScenarioError { problems, sources, found }
    }

    /// All problems, in order of their position.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// All problems with file, line and column.
    pub fn reports(&self) -> Vec<Report> {
        self.problems
            .iter()
            .map(|p| {
                let place =
                    p.span.map(|s| (self.sources.get(s.source), self.sources.line_column(s)));
                Report {
                    file: place.map(|(source, _)| source.name.clone()),
                    line: place.map(|(_, (line, _))| line),
                    column: place.map(|(_, (_, column))| column),
                    path: p.path.clone(),
                    message: p.message.clone(),
                    help: p.help.clone(),
                }
            })
            .collect()
    }

    /// For people: each problem with its source line and a caret.
    pub fn render(&self, color: bool) -> String {
        let theme =
            if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        // A name with a dash in it is one word.
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(100)
            .with_word_separator(WordSeparator::AsciiSpace)
            .with_word_splitter(WordSplitter::NoHyphenation)
            .with_links(false);
        let mut out = String::new();
        let mut shown = 0;
        for problem in self.problems.iter().take(SHOWN_MAX) {
            if out.len() > SHOWN_BYTES_MAX {
                break;
            }
            shown += 1;
            let located = Located::new(problem, &self.sources);
            if handler.render_report(&mut out, &located).is_err() {
                out.push_str(&problem.headline());
                out.push('\n');
            }
        }
        match self.found - shown {
            0 if shown == 1 => {}
            0 => out.push_str(&format!("{shown} problems\n")),
            1 => out.push_str("and 1 more problem\n"),
            more => out.push_str(&format!("and {more} more problems\n")),
        }
        out
    }
}

/// A line a problem: `file:line:column: path: message (help)`.
impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (problem, report)) in self.problems.iter().zip(self.reports()).enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            if let (Some(file), Some(line), Some(column)) =
                (report.file, report.line, report.column)
            {
                write!(f, "{file}:{line}:{column}: ")?;
            }
            write!(f, "{}", problem.headline())?;
            if let Some(help) = &problem.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioError {}

/// One problem beside the one text that it is marked in; miette shows one text a report.
#[derive(Debug)]
struct Located {
    headline: String,
    help: Option<String>,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
}

impl Located {
    fn new(problem: &Problem, sources: &Sources) -> Located {
        let mut help: Vec<String> = problem.help.iter().cloned().collect();
        let mut labels = Vec::new();
        let shown = problem.span.filter(|&span| {
            let readable = lines_around_fit(&sources.get(span.source).text, span.start);
            if !readable {
                let (line, column) = sources.line_column(span);
                let name = &sources.get(span.source).name;
                help.push(format!("at {name}:{line}:{column}, in lines too long to show"));
            }
            readable
        });
        let source = shown.map(|span| {
            let source = sources.get(span.source);
            let label = |span: Span, text: &str, primary: bool| {
                let start = floor_char_boundary(&source.text, span.start);
                // To the end of its line at most: a caret, not a block.
                let line = source.text[start..].lines().next().map_or(0, str::len);
                let end = span.end.clamp(start, start + line);
                let range = (start, floor_char_boundary(&source.text, end) - start);
                match primary {
                    true => LabeledSpan::new_primary_with_span(Some(text.to_owned()), range),
                    false => LabeledSpan::new_with_span(Some(text.to_owned()), range),
                }
            };
            labels.push(label(span, &problem.label, true));
            for (other, text) in &problem.others {
                let quotable = lines_around_fit(&source.text, other.start);
                if other.source == span.source && quotable {
                    labels.push(label(*other, text, false));
                } else {
                    let (line, column) = sources.line_column(*other);
                    let name = &sources.get(other.source).name;
                    help.push(format!("{text}: {name}:{line}:{column}"));
                }
            }
            NamedSource::new(&source.name, source.text.clone())
        });
        let help = (!help.is_empty()).then(|| help.join("\n"));
        Located { headline: problem.headline(), help, source, labels }
    }
}

/// Longest line that is quoted, bytes.
const LINE_MAX: usize = 300;

/// Whether the line at `at` and its neighbours, which are quoted with it, are short enough.
fn lines_around_fit(text: &str, at: usize) -> bool {
    let at = floor_char_boundary(text, at);
    let before = text[..at].rsplit('\n').take(2).map(str::len);
    let after = text[at..].split('\n').take(2).map(str::len);
    before.chain(after).all(|bytes| bytes <= LINE_MAX)
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline)
    }
}

impl std::error::Error for Located {}

impl Diagnostic for Located {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|s| s as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
