//! Tables of plain text, measured in characters, with colour outside of the measuring.
//!
//! An own layout of a few lines, since cells carry styles that a general table would count as
//! width, and since wide comparisons must break into blocks at the width that there is.

use std::sync::atomic::{AtomicUsize, Ordering};

use owo_colors::Style;

/// Columns that a report takes where it goes to no terminal.
pub const WIDTH: usize = 100;

/// Columns of the terminal that the result goes to.
static COLUMNS: AtomicUsize = AtomicUsize::new(WIDTH);

/// Columns that a report may take: the terminal's, from 80 to 120.
pub fn width() -> usize {
    COLUMNS.load(Ordering::Relaxed)
}

/// Says how wide the terminal is that the result goes to.
pub fn fit_to(columns: usize) {
    COLUMNS.store(columns.clamp(80, 120), Ordering::Relaxed);
}

/// Between two columns.
const GAP: &str = "  ";

/// One cell: text, and how it looks.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// How it looks; does not count as width.
    pub style: Style,
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell { text, style: Style::new() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::from(text.to_owned())
    }
}

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Lays rows out in columns as wide as their widest cell; no trailing blanks.
pub fn lay_out(rows: &[Vec<Cell>], align: &[Align]) -> String {
    let widths: Vec<usize> = (0..align.len())
        .map(|column| rows.iter().filter_map(|r| r.get(column)).map(cell_width).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        let mut blanks = 0;
        for (column, cell) in row.iter().enumerate() {
            if column > 0 {
                blanks += GAP.len();
            }
            let padding = widths[column] - cell_width(cell);
            let (before, after) = match align[column] {
                Align::Left => (0, padding),
                Align::Right => (padding, 0),
            };
            blanks += before;
            let text = cell.text.trim_end();
            if !text.is_empty() {
                line.extend(std::iter::repeat_n(' ', blanks));
                line.push_str(&cell.style.style(text).to_string());
                blanks = 0;
            }
            blanks += cell_width(cell) - text.chars().count() + after;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn cell_width(cell: &Cell) -> usize {
    cell.text.chars().count()
}

/// Breaks `text` at blanks into lines of at most `width` characters; later lines begin with
/// `indent`. A longer word stands alone on its line.
pub fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("never empty");
        let used = line.chars().count();
        let fresh = used == 0 || line == indent;
        if !fresh && used + 1 + word.chars().count() > width {
            lines.push(format!("{indent}{word}"));
        } else {
            if !fresh {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_line_up_on_the_right() {
        let rows = [
            vec![Cell::from("a"), Cell::from("1.0 ms"), Cell::from("")],
            vec![Cell::from("longer"), Cell::from("12 s"), Cell::from("x")],
        ];
        let text = lay_out(&rows, &[Align::Left, Align::Right, Align::Left]);
        assert_eq!(text, "a       1.0 ms\nlonger    12 s  x\n");
    }

    #[test]
    fn style_is_no_width() {
        let mut styled = Cell::from("7");
        styled.style = Style::new().bold();
        let rows = [vec![Cell::from("ab"), styled], vec![Cell::from("c"), Cell::from("10")]];
        let text = lay_out(&rows, &[Align::Left, Align::Right]);
        assert!(text.contains("\u{1b}["), "{text:?}");
        let bare = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(bare, "ab   7\nc   10\n");
    }

    #[test]
    fn wraps_at_blanks() {
        assert_eq!(wrap("aa bb cc", 5, " "), "aa bb\n cc");
        assert_eq!(wrap("aaaaaaaa b", 5, ""), "aaaaaaaa\nb");
        assert_eq!(wrap("", 5, ""), "");
    }
}
