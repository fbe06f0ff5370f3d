//! Files of this program: `run --tokens` (a row a token) and `run --requests` (a row a request).
//!
//! Columns are those of [`token_file`](crate::trace::token_file) and
//! `metron_sim::report::requests`. A file may hold several schedulers, one after another;
//! each is a run. In a token file a request's rows stand together, in order of the tokens. How many
//! runs, requests and tokens there must be is stated in the files, so that one that was cut off is
//! told; files without these columns are read as they are. Of the columns few are needed, so that what a
//! benchmark of one's own writes is read too: without `status` all requests completed, without `index` rows
//! are in order, without `scheduler` all is one run.

use super::Progress;
use super::builder::{Builder, Sent};
use super::ended::Ended;
use super::fault::Fault;
use super::json::SECONDS;
use super::live;
use super::measured::{Granularity, Measured};
use super::rows::Rows;
use super::sense::seconds;
use super::twice::Mark;
use crate::ids::ClassId;
use crate::result::stated::{RowsHold, StatedRun};

const TOKEN_COLUMNS: &[&str] = &[
    "scheduler",
    "request",
    "index",
    "time_s",
    "arrival_s",
    "status",
    "prompt_tokens",
    "scheduled_s",
    "class",
    "ttft_deadline_s",
    "output_tokens",
    "run",
    "left_tokens",
];

const REQUEST_COLUMNS: &[&str] = &[
    "scheduler",
    "id",
    "arrival_s",
    "first_token_s",
    "last_token_s",
    "prompt_tokens",
    "output_tokens",
    "status",
    "scheduled_s",
    "class",
    "hit_tokens",
    "run",
    "left_tokens",
    "ttft_s",
    "e2e_s",
    "ttft_deadline_s",
    "tpot_s",
    "fluidity_index",
    "met",
    "missed",
];

/// Most runs of a file: what compares them looks at some in pairs.
const RUNS_MAX: usize = 1_000;

/// One scheduler's rows under way.
#[derive(Default)]
struct Run {
    name: String,
    builder: Builder,
    classes: Vec<String>,
    deadlines: Vec<u64>,
    scheduled: bool,
    hits: u64,
    /// Rows of tokens with a time.
    rows: u64,
    stated: Option<StatedRun>,
}

impl Run {
    fn named(name: &str, progress: &Progress) -> Run {
        let builder = Builder::own(progress);
        Run { name: name.to_owned(), builder, ..Run::default() }
    }

    /// The index of a class name; classes are numbered as they appear.
    fn class(&mut self, name: &str) -> Result<ClassId, Fault> {
        let index = self.classes.iter().position(|known| known == name).unwrap_or_else(|| {
            self.classes.push(name.to_owned());
            self.classes.len() - 1
        });
        let index = u16::try_from(index);
        index.map(ClassId).map_err(|_| Fault::whole("more than 65,536 classes"))
    }

    /// Takes in what a run's first row states.
    fn state(&mut self, rows: &Rows, column: usize) -> Result<(), Fault> {
        let Some(text) = rows.text(column) else { return Ok(()) };
        let stated = StatedRun::from_json(text);
        let stated =
            stated.ok_or_else(|| rows.fault("`run` holds something else than a run's facts"))?;
        if self.builder.requests() == 0 {
            if let Some(end) = stated.end_ns {
                self.builder.observed_until(end);
            }
            self.builder.whole();
            self.classes.clone_from(&stated.classes);
            self.stated = Some(stated);
        }
        Ok(())
    }

    /// Ends the request under way: its deadline and its tokens from the prefix cache count if it is not
    /// left out.
    fn request(&mut self, sent: Sent, deadline: Option<u64>, hits: u32) -> Result<(), Fault> {
        let before = self.builder.requests();
        self.builder.request(sent)?;
        if self.builder.requests() > before {
            self.deadlines.extend(deadline);
            self.hits += u64::from(hits);
        }
        Ok(())
    }

