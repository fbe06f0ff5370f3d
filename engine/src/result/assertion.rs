//! Assertions on a result: `ttft_s.p99 < 0.5`, any number of a run by its path.

use serde_json::Value;

use crate::result::RunResult;

mod bound;
mod full;
mod paths;

pub use paths::{fill, known_in, near_in};

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
    #[error(
        "--assert '{0}': write PATH < NUMBER, with one of < <= > >= == !=, such as 'ttft_s.p99 < 500ms'"
    )]
    NotOne(String),
    /// Its number has a unit that the figure does not.
    #[error("--assert '{text}': {why}")]
    Unit {
        /// The assertion.
        text: String,
        /// What is wrong, and what to write.
        why: String,
    },
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
        let given = rest[name.len()..].trim();
        let path = path.trim().to_owned();
        if path.is_empty() || given.is_empty() {
            return Err(none());
        }
        let text = text.trim().to_owned();
        if !paths::known(&path) {
            let meant = paths::near(&path);
            return Err(AssertionError::UnknownPath { text, path, meant });
        }
        let bound = match bound::read(&path, given) {
            Ok(bound) if bound.is_finite() => bound,
            Ok(_) => return Err(none()),
            Err(Some(why)) => return Err(AssertionError::Unit { text, why }),
            Err(None) => return Err(AssertionError::NotOne(text)),
        };
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

    /// Whether it needs the other end of a figure of which a file of chunks tells one: an upper bound of
    /// gaps, a lower one of the rates that follow from them.
    fn asks_more_than_chunks_tell(&self, run: &RunResult) -> bool {
        let chunks = run.measured.as_ref().is_some_and(|of| of.granularity == "chunk");
        let gaps = self.path.starts_with("tbt_s.")
            && !self.path.ends_with(".max")
            && !self.path.ends_with(".count");
        let rates = ["fluid_tokens_per_s", "tbt_tokens_per_s"];
        let rates = rates.iter().any(|rate| self.path.ends_with(rate));
        let bounded_above = matches!(self.sign, Sign::Below | Sign::AtMost);
        let bounded_below = matches!(self.sign, Sign::Above | Sign::AtLeast);
        chunks && (gaps && !bounded_above || rates && !bounded_below)
    }

    /// Whether it is about a figure that a measured run gives and calls unknown.
    fn asks_for_what_is_unknown(&self, run: &RunResult) -> bool {
        let name = |what: &str| what.split([':', ' ', ',']).next().unwrap_or_default().to_owned();
        let mut unknown = run.unknown.iter().map(|what| name(what));
        let about = |name: &str| {
            self.path
                .strip_prefix(name)
                .is_some_and(|rest| !name.is_empty() && (rest.is_empty() || rest.starts_with('.')))
        };
        run.measured.is_some() && unknown.any(|name| about(&name))
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

    /// Judges a run's JSON.
    pub fn judged(&self, run: &Value) -> Judged {
        if let Some(value) = figure(run, &self.path) {
            return if self.holds(value) { Judged::Holds } else { Judged::Broken(Some(value)) };
        }
        let Some((least, most)) = bounds(run, &self.path) else { return Judged::Broken(None) };
        // The end that holds an assertion where any does, and the one that breaks it.
        let (best, worst) = match self.sign {
            Sign::Below | Sign::AtMost => (least, most),
            Sign::Above | Sign::AtLeast => (most, least),
            Sign::Equal | Sign::Unequal => (None, None),
        };
        match (best, worst) {
            (Some(best), _) if !self.holds(best) => Judged::Broken(Some(best)),
            (_, Some(worst)) if self.holds(worst) => Judged::Holds,
            _ => Judged::Open(within(least, most)),
        }
    }
}

/// What a run makes of an assertion.
#[derive(Clone, Debug, PartialEq)]
pub enum Judged {
    /// It holds, whatever became of requests that were open when observation ended.
    Holds,
    /// It does not: the figure, or the end of its bounds that comes nearest; `None` where the run has
    /// no such figure.
    Broken(Option<f64>),
    /// The figure is known by bounds only, which leave it open: the bounds in words.
    Open(String),
}

