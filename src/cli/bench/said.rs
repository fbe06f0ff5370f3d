//! What a reader should know of how a run was measured, and a row for each request.

use std::io;
use std::time::Duration;

use super::ms;
use crate::cli::console::Console;
use crate::cli::error::Error;
use crate::live::client::{Dialect, Ended, Exchange, Ran, TokenCount, rows_hold, summed};
use crate::report::OutputFile;
use crate::result::stated::StatedLive;
use crate::shown::count;
use crate::time::Time;
use crate::trace::row_file::{Cell, RowFormat, RowWriter};

/// What the tokens file states of how it was measured.
pub(super) fn stated(ran: &Ran, prompts_seed: Option<u64>) -> StatedLive {
    let cached = ran.exchanges.iter().filter_map(|exchange| exchange.usage?.cached);
    let cached = cached.map(u64::from).reduce(|sum, tokens| sum + tokens);
    let hold = rows_hold(&ran.exchanges);
    let rows = |exchange: &Exchange| match exchange.counted {
        TokenCount::Spread => exchange.tokens.len() as u64,
        _ => exchange.output_tokens().into(),
    };
    StatedLive {
        hold,
        rows: ran.exchanges.iter().map(rows).sum(),
        cached_tokens: cached,
        no_measurement: ran.no_measurement(),
        prompts_seed,
    }
}

/// Says how it was measured, and what is not as it should be.
pub(super) fn how_it_was_measured(ran: &Ran, dialect: &Dialect, console: &Console) {
    let sum = summed(&ran.exchanges, |exchange| {
        let request = &ran.asked[exchange.index as usize];
        (request.prompt_tokens, request.output_tokens)
    });
    let ended = [
        (sum.completed, "answered"),
        (sum.rejected, "rejected"),
        (sum.failed, "failed"),
        (sum.timed_out, "timed out"),
        (sum.cancelled, "cancelled"),
        (sum.unfinished, "unfinished"),
    ];
    let ended: Vec<String> = ended
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", count(*number as u64)))
        .collect();
    console.note(&format!("{} requests: {}", count(ran.exchanges.len() as u64), ended.join(", ")));
    console.note(&format!(
        "sent late by {} (P50), {} (P99), {} (most); {} of {} by more than 1 ms",
        ms(ran.lateness.quantile(0.5)),
        ms(ran.lateness.quantile(0.99)),
        ms(ran.lateness.max()),
        count(ran.lateness.above(Duration::from_millis(1))),
        count(ran.lateness.count())
    ));
    if ran.no_measurement().is_some() {
        console.warn("the client could not keep up: run it on another machine, or at a lower rate");
    }
    if let Some(flag) = ran.cut {
        console.warn(&format!("{flag} was reached: the rest of the scenario was not sent"));
    }
    for (error, number) in sum.errors.iter().take(5) {
        console.warn(&format!("{} requests: {error}", count(*number as u64)));
    }
    match sum.counted {
        TokenCount::Exact | TokenCount::Total => {}
        TokenCount::Spread => console.warn(&format!(
            "of {} of {} answers the server states another number of tokens than chunks came ({} more \
             tokens, {} more chunks): times are those of chunks",
            count((sum.more_tokens + sum.more_chunks) as u64),
            count(sum.completed as u64),
            count(sum.more_tokens as u64),
            count(sum.more_chunks as u64)
        )),
        TokenCount::OneEach => {
            console.warn("the server states no token counts: every chunk counts as one token");
        }
    }
    if sum.most_in_chunk > 1 && sum.counted == TokenCount::Exact {
        console.note(&format!("a chunk held up to {} tokens", sum.most_in_chunk));
    }
    if sum.reasoning_chunks + sum.tool_chunks > 0 {
        console.note(&format!(
            "{} chunks of reasoning and {} of tool calls count as output",
            count(sum.reasoning_chunks),
            count(sum.tool_chunks)
        ));
    }
    let of = count(sum.completed as u64);
    if sum.shorter + sum.longer > 0 {
        console.warn(&format!(
            "{} of {of} answers ended before the length that was asked for, and {} after it: the \
             server decides by itself; lengths are those that came",
            count(sum.shorter as u64),
            count(sum.longer as u64)
        ));
    }
    if sum.other_prompts > 0 {
        console.warn(&format!(
            "the server counts {} of {of} prompts otherwise than was asked for: its own count is used",
            count(sum.other_prompts as u64)
        ));
    } else if dialect.exact.is_none() {
        console.warn("the server states no prompt lengths: those that were asked for are taken");
    }
}

