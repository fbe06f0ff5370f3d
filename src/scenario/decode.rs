//! From a [`Node`] tree to typed values by serde, going on after a mistake.
//!
//! Serde stops at the first error. Here a wrong value is reported and cut out of the tree, and
//! decoding begins again without it, until what is left can be read or the root is gone. So one
//! call finds every mistake, with plain derived `Deserialize` on the types.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::error::Problem;
use super::node::{Entry, Node, Path, Step, Value};
use super::source::Span;
use super::suggest::advice;

/// Most mistakes looked for; each costs another pass.
const MISTAKES_MAX: usize = 100;

/// What decoding gave: the value, as far as it could be read, and what had to be left out.
pub struct Decoded<T> {
    /// The value without the wrong parts; `None` when nothing is left.
    pub value: Option<T>,
    /// All mistakes.
    pub problems: Vec<Problem>,
    /// Paths of the values that were left out.
    pub cut: HashSet<Path>,
}

/// Reads a `T` from a tree.
pub fn decode<'de, T: de::Deserialize<'de>>(root: &'de Node) -> Decoded<T> {
    let state = State::default();
    let value = loop {
        let decoder = Decoder { node: root, path: Path::root(), state: &state };
        match T::deserialize(decoder) {
            Ok(value) => break Some(value),
            Err(error) => {
                let (path, problem) = error.settle(root);
                let mut problems = state.problems.borrow_mut();
                problems.extend(problem);
                let new = state.cut.borrow_mut().insert(path.clone());
                if path == Path::root() || !new || problems.len() >= MISTAKES_MAX {
                    break None;
                }
            }
        }
    };
    Decoded { value, problems: state.problems.into_inner(), cut: state.cut.into_inner() }
}

#[derive(Default)]
struct State {
    problems: RefCell<Vec<Problem>>,
    cut: RefCell<HashSet<Path>>,
}

impl State {
    fn is_cut(&self, path: &Path) -> bool {
        self.cut.borrow().contains(path)
    }

    fn has_cut_below(&self, path: &Path) -> bool {
        self.cut.borrow().iter().any(|c| c != path && c.is_under(path))
    }
}

#[derive(Clone)]
struct Decoder<'de, 's> {
    node: &'de Node,
    path: Path,
    state: &'s State,
}

/// A mistake on its way up; it gets its place where it first meets a decoder.
#[derive(Debug)]
pub struct Mistake {
    what: What,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    path: Path,
    found: String,
    /// Something below was cut out before: what is missing here was not left out by the user.
    incomplete: bool,
}

#[derive(Debug)]
enum What {
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
    fn of(what: What) -> Mistake {
        Mistake { what, place: None }
    }

    fn at(mut self, decoder: &Decoder<'_, '_>) -> Mistake {
        if self.place.is_none() {
            self.place = Some(Place {
                path: decoder.path.clone(),
                found: decoder.node.describe(),
                incomplete: decoder.state.has_cut_below(&decoder.path),
            });
        }
        self
    }

    /// Where to cut, and what to report, if anything.
    fn settle(self, root: &Node) -> (Path, Option<Problem>) {
        let Some(place) = self.place else {
            return (Path::root(), Some(Problem::new("", Some(root.span), format!("{self}"))));
        };
        let span = Some(root.locate(&place.path).span());
        let path = place.path.to_string();
        let problem = match self.what {
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
            What::Expected(expected) => Some(
                Problem::new(path, span, format!("expected {expected}, found {}", place.found))
                    .label(format!("expected {expected}")),
            ),
            What::MissingField(_) if place.incomplete => None,
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
                    format!("unknown {} `{given}`", choice_kind(kind, &place.path)),
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
        match &self.what {
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

/// What a name names, by the field that it stands in.
fn choice_kind<'a>(kind: &'a str, path: &Path) -> &'a str {
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
        other if other.starts_with("a map") => "a map",
        other if other.contains("enum ") => "a name, or a map with one name",
        other => other,
    };
    words.to_owned()
}

impl<'de, 's> Decoder<'de, 's> {
    fn child(&self, node: &'de Node, path: Path) -> Decoder<'de, 's> {
        Decoder { node, path, state: self.state }
    }

    fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let this = self.clone();
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Int(n) => match (u64::try_from(*n), i64::try_from(*n)) {
                (Ok(n), _) => visitor.visit_u64(n),
                (_, Ok(n)) => visitor.visit_i64(n),
                // Too large for any whole number here; the visitor's own words say what is due.
                _ => Err(de::Error::invalid_value(Unexpected::Other("a huge number"), &visitor)),
            },
            Value::Float(x, _) => visitor.visit_f64(*x),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => {
                let items = items.iter().enumerate();
                visitor.visit_seq(Items {
                    parent: &this,
                    items: items.collect::<Vec<_>>().into_iter(),
                })
            }
            Value::Map(_) => visitor.visit_map(Fields::of(&this)),
        };
        result.map_err(|e| e.at(&this))
    }

    /// A whole number written as `1e3` or `1000.0` is one.
    fn visit_whole<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let this = self.clone();
        match &self.node.value {
            Value::Float(x, _) if libm::trunc(*x) == *x && x.abs() <= EXACT => {
                let result = if *x >= 0.0 {
                    visitor.visit_u64(*x as u64)
                } else {
                    visitor.visit_i64(*x as i64)
                };
                result.map_err(|e: Mistake| e.at(&this))
            }
            _ => self.visit(visitor),
        }
    }

    /// Any whole number may stand where a number is due.
    fn visit_number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let this = self.clone();
        match &self.node.value {
            Value::Int(n) => visitor.visit_f64(*n as f64).map_err(|e: Mistake| e.at(&this)),
            _ => self.visit(visitor),
        }
    }

    /// Reports the keys that no field has, and hides them.
    fn check_keys(&self, entries: &[Entry], fields: &'static [&'static str]) {
        for entry in entries {
            if fields.contains(&entry.key.as_str()) {
                continue;
            }
            let path = self.path.key(&entry.key);
            if self.state.cut.borrow_mut().insert(path.clone()) {
                let problem = Problem::new(
                    path.to_string(),
                    Some(entry.key_span),
                    format!("unknown key `{}`", entry.key.escape_debug()),
                )
                .label("unknown key")
                .help(advice(&entry.key, fields.iter().copied()));
                self.state.problems.borrow_mut().push(problem);
            }
        }
    }
}

