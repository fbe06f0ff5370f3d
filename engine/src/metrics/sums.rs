//! What a summary counts and adds up over requests. Integers all of it, so that sums over some
//! requests and over others can be put together in any order. Open requests, of which observation
//! did not see the end, are kept apart: what they come to is known within bounds only.

use super::open::Open;
use super::options::RequestBounds;
use super::per_request::RequestMetrics;
use super::summary::{RequestCounts, TokenCounts};
use crate::time::{Span, Time};
use crate::trace::{RequestRow, Status};

/// Sums over some requests.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) requests: RequestCounts,
    pub(super) tokens: TokenCounts,
    /// First and last arrival.
    arrivals: Option<(Time, Time)>,
    last_token: Option<Time>,
    /// Deadlines of requests that ended.
    pub(super) deadlines_met: u128,
    pub(super) deadlines_missed: u128,
    pub(super) fluid: u64,
    /// Within every bound for single requests.
    pub(super) good: u64,
    /// Open requests that can still be.
    pub(super) good_yet: u64,
    /// First tokens that came by their deadline, those that still can, and all that had one.
    pub(super) in_time: u64,
    pub(super) in_time_yet: u64,
    pub(super) in_time_of: u64,
    pub(super) open: Vec<Open>,
}

impl Sums {
    pub(super) fn add(
        &mut self,
        row: &RequestRow,
        metrics: &RequestMetrics,
        place: usize,
        (bounds, end): (Option<&RequestBounds>, Time),
    ) {
        self.requests.offered += 1;
        *match row.status {
            Status::Completed => &mut self.requests.completed,
            Status::Unfinished => &mut self.requests.unfinished,
            Status::Rejected => &mut self.requests.rejected,
            Status::Failed => &mut self.requests.failed,
            Status::TimedOut => &mut self.requests.timed_out,
            Status::Cancelled => &mut self.requests.cancelled,
        } += 1;
        self.tokens.prompt += metrics.ttft.map_or(0, |_| u64::from(row.prompt_tokens));
        self.tokens.output += u64::from(metrics.tokens);
        self.arrived(row.arrival, row.arrival);
        self.last_token = self.last_token.max(metrics.e2e().map(|e2e| row.arrival + e2e));
        match metrics.first_in_time {
            // The time of a first token that came is not known.
            None if !metrics.is_open() => {}
            first => {
                self.in_time_of += 1;
                self.in_time += u64::from(first == Some(true));
                self.in_time_yet += u64::from(first.is_none());
            }
        }
        if metrics.is_open() {
            self.requests.censored += u64::from(metrics.fluid.is_none());
            let keeps = bounds.is_some_and(|bounds| can_keep(bounds, row, metrics, end));
            self.good_yet += u64::from(keeps);
            self.open.push(Open::new(place, metrics));
            return;
        }
        self.deadlines_met += u128::from(metrics.tally.met);
        self.deadlines_missed += u128::from(metrics.tally.missed);
        self.fluid += u64::from(metrics.fluid == Some(true));
        self.good += u64::from(bounds.is_some_and(|bounds| keeps(bounds, row, metrics)));
    }

    /// Adds the sums over other requests.
    pub(super) fn merge(&mut self, other: Sums) {
        let of = other.requests;
        self.requests.offered += of.offered;
        self.requests.completed += of.completed;
        self.requests.unfinished += of.unfinished;
        self.requests.rejected += of.rejected;
        self.requests.failed += of.failed;
        self.requests.timed_out += of.timed_out;
        self.requests.cancelled += of.cancelled;
        self.requests.censored += of.censored;
        self.tokens.prompt += other.tokens.prompt;
        self.tokens.output += other.tokens.output;
        if let Some((first, last)) = other.arrivals {
            self.arrived(first, last);
        }
        self.last_token = self.last_token.max(other.last_token);
        self.deadlines_met += other.deadlines_met;
        self.deadlines_missed += other.deadlines_missed;
        self.fluid += other.fluid;
        self.good += other.good;
        self.good_yet += other.good_yet;
        self.in_time += other.in_time;
        self.in_time_yet += other.in_time_yet;
        self.in_time_of += other.in_time_of;
        self.open.extend(other.open);
    }

    fn arrived(&mut self, from: Time, to: Time) {
        let (first, last) = self.arrivals.unwrap_or((from, to));
        self.arrivals = Some((first.min(from), last.max(to)));
    }

    /// First arrival to last token; 0 without a token.
    pub(super) fn makespan_s(&self) -> f64 {
        match (self.arrivals, self.last_token) {
            (Some((first, _)), Some(last)) => last.since(first).as_secs_f64(),
            _ => 0.0,
        }
    }

    pub(super) fn realised_rate(&self) -> Option<f64> {
        let (first, last) = self.arrivals?;
        let span = last.since(first);
        (span > Span::ZERO).then(|| (self.requests.offered - 1) as f64 / span.as_secs_f64())
    }
}

/// Whether a request was answered to the end within every bound.
fn keeps(bounds: &RequestBounds, row: &RequestRow, m: &RequestMetrics) -> bool {
    let within = |span: Option<Span>, bound: Option<Span>| match (span, bound) {
        (_, None) => true,
        (span, Some(bound)) => span.is_some_and(|span| span <= bound),
    };
    let gaps = u128::from(m.tokens.saturating_sub(1));
    let decode = u128::from(m.decode.as_nanos());
    row.status == Status::Completed
        && within(m.ttft, bounds.ttft)
        && within(m.e2e(), bounds.e2e)
        && bounds.tpot.is_none_or(|tpot| decode <= u128::from(tpot.as_nanos()) * gaps)
        && (m.fluid == Some(true) || !bounds.fluid)
        && (m.first_in_time == Some(true) || !bounds.first_in_time)
}

/// Whether an open request can still be answered within every bound: what it has taken so far is
/// the least that it will take.
fn can_keep(bounds: &RequestBounds, row: &RequestRow, m: &RequestMetrics, end: Time) -> bool {
    let so_far = |since: Time| end.max(since).since(since);
    let decode = m.ttft.map_or(Span::ZERO, |_| m.decode.max(so_far(row.first_token)));
    let within = |span: Span, bound: Option<Span>| bound.is_none_or(|bound| span <= bound);
    let tpot = bounds.tpot.is_none_or(|tpot| match m.gaps_in_all() {
        Some(gaps) => {
            u128::from(decode.as_nanos()) <= u128::from(tpot.as_nanos()) * u128::from(gaps)
        }
        None => tpot > Span::ZERO || decode == Span::ZERO,
    });
    let e2e = so_far(row.arrival).max(m.e2e().unwrap_or(Span::ZERO));
    within(m.ttft.unwrap_or(e2e), bounds.ttft)
        && within(e2e, bounds.e2e)
        && tpot
        && (m.fluid.is_none() || !bounds.fluid)
        && (m.first_in_time != Some(false) || !bounds.first_in_time)
}
