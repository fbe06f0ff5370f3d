//! Traces in JSONL: an object a line.

use std::collections::{HashMap, HashSet};

use crate::workload::WorkloadError;
use crate::workload::classes::CLASSES_MAX;

use super::json_row::{JsonRow, KeyError, Keys, RowReader};
use super::lines::{Line, Lines};
use super::table::{Ignored, Row, Table};

/// Our own format.
pub(super) const OURS: Keys = Keys {
    name: "jsonl",
    arrival: "arrival_s",
    arrival_power: 9,
    prompt: "prompt_tokens",
    output: "output_tokens",
    block_ids: "block_hash_ids",
    gap: Some(("gap_s", 9)),
    session: None,
    turns_add: false,
    parent: None,
    id: None,
    ours: true,
    other: &["id"],
};

/// Mooncake's traces: milliseconds, and ids of 512-token blocks.
pub(super) const MOONCAKE: Keys = Keys {
    name: "mooncake",
    arrival: "timestamp",
    arrival_power: 6,
    prompt: "input_length",
    output: "output_length",
    block_ids: "hash_ids",
    gap: Some(("delay", 6)),
    session: Some("session_id"),
    turns_add: true,
    parent: None,
    id: None,
    ours: false,
    other: &[],
};

/// Tokens of a Mooncake block.
pub(super) const MOONCAKE_BLOCK_TOKENS: u32 = 512;

/// Alibaba Bailian's (Qwen's) traces: Mooncake's keys in seconds, with conversations, and ids of
/// 16-token blocks.
pub(super) const BAILIAN: Keys = Keys {
    name: "bailian",
    arrival_power: 9,
    gap: None,
    session: None,
    turns_add: false,
    parent: Some("parent_chat_id"),
    id: Some(BAILIAN_MARK),
    other: &["type", "turn"],
    ..MOONCAKE
};

/// Tokens of a Bailian block.
pub(super) const BAILIAN_BLOCK_TOKENS: u32 = 16;

/// A key that only Bailian's rows have.
pub(super) const BAILIAN_MARK: &str = "chat_id";

impl Keys {
    /// The names, to tell what is accepted.
    pub(super) fn accepted(&self) -> String {
        format!("{}: {}, {}, {}", self.name, self.arrival, self.prompt, self.output)
    }
}

/// Reads a whole file. An id stands for `block_tokens` tokens unless the file's first line says
/// otherwise.
pub(super) fn read(
    lines: &mut Lines,
    keys: &'static Keys,
    mut block_tokens: u32,
    table: &mut Table,
) -> Result<(), WorkloadError> {
    table.arrival_names = std::slice::from_ref(&keys.arrival);
    let mut ignored = Ignored::default();
    let (mut first, mut cut) = (true, 0u64);
    let mut odd = Odd::default();
    let mut talks = Talks::default();
    while let Some(line) = lines.next()? {
        let ids_start = table.block_ids.len();
        let row = read_object(&line, keys, table, &mut ignored)?;
        if let Some(tokens) = row.block_tokens {
            let alone = row.prompt_tokens.is_none() && row.output_tokens.is_none();
            if !std::mem::take(&mut first) || !alone {
                return Err(line
                    .error("expected only in the first line, by itself")
                    .with_field("block_tokens"));
            }
            block_tokens = tokens;
            continue;
        }
        first = false;
        let missing = |key: &str| {
            line.error("expected a value, found none")
                .with_field(key)
                .with_help(format!("a row needs {}", keys.accepted()))
        };
        let prompt_tokens = row.prompt_tokens.ok_or_else(|| missing(keys.prompt))?;
        let output_tokens = row.output_tokens.ok_or_else(|| missing(keys.output))?;
        let follows = row.gap_ns.is_some() && row.session.is_some();
        if row.gap_ns.is_some() && row.session.is_none() {
            let (gap, _) = keys.gap.unwrap_or_default();
            let session = keys.session.unwrap_or("session");
            let wrong = "expected none in a request that belongs to no session";
            return Err(line
                .error(wrong)
                .with_field(gap)
                .with_help(format!("give its `{session}`")));
        }
        if follows {
            table.has_gaps = true;
        } else if table.rows.iter().all(|row| row.gap_ns.is_some()) {
            table.has_arrivals = row.arrival_ns.is_some();
        } else if table.has_arrivals != row.arrival_ns.is_some() {
            return Err(if table.has_arrivals {
                missing(keys.arrival)
            } else {
                line.error("expected none, as in the rows before").with_field(keys.arrival)
            });
        }
        let class = match &row.class {
            None => None,
            Some(name) => Some(table.class(name).ok_or_else(|| {
                line.error(format!("more than {CLASSES_MAX} classes")).with_field("class")
            })?),
        };
        cut += u64::from(row.max_tokens.is_some_and(|most| most < output_tokens));
        let blocks = table
            .block_ids_from(
                ids_start,
                prompt_tokens,
                keys.ours.then_some(output_tokens),
                block_tokens,
                &line,
            )
            .map_err(|error| error.with_field(keys.block_ids))?;
        let (session, parent) = match (&row.session, keys.parent) {
            (Some(name), _) => (Some(table.session(name)), None),
            (None, Some(_)) => talks.place_of(&row, table, &line)?,
            (None, None) => (None, None),
        };
        odd.see(&row, keys, prompt_tokens / block_tokens, blocks.len);
        let row = Row {
            arrival_ns: row.arrival_ns.unwrap_or(0),
            prompt_tokens,
            output_tokens,
            max_tokens: row.max_tokens,
            priority: row.priority,
            class,
            session,
            blocks,
            gap_ns: row.gap_ns,
            parent,
            has_arrival: row.arrival_ns.is_some(),
            line: line.number,
        };
        table.push(row, &line)?;
    }
    table.block_tokens = Some(block_tokens);
    table.sessions_are_conversations = keys.ours;
    table.notes.extend(ignored.note("keys"));
    table.notes.extend(odd.notes(keys));
    table.notes.extend(std::mem::take(&mut table.chained).note(keys.block_ids));
    if cut > 0 {
        table.notes.push(format!("outputs longer than their `max_tokens`: {cut} cut to it"));
    }
    Ok(())
}

