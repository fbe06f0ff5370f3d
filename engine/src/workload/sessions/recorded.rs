//! Recorded sessions, played: each request goes out its gap after the answers that it waited for when it
//! was recorded, however long these take here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::REJECTED_ROUND_TRIP;
use super::script::{NO_STEP, Script, Step};
use super::turn::SessionTurn;
use crate::content::{Content, Ids, Origin, Parent};
use crate::request::{Request, RequestId};
use crate::time::{Span, Time};
use crate::workload::arrivals::{ArrivalTimes, end_of};
use crate::workload::streams::{Purpose, Stream};
use crate::workload::{
    Arrivals, Arriving, Limits, MAX_REQUESTS, Source, Warning, WorkloadError, WorkloadSpec,
    check_limits, trace_files,
};

/// A source of the requests of recorded sessions. At one instant requests of running sessions come before
/// those that begin one; a session of which a request is turned away ends with those that are out. A clone
/// of a fresh source plays the same game again.
#[derive(Clone, Debug)]
pub struct RecordedSessions {
    script: Arc<Script>,
    starts: Starts,
    /// Sessions that have begun: the place of the next one.
    begun: u32,
    /// Steps that are to come, with their sessions.
    due: BinaryHeap<Reverse<(Time, u32, u32)>>,
    live: FxHashMap<u32, Live>,
    /// The request of each step that was sent.
    sent: Vec<RequestId>,
    /// When that was.
    sent_at: Vec<Time>,
    /// Session and step of each request.
    taken: Vec<(u32, u32)>,
    luck: Stream,
    warnings: Arc<[Warning]>,
}

#[derive(Clone, Debug)]
enum Starts {
    /// When each session begins; those behind the last never do.
    Open(Arc<[Time]>),
    /// Users who begin the next session when one has ended.
    Users { free: BinaryHeap<Reverse<(Time, u32)>>, think_time: Span, end: Time, most: u32 },
}

#[derive(Clone, Debug)]
struct Live {
    /// By step of the session: answers that it still waits for.
    waits: Box<[u32]>,
    /// Requests that are out or due.
    open: u32,
    /// Whether one was turned away.
    ended: bool,
    user: u32,
}

/// No request.
const NOT_SENT: RequestId = RequestId(u32::MAX);

impl RecordedSessions {
    /// The sessions of a trace that is to be played by its answers.
    ///
    /// # Errors
    /// When the file cannot be read or is not what it should be, and when its sessions have no times of
    /// their own and the description gives none.
    pub fn new(
        spec: &WorkloadSpec,
        seed: u64,
        limits: Limits,
    ) -> Result<RecordedSessions, WorkloadError> {
        check_limits(spec, limits)?;
        let Source::Trace(trace) = &spec.source else {
            return Err(WorkloadError::spec("trace", "the workload has none"));
        };
        if spec.prefix_groups.is_some() {
            let message = "sessions of a trace say themselves what they share";
            return Err(WorkloadError::spec("prefix_groups", message));
        }
        let mut warnings = Vec::new();
        let script = trace_files::read_sessions(trace, spec, seed, limits, &mut warnings)?;
        let count = script.sessions.len() as u32;
        let most = spec.amount.requests.map_or(count, |asked| asked.min(count));
        let end = end_of(spec.amount.duration);
        let starts = match trace.arrivals.as_ref() {
            Some(&Arrivals::ClosedLoop { users, think_time }) => {
                if users == 0 || users > MAX_REQUESTS {
                    return Err(WorkloadError::spec(
                        "trace.arrivals.closed_loop.users",
                        format!("expected 1 to {MAX_REQUESTS}, found {users}"),
                    ));
                }
                let free = (0..users).map(|user| Reverse((Time::ZERO, user))).collect();
                Starts::Users { free, think_time, end, most }
            }
            Some(arrivals) => {
                let mut process = ArrivalTimes::new(arrivals, spec.amount, seed, Some(most))?;
                let mut times = Vec::new();
                while let Some(time) = process.next()? {
                    times.push(time);
                }
                Starts::Open(times.into())
            }
            None => {
                let own = script.sessions.iter().map(|session| session.start);
                Starts::Open(own.take(most as usize).take_while(|&start| start < end).collect())
            }
        };
        Ok(RecordedSessions {
            sent: vec![NOT_SENT; script.steps.len()],
            sent_at: vec![Time::ZERO; script.steps.len()],
            script: Arc::new(script),
            starts,
            begun: 0,
            due: BinaryHeap::new(),
            live: FxHashMap::default(),
            taken: Vec::new(),
            luck: Stream::new(seed, Purpose::Luck),
            warnings: warnings.into(),
        })
    }

    /// What a user should know.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Requests of all sessions that can begin.
    pub fn requests_max(&self) -> u32 {
        self.script.sessions.iter().take(self.sessions_max()).map(|session| session.steps).sum()
    }

    /// Sessions that can begin.
    pub fn sessions_max(&self) -> usize {
        match &self.starts {
            Starts::Open(times) => times.len(),
            Starts::Users { most, .. } => *most as usize,
        }
    }

    /// When sessions begin that do so by themselves.
    pub fn starts(&self) -> &[Time] {
        match &self.starts {
            Starts::Open(times) => times,
            Starts::Users { .. } => &[],
        }
    }

