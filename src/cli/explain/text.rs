//! An explanation for people: stories, totals, what would have helped.

use std::fmt::Write;

use super::cured::cured;
use super::paragraph::paragraph;
use crate::cli::explanation::ExplanationFile;
use crate::explain::{
    ByCause, Cause, CulpritReport, CulpritTotal, MissReport, Routed, RunExplanation, StallReport,
};
use crate::inert::sentence;
use crate::order;
use crate::replica::Held;
use crate::report::table::{Align, Cell, lay_out};
use crate::shown;

/// Culprits named in a story; the rest are summed up.
const NAMED: usize = 3;

/// Renders an explanation for 100 columns.
pub(super) fn to_text(file: &ExplanationFile) -> String {
    let mut text = String::new();
    for run in &file.runs {
        let missed = misses(run.fluidity_index, &run.misses);
        paragraph(&mut text, &format!("{}: {missed}", run.label));
        text.push('\n');
        let (heading, stalls) = match &run.request {
            Some(request) => {
                paragraph(
                    &mut text,
                    &format!(
                        "Request {}: {} prompt tokens, {} output tokens; {}. {}",
                        request.request,
                        shown::count(request.prompt_tokens.into()),
                        shown::count(request.output_tokens.into()),
                        misses(request.fluidity_index, &request.misses),
                        blamed(&request.caused),
                    ),
                );
                text.push('\n');
                text.push_str(&totals(&request.first_token_ns, &request.between_tokens_ns));
                text.push('\n');
                ("Its longest gaps", &request.gaps)
            }
            None => ("The worst stalls", &run.stalls),
        };
        if stalls.is_empty() {
            text.push_str(&match run.rejected {
                0 => "No token came late.\n\n".to_owned(),
                some => format!(
                    "No token came late; {} requests were turned away.\n\n",
                    shown::count(some)
                ),
            });
        } else {
            let _ = writeln!(text, "{heading}\n");
        }
        for (place, stall) in stalls.iter().enumerate() {
            story(&mut text, place + 1, stall);
        }
        if run.request.is_none() {
            whole_run(&mut text, run);
        }
    }
    for cures in &file.cures {
        cured(&mut text, cures);
    }
    for inert in &file.inert {
        paragraph(&mut text, &format!("note: {}.", sentence(inert)));
    }
    text
}

fn ns(ns: u64) -> String {
    shown::duration(ns as f64 / 1e9)
}

fn ms(ns: u64) -> String {
    format!("{:.3} ms", ns as f64 / 1e6)
}

/// `fluidity 0.71: 22 of 29 missed deadlines from prefill interference, 7 from no seat`.
fn misses(fluidity: Option<f64>, report: &MissReport) -> String {
    let index = fluidity.map_or(String::new(), |index| format!("fluidity {index:.2}: "));
    let by_cause = ranked(&report.by_cause);
    let Some((&(cause, most), rest)) = by_cause.split_first() else {
        return format!("{index}no deadline missed");
    };
    let spaced = |cause: Cause| cause.name().replace('_', " ");
    let mut text = match rest.is_empty() {
        true => format!("{index}all {} missed deadlines from ", shown::count(report.missed)),
        false => format!(
            "{index}{} of {} missed deadlines from ",
            shown::count(most),
            shown::count(report.missed)
        ),
    };
    text.push_str(&spaced(cause));
    for &(cause, n) in rest {
        let _ = write!(text, ", {} from {}", shown::count(n), spaced(cause));
    }
    text
}

fn ranked(by_cause: &ByCause) -> Vec<(Cause, u64)> {
    let mut ranked: Vec<(Cause, u64)> = by_cause.iter().map(|(&cause, &ns)| (cause, ns)).collect();
    order::sort_by_key(&mut ranked, |&(cause, ns)| (std::cmp::Reverse(ns), cause));
    ranked
}

