//! The time between tokens, pooled over all tokens without visiting each of them.
//!
//! A column's gap between two neighbouring entries is one sample for each run that spans both, so
//! it is taken once, with that weight. The gap from the token before a run to the run's first
//! entry belongs to the run alone.

use super::fluidity::demand;
use super::quantile::{Sample, distribution, mean_of_nanos, of_parts, rank};
use super::summary::Distribution;
use crate::time::Time;
use crate::trace::{RequestRow, TokenTrace};

/// The distribution of the gaps between consecutive tokens of these requests.
pub(super) fn pooled_tbt<'r>(
    trace: &TokenTrace,
    rows: impl Iterator<Item = &'r RequestRow> + Clone,
) -> Distribution {
    let (weighted, mut single) = gaps_apart(trace, rows);
    if weighted.is_empty() {
        return distribution(&mut single);
    }
    of_weighted(together(weighted, single))
}

/// The gaps between consecutive tokens of these requests, sorted: nanoseconds, and how many there
/// are of them. A length may stand there more than once.
pub fn pooled_gaps<'r>(
    trace: &TokenTrace,
    rows: impl Iterator<Item = &'r RequestRow> + Clone,
) -> Vec<(u64, u64)> {
    let (weighted, single) = gaps_apart(trace, rows);
    let mut gaps = together(weighted, single);
    gaps.sort_unstable();
    gaps
}

fn together(mut weighted: Vec<(u64, u64)>, single: Vec<u64>) -> Vec<(u64, u64)> {
    weighted.extend(single.into_iter().map(|gap| (gap, 1)));
    weighted
}

/// Gaps that requests share, with how many do, and those of one request each.
fn gaps_apart<'r>(
    trace: &TokenTrace,
    rows: impl Iterator<Item = &'r RequestRow> + Clone,
) -> (Vec<(u64, u64)>, Vec<u64>) {
    let demand = demand(trace, rows.clone());
    let shared: Vec<bool> = trace
        .columns
        .iter()
        .zip(&demand)
        .map(|(column, &entries)| entries / 2 >= column.len().max(1) as u64)
        .collect();
    // For each entry of a shared column, by how much more runs span the gap before it than the
    // gap before the entry before it.
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
    let mut weighted = Vec::new();
    for (column, steps) in trace.columns.iter().zip(&steps).filter(|(_, steps)| !steps.is_empty()) {
        let mut spanned = 0i32;
        for (pair, step) in column.windows(2).zip(&steps[1..]) {
            spanned += step;
            if spanned > 0 {
                weighted.push((pair[1].since(pair[0]).as_nanos(), spanned as u64));
            }
        }
    }
    (weighted, single)
}

fn gaps(times: &[Time]) -> impl Iterator<Item = u64> + '_ {
    times.windows(2).map(|pair| pair[1].since(pair[0]).as_nanos())
}

/// The distribution of at least one `(nanoseconds, weight)`.
fn of_weighted(mut samples: Vec<(u64, u64)>) -> Distribution {
    samples.sort_unstable();
    let count = samples.iter().map(|&(_, weight)| weight).sum();
    let sum = samples.iter().map(|&(gap, weight)| u128::from(gap) * u128::from(weight)).sum();
    // `below` samples are smaller than those of the index: both only rise, as the ranks do.
    let (mut index, mut below) = (0, 0);
    let quantiles = [500, 900, 950, 990, 999].map(|thousandths| {
        let (low, rest) = rank(count, thousandths);
        while below + samples[index].1 <= low {
            below += samples[index].1;
            index += 1;
        }
        let value = samples[index].0;
        let ends_here = below + samples[index].1 == low + 1;
        let above = if rest > 0 && ends_here { samples[index + 1].0 } else { value };
        value.towards(above, rest)
    });
    let (min, max) = (samples[0].0, samples[samples.len() - 1].0);
    of_parts(count, mean_of_nanos(sum, count), min.seconds(), quantiles, max.seconds())
}
