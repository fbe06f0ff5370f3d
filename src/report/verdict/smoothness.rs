//! Whose text flows, what stops the others', and what it costs.

use super::{Names, alike, join};
use crate::report::result::RunResult;
use crate::report::units::{count, duration, grouped, percent, three_digits};

/// A tail this many times another's is worth naming.
const LONG_TAIL: f64 = 2.0;

/// Gaps whose P99 is this many times their median are uneven.
const UNEVEN: f64 = 3.0;

/// Prefills this many times as large as another's are worth naming.
const LARGER_PREFILL: f64 = 1.5;

/// Shares of fluid requests and fluidity-indices this close count as equal.
const SAME_SHARE: f64 = 0.001;

fn fluid_share(run: &RunResult) -> Option<f64> {
    run.summary.fluidity.as_ref()?.fluid_request_share
}

fn worst_percent(run: &RunResult) -> Option<f64> {
    run.summary.fluidity.as_ref()?.index.p1
}

/// Whether it is known how smooth a run is.
pub(super) fn is_known(run: &RunResult) -> bool {
    fluid_share(run).is_some() && worst_percent(run).is_some()
}

fn p99_tbt(run: &RunResult) -> Option<f64> {
    run.summary.tbt_s.as_ref()?.p99
}

fn prefill_only_share(run: &RunResult) -> Option<f64> {
    let iterations = run.iterations.as_ref()?;
    (iterations.count > 0).then(|| iterations.prefill_only as f64 / iterations.count as f64)
}

/// The smoothest run: by fluid share, then by its worst-served percent, then by P99 TBT. `None`
/// when the first two do not tell one from all the others.
pub(super) fn best(runs: &[RunResult]) -> Option<&RunResult> {
    if !runs.iter().all(is_known) {
        return None;
    }
    let best = runs.iter().reduce(|best, run| if smoother(run, best) { run } else { best })?;
    let alone = runs.iter().all(|run| std::ptr::eq(run, best) || !same(run, best));
    (alone && fluid_share(best).is_some()).then_some(best)
}

fn smoother(a: &RunResult, b: &RunResult) -> bool {
    let key = |run| (fluid_share(run).unwrap_or(-1.0), worst_percent(run).unwrap_or(-1.0));
    let ((share_a, worst_a), (share_b, worst_b)) = (key(a), key(b));
    if (share_a - share_b).abs() > SAME_SHARE {
        return share_a > share_b;
    }
    worst_a > worst_b + SAME_SHARE
}

fn same(a: &RunResult, b: &RunResult) -> bool {
    !smoother(a, b) && !smoother(b, a)
}

