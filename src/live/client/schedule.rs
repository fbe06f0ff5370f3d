//! The instants of a run: each request is sent when it is due, whatever became of those before it. Only
//! users of a closed loop wait for their answers, and turns for the turn before.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::connection::Http;
use super::exchange::{Ended, Exchange, Outgoing, Stop, exchange};
use super::probe::Dialect;
use super::prompts::Speaker;
use crate::content::Origin;
use crate::ids::RequestId;
use crate::live::Lateness;
use crate::request::Request;
use crate::runner::Requests;
use crate::time::{Span, Time};
use crate::workload::{Answered, Arriving, OpenArrivals, Workload};

/// Time before the first request, so that it is not late itself.
const HEAD_START: Duration = Duration::from_millis(100);
/// How often somebody looks at interrupts and progress.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is measured whether tasks get their turn.
const BEAT: Duration = Duration::from_millis(5);
/// Connections that are opened before a run, at least and at most.
const CONNECTIONS: (usize, usize) = (32, 1024);
/// Requests that are due so soon after the beginning find a connection of their own.
const AT_ONCE: Time = Time::from_nanos(100_000_000);
/// Bodies that are made ahead of their time.
const AHEAD: usize = 16;
/// How long answers may still take once a run was interrupted.
const GRACE: Duration = Duration::from_secs(2);

/// Bounds of a run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When a request is given up.
    pub request_timeout: Duration,
    /// When observation ends, counted from the first instant of the scenario.
    pub horizon: Option<Span>,
    /// The most requests.
    pub requests: Option<u64>,
    /// The most tokens, of prompts and answers together.
    pub tokens: Option<u64>,
    /// Whether answers' texts are kept.
    pub keeps_text: bool,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// Requests sent, answered, and gone wrong.
    pub sent: u64,
    /// Requests whose answers are whole.
    pub done: u64,
    /// Requests that came to another end.
    pub failed: u64,
    /// Requests in all, where that is known.
    pub of: Option<u64>,
}

/// What a run left.
pub struct Ran {
    /// By request, in the scenario's order.
    pub exchanges: Vec<Exchange>,
    /// What the scenario asked for, in the same order.
    pub asked: Vec<Request>,
    /// How late requests were sent.
    pub lateness: Lateness,
    /// How late the client's tasks got their turn.
    pub beats: Lateness,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Why it ended before the scenario did, where it did.
    pub cut: Option<&'static str>,
}

impl Ran {
    /// Why this measures the client and not the server, where that is so.
    pub fn no_measurement(&self) -> Option<String> {
        let limit = Duration::from_millis(10);
        let ms = |late: Duration| format!("{:.1} ms", late.as_secs_f64() * 1e3);
        let (sent, beat) = (self.lateness.quantile(0.99), self.beats.quantile(0.99));
        if sent > limit {
            Some(format!("requests left the client {} late (P99; at most 10 ms)", ms(sent)))
        } else if beat > limit {
            Some(format!(
                "the client was saturated: its tasks got their turn {} late (P99; at most 10 ms), and \
                 tokens were read as late",
                ms(beat)
            ))
        } else {
            None
        }
    }
}

/// The scenario's requests as they become due.
enum Source<'a> {
    Open(&'a Workload, OpenArrivals<'a>),
    Closed(Box<Answered>),
}

impl<'a> Source<'a> {
    fn of(requests: &'a Requests) -> Source<'a> {
        match requests {
            Requests::Open(workload) => Source::Open(workload, workload.arriving()),
            Requests::Closed(source) => Source::Closed(source.clone()),
        }
    }

    fn arriving(&mut self) -> &mut dyn Arriving {
        match self {
            Source::Open(_, arriving) => arriving,
            Source::Closed(source) => &mut **source,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Source::Open(..))
    }

    fn session(&self, request: RequestId) -> Option<u32> {
        match self {
            Source::Open(_, arriving) => arriving.session(request),
            Source::Closed(source) => source.session(request),
        }
    }

    fn origin(&self, request: RequestId) -> Origin {
        match self {
            Source::Open(workload, _) => workload.origin(request),
            Source::Closed(source) => source.origin(request),
        }
    }
}

/// A request that is ready to go.
struct Ready {
    id: RequestId,
    due: Time,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
}

struct Driver<'a> {
    source: Source<'a>,
    dialect: &'a Dialect,
    speaker: &'a Speaker,
    priorities: bool,
    asked: Vec<Request>,
    /// Made ahead, in order of their due times.
    ready: std::collections::VecDeque<Ready>,
    /// Turns that wait for the end of the turn before, by that.
    waiting: HashMap<RequestId, Vec<Ready>>,
    /// Turns whose turn before has ended, by when they are due.
    released: BinaryHeap<Reverse<(Time, RequestId)>>,
    bodies: HashMap<RequestId, Ready>,
    /// When each request came to its end.
    ended: HashMap<RequestId, Time>,
    /// When it was last known of each session that an answer was whole: its user could not go on before.
    known: HashMap<u32, Time>,
    limits: Limits,
    tokens: u64,
    cut: Option<&'static str>,
}