    fn measured(self, granularity: Granularity) -> Result<Measured, Fault> {
        let requests = self.builder.requests();
        if let Some(stated) = &self.stated
            && stated.requests != requests as u64
        {
            return Err(cut_off(&format!(
                "it holds {requests} of the {} requests of {}",
                stated.requests, self.name
            )));
        }
        let latest = self.builder.latest();
        if let Some(end) = self.stated.as_ref().and_then(|stated| stated.end_ns)
            && end < latest
        {
            return Err(Fault::whole(format!(
                "the run ended at {} s, and a request's times go on to {} s",
                seconds(end),
                seconds(latest)
            )));
        }
        let mut measured = self.builder.finish(granularity)?;
        measured.name = self.name;
        measured.classes = self.classes;
        measured.knows.scheduling = self.scheduled;
        measured.stated = self.stated;
        measured.ttft_deadlines_ns =
            Some(self.deadlines).filter(|deadlines| deadlines.len() == requests);
        if let Some(live) = measured.stated.as_ref().and_then(|stated| stated.live.clone()) {
            live::take_in(&mut measured, &live, self.rows)?;
        }
        Ok(measured)
    }

    /// Whether all rows with a time are tokens, and not chunks.
    fn holds_tokens(&self) -> bool {
        let live = self.stated.as_ref().and_then(|stated| stated.live.as_ref());
        live.is_none_or(|live| live.hold == RowsHold::Tokens)
    }
}

pub(super) fn cut_off(what: &str) -> Fault {
    Fault::whole(format!("the file is cut off: {what}"))
}

/// Whether the row stands for a run without a request: it has nothing but the run's facts.
fn is_empty_run(rows: &Rows, request: usize, run: usize) -> bool {
    rows.text(request).is_none()
        && rows.text(run).and_then(StatedRun::from_json).is_some_and(|run| run.requests == 0)
}

/// Whether all runs are there that the file states.
fn all_runs(runs: Vec<Measured>) -> Result<Vec<Measured>, Fault> {
    let stated = runs.iter().filter_map(|run| Some(run.stated.as_ref()?.runs)).max();
    match stated {
        Some(stated) if stated != runs.len() as u64 => {
            Err(cut_off(&format!("it holds {} of its {stated} runs", runs.len())))
        }
        _ => Ok(runs),
    }
}

/// Whether a run of this name may come after those: a name comes once, and there are not too many.
fn another(runs: &[Measured], name: &str) -> Result<(), String> {
    if runs.iter().any(|run| run.name == name) {
        return Err("the rows of one scheduler do not stand together".to_owned());
    }
    match runs.len() >= RUNS_MAX {
        true => Err(format!("expected at most {RUNS_MAX} schedulers, and here begins another")),
        false => Ok(()),
    }
}

/// Puts a finished run among the others.
fn add(
    runs: &mut Vec<Measured>,
    run: Run,
    granularity: Granularity,
    progress: &mut Progress,
) -> Result<(), Fault> {
    runs.push(run.measured(granularity)?);
    progress.runs += 1;
    progress.requests = 0;
    Ok(())
}

/// How a request ended, as its row says. In a file that this program did not write it may say nothing, and
/// the request is one that was answered.
fn ended(rows: &Rows, column: usize, run: &Run) -> Result<Ended, Fault> {
    match rows.text(column) {
        Some("completed") => Ok(Ended::Completed),
        Some("unfinished") => Ok(Ended::Unfinished),
        Some("rejected") => Ok(Ended::Rejected),
        Some("failed") => Ok(Ended::Failed),
        Some("timed_out") => Ok(Ended::TimedOut),
        Some("cancelled") => Ok(Ended::Cancelled),
        None if run.stated.is_none() && !rows.has(column) => Ok(Ended::Completed),
        _ => Err(rows.fault("`status` is none of those known")),
    }
}

