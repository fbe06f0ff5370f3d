//! One line of a JSONL trace: an object whose keys the format names.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::table::Ignored;
use crate::trace::numbers::{NumberError, nanos, shown, tokens};

/// The keys of a JSONL format.
pub(super) struct Keys {
    pub(super) name: &'static str,
    pub(super) arrival: &'static str,
    /// The arrival's unit as a power of ten of nanoseconds.
    pub(super) arrival_power: i32,
    pub(super) prompt: &'static str,
    pub(super) output: &'static str,
    pub(super) block_ids: &'static str,
    /// How long after the answer before it in its session a request came, and the unit as a power of ten of
    /// nanoseconds, where the format has that.
    pub(super) gap: Option<(&'static str, i32)>,
    /// The session of a request, where the format has that under another name than ours.
    pub(super) session: Option<&'static str>,
    /// Whether the prompt tokens of later rows of a session are those that they add.
    pub(super) turns_add: bool,
    /// What tells a request apart, where the format has that.
    pub(super) id: Option<&'static str>,
    /// Whether rows can have `max_tokens`, `class`, `priority` and `session`, and the first line
    /// `block_tokens`.
    pub(super) ours: bool,
    /// Whose answer a request goes on from, by `id`; -1 where it begins a conversation.
    pub(super) parent: Option<&'static str>,
    /// Keys that the format is known to have and that say nothing about a request's load.
    pub(super) other: &'static [&'static str],
}

/// What one object says.
#[derive(Debug, Default)]
pub(super) struct JsonRow {
    pub(super) arrival_ns: Option<u64>,
    pub(super) prompt_tokens: Option<u32>,
    pub(super) output_tokens: Option<u32>,
    pub(super) max_tokens: Option<u32>,
    pub(super) priority: Option<i32>,
    pub(super) class: Option<String>,
    pub(super) session: Option<String>,
    pub(super) gap_ns: Option<u64>,
    pub(super) block_tokens: Option<u32>,
    pub(super) id: Option<String>,
    pub(super) parent: Option<String>,
}

/// Something wrong with the value of a key.
#[derive(Debug)]
pub(super) struct KeyError {
    pub(super) key: String,
    pub(super) message: String,
}

/// Reads an object into a row, its block ids behind those that are there already.
pub(super) struct RowReader<'a> {
    pub(super) keys: &'static Keys,
    pub(super) row: &'a mut JsonRow,
    pub(super) block_ids: &'a mut Vec<u64>,
    pub(super) ignored: &'a mut Ignored,
    /// Set when reading fails for a reason that JSON does not know.
    pub(super) problem: &'a mut Option<KeyError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Arrival,
    Prompt,
    Output,
    BlockIds,
    MaxTokens,
    Class,
    Priority,
    Session,
    Gap,
    BlockTokens,
    Id,
    Parent,
    Other,
}

/// Their names, but for those that a format gives.
const OURS: [(&str, Key); 5] = [
    ("max_tokens", Key::MaxTokens),
    ("class", Key::Class),
    ("priority", Key::Priority),
    ("session", Key::Session),
    ("block_tokens", Key::BlockTokens),
];

impl<'de> DeserializeSeed<'de> for RowReader<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<(), M::Error> {
        let mut seen = [false; Key::Other as usize];
        while let Some(key) = map.next_key_seed(KeyReader(self.keys, self.ignored))? {
            if key == Key::Other {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if std::mem::replace(&mut seen[key as usize], true) {
                return self.fail(key, "stands twice in one object".to_owned());
            }
            if key == Key::BlockIds {
                if let Some(found) = map.next_value_seed(IdsReader(self.block_ids))? {
                    return self.fail(key, format!("expected a list of block ids, found {found}"));
                }
                continue;
            }
            let value = map.next_value_seed(ScalarReader)?;
            if let Err(message) = self.set(key, value) {
                return self.fail(key, message);
            }
        }
        Ok(())
    }
}

