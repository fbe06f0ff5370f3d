//! The request file: a row for each request of each scheduler.
//!
//! Columns: `scheduler`, `id` (index in order of arrival), `class`, `replica`, `arrival_s`,
//! `scheduled_s`, `first_token_s`, `last_token_s` (instants, nine decimals), `prompt_tokens`,
//! `output_tokens` (emitted), `ttft_s`, `tpot_s` (empty below two tokens), `e2e_s`,
//! `fluidity_index` (empty for an unfinished request: it is not known), `met`, `missed` (deadlines, up
//! to the end of observation), `preemptions`, `hit_tokens` (prompt tokens from
//! the prefix cache), `status`, `ttft_deadline_s` (of the first token, counted from arrival), `left_tokens` (output tokens that an unfinished request was still to
//! get), `route_reason` (why that replica; empty with one replica), `held_tokens` and `most_held_tokens` (prompt tokens that the
//! replica, and the one that had most, held in its prefix cache when the request was routed; empty where that is of no account), `run` (in a run's first row: facts of the run, as JSON, see
//! [`StatedRun`](crate::result::stated::StatedRun); empty in the others). What a request never reached is empty; `e2e_s` is for completed
//! requests. Every request is there, those outside of the scenario's `measure` too. A run without a
//! request has one row, of `scheduler` and `run` alone.

use std::io::{self, Write};

use crate::fleet::{Held, RouteDecision};
use crate::metrics::{Options, RequestMetrics, each_request};
use crate::time::Time;
use crate::trace::row_file::{Cell, RowFormat, RowWriter, Rows};
use crate::trace::table::{TableColumn, TableRows};
use crate::trace::token_file::status_name;
use crate::trace::{RequestRow, Status, TokenTrace};

/// Names of the columns, in order.
pub const COLUMNS: &[&str] = &[
    "scheduler",
    "id",
    "class",
    "replica",
    "arrival_s",
    "scheduled_s",
    "first_token_s",
    "last_token_s",
    "prompt_tokens",
    "output_tokens",
    "ttft_s",
    "tpot_s",
    "e2e_s",
    "fluidity_index",
    "met",
    "missed",
    "preemptions",
    "hit_tokens",
    "status",
    "ttft_deadline_s",
    "left_tokens",
    "route_reason",
    "held_tokens",
    "most_held_tokens",
    "run",
];

/// Writes the request rows of one run after another.
pub struct RequestFile<R: Rows> {
    rows: R,
}

impl<W: Write> RequestFile<RowWriter<W>> {
    /// Begins the file.
    ///
    /// # Errors
    /// When `writer` fails.
    pub fn new(writer: W, format: RowFormat) -> io::Result<RequestFile<RowWriter<W>>> {
        Ok(RequestFile { rows: RowWriter::new(writer, format, COLUMNS)? })
    }

    /// Flushes and hands the writer back.
    ///
    /// # Errors
    /// When the writer underneath fails.
    pub fn finish(self) -> io::Result<W> {
        self.rows.finish()
    }
}

impl RequestFile<TableRows> {
    /// Begins a table in memory.
    pub fn in_memory() -> RequestFile<TableRows> {
        RequestFile { rows: TableRows::new(COLUMNS) }
    }

    /// Its columns.
    pub fn columns(self) -> Vec<TableColumn> {
        self.rows.finish()
    }
}