/// A request of a token file whose rows are being read.
struct Open {
    id: u32,
    sent: Sent,
    /// Whether its end row was there.
    closed: bool,
    deadline: Option<u64>,
    /// Tokens that it must have.
    tokens: Option<u32>,
    /// What is the same in all of its rows, as it stands in the first.
    facts: [Option<String>; FACTS.len()],
}

/// Columns that are the same in all rows of a request: length of the prompt, when it was scheduled,
/// class, deadline of the first token, length of the answer.
const FACTS: [usize; 5] = [6, 7, 8, 9, 10];

/// Reads a token file.
pub(super) fn read_tokens(mut rows: Rows, progress: &mut Progress) -> Result<Vec<Measured>, Fault> {
    rows.want_and_need(TOKEN_COLUMNS, &["request", "time_s", "arrival_s"])?;
    let mut runs: Vec<Measured> = Vec::new();
    let mut run: Option<Run> = None;
    let mut open: Option<Open> = None;
    loop {
        let last_at = rows.position();
        let more = rows.next(true)?;
        let name = if more { rows.text(0).unwrap_or("") } else { "" };
        let empty = more && is_empty_run(&rows, 1, 11);
        let id = if more && !empty { Some(rows.needed(1, rows.count(1)?)?) } else { None };
        let same_run = more && run.as_ref().is_some_and(|run| run.name == name);
        let same = same_run && open.as_ref().map(|open| open.id) == id;
        if !same && let (Some(run), Some(done)) = (run.as_mut(), open.take()) {
            close(run, done).map_err(|fault| fault.or_at(last_at))?;
            progress.requests += 1;
        }
        if !same_run {
            if let Some(done) = run.take() {
                add(&mut runs, done, Granularity::Token, progress)
                    .map_err(|fault| fault.or_at(last_at))?;
            }
            if more {
                another(&runs, name).map_err(|problem| rows.fault(problem))?;
            }
            run = more.then(|| Run::named(name, progress));
        }
        match (run.as_mut(), id) {
            (Some(run), Some(id)) => token_row(&rows, run, &mut open, id)?,
            (Some(run), None) => run.state(&rows, 11)?,
            (None, _) => return all_runs(runs).map_err(|fault| fault.or_at(last_at)),
        }
    }
}

fn token_row(rows: &Rows, run: &mut Run, open: &mut Option<Open>, id: u32) -> Result<(), Fault> {
    let time = rows.needed(3, rows.nanos(3, SECONDS)?)?;
    let arrival = rows.needed(4, rows.nanos(4, SECONDS)?)?;
    let deadline = rows.nanos(9, SECONDS)?;
    if open.is_none() {
        run.state(rows, 11)?;
    }
    let ended = ended(rows, 5, run)?;
    let mut index = rows.count(2)?;
    if index.is_none() && ended == Ended::Completed && run.stated.is_none() {
        // Rows in order need no number.
        let first = open.as_ref().is_some_and(|request| request.sent.first.is_some());
        index = Some((run.builder.later_tokens() + usize::from(first)) as u32);
    }
    if open.is_none() {
        if id as usize != run.builder.met() {
            return Err(rows.fault(format!(
                "rows of request {} are missing or do not stand together: here is request {id}",
                run.builder.met()
            )));
        }
        let scheduled = rows.nanos(7, SECONDS)?;
        run.scheduled |= scheduled.is_some();
        *open = Some(Open {
            id,
            sent: Sent {
                sent: arrival,
                scheduled,
                first: None,
                prompt_tokens: rows.count(6)?.unwrap_or(0),
                output_tokens: None,
                class: run.class(rows.text(8).unwrap_or(""))?,
                ended,
                ..Sent::default()
            },
            closed: false,
            deadline,
            tokens: rows.count(10)?,
            facts: FACTS.map(|column| rows.text(column).map(str::to_owned)),
        });
    }
    let request = open.as_mut().expect("opened above");
    if request.closed || request.sent.sent != arrival || request.sent.ended != ended {
        return Err(rows.fault(format!("this row does not fit the one before of request {id}")));
    }
    for (column, first) in FACTS.into_iter().zip(&request.facts) {
        if rows.text(column) != first.as_deref() {
            let name = TOKEN_COLUMNS[column];
            return Err(rows.fault(format!("`{name}` is another in this row of request {id}")));
        }
    }
    if ended == Ended::Completed && rows.count(12)?.is_some_and(|left| left > 0) {
        return Err(rows.fault("`left_tokens` of a completed request"));
    }
    if ended == Ended::Rejected && index.is_some() {
        return Err(rows.fault("a rejected request with a token"));
    }
    let tokens = run.builder.later_tokens() + usize::from(request.sent.first.is_some());
    match index {
        None if ended == Ended::Completed => Err(rows.fault("`index` is empty")),
        None => {
            request.closed = true;
            request.sent.left = rows.count(12)?;
            run.builder.observed_until(time);
            Ok(())
        }
        Some(index) if index as usize != tokens => {
            Err(rows
                .fault(format!("token {tokens} of request {id} is missing: here is token {index}")))
        }
        Some(0) => {
            request.sent.first = Some(time);
            run.rows += 1;
            Ok(())
        }
        Some(_) => {
            run.rows += 1;
            run.builder.token(time);
            Ok(())
        }
    }
}

