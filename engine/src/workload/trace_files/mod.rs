//! Trace files: recorded requests, from the formats that the field publishes.
//!
//! A file is read line by line in bounded memory, beside the requests themselves. Its format is
//! given or told by its first line. Times are read as decimals, exactly, and counted from the
//! earliest arrival.

mod chained;
mod csv_file;
mod json_row;
mod jsonl_file;
mod lines;
mod replay;
mod servegen;
mod sessions;
mod sniff;
mod table;
mod timestamp;
mod whole;

pub(crate) use timestamp::timestamp_nanos;

use std::path::Path;

pub(crate) use replay::read;
pub use servegen::parts as trace_parts;
pub use sessions::has_gaps;
pub(crate) use sessions::read_sessions;

use super::{TraceFormat, Warning, WorkloadError};
use sniff::Format;
use table::Table;

/// Advice for a file without requests.
const NO_ROWS: &str = "a row or a line of JSON a request is expected, such as \
    `arrival_s,prompt_tokens,output_tokens` above `0.35,1034,769`";

/// A page has no files. That this is known when it is compiled leaves out of it what reads them.
const FILES: bool = cfg!(not(target_arch = "wasm32"));

/// Why there is no such file where there are none.
fn no_file(path: &Path) -> WorkloadError {
    WorkloadError::io(path, &std::io::ErrorKind::Unsupported.into())
}

/// The pairs of prompt and output tokens of a file in any of the formats, in its order.
pub(crate) fn read_pairs(
    path: &Path,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<(u32, u32)>, WorkloadError> {
    if !FILES {
        return Err(no_file(path));
    }
    // Block ids are not wanted here; any block size lets them pass.
    let table = load(path, None, 1, None)?;
    let mut notes = table.notes;
    if table.has_arrivals {
        notes.push("only the lengths are used, not the arrival times".to_owned());
    }
    warn(path, notes, warnings);
    Ok(table.rows.iter().map(|row| (row.prompt_tokens, row.output_tokens)).collect())
}

/// Reads a file; `block_tokens` is what an id stands for where nothing else is said, and `drawn` how to draw
/// requests that a file describes and does not list: none where these are not wanted.
fn load(
    path: &Path,
    format: Option<TraceFormat>,
    block_tokens: u32,
    drawn: Option<servegen::Drawn>,
) -> Result<Table, WorkloadError> {
    let mut table = Table::default();
    if servegen::is_folder(path, format) {
        servegen::read(path, drawn, &mut table)?;
        return Ok(table);
    }
    let mut lines = lines::Lines::open(path)?;
    match sniff::format_of(&mut lines, format)? {
        Format::ServeGen => servegen::read(path, drawn, &mut table)?,
        Format::Weka | Format::Conversations | Format::VllmMultiTurn | Format::InferencePerf => {
            let message = "expected requests with times of their own, found sessions";
            return Err(WorkloadError::content(path, None, message)
                .with_help("they are played by their answers: leave out `gaps: arrivals`"));
        }
        Format::Csv(dialect) => csv_file::read(&mut lines, dialect, &mut table)?,
        Format::Json(keys, own_block_tokens) => {
            let block_tokens = own_block_tokens.unwrap_or(block_tokens);
            jsonl_file::read(&mut lines, keys, block_tokens, &mut table)?;
            if let Some(tokens) = own_block_tokens {
                let unit = if keys.arrival_power == 6 { "milliseconds" } else { "seconds" };
                let mut note = format!("`{}` is read as {unit}", keys.arrival);
                if !table.block_ids.is_empty() {
                    note += &format!(", and `{}` as blocks of {tokens} tokens", keys.block_ids);
                }
                table.notes.insert(0, note);
            }
        }
    }
    if table.has_gaps && table.rows.iter().any(|row| row.gap_ns.is_some() && !row.has_arrival) {
        let message = "expected a time of arrival for every request, found gaps";
        return Err(WorkloadError::content(path, None, message)
            .with_help("they are played by their answers: leave out `gaps: arrivals`"));
    }
    if table.rows.is_empty() {
        let none = WorkloadError::content(path, None, "expected requests, found none");
        return Err(none.with_help(NO_ROWS));
    }
    Ok(table)
}

fn warn(path: &Path, notes: Vec<String>, warnings: &mut Vec<Warning>) {
    warnings
        .extend(notes.into_iter().map(|message| Warning { path: Some(path.to_owned()), message }));
}