/// For several runs: who is smoothest, why the others are not, and what that costs.
pub(super) fn compare<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Vec<String> {
    let Some(best) = best(runs) else {
        return tie(runs, names);
    };
    let others: Vec<&RunResult> = runs.iter().filter(|run| !std::ptr::eq(*run, best)).collect();
    let mut sentences = vec![lead(best, &others, names)];
    sentences.extend(others.iter().filter_map(|run| why(run, best, names)));
    sentences.push(price(best, &others, names));
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
    let share = fluid_share(best).unwrap_or(0.0);
    let by_share = others.iter().all(|run| share > fluid_share(run).unwrap_or(0.0) + SAME_SHARE);
    if by_share {
        let other = against(&|run| fluid_share(run).map_or("none".to_owned(), percent));
        format!(
            "{name} gives {degree} text: {} of its requests are fluid, against {other}.",
            percent(share)
        )
    } else {
        let index = |run: &RunResult| worst_percent(run).map_or("none".to_owned(), three_digits);
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
    Some(match cause(run, Some(best)) {
        Some(cause) => format!("{gap}: {cause}."),
        None => format!("{gap}."),
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
    // Each preemption makes one long gap: to move the P99 it takes one in a hundred.
    let preemptions = run.kv?.preemptions;
    if preemptions.saturating_mul(100) >= run.summary.tbt_s.as_ref()?.count && preemptions > 0 {
        return Some(format!(
            "it preempted {} times, and a preempted request waits for memory and recomputes",
            count(preemptions)
        ));
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

/// Prompt tokens computed in an iteration that prefills, on average (recomputation left out).
fn prompt_tokens_a_prefill(run: &RunResult) -> Option<f64> {
    let iterations = run.iterations?;
    let prefills = iterations.prefill_only + iterations.mixed;
    let tokens = run.summary.tokens.prompt.saturating_sub(run.kv?.prefix_hit_tokens);
    (prefills > 0).then(|| tokens as f64 / prefills as f64)
}

/// What the smoothest run gives up.
fn price<'a>(best: &'a RunResult, others: &[&'a RunResult], names: &Names<'a>) -> String {
    type Figure = (&'static str, fn(&RunResult) -> Option<f64>, bool);
    let figures: [Figure; 3] = [
        ("a P99 TTFT of", |run| run.summary.ttft_s.p99, false),
        ("a P99 end-to-end latency of", |run| run.summary.e2e_s.p99, false),
        ("a throughput of", |run| run.summary.throughput.as_ref()?.output_tokens_per_s, true),
    ];
    let mut paid = Vec::new();
    for (what, figure, higher_is_better) in figures {
        let Some(own) = figure(best) else { continue };
        let rival = others
            .iter()
            .filter_map(|run| Some((figure(run)?, *run)))
            .reduce(|a, b| if (b.0 > a.0) == higher_is_better { b } else { a });
        let Some((other, run)) = rival else { continue };
        let worse = if higher_is_better { own < other } else { own > other };
        if worse && !alike(own, other) {
            let show = |value: f64| {
                if higher_is_better {
                    format!("{} tokens/s", three_digits(value))
                } else {
                    duration(value)
                }
            };
            paid.push(format!(
                "{what} {} against {} ({})",
                show(own),
                show(other),
                names.name(run)
            ));
        }
    }
    let name = names.name(best);
    if paid.is_empty() {
        format!(
            "{name} pays nothing for it here: its P99 TTFT, P99 end-to-end latency and throughput \
             are the best or within 5 % of it."
        )
    } else {
        format!("{name} pays with {}.", join(&paid))
    }
}

/// Nothing in fluidity tells the runs apart (or nobody is alone at the top).
fn tie<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Vec<String> {
    let Some(top) = runs.iter().reduce(|best, run| if smoother(run, best) { run } else { best })
    else {
        return Vec::new();
    };
    let equals: Vec<&RunResult> = runs.iter().filter(|run| same(run, top)).collect();
    let rest: Vec<&RunResult> = runs.iter().filter(|run| !same(run, top)).collect();
    let share = fluid_share(top).map_or("none".to_owned(), percent);
    let who = if rest.is_empty() { "they".to_owned() } else { names.list(&equals) };
    let mut sentences =
        vec![format!("By the SLO's measure {who} do equally well: {share} of requests are fluid.")];
    let leads = leads(&equals, names);
    sentences.push(if leads.is_empty() {
        "Their latencies differ by less than 5 %, so this workload does not tell them apart."
            .to_owned()
    } else {
        format!("What tells them apart: {}.", leads.join("; "))
    });
    sentences.extend(rest.iter().filter_map(|run| why(run, top, names)));
    sentences
}

/// Which of several equally fluid runs leads in what, by more than 5 %; figures of one leader
/// together.
fn leads<'a>(equals: &[&'a RunResult], names: &Names<'a>) -> Vec<String> {
    type Figure = (&'static str, fn(&RunResult) -> Option<f64>, bool);
    let figures: [Figure; 4] = [
        ("P99 TTFT", |run| run.summary.ttft_s.p99, false),
        ("P99 TBT", p99_tbt, false),
        ("P99 end-to-end latency", |run| run.summary.e2e_s.p99, false),
        ("throughput", |run| run.summary.throughput.as_ref()?.output_tokens_per_s, true),
    ];
    let mut by_leader: Vec<(&str, Vec<String>)> = Vec::new();
    for (what, figure, higher_is_better) in figures {
        let mut known: Vec<(f64, &RunResult)> =
            equals.iter().filter_map(|run| Some((figure(run)?, *run))).collect();
        known.sort_by(
            |a, b| if higher_is_better { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) },
        );
        let [(first, leader), (next, _), ..] = known[..] else { continue };
        if alike(first, next) {
            continue;
        }
        let said = if higher_is_better {
            format!(
                "the highest {what} ({} tokens/s, next {})",
                three_digits(first),
                three_digits(next)
            )
        } else {
            format!("the lowest {what} ({}, next {})", duration(first), duration(next))
        };
        let name = names.name(leader);
        match by_leader.iter_mut().find(|(known, _)| *known == name) {
            Some((_, figures)) => figures.push(said),
            None => by_leader.push((name, vec![said])),
        }
    }
    by_leader.iter().map(|(name, figures)| format!("{name} has {}", join(figures))).collect()
}

/// For a single run: whether the text flows evenly, and if not what fits the gaps.
pub(super) fn tail_of_one(run: &RunResult) -> Option<String> {
    let tbt = run.summary.tbt_s.as_ref()?;
    let (p50, p99) = (tbt.p50?, tbt.p99?);
    if p50 <= 0.0 || p99 < UNEVEN * p50 {
        return Some(format!(
            "Tokens come evenly: P99 TBT is {}, the median {}.",
            duration(p99),
            duration(p50)
        ));
    }
    let gap = format!(
        "Tokens come unevenly: P99 TBT is {}, {} times the median",
        duration(p99),
        three_digits(p99 / p50)
    );
    Some(match cause(run, None) {
        Some(cause) => format!("{gap}: {cause}."),
        None => format!("{gap}."),
    })
}
