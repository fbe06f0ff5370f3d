//! Bounds of the fluidity-index where a file does not tell when each token came.
//!
//! # First and last token
//!
//! Let `k` gaps of deadline `D` take `T` in all, with slack `s` left by the first token (0 when it
//! was late or is not judged).
//!
//! *At most.* When `T <= s + k D`, tokens can all have been in time. Otherwise the deadlines' clock
//! is set forward by `X = T - s - k D` or more in all; setting it forward by `x` at one late token
//! costs `1 + floor(x / D)` misses and a hit, so one late token costs least: `k - 1` hits and
//! `1 + floor(X / D)` misses.
//!
//! *At least.* Missed deadlines are instants up to `T` (one at the very instant of a late token is
//! missed too), the first no earlier than `s + D`, each `D` or more after the one before; late
//! tokens likewise, but more than `D` apart. So there are at most `1 + floor((T - s - D) / D)`
//! misses, none when `T <= s + D`, and `floor((T - s) / (D + 1 ns))` late tokens; the other
//! tokens are hits. This may be lower than any real course of tokens, never higher.
//!
//! # Chunks of several tokens
//!
//! `c` chunks carry `n` tokens, one at least each; which carries how many is not told. Tokens that
//! share a chunk's time are hits, and each adds `D` of slack. More slack never costs a hit, so that the
//! `n - c` tokens beyond one a chunk help most in the first chunk and least in the last one, where
//! nothing comes after them: these two are the bounds over all splits. Between them stands an
//! estimate, no bound: every chunk after the first carries as many tokens as the others.
//!
//! # Chunks that are no token
//!
//! `n` tokens came in `n + m` chunks, of which `m` hold a role, an end, a report of usage; which is not
//! told. A chunk that is none merges two gaps and gives no slack, so that misses are fewest where
//! the `m` stand at the end (some before the first token, where that one is not judged). The most
//! follow from going through the choices chunk by chunk, see [`most_missed`]. Late tokens are no more
//! than misses, and one at least where there is a miss.

use super::measured::{Granularity, Measured};
use crate::ids::RequestId;
use crate::metrics::{
    self, Bounds, FluidityBounds, LatencyRange, Options, RequestBounds, Summary, Tally,
    index_over_requests,
};
use crate::result::GapBounds;
use crate::time::{Span, Time};
use crate::trace::{Part, Parts, RequestRow, Status, last_tokens};

/// Least and most that a request's tally can be, and an estimate in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Range {
    worst: Tally,
    best: Tally,
    estimate: Option<Tally>,
    /// When the last token came, where there is one.
    last: Time,
}

/// What is known of a run's requests together.
pub(super) struct Over {
    /// Bounds of the fluidity figures.
    pub(super) gaps: GapBounds,
    /// Requests that keep every bound for single ones, at the least and at the most; `None` where some
    /// chunks are no token, so that it is not known when a request's tokens came.
    good: Option<(u64, u64)>,
    /// Requests that the shares are over.
    all: u64,
}

/// Bounds for a run, one range a request.
pub(super) struct Ranges(Vec<Range>);

impl Ranges {
    /// Those of a run whose tokens are known by their first and last, or by chunks; `None` for a run
    /// that tells more, or less.
    pub(super) fn of(measured: &Measured, options: &Options) -> Option<Ranges> {
        match measured.granularity {
            Granularity::FirstLast => {
                let rows = measured.requests().iter().zip(last_tokens(measured));
                Some(Ranges(rows.map(|(row, last)| by_ends(options, row, last)).collect()))
            }
            Granularity::Chunk => {
                let mut ranges = Vec::with_capacity(measured.requests().len());
                measured.each_part(&mut |part| {
                    ranges.extend(part.rows().map(|(_, row)| by_chunks(part, options, row)));
                });
                Some(Ranges(ranges))
            }
            _ => None,
        }
    }

