//! Puts the trace of a measured run together, request after request.

use std::collections::BTreeMap;

use super::Progress;
use super::ended::Ended;
use super::fault::Fault;
use super::measured::{Granularity, Measured, Spooled, SpooledPart};
use super::sense::{crowded, disorder, impossible, longer};
use super::spool::{BLOCK, Spool};
use super::twice::{Mark, Seen, by_clock};
use crate::ids::{ClassId, ColumnId, LaneId, RequestId};
use crate::metrics::Knowledge;
use crate::time::{Span, Time};
use crate::trace::{Column, NO_RUN, RequestRow, Run, Status, ToCome, TokenTrace};

/// What a request counts for besides its tokens where parts are made: its row is as large as so
/// many times.
const ROW: usize = size_of::<RequestRow>().div_ceil(size_of::<Time>());

/// One request, to be added to a [`Builder`] after its later tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// What tells it apart from the others of its run, where the file has that.
    pub id: Option<Mark>,
    /// When it was sent, in the file's own clock.
    pub sent: u64,
    /// When it was first scheduled, where that is known.
    pub scheduled: Option<u64>,
    /// Its first token.
    pub first: Option<u64>,
    /// The first token of its answer, where the file tells it from what was thought before.
    pub answer: Option<u64>,
    /// Prompt length.
    pub prompt_tokens: u32,
    /// Output tokens; `None` for as many as there are times.
    pub output_tokens: Option<u32>,
    /// Output tokens that it was still to get when the measurement ended, where that is known.
    pub left: Option<u32>,
    /// Its class.
    pub class: ClassId,
    /// How it ended.
    pub ended: Ended,
    /// Time that it spent in the client before it was sent.
    pub waited: Option<u64>,
    /// How long it took in all, where that is told apart from its tokens. An answer's last token
    /// cannot come later.
    pub total: Option<u64>,
}

/// Puts a trace together, request after request. Tokens of finished requests go to a temporary file,
/// a part at a time, once there are enough of them.
#[derive(Debug, Default)]
pub(super) struct Builder {
    spool: Spool,
    parts: Vec<SpooledPart>,
    /// Later tokens of the requests since the last part.
    column: Vec<Time>,
    /// Where the tokens of the request under way begin.
    begin: usize,
    rows: Vec<RequestRow>,
    to_come: Vec<ToCome>,
    /// The last instant of a request so far.
    latest: u64,
    failed: u64,
    /// Requests that have fewer times than tokens, and ones that have more.
    fewer: u64,
    more: u64,
    end: Option<u64>,
    waits: Vec<u64>,
    /// From sending to the first token of the answer, and whether any came after the first token of all.
    answers: Vec<u64>,
    thought: bool,
    untimed: Vec<Untimed>,
    /// Whether requests whose times make no sense are left out, and how many were.
    skip_bad: bool,
    /// Whether all requests must be there, so that none may be left out.
    whole: bool,
    skipped: u64,
    first_skipped: Option<String>,
    /// Whether the file has this program's columns: a run may have no request then, and one may take years.
    own: bool,
    /// Whether an answer's last token ends its total time; other clients wait for what follows.
    ends_with_last_token: bool,
    /// What contradicts itself.
    odd: BTreeMap<&'static str, Odd>,
    /// What tells the requests apart.
    seen: Seen,
}

/// One way in which requests contradict themselves.
#[derive(Debug)]
struct Odd {
    requests: u64,
    /// The first of them, and how.
    first: String,
    /// Whether one of a hundred may be like that.
    rare: bool,
}

impl Builder {
    /// A builder that leaves out requests whose times make no sense, where that is asked for;
    /// otherwise the first one is an error.
    pub(super) fn new(progress: &Progress) -> Builder {
        let spool = progress.spool.clone();
        Builder { skip_bad: progress.skip_bad, spool, ..Builder::default() }
    }

    /// A builder for a file in this program's own columns, which others may have written.
    pub(super) fn own(progress: &Progress) -> Builder {
        Builder { own: true, ..Builder::new(progress) }
    }

    /// Says that this program wrote the file: every request whose times make no sense is an error then.
    pub(super) fn whole(&mut self) {
        self.whole = true;
    }

    /// The same builder, for a client whose total times end with the last token.
    pub(super) fn ends_with_last_token(self) -> Builder {
        Builder { ends_with_last_token: true, ..self }
    }

    /// Notes that the request under way contradicts itself: in what, and how. One of a hundred may.
    pub(super) fn odd(&mut self, what: &'static str, how: impl FnOnce() -> String) {
        self.note(what, how).rare = true;
    }

    /// The same of what no fault of a client's clock explains: it is said of a single request too.
    pub(super) fn never(&mut self, what: &'static str, how: impl FnOnce() -> String) {
        self.note(what, how);
    }

