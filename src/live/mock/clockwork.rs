//! The simulated engine, kept in step with the wall clock by a thread of its own: requests enter when they
//! come, and tokens are handed out when they are due.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::metrics::Metrics;
use crate::content::{Ids, Origin};
use crate::fleet::FleetSetup;
use crate::ids::RequestId;
use crate::request::Request;
use crate::sim::{Coming, Live, Outcome, Rejection, Told};
use crate::time::{Span, Time};

/// Simulated time beside the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    /// Simulated seconds a second.
    speed: f64,
}

impl Clock {
    pub(super) fn starting_now(speed: f64) -> Clock {
        Clock { start: Instant::now(), speed }
    }

    /// The simulated instant of a moment.
    fn time(&self, at: Instant) -> Time {
        let passed = at.saturating_duration_since(self.start).as_nanos() as f64;
        match self.speed {
            1.0 => Time::from_nanos(at.saturating_duration_since(self.start).as_nanos() as u64),
            speed => Time::from_nanos((passed * speed) as u64),
        }
    }

    /// The moment of a simulated instant.
    fn moment(&self, at: Time) -> Instant {
        let ns = match self.speed {
            1.0 => at.as_nanos(),
            speed => (at.as_nanos() as f64 / speed).ceil() as u64,
        };
        self.start + Duration::from_nanos(ns)
    }
}

/// A request for the engine.
#[derive(Debug)]
pub(super) struct Ask {
    /// When it had come in whole.
    pub came: Instant,
    /// Lengths, class and priority; the arrival is filled in.
    pub request: Request,
    /// What its tokens are, in blocks: of prompt and answer.
    pub ids: Vec<u64>,
    /// Tokens that these ids cover.
    pub covers: u32,
    pub session: Option<u32>,
    /// Where to say what becomes of it.
    pub reply: UnboundedSender<Said>,
}

/// What the engine says of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    /// It waits, or runs.
    Entered,
    /// Tokens.
    Tokens {
        /// When they were due.
        due: Instant,
        count: u32,
        /// Whether these are the last.
        last: bool,
        /// Prompt tokens that were found in a prefix cache.
        cached: u32,
    },
    /// It will get nothing, or no more.
    Rejected(Rejection),
}

enum Command {
    Ask(Box<Ask>),
    Metrics(oneshot::Sender<String>),
    Stop,
}

/// The engine's thread, seen from elsewhere.
#[derive(Clone)]
pub(super) struct Engine {
    commands: Sender<Command>,
}

/// What the thread works on.
pub(super) struct Orders(Receiver<Command>);

impl Engine {
    pub(super) fn new() -> (Engine, Orders) {
        let (commands, orders) = channel();
        (Engine { commands }, Orders(orders))
    }

    /// Hands a request over. Where the engine has stopped nothing comes back.
    pub(super) fn ask(
        &self,
        ask: impl FnOnce(UnboundedSender<Said>) -> Ask,
    ) -> UnboundedReceiver<Said> {
        let (reply, said) = unbounded_channel();
        let _ = self.commands.send(Command::Ask(Box::new(ask(reply))));
        said
    }

    /// The metrics page; `None` where the engine has stopped.
    pub(super) async fn metrics(&self) -> Option<String> {
        let (reply, page) = oneshot::channel();
        self.commands.send(Command::Metrics(reply)).ok()?;
        page.await.ok()
    }

    pub(super) fn stop(&self) {
        let _ = self.commands.send(Command::Stop);
    }
}

/// What came to the engine and what it did, in simulated time.
#[derive(Debug)]
pub struct Played {
    /// All token times.
    pub outcome: Outcome,
    /// The requests at the instants at which they entered.
    pub requests: Vec<Request>,
    /// The content ids of each.
    pub ids: Vec<Vec<u64>>,
    /// The session of each.
    pub sessions: Vec<Option<u32>>,
    /// Why the engine came to a stop by itself, where it did.
    pub broken: Option<String>,
}