    /// Bounds over the requests that `options` count. What the client cancelled is left out.
    pub(super) fn over(&self, measured: &Measured, options: &Options) -> Over {
        let (mut low, mut high, mut all) = (Vec::new(), Vec::new(), 0u64);
        let (mut fluid_low, mut fluid_high, mut fluid_even) = (0u64, 0u64, Some(0u64));
        let (mut worst, mut best) = (Tally::default(), Tally::default());
        let (mut open, mut good) = (false, (0, 0));
        for request in metrics::counted(&measured.trace, options) {
            let (row, range) = (&measured.trace.requests[request.index()], self.0[request.index()]);
            if row.status == Status::Cancelled {
                continue;
            }
            all += 1;
            open |= row.status == Status::Unfinished || measured.is_uncounted();
            (worst, best) = (both(worst, range.worst), both(best, range.best));
            let threshold = options.deadlines_of(row.class).fluid_index();
            // What the rest of an answer would have been is not known at all.
            let (least, most) = match row.status {
                Status::Completed if measured.is_uncounted() => (0.0, 1.0),
                Status::Completed => (range.worst.index(), range.best.index()),
                Status::Unfinished => (0.0, best_of_open(measured, request, &range)),
                _ => (0.0, 0.0),
            };
            let is_fluid = |index: f64| u64::from(index >= threshold && !row.status.is_lost());
            fluid_low += is_fluid(least);
            fluid_high += is_fluid(most);
            if let Some(asked) = options.bounds {
                let rest = keeps_the_rest(&asked, options, row, range.last);
                let keeps = |fluid| rest && (fluid || !asked.fluid);
                let ended = row.status == Status::Completed;
                good.0 += u64::from(ended && keeps(is_fluid(least) > 0));
                good.1 += u64::from(keeps(is_fluid(most) > 0));
            }
            let even = range.estimate.map(|tally| is_fluid(tally.index()));
            fluid_even = match row.status {
                Status::Completed => fluid_even.zip(even).map(|(sum, one)| sum + one),
                Status::Unfinished => None,
                _ => fluid_even,
            };
            low.push(least);
            high.push(most);
        }
        let share = |part: u64| (all > 0).then(|| part as f64 / all as f64);
        let rate = |tally: Tally| (tally.total() > 0).then(|| tally.miss_rate());
        let gaps = GapBounds {
            index_at_least: index_over_requests(low.into_iter()),
            index_at_most: index_over_requests(high.into_iter()),
            fluid_request_share_at_least: share(fluid_low),
            fluid_request_share_at_most: share(fluid_high),
            fluid_request_share_estimate: fluid_even.and_then(share),
            // Whatever a request got, anything can still become of it.
            service_miss_rate_at_least: if open { Some(0.0) } else { rate(best) },
            service_miss_rate_at_most: if open { Some(1.0) } else { rate(worst) },
        };
        Over { gaps, good: (!measured.extra_chunks).then_some(good), all }
    }
}

/// The most that the fluidity-index of an open request can become: all that is to come in time.
fn best_of_open(measured: &Measured, request: RequestId, range: &Range) -> f64 {
    match measured.trace.to_come(request) {
        Some(more) => Tally { met: range.best.met + u64::from(more), ..range.best }.index(),
        None => 1.0,
    }
}

/// Whether a request keeps the bounds that its first and its last token decide; of one that is not
/// answered yet, whether it still can.
fn keeps_the_rest(asked: &RequestBounds, options: &Options, row: &RequestRow, last: Time) -> bool {
    if row.status.is_lost() {
        return false;
    }
    let came = row.first_token != Time::NEVER;
    if !came {
        return row.status == Status::Unfinished;
    }
    let ttft = row.first_token.since(row.arrival);
    let gaps = u128::from(row.tokens.saturating_sub(1));
    let decode = u128::from(last.since(row.first_token).as_nanos());
    let in_time = ttft <= options.deadlines_of(row.class).ttft(row.prompt_tokens);
    let paced = |tpot: Span| decode <= u128::from(tpot.as_nanos()) * gaps;
    asked.ttft.is_none_or(|bound| ttft <= bound)
        && asked.e2e.is_none_or(|bound| last.since(row.arrival) <= bound)
        && (row.status == Status::Unfinished || asked.tpot.is_none_or(paced))
        && (in_time || !asked.first_in_time)
}

