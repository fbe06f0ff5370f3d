//! Traces in CSV: a header, then a request a line, columns found by name.

use std::ops::Range;

use crate::request::BlockIds;
use crate::workload::WorkloadError;

use super::lines::{Line, Lines};
use super::table::{Ignored, Row, Table};
use super::timestamp::timestamp_nanos;
use crate::trace::numbers::{nanos, tokens};

/// How one family of CSV traces names its columns. Where several names are given, the first that
/// the header has is taken.
pub(super) struct Dialect {
    pub(super) name: &'static str,
    pub(super) arrival: &'static [&'static str],
    pub(super) clock: Clock,
    pub(super) prompt: &'static [&'static str],
    pub(super) output: &'static [&'static str],
    /// Which conversation a request belongs to.
    pub(super) session: &'static [&'static str],
    /// How long a request took when it was recorded, in seconds.
    pub(super) elapsed: &'static [&'static str],
    /// Columns that the format is known to have and that say nothing about a request's load.
    pub(super) other: &'static [&'static str],
    /// Whether an output of 0 tokens marks a request that failed, to be left out.
    pub(super) zero_output_failed: bool,
}

/// What an arrival column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Seconds,
    Calendar,
}

/// A name that many programs give to a column of seconds, and some to one of dates.
const TIMESTAMP: &str = "timestamp";

/// By header name; also the product's own lengths files.
pub(super) const PLAIN: Dialect = Dialect {
    name: "csv",
    arrival: &["arrival_s", TIMESTAMP],
    clock: Clock::Seconds,
    prompt: &["prompt_tokens", "input_tokens"],
    output: &["output_tokens"],
    session: &["session"],
    elapsed: &[],
    other: &[],
    zero_output_failed: false,
};

/// Azure LLM inference traces 2023 and 2024, AzurePublicDataset.
pub(super) const AZURE: Dialect = Dialect {
    name: "azure",
    arrival: &["TIMESTAMP"],
    clock: Clock::Calendar,
    prompt: &["ContextTokens"],
    output: &["GeneratedTokens"],
    session: &[],
    elapsed: &[],
    other: &[],
    zero_output_failed: false,
};

/// Vidur's processed traces, and those of splitwise-sim.
pub(super) const VIDUR: Dialect = Dialect {
    name: "vidur",
    arrival: &["arrived_at", "arrival_timestamp"],
    clock: Clock::Seconds,
    prompt: &["num_prefill_tokens", "prompt_size"],
    output: &["num_decode_tokens", "token_size"],
    session: &[],
    elapsed: &[],
    other: &[
        "num_total_tokens",
        "pd_ratio",
        "request_id",
        "request_type",
        "application_id",
        "batch_size",
    ],
    zero_output_failed: false,
};

/// BurstGPT, both its older files and those with sessions.
pub(super) const BURSTGPT: Dialect = Dialect {
    name: "burstgpt",
    arrival: &["Timestamp"],
    clock: Clock::Seconds,
    prompt: &["Request tokens"],
    output: &["Response tokens"],
    session: &["Session ID"],
    elapsed: &["Elapsed time"],
    other: &["Model", "Total tokens", "Log Type"],
    zero_output_failed: true,
};

/// In the order in which a header is tried.
pub(super) const DIALECTS: [&Dialect; 4] = [&PLAIN, &AZURE, &VIDUR, &BURSTGPT];

impl Dialect {
    /// Whether a header has the two lengths.
    pub(super) fn fits(&self, header: &[&str]) -> bool {
        let has = |names: &[&str]| names.iter().any(|name| header.contains(name));
        has(self.prompt) && has(self.output)
    }

    /// The names, to tell what is accepted.
    pub(super) fn accepted(&self) -> String {
        format!(
            "{}: {}, {}, {}",
            self.name,
            self.arrival.join(" or "),
            self.prompt.join(" or "),
            self.output.join(" or ")
        )
    }
}

/// The names of a header line.
pub(super) fn header_names(text: &str) -> Option<Vec<&str>> {
    let mut fields = Vec::new();
    split(text, &mut fields)?;
    Some(fields.into_iter().map(|field| text[field].trim()).collect())
}

/// A column that is read.
#[derive(Clone, Copy)]
struct Column {
    index: usize,
    name: &'static str,
}

struct Columns {
    arrival: Option<Column>,
    prompt: Column,
    output: Column,
    session: Option<Column>,
    elapsed: Option<Column>,
    count: usize,
}