impl<R: Rows> RequestFile<R> {
    /// Writes a row for each request of `trace` that `options` count, judged as they say; `routes`
    /// say where each request went, where there was a choice, and what replicas held of each prompt
    /// then, where that is noted; `classes` are the class names by
    /// index; `facts` go into the first row.
    ///
    /// # Errors
    /// When the writer underneath fails.
    pub fn run(
        &mut self,
        scheduler: &str,
        trace: &TokenTrace,
        options: &Options,
        routes: Option<(&[RouteDecision], &[Held])>,
        classes: &[String],
        facts: &str,
    ) -> io::Result<()> {
        if trace.requests.is_empty() {
            return self.rows.only(Cell::Text(scheduler), Cell::Text(facts));
        }
        let mut facts = Some(facts);
        let mut write = |row: &RequestRow, one: RequestMetrics| {
            let reached = |time: Time| (time != Time::NEVER).then_some(time);
            let completed = row.status == Status::Completed;
            let place = one.row.index();
            let why = routes.and_then(|(routes, _)| routes.get(place));
            let held = routes.and_then(|(_, held)| held.get(place));
            let tokens = |tokens: Option<u32>| {
                tokens.map_or(Cell::Empty, |tokens| Cell::Count(u64::from(tokens)))
            };
            let why = why.map_or(String::new(), RouteDecision::to_string);
            let left = trace.to_come(one.row).filter(|_| one.is_open());
            let judged = (!row.status.is_lost()).then_some(one.tally);
            self.rows.row(&[
                Cell::Text(scheduler),
                Cell::Count(u64::from(one.row.0)),
                Cell::Text(classes.get(row.class.index()).map_or("", String::as_str)),
                Cell::Count(u64::from(trace.replica_of(row).0)),
                Cell::seconds(Some(row.arrival)),
                Cell::seconds(trace.scheduled(row)),
                Cell::seconds(reached(row.first_token)),
                Cell::seconds(one.e2e().map(|e2e| row.arrival + e2e)),
                Cell::Count(u64::from(row.prompt_tokens)),
                Cell::Count(u64::from(row.tokens)),
                Cell::seconds(one.ttft),
                Cell::number(one.tpot_s()),
                Cell::seconds(one.e2e().filter(|_| completed)),
                if one.is_open() { Cell::Empty } else { Cell::Number(one.index) },
                judged.map_or(Cell::Empty, |tally| Cell::Count(tally.met)),
                judged.map_or(Cell::Empty, |tally| Cell::Count(tally.missed)),
                Cell::Count(u64::from(row.preemptions)),
                Cell::Count(u64::from(row.hit_tokens)),
                Cell::Text(status_name(row.status)),
                Cell::seconds(Some(options.deadlines_of(row.class).ttft(row.prompt_tokens))),
                left.map_or(Cell::Empty, |tokens| Cell::Count(u64::from(tokens))),
                Cell::Text(&why),
                tokens(held.map(|held| held.here)),
                tokens(held.map(|held| held.most)),
                facts.take().map_or(Cell::Absent, Cell::Text),
            ])
        };
        let mut written = Ok(());
        each_request(trace, options, &mut |row, one| {
            if written.is_ok() {
                written = write(row, one);
            }
        });
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Deadlines, FirstToken};
    use crate::result::fixture;
    use crate::time::Span;

    #[test]
    fn a_row_a_request() {
        let mut trace = fixture::outcome().trace;
        trace.requests.push(crate::trace::RequestRow {
            scheduled: Time::NEVER,
            first_token: Time::NEVER,
            run: crate::trace::Run::EMPTY,
            tokens: 0,
            status: Status::Rejected,
            ..trace.requests[1]
        });
        let first = FirstToken::Fixed(Span::from_millis(500));
        let deadlines = Deadlines::new(first, Span::from_millis(25), 0.9).expect("deadlines");
        let options = Options::new(deadlines);
        let mut file = RequestFile::new(Vec::new(), RowFormat::Csv).expect("in memory");
        file.run("v0", &trace, &options, None, &["chat".to_owned()], "facts").expect("in memory");
        let text = String::from_utf8(file.finish().expect("in memory")).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(
            lines[1],
            "v0,0,chat,0,0.000000000,0.000000000,0.010000000,0.040000000,100,4,\
             0.010000000,0.01,0.040000000,1.0,4,0,0,0,completed,0.500000000,,,,,facts"
        );
        assert_eq!(
            lines[3],
            "v0,2,chat,0,0.005000000,,,,100,0,,,,0.0,,,0,0,rejected,0.500000000,,,,,"
        );
    }
}
