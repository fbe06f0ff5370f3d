//! The playground's questions and answers: JSON to JSON, with no files, clock or threads of its own.
//!
//! A server hands over what a browser posted; a page without a server calls the same function as
//! WebAssembly. Both get the same bytes for the same question.

mod allowance;
mod blocks;
mod bounds;
mod catalog;
mod cures;
mod dials;
mod evaluate;
mod figures;
mod fit;
mod lessons;
mod limits;
mod load;
mod loaded;
#[cfg(not(target_arch = "wasm32"))]
pub mod page;
mod plan;
mod play;
mod reach;
mod readers;
mod sessions;
mod steps;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::{IterationNo, LaneId};
use crate::request::RequestId;
use crate::scenario::{Files, Report};
use crate::search::PlanForm;

pub use allowance::{Allowance, Weight};
pub use lessons::{Claim, Lesson, Part, Seen, lessons};
pub use limits::{
    CACHED_BLOCKS_SHOWN, ITERATIONS_MAX, REPLICAS_MAX, REQUESTS_MAX, SCHEDULERS_SHOWN,
    TEXT_BYTES_MAX, TOKENS_MAX,
};

/// A scenario as a page asks for it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The scenario, YAML.
    pub text: String,
    /// `path=value` overrides, in order.
    #[serde(default)]
    pub set: Vec<String>,
    /// Places of the schedulers to play; the first two unless given.
    #[serde(default)]
    pub show: Vec<usize>,
}

/// Iterations around a time, of the first lane drawn.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Around {
    at_us: u64,
    count: usize,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Question {
    /// Play a scenario; the iterations around a time too, where a page shows them.
    Simulate { scenario: Asked, steps: Option<Around> },
    /// What would have helped a stall: place of the scheduler in the scenario, request, token.
    Cures { scenario: Asked, scheduler: usize, request: RequestId, token: u32 },
    /// Iterations of a lane, one by one: from a number, or around a time. `replica` is its place
    /// among all lanes, as [`crate::view::LaneView::lane`] tells.
    Steps {
        scenario: Asked,
        scheduler: usize,
        #[serde(default, rename = "replica")]
        lane: LaneId,
        #[serde(default)]
        from: usize,
        at_us: Option<u64>,
        count: usize,
    },
    /// A lane's iterations between two times, as columns of a timeline; `replica` as for `steps`.
    Columns {
        scenario: Asked,
        scheduler: usize,
        #[serde(rename = "replica")]
        lane: LaneId,
        from_us: u64,
        to_us: u64,
    },
    /// One request as its reader saw it, under every scheduler shown; the unluckiest under the first
    /// where none is given.
    Readers { scenario: Asked, request: Option<RequestId> },
    /// What requests were at between two times, under every scheduler shown: at most `rows` of
    /// them, `request` among them.
    Lives { scenario: Asked, from_us: u64, to_us: u64, rows: usize, request: Option<RequestId> },
    /// Sessions that were under way between two times, under every scheduler shown: at most `rows` of them,
    /// that of `request` among them.
    Sessions { scenario: Asked, from_us: u64, to_us: u64, rows: usize, request: Option<RequestId> },
    /// What comes of the load that the scenario has, as few figures.
    Load { scenario: Asked },
    /// A result file of a benchmark client.
    Evaluate {
        name: String,
        text: String,
        #[serde(default)]
        promise: evaluate::Promised,
    },
    /// The cheapest GPUs for a model, its traffic and a promise. With `check` only whether the question
    /// makes sense, and the command that asks it.
    Plan {
        asked: Box<PlanForm>,
        #[serde(default)]
        check: bool,
    },
    /// Everything with a name.
    Catalog,
    /// A lesson, by number from 0.
    Lesson { number: usize },
}

/// Why there is no answer, as data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problems {
    /// What is wrong, in order of position.
    pub problems: Vec<Report>,
    /// The text that positions are in, where overrides were written into it.
    pub text: Option<String>,
}

impl Problems {
    /// One problem of no place.
    fn one(path: &str, message: impl Into<String>, help: Option<&str>) -> Problems {
        Problems {
            problems: vec![Report {
                file: None,
                line: None,
                column: None,
                path: path.to_owned(),
                message: message.into(),
                help: help.map(str::to_owned),
            }],
            text: None,
        }
    }

    fn in_text(self, text: &str) -> Problems {
        Problems { text: Some(text.to_owned()), ..self }
    }
}

/// Answers a question, given and taken as JSON. A scenario may name these files.
///
/// What cannot be answered is an answer too: `{"ok": false, "problems": [...]}`, in the words of
/// the command line. Nothing that is asked can make it panic or run without end; see
/// the limits in `docs/playground.md`.
pub fn answer(request: &str, files: &Files) -> String {
    answer_within(request, files, &Allowance::all())
}

/// The same, and `tell` hears how far long work has come: before a plan's answer, lines such as
/// `{"told": {"cells": 80, "decided": 12, ...}}`.
pub fn answer_telling(request: &str, files: &Files, tell: &(dyn Fn(String) + Sync)) -> String {
    answer_within(request, files, &Allowance { tell, ..Allowance::all() })
}

