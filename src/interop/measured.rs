//! What a measured file holds, in the form that the metric engine takes.

use std::collections::BTreeMap;

use super::fault::Fault;
use crate::metrics::Knowledge;
use crate::report::stated::StatedRun;
use crate::time::Time;
use crate::trace::decimal::ExactSeconds;
use crate::trace::{NO_RUN, RequestRow, Run, Status, TokenTrace};

/// How finely a file tells when text came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Granularity {
    /// A time for each output token.
    Token,
    /// A time for each chunk; some chunks hold several tokens, and which is not known.
    Chunk,
    /// First and last token of each request.
    FirstLast,
    /// How long each request took, and nothing of its tokens.
    Total,
}

impl Granularity {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Granularity::Token => "token",
            Granularity::Chunk => "chunk",
            Granularity::FirstLast => "first-last",
            Granularity::Total => "total",
        }
    }
}

/// One run of a benchmark (or of one scheduler), as its file tells it.
///
/// Where `granularity` is not [`Granularity::Token`], a row's `tokens` is the request's true count
/// as the file gives it, and its run holds fewer times.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What tells it apart within its file: a scheduler, a rate; empty when it is alone.
    pub name: String,
    /// Arrivals, first tokens and later ones; the earliest arrival is at 0.
    pub trace: TokenTrace,
    /// Whether some request has more chunks than tokens, so that some chunks are no token.
    pub extra_chunks: bool,
    /// What of it is known.
    pub knows: Knowledge,
    /// How finely.
    pub granularity: Granularity,
    /// Class names by index.
    pub classes: Vec<String>,
    /// Deadline of each request's first token where the file states it, by row.
    pub ttft_deadlines_ns: Option<Vec<u64>>,
    /// Time that each request spent in the client before it was sent, where the file tells, in
    /// nanoseconds. Not part of any latency: those count from sending.
    pub client_queue_ns: Option<Vec<u64>>,
    /// Total time of each completed request, for [`Granularity::Total`].
    pub totals_ns: Option<Vec<u64>>,
    /// Requests that failed; they are among the rejected.
    pub failed: u64,
    /// Prompt tokens that the server said were cached, where the file tells.
    pub cached_tokens: Option<u64>,
    /// Tokens of prompts and answers over the whole run where requests do not tell.
    pub token_totals: Option<(u64, u64)>,
    /// What the file states of the run besides its requests, where it is one of this program's.
    pub stated: Option<StatedRun>,
    /// Figures that the client itself worked out, by its own names.
    pub reported: BTreeMap<String, f64>,
    /// What a reader should know of how the file was read.
    pub notes: Vec<String>,
}

/// One request, to be added to a [`Builder`] after its later tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// When it was sent, in the file's own clock.
    pub sent: u64,
    /// When it was first scheduled, where that is known.
    pub scheduled: Option<u64>,
    /// Its first token.
    pub first: Option<u64>,
    /// Prompt length.
    pub prompt_tokens: u32,
    /// Output tokens; `None` for as many as there are times.
    pub output_tokens: Option<u32>,
    /// Class index.
    pub class: u16,
    /// How it ended.
    pub ended: Ended,
    /// Time that it spent in the client before it was sent.
    pub waited: Option<u64>,
    /// How long it took in all, where that is told apart from its tokens.
    pub total: Option<u64>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// Answered to the end.
    #[default]
    Completed,
    /// Cut off by the end of the measurement.
    Unfinished,
    /// Failed, or turned away.
    Failed,
}

/// Puts a trace together, request after request.
#[derive(Debug, Default)]
pub struct Builder {
    column: Vec<Time>,
    /// Where the tokens of the request under way begin.
    begin: usize,
    rows: Vec<RequestRow>,
    failed: u64,
    /// Requests that have fewer times than tokens, and ones that have more.
    fewer: u64,
    more: u64,
    end: Option<u64>,
    waits: Vec<u64>,
    untimed: Vec<Untimed>,
    /// Whether requests whose times make no sense are left out, and how many were.
    skip_bad: bool,
    skipped: u64,
    first_skipped: Option<String>,
}

impl Builder {
    /// A builder that leaves out requests whose times make no sense, where that is asked for;
    /// otherwise the first one is an error.
    pub fn new(skip_bad: bool) -> Builder {
        Builder { skip_bad, ..Builder::default() }
    }

