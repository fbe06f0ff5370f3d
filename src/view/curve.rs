//! Tokens against time: the worst, the median and the best request of a run.

use serde::Serialize;

use crate::explain::{Cause, Index};
use crate::metrics::{Options, RequestMetrics};
use crate::order;
use crate::request::RequestId;
use crate::time::{Span, Time};
use crate::trace::TokenTrace;

/// Late tokens told of one request.
const LATE_MAX: usize = 60;
/// Causes told of one late token.
const CAUSES_TOLD: usize = 5;

/// Which request of a run it is, by fluidity-index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The least fluid one.
    Worst,
    /// One in the middle.
    Median,
    /// The most fluid one.
    Best,
}

/// When one request's tokens came, and which came late.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurveView {
    /// Which it is.
    pub place: Place,
    /// Its number.
    pub request: RequestId,
    /// When it was sent, microseconds.
    pub arrival_us: u64,
    /// Length of its prompt; none where it is not known.
    pub prompt_tokens: Option<u32>,
    /// Tokens that it got.
    pub tokens: u32,
    /// Its fluidity-index.
    pub index: f64,
    /// Numbers of the tokens drawn, from 1, counted from the one before.
    pub number: Vec<u32>,
    /// When they came, microseconds since the token drawn before; the first since the arrival.
    pub at_us: Vec<u64>,
    /// When they were due, microseconds since the arrival; empty where that is not known.
    pub due_us: Vec<u64>,
    /// Late tokens, those that came latest; in order.
    pub late: Vec<LateToken>,
    /// Late tokens in all.
    pub late_count: u32,
}

/// A token that came late.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LateToken {
    /// Its number, from 1.
    pub number: u32,
    /// When the token before came, microseconds since the arrival.
    pub from_us: u64,
    /// When it came.
    pub to_us: u64,
    /// The cause to look at; none where causes are not known.
    pub cause: Option<Cause>,
    /// The causes with most time, nanoseconds.
    pub causes_ns: Vec<(Cause, u64)>,
}

/// Answers with fewer tokens are drawn only where there are no longer ones: they show no pace.
const TOKENS_LEAST: u32 = 16;

/// The requests to draw: of those with at least [`TOKENS_LEAST`] tokens, or at least two where
/// none has so many, the least and the most fluid one, and one in the middle.
pub(super) fn chosen(
    trace: &TokenTrace,
    requests: &[RequestMetrics],
) -> Vec<(Place, RequestId, f64)> {
    let longest = |row: RequestId| {
        let mut before = None;
        let gaps = trace.token_times(&trace.requests[row.index()]).map(|at| {
            let gap = before.map_or(Span::ZERO, |before| at.since(before));
            before = Some(at);
            gap
        });
        gaps.max().unwrap_or(Span::ZERO)
    };
    let mut rows: Vec<&RequestMetrics> = requests
        .iter()
        .filter(|m| m.tokens > 1 && !trace.requests[m.row.index()].status.is_lost())
        .collect();
    if rows.iter().any(|m| m.tokens >= TOKENS_LEAST) {
        rows.retain(|m| m.tokens >= TOKENS_LEAST);
    }
    rows.sort_by(|a, b| a.index.total_cmp(&b.index).then(a.row.cmp(&b.row)));
    let Some(lowest) = rows.first().map(|m| m.index) else { return Vec::new() };
    // Of the least fluid ones that with the longest pause; of the most fluid ones the longest.
    let ties = rows.iter().take_while(|m| m.index == lowest).take(2_000);
    let worst = ties.max_by_key(|m| (longest(m.row), std::cmp::Reverse(m.row)));
    // The others are about as long as it, so that they can be compared.
    let length = worst.map_or(0, |m| m.tokens);
    let mut chosen: Vec<(Place, RequestId, f64)> = Vec::new();
    let mut take = |place, one: Option<&&RequestMetrics>| {
        chosen.extend(one.map(|one| (place, one.row, one.index)));
        chosen.iter().map(|one| one.1).collect::<Vec<RequestId>>()
    };
    let like = |index: f64, taken: &[RequestId]| {
        let from = rows.partition_point(|m| m.index < index);
        let ties = rows[from..].iter().take_while(|m| m.index == index);
        ties.filter(|m| !taken.contains(&m.row)).min_by_key(|m| (m.tokens.abs_diff(length), m.row))
    };
    let taken = take(Place::Worst, worst);
    let taken = take(Place::Best, like(rows[rows.len() - 1].index, &taken));
    take(Place::Median, like(rows[rows.len() / 2].index, &taken));
    order::sort_by_key(&mut chosen, |(place, ..)| *place as u8);
    chosen
}