macro_rules! forward {
    ($to:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
            self.$to(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Decoder<'de, '_> {
    type Error = Mistake;

    forward!(visit: deserialize_any deserialize_bool deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_seq
        deserialize_map deserialize_identifier);
    forward!(visit_whole: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128);
    forward!(visit_number: deserialize_f32 deserialize_f64);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.visit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        self.visit(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.visit(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.node.value {
            Value::Map(entries) => {
                self.check_keys(entries, fields);
                visitor.visit_map(Fields::of(&self)).map_err(|e| e.at(&self))
            }
            // A key whose lines are all commented out is a map with nothing in it.
            Value::Null => visitor.visit_map(Fields::none(&self)).map_err(|e| e.at(&self)),
            _ => self.visit(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let result = match &self.node.value {
            Value::Text(name) => {
                visitor.visit_enum(Variant { decoder: &self, name, content: None })
            }
            Value::Map(entries) => {
                self.check_keys(entries, variants);
                let mut known =
                    entries.iter().filter(|e| !self.state.is_cut(&self.path.key(&e.key)));
                match (known.next(), known.next()) {
                    (Some(entry), None) => visitor.visit_enum(Variant {
                        decoder: &self,
                        name: &entry.key,
                        content: Some(&entry.value),
                    }),
                    (Some(first), Some(second)) => {
                        let help = format!("keep one of `{}` and `{}`", first.key, second.key);
                        Err(Mistake::of(What::Said(format!(
                            "expected one choice, found both `{}` and `{}`\nhelp: {help}",
                            first.key, second.key
                        ))))
                    }
                    (None, _) if entries.is_empty() => {
                        let help = advice("", variants.iter().copied());
                        Err(Mistake::of(What::Said(format!(
                            "expected a choice, found an empty map\nhelp: {help}"
                        ))))
                    }
                    (None, _) => Err(Mistake::of(What::MissingField(""))),
                }
            }
            _ => Err(Mistake::of(What::Said(format!(
                "expected a choice, found {}\nhelp: {}",
                self.node.describe(),
                advice("", variants.iter().copied())
            )))),
        };
        result.map_err(|e| e.at(&self))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_unit()
    }
}

/// The elements of a list that are not cut out.
struct Items<'a, 'de, 's> {
    parent: &'a Decoder<'de, 's>,
    items: std::vec::IntoIter<(usize, &'de Node)>,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de, '_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mistake> {
        for (index, node) in self.items.by_ref() {
            let path = self.parent.path.index(index);
            if !self.parent.state.is_cut(&path) {
                return seed.deserialize(self.parent.child(node, path)).map(Some);
            }
        }
        Ok(None)
    }
}

/// The entries of a map that are not cut out.
struct Fields<'a, 'de, 's> {
    parent: &'a Decoder<'de, 's>,
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
}

impl<'a, 'de, 's> Fields<'a, 'de, 's> {
    fn of(parent: &'a Decoder<'de, 's>) -> Self {
        Fields { parent, entries: parent.node.entries().iter(), value: None }
    }

    fn none(parent: &'a Decoder<'de, 's>) -> Self {
        Fields { parent, entries: [].iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Fields<'_, 'de, '_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mistake> {
        for entry in self.entries.by_ref() {
            let path = self.parent.path.key(&entry.key);
            if self.parent.state.is_cut(&path) {
                continue;
            }
            self.value = Some(entry);
            let key: de::value::BorrowedStrDeserializer<'de, Mistake> =
                de::value::BorrowedStrDeserializer::new(&entry.key);
            return seed.deserialize(key).map(Some).map_err(|mistake| {
                let at_value = self.parent.child(&entry.value, path);
                mistake.at(&at_value)
            });
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let path = self.parent.path.key(&entry.key);
        seed.deserialize(self.parent.child(&entry.value, path))
    }
}

/// One choice of an enum: `name`, or `name: content`.
struct Variant<'a, 'de, 's> {
    decoder: &'a Decoder<'de, 's>,
    name: &'de str,
    content: Option<&'de Node>,
}

impl<'a, 'de, 's> EnumAccess<'de> for Variant<'a, 'de, 's> {
    type Error = Mistake;
    type Variant = Content<'a, 'de, 's>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Mistake> {
        let name: de::value::StrDeserializer<'de, Mistake> = self.name.into_deserializer();
        let value = seed.deserialize(name)?;
        Ok((value, Content { decoder: self.decoder, name: self.name, content: self.content }))
    }
}

/// What stands under the name of a choice.
struct Content<'a, 'de, 's> {
    decoder: &'a Decoder<'de, 's>,
    name: &'de str,
    content: Option<&'de Node>,
}

/// The content of a choice that is written as its name alone: all its figures at their defaults,
/// where it has them. Its place is the name's, found by path.
static NOTHING: Node = Node { span: Span { source: 0, start: 0, end: 0 }, value: Value::Null };

impl<'de, 's> Content<'_, 'de, 's> {
    fn decoder(&self) -> Decoder<'de, 's> {
        let path = self.decoder.path.key(self.name);
        self.decoder.child(self.content.unwrap_or(&NOTHING), path)
    }
}

impl<'de> VariantAccess<'de> for Content<'_, 'de, '_> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        match self.content {
            None => Ok(()),
            Some(node) if matches!(&node.value, Value::Null) => Ok(()),
            Some(node) if matches!(&node.value, Value::Map(e) if e.is_empty()) => Ok(()),
            Some(_) => {
                let at = self.decoder();
                Err(Mistake::of(What::Expected("nothing more".to_owned())).at(&at))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mistake> {
        seed.deserialize(self.decoder())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        let at = self.decoder.clone();
        Err::<V::Value, _>(de::Error::invalid_type(Unexpected::TupleVariant, &visitor))
            .map_err(|e: Mistake| e.at(&at))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.decoder().deserialize_struct("", fields, visitor)
    }
}
