//! What the playground will play: checked before anything is drawn or simulated, so that no
//! question can keep it busy.

use super::Problems;
use crate::request::Request;
use crate::runner::Requests;
use crate::scenario::Experiment;
use crate::workload::{Arrivals, Dist, Lengths, Shape, Source};

/// Longest scenario text, bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Longest question: a scenario whose every character is escaped, and overrides.
pub(super) const REQUEST_BYTES_MAX: usize = 2 << 20;
/// Most requests.
pub const REQUESTS_MAX: u64 = 20_000;
/// Most prompt and output tokens together.
pub const TOKENS_MAX: u64 = 20_000_000;
/// Most iterations of one scheduler.
pub const ITERATIONS_MAX: u64 = 400_000;
/// Most replicas.
pub const REPLICAS_MAX: u32 = 64;
/// Schedulers played side by side.
pub const SCHEDULERS_SHOWN: usize = 2;
/// Most overrides of one question.
const SET_MAX: usize = 100;
/// Longest prompt.
const PROMPT_MAX: u32 = 1_000_000;
/// Most KV blocks of a replica.
const KV_BLOCKS_MAX: u32 = 20_000_000;
/// Most seats of a static batch, users and prefix groups.
const CROWD_MAX: u32 = 100_000;

const ELSEWHERE: &str =
    "the command line has no such limit: save the scenario and run `metron-sim run`";

fn over(path: &str, message: String) -> Problems {
    Problems::one(path, message, Some(ELSEWHERE))
}

/// The question itself.
pub(super) fn asked(asked: &super::Asked) -> Result<(), Problems> {
    if asked.text.len() > TEXT_BYTES_MAX {
        let message = format!("the scenario is longer than {TEXT_BYTES_MAX} bytes");
        return Err(Problems::one("", message, Some("a scenario takes a few thousand")));
    }
    if asked.set.len() > SET_MAX {
        return Err(over("", format!("more than {SET_MAX} overrides at once")));
    }
    Ok(())
}

/// A resolved scenario, before its requests are drawn.
pub(super) fn experiment(experiment: &Experiment) -> Result<(), Problems> {
    if experiment.replicas > REPLICAS_MAX {
        let message =
            format!("{} replicas: the page plays up to {REPLICAS_MAX}", experiment.replicas);
        return Err(over("replicas", message));
    }
    if experiment.fleet().iter().any(|pool| pool.engine.kv_blocks > KV_BLOCKS_MAX) {
        let message = format!("more than {KV_BLOCKS_MAX} KV blocks");
        return Err(over("engine.kv_blocks", message));
    }
    let workload = &experiment.workload;
    let arrivals = match &workload.source {
        Source::Synthetic { arrivals, .. } => Some(arrivals),
        Source::Trace(trace) => trace.arrivals.as_ref(),
    };
    let asked = workload.amount.requests.map(f64::from);
    let within = workload.amount.duration.map(|span| span.as_secs_f64());
    let by_time = match (arrivals, within) {
        (Some(Arrivals::ClosedLoop { users, .. }), _) => {
            if *users > CROWD_MAX {
                return Err(over(
                    "workload.arrivals.closed_loop.users",
                    format!("more than {CROWD_MAX} users"),
                ));
            }
            if asked.is_none() {
                let message = "how many requests a closed loop makes is not known beforehand";
                let help = "give `workload.requests`, at most 20000";
                return Err(Problems::one("workload", message, Some(help)));
            }
            None
        }
        (Some(arrivals), within) => Some(expected(arrivals, within.unwrap_or(f64::INFINITY))),
        (None, _) => None,
    };
    let most = match (asked, by_time) {
        (Some(asked), Some(by_time)) => asked.min(by_time),
        (one, other) => one.or(other).unwrap_or(0.0),
    };
    if most > REQUESTS_MAX as f64 {
        let message = format!("{} requests: the page plays up to {REQUESTS_MAX}", most.round());
        let path = if asked.is_some() { "workload.requests" } else { "workload.duration" };
        return Err(over(path, message));
    }
    if let Some(groups) = workload.prefix_groups
        && (groups.count > CROWD_MAX || groups.tokens > PROMPT_MAX)
    {
        let message = format!("more than {CROWD_MAX} groups, or more than {PROMPT_MAX} tokens");
        return Err(over("workload.prefix_groups", message));
    }
    let drawn = match &workload.source {
        Source::Synthetic { lengths, .. } => Some(lengths),
        Source::Trace(_) => None,
    };
    let shares: f64 = workload.classes.iter().map(|class| class.share).sum();
    let classes = workload.classes.iter().filter_map(|class| {
        let lengths = class.lengths.as_ref().or(drawn)?;
        Some((lengths, class.share / shares.max(f64::MIN_POSITIVE)))
    });
    let all = drawn.filter(|_| workload.classes.is_empty()).map(|lengths| (lengths, 1.0));
    // Means tell most; the sum of what was drawn is looked at too.
    let (mut prompts, mut outputs) = (0.0, 0.0);
    for (lengths, share) in classes.chain(all) {
        if let Lengths::Independent { prompt, output } = lengths {
            prompts += mean(prompt) * share * most;
            outputs += mean(output) * share * most;
        }
    }
    for (path, tokens) in
        [("workload.lengths.prompt", prompts), ("workload.lengths.output", outputs)]
    {
        if tokens > 1.5 * TOKENS_MAX as f64 {
            return Err(over(path, too_many_tokens()));
        }
    }
    Ok(())
}

