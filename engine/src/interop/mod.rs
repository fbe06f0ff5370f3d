//! Result files of real benchmarks, read into the trace that the metric engine takes.
//!
//! One file a format. Each streams: what is kept in memory grows with the number of requests, never
//! with that of their tokens, which go to a temporary file where they are many, and never with the
//! length of prompts and answers, which are read over. Each time is parsed from its decimal
//! text and rounded to nanoseconds on its own; sums are exact from there on. Latencies count from
//! when the client sent the request; time that it waited inside the client before that is kept
//! apart.
//!
//! ```no_run
//! let imported = metron_engine::interop::import("result.json".as_ref(), None)?;
//! println!("{}: {} runs", imported.format.name(), imported.runs.len());
//! # Ok::<(), Box<metron_engine::interop::InteropError>>(())
//! ```

mod aiperf;
mod aiperf_raw;
mod blis;
mod bounds;
mod builder;
mod contradictions;
mod curve_file;
mod deadlines;
mod ended;
mod etalon;
mod fault;
mod fit;
mod folder;
mod genai_perf;
mod guidellm;
mod guidellm_figures;
mod inference_perf;
mod json;
mod judged;
mod litellm;
mod live;
mod llmperf;
mod measured;
mod otel;
mod own;
mod packets;
mod parallel;
mod plots;
mod prometheus;
mod promise;
mod rows;
mod said;
mod sense;
mod sglang;
mod sniff;
mod spool;
mod told_twice;
mod twice;
mod vllm;

pub use curve_file::read_curve;
pub use fault::{Fault, InteropError, Position};
pub use fit::{FittedCurve, fit_prefill_curve};
pub use judged::{JudgeError, contradictions, judge};
pub use measured::{Granularity, Measured};
pub use prometheus::histograms;
pub use promise::{GivenPromise, GivenTtft, promise_json};
pub use sniff::Format;
pub(crate) use sniff::{measured_columns, measured_file};

use std::fs::File;
use std::io::Read;
use std::path::Path;

use json::Json;

/// What a file holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// What it was read as.
    pub format: Format,
    /// Its runs, in the file's order; at least one.
    pub runs: Vec<Measured>,
}

impl Imported {
    /// An error where token times could not be read back from their temporary file: figures made
    /// since are wrong.
    ///
    /// # Errors
    /// In that case.
    pub fn sound(&self) -> Result<(), JudgeError> {
        match self.runs.iter().find_map(Measured::lost) {
            Some(why) => Err(JudgeError::Lost(why)),
            None => Ok(()),
        }
    }
}

/// What is told when reading stops: how far it had come.
#[derive(Debug, Default)]
struct Progress {
    requests: u64,
    runs: u64,
    /// Whether requests whose times make no sense are to be left out.
    skip_bad: bool,
    /// Where numbers go that are too many for memory.
    spool: spool::Spool,
}

