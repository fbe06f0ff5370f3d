//! From a [`Node`] tree to typed values by serde, going on after a mistake.
//!
//! Serde stops at the first error. Here a wrong value is reported and cut out of the tree, and
//! decoding begins again without it, until what is left can be read or the root is gone. So one
//! call finds every mistake, with plain derived `Deserialize` on the types.

mod access;
mod mistake;

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::{self, Deserializer, Unexpected, Visitor};

use self::access::{Fields, Items, Variant};
use self::mistake::{Mistake, What, choice_kind};
use super::node::{Entry, Node, Path, Value};
use super::problem::Problem;
use crate::excerpt::quoted;
use crate::suggest::advice;

/// Most mistakes looked for.
const MISTAKES_MAX: usize = 100;
/// Most values looked at in all: each mistake costs another pass over the document.
const LOOKED_AT_MAX: usize = 2_000_000;

/// What decoding gave: the value, as far as it could be read, and what had to be left out.
pub struct Decoded<T> {
    /// The value without the wrong parts; `None` when nothing is left.
    pub value: Option<T>,
    /// All mistakes.
    pub problems: Vec<Problem>,
    /// Paths of the values that were left out.
    pub cut: HashSet<Path>,
}

/// What to say of an entry that stands in the map at this path and is unknown there, beside the names that
/// are known; `None` for those names.
pub(super) type Advice<'a> = &'a dyn Fn(&Entry, &Path, &[&str]) -> Option<String>;

/// Reads a `T` from a tree.
pub fn decode<'de, T: de::Deserialize<'de>>(root: &'de Node, of: Advice<'_>) -> Decoded<T> {
    let state = State {
        advice: of,
        first: RefCell::default(),
        problems: RefCell::default(),
        cut: RefCell::default(),
    };
    let passes = LOOKED_AT_MAX / root.size().max(1);
    let most = MISTAKES_MAX.min(passes.max(1));
    let value = loop {
        let decoder = Decoder { node: root, path: Path::root(), state: &state };
        match T::deserialize(decoder) {
            Ok(value) => break Some(value),
            Err(error) => {
                let error = state.first.take().unwrap_or(error);
                let (path, problem) = error.settle(root);
                let mut problems = state.problems.borrow_mut();
                problems.extend(problem);
                let new = state.cut.borrow_mut().insert(path.clone());
                if path == Path::root() || !new || problems.len() >= most {
                    break None;
                }
            }
        }
    };
    Decoded { value, problems: state.problems.into_inner(), cut: state.cut.into_inner() }
}

struct State<'s> {
    advice: Advice<'s>,
    /// The first mistake of a pass, which is the one that ends it. Parameters of schedulers are read
    /// without knowledge of this type, and what comes back through them is words alone.
    first: RefCell<Option<Mistake>>,
    problems: RefCell<Vec<Problem>>,
    cut: RefCell<HashSet<Path>>,
}

impl State<'_> {
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
    state: &'s State<'s>,
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
            Value::List(items) => visitor.visit_seq(Items::new(&this, items)),
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

    fn key_advice(&self, entry: &Entry, fields: &'static [&'static str]) -> String {
        (self.state.advice)(entry, &self.path, fields)
            .unwrap_or_else(|| advice(&entry.key, fields.iter().copied()))
    }

    /// A value that chooses nothing where one of `variants` is due.
    fn no_choice(&self, kind: &str, variants: &'static [&'static str]) -> Mistake {
        let found = self.node.describe();
        let help = match found.strip_prefix("the number ") {
            Some(n) if variants.contains(&"fixed") => format!("did you mean `{{fixed: {n}}}`?"),
            _ => advice("", variants.iter().copied()),
        };
        let article = if kind.starts_with('a') { "an" } else { "a" };
        Mistake::of(What::Said(format!("expected {article} {kind}, found {found}\nhelp: {help}")))
    }

    /// Reports the keys that no field has, and hides them.
    fn check_keys(&self, entries: &[Entry], fields: &'static [&'static str], kind: &str) {
        for entry in entries {
            if fields.contains(&entry.key.as_str()) {
                continue;
            }
            let path = self.path.key(&entry.key);
            let new = self.state.cut.borrow_mut().insert(path.clone());
            if new && self.state.problems.borrow().len() < MISTAKES_MAX {
                let problem = Problem::new(
                    path.to_string(),
                    Some(entry.key_span),
                    format!("unknown {kind} `{}`", quoted(&entry.key)),
                )
                .label(format!("unknown {kind}"))
                .help(self.key_advice(entry, fields));
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
                self.check_keys(entries, fields, "key");
                visitor.visit_map(Fields::of(&self)).map_err(|e| e.at(&self))
            }
            // A key whose lines are all commented out is a map with nothing in it.
            Value::Null => visitor.visit_map(Fields::none(&self)).map_err(|e| e.at(&self)),
            // Serde would take a list for a struct, its elements in order.
            _ => Err(de::Error::invalid_type(Unexpected::Other("no map"), &visitor))
                .map_err(|e: Mistake| e.at(&self)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let kind = choice_kind("name", &self.path);
        let result = match &self.node.value {
            Value::Text(name) if !variants.contains(&name.as_str()) => {
                Err(de::Error::unknown_variant(name, variants))
            }
            Value::Text(name) => visitor.visit_enum(Variant::new(&self, name, None)),
            Value::Map(entries) => {
                self.check_keys(entries, variants, kind);
                let mut known =
                    entries.iter().filter(|e| !self.state.is_cut(&self.path.key(&e.key)));
                match (known.next(), known.next()) {
                    (Some(entry), None) => {
                        visitor.visit_enum(Variant::new(&self, &entry.key, Some(&entry.value)))
                    }
                    (Some(first), Some(second)) => {
                        let (first, second) = (quoted(&first.key), quoted(&second.key));
                        let help = format!("keep one of `{first}` and `{second}`");
                        Err(Mistake::of(What::Said(format!(
                            "expected one {kind}, found both `{first}` and `{second}`\nhelp: {help}"
                        ))))
                    }
                    (None, _) if entries.is_empty() => Err(self.no_choice(kind, variants)),
                    (None, _) => Err(Mistake::of(What::MissingField(""))),
                }
            }
            _ => Err(self.no_choice(kind, variants)),
        };
        result.map_err(|e| e.at(&self))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_unit()
    }
}
