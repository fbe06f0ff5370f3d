//! What messages quote of texts that they did not write, cut to what a screen holds.

/// Longest quotation, in characters.
const QUOTED_MAX: usize = 60;

/// A text as a message quotes it: control characters escaped, `...` in place of what is too much.
pub fn quoted(text: &str) -> String {
    let cut = text.char_indices().nth(QUOTED_MAX);
    match cut {
        Some((end, _)) => format!("{}...", text[..end].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

/// A message of at most `most` bytes: what is more is left out of its middle, where a long
/// quotation stands.
pub fn bounded(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let half = most / 2;
    let head = (0..=half).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let tail = (text.len() - half..=text.len()).find(|&at| text.is_char_boundary(at));
    let tail = tail.unwrap_or(text.len());
    format!("{} [... {} bytes ...] {}", &text[..head], tail - head, &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_is_short_and_printable() {
        assert_eq!(quoted("short"), "short");
        assert_eq!(quoted("a\u{1b}[31m"), "a\\u{1b}[31m");
        let long = quoted(&"é".repeat(10_000));
        assert_eq!(long, format!("{}...", "é".repeat(60)));
    }

    #[test]
    fn a_message_keeps_its_beginning_and_its_end() {
        assert_eq!(bounded("all of it".to_owned(), 9), "all of it");
        let text = format!("expected a unit, found `{}`, which is none", "é".repeat(30_000));
        let cut = bounded(text, 100);
        assert!(cut.starts_with("expected a unit, found `é"), "{cut}");
        assert!(cut.ends_with("é`, which is none"), "{cut}");
        assert!(cut.len() < 140, "{}", cut.len());
    }
}
