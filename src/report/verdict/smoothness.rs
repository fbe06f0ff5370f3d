//! Whose text flows, what stops the others', and what it costs.

use super::figures::{E2E, TBT, THROUGHPUT, TTFT, leads, longest_tbt, p99_tbt, price};
use super::share::{
    SAME_SHARE, best, evidence, fluid_share, is_contradicted, share_words, smoother, tells_tokens,
    unranked, worst_percent,
};
use super::{Names, alike};
use crate::explain::Cause;
use crate::metrics::{Distribution, Latency};
use crate::result::{PoolResult, RunResult};
use crate::shown::{count, duration, grouped, join, percent, three_digits};

/// A tail this many times another's is worth naming.
pub(super) const LONG_TAIL: f64 = 2.0;

/// Gaps whose P99 is this many times their median are uneven.
const UNEVEN: f64 = 3.0;

/// A longest gap that is this many times the median is a stop, however few there are.
const LONGEST: f64 = 10.0;

/// Prefills this many times as large as another's are worth naming.
const LARGER_PREFILL: f64 = 1.5;

fn prefill_only_share(run: &RunResult) -> Option<f64> {
    let iterations = run.iterations.as_ref()?;
    (iterations.count > 0).then(|| iterations.prefill_only as f64 / iterations.count as f64)
}

/// For several runs: who is smoothest, why the others are not, and what that costs. A run of which
/// too little is known takes nothing from the others.
pub(super) fn compare<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Vec<String> {
    let known: Vec<&RunResult> = runs.iter().filter(|run| unranked(run, runs).is_none()).collect();
    let mut sentences = match best(&known) {
        _ if known.len() < 2 => {
            let sound: Vec<&RunResult> = runs.iter().filter(|run| !is_contradicted(run)).collect();
            let leads = leads(&sound, names);
            let told = (!leads.is_empty()).then(|| leads.join("; "));
            told.map(|leads| format!("What tells them apart: {leads}.")).into_iter().collect()
        }
        Some(best) => {
            let others: Vec<&RunResult> =
                known.iter().copied().filter(|run| !std::ptr::eq(*run, best)).collect();
            let mut sentences = vec![lead(best, &others, names)];
            sentences.extend(others.iter().filter_map(|run| why(run, best, names)));
            sentences.extend(price(best, &others, names));
            sentences
        }
        None => tie(&known, names),
    };
    for run in runs {
        if let Some(why) = unranked(run, runs) {
            sentences.push(format!("{} is not ranked: {why}.", names.name(run)));
        }
    }
    sentences
}

fn lead<'a>(best: &'a RunResult, others: &[&'a RunResult], names: &Names<'a>) -> String {
    let degree = if others.len() == 1 { "smoother" } else { "the smoothest" };
    let name = names.name(best);
    let against = |figure: &dyn Fn(&RunResult) -> String| {
        let each = |run: &&'a RunResult| match others.len() {
            1 => format!("{} for {}", figure(run), names.name(run)),
            _ => format!("{} ({})", figure(run), names.name(run)),
        };
        join(&others.iter().map(each).collect::<Vec<_>>())
    };
    let least = fluid_share(best).map_or(0.0, |(least, _)| least);
    let below =
        |run: &&RunResult| fluid_share(run).is_some_and(|(_, most)| least > most + SAME_SHARE);
    if others.iter().all(below) {
        format!(
            "{name} gives {degree} text: {} of its requests are fluid, against {}.",
            share_words(best),
            against(&share_words)
        )
    } else {
        let index = |run: &RunResult| worst_percent(run).map_or("unknown".to_owned(), three_digits);
        format!(
            "{name} gives {degree} text to its worst-served users: the 1st percentile of its \
             fluidity-index is {}, against {}.",
            index(best),
            against(&index)
        )
    }
}

/// Why `run` stalls where `best` does not: the long gaps and the iterations that fit them.
fn why<'a>(run: &'a RunResult, best: &'a RunResult, names: &Names<'a>) -> Option<String> {
    let (tail, best_tail) = (p99_tbt(run)?, p99_tbt(best)?);
    let name = names.name(run);
    if tail < LONG_TAIL * best_tail {
        // Not the gaps between tokens: then the wait for the first one.
        let (first, best_first) = (run.summary.ttft_s.p99?, best.summary.ttft_s.p99?);
        return (first >= LONG_TAIL * best_first).then(|| {
            format!(
                "{name} loses it before the first token: its P99 TTFT is {}, against {}.",
                duration(first),
                duration(best_first)
            )
        });
    }
    let gap = format!("{name}'s P99 TBT is {}, against {}", duration(tail), duration(best_tail));
    // The smoother one's P99 is no praise beside a longer stop.
    let (longest, best_longest) = (longest_tbt(run)?, longest_tbt(best)?);
    let but = match best_longest > longest && !alike(best_longest, longest) {
        true => format!(
            "; but the longest gap is {} for {name}, {} for {}",
            duration(longest),
            duration(best_longest),
            names.name(best)
        ),
        false => String::new(),
    };
    Some(match cause(run, Some(best)) {
        Some(cause) => format!("{gap}: {cause}{but}."),
        None => format!("{gap}{but}."),
    })
}

