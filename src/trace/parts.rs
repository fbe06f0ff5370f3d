//! Traces that are too long for memory, looked at part by part.

use super::{RequestRow, TokenTrace};
use crate::time::Time;

/// Token times of many requests, of which only one part at a time needs to be in memory.
///
/// A [`TokenTrace`] is one part. Whoever asks for a figure of all tokens walks over the parts, as
/// often as it must; requests themselves are all at hand.
pub trait Parts: Sync {
    /// All requests, in order. The runs of their tokens hold for [`whole`](Parts::whole) traces and
    /// within a part.
    fn requests(&self) -> &[RequestRow];

    /// When observation ended.
    fn end(&self) -> Time;

    /// The trace, where all of it is in memory.
    fn whole(&self) -> Option<&TokenTrace>;

    /// Calls `visit` with each part, in order of the requests. Each request is in one part.
    fn each_part(&self, visit: impl FnMut(Part<'_>));
}

/// Some requests that follow each other, with their tokens.
#[derive(Clone, Copy, Debug)]
pub struct Part<'t> {
    /// These requests alone; observation ended when it did for all.
    pub trace: &'t TokenTrace,
    /// The index of the first of them among all.
    pub first: u32,
}

impl<'t> From<&'t TokenTrace> for Part<'t> {
    fn from(trace: &'t TokenTrace) -> Part<'t> {
        Part { trace, first: 0 }
    }
}

impl<'t> Part<'t> {
    /// Those of `rows`, which are indices among all requests and rise, that are in this part.
    pub fn of<'r>(&self, rows: &'r [u32]) -> &'r [u32] {
        let end = u64::from(self.first) + self.trace.requests.len() as u64;
        let from = rows.partition_point(|&row| row < self.first);
        let to = rows.partition_point(|&row| u64::from(row) < end);
        &rows[from..to]
    }

    /// The request of this part that has the index `row` among all.
    pub fn row(&self, row: u32) -> &'t RequestRow {
        &self.trace.requests[(row - self.first) as usize]
    }

    /// The requests of this part with their indices among all.
    pub fn rows(&self) -> impl Iterator<Item = (u32, &'t RequestRow)> + Clone + use<'t> {
        (self.first..).zip(&self.trace.requests)
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

    fn each_part(&self, mut visit: impl FnMut(Part<'_>)) {
        visit(self.into());
    }
}

/// When the last token of each request came; [`Time::NEVER`] where there is none.
pub fn last_tokens(trace: &impl Parts) -> Vec<Time> {
    let mut lasts = Vec::with_capacity(trace.requests().len());
    trace.each_part(|part| {
        for row in &part.trace.requests {
            let run = part.trace.runs(row).last();
            let last = run.and_then(|run| part.trace.times(run).last().copied());
            lasts.push(last.unwrap_or(row.first_token));
        }
    });
    lasts
}
