//! Whether a run stays within its number types and within memory, asked before it starts.

use super::memory::{self, gib};
use crate::cost::BatchShape;
use crate::order;
use crate::scenario::{Experiment, PoolView, SchedulerRun};
use crate::time::Span;
use crate::workload::Arrivals;

use super::{Requests, RunError, RunInput};

/// Most KV blocks of all replicas together that a prefix cache tracks one by one: 32 bytes each,
/// 8 GiB.
pub const CACHED_BLOCKS_MAX: u64 = 1 << 28;

/// Longest simulated time: half of what 64 bits of nanoseconds hold, so that sums of two fit.
const TIME_MAX_NS: u128 = 1 << 63;

/// Most output tokens of all requests together: a replica that serves one at a time takes half an
/// hour for so many.
pub const OUTPUT_TOKENS_MAX: u64 = 100_000_000_000;

const YEAR_NS: u128 = 365 * 86_400 * 1_000_000_000;

/// Runs that go on at once, each with memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtOnce {
    /// The schedulers of the experiment, so many of them at a time.
    Schedulers(usize),
    /// So many like the heaviest of them.
    Alike(usize),
}

impl AtOnce {
    /// What they take of these, the most first, and how many they are.
    fn sum(self, bytes: &[u64]) -> (u64, usize) {
        match self {
            AtOnce::Schedulers(most) => {
                let count = bytes.len().min(most.max(1));
                (bytes[..count].iter().fold(0, |sum: u64, &one| sum.saturating_add(one)), count)
            }
            AtOnce::Alike(count) => {
                (bytes.first().map_or(0, |&one| one.saturating_mul(count as u64)), count)
            }
        }
    }
}

/// Refuses an experiment that could leave its number types, or whose bookkeeping takes more
/// memory than a machine has to spare.
///
/// # Errors
/// When even one token a step, every request after the other, may last over 292 years, when there are
/// more than [`OUTPUT_TOKENS_MAX`] output tokens, when the prefix caches of all replicas hold more
/// than [`CACHED_BLOCKS_MAX`] blocks, or when the runs that go on at once take more memory than there
/// is.
pub fn check(input: RunInput<'_>, at_once: AtOnce) -> Result<(), RunError> {
    memory::available_at_first();
    let experiment = input.experiment;
    let cached: Vec<(&SchedulerRun, u64)> =
        experiment.schedulers.iter().map(|run| (run, cached_blocks(experiment, run))).collect();
    let outputs = input.requests.output_tokens().unwrap_or(0);
    if experiment.horizon.is_none() && outputs > OUTPUT_TOKENS_MAX {
        return Err(RunError::TooLarge(format!(
            "the requests have {outputs} output tokens together, and a run may have \
             {OUTPUT_TOKENS_MAX}: ask for fewer or shorter answers, or set a `horizon`"
        )));
    }
    let too_many = cached.iter().find(|(_, blocks)| *blocks > CACHED_BLOCKS_MAX);
    if let Some((run, blocks)) = too_many {
        return Err(RunError::TooLarge(format!(
            "{}: its prefix caches would hold {blocks} KV blocks on {} replicas, and at most \
             {CACHED_BLOCKS_MAX} are tracked (8 GiB): lower `replicas` or `engine.kv_blocks`, or \
             turn prefix caching off",
            run.label, experiment.replicas
        )));
    }
    let least = cached.iter().map(|&(run, blocks)| (memory::least(input, run, blocks), run));
    let mut least: Vec<(u64, &SchedulerRun)> = least.collect();
    order::sort_by_key(&mut least, |&(bytes, _)| std::cmp::Reverse(bytes));
    let each: Vec<u64> = least.iter().map(|&(bytes, _)| bytes).collect();
    let (together, count) = at_once.sum(&each);
    if let (Some(&(bytes, run)), Some(there)) = (least.first(), memory::available()) {
        let alone = bytes > there;
        let for_all = match at_once {
            AtOnce::Schedulers(_) => there,
            // Others may be under way, and have taken theirs.
            AtOnce::Alike(_) => memory::available_at_first().unwrap_or(there).max(there),
        };
        let what = if alone {
            format!("{}: out of memory: the run takes {} at least", run.label, gib(bytes))
        } else {
            format!("out of memory: {count} runs at once take {} at least", gib(together))
        };
        let fewer = if alone { "" } else { "fewer runs at once with `--jobs`, " };
        if alone || together > for_all {
            return Err(RunError::TooLarge(format!(
                "{what}, and {} are left: ask for {fewer}fewer requests or shorter answers, lower \
                 `replicas` or `engine.kv_blocks`, or turn prefix caching off",
                gib(if alone { there } else { for_all })
            )));
        }
    }
    let longest = longest_ns(input);
    // An observation that ends at a horizon cannot run away.
    if experiment.horizon.is_none() && longest > TIME_MAX_NS {
        return Err(RunError::TooLarge(format!(
            "the requests may take {} years one after another, and times hold 292: ask for fewer \
             or shorter ones, or set a `horizon`",
            longest / YEAR_NS
        )));
    }
    Ok(())
}