fn too_many_tokens() -> String {
    format!("more than {TOKENS_MAX} tokens in all: the page plays fewer")
}

/// Requests that arrive within so many seconds, at most; none where all come at once.
fn expected(arrivals: &Arrivals, within_s: f64) -> f64 {
    match arrivals {
        Arrivals::Poisson { rate }
        | Arrivals::Gamma { rate, .. }
        | Arrivals::Weibull { rate, .. }
        | Arrivals::Constant { rate } => rate * within_s,
        Arrivals::Piecewise(pieces) => {
            let peak = pieces.iter().map(|piece| piece.rate.max(piece.ramp_to)).fold(0.0, f64::max);
            let sum: f64 = pieces
                .iter()
                .map(|piece| piece.length.as_secs_f64() * (piece.rate + piece.ramp_to) / 2.0)
                .sum();
            if within_s.is_finite() { peak * within_s } else { sum }
        }
        Arrivals::AllAtOnce | Arrivals::ClosedLoop { .. } => 0.0,
    }
}

/// A mean to judge by: that of a lognormal, or the middle of the range.
fn mean(dist: &Dist) -> f64 {
    let mean = match &dist.shape {
        Shape::Fixed(tokens) => f64::from(*tokens),
        Shape::Uniform { min, max } => (f64::from(*min) + f64::from(*max)) / 2.0,
        Shape::Lognormal { mean, .. } | Shape::Geometric { mean } => *mean,
        // At most that: smaller values are more likely.
        Shape::Zipf { min, max, .. } => (f64::from(*min) + f64::from(*max)) / 2.0,
        // Straight lines between the points.
        Shape::Quantiles(points) => {
            let (first, last) = (points.first(), points.last());
            let ends = first.map_or(0.0, |p| p.0 * p.1) + last.map_or(0.0, |p| (1.0 - p.0) * p.1);
            let inner =
                points.windows(2).map(|two| (two[1].0 - two[0].0) * (two[0].1 + two[1].1) / 2.0);
            ends + inner.sum::<f64>()
        }
    };
    let (low, high) = (dist.min.map_or(1.0, f64::from), dist.max.map_or(f64::INFINITY, f64::from));
    mean.clamp(low.min(high), high)
}

/// The requests that were drawn, before they are played.
pub(super) fn requests(requests: &Requests) -> Result<(), Problems> {
    let Requests::Open(workload) = requests else { return Ok(()) };
    let drawn = &workload.requests;
    if drawn.len() as u64 > REQUESTS_MAX {
        let message = format!("{} requests: the page plays up to {REQUESTS_MAX}", drawn.len());
        return Err(over("workload", message));
    }
    let tokens: u64 =
        drawn.iter().map(|r| u64::from(r.prompt_tokens) + u64::from(r.output_tokens)).sum();
    if tokens > TOKENS_MAX {
        return Err(over("workload.lengths", too_many_tokens()));
    }
    if drawn.iter().any(|request| request.prompt_tokens > PROMPT_MAX) {
        let message = format!("a prompt of more than {PROMPT_MAX} tokens");
        return Err(over("workload.lengths.prompt", message));
    }
    Ok(())
}

/// Whether there may be more iterations than the page draws: each decodes a token or prefills
/// `PREFILL_USUAL` tokens at least, but for the last piece of a prompt and what is computed anew.
pub(super) fn may_be_many(requests: &Requests, least_budget: Option<u64>) -> bool {
    let Requests::Open(workload) = requests else { return true };
    let iterations = |r: &Request| {
        u64::from(r.output_tokens) + u64::from(r.prompt_tokens).div_ceil(PREFILL_USUAL)
    };
    least_budget.is_some_and(|budget| budget < PREFILL_USUAL)
        || workload.requests.iter().map(iterations).sum::<u64>() > ITERATIONS_MAX
}

/// Prompt tokens that an iteration without decodes has, where a budget allows it.
const PREFILL_USUAL: u64 = 64;

/// Whether a scheduler could do with few enough iterations: each prefills at most its token budget
/// and decodes a token for each of its seats.
pub(super) fn least_iterations(
    label: &str,
    requests: &Requests,
    budget: Option<u64>,
    seats: Option<u64>,
) -> Result<(), Problems> {
    let Requests::Open(workload) = requests else { return Ok(()) };
    let sum =
        |of: fn(&Request) -> u32| workload.requests.iter().map(|r| u64::from(of(r))).sum::<u64>();
    let prefills = budget.map_or(0, |budget| sum(|r| r.prompt_tokens) / budget.max(1));
    let decodes = seats.map_or(0, |seats| sum(|r| r.output_tokens) / seats.max(1));
    iterations(label, prefills.max(decodes))
}

/// How often a scheduler iterated.
pub(super) fn iterations(label: &str, count: u64) -> Result<(), Problems> {
    if count <= ITERATIONS_MAX {
        return Ok(());
    }
    let message =
        format!("{label} takes {count} iterations or more: the page draws up to {ITERATIONS_MAX}");
    Err(over("", message))
}
