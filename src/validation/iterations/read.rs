//! Which log a file is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{IterationLog, LogFormat, llama, scheduler, vllm};
use crate::catalog::STEP_LAW_TERMS;

/// Longest line of a log.
const LINE_BYTES_MAX: usize = 1 << 24;

/// Lines looked at before a file is none of these logs, when none so far is one of its lines. A server
/// says much before its first iteration.
const SNIFFED_LINES: usize = 100_000;

/// Why a file is no iteration log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It says something else.
    #[error("{}: {problem}", .file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the line.
        problem: String,
    },
}

/// Reads a log, gzip or plain, whatever its name. `kv_tokens` is how many tokens the KV cache holds,
/// where that is known: vLLM's own lines tell how full it is and not what is read.
///
/// # Errors
/// When it cannot be read, or is no log of iterations.
pub fn read_log(file: &Path, kv_tokens: Option<u64>) -> Result<IterationLog, LogError> {
    let read = |source| LogError::Read { file: file.to_owned(), source };
    let mut reader = open(file).map_err(read)?;
    let content = |problem| LogError::Content { file: file.to_owned(), problem };
    let mut lines = Lines { reader: &mut reader, number: 0 };
    let mut first = None;
    while lines.number < SNIFFED_LINES {
        let Some(line) = lines.next_line().map_err(read)? else { break };
        if let Some(format) = format_of(&line) {
            first = Some((format, line));
            break;
        }
    }
    let Some((format, line)) = first else {
        return Err(content(
            "no line is one of an iteration log: expected JSON lines with `schedule_start_s` and \
             `batch`, or with `t0_s` and `batch`, or vLLM's `Iteration(0): 1 context requests, ...` \
             (--enable-logging-iteration-details)"
                .to_owned(),
        ));
    };
    let mut all = AllLines { first: Some((lines.number, line)), rest: lines, failed: None };
    let found = match format {
        LogFormat::SchedulerSteps => scheduler::read(&mut all),
        LogFormat::VllmText => vllm::read(&mut all, kv_tokens),
        LogFormat::LlamaDecodes => llama::read(&mut all),
    };
    if let Some(source) = all.failed {
        return Err(read(source));
    }
    let found = found.map_err(content)?;
    if found.steps.len() < STEP_LAW_TERMS {
        return Err(content(format!(
            "{} steps are too few to fit the {STEP_LAW_TERMS} constants of a law to: take a longer log",
            found.steps.len()
        )));
    }
    Ok(found)
}

fn open(file: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let mut reader = BufReader::new(File::open(file)?);
    let zipped = reader.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(match zipped {
        true => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
        false => Box::new(reader),
    })
}

fn format_of(line: &str) -> Option<LogFormat> {
    let has = |key: &str| line.contains(key);
    if line.trim_start().starts_with('{') && has("\"batch\"") {
        if has("\"schedule_start_s\"") {
            return Some(LogFormat::SchedulerSteps);
        }
        if has("\"t0_s\"") {
            return Some(LogFormat::LlamaDecodes);
        }
    }
    vllm::is_line(line).then_some(LogFormat::VllmText)
}

struct Lines<'r> {
    reader: &'r mut dyn BufRead,
    number: usize,
}

impl Lines<'_> {
    fn next_line(&mut self) -> std::io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let most = LINE_BYTES_MAX as u64 + 1;
        let read = Read::take(&mut *self.reader, most).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if bytes.len() > LINE_BYTES_MAX {
            let long = format!("line {} is longer than {LINE_BYTES_MAX} bytes", self.number);
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, long));
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// The lines of a log with their numbers, from the first that is one of its own.
pub(super) struct AllLines<'r> {
    first: Option<(usize, String)>,
    rest: Lines<'r>,
    failed: Option<std::io::Error>,
}

impl Iterator for AllLines<'_> {
    type Item = (usize, String);

    fn next(&mut self) -> Option<(usize, String)> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match self.rest.next_line() {
            Ok(line) => Some((self.rest.number, line?)),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }
}

/// Holds the lines of a log to the order of time.
#[derive(Default)]
pub(super) struct OrderOfTime {
    last: Option<(usize, f64)>,
}

impl OrderOfTime {
    /// The next line, whose step began then.
    ///
    /// # Errors
    /// When the one before began later.
    pub(super) fn next(&mut self, number: usize, start_s: f64) -> Result<(), String> {
        if let Some((before, last_s)) = self.last.replace((number, start_s))
            && start_s < last_s
        {
            return Err(format!(
                "line {number}: expected steps in order of time, found one that begins at {start_s} s behind \
                 that of line {before} at {last_s} s: sort the lines, or cut the log where the engine was \
                 started anew and give each part with --iterations"
            ));
        }
        Ok(())
    }
}

/// A line as JSON of some form; an empty one is none.
pub(super) fn json<'l, T: serde::Deserialize<'l>>(
    number: usize,
    line: &'l str,
) -> Result<Option<T>, String> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str(line).map(Some).map_err(|error| {
        // Where serde says a line of its own it is this one.
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        format!("line {number}, column {}: {said}", error.column())
    })
}
