//! The time between tokens, pooled over all tokens without visiting each of them.
//!
//! A column's gap between two neighbouring entries is one sample for each run that spans both, so
//! it is taken once, with that weight. The gap from the token before a run to the run's first
//! entry belongs to the run alone.

use super::fluidity::demand;
use super::summary::Distribution;
use super::weighted::{self, Weighted};
use crate::time::Time;
use crate::trace::{Parts, RequestRow, TokenTrace};

/// The distribution of the gaps between consecutive tokens of these requests: indices that rise.
pub(super) fn pooled_tbt(trace: &impl Parts, rows: &[u32]) -> Distribution {
    match trace.whole() {
        Some(whole) => weighted::distribution(&gaps_of(whole, among(whole, rows))),
        None => weighted::distribution(&InParts { trace, rows }),
    }
}

/// The gaps between consecutive tokens of these requests at wanted ranks: how many gaps there are,
/// and for each rank that `ranks` makes of that number, from 0 on and rising, the gap there in
/// nanoseconds. Nothing for no gap. Gaps are not stored, however many there are.
pub(crate) fn gaps_at(
    trace: &impl Parts,
    rows: &[u32],
    ranks: impl FnOnce(u64) -> Vec<u64>,
) -> (u64, Vec<u64>) {
    match trace.whole() {
        Some(whole) => weighted::at_ranks(&gaps_of(whole, among(whole, rows)), ranks),
        None => weighted::at_ranks(&InParts { trace, rows }, ranks),
    }
}

fn among<'t>(trace: &'t TokenTrace, rows: &[u32]) -> impl Iterator<Item = &'t RequestRow> + Clone {
    rows.iter().map(|&row| &trace.requests[row as usize])
}

/// The gaps of a trace of several parts; each walk loads each part anew.
struct InParts<'t, P> {
    trace: &'t P,
    rows: &'t [u32],
}

impl<P: Parts> Weighted for InParts<'_, P> {
    fn each(&self, mut visit: impl FnMut(u64, u64)) {
        self.trace.each_part(|part| {
            let rows = part.of(self.rows).iter().map(|&row| part.row(row));
            gaps_of(part.trace, rows).each(&mut visit);
        });
    }
}

/// The gaps between consecutive tokens of these requests, sorted: nanoseconds, and how many there
/// are of them. A length may stand there more than once.
pub fn pooled_gaps<'r>(
    trace: &TokenTrace,
    rows: impl Iterator<Item = &'r RequestRow> + Clone,
) -> Vec<(u64, u64)> {
    let mut sorted = Vec::new();
    gaps_of(trace, rows).each(|gap, weight| sorted.push((gap, weight)));
    sorted.sort_unstable();
    sorted
}

fn gaps_of<'t, 'r, R>(trace: &'t TokenTrace, rows: R) -> Gaps<'t, R>
where
    R: Iterator<Item = &'r RequestRow> + Clone,
{
    let demand = demand(trace, rows.clone());
    let steps = trace.columns.iter().zip(&demand).map(|(column, &entries)| {
        let shared = entries / 2 >= column.len().max(1) as u64;
        vec![0; if shared { column.len() + 1 } else { 0 }]
    });
    let mut steps: Vec<Vec<i32>> = steps.collect();
    for run in rows.clone().flat_map(|row| trace.runs(row)) {
        let steps = &mut steps[run.column as usize];
        if !steps.is_empty() {
            steps[run.first as usize + 1] += 1;
            steps[(run.first + run.len) as usize] -= 1;
        }
    }
    Gaps { trace, steps, rows }
}

/// All gaps between tokens; none is stored.
struct Gaps<'t, R> {
    trace: &'t TokenTrace,
    /// For each entry of a column that many runs share, by how much more of them span the gap
    /// before it than the gap before the entry before it; nothing for other columns.
    steps: Vec<Vec<i32>>,
    rows: R,
}

impl<'r, R> Weighted for Gaps<'_, R>
where
    R: Iterator<Item = &'r RequestRow> + Clone,
{
    fn each(&self, mut visit: impl FnMut(u64, u64)) {
        let gap = |pair: &[Time]| pair[1].since(pair[0]).as_nanos();
        for (column, steps) in self.trace.columns.iter().zip(&self.steps) {
            let mut spanned = 0i32;
            let Some(steps) = steps.get(1..) else { continue };
            for (pair, step) in column.windows(2).zip(steps) {
                spanned += step;
                if spanned > 0 {
                    visit(gap(pair), spanned as u64);
                }
            }
        }
        for row in self.rows.clone() {
            let mut before = row.first_token;
            for run in self.trace.runs(row) {
                let times = self.trace.times(run);
                visit(times[0].since(before).as_nanos(), 1);
                before = times[times.len() - 1];
                if self.steps[run.column as usize].is_empty() {
                    times.windows(2).for_each(|pair| visit(gap(pair), 1));
                }
            }
        }
    }
}
