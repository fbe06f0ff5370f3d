//! The token file: a row for each output token, exact to the nanosecond.
//!
//! Columns:
//!
//! | column | meaning |
//! |---|---|
//! | `scheduler` | label of the run, such as `sarathi(chunk_size=512)` |
//! | `request` | index of the request, in order of arrival |
//! | `index` | 0 for the first output token; empty in an *end row* |
//! | `time_s` | when the token was emitted, seconds with nine decimals |
//! | `arrival_s` | when its request arrived |
//! | `scheduled_s` | when any token of its request was first in a running batch; empty if never |
//! | `prompt_tokens` | prompt length of its request |
//! | `class` | class name of its request |
//! | `status` | how its request ended: `completed`, `unfinished`, `rejected`, `failed`, `timed_out` or `cancelled` |
//! | `ttft_deadline_s` | deadline of its request's first token, counted from arrival |
//! | `output_tokens` | tokens that its request has in this file; by its server's word where rows are chunks |
//! | `left_tokens` | in an unfinished request's end row: tokens that it was still to get |
//! | `run` | in a run's first row: facts of the run, as JSON (see [`StatedRun`]); empty in the others |
//!
//! [`StatedRun`]: crate::result::stated::StatedRun
//!
//! A request that is not `completed` has one more row, its *end row*: `index` is empty and `time_s`
//! is when observation ended (an unfinished request is judged by what can still become of it). So
//! every request has at least one row, and gaps, counts and denominators can all be formed from the
//! file alone. A run without a request has one row, of `scheduler` and `run` alone.
//! `output_tokens` and the counts in `run` tell a file that was cut off, even at a line's end.
//! Times are integers in the simulator, so text with nine decimals loses nothing.

use std::io::{self, Write};

use crate::ids::RequestId;
use crate::time::{Span, Time};
use crate::trace::row_file::{Cell, RowFormat, RowWriter};
use crate::trace::{RequestRow, Status, TokenTrace};

/// Names of the columns, in order.
pub const COLUMNS: &[&str] = &[
    "scheduler",
    "request",
    "index",
    "time_s",
    "arrival_s",
    "scheduled_s",
    "prompt_tokens",
    "class",
    "status",
    "ttft_deadline_s",
    "output_tokens",
    "left_tokens",
    "run",
];

/// Writes the token rows of one run after another.
pub struct TokenFile<W: Write> {
    rows: RowWriter<W>,
}

impl<W: Write> TokenFile<W> {
    /// Begins the file.
    ///
    /// # Errors
    /// When `writer` fails.
    pub fn new(writer: W, format: RowFormat) -> io::Result<TokenFile<W>> {
        Ok(TokenFile { rows: RowWriter::new(writer, format, COLUMNS)? })
    }

    /// Writes every token of `trace`. `ttft_deadline` gives each request's first-token
    /// deadline; `classes` are the class names by index; `facts` go into the first row.
    ///
    /// # Errors
    /// When the writer underneath fails.
    pub fn run<'a>(
        &mut self,
        scheduler: &'a str,
        trace: &TokenTrace,
        classes: &'a [String],
        ttft_deadline: impl Fn(&RequestRow) -> Span,
        facts: &'a str,
    ) -> io::Result<()> {
        if trace.requests.is_empty() {
            return self.rows.only(Cell::Text(scheduler), Cell::Text(facts));
        }
        let mut facts = Some(facts);
        for (id, row) in trace.requests.iter().enumerate() {
            let scheduled = trace.scheduled(row);
            let deadline = ttft_deadline(row);
            let to_come =
                trace.to_come(RequestId::at(id)).filter(|_| row.status == Status::Unfinished);
            let cells = |index: Option<u64>, time: Time, facts: Option<&'a str>| {
                let left = to_come.filter(|_| index.is_none());
                [
                    Cell::Text(scheduler),
                    Cell::Count(id as u64),
                    index.map_or(Cell::Empty, Cell::Count),
                    Cell::seconds(Some(time)),
                    Cell::seconds(Some(row.arrival)),
                    Cell::seconds(scheduled),
                    Cell::Count(u64::from(row.prompt_tokens)),
                    Cell::Text(classes.get(row.class.index()).map_or("", String::as_str)),
                    Cell::Text(status_name(row.status)),
                    Cell::seconds(Some(deadline)),
                    Cell::Count(u64::from(row.tokens)),
                    left.map_or(Cell::Absent, |tokens| Cell::Count(u64::from(tokens))),
                    facts.map_or(Cell::Absent, Cell::Text),
                ]
            };
            for (index, time) in trace.token_times(row).enumerate() {
                self.rows.row(&cells(Some(index as u64), time, facts.take()))?;
            }
            if row.status != Status::Completed {
                self.rows.row(&cells(None, trace.end, facts.take()))?;
            }
        }
        Ok(())
    }

    /// Flushes and hands the writer back.
    ///
    /// # Errors
    /// When the writer underneath fails.
    pub fn finish(self) -> io::Result<W> {
        self.rows.finish()
    }
}