    /// Leaves the request under way out, if that is asked for.
    ///
    /// # Errors
    /// What is wrong with it, otherwise.
    pub fn refuse(&mut self, what: &str) -> Result<(), Fault> {
        let number = self.rows.len() as u64 + self.skipped;
        let what = format!("request {number}: {what}");
        if !self.skip_bad {
            return Err(Fault::whole(format!("{what}; --skip-bad leaves such requests out")));
        }
        self.column.truncate(self.begin);
        self.skipped += 1;
        self.first_skipped.get_or_insert(what);
        Ok(())
    }

    /// Adds a later token of the request under way.
    pub fn token(&mut self, at: u64) {
        self.column.push(Time::from_nanos(at));
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.rows.len()
    }

    /// Tokens of the request under way so far, the first one left out.
    pub fn later_tokens(&self) -> usize {
        self.column.len() - self.begin
    }

    /// Says when observation ended.
    pub fn observed_until(&mut self, at: u64) {
        self.end = self.end.max(Some(at));
    }

    /// Ends the request under way.
    ///
    /// # Errors
    /// When its times go backwards, or there are too many.
    pub fn request(&mut self, sent: Sent) -> Result<(), Fault> {
        let first = self.begin;
        let times = &self.column[first..];
        if let Some(wrong) = disorder(&sent, times) {
            return self.refuse(&wrong);
        }
        let (Ok(begin), Ok(len)) = (u32::try_from(first), u32::try_from(times.len())) else {
            return Err(Fault::whole("more than 4,294,967,295 token times in one run"));
        };
        let held = len + u32::from(sent.first.is_some());
        let tokens = sent.output_tokens.filter(|_| sent.first.is_some()).unwrap_or(held);
        self.fewer += u64::from(held < tokens);
        self.more += u64::from(held > tokens);
        self.failed += u64::from(sent.ended == Ended::Failed);
        self.waits.extend(sent.waited);
        if sent.ended == Ended::Completed && sent.first.is_none() {
            let row = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
            let output = sent.output_tokens.unwrap_or(0);
            let (total, prompt) = (sent.total, sent.prompt_tokens);
            self.untimed.push(Untimed { row, total, prompt, output });
        }
        let run = Run { column: 0, first: begin, len, next: NO_RUN };
        self.rows.push(RequestRow {
            arrival: Time::from_nanos(sent.sent),
            scheduled: sent.scheduled.map_or(Time::NEVER, Time::from_nanos),
            first_token: sent.first.map_or(Time::NEVER, Time::from_nanos),
            run: if len == 0 { Run::EMPTY } else { run },
            prompt_tokens: sent.prompt_tokens,
            tokens,
            hit_tokens: 0,
            preemptions: 0,
            replica: 0,
            class: sent.class,
            status: match sent.ended {
                Ended::Completed => Status::Completed,
                Ended::Unfinished => Status::Unfinished,
                Ended::Failed => Status::Rejected,
            },
        });
        self.begin = self.column.len();
        Ok(())
    }

    /// The run, its earliest arrival moved to 0. `granularity` is what the file can tell at best:
    /// where a request has not as many times as tokens, it is per chunk; where no request has any,
    /// it is how long each took.
    ///
    /// # Errors
    /// When there is no request.
    pub fn finish(mut self, granularity: Granularity) -> Result<Measured, Fault> {
        let mut notes = Vec::new();
        if self.skipped > 0 {
            notes.push(format!(
                "{} requests were left out because their times make no sense, the first one: {}",
                self.skipped,
                self.first_skipped.as_deref().unwrap_or("")
            ));
            if self.rows.is_empty() {
                return Err(Fault::whole(format!("no request is left: {}", notes[0])));
            }
        }
        let mut granularity = granularity;
        let mut totals = None;
        if granularity != Granularity::Total {
            totals = self.without_tokens(&mut notes);
            if totals.is_some() {
                granularity = Granularity::Total;
            }
        }
        let earliest = self.rows.iter().map(|row| row.arrival.as_nanos()).min();
        let Some(base) = earliest else {
            return Err(Fault::whole("there is no request in it"));
        };
        let moved = |time: Time| match time {
            Time::NEVER => Time::NEVER,
            time => Time::from_nanos(time.as_nanos() - base),
        };
        let mut last = 0;
        for row in &mut self.rows {
            row.arrival = moved(row.arrival);
            row.scheduled = moved(row.scheduled);
            row.first_token = moved(row.first_token);
            let latest = if row.first_token == Time::NEVER { row.arrival } else { row.first_token };
            last = last.max(latest.as_nanos());
            let run = row.run;
            for time in &mut self.column[run.first as usize..(run.first + run.len) as usize] {
                *time = moved(*time);
                last = last.max(time.as_nanos());
            }
        }
        if granularity == Granularity::Token && self.fewer + self.more > 0 {
            granularity = Granularity::Chunk;
            let all = self.rows.len();
            if self.fewer > 0 {
                notes.push(format!(
                    "{} of {all} requests have fewer times than tokens: their chunks hold several, \
                     and times and gaps are those of chunks",
                    self.fewer
                ));
            }
            if self.more > 0 {
                notes.push(format!(
                    "{} of {all} requests have more chunks than tokens: some chunks are no token",
                    self.more
                ));
            }
        }
        let waits = Some(self.waits).filter(|waits| waits.len() == self.rows.len());
        let end = self.end.map_or(last, |end| last.max(end.saturating_sub(base)));
        Ok(Measured {
            name: String::new(),
            trace: TokenTrace {
                columns: vec![self.column],
                requests: self.rows,
                more_runs: Vec::new(),
                end: Time::from_nanos(end),
            },
            knows: Knowledge {
                token_times: matches!(granularity, Granularity::Token | Granularity::Chunk),
                arrivals: true,
                scheduling: false,
            },
            granularity,
            extra_chunks: self.more > 0,
            classes: vec!["default".to_owned()],
            ttft_deadlines_ns: None,
            client_queue_ns: waits,
            token_totals: totals.as_ref().map(|totals| totals.tokens),
            totals_ns: totals.map(|totals| totals.times),
            failed: self.failed,
            cached_tokens: None,
            stated: None,
            reported: BTreeMap::new(),
            notes,
        })
    }
}