fn story(text: &mut String, number: usize, stall: &StallReport) {
    let what = match stall.token {
        0 => "waited for its first token".to_owned(),
        token => format!("stood still before token {token}"),
    };
    let together = match stall.came_with {
        0 => String::new(),
        1 => " A step brought it and 1 token more.".to_owned(),
        more => format!(" A step brought it and {more} tokens more."),
    };
    let pool = stall.pool.as_ref().map_or(String::new(), |name| format!(" (pool {name})"));
    let others = match stall.requests_hit {
        0 | 1 => String::new(),
        2 => ", and 1 other with it".to_owned(),
        hit => format!(", and {} others with it", hit - 1),
    };
    let beyond = match stall.beyond_ns {
        0 => ", within its deadline".to_owned(),
        beyond => format!(", {} beyond its deadline", ns(beyond)),
    };
    let open = if stall.open { ", up to the end of observation" } else { "" };
    paragraph(
        text,
        &format!(
            "{number}. Request {}{pool} {what} for {}{open}{beyond}{others}.{together} Mostly {}: {}.",
            stall.request,
            ns(stall.length_ns),
            stall.main_cause.name(),
            stall.main_cause.meaning(),
        ),
    );
    if let Some(routed) = &stall.routed {
        paragraph(text, &format!("     {}", sent(routed)));
    }
    let line = &stall.timeline;
    let at = |ns: u64| format!("{:.3} s", ns as f64 / 1e9);
    let _ = writeln!(text, "     GPU  |{}|", line.gpu);
    let _ = writeln!(text, "     text |{:<64}|", line.text);
    let _ = writeln!(text, "          {:<40}{:>26}", at(line.from_ns), at(line.to_ns));
    let rows: Vec<Vec<Cell>> = ranked(&stall.causes_ns)
        .into_iter()
        .map(|(cause, ns)| {
            vec![
                Cell::from("    "),
                Cell::from(ms(ns)),
                Cell::from(cause.name()),
                Cell::from(cause.meaning()),
            ]
        })
        .collect();
    text.push_str(&lay_out(&rows, &[Align::Left, Align::Right, Align::Left, Align::Left]));
    for (reason, left_out) in &stall.left_out_ns {
        let meaning = Held::by_name(reason).map_or("a reason of its own", Held::meaning);
        let _ = writeln!(text, "     left out of batches for {}: {meaning}", ms(*left_out));
    }
    for culprit in stall.culprits.iter().take(NAMED) {
        let sentence =
            format!("     by request {}: {} ({})", culprit.request, ms(culprit.ns), part(culprit));
        let _ = writeln!(text, "{sentence}");
    }
    let unnamed = stall.culprits.get(NAMED..).unwrap_or_default();
    let count = unnamed.len() + stall.more_culprits.count as usize;
    if count > 0 {
        let sum: u64 = unnamed.iter().map(|culprit| culprit.ns).sum();
        let _ = writeln!(text, "     and {count} more: {}", ms(sum + stall.more_culprits.ns));
    }
    text.push('\n');
}

/// What a culprit did.
/// Where a request was sent, and who had more of its prompt.
fn sent(routed: &Routed) -> String {
    let mut text = format!("Sent to replica {}: {}", routed.replica, routed.reason);
    if let (Some(held), Some(most), Some(by)) =
        (routed.held_tokens, routed.most_held_tokens, routed.held_by)
    {
        let tokens = |tokens: u32| shown::count(tokens.into());
        let _ = match (held, most > held) {
            (held, true) => write!(
                text,
                "; replica {by} held the first {} tokens of its prompt, this one {}",
                tokens(most),
                tokens(held)
            ),
            (0, false) => write!(text, "; no replica held any of its prompt"),
            (held, false) => {
                write!(text, "; it held the first {} tokens of its prompt", tokens(held))
            }
        };
    }
    text.push('.');
    text
}

