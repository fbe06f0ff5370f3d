//! The playground's questions and answers: JSON to JSON, with no files, clock or threads of its own.
//!
//! A server hands over what a browser posted; a page without a server calls the same function as
//! WebAssembly. Both get the same bytes for the same question.

mod catalog;
mod cures;
mod dials;
mod figures;
mod lessons;
mod limits;
#[cfg(not(target_arch = "wasm32"))]
pub mod page;
mod play;
mod steps;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::scenario::{Files, Report};

pub use lessons::{Claim, Lesson, Look, Part, lessons};
pub use limits::{
    ITERATIONS_MAX, REPLICAS_MAX, REQUESTS_MAX, SCHEDULERS_SHOWN, TEXT_BYTES_MAX, TOKENS_MAX,
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

/// Iterations around a time, of the first replica drawn.
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
    Cures { scenario: Asked, scheduler: usize, request: u32, token: u32 },
    /// Iterations of a replica, one by one: from a number, or around a time.
    Steps {
        scenario: Asked,
        scheduler: usize,
        #[serde(default)]
        replica: u32,
        #[serde(default)]
        from: usize,
        at_us: Option<u64>,
        count: usize,
    },
    /// A replica's iterations between two times, as columns of a timeline.
    Columns { scenario: Asked, scheduler: usize, replica: u32, from_us: u64, to_us: u64 },
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
/// [`REQUESTS_MAX`] and its neighbours.
pub fn answer(request: &str, files: &Files) -> String {
    let answered = match read(request) {
        Ok(question) => reply(question, files),
        Err(problems) => Err(problems),
    };
    let value = match answered {
        Ok(text) => return text,
        Err(problems) => json!({"ok": false, "problems": problems.problems, "text": problems.text}),
    };
    value.to_string()
}

fn read(request: &str) -> Result<Question, Problems> {
    if request.len() > limits::REQUEST_BYTES_MAX {
        let message = format!("a question of more than {} bytes", limits::REQUEST_BYTES_MAX);
        return Err(Problems::one("", message, Some("a scenario takes a few thousand")));
    }
    let known = "`op` is one of simulate, cures, steps, columns, catalog, lesson";
    serde_json::from_str(request)
        .map_err(|error| Problems::one("", format!("not a question: {error}"), Some(known)))
}

fn reply(question: Question, files: &Files) -> Result<String, Problems> {
    match question {
        Question::Simulate { scenario, steps } => {
            Ok(text(&play::simulate(&scenario, files, steps)?))
        }
        Question::Cures { scenario, scheduler, request, token } => {
            Ok(text(&cures::cures(&scenario, files, scheduler, (request, token))?))
        }
        Question::Steps { scenario, scheduler, replica, from, at_us, count } => {
            let window = steps::Window { replica, from, at_us, count };
            Ok(text(&steps::steps(&scenario, files, scheduler, window)?))
        }
        Question::Columns { scenario, scheduler, replica, from_us, to_us } => {
            let (whose, when) = ((scheduler, replica), (from_us, to_us));
            Ok(text(&steps::stretch(&scenario, files, whose, when)?))
        }
        Question::Catalog => Ok(text(&catalog::catalog())),
        Question::Lesson { number } => Ok(text(&lessons::taught(number)?)),
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