fn within(least: Option<f64>, most: Option<f64>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("{least} or more"),
        (None, Some(most)) => format!("{most} or less"),
        (None, None) => "not known".to_owned(),
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

/// A number of a run's JSON by its dotted path; yes is 1 and no is 0. A latency counts all requests that
/// were offered: it is `None` where only those that observation saw the end of are known.
pub fn figure(run: &Value, path: &str) -> Option<f64> {
    match latency_bounds(run, path) {
        Some((least, most)) => least.filter(|_| least == most),
        None => raw(run, path),
    }
}

/// The least and the most that a figure can be, where observation ended too soon to know it.
pub fn bounds(run: &Value, path: &str) -> Option<(Option<f64>, Option<f64>)> {
    let ends = |at: String| {
        let ends = ["lower", "upper"].map(|end| raw(run, &format!("{at}.{end}")));
        ends.iter().any(Option::is_some).then_some((ends[0], ends[1]))
    };
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let beside = |name: &str| match parent {
        "" => name.to_owned(),
        parent => format!("{parent}.{name}"),
    };
    latency_bounds(run, path)
        .or_else(|| ends(beside(&format!("bounds.{name}"))))
        .or_else(|| ends(beside(&name.replace("_share", "_bounds"))))
        .or_else(|| {
            let fluidity = parent.strip_suffix("index")?;
            ends(format!("{fluidity}bounds.index_{name}"))
        })
        .filter(|(least, most)| least != most)
}

const LATENCIES: [&str; 6] =
    ["ttft_s", "tbt_s", "tpot_s", "e2e_s", "normalized_latency_s_per_token", "scheduling_delay_s"];

/// Bounds of a figure of a latency, where the run has any.
fn latency_bounds(run: &Value, path: &str) -> Option<(Option<f64>, Option<f64>)> {
    let parts: Vec<&str> = path.split('.').collect();
    let [whose @ .., latency, figure] = parts.as_slice() else { return None };
    // How many came is known.
    if !LATENCIES.contains(latency) || *figure == "count" {
        return None;
    }
    let at = |end: &str| [whose, &["latency_bounds", latency, end, figure]].concat().join(".");
    let bounded = [whose, &["latency_bounds"]].concat().join(".");
    found(run, &bounded).filter(|bounds| bounds.is_object())?;
    Some((raw(run, &at("lower")), raw(run, &at("upper"))))
}

fn raw(run: &Value, path: &str) -> Option<f64> {
    let found = found(run, path)?;
    found.as_f64().or_else(|| found.as_bool().map(|yes| f64::from(u8::from(yes))))
}

fn found<'v>(run: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(run, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => value.get(part),
    })
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
            if assertion.asks_for_what_is_unknown(run) {
                let text = &assertion.text;
                told.push(format!("{}: {text} does not hold: the figure is not known", run.label));
                continue;
            }
            if assertion.asks_more_than_chunks_tell(run) {
                let why = "of gaps between tokens the file tells upper bounds, of rates lower ones";
                told.push(format!("{}: {} does not hold: {why}", run.label, assertion.text));
                continue;
            }
            let (label, text) = (&run.label, &assertion.text);
            told.push(match assertion.judged(&value) {
                Judged::Holds => continue,
                Judged::Broken(Some(found)) => {
                    format!("{label}: {text} does not hold: it is {found}")
                }
                Judged::Broken(None) => {
                    format!("{label}: {text} does not hold: the figure is not known")
                }
                Judged::Open(within) => {
                    let buckets = measured.is_some_and(|of| of.granularity == "histogram");
                    let why = match buckets {
                        true => "the file tells its bucket alone",
                        false => "observation ended too soon",
                    };
                    format!("{label}: {text} is not known to hold: {why} (it is {within})")
                }
            });
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::fixture;

    #[test]
    fn figures_of_open_requests_are_bounds() {
        let run = serde_json::json!({
            "ttft_s": {"count": 3, "p99": 1.44, "p50": 0.1},
            "latency_bounds": {"ttft_s": {
                "lower": {"count": 5, "p99": 1.98, "p50": 0.2}, "upper": {"p99": null, "p50": 0.2}
            }},
            "fluidity": {"index": {"p1": null}, "fluid_request_share": null, "bounds": {
                "index_p1": {"lower": 0.0, "upper": 0.4},
                "fluid_request_share": {"lower": 0.2, "upper": 0.6},
            }},
            "ttft_in_time_share": null,
            "ttft_in_time_bounds": {"lower": 0.3, "upper": 0.3},
        });
        let judged = |text: &str| Assertion::parse(text).expect("one").judged(&run);
        assert_eq!(judged("ttft_s.p99 < 1.5"), Judged::Broken(Some(1.98)));
        assert_eq!(judged("ttft_s.p99 < 3"), Judged::Open("1.98 or more".to_owned()));
        assert_eq!(judged("ttft_s.p99 > 1.5"), Judged::Holds);
        assert_eq!(judged("ttft_s.p50 == 0.2"), Judged::Holds);
        assert_eq!(judged("ttft_s.count == 3"), Judged::Holds);
        assert_eq!(judged("fluidity.index.p1 >= 0.5"), Judged::Broken(Some(0.4)));
        assert_eq!(judged("fluidity.fluid_request_share >= 0.2"), Judged::Holds);
        let open = Judged::Open("0.2 to 0.6".to_owned());
        assert_eq!(judged("fluidity.fluid_request_share >= 0.5"), open);
    }

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
        for holds in ["ttft_s.p99<500ms", "ttft_s.p99 < 0.5s", "ttft_s.p99 >= 100 ms"] {
            assert_eq!(broken(holds), Ok(Vec::new()), "{holds}");
        }
        for fails in ["ttft_s.p99 < 450ms", "fluidity.fluid_request_share > 100%"] {
            assert_eq!(broken(fails).expect("known").len(), 1, "{fails}");
        }
        let why = |text: &str| broken(text).expect_err(text).to_string();
        assert!(why("requests.completed > 5s").contains("is no time"), "a count");
        assert!(
            why("ttft_s.p99 < 500m").contains("did you mean `min`"),
            "a unit of another spelling"
        );
        assert!(why("ttft_s.p99 < 50%").contains("is no share"), "a time");
        assert!(why("ttft_s.p99 < fast").contains("500ms"), "no number");
        assert!(why("ttft.p99 < 1s").contains("`ttft_s.p99`"), "another name");
        assert!(why("p99_ttft < 1s").contains("`ttft_s.p99`"), "another order");
        assert!(why("itl.p99 < 1s").contains("`tbt_s.p99`"), "another tool's name");
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
        for text in ["", "ttft_s.p99", "< 3", "ttft_s.p99 < fast", "ttft_s.p99 =! 3"] {
            assert!(matches!(broken(text), Err(AssertionError::NotOne(_))), "{text}");
        }
        assert!(broken("a < nan").is_err());
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