/// Conversations of requests that say whose answer they go on from.
#[derive(Default)]
struct Talks {
    /// By request: the session that it is in, and its row.
    places: HashMap<String, (u32, u32)>,
}

impl Talks {
    /// The session of the next row of a table, and the row that it goes on from.
    fn place_of(
        &mut self,
        row: &JsonRow,
        table: &mut Table,
        line: &Line<'_>,
    ) -> Result<(Option<u32>, Option<u32>), WorkloadError> {
        let Some(id) = &row.id else { return Ok((None, None)) };
        let (session, before) = match row.parent.as_deref() {
            None | Some("-1" | "\"-1\"") => (table.session(id), None),
            Some(parent) => {
                self.places.get(parent).map(|&(of, row)| (of, Some(row))).ok_or_else(|| {
                    line.error(format!(
                        "expected a `{BAILIAN_MARK}` of a row above, found {parent}"
                    ))
                    .with_field("parent_chat_id")
                    .with_help(
                        "a conversation begins with -1, and stands in the order of its turns",
                    )
                })?
            }
        };
        self.places.insert(id.clone(), (session, table.rows.len() as u32));
        Ok((Some(session), before))
    }
}

/// What of another's trace cannot be as its format has it.
#[derive(Default)]
struct Odd {
    ids: HashSet<String>,
    /// Rows whose id was there before.
    twice: u64,
    /// Rows with ids for fewer blocks than their prompt fills.
    short: u64,
}

impl Odd {
    /// Looks at a row: `full` blocks are filled by its prompt, and it has ids for so many.
    fn see(&mut self, row: &JsonRow, keys: &Keys, full: u32, ids: u32) {
        // Ours may name a shared prefix alone.
        self.short += u64::from(!keys.ours && ids > 0 && ids < full);
        if let Some(id) = &row.id {
            self.twice += u64::from(!self.ids.insert(id.clone()));
        }
    }

    fn notes(&self, keys: &Keys) -> impl Iterator<Item = String> {
        let short = (self.short > 0).then(|| {
            format!(
                "{} rows have fewer `{}` than their prompts fill blocks: the rest is taken for \
                 text that nobody shares",
                self.short, keys.block_ids
            )
        });
        let twice = (self.twice > 0).then(|| {
            let id = keys.id.unwrap_or("");
            format!("{} rows have a `{id}` that stands in another row too", self.twice)
        });
        short.into_iter().chain(twice)
    }
}

fn read_object(
    line: &Line<'_>,
    keys: &'static Keys,
    table: &mut Table,
    ignored: &mut Ignored,
) -> Result<JsonRow, WorkloadError> {
    use serde::de::DeserializeSeed;

    let mut row = JsonRow::default();
    let mut problem: Option<KeyError> = None;
    let reader = RowReader {
        keys,
        row: &mut row,
        block_ids: &mut table.block_ids,
        ignored,
        problem: &mut problem,
    };
    let mut json = serde_json::Deserializer::from_str(line.text);
    let read = reader.deserialize(&mut json).and_then(|()| json.end());
    match (read, problem) {
        (Ok(()), _) => Ok(row),
        (Err(error), Some(problem)) => Err(line
            .error(problem.message)
            .with_field(problem.key)
            .with_column(column(line, &error))),
        (Err(error), None) => Err(syntax_error(line, &error)),
    }
}

/// What serde_json has to say about a line that is no JSON object.
pub(super) fn syntax_error(line: &Line<'_>, error: &serde_json::Error) -> WorkloadError {
    let text = error.to_string();
    let message = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
    let wrong =
        line.error(format!("expected a JSON object: {message}")).with_column(column(line, error));
    if error.is_eof() { wrong.with_help("is the file cut off here?") } else { wrong }
}

/// serde_json counts bytes, and points at the last one that it read.
fn column(line: &Line<'_>, error: &serde_json::Error) -> u64 {
    line.column_of(error.column().saturating_sub(1))
}