impl RowReader<'_> {
    fn key_name(&self, key: Key) -> &'static str {
        match key {
            Key::Arrival => self.keys.arrival,
            Key::Prompt => self.keys.prompt,
            Key::Output => self.keys.output,
            Key::BlockIds => self.keys.block_ids,
            Key::Id => self.keys.id.unwrap_or(""),
            Key::Parent => self.keys.parent.unwrap_or(""),
            Key::Gap => self.keys.gap.map_or("", |(name, _)| name),
            Key::Session if !self.keys.ours => self.keys.session.unwrap_or(""),
            _ => OURS.iter().find(|(_, k)| *k == key).map_or("", |(name, _)| name),
        }
    }

    fn fail<E: Error>(&mut self, key: Key, message: String) -> Result<(), E> {
        *self.problem = Some(KeyError { key: self.key_name(key).to_owned(), message });
        Err(E::custom("see problem"))
    }

    fn set(&mut self, key: Key, value: Scalar) -> Result<(), String> {
        // An absent value written out.
        if matches!(value, Scalar::Other("null")) && key != Key::BlockTokens {
            return Ok(());
        }
        match key {
            Key::Arrival => {
                let ns = value
                    .number(|text| nanos(text, self.keys.arrival_power))
                    .map_err(|error| format!("expected a time of 0 or more, {error}"))?;
                self.row.arrival_ns = Some(ns);
            }
            Key::Gap => {
                let power = self.keys.gap.map_or(9, |(_, power)| power);
                let ns = value
                    .number(|text| nanos(text, power))
                    .map_err(|error| format!("expected a time of 0 or more, {error}"))?;
                self.row.gap_ns = Some(ns);
            }
            Key::Prompt => self.row.prompt_tokens = Some(value.tokens()?),
            Key::Output => self.row.output_tokens = Some(value.tokens()?),
            Key::MaxTokens => self.row.max_tokens = Some(value.tokens()?),
            Key::BlockTokens => self.row.block_tokens = Some(value.tokens()?),
            Key::Priority => self.row.priority = Some(value.priority()?),
            Key::Class => match value {
                Scalar::Text(text) => self.row.class = Some(text),
                other => return Err(format!("expected a name, found {}", other.shown())),
            },
            Key::Session => match value {
                Scalar::Text(text) => self.row.session = Some(text),
                Scalar::Unsigned(number) => self.row.session = Some(number.to_string()),
                other => {
                    return Err(format!("expected a name or a number, found {}", other.shown()));
                }
            },
            Key::Id => self.row.id = Some(value.shown()),
            Key::Parent => self.row.parent = Some(value.shown()),
            Key::BlockIds | Key::Other => {}
        }
        Ok(())
    }
}

/// A value that is not a list or an object.
enum Scalar {
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(String),
    Other(&'static str),
}

impl Scalar {
    /// Reads a number out of its shortest decimal form, which is the text of the file up to 15
    /// digits.
    fn number<T>(&self, read: impl Fn(&str) -> Result<T, NumberError>) -> Result<T, NumberError> {
        match self {
            Scalar::Unsigned(_) | Scalar::Negative(_) | Scalar::Float(_) => read(&self.shown()),
            _ => Err(NumberError::NotANumber(self.shown())),
        }
    }

    fn tokens(&self) -> Result<u32, String> {
        match *self {
            Scalar::Unsigned(value) if value >= 1 && value <= u64::from(u32::MAX) => {
                Ok(value as u32)
            }
            _ => match self.number(tokens) {
                Ok(0) => Err("expected 1 token or more, found 0".to_owned()),
                Ok(value) => Ok(value),
                Err(error) => Err(format!("expected a whole number of tokens, {error}")),
            },
        }
    }

    fn priority(&self) -> Result<i32, String> {
        let value = match *self {
            Scalar::Unsigned(value) => i32::try_from(value).ok(),
            Scalar::Negative(value) => i32::try_from(value).ok(),
            _ => None,
        };
        value.ok_or_else(|| {
            format!("expected a whole number of 31 bits and a sign, found {}", self.shown())
        })
    }

    fn shown(&self) -> String {
        match self {
            Scalar::Unsigned(value) => value.to_string(),
            Scalar::Negative(value) => value.to_string(),
            Scalar::Float(value) => value.to_string(),
            Scalar::Text(text) => format!("\"{}\"", shown(text)),
            Scalar::Other(what) => (*what).to_owned(),
        }
    }
}

struct KeyReader<'a>(&'static Keys, &'a mut Ignored);

impl<'de> DeserializeSeed<'de> for KeyReader<'_> {
    type Value = Key;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyReader<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
        let keys = self.0;
        Ok(if name == keys.arrival {
            Key::Arrival
        } else if name == keys.prompt {
            Key::Prompt
        } else if name == keys.output {
            Key::Output
        } else if name == keys.block_ids {
            Key::BlockIds
        } else if keys.id == Some(name) {
            Key::Id
        } else if keys.parent == Some(name) {
            Key::Parent
        } else if keys.gap.is_some_and(|(gap, _)| gap == name) {
            Key::Gap
        } else if keys.session == Some(name) {
            Key::Session
        } else {
            match OURS.iter().find(|(ours, _)| keys.ours && *ours == name) {
                Some(&(_, key)) => key,
                None => {
                    if !keys.other.contains(&name) {
                        self.1.add(&shown(name));
                    }
                    Key::Other
                }
            }
        })
    }
}

struct ScalarReader;

impl<'de> DeserializeSeed<'de> for ScalarReader {
    type Value = Scalar;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarReader {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Other(if value { "true" } else { "false" }))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Negative(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Other("null"))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Scalar, S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("a list"))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Scalar, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("an object"))
    }
}

/// Adds a list of ids to the table; gives what was found where that is something else.
struct IdsReader<'a>(&'a mut Vec<u64>);

impl<'de> DeserializeSeed<'de> for IdsReader<'_> {
    type Value = Option<String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for IdsReader<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of block ids")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let mut wrong = None;
        while let Some(value) = seq.next_element_seed(ScalarReader)? {
            match value {
                Scalar::Unsigned(id) => self.0.push(id),
                other => wrong = wrong.or_else(|| Some(format!("{} in it", other.shown()))),
            }
        }
        Ok(wrong)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(format!("\"{}\"", shown(value))))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Some("an object".to_owned()))
    }
}
