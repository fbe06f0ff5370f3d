//! A sentence, set in lines.

use crate::report::table::{WIDTH, wrap};

/// Adds a sentence of the console's width.
pub(super) fn paragraph(text: &mut String, sentence: &str) {
    text.push_str(&wrap(sentence, WIDTH, "  "));
    text.push('\n');
}
