//! From a trace to a summary.

use super::fluidity::demand_of;
use super::full::{FullFigures, full_figures};
use super::options::{Count, Options, RequestBounds, Window};
use super::per_request::{Judges, Latencies, RequestMetrics};
use super::quantile::{Ratio, Sample, distribution, quantiles};
use super::summary::{
    ArrivalRate, Distribution, Fluidity, FluidityIndex, Goodput, Summary, Throughput,
};
use super::sums::Sums;
use super::tbt::pooled_tbt;
use crate::threads;
use crate::time::{Span, Time};
use crate::trace::{Part, Parts, RequestRow, Status};

/// Requests that one thread judges at once.
const CHUNK: usize = 1 << 13;

/// Every metric of the requests that `options` count, worked out on the threads of whoever calls.
///
/// # Panics
/// As [`per_request`](super::per_request) does, on a trace that breaks its rules.
pub fn evaluate(trace: &impl Parts, options: &Options) -> Summary {
    let mut counted = Counted::new(options, rows(trace.requests(), options.count));
    trace.each_part(|part| counted.judge(part));
    counted.summary(trace)
}

/// The indices of the requests that `count` counts.
fn rows(requests: &[RequestRow], count: Count) -> Vec<u32> {
    let all = 0..requests.len() as u32;
    if count == Count::default() {
        return all.collect();
    }
    let window = Window::new(requests, count);
    all.filter(|&row| window.holds(&requests[row as usize])).collect()
}

/// The summary of requests whose metrics are known already: those that
/// [`per_request`](super::per_request) gave for the same trace and options, or some of them, such
/// as one class's, in their order.
pub fn summarise(trace: &impl Parts, options: &Options, metrics: &[RequestMetrics]) -> Summary {
    let mut counted = Counted::new(options, metrics.iter().map(|m| m.row).collect());
    for (place, m) in metrics.iter().enumerate() {
        counted.sums.add(&trace.requests()[m.row as usize], m, options.bounds.as_ref());
        counted.decodes[place] = m.decode.as_nanos();
        counted.indices[place] = m.index;
    }
    counted.summary(trace)
}

/// The requests that count: sums over them, and of each no more than distributions need beside its
/// row. What is kept of a request bounds how many fit in memory.
struct Counted<'a> {
    options: &'a Options,
    /// Index of the row of each.
    rows: Vec<u32>,
    /// First to last token of each in nanoseconds, as [`RequestMetrics::decode`].
    decodes: Vec<u64>,
    /// Fluidity-index of each.
    indices: Vec<f64>,
    /// How many are judged.
    judged: usize,
    sums: Sums,
}

