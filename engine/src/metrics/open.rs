//! Open requests: those whose answer was not complete when observation ended, and what figures can
//! become of them.
//!
//! Whatever goes on after the end can be as good as this: all tokens that are still to come come at
//! once, or each in time; or as bad: they come after any length of time. So an open request's
//! fluidity-index can fall to 0 and rise to that of its best continuation; it has missed what
//! it has missed, and has waited for as long as it has. How many tokens are to come is what the
//! trace says, any number where it says nothing. For shares, the index and the miss rate a request
//! may be dropped as well. For latencies it is taken to be answered in the end.

use std::cmp::Ordering;

use super::Tally;
use super::evaluate::index_over_requests;
use super::per_request::{RequestMetrics, UNKNOWN};
use super::quantile::{Ratio, Sample, distribution, rank};
use super::summary::{Bounds, Distribution, FluidityIndex, LatencyRange};
use super::tbt::{gaps_at, pooled_tbt_and};
use crate::ids::RequestId;
use crate::time::{Span, Time};
use crate::trace::{Parts, RequestRow};

/// What is kept of an open request.
#[derive(Clone, Copy)]
pub(super) struct Open {
    /// Its place among the requests that count.
    pub(super) place: u32,
    to_come: u32,
    missed: u64,
    /// Deadlines met at the most; `None` where there is no most.
    met: Option<u64>,
}

impl Open {
    pub(super) fn new(place: usize, metrics: &RequestMetrics) -> Open {
        Open {
            place: place as u32,
            to_come: metrics.to_come,
            missed: metrics.tally.missed,
            met: metrics.best().map(|best| best.met),
        }
    }

    /// The most that its fluidity-index can become.
    fn index(&self) -> f64 {
        self.met.map_or(1.0, |met| Tally { met, missed: self.missed }.index())
    }
}

/// Bounds of missed deadlines over all deadlines; `met` and `missed` are those of requests that
/// ended. `None` where no request need have a deadline in the end.
pub(super) fn miss_rate(met: u128, missed: u128, open: &[Open]) -> Option<Bounds> {
    let unbounded = open.iter().any(|one| one.met.is_none());
    let mut best: Vec<(u128, u128)> = open
        .iter()
        .filter_map(|one| {
            Some((u128::from(one.missed), u128::from(one.missed) + u128::from(one.met?)))
        })
        .filter(|&(_, all)| all > 0)
        .collect();
    // A request that is dropped has no deadlines: the best have them, as long as that lowers the rate.
    best.sort_by(|&a, &b| by_ratio(a, b));
    let (mut missed, mut all) = (missed, met + missed);
    for (more_missed, more) in best {
        if all > 0 && by_ratio((more_missed, more), (missed, all)) != Ordering::Less {
            break;
        }
        (missed, all) = (missed + more_missed, all + more);
    }
    if all == 0 && !unbounded {
        return None;
    }
    let lower = if unbounded { 0.0 } else { missed as f64 / all as f64 };
    Some(Bounds { lower, upper: 1.0 })
}

/// Compares a / b with c / d for (a, b) and (c, d), exactly: digit by digit of their continued
/// fractions. No denominator is 0.
pub(super) fn by_ratio(one: (u128, u128), other: (u128, u128)) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let (whole, whole_of_other) = (one.0 / one.1, other.0 / other.1);
        let (rest, rest_of_other) = (one.0 % one.1, other.0 % other.1);
        let by_whole = whole.cmp(&whole_of_other);
        if by_whole != Ordering::Equal || rest == 0 || rest_of_other == 0 {
            return by_whole.then((rest > 0).cmp(&(rest_of_other > 0)));
        }
        // The greater of two fractions below 1 has the smaller inverse.
        (one, other) = ((other.1, rest_of_other), (one.1, rest));
    }
}

/// The fluidity-index over requests, least and most; `indices` hold 0 for those that are open.
pub(super) fn index_range(
    mut indices: Vec<f64>,
    open: &[Open],
    counts: impl Fn(usize) -> bool,
) -> (FluidityIndex, FluidityIndex) {
    let over = |indices: &[f64]| {
        let those = indices.iter().enumerate().filter(|&(place, _)| counts(place));
        index_over_requests(those.map(|(_, &index)| index))
    };
    let least = over(&indices);
    for one in open {
        indices[one.place as usize] = one.index();
    }
    (least, over(&indices))
}

/// Latencies of all requests that count, those of open ones as long as they are so far or without
/// end.
pub(super) struct Latest<'t> {
    pub(super) trace: &'t dyn Parts,
    pub(super) rows: &'t [RequestId],
    /// First to last token of each.
    pub(super) decodes: &'t [u64],
    pub(super) open: &'t [Open],
}

/// An open request's latencies so far.
struct SoFar {
    /// Since the arrival, and since the first token and the last where there are some.
    arrival: Span,
    /// Whether a batch held some of it.
    scheduled: bool,
    first: Option<Span>,
    last: Option<Span>,
    /// Tokens of the whole answer, and those that are still to come.
    tokens: Option<u64>,
    to_come: Option<u64>,
}