/// Puts bounds in the place of the figures that they are bounds of; a figure whose bounds are equal is
/// known.
pub(super) fn bound(summary: &mut Summary, over: &Over) {
    let bounds = &over.gaps;
    let fluidity = summary.fluidity.get_or_insert_default();
    let range = |lower: Option<f64>, upper: Option<f64>| {
        lower.zip(upper).map(|(lower, upper)| Bounds { lower, upper })
    };
    let known = |of: Option<Bounds>| of.filter(|of| of.lower == of.upper).map(|of| of.lower);
    let of = |low: Option<f64>, high: Option<f64>| known(range(low, high));
    let (least, most) = (bounds.index_at_least, bounds.index_at_most);
    fluidity.index.mean = of(least.mean, most.mean);
    fluidity.index.p1 = of(least.p1, most.p1);
    fluidity.index.p5 = of(least.p5, most.p5);
    fluidity.index.p50 = of(least.p50, most.p50);
    let share = range(bounds.fluid_request_share_at_least, bounds.fluid_request_share_at_most);
    let missed = range(bounds.service_miss_rate_at_least, bounds.service_miss_rate_at_most);
    fluidity.fluid_request_share = known(share);
    fluidity.service_miss_rate = known(missed);
    let of_all = LatencyRange { lower: summary.tpot_s, upper: summary.tpot_s };
    let ranges = summary.latency_bounds.as_ref();
    let tpot_rate = ranges.map_or(of_all, |of| of.tpot_s).rate(|of| of.mean);
    fluidity.tpot_tokens_per_s = known(tpot_rate);
    fluidity.bounds = Some(FluidityBounds {
        fluid_request_share: share,
        index_mean: range(least.mean, most.mean),
        service_miss_rate: missed,
        index_p1: range(least.p1, most.p1),
        index_p5: range(least.p5, most.p5),
        index_p50: range(least.p50, most.p50),
        tpot_tokens_per_s: tpot_rate,
        tbt_tokens_per_s: None,
    });
    if fluidity.fluid_request_share.is_none() {
        let clock = summary.duration_s.filter(|&seconds| seconds > 0.0);
        summary.goodput = over.good.map(|good| metrics::goodput(good, over.all, clock));
    }
}

/// From the first and the last token. Of an unfinished request, what it got.
fn by_ends(options: &Options, row: &RequestRow, last: Time) -> Range {
    let deadlines = options.deadlines_of(row.class);
    let tbt = deadlines.tbt().as_nanos();
    if row.status.is_lost() || row.first_token == Time::NEVER {
        return Range::default();
    }
    let (first, slack) = first(options, row);
    let gaps = u64::from(row.tokens.saturating_sub(1));
    let (worst, best) = later(last.since(row.first_token).as_nanos(), gaps, slack, tbt);
    Range { worst: both(first, worst), best: both(first, best), estimate: None, last }
}

/// From the times of chunks.
fn by_chunks(part: Part<'_>, options: &Options, row: &RequestRow) -> Range {
    if row.status.is_lost() || row.first_token == Time::NEVER {
        return Range::default();
    }
    let (start, slack) = first(options, row);
    let tbt = options.deadlines_of(row.class).tbt().as_nanos();
    let gaps = u64::from(row.run.len);
    let tokens = u64::from(row.tokens).max(1);
    if tokens < gaps + 1 {
        return by_extra_chunks(part, options, row);
    }
    let more = tokens - gaps - 1;
    let mut worst = Course { tally: start, slack };
    let mut best = worst;
    best.shared(more, tbt);
    let refill = more.saturating_mul(tbt);
    let mut even = if gaps > 0 { worst } else { best };
    let mut before = row.first_token;
    for (gap, at) in (0..).zip(part.trace.token_times(row).skip(1)) {
        let time = at.since(before).as_nanos();
        before = at;
        worst.token(time, tbt);
        let missed = best.tally.missed;
        best.token(time, tbt);
        // A late token ends the slack. Which chunks hold several tokens is not known, so at best those
        // of the next stretch do.
        if best.tally.missed > missed {
            best.slack = refill;
        }
        even.token(time, tbt);
        let upto = |gap: u64| (u128::from(gap) * u128::from(tokens - 1) / u128::from(gaps)) as u64;
        even.shared((upto(gap + 1) - upto(gap)).saturating_sub(1), tbt);
    }
    worst.shared(more, tbt);
    Range { worst: worst.tally, best: best.tally, estimate: Some(even.tally), last: before }
}

