//! All combinations of the values that `--vary` gives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
        Ok(Vary { path: path.trim().to_owned(), values })
    }

    /// So many last names of the path.
    fn last(&self, names: usize) -> &str {
        let cut = self.path.rmatch_indices('.').nth(names - 1);
        cut.map_or(&self.path, |(at, _)| &self.path[at + 1..])
    }
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
    fn every_combination_comes_once() {
        let vary = [Vary::parse("a=1,2").unwrap(), Vary::parse("b=x,y,z").unwrap()];
        let n = combinations(&vary).unwrap();
        let all: Vec<String> = (0..n).map(|i| values_of(&vary, i).join("")).collect();
        assert_eq!(all, ["1x", "1y", "1z", "2x", "2y", "2z"]);
    }
}