fn close(run: &mut Run, done: Open) -> Result<(), Fault> {
    if done.sent.ended != Ended::Completed && !done.closed {
        return Err(Fault::whole(format!("the end row of request {} is missing", done.id)));
    }
    let held = run.builder.later_tokens() + usize::from(done.sent.first.is_some());
    if !run.holds_tokens() {
        let sent = Sent { output_tokens: done.tokens, ..done.sent };
        return run.request(sent, done.deadline, 0);
    }
    if let Some(tokens) = done.tokens.filter(|&tokens| tokens as usize != held) {
        return Err(cut_off(&format!(
            "it holds {held} of the {tokens} tokens of request {}",
            done.id
        )));
    }
    run.request(done.sent, done.deadline, 0)
}

/// Reads a request file: first and last token of each request.
pub(super) fn read_requests(
    mut rows: Rows,
    progress: &mut Progress,
) -> Result<Vec<Measured>, Fault> {
    let needed = ["arrival_s", "first_token_s", "last_token_s", "output_tokens"];
    rows.want_and_need(REQUEST_COLUMNS, &needed)?;
    let mut runs: Vec<Measured> = Vec::new();
    let mut run: Option<Run> = None;
    loop {
        let last_at = rows.position();
        let more = rows.next(true)?;
        let name = if more { rows.text(0).unwrap_or("") } else { "" };
        if !more || run.as_ref().is_none_or(|run| run.name != name) {
            if let Some(done) = run.take() {
                let hits = done.hits;
                add(&mut runs, done, Granularity::FirstLast, progress)
                    .map_err(|fault| fault.or_at(last_at))?;
                if let Some(measured) = runs.last_mut() {
                    measured.cached_tokens = Some(hits);
                }
            }
            if !more {
                return all_runs(runs).map_err(|fault| fault.or_at(last_at));
            }
            another(&runs, name).map_err(|problem| rows.fault(problem))?;
            run = Some(Run::named(name, progress));
        }
        let Some(run) = run.as_mut() else { continue };
        if is_empty_run(&rows, 1, 11) {
            run.state(&rows, 11)?;
        } else {
            request_row(&rows, run)?;
            progress.requests += 1;
        }
    }
}