/// With more chunks that are no token than these, nothing at all is taken as missed at best.
const STARTS_TRIED: usize = 64;

/// From the times of chunks of which some are no token.
fn by_extra_chunks(part: Part<'_>, options: &Options, row: &RequestRow) -> Range {
    let times: Vec<Time> = part.trace.token_times(row).collect();
    let tokens = row.tokens.max(1) as usize;
    let extra = times.len() - tokens;
    let missed = |times: &mut dyn Iterator<Item = Time>| {
        let first_token = times.next().unwrap_or(row.first_token);
        let (tally, slack) = first(options, &RequestRow { first_token, ..*row });
        let mut course = Course { tally, slack };
        let mut before = first_token;
        for at in times {
            course.token(
                at.since(before).as_nanos(),
                options.deadlines_of(row.class).tbt().as_nanos(),
            );
            before = at;
        }
        course.tally.missed
    };
    // Where the first token is not judged, it may stand late as well.
    let starts = if options.judge_first_token { 0 } else { extra };
    let least = if starts > STARTS_TRIED {
        0
    } else {
        let from = |start: usize| missed(&mut times[start..start + tokens].iter().copied());
        (0..=starts).map(from).min().unwrap_or(0)
    };
    let deadlines = tokens as u64 - u64::from(!options.judge_first_token);
    let tbt = options.deadlines_of(row.class).tbt().as_nanos();
    let begins = |first_token: Time| {
        let (tally, slack) = first(options, &RequestRow { first_token, ..*row });
        Course { tally, slack }
    };
    let most = most_missed(&times, tokens, begins, tbt);
    let tally = |missed: u64, late: u64| Tally { met: deadlines.saturating_sub(late), missed };
    let last = times.last().copied().unwrap_or(row.first_token);
    Range { worst: tally(most, most), best: tally(least, least.min(1)), estimate: None, last }
}

/// Above so many steps the choices are not gone through one by one.
const CHOICES: usize = 1 << 20;

/// The most deadlines that can be missed, whichever `tokens` of these chunks are tokens: from the first
/// and the last of them, or for each chunk and each number of chunks left out before it, the most
/// missed and the least slack of all ways there.
fn most_missed(times: &[Time], tokens: usize, begins: impl Fn(Time) -> Course, tbt: u64) -> u64 {
    let extra = times.len() - tokens;
    let end = *times.last().expect("a chunk at least");
    let from_ends = |&at: &Time| {
        let Course { tally, slack } = begins(at);
        let (worst, _) = later(end.since(at).as_nanos(), tokens as u64 - 1, slack, tbt);
        tally.missed + worst.missed
    };
    let by_ends = times[..=extra].iter().map(from_ends).max().unwrap_or(0);
    if times.len().saturating_mul((extra + 1) * (extra + 1)) > CHOICES {
        return by_ends;
    }
    let mut ways: Vec<Vec<Option<Course>>> = Vec::with_capacity(times.len());
    for (place, &at) in times.iter().enumerate() {
        let mut own: Vec<Option<Course>> = vec![None; extra + 1];
        if place <= extra {
            own[place] = Some(begins(at));
        }
        for skipped in 0..=extra {
            let Some(before) = place.checked_sub(skipped + 1) else { break };
            let gap = at.since(times[before]).as_nanos();
            for left_out in 0..=extra - skipped {
                let Some(mut course) = ways[before][left_out] else { continue };
                course.token(gap, tbt);
                let worst = own[left_out + skipped].get_or_insert(course);
                worst.tally.missed = worst.tally.missed.max(course.tally.missed);
                worst.slack = worst.slack.min(course.slack);
            }
        }
        ways.push(own);
    }
    let after = |place: usize| times.len() - 1 - place;
    let ends = (0..times.len()).filter(|&place| after(place) <= extra);
    let missed = ends.filter_map(|place| Some(ways[place][extra - after(place)]?.tally.missed));
    missed.max().unwrap_or(0).min(by_ends)
}