    /// What is known of the tokens of a request taken.
    pub fn origin(&self, request: RequestId) -> Origin {
        let step = self.step(request);
        let ids = Ids::of(&self.script.ids, step.blocks);
        let parent = (ids.is_none() && step.inherits > 0)
            .then(|| Parent { request: self.sent[step.before as usize], tokens: step.inherits });
        Origin { ids, covers: step.covers, parent, own_is_met: step.own_is_met }
    }

    fn step(&self, request: RequestId) -> &Step {
        &self.script.steps[self.taken[request.index()].1 as usize]
    }

    fn next_start(&self) -> Option<Time> {
        if self.begun as usize >= self.sessions_max() {
            return None;
        }
        match &self.starts {
            Starts::Open(times) => Some(times[self.begun as usize]),
            Starts::Users { free, end, .. } => {
                free.peek().map(|Reverse((at, _))| *at).filter(|at| at < end)
            }
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Begins the next session: its number and its first step.
    fn begin(&mut self) -> (u32, u32) {
        let session = self.begun;
        self.begun += 1;
        let user = match &mut self.starts {
            Starts::Open(_) => 0,
            Starts::Users { free, .. } => free.pop().expect("a user is free").0.1,
        };
        let of = self.script.sessions[session as usize];
        let steps = &self.script.steps[of.first as usize..][..of.steps as usize];
        let waits = steps.iter().map(|step| step.waits).collect();
        self.live.insert(session, Live { waits, open: 1, ended: false, user });
        (session, of.first)
    }

    fn closed(&mut self, request: RequestId, at: Time, turned_away: bool) {
        let (session, place) = self.taken[request.index()];
        let script = Arc::clone(&self.script);
        let first = script.sessions[session as usize].first;
        let Some(live) = self.live.get_mut(&session) else { return };
        live.open -= 1;
        live.ended |= turned_away;
        let (from, count) = script.steps[place as usize].then;
        for &next in &script.edges[from as usize..][..count as usize] {
            let waits = &mut live.waits[(next - first) as usize];
            *waits -= 1;
            if *waits > 0 || live.ended {
                continue;
            }
            // The answers before it ended sooner.
            let step = &script.steps[next as usize];
            let before = match step.before {
                NO_STEP => Time::ZERO,
                before => self.sent_at[before as usize],
            };
            let own = before.as_nanos().saturating_add(step.apart.as_nanos());
            if let Some(ns) = at.as_nanos().checked_add(step.gap.as_nanos()) {
                let ns = ns.max(own);
                live.open += 1;
                self.due.push(Reverse((Time::from_nanos(ns), session, next)));
            }
        }
        if live.open > 0 {
            return;
        }
        let user = live.user;
        self.live.remove(&session);
        if let Starts::Users { free, think_time, .. } = &mut self.starts {
            let pause =
                if turned_away { (*think_time).max(REJECTED_ROUND_TRIP) } else { *think_time };
            if let Some(ns) = at.as_nanos().checked_add(pause.as_nanos()) {
                free.push(Reverse((Time::from_nanos(ns), user)));
            }
        }
    }
}

impl Arriving for RecordedSessions {
    fn next_arrival(&self) -> Option<Time> {
        match (self.next_due(), self.next_start()) {
            (Some(due), Some(start)) => Some(due.min(start)),
            (one, other) => one.or(other),
        }
    }

    fn take(&mut self) -> Request {
        let (due, start) = (self.next_due(), self.next_start());
        let goes_on = due.is_some_and(|due| start.is_none_or(|start| due <= start));
        let (arrival, session, place) = match goes_on {
            true => self.due.pop().expect("a request is due").0,
            false => {
                let at = start.expect("no request is due");
                let (session, first) = self.begin();
                (at, session, first)
            }
        };
        self.sent[place as usize] = RequestId::at(self.taken.len());
        self.sent_at[place as usize] = arrival;
        self.taken.push((session, place));
        let step = &self.script.steps[place as usize];
        Request {
            arrival,
            prompt_tokens: step.prompt_tokens,
            output_tokens: step.output_tokens,
            max_tokens: step.max_tokens,
            priority: step.priority,
            class: step.class,
        }
    }

    fn finished(&mut self, request: RequestId, at: Time) {
        self.closed(request, at, false);
    }

    fn turned_away(&mut self, request: RequestId, at: Time) {
        self.closed(request, at, true);
    }

    fn session(&self, request: RequestId) -> Option<u32> {
        self.taken.get(request.index()).map(|&(session, _)| session)
    }

    fn answers_bring_arrivals(&self) -> bool {
        true
    }

    fn content(&self, request: RequestId) -> Content {
        Content::of(request, self.script.id_tokens, |id| self.origin(id))
    }

    fn number(&self, request: RequestId) -> RequestId {
        let (_, place) = self.taken[request.index()];
        RequestId(self.luck.at(place.into()).bits() as u32)
    }

    fn classes(&self) -> &[String] {
        &self.script.classes
    }

    fn session_turns(&self) -> Vec<SessionTurn> {
        let turn = |&(session, place): &(u32, u32)| {
            let step = &self.script.steps[place as usize];
            SessionTurn {
                session,
                turn: step.turn,
                before: (step.before != NO_STEP).then(|| self.sent[step.before as usize]),
                inherits: step.inherits,
                prefix_tokens: 0,
                gap: step.gap,
                kind: step.kind,
                is_last: step.is_last,
            }
        };
        self.taken.iter().map(turn).collect()
    }
}