fn request_row(rows: &Rows, run: &mut Run) -> Result<(), Fault> {
    run.state(rows, 11)?;
    let sent = rows.needed(2, rows.nanos(2, SECONDS)?)?;
    let first = rows.nanos(3, SECONDS)?;
    let last = rows.nanos(4, SECONDS)?;
    let tokens = rows.count(6)?.unwrap_or(0);
    let ended = ended(rows, 7, run)?;
    let scheduled = rows.nanos(8, SECONDS)?;
    if first.is_some() != last.is_some() || first.is_some() != (tokens > 0) {
        return Err(rows.fault("first token, last token and `output_tokens` contradict each other"));
    }
    if tokens == 1 && first != last {
        return Err(rows.fault("an answer of one token whose last token is not its first"));
    }
    for (name, to) in [("ttft_s", first), ("e2e_s", last)] {
        let column = REQUEST_COLUMNS.iter().position(|column| *column == name);
        let column = column.expect("one of the columns");
        let (Some(told), Some(to)) = (rows.nanos(column, SECONDS)?, to) else { continue };
        if to.checked_sub(sent) != Some(told) {
            return Err(rows.fault(format!("`{name}` contradicts the instants of its row")));
        }
    }
    if ended == Ended::Rejected && tokens > 0 {
        return Err(rows.fault("a rejected request with tokens"));
    }
    if ended == Ended::Completed && rows.count(12)?.is_some_and(|left| left > 0) {
        return Err(rows.fault("`left_tokens` of a completed request"));
    }
    if let Some(name) = odd_figure(rows, first.zip(last), tokens, ended)? {
        return Err(rows.fault(format!("`{name}` contradicts the tokens of its row")));
    }
    if let (Some(last), true) = (last, tokens > 1) {
        run.builder.token(last);
    }
    run.scheduled |= scheduled.is_some();
    let class = rows.text(9).unwrap_or("");
    let listed = run.stated.as_ref().is_none_or(|stated| {
        stated.classes.is_empty() || stated.classes.iter().any(|known| known == class)
    });
    if !listed {
        return Err(rows.fault("`class` is none of those that `run` names"));
    }
    let class = run.class(class)?;
    let prompt_tokens = rows.count(5)?.unwrap_or(0);
    if prompt_tokens > 0 && rows.count(10)?.is_some_and(|hit| hit > prompt_tokens) {
        return Err(rows.fault("`hit_tokens` are more than the prompt has"));
    }
    let output_tokens = Some(tokens);
    let request = Sent {
        id: rows.text(1).map(Mark::of),
        left: rows.count(12)?,
        sent,
        scheduled,
        first,
        prompt_tokens,
        output_tokens,
        class,
        ended,
        ..Sent::default()
    };
    let (deadline, hits) = (rows.nanos(15, SECONDS)?, rows.count(10)?.unwrap_or(0));
    run.request(request, deadline, hits).map_err(|fault| fault.or_at(rows.position()))
}

/// The figure of a row that its first and last token and their number do not give, where there is one.
fn odd_figure(
    rows: &Rows,
    ends: Option<(u64, u64)>,
    tokens: u32,
    ended: Ended,
) -> Result<Option<&'static str>, Fault> {
    if let (Some(told), Some((first, last))) = (rows.figure(16)?, ends)
        && tokens > 1
    {
        let own = last.saturating_sub(first) as f64 / 1e9 / f64::from(tokens - 1);
        if (told - own).abs() > own.abs() * 1e-6 + 2e-9 {
            return Ok(Some("tpot_s"));
        }
    }
    let (Some(met), Some(missed)) = (rows.count(18)?, rows.count(19)?) else { return Ok(None) };
    // A token is met, or late by one deadline at least.
    let deadlines = u64::from(met) + u64::from(missed);
    if met > tokens || ended == Ended::Completed && deadlines + 1 < u64::from(tokens) {
        return Ok(Some("met"));
    }
    if let (Some(told), true) = (rows.figure(17)?, ended == Ended::Completed) {
        let own = if deadlines == 0 { 1.0 } else { f64::from(met) / deadlines as f64 };
        if (told - own).abs() > 1e-6 {
            return Ok(Some("fluidity_index"));
        }
    }
    Ok(None)
}
