//! `metron-sim compare`: two runs, simulated or measured, metric by metric.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde_json::Value;

use crate::cli::args::{CompareArgs, Format, GlobalFlags};
use crate::cli::backend::{Backend, ScenarioRequest};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::judging::Judging;
use crate::cli::progress;
use crate::report::pair::{Pair, Side};
use crate::result::{ResultFile, RunResult};
use crate::runner::{RunInput, RunOptions, run_experiment};
use crate::scenario::{Document, bundled};

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, or it is not clear which run of it is meant.
pub(super) fn compare(
    args: &CompareArgs,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    if global.format == Format::Quiet && global.output.is_some() {
        return Err(Error::Usage("--format quiet has nothing to write: leave out -o".to_owned()));
    }
    let judging = Judging::new(&args.judge, &[])?;
    let sink = console.open_result(global.output.as_ref())?;
    let simulated = Simulated { global, console, backend };
    let a = side(&args.a, args.run_a.as_deref(), "--run-a", &judging, &simulated)?;
    let b = side(&args.b, args.run_b.as_deref(), "--run-b", &judging, &simulated)?;
    let pair = Pair::new(&a, &b);
    let bytes = match global.format {
        Format::Text => pair.to_text(console.colors_result(&sink), global.verbose).into_bytes(),
        Format::Json => pair.to_json().into_bytes(),
        Format::Csv => pair.to_csv().into_bytes(),
        Format::Quiet => Vec::new(),
    };
    console.for_people(|| pair.to_text(false, global.verbose));
    sink.finish(&bytes)?;
    Ok(Exit::Fine)
}

/// What a scenario is run with.
struct Simulated<'a> {
    global: &'a GlobalFlags,
    console: &'a Console,
    backend: &'a dyn Backend,
}

impl Simulated<'_> {
    /// The result of a scenario, if that is what `path` names.
    fn result(&self, path: &Path) -> Result<Option<ResultFile>, Error> {
        let Some(name) = path.to_str().filter(|name| self.backend.has(name) || is_scenario(name))
        else {
            return Ok(None);
        };
        let Simulated { global, console, backend } = *self;
        let request = ScenarioRequest::new(name.to_owned(), global);
        let loaded = console.load(backend, &request)?;
        for warning in &loaded.warnings {
            console.warn(&format!("{name}: {warning}"));
        }
        let input = RunInput { experiment: &loaded.experiment, requests: &loaded.requests };
        let options = RunOptions { jobs: global.threads(), ..RunOptions::default() };
        let progress = console.progress(loaded.experiment.schedulers.len());
        let outputs = progress::shown(&progress, console.shows_run(), || {
            run_experiment(input, options, backend, &progress)
        })?;
        let runs = outputs.into_iter().map(|output| output.result).collect();
        Ok(Some(ResultFile::new(loaded.resolved.to_json(), runs, loaded.warnings)))
    }
}

/// Whether a name is a scenario's: of a file with a scenario's keys, or of one that comes with the program.
fn is_scenario(name: &str) -> bool {
    let path = Path::new(name);
    let yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    if !yaml && (path.exists() || bundled().iter().all(|one| one.name != name)) {
        return false;
    }
    // BLIS has a YAML header too. A scenario that cannot be read is told as one.
    !path.exists()
        || Document::read(name).map_or(true, |document| {
            ["schedulers", "workload"].iter().any(|key| document.root().get(key).is_some())
        })
}

/// One side: a run of a result file, of a scenario that is simulated, or of a measured file.
fn side(
    path: &Path,
    label: Option<&str>,
    flag: &str,
    judging: &Judging,
    simulated: &Simulated<'_>,
) -> Result<Side, Error> {
    let result = match result_file(path)? {
        Some(result) => Some(result),
        None => simulated.result(path)?,
    };
    let (runs, slo) = match result {
        Some(result) => {
            if judging.is_given() {
                simulated.console.warn(&format!(
                    "{}: kept to the promise of its own scenario; --ttft, --tbt and --fluidity judge measured files",
                    path.display()
                ));
            }
            let slo = result.scenario.get("slo").cloned().unwrap_or(Value::Null);
            (result.runs, slo)
        }
        None => match judging.histograms(path)? {
            Some(runs) => (runs, Value::Null),
            None => (judging.runs(path)?.1, Value::Null),
        },
    };
    let file = path.display().to_string();
    let run = pick(runs, label, flag, &file)?;
    Ok(Side { file, run, slo })
}

fn pick(
    mut runs: Vec<RunResult>,
    label: Option<&str>,
    flag: &str,
    file: &str,
) -> Result<RunResult, Error> {
    let labels: Vec<String> = runs.iter().map(|run| format!("`{}`", run.label)).collect();
    let labels = labels.join(", ");
    let index = match label {
        None if runs.len() == 1 => Some(0),
        None => {
            let what =
                format!("{file} holds {} runs: pick one with {flag} of {labels}", runs.len());
            return Err(Error::Usage(what));
        }
        Some(label) => runs.iter().position(|run| run.label == label).or_else(|| {
            let mut same = (0..runs.len()).filter(|&i| runs[i].scheduler == label);
            same.next().filter(|_| same.next().is_none())
        }),
    };
    match index {
        Some(index) => Ok(runs.swap_remove(index)),
        None => Err(Error::Usage(format!(
            "{file} has no run `{}`; it has {labels}",
            label.unwrap_or("")
        ))),
    }
}

/// The file as a result of this program, if it is one: told by its first key.
fn result_file(path: &Path) -> Result<Option<ResultFile>, Error> {
    let unreadable = |what: String| Error::Usage(format!("{}: {what}", path.display()));
    let Ok(mut file) = File::open(path) else { return Ok(None) };
    let mut head = [0; 256];
    let read = file.read(&mut head).map_err(|error| unreadable(error.to_string()))?;
    let head: Vec<u8> = head[..read].iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    if !head.starts_with(b"{\"schema_version\"") {
        return Ok(None);
    }
    // A run's result is of no kind; where those of other commands belong is told with the rest.
    if head.windows(8).any(|bytes| bytes == b"\"kind\":\"") {
        return Ok(None);
    }
    let whole = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let result = serde_json::from_reader(BufReader::new(whole)).map_err(|error| {
        // Where, and what kind of mistake; not the file's text.
        unreadable(format!(
            "not a whole result of metron-sim: line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    Ok(Some(result))
}
