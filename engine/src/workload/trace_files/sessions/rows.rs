//! Sessions of files with a row a request: rows of one session follow each other, and say how long after the
//! answer before them, or when, they came.

use std::path::Path;

use super::{Namespaced, ReadSession, ReadSessions, ReadStep};
use crate::workload::trace_files::csv_file::{self, Dialect};
use crate::workload::trace_files::json_row::Keys;
use crate::workload::trace_files::jsonl_file;
use crate::workload::trace_files::lines::Lines;
use crate::workload::trace_files::table::{Row, Table};
use crate::workload::{GapKind, WorkloadError};

/// A format with a row a request, and the tokens of a block id where the file does not say.
#[derive(Clone, Copy)]
pub(super) enum Rows {
    Json(&'static Keys, u32),
    Csv(&'static Dialect, u32),
}

impl Rows {
    /// Whether the prompt tokens of later rows of a session are those that they add.
    fn turns_add(self) -> bool {
        matches!(self, Rows::Json(keys, _) if keys.turns_add)
    }

    fn block_tokens(self) -> u32 {
        let (Rows::Json(_, tokens) | Rows::Csv(_, tokens)) = self;
        tokens
    }
}

/// What to say of a file that is to be played by its answers and has nothing to play it by.
pub(super) fn no_gaps(path: &Path) -> WorkloadError {
    let message = "the file does not say how long after an answer the next request came";
    WorkloadError::content(path, None, message).with_help(
        "leave out `gaps`, and its requests come at their own times; or `gaps: answers`, and they wait for \
         the answer before them too",
    )
}

/// Reads a file; where it `keeps_times`, requests come as long after each other as they did then.
pub(super) fn read(
    lines: &mut Lines,
    rows: Rows,
    keeps_times: bool,
) -> Result<ReadSessions, WorkloadError> {
    let path = lines.path().to_owned();
    let mut table = Table::default();
    match rows {
        Rows::Json(keys, block_tokens) => {
            jsonl_file::read(lines, keys, block_tokens, &mut table)?;
        }
        Rows::Csv(dialect, _) => csv_file::read(lines, dialect, &mut table)?,
    }
    if keeps_times && !table.has_sessions() && !table.rows.is_empty() {
        let message = "expected sessions, whose requests wait for answers, found none";
        return Err(WorkloadError::content(&path, None, message)
            .with_help("leave out `gaps`, and its requests come at their own times"));
    }
    if matches!(rows, Rows::Csv(..)) && !keeps_times && !table.has_gaps {
        return Err(no_gaps(&path));
    }
    let id_tokens = table.block_tokens.unwrap_or(rows.block_tokens());
    let mut reader = Reader { path: &path, rows, keeps_times, table: &table, sooner: 0 };
    let mut read = ReadSessions { id_tokens, ..ReadSessions::default() };
    let mut place: Vec<Option<usize>> = Vec::new();
    // By row: its step in its session.
    let mut steps: Vec<u32> = Vec::with_capacity(table.rows.len());
    // By session of the result: the rows of its steps.
    let mut members: Vec<Vec<usize>> = Vec::new();
    let mut names = Namespaced::default();
    for (at, row) in table.rows.iter().enumerate() {
        let begin = |read: &mut ReadSessions, members: &mut Vec<Vec<usize>>| {
            read.sessions.push(ReadSession::default());
            members.push(Vec::new());
            read.sessions.len() - 1
        };
        let of = match row.session {
            Some(session) => {
                let session = session as usize;
                if place.len() <= session {
                    place.resize(session + 1, None);
                }
                *place[session].get_or_insert_with(|| begin(&mut read, &mut members))
            }
            // A request by itself is a session of one.
            None => begin(&mut read, &mut members),
        };
        let number = read.sessions[of].steps.len() as u32;
        // The row that it names, or that of its session before it.
        let named = row.parent.map(|parent| steps[parent as usize]);
        let before = named.or(number.checked_sub(1));
        let earlier = before.map(|before| &table.rows[members[of][before as usize]]);
        let (gap_ns, apart_ns) = reader.pause(row, earlier, number)?;
        if before.is_none() {
            read.sessions[of].start_ns = table.has_arrivals.then_some(row.arrival_ns);
        }
        let step = reader.step(row, &read.sessions[of].steps, before, &mut names);
        read.sessions[of].steps.push(ReadStep { gap_ns, apart_ns, ..step });
        steps.push(number);
        members[of].push(at);
    }
    let sooner = if keeps_times { reader.sooner } else { table.sooner };
    read.notes = std::mem::take(&mut table.notes);
    if let (Rows::Json(keys, _), true) = (rows, rows.turns_add()) {
        let (prompt, session) = (keys.prompt, keys.session.unwrap_or("session"));
        read.notes.push(format!(
            "later rows of a `{session}` say by `{prompt}` what they add to what was said before, as AIPerf reads them"
        ));
    }
    if sooner > 0 {
        read.notes.push(match keeps_times {
            true => format!(
                "{sooner} rows come before the row of their session above them: they follow its answer at once"
            ),
            false => format!(
                "{sooner} rows were sent before the answer of their session before them had come: they \
                 follow it at once"
            ),
        });
    }
    Ok(read)
}

struct Reader<'r> {
    path: &'r Path,
    rows: Rows,
    keeps_times: bool,
    table: &'r Table,
    /// Rows that arrived before the one that they go on from.
    sooner: u64,
}

impl Reader<'_> {
    /// How long a row comes after the answer before it, and after the request before it.
    fn pause(
        &mut self,
        row: &Row,
        earlier: Option<&Row>,
        number: u32,
    ) -> Result<(u64, u64), WorkloadError> {
        let wrong = |message: String, field: &str| {
            Err(WorkloadError::content(self.path, Some(row.line), message).with_field(field))
        };
        if self.keeps_times {
            if !row.has_arrival {
                let names = self.table.arrival_names.first().copied().unwrap_or_default();
                return wrong("expected a time of arrival, found none".to_owned(), names);
            }
            let Some(earlier) = earlier else { return Ok((0, 0)) };
            self.sooner += u64::from(row.arrival_ns < earlier.arrival_ns);
            return Ok((0, row.arrival_ns.saturating_sub(earlier.arrival_ns)));
        }
        match (row.gap_ns, earlier, self.rows) {
            (None, Some(_), Rows::Json(keys, _)) => {
                let message = format!(
                    "request {} of a session does not say how long after the answer before it came",
                    number + 1
                );
                wrong(message, keys.gap.map_or("gap", |(gap, _)| gap))
            }
            (gap_ns, ..) => Ok((gap_ns.unwrap_or(0), 0)),
        }
    }

    fn step(
        &self,
        row: &Row,
        steps: &[ReadStep],
        before: Option<u32>,
        names: &mut Namespaced,
    ) -> ReadStep {
        let said = before.map(|before| {
            let earlier = &steps[before as usize];
            earlier.prompt_tokens.saturating_add(earlier.output_tokens)
        });
        // AIPerf's sessions say what each turn adds; what was said before comes in front of it.
        let in_front = said.filter(|_| self.rows.turns_add()).unwrap_or(0);
        let prompt_tokens = row.prompt_tokens.saturating_add(in_front);
        let ids = row.blocks.of(&self.table.block_ids).iter().map(|&id| names.id(id));
        let ids = if in_front > 0 { Vec::new() } else { ids.collect() };
        let class = row.class.map(|class| self.table.class_names[usize::from(class)].clone());
        ReadStep {
            prompt_tokens,
            output_tokens: row.output_tokens,
            max_tokens: row.max_tokens,
            priority: row.priority,
            class,
            kind: GapKind::User,
            waits: before.into_iter().collect(),
            before,
            turn: before.map_or(0, |before| steps[before as usize].turn + 1),
            ids,
            goes_on: said.is_some_and(|said| said <= prompt_tokens),
            ..ReadStep::default()
        }
    }
}
