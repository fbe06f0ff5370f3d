//! The time between tokens, pooled over all tokens without visiting each of them.
//!
//! A column's gap between two neighbouring entries is one sample for each run that spans both, so
//! it is taken once, with that weight. The gap from the token before a run to the run's first
//! entry belongs to the run alone.

use super::fluidity::demand;
use super::summary::Distribution;
use super::weighted::{self, Weighted};
use crate::time::Time;
use crate::trace::{RequestRow, TokenTrace};

/// The distribution of the gaps between consecutive tokens of these requests.
pub(super) fn pooled_tbt<'r>(
    trace: &TokenTrace,
    rows: impl Iterator<Item = &'r RequestRow> + Clone,
) -> Distribution {
    weighted::distribution(&gaps_of(trace, rows))
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

fn gaps_of<'t, 'r>(
    trace: &'t TokenTrace,
    rows: impl Iterator<Item = &'r RequestRow> + Clone,
) -> Gaps<'t> {
    let demand = demand(trace, rows.clone());
    let shared: Vec<bool> = trace
        .columns
        .iter()
        .zip(&demand)
        .map(|(column, &entries)| entries / 2 >= column.len().max(1) as u64)
        .collect();
    let mut steps: Vec<Vec<i32>> = trace
        .columns
        .iter()
        .zip(&shared)
        .map(|(column, &shared)| vec![0; if shared { column.len() + 1 } else { 0 }])
        .collect();
    let mut single = Vec::new();
    for row in rows {
        let mut before = row.first_token;
        for run in trace.runs(row) {
            let times = trace.times(run);
            single.push(times[0].since(before).as_nanos());
            before = times[times.len() - 1];
            let column = run.column as usize;
            if shared[column] {
                steps[column][run.first as usize + 1] += 1;
                steps[column][(run.first + run.len) as usize] -= 1;
            } else {
                single.extend(gaps(times));
            }
        }
    }
    Gaps { trace, steps, single }
}

fn gaps(times: &[Time]) -> impl Iterator<Item = u64> + '_ {
    times.windows(2).map(|pair| pair[1].since(pair[0]).as_nanos())
}

/// All gaps between tokens.
struct Gaps<'t> {
    trace: &'t TokenTrace,
    /// For each entry of a shared column, by how much more runs span the gap before it than the
    /// gap before the entry before it.
    steps: Vec<Vec<i32>>,
    /// Those of one request alone.
    single: Vec<u64>,
}

impl Weighted for Gaps<'_> {
    fn each(&self, mut visit: impl FnMut(u64, u64)) {
        for (column, steps) in self.trace.columns.iter().zip(&self.steps) {
            let mut spanned = 0i32;
            let Some(steps) = steps.get(1..) else { continue };
            for (pair, step) in column.windows(2).zip(steps) {
                spanned += step;
                if spanned > 0 {
                    visit(pair[1].since(pair[0]).as_nanos(), spanned as u64);
                }
            }
        }
        self.single.iter().for_each(|&gap| visit(gap, 1));
    }
}
