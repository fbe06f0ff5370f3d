//! Whose text flows, what stops the others', and what it costs.

use super::{Names, alike, join};
use crate::report::result::RunResult;
use crate::report::units::{count, duration, grouped, percent, three_digits};

/// A tail this many times another's is worth naming.
const LONG_TAIL: f64 = 2.0;

/// Gaps whose P99 is this many times their median are uneven.
const UNEVEN: f64 = 3.0;

/// A longest gap that is this many times the median is a stop, however few there are.
const LONGEST: f64 = 10.0;

/// Prefills this many times as large as another's are worth naming.
const LARGER_PREFILL: f64 = 1.5;

/// Shares of fluid requests and fluidity-indices this close count as equal.
const SAME_SHARE: f64 = 0.001;

/// The share of fluid requests as far as it is known: least and most.
fn fluid_share(run: &RunResult) -> Option<(f64, f64)> {
    let fluidity = run.summary.fluidity.as_ref()?;
    let known = fluidity.fluid_request_share.map(|share| (share, share));
    let bounds = || fluidity.bounds?.fluid_request_share;
    known.or_else(|| bounds().map(|of| (of.lower, of.upper)))
}

/// The same for the system behind the run. Schedulers that are simulated face the same requests; a
/// measurement is a sample, and another would give another share (Wilson's interval, 95 %).
fn evidence(run: &RunResult) -> Option<(f64, f64)> {
    let (lower, upper) = fluid_share(run)?;
    if !is_sample(run) {
        return Some((lower, upper));
    }
    let n = run.summary.requests.judged() as f64;
    Some((wilson(lower, n, -1.0), wilson(upper, n, 1.0)))
}

/// Whether the run was measured: what a simulation wrote and `evaluate` read is not.
pub(super) fn is_sample(run: &RunResult) -> bool {
    let own = |format: &str| matches!(format, "tokens" | "requests");
    run.measured.as_ref().is_some_and(|measured| !own(&measured.format))
}

/// One end of Wilson's interval of a share seen in `n` samples.
fn wilson(share: f64, n: f64, side: f64) -> f64 {
    const Z: f64 = 1.96;
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle + side * half) / (1.0 + Z * Z / n)).clamp(0.0, 1.0)
}

/// The index of the worst-served percent; a measurement of few requests has no such percent.
fn worst_percent(run: &RunResult) -> Option<f64> {
    let few = is_sample(run) && run.summary.requests.judged() < 100;
    run.summary.fluidity.as_ref()?.index.p1.filter(|_| !few)
}

/// Whether a gap is known for each token, and not for chunks of them.
fn tells_tokens(run: &RunResult) -> bool {
    run.measured.as_ref().is_none_or(|measured| measured.granularity == "token")
}

/// Whether it is known how smooth a run is.
pub(super) fn is_known(run: &RunResult) -> bool {
    fluid_share(run).is_some() && worst_percent(run).is_some()
}

fn p99_tbt(run: &RunResult) -> Option<f64> {
    run.summary.tbt_s.as_ref().filter(|_| tells_tokens(run))?.p99
}

fn longest_tbt(run: &RunResult) -> Option<f64> {
    run.summary.tbt_s.as_ref()?.max
}

fn is_contradicted(run: &RunResult) -> bool {
    run.measured.as_ref().is_some_and(|measured| !measured.contradictions.is_empty())
}

/// Why a run is left out of the ranking among these, if it is.
fn unranked(run: &RunResult, runs: &[RunResult]) -> Option<String> {
    if is_contradicted(run) {
        return Some("its file contradicts itself".to_owned());
    }
    if run.measured.is_some() && run.summary.requests.judged() == 0 {
        return Some("no request of it can be judged".to_owned());
    }
    let Some((lower, upper)) = fluid_share(run) else {
        return Some("its share of fluid requests is not known".to_owned());
    };
    // Bounds that leave the order open would leave it open for all.
    let overlaps = |other: &RunResult| {
        let of = fluid_share(other).filter(|_| !std::ptr::eq(other, run));
        of.is_some_and(|(least, most)| least <= upper && lower <= most)
    };
    (lower < upper && runs.iter().any(overlaps)).then(|| {
        format!("its share of fluid requests is known as {} only", share_words(run))
    })
}