/// Sends all requests of a scenario to a server and waits for the answers. `watch` is told now and then how
/// far it is, and ends the run by saying no.
pub fn drive(
    runtime: &Runtime,
    http: &Arc<Http>,
    (dialect, speaker): (&Dialect, &Speaker),
    requests: &Requests,
    limits: Limits,
    watch: &mut dyn FnMut(&Watch) -> bool,
) -> Ran {
    let of = match requests {
        Requests::Open(workload) => Some(workload.requests.len() as u64),
        Requests::Closed(source) => source.is_bounded().then(|| source.requests_max().into()),
    };
    let mut driver = Driver {
        source: Source::of(requests),
        dialect,
        speaker,
        priorities: match requests {
            Requests::Open(workload) => workload.requests.iter().any(|r| r.priority != 0),
            Requests::Closed(_) => false,
        },
        asked: Vec::new(),
        ready: std::collections::VecDeque::new(),
        waiting: HashMap::new(),
        released: BinaryHeap::new(),
        bodies: HashMap::new(),
        ended: HashMap::new(),
        known: HashMap::new(),
        limits,
        tokens: 0,
        cut: None,
    };
    driver.make_ahead(requests.classes());
    let at_once = match requests {
        Requests::Open(workload) => workload.requests.partition_point(|r| r.arrival <= AT_ONCE),
        Requests::Closed(_) => driver.ready.len(),
    };
    let all = of.map_or(usize::MAX, |of| usize::try_from(of).unwrap_or(usize::MAX));
    runtime.block_on(http.open_ahead(at_once.clamp(CONNECTIONS.0, CONNECTIONS.1).min(all)));
    let beats = Arc::new(Lateness::default());
    let beating = runtime.spawn(beat(Arc::clone(&beats)));
    let began = Instant::now() + HEAD_START;
    let (finished, finishes) = channel();
    let (stop, stopped) = watch::channel(Stop::No);
    let mut state = Watch { of, ..Watch::default() };
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut interrupted = None;
    let path: Arc<str> = dialect.path(&http.target.prefix).into();
    let horizon = limits.horizon.map(|span| began + Duration::from_nanos(span.as_nanos()));
    loop {
        driver.take_in(&finishes, &mut exchanges, &mut state);
        let now = Instant::now();
        if !watch(&state) && interrupted.is_none() {
            interrupted = Some(now);
            let _ = stop.send(Stop::Interrupted);
        }
        if horizon.is_some_and(|end| now >= end) && *stop.borrow() == Stop::No {
            let _ = stop.send(Stop::Over);
        }
        let open = state.sent - exchanges.len() as u64;
        let ended = *stop.borrow() != Stop::No;
        let next = if ended { None } else { driver.next_due() };
        if open == 0 && (ended || next.is_none()) {
            break;
        }
        if interrupted.is_some_and(|at| now > at + GRACE) {
            break;
        }
        let due = next.map(|at| began + Duration::from_nanos(at.as_nanos()));
        match due {
            Some(due) if due <= now => {
                let Some(ready) = driver.take_due(requests.classes()) else { continue };
                let outgoing = Outgoing {
                    index: ready.id.0,
                    path: Arc::clone(&path),
                    body: ready.body,
                    due: began + Duration::from_nanos(ready.due.as_nanos()),
                    until: now + limits.request_timeout,
                    headers: ready.headers,
                    keeps: limits.keeps_text,
                };
                state.sent += 1;
                let (http, finished, stopped) =
                    (Arc::clone(http), finished.clone(), stopped.clone());
                runtime.spawn(async move {
                    let _ = finished.send(exchange(http, outgoing, began, stopped).await);
                });
                driver.make_ahead(requests.classes());
            }
            _ => {
                let wait = due.map_or(LOOK, |due| due.saturating_duration_since(now).min(LOOK));
                match finishes.recv_timeout(wait) {
                    Ok(exchange) => driver.finish(exchange, &mut exchanges, &mut state),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
                }
            }
        }
    }
    beating.abort();
    exchanges.sort_by_key(|exchange| exchange.index);
    let lateness = Lateness::default();
    for exchange in &exchanges {
        lateness.add(Duration::from_nanos(exchange.sent_ns.saturating_sub(exchange.due_ns)));
    }
    Ran {
        exchanges,
        asked: driver.asked,
        lateness,
        beats: Arc::into_inner(beats).unwrap_or_default(),
        interrupted: interrupted.is_some(),
        cut: driver.cut,
    }
}

/// Measures how late a task gets its turn that asks for one every few milliseconds.
async fn beat(lateness: Arc<Lateness>) {
    loop {
        let due = Instant::now() + BEAT;
        tokio::time::sleep_until(due.into()).await;
        // The timer itself counts in milliseconds.
        let late = Instant::now().saturating_duration_since(due);
        lateness.add(late.saturating_sub(Duration::from_millis(1)));
    }
}

