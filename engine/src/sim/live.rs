//! The engine for arrivals that nobody knows beforehand: they enter at their instant, time is played as
//! far as a clock has come, and tokens are told as soon as they are there.
//!
//! It decides as [`play_fleet`](super::play_fleet) does on the same arrivals: every step is an event, as on
//! the slow path, and inside a replica all is as on the fast one.

use std::collections::VecDeque;

use super::calendar::Touch;
use super::engine::{Engine, SimError, SimOptions};
use super::told::{Telling, Told};
use super::{KvUse, Outcome};
use crate::content::{Content, Origin};
use crate::fleet::{EngineLoad, FleetSetup};
use crate::ids::ReplicaId;
use crate::request::{Request, RequestId};
use crate::time::{Span, Time};
use crate::workload::Arriving;

/// A request that has just come in.
#[derive(Clone, Debug)]
pub struct Coming {
    /// What it asks for. Its `arrival` is the instant at which it would enter.
    pub request: Request,
    /// What is known of its tokens.
    pub origin: Origin,
    /// Its conversation, for routers that keep one together.
    pub session: Option<u32>,
}

/// A fleet in the middle of its work.
pub struct Live<'a> {
    engine: Engine<'a>,
    inbox: Inbox,
}

impl<'a> Live<'a> {
    /// An idle fleet at instant zero. Content ids of what comes stand for `id_tokens` tokens each. The
    /// horizon of `setup` is not looked at: who asks says when observation ends.
    pub fn new(setup: &FleetSetup<'a>, classes: Vec<String>, id_tokens: u32) -> Live<'a> {
        let inbox = Inbox { classes, id_tokens, ..Inbox::default() };
        let setup = FleetSetup {
            pools: setup.pools.to_vec(),
            routing: setup.routing.clone(),
            controllers: setup.controllers,
            disaggregation: setup.disaggregation,
            horizon: None,
        };
        let mut engine = Engine::new(&setup, &inbox, SimOptions::default());
        engine.calendar.touch(Touch::Anything);
        engine.tally.telling = Some(Telling::default());
        for server in &mut engine.servers {
            server.replica_mut().name_decodes();
        }
        Live { engine, inbox }
    }

    /// Lets a request in, at its arrival or, where that instant was played already, right after it. Tells
    /// its id and when it enters; what becomes of it is played by [`advance`](Live::advance).
    pub fn arrive(&mut self, mut coming: Coming) -> (RequestId, Time) {
        let soonest = self.engine.calendar.now() + Span::from_nanos(u64::from(self.inbox.began));
        coming.request.arrival = coming.request.arrival.max(soonest).max(self.inbox.latest);
        self.inbox.latest = coming.request.arrival;
        let id = RequestId::at(self.inbox.origins.len() + self.inbox.coming.len());
        let arrival = coming.request.arrival;
        self.inbox.coming.push_back(coming);
        (id, arrival)
    }

    /// When something is due next; `None` where nothing is to come before the next arrival.
    pub fn due(&self) -> Option<Time> {
        let event = self.engine.calendar.next(self.inbox.next_arrival());
        let early = self.early().map(|(at, _)| at);
        event.into_iter().chain(early).min()
    }

    /// Plays all that is due up to `until`, that instant included.
    ///
    /// # Errors
    /// When a policy preempts without end.
    pub fn advance(&mut self, until: Time) -> Result<(), SimError> {
        loop {
            let event = self.engine.calendar.next(self.inbox.next_arrival());
            match self.early() {
                Some((at, replica)) if at <= until && event.is_none_or(|event| at < event) => {
                    self.engine.tell_early(replica);
                }
                _ => match event.filter(|&at| at <= until) {
                    Some(at) => {
                        self.inbox.began = true;
                        self.engine.play_instant(at, &mut self.inbox)?;
                    }
                    None => break,
                },
            }
        }
        Ok(())
    }

    /// Why nothing is due although requests are there, where that is so: a policy runs nothing before
    /// somebody else arrives.
    pub fn stands(&self) -> Option<SimError> {
        match self.due() {
            None => self.engine.nobody_is_stuck().err(),
            Some(_) => None,
        }
    }

    /// What is to be told since the last call, in order of time for each request.
    pub fn told(&mut self) -> Vec<Told> {
        self.engine.tally.telling.as_mut().expect("it tells").take()
    }

    /// The requests and the KV memory of each replica now, in order.
    pub fn loads(&self) -> impl Iterator<Item = EngineLoad> {
        self.engine.servers.iter().map(super::reports::load)
    }

    /// KV memory, preemptions and prefix hits so far, replica by replica.
    pub fn kv_uses(&self) -> impl Iterator<Item = KvUse> {
        self.engine.kv_uses()
    }

    /// Prompt tokens of a request that were found in a prefix cache, once it was admitted.
    pub fn hit_tokens(&self, request: RequestId) -> u32 {
        self.engine.tally.trace.requests.get(request.index()).map_or(0, |row| row.hit_tokens)
    }

    /// When a request was first in a running batch; [`Time::NEVER`] before.
    pub fn scheduled(&self, request: RequestId) -> Time {
        let row = self.engine.tally.trace.requests.get(request.index());
        row.map_or(Time::NEVER, |row| row.scheduled)
    }

    /// The replica that a request was sent to; `None` before it has entered.
    pub fn replica_of(&self, request: RequestId) -> Option<ReplicaId> {
        let trace = &self.engine.tally.trace;
        trace.requests.get(request.index()).map(|row| trace.replica_of(row))
    }

    /// All that it has done, as a run leaves it; requests that are still there are unfinished.
    pub fn close(mut self, setup: &FleetSetup<'_>) -> Outcome {
        let (routes, held) = (self.engine.routes.take(), self.engine.fleet.take_held());
        Outcome { held, ..self.engine.close().into_outcome(setup, routes) }
    }

    /// The first step in flight whose tokens are there before it is over, with its replica.
    fn early(&self) -> Option<(Time, ReplicaId)> {
        let servers = self.engine.servers.iter().zip((0..).map(ReplicaId));
        servers.filter_map(|(server, id)| Some((server.early_tokens_at()?, id))).min()
    }
}

/// Requests that have come and not entered yet.
#[derive(Debug, Default)]
struct Inbox {
    coming: VecDeque<Coming>,
    latest: Time,
    /// Whether an instant was played.
    began: bool,
    /// By request: a turn asks for those before it.
    origins: Vec<Origin>,
    /// By request.
    sessions: Vec<Option<u32>>,
    classes: Vec<String>,
    id_tokens: u32,
}

impl Arriving for Inbox {
    fn next_arrival(&self) -> Option<Time> {
        self.coming.front().map(|coming| coming.request.arrival)
    }

    fn take(&mut self) -> Request {
        let Coming { request, origin, session } = self.coming.pop_front().expect("one has come");
        self.origins.push(origin);
        self.sessions.push(session);
        request
    }

    fn finished(&mut self, _request: RequestId, _at: Time) {}

    fn session(&self, request: RequestId) -> Option<u32> {
        self.sessions[request.index()]
    }

    fn content(&self, request: RequestId) -> Content {
        Content::of(request, self.id_tokens, |id| self.origins[id.index()].clone())
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}
