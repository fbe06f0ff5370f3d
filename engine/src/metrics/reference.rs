//! The slow, obvious evaluation: every token of every request, one after another.
//!
//! It is the specification of [`evaluate`](super::evaluate()), which must give the same summary to
//! the last bit. It shares no shortcut with it: gaps are listed, samples sorted, deadlines tried
//! one by one.

use super::open::by_ratio;
use super::options::{Knowledge, Options, RequestBounds, Window};
use super::quantile::{Ratio, Sample, of_parts, rank};
use super::summary::{
    ArrivalRate, Bounds, Distribution, Fluidity, FluidityBounds, FluidityIndex, Goodput,
    GoodputBounds, LatencyBounds, LatencyRange, RequestCounts, Summary, Throughput, TokenCounts,
};
use super::{Deadlines, Tally};
use crate::ids::RequestId;
use crate::time::{Span, Time};
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
    /// What the way from the engine to the client takes.
    way_back: Span,
    tokens: Vec<Time>,
    /// Gaps that have a deadline: none of a lost request.
    judged: Vec<u64>,
    /// Its tally at the best; `None` where an open request's has no best.
    best: Option<Tally>,
    /// The least and the most that the index can become.
    index: (f64, f64),
    /// Whether it is fluid at the worst and at the best.
    fluid: (bool, bool),
    /// Whether its first token came in time at the worst and at the best; `None` where it has no
    /// deadline, or its time is not known.
    in_time: Option<(bool, bool)>,
    /// When observation of it ended.
    end: Time,
    /// Tokens to come.
    to_come: Option<u64>,
}

impl<'a> Request<'a> {
    fn new(
        trace: &TokenTrace,
        options: &Options,
        (row, number): (&'a RequestRow, RequestId),
    ) -> Request<'a> {
        let deadlines: &Deadlines = options.deadlines_of(row.class);
        let tokens: Vec<Time> = trace.token_times(row).collect();
        let lost = row.status.is_lost();
        let open = row.status == Status::Unfinished;
        let judged = if lost { Vec::new() } else { gaps(row.arrival, &tokens) };
        let due = deadlines.ttft(row.prompt_tokens);
        let ttft = options.judge_first_token.then_some(due.as_nanos());
        let tbt = deadlines.tbt().as_nanos();
        let end = trace.end.max(tokens.last().copied().unwrap_or(row.arrival));
        let known = trace.to_come(number);
        let to_come = known.map(|tokens| u64::from(tokens.max(1))).filter(|_| open);
        let mut tally_so_far = tally(&judged, ttft, tbt);
        let mut best = Some(tally_so_far);
        if open {
            // As if all the rest came at the end, and all but the first of it in time.
            let last = [judged.as_slice(), &[end.since(before(row, &tokens)).as_nanos()]].concat();
            let with_next = tally(&last, ttft, tbt);
            tally_so_far.missed = with_next.missed;
            best = to_come.map(|more| Tally {
                met: with_next.met.saturating_add(more - 1),
                missed: with_next.missed,
            });
        }
        let threshold = deadlines.fluid_index();
        let fluid = |index: f64| index >= threshold;
        let (index, fluid) = match (lost, open, best) {
            (true, ..) => ((0.0, 0.0), (false, false)),
            (false, false, _) => {
                let index = tally_so_far.index();
                ((index, index), (fluid(index), fluid(index)))
            }
            (false, true, Some(best)) => ((0.0, best.index()), (false, fluid(best.index()))),
            // Any index below 1 is within reach, and 1 itself where nothing was missed.
            (false, true, None) => {
                ((0.0, 1.0), (false, threshold < 1.0 || tally_so_far.missed == 0))
            }
        };
        let in_time = match tokens.first() {
            _ if !options.judge_first_token => None,
            Some(first) => Some(first.since(row.arrival) <= due).map(|yes| (yes, yes)),
            None if row.status == Status::Completed => None,
            None if open => Some((false, end.since(row.arrival) <= due)),
            None => Some((false, false)),
        };
        let way_back = trace.way_back;
        Request { row, way_back, tokens, judged, best, index, fluid, in_time, end, to_come }
    }

