//! Cells of a CSV file that a spreadsheet would take for a formula, made harmless.
//!
//! Names come from scenarios and from files of others, and a cell that begins with one of
//! `= + - @`, a tab or a line end runs as a formula where it is opened (OWASP's "CSV injection"). Such a cell
//! gets an apostrophe before it, which spreadsheets take as "this is text"; numbers stay as they are.

use std::borrow::Cow;

/// What a formula begins with; also the full-width forms, which some spreadsheets take for them.
const STARTS: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// Whether a cell is a formula, or one behind apostrophes: those get one more, so that every text
/// comes back.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(STARTS) && !is_number(text)
}

/// A plain decimal number, such as -0.5 or +1e-9.
fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
        && text.parse::<f64>().is_ok()
}

/// The text as a cell that no spreadsheet runs.
pub fn defused(text: &str) -> Cow<'_, str> {
    if is_formula(text) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// The text that [`defused`] made a cell of.
pub fn restored(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(text) if is_formula(text) => text,
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn formulas_become_text_and_numbers_stay() {
        for formula in
            ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"]
        {
            assert_eq!(defused(formula), format!("'{formula}"));
        }
        for plain in ["", "a=1", "-0.5", "+1", "-1e-9", "sarathi(x=-1)", "'quoted'", "{\"a\": 1}"] {
            assert_eq!(defused(plain), plain);
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "['=+@a1-]{0,6}") {
            let cell = defused(&text);
            prop_assert_eq!(restored(&cell), text.as_str());
            prop_assert!(!cell.starts_with(STARTS) || is_number(&cell), "{}", cell);
        }
    }
}