/// A course of tokens, judged as it goes.
#[derive(Clone, Copy)]
struct Course {
    tally: Tally,
    slack: u64,
}

impl Course {
    /// The next token, after a gap.
    fn token(&mut self, gap: u64, tbt: u64) {
        let due = self.slack.saturating_add(tbt);
        if gap <= due {
            self.slack = due - gap;
            self.tally.met += 1;
        } else {
            self.tally.missed = self.tally.missed.saturating_add((gap - self.slack) / tbt);
            self.slack = 0;
        }
    }

    /// Tokens that come with the one before.
    fn shared(&mut self, count: u64, tbt: u64) {
        self.tally.met = self.tally.met.saturating_add(count);
        self.slack = self.slack.saturating_add(count.saturating_mul(tbt));
    }
}

fn both(a: Tally, b: Tally) -> Tally {
    Tally { met: a.met.saturating_add(b.met), missed: a.missed.saturating_add(b.missed) }
}

/// The first token's tally, where it is judged, and the slack that it leaves.
fn first(options: &Options, row: &RequestRow) -> (Tally, u64) {
    if !options.judge_first_token {
        return (Tally::default(), 0);
    }
    let deadlines = options.deadlines_of(row.class);
    let ttft = row.first_token.since(row.arrival).as_nanos();
    judge_first(ttft, deadlines.ttft(row.prompt_tokens).as_nanos(), deadlines.tbt().as_nanos())
}

/// The first token's tally, and the slack that it leaves.
fn judge_first(ttft: u64, deadline: u64, tbt: u64) -> (Tally, u64) {
    match ttft.checked_sub(deadline).filter(|&late| late > 0) {
        None => (Tally { met: 1, missed: 0 }, deadline - ttft),
        Some(late) => (Tally { met: 0, missed: (late / tbt).saturating_add(1) }, 0),
    }
}