/// The same, as far as it is allowed.
pub fn answer_within(request: &str, files: &Files, allowance: &Allowance<'_>) -> String {
    let answered = match read(request) {
        Ok(question) => reply(question, files, allowance),
        Err(problems) => Err(problems),
    };
    let value = match answered {
        Ok(text) => return text,
        Err(problems) => json!({"ok": false, "problems": problems.problems, "text": problems.text}),
    };
    value.to_string()
}

fn read(request: &str) -> Result<Question, Problems> {
    let too_long = |most: usize, help: &str| {
        let message = format!("a question of more than {most} bytes");
        Err(Problems::one("", message, Some(help)))
    };
    if request.len() > limits::FILE_BYTES_MAX {
        return too_long(limits::FILE_BYTES_MAX, "`metron-sim evaluate` reads files of any length");
    }
    let known = "`op` is one of simulate, cures, steps, columns, readers, lives, sessions, load, \
                 evaluate, plan, catalog, lesson";
    let question = serde_json::from_str(request)
        .map_err(|error| Problems::one("", format!("not a question: {error}"), Some(known)))?;
    match question {
        Question::Evaluate { .. } => Ok(question),
        _ if request.len() > limits::REQUEST_BYTES_MAX => {
            too_long(limits::REQUEST_BYTES_MAX, "a scenario takes a few thousand")
        }
        _ => Ok(question),
    }
}

fn reply(question: Question, files: &Files, allowance: &Allowance<'_>) -> Result<String, Problems> {
    let load = |scenario: &Asked| loaded::Loaded::of(scenario, files);
    match question {
        Question::Simulate { scenario, steps } => {
            let loaded = load(&scenario)?;
            allowance.enter(loaded.weight(1))?;
            Ok(text(&play::simulate(loaded, steps, allowance)?))
        }
        Question::Cures { scenario, scheduler, request, token } => {
            let loaded = load(&scenario)?.only(scheduler)?;
            allowance.enter(loaded.weight(cures::TRIALS))?;
            Ok(text(&cures::cures(&loaded, scheduler, (request, token), allowance)?))
        }
        Question::Steps { scenario, scheduler, lane, from, at_us, count } => {
            let loaded = load(&scenario)?.only(scheduler)?;
            allowance.enter(loaded.weight(1))?;
            let from = IterationNo(u32::try_from(from).unwrap_or(u32::MAX));
            let window = steps::Window { lane, from, at_us, count };
            Ok(text(&steps::steps(&loaded, window, allowance)?))
        }
        Question::Columns { scenario, scheduler, lane, from_us, to_us } => {
            let loaded = load(&scenario)?.only(scheduler)?;
            allowance.enter(loaded.weight(1))?;
            Ok(text(&steps::stretch(&loaded, lane, (from_us, to_us), allowance)?))
        }
        Question::Readers { scenario, request } => {
            let loaded = load(&scenario)?;
            allowance.enter(loaded.weight(1))?;
            Ok(text(&readers::readers(&loaded, request, allowance)?))
        }
        Question::Lives { scenario, from_us, to_us, rows, request } => {
            let loaded = load(&scenario)?;
            allowance.enter(loaded.weight(1))?;
            let window = (from_us, to_us);
            Ok(text(&readers::lives(&loaded, window, rows, request, allowance)?))
        }
        Question::Sessions { scenario, from_us, to_us, rows, request } => {
            let loaded = load(&scenario)?;
            allowance.enter(loaded.weight(1))?;
            let window = (from_us, to_us);
            Ok(text(&sessions::sessions(&loaded, window, rows, request, allowance)?))
        }
        Question::Load { scenario } => {
            let loaded = load(&scenario)?;
            allowance.enter(loaded.weight(1))?;
            Ok(text(&load::load(&loaded, allowance)?))
        }
        Question::Evaluate { name, text: file, promise } => {
            let bytes = 8 * file.len() as u64;
            let work = file.len() as u64 / 100;
            allowance.enter(Weight { bytes, work, long: false })?;
            Ok(text(&evaluate::evaluate(&name, file, &promise)?))
        }
        Question::Plan { asked, check: true } => Ok(text(&plan::checked(&asked)?)),
        Question::Plan { asked, check: false } => Ok(text(&plan::plan(&asked, allowance)?)),
        Question::Catalog => Ok(text(&catalog::catalog())),
        Question::Lesson { number } => Ok(text(&lessons::taught(number, allowance)?)),
    }
}

/// An answer with `ok` before it.
fn text(answer: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Fine<'a, A> {
        ok: bool,
        #[serde(flatten)]
        answer: &'a A,
    }
    let fine = Fine { ok: true, answer };
    serde_json::to_string(&fine).expect("an answer is plain data")
}

/// A member of a JSON value by its dotted path.
fn member<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |at, name| match at {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => at.get(name),
    })
}
