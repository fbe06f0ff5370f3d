//! The token trace in memory: tokens are implied, not stored.
//!
//! All requests that decode in one iteration get their token at the same instant, the end of that
//! iteration. So a request's tokens are its first token plus *runs* of consecutive entries of a
//! shared [`Column`] of times. For a simulated trace a column holds the *decode steps* of one lane
//! (the iterations in which its decode set advances); for a measured trace one column holds every
//! request's later tokens one request after another, and each request has one run. The metric
//! engine sees no difference.

mod column;
pub mod columns;
pub mod decimal;
pub mod formula;
mod hand_over;
mod iteration;
mod kv_load;
mod lanes;
mod log;
pub(crate) mod numbers;
mod parts;
pub mod row_file;
pub mod table;
pub mod token_file;

use crate::ids::{ClassId, ColumnId, LaneId, RequestId};
use crate::time::{Span, Time};

pub use column::{Column, ColumnKind};
pub use hand_over::HandOver;
pub use iteration::{ChunkAt, ChunkRecord, Drafts, Iteration};
pub use kv_load::KvLoad;
pub use lanes::{Lane, Stay};
pub use log::{Iterations, Log};
pub use parts::{Part, Parts, last_tokens};

/// Marks the end of a chain of runs.
pub const NO_RUN: u32 = u32::MAX;

/// Token times of many requests, simulated or measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenTrace {
    /// Emission times that runs point into.
    pub columns: Vec<Column>,
    /// Whose each lane is, replica after replica; empty where that is not known, as in a measured
    /// trace.
    pub lanes: Vec<Lane>,
    /// One row a request, in order of arrival (file order for a measured trace).
    pub requests: Vec<RequestRow>,
    /// Runs after a request's first one, linked by [`Run::next`].
    pub more_runs: Vec<Run>,
    /// When observation ended.
    pub end: Time,
    /// What the way from the engine to the client takes. Token times are the client's; those of batches lie
    /// so much after they began and ended.
    pub way_back: Span,
    /// How much of their answers unfinished requests were still to get, where that is known: by
    /// row, rising. In a part of a trace rows count among all requests.
    pub to_come: Vec<ToCome>,
    /// Requests that went from one replica to another, by request.
    pub hand_overs: Vec<HandOver>,
    /// KV that came from tiers behind replicas' blocks, by request, of one in order of time.
    pub kv_loads: Vec<KvLoad>,
}

/// What an unfinished request was still to get when observation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToCome {
    /// Its row.
    pub row: RequestId,
    /// Output tokens, at least 1.
    pub tokens: u32,
}

/// Everything that is kept of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// When it was sent.
    pub arrival: Time,
    /// When any of its tokens was first in a running batch; [`Time::NEVER`] if never or unknown.
    pub scheduled: Time,
    /// Emission of the first token; [`Time::NEVER`] while there is none.
    pub first_token: Time,
    /// The later tokens: the first run, of length 0 when there is none.
    pub run: Run,
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Output tokens emitted so far, the first one and all runs together.
    pub tokens: u32,
    /// Prompt tokens found in the prefix cache at the first admission.
    pub hit_tokens: u32,
    /// How often it was preempted.
    pub preemptions: u32,
    /// The lane that ran it; before one did the first lane of its replica. Of a measured request 0.
    pub lane: LaneId,
    /// Its class.
    pub class: ClassId,
    /// How it ended.
    pub status: Status,
}

// Every request of a run is in memory at once.
const _: () = assert!(size_of::<RequestRow>() == 64);

/// Tokens emitted at `columns[column].times[first .. first + len]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The column.
    pub column: ColumnId,
    /// Index of the first entry.
    pub first: u32,
    /// Number of entries.
    pub len: u32,
    /// Index in [`TokenTrace::more_runs`] of the run after this one, or [`NO_RUN`].
    pub next: u32,
}

impl Run {
    /// No tokens after the first.
    pub const EMPTY: Run = Run { column: ColumnId(0), first: 0, len: 0, next: NO_RUN };
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// All of its tokens were emitted.
    Completed,
    /// Observation ended first.
    Unfinished,
    /// No replica could ever hold it, or a policy dropped it; tokens already sent stay sent.
    Rejected,
    /// The server failed it (measured traces only).
    Failed,
    /// It was given up because it took too long (measured traces only).
    TimedOut,
    /// The client ended it (measured traces only).
    Cancelled,
}

impl Status {
    /// Whether the answer was given up on one side or the other: turned away, failed, timed out,
    /// cancelled. Such a request has no deadlines and is not fluid.
    pub fn is_lost(self) -> bool {
        !matches!(self, Status::Completed | Status::Unfinished)
    }
}

impl RequestRow {
    /// Arrival to the first batch that held any of its tokens, where the way from the engine to the client takes
    /// `way_back`; `None` if never or unknown.
    pub(crate) fn waited(&self, way_back: Span) -> Option<Span> {
        (self.scheduled != Time::NEVER).then(|| self.scheduled.since(self.arrival + way_back))
    }
}

impl TokenTrace {
    /// When any token of a request was first in a batch, on the client's clock; `None` if never or unknown.
    pub fn scheduled(&self, row: &RequestRow) -> Option<Time> {
        Some(row.arrival + row.waited(self.way_back)?)
    }

    /// The output tokens that an unfinished request was still to get; `None` where that is not
    /// known.
    pub fn to_come(&self, row: RequestId) -> Option<u32> {
        let found = self.to_come.binary_search_by_key(&row, |one| one.row).ok()?;
        Some(self.to_come[found].tokens)
    }

    /// The later tokens of a request as slices of times, in order; all but the first token.
    pub fn runs<'a>(&'a self, row: &RequestRow) -> impl Iterator<Item = Run> + 'a {
        let mut next = Some(row.run);
        std::iter::from_fn(move || {
            let run = next?;
            next = (run.next != NO_RUN).then(|| self.more_runs[run.next as usize]);
            Some(run)
        })
        .filter(|run| run.len > 0)
    }

    /// The times that a run points to.
    pub fn times(&self, run: Run) -> &[Time] {
        &self.column(run).times[run.first as usize..(run.first + run.len) as usize]
    }

    /// The column that a run points to.
    pub fn column(&self, run: Run) -> &Column {
        &self.columns[run.column.index()]
    }

    /// The lane whose decode steps brought a run's tokens; `None` where they came on their own.
    pub fn steps_of(&self, run: Run) -> Option<LaneId> {
        self.column(run).steps_of()
    }

    /// The times of the decode steps of each lane, in order.
    pub fn steps(&self) -> impl Iterator<Item = (LaneId, &[Time])> {
        self.columns.iter().filter_map(|column| Some((column.steps_of()?, &*column.times)))
    }

    /// When a request's last token came.
    pub fn last_token(&self, row: &RequestRow) -> Option<Time> {
        let of_runs = self.runs(row).last().and_then(|run| self.times(run).last().copied());
        of_runs.or((row.first_token != Time::NEVER).then_some(row.first_token))
    }

    /// Every token's emission time, expanded; for writers and for the slow reference.
    pub fn token_times<'a>(&'a self, row: &RequestRow) -> impl Iterator<Item = Time> + 'a {
        let first = (row.first_token != Time::NEVER).then_some(row.first_token);
        first.into_iter().chain(self.runs(row).flat_map(|run| self.times(run).iter().copied()))
    }
}
