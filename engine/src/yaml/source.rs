//! Texts that a scenario is made of, and positions in them.

/// A stretch of one source's text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which source.
    pub source: u32,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// One text: the scenario's file, or the value of a `--set` or `--vary`.
#[derive(Clone, Debug)]
pub struct Source {
    /// As errors show it: a file's path, `<stdin>`, `--set` or `--vary`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// All texts of a scenario; the file is the first.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text and returns its number.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> u32 {
        self.0.push(Source { name: name.into(), text: text.into() });
        u32::try_from(self.0.len() - 1).expect("a scenario has few sources")
    }

    /// The text that a span lies in.
    pub fn get(&self, id: u32) -> &Source {
        &self.0[id as usize]
    }

    /// Line and column of a span's beginning, both from 1, columns in characters.
    pub fn line_column(&self, span: Span) -> (usize, usize) {
        let text = &self.get(span.source).text;
        let start = floor_char_boundary(text, span.start);
        let before = &text[..start];
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (line, before[line_start..].chars().count() + 1)
    }
}

/// The largest character boundary at or below `at`.
pub fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
