//! Requests that stand in a file twice.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::builder::Sent;
use super::measured::{Granularity, Measured};
use crate::time::Time;

/// What tells one request apart, as 64 bits: two of a million requests share theirs by chance once in
/// 40 million files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark(u64);

impl Mark {
    /// The mark of an id, or of all that a file tells of a request.
    pub(super) fn of(what: impl Hash) -> Mark {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Mark(hasher.finish())
    }
}

/// The marks of a run's requests so far.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<Mark>);

impl Seen {
    /// Whether no request with this mark came before; remembers it.
    pub(super) fn first_time(&mut self, mark: Mark) -> bool {
        self.0.insert(mark)
    }
}

/// Whether an instant comes from a clock that is finer than a microsecond. Times that somebody wrote
/// by hand may well be the same for many requests.
fn fine(at: u64) -> bool {
    !at.is_multiple_of(1000)
}

/// The mark of a request without an id whose clock cannot tell the same times twice.
pub(super) fn by_clock(sent: &Sent, later: &[Time]) -> Option<Mark> {
    let first = sent.first.filter(|&first| fine(sent.sent) && fine(first))?;
    Some(Mark::of((sent.sent, first, later.last(), later.len(), sent.prompt_tokens, sent.total)))
}

/// Says of every run that has the same requests as an earlier one of its file.
pub(super) fn same_runs(runs: &mut [Measured]) {
    let mut seen: Vec<Option<Mark>> = Vec::with_capacity(runs.len());
    for (number, run) in runs.iter_mut().enumerate() {
        let mark = of_run(run);
        if let Some(earlier) = seen.iter().position(|earlier| mark.is_some() && *earlier == mark) {
            let (number, earlier) = (number + 1, earlier + 1);
            run.contradictions.push(format!("run {number} has the same requests as run {earlier}"));
        }
        seen.push(mark);
    }
}

/// The mark of all latencies of a run, where a clock measured them.
fn of_run(run: &Measured) -> Option<Mark> {
    if run.granularity == Granularity::Total {
        let totals = run.totals_ns.as_ref()?;
        return totals.iter().any(|&total| fine(total)).then(|| Mark::of(totals));
    }
    let rows = run.trace.requests.iter().filter(|row| row.first_token != Time::NEVER);
    let all: Vec<(u64, u32)> =
        rows.map(|row| (row.first_token.since(row.arrival).as_nanos(), row.tokens)).collect();
    all.iter().any(|&(ttft, _)| fine(ttft)).then(|| Mark::of(all))
}
