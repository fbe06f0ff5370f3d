//! Why tokens were late, over time.

use serde::Serialize;

use crate::explain::{Cause, Index, lateness_over_time};
use crate::metrics::Options;
use crate::order;

/// Time beyond the deadlines' pace, summed over requests, by cause and part of the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatenessView {
    /// Start of the first part, seconds.
    pub from_s: f64,
    /// Length of a part.
    pub part_s: f64,
    /// Causes with any lateness, the largest first.
    pub causes: Vec<Cause>,
    /// For each of those its seconds of lateness, part by part.
    pub seconds: Vec<Vec<f64>>,
}

/// Lateness in `parts` parts; none where no token was late.
pub(super) fn lateness(index: &Index<'_>, options: &Options, parts: usize) -> Option<LatenessView> {
    let over_time = lateness_over_time(index, options, parts);
    let total =
        |cause: Cause| -> f64 { over_time.parts.iter().map(|part| part[cause as usize]).sum() };
    let mut causes: Vec<(Cause, f64)> = Cause::ALL
        .iter()
        .map(|&cause| (cause, total(cause)))
        .filter(|(_, ns)| *ns >= 1.0)
        .collect();
    order::sort_by(&mut causes, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if causes.is_empty() {
        return None;
    }
    // Milliseconds are fine enough to draw.
    let seconds = |ns: f64| (ns / 1e6).round() / 1e3;
    let column = |&(cause, _): &(Cause, f64)| {
        over_time.parts.iter().map(|part| seconds(part[cause as usize])).collect()
    };
    Some(LatenessView {
        from_s: over_time.from.as_secs_f64(),
        part_s: over_time.width.as_secs_f64(),
        seconds: causes.iter().map(column).collect(),
        causes: causes.into_iter().map(|(cause, _)| cause).collect(),
    })
}
