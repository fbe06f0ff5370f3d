//! One mistake in a text, as a compiler would say it.

use super::source::Span;
use crate::excerpt::bounded;

/// Longest message, label and help of a problem, in bytes, whatever they quote.
const TEXT_MAX: usize = 1000;
/// Longest path of a problem, in bytes.
const PATH_MAX: usize = 200;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The field's path, such as `workload.arrivals.poisson.rate`; empty for the whole file.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where it stands, when it stands somewhere.
    pub span: Option<Span>,
    /// Text at the caret.
    pub label: String,
    /// Other places that matter.
    pub others: Vec<(Span, String)>,
}

impl Problem {
    /// A problem with the field at `path`.
    pub fn new(path: impl Into<String>, span: Option<Span>, message: impl Into<String>) -> Problem {
        Problem {
            path: path.into(),
            message: message.into(),
            help: None,
            span,
            label: "here".to_owned(),
            others: Vec::new(),
        }
    }

    /// The same with advice.
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// The same with this text at the caret.
    pub fn label(mut self, label: impl Into<String>) -> Problem {
        self.label = label.into();
        self
    }

    /// The same with another place marked.
    pub fn other(mut self, span: Span, label: impl Into<String>) -> Problem {
        self.others.push((span, label.into()));
        self
    }

    /// The same with every text short enough to be read.
    pub fn bounded(self) -> Problem {
        let Problem { path, message, help, span, label, others } = self;
        let text = |text: String| bounded(text, TEXT_MAX);
        let others = others.into_iter().map(|(span, label)| (span, text(label))).collect();
        Problem {
            path: bounded(path, PATH_MAX),
            message: text(message),
            help: help.map(text),
            span,
            label: text(label),
            others,
        }
    }

    /// Its path and message.
    pub fn headline(&self) -> String {
        if self.path.is_empty() {
            self.message.clone()
        } else {
            format!("{}: {}", self.path, self.message)
        }
    }
}
