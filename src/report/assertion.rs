//! Assertions on a result: `ttft_s.p99 < 0.5`, any number of a run by its path.

use serde_json::Value;

use crate::interop::full_summary;
use crate::report::RunResult;
use crate::scenario::nearest;

/// An assertion, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    /// As it was given.
    text: String,
    path: String,
    sign: Sign,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
    Unequal,
}

/// Longer signs first, so that `<=` is not taken for `<`.
const SIGNS: &[(&str, Sign)] = &[
    ("<=", Sign::AtMost),
    (">=", Sign::AtLeast),
    ("==", Sign::Equal),
    ("!=", Sign::Unequal),
    ("<", Sign::Below),
    (">", Sign::Above),
];

/// Why an assertion cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// It is none.
    #[error("--assert '{0}': write PATH < NUMBER, with one of < <= > >= == !=")]
    NotOne(String),
    /// There is no such number in a result.
    #[error("--assert '{text}': a result has no number `{path}`{}", did_you_mean(.meant))]
    UnknownPath {
        /// The assertion.
        text: String,
        /// The path.
        path: String,
        /// What was probably meant.
        meant: Option<String>,
    },
}

fn did_you_mean(meant: &Option<String>) -> String {
    meant.as_ref().map_or(String::new(), |path| format!("; did you mean `{path}`?"))
}

impl Assertion {
    /// Reads `PATH SIGN NUMBER`.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn parse(text: &str) -> Result<Assertion, AssertionError> {
        let none = || AssertionError::NotOne(text.to_owned());
        let at = text.find(['<', '>', '=', '!']).ok_or_else(none)?;
        let (path, rest) = text.split_at(at);
        let (name, sign) =
            *SIGNS.iter().find(|(name, _)| rest.starts_with(name)).ok_or_else(none)?;
        let bound: f64 = rest[name.len()..].trim().parse().map_err(|_| none())?;
        let path = path.trim().to_owned();
        if path.is_empty() || !bound.is_finite() {
            return Err(none());
        }
        Ok(Assertion { text: text.trim().to_owned(), path, sign, bound })
    }

    /// Whether it asks for a figure that is only worked out when asked for.
    pub fn needs_full_metrics(&self) -> bool {
        ["fluid_tokens_per_s", "p99_miss_rate_by_tbt_ms"]
            .iter()
            .any(|name| self.path.split('.').any(|part| part == *name))
    }

    fn holds(&self, value: f64) -> bool {
        match self.sign {
            Sign::Below => value < self.bound,
            Sign::AtMost => value <= self.bound,
            Sign::Above => value > self.bound,
            Sign::AtLeast => value >= self.bound,
            Sign::Equal => value == self.bound,
            Sign::Unequal => value != self.bound,
        }
    }

    /// Judges it on a run: what is wrong, if it does not hold. A figure that this run does not know
    /// holds no assertion.
    ///
    /// # Errors
    /// When no result has such a number.
    fn judge(&self, run: &RunResult, value: &Value) -> Result<Option<String>, AssertionError> {
        let label = &run.label;
        let found = self.path.split('.').try_fold(value, |value, part| match value {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            _ => value.get(part),
        });
        match found {
            Some(Value::Number(number)) => {
                let value = number.as_f64().unwrap_or(f64::NAN);
                let broken = !self.holds(value);
                Ok(broken.then(|| format!("{label}: {} does not hold: it is {value}", self.text)))
            }
            Some(Value::Bool(yes)) => {
                let value = f64::from(u8::from(*yes));
                let broken = !self.holds(value);
                Ok(broken.then(|| format!("{label}: {} does not hold: it is {yes}", self.text)))
            }
            other => {
                let known = numbers(value);
                let elsewhere = numbers(&full_value());
                let listed = other.is_some_and(Value::is_null)
                    || elsewhere.contains(&self.path)
                    || known.contains(&self.path);
                if listed {
                    return Ok(Some(format!(
                        "{label}: {} does not hold: the figure is not known",
                        self.text
                    )));
                }
                let all = known.iter().chain(&elsewhere).map(String::as_str);
                Err(AssertionError::UnknownPath {
                    text: self.text.clone(),
                    path: self.path.clone(),
                    meant: nearest(&self.path, all).map(str::to_owned),
                })
            }
        }
    }
}

/// Judges assertions on every run: the ones that do not hold, in words.
///
/// # Errors
/// When one names no number of a result.
pub fn judge(assertions: &[Assertion], runs: &[RunResult]) -> Result<Vec<String>, AssertionError> {
    let mut broken = Vec::new();
    for run in runs {
        let value = serde_json::to_value(run).expect("a run is plain data");
        for assertion in assertions {
            broken.extend(assertion.judge(run, &value)?);
        }
    }
    Ok(broken)
}

fn full_value() -> Value {
    serde_json::to_value(full_summary()).expect("a summary is plain data")
}

/// The paths of all numbers in a value; lists are left out, their items have no names.
pub fn numbers(value: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    collect("", value, &mut paths);
    paths
}

fn collect(path: &str, value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(&path, member, paths);
            }
        }
        Value::Number(_) | Value::Bool(_) => paths.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn broken(text: &str) -> Result<Vec<String>, AssertionError> {
        judge(&[Assertion::parse(text)?], &[fixture::run("sarathi")])
    }

    #[test]
    fn any_number_by_its_path() {
        for holds in [
            "ttft_s.p99 < 0.5",
            "ttft_s.p99<=0.45",
            "ttft_s.p99 == 0.45",
            "requests.completed >= 1e3",
            "slo.met == 1",
            "fluidity.index.p1 > 0",
        ] {
            assert_eq!(broken(holds), Ok(Vec::new()), "{holds}");
        }
        for fails in ["ttft_s.p99 < 0.45", "ttft_s.p99 > 0.45", "ttft_s.p99 != 0.45"] {
            assert_eq!(broken(fails).expect("known").len(), 1, "{fails}");
        }
    }

    #[test]
    fn a_wrong_path_is_told_with_the_near_one() {
        let error = broken("ttft.p99 < 0.5").expect_err("no such path");
        assert!(error.to_string().contains("did you mean `ttft_s.p99`?"), "{error}");
        assert!(broken("ttft_s < 0.5").is_err(), "not a number");
        for text in ["", "ttft_s.p99", "< 3", "ttft_s.p99 < fast", "ttft_s.p99 =! 3", "a < nan"] {
            assert!(matches!(broken(text), Err(AssertionError::NotOne(_))), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_does_not_hold() {
        let mut run = fixture::run("vllm");
        run.summary.tbt_s = None;
        let assertion = [Assertion::parse("tbt_s.p99 < 100").expect("one")];
        let broken = judge(&assertion, &[run]).expect("a known path");
        assert!(broken[0].contains("not known"), "{broken:?}");
    }
}
