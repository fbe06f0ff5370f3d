//! Sessions of files with a row a request: rows of one session follow each other, and say how long after the
//! answer before them they came.

use super::{Namespaced, ReadSession, ReadSessions, ReadStep};
use crate::workload::trace_files::json_row::Keys;
use crate::workload::trace_files::jsonl_file;
use crate::workload::trace_files::lines::Lines;
use crate::workload::trace_files::table::Table;
use crate::workload::{GapKind, WorkloadError};

/// Reads a file whose format has gaps.
pub(super) fn read(
    lines: &mut Lines,
    keys: &'static Keys,
    block_tokens: u32,
) -> Result<ReadSessions, WorkloadError> {
    let path = lines.path().to_owned();
    let mut table = Table::default();
    jsonl_file::read(lines, keys, block_tokens, &mut table)?;
    let id_tokens = table.block_tokens.unwrap_or(block_tokens);
    let mut read = ReadSessions { id_tokens, notes: table.notes, ..ReadSessions::default() };
    let mut place: Vec<Option<usize>> = Vec::new();
    let mut names = Namespaced::default();
    for row in &table.rows {
        let at = match row.session {
            Some(session) => {
                let session = session as usize;
                if place.len() <= session {
                    place.resize(session + 1, None);
                }
                *place[session].get_or_insert_with(|| {
                    read.sessions.push(ReadSession::default());
                    read.sessions.len() - 1
                })
            }
            // A request by itself is a session of one.
            None => {
                read.sessions.push(ReadSession::default());
                read.sessions.len() - 1
            }
        };
        let session = &mut read.sessions[at];
        let number = session.steps.len() as u32;
        let before = number.checked_sub(1);
        match before {
            None => session.start_ns = table.has_arrivals.then_some(row.arrival_ns),
            Some(before) if row.gap_ns.is_none() => {
                let message = format!(
                    "request {} of a session does not say how long after the answer before it came",
                    before + 2
                );
                let (gap, _) = keys.gap.unwrap_or(("gap", 0));
                return Err(WorkloadError::content(&path, Some(row.line), message).with_field(gap));
            }
            Some(_) => {}
        }
        // AIPerf's sessions say what each turn adds; what was said before comes in front of it.
        let said = before.filter(|_| keys.turns_add).map_or(0, |before| {
            let earlier = &session.steps[before as usize];
            earlier.prompt_tokens.saturating_add(earlier.output_tokens)
        });
        let prompt_tokens = row.prompt_tokens.saturating_add(said);
        let ids = row.blocks.of(&table.block_ids).iter().map(|&id| names.id(id));
        let ids = if said > 0 { Vec::new() } else { ids.collect() };
        let goes_on = before.is_some_and(|before| {
            let earlier = &session.steps[before as usize];
            let said = earlier.prompt_tokens.saturating_add(earlier.output_tokens);
            said <= prompt_tokens
        });
        session.steps.push(ReadStep {
            prompt_tokens,
            output_tokens: row.output_tokens,
            max_tokens: row.max_tokens,
            priority: row.priority,
            class: row.class.map(|class| table.class_names[usize::from(class)].clone()),
            gap_ns: row.gap_ns.unwrap_or(0),
            kind: GapKind::User,
            waits: before.into_iter().collect(),
            before,
            turn: number,
            ids,
            goes_on,
        });
    }
    if keys.turns_add {
        let (prompt, session) = (keys.prompt, keys.session.unwrap_or("session"));
        read.notes.push(format!(
            "later rows of a `{session}` say by `{prompt}` what they add to what was said before, as AIPerf reads them"
        ));
    }
    Ok(read)
}
