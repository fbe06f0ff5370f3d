//! An explanation for people: stories, totals, what would have helped.

use std::fmt::Write;

use super::file::{Cures, ExplanationFile};
use crate::explain::{ByCause, Cause, CulpritTotal, MissReport, RunExplanation, StallReport};
use crate::report::table::{Align, Cell, WIDTH, lay_out, wrap};
use crate::report::units;
use crate::runner::{Figures, WhatIf};

/// Culprits named in a story; the rest are summed up.
const NAMED: usize = 3;

/// Renders an explanation for 100 columns.
pub fn to_text(file: &ExplanationFile) -> String {
    let mut text = String::new();
    for run in &file.runs {
        paragraph(&mut text, &format!("{}: {}", run.label, misses(&run.misses)));
        text.push('\n');
        let (heading, stalls) = match &run.request {
            Some(request) => {
                paragraph(
                    &mut text,
                    &format!(
                        "Request {}: {} prompt tokens, {} output tokens; {}. It delayed others by \
                         {} in all.",
                        request.request,
                        units::count(request.prompt_tokens.into()),
                        units::count(request.output_tokens.into()),
                        misses(&request.misses),
                        ns(request.caused.total_ns),
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
            text.push_str("No token came late.\n\n");
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
    if let Some(cures) = &file.cures {
        cured(&mut text, cures);
    }
    text
}

fn paragraph(text: &mut String, sentence: &str) {
    text.push_str(&wrap(sentence, WIDTH, "  "));
    text.push('\n');
}

fn ns(ns: u64) -> String {
    units::duration(ns as f64 / 1e9)
}

fn ms(ns: u64) -> String {
    format!("{:.3} ms", ns as f64 / 1e6)
}

/// `29 deadlines missed: 22 prefill_interference, 7 preempted_waiting`.
fn misses(report: &MissReport) -> String {
    if report.missed == 0 {
        return "no deadline missed".to_owned();
    }
    let by_cause = ranked(&report.by_cause);
    let parts: Vec<String> = by_cause
        .iter()
        .map(|(cause, n)| format!("{} {}", units::count(*n), cause.name()))
        .collect();
    format!("{} deadlines missed: {}", units::count(report.missed), parts.join(", "))
}

fn ranked(by_cause: &ByCause) -> Vec<(Cause, u64)> {
    let mut ranked: Vec<(Cause, u64)> = by_cause.iter().map(|(&cause, &ns)| (cause, ns)).collect();
    ranked.sort_by_key(|&(cause, ns)| (std::cmp::Reverse(ns), cause));
    ranked
}

fn story(text: &mut String, number: usize, stall: &StallReport) {
    let what = match stall.token {
        0 => "waited for its first token".to_owned(),
        token => format!("stood still before token {token}"),
    };
    let others = match stall.requests_hit {
        0 | 1 => String::new(),
        2 => ", and 1 other with it".to_owned(),
        hit => format!(", and {} others with it", hit - 1),
    };
    let beyond = match stall.beyond_ns {
        0 => ", within its deadline".to_owned(),
        beyond => format!(", {} beyond its deadline", ns(beyond)),
    };
    paragraph(
        text,
        &format!(
            "{number}. Request {} {what} for {}{beyond}{others}. Mostly {}: {}.",
            stall.request,
            ns(stall.length_ns),
            stall.main_cause.name(),
            stall.main_cause.meaning(),
        ),
    );
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
    for culprit in stall.culprits.iter().take(NAMED) {
        let by = match culprit.prefill_tokens {
            0 => match culprit.cause {
                Cause::NoSeat => "held a seat".to_owned(),
                _ => "held KV blocks".to_owned(),
            },
            tokens => format!(
                "{} tokens of its {}-token prompt",
                units::count(tokens),
                units::count(culprit.prompt_tokens.into())
            ),
        };
        let sentence = format!("     by request {}: {} ({by})", culprit.request, ms(culprit.ns));
        let _ = writeln!(text, "{sentence}");
    }
    if stall.culprits.len() > NAMED {
        let rest = &stall.culprits[NAMED..];
        let sum: u64 = rest.iter().map(|culprit| culprit.ns).sum();
        let _ = writeln!(text, "     by {} others: {}", rest.len(), ms(sum));
    }
    text.push('\n');
}

fn totals(first: &ByCause, between: &ByCause) -> String {
    let sums = [first, between].map(|by| by.values().sum::<u64>());
    let mut all: ByCause = first.clone();
    for (&cause, &ns) in between {
        *all.entry(cause).or_default() += ns;
    }
    let head = ["cause", "to first token", "", "between tokens", ""].map(Cell::from).to_vec();
    let mut rows = vec![head];
    for (cause, _) in ranked(&all) {
        let mut row = vec![Cell::from(cause.name())];
        for (by, sum) in [first, between].into_iter().zip(sums) {
            let part = by.get(&cause).copied().unwrap_or(0);
            let share = match part {
                0 => String::new(),
                _ => units::percent(part as f64 / sum as f64),
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
    for culprit in &run.culprits {
        paragraph(text, &blamed(culprit));
    }
    if !run.culprits.is_empty() {
        text.push('\n');
    }
}

fn blamed(culprit: &CulpritTotal) -> String {
    let mut ways = Vec::new();
    if culprit.prefill_ns > 0 {
        ways.push(format!(
            "{} by its {}-token prompt (up to {} at once)",
            ns(culprit.prefill_ns),
            units::count(culprit.prompt_tokens.into()),
            culprit.delayed_at_once
        ));
    }
    if culprit.seat_ns > 0 {
        ways.push(format!("{} by its seat", ns(culprit.seat_ns)));
    }
    if culprit.kv_ns > 0 {
        ways.push(format!("{} by its KV blocks", ns(culprit.kv_ns)));
    }
    format!("Request {} delayed others by {}.", culprit.request, ways.join(", "))
}

fn cured(text: &mut String, cures: &Cures) {
    paragraph(
        text,
        &format!(
            "What would have helped {} against {} (each line is the same requests, simulated \
             again)",
            cures.label,
            cures.main_cause.name()
        ),
    );
    text.push('\n');
    let head =
        ["change", "that stall", "worst", "P99 TBT", "P99 TTFT", "fluid", "tokens/s", "rejected"];
    let mut rows = vec![head.map(Cell::from).to_vec()];
    rows.extend(cures.tried.iter().map(row));
    let mut align = vec![Align::Right; head.len()];
    align[0] = Align::Left;
    text.push_str(&lay_out(&rows, &align));
    let set: Vec<String> = cures
        .tried
        .iter()
        .filter(|tried| !tried.set.is_empty())
        .map(|tried| format!("  --set '{}'", tried.set.join("' --set '")))
        .collect();
    if !set.is_empty() {
        let _ = writeln!(text, "\nTo run one yourself:\n{}", set.join("\n"));
    }
}

fn row(tried: &WhatIf) -> Vec<Cell> {
    let mut cells = vec![Cell::from(tried.change.clone())];
    match (&tried.figures, &tried.error) {
        (Some(figures), _) => cells.extend(numbers(figures).map(Cell::from)),
        (None, error) => {
            let reason = error.as_deref().unwrap_or("cannot be simulated");
            cells[0] =
                Cell::from(format!("{}: {}", tried.change, reason.lines().next().unwrap_or("")));
        }
    }
    cells
}

fn numbers(figures: &Figures) -> [String; 7] {
    let time = |seconds: Option<f64>| seconds.map_or("-".to_owned(), units::duration);
    [
        time(figures.stall_s),
        time(figures.worst_s),
        time(figures.tbt_p99_s),
        time(figures.ttft_p99_s),
        figures.fluid_request_share.map_or("-".to_owned(), units::percent),
        figures.output_tokens_per_s.map_or("-".to_owned(), units::three_digits),
        units::count(figures.rejected),
    ]
}
