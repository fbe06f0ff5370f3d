//! From a trace to a summary.

use super::full::{FullFigures, full_figures};
use super::options::{Options, RequestBounds};
use super::per_request::{Latencies, RequestMetrics, each_request};
use super::quantile::{Ratio, Sample, distribution, quantiles};
use super::summary::{
    ArrivalRate, Distribution, Fluidity, FluidityIndex, Goodput, RequestCounts, Summary,
    Throughput, TokenCounts,
};
use super::tbt::pooled_tbt;
use crate::time::{Span, Time};
use crate::trace::{Parts, RequestRow, Status};

/// Every metric of the requests that `options` count.
///
/// # Panics
/// As [`per_request`](super::per_request) does, on a trace that breaks its rules.
pub fn evaluate(trace: &impl Parts, options: &Options) -> Summary {
    let mut counted = Counted::new(options, trace.requests().len());
    each_request(trace, options, |row, metrics| counted.add(row, &metrics));
    counted.summary(trace)
}

/// The summary of requests whose metrics are known already: those that
/// [`per_request`](super::per_request) gave for the same trace and options, or some of them, such
/// as one class's, in their order.
pub fn summarise(trace: &impl Parts, options: &Options, metrics: &[RequestMetrics]) -> Summary {
    let mut counted = Counted::new(options, metrics.len());
    metrics.iter().for_each(|m| counted.add(&trace.requests()[m.row as usize], m));
    counted.summary(trace)
}

/// The requests that count: sums over them, and of each no more than distributions need beside its
/// row. What is kept of a request bounds how many fit in memory.
struct Counted<'a> {
    options: &'a Options,
    /// Index of the row of each.
    rows: Vec<u32>,
    /// First to last token of each, as [`RequestMetrics::decode`].
    decodes: Vec<Span>,
    /// Fluidity-index of each.
    indices: Vec<f64>,
    requests: RequestCounts,
    tokens: TokenCounts,
    /// First and last arrival.
    arrivals: Option<(Time, Time)>,
    last_token: Option<Time>,
    deadlines_met: u128,
    deadlines_missed: u128,
    fluid: u64,
    /// Within every bound for single requests.
    good: u64,
}

