//! The playground's server: one page and its answers, for a browser on this machine.
//!
//! It knows two addresses, `/` and `/answer`, both answered from memory: nothing that a request
//! says becomes a path. Every request names a host that it was meant for, so that a page from
//! elsewhere cannot reach it through a name of its own (DNS rebinding); slow and large requests
//! end at stated limits and keep nobody waiting.

mod guard;
mod http;

use std::io::Write;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::playground::answer;
use crate::playground::page::{Engine, page};
use crate::scenario::Files;
use guard::Guard;
use http::{Refused, Request, Status};

/// Connections at once; more are told to come again.
pub const CONNECTIONS_MAX: usize = 256;
/// How long a request may take to arrive, and an answer to leave.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a question waits for its turn.
const QUEUE_PATIENCE: Duration = Duration::from_secs(30);

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
    turns: Turns,
}

/// Simulations at once: as many as there are cores.
struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Turns {
    fn take(&self) -> bool {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_timeout_while(free, QUEUE_PATIENCE, |free| *free == 0);
        let (mut free, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let taken = *free > 0;
        *free = free.saturating_sub(1);
        taken
    }

    fn give_back(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
    }
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
        turns: Turns { free: Mutex::new(cores), freed: Condvar::new() },
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
            let busy = Refused::new(Status::BUSY, "too many connections");
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
    if !shared.turns.take() {
        let busy = Refused::new(Status::BUSY, "too many questions at once");
        return stream.write_all(busy.response().as_bytes()).map(|()| false);
    }
    // A page that has moved on does not wait for its answer any more.
    let answered = if http::gone(stream) {
        Ok(None)
    } else {
        let work = std::panic::AssertUnwindSafe(|| answer(question, &shared.files));
        std::panic::catch_unwind(work).map(Some)
    };
    shared.turns.give_back();
    match answered {
        Ok(None) => Ok(false),
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