fn prefill_only_share(run: &RunResult) -> Option<f64> {
    let iterations = run.iterations.as_ref()?;
    (iterations.count > 0).then(|| iterations.prefill_only as f64 / iterations.count as f64)
}

/// The smoothest run: by fluid share, then by its worst-served percent. `None` when these do not tell
/// one from all the others, or when what is known leaves that open.
pub(super) fn best<'a>(runs: &[&'a RunResult]) -> Option<&'a RunResult> {
    let beats_all = |best: &&RunResult| {
        runs.iter().all(|run| std::ptr::eq(*run, *best) || smoother(best, run))
    };
    runs.iter().copied().find(beats_all).filter(|_| runs.len() > 1)
}

fn smoother(a: &RunResult, b: &RunResult) -> bool {
    let (Some(of_a), Some(of_b)) = (evidence(a), evidence(b)) else { return false };
    let points = of_a.0 == of_a.1 && of_b.0 == of_b.1;
    if !points || (of_a.0 - of_b.0).abs() > SAME_SHARE {
        return of_a.0 > of_b.1 + SAME_SHARE;
    }
    let (Some(a), Some(b)) = (worst_percent(a), worst_percent(b)) else { return false };
    a > b + SAME_SHARE
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

/// A share that is known within bounds.
fn share_words(run: &RunResult) -> String {
    match fluid_share(run) {
        Some((lower, upper)) if lower == upper => percent(lower),
        Some((lower, upper)) => format!("{} to {}", percent(lower), percent(upper)),
        None => "not known".to_owned(),
    }
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
    let below = |run: &&RunResult| fluid_share(run).is_some_and(|(_, most)| least > most + SAME_SHARE);
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

/// A figure to lead in or to pay with: its name, itself, the most extreme sample beside it, and
/// whether more is better.
struct Figure {
    what: &'static str,
    value: fn(&RunResult) -> Option<f64>,
    worst: fn(&RunResult) -> Option<f64>,
    worst_name: &'static str,
    higher_is_better: bool,
}

const TTFT: Figure = Figure {
    what: "P99 TTFT",
    value: |run| run.summary.ttft_s.p99,
    worst: |run| run.summary.ttft_s.max,
    worst_name: "longest TTFT",
    higher_is_better: false,
};

const TBT: Figure = Figure {
    what: "P99 TBT",
    value: p99_tbt,
    worst: longest_tbt,
    worst_name: "longest gap",
    higher_is_better: false,
};

const E2E: Figure = Figure {
    what: "P99 end-to-end latency",
    value: |run| run.summary.e2e_s.p99,
    worst: |run| run.summary.e2e_s.max,
    worst_name: "longest end-to-end latency",
    higher_is_better: false,
};

const THROUGHPUT: Figure = Figure {
    what: "throughput",
    value: |run| run.summary.throughput.as_ref()?.output_tokens_per_s,
    worst: |_| None,
    worst_name: "",
    higher_is_better: true,
};

impl Figure {
    fn show(&self, value: f64) -> String {
        if self.higher_is_better {
            format!("{} tokens/s", three_digits(value))
        } else {
            duration(value)
        }
    }

    /// The runs that have the figure, the best one first.
    fn ranked<'a>(&self, runs: &[&'a RunResult]) -> Vec<(f64, &'a RunResult)> {
        let mut known: Vec<(f64, &RunResult)> =
            runs.iter().filter_map(|run| Some(((self.value)(run)?, *run))).collect();
        known.sort_by(|a, b| match self.higher_is_better {
            true => b.0.total_cmp(&a.0),
            false => a.0.total_cmp(&b.0),
        });
        known
    }

    /// The worst sample of a run where it is [`LONG_TAIL`] times another's.
    fn terrible<'a>(&self, run: &'a RunResult, others: &[&'a RunResult]) -> Option<(f64, f64, &'a RunResult)> {
        let own = (self.worst)(run)?;
        let others = others.iter().filter(|other| !std::ptr::eq(**other, run));
        let worst = others.filter_map(|other| Some(((self.worst)(other)?, *other)));
        let (least, whose) = worst.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (own >= LONG_TAIL * least && least > 0.0).then_some((own, least, whose))
    }
}

