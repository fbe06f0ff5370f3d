//! Short lessons: a question, a prediction, then the simulation and what it shows.
//!
//! Figures in the words are taken from the run, and every lesson states its claims, which a test
//! holds against the simulation.

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::loaded::Loaded;
use super::play::{Played, simulate};
use super::{Allowance, Asked, Problems, member};
use crate::order;
use crate::scenario::Files;
use crate::shown::{count, duration, percent, three_digits};
use crate::yaml;

static LESSONS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/web/playground/lessons");

/// A lesson.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// Its title.
    pub title: String,
    /// What one needs to know first, paragraph by paragraph.
    pub background: Vec<String>,
    /// What to predict.
    pub question: String,
    /// Answers to choose from.
    pub choices: Vec<Choice>,
    /// What is played.
    pub scenario: String,
    /// Overrides with which it is played again, the first time kept as "before": where two schedulers
    /// beside each other cannot show it.
    #[serde(default)]
    pub against: Vec<String>,
    /// What one sees, step by step.
    pub seen: Vec<Seen>,
    /// What to change next.
    pub try_next: String,
    /// The part of the page that shows it.
    #[serde(default)]
    pub try_show: Part,
    /// The overrides that change it; none where it is something to look at.
    #[serde(default)]
    pub try_set: Vec<String>,
    /// What must hold for the words to be true.
    #[serde(skip_serializing)]
    pub claims: Vec<Claim>,
    /// And of what comes of the change, whose runs are numbered behind those of the lesson.
    #[serde(default, skip_serializing)]
    pub try_claims: Vec<Claim>,
}

/// An answer to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The answer.
    pub text: String,
    /// Whether the simulation bears it out.
    #[serde(default)]
    pub right: bool,
    /// What to say to one who chose it.
    pub reply: String,
}

/// A step: one idea, and what stands beside it on the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The words; `{0.tbt_s.max s}` stands for a figure of the first run.
    pub text: String,
    /// Which part.
    pub show: Part,
    /// The scheduler whose worst pause it is about; the worst of all without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<usize>,
    /// The lane of the timeline that comes first in sight, where there are many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<usize>,
    /// The stretch of time that the timeline shows, seconds; without it that of the pause, or the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zoom_s: Option<[f64; 2]>,
    /// Whether it is about the scenario without the lesson's overrides.
    #[serde(default)]
    pub before: bool,
}

/// A part of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The verdict.
    Verdict,
    /// The figures side by side; those that the words tell of are marked.
    #[default]
    Figures,
    /// The timeline, around the worst pause.
    Pause,
    /// The timeline.
    Timeline,
    /// The batch at the worst pause.
    Batch,
    /// The text of the worst pause under both schedulers, as its reader saw it.
    Readers,
    /// Request by request.
    Requests,
    /// Session by session.
    Sessions,
    /// Tokens against time.
    Tokens,
    /// The distributions.
    Curves,
}

/// A relation between figures of a lesson's runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// A figure, such as `0.tbt_s.max`; true is 1 and false 0.
    pub figure: String,
    /// It is at least this (times `of`).
    #[serde(default)]
    pub at_least: Option<f64>,
    /// It is at most this (times `of`).
    #[serde(default)]
    pub at_most: Option<f64>,
    /// Another figure; without it the bounds are plain numbers.
    #[serde(default)]
    pub of: Option<String>,
}

/// A lesson in a list.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Heading {
    title: String,
    question: String,
}

/// All lessons, in order.
pub fn lessons() -> Vec<Lesson> {
    let mut files: Vec<_> = LESSONS.files().collect();
    order::sort_by_key(&mut files, |file| file.path());
    files
        .into_iter()
        .map(|file| {
            let text = file.contents_utf8().expect("a lesson is text");
            let read = yaml::read(text);
            read.unwrap_or_else(|error| panic!("{}: {error}", file.path().display()))
        })
        .collect()
}

pub(super) fn headings() -> Vec<Heading> {
    let all = lessons().into_iter();
    all.map(|lesson| Heading { title: lesson.title, question: lesson.question }).collect()
}

/// The answer to `lesson`.
#[derive(Serialize)]
pub(super) struct Taught {
    number: usize,
    lesson: Lesson,
    /// What one sees, figures filled in.
    seen: Vec<String>,
    /// Its scenario, played; with its overrides, where it has some.
    played: Played,
    /// Then its scenario without them.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Played>,
}

impl Taught {
    /// The results that words and claims number: those before the overrides, then those with them.
    fn results(&self) -> Value {
        let before = self.before.iter().flat_map(|played| &played.results);
        Value::Array(before.chain(&self.played.results).cloned().collect())
    }
}

pub(super) fn taught(number: usize, allowance: &Allowance<'_>) -> Result<Taught, Problems> {
    let mut lessons = lessons();
    if number >= lessons.len() {
        let message = format!("there are {} lessons, numbered from 0", lessons.len());
        return Err(Problems::one("", message, None));
    }
    let lesson = lessons.swap_remove(number);
    let play = |set: &[String]| {
        let asked = Asked { text: lesson.scenario.clone(), set: set.to_vec(), show: Vec::new() };
        simulate(Loaded::of(&asked, &Files::none())?, None, allowance)
    };
    let before = (!lesson.against.is_empty()).then(|| play(&[])).transpose()?;
    let played = play(&lesson.against)?;
    let mut taught = Taught { number, seen: Vec::new(), lesson, played, before };
    let results = taught.results();
    taught.seen = taught.lesson.seen.iter().map(|seen| filled(&seen.text, &results)).collect();
    Ok(taught)
}