impl Latest<'_> {
    fn so_far(&self) -> impl Iterator<Item = SoFar> + '_ {
        self.open.iter().map(|one| {
            let row: &RequestRow = &self.trace.requests()[self.rows[one.place as usize].index()];
            let decode = Span::from_nanos(self.decodes[one.place as usize]);
            let first = (row.first_token != Time::NEVER).then_some(row.first_token);
            let last = first.map(|first| first + decode);
            let end = self.trace.end().max(last.unwrap_or(row.arrival));
            let to_come = (one.to_come < UNKNOWN).then_some(u64::from(one.to_come));
            SoFar {
                arrival: end.since(row.arrival),
                scheduled: row.scheduled != Time::NEVER,
                first: first.map(|first| end.since(first)),
                last: last.map(|last| end.since(last)),
                tokens: to_come.map(|more| more + u64::from(row.tokens)),
                to_come,
            }
        })
    }

    /// Of times to the first token, beside those that are known.
    pub(super) fn ttft(&self, known: Vec<u64>) -> LatencyRange {
        let waits = self.so_far().filter(|one| one.first.is_none());
        range(known, waits.map(|one| one.arrival.as_nanos()).collect())
    }

    /// Of times to the first batch.
    pub(super) fn scheduling_delay(&self, known: Vec<u64>) -> LatencyRange {
        let waits = self.so_far().filter(|one| !one.scheduled);
        range(known, waits.map(|one| one.arrival.as_nanos()).collect())
    }

    /// Of times to the last token.
    pub(super) fn e2e(&self, known: Vec<u64>) -> LatencyRange {
        range(known, self.so_far().map(|one| one.arrival.as_nanos()).collect())
    }

    /// Of end-to-end latencies over output tokens.
    pub(super) fn normalized(&self, known: Vec<Ratio>) -> LatencyRange {
        let least = |one: SoFar| match one.tokens {
            Some(tokens) => Ratio::from(one.arrival.as_nanos() as f64 / (tokens as f64 * 1e9)),
            None => Ratio::from(0.0),
        };
        range(known, self.so_far().map(least).collect())
    }

    /// Of mean gaps. All that is to come may come at once.
    pub(super) fn tpot(&self, known: Vec<Ratio>) -> LatencyRange {
        let least = |one: SoFar| match one.tokens {
            Some(tokens) if tokens < 2 => None,
            Some(tokens) => {
                let decode = one.first.map_or(0, Span::as_nanos);
                Some(Ratio::from(decode as f64 / ((tokens - 1) as f64 * 1e9)))
            }
            None => Some(Ratio::from(0.0)),
        };
        range(known, self.so_far().filter_map(least).collect())
    }

    /// Of gaps between tokens; `None` where it is not known how many there will be.
    pub(super) fn tbt(&self) -> Option<LatencyRange> {
        // The gap that is open, and those after it, of which nothing is known.
        let (mut least, mut later) = (Vec::new(), 0);
        for one in self.so_far() {
            let to_come = one.to_come?;
            least.extend(one.last.map(|last| (last.as_nanos(), 1)));
            later += to_come - 1;
        }
        let open = least.len() as u64 + later;
        least.extend((later > 0).then_some((0, later)));
        let lower = pooled_tbt_and(self.trace, self.rows, &least);
        if open == 0 {
            return Some(LatencyRange { lower, upper: lower });
        }
        let upper = unbounded_beside(open, |wanted| gaps_at(self.trace, self.rows, wanted));
        Some(LatencyRange { lower, upper })
    }
}

/// The range of a distribution of `known` samples and others that are no less than `least`.
fn range<T: Sample>(mut known: Vec<T>, least: Vec<T>) -> LatencyRange {
    if least.is_empty() {
        let exact = distribution(&mut known);
        return LatencyRange { lower: exact, upper: exact };
    }
    // Means are summed in the order of requests.
    let lower = distribution(&mut [known.as_slice(), &least].concat());
    known.sort_unstable();
    let upper = unbounded_beside(least.len() as u64, |ranks| {
        let count = known.len() as u64;
        (count, ranks(count).into_iter().map(|rank| known[rank as usize]).collect())
    });
    LatencyRange { lower, upper }
}

/// The distribution of known samples and `more` without bound. `at` gives the number of known ones,
/// and the samples at the ranks that it is asked for. What depends on the others is null.
fn unbounded_beside<T: Sample>(
    more: u64,
    at: impl FnOnce(&dyn Fn(u64) -> Vec<u64>) -> (u64, Vec<T>),
) -> Distribution {
    const QUANTILES: [u64; 7] = [0, 500, 900, 950, 990, 999, 1000];
    let ranks_of = |known: u64, thousandths: u64| {
        let (low, rest) = rank((known + more).max(1), thousandths);
        let high = low + u64::from(rest > 0);
        (high < known).then_some((low, high, rest))
    };
    let wanted = |known: u64| {
        let ranks = QUANTILES.iter().filter_map(|&thousandths| ranks_of(known, thousandths));
        let mut ranks: Vec<u64> = ranks.flat_map(|(low, high, _)| [low, high]).collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    };
    let (known, samples) = at(&wanted);
    let ranks = wanted(known);
    let sample =
        |rank: u64| samples[ranks.binary_search(&rank).expect("a rank that was asked for")];
    let quantile = |thousandths| {
        let (low, high, rest) = ranks_of(known, thousandths)?;
        Some(sample(low).towards(sample(high), rest))
    };
    let [min, p50, p90, p95, p99, p999, max] = QUANTILES.map(quantile);
    Distribution { count: known + more, mean: None, min, p50, p90, p95, p99, p999, max }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_compared_exactly() {
        let huge = u128::MAX;
        for (a, b, order) in [
            ((1, 2), (2, 4), Ordering::Equal),
            ((1, 3), (1, 2), Ordering::Less),
            ((0, 7), (0, 3), Ordering::Equal),
            ((0, 7), (1, 900), Ordering::Less),
            ((huge - 1, huge), (huge - 2, huge - 1), Ordering::Greater),
            ((355, 113), (22, 7), Ordering::Less),
        ] {
            assert_eq!(by_ratio(a, b), order, "{a:?} {b:?}");
            assert_eq!(by_ratio(b, a), order.reverse(), "{b:?} {a:?}");
        }
    }
}