    fn is_open(&self) -> bool {
        self.is(Status::Unfinished)
    }

    /// From the last token, or the arrival, to the end of observation.
    fn open_gap(&self) -> u64 {
        self.end.since(before(self.row, &self.tokens)).as_nanos()
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
            .then(|| self.row.scheduled.since(self.row.arrival + self.way_back).as_nanos())
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
                && (self.fluid.0 || !bounds.fluid)
                && !bounds.first_in_time;
        };
        let gaps = u128::from(self.row.tokens.saturating_sub(1));
        let tpot_over = bounds
            .tpot
            .is_some_and(|tpot| u128::from(self.decode()) > u128::from(tpot.as_nanos()) * gaps);
        self.is(Status::Completed)
            && !over(ttft, bounds.ttft)
            && !over(e2e, bounds.e2e)
            && !tpot_over
            && (self.fluid.0 || !bounds.fluid)
            && (self.in_time.is_some_and(|one| one.0) || !bounds.first_in_time)
    }

    /// Whether an open request can still keep all of them.
    fn can_keep(&self, bounds: RequestBounds) -> bool {
        let within = |least: u64, bound: Option<crate::time::Span>| {
            bound.is_none_or(|bound| least <= bound.as_nanos())
        };
        let so_far = self.end.since(self.row.arrival).as_nanos();
        let decode = match self.tokens.first() {
            Some(&first) => u128::from(self.end.since(first).as_nanos()),
            None => 0,
        };
        let tpot = bounds.tpot.is_none_or(|tpot| match self.to_come {
            Some(more) => {
                let gaps = u128::from(self.row.tokens) + u128::from(more) - 1;
                decode <= gaps * u128::from(tpot.as_nanos())
            }
            None => decode == 0 || tpot.as_nanos() > 0,
        });
        self.is_open()
            && within(self.ttft().unwrap_or(so_far), bounds.ttft)
            && within(so_far, bounds.e2e)
            && tpot
            && (self.fluid.1 || !bounds.fluid)
            && (self.in_time.is_none_or(|one| one.1) || !bounds.first_in_time)
    }
}

/// The last token, or the arrival.
fn before(row: &RequestRow, tokens: &[Time]) -> Time {
    tokens.last().copied().unwrap_or(row.arrival)
}