/// Words with each `{figure unit}` or `{figure / figure}` replaced by what the run gave.
pub(super) fn filled(text: &str, results: &Value) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((inside, tail)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str(&figure(inside, results).unwrap_or_else(|| format!("{{{inside}}}")));
        rest = tail;
    }
    out + rest
}

fn figure(inside: &str, results: &Value) -> Option<String> {
    let value = |path: &str| member(results, path.trim()).and_then(Value::as_f64);
    if let Some((a, b)) = inside.split_once('/') {
        return Some(three_digits(value(a)? / value(b)?));
    }
    let (path, unit) = inside.trim().rsplit_once(' ')?;
    let value = value(path)?;
    Some(match unit {
        "s" => duration(value),
        "%" => percent(value),
        "n" => count(value as u64),
        "x" => three_digits(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Claim {
        /// What was found where it does not hold for these results, or a figure is not there.
        fn check(&self, results: &Value) -> Result<(), String> {
            let value = |path: &str| {
                let found = match member(results, path) {
                    Some(Value::Bool(yes)) => Some(f64::from(u8::from(*yes))),
                    other => other.and_then(Value::as_f64),
                };
                found.ok_or_else(|| format!("no figure {path}"))
            };
            let left = value(&self.figure)?;
            let scale = self.of.as_deref().map_or(Ok(1.0), value)?;
            if self.at_least.is_none() && self.at_most.is_none() {
                return Err(format!("{}: a claim without a bound", self.figure));
            }
            let low = self.at_least.is_none_or(|bound| left >= bound * scale);
            let high = self.at_most.is_none_or(|bound| left <= bound * scale);
            let scaled =
                self.of.as_ref().map_or(String::new(), |of| format!(" times {of} = {scale}"));
            let bounds = (self.at_least, self.at_most);
            let told = || format!("{} is {left}, claimed within {bounds:?}{scaled}", self.figure);
            if low && high { Ok(()) } else { Err(told()) }
        }
    }

    #[test]
    fn every_lesson_is_true() {
        let lessons = lessons();
        assert_eq!(lessons.len(), 14);
        for (number, lesson) in lessons.iter().enumerate() {
            let taught = taught(number, &Allowance::all())
                .unwrap_or_else(|e| panic!("{}: {e:?}", lesson.title));
            let mut results = taught.results();
            assert!(!lesson.claims.is_empty(), "{}", lesson.title);
            for claim in &lesson.claims {
                claim.check(&results).unwrap_or_else(|e| panic!("{}: {e}", lesson.title));
            }
            // What is to be tried next does what the words say.
            if !lesson.try_set.is_empty() {
                assert!(!lesson.try_claims.is_empty(), "{}: what comes of it?", lesson.title);
                let set = lesson.against.iter().chain(&lesson.try_set).cloned().collect();
                let asked = Asked { text: lesson.scenario.clone(), set, show: Vec::new() };
                let loaded = Loaded::of(&asked, &Files::none());
                let tried = loaded
                    .and_then(|loaded| simulate(loaded, None, &Allowance::all()))
                    .unwrap_or_else(|e| panic!("{}: {e:?}", lesson.title));
                results.as_array_mut().expect("a list").extend(tried.results);
            }
            for claim in &lesson.try_claims {
                claim.check(&results).unwrap_or_else(|e| panic!("{}: next: {e}", lesson.title));
            }
            for text in taught.seen.iter().chain(lesson.background.iter()) {
                assert!(!text.contains(['{', '}']), "{}: {text}", lesson.title);
            }
            // What stands beside a step is there.
            for seen in &lesson.seen {
                let before = || taught.before.as_ref().expect("a scenario without the overrides");
                let results = &if seen.before { before() } else { &taught.played }.results;
                assert!(
                    seen.run.is_none_or(|run| run < results.len()),
                    "{}: {seen:?}",
                    lesson.title
                );
                let ends = |result: &Value| result["duration_s"].as_f64().expect("it ended");
                let end = results.iter().map(ends).fold(0.0, f64::max);
                let within = |[from, to]: [f64; 2]| 0.0 <= from && from < to && to <= end;
                assert!(seen.zoom_s.is_none_or(within), "{}: {seen:?} of {end} s", lesson.title);
            }
            assert_eq!(lesson.choices.iter().filter(|c| c.right).count(), 1, "{}", lesson.title);
            assert!(lesson.choices.len() >= 2 && !lesson.try_next.is_empty());
            // Small enough to come at once.
            let offered = results[0]["requests"]["offered"].as_u64().expect("counted");
            assert!(offered <= 1000, "{}: {offered} requests", lesson.title);
        }
    }

    #[test]
    fn a_false_claim_is_found() {
        let results = serde_json::json!([{"a": 2.0}, {"a": 1.0}]);
        let claim = |at_least, of: Option<&str>| Claim {
            figure: "0.a".to_owned(),
            at_least: Some(at_least),
            at_most: None,
            of: of.map(str::to_owned),
        };
        assert_eq!(claim(2.0, Some("1.a")).check(&results), Ok(()));
        assert!(claim(2.1, Some("1.a")).check(&results).is_err());
        assert!(claim(2.1, None).check(&results).is_err());
        assert!(claim(0.1, Some("1.b")).check(&results).is_err());
        assert_eq!(filled("x {0.a s}, {0.a / 1.a} {0.b s}", &results), "x 2.00 s, 2.00 {0.b s}");
    }
}