fn part(culprit: &CulpritReport) -> String {
    let tokens = format!(
        "{} tokens of its {}-token prompt",
        shown::count(culprit.prefill_tokens),
        shown::count(culprit.prompt_tokens.into())
    );
    match culprit.cause {
        Cause::PrefillInterference | Cause::PrefillOnly => tokens,
        Cause::PipelineBubble => format!("{tokens}, in another lane"),
        Cause::LockstepWait => format!("{tokens}, on another rank"),
        Cause::NoSeat => "held a seat".to_owned(),
        Cause::NoKvBlocks => "held KV blocks".to_owned(),
        Cause::PreemptedWaiting => "held KV blocks after the preemption".to_owned(),
        Cause::Recompute => "held KV blocks at the preemption".to_owned(),
        Cause::CacheEvicted => {
            let count = shown::count(culprit.prefill_tokens);
            format!("took the place of the prefix: computed {count} tokens there meanwhile")
        }
        Cause::HeadOfLine => "stood ahead in the queue, short of KV blocks".to_owned(),
        cause if culprit.prefill_tokens == 0 => format!("decoded meanwhile, {}", cause.name()),
        cause => format!("{tokens}, {}", cause.name()),
    }
}

fn totals(first: &ByCause, between: &ByCause) -> String {
    let sums =
        [first, between].map(|by| by.values().fold(0, |sum: u64, &ns| sum.saturating_add(ns)));
    let mut all: ByCause = first.clone();
    for (&cause, &ns) in between {
        let sum = all.entry(cause).or_default();
        *sum = sum.saturating_add(ns);
    }
    let head = ["cause", "to first token", "", "between tokens", ""].map(Cell::from).to_vec();
    let mut rows = vec![head];
    for (cause, _) in ranked(&all) {
        let mut row = vec![Cell::from(cause.name())];
        for (by, sum) in [first, between].into_iter().zip(sums) {
            let part = by.get(&cause).copied().unwrap_or(0);
            let share = match part {
                0 => String::new(),
                _ => shown::percent(part as f64 / sum as f64),
            };
            row.push(Cell::from(if part == 0 { String::new() } else { ns(part) }));
            row.push(Cell::from(share));
        }
        rows.push(row);
    }
    lay_out(&rows, &[Align::Left, Align::Right, Align::Right, Align::Right, Align::Right])
}

fn whole_run(text: &mut String, run: &RunExplanation) {
    let _ = writeln!(text, "All requests' time, {}\n", run.label);
    text.push_str(&totals(&run.first_token_ns, &run.between_tokens_ns));
    text.push('\n');
    let waited = |cause: Cause| run.first_token_ns.get(&cause).copied().unwrap_or(0) > 0;
    let for_seats = [Cause::NoSeat, Cause::NoKvBlocks].into_iter().any(waited);
    if run.first_token_ns.contains_key(&Cause::PipelineBubble) && for_seats {
        paragraph(
            text,
            "In a pipeline, who held seats or memory is not told: those named below delayed \
             others in other ways.",
        );
    }
    for culprit in &run.culprits {
        paragraph(text, &blamed(culprit));
    }
    if run.more_culprits > 0 {
        let more = shown::count(run.more_culprits.into());
        paragraph(text, &format!("And {more} more requests delayed others."));
    }
    if !run.culprits.is_empty() || run.more_culprits > 0 {
        text.push('\n');
    }
}

/// `Request 42's 8,192-token prompt cost 31 requests 412 ms each: ...`.
fn blamed(culprit: &CulpritTotal) -> String {
    let victims = &culprit.victims;
    let each = match victims.count {
        0 => return format!("Request {} delayed nobody.", culprit.request),
        1 => format!("1 request {}", ns(victims.worst_ns)),
        count => format!(
            "{} requests {} each (the worst {}), {} in all",
            shown::count(count.into()),
            ns(victims.mean_ns),
            ns(victims.worst_ns),
            ns(culprit.total_ns)
        ),
    };
    let ways: Vec<String> = ranked(&culprit.by_cause_ns)
        .into_iter()
        .map(|(cause, by)| format!("{} {}", ns(by), cause.name()))
        .collect();
    let most: Vec<String> = victims
        .most
        .iter()
        .take(NAMED)
        .map(|victim| format!("{} ({})", victim.request, ns(victim.ns)))
        .collect();
    let more = victims.count as usize - most.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "Request {}, with its {}-token prompt, cost {each}: {}. Most: request {}{more}.",
        culprit.request,
        shown::count(culprit.prompt_tokens.into()),
        ways.join(", "),
        most.join(", ")
    )
}