/// Every metric of the requests that `options` count, the slow way.
///
/// # Panics
/// As [`evaluate`](super::evaluate()) does, on a trace that breaks its rules.
pub fn evaluate(trace: &TokenTrace, options: &Options) -> Summary {
    let window = Window::new(&trace.requests, options.count);
    let counted =
        trace.requests.iter().zip(RequestId::FIRST.onwards()).filter(|(row, _)| window.holds(row));
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

    let tbt: Vec<u64> = requests
        .iter()
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
    let due: Vec<(bool, bool)> = requests.iter().filter_map(|request| request.in_time).collect();
    let part = |those: usize| those as f64 / due.len() as f64;
    let in_time = (!due.is_empty()).then(|| Bounds {
        lower: part(due.iter().filter(|one| one.0).count()),
        upper: part(due.iter().filter(|one| one.1).count()),
    });
    let knows_bounds = |bounds: &RequestBounds| options.knows.token_times || !bounds.fluid;
    let any_open = requests.iter().any(Request::is_open);
    let latency_bounds = any_open.then(|| Box::new(latency_bounds(&requests, options.knows)));
    Summary {
        requests: RequestCounts {
            offered,
            completed: count(Status::Completed),
            unfinished: count(Status::Unfinished),
            rejected: count(Status::Rejected),
            failed: count(Status::Failed),
            timed_out: count(Status::TimedOut),
            cancelled: count(Status::Cancelled),
            censored: requests.iter().filter(|r| r.is_open() && r.fluid.1).count() as u64,
        },
        duration_s: options.knows.arrivals.then_some(makespan_s),
        arrival_rate_per_s: options.knows.arrivals.then(|| ArrivalRate {
            nominal: options.nominal_rate_per_s,
            users: options.users,
            realised: (arrival_span > 0)
                .then(|| (offered - 1) as f64 / (arrival_span as f64 / 1e9)),
        }),
        tokens,
        throughput: options.knows.arrivals.then(|| Throughput {
            output_tokens_per_s: per_second(tokens.output),
            requests_per_s: per_second(count(Status::Completed)),
        }),
        ttft_s: distribution(requests.iter().filter_map(Request::ttft).collect::<Vec<_>>()),
        ttft_in_time_share: in_time.filter(|b| b.lower == b.upper).map(|b| b.lower),
        ttft_in_time_bounds: in_time.filter(|b| b.lower != b.upper),
        fluidity: tbt_s.map(|tbt_s| {
            fluidity(&requests, &tbt_s, &tpot_s, latency_bounds.as_deref(), options.full)
        }),
        tbt_s,
        tpot_s,
        e2e_s: distribution(completed().filter_map(Request::e2e).collect::<Vec<_>>()),
        normalized_latency_s_per_token: distribution(ratios(
            completed().filter_map(Request::normalized),
        )),
        scheduling_delay_s: options.knows.scheduling.then(|| {
            let delays = requests.iter().filter_map(Request::scheduling_delay);
            distribution(delays.collect::<Vec<_>>())
        }),
        goodput: options.bounds.filter(knows_bounds).map(|bounds| {
            let good = requests.iter().filter(|request| request.keeps(bounds)).count() as u64;
            let most = requests.iter().filter(|r| r.keeps(bounds) || r.can_keep(bounds)).count();
            let most = most as u64;
            let share = |good: u64| (judged > 0).then(|| good as f64 / judged as f64);
            Goodput {
                requests: Some(good).filter(|_| good == most),
                share: share(good).filter(|_| good == most),
                requests_per_s: per_second(good).filter(|_| good == most),
                bounds: (good < most).then(|| GoodputBounds {
                    requests: both(Some(good as f64), Some(most as f64)),
                    share: both(share(good), share(most)),
                    requests_per_s: both(per_second(good), per_second(most)),
                }),
            }
        }),
        latency_bounds,
    }
}

