//! Where a command writes: the result to stdout or a file, everything else to stderr.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anstream::ColorChoice;
use owo_colors::OwoColorize;

use crate::cli::args::{ColorWhen, GlobalFlags};
use crate::cli::backend::{Backend, Loaded, ScenarioRequest};
use crate::cli::error::Error;
use crate::cli::outputs::Outputs;
use crate::cli::told::{Steering, Told};
use crate::excerpt::bounded;
use crate::progress::Progress;
use crate::report::table::fit_to;
use crate::report::{OutputError, OutputFile};
use crate::result::ResultFile;
use crate::runner::SchedulerOutput;
use crate::search::Watch;

/// The terminal of a command: streams, and how to use them.
pub(super) struct Console {
    color: ColorWhen,
    quiet: bool,
    verbose: bool,
    json_lines: bool,
    outputs: Outputs,
    /// The program that has asked, where it is no terminal.
    program: Option<Arc<Told>>,
}

/// Where the result goes; a file is open already.
pub(super) enum ResultSink {
    /// Stdout.
    Stdout,
    /// To the program that has asked.
    Program(Arc<Told>),
    /// A file, put in place when the result is whole.
    File {
        /// The file.
        file: Box<OutputFile>,
        /// Whether a JSON result is written a line a run.
        json_lines: bool,
    },
}

/// How progress is shown.
#[derive(Clone, Debug)]
pub(super) enum Shows {
    /// As a bar that moves.
    Bar,
    /// As a line now and then.
    Lines,
    /// By numbers, to the program that has asked.
    Numbers(Arc<Steering>),
    /// Not at all.
    Nothing,
}

impl Console {
    /// The console that the flags ask for, of a command that writes these files.
    pub(super) fn new(flags: &GlobalFlags, outputs: Outputs) -> Console {
        let GlobalFlags { color, quiet, verbose, json_lines, .. } = *flags;
        Console { color, quiet, verbose, json_lines, outputs, program: None }
    }

    /// The console of a command that a program has asked for: nothing is printed.
    pub(super) fn of_program(flags: &GlobalFlags, outputs: Outputs, told: Arc<Told>) -> Console {
        Console { program: Some(told), ..Console::new(flags, outputs) }
    }

    /// Set when the program that has asked wants no result any more.
    fn stop(&self) -> Arc<AtomicBool> {
        self.program.as_ref().map_or_else(Arc::default, |told| told.steering.stop.clone())
    }

    /// Whether the program that has asked wants no result any more.
    pub(super) fn is_stopped(&self) -> bool {
        self.program.as_ref().is_some_and(|told| told.steering.is_stopped())
    }

    /// Progress of this many simulations.
    pub(super) fn progress(&self, runs: usize) -> Progress {
        Progress::stopped_by(runs, &self.stop())
    }

    /// A watch on a search that must end after so long, if at all.
    pub(super) fn watch(&self, at_most: Option<Duration>) -> Watch {
        Watch::stopped_by(at_most, self.stop())
    }

    /// Hands the runs to the program that has asked for them.
    pub(super) fn keep(&self, loaded: Loaded, outputs: Vec<SchedulerOutput>, result: ResultFile) {
        if let Some(told) = &self.program {
            told.keep(loaded, outputs, result);
        }
    }

    /// Says to the program that has asked what people would read, beside the result in its form.
    pub(super) fn for_people(&self, text: impl FnOnce() -> String) {
        if let Some(told) = &self.program {
            told.text(text());
        }
    }

    /// Hands a page to the program that has asked for one.
    pub(super) fn page(&self, page: impl FnOnce() -> String) {
        if let Some(told) = self.program.as_ref().filter(|told| told.keeps_page) {
            told.page(page());
        }
    }

    /// The files that the command writes.
    pub(super) fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// Loads a scenario, none of whose files is to be overwritten.
    ///
    /// # Errors
    /// When it cannot be loaded, or the command would write a file that it reads.
    pub(super) fn load(
        &self,
        backend: &dyn Backend,
        request: &ScenarioRequest,
    ) -> Result<Loaded, Error> {
        let loaded = backend.load(request)?;
        loaded.files.values().try_for_each(|input| self.outputs.spare(input))?;
        Ok(loaded)
    }

