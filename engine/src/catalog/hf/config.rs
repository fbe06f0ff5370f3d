//! The keys of a config: looked up by all the names in use, in its nested parts, and in the defaults
//! of its class; every key that is looked at is remembered, so that the others can be judged.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use super::defaults;
use super::error::{HfConfigError, printable, shown};

type Result<T> = std::result::Result<T, HfConfigError>;

/// One map of a config, and which of its keys were looked at.
pub(super) struct Keys<'a> {
    map: &'a Map<String, Value>,
    /// Keys that it lies in, dotted, with a dot at the end; empty at the top.
    path: String,
    used: RefCell<HashSet<&'a str>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(map: &'a Map<String, Value>, path: &str) -> Keys<'a> {
        Keys { map, path: path.to_owned(), used: RefCell::default() }
    }

    /// The value of `key` unless it is null; it counts as looked at.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        let (key, value) = self.map.get_key_value(key)?;
        self.used.borrow_mut().insert(key);
        (!value.is_null()).then_some(value)
    }

    /// The value of `key`, whether or not it is read.
    pub(super) fn peek(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Whether `key` is there, null or not.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The path of a key.
    pub(super) fn path_of(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// Keys that nothing looked at, with their values.
    pub(super) fn unused(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let used = self.used.borrow();
        let unused: Vec<_> = self
            .map
            .iter()
            .filter(|(key, _)| !used.contains(key.as_str()))
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        unused.into_iter()
    }

    /// Counts all keys as looked at.
    pub(super) fn use_all(&self) {
        self.used.borrow_mut().extend(self.map.keys().map(String::as_str));
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u32>> {
        self.get(key).map(|value| whole(&self.path_of(key), value)).transpose()
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.get(key).map(|value| truth(&self.path_of(key), value)).transpose()
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(HfConfigError::wrong(&self.path_of(key), "a string", value)),
        }
    }

    /// A map of its own that lies at `key`.
    pub(super) fn nested(&self, key: &str) -> Result<Option<Keys<'a>>> {
        self.get(key).map(|value| opened(&self.path_of(key), value)).transpose()
    }

    /// The map at `key`, or each of a list of maps there.
    pub(super) fn nested_or_list(&self, key: &str) -> Result<Vec<Keys<'a>>> {
        let path = self.path_of(key);
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(|value| opened(&path, value)).collect(),
            Some(value) => Ok(vec![opened(&path, value)?]),
        }
    }

    /// All that nothing looked at, each of which must be a map.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, Keys<'a>)>> {
        let open = |(name, value)| Ok((name, opened(&self.path_of(name), value)?));
        let entries = self.unused().map(open).collect::<Result<_>>();
        self.use_all();
        entries
    }

    /// Counts keys as looked at that mean nothing here.
    pub(super) fn pass(&self, names: &[&str]) {
        for name in names {
            self.get(name);
        }
    }
}

fn opened<'a>(path: &str, value: &'a Value) -> Result<Keys<'a>> {
    match value.as_object() {
        Some(map) => Ok(Keys::new(map, &format!("{path}."))),
        None => Err(HfConfigError::wrong(path, "a map", value)),
    }
}

/// A whole number; one that is written as a float is as good.
pub(super) fn whole(key: &str, value: &Value) -> Result<u32> {
    let number = value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        (float.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&float))
            .then_some(float as u64)
    });
    number
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| HfConfigError::wrong(key, "a whole number", value))
}

/// True or false.
pub(super) fn truth(key: &str, value: &Value) -> Result<bool> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::Number(number) if number.as_u64() == Some(0) => Ok(false),
        Value::Number(number) if number.as_u64() == Some(1) => Ok(true),
        other => Err(HfConfigError::wrong(key, "true or false", other)),
    }
}

/// A config: its language model's keys, those around it, and its class's defaults.
pub(super) struct Config<'a> {
    /// The keys of the language model.
    pub(super) text: Keys<'a>,
    /// The maps around it, outermost first.
    pub(super) around: Vec<Keys<'a>>,
    /// Nested maps that were opened, to be judged as well.
    pub(super) opened: RefCell<BTreeMap<String, Keys<'a>>>,
    /// The language model's `model_type`.
    pub(super) kind: &'a str,
    defaults: Option<&'static Map<String, Value>>,
    filled: RefCell<Vec<String>>,
    said: RefCell<Vec<String>>,
    /// Layers, once they are known: what lists by layer must be as long as.
    pub(super) layers: Cell<u32>,
}

