//! A sentence, set in lines.

use crate::report::table::{width, wrap};

/// Adds a sentence of the console's width.
pub(super) fn paragraph(text: &mut String, sentence: &str) {
    text.push_str(&wrap(sentence, width(), "  "));
    text.push('\n');
}