fn fluidity(
    requests: &[Request],
    tbt_s: &Distribution,
    tpot_s: &Distribution,
    latencies: Option<&LatencyBounds>,
    full: bool,
) -> Fluidity {
    let judged: Vec<&Request> =
        requests.iter().filter(|request| !request.is(Status::Cancelled)).collect();
    let of = judged.len() as f64;
    let any = !judged.is_empty();
    let open = requests.iter().any(Request::is_open);
    let full = full && !open;
    let share = |fluid: fn(&Request) -> bool| {
        any.then(|| judged.iter().filter(|request| fluid(request)).count() as f64 / of)
    };
    let index = |index: fn(&Request) -> f64| ratios(judged.iter().map(|request| index(request)));
    let (least, most) = (index(|request| request.index.0), index(|request| request.index.1));
    let mean = |index: &[Ratio]| any.then(|| index.iter().map(|index| index.0).sum::<f64>() / of);
    let at = |p| both(quantile(&least, p), quantile(&most, p));
    let rate = |seconds: f64| (seconds > 0.0).then(|| 1.0 / seconds);
    // The least latency is the highest rate; without a most there is no least rate above 0.
    let between = |range: &LatencyRange, of: fn(&Distribution) -> Option<f64>| {
        let least = of(&range.upper).map_or(Some(0.0), rate);
        both(least, of(&range.lower).and_then(rate))
    };
    let one = |seconds: Option<f64>| both(seconds.and_then(rate), seconds.and_then(rate));
    let rates = match latencies {
        None => (one(tpot_s.mean), one(tbt_s.p99)),
        Some(latencies) => (
            between(&latencies.tpot_s, |of| of.mean),
            latencies.tbt_s.as_ref().and_then(|range| between(range, |of| of.p99)),
        ),
    };
    let bounds = FluidityBounds {
        fluid_request_share: both(share(|one| one.fluid.0), share(|one| one.fluid.1)),
        index_mean: both(mean(&least), mean(&most)),
        service_miss_rate: miss_rate(requests),
        index_p1: at(10),
        index_p5: at(50),
        index_p50: at(500),
        tpot_tokens_per_s: rates.0,
        tbt_tokens_per_s: rates.1,
    };
    let known = |bounds: Option<Bounds>| {
        bounds.filter(|bounds| bounds.lower == bounds.upper).map(|bounds| bounds.lower)
    };
    let completed = || requests.iter().filter(|request| request.is(Status::Completed));
    let smallest: Vec<u64> =
        completed().filter_map(|request| min_tbt_deadline(&request.judged)).collect();
    let decoded: Vec<&Request> = completed().filter(|one| one.judged.len() >= 2).collect();
    let miss_rates = |ms: u32| {
        let rate = |request: &&Request| {
            tally(&request.judged, None, u64::from(ms) * 1_000_000).miss_rate()
        };
        ratios(decoded.iter().map(rate))
    };
    Fluidity {
        index: FluidityIndex {
            mean: known(bounds.index_mean),
            p1: known(bounds.index_p1),
            p5: known(bounds.index_p5),
            p50: known(bounds.index_p50),
        },
        fluid_request_share: known(bounds.fluid_request_share),
        service_miss_rate: known(bounds.service_miss_rate),
        fluid_tokens_per_s: quantile(&smallest, 990).filter(|_| full).map(|p99| 1.0 / p99),
        tpot_tokens_per_s: known(bounds.tpot_tokens_per_s),
        tbt_tokens_per_s: known(bounds.tbt_tokens_per_s),
        p99_miss_rate_by_tbt_ms: (full && !decoded.is_empty()).then(|| {
            let point = |ms| (ms, quantile(&miss_rates(ms), 990).expect("there are requests"));
            (1..=100).map(point).collect()
        }),
        bounds: open.then_some(bounds),
    }
}

fn both(lower: Option<f64>, upper: Option<f64>) -> Option<Bounds> {
    Some(Bounds { lower: lower?, upper: upper? })
}

/// Missed deadlines over all: of an open request those that it has missed, and all hits that it can
/// still get, where the rate is lower with it than without.
fn miss_rate(requests: &[Request]) -> Option<Bounds> {
    let sum = |those: &dyn Fn(&Request) -> bool| {
        let those = requests.iter().filter(|request| those(request));
        let pairs = those.filter_map(|request| {
            let tally = request.best?;
            Some((u128::from(tally.missed), u128::from(tally.missed) + u128::from(tally.met)))
        });
        pairs.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    };
    let ended = |request: &Request| !request.is_open();
    let (missed, all) = sum(&ended);
    let rate = |(missed, all): (u128, u128)| missed as f64 / all as f64;
    if requests.iter().all(ended) {
        return (all > 0)
            .then(|| rate((missed, all)))
            .map(|rate| Bounds { lower: rate, upper: rate });
    }
    if requests.iter().any(|request| request.best.is_none()) {
        return Some(Bounds { lower: 0.0, upper: 1.0 });
    }
    let ratio = |request: &Request| {
        let tally = request.best.expect("bounded");
        (u128::from(tally.missed), u128::from(tally.missed) + u128::from(tally.met))
    };
    let with_deadlines =
        requests.iter().filter(|request| request.is_open() && ratio(request).1 > 0);
    // Where no other request has deadlines, the best one sets out alone.
    let mut start = (missed, all);
    if all == 0 {
        let best = with_deadlines.clone().min_by(|a, b| by_ratio(ratio(a), ratio(b)))?;
        start = ratio(best);
    }
    // Put all in that lower the rate, until no other does.
    let mut lowest = start;
    loop {
        let better = |request: &Request| {
            request.is_open() && ratio(request).1 > 0 && by_ratio(ratio(request), lowest).is_lt()
        };
        let more = sum(&better);
        let next = match all {
            0 if more.1 == 0 => start,
            _ => (missed + more.0, all + more.1),
        };
        if next == lowest {
            return Some(Bounds { lower: rate(lowest), upper: 1.0 });
        }
        lowest = next;
    }
}