const NESTED_TEXT: [&str; 5] =
    ["thinker_config", "text_config", "llm_config", "language_config", "language_model_config"];

impl<'a> Config<'a> {
    /// Finds the language model in a config.
    ///
    /// # Errors
    /// When what should be a map in it, or a model's type, is something else.
    pub(super) fn new(outer: &'a Map<String, Value>) -> Result<Config<'a>> {
        let mut around: Vec<Keys<'a>> = Vec::new();
        let mut text = Keys::new(outer, "");
        let mut kind = model_type(&text)?.unwrap_or("");
        let mut class = None;
        if kind.is_empty() {
            class = class_of(&text);
            kind = class.and_then(defaults::of_class).unwrap_or("");
        }
        let of_class = !kind.is_empty();
        while around.len() < 4 {
            let mut inner = None;
            for key in NESTED_TEXT {
                let Some(value) = text.peek(key) else { continue };
                let keys = opened(&text.path_of(key), value)?;
                if !keys.map.is_empty() {
                    text.get(key);
                    inner = Some(keys);
                    break;
                }
            }
            let Some(inner) = inner else { break };
            kind = model_type(&inner)?.unwrap_or_else(|| defaults::text_type(kind));
            around.push(std::mem::replace(&mut text, inner));
        }
        // Flat configs of multimodal models whose class has a part of its own for text.
        if around.is_empty() && defaults::of(kind).is_none() {
            kind = defaults::text_type(kind);
        }
        let config = Config {
            text,
            around,
            opened: RefCell::default(),
            kind,
            defaults: defaults::of(kind),
            filled: RefCell::default(),
            said: RefCell::default(),
            layers: Cell::new(0),
        };
        if let (Some(class), true) = (class, of_class) {
            config.say(format!("no `model_type`: that of its class `{class}` is taken"));
        }
        Ok(config)
    }

    /// The name of its class.
    pub(super) fn class(&self) -> Option<&'a str> {
        class_of(self.outer())
    }