/// Plays until it is told to stop.
pub(super) fn play(
    setup: &FleetSetup<'_>,
    classes: Vec<String>,
    id_tokens: u32,
    clock: Clock,
    orders: &Orders,
    mut metrics: Metrics,
) -> Played {
    let mut desk = Desk {
        live: Live::new(setup, classes, id_tokens),
        open: Vec::new(),
        requests: Vec::new(),
        ids: Vec::new(),
        sessions: Vec::new(),
    };
    let mut broken = None;
    loop {
        let due = desk.live.due().map(|at| clock.moment(at));
        let order = match due {
            None => orders.0.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => match due.saturating_duration_since(Instant::now()) {
                Duration::ZERO => match orders.0.try_recv() {
                    Ok(order) => Ok(order),
                    Err(TryRecvError::Empty) => Err(RecvTimeoutError::Timeout),
                    Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
                },
                wait => orders.0.recv_timeout(wait),
            },
        };
        match order {
            Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(Command::Metrics(reply)) => {
                let _ = reply.send(metrics.page(&desk.live));
            }
            Ok(Command::Ask(ask)) => {
                // What was due before it came is played first, and told.
                let came = clock.time(ask.came);
                desk.let_in(*ask, came, &mut metrics);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let played = desk.live.advance(clock.time(Instant::now()));
        desk.tell(clock, &mut metrics);
        if let Err(error) = played {
            broken = Some(error.to_string());
            break;
        }
    }
    let Desk { live, requests, ids, sessions, .. } = desk;
    Played { outcome: live.close(setup), requests, ids, sessions, broken }
}

/// Whose tokens go where.
struct Desk<'a> {
    live: Live<'a>,
    /// By request; none where it has ended or its client is gone.
    open: Vec<Option<Open>>,
    requests: Vec<Request>,
    ids: Vec<Vec<u64>>,
    sessions: Vec<Option<u32>>,
}

struct Open {
    reply: UnboundedSender<Said>,
    greeted: bool,
}

impl Desk<'_> {
    fn let_in(&mut self, ask: Ask, came: Time, metrics: &mut Metrics) {
        let Ask { mut request, ids, covers, session, reply, .. } = ask;
        request.arrival = came;
        let origin = Origin {
            ids: Ids::all(ids.clone()),
            covers,
            parent: None,
            own_is_met: covers > request.prompt_tokens,
        };
        let (_, entered) = self.live.arrive(Coming { request, origin, session });
        request.arrival = entered;
        metrics.arrive(&request);
        self.requests.push(request);
        self.ids.push(ids);
        self.sessions.push(session);
        self.open.push(Some(Open { reply, greeted: false }));
    }

    fn tell(&mut self, clock: Clock, metrics: &mut Metrics) {
        for told in self.live.told() {
            match told {
                Told::Tokens { request, at, count, last } => {
                    metrics.tokens(request, at, count, last, &self.live);
                    let cached = self.live.hit_tokens(request);
                    let said = Said::Tokens { due: clock.moment(at), count, last, cached };
                    self.say(request, said, last);
                }
                Told::Rejected { request, why, .. } => {
                    metrics.rejected();
                    self.say(request, Said::Rejected(why), true);
                }
            }
        }
        // Who came and was not turned away has entered.
        for open in self.open.iter_mut().rev().map_while(Option::as_mut) {
            if open.greeted {
                break;
            }
            open.greeted = true;
            let _ = open.reply.send(Said::Entered);
        }
    }

    fn say(&mut self, request: RequestId, said: Said, ends: bool) {
        let place = &mut self.open[request.index()];
        let Some(open) = place else { return };
        if !open.greeted && matches!(said, Said::Tokens { .. }) {
            open.greeted = true;
            let _ = open.reply.send(Said::Entered);
        }
        if open.reply.send(said).is_err() || ends {
            *place = None;
        }
    }
}

/// Nanoseconds of simulated time in seconds.
pub(super) fn seconds(span: Span) -> f64 {
    span.as_nanos() as f64 / 1e9
}
