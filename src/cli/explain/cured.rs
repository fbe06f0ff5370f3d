//! What would have helped, for people: the best first, with its price.

use std::fmt::Write;

use super::paragraph::paragraph;
use crate::cli::explanation::Cures;
use crate::report::table::{Align, Cell, lay_out, wrap};
use crate::runner::{Effect, Figures, WhatIf};
use crate::shown;

/// Changes that are shown with their figures; the rest are named.
const SHOWN: usize = 8;
/// Columns of a change's words.
const WORDS: usize = 30;

/// One scheduler's cures.
pub(super) fn cured(text: &mut String, cures: &Cures) {
    let Some((was, tried)) = cures.tried.split_first() else { return };
    paragraph(text, &heading(cures, was));
    text.push('\n');
    let helps: Vec<&WhatIf> = tried.iter().filter(|one| one.helps).collect();
    let shown = &helps[..helps.len().min(SHOWN)];
    let priced = cures.tried.iter().filter_map(figures).any(|f| f.usd_per_hour.is_some());
    let mut head =
        vec!["change", "promise", "that stall", "worst", "P99 TTFT", "P99 TBT", "tokens/s", "GPUs"];
    head.extend(priced.then_some("$/h"));
    let mut align = vec![Align::Right; head.len()];
    align[0] = Align::Left;
    let mut rows = vec![head.into_iter().map(Cell::from).collect()];
    for one in [was].into_iter().chain(shown.iter().copied()) {
        rows.extend(lines(one, priced));
    }
    text.push_str(&lay_out(&rows, &align));
    text.push('\n');
    paragraph(text, &verdict(cures, was, &helps));
    for one in shown {
        for lost in &one.not_held {
            paragraph(text, &format!("Not held fixed with {}: {lost}.", one.change));
        }
    }
    prices(text, shown);
    let more: Vec<&str> = helps.iter().skip(SHOWN).map(|one| one.change.as_str()).collect();
    if !more.is_empty() {
        paragraph(text, &format!("These help too, by less: {}.", more.join("; ")));
    }
    let useless: Vec<String> = tried.iter().filter(|one| !one.helps).map(no_help).collect();
    if !useless.is_empty() {
        paragraph(text, &format!("Tried, and no help: {}.", useless.join("; ")));
    }
    for note in &cures.notes {
        paragraph(text, &format!("Note: {note}."));
    }
    if !shown.is_empty() {
        text.push_str("\nTo run one yourself:\n");
        for one in shown {
            let _ = writeln!(text, "  --set '{}'", one.set.join("' --set '"));
        }
    }
    text.push('\n');
}

/// What is given up by changes beside what the figures show.
fn prices(text: &mut String, shown: &[&WhatIf]) {
    let mut told: Vec<&str> = Vec::new();
    for price in shown.iter().map(|one| one.gives_up.as_str()).filter(|price| !price.is_empty()) {
        if told.contains(&price) {
            continue;
        }
        told.push(price);
        let who = shown.iter().filter(|one| one.gives_up == price);
        let who: Vec<&str> = who.map(|one| one.change.as_str()).collect();
        paragraph(text, &format!("At the price of {price} ({}).", who.join("; ")));
    }
}

fn figures(one: &WhatIf) -> Option<&Figures> {
    one.figures.as_ref()
}

fn gpus(count: u32) -> String {
    if count == 1 { "1 GPU".to_owned() } else { format!("{count} GPUs") }
}

fn heading(cures: &Cures, was: &WhatIf) -> String {
    let stall = match cures.token {
        0 => format!("request {}'s wait for its first token", cures.request),
        token => format!("the stall of request {} before token {token}", cures.request),
    };
    let causes: Vec<&str> = cures.causes.iter().map(|cause| cause.name()).collect();
    let causes = causes.join(", ");
    let term = figures(was).map_or("", |figures| figures.promise.term.as_str());
    let label = &cures.label;
    if cures.keeps_promise == Some(true) {
        return format!(
            "{label} keeps its promise ({term}): nothing has to change. Against {stall} ({causes}) \
             there are these options, with their price; each line is the same requests, simulated \
             again"
        );
    }
    let promise = match cures.keeps_promise {
        None => "whose promise has no verdict",
        _ => "which breaks its promise",
    };
    let refused = figures(was).map_or(0, |figures| figures.rejected);
    let turned_away = match refused {
        0 => String::new(),
        1 => "the request that was turned away".to_owned(),
        n => format!("the {n} requests that were turned away"),
    };
    let against = match (cures.causes.is_empty(), refused) {
        (true, _) => turned_away,
        (false, 0) => format!("{stall} ({causes})"),
        (false, _) => format!("{stall} ({causes}), and against {turned_away}"),
    };
    format!(
        "What would have helped {label}, {promise} ({term}), tried against \
         {against}: each line is the same requests, simulated again; the best stands first, by the \
         promise, then by cost, then roughly by the stalls"
    )
}

