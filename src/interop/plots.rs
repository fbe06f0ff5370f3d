//! Data of the plots that people expect of an evaluation.

use crate::metrics::{Options, RequestMetrics};
use crate::report::{Plots, RequestProgress};
use crate::trace::{Status, TokenTrace};

/// Points of a curve at most.
const POINTS_MAX: usize = 200;
/// Tokens of a request that are drawn at most.
const TOKENS_MAX: usize = 2000;

/// The plots of a trace that has token times.
pub(super) fn plots(trace: &TokenTrace, options: &Options, requests: &[RequestMetrics]) -> Plots {
    let completed =
        |m: &&RequestMetrics| trace.requests[m.row as usize].status == Status::Completed;
    let ttfts = requests.iter().filter(completed).filter_map(|m| m.ttft);
    let mut gaps = Vec::new();
    for request in requests.iter().filter(completed) {
        let row = &trace.requests[request.row as usize];
        let mut before = row.first_token;
        for at in trace.token_times(row).skip(1) {
            gaps.push(at.since(before).as_secs_f64());
            before = at;
        }
    }
    let mut by_index: Vec<&RequestMetrics> = requests.iter().filter(|m| m.tokens > 1).collect();
    by_index.sort_by(|a, b| a.index.total_cmp(&b.index).then(a.row.cmp(&b.row)));
    let mut drawn: Vec<&RequestMetrics> = Vec::new();
    drawn.extend(by_index.first());
    if by_index.len() > 1 {
        drawn.push(by_index[by_index.len() / 2]);
    }
    if by_index.len() > 2 {
        drawn.extend(by_index.last());
    }
    Plots {
        ttft_cdf_s: cdf(ttfts.map(|ttft| ttft.as_secs_f64()).collect()),
        tpot_cdf_s: cdf(requests.iter().filter(completed).filter_map(|m| m.tpot_s()).collect()),
        tbt_cdf_s: cdf(gaps),
        fluidity_cdf: cdf(requests.iter().map(|m| m.index).collect()),
        progress: drawn.into_iter().map(|m| progress(trace, options, m)).collect(),
    }
}

/// `[value, share of samples up to it]`, rising.
fn cdf(mut samples: Vec<f64>) -> Vec<(f64, f64)> {
    samples.sort_unstable_by(f64::total_cmp);
    let n = samples.len();
    let points = n.min(POINTS_MAX);
    (1..=points)
        .map(|point| {
            let upto = point * n / points;
            (samples[upto - 1], upto as f64 / n as f64)
        })
        .collect()
}

fn progress(trace: &TokenTrace, options: &Options, request: &RequestMetrics) -> RequestProgress {
    let row = &trace.requests[request.row as usize];
    let deadlines = options.deadlines_of(row.class);
    let tbt = deadlines.tbt().as_nanos();
    let mut due = options.judge_first_token.then(|| {
        row.arrival.as_nanos().saturating_add(deadlines.ttft(row.prompt_tokens).as_nanos())
    });
    let (mut times, mut late) = (Vec::new(), Vec::new());
    for (token, at) in (0u32..).zip(trace.token_times(row).take(TOKENS_MAX)) {
        times.push(at.since(row.arrival).as_secs_f64());
        let at = at.as_nanos();
        let base = match due {
            Some(due) if at <= due => due,
            Some(_) => {
                late.push(token);
                at
            }
            // The first token is not judged: the clock starts at it.
            None => at,
        };
        due = Some(base.saturating_add(tbt));
    }
    RequestProgress {
        request: request.row,
        fluidity_index: request.index,
        token_times_s: times,
        late_tokens: late,
    }
}
