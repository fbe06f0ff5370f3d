//! Commands that a program asks for, in place of a person at a terminal: what they would print comes
//! back to it, and it can watch and end them.

use std::ffi::OsString;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::cli::args::{self, Listed};
use crate::cli::backend::{Backend, ListEntry, Loaded, ScenarioRequest};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::library::{Library, loaded};
use crate::cli::outputs::Outputs;
use crate::cli::told::{Runs, Said, Steering, Told};
use crate::runner::{PlayError, PlayOptions, Requests, Simulate};
use crate::scenario::{Document, Experiment, ScenarioError, SchedulerRun};
use crate::sim::Outcome;

/// A command that a program asks for.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Asked {
    /// What would be typed behind the program's name: `run`, `chat`, `--format`, `json`.
    pub args: Vec<OsString>,
    /// Scenarios that the arguments name and that are no files: they come before files of that name.
    pub scenarios: Vec<(String, Document)>,
    /// Whether the runs of `run` are to be kept for tables and a page.
    pub keeps_runs: bool,
    /// Whether the page of a search, of an explanation or of measured runs is to be kept.
    pub keeps_page: bool,
}

impl Asked {
    /// A command by its arguments.
    pub fn new(args: impl IntoIterator<Item = impl Into<OsString>>) -> Asked {
        Asked { args: args.into_iter().map(Into::into).collect(), ..Asked::default() }
    }
}

/// What a command says to the program that has asked.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// How it ended.
    pub exit: Exit,
    /// The result, in the form that was asked for.
    pub result: String,
    /// What people would read in its place, where that is something else.
    pub text: String,
    /// A page with plots (HTML), where it was to be kept.
    pub page: Option<String>,
    /// What a reader should know.
    pub warnings: Vec<String>,
    /// How it went.
    pub notes: Vec<String>,
    /// The runs, where they were to be kept.
    pub runs: Option<Runs>,
}

/// Does what is asked for, printing nothing.
///
/// # Errors
/// As the command; where `steering` has ended it, the error may say that a simulation was stopped.
pub fn ask(asked: &Asked, steering: &Arc<Steering>) -> Result<Answer, Error> {
    let told = Arc::new(Told {
        steering: steering.clone(),
        keeps_runs: asked.keeps_runs,
        keeps_page: asked.keeps_page,
        said: Mutex::default(),
    });
    let name = OsString::from(env!("CARGO_PKG_NAME"));
    let cli = args::parse(std::iter::once(name).chain(asked.args.iter().cloned()));
    let cli = cli.map_err(|error| Error::Usage(in_short(&error.render().to_string())))?;
    let console = Console::of_program(&cli.global, Outputs::of(&cli), told.clone());
    let exit = super::dispatch(cli, &console, &WithScenarios(&asked.scenarios))?;
    let Said { result, text, page, warnings, notes, runs } = std::mem::take(&mut *told.said());
    let result = String::from_utf8_lossy(&result).into_owned();
    Ok(Answer { exit, result, text, page, warnings, notes, runs })
}

/// What is wrong with arguments, without how they are typed.
fn in_short(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let end = ["\n\nUsage:", "\n\nFor more"].iter().filter_map(|stop| text.find(stop)).min();
    text[..end.unwrap_or(text.len())].trim().to_owned()
}

/// The library with more scenarios that have names.
struct WithScenarios<'a>(&'a [(String, Document)]);

impl WithScenarios<'_> {
    fn find(&self, name: &str) -> Option<&Document> {
        self.0.iter().find(|(one, _)| one == name).map(|(_, document)| document)
    }
}

impl Backend for WithScenarios<'_> {
    fn document(&self, name: &str) -> Result<Document, ScenarioError> {
        self.find(name).map_or_else(|| Library.document(name), |document| Ok(document.clone()))
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn load(&self, request: &ScenarioRequest) -> Result<Loaded, Error> {
        loaded(self.document(&request.path), request)
    }

    fn list(&self, what: Listed) -> Vec<ListEntry> {
        Library.list(what)
    }

    fn scenario_schema(&self) -> Value {
        Library.scenario_schema()
    }
}

impl Simulate for WithScenarios<'_> {
    fn simulate(
        &self,
        experiment: &Experiment,
        scheduler: &SchedulerRun,
        requests: &Requests,
        options: PlayOptions<'_>,
    ) -> Result<Outcome, PlayError> {
        Library.simulate(experiment, scheduler, requests, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Files;

    #[test]
    fn a_program_gets_what_a_terminal_would_show() {
        let text = "{model: llama-3.1-8b, gpu: h100-sxm, schedulers: [orca], workload: {requests: 20, \
                    arrivals: {poisson: {rate: 2}}, lengths: {prompt: {fixed: 100}, output: {fixed: 10}}}}";
        let document = Document::from_text("mine", text, Files::none()).expect("a scenario");
        let mut asked = Asked::new(["run", "mine", "--format", "json"]);
        asked.scenarios.push(("mine".to_owned(), document));
        asked.keeps_runs = true;
        let steering = Arc::default();
        let answer = ask(&asked, &steering).expect("it runs");
        let result: Value = serde_json::from_str(&answer.result).expect("JSON");
        assert_eq!((answer.exit, &result["runs"][0]["scheduler"]), (Exit::Fine, &"orca".into()));
        let runs = answer.runs.expect("kept");
        assert_eq!(runs.tokens()[2].name, "index");
        let iterations = runs.iterations(1, &steering).expect("a log");
        assert!(iterations.iter().any(|column| column.name == "prefill_tokens"));
        assert_eq!(steering.totals(), ("requests", 20, 20));
        steering.stop();
        // A short run is over before anybody asks.
        let long = Asked::new(["run", "chat", "--set", "workload.requests=100000"]);
        let stopped = ask(&long, &steering).expect_err("it was ended");
        assert!(matches!(stopped, Error::Run(error) if error.is_stopped()));
        let wrong = ask(&Asked::new(["run", "chat", "--jobs", "0"]), &Arc::default());
        let wrong = wrong.expect_err("no threads").to_string();
        assert!(wrong.contains("--jobs") && !wrong.contains("Usage"), "{wrong}");
    }
}
