//! From exchanges to a trace, and what a reader should know of how it was measured.

use super::counting::TokenCount;
use super::exchange::{Ended, Exchange};
use crate::ids::{ClassId, ColumnId, LaneId};
use crate::result::stated::RowsHold;
use crate::sim::Outcome;
use crate::time::Time;
use crate::trace::{Column, NO_RUN, RequestRow, Run, Status, TokenTrace};

/// What the times of that trace are: those of tokens, or of chunks.
pub fn rows_hold(exchanges: &[Exchange]) -> RowsHold {
    let counted = |exchange: &Exchange| match (exchange.counted, exchange.ended) {
        (TokenCount::Spread, _) => RowsHold::Chunks,
        // Of an answer that broke off nobody says a total, and its chunks are like those of the others.
        (TokenCount::OneEach, Ended::Completed) => RowsHold::Uncounted,
        _ => RowsHold::Tokens,
    };
    exchanges.iter().map(counted).max().unwrap_or_default()
}

/// The exchanges of a run as a trace, in the order given; `asked` tells prompt tokens and class of each.
pub fn outcome(exchanges: &[Exchange], asked: impl Fn(&Exchange) -> (u32, ClassId)) -> Outcome {
    let mut later = Vec::new();
    let mut requests = Vec::with_capacity(exchanges.len());
    let mut end = 0;
    for exchange in exchanges {
        let (prompt, class) = asked(exchange);
        let stated = exchange.usage.map(|usage| usage.prompt).filter(|&tokens| tokens > 0);
        let first = later.len() as u32;
        // What a chunk held is a guess there, and when it came is not.
        let chunks = exchange.counted == TokenCount::Spread;
        let mut times = exchange.tokens.iter().flat_map(|&(at, count)| {
            let times = if chunks { 1 } else { count as usize };
            std::iter::repeat_n(Time::from_nanos(at), times)
        });
        let first_token = times.next().unwrap_or(Time::NEVER);
        later.extend(times);
        let len = later.len() as u32 - first;
        let run = Run { column: ColumnId(0), first, len, next: NO_RUN };
        requests.push(RequestRow {
            arrival: Time::from_nanos(exchange.sent_ns),
            scheduled: Time::NEVER,
            first_token,
            run: if len > 0 { run } else { Run::EMPTY },
            prompt_tokens: stated.unwrap_or(prompt),
            tokens: exchange.output_tokens(),
            hit_tokens: exchange.usage.and_then(|usage| usage.cached).unwrap_or(0),
            preemptions: 0,
            lane: LaneId(0),
            class,
            status: status(exchange.ended),
        });
        end = end.max(exchange.end_ns);
    }
    let columns = vec![Column::own(later)];
    let trace =
        TokenTrace { columns, requests, end: Time::from_nanos(end), ..TokenTrace::default() };
    Outcome { trace, ..Outcome::default() }
}

fn status(ended: Ended) -> Status {
    match ended {
        Ended::Completed => Status::Completed,
        Ended::Rejected => Status::Rejected,
        Ended::Failed => Status::Failed,
        Ended::TimedOut => Status::TimedOut,
        Ended::Cancelled => Status::Cancelled,
        Ended::Unfinished => Status::Unfinished,
    }
}

/// What the exchanges of a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summed {
    /// By how each ended.
    pub completed: usize,
    /// Turned away by the server.
    pub rejected: usize,
    /// Failed on the server's side, or the connection's.
    pub failed: usize,
    /// Given up after the time that was given.
    pub timed_out: usize,
    /// Given up because the client was interrupted.
    pub cancelled: usize,
    /// Cut off by the end of observation.
    pub unfinished: usize,
    /// Answers with fewer tokens than were asked for, and with more.
    pub shorter: usize,
    /// Answers with more tokens than were asked for.
    pub longer: usize,
    /// Prompts whose length the server counts otherwise.
    pub other_prompts: usize,
    /// The worst way in which tokens of an answer were counted.
    pub counted: TokenCount,
    /// Answers of more tokens than chunks.
    pub more_tokens: usize,
    /// Answers of more chunks than tokens.
    pub more_chunks: usize,
    /// Most tokens in a chunk.
    pub most_in_chunk: u32,
    /// Chunks of reasoning, and of calls of tools.
    pub reasoning_chunks: u64,
    /// Chunks with a part of a tool's call.
    pub tool_chunks: u64,
    /// Errors, each with the number of requests that met it; the most frequent first.
    pub errors: Vec<(String, usize)>,
}

/// Sums up a run; `asked` tells the prompt and output tokens of each.
pub fn summed(exchanges: &[Exchange], asked: impl Fn(&Exchange) -> (u32, u32)) -> Summed {
    let mut all = Summed::default();
    for exchange in exchanges {
        let (prompt, output) = asked(exchange);
        *match exchange.ended {
            Ended::Completed => &mut all.completed,
            Ended::Rejected => &mut all.rejected,
            Ended::Failed => &mut all.failed,
            Ended::TimedOut => &mut all.timed_out,
            Ended::Cancelled => &mut all.cancelled,
            Ended::Unfinished => &mut all.unfinished,
        } += 1;
        if exchange.ended == Ended::Completed {
            let tokens = exchange.output_tokens();
            all.shorter += usize::from(tokens < output);
            all.longer += usize::from(tokens > output);
            let stated = exchange.usage.map(|usage| usage.prompt).filter(|&tokens| tokens > 0);
            all.other_prompts += usize::from(stated.is_some_and(|tokens| tokens != prompt));
            all.counted = all.counted.max(exchange.counted);
            if exchange.counted == TokenCount::Spread {
                let more = tokens as usize > exchange.tokens.len();
                *if more { &mut all.more_tokens } else { &mut all.more_chunks } += 1;
            }
        }
        let most = exchange.tokens.iter().map(|(_, count)| *count).max();
        all.most_in_chunk = all.most_in_chunk.max(most.unwrap_or(0));
        all.reasoning_chunks += u64::from(exchange.reasoning_chunks);
        all.tool_chunks += u64::from(exchange.tool_chunks);
        if let Some(error) = &exchange.error {
            match all.errors.iter_mut().find(|(known, _)| known == error) {
                Some((_, count)) => *count += 1,
                None => all.errors.push((error.clone(), 1)),
            }
        }
    }
    all.errors.sort_by_key(|(_, requests)| std::cmp::Reverse(*requests));
    all
}
