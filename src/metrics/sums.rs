//! What a summary counts and adds up over requests. Integers all of it, so that sums over some
//! requests and over others can be put together in any order.

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
    pub(super) deadlines_met: u128,
    pub(super) deadlines_missed: u128,
    pub(super) fluid: u64,
    /// Within every bound for single requests.
    pub(super) good: u64,
}

impl Sums {
    pub(super) fn add(
        &mut self,
        row: &RequestRow,
        metrics: &RequestMetrics,
        bounds: Option<&RequestBounds>,
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
        self.deadlines_met += u128::from(metrics.tally.met);
        self.deadlines_missed += u128::from(metrics.tally.missed);
        self.fluid += u64::from(metrics.fluid);
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
        && (m.fluid || !bounds.fluid)
}