/// A status as files write it.
pub fn status_name(status: Status) -> &'static str {
    match status {
        Status::Completed => "completed",
        Status::Unfinished => "unfinished",
        Status::Rejected => "rejected",
        Status::Failed => "failed",
        Status::TimedOut => "timed_out",
        Status::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClassId, ColumnId, LaneId};
    use crate::trace::{Column, NO_RUN, Run, ToCome};

    fn trace() -> TokenTrace {
        let at = Time::from_nanos;
        let row = RequestRow {
            arrival: at(1),
            scheduled: at(2),
            first_token: at(1_000_000_003),
            run: Run { column: ColumnId(0), first: 1, len: 2, next: NO_RUN },
            prompt_tokens: 7,
            tokens: 3,
            hit_tokens: 0,
            preemptions: 0,
            lane: LaneId(0),
            class: ClassId(0),
            status: Status::Completed,
        };
        let waiting = RequestRow {
            scheduled: Time::NEVER,
            first_token: Time::NEVER,
            run: Run::EMPTY,
            tokens: 0,
            status: Status::Unfinished,
            ..row
        };
        TokenTrace {
            way_back: Span::ZERO,
            columns: vec![Column::own(vec![at(4), at(1_000_000_007), at(2_000_000_000)])],
            requests: vec![row, waiting],
            lanes: Vec::new(),
            more_runs: Vec::new(),
            end: at(3_000_000_000),
            to_come: vec![ToCome { row: RequestId(1), tokens: 9 }],
            hand_overs: Vec::new(),
            kv_loads: Vec::new(),
        }
    }

    #[test]
    fn a_row_a_token_and_an_end_row_for_the_unfinished() {
        let mut file = TokenFile::new(Vec::new(), RowFormat::Csv).expect("in memory");
        let chat = ["chat".to_owned()];
        file.run(
            "v0",
            &trace(),
            &chat,
            |row| Span::from_millis(u64::from(row.prompt_tokens)),
            "{}",
        )
        .expect("in memory");
        let text = String::from_utf8(file.finish().expect("in memory")).expect("text");
        let expected = "\
scheduler,request,index,time_s,arrival_s,scheduled_s,prompt_tokens,class,status,ttft_deadline_s,output_tokens,left_tokens,run
v0,0,0,1.000000003,0.000000001,0.000000002,7,chat,completed,0.007000000,3,,{}
v0,0,1,1.000000007,0.000000001,0.000000002,7,chat,completed,0.007000000,3,,
v0,0,2,2.000000000,0.000000001,0.000000002,7,chat,completed,0.007000000,3,,
v0,1,,3.000000000,0.000000001,,7,chat,unfinished,0.007000000,0,9,
";
        assert_eq!(text, expected);
    }

    #[test]
    fn jsonl_has_the_same_rows() {
        let mut file = TokenFile::new(Vec::new(), RowFormat::Jsonl).expect("in memory");
        file.run("v0", &trace(), &[], |_| Span::ZERO, "{}").expect("in memory");
        let text = String::from_utf8(file.finish().expect("in memory")).expect("text");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|l| serde_json::from_str(l).expect("an object")).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[1]["index"], 1);
        assert_eq!(lines[0]["run"], "{}");
        assert!(lines[1].get("run").is_none());
        assert!(lines[3]["index"].is_null());
        assert_eq!(lines[3]["status"], "unfinished");
    }
}
