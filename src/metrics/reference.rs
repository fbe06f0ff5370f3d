//! The slow, obvious evaluation: every token of every request, one after another.
//!
//! It is the specification of [`evaluate`](super::evaluate()), which must give the same summary to
//! the last bit. It shares no shortcut with it: gaps are listed, samples sorted, deadlines tried
//! one by one.

use super::options::{Options, RequestBounds, Window};
use super::quantile::{Ratio, Sample, of_parts, rank};
use super::summary::{
    ArrivalRate, Distribution, Fluidity, FluidityIndex, Goodput, RequestCounts, Summary,
    Throughput, TokenCounts,
};
use super::{Deadlines, Tally};
use crate::time::Time;
use crate::trace::{RequestRow, Status, TokenTrace};

/// The fluidity tally of a request with these gaps, in nanoseconds: the time to its first token,
/// then the times between tokens. `ttft` is `D_p`, `None` to leave the first token out; `tbt` is
/// `D_d`.
///
/// # Panics
/// When `tbt` is 0.
pub fn tally(gaps: &[u64], ttft: Option<u64>, tbt: u64) -> Tally {
    let tbt = u128::from(tbt);
    let mut slack = 0;
    let mut tally = Tally::default();
    for (i, &gap) in gaps.iter().enumerate() {
        let gap = u128::from(gap);
        let deadline = match (i, ttft) {
            (0, None) => continue,
            (0, Some(ttft)) => u128::from(ttft),
            _ => tbt,
        };
        if gap <= deadline + slack {
            slack = deadline + slack - gap;
            tally.met += 1;
        } else {
            let missed = if i == 0 { 1 + (gap - deadline) / tbt } else { (gap - slack) / tbt };
            // Only a stall of centuries on a deadline of 1 ns could be more.
            tally.missed = u64::try_from(u128::from(tally.missed) + missed).unwrap_or(u64::MAX);
            slack = 0;
        }
    }
    tally
}

/// The smallest TBT deadline in nanoseconds at which at most a tenth of a request's deadlines are
/// missed, by bisection; `None` without a gap after the first.
pub fn min_tbt_deadline(gaps: &[u64]) -> Option<u64> {
    let (mut fails, mut holds) = (0, gaps.get(1..)?.iter().max()?.max(&1).to_owned());
    while holds > fails + 1 {
        let middle = fails + (holds - fails) / 2;
        let tally = tally(gaps, None, middle);
        let (met, missed) = (u128::from(tally.met), u128::from(tally.missed));
        if 10 * missed <= met + missed {
            holds = middle;
        } else {
            fails = middle;
        }
    }
    Some(holds)
}

/// A request that counts, its tokens expanded.
struct Request<'a> {
    row: &'a RequestRow,
    tokens: Vec<Time>,
    /// Gaps that have a deadline: none of a rejected request, one more of an unfinished one.
    judged: Vec<u64>,
    tally: Tally,
    index: f64,
    fluid: bool,
}

