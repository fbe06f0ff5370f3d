//! A prefill curve from the measurement itself: the TTFT of requests that had to wait for nobody.

use std::collections::BTreeMap;

use super::measured::Measured;
use crate::metrics::PrefillCurve;
use crate::time::{Span, Time};
use crate::trace::{RequestRow, Status};

/// Points of a fitted curve at most; more prompt lengths are put together.
const POINTS_MAX: usize = 32;
/// Requests that must have been alone before others are looked at.
const ALONE_MIN: usize = 8;

/// A curve and what it rests on.
#[derive(Clone, Debug)]
pub struct FittedCurve {
    /// The curve.
    pub curve: PrefillCurve,
    /// Requests that it was fitted to.
    pub requests: usize,
    /// Whether these were alone in the system until their first token; otherwise nobody else was
    /// waiting for a first token, but others may have been decoding.
    pub alone: bool,
}

/// Fits a prefill curve: the median TTFT of unqueued requests by prompt length, made monotone by a
/// running maximum. A request is unqueued when no other was in the system from its sending to its
/// first token; where fewer than 8 are, when no other was waiting for its first token.
///
/// # Errors
/// When the file does not tell when requests were sent, or none was unqueued.
pub fn fit_prefill_curve(measured: &Measured) -> Result<FittedCurve, String> {
    if !measured.knows.arrivals {
        return Err("the file does not tell when requests were sent, so it is not known which of \
                    them were unqueued"
            .to_owned());
    }
    let trace = &measured.trace;
    let answered =
        |row: &&RequestRow| row.first_token != Time::NEVER && row.status != Status::Rejected;
    let mut rows: Vec<&RequestRow> = trace.requests.iter().filter(answered).collect();
    rows.sort_by_key(|row| row.arrival);
    let unqueued = |until: &dyn Fn(&RequestRow) -> Time| -> Vec<&RequestRow> {
        let mut busy_until = Time::ZERO;
        let mut found = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let next = rows.get(index + 1).map_or(Time::NEVER, |next| next.arrival);
            if busy_until <= row.arrival && next >= row.first_token {
                found.push(*row);
            }
            busy_until = busy_until.max(until(row));
        }
        found
    };
    let last_token = |row: &RequestRow| trace.token_times(row).last().unwrap_or(row.first_token);
    let mut found = unqueued(&last_token);
    let alone = found.len() >= ALONE_MIN;
    if !alone {
        found = unqueued(&|row| row.first_token);
    }
    let points = medians(&found);
    let curve =
        PrefillCurve::new(points).map_err(|_| "no request of the file was unqueued".to_owned())?;
    Ok(FittedCurve { curve, requests: found.len(), alone })
}

/// The median TTFT at each prompt length, or of groups of neighbouring ones.
fn medians(rows: &[&RequestRow]) -> BTreeMap<u32, Span> {
    let mut samples: Vec<(u32, Span)> =
        rows.iter().map(|row| (row.prompt_tokens, row.first_token.since(row.arrival))).collect();
    samples.sort_unstable();
    let lengths = samples.chunk_by(|a, b| a.0 == b.0).count();
    let groups: Vec<&[(u32, Span)]> = if lengths <= POINTS_MAX {
        samples.chunk_by(|a, b| a.0 == b.0).collect()
    } else {
        samples.chunks(samples.len().div_ceil(POINTS_MAX)).collect()
    };
    let mut points = BTreeMap::new();
    for group in groups {
        let mut times: Vec<Span> = group.iter().map(|sample| sample.1).collect();
        times.sort_unstable();
        let median = times[(times.len() - 1) / 2];
        let point = points.entry(group[(group.len() - 1) / 2].0).or_insert(median);
        *point = median.max(*point);
    }
    points
}
