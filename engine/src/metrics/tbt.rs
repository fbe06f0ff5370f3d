//! The time between tokens, pooled over all tokens without visiting each of them.
//!
//! A column's gap between two neighbouring entries is one sample for each run that spans both, so
//! it is taken once, with that weight. The gap from the token before a run to the run's first
//! entry belongs to the run alone.

use std::ops::Range;

use super::fluidity::demand_of;
use super::summary::Distribution;
use super::weighted::{self, Weighted};
use crate::ids::RequestId;
use crate::time::Time;
use crate::trace::{Part, Parts, TokenTrace};

/// Entries of a column, and requests, that are visited at once.
const PIECE: usize = 1 << 14;

/// The distribution of the gaps between consecutive tokens of these requests: indices that rise.
pub(super) fn pooled_tbt(trace: &dyn Parts, rows: &[RequestId]) -> Distribution {
    match trace.whole() {
        Some(whole) => weighted::distribution(&Gaps::of(whole.into(), rows)),
        None => weighted::distribution(&InParts { trace, rows }),
    }
}

/// The same with further gaps beside them: nanoseconds, and how many there are of each.
pub(super) fn pooled_tbt_and(
    trace: &dyn Parts,
    rows: &[RequestId],
    more: &[(u64, u64)],
) -> Distribution {
    match trace.whole() {
        Some(whole) => weighted::distribution(&Beside { of: Gaps::of(whole.into(), rows), more }),
        None => weighted::distribution(&Beside { of: InParts { trace, rows }, more }),
    }
}

/// Samples, and some more.
struct Beside<'m, W> {
    of: W,
    more: &'m [(u64, u64)],
}

impl<W: Weighted> Weighted for Beside<'_, W> {
    fn pieces(&self) -> usize {
        self.of.pieces() + 1
    }

    fn each(&self, piece: usize, mut visit: impl FnMut(u64, u64)) {
        if piece < self.of.pieces() {
            return self.of.each(piece, visit);
        }
        self.more.iter().for_each(|&(gap, weight)| visit(gap, weight));
    }
}

/// The gaps between consecutive tokens of these requests at wanted ranks: how many gaps there are,
/// and for each rank that `ranks` makes of that number, from 0 on and rising, the gap there in
/// nanoseconds. Nothing for no gap. Gaps are not stored, however many there are.
pub(crate) fn gaps_at(
    trace: &dyn Parts,
    rows: &[RequestId],
    ranks: impl FnOnce(u64) -> Vec<u64>,
) -> (u64, Vec<u64>) {
    match trace.whole() {
        Some(whole) => weighted::at_ranks(&Gaps::of(whole.into(), rows), ranks),
        None => weighted::at_ranks(&InParts { trace, rows }, ranks),
    }
}

/// The gaps of a trace of several parts; each walk loads each part anew.
struct InParts<'t> {
    trace: &'t dyn Parts,
    rows: &'t [RequestId],
}

impl Weighted for InParts<'_> {
    fn pieces(&self) -> usize {
        1
    }

    fn each(&self, _piece: usize, mut visit: impl FnMut(u64, u64)) {
        self.trace.each_part(&mut |part| {
            Gaps::of(part, part.of(self.rows)).each_of_all(&mut visit);
        });
    }
}

/// The gaps between consecutive tokens of these requests, sorted: nanoseconds, and how many there
/// are of them. A length may stand there more than once.
pub fn pooled_gaps(trace: &TokenTrace, rows: &[RequestId]) -> Vec<(u64, u64)> {
    let mut sorted = Vec::new();
    Gaps::of(trace.into(), rows).each_of_all(|gap, weight| sorted.push((gap, weight)));
    sorted.sort_unstable();
    sorted
}

/// All gaps between tokens; none is stored.
struct Gaps<'t> {
    part: Part<'t>,
    rows: &'t [RequestId],
    /// For each entry of a column that many runs share, by how much more of them span the gap
    /// before it than the gap before the entry before it; nothing for other columns.
    steps: Vec<Vec<i32>>,
    pieces: Vec<Piece>,
}

/// Some of the gaps.
enum Piece {
    /// Those that end at these entries of a shared column; `spanned` is how many runs span the gap
    /// before the first of them.
    Column { column: usize, entries: Range<usize>, spanned: i32 },
    /// Those that single runs have for themselves, of these places in `rows`.
    Rows(Range<usize>),
}

impl<'t> Gaps<'t> {
    fn of(part: Part<'t>, rows: &'t [RequestId]) -> Gaps<'t> {
        let trace = part.trace;
        let steps = trace.columns.iter().zip(demand_of(part, rows)).map(|(column, entries)| {
            let entries_there = column.times.len();
            let shared = entries / 2 >= entries_there.max(1) as u64;
            vec![0; if shared { entries_there + 1 } else { 0 }]
        });
        let mut steps: Vec<Vec<i32>> = steps.collect();
        for run in rows.iter().flat_map(|&row| trace.runs(part.row(row))) {
            let steps = &mut steps[run.column.index()];
            if !steps.is_empty() {
                steps[run.first as usize + 1] += 1;
                steps[(run.first + run.len) as usize] -= 1;
            }
        }
        let mut pieces = Vec::new();
        for (column, steps) in steps.iter().enumerate().filter(|(_, steps)| !steps.is_empty()) {
            let (mut spanned, end) = (0, trace.columns[column].times.len());
            for from in (1..end).step_by(PIECE) {
                let entries = from..end.min(from + PIECE);
                let after = spanned + steps[entries.clone()].iter().sum::<i32>();
                pieces.push(Piece::Column { column, entries, spanned });
                spanned = after;
            }
        }
        let starts = (0..rows.len()).step_by(PIECE);
        pieces.extend(starts.map(|from| Piece::Rows(from..rows.len().min(from + PIECE))));
        Gaps { part, rows, steps, pieces }
    }

    fn each_of_all(&self, mut visit: impl FnMut(u64, u64)) {
        (0..self.pieces()).for_each(|piece| self.each(piece, &mut visit));
    }
}

impl Weighted for Gaps<'_> {
    fn pieces(&self) -> usize {
        self.pieces.len()
    }

    fn each(&self, piece: usize, mut visit: impl FnMut(u64, u64)) {
        let gap = |pair: &[Time]| pair[1].since(pair[0]).as_nanos();
        let trace = self.part.trace;
        match &self.pieces[piece] {
            &Piece::Column { column, ref entries, mut spanned } => {
                let times = &trace.columns[column].times[entries.start - 1..entries.end];
                let steps = &self.steps[column][entries.clone()];
                for (pair, step) in times.windows(2).zip(steps) {
                    spanned += step;
                    if spanned > 0 {
                        visit(gap(pair), spanned as u64);
                    }
                }
            }
            Piece::Rows(places) => {
                for &row in &self.rows[places.clone()] {
                    let row = self.part.row(row);
                    let mut before = row.first_token;
                    for run in trace.runs(row) {
                        let times = trace.times(run);
                        visit(times[0].since(before).as_nanos(), 1);
                        before = times[times.len() - 1];
                        if self.steps[run.column.index()].is_empty() {
                            times.windows(2).for_each(|pair| visit(gap(pair), 1));
                        }
                    }
                }
            }
        }
    }
}