/// A change's line; its words take more than one where they are long.
fn lines(one: &WhatIf, priced: bool) -> Vec<Vec<Cell>> {
    let words = wrap(&one.change, WORDS, "  ");
    let mut rows: Vec<Vec<Cell>> = words.lines().map(|line| vec![Cell::from(line)]).collect();
    if let (Some(figures), Some(first)) = (figures(one), rows.first_mut()) {
        first.extend(numbers(figures, priced).into_iter().map(Cell::from));
    }
    rows
}

fn numbers(figures: &Figures, priced: bool) -> Vec<String> {
    let time = |seconds: Option<f64>| seconds.map_or("-".to_owned(), shown::duration);
    let least = |figure: Option<f64>, least: Option<f64>| match (figure, least) {
        (None, Some(least)) => format!(">= {}", shown::duration(least)),
        (figure, _) => time(figure),
    };
    let short = &figures.promise.short;
    let promise = match figures.promise.kept {
        Some(true) => format!("kept {short}"),
        Some(false) => format!("broken {short}"),
        None => "not known".to_owned(),
    };
    let stall = match (figures.stall_s, figures.stall_at_least_s) {
        (None, Some(least)) => format!("> {}", shown::duration(least)),
        (stall, _) => time(stall),
    };
    let mut cells = vec![
        promise,
        stall,
        figures.worst_stall.map_or("none".to_owned(), |stall| shown::duration(stall.length_s)),
        least(figures.ttft_p99_s, figures.ttft_p99_at_least_s),
        least(figures.tbt_p99_s, figures.tbt_p99_at_least_s),
        figures.output_tokens_per_s.map_or("-".to_owned(), shown::three_digits),
        shown::count(figures.gpus.into()),
    ];
    if priced {
        cells.push(figures.usd_per_hour.map_or("-".to_owned(), |usd| format!("{usd:.2}")));
    }
    cells
}

/// What helped most, why, and at what price; or that nothing did.
fn verdict(cures: &Cures, was: &WhatIf, helps: &[&WhatIf]) -> String {
    if cures.keeps_promise == Some(true) {
        return match helps {
            [] => {
                "Nothing tried makes that stall a tenth shorter and keeps the promise.".to_owned()
            }
            _ => "\"worst\" is the worst stall of any kind after the change.".to_owned(),
        };
    }
    let best = cures.best.and_then(|place| cures.tried.get(place));
    let both = best.and_then(|best| Some((best, figures(was)?, figures(best)?)));
    let Some((best, before, after)) = both else {
        return "Nothing tried helps: no change brings the promise nearer, or makes that stall a \
                tenth shorter."
            .to_owned();
    };
    let does = match best.effect {
        Effect::KeepsPromise => "the promise is kept".to_owned(),
        Effect::NearerToPromise if after.promise.kept.is_none() => {
            format!("the promise is nearer, and may be kept ({})", after.promise.term)
        }
        Effect::NearerToPromise => {
            format!("the promise is nearer, though not kept ({})", after.promise.term)
        }
        Effect::MoreTokens => "the promise is no nearer, but more is served".to_owned(),
        _ => "the promise is no nearer, but that stall is shorter".to_owned(),
    };
    let price = match (after.gpus.cmp(&before.gpus), after.usd_per_hour) {
        (std::cmp::Ordering::Equal, _) => "with the same GPUs".to_owned(),
        (_, None) => format!("with {} instead of {}", gpus(after.gpus), before.gpus),
        (_, Some(usd)) => {
            format!("with {} instead of {}, {usd:.2} $/h", gpus(after.gpus), before.gpus)
        }
    };
    let gives_up = match best.gives_up.as_str() {
        "" => String::new(),
        what => format!(" It gives up {what}."),
    };
    let changes = [
        from_to("that stall", before.stall_s, after.stall_s, shown::duration),
        from_to("fluid", before.fluid_request_share, after.fluid_request_share, shown::percent),
        from_to("P99 TTFT", before.ttft_p99_s, after.ttft_p99_s, shown::duration),
        from_to("P99 TBT", before.tbt_p99_s, after.tbt_p99_s, shown::duration),
        from_to(
            "tokens/s",
            before.output_tokens_per_s,
            after.output_tokens_per_s,
            shown::three_digits,
        ),
    ];
    let changes: Vec<String> = changes.into_iter().flatten().collect();
    let changes = match changes.as_slice() {
        [] => String::new(),
        all => format!(" {}.", capital(&all.join(", "))),
    };
    format!("{} helps most: {does}, {price} ({}).{changes}{gives_up}", best.change, best.why)
}

fn from_to(
    name: &str,
    before: Option<f64>,
    after: Option<f64>,
    say: fn(f64) -> String,
) -> Option<String> {
    let (before, after) = (say(before?), say(after?));
    (before != after).then(|| format!("{name} {before} to {after}"))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// A change that does not help, and what it does instead.
fn no_help(one: &WhatIf) -> String {
    let instead = match one.effect {
        Effect::MovedStall => " (the stall only moved)",
        Effect::BreaksPromise => " (breaks the promise)",
        Effect::FurtherFromPromise => " (further from the promise)",
        _ => "",
    };
    format!("{}{instead}", one.change)
}