/// What in a run's own iterations stops its decodes; compared with `best`, where there is one.
fn cause(run: &RunResult, best: Option<&RunResult>) -> Option<String> {
    let alone = prefill_only_share(run)?;
    let best_alone = best.and_then(prefill_only_share).unwrap_or(0.0);
    if alone >= 0.01 && alone >= LONG_TAIL * best_alone {
        return Some(format!(
            "{} of its iterations are prefills alone, and no other request gets a token while \
             one runs",
            percent(alone)
        ));
    }
    if let Some(preempted) = preempted(run) {
        return Some(preempted);
    }
    let own = prompt_tokens_a_prefill(run)?;
    let other = best.and_then(prompt_tokens_a_prefill);
    let against = match other {
        Some(other) if own < LARGER_PREFILL * other => return None,
        Some(other) => format!(", against {}", grouped(other)),
        None => String::new(),
    };
    (run.iterations?.mixed > 0).then(|| {
        format!(
            "an iteration with prefills carries {} prompt tokens on average{against}, and the \
             decodes beside them wait for all of it",
            grouped(own)
        )
    })
}

/// Whether preemptions are many enough to move the P99: each makes one long gap, so it takes one in a hundred.
fn preempted(run: &RunResult) -> Option<String> {
    let preemptions = run.kv?.preemptions;
    let many = preemptions.saturating_mul(100) >= run.summary.tbt_s.as_ref()?.count;
    (many && preemptions > 0).then(|| {
        format!(
            "it preempted {} times, and a preempted request waits for memory and recomputes",
            count(preemptions)
        )
    })
}

/// Prompt tokens computed in an iteration that prefills, on average (recomputation left out).
fn prompt_tokens_a_prefill(run: &RunResult) -> Option<f64> {
    let iterations = run.iterations?;
    let prefills = iterations.prefill_only + iterations.mixed;
    let tokens = run.summary.tokens.prompt.saturating_sub(run.kv?.prefix_hit_tokens);
    (prefills > 0).then(|| tokens as f64 / prefills as f64)
}

/// Nothing in fluidity tells the runs apart (or nobody is alone at the top).
fn tie<'a>(runs: &[&'a RunResult], names: &Names<'a>) -> Vec<String> {
    // Those that nobody is smoother than.
    let beaten = |run: &&RunResult| runs.iter().any(|other| smoother(other, run));
    let (rest, equals): (Vec<&RunResult>, Vec<&RunResult>) =
        runs.iter().copied().partition(|run| beaten(run));
    let Some(&top) = equals.first() else { return Vec::new() };
    let alike = |run: &&RunResult| {
        let points = |of: Option<(f64, f64)>| of.filter(|(lower, upper)| lower == upper);
        let of = (points(evidence(run)), points(evidence(top)));
        matches!(of, (Some(a), Some(b)) if (a.0 - b.0).abs() <= SAME_SHARE)
    };
    let who = if rest.is_empty() { "they".to_owned() } else { names.list(&equals) };
    let mut sentences = Vec::new();
    let shares = |runs: &[&'a RunResult]| {
        let each = runs.iter().map(|run| format!("{} ({})", share_words(run), names.name(run)));
        join(&each.collect::<Vec<_>>())
    };
    sentences.push(if equals.iter().all(alike) {
        let share = share_words(top);
        format!("By the SLO's measure {who} do equally well: {share} of requests are fluid.")
    } else {
        let who = if rest.is_empty() { "them".to_owned() } else { who };
        format!(
            "The share of fluid requests does not tell {who} apart: {}, as far as these files show.",
            shares(&equals)
        )
    });
    if !rest.is_empty() && !equals.iter().all(alike) {
        sentences.push(format!("Behind that: {} of requests are fluid.", shares(&rest)));
    }
    let leads = leads(&equals, names);
    let all_known = [TTFT, TBT, E2E, THROUGHPUT]
        .iter()
        .all(|figure| equals.iter().all(|run| (figure.value)(run).is_some()));
    sentences.push(if !leads.is_empty() {
        format!("What tells them apart: {}.", leads.join("; "))
    } else if all_known {
        "Their latencies differ by less than 5 %, so this workload does not tell them apart."
            .to_owned()
    } else if [TTFT, TBT, E2E]
        .iter()
        .any(|figure| equals.iter().all(|run| (figure.value)(run).is_some()))
    {
        "What is known of their latencies differs by less than 5 %.".to_owned()
    } else {
        "Their latencies are known within bounds only.".to_owned()
    });
    sentences.extend(rest.iter().filter_map(|run| why(run, top, names)));
    sentences
}