    fn note(&mut self, what: &'static str, how: impl FnOnce() -> String) -> &mut Odd {
        self.note_of(self.rows.len() as u64 + self.skipped, what, how)
    }

    fn note_of(
        &mut self,
        number: u64,
        what: &'static str,
        how: impl FnOnce() -> String,
    ) -> &mut Odd {
        let odd = self.odd.entry(what).or_insert_with(|| Odd {
            requests: 0,
            first: format!("request {number}: {}", how()),
            rare: false,
        });
        odd.requests += 1;
        odd
    }

    /// Leaves the request under way out, if that is asked for.
    ///
    /// # Errors
    /// What is wrong with it, otherwise.
    pub(super) fn refuse(&mut self, what: &str) -> Result<(), Fault> {
        let number = self.rows.len() as u64 + self.skipped;
        let what = format!("request {number}: {what}");
        if self.whole {
            return Err(Fault::whole(what));
        }
        if !self.skip_bad {
            return Err(Fault::whole(format!("{what}; --skip-bad leaves such requests out")));
        }
        self.column.truncate(self.begin);
        self.skipped += 1;
        self.first_skipped.get_or_insert(what);
        Ok(())
    }

    /// Adds a later token of the request under way.
    pub(super) fn token(&mut self, at: u64) {
        self.column.push(Time::from_nanos(at));
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> usize {
        self.rows.len()
    }

    /// Requests so far, those left out included.
    pub(super) fn met(&self) -> usize {
        self.rows.len() + self.skipped as usize
    }

    /// Tokens of the request under way so far, the first one left out.
    pub(super) fn later_tokens(&self) -> usize {
        self.column.len() - self.begin
    }

    /// The last instant of a request so far, in the file's own clock.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// Says when observation ended.
    pub(super) fn observed_until(&mut self, at: u64) {
        self.end = self.end.max(Some(at));
    }

    /// Ends the request under way.
    ///
    /// # Errors
    /// When its times go backwards, or there are too many.
    pub(super) fn request(&mut self, sent: Sent) -> Result<(), Fault> {
        let first = self.begin;
        let times = &self.column[first..];
        if let Some(wrong) = disorder(&sent, times) {
            return self.refuse(&wrong);
        }
        if let Some(wrong) = impossible(&sent, times, self.own) {
            return self.refuse(&wrong);
        }
        let longer = longer(&sent, times, self.ends_with_last_token);
        let crowded = crowded(&sent, times.len());
        let mark = sent.id.or_else(|| by_clock(&sent, times).filter(|_| !self.own));
        let (Ok(begin), Ok(len)) = (u32::try_from(first), u32::try_from(times.len())) else {
            return Err(Fault::whole("more than 4,294,967,295 token times in one request"));
        };
        let last = times.last().map(|time| time.as_nanos()).or(sent.first).unwrap_or(sent.sent);
        if let Some(how) = longer {
            self.odd("took longer than their tokens tell", || how);
        }
        if let Some(how) = crowded {
            self.odd("have more times of tokens than tokens", || how);
        }
        if mark.is_some_and(|mark| !self.seen.first_time(mark)) {
            self.never("stand in the file twice", || "it was there before".to_owned());
        }
        self.latest = self.latest.max(last);
        let held = len + u32::from(sent.first.is_some());
        let tokens = sent.output_tokens.filter(|_| sent.first.is_some()).unwrap_or(held);
        self.fewer += u64::from(held < tokens);
        self.more += u64::from(held > tokens);
        self.failed += u64::from(sent.ended == Ended::Failed);
        self.waits.extend(sent.waited);
        if let (Some(answer), Ended::Completed) = (sent.answer, sent.ended) {
            self.answers.push(answer.saturating_sub(sent.sent));
            self.thought |= sent.first.is_some_and(|first| answer > first);
        }
        if sent.ended == Ended::Completed && sent.first.is_none() {
            let row = self.rows.len();
            let output = sent.output_tokens.unwrap_or(0);
            let (total, prompt) = (sent.total, sent.prompt_tokens);
            self.untimed.push(Untimed { row, total, prompt, output });
        }
        let left = sent.left.filter(|&tokens| tokens > 0 && sent.ended == Ended::Unfinished);
        let row = RequestId(self.rows.len() as u32);
        self.to_come.extend(left.map(|tokens| ToCome { row, tokens }));
        let run = Run { column: ColumnId(0), first: begin, len, next: NO_RUN };
        self.rows.push(RequestRow {
            arrival: Time::from_nanos(sent.sent),
            scheduled: sent.scheduled.map_or(Time::NEVER, Time::from_nanos),
            first_token: sent.first.map_or(Time::NEVER, Time::from_nanos),
            run: if len == 0 { Run::EMPTY } else { run },
            prompt_tokens: sent.prompt_tokens,
            tokens,
            hit_tokens: 0,
            preemptions: 0,
            lane: LaneId(0),
            class: sent.class,
            status: match sent.ended {
                Ended::Completed => Status::Completed,
                Ended::Unfinished => Status::Unfinished,
                Ended::Rejected => Status::Rejected,
                Ended::Failed => Status::Failed,
                Ended::TimedOut => Status::TimedOut,
                Ended::Cancelled => Status::Cancelled,
            },
        });
        self.begin = self.column.len();
        let since = self.rows.len() - self.parts.last().map_or(0, |part| part.end);
        if self.begin + since * ROW >= BLOCK {
            self.put_away();
        }
        Ok(())
    }

    /// Puts the tokens of all requests since the last part away.
    fn put_away(&mut self) {
        let times = self.column.drain(..).map(Time::as_nanos);
        let column = self.spool.write(times);
        self.parts.push(SpooledPart { end: self.rows.len(), column });
        self.begin = 0;
    }

    /// The run, its earliest arrival moved to 0. `granularity` is what the file can tell at best:
    /// where a request has not as many times as tokens, it is per chunk; where no request has any,
    /// it is how long each took.
    ///
    /// # Errors
    /// When there is no request.
    pub(super) fn finish(mut self, granularity: Granularity) -> Result<Measured, Fault> {
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
        let cancelled = self.rows.iter().filter(|row| row.status == Status::Cancelled).count();
        if cancelled > 0 {
            notes.push(format!(
                "{cancelled} requests were cancelled by the client: they are left out of every share"
            ));
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
        let base = match earliest {
            Some(base) => base,
            None if self.own => 0,
            None => return Err(Fault::whole("there is no request in it")),
        };
        let moved = |time: Time| match time {
            Time::NEVER => Time::NEVER,
            time => Time::from_nanos(time.as_nanos() - base),
        };
        for row in &mut self.rows {
            row.arrival = moved(row.arrival);
            row.scheduled = moved(row.scheduled);
            row.first_token = moved(row.first_token);
        }
        let (columns, spooled) = if self.parts.is_empty() && self.spool.keeps(self.column.len()) {
            self.column.iter_mut().for_each(|time| *time = moved(*time));
            (vec![Column::own(self.column)], None)
        } else {
            self.put_away();
            (Vec::new(), Some(Spooled { spool: self.spool, parts: self.parts, earliest: base }))
        };
        let requests = self.rows.len();
        let last = self.latest.saturating_sub(base);
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
        // Where nothing was thought the two are the same.
        let answers = Some(self.answers).filter(|answers| self.thought && !answers.is_empty());
        let waits = Some(self.waits).filter(|waits| waits.len() == self.rows.len());
        let end = self.end.map_or(last, |end| last.max(end.saturating_sub(base)));
        Ok(Measured {
            name: String::new(),
            trace: TokenTrace {
                way_back: Span::ZERO,
                columns,
                requests: self.rows,
                lanes: Vec::new(),
                more_runs: Vec::new(),
                end: Time::from_nanos(end),
                to_come: self.to_come,
                hand_overs: Vec::new(),
                kv_loads: Vec::new(),
            },
            spooled,
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
            first_answer_ns: answers,
            token_totals: totals.as_ref().map(|totals| totals.tokens),
            totals_ns: totals.map(|totals| totals.times),
            failed: self.failed,
            cached_tokens: None,
            stated: None,
            reported: BTreeMap::new(),
            notes,
            smoothed: false,
            contradictions: told(self.odd, requests),
        })
    }
}

/// What contradicts itself, in words.
fn told(odd: BTreeMap<&'static str, Odd>, requests: usize) -> Vec<String> {
    let many = odd.into_iter().filter(|(_, odd)| !odd.rare || odd.requests * 100 > requests as u64);
    let words = |(what, odd): (&str, Odd)| {
        format!("{} of {requests} requests {what}, the first one: {}", odd.requests, odd.first)
    };
    many.map(words).collect()
}

/// A completed request without a token's time.
#[derive(Clone, Copy, Debug)]
struct Untimed {
    row: usize,
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
            if request.output > 0 {
                let what = "have tokens, and the time of none of them";
                let how = || format!("{} tokens", request.output);
                self.note_of(request.row as u64, what, how).rare = true;
            }
            self.rows[request.row].status = Status::Failed;
        }
        None
    }
}

/// The sum of two times, checked.
///
/// # Errors
/// When it is over 584 years.
pub(super) fn sum(a: u64, b: u64) -> Result<u64, Fault> {
    // NEVER itself stands for something else.
    a.checked_add(b)
        .filter(|&sum| sum < u64::MAX)
        .ok_or_else(|| Fault::whole("its times add up to more than 584 years"))
}
