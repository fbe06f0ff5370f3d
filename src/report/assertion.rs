//! Assertions on a result: `ttft_s.p99 < 0.5`, any number of a run by its path.

use serde_json::Value;

use crate::report::RunResult;

mod paths;

pub(crate) use paths::{fill, known_in, near_in};

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
    /// Reads `PATH SIGN NUMBER`. The path must be one that a result can have, so that a misspelt one
    /// is told before any work is done.
    ///
    /// # Errors
    /// When it is not of that form, or no result has such a number.
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
        let text = text.trim().to_owned();
        if !paths::known(&path) {
            let meant = paths::near(&path);
            return Err(AssertionError::UnknownPath { text, path, meant });
        }
        Ok(Assertion { text, path, sign, bound })
    }

    /// Whether it asks for a figure that is only worked out when asked for.
    pub fn needs_full_metrics(&self) -> bool {
        needs_full_metrics(&self.path)
    }

    /// The assertion in words: `ttft_s.p99 <= 0.5`.
    pub fn words(&self) -> String {
        let (sign, _) = SIGNS.iter().find(|(_, sign)| *sign == self.sign).expect("all are there");
        format!("{} {sign} {}", self.path, self.bound)
    }

    /// The figure that it is about.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it bounds gaps from below, of which a file of chunks tells upper bounds.
    fn asks_more_than_chunks_tell(&self, run: &RunResult) -> bool {
        let chunks = run.measured.as_ref().is_some_and(|of| of.granularity == "chunk");
        let gaps = self.path.starts_with("tbt_s.")
            && !self.path.ends_with(".max")
            && !self.path.ends_with(".count");
        chunks && gaps && !matches!(self.sign, Sign::Below | Sign::AtMost)
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

    /// The figure in a run's JSON, where the assertion does not hold: `Some(None)` when it is not
    /// known there, which holds no assertion.
    pub fn broken(&self, run: &Value) -> Option<Option<f64>> {
        let value = figure(run, &self.path);
        (!value.is_some_and(|value| self.holds(value))).then_some(value)
    }
}

/// Whether a figure is only worked out when it is asked for.
pub fn needs_full_metrics(path: &str) -> bool {
    ["fluid_tokens_per_s", "p99_miss_rate_by_tbt_ms"]
        .iter()
        .any(|name| path.split('.').any(|part| part == *name))
}

/// What is wrong with a path that a user gave for a figure of a run, in words with what was probably
/// meant; `None` when a result can have a number there.
pub fn unknown_path(path: &str) -> Option<String> {
    (!paths::known(path))
        .then(|| format!("a result has no number `{path}`{}", did_you_mean(&paths::near(path))))
}

/// A number of a run's JSON by its dotted path; yes is 1 and no is 0.
pub fn figure(run: &Value, path: &str) -> Option<f64> {
    let found = path.split('.').try_fold(run, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => value.get(part),
    })?;
    found.as_f64().or_else(|| found.as_bool().map(|yes| f64::from(u8::from(yes))))
}

/// Judges assertions on every run: the ones that do not hold, in words.
pub fn judge(assertions: &[Assertion], runs: &[RunResult]) -> Vec<String> {
    let mut told = Vec::new();
    if assertions.is_empty() {
        return told;
    }
    for run in runs {
        // Nothing tells which of its figures are true.
        let measured = run.measured.as_ref();
        if let Some(what) = measured.and_then(|measured| measured.contradictions.first()) {
            told.push(format!("{}: nothing holds, the file contradicts itself: {what}", run.label));
            continue;
        }
        let value = serde_json::to_value(run).expect("a run is plain data");
        for assertion in assertions {
            if assertion.asks_more_than_chunks_tell(run) {
                let why = "gaps between tokens are known by upper bounds only";
                told.push(format!("{}: {} does not hold: {why}", run.label, assertion.text));
                continue;
            }
            let Some(found) = assertion.broken(&value) else { continue };
            let found =
                found.map_or("the figure is not known".to_owned(), |f| format!("it is {f}"));
            told.push(format!("{}: {} does not hold: {found}", run.label, assertion.text));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn broken(text: &str) -> Result<Vec<String>, AssertionError> {
        Ok(judge(&[Assertion::parse(text)?], &[fixture::run("sarathi")]))
    }

    #[test]
    fn any_number_by_its_path() {
        for holds in [
            "ttft_s.p99 < 0.5",
            "ttft_s.p99<=0.45",
            "ttft_s.p99 == 0.45",
            "requests.completed >= 1e3",
            "slo.met == 1",
            "slo.terms.0.value > 0",
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
        let error = broken("iteration.count > 5").expect_err("no such path");
        assert!(error.to_string().contains("did you mean `iterations.count`?"), "{error}");
        for text in ["ttft_s < 1", "ttft_s.p98 < 1", "classes.chat < 1", "slo.terms.0 > 1", "x<1"] {
            assert!(matches!(broken(text), Err(AssertionError::UnknownPath { .. })), "{text}");
        }
        for text in ["classes.a.b.ttft_s.p99<1", "measured.reported.mean_ttft_ms<1", "cost.usd<9"] {
            assert!(Assertion::parse(text).is_ok(), "{text}");
        }
        for text in ["", "ttft_s.p99", "< 3", "ttft_s.p99 < fast", "ttft_s.p99 =! 3", "a < nan"] {
            assert!(matches!(broken(text), Err(AssertionError::NotOne(_))), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_does_not_hold() {
        let mut run = fixture::run("vllm");
        run.summary.tbt_s = None;
        let assertion = [Assertion::parse("tbt_s.p99 < 100").expect("one")];
        let broken = judge(&assertion, &[run]);
        assert!(broken[0].contains("not known"), "{broken:?}");
    }
}