/// KV blocks that the prefix caches of all replicas track under a scheduler.
pub fn cached_blocks(experiment: &Experiment, run: &SchedulerRun) -> u64 {
    let caching = experiment.fleet().into_iter().filter(|pool| caches(pool, run));
    caching.map(|pool| u64::from(pool.replicas) * u64::from(pool.engine.kv_blocks)).sum()
}

fn caches(pool: &PoolView<'_>, run: &SchedulerRun) -> bool {
    let info = pool.engine_info(&run.config);
    let needs = run.config.build(&info).needs();
    needs.cache.is_some() && needs.caches_on(&info)
}

/// The last arrival, and after it every token in a step of its own at the longest context.
fn longest_ns(input: RunInput<'_>) -> u128 {
    let experiment = input.experiment;
    let ns = |span: Span| u128::from(span.as_nanos());
    let step = |pool: PoolView<'_>| {
        let step =
            pool.cost.time(&BatchShape::decodes_alone(1, u64::from(pool.engine.max_model_len)));
        ns(step.gpu) + ns(step.host)
    };
    let step = experiment.fleet().into_iter().map(step).max().unwrap_or(0);
    match input.requests {
        Requests::Open(workload) => {
            let tokens = |r: &crate::request::Request| {
                u128::from(r.prompt_tokens) + u128::from(r.output_tokens)
            };
            let all: u128 = workload.requests.iter().map(tokens).sum();
            let last = workload.requests.last().map_or(0, |r| u128::from(r.arrival.as_nanos()));
            last + all * step
        }
        Requests::Closed(source) => {
            let most = u128::from(experiment.engine.max_model_len);
            let (users, requests) =
                (u128::from(users(experiment)), u128::from(source.requests_max()));
            if source.has_turns() {
                let last = source.starts().last().map_or(0, |at| u128::from(at.as_nanos()));
                let begun = experiment.workload.amount.duration.map_or(last, ns);
                return begun + requests * most * step;
            }
            // No request arrives after the duration, and then each user waits for one at most.
            if let Some(duration) = experiment.workload.amount.duration {
                return ns(duration) + requests.min(users) * most * step;
            }
            let think_time = match experiment.workload.source.arrivals() {
                Some(&Arrivals::ClosedLoop { think_time, .. }) => ns(think_time),
                _ => 0,
            };
            requests * most * step + think_time * requests.div_ceil(users)
        }
    }
}

fn users(experiment: &Experiment) -> u32 {
    match experiment.workload.source.arrivals() {
        Some(&Arrivals::ClosedLoop { users, .. }) => users.max(1),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_at_once_have_memory_of_their_own() {
        let bytes = [5, 3, 1];
        assert_eq!(AtOnce::Schedulers(1).sum(&bytes), (5, 1));
        assert_eq!(AtOnce::Schedulers(2).sum(&bytes), (8, 2));
        assert_eq!(AtOnce::Schedulers(9).sum(&bytes), (9, 3));
        assert_eq!(AtOnce::Alike(3).sum(&bytes), (15, 3));
        assert_eq!(AtOnce::Alike(2).sum(&[]), (0, 2));
    }
}