    /// Opens the place for the result: the file of `-o`, or stdout for none and `-`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn open_result(&self, output: Option<&PathBuf>) -> Result<ResultSink, OutputError> {
        let to_file = output.filter(|path| *path != Path::new("-"));
        if let (None, Some(told)) = (to_file, &self.program) {
            return Ok(ResultSink::Program(told.clone()));
        }
        match output {
            Some(path) if path != Path::new("-") => {
                let file = Box::new(OutputFile::create(path)?);
                Ok(ResultSink::File { file, json_lines: self.json_lines })
            }
            _ => {
                if io::stdout().is_terminal()
                    && let Some((columns, _)) = terminal_size::terminal_size()
                {
                    fit_to(usize::from(columns.0));
                }
                Ok(ResultSink::Stdout)
            }
        }
    }

    /// Whether a result written to `sink` should be coloured.
    pub(super) fn colors_result(&self, sink: &ResultSink) -> bool {
        match (self.color, sink) {
            (ColorWhen::Always, _) => true,
            (ColorWhen::Never, _)
            | (ColorWhen::Auto, ResultSink::File { .. } | ResultSink::Program(_)) => false,
            (ColorWhen::Auto, ResultSink::Stdout) => {
                anstream::AutoStream::choice(&io::stdout()) != ColorChoice::Never
            }
        }
    }

    fn colors_stderr(&self) -> bool {
        match self.color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => anstream::AutoStream::choice(&io::stderr()) != ColorChoice::Never,
        }
    }

    /// Whether a person watches stderr and has not asked for silence.
    fn shows_progress(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// How a run shows how far it is.
    pub(super) fn shows_run(&self) -> Shows {
        match &self.program {
            Some(told) => Shows::Numbers(told.steering.clone()),
            None if self.shows_progress() => Shows::Bar,
            None => Shows::Nothing,
        }
    }

    /// How a long search shows how far it is: a bar while a person watches, lines without one; nothing
    /// under `-q`, unless lines were `asked` for.
    pub(super) fn shows(&self, asked: bool) -> Shows {
        if let Some(told) = &self.program {
            return Shows::Numbers(told.steering.clone());
        }
        match (self.shows_progress(), self.quiet && !asked) {
            (true, _) => Shows::Bar,
            (false, false) => Shows::Lines,
            (false, true) => Shows::Nothing,
        }
    }

    /// Something worth knowing; silent under `-q`.
    pub(super) fn warn(&self, message: &str) {
        if let Some(told) = &self.program {
            return told.warn(message);
        }
        if !self.quiet {
            let label = if self.colors_stderr() {
                "warning:".yellow().bold().to_string()
            } else {
                "warning:".to_owned()
            };
            to_stderr(&format!("{label} {message}\n"));
        }
    }

    /// How it went; silent under `-q`.
    pub(super) fn note(&self, message: &str) {
        if let Some(told) = &self.program {
            return told.note(message);
        }
        if !self.quiet {
            to_stderr(&format!("{message}\n"));
        }
    }

    /// What only `-v` asks for.
    pub(super) fn detail(&self, message: &str) {
        if self.verbose && self.program.is_none() {
            to_stderr(&format!("{message}\n"));
        }
    }

    /// Shows an error of a command, or of the short form without one.
    pub(super) fn error(&self, error: &Error, command: Option<&str>) {
        let color = self.colors_stderr();
        if let Error::Scenario(scenario) = error {
            to_stderr(&scenario.render(color));
            return;
        }
        let (label, help) = if color {
            ("error:".red().bold().to_string(), "help:".cyan().to_string())
        } else {
            ("error:".to_owned(), "help:".to_owned())
        };
        to_stderr(&format!("{label} {}\n", bounded(error.to_string(), ERROR_MAX)));
        let of = command.map_or(String::new(), |command| format!("{command} "));
        let manual = matches!(error, Error::Usage(_))
            .then(|| format!("for more information, try `metron-sim {of}--help`"));
        if let Some(text) = error.help().or(manual) {
            to_stderr(&format!("{help} {text}\n"));
        }
    }
}

/// Longest error in bytes, whatever it quotes.
const ERROR_MAX: usize = 4000;

/// Stderr may be closed; nobody is left to be told then.
fn to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

impl ResultSink {
    /// Writes the whole result and puts a file in place. A reader that closed the pipe has seen
    /// enough: no error.
    ///
    /// # Errors
    /// When stdout or the file cannot be written.
    pub(super) fn finish(self, result: &[u8]) -> Result<(), Error> {
        match self {
            ResultSink::Program(told) => {
                told.result(result);
                Ok(())
            }
            ResultSink::Stdout => {
                let mut stdout = io::stdout().lock();
                match stdout.write_all(result).and_then(|()| stdout.flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                    other => other.map_err(Error::Stdout),
                }
            }
            ResultSink::File { mut file, json_lines } => {
                let lines = json_lines.then(|| as_lines(result)).flatten();
                if let Err(source) = file.write_all(lines.as_deref().unwrap_or(result)) {
                    return Err(file.error(source).into());
                }
                Ok(file.commit()?)
            }
        }
    }
}

/// A JSON result as JSON Lines: an object for each run, point or entry, or one for all where it has none.
fn as_lines(result: &[u8]) -> Option<Vec<u8>> {
    let whole: serde_json::Value = serde_json::from_slice(result).ok()?;
    let list = |name: &str| whole.get(name).and_then(serde_json::Value::as_array);
    let each = whole
        .as_array()
        .or_else(|| ["runs", "points", "metrics", "files"].iter().find_map(|name| list(name)));
    let lines: Vec<String> = match each {
        Some(all) => all.iter().map(ToString::to_string).collect(),
        None => vec![whole.to_string()],
    };
    Some((lines.join("\n") + "\n").into_bytes())
}