/// The curve of one request.
pub(super) fn curve(
    trace: &TokenTrace,
    options: &Options,
    asked: Option<&Index<'_>>,
    (place, request, index): (Place, RequestId, f64),
    tokens_max: usize,
) -> CurveView {
    let row = &trace.requests[request.index()];
    let deadlines = options.deadlines_of(row.class);
    let tbt = deadlines.tbt().as_nanos();
    let times: Vec<u64> =
        trace.token_times(row).map(|at: Time| at.since(row.arrival).as_nanos()).collect();
    // Due times, and how late each token came.
    let mut next = options.judge_first_token.then(|| deadlines.ttft(row.prompt_tokens).as_nanos());
    let (mut due, mut late) = (Vec::new(), Vec::new());
    for (token, &at) in times.iter().enumerate() {
        let now = next.unwrap_or(at);
        due.push(now);
        if at > now {
            late.push((at - now, token));
        }
        next = Some(now.max(at).saturating_add(tbt));
    }
    let late_count = late.len() as u32;
    late.sort_unstable_by_key(|&(by, token)| (std::cmp::Reverse(by), token));
    late.truncate(LATE_MAX);
    late.sort_unstable_by_key(|&(_, token)| token);
    let told = |token: usize| {
        let split = asked?.gap(request, token as u32)?.split;
        Some((split.main()?, split.ranked()))
    };
    let late: Vec<LateToken> = late
        .into_iter()
        .map(|(_, token)| {
            let causes = told(token);
            LateToken {
                number: token as u32 + 1,
                from_us: token.checked_sub(1).map_or(0, |before| times[before]) / 1000,
                to_us: times[token] / 1000,
                cause: causes.as_ref().map(|(main, _)| *main),
                causes_ns: causes.map_or_else(Vec::new, |(_, ranked)| {
                    let told = ranked.into_iter().take(CAUSES_TOLD);
                    told.map(|(cause, span)| (cause, span.as_nanos())).collect()
                }),
            }
        })
        .collect();
    let mut view = CurveView {
        place,
        request,
        arrival_us: row.arrival.as_nanos() / 1000,
        prompt_tokens: (row.prompt_tokens > 0).then_some(row.prompt_tokens),
        tokens: row.tokens,
        index,
        number: Vec::new(),
        at_us: Vec::new(),
        due_us: Vec::new(),
        late,
        late_count,
    };
    let (mut number, mut at) = (0, 0);
    for token in kept(&times, tokens_max) {
        view.number.push(token as u32 + 1 - number);
        view.at_us.push(times[token] / 1000 - at);
        view.due_us.push(due[token] / 1000);
        (number, at) = (token as u32 + 1, times[token] / 1000);
    }
    view
}

/// Places of at most about `most` tokens: spread evenly, with both ends of the longest gaps.
pub(super) fn kept(times: &[u64], most: usize) -> Vec<usize> {
    if times.len() <= most {
        return (0..times.len()).collect();
    }
    let mut gaps: Vec<usize> = (1..times.len()).collect();
    gaps.sort_unstable_by_key(|&token| (std::cmp::Reverse(times[token] - times[token - 1]), token));
    gaps.truncate(most / 4);
    let even = (0..most / 2).map(|k| k * (times.len() - 1) / (most / 2 - 1).max(1));
    let mut kept: Vec<usize> =
        gaps.iter().flat_map(|&token| [token - 1, token]).chain(even).collect();
    kept.extend([0, times.len() - 1]);
    kept.sort_unstable();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_thinned_curve_keeps_its_ends_and_its_longest_pause(
            gaps in prop::collection::vec(0u64..1_000, 1..900),
            most in 12usize..200,
        ) {
            let times: Vec<u64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let kept = kept(&times, most);
            prop_assert!(kept.len() <= most.max(times.len().min(most)) + 2);
            prop_assert_eq!(kept[0], 0);
            prop_assert_eq!(kept[kept.len() - 1], times.len() - 1);
            let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
            let steps = kept.windows(2).filter(|pair| pair[1] == pair[0] + 1);
            let kept_longest = steps.map(|pair| times[pair[1]] - times[pair[0]]).max();
            prop_assert!(times.len() == 1 || kept_longest == Some(longest));
        }
    }
}