const COLUMNS: &[&str] = &[
    "id",
    "ended",
    "status",
    "error",
    "finish_reason",
    "due_s",
    "sent_s",
    "headers_s",
    "first_token_s",
    "first_content_s",
    "last_token_s",
    "end_s",
    "prompt_tokens_asked",
    "prompt_tokens",
    "cached_tokens",
    "output_tokens_asked",
    "output_tokens",
    "tokens_counted",
    "content_chunks",
    "reasoning_chunks",
    "tool_chunks",
    "empty_chunks",
    "text",
];

/// Writes a row for each request.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_requests(
    (mut file, format): (OutputFile, RowFormat),
    ran: &Ran,
    text: bool,
) -> Result<(), Error> {
    let mut write = || -> io::Result<()> {
        let mut rows = RowWriter::new(&mut file, format, COLUMNS)?;
        for exchange in &ran.exchanges {
            rows.row(&cells(exchange, ran, text))?;
        }
        rows.finish().map(drop)
    };
    if let Err(source) = write() {
        return Err(file.error(source).into());
    }
    file.commit()?;
    Ok(())
}

fn cells<'a>(exchange: &'a Exchange, ran: &Ran, text: bool) -> [Cell<'a>; 23] {
    let request = &ran.asked[exchange.index as usize];
    let word = |word: &'a Option<String>| word.as_deref().map_or(Cell::Empty, Cell::Text);
    let at = |ns: Option<u64>| Cell::seconds(ns.map(Time::from_nanos));
    let stated = |of: fn(crate::live::client::Usage) -> u32| {
        exchange.usage.map_or(Cell::Empty, |usage| Cell::Count(of(usage).into()))
    };
    [
        Cell::Count(exchange.index.into()),
        Cell::Text(match exchange.ended {
            Ended::Completed => "completed",
            Ended::Rejected => "rejected",
            Ended::Failed => "failed",
            Ended::TimedOut => "timed_out",
            Ended::Cancelled => "cancelled",
            Ended::Unfinished => "unfinished",
        }),
        exchange.status.map_or(Cell::Empty, |status| Cell::Count(status.into())),
        word(&exchange.error),
        word(&exchange.finish),
        at(Some(exchange.due_ns)),
        at(Some(exchange.sent_ns)),
        at(exchange.headers_ns),
        at(exchange.tokens.first().map(|(at, _)| *at)),
        at(exchange.first_content_ns),
        at(exchange.tokens.last().map(|(at, _)| *at)),
        at(Some(exchange.end_ns)),
        Cell::Count(request.prompt_tokens.into()),
        stated(|usage| usage.prompt),
        exchange
            .usage
            .and_then(|usage| usage.cached)
            .map_or(Cell::Empty, |tokens| Cell::Count(tokens.into())),
        Cell::Count(request.output_tokens.into()),
        Cell::Count(exchange.output_tokens().into()),
        Cell::Text(match exchange.counted {
            TokenCount::Exact => "exact",
            TokenCount::Total => "total",
            TokenCount::Spread => "spread",
            TokenCount::OneEach => "one_each",
        }),
        Cell::Count(exchange.content_chunks.into()),
        Cell::Count(exchange.reasoning_chunks.into()),
        Cell::Count(exchange.tool_chunks.into()),
        Cell::Count(exchange.empty_chunks.into()),
        if text { Cell::Text(&exchange.text) } else { Cell::Empty },
    ]
}
