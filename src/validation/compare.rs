//! A simulation and the real run that it replays, figure by figure.

use ordered_float::OrderedFloat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::IterationNo;
use crate::metrics::{Distribution, distribution};
use crate::runner::Requests;
use crate::sim::Outcome;
use crate::time::Time;
use crate::trace::{Log, RequestRow, Status, TokenTrace};
use crate::validation::{ObservedRequest, Replay};

/// Requests scheduled sooner than this after they were queued did not queue, seconds.
const UNQUEUED_S: f64 = 0.1;

/// A statistic of a metric, real and simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// `ttft_s`, `ttft_from_queued_s`, `tpot_s`, `e2e_s`, `e2e_from_queued_s`,
    /// `output_tokens_per_s` or `makespan_s`.
    pub metric: String,
    /// `mean`, `p50`, `p90`, `p95` or `p99`; `mean` for the two that are one figure.
    pub stat: String,
    /// In the real run.
    pub observed: Option<f64>,
    /// In the simulation.
    pub simulated: Option<f64>,
    /// `simulated / observed - 1`; null where the observed figure is 0.
    pub error: Option<f64>,
}

/// A simulation against a real run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validation {
    /// What lay between a request's arrival and the engine, seconds: requests are replayed so much after
    /// their arrival, and not at `queued_s`, which vLLM stamps after the step that runs. Null where one
    /// of the two stamps is not known.
    pub front_end_s: Option<f64>,
    /// All requests that got their tokens in both.
    pub validation: Vec<Compared>,
    /// Mean absolute error of each request's end-to-end time, from when the engine got it,
    /// relative to the real one.
    pub per_request_e2e_mape: Option<f64>,
    /// Requests that were scheduled within 100 ms of queueing; null where that is not known.
    pub unqueued: Option<Unqueued>,
}

/// Requests that did not queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unqueued {
    /// How many.
    pub requests: u64,
    /// Their latencies.
    pub validation: Vec<Compared>,
}

/// A request's latencies in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latencies {
    pub ttft: f64,
    /// From when the engine got it, or from arrival where that is all there is.
    pub ttft_from_entry: f64,
    /// From when the engine looked at its queue and found it, at the end of the step that ran.
    pub ttft_from_queued: Option<f64>,
    /// `None` for an output of one token.
    pub tpot: Option<f64>,
    pub e2e: f64,
    pub e2e_from_entry: f64,
    pub e2e_from_queued: Option<f64>,
}

/// One request, real and simulated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub observed: Latencies,
    pub simulated: Latencies,
    pub queued_for: Option<f64>,
}

/// What is known of a simulation besides its tokens' times.
#[derive(Clone, Copy, Default)]
pub(super) struct Known<'o> {
    /// Its iterations.
    pub logs: Option<&'o [Log]>,
    /// When the engine got each request, where that is not its arrival.
    pub entered: &'o [Time],
}

/// The requests of a replay that got all their tokens in both, in order of entry; each with its
/// place in the replay. Without the simulation's log it is not known when it found a request in its
/// queue.
pub(super) fn pairs(replay: &Replay, trace: &TokenTrace, known: Known<'_>) -> Vec<(usize, Pair)> {
    let both = replay.observed.iter().zip(&replay.entered_s).zip(&trace.requests).enumerate();
    let pair =
        |(place, ((real, &entered), row)): (usize, ((&ObservedRequest, &f64), &RequestRow))| {
            let got = known.entered.get(place).copied().unwrap_or(row.arrival);
            let queued =
                known.logs.and_then(|logs| found_queued(got, row, logs.get(row.lane.index())?));
            Some((place, pair(replay, (real, entered), (trace, row), queued)?))
        };
    both.filter_map(pair).collect()
}

fn pair(
    replay: &Replay,
    (real, entered): (&ObservedRequest, f64),
    (trace, row): (&TokenTrace, &RequestRow),
    queued: Option<Time>,
) -> Option<Pair> {
    let (first, last) = real.tokens_s?;
    if row.status != Status::Completed {
        return None;
    }
    let tokens = real.output_tokens.unwrap_or(row.tokens);
    let real_at = At { arrival: real.arrival_s, entered, queued: real.queued_s };
    let observed = Latencies::new(real_at, first, last, tokens);
    // The real front end's delay is put before the simulated engine.
    let simulated_at = At { queued: queued.map(|time| replay.on_real_clock(time)), ..real_at };
    let last = replay.on_real_clock(trace.token_times(row).last()?);
    let first = replay.on_real_clock(row.first_token);
    let simulated = Latencies::new(simulated_at, first, last, row.tokens);
    let queued_for =
        real.scheduled_s.map(|scheduled| scheduled - real.queued_s.unwrap_or(real.arrival_s));
    Some(Pair { observed, simulated, queued_for })
}

/// When the policy first looked at its queue with this request in it, as vLLM stamps it.
fn found_queued(got: Time, row: &RequestRow, log: &Log) -> Option<Time> {
    let mut numbers = log.numbers();
    let decided = |number: IterationNo| log.at(number).decided;
    while numbers.start < numbers.end {
        let middle = IterationNo(u32::midpoint(numbers.start.0, numbers.end.0));
        match decided(middle) < got {
            true => numbers.start = IterationNo(middle.0 + 1),
            false => numbers.end = middle,
        }
    }
    Some(log.get(numbers.start)?.decided.min(row.scheduled))
}

/// When a request came, seconds on the real run's clock.
#[derive(Clone, Copy)]
struct At {
    arrival: f64,
    entered: f64,
    queued: Option<f64>,
}

