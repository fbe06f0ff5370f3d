//! The playground's server: one page and its answers, for a browser on this machine.
//!
//! It knows two addresses, `/` and `/answer`, both answered from memory: nothing that a request
//! says becomes a path. Every request names a host that it was meant for, so that a page from
//! elsewhere cannot reach it through a name of its own (DNS rebinding); slow and large requests
//! end at stated limits and keep nobody waiting.

mod guard;
mod http;
mod lines;
mod room;

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};

use crate::playground::page::{Engine, page};
use crate::playground::{Allowance, Weight, answer_within};
use crate::scenario::Files;
use guard::Guard;
use http::{Answer, Refused};
use lines::{Lines, Said};
use room::Room;

/// Connections at once; more are told to come again.
pub const CONNECTIONS_MAX: usize = 128;
/// How long a request may take to arrive, and an answer to leave.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a question waits for its turn.
const QUEUE_PATIENCE: Duration = Duration::from_secs(20);
/// How long the work on one question may take.
const WORK_MAX: Duration = Duration::from_secs(20);
/// The same of one that may take long.
const LONG_WORK_MAX: Duration = Duration::from_secs(120);

/// What is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// The scenario to begin with; the page has one of its own.
    pub scenario: Option<String>,
    /// Files that scenarios may name.
    pub files: Files,
    /// The name or address that was asked for, besides those of this machine itself.
    pub listen: String,
}

struct Shared {
    html: Bytes,
    policy: String,
    files: Files,
    guard: Guard,
    open: AtomicUsize,
    room: Room,
}

/// Serves until the program ends.
///
/// # Errors
/// When the system gives no threads, or connections cannot be accepted any more.
pub fn serve(listener: TcpListener, served: Served) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let page = page(served.scenario.as_deref(), Engine::Server);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shared = Arc::new(Shared {
        html: page.html.into(),
        policy: page.policy,
        files: served.files,
        guard: Guard::new(&served.listen, address),
        open: AtomicUsize::new(0),
        room: Room::new(cores),
    });
    // What takes time is done on threads of its own, one for each open question.
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(CONNECTIONS_MAX)
        .enable_all()
        .build()?;
    runtime.block_on(async { accept(tokio::net::TcpListener::from_std(listener)?, shared).await })
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut failed = 0;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // A client that went away is no reason to end; a broken socket is.
            Err(error) => {
                failed += 1;
                if failed > 100 {
                    return Err(error);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        failed = 0;
        let turned_away = shared.open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX;
        let own = Arc::clone(&shared);
        tokio::spawn(async move {
            connection(stream, Arc::clone(&own), turned_away).await;
            own.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Whether this is an address of this machine alone.
pub fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

/// One connection, which has one request.
async fn connection(stream: TcpStream, shared: Arc<Shared>, turned_away: bool) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            http::sent(match turned_away {
                true => Refused::busy("too many connections").answer(),
                false => answered(request, &shared).await,
            })
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .keep_alive(false)
        .title_case_headers(true)
        .max_buf_size(http::HEAD_BYTES_MAX)
        .max_headers(http::HEADERS_MAX)
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE);
    // A client that goes away is no error of ours; one that reads nothing is left.
    let served = builder.serve_connection(TokioIo::new(stream), service);
    let longest = 2 * PATIENCE + QUEUE_PATIENCE * 2 + LONG_WORK_MAX;
    let _ = tokio::time::timeout(longest, served).await;
}

async fn answered(request: Request<Incoming>, shared: &Arc<Shared>) -> Answer {
    let checked = shared.guard.check(request.method(), request.headers());
    if let Err(refused) = checked.and_then(|()| route(&request)) {
        http::linger(request).await;
        return refused.answer();
    }
    if request.uri().path() == "/" {
        // Of a HEAD only the head is sent.
        let html = shared.html.clone();
        return http::answer(
            StatusCode::OK,
            "text/html; charset=utf-8",
            html,
            Some(&shared.policy),
        );
    }
    match question(request, shared).await {
        Ok(answer) => answer,
        Err(refused) => refused.answer(),
    }
}

/// Whether the server knows what is asked for, before any body is read.
fn route(request: &Request<Incoming>) -> Result<(), Refused> {
    // An address of another server has no place here.
    if request.uri().authority().is_some() || !request.uri().path().starts_with('/') {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "expected a path"));
    }
    let method = request.method();
    match request.uri().path() {
        "/" if [Method::GET, Method::HEAD].contains(method) => {}
        "/" => return Err(Refused::method("GET, HEAD")),
        "/answer" if method == Method::POST => {}
        "/answer" => return Err(Refused::method("POST")),
        _ => return Err(Refused::new(StatusCode::NOT_FOUND, "there is / and /answer")),
    }
    if request.uri().path() == "/answer" && !http::is_json(request.headers()) {
        let message = "questions are application/json";
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    http::check_length(method, request.headers())
}

/// Ends the work on a question when nobody waits for it any more.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn question(request: Request<Incoming>, shared: &Arc<Shared>) -> Result<Answer, Refused> {
    let body = http::body(request).await?;
    let Ok(question) = String::from_utf8(body.into()) else {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "the question is not UTF-8"));
    };
    let stop = Arc::new(AtomicBool::new(false));
    let wanted = Wanted(Arc::clone(&stop));
    let (own, handle) = (Arc::clone(shared), Handle::current());
    let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
    tokio::task::spawn_blocking(move || {
        let tell = |line| drop(say.send(Said::Told(line)));
        let answered = work(&question, &own, &stop, &handle, &tell);
        // Nobody listens where the page has gone.
        let _ = say.send(Said::Answered(answered));
    });
    match said.recv().await {
        Some(Said::Answered(answered)) => {
            answered.map(|text| http::answer(StatusCode::OK, "application/json", text, None))
        }
        Some(Said::Told(first)) => Ok(http::by_line(Lines::new(first, said, wanted))),
        None => {
            let message = "an internal error; see the terminal";
            Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}

/// Works on a question until it is answered, takes too long, or nobody wants to know any more.
fn work(
    question: &str,
    shared: &Shared,
    stop: &Arc<AtomicBool>,
    handle: &Handle,
    tell: &(dyn Fn(String) + Sync),
) -> Result<String, Refused> {
    let turn = shared.room.enter(QUEUE_PATIENCE);
    let turn = turn.ok_or_else(|| Refused::busy("too many questions at once"))?;
    let admit = |weight: Weight| {
        let admitted = turn.weigh(weight, QUEUE_PATIENCE, stop);
        let stop = Arc::clone(stop);
        let most = if weight.long { LONG_WORK_MAX } else { WORK_MAX };
        handle.spawn(async move {
            tokio::time::sleep(most).await;
            stop.store(true, Ordering::Relaxed);
        });
        admitted
    };
    let allowance = Allowance { stop: Arc::clone(stop), admit: &admit, tell };
    let text = answer_within(question, &shared.files, &allowance);
    match turn.refused.get() {
        true => Err(Refused::busy("other questions take all of the room")),
        false => Ok(text),
    }
}