impl<'a> Counted<'a> {
    fn new(options: &'a Options, most: usize) -> Counted<'a> {
        Counted {
            options,
            rows: Vec::with_capacity(most),
            decodes: Vec::with_capacity(most),
            indices: Vec::with_capacity(most),
            requests: RequestCounts::default(),
            tokens: TokenCounts::default(),
            arrivals: None,
            last_token: None,
            deadlines_met: 0,
            deadlines_missed: 0,
            fluid: 0,
            good: 0,
        }
    }

    fn add(&mut self, row: &RequestRow, metrics: &RequestMetrics) {
        self.rows.push(metrics.row);
        self.decodes.push(metrics.decode);
        self.indices.push(metrics.index);
        self.requests.offered += 1;
        *match row.status {
            Status::Completed => &mut self.requests.completed,
            Status::Unfinished => &mut self.requests.unfinished,
            Status::Rejected => &mut self.requests.rejected,
        } += 1;
        self.tokens.prompt += metrics.ttft.map_or(0, |_| u64::from(row.prompt_tokens));
        self.tokens.output += u64::from(metrics.tokens);
        let (first, last) = self.arrivals.unwrap_or((row.arrival, row.arrival));
        self.arrivals = Some((first.min(row.arrival), last.max(row.arrival)));
        self.last_token = self.last_token.max(metrics.e2e().map(|e2e| row.arrival + e2e));
        self.deadlines_met += u128::from(metrics.tally.met);
        self.deadlines_missed += u128::from(metrics.tally.missed);
        self.fluid += u64::from(metrics.fluid);
        let bounds = self.options.bounds.as_ref();
        self.good += u64::from(bounds.is_some_and(|bounds| keeps(bounds, row, metrics)));
    }

    /// One figure after the other: what one needs is gone before the next collects its samples.
    fn summary(mut self, trace: &impl Parts) -> Summary {
        let knows = self.options.knows;
        let index = index_over_requests(std::mem::take(&mut self.indices).into_iter());
        let full = self.options.full && knows.token_times;
        let full = full.then(|| full_figures(trace, &self.rows));
        let ttft_s = self.spans(trace, |_, latencies| latencies.ttft);
        let e2e_s = self.spans(trace, |_, latencies| latencies.e2e());
        let scheduling_delay_s = knows.scheduling.then(|| self.spans(trace, |row, _| waited(row)));
        let tpot_s = self.ratios(trace, Latencies::tpot_s);
        let normalized_latency_s_per_token = self.ratios(trace, Latencies::normalized_s);
        let tbt_s = knows.token_times.then(|| self.tbt_s(trace));
        let fluidity = tbt_s.map(|tbt_s| self.fluidity(index, full, &tbt_s, &tpot_s));
        let makespan = self.makespan_s();
        // Only a makespan on the clock of the arrivals can be divided by.
        let clock = Some(makespan).filter(|&s| knows.arrivals && s > 0.0);
        let judges_what_is_unknown = |bounds: &RequestBounds| bounds.fluid && !knows.token_times;
        let bounds = self.options.bounds.filter(|bounds| !judges_what_is_unknown(bounds));
        Summary {
            requests: self.requests,
            duration_s: knows.arrivals.then_some(makespan),
            arrival_rate_per_s: knows.arrivals.then(|| ArrivalRate {
                nominal: self.options.nominal_rate_per_s,
                realised: self.realised_rate(),
            }),
            tokens: self.tokens,
            throughput: knows.arrivals.then(|| Throughput {
                output_tokens_per_s: clock.map(|s| self.tokens.output as f64 / s),
                requests_per_s: clock.map(|s| self.requests.completed as f64 / s),
            }),
            ttft_s,
            tbt_s,
            tpot_s,
            e2e_s,
            normalized_latency_s_per_token,
            scheduling_delay_s,
            fluidity,
            goodput: bounds.map(|_| Goodput {
                requests: self.good,
                share: ratio(self.good, self.requests.offered),
                requests_per_s: clock.map(|s| self.good as f64 / s),
            }),
        }
    }

    fn spans(
        &self,
        trace: &impl Parts,
        of: impl Fn(&RequestRow, Latencies) -> Option<Span>,
    ) -> Distribution {
        distribution(&mut self.completed(trace, |row, one| of(row, one).map(Span::as_nanos)))
    }

    fn ratios(&self, trace: &impl Parts, of: impl Fn(Latencies) -> Option<f64>) -> Distribution {
        distribution(&mut self.completed(trace, |_, one| of(one).map(Ratio::from)))
    }

    /// One sample of each completed request that has one.
    fn completed<T>(
        &self,
        trace: &impl Parts,
        sample: impl Fn(&RequestRow, Latencies) -> Option<T>,
    ) -> Vec<T> {
        let requests = trace.requests();
        let mut samples = Vec::with_capacity(self.requests.completed as usize);
        samples.extend(self.rows.iter().zip(&self.decodes).filter_map(|(&index, &decode)| {
            let row = &requests[index as usize];
            let completed = row.status == Status::Completed;
            completed.then(|| sample(row, Latencies::of(row, decode))).flatten()
        }));
        samples
    }

    /// The gaps of completed requests; nothing is left of the single requests.
    fn tbt_s(&mut self, trace: &impl Parts) -> Distribution {
        self.decodes = Vec::new();
        let mut rows = std::mem::take(&mut self.rows);
        rows.retain(|&index| {
            let row = &trace.requests()[index as usize];
            row.status == Status::Completed && row.first_token != Time::NEVER
        });
        pooled_tbt(trace, &rows)
    }

    /// First arrival to last token; 0 without a token.
    fn makespan_s(&self) -> f64 {
        match (self.arrivals, self.last_token) {
            (Some((first, _)), Some(last)) => last.since(first).as_secs_f64(),
            _ => 0.0,
        }
    }

    fn realised_rate(&self) -> Option<f64> {
        let (first, last) = self.arrivals?;
        let span = last.since(first);
        (span > Span::ZERO).then(|| (self.requests.offered - 1) as f64 / span.as_secs_f64())
    }

    fn fluidity(
        &self,
        index: FluidityIndex,
        full: Option<FullFigures>,
        tbt_s: &Distribution,
        tpot_s: &Distribution,
    ) -> Fluidity {
        let (met, missed) = (self.deadlines_met, self.deadlines_missed);
        let (fluid_tokens_per_s, p99_miss_rate_by_tbt_ms) =
            full.map_or((None, None), |f| (f.fluid_tokens_per_s, f.p99_miss_rate_by_tbt_ms));
        let per_second = |seconds: Option<f64>| seconds.filter(|&s| s > 0.0).map(|s| 1.0 / s);
        Fluidity {
            index,
            fluid_request_share: ratio(self.fluid, self.requests.offered),
            service_miss_rate: (met + missed > 0).then(|| missed as f64 / (met + missed) as f64),
            fluid_tokens_per_s,
            tpot_tokens_per_s: per_second(tpot_s.mean),
            tbt_tokens_per_s: per_second(tbt_s.p99),
            p99_miss_rate_by_tbt_ms,
        }
    }
}

/// Arrival to the first batch that held any of a request's tokens; `None` if never or unknown.
fn waited(row: &RequestRow) -> Option<Span> {
    (row.scheduled != Time::NEVER).then(|| row.scheduled.since(row.arrival))
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The fluidity-index over requests, from that of each.
pub(crate) fn index_over_requests(indices: impl Iterator<Item = f64>) -> FluidityIndex {
    let mut indices: Vec<Ratio> = indices.map(Ratio::from).collect();
    if indices.is_empty() {
        return FluidityIndex::default();
    }
    let mean = Ratio::mean(&indices);
    let [p1, p5, p50] = quantiles(&mut indices, [10, 50, 500]).map(Some);
    FluidityIndex { mean: Some(mean), p1, p5, p50 }
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