/// What latencies can become: open requests wait as long as they have, or without end.
fn latency_bounds(requests: &[Request], knows: Knowledge) -> LatencyBounds {
    let open = || requests.iter().filter(|request| request.is_open());
    let so_far = |request: &Request| request.end.since(request.row.arrival).as_nanos();
    let completed = || requests.iter().filter(|request| request.is(Status::Completed));
    let tpot = |request: &Request| {
        let Some(more) = request.to_come else { return Some(0.0) };
        let gaps = (u64::from(request.row.tokens) + more - 1) as f64;
        let decode = request.tokens.first().map_or(0, |&first| request.end.since(first).as_nanos());
        (gaps > 0.0).then(|| decode as f64 / (gaps * 1e9))
    };
    let gaps = |request: &Request| -> Option<Vec<u64>> {
        // Of later gaps nothing is known.
        let mut gaps = vec![0; request.to_come? as usize];
        gaps[0] = request.open_gap();
        Some(if request.tokens.is_empty() { gaps.split_off(1) } else { gaps })
    };
    let delivered = requests
        .iter()
        .flat_map(|r| r.tokens.windows(2).map(|pair| pair[1].since(pair[0]).as_nanos()));
    let later: Option<Vec<Vec<u64>>> = open().map(gaps).collect();
    LatencyBounds {
        ttft_s: range(
            requests.iter().filter_map(Request::ttft).collect(),
            open().filter(|request| request.tokens.is_empty()).map(so_far).collect(),
        ),
        tbt_s: later
            .filter(|_| knows.token_times)
            .map(|later| range(delivered.collect(), later.concat())),
        tpot_s: range(
            ratios(completed().filter_map(Request::tpot)),
            ratios(open().filter_map(tpot)),
        ),
        e2e_s: range(completed().filter_map(Request::e2e).collect(), open().map(so_far).collect()),
        normalized_latency_s_per_token: range(
            ratios(completed().filter_map(Request::normalized)),
            ratios(open().map(|request| match request.to_come {
                Some(more) => {
                    so_far(request) as f64 / ((u64::from(request.row.tokens) + more) as f64 * 1e9)
                }
                None => 0.0,
            })),
        ),
        scheduling_delay_s: knows.scheduling.then(|| {
            range(
                requests.iter().filter_map(Request::scheduling_delay).collect(),
                open().filter(|request| request.scheduling_delay().is_none()).map(so_far).collect(),
            )
        }),
    }
}

fn range<T: Sample>(known: Vec<T>, least: Vec<T>) -> LatencyRange {
    let lower = distribution([known.as_slice(), &least].concat());
    if least.is_empty() {
        return LatencyRange { lower, upper: lower };
    }
    // The others stand behind all that are known, however long they take.
    let count = (known.len() + least.len()) as u64;
    let at = |thousandths: u64| {
        let (low, rest) = rank(count, thousandths);
        let mut sorted = known.clone();
        sorted.sort();
        let below = *sorted.get(low as usize)?;
        let above = if rest == 0 { below } else { *sorted.get(low as usize + 1)? };
        Some(below.towards(above, rest))
    };
    let upper = Distribution {
        count,
        mean: None,
        min: at(0),
        p50: at(500),
        p90: at(900),
        p95: at(950),
        p99: at(990),
        p999: at(999),
        max: at(1000),
    };
    LatencyRange { lower, upper }
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