impl Progress {
    fn words(&self, fault: &Fault) -> Option<String> {
        let plural = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let runs = (self.runs > 0).then(|| plural(self.runs, "whole run"));
        let whole = if self.runs > 0 { "request" } else { "whole request" };
        let requests = (self.requests > 0).then(|| plural(self.requests, whole));
        let parts: Vec<String> =
            runs.into_iter().chain(requests).chain(fault.read.clone()).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Reads a measured file; `from` forces its format, which is told from its content otherwise.
///
/// # Errors
/// When it cannot be opened, is none of the formats, or breaks its own.
pub fn import(path: &Path, from: Option<Format>) -> Result<Imported, Box<InteropError>> {
    import_with(path, from, false)
}

/// The same; with `skip_bad`, requests whose times go backwards (a wall clock that was set) are left
/// out with a note, where they are an error otherwise.
///
/// # Errors
/// As for [`import`].
pub fn import_with(
    path: &Path,
    from: Option<Format>,
    skip_bad: bool,
) -> Result<Imported, Box<InteropError>> {
    let progress = Progress { skip_bad, ..Progress::default() };
    if path.is_dir() {
        let whole = |what: String| broken(path, from, Fault::whole(what), &progress);
        return import_folder(path, from, skip_bad, &whole);
    }
    let file = File::open(path).map_err(|io| {
        broken(path, from, Fault::whole(format!("cannot be opened: {io}")), &progress)
    })?;
    imported(file, path, from, progress)
}

/// Reads a measured file that is here already, as a page has it; `name` is what errors call it.
///
/// # Errors
/// As for [`import`].
pub fn import_bytes(name: &Path, bytes: Vec<u8>) -> Result<Imported, Box<InteropError>> {
    imported(std::io::Cursor::new(bytes), name, None, Progress::default())
}

fn imported(
    file: impl Read + 'static,
    path: &Path,
    from: Option<Format>,
    mut progress: Progress,
) -> Result<Imported, Box<InteropError>> {
    let (format, input) = match from {
        Some(format) => (format, Box::new(file) as Box<dyn Read>),
        None => sniff::sniff(file).map_err(|unknown| {
            let mut error = broken(path, None, unknown.fault, &progress);
            error.help = unknown.help;
            error
        })?,
    };
    let mut runs = read(format, input, path, &mut progress)
        .map_err(|fault| broken(path, Some(format), fault, &progress))?;
    // Two policies of a simulation may well do the same.
    if !matches!(format, Format::Tokens | Format::Requests) {
        twice::same_runs(&mut runs);
    }
    if runs.is_empty() {
        return Err(broken(path, Some(format), Fault::whole("there is no run in it"), &progress));
    }
    Ok(Imported { format, runs })
}

fn broken(
    path: &Path,
    format: Option<Format>,
    fault: Fault,
    progress: &Progress,
) -> Box<InteropError> {
    Box::new(InteropError {
        path: path.to_owned(),
        format: format.map(Format::name),
        read_so_far: progress.words(&fault),
        fault,
        help: None,
    })
}

/// Reads the results in a client's folder: a run each, named after the folder that it stands in.
///
/// # Errors
/// Those of the first file that cannot be read; `whole` of the words where there is none, or files of two
/// clients.
fn import_folder(
    folder: &Path,
    from: Option<Format>,
    skip_bad: bool,
    whole: &dyn Fn(String) -> Box<InteropError>,
) -> Result<Imported, Box<InteropError>> {
    let mut all: Option<Imported> = None;
    for (name, file) in folder::results(folder).map_err(whole)? {
        let mut one = import_with(&file, from, skip_bad)?;
        for run in &mut one.runs {
            run.name = match (name.is_empty(), run.name.is_empty()) {
                (true, _) => std::mem::take(&mut run.name),
                (false, true) => name.clone(),
                (false, false) => format!("{name} {}", run.name),
            };
        }
        match &mut all {
            None => all = Some(one),
            Some(before) if before.format == one.format => before.runs.append(&mut one.runs),
            Some(before) => {
                let (a, b) = (before.format.name(), one.format.name());
                return Err(whole(format!(
                    "it holds results of two kinds, {a} and {b}: give the files one by one"
                )));
            }
        }
    }
    let mut all = all.expect("there is a file, or an error");
    twice::same_runs(&mut all.runs);
    Ok(all)
}

fn read(
    format: Format,
    input: Box<dyn Read>,
    path: &Path,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    match format {
        Format::Vllm => vllm::read(&mut Json::new(input), progress),
        Format::Sglang => sglang::read(&mut Json::new(input), progress),
        Format::Etalon => etalon::read(&mut Json::new(input), progress),
        Format::Aiperf => aiperf::read(&mut Json::new(input), progress),
        Format::AiperfRaw => aiperf_raw::read(&mut Json::new(input), progress),
        Format::InferencePerf => inference_perf::read(&mut Json::new(input), progress),
        Format::Guidellm => guidellm::read(&mut Json::new(input), progress),
        Format::GenaiPerf => genai_perf::read(&mut Json::new(input), progress),
        Format::Llmperf => llmperf::read(&mut Json::new(input), progress),
        Format::Litellm => litellm::read(&mut Json::new(input), progress),
        Format::Otel => otel::read(&mut Json::new(input), progress),
        Format::Blis => blis::read(input, path, progress),
        Format::Tokens => own::read_tokens(rows::Rows::own(input)?, progress),
        Format::Requests => own::read_requests(rows::Rows::own(input)?, progress),
    }
}
