//! `metron-sim compare`: two runs, simulated or measured, metric by metric.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde_json::Value;

use crate::cli::args::{CompareArgs, Format, GlobalFlags};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::judging::Judging;
use crate::report::pair::{Pair, Side};
use crate::result::{ResultFile, RunResult};

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, or it is not clear which run of it is meant.
pub(super) fn compare(
    args: &CompareArgs,
    global: &GlobalFlags,
    console: &Console,
) -> Result<Exit, Error> {
    if global.format == Format::Quiet && global.output.is_some() {
        return Err(Error::Usage("--format quiet has nothing to write: leave out -o".to_owned()));
    }
    let judging = Judging::new(&args.judge, &[])?;
    let sink = console.open_result(global.output.as_ref())?;
    let a = side(&args.a, args.run_a.as_deref(), "--run-a", &judging)?;
    let b = side(&args.b, args.run_b.as_deref(), "--run-b", &judging)?;
    let pair = Pair::new(&a, &b);
    let bytes = match global.format {
        Format::Text => pair.to_text(console.colors_result(&sink)).into_bytes(),
        Format::Json => pair.to_json().into_bytes(),
        Format::Csv => pair.to_csv().into_bytes(),
        Format::Quiet => Vec::new(),
    };
    sink.finish(&bytes)?;
    Ok(Exit::Fine)
}

/// One side: a run of a result file, or of a measured one.
fn side(path: &Path, label: Option<&str>, flag: &str, judging: &Judging) -> Result<Side, Error> {
    let (runs, slo) = match result_file(path)? {
        Some(result) => {
            let slo = result.scenario.get("slo").cloned().unwrap_or(Value::Null);
            (result.runs, slo)
        }
        None => (judging.runs(path)?.1, Value::Null),
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
