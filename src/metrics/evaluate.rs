//! From a trace to a summary.

use super::fluidity::Tally;
use super::full::full_figures;
use super::options::{Options, RequestBounds};
use super::per_request::{RequestMetrics, per_request};
use super::quantile::{Ratio, Sample, distribution, quantiles};
use super::summary::{
    ArrivalRate, Distribution, Fluidity, FluidityIndex, Goodput, RequestCounts, Summary,
    Throughput, TokenCounts,
};
use super::tbt::pooled_tbt;
use crate::time::{Span, Time};
use crate::trace::{Parts, RequestRow, Status};

/// A request that counts, with its metrics.
type Counted<'a> = (&'a RequestRow, &'a RequestMetrics);

/// Every metric of the requests that `options` count.
///
/// # Panics
/// As [`per_request`] does, on a trace that breaks its rules.
pub fn evaluate(trace: &impl Parts, options: &Options) -> Summary {
    let metrics = per_request(trace, options);
    summarise(trace, options, &metrics)
}

/// The summary of requests whose metrics are known already: those that [`per_request`] gave for the
/// same trace and options, or some of them, such as one class's, in their order.
pub fn summarise(trace: &impl Parts, options: &Options, metrics: &[RequestMetrics]) -> Summary {
    let counted: Vec<Counted> =
        metrics.iter().map(|m| (&trace.requests()[m.row as usize], m)).collect();
    let requests = count_requests(&counted);
    let makespan = makespan_s(&counted);
    // Only a makespan on the clock of the arrivals can be divided by.
    let clock = Some(makespan).filter(|&s| options.knows.arrivals && s > 0.0);
    let tokens = TokenCounts {
        prompt: sum(&counted, |(row, m)| if m.ttft.is_some() { row.prompt_tokens } else { 0 }),
        output: sum(&counted, |(_, m)| m.tokens),
    };

    let completed = || counted.iter().filter(|(row, _)| row.status == Status::Completed);
    let spans = |of: fn(&RequestRow, &RequestMetrics) -> Option<Span>| {
        let mut nanos: Vec<u64> =
            completed().filter_map(|(row, m)| of(row, m)).map(Span::as_nanos).collect();
        distribution(&mut nanos)
    };
    let ratios = |of: fn(&RequestMetrics) -> Option<f64>| {
        let mut seconds: Vec<Ratio> =
            completed().filter_map(|(_, m)| of(m)).map(Ratio::from).collect();
        distribution(&mut seconds)
    };
    let tpot_s = ratios(RequestMetrics::tpot_s);
    let tbt_s = options.knows.token_times.then(|| {
        let with_tokens = completed().filter(|(_, m)| m.ttft.is_some());
        let rows: Vec<u32> = with_tokens.map(|(_, m)| m.row).collect();
        pooled_tbt(trace, &rows)
    });
    let fluidity = tbt_s.as_ref().map(|tbt_s| fluidity(trace, options, &counted, tbt_s, &tpot_s));
    let judges_what_is_unknown =
        |bounds: &RequestBounds| bounds.fluid && !options.knows.token_times;
    let goodput = options.bounds.filter(|bounds| !judges_what_is_unknown(bounds)).map(|bounds| {
        let good = counted.iter().filter(|request| keeps(bounds, request)).count() as u64;
        Goodput {
            requests: good,
            share: ratio(good, requests.offered),
            requests_per_s: clock.map(|s| good as f64 / s),
        }
    });
    Summary {
        requests,
        duration_s: options.knows.arrivals.then_some(makespan),
        arrival_rate_per_s: options.knows.arrivals.then(|| ArrivalRate {
            nominal: options.nominal_rate_per_s,
            realised: realised_rate(&counted),
        }),
        tokens,
        throughput: options.knows.arrivals.then(|| Throughput {
            output_tokens_per_s: clock.map(|s| tokens.output as f64 / s),
            requests_per_s: clock.map(|s| requests.completed as f64 / s),
        }),
        ttft_s: spans(|_, m| m.ttft),
        tbt_s,
        tpot_s,
        e2e_s: spans(|_, m| m.e2e()),
        normalized_latency_s_per_token: ratios(RequestMetrics::normalized_latency_s),
        scheduling_delay_s: options.knows.scheduling.then(|| spans(|row, _| waited(row))),
        fluidity,
        goodput,
    }
}

/// Arrival to the first batch that held any of a request's tokens; `None` if never or unknown.
fn waited(row: &RequestRow) -> Option<Span> {
    (row.scheduled != Time::NEVER).then(|| row.scheduled.since(row.arrival))
}

fn count_requests(counted: &[Counted]) -> RequestCounts {
    let mut counts = RequestCounts { offered: counted.len() as u64, ..RequestCounts::default() };
    for (row, _) in counted {
        match row.status {
            Status::Completed => counts.completed += 1,
            Status::Unfinished => counts.unfinished += 1,
            Status::Rejected => counts.rejected += 1,
        }
    }
    counts
}

fn sum(counted: &[Counted], of: impl Fn(&Counted) -> u32) -> u64 {
    counted.iter().map(|request| u64::from(of(request))).sum()
}

/// First arrival to last token; 0 without a token.
fn makespan_s(counted: &[Counted]) -> f64 {
    let first = counted.iter().map(|(row, _)| row.arrival).min();
    let last = counted.iter().filter_map(|(row, m)| Some(row.arrival + m.e2e()?)).max();
    match (first, last) {
        (Some(first), Some(last)) => last.since(first).as_secs_f64(),
        _ => 0.0,
    }
}

fn realised_rate(counted: &[Counted]) -> Option<f64> {
    let arrivals = || counted.iter().map(|(row, _)| row.arrival);
    let span = arrivals().max()?.since(arrivals().min()?);
    (span > Span::ZERO).then(|| (counted.len() - 1) as f64 / span.as_secs_f64())
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn fluidity(
    trace: &impl Parts,
    options: &Options,
    counted: &[Counted],
    tbt_s: &Distribution,
    tpot_s: &Distribution,
) -> Fluidity {
    let fluid = counted.iter().filter(|(_, m)| m.fluid).count() as u64;
    let total = |of: fn(&Tally) -> u64| -> u128 {
        counted.iter().map(|(_, m)| u128::from(of(&m.tally))).sum()
    };
    let (met, missed) = (total(|tally| tally.met), total(|tally| tally.missed));
    let full = options.full.then(|| {
        let rows: Vec<u32> = counted.iter().map(|(_, m)| m.row).collect();
        full_figures(trace, &rows)
    });
    let (fluid_tokens_per_s, p99_miss_rate_by_tbt_ms) =
        full.map_or((None, None), |f| (f.fluid_tokens_per_s, f.p99_miss_rate_by_tbt_ms));
    let per_second = |seconds: Option<f64>| seconds.filter(|&s| s > 0.0).map(|s| 1.0 / s);
    Fluidity {
        index: index_over_requests(counted.iter().map(|(_, m)| m.index)),
        fluid_request_share: ratio(fluid, counted.len() as u64),
        service_miss_rate: (met + missed > 0).then(|| missed as f64 / (met + missed) as f64),
        fluid_tokens_per_s,
        tpot_tokens_per_s: per_second(tpot_s.mean),
        tbt_tokens_per_s: per_second(tbt_s.p99),
        p99_miss_rate_by_tbt_ms,
    }
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
fn keeps(bounds: RequestBounds, (row, m): &Counted) -> bool {
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