/// A completed request without a token's time.
#[derive(Clone, Copy, Debug)]
struct Untimed {
    row: u32,
    /// How long it took.
    total: Option<u64>,
    prompt: u32,
    output: u32,
}

/// Total times alone.
struct Totals {
    times: Vec<u64>,
    /// Prompt and output tokens.
    tokens: (u64, u64),
}

impl Builder {
    /// What to make of completed requests that have no token's time. Where all are like that, their
    /// total times are what is known; where some are, these count as failed.
    fn without_tokens(&mut self, notes: &mut Vec<String>) -> Option<Totals> {
        let untimed = std::mem::take(&mut self.untimed);
        if untimed.is_empty() {
            return None;
        }
        let completed = self.rows.iter().filter(|row| row.status == Status::Completed).count();
        let times: Vec<u64> = untimed.iter().filter_map(|request| request.total).collect();
        if completed == untimed.len() && times.len() == untimed.len() {
            notes
                .push("no request has a token's time (it did not stream): total times only".into());
            let prompts = untimed.iter().map(|request| u64::from(request.prompt)).sum();
            let outputs = untimed.iter().map(|request| u64::from(request.output)).sum();
            return Some(Totals { times, tokens: (prompts, outputs) });
        }
        notes.push(format!(
            "{} completed requests have no token's time (an empty answer, or one that was not \
             streamed): counted as failed",
            untimed.len()
        ));
        self.failed += untimed.len() as u64;
        for request in untimed {
            self.rows[request.row as usize].status = Status::Rejected;
        }
        None
    }
}

/// What is out of order in a request's times.
fn disorder(sent: &Sent, later: &[Time]) -> Option<String> {
    let mut before = sent.sent;
    let seconds = |at: u64| ExactSeconds::from(Time::from_nanos(at));
    let times = sent.first.iter().copied().chain(later.iter().map(|time| time.as_nanos()));
    for (token, at) in times.enumerate() {
        if at < before {
            let (now, then) = (seconds(at), seconds(before));
            return Some(match token {
                0 => format!("its first token ({now} s) came before it was sent ({then} s)"),
                _ => format!(
                    "time goes backwards: token {token} came at {now} s, the one before at {then} s"
                ),
            });
        }
        before = at;
    }
    if sent.scheduled.is_some_and(|at| at < sent.sent) {
        return Some("scheduled before it arrived".to_owned());
    }
    if sent.first.is_none() && !later.is_empty() {
        return Some("later tokens without a first one".to_owned());
    }
    None
}

/// The sum of two times, checked.
///
/// # Errors
/// When it is over 584 years.
pub fn sum(a: u64, b: u64) -> Result<u64, Fault> {
    // NEVER itself stands for something else.
    a.checked_add(b)
        .filter(|&sum| sum < u64::MAX)
        .ok_or_else(|| Fault::whole("its times add up to more than 584 years"))
}