impl Driver<'_> {
    fn next_due(&mut self) -> Option<Time> {
        let ready = self.ready.front().map(|ready| ready.due);
        let released = self.released.peek().map(|Reverse((due, _))| *due);
        let coming = match self.cut {
            Some(_) => None,
            None => self.source.arriving().next_arrival(),
        };
        ready.or(coming).into_iter().chain(released).min()
    }

    /// The request that is due first.
    fn take_due(&mut self, classes: &[String]) -> Option<Ready> {
        let ready = self.ready.front().map(|ready| ready.due);
        let released = self.released.peek().map(|Reverse((due, _))| *due);
        match (ready, released) {
            (Some(own), other) if other.is_none_or(|other| own <= other) => self.ready.pop_front(),
            (_, Some(due))
                if !self.source.is_open() || ready.is_some() || self.none_before(due) =>
            {
                let Reverse((due, id)) = self.released.pop()?;
                self.bodies.remove(&id).map(|ready| Ready { due, ..ready })
            }
            _ => self.take(classes),
        }
    }

    fn none_before(&mut self, due: Time) -> bool {
        self.source.arriving().next_arrival().is_none_or(|at| due <= at)
    }

    /// Makes bodies of requests that are known beforehand: of users those with which they begin.
    fn make_ahead(&mut self, classes: &[String]) {
        while !self.source.is_open()
            && self.source.arriving().next_arrival() == Some(Time::ZERO)
            && self.cut.is_none()
        {
            let ready = self.take(classes);
            self.ready.extend(ready);
        }
        while self.source.is_open() && self.ready.len() < AHEAD {
            if self.cut.is_some() || self.source.arriving().next_arrival().is_none() {
                break;
            }
            if let Some(ready) = self.take(classes) {
                self.ready.push_back(ready);
            }
        }
    }

    /// Takes the next request of the scenario; nothing where it has to wait for another, or limits are
    /// reached.
    fn take(&mut self, classes: &[String]) -> Option<Ready> {
        self.source.arriving().next_arrival()?;
        if self.limits.requests.is_some_and(|most| self.asked.len() as u64 >= most) {
            self.cut = Some("--max-requests");
            return None;
        }
        let request = self.source.arriving().take();
        let tokens = u64::from(request.prompt_tokens) + u64::from(request.output_tokens);
        if self.limits.tokens.is_some_and(|most| self.tokens + tokens > most) {
            self.cut = Some("--max-tokens");
            return None;
        }
        self.tokens += tokens;
        let id = RequestId::at(self.asked.len());
        self.asked.push(request);
        let parent = self.source.origin(id).parent;
        let ready = self.make(id, &request, classes);
        match parent.map(|parent| parent.request) {
            Some(parent) => match self.ended.get(&parent) {
                Some(&at) if at <= request.arrival => Some(ready),
                Some(&at) => {
                    self.release(ready, at);
                    None
                }
                None => {
                    self.waiting.entry(parent).or_default().push(ready);
                    None
                }
            },
            None => Some(ready),
        }
    }

    fn make(&self, id: RequestId, request: &Request, classes: &[String]) -> Ready {
        let length = |id: RequestId| self.dialect.units(self.asked[id.index()].prompt_tokens);
        let origin = |id: RequestId| self.source.origin(id);
        let units = self.speaker.units(id, length(id), &origin, &length);
        let priority = self.priorities.then_some(request.priority);
        let body = self.dialect.body(self.speaker, &units, request.output_tokens, priority);
        let mut headers = Vec::new();
        let mut header = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.push((HeaderName::from_static(name), value));
            }
        };
        if let Some(class) = classes.get(request.class.index()).filter(|class| !class.is_empty()) {
            header("x-metron-class", class);
        }
        let session = self.source.session(id);
        if let Some(session) = session {
            header("x-session-id", &session.to_string());
        }
        let known = session.and_then(|session| self.known.get(&session)).copied();
        let due = request.arrival.max(known.unwrap_or(Time::ZERO));
        Ready { id, due, body: body.into(), headers }
    }

    fn release(&mut self, ready: Ready, ended: Time) {
        self.released.push(Reverse((ready.due.max(ended), ready.id)));
        self.bodies.insert(ready.id, ready);
    }

    fn take_in(
        &mut self,
        finishes: &Receiver<Exchange>,
        exchanges: &mut Vec<Exchange>,
        state: &mut Watch,
    ) {
        while let Ok(exchange) = finishes.try_recv() {
            self.finish(exchange, exchanges, state);
        }
    }

    fn finish(&mut self, exchange: Exchange, exchanges: &mut Vec<Exchange>, state: &mut Watch) {
        let (id, at) = (RequestId(exchange.index), Time::from_nanos(exchange.end_ns));
        let completed = matches!(exchange.ended, Ended::Completed);
        match completed {
            true => state.done += 1,
            false => state.failed += 1,
        }
        // What follows the last token, nobody reads.
        let read = exchange.tokens.last().map_or(at, |&(last, _)| Time::from_nanos(last));
        exchanges.push(exchange);
        self.ended.insert(id, at);
        if let (Some(session), false) = (self.source.session(id), self.source.is_open()) {
            self.known.insert(session, at);
        }
        match completed {
            true => self.source.arriving().finished(id, read),
            false => self.source.arriving().turned_away(id, at),
        }
        for ready in self.waiting.remove(&id).unwrap_or_default() {
            self.release(ready, at);
        }
    }
}
