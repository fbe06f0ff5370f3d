//! Which format a file is in, by its first line.

use crate::interop::{measured_columns, measured_file};
use crate::workload::{TraceFormat, WorkloadError};

use super::NO_ROWS;
use super::csv_file::{AZURE, BURSTGPT, DIALECTS, Dialect, PLAIN, VIDUR, header_names, name_list};
use super::json_row::Keys;
use super::jsonl_file::{
    BAILIAN, BAILIAN_BLOCK_TOKENS, BAILIAN_MARK, MOONCAKE, MOONCAKE_BLOCK_TOKENS, OURS,
    syntax_error,
};
use super::lines::{Line, Lines};
use super::whole;

/// How to read a file.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Csv(&'static Dialect),
    /// Sessions of coding agents.
    Weka,
    /// Conversations, as text.
    Conversations,
    /// What conversations are made from, by vLLM's benchmark and by inference-perf.
    VllmMultiTurn,
    InferencePerf,
    /// Clients, whose requests are drawn.
    ServeGen,
    /// The keys, and the tokens of a block where the format settles them.
    Json(&'static Keys, Option<u32>),
}

const JSON_OURS: Format = Format::Json(&OURS, None);
const JSON_MOONCAKE: Format = Format::Json(&MOONCAKE, Some(MOONCAKE_BLOCK_TOKENS));
const JSON_BAILIAN: Format = Format::Json(&BAILIAN, Some(BAILIAN_BLOCK_TOKENS));

/// The format that was asked for, or the one that the first line shows. That line is read again
/// afterwards.
pub(super) fn format_of(
    lines: &mut Lines,
    asked: Option<TraceFormat>,
) -> Result<Format, WorkloadError> {
    let path = lines.path().to_owned();
    // What tells these is not one line.
    if asked.is_none()
        && let Some(format) = whole::told(&path)
    {
        return Ok(format);
    }
    let Some(line) = lines.next()? else {
        let empty = WorkloadError::content(&path, None, "expected requests, found an empty file");
        return Err(empty.with_help(NO_ROWS));
    };
    // A format that is given by name says how to read a trace, not that this is one.
    not_measured(&line)?;
    let format = match asked {
        Some(TraceFormat::Azure) => Format::Csv(&AZURE),
        Some(TraceFormat::Vidur) => Format::Csv(&VIDUR),
        Some(TraceFormat::BurstGpt) => Format::Csv(&BURSTGPT),
        Some(TraceFormat::Csv) => Format::Csv(&PLAIN),
        Some(TraceFormat::Jsonl) => JSON_OURS,
        Some(TraceFormat::Mooncake) if object_keys(&line).is_ok_and(|keys| is_bailian(&keys)) => {
            JSON_BAILIAN
        }
        Some(TraceFormat::Mooncake) => JSON_MOONCAKE,
        Some(TraceFormat::Weka) => Format::Weka,
        Some(TraceFormat::Conversations) => Format::Conversations,
        Some(TraceFormat::VllmMultiTurn) => Format::VllmMultiTurn,
        Some(TraceFormat::InferencePerf) => Format::InferencePerf,
        Some(TraceFormat::ServeGen) => Format::ServeGen,
        None => told(&line).map_err(|error| match measured_file(&path) {
            Some((what, then)) => measured(&line, what, then),
            None => error,
        })?,
    };
    lines.unread();
    Ok(format)
}

fn told(line: &Line<'_>) -> Result<Format, WorkloadError> {
    match line.text.trim_start().as_bytes().first() {
        Some(b'{') => by_keys(line),
        Some(b'[') => Err(unknown(line, "a JSON list".to_owned())
            .with_help(format!("one object a line is read; {}", accepted()))),
        _ => by_header(line),
    }
}

/// A file of what a server did, not of what was asked of it.
fn measured(line: &Line<'_>, what: &str, then: Option<&str>) -> WorkloadError {
    line.error(format!("expected a trace of requests, found {what}")).with_help(format!(
        "{}; a trace has a row a request, with its lengths",
        then.unwrap_or("`metron-sim evaluate` reads it")
    ))
}

/// Refuses a file of tokens: it has the columns of a trace as well, and a row a token.
fn not_measured(line: &Line<'_>) -> Result<(), WorkloadError> {
    let keys = object_keys(line).unwrap_or_default();
    let names = match keys.as_slice() {
        [] => header_names(line.text).unwrap_or_default(),
        keys => keys.iter().map(String::as_str).collect(),
    };
    measured_columns(&names).map_or(Ok(()), |what| Err(measured(line, what, None)))
}

fn by_header(line: &Line<'_>) -> Result<Format, WorkloadError> {
    let names = header_names(line.text).unwrap_or_default();
    match DIALECTS.into_iter().find(|dialect| dialect.fits(&names)) {
        Some(dialect) => Ok(Format::Csv(dialect)),
        None => Err(unknown(line, format!("the columns {}", name_list(&names)))),
    }
}

fn by_keys(line: &Line<'_>) -> Result<Format, WorkloadError> {
    let keys = object_keys(line)?;
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let has = |key: &str| keys.iter().any(|found| found == key);
    if has("hash_id_scope") || has("requests") && has("block_size") {
        Ok(Format::Weka)
    } else if has(OURS.prompt) || has("block_tokens") {
        Ok(JSON_OURS)
    } else if has(MOONCAKE.prompt) {
        Ok(if is_bailian(&keys) { JSON_BAILIAN } else { JSON_MOONCAKE })
    } else {
        Err(unknown(line, format!("the keys {}", name_list(&names))))
    }
}

fn is_bailian(keys: &[String]) -> bool {
    keys.iter().any(|key| key == BAILIAN_MARK)
}

fn object_keys(line: &Line<'_>) -> Result<Vec<String>, WorkloadError> {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(line.text).map_err(|error| syntax_error(line, &error))?;
    Ok(object.into_iter().map(|(key, _)| key).collect())
}

fn unknown(line: &Line<'_>, found: String) -> WorkloadError {
    line.error(format!("expected a known trace format, found {found}")).with_help(accepted())
}

/// All key sets that are read.
fn accepted() -> String {
    let csv: Vec<String> = DIALECTS.iter().map(|dialect| dialect.accepted()).collect();
    let json: Vec<String> = [&OURS, &MOONCAKE].iter().map(|keys| keys.accepted()).collect();
    format!(
        "accepted are CSV columns ({}), JSONL keys ({}) and JSON lists of conversations (`messages` or \
         `conversations`); other text must be counted in tokens first",
        csv.join("; "),
        json.join("; ")
    )
}
