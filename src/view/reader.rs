//! One request as its reader lives through it: every token's time, and every freeze with who made it.

use serde::Serialize;

use super::life::{Life, Lives};
use super::stall::{StallView, stall_view};
use crate::explain::{Index, stall_of};
use crate::metrics::{Options, RequestMetrics};
use crate::order;
use crate::request::RequestId;
use crate::time::{Span, Time};
use crate::trace::TokenTrace;

/// Freezes told of one request, the longest beyond their pace.
const FREEZES_TOLD: usize = 24;
/// Tokens told of one request.
const TOKENS_TOLD: usize = 20_000;
/// Requests of one index whose longest pauses are compared.
const TIES: usize = 2_000;

/// A request's reader.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReaderView {
    /// What the request was at, all along.
    #[serde(flatten)]
    pub life: Life,
    /// Its fluidity-index.
    pub index: f64,
    /// When each token came, microseconds since the token before; the first since the arrival.
    pub at_us: Vec<u64>,
    /// Whether only the first tokens are told.
    pub cut: bool,
    /// When the first token was due, microseconds since the arrival; none where that is not judged.
    pub first_due_us: Option<u64>,
    /// The pace that each further token is promised at, microseconds.
    pub pace_us: u64,
    /// Gaps beyond their pace in all.
    pub late: u32,
    /// Those that went furthest beyond it, in order of time.
    pub freezes: Vec<StallView>,
}

/// A request that fared badly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unlucky {
    /// Who.
    pub request: RequestId,
    /// Its fluidity-index.
    pub index: f64,
    /// The longest time from one of its tokens to the next, microseconds.
    pub longest_us: u64,
}

fn longest(trace: &TokenTrace, request: RequestId) -> Span {
    let mut before: Option<Time> = None;
    let gaps = trace.token_times(&trace.requests[request.index()]).map(|at| {
        let gap = before.map_or(Span::ZERO, |before| at.since(before));
        before = Some(at);
        gap
    });
    gaps.max().unwrap_or(Span::ZERO)
}

/// The requests that fared worst: the least fluid ones, and of those as fluid the ones with the longest
/// pause in their text. Those that were turned away have no text.
pub fn unluckiest(trace: &TokenTrace, requests: &[RequestMetrics], most: usize) -> Vec<Unlucky> {
    let mut rows: Vec<&RequestMetrics> = requests
        .iter()
        .filter(|m| m.tokens > 1 && !trace.requests[m.row.index()].status.is_lost())
        .collect();
    order::sort_by(&mut rows, |a, b| a.index.total_cmp(&b.index).then(a.row.cmp(&b.row)));
    // All that are as fluid as the last one that could be told.
    let bound = rows.get(most.saturating_sub(1)).map_or(f64::INFINITY, |m| m.index);
    let near = rows.iter().take_while(|m| m.index <= bound).take(TIES.max(most));
    let mut found: Vec<(&RequestMetrics, Span)> =
        near.map(|&m| (m, longest(trace, m.row))).collect();
    order::sort_by(&mut found, |(a, gap_a), (b, gap_b)| {
        a.index.total_cmp(&b.index).then(gap_b.cmp(gap_a)).then(a.row.cmp(&b.row))
    });
    found.truncate(most);
    let told = |(m, gap): (&RequestMetrics, Span)| Unlucky {
        request: m.row,
        index: m.index,
        longest_us: gap.as_nanos() / 1000,
    };
    found.into_iter().map(told).collect()
}

impl ReaderView {
    /// A request's reader; none where the run has no such request.
    pub fn of(
        index: &Index<'_>,
        judged_by: &Options,
        requests: &[RequestMetrics],
        request: RequestId,
    ) -> Option<ReaderView> {
        let trace = index.trace();
        let row = trace.requests.get(request.index())?;
        let of = requests.iter().find(|m| m.row == request);
        let deadlines = judged_by.deadlines_of(row.class);
        let (pace, us) = (deadlines.tbt(), |span: Span| span.as_nanos() / 1000);
        let first = judged_by.judge_first_token.then(|| deadlines.ttft(row.prompt_tokens));
        let times: Vec<Time> = trace.token_times(row).collect();
        let mut late: Vec<(Span, u32)> = Vec::new();
        let mut before = row.arrival;
        for (token, &at) in (0..).zip(&times) {
            let gap = at.since(before);
            before = at;
            let due = if token == 0 { first } else { Some(pace) };
            if let Some(due) = due.filter(|&due| gap > due) {
                let beyond = Span::from_nanos(gap.as_nanos() - due.as_nanos());
                late.push((beyond, token));
            }
        }
        let count = late.len() as u32;
        order::sort_by_key(&mut late, |&(beyond, token)| (std::cmp::Reverse(beyond), token));
        late.truncate(FREEZES_TOLD);
        order::sort_by_key(&mut late, |&(_, token)| token);
        let freezes = late.into_iter().filter_map(|(_, token)| {
            Some(stall_view(index, &stall_of(index, judged_by, request, token)?))
        });
        let mut at = row.arrival.as_nanos() / 1000;
        let at_us = times.iter().take(TOKENS_TOLD).map(|time| {
            let now = time.as_nanos() / 1000;
            now - std::mem::replace(&mut at, now)
        });
        let at_us = at_us.collect();
        let whole = (Time::from_nanos(0), Time::NEVER);
        Some(ReaderView {
            life: Lives::of(&index.recording).life(request, whole, Span::from_nanos(1)),
            index: of.map_or(0.0, |m| m.index),
            at_us,
            cut: times.len() > TOKENS_TOLD,
            first_due_us: first.map(us),
            pace_us: us(pace),
            late: count,
            freezes: freezes.collect(),
        })
    }
}