/// What the smoothest run gives up; `None` where no figure can tell.
fn price<'a>(best: &'a RunResult, others: &[&'a RunResult], names: &Names<'a>) -> Option<String> {
    let (mut paid, mut held) = (Vec::new(), Vec::new());
    for figure in [TTFT, E2E, THROUGHPUT] {
        let Some(own) = (figure.value)(best) else { continue };
        let Some(&(other, whose)) = figure.ranked(others).first() else { continue };
        let worse = if figure.higher_is_better { own < other } else { own > other };
        if worse && !alike(own, other) {
            paid.push(format!(
                "a {} of {} against {} ({})",
                figure.what,
                figure.show(own),
                figure.show(other),
                names.name(whose)
            ));
        } else if let Some((own, other, whose)) = figure.terrible(best, others) {
            paid.push(format!(
                "a {} of {} against {} ({})",
                figure.worst_name,
                duration(own),
                duration(other),
                names.name(whose)
            ));
        } else {
            held.push(figure.what.to_owned());
        }
    }
    let name = names.name(best);
    match (paid.is_empty(), &held[..]) {
        (false, _) => Some(format!("{name} pays with {}.", join(&paid))),
        (true, []) => None,
        (true, [one]) => Some(format!(
            "{name} pays nothing for it here: its {one} is the best or within 5 % of it."
        )),
        (true, held) => Some(format!(
            "{name} pays nothing for it here: its {} are the best or within 5 % of it.",
            join(held)
        )),
    }
}

/// Nothing in fluidity tells the runs apart (or nobody is alone at the top).
fn tie<'a>(runs: &[&'a RunResult], names: &Names<'a>) -> Vec<String> {
    // Those that nobody is smoother than.
    let beaten = |run: &&RunResult| runs.iter().any(|other| smoother(other, run));
    let (rest, equals): (Vec<&RunResult>, Vec<&RunResult>) =
        runs.iter().copied().partition(|run| beaten(&run));
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
        sentences.push(format!("Fewer requests are fluid of {}.", shares(&rest)));
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
    } else {
        "What is known of their latencies differs by less than 5 %.".to_owned()
    });
    sentences.extend(rest.iter().filter_map(|run| why(run, top, names)));
    sentences
}

/// Which of several equally fluid runs leads in what, by more than 5 %; figures of one leader
/// together.
fn leads<'a>(equals: &[&'a RunResult], names: &Names<'a>) -> Vec<String> {
    let mut by_leader: Vec<(&str, Vec<String>)> = Vec::new();
    for figure in [TTFT, TBT, E2E, THROUGHPUT] {
        let known = figure.ranked(equals);
        let [(first, leader), (next, _), ..] = known[..] else { continue };
        if alike(first, next) {
            continue;
        }
        let degree = if figure.higher_is_better { "highest" } else { "lowest" };
        let mut said = format!(
            "the {degree} {} ({}, next {})",
            figure.what,
            figure.show(first),
            figure.show(next)
        );
        if let Some((own, other, whose)) = figure.terrible(leader, equals) {
            said += &format!(
                ", but a {} of {}, against {} ({})",
                figure.worst_name,
                duration(own),
                duration(other),
                names.name(whose)
            );
        }
        let name = names.name(leader);
        match by_leader.iter_mut().find(|(known, _)| *known == name) {
            Some((_, figures)) => figures.push(said),
            None => by_leader.push((name, vec![said])),
        }
    }
    by_leader.iter().map(|(name, figures)| format!("{name} has {}", join(figures))).collect()
}

/// For a single run: whether the text flows evenly, and if not what fits the gaps. Nothing of one
/// whose file contradicts itself.
pub(super) fn tail_of_one(run: &RunResult) -> Option<String> {
    if is_contradicted(run) {
        return None;
    }
    let tbt = run.summary.tbt_s.as_ref()?;
    let (p50, p99, longest) = (tbt.p50?, tbt.p99?, tbt.max?);
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
    Some(match cause(run, None) {
        Some(cause) => format!("{gap}: {cause}."),
        None => format!("{gap}."),
    })
}
