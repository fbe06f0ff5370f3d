//! All combinations of the values that `--vary` gives.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::excerpt::quoted;
use crate::yaml::{Source, parse};

/// One field of the scenario and the values it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vary {
    /// The field's path.
    pub path: String,
    /// Its values as typed, YAML.
    pub values: Vec<String>,
}

impl Vary {
    /// Reads `path=a,b,c`; commas inside brackets or quotes do not split.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Vary, String> {
        let expected = || format!("expected PATH=VALUE,VALUE,..., found `{text}`");
        let (path, values) = text.split_once('=').ok_or_else(expected)?;
        let values: Vec<String> =
            split(values).into_iter().map(|value| value.trim().to_owned()).collect();
        if path.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err(expected());
        }
        let vary = Vary { path: path.trim().to_owned(), values };
        match twice(&vary.values) {
            Some(value) => Err(format!(
                "`{}` has the value `{}` twice: give each value once",
                quoted(&vary.path),
                quoted(value)
            )),
            None => Ok(vary),
        }
    }

    /// So many last names of the path.
    fn last(&self, names: usize) -> &str {
        let cut = self.path.rmatch_indices('.').nth(names - 1);
        cut.map_or(&self.path, |(at, _)| &self.path[at + 1..])
    }
}

/// A value that is the same as one before it, however the two are written.
fn twice(values: &[String]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    let plain = |text: &String| {
        let source = Source { name: String::new(), text: text.clone() };
        let value = parse(0, &source).map_or_else(|_| text.as_str().into(), |node| node.json());
        match value.as_f64() {
            Some(number) => Value::from(number).to_string(),
            None => value.to_string(),
        }
    };
    values.iter().find(|text| !seen.insert(plain(text))).map(String::as_str)
}

/// What is wrong with the fields that are varied, if anything: one that is given twice, under
/// another name perhaps, or one whose part was given before, by `--set` even, and is overwritten.
/// `fields` and `set` are the paths with numbers in place of names.
pub(super) fn clash(vary: &[Vary], fields: &[String], set: &[String]) -> Option<String> {
    let of = |place: usize| &vary[place].path;
    let whole = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let replaced = |set: &String| fields.iter().position(|field| whole(set, field));
    if let Some((set, by)) = set.iter().find_map(|set| Some((set, replaced(set)?))) {
        return Some(format!("--set {set}: --vary {} gives it other values: leave it out", of(by)));
    }
    let pairs = (0..fields.len()).flat_map(|later| (0..later).map(move |before| (before, later)));
    let (before, later) =
        pairs.into_iter().find(|&(before, later)| whole(&fields[before], &fields[later]))?;
    if fields[before] != fields[later] {
        return Some(format!(
            "--vary {}, given after {}, would replace it: give it first",
            of(later),
            of(before)
        ));
    }
    let same = match of(before) == of(later) {
        true => format!("{} is given twice", of(before)),
        false => format!("{} and {} are one field", of(before), of(later)),
    };
    let all: Vec<&str> =
        [before, later].iter().flat_map(|&at| &vary[at].values).map(String::as_str).collect();
    Some(format!(
        "--vary: {same}: give all its values at once, --vary '{}={}'",
        of(before),
        all.join(",")
    ))
}

/// What people call the fields: the last name of each path, or as many as tell it from the others.
pub(super) fn names(vary: &[Vary]) -> Vec<&str> {
    let name = |one: &Vary, names| {
        let same = |other: &&Vary| other.last(names) == one.last(names);
        vary.iter().filter(same).count() == 1
    };
    let most = |one: &Vary| one.path.matches('.').count() + 1;
    let fewest = |one: &Vary| (1..most(one)).find(|&names| name(one, names)).unwrap_or(most(one));
    vary.iter().map(|one| one.last(fewest(one))).collect()
}

fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0u32, None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(c),
            ('[' | '{' | '(', None) => depth += 1,
            (']' | '}' | ')', None) => depth = depth.saturating_sub(1),
            (',', None) if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// How many combinations there are; `None` when too many to count.