impl Latencies {
    fn new(at: At, first: f64, last: f64, tokens: u32) -> Latencies {
        let gaps = f64::from(tokens.saturating_sub(1));
        Latencies {
            ttft: first - at.arrival,
            ttft_from_entry: first - at.entered,
            ttft_from_queued: at.queued.map(|queued| first - queued),
            tpot: (tokens > 1).then(|| (last - first) / gaps),
            e2e: last - at.arrival,
            e2e_from_entry: last - at.entered,
            e2e_from_queued: at.queued.map(|queued| last - queued),
        }
    }
}

/// Sets a simulation, whose log was kept, against the real run.
pub fn compare(replay: &Replay, outcome: &Outcome) -> Validation {
    let trace = &outcome.trace;
    let known = Known { logs: outcome.log.as_deref(), entered: &outcome.entered };
    let pairs = pairs(replay, trace, known);
    let pairs: Vec<Pair> = pairs.into_iter().map(|(_, pair)| pair).collect();
    let mut validation = latencies(&pairs, replay.from_queue);
    let (observed, simulated) = (real_span(replay), simulated_span(trace));
    validation.push(Compared::new(
        "output_tokens_per_s",
        "mean",
        observed.map(|span| span.tokens / span.seconds),
        simulated.map(|span| span.tokens / span.seconds),
    ));
    let seconds = |span: Option<Work>| span.map(|span| span.seconds);
    validation.push(Compared::new("makespan_s", "mean", seconds(observed), seconds(simulated)));
    let unqueued = replay.observed.iter().any(|r| r.scheduled_s.is_some()).then(|| {
        let at_once = |pair: &&Pair| pair.queued_for.is_some_and(|s| s < UNQUEUED_S);
        let pairs: Vec<Pair> = pairs.iter().filter(at_once).copied().collect();
        Unqueued { requests: pairs.len() as u64, validation: latencies(&pairs, replay.from_queue) }
    });
    Validation {
        front_end_s: replay.front_end_s,
        validation,
        per_request_e2e_mape: e2e_mape(&pairs),
        unqueued,
    }
}

/// Mean absolute relative error of single requests' end-to-end time.
pub(super) fn e2e_mape(pairs: &[Pair]) -> Option<f64> {
    let error = |p: &Pair| (p.simulated.e2e_from_entry / p.observed.e2e_from_entry - 1.0).abs();
    let errors = pairs.iter().filter(|p| p.observed.e2e_from_entry > 0.0).map(error);
    let (sum, count) = errors.fold((0.0, 0.0), |(sum, count), error| (sum + error, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// Every latency's statistics. Names tell where a latency counts from: without times of queueing
/// there are no `_from_queued` ones.
fn latencies(pairs: &[Pair], from_queue: bool) -> Vec<Compared> {
    type Latency = fn(&Latencies) -> Option<f64>;
    let metrics: [(&str, bool, Latency); 5] = [
        ("ttft_s", true, |l| Some(l.ttft)),
        ("ttft_from_queued_s", from_queue, |l| l.ttft_from_queued),
        ("tpot_s", true, |l| l.tpot),
        ("e2e_s", true, |l| Some(l.e2e)),
        ("e2e_from_queued_s", from_queue, |l| l.e2e_from_queued),
    ];
    let known = metrics.into_iter().filter(|(_, known, _)| *known);
    known
        .flat_map(|(name, _, of)| {
            let both = pairs.iter().filter_map(|p| of(&p.observed).zip(of(&p.simulated)));
            let (mut observed, mut simulated): (Vec<OrderedFloat<f64>>, Vec<OrderedFloat<f64>>) =
                both.map(|(o, s)| (OrderedFloat(o), OrderedFloat(s))).unzip();
            let observed = statistics(&distribution(&mut observed));
            let simulated = statistics(&distribution(&mut simulated));
            observed
                .into_iter()
                .zip(simulated)
                .map(move |((stat, o), (_, s))| Compared::new(name, stat, o, s))
        })
        .collect()
}

fn statistics(d: &Distribution) -> [(&'static str, Option<f64>); 5] {
    [("mean", d.mean), ("p50", d.p50), ("p90", d.p90), ("p95", d.p95), ("p99", d.p99)]
}

impl Compared {
    fn new(metric: &str, stat: &str, observed: Option<f64>, simulated: Option<f64>) -> Compared {
        let error = observed.zip(simulated).filter(|&(o, _)| o > 0.0).map(|(o, s)| s / o - 1.0);
        Compared { metric: metric.to_owned(), stat: stat.to_owned(), observed, simulated, error }
    }
}

/// Work from the first entry to the last token.
#[derive(Clone, Copy)]
struct Work {
    tokens: f64,
    seconds: f64,
}

fn real_span(replay: &Replay) -> Option<Work> {
    let Requests::Open(workload) = &replay.requests else { return None };
    let begin = replay.entered_s.iter().copied().reduce(f64::min)?;
    let end = replay.observed.iter().filter_map(|r| Some(r.tokens_s?.1)).reduce(f64::max)?;
    let tokens = |(r, request): (&ObservedRequest, &crate::request::Request)| {
        r.tokens_s.map(|_| f64::from(r.output_tokens.unwrap_or(request.output_tokens)))
    };
    let tokens = replay.observed.iter().zip(&workload.requests).filter_map(tokens).sum();
    Some(Work { tokens, seconds: end - begin }).filter(|work| work.seconds > 0.0)
}

fn simulated_span(trace: &TokenTrace) -> Option<Work> {
    let begin = trace.requests.iter().map(|row| row.arrival).min()?;
    let end = trace.requests.iter().filter_map(|row| trace.token_times(row).last()).max()?;
    let tokens = trace.requests.iter().map(|row| f64::from(row.tokens)).sum();
    let seconds = end.since(begin).as_nanos() as f64 / 1e9;
    Some(Work { tokens, seconds }).filter(|work| work.seconds > 0.0)
}
