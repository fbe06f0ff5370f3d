//! What a measured file holds, in the form that the metric engine takes.

use std::collections::BTreeMap;

use super::spool::{Block, Spool};
use crate::ids::RequestId;
use crate::metrics::Knowledge;
use crate::result::stated::StatedRun;
use crate::time::{Span, Time};
use crate::trace::{Column, Part, Parts, RequestRow, TokenTrace};

/// How finely a file tells when text came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Granularity {
    /// A time for each output token.
    Token,
    /// A time for each chunk; some chunks hold several tokens, and which is not known.
    Chunk,
    /// First and last token of each request.
    FirstLast,
    /// How long each request took, and nothing of its tokens.
    Total,
}

impl Granularity {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Granularity::Token => "token",
            Granularity::Chunk => "chunk",
            Granularity::FirstLast => "first-last",
            Granularity::Total => "total",
        }
    }
}

/// One run of a benchmark (or of one scheduler), as its file tells it.
///
/// Where `granularity` is not [`Granularity::Token`], a row's `tokens` is the request's true count
/// as the file gives it, and its run holds fewer times.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Measured {
    /// What tells it apart within its file: a scheduler, a rate; empty when it is alone.
    pub name: String,
    /// Arrivals, first tokens and later ones; the earliest arrival is at 0. Where the tokens are
    /// [too many for memory](Measured::is_spooled) it has no columns, and [`Parts`] gives them.
    pub trace: TokenTrace,
    pub(super) spooled: Option<Spooled>,
    /// Whether some request has more chunks than tokens, so that some chunks are no token.
    pub extra_chunks: bool,
    /// What of it is known.
    pub knows: Knowledge,
    /// How finely.
    pub granularity: Granularity,
    /// Class names by index.
    pub classes: Vec<String>,
    /// Deadline of each request's first token where the file states it, by row.
    pub ttft_deadlines_ns: Option<Vec<u64>>,
    /// Time that each request spent in the client before it was sent, where the file tells, in
    /// nanoseconds. Not part of any latency: those count from sending.
    pub client_queue_ns: Option<Vec<u64>>,
    /// From sending to the first token of the answer, of completed requests, where the file tells it from
    /// the first token of what was thought before.
    pub first_answer_ns: Option<Vec<u64>>,
    /// Total time of each completed request, for [`Granularity::Total`].
    pub totals_ns: Option<Vec<u64>>,
    /// Requests that failed; they are among the rejected.
    pub failed: u64,
    /// Prompt tokens that the server said were cached, where the file tells.
    pub cached_tokens: Option<u64>,
    /// Tokens of prompts and answers over the whole run where requests do not tell.
    pub token_totals: Option<(u64, u64)>,
    /// What the file states of the run besides its requests, where it is one of this program's.
    pub stated: Option<StatedRun>,
    /// Figures that the client itself worked out, by its own names.
    pub reported: BTreeMap<String, f64>,
    /// What a reader should know of how the file was read.
    pub notes: Vec<String>,
    /// Whether the client spread each chunk's gap over its tokens.
    pub smoothed: bool,
    /// What the file says that cannot all be true.
    pub contradictions: Vec<String>,
}

/// The later tokens of a run that has too many of them for memory.
#[derive(Clone, Debug)]
pub(super) struct Spooled {
    pub(super) spool: Spool,
    pub(super) parts: Vec<SpooledPart>,
    /// The earliest arrival, from which times are to count.
    pub(super) earliest: u64,
}

/// The column of some requests that follow each other; their runs point into it.
#[derive(Clone, Debug)]
pub(super) struct SpooledPart {
    /// The index after that of the last of them.
    pub(super) end: usize,
    pub(super) column: Block,
}

impl Measured {
    /// Whether the later tokens are in a temporary file.
    pub fn is_spooled(&self) -> bool {
        self.spooled.is_some()
    }

    /// Why tokens could not be read back from the temporary file, if that happened: figures made
    /// since are wrong.
    pub fn lost(&self) -> Option<String> {
        self.spooled.as_ref().and_then(|spooled| spooled.spool.lost())
    }
}

impl Parts for Measured {
    fn requests(&self) -> &[RequestRow] {
        &self.trace.requests
    }

    fn end(&self) -> Time {
        self.trace.end
    }

    fn whole(&self) -> Option<&TokenTrace> {
        (!self.is_spooled()).then_some(&self.trace)
    }

    fn each_part(&self, visit: &mut dyn FnMut(Part<'_>)) {
        let Some(spooled) = &self.spooled else {
            return visit(Part::from(&self.trace));
        };
        let mut first = 0;
        let mut column = Vec::new();
        let mut requests = Vec::new();
        for part in &spooled.parts {
            column.clear();
            requests.clear();
            requests.extend_from_slice(&self.trace.requests[first..part.end]);
            let all = spooled.spool.read(&part.column, |at| {
                column.push(Time::from_nanos(at.saturating_sub(spooled.earliest)));
            });
            if !all {
                // What is made of it is thrown away, but must be a trace.
                column.clear();
                for row in &requests {
                    column.extend((0..row.run.len).map(|_| row.first_token));
                }
            }
            let mut trace = TokenTrace {
                way_back: Span::ZERO,
                columns: vec![Column::own(std::mem::take(&mut column))],
                requests: std::mem::take(&mut requests),
                lanes: Vec::new(),
                more_runs: Vec::new(),
                end: self.trace.end,
                to_come: self.trace.to_come.clone(),
                hand_overs: Vec::new(),
                kv_loads: Vec::new(),
            };
            visit(Part { trace: &trace, first: RequestId(first as u32) });
            column = std::mem::take(&mut trace.columns[0].times);
            requests = std::mem::take(&mut trace.requests);
            first = part.end;
        }
    }
}
