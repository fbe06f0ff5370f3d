//! Regular expressions on the names of modules.
//!
//! Checkpoints list hundreds of them, and a model has thousands of names: so what an expression needs
//! word by word is looked for first.

use regex_lite::Regex;

use super::error::HfConfigError;

/// Most expressions in a list.
const MOST: usize = 1024;
/// Most that say nothing word by word.
const MOST_WITHOUT_WORDS: usize = 128;

/// Beginnings of names of layers.
pub(super) const BEGINNINGS: [&str; 7] = [
    "model.",
    "model.language_model.",
    "language_model.model.",
    "language_model.",
    "backbone.",
    "language_model.backbone.",
    "",
];

/// An expression, and what it needs of a name behind its beginning.
pub(super) struct Expression {
    regex: Regex,
    words: Vec<String>,
}

impl Expression {
    /// Reads an expression at `key`.
    pub(super) fn new(key: &str, text: &str) -> Result<Expression, HfConfigError> {
        // As Python's `re.match`: from the beginning.
        let regex = Regex::new(&format!("^(?:{text})"))
            .map_err(|e| HfConfigError::unknown(key, format!("re:{text}"), &format!("{e}")))?;
        let words =
            words(text).iter().filter_map(|word| in_name(word)).map(str::to_owned).collect();
        Ok(Expression { regex, words })
    }

    /// Whether a name from `layers.` on matches with any beginning.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.words.iter().all(|word| name.contains(word.as_str()))
            && BEGINNINGS.iter().any(|start| self.regex.is_match(&format!("{start}{name}")))
    }
}

/// What of a word cannot lie in the beginning of a name.
fn in_name(word: &str) -> Option<&str> {
    if BEGINNINGS.iter().any(|start| start.contains(word)) {
        return None;
    }
    let ends = |first: &str| BEGINNINGS.iter().any(|start| start.ends_with(first));
    let cut = word.char_indices().map(|(at, _)| at).filter(|&at| ends(&word[..at])).max();
    Some(&word[cut.unwrap_or(0)..])
}

/// Holds a list at `key` to what can be tried in a moment.
pub(super) fn check(key: &str, list: &[Expression]) -> Result<(), HfConfigError> {
    let without = list.iter().filter(|expression| expression.words.is_empty()).count();
    if list.len() > MOST {
        return Err(HfConfigError::wrong(
            key,
            "a list of at most 1024 regular expressions",
            list.len(),
        ));
    }
    if without > MOST_WITHOUT_WORDS {
        return Err(HfConfigError::wrong(
            key,
            "a list of at most 128 regular expressions without a word that they need",
            without,
        ));
    }
    Ok(())
}

/// What must stand in a name for an expression to match it; nothing where that is not plain to see.
fn words(text: &str) -> Vec<String> {
    // Flags change how letters are read.
    if text.matches("(?").count() != text.matches("(?:").count() {
        return Vec::new();
    }
    let (mut words, mut word, mut depth) = (Vec::new(), String::new(), 0_usize);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let literal = match letter {
            '\\' => match letters.next() {
                // Of letters and digits, these are classes, edges or codes.
                Some(escaped) if !escaped.is_alphanumeric() => Some(escaped),
                Some(_) => return Vec::new(),
                None => None,
            },
            '|' if depth == 0 => return Vec::new(),
            '[' => {
                // A bracket that is its first letter, or is escaped in it, is not its end.
                let mut class = letters.by_ref().skip_while(|&letter| letter == '^');
                let first = class.next();
                let rest = class.take_while(|&letter| letter != ']');
                if first.into_iter().chain(rest).any(|letter| matches!(letter, '[' | '\\')) {
                    return Vec::new();
                }
                None
            }
            '(' => {
                depth += 1;
                None
            }
            ')' => {
                depth = depth.saturating_sub(1);
                None
            }
            // The letter before may be missing.
            '*' | '?' | '{' => {
                word.pop();
                if letter == '{' {
                    letters.by_ref().take_while(|&letter| letter != '}').for_each(drop);
                }
                None
            }
            '.' | '+' | '^' | '$' | '|' => None,
            other => Some(other),
        };
        match literal {
            Some(literal) if depth == 0 => word.push(literal),
            _ if word.is_empty() => {}
            _ => words.push(std::mem::take(&mut word)),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_every_match_has() {
        for (text, right) in [
            (r".*mlp\.(gate|up)_proj.*", vec!["mlp.", "_proj"]),
            (r"model\.layers\.3\..*", vec!["model.layers.3."]),
            ("self_attn", vec!["self_attn"]),
            ("ab*c+d?e{2}f", vec!["a", "c", "f"]),
            ("(a|b)*layers.*12x", vec!["layers", "12x"]),
            ("[abc]x[^]d]y", vec!["x", "y"]),
            ("a|b", vec![]),
            ("(?i)a", vec![]),
            (r"a\dbc", vec![]),
            (r"[\]]x", vec![]),
        ] {
            assert_eq!(words(text), right, "{text}");
        }
    }

    #[test]
    fn beginnings_are_apart() {
        let of = |text: &str| Expression::new("ignore", text).expect("an expression").words;
        assert_eq!(of(r"model\.layers\.3\..*"), ["layers.3."]);
        assert_eq!(of(r".*model\..*mlp"), ["mlp"]);
        let three = Expression::new("ignore", r"model\.layers\.3\..*").expect("an expression");
        assert!(three.matches("layers.3.mlp") && !three.matches("layers.31.mlp"));
    }

    #[test]
    fn lists_that_would_take_minutes_are_refused() {
        let list = |text: &dyn Fn(usize) -> String, count: usize| -> Vec<Expression> {
            let one = |at| Expression::new("ignore", &text(at)).expect("an expression");
            (0..count).map(one).collect()
        };
        let named = |at: usize| format!(".*(a|b)*layers.*{at}x.*");
        let nameless = |at: usize| format!(".*(a|b)*|{at}x");
        assert!(check("ignore", &list(&named, 1024)).is_ok());
        assert!(check("ignore", &list(&named, 1025)).is_err());
        assert!(check("ignore", &list(&nameless, 129)).is_err());
    }
}