pub(super) fn combinations(vary: &[Vary]) -> Option<usize> {
    vary.iter().try_fold(1usize, |all, one| all.checked_mul(one.values.len()))
}

/// The values of combination `index`; the last field changes fastest.
pub(super) fn values_of(vary: &[Vary], mut index: usize) -> Vec<String> {
    let mut values = Vec::with_capacity(vary.len());
    for one in vary.iter().rev() {
        values.push(one.values[index % one.values.len()].clone());
        index /= one.values.len();
    }
    values.reverse();
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_inside_brackets_and_quotes_do_not_split() {
        let vary = Vary::parse("schedulers=[vllm-v0, {sarathi: {chunk_size: 1}}],[orca]").unwrap();
        assert_eq!(vary.values, ["[vllm-v0, {sarathi: {chunk_size: 1}}]", "[orca]"]);
        assert_eq!(Vary::parse("name=\"a,b\",c").unwrap().values, ["\"a,b\"", "c"]);
        for text in ["x", "=1", "x=", "x=1,,2"] {
            assert!(Vary::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fields_go_by_as_many_names_as_tell_them_apart() {
        let vary = |paths: &[&str]| -> Vec<Vary> {
            paths.iter().map(|path| Vary::parse(&format!("{path}=1,2")).unwrap()).collect()
        };
        let told = |paths: &[&str]| -> Vec<String> {
            names(&vary(paths)).into_iter().map(str::to_owned).collect()
        };
        assert_eq!(told(&["seed", "a.b.rate"]), ["seed", "rate"]);
        assert_eq!(told(&["pools.a.replicas", "pools.b.replicas"]), ["a.replicas", "b.replicas"]);
        assert_eq!(told(&["x.a.n", "y.a.n", "n"]), ["x.a.n", "y.a.n", "n"]);
    }

    #[test]
    fn a_value_is_given_once_however_it_is_written() {
        for text in ["replicas=1,2,1", "rate=1,1.0", "router=random,'random'", "x=[1, 2],[1,2]"] {
            assert!(Vary::parse(text).is_err_and(|told| told.contains("twice")), "{text}");
        }
        assert!(Vary::parse("x=1,'1'").is_ok_and(|vary| vary.values.len() == 2));
    }

    #[test]
    fn a_field_is_given_once_under_whatever_name() {
        let clash = |fields: &[(&str, &str)]| {
            let vary: Vec<Vary> = fields
                .iter()
                .enumerate()
                .map(|(i, (path, _))| Vary::parse(&format!("{path}={i}1,{i}2")).unwrap())
                .collect();
            clash(&vary, &fields.iter().map(|field| field.1.to_owned()).collect::<Vec<_>>(), &[])
        };
        let twice = clash(&[("replicas", "replicas"), ("replicas", "replicas")]).expect("twice");
        assert!(twice.ends_with("at once, --vary 'replicas=01,02,11,12'"), "{twice}");
        let alias = clash(&[("seed", "seed"), ("a.b", "a.0.b"), ("a.0.b", "a.0.b")]);
        assert!(alias.is_some_and(|told| told.contains("a.b and a.0.b are one field")));
        assert!(clash(&[("a.b", "a.b"), ("a", "a")]).is_some_and(|told| told.contains("replace")));
        assert_eq!(clash(&[("a", "a"), ("a.b", "a.b"), ("ab", "ab")]), None);
        let set = |set: &str| {
            let vary = [Vary::parse("a.b=1,2").unwrap()];
            super::clash(&vary, &["a.0.b".to_owned()], &[set.to_owned()])
        };
        assert!(set("a.0.b").is_some_and(|told| told.contains("--vary a.b")));
        assert!(set("a.0.b.c").is_some() && set("a.0").is_none());
    }

    #[test]
    fn every_combination_comes_once() {
        let vary = [Vary::parse("a=1,2").unwrap(), Vary::parse("b=x,y,z").unwrap()];
        let n = combinations(&vary).unwrap();
        let all: Vec<String> = (0..n).map(|i| values_of(&vary, i).join("")).collect();
        assert_eq!(all, ["1x", "1y", "1z", "2x", "2y", "2z"]);
    }
}
