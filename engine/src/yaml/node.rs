//! A YAML document as a tree that knows where each value stands.

use std::fmt;

use serde_json::{Map, Number, Value as Json};

use super::source::Span;
use crate::excerpt::quoted;

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// A YAML value after resolution of its plain scalars.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Another number, with the digits as written.
    Float(f64, String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in order; keys are unique.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key as text.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The value of a key, in a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|e| &e.value)
    }

    /// The entry of a key, in a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| e.key == key)
    }

    /// The entries of a map; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How many values it is made of, itself included.
    pub fn size(&self) -> usize {
        match &self.value {
            Value::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|e| e.value.size()).sum::<usize>(),
            _ => 1,
        }
    }

    /// As an error names what it found.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(b) => format!("`{b}`"),
            Value::Int(n) => format!("the number {n}"),
            Value::Float(_, raw) => {
                if raw.len() > 60 {
                    "a very long number".to_owned()
                } else {
                    format!("the number {raw}")
                }
            }
            Value::Text(t) if t.is_empty() => "an empty text".to_owned(),
            Value::Text(t) => format!("the text `{}`", quoted(t)),
            Value::List(items) if items.is_empty() => "an empty list".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(entries) if entries.is_empty() => "an empty map".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// The value without its place. A number that JSON does not have is text.
    pub fn json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(n) => match (u64::try_from(*n), i64::try_from(*n)) {
                (Ok(n), _) => n.into(),
                (_, Ok(n)) => n.into(),
                _ => n.to_string().into(),
            },
            Value::Float(x, raw) => {
                Number::from_f64(*x).map_or_else(|| raw.as_str().into(), Json::Number)
            }
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Node::json).collect(),
            Value::Map(entries) => {
                let members = entries.iter().map(|e| (e.key.clone(), e.value.json()));
                Json::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    /// A scalar as it would be written, for labels; `None` for lists and maps.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::Null => Some("null".to_owned()),
            Value::Bool(b) => Some(b.to_string()),
            Value::Int(n) => Some(n.to_string()),
            Value::Float(_, raw) => Some(raw.clone()),
            Value::Text(t) => Some(t.clone()),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The node that a path leads to, or the nearest one on the way to it.
    pub fn locate(&self, path: &Path) -> Located<'_> {
        let mut at = Located { node: self, key_span: None, found: true };
        for step in path.steps() {
            let next = match (step, &at.node.value) {
                (Step::Key(key), Value::Map(_)) => {
                    at.node.entry(key).map(|e| (&e.value, Some(e.key_span)))
                }
                (Step::Index(i), Value::List(items)) => items.get(*i).map(|n| (n, None)),
                _ => None,
            };
            match next {
                Some((node, key_span)) => at = Located { node, key_span, found: true },
                None => return Located { found: false, ..at },
            }
        }
        at
    }
}

/// Where a path leads.
#[derive(Clone, Copy, Debug)]
pub struct Located<'a> {
    /// The node, or its nearest ancestor.
    pub node: &'a Node,
    /// Its key, where it is a map's value.
    pub key_span: Option<Span>,
    /// Whether it is the node itself.
    pub found: bool,
}

impl Located<'_> {
    /// What to mark: a scalar itself; the key of a list, a map, of nothing, or of the nearest
    /// ancestor.
    pub fn span(&self) -> Span {
        let scalar = !matches!(self.node.value, Value::List(_) | Value::Map(_) | Value::Null);
        match self.key_span {
            Some(key) if !scalar || !self.found => key,
            _ => self.node.span,
        }
    }
}

/// Which value: keys and list indices from the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Into a map.
    Key(String),
    /// Into a list.
    Index(usize),
}

impl Path {
    /// The root.
    pub fn root() -> Path {
        Path::default()
    }

    /// The path of this key's value.
    pub fn key(&self, key: impl Into<String>) -> Path {
        self.step(Step::Key(key.into()))
    }

    /// The path of this element.
    pub fn index(&self, index: usize) -> Path {
        self.step(Step::Index(index))
    }

    /// The list that this is the path of an element of, and its place in that.
    pub fn element_of(&self) -> Option<(Path, usize)> {
        match self.0.split_last()? {
            (Step::Index(index), list) => Some((Path(list.to_vec()), *index)),
            (Step::Key(_), _) => None,
        }
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether `self` lies under `ancestor` (or is it).
    pub fn is_under(&self, ancestor: &Path) -> bool {
        self.0.starts_with(&ancestor.0)
    }

    fn step(&self, step: Step) -> Path {
        let mut steps = self.0.clone();
        steps.push(step);
        Path(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            match step {
                Step::Key(key) if key.contains('.') || key.is_empty() => {
                    write!(f, "\"{}\"", quoted(key))?;
                }
                Step::Key(key) => f.write_str(&quoted(key))?,
                Step::Index(index) => write!(f, "{index}")?,
            }
        }
        Ok(())
    }
}
