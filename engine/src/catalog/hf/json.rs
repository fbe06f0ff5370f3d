//! JSON as Python writes it.
//!
//! Python's `json` writes floats that are not finite as `NaN`, `Infinity` and `-Infinity`, which are
//! not JSON. They are read as the strings of the same names: a key that must be a number then fails
//! by name, and one that does not matter does no harm.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Longest text that is read, in bytes: the longest published configs list what is quantised of
/// thousands of modules and take some megabytes.
const LONGEST: usize = 64 << 20;

/// Reads a JSON object as Python writes it.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, String> {
    if text.len() > LONGEST {
        return Err(format!("{} bytes are too long for a config", text.len()));
    }
    let text = text.trim_start_matches('\u{feff}');
    match serde_json::from_str(&quote_non_finite(text)) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("another JSON value".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Puts quotes around `NaN`, `Infinity` and `-Infinity` outside strings.
fn quote_non_finite(text: &str) -> Cow<'_, str> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut in_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let token = ["NaN", "-Infinity", "Infinity"].into_iter().find(|t| rest.starts_with(t));
        match (in_string, token) {
            (false, Some(token)) => {
                out.push('"');
                out.push_str(token);
                out.push('"');
                rest = &rest[token.len()..];
                continue;
            }
            (true, _) if first == '\\' => {
                let escaped = rest.chars().nth(1).map_or(1, |c| 1 + c.len_utf8());
                out.push_str(&rest[..escaped]);
                rest = &rest[escaped..];
                continue;
            }
            _ if first == '"' => in_string = !in_string,
            _ => {}
        }
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::object;

    #[test]
    fn floats_that_are_not_finite_are_read_as_their_names() {
        let map = object(r#"{"a": [0.0, Infinity, -Infinity], "b": NaN, "c": "say \"NaN\" \\"}"#);
        let map = map.expect("as Python writes it");
        assert_eq!(map["a"][1], "Infinity");
        assert_eq!(map["a"][2], "-Infinity");
        assert_eq!(map["b"], "NaN");
        assert_eq!(map["c"], "say \"NaN\" \\");
    }

    #[test]
    fn what_is_no_object_is_refused_without_a_panic() {
        for text in ["", "[1]", "NaN", "{", "\u{feff}", "{\"a\": Infinit}", "\"\\"] {
            assert!(object(text).is_err(), "{text}");
        }
        assert!(object(&"[".repeat(100_000)).is_err());
        assert!(object("\u{feff}{}").is_ok());
    }
}
