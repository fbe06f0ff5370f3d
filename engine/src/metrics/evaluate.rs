//! From a trace to a summary.

use super::fluidity::demand_of;
use super::full::{FullFigures, full_figures};
use super::open::{self, Latest, Open};
use super::options::{Count, Options, RequestBounds, Window};
use super::per_request::{Judges, Latencies, RequestMetrics};
use super::quantile::{Ratio, Sample, distribution, quantiles};
use super::summary::{
    ArrivalRate, Bounds, Distribution, Fluidity, FluidityBounds, FluidityIndex, Goodput,
    GoodputBounds, LatencyBounds, Summary, Throughput,
};
use super::sums::Sums;
use super::tbt::pooled_tbt;
use crate::ids::RequestId;
use crate::threads;
use crate::time::Span;
use crate::trace::{Part, Parts, RequestRow, Status};

/// Requests that one thread judges at once.
const CHUNK: usize = 1 << 13;

/// Every metric of the requests that `options` count, worked out on the threads of whoever calls.
///
/// # Panics
/// When the trace breaks its rules: a token before its request's arrival or before the token
/// before it, or a run outside of its column.
pub fn evaluate(trace: &dyn Parts, options: &Options) -> Summary {
    let mut counted = Counted::new(options, rows(trace.requests(), options.count));
    trace.each_part(&mut |part| counted.judge(part));
    counted.summary(trace)
}

/// The indices of the requests that `count` counts.
fn rows(requests: &[RequestRow], count: Count) -> Vec<RequestId> {
    let all = RequestId::each(RequestId::FIRST..RequestId(requests.len() as u32));
    if count == Count::default() {
        return all.collect();
    }
    let window = Window::new(requests, count);
    all.filter(|&row| window.holds(&requests[row.index()])).collect()
}

/// The summary of requests whose metrics are known already: those that
/// `per_request` gave for the same trace and options, or some of them, such
/// as one class's, in their order.
pub fn summarise(trace: &dyn Parts, options: &Options, metrics: &[RequestMetrics]) -> Summary {
    let mut counted = Counted::new(options, metrics.iter().map(|m| m.row).collect());
    for (place, m) in metrics.iter().enumerate() {
        let row = &trace.requests()[m.row.index()];
        counted.sums.add(row, m, place, (options.bounds.as_ref(), trace.end()));
        counted.decodes[place] = m.decode.as_nanos();
        counted.indices[place] = index_at_least(m);
    }
    counted.summary(trace)
}

/// The requests that count: sums over them, and of each no more than distributions need beside its
/// row. What is kept of a request bounds how many fit in memory.
struct Counted<'a> {
    options: &'a Options,
    /// Index of the row of each.
    rows: Vec<RequestId>,
    /// First to last token of each in nanoseconds, as [`RequestMetrics::decode`].
    decodes: Vec<u64>,
    /// The least that the fluidity-index of each can be.
    indices: Vec<f64>,
    /// How many are judged.
    judged: usize,
    sums: Sums,
}