/// For a single run: whether the text flows evenly, and if not what fits the gaps. Nothing of one
/// whose file contradicts itself.
pub(super) fn tail_of_one(run: &RunResult) -> Option<String> {
    if is_contradicted(run) {
        return None;
    }
    let known = |figure: fn(&Distribution) -> Option<f64>| run.summary.known(Latency::Tbt, figure);
    let (p50, p99, longest) = (known(|of| of.p50)?, known(|of| of.p99)?, known(|of| of.max)?);
    if let Some(said) = uneven_pool(run) {
        return Some(said);
    }
    let (what, gaps) = match tells_tokens(run) {
        true => ("Tokens", "TBT"),
        false => ("Chunks", "gap between chunks"),
    };
    if p50 <= 0.0 {
        return Some(format!(
            "{what} come in groups: half of the gaps are 0, P99 {gaps} is {}, and the longest is {}.",
            duration(p99),
            duration(longest)
        ));
    }
    let even = p99 < UNEVEN * p50;
    if even && longest >= LONGEST * p50 {
        return Some(format!(
            "P99 {gaps} is {}, the median {}, but the longest is {}, {} times the median: text stood \
             still.",
            duration(p99),
            duration(p50),
            duration(longest),
            three_digits(longest / p50)
        ));
    }
    if even {
        return Some(format!(
            "{what} come evenly: P99 {gaps} is {}, the median {}.",
            duration(p99),
            duration(p50)
        ));
    }
    let gap = format!(
        "{what} come unevenly: P99 {gaps} is {}, {} times the median",
        duration(p99),
        three_digits(p99 / p50)
    );
    let misses = || most_misses(run).filter(|_| preempted(run).is_none());
    Some(match cause(run, None).map(|cause| (cause, misses())) {
        Some((_, Some(misses))) => format!("{gap}; {misses}."),
        Some((cause, None)) => format!("{gap}: {cause}."),
        None => format!("{gap}."),
    })
}

/// The same of the pool that has most of the requests that are not fluid: gaps elsewhere say nothing of theirs.
/// Iterations are counted over all pools, so no cause is named but that of the misses.
fn uneven_pool(run: &RunResult) -> Option<String> {
    let pools = run.pools.as_ref().filter(|pools| pools.len() > 1)?;
    let choppy = |pool: &PoolResult| {
        let served = pool.served?;
        Some(((1.0 - served.fluid_request_share?) * served.requests as f64).round() as u64)
    };
    let each = pools.iter().map(|(name, pool)| Some((choppy(pool)?, name, pool.served?)));
    let each = each.collect::<Option<Vec<_>>>()?;
    let all: u64 = each.iter().map(|(choppy, ..)| choppy).sum();
    let &(most, name, served) = each.iter().max_by_key(|(choppy, ..)| *choppy)?;
    let (p50, p99) = (served.tbt_p50_s.filter(|&p50| p50 > 0.0)?, served.tbt_p99_s?);
    if most * 2 <= all {
        return None;
    }
    let even = p99 < UNEVEN * p50;
    let how = if even { "tokens come evenly" } else { "tokens come unevenly" };
    let figures = match even {
        true => format!("P99 TBT is {}, the median {}", duration(p99), duration(p50)),
        false => format!(
            "P99 TBT is {}, {} times the median of {}",
            duration(p99),
            three_digits(p99 / p50),
            duration(p50)
        ),
    };
    let misses = most_misses(run).map_or(String::new(), |misses| format!("; {misses}"));
    Some(format!(
        "In pool {name}, which has {} of the {} requests that are not fluid, {how}: {figures}{misses}.",
        count(most),
        count(all)
    ))
}

/// What most missed deadlines between tokens come from, where it is known and no prefill of others.
fn most_misses(run: &RunResult) -> Option<String> {
    let stalls = run.stalls.as_ref().filter(|stalls| stalls.missed > 0)?;
    let prefills = [Cause::PrefillInterference, Cause::PrefillOnly];
    let of_prefills: u64 = prefills.iter().filter_map(|cause| stalls.misses.get(cause)).sum();
    let slower = |cause: &Cause| {
        use Cause::{LockstepWait, PipelineBubble, PreemptedWaiting, Recompute};
        cause.is_pace()
            || matches!(cause, LockstepWait | PipelineBubble | PreemptedWaiting | Recompute)
    };
    let others = stalls.misses.iter().filter(|(cause, _)| slower(cause));
    let (cause, missed) = others.max_by_key(|(_, missed)| **missed)?;
    (*missed > of_prefills).then(|| {
        format!(
            "{} of {} missed deadlines come from {}",
            count(*missed),
            count(stalls.missed),
            cause.meaning()
        )
    })
}
