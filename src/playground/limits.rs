//! What the playground will play: checked before anything is drawn or simulated, so that no
//! question can keep it busy.

use super::{Problems, Weight};
use crate::request::Request;
use crate::runner::{Requests, cached_blocks};
use crate::scenario::Experiment;
use crate::workload::{Arrivals, Dist, Lengths, SessionsSpec, Shape, Source};

/// Longest scenario text, bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Longest question: a scenario whose every character is escaped, and overrides.
pub(super) const REQUEST_BYTES_MAX: usize = 2 << 20;
/// Longest question about a result file, all of it within.
pub(super) const FILE_BYTES_MAX: usize = 64 << 20;
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
/// Most KV blocks that prefix caches track, of all replicas and of the schedulers that are shown:
/// each takes `CACHED_BLOCK_BYTES`.
pub const CACHED_BLOCKS_SHOWN: u64 = 4_000_000;
/// Most blocks in all prefixes of `prefix_groups`.
const PREFIX_BLOCKS_MAX: u64 = 4_000_000;
/// Most tokens of a KV block, summed over all lanes of all replicas: each has a list a token.
const BLOCK_TOKENS_MAX: u64 = 2_000_000;
/// Longest context of a closed loop, whose lengths are drawn as it goes.
const CLOSED_LOOP_CONTEXT_MAX: u32 = 16_000_000;
/// Longest trace file.
const TRACE_BYTES_MAX: u64 = 32 << 20;
/// Most characters that overrides are written into, one after the other.
const REWRITTEN_BYTES_MAX: usize = 16 << 20;
/// Most seats of a static batch, users and prefix groups.
const CROWD_MAX: u32 = 100_000;

pub(super) const ELSEWHERE: &str =
    "the command line has no such limit: save the scenario and run `metron-sim run`";

/// The same of a plan.
pub(super) const ELSEWHERE_PLAN: &str =
    "the command line has no such limit: copy the command and run it";

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
    if asked.text.len().saturating_mul(asked.set.len()) > REWRITTEN_BYTES_MAX {
        return Err(over("", "too many overrides of so long a scenario".to_owned()));
    }
    Ok(())
}

/// What prefix caches and lanes take before anything runs, of the schedulers that are shown.
pub(super) fn memory(experiment: &Experiment) -> Result<(), Problems> {
    let cached: u64 = experiment.schedulers.iter().map(|run| cached_blocks(experiment, run)).sum();
    if cached > CACHED_BLOCKS_SHOWN {
        let message = format!(
            "prefix caches of {cached} KV blocks, over all replicas and schedulers shown: the page \
             tracks up to {CACHED_BLOCKS_SHOWN}"
        );
        return Err(over("engine.kv_blocks", message));
    }
    if lists_of_lanes(experiment) > BLOCK_TOKENS_MAX {
        let message = "KV blocks of so many tokens on so many replicas take too much memory";
        return Err(over("engine.kv_block_tokens", message.to_owned()));
    }
    Ok(())
}

fn lists_of_lanes(experiment: &Experiment) -> u64 {
    let fleet = experiment.fleet().into_iter();
    let lists = fleet.map(|pool| {
        let lanes = u64::from(pool.replicas) * u64::from(pool.cost.stages());
        lanes * u64::from(pool.engine.kv_block_tokens)
    });
    lists.sum::<u64>() * experiment.schedulers.len() as u64
}

/// Memory of a tracked KV block, of a request, of an iteration with what explains it, and of a list
/// that a lane has, bytes: rounded up from what runs took.
const CACHED_BLOCK_BYTES: u64 = 72;
pub(super) const REQUEST_BYTES: u64 = 2_000;
const ITERATION_BYTES: u64 = 400;
const LANE_LIST_BYTES: u64 = 24;

