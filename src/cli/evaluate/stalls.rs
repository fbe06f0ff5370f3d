//! `evaluate --explain`: stalls in measured token times, and their telling.

use std::fmt::Write;

use crate::explain::{LooksLike, MeasuredStalls, StallGroup, measured_stalls};
use crate::interop::{Granularity, Imported};
use crate::report::table::{width, wrap};
use crate::result::RunResult;
use crate::shown;
use crate::time::Span;

/// Finds the stalls of each run of a file that has the times of its tokens.
pub(super) fn find(imported: &Imported, judged: &mut [RunResult]) {
    for (of, run) in imported.runs.iter().zip(judged) {
        let Some(measured) = &mut run.measured else { continue };
        if of.knows.token_times && of.granularity <= Granularity::Chunk {
            let deadline = Span::from_micros_f64(measured.deadlines.tbt_s * 1e6);
            measured.stalls = Some(measured_stalls(of, deadline, of.knows.arrivals));
        } else {
            measured.notes.push("--explain: the file has no token times to find stalls in".into());
        }
    }
}

/// What was found, for people; nothing where nothing was asked for.
pub(super) fn to_text(runs: &[RunResult]) -> String {
    let mut text = String::new();
    for run in runs {
        let Some(stalls) = run.measured.as_ref().and_then(|m| m.stalls.as_ref()) else { continue };
        let _ = write!(text, "\n{}", one(&run.label, stalls));
    }
    text
}

fn one(label: &str, found: &MeasuredStalls) -> String {
    let mut text = String::new();
    let mut say = |sentence: String| {
        text.push_str(&wrap(&sentence, width(), "  "));
        text.push('\n');
    };
    let threshold = shown::duration(found.threshold_s);
    if found.stalls == 0 {
        say(format!("Stalls, {label}: no gap between tokens longer than {threshold}."));
        return text;
    }
    say(format!(
        "Stalls, {label}: {} longer than {threshold} in {} of {} requests, {} beyond it in all \
         ({}).",
        shown::count(found.stalls),
        shown::count(found.requests_hit),
        shown::count(found.requests),
        shown::duration(found.beyond_threshold_s),
        found.note
    ));
    if let Some(token) = found.same_token {
        say(format!(
            "Most come before the same token, number {token}: a pattern of the requests or of how \
             they are sent, whatever the instant."
        ));
    }
    for group in &found.groups {
        say(format!("  {}", told(group)));
    }
    if found.more_groups > 0 {
        say(format!("  And {} more groups.", shown::count(found.more_groups)));
    }
    text
}

fn told(group: &StallGroup) -> String {
    let at = format!("{:.3} s", group.from_s);
    let longest = shown::duration(group.longest_s);
    let who = match group.requests {
        1 => {
            let gap = &group.worst[0];
            let others = match group.answering.saturating_sub(1) {
                0 => "no other was".to_owned(),
                1 => "1 other was".to_owned(),
                others => format!("{others} others were"),
            };
            format!(
                "request {} stood still before token {} for {longest}, while {others} being \
                 answered",
                gap.request, gap.token
            )
        }
        hit => format!(
            "{hit} of {} requests being answered stood still at the same instant, up to {longest}",
            group.answering.max(hit)
        ),
    };
    let mut text = format!("At {at} {who}: {}.", group.looks_like.words());
    let blame = !matches!(group.looks_like, LooksLike::OneRequest | LooksLike::HeldBack);
    if !group.suspects.is_empty() && blame {
        let suspects: Vec<String> = group
            .suspects
            .iter()
            .map(|s| format!("{} ({} tokens)", s.request, shown::count(s.prompt_tokens.into())))
            .collect();
        let more = match group.more_suspects {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let _ = write!(
            text,
            " Suspected, not proven: long prompts that waited for their first token meanwhile, \
             request {}{more}.",
            suspects.join(", ")
        );
    }
    text
}