impl<'a> Counted<'a> {
    fn new(options: &'a Options, rows: Vec<u32>) -> Counted<'a> {
        let (decodes, indices) = (vec![0; rows.len()], vec![0.0; rows.len()]);
        Counted { options, rows, decodes, indices, judged: 0, sums: Sums::default() }
    }

    /// Judges those of the next part.
    fn judge(&mut self, part: Part<'_>) {
        let options = self.options;
        let rows = part.of(&self.rows);
        let of_part = self.judged..self.judged + rows.len();
        self.judged = of_part.end;
        let demand = demand_of(part, rows);
        let judges = Judges::new(part, options, &demand, rows.iter().map(|&row| part.row(row)));
        let decodes = self.decodes[of_part.clone()].chunks_mut(CHUNK);
        let indices = self.indices[of_part].chunks_mut(CHUNK);
        let chunks = rows.chunks(CHUNK).zip(decodes.zip(indices)).collect();
        let sums = threads::map(chunks, |(rows, (decodes, indices))| {
            let mut sums = Sums::default();
            for ((&index, decode), fluidity) in rows.iter().zip(decodes).zip(indices) {
                let row = part.row(index);
                let metrics = judges.judge(row, index);
                sums.add(row, &metrics, options.bounds.as_ref());
                *decode = metrics.decode.as_nanos();
                *fluidity = metrics.index;
            }
            sums
        });
        sums.into_iter().for_each(|some| self.sums.merge(some));
    }

    fn summary(self, trace: &impl Parts) -> Summary {
        let Counted { options, rows, decodes, indices, sums, .. } = self;
        let knows = options.knows;
        let full = options.full && knows.token_times;
        let completed = sums.requests.completed;
        let (latencies, (full, tbt_s)) = threads::both(
            || LatencyFigures::of(trace, options, &rows, completed, decodes, indices),
            || {
                threads::both(
                    || full.then(|| full_figures(trace, &rows)),
                    || knows.token_times.then(|| tbt_s(trace, &rows, completed)),
                )
            },
        );
        let fluidity = tbt_s.map(|tbt_s| fluidity(&sums, &latencies, full, &tbt_s));
        let makespan = sums.makespan_s();
        // Only a makespan on the clock of the arrivals can be divided by.
        let clock = Some(makespan).filter(|&s| knows.arrivals && s > 0.0);
        let judges_what_is_unknown = |bounds: &RequestBounds| bounds.fluid && !knows.token_times;
        let bounds = options.bounds.filter(|bounds| !judges_what_is_unknown(bounds));
        Summary {
            requests: sums.requests,
            duration_s: knows.arrivals.then_some(makespan),
            arrival_rate_per_s: knows.arrivals.then(|| ArrivalRate {
                nominal: options.nominal_rate_per_s,
                realised: sums.realised_rate(),
            }),
            tokens: sums.tokens,
            throughput: knows.arrivals.then(|| Throughput {
                output_tokens_per_s: clock.map(|s| sums.tokens.output as f64 / s),
                requests_per_s: clock.map(|s| sums.requests.completed as f64 / s),
            }),
            ttft_s: latencies.ttft_s,
            ttft_in_time_share: None,
            tbt_s,
            tpot_s: latencies.tpot_s,
            e2e_s: latencies.e2e_s,
            normalized_latency_s_per_token: latencies.normalized_s,
            scheduling_delay_s: latencies.scheduling_delay_s,
            fluidity,
            goodput: bounds.map(|_| Goodput {
                requests: sums.good,
                share: ratio(sums.good, sums.requests.judged()),
                requests_per_s: clock.map(|s| sums.good as f64 / s),
            }),
        }
    }
}

/// The figures with one sample a request.
struct LatencyFigures {
    index: FluidityIndex,
    ttft_s: Distribution,
    e2e_s: Distribution,
    scheduling_delay_s: Option<Distribution>,
    tpot_s: Distribution,
    normalized_s: Distribution,
}

impl LatencyFigures {
    /// One after the other: what one needs is gone before the next collects its samples.
    fn of(
        trace: &impl Parts,
        options: &Options,
        rows: &[u32],
        completed: u64,
        decodes: Vec<u64>,
        indices: Vec<f64>,
    ) -> LatencyFigures {
        let status = |row: u32| trace.requests()[row as usize].status;
        let judged = rows.iter().zip(indices).filter(|&(&row, _)| status(row) != Status::Cancelled);
        let index = index_over_requests(judged.map(|(_, index)| index));
        let samples = Samples { requests: trace.requests(), rows, completed, decodes };
        LatencyFigures {
            index,
            ttft_s: samples.spans(|_, latencies| latencies.ttft),
            e2e_s: samples.spans(|_, latencies| latencies.e2e()),
            scheduling_delay_s: options
                .knows
                .scheduling
                .then(|| samples.spans(|row, _| waited(row))),
            tpot_s: samples.ratios(Latencies::tpot_s),
            normalized_s: samples.ratios(Latencies::normalized_s),
        }
    }
}

/// Of each completed request, one sample at a time.
struct Samples<'t> {
    requests: &'t [RequestRow],
    rows: &'t [u32],
    completed: u64,
    decodes: Vec<u64>,
}

impl Samples<'_> {
    fn spans(&self, of: impl Fn(&RequestRow, Latencies) -> Option<Span>) -> Distribution {
        distribution(&mut self.of_completed(|row, one| of(row, one).map(Span::as_nanos)))
    }

    fn ratios(&self, of: impl Fn(Latencies) -> Option<f64>) -> Distribution {
        distribution(&mut self.of_completed(|_, one| of(one).map(Ratio::from)))
    }

    /// The sample of each that has one.
    fn of_completed<T>(&self, sample: impl Fn(&RequestRow, Latencies) -> Option<T>) -> Vec<T> {
        let mut samples = Vec::with_capacity(self.completed as usize);
        samples.extend(self.rows.iter().zip(&self.decodes).filter_map(|(&index, &decode)| {
            let row = &self.requests[index as usize];
            let latencies = Latencies::of(row, Span::from_nanos(decode));
            (row.status == Status::Completed).then(|| sample(row, latencies)).flatten()
        }));
        samples
    }
}

/// The gaps of completed requests, of which there are so many.
fn tbt_s(trace: &impl Parts, rows: &[u32], completed: u64) -> Distribution {
    if completed as usize == rows.len() {
        return pooled_tbt(trace, rows);
    }
    let status = |row: u32| trace.requests()[row as usize].status;
    let rows = rows.iter().copied().filter(|&row| status(row) == Status::Completed);
    pooled_tbt(trace, &rows.collect::<Vec<u32>>())
}

fn fluidity(
    sums: &Sums,
    latencies: &LatencyFigures,
    full: Option<FullFigures>,
    tbt_s: &Distribution,
) -> Fluidity {
    let (met, missed) = (sums.deadlines_met, sums.deadlines_missed);
    let (fluid_tokens_per_s, p99_miss_rate_by_tbt_ms) =
        full.map_or((None, None), |f| (f.fluid_tokens_per_s, f.p99_miss_rate_by_tbt_ms));
    let per_second = |seconds: Option<f64>| seconds.filter(|&s| s > 0.0).map(|s| 1.0 / s);
    Fluidity {
        index: latencies.index,
        fluid_request_share: ratio(sums.fluid, sums.requests.judged()),
        service_miss_rate: (met + missed > 0).then(|| missed as f64 / (met + missed) as f64),
        fluid_tokens_per_s,
        tpot_tokens_per_s: per_second(latencies.tpot_s.mean),
        tbt_tokens_per_s: per_second(tbt_s.p99),
        p99_miss_rate_by_tbt_ms,
        bounds: None,
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
