//! The playground's server: one page and its answers, for a browser on this machine.
//!
//! It knows two addresses, `/` and `/answer`, both answered from memory: nothing that a request
//! says becomes a path. Every request names a host that it was meant for, so that a page from
//! elsewhere cannot reach it through a name of its own (DNS rebinding); slow and large requests
//! end at stated limits and keep nobody waiting.

mod guard;
mod http;
mod room;

use std::io::Write;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::playground::page::{Engine, page};
use crate::playground::{Allowance, Weight, answer_within};
use crate::scenario::Files;
use guard::Guard;
use http::{Refused, Request, Status};
use room::{Room, Turn};

/// Connections at once; more are told to come again.
pub const CONNECTIONS_MAX: usize = 128;
/// How long a request may take to arrive, and an answer to leave.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a question waits for its turn.
const QUEUE_PATIENCE: Duration = Duration::from_secs(20);
/// How long the work on one question may take.
const WORK_MAX: Duration = Duration::from_secs(20);
/// How often a question that is worked on is looked after.
const LOOK: Duration = Duration::from_millis(100);

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
    html: String,
    policy: String,
    files: Files,
    guard: Guard,
    open: AtomicUsize,
    room: Room,
}

/// Serves until the program ends.
///
/// # Errors
/// When connections cannot be accepted any more.
pub fn serve(listener: &TcpListener, served: Served) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    let page = page(served.scenario.as_deref(), Engine::Server);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shared = Arc::new(Shared {
        html: page.html,
        policy: page.policy,
        files: served.files,
        guard: Guard::new(&served.listen, address),
        open: AtomicUsize::new(0),
        room: Room::new(cores),
    });
    let mut failed = 0;
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // A client that went away is no reason to end; a broken socket is.
            Err(error) => {
                failed += 1;
                if failed > 100 {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
        };
        failed = 0;
        if shared.open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            shared.open.fetch_sub(1, Ordering::SeqCst);
            let _ = stream.set_nonblocking(true);
            let busy = busy("too many connections");
            let _ = write!(&stream, "{}", busy.response());
            continue;
        }
        let own = Arc::clone(&shared);
        let started = std::thread::Builder::new().name("connection".to_owned()).spawn(move || {
            connection(&stream, &own);
            own.open.fetch_sub(1, Ordering::SeqCst);
        });
        if started.is_err() {
            shared.open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Whether this is an address of this machine alone.
pub fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

fn connection(stream: &TcpStream, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(PATIENCE));
    let request = Request::read(stream, Instant::now() + PATIENCE, |head| {
        shared.guard.check(head)?;
        route(head)
    });
    let sent = match request {
        Ok(request) => respond(stream, shared, &request),
        Err(None) => return,
        Err(Some(refused)) => {
            (&*stream).write_all(refused.response().as_bytes()).map(|()| refused.unread)
        }
    };
    if let Ok(true) = sent {
        http::linger(stream);
    }
}

/// Whether the server knows what is asked for, before any body is read.
fn route(head: &http::Head) -> Result<(), Refused> {
    let allowed = match head.path() {
        "/" => ["GET", "HEAD"].as_slice(),
        "/answer" => &["POST"],
        _ => return Err(Refused::new(Status::NOT_FOUND, "there is / and /answer")),
    };
    if !allowed.contains(&head.method.as_str()) {
        let refused = Refused::new(Status::WRONG_METHOD, "not with this method");
        return Err(refused.header("Allow", &allowed.join(", ")));
    }
    if head.path() == "/answer" && !head.is_json() {
        let message = "questions are application/json";
        return Err(Refused::new(Status::WRONG_TYPE, message));
    }
    Ok(())
}

/// Sends the answer; whether something was left unread.
fn respond(stream: &TcpStream, shared: &Shared, request: &Request) -> std::io::Result<bool> {
    let mut stream = stream;
    if request.head.path() == "/" {
        let head = http::response_head(
            Status::OK,
            "text/html; charset=utf-8",
            shared.html.len(),
            &[("Content-Security-Policy", &shared.policy)],
        );
        stream.write_all(head.as_bytes())?;
        if request.head.method == "GET" {
            stream.write_all(shared.html.as_bytes())?;
        }
        return Ok(false);
    }
    let Ok(question) = std::str::from_utf8(&request.body) else {
        let refused = Refused::new(Status::BAD, "the question is not UTF-8");
        return stream.write_all(refused.response().as_bytes()).map(|()| false);
    };
    let Some(turn) = shared.room.enter(QUEUE_PATIENCE) else {
        let busy = busy("too many questions at once");
        return stream.write_all(busy.response().as_bytes()).map(|()| false);
    };
    let answered = answered(stream, shared, question, &turn);
    let refused = turn.refused.get();
    drop(turn);
    match answered {
        Ok(None) => Ok(false),
        Ok(Some(_)) if refused => {
            let busy = busy("other questions take all of the room");
            stream.write_all(busy.response().as_bytes()).map(|()| false)
        }
        Ok(Some(text)) => {
            let head = http::response_head(Status::OK, "application/json", text.len(), &[]);
            stream.write_all(head.as_bytes())?;
            stream.write_all(text.as_bytes()).map(|()| false)
        }
        Err(_) => {
            let refused = Refused::new(Status::FAILED, "an internal error; see the terminal");
            stream.write_all(refused.response().as_bytes()).map(|()| false)
        }
    }
}

/// Everything is taken; seconds after which to ask again.
fn busy(why: &str) -> Refused {
    Refused::new(Status::BUSY, why).header("Retry-After", "2")
}

/// Works on a question, until it is answered, takes too long, or its page has moved on: then there is
/// no answer.
fn answered(
    stream: &TcpStream,
    shared: &Shared,
    question: &str,
    turn: &Turn<'_>,
) -> std::thread::Result<Option<String>> {
    if http::gone(stream) {
        return Ok(None);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (done, gone) = (AtomicBool::new(false), AtomicBool::new(false));
    let began: Mutex<Option<Instant>> = Mutex::default();
    let began = || began.lock().unwrap_or_else(PoisonError::into_inner);
    let admit = |weight: Weight| {
        let admitted = turn.weigh(weight, QUEUE_PATIENCE, &stop);
        *began() = Some(Instant::now());
        admitted
    };
    let look_after = || {
        while !done.load(Ordering::Relaxed) {
            std::thread::park_timeout(LOOK);
            let late = began().is_some_and(|began| began.elapsed() > WORK_MAX);
            if !done.load(Ordering::Relaxed) && http::gone(stream) {
                gone.store(true, Ordering::Relaxed);
            }
            if late || gone.load(Ordering::Relaxed) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    };
    let answered = std::thread::scope(|scope| {
        let watch = std::thread::Builder::new().name("watch".to_owned());
        let watching = watch.spawn_scoped(scope, look_after);
        let allowance = Allowance { stop: Arc::clone(&stop), admit: &admit };
        let work = || answer_within(question, &shared.files, &allowance);
        let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        if let Ok(watching) = watching {
            watching.thread().unpark();
        }
        answered
    });
    if gone.load(Ordering::Relaxed) { Ok(None) } else { answered.map(Some) }
}