    /// The outermost map.
    pub(super) fn outer(&self) -> &Keys<'a> {
        self.around.first().unwrap_or(&self.text)
    }

    /// Says a sentence in the model's notes, once.
    pub(super) fn say(&self, sentence: impl Into<String>) {
        let (sentence, mut said) = (printable(&sentence.into()), self.said.borrow_mut());
        if !said.contains(&sentence) {
            said.push(sentence);
        }
    }

    /// What was said, the figures that were taken from the class first.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.said.borrow().clone();
        let filled = self.filled.borrow();
        if !filled.is_empty() {
            let kind = self.kind;
            notes.insert(
                0,
                format!(
                    "not in the config, so as its class `{kind}` has them by default in {}: {}",
                    defaults::SOURCE,
                    filled.join(", ")
                ),
            );
        }
        notes
    }

    /// The first of `names` that the config itself has, under its own name; further ones with the same
    /// value count as looked at.
    pub(super) fn given<'k>(&self, names: &[&'k str]) -> Option<(&'k str, &'a Value)> {
        let mut found: Option<(&'k str, &'a Value)> = None;
        for &name in names {
            match (found, self.text.peek(name)) {
                (None, Some(value)) => {
                    self.text.get(name);
                    found = Some((name, value));
                }
                (Some((_, first)), Some(value)) if first == value => {
                    self.text.get(name);
                }
                _ => {}
            }
        }
        found
    }

    /// The same, or the class's default.
    pub(super) fn find<'k>(&self, names: &[&'k str]) -> Option<(&'k str, &'a Value)> {
        self.given(names).or_else(|| {
            let defaults = self.defaults?;
            let name = names.iter().find(|name| self.default_of(defaults, name).is_some())?;
            let value = self.default_of(defaults, name)?;
            if value.is_number() {
                let note = format!("{name} {value}");
                let mut filled = self.filled.borrow_mut();
                if !filled.contains(&note) {
                    filled.push(note);
                }
            }
            Some((*name, value))
        })
    }

    fn default_of(&self, map: &'static Map<String, Value>, name: &str) -> Option<&'static Value> {
        // A null that the config has is its own word.
        let silenced = self.text.map.get(name).is_some_and(Value::is_null);
        map.get(name).filter(|value| !value.is_null() && !silenced)
    }

    /// Whether the class has a default for `name`.
    pub(super) fn class_has(&self, name: &str) -> bool {
        self.defaults.is_some_and(|defaults| defaults.contains_key(name))
    }

    /// A whole number.
    pub(super) fn optional(&self, names: &[&str]) -> Result<Option<u32>> {
        self.find(names).map(|(key, value)| whole(&self.text.path_of(key), value)).transpose()
    }

    /// A whole number that the config itself has.
    pub(super) fn given_number(&self, names: &[&str]) -> Result<Option<u32>> {
        self.given(names).map(|(key, value)| whole(&self.text.path_of(key), value)).transpose()
    }

    /// A whole number that must be there.
    pub(super) fn number(&self, names: &[&str]) -> Result<u32> {
        self.optional(names)?.ok_or_else(|| HfConfigError::Missing(names[0].to_owned()))
    }

    /// True or false, or `otherwise` where nothing says it.
    pub(super) fn flag(&self, names: &[&str], otherwise: bool) -> Result<bool> {
        Ok(self.optional_flag(names)?.unwrap_or(otherwise))
    }

    pub(super) fn optional_flag(&self, names: &[&str]) -> Result<Option<bool>> {
        self.find(names).map(|(key, value)| truth(&self.text.path_of(key), value)).transpose()
    }

    /// A list, with the key that it is at.
    pub(super) fn list(&self, names: &[&str]) -> Result<Option<(String, &'a [Value])>> {
        let Some((key, value)) = self.given(names) else { return Ok(None) };
        let key = self.text.path_of(key);
        match value.as_array() {
            Some(list) => Ok(Some((key, list))),
            None => Err(HfConfigError::wrong(&key, "a list", value)),
        }
    }

    /// A list with an entry for each layer; longer ones end with layers for multi-token prediction.
    pub(super) fn by_layer(&self, names: &[&str]) -> Result<Option<(String, &'a [Value])>> {
        let Some((key, list)) = self.list(names)? else { return Ok(None) };
        if list.is_empty() {
            return Ok(None);
        }
        let layers = self.layers.get() as usize;
        match list.get(..layers) {
            Some(own) => Ok(Some((key, own))),
            None => Err(HfConfigError::wrong(
                &key,
                "a list with an entry for each of num_hidden_layers",
                format!("{} entries for {layers} layers", list.len()),
            )),
        }
    }

    /// A list of layers' numbers.
    pub(super) fn layer_numbers(&self, names: &[&str]) -> Result<Option<Vec<u32>>> {
        let Some((key, list)) = self.list(names)? else { return Ok(None) };
        list.iter().map(|value| whole(&key, value)).collect::<Result<Vec<u32>>>().map(Some)
    }

    /// Keeps a nested map, so that its keys are judged; of one that several layers open, what each
    /// looked at.
    pub(super) fn keep(&self, keys: Keys<'a>) {
        let mut opened = self.opened.borrow_mut();
        match opened.get(&keys.path) {
            Some(kept) => kept.used.borrow_mut().extend(keys.used.borrow().iter()),
            None => {
                opened.insert(keys.path.clone(), keys);
            }
        }
    }

    /// Counts keys as looked at that mean nothing in this class.
    pub(super) fn pass(&self, names: &[&str]) {
        for name in names {
            self.text.get(name);
        }
    }

    /// The same for those that the class has, as far as that is known.
    pub(super) fn pass_own(&self, names: &[&str]) {
        for name in names.iter().filter(|name| self.class_has(name)) {
            self.text.get(name);
        }
    }

    /// The innermost map's value of `name`, or that of one around it.
    pub(super) fn anywhere(&self, name: &str) -> Option<&'a Value> {
        let outer = self.around.iter().rev().map(|keys| keys.get(name));
        let mut all = std::iter::once(self.text.get(name)).chain(outer);
        let found = all.find_map(|value| value);
        all.for_each(drop);
        found
    }

    /// The class that the config names as its own.
    pub(super) fn architecture(&self) -> Option<&'a str> {
        let outermost = self.around.first().unwrap_or(&self.text);
        class_of(outermost)
    }

    /// Values of the language model's own keys by name, for what lies around it to be compared with.
    pub(super) fn text_keys(&self) -> HashMap<&'a str, &'a Value> {
        self.text.map.iter().map(|(key, value)| (key.as_str(), value)).collect()
    }
}

fn model_type<'a>(keys: &Keys<'a>) -> Result<Option<&'a str>> {
    Ok(keys.string("model_type")?.filter(|kind| !kind.is_empty()))
}

fn class_of<'a>(keys: &Keys<'a>) -> Option<&'a str> {
    keys.peek("architectures")?.as_array()?.first()?.as_str()
}

/// A value in a sentence.
pub(super) fn value_shown(value: &Value) -> String {
    shown(&value.to_string())
}
