//! Traces that are too long for memory, looked at part by part.

use super::{RequestRow, TokenTrace};
use crate::ids::RequestId;
use crate::time::{Span, Time};

/// Token times of many requests, of which only one part at a time needs to be in memory.
///
/// A [`TokenTrace`] is one part. Whoever asks for a figure of all tokens walks over the parts, as
/// often as it must; requests themselves are all at hand. Figures take a `dyn Parts`, so that they are
/// compiled here, with care, and not wherever they are asked for.
pub trait Parts: Sync {
    /// All requests, in order. The runs of their tokens hold for [`whole`](Parts::whole) traces and
    /// within a part.
    fn requests(&self) -> &[RequestRow];

    /// When observation ended.
    fn end(&self) -> Time;

    /// What the way from the engine to the client takes.
    fn way_back(&self) -> Span {
        self.whole().map_or(Span::ZERO, |trace| trace.way_back)
    }

    /// The trace, where all of it is in memory.
    fn whole(&self) -> Option<&TokenTrace>;

    /// Calls `visit` with each part, in order of the requests. Each request is in one part.
    fn each_part(&self, visit: &mut dyn FnMut(Part<'_>));
}

/// Some requests that follow each other, with their tokens.
#[derive(Clone, Copy, Debug)]
pub struct Part<'t> {
    /// These requests alone; observation ended when it did for all.
    pub trace: &'t TokenTrace,
    /// The first of them, by its row among all.
    pub first: RequestId,
}

impl<'t> From<&'t TokenTrace> for Part<'t> {
    fn from(trace: &'t TokenTrace) -> Part<'t> {
        Part { trace, first: RequestId::FIRST }
    }
}

impl<'t> Part<'t> {
    /// Those of `rows`, which rise, that are in this part.
    pub fn of<'r>(&self, rows: &'r [RequestId]) -> &'r [RequestId] {
        let end = self.first.index() + self.trace.requests.len();
        let from = rows.partition_point(|&row| row < self.first);
        let to = rows.partition_point(|row| row.index() < end);
        &rows[from..to]
    }

    /// A request of this part, by its row among all.
    pub fn row(&self, row: RequestId) -> &'t RequestRow {
        &self.trace.requests[row.since(self.first) as usize]
    }

    /// The requests of this part with their rows among all.
    pub fn rows(&self) -> impl Iterator<Item = (RequestId, &'t RequestRow)> + Clone + use<'t> {
        self.first.onwards().zip(&self.trace.requests)
    }
}

impl Parts for TokenTrace {
    fn requests(&self) -> &[RequestRow] {
        &self.requests
    }

    fn end(&self) -> Time {
        self.end
    }

    fn whole(&self) -> Option<&TokenTrace> {
        Some(self)
    }

    fn each_part(&self, visit: &mut dyn FnMut(Part<'_>)) {
        visit(self.into());
    }
}

/// When the last token of each request came; [`Time::NEVER`] where there is none.
pub fn last_tokens(trace: &dyn Parts) -> Vec<Time> {
    let mut lasts = Vec::with_capacity(trace.requests().len());
    trace.each_part(&mut |part| {
        for row in &part.trace.requests {
            let run = part.trace.runs(row).last();
            let last = run.and_then(|run| part.trace.times(run).last().copied());
            lasts.push(last.unwrap_or(row.first_token));
        }
    });
    lasts
}
