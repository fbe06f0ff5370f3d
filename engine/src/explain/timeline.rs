//! A stall drawn in characters: what the GPU ran, and when the text moved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::index::Index;
use super::lane::LaneColumns;
use super::stalls::Stall;
use crate::time::Time;

/// Columns of a drawing.
pub const COLUMNS: u64 = 64;

/// A drawing: a row for the GPU and one for the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// Instant of the left edge.
    pub from_ns: u64,
    /// Instant of the right edge.
    pub to_ns: u64,
    /// `P` prefill alone, `m` prefill and decodes, `d` decodes alone, `.` nothing.
    pub gpu: String,
    /// `*` a token, `a` the arrival, `-` the stall, blank otherwise.
    pub text: String,
}

/// Draws a stall with an eighth of its length on either side.
pub(super) fn timeline(index: &Index<'_>, stall: &Stall) -> Timeline {
    let lane = index.lane_of(stall.request);
    let (from, to) = (stall.gap.from.as_nanos(), stall.gap.to.as_nanos());
    let margin = ((to - from) / 8).max(1);
    let (left, right) = (from.saturating_sub(margin), to.saturating_add(margin));
    let width = right - left;
    // The instant in the middle of a column, without overflow for any length of time.
    let at = |column: u64| {
        left + (u128::from(width) * u128::from(2 * column + 1) / u128::from(2 * COLUMNS)) as u64
    };
    let column = |time: u64| {
        (u128::from(time - left) * u128::from(COLUMNS) / u128::from(width))
            .min(u128::from(COLUMNS - 1)) as usize
    };
    let gpu = (0..COLUMNS).map(|c| kind(lane, Time::from_nanos(at(c)))).collect();
    let mut text = vec![' '; COLUMNS as usize];
    for place in &mut text[column(from)..=column(to)] {
        *place = '-';
    }
    let row = &index.trace().requests[stall.request.index()];
    for time in index.trace().token_times(row).map(Time::as_nanos) {
        if (left..=right).contains(&time) {
            text[column(time)] = '*';
        }
    }
    if stall.gap.token == 0 {
        text[column(from)] = 'a';
    }
    let text: String = text.into_iter().collect();
    Timeline { from_ns: left, to_ns: right, gpu, text: text.trim_end().to_owned() }
}

fn kind(lane: &LaneColumns<'_>, at: Time) -> char {
    let after = lane.log.partition_point(|iteration| iteration.start <= at);
    let Some(iteration) = after.before().map(|number| lane.log.at(number)) else { return '.' };
    match (at < iteration.free, iteration.chunks.is_empty(), iteration.decodes) {
        (false, ..) => '.',
        (true, true, _) => 'd',
        (true, false, 0) => 'P',
        (true, false, _) => 'm',
    }
}