/// Reads a whole file, from its header on.
pub(super) fn read(
    lines: &mut Lines,
    dialect: &'static Dialect,
    table: &mut Table,
) -> Result<(), WorkloadError> {
    let Some(header) = lines.next()? else { return Ok(()) };
    let columns = find_columns(&header, dialect, table)?;
    table.has_arrivals = columns.arrival.is_some();
    // One session alone may have no gap at all.
    table.has_gaps = columns.elapsed.is_some();
    table.arrival_names = dialect.arrival;
    table.sessions_are_conversations = dialect.name == PLAIN.name;
    let mut clock = dialect.clock;
    let mut failed = 0u64;
    // When the last answer of each session had come.
    let mut ended: Vec<Option<u64>> = Vec::new();
    let mut sooner = 0u64;
    let mut fields: Vec<Range<usize>> = Vec::with_capacity(columns.count);
    while let Some(line) = lines.next()? {
        if split(line.text, &mut fields).is_none() {
            return Err(line.error("a quoted field does not end on its line"));
        }
        if fields.len() != columns.count {
            return Err(wrong_field_count(&line, columns.count, fields.len()));
        }
        let prompt_tokens = token_field(&line, &fields, columns.prompt)?;
        let output_tokens = token_field(&line, &fields, columns.output)?;
        if dialect.zero_output_failed && output_tokens == 0 {
            failed += 1;
            continue;
        }
        for (tokens, column) in [(prompt_tokens, columns.prompt), (output_tokens, columns.output)] {
            if tokens == 0 {
                return Err(bad_field(&line, &fields, column, "expected 1 token or more, found 0"));
            }
        }
        let arrival_ns = match columns.arrival {
            None => 0,
            Some(column) => {
                if table.rows.is_empty() && column.name == TIMESTAMP {
                    clock = clock_of(&line.text[fields[column.index].clone()]);
                    if clock == Clock::Seconds {
                        table.notes.push("`timestamp` is read as seconds".to_owned());
                    }
                }
                arrival_field(&line, &fields, column, clock)?
            }
        };
        let session = columns.session.and_then(|column| {
            let name = line.text[fields[column.index].clone()].trim();
            (!name.is_empty()).then(|| table.session(name))
        });
        let mut gap_ns = None;
        if let (Some(column), Some(session)) = (columns.elapsed, session) {
            let took = arrival_field(&line, &fields, column, Clock::Seconds)?;
            let session = session as usize;
            if ended.len() <= session {
                ended.resize(session + 1, None);
            }
            let before = ended[session].replace(arrival_ns.saturating_add(took));
            sooner += u64::from(before.is_some_and(|before| before > arrival_ns));
            gap_ns = before.map(|before| arrival_ns.saturating_sub(before));
        }
        let row = Row {
            arrival_ns,
            prompt_tokens,
            output_tokens,
            max_tokens: None,
            priority: None,
            class: None,
            session,
            blocks: BlockIds::default(),
            gap_ns,
            parent: None,
            has_arrival: columns.arrival.is_some(),
            line: line.number,
        };
        table.push(row, &line)?;
    }
    table.sooner = sooner;
    if failed > 0 {
        table.notes.push(format!(
            "requests with 0 `{}` failed when they were recorded: {failed} left out",
            dialect.output[0]
        ));
    }
    Ok(())
}

fn find_columns(
    header: &Line<'_>,
    dialect: &Dialect,
    table: &mut Table,
) -> Result<Columns, WorkloadError> {
    let Some(names) = header_names(header.text) else {
        return Err(header.error("a quoted field does not end on its line"));
    };
    let find = |wanted: &[&'static str]| -> Result<Option<Column>, WorkloadError> {
        for &name in wanted {
            let mut places = names.iter().enumerate().filter(|(_, found)| **found == name);
            if let Some((index, _)) = places.next() {
                if places.next().is_some() {
                    return Err(header.error("two columns have this name").with_field(name));
                }
                return Ok(Some(Column { index, name }));
            }
        }
        Ok(None)
    };
    let needed = |wanted: &[&'static str]| {
        find(wanted)?.ok_or_else(|| {
            header
                .error(format!(
                    "expected a column `{}`, found {}",
                    wanted.join("` or `"),
                    name_list(&names)
                ))
                .with_help(format!("accepted columns are {}", dialect.accepted()))
        })
    };
    let (arrival, session) = (find(dialect.arrival)?, find(dialect.session)?);
    // Of no use without times or sessions.
    let elapsed = find(dialect.elapsed)?.filter(|_| arrival.is_some() && session.is_some());
    let (prompt, output) = (needed(dialect.prompt)?, needed(dialect.output)?);
    let mut ignored = Ignored::default();
    for (index, name) in names.iter().enumerate() {
        let read = [arrival, Some(prompt), Some(output), session];
        let known = dialect.other.contains(name) || dialect.elapsed.contains(name);
        if !read.iter().flatten().any(|used| used.index == index) && !known {
            ignored.add(name);
        }
    }
    table.notes.extend(ignored.note("columns"));
    Ok(Columns { arrival, prompt, output, session, elapsed, count: names.len() })
}

