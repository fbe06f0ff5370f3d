//! What decoding finds wrong, and how it is worded.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::Decoder;
use crate::excerpt::quoted;
use crate::suggest::advice;
use crate::yaml::node::{Node, Path, Step};
use crate::yaml::problem::Problem;

/// A mistake on its way up; it gets its place where it first meets a decoder.
#[derive(Clone, Debug)]
pub(super) struct Mistake(Box<Inner>);

/// Behind a pointer: every reader of every type hands a mistake on.
#[derive(Clone, Debug)]
struct Inner {
    what: What,
    place: Option<Place>,
}

#[derive(Clone, Debug)]
struct Place {
    path: Path,
    found: String,
    /// Something below was cut out before: what is missing here was not left out by the user.
    incomplete: bool,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// Said by a type; `help` after a line `help: `.
    Said(String),
    /// A value of another kind than expected.
    Expected(String),
    MissingField(&'static str),
    DoubledField(&'static str),
    Unknown {
        kind: &'static str,
        given: String,
        valid: &'static [&'static str],
    },
}

impl Mistake {
    pub(super) fn of(what: What) -> Mistake {
        Mistake(Box::new(Inner { what, place: None }))
    }

    pub(super) fn at(mut self, decoder: &Decoder<'_, '_>) -> Mistake {
        if self.0.place.is_none() {
            self.0.place = Some(Place {
                path: decoder.path.clone(),
                found: decoder.node.describe(),
                incomplete: decoder.state.has_cut_below(&decoder.path),
            });
            decoder.state.first.borrow_mut().get_or_insert_with(|| self.clone());
        }
        self
    }

    /// Where to cut, and what to report, if anything.
    pub(super) fn settle(self, root: &Node) -> (Path, Option<Problem>) {
        let Inner { what, place } = *self.0;
        let Some(place) = place else {
            return (Path::root(), Some(Problem::new("", Some(root.span), what.to_string())));
        };
        let span = Some(root.locate(&place.path).span());
        let path = place.path.to_string();
        let problem = match what {
            What::Said(text) => {
                let (message, help) = match text.split_once("\nhelp: ") {
                    Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
                    None => (text, None),
                };
                let problem = Problem::new(path, span, message);
                Some(match help {
                    Some(help) => problem.help(help),
                    None => problem,
                })
            }
            What::Expected(expected) => {
                let message = format!("expected {expected}, found {}", place.found);
                let problem =
                    Problem::new(path, span, message).label(format!("expected {expected}"));
                Some(match expectation_help(&expected, &place.found) {
                    Some(help) => problem.help(help),
                    None => problem,
                })
            }
            What::MissingField(_) if place.incomplete => None,
            // Of an enum: no choice at all.
            What::MissingField("") => Some(Problem::new(
                path,
                span,
                format!("expected a {}, found none", choice_kind("name", &place.path)),
            )),
            What::MissingField(name) => Some(
                Problem::new(
                    place.path.key(name).to_string(),
                    span,
                    format!("`{name}` is missing"),
                )
                .label(format!("needs `{name}`")),
            ),
            What::DoubledField(name) => Some(Problem::new(
                place.path.key(name).to_string(),
                span,
                format!("`{name}` is given twice, perhaps under its other name"),
            )),
            What::Unknown { kind, given, valid } => Some(
                Problem::new(
                    path,
                    span,
                    format!("unknown {} `{}`", choice_kind(kind, &place.path), quoted(&given)),
                )
                .label("unknown")
                .help(advice(&given, valid.iter().copied())),
            ),
        };
        (place.path, problem)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.what.fmt(f)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Said(text) => f.write_str(text),
            What::Expected(expected) => write!(f, "expected {expected}"),
            What::MissingField(name) => write!(f, "`{name}` is missing"),
            What::DoubledField(name) => write!(f, "`{name}` is given twice"),
            What::Unknown { kind, given, .. } => write!(f, "unknown {kind} `{given}`"),
        }
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(text: T) -> Mistake {
        Mistake::of(What::Said(text.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Mistake {
        Mistake::of(What::Expected(plain_words(&expected.to_string())))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Mistake {
        Mistake::of(What::Expected(plain_words(&expected.to_string())))
    }

    fn unknown_variant(given: &str, valid: &'static [&'static str]) -> Mistake {
        Mistake::of(What::Unknown { kind: "name", given: given.to_owned(), valid })
    }

    fn unknown_field(given: &str, valid: &'static [&'static str]) -> Mistake {
        Mistake::of(What::Unknown { kind: "key", given: given.to_owned(), valid })
    }

    fn missing_field(field: &'static str) -> Mistake {
        Mistake::of(What::MissingField(field))
    }

    fn duplicate_field(field: &'static str) -> Mistake {
        Mistake::of(What::DoubledField(field))
    }
}

/// What to write, where what was found shows what was meant.
fn expectation_help(expected: &str, found: &str) -> Option<String> {
    let number = found.strip_prefix("the number ");
    let text = found.strip_prefix("the text `").and_then(|t| t.strip_suffix('`'));
    let is_number = |text: &str| text.parse::<f64>().is_ok();
    match (number, text) {
        (Some(n), _) if expected.starts_with("a distribution") => {
            Some(format!("did you mean `{{fixed: {n}}}`?"))
        }
        (Some(n), _) if expected == "text" => Some(format!("put it in quotes: `\"{n}\"`")),
        (_, Some(t)) if expected.contains("number") && is_number(t) => {
            Some(format!("write it without quotes: `{t}`"))
        }
        (_, Some(t)) if expected == "a number" => {
            let percent = t.strip_suffix('%').and_then(|p| p.trim().parse::<f64>().ok());
            percent.map(|p| format!("{p} % is `{}`", p / 100.0))
        }
        (_, Some(t)) if expected == "a list" => Some(format!("did you mean `[{t}]`?")),
        _ if expected == "a list" && found == "a map" => {
            Some("each element of a list begins with `- `".to_owned())
        }
        _ => None,
    }
}

/// What a name names, by the field that it stands in.
pub(super) fn choice_kind<'a>(kind: &'a str, path: &Path) -> &'a str {
    let field = path.steps().iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    match (kind, field) {
        ("name", Some("schedulers")) => "scheduler",
        ("name", Some("arrivals")) => "arrival process",
        ("name", Some("table")) => "table of lengths",
        ("name", Some("dtype")) => "number type",
        ("name", Some("format")) => "trace format",
        _ => kind,
    }
}

/// Serde's names of Rust types, in a user's words.
fn plain_words(expected: &str) -> String {
    let words = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 to 18446744073709551615",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "string" | "str" => "text",
        "a boolean" | "bool" => "`true` or `false`",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "a map",
        other if other.contains("enum ") => "a name, or a map with one name",
        other => other,
    };
    words.to_owned()
}