impl<'a> Request<'a> {
    fn new(trace: &TokenTrace, options: &Options, row: &'a RequestRow) -> Request<'a> {
        let deadlines: &Deadlines = options.deadlines_of(row.class);
        let tokens: Vec<Time> = trace.token_times(row).collect();
        let rejected = row.status.is_lost();
        let mut judged = if rejected { Vec::new() } else { tokens.clone() };
        if row.status == Status::Unfinished {
            judged.push(trace.end.max(tokens.last().copied().unwrap_or(row.arrival)));
        }
        let judged = gaps(row.arrival, &judged);
        let ttft = deadlines.ttft(row.prompt_tokens).as_nanos();
        let tally =
            tally(&judged, options.judge_first_token.then_some(ttft), deadlines.tbt().as_nanos());
        let index = if rejected { 0.0 } else { tally.index() };
        let fluid = !rejected && index >= deadlines.fluid_index();
        Request { row, tokens, judged, tally, index, fluid }
    }

    fn is(&self, status: Status) -> bool {
        self.row.status == status
    }

    fn ttft(&self) -> Option<u64> {
        self.tokens.first().map(|first| first.since(self.row.arrival).as_nanos())
    }

    fn e2e(&self) -> Option<u64> {
        self.tokens.last().map(|last| last.since(self.row.arrival).as_nanos())
    }

    /// The sum of the gaps between its tokens.
    fn decode(&self) -> u64 {
        self.tokens.windows(2).map(|pair| pair[1].since(pair[0]).as_nanos()).sum()
    }

    fn tpot(&self) -> Option<f64> {
        let gaps = self.row.tokens.saturating_sub(1);
        (gaps > 0 && !self.tokens.is_empty())
            .then(|| self.decode() as f64 / (f64::from(gaps) * 1e9))
    }

    fn normalized(&self) -> Option<f64> {
        let tokens = self.row.tokens;
        self.e2e().filter(|_| tokens > 0).map(|e2e| e2e as f64 / (f64::from(tokens) * 1e9))
    }

    fn scheduling_delay(&self) -> Option<u64> {
        (self.row.scheduled != Time::NEVER)
            .then(|| self.row.scheduled.since(self.row.arrival).as_nanos())
    }

    fn keeps(&self, bounds: RequestBounds) -> bool {
        let over = |span: u64, bound: Option<crate::time::Span>| {
            bound.is_some_and(|bound| span > bound.as_nanos())
        };
        let (Some(ttft), Some(e2e)) = (self.ttft(), self.e2e()) else {
            // Without a token there is no time to hold against a bound.
            return self.is(Status::Completed)
                && bounds.ttft.is_none()
                && bounds.e2e.is_none()
                && (self.fluid || !bounds.fluid);
        };
        let gaps = u128::from(self.row.tokens.saturating_sub(1));
        let tpot_over = bounds
            .tpot
            .is_some_and(|tpot| u128::from(self.decode()) > u128::from(tpot.as_nanos()) * gaps);
        self.is(Status::Completed)
            && !over(ttft, bounds.ttft)
            && !over(e2e, bounds.e2e)
            && !tpot_over
            && (self.fluid || !bounds.fluid)
    }
}

/// Every metric of the requests that `options` count, the slow way.
///
/// # Panics
/// As [`evaluate`](super::evaluate()) does, on a trace that breaks its rules.
pub fn evaluate(trace: &TokenTrace, options: &Options) -> Summary {
    let window = Window::new(&trace.requests, options.count);
    let counted = trace.requests.iter().filter(|row| window.holds(row));
    let requests: Vec<Request> = counted.map(|row| Request::new(trace, options, row)).collect();
    let completed = || requests.iter().filter(|request| request.is(Status::Completed));
    let count = |status| requests.iter().filter(|request| request.is(status)).count() as u64;
    let offered = requests.len() as u64;
    let judged = offered - count(Status::Cancelled);

    let arrivals = || requests.iter().map(|request| request.row.arrival);
    let first_arrival = arrivals().min();
    let arrival_span = arrivals().max().map_or(0, |last| {
        last.since(first_arrival.expect("the last arrival has a first before it")).as_nanos()
    });
    let last_token = requests.iter().filter_map(|request| request.tokens.last()).max();
    let makespan_s = match (first_arrival, last_token) {
        (Some(first), Some(last)) => last.since(first).as_secs_f64(),
        _ => 0.0,
    };
    let per_second =
        |what: u64| (options.knows.arrivals && makespan_s > 0.0).then(|| what as f64 / makespan_s);

    let tbt: Vec<u64> = completed()
        .flat_map(|r| r.tokens.windows(2).map(|pair| pair[1].since(pair[0]).as_nanos()))
        .collect();
    let tbt_s = options.knows.token_times.then(|| distribution(tbt));
    let tpot_s = distribution(ratios(completed().filter_map(Request::tpot)));
    let tokens = TokenCounts {
        prompt: requests
            .iter()
            .filter(|request| !request.tokens.is_empty())
            .map(|request| u64::from(request.row.prompt_tokens))
            .sum(),
        output: requests.iter().map(|request| u64::from(request.row.tokens)).sum(),
    };
    let knows_bounds = |bounds: &RequestBounds| options.knows.token_times || !bounds.fluid;
    Summary {
        requests: RequestCounts {
            offered,
            completed: count(Status::Completed),
            unfinished: count(Status::Unfinished),
            rejected: count(Status::Rejected),
            failed: count(Status::Failed),
            timed_out: count(Status::TimedOut),
            cancelled: count(Status::Cancelled),
            censored: 0,
        },
        duration_s: options.knows.arrivals.then_some(makespan_s),
        arrival_rate_per_s: options.knows.arrivals.then(|| ArrivalRate {
            nominal: options.nominal_rate_per_s,
            realised: (arrival_span > 0)
                .then(|| (offered - 1) as f64 / (arrival_span as f64 / 1e9)),
        }),
        tokens,
        throughput: options.knows.arrivals.then(|| Throughput {
            output_tokens_per_s: per_second(tokens.output),
            requests_per_s: per_second(count(Status::Completed)),
        }),
        ttft_s: distribution(completed().filter_map(Request::ttft).collect::<Vec<_>>()),
        ttft_in_time_share: None,
        fluidity: tbt_s.map(|tbt_s| fluidity(&requests, &tbt_s, &tpot_s, options.full)),
        tbt_s,
        tpot_s,
        e2e_s: distribution(completed().filter_map(Request::e2e).collect::<Vec<_>>()),
        normalized_latency_s_per_token: distribution(ratios(
            completed().filter_map(Request::normalized),
        )),
        scheduling_delay_s: options.knows.scheduling.then(|| {
            distribution(completed().filter_map(Request::scheduling_delay).collect::<Vec<_>>())
        }),
        goodput: options.bounds.filter(knows_bounds).map(|bounds| {
            let good = requests.iter().filter(|request| request.keeps(bounds)).count() as u64;
            Goodput {
                requests: good,
                share: (judged > 0).then(|| good as f64 / judged as f64),
                requests_per_s: per_second(good),
            }
        }),
    }
}

fn fluidity(
    requests: &[Request],
    tbt_s: &Distribution,
    tpot_s: &Distribution,
    full: bool,
) -> Fluidity {
    let judged = || requests.iter().filter(|request| !request.is(Status::Cancelled));
    let offered = judged().count() as f64;
    let any = offered > 0.0;
    let fluid = requests.iter().filter(|request| request.fluid).count() as f64;
    let missed: u128 = requests.iter().map(|request| u128::from(request.tally.missed)).sum();
    let met: u128 = requests.iter().map(|request| u128::from(request.tally.met)).sum();
    let index = ratios(judged().map(|request| request.index));
    let smallest: Vec<u64> =
        requests.iter().filter_map(|request| min_tbt_deadline(&request.judged)).collect();
    // An unfinished request without a token has its one gap before the first token.
    let decoded: Vec<&Request> =
        requests.iter().filter(|request| request.judged.len() >= 2).collect();
    let miss_rates = |ms: u32| {
        let rate = |request: &&Request| {
            tally(&request.judged, None, u64::from(ms) * 1_000_000).miss_rate()
        };
        ratios(decoded.iter().map(rate))
    };
    let rate = |seconds: f64| (seconds > 0.0).then(|| 1.0 / seconds);
    Fluidity {
        index: FluidityIndex {
            mean: any.then(|| index.iter().map(|index| index.0).sum::<f64>() / offered),
            p1: quantile(&index, 10),
            p5: quantile(&index, 50),
            p50: quantile(&index, 500),
        },
        fluid_request_share: any.then(|| fluid / offered),
        service_miss_rate: (met + missed > 0).then(|| missed as f64 / (met + missed) as f64),
        fluid_tokens_per_s: quantile(&smallest, 990).filter(|_| full).map(|p99| 1.0 / p99),
        tpot_tokens_per_s: tpot_s.mean.and_then(rate),
        tbt_tokens_per_s: tbt_s.p99.and_then(rate),
        p99_miss_rate_by_tbt_ms: (full && !decoded.is_empty()).then(|| {
            let point = |ms| (ms, quantile(&miss_rates(ms), 990).expect("there are requests"));
            (1..=100).map(point).collect()
        }),
        bounds: None,
    }
}

/// From the arrival to the first of these times, and between each of them and the next.
fn gaps(arrival: Time, times: &[Time]) -> Vec<u64> {
    let before = std::iter::once(&arrival).chain(times);
    times.iter().zip(before).map(|(time, before)| time.since(*before).as_nanos()).collect()
}

fn ratios(values: impl Iterator<Item = f64>) -> Vec<Ratio> {
    values.map(Ratio::from).collect()
}

/// The type 7 quantile in seconds; `None` without samples.
fn quantile<T: Sample>(samples: &[T], thousandths: u64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort();
    let last = sorted.len().checked_sub(1)?;
    let (low, rest) = rank(sorted.len() as u64, thousandths);
    Some(sorted[low as usize].towards(sorted[last.min(low as usize + 1)], rest))
}

fn distribution<T: Sample>(samples: Vec<T>) -> Distribution {
    let at = |thousandths| quantile(&samples, thousandths);
    match (at(0), at(500), at(900), at(950), at(990), at(999), at(1000)) {
        (Some(min), Some(p50), Some(p90), Some(p95), Some(p99), Some(p999), Some(max)) => {
            let quantiles = [p50, p90, p95, p99, p999];
            of_parts(samples.len() as u64, T::mean(&samples), min, quantiles, max)
        }
        _ => Distribution::default(),
    }
}