impl<'a> Counted<'a> {
    fn new(options: &'a Options, rows: Vec<RequestId>) -> Counted<'a> {
        let (decodes, indices) = (vec![0; rows.len()], vec![0.0; rows.len()]);
        Counted { options, rows, decodes, indices, judged: 0, sums: Sums::default() }
    }

    /// Judges those of the next part.
    fn judge(&mut self, part: Part<'_>) {
        let options = self.options;
        let rows = part.of(&self.rows);
        let before = self.judged;
        let of_part = before..before + rows.len();
        self.judged = of_part.end;
        let demand = demand_of(part, rows);
        let judges = Judges::new(part, options, &demand, rows.iter().map(|&row| part.row(row)));
        let decodes = self.decodes[of_part.clone()].chunks_mut(CHUNK);
        let indices = self.indices[of_part].chunks_mut(CHUNK);
        let places = (before..).step_by(CHUNK);
        let chunks = rows.chunks(CHUNK).zip(decodes.zip(indices)).zip(places).collect();
        let judged_by = (options.bounds.as_ref(), part.trace.end);
        let sums = threads::map(chunks, |((rows, (decodes, indices)), first)| {
            let mut sums = Sums::default();
            let places = rows.iter().zip(decodes).zip(indices).zip(first..);
            for (((&request, decode), fluidity), place) in places {
                let row = part.row(request);
                let metrics = judges.judge(row, request);
                sums.add(row, &metrics, place, judged_by);
                *decode = metrics.decode.as_nanos();
                *fluidity = index_at_least(&metrics);
            }
            sums
        });
        sums.into_iter().for_each(|some| self.sums.merge(some));
    }

    fn summary(self, trace: &dyn Parts) -> Summary {
        let Counted { options, rows, decodes, indices, sums, .. } = self;
        let knows = options.knows;
        // What deadline an open request would keep is not known.
        let full = options.full && knows.token_times && sums.open.is_empty();
        let (latencies, (full, tbt_s)) = threads::both(
            || LatencyFigures::of(trace, options, &rows, &sums.open, decodes, indices),
            || {
                threads::both(
                    || full.then(|| full_figures(trace, &rows)),
                    || knows.token_times.then(|| pooled_tbt(trace, &rows)),
                )
            },
        );
        let fluidity = tbt_s.map(|tbt_s| fluidity(&sums, &latencies, full, &tbt_s));
        let in_time = |part: u64| ratio(part, sums.in_time_of);
        let in_time = Bounds::of(in_time(sums.in_time), in_time(sums.in_time + sums.in_time_yet));
        let in_time = in_time.filter(|_| options.judge_first_token);
        let good = (sums.good, sums.good + sums.good_yet);
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
                users: options.users,
            }),
            tokens: sums.tokens,
            throughput: knows.arrivals.then(|| Throughput {
                output_tokens_per_s: clock.map(|s| sums.tokens.output as f64 / s),
                requests_per_s: clock.map(|s| sums.requests.completed as f64 / s),
            }),
            ttft_s: latencies.ttft_s,
            ttft_in_time_share: in_time.and_then(Bounds::value),
            ttft_in_time_bounds: in_time.filter(|bounds| bounds.value().is_none()),
            tbt_s,
            tpot_s: latencies.tpot_s,
            e2e_s: latencies.e2e_s,
            normalized_latency_s_per_token: latencies.normalized_s,
            scheduling_delay_s: latencies.scheduling_delay_s,
            fluidity,
            goodput: bounds.map(|_| goodput(good, sums.requests.judged(), clock)),
            latency_bounds: latencies.bounds.map(Box::new),
        }
    }
}

/// The least that the fluidity-index of a request can be, with all that may still come.
fn index_at_least(metrics: &RequestMetrics) -> f64 {
    if metrics.is_open() { 0.0 } else { metrics.index }
}

/// Goodput of so many requests at the least and at the most.
pub(crate) fn goodput((least, most): (u64, u64), offered: u64, clock: Option<f64>) -> Goodput {
    let known = least == most;
    let per_s = |good: u64| clock.map(|s| good as f64 / s);
    let bounds = || GoodputBounds {
        requests: Bounds::of(Some(least as f64), Some(most as f64)),
        share: Bounds::of(ratio(least, offered), ratio(most, offered)),
        requests_per_s: Bounds::of(per_s(least), per_s(most)),
    };
    Goodput {
        requests: known.then_some(least),
        share: ratio(least, offered).filter(|_| known),
        requests_per_s: per_s(least).filter(|_| known),
        bounds: (!known).then(bounds),
    }
}

/// The figures with one sample a request.
struct LatencyFigures {
    /// The fluidity-index, at the least and at the most.
    index: (FluidityIndex, FluidityIndex),
    bounds: Option<LatencyBounds>,
    ttft_s: Distribution,
    e2e_s: Distribution,
    scheduling_delay_s: Option<Distribution>,
    tpot_s: Distribution,
    normalized_s: Distribution,
}

impl LatencyFigures {
    /// One after the other: what one needs is gone before the next collects its samples.
    fn of(
        trace: &dyn Parts,
        options: &Options,
        rows: &[RequestId],
        open: &[Open],
        decodes: Vec<u64>,
        indices: Vec<f64>,
    ) -> LatencyFigures {
        let judged =
            |place: usize| trace.requests()[rows[place].index()].status != Status::Cancelled;
        let index = if open.is_empty() {
            let those = indices.into_iter().enumerate().filter(|&(place, _)| judged(place));
            let exact = index_over_requests(those.map(|(_, index)| index));
            (exact, exact)
        } else {
            open::index_range(indices, open, judged)
        };
        let samples = Samples { requests: trace.requests(), rows, decodes };
        let (all, ended) =
            (|_: &RequestRow| true, |row: &RequestRow| row.status == Status::Completed);
        let ttft = || samples.of(all, |_, one| one.ttft.map(Span::as_nanos));
        let e2e = || samples.of(ended, |_, one| one.e2e().map(Span::as_nanos));
        let tpot = || samples.of(ended, |_, one| one.tpot_s().map(Ratio::from));
        let normalized = || samples.of(ended, |_, one| one.normalized_s().map(Ratio::from));
        let way_back = trace.way_back();
        let delay = || samples.of(all, |row, _| row.waited(way_back).map(Span::as_nanos));
        let latest = Latest { trace, rows, decodes: &samples.decodes, open };
        let knows = options.knows;
        let bounds = || LatencyBounds {
            ttft_s: latest.ttft(ttft()),
            tbt_s: latest.tbt().filter(|_| knows.token_times),
            tpot_s: latest.tpot(tpot()),
            e2e_s: latest.e2e(e2e()),
            normalized_latency_s_per_token: latest.normalized(normalized()),
            scheduling_delay_s: knows.scheduling.then(|| latest.scheduling_delay(delay())),
        };
        LatencyFigures {
            index,
            bounds: (!open.is_empty()).then(bounds),
            ttft_s: of_all(ttft()),
            e2e_s: of_all(e2e()),
            scheduling_delay_s: knows.scheduling.then(|| of_all(delay())),
            tpot_s: of_all(tpot()),
            normalized_s: of_all(normalized()),
        }
    }
}