/// Whether a file with this header says how long after an answer a request of `line` came.
pub(super) fn tells_gaps(dialect: &Dialect, header: &[&str], line: &str) -> bool {
    let place = |names: &[&str]| header.iter().position(|name| names.contains(name));
    let (Some(_), Some(session)) = (place(dialect.elapsed), place(dialect.session)) else {
        return false;
    };
    let mut fields = Vec::new();
    split(line, &mut fields)
        .and_then(|()| fields.get(session).cloned())
        .is_some_and(|field| !line[field].trim().is_empty())
}

/// The names of a header for an error, not more than fit.
pub(super) fn name_list(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{}`", crate::trace::numbers::shown(name)))
        .collect();
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn wrong_field_count(line: &Line<'_>, expected: usize, found: usize) -> WorkloadError {
    let error = line.error(format!("expected {expected} fields as in the header, found {found}"));
    if found < expected { error.with_help("is the file cut off here?") } else { error }
}

fn token_field(
    line: &Line<'_>,
    fields: &[Range<usize>],
    column: Column,
) -> Result<u32, WorkloadError> {
    tokens(&line.text[fields[column.index].clone()]).map_err(|error| {
        bad_field(line, fields, column, format!("expected a whole number of tokens, {error}"))
    })
}

/// What a first timestamp shows: seconds, or a date and a time.
fn clock_of(text: &str) -> Clock {
    if timestamp_nanos(text).is_ok() { Clock::Calendar } else { Clock::Seconds }
}

fn arrival_field(
    line: &Line<'_>,
    fields: &[Range<usize>],
    column: Column,
    clock: Clock,
) -> Result<u64, WorkloadError> {
    let text = &line.text[fields[column.index].clone()];
    let (value, expected) = match clock {
        Clock::Seconds => (nanos(text, 9), "seconds of 0 or more"),
        Clock::Calendar => (timestamp_nanos(text), "a time such as 2023-11-16 18:15:46.6805900"),
    };
    value.map_err(|error| bad_field(line, fields, column, format!("expected {expected}, {error}")))
}

fn bad_field(
    line: &Line<'_>,
    fields: &[Range<usize>],
    column: Column,
    message: impl Into<String>,
) -> WorkloadError {
    line.error(message)
        .with_field(column.name)
        .with_column(line.column_of(fields[column.index].start))
}

/// Splits a line at its commas into byte ranges; a field in quotes may hold commas. `None` when a
/// quote does not end: a field that goes on over lines is nowhere in these traces.
fn split(text: &str, fields: &mut Vec<Range<usize>>) -> Option<()> {
    fields.clear();
    let bytes = text.as_bytes();
    let mut start = 0;
    if !bytes.contains(&b'"') {
        for (at, &byte) in bytes.iter().enumerate() {
            if byte == b',' {
                fields.push(start..at);
                start = at + 1;
            }
        }
        fields.push(start..bytes.len());
        return Some(());
    }
    let mut quoted = false;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                fields.push(unquoted(bytes, start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(unquoted(bytes, start..bytes.len()));
    (!quoted).then_some(())
}

/// A field without the quotes around it.
fn unquoted(bytes: &[u8], field: Range<usize>) -> Range<usize> {
    let inside = &bytes[field.clone()];
    if inside.len() >= 2 && inside[0] == b'"' && inside[inside.len() - 1] == b'"' {
        field.start + 1..field.end - 1
    } else {
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Option<Vec<&str>> {
        let mut ranges = Vec::new();
        split(text, &mut ranges)?;
        Some(ranges.into_iter().map(|range| &text[range]).collect())
    }

    #[test]
    fn lines_are_split_at_commas_outside_quotes() {
        assert_eq!(fields("a,b,,"), Some(vec!["a", "b", "", ""]));
        assert_eq!(fields(""), Some(vec![""]));
        assert_eq!(fields("\"x, y\",2,\"\""), Some(vec!["x, y", "2", ""]));
        assert_eq!(fields("\"a \"\"b\"\", c\",é"), Some(vec!["a \"\"b\"\", c", "é"]));
        assert_eq!(fields("\"open,2"), None);
        assert_eq!(fields("\""), None);
    }
}