/// What it takes to play an experiment on its requests `times` times.
pub(super) fn weight(experiment: &Experiment, requests: &Requests, times: u64) -> Weight {
    let runs = experiment.schedulers.len() as u64;
    let (count, prompts, outputs) = match requests {
        Requests::Open(workload) => {
            let sum = |of: fn(&Request) -> u32| -> u64 {
                workload.requests.iter().map(|r| u64::from(of(r))).sum()
            };
            (workload.requests.len() as u64, sum(|r| r.prompt_tokens), sum(|r| r.output_tokens))
        }
        Requests::Closed(source) => {
            (u64::from(source.requests_max()), TOKENS_MAX / 10, ITERATIONS_MAX)
        }
    };
    let iterations = (outputs + prompts / PREFILL_USUAL + count).min(ITERATIONS_MAX);
    let cached: u64 = experiment.schedulers.iter().map(|run| cached_blocks(experiment, run)).sum();
    let bytes = runs * (count * REQUEST_BYTES + iterations * ITERATION_BYTES)
        + cached * CACHED_BLOCK_BYTES
        + lists_of_lanes(experiment) * LANE_LIST_BYTES;
    let work = times * runs * (10 * count + iterations + prompts / PREFILL_USUAL);
    // Of several trials two or so run at once.
    Weight { bytes: bytes * times.min(3), work, long: false }
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
        Source::Sessions(sessions) => {
            return sessions_fit(experiment, sessions);
        }
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
            if experiment.engine.max_model_len > CLOSED_LOOP_CONTEXT_MAX {
                let message = format!("a context of more than {CLOSED_LOOP_CONTEXT_MAX} tokens");
                return Err(over("engine.max_model_len", message));
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
    if let Some(groups) = workload.prefix_groups {
        if groups.count > CROWD_MAX || groups.tokens > PROMPT_MAX {
            let message = format!("more than {CROWD_MAX} groups, or more than {PROMPT_MAX} tokens");
            return Err(over("workload.prefix_groups", message));
        }
        let each = u64::from(groups.tokens / experiment.engine.kv_block_tokens.max(1));
        if u64::from(groups.count) * each > PREFIX_BLOCKS_MAX {
            let message = format!("more than {PREFIX_BLOCKS_MAX} KV blocks in all prefixes");
            return Err(over("workload.prefix_groups", message));
        }
    }
    if let Source::Trace(trace) = &workload.source
        && std::fs::metadata(&trace.file).is_ok_and(|file| file.len() > TRACE_BYTES_MAX)
    {
        let message = format!("a file of more than {TRACE_BYTES_MAX} bytes");
        return Err(over("workload.trace.file", message));
    }
    let drawn = match &workload.source {
        Source::Synthetic { lengths, .. } => Some(lengths),
        Source::Trace(_) | Source::Sessions(_) => None,
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

/// Sessions whose turns and tokens are as few as the page plays, by their means.
fn sessions_fit(experiment: &Experiment, sessions: &SessionsSpec) -> Result<(), Problems> {
    let amount = experiment.workload.amount;
    let within = amount.duration.map_or(f64::INFINITY, |span| span.as_secs_f64());
    let by_time = match sessions.arrivals {
        Arrivals::ClosedLoop { users, .. } if users > CROWD_MAX => {
            let message = format!("more than {CROWD_MAX} users");
            return Err(over("workload.sessions.concurrency.users", message));
        }
        _ => expected(&sessions.arrivals, within),
    };
    let asked = amount.requests.map_or(f64::INFINITY, f64::from);
    let count = asked.min(by_time);
    if !count.is_finite() {
        let message = "how many sessions users begin is not known beforehand";
        let help = "give `workload.sessions.count`";
        return Err(Problems::one("workload.sessions", message, Some(help)));
    }
    let turns = mean(&sessions.turns);
    if count * turns > REQUESTS_MAX as f64 {
        let message = format!(
            "{} turns of all sessions: the page plays up to {REQUESTS_MAX}",
            (count * turns).round()
        );
        return Err(over("workload.sessions", message));
    }
    if let Some(prefix) = sessions.shared_prefix {
        let each = u64::from(prefix.tokens / experiment.engine.kv_block_tokens.max(1));
        if u64::from(prefix.count) * each > PREFIX_BLOCKS_MAX {
            let message = format!("more than {PREFIX_BLOCKS_MAX} KV blocks in all prefixes");
            return Err(over("workload.sessions.shared_prefix", message));
        }
    }
    if count * turns * mean(&sessions.output) > 1.5 * TOKENS_MAX as f64 {
        return Err(over("workload.sessions.output", too_many_tokens()));
    }
    Ok(())
}

fn too_many_tokens() -> String {
    format!("more than {TOKENS_MAX} tokens in all: the page plays fewer")
}

/// Requests that arrive within so many seconds, at most: time bounds none that come at once.
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
        Arrivals::AllAtOnce | Arrivals::ClosedLoop { .. } => f64::INFINITY,
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
    if count <= ITERATIONS_MAX { Ok(()) } else { Err(too_many_iterations(label)) }
}

pub(super) fn too_many_iterations(label: &str) -> Problems {
    let message =
        format!("{label} takes more than {ITERATIONS_MAX} iterations: the page draws fewer");
    over("", message)
}