/// Their distribution; they are gone after it, since samples of one kind at a time fit in memory.
fn of_all<T: Sample>(mut samples: Vec<T>) -> Distribution {
    distribution(&mut samples)
}

/// Of each request, one sample at a time.
struct Samples<'t> {
    requests: &'t [RequestRow],
    rows: &'t [RequestId],
    decodes: Vec<u64>,
}

impl Samples<'_> {
    /// The sample of each of those that has one.
    fn of<T>(
        &self,
        those: impl Fn(&RequestRow) -> bool,
        sample: impl Fn(&RequestRow, Latencies) -> Option<T>,
    ) -> Vec<T> {
        let mut samples = Vec::with_capacity(self.rows.len());
        samples.extend(self.rows.iter().zip(&self.decodes).filter_map(|(&request, &decode)| {
            let row = &self.requests[request.index()];
            let latencies = Latencies::of(row, Span::from_nanos(decode));
            those(row).then(|| sample(row, latencies)).flatten()
        }));
        samples
    }
}

fn fluidity(
    sums: &Sums,
    latencies: &LatencyFigures,
    full: Option<FullFigures>,
    tbt_s: &Distribution,
) -> Fluidity {
    let (met, missed) = (sums.deadlines_met, sums.deadlines_missed);
    let rate = (met + missed > 0).then(|| missed as f64 / (met + missed) as f64);
    let rates = match sums.open.is_empty() {
        true => Bounds::of(rate, rate),
        false => open::miss_rate(met, missed, &sums.open),
    };
    let (judged, censored) = (sums.requests.judged(), sums.requests.censored);
    let share = Bounds::of(ratio(sums.fluid, judged), ratio(sums.fluid + censored, judged));
    let (least, most) = latencies.index;
    let index = |of: fn(&FluidityIndex) -> Option<f64>| Bounds::of(of(&least), of(&most));
    let value = |bounds: Option<Bounds>| bounds.and_then(Bounds::value);
    let per_second = |seconds: Option<f64>| seconds.filter(|&s| s > 0.0).map(|s| 1.0 / s);
    let exact = |seconds: Option<f64>| Bounds::of(per_second(seconds), per_second(seconds));
    let (tpot_rate, tbt_rate) = match &latencies.bounds {
        None => (exact(latencies.tpot_s.mean), exact(tbt_s.p99)),
        Some(of) => (of.tpot_s.rate(|of| of.mean), of.tbt_s.and_then(|of| of.rate(|of| of.p99))),
    };
    let bounds = FluidityBounds {
        fluid_request_share: share,
        index_mean: index(|of| of.mean),
        service_miss_rate: rates,
        index_p1: index(|of| of.p1),
        index_p5: index(|of| of.p5),
        index_p50: index(|of| of.p50),
        tpot_tokens_per_s: tpot_rate,
        tbt_tokens_per_s: tbt_rate,
    };
    let (fluid_tokens_per_s, p99_miss_rate_by_tbt_ms) =
        full.map_or((None, None), |f| (f.fluid_tokens_per_s, f.p99_miss_rate_by_tbt_ms));
    Fluidity {
        index: FluidityIndex {
            mean: value(bounds.index_mean),
            p1: value(bounds.index_p1),
            p5: value(bounds.index_p5),
            p50: value(bounds.index_p50),
        },
        fluid_request_share: value(share),
        service_miss_rate: value(rates),
        fluid_tokens_per_s,
        tpot_tokens_per_s: value(tpot_rate),
        tbt_tokens_per_s: value(tbt_rate),
        p99_miss_rate_by_tbt_ms,
        bounds: (!sums.open.is_empty()).then_some(bounds),
    }
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