/// Worst and best tally of `gaps` later tokens that took `time` in all.
fn later(time: u64, gaps: u64, slack: u64, tbt: u64) -> (Tally, Tally) {
    if gaps == 0 {
        return (Tally::default(), Tally::default());
    }
    let (time, gaps_wide) = (u128::from(time), u128::from(gaps));
    let (slack, tbt) = (u128::from(slack), u128::from(tbt));
    let narrow = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
    let best = match time.checked_sub(slack + gaps_wide * tbt).filter(|&over| over > 0) {
        None => Tally { met: gaps, missed: 0 },
        Some(over) => Tally { met: gaps - 1, missed: narrow(1 + over / tbt) },
    };
    let beyond = time.saturating_sub(slack + tbt);
    let missed = if beyond > 0 { narrow(1 + beyond / tbt) } else { 0 };
    let late_max = narrow((time.saturating_sub(slack) / (tbt + 1)).min(gaps_wide));
    let worst = Tally { met: gaps - late_max, missed };
    (worst, best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClassId, ColumnId, LaneId};
    use crate::metrics::{Deadlines, FirstToken, reference};
    use crate::time::Span;
    use crate::trace::TokenTrace;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the gaps were, the bounds from first and last alone hold.
        #[test]
        fn bounds_hold_for_any_course_of_tokens(
            ttft in 0u64..200,
            deadline in 0u64..200,
            tbt in 1u64..30,
            gaps in proptest::collection::vec(prop_oneof![0u64..40, 0u64..4, 0u64..400], 1..12),
            judge_first_token: bool,
        ) {
            let due = judge_first_token.then_some(deadline);
            let all: Vec<u64> = std::iter::once(ttft).chain(gaps.iter().copied()).collect();
            let tally = reference::tally(&all, due, tbt);
            let (first, slack) = if judge_first_token {
                judge_first(ttft, deadline, tbt)
            } else {
                (Tally::default(), 0)
            };
            let (worst, best) = later(gaps.iter().sum(), gaps.len() as u64, slack, tbt);
            let index = |t: Tally| {
                Tally { met: t.met + first.met, missed: t.missed + first.missed }.index()
            };
            prop_assert!(index(worst) <= tally.index() + 1e-12, "{worst:?} {tally:?}");
            prop_assert!(tally.index() <= index(best) + 1e-12, "{best:?} {tally:?}");
            prop_assert!(tally.missed >= first.missed + best.missed);
            prop_assert!(tally.missed <= first.missed + worst.missed);
        }

        /// Wherever tokens stand among chunks, alone or several in one, the bounds hold.
        #[test]
        fn bounds_hold_for_any_tokens_in_chunks(
            ttft in 0u64..60,
            deadline in 0u64..60,
            tbt in 1u64..30,
            gaps in proptest::collection::vec(prop_oneof![0u64..40, 0u64..4, 0u64..200], 0..9),
            tokens in proptest::collection::vec(0u32..4, 9),
            judge_first_token: bool,
        ) {
            let mut times = vec![Time::from_nanos(ttft)];
            for gap in &gaps {
                times.push(Time::from_nanos(times[times.len() - 1].as_nanos() + gap));
            }
            // Chunk k holds tokens[k] tokens, or at least one each where any holds more than one.
            let several = tokens[..times.len()].iter().any(|&held| held > 1);
            let held = |chunk: usize| if several { tokens[chunk].max(1) } else { tokens[chunk] };
            let all: Vec<u64> = (0..times.len())
                .flat_map(|chunk| std::iter::repeat_n(times[chunk].as_nanos(), held(chunk) as usize))
                .collect();
            prop_assume!(!all.is_empty());
            let course: Vec<u64> = std::iter::once(all[0])
                .chain(all.windows(2).map(|pair| pair[1] - pair[0]))
                .collect();
            let tally = reference::tally(&course, judge_first_token.then_some(deadline), tbt);
            let first_token = times[0];
            let len = times.len() as u32 - 1;
            let row = RequestRow {
                arrival: Time::ZERO,
                scheduled: Time::NEVER,
                first_token,
                run: crate::trace::Run { column: ColumnId(0), first: 1, len, next: crate::trace::NO_RUN },
                prompt_tokens: 1,
                tokens: all.len() as u32,
                hit_tokens: 0,
                preemptions: 0,
                lane: LaneId(0),
                class: ClassId(0),
                status: Status::Completed,
            };
            let trace = TokenTrace { columns: vec![crate::trace::Column::own(times)], requests: vec![row], ..TokenTrace::default() };
            let deadlines = Deadlines::new(
                FirstToken::Fixed(Span::from_nanos(deadline)), Span::from_nanos(tbt), 0.9,
            );
            let mut options = Options::new(deadlines.expect("sound"));
            options.judge_first_token = judge_first_token;
            let range = by_chunks(Part::from(&trace), &options, &trace.requests[0]);
            prop_assert!(range.worst.index() <= tally.index() + 1e-12, "{range:?} {tally:?}");
            prop_assert!(tally.index() <= range.best.index() + 1e-12, "{range:?} {tally:?}");
            if let Some(even) = range.estimate {
                prop_assert!(range.worst.index() <= even.index() + 1e-12, "{range:?}");
                prop_assert!(even.index() <= range.best.index() + 1e-12, "{range:?}");
            }
        }
    }
}
