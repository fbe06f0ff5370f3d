//! Data of the plots that people expect of an evaluation.

use crate::metrics::{Options, RequestMetrics, gaps_at};
use crate::request::RequestId;
use crate::result::{Plots, RequestProgress};
use crate::time::Span;
use crate::trace::{Part, Parts, Status};

/// Points of a curve at most.
const POINTS_MAX: u64 = 200;
/// Tokens of a request that are drawn at most.
const TOKENS_MAX: usize = 2000;

/// The plots of a trace that has token times.
pub(super) fn plots(trace: &dyn Parts, options: &Options, requests: &[RequestMetrics]) -> Plots {
    let completed =
        |m: &&RequestMetrics| trace.requests()[m.row.index()].status == Status::Completed;
    let judged = |m: &&RequestMetrics| trace.requests()[m.row.index()].status != Status::Cancelled;
    let ttfts = requests.iter().filter_map(|m| m.ttft);
    let ended = requests.iter().filter(|m| !m.is_open()).filter(judged);
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
        tbt_cdf_s: cdf_of_gaps(trace, requests.iter()),
        fluidity_cdf: cdf(ended.map(|m| m.index).collect()),
        progress: progress_of(trace, options, &drawn),
    }
}

/// The same of the gaps between tokens, which are not stored for it.
fn cdf_of_gaps<'r>(
    trace: &dyn Parts,
    requests: impl Iterator<Item = &'r RequestMetrics>,
) -> Vec<(f64, f64)> {
    let rows: Vec<RequestId> = requests.filter(|m| m.ttft.is_some()).map(|m| m.row).collect();
    let (n, gaps) = gaps_at(trace, &rows, |n| samples_up_to(n).map(|upto| upto - 1).collect());
    let shares = samples_up_to(n).map(|upto| upto as f64 / n as f64);
    gaps.into_iter().map(|ns| Span::from_nanos(ns).as_secs_f64()).zip(shares).collect()
}

/// How many of `n` samples are up to each point of a curve.
fn samples_up_to(n: u64) -> impl Iterator<Item = u64> {
    let points = n.min(POINTS_MAX);
    (1..=points).map(move |point| point * n / points)
}

/// `[value, share of samples up to it]`, rising.
fn cdf(mut samples: Vec<f64>) -> Vec<(f64, f64)> {
    samples.sort_unstable_by(f64::total_cmp);
    let n = samples.len() as u64;
    samples_up_to(n).map(|upto| (samples[upto as usize - 1], upto as f64 / n as f64)).collect()
}

/// Tokens against time of these requests.
fn progress_of(
    trace: &dyn Parts,
    options: &Options,
    drawn: &[&RequestMetrics],
) -> Vec<RequestProgress> {
    let mut found = vec![RequestProgress::default(); drawn.len()];
    trace.each_part(&mut |part| {
        for (request, into) in drawn.iter().zip(&mut found) {
            if !part.of(&[request.row]).is_empty() {
                *into = progress(part, options, request);
            }
        }
    });
    found
}

fn progress(part: Part<'_>, options: &Options, request: &RequestMetrics) -> RequestProgress {
    let row = part.row(request.row);
    let deadlines = options.deadlines_of(row.class);
    let tbt = deadlines.tbt().as_nanos();
    let mut due = options.judge_first_token.then(|| {
        row.arrival.as_nanos().saturating_add(deadlines.ttft(row.prompt_tokens).as_nanos())
    });
    let (mut times, mut late) = (Vec::new(), Vec::new());
    for (token, at) in (0u32..).zip(part.trace.token_times(row).take(TOKENS_MAX)) {
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
