//! Sessions: requests of one conversation, each of which waits for the answer to the one before it.
//!
//! Sessions begin on their own, as an open process says, or as users do who begin the next one when one
//! has ended; a closed loop is this with one turn a session. A turn arrives a gap after the last token of
//! the answer before it. What a session says is keyed by session and turn, so it is the same under every
//! scheduler and router; only its times differ.

mod drawn;
mod gaps;
mod recorded;
pub(crate) mod script;
mod spec;
mod turn;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::content::{Content, Origin, Parent};
use crate::request::{Request, RequestId};
use crate::time::{Span, Time};

use super::arrivals::{ArrivalTimes, end_of, too_many_requests};
use super::streams::{Purpose, Stream};
use super::{
    Arrivals, Arriving, Limits, MAX_REQUESTS, Source, Warning, WorkloadError, WorkloadSpec,
    check_limits,
};
use drawn::{Planned, TurnDraws, Who, key_of};
pub use recorded::RecordedSessions;
pub use spec::{Gap, GapKind, GapShape, MaxContext, SessionsSpec, SharedPrefix};
pub use turn::SessionTurn;

/// A session whose first turn is turned away costs its user the round trip of an error, as in a closed
/// loop.
const REJECTED_ROUND_TRIP: Span = Span::from_millis(1);

/// A source of requests that are turns of sessions.
///
/// At one instant turns of running sessions come before new sessions, the session that began first
/// before the others. A session ends with its last turn, with one that is turned away, and where its
/// context is full. A clone of a fresh source plays the same game again.
#[derive(Clone, Debug)]
pub struct Sessions {
    draws: Arc<TurnDraws>,
    block_tokens: u32,
    starts: Starts,
    /// Most sessions in all.
    most: u32,
    /// Whether only a duration was to bound them.
    counted_by_us: bool,
    /// Requests of all sessions together, where it is known which there will be.
    requests: u32,
    /// Sessions that have begun: the number of the next one.
    begun: u32,
    /// Turns after the first that are to come, by session.
    due: BinaryHeap<Reverse<(Time, u32)>>,
    live: FxHashMap<u32, Live>,
    taken: Vec<Taken>,
    luck: Stream,
    warnings: Arc<[Warning]>,
    nominal_rate_per_s: Option<f64>,
}

/// When sessions begin.
#[derive(Clone, Debug)]
enum Starts {
    Open(Arc<[Time]>),
    Users {
        /// Users without a session, by when they begin the next one.
        free: BinaryHeap<Reverse<(Time, u32)>>,
        think_time: Span,
        end: Time,
        /// Sessions that each has begun.
        begun: Vec<u32>,
    },
}

/// A session that is under way.
#[derive(Clone, Debug)]
struct Live {
    who: Who,
    /// The user, where there are users.
    user: u32,
    /// The turn that was sent last, or is to be the first.
    now: Planned,
    /// The one after it.
    after: Option<Planned>,
    /// The request that was sent last.
    last: RequestId,
}

/// What is kept of a request that was sent.
#[derive(Clone, Copy, Debug)]
struct Taken {
    session: u32,
    turn: u32,
    /// The turn before it; itself where it is the first.
    before: RequestId,
    /// The request by which its own tokens are called: the one since which the session has only gone on.
    /// So what a session says is one stretch of text, however many turns say it.
    stream: RequestId,
    /// By which its luck is drawn.
    luck: RequestId,
    inherits: u32,
    prefix: u32,
    prefix_tokens: u32,
    gap: Span,
    kind: GapKind,
    /// Whether the turn after it begins with tokens that are its own: of its answer, or of its prompt
    /// where the answer is left out.
    own_is_met: bool,
    /// Whether it is the last of its session.
    is_last: bool,
}

impl Sessions {
    /// The sessions of a description that asks for some.
    ///
    /// # Errors
    /// When the description has none or cannot be followed, and when nothing bounds them.
    pub fn new(spec: &WorkloadSpec, seed: u64, limits: Limits) -> Result<Sessions, WorkloadError> {
        check_limits(spec, limits)?;
        let Source::Sessions(of) = &spec.source else {
            return Err(WorkloadError::spec("sessions", "the workload has none"));
        };
        if spec.prefix_groups.is_some() {
            return Err(WorkloadError::spec("prefix_groups", "sessions have `shared_prefix`"));
        }
        let draws = TurnDraws::new(spec, of, seed, limits)?;
        let count = spec.amount.requests;
        let mut nominal_rate_per_s = None;
        let starts = match of.arrivals {
            Arrivals::ClosedLoop { users, think_time } => {
                if users == 0 || users > MAX_REQUESTS {
                    return Err(WorkloadError::spec(
                        "sessions.concurrency.users",
                        format!("expected 1 to {MAX_REQUESTS}, found {users}"),
                    ));
                }
                if count.is_none() && spec.amount.duration.is_none() {
                    return Err(WorkloadError::spec(
                        "sessions.count",
                        "nothing says when sessions end to begin",
                    )
                    .with_help("give `count` or `duration`"));
                }
                let end = end_of(spec.amount.duration);
                let free = (0..users).map(|user| Reverse((Time::ZERO, user))).collect();
                Starts::Users { free, think_time, end, begun: vec![0; users as usize] }
            }
            _ => {
                let mut process = ArrivalTimes::new(&of.arrivals, spec.amount, seed, None)?;
                nominal_rate_per_s = process.nominal_rate_per_s();
                let mut times = Vec::new();
                while let Some(time) = process.next()? {
                    times.push(time);
                }
                Starts::Open(times.into())
            }
        };
        let (most, counted_by_us) = match &starts {
            Starts::Open(times) => (times.len() as u32, false),
            Starts::Users { .. } => (count.unwrap_or(MAX_REQUESTS), count.is_none()),
        };
        let requests = match &starts {
            _ if counted_by_us => u64::from(MAX_REQUESTS),
            Starts::Open(_) => (0..u64::from(most)).map(|key| u64::from(draws.turns_of(key))).sum(),
            // Which user has how many is not known; keys of the first turns of all tell enough.
            Starts::Users { begun, .. } => {
                let users = begun.len() as u64;
                let key = |place: u64| user_key((place % users) as u32, (place / users) as u32);
                (0..u64::from(most)).map(|place| u64::from(draws.turns_of(key(place)))).sum()
            }
        };
        if requests > MAX_REQUESTS.into() {
            return Err(too_many_requests());
        }
        Ok(Sessions {
            draws: Arc::new(draws),
            block_tokens: limits.kv_block_tokens,
            starts,
            most,
            counted_by_us,
            requests: requests as u32,
            begun: 0,
            due: BinaryHeap::new(),
            live: FxHashMap::default(),
            taken: Vec::new(),
            luck: Stream::new(seed, Purpose::Luck),
            warnings: Arc::default(),
            nominal_rate_per_s,
        })
    }

    /// What a user should know.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Whether the number of requests is bounded, by more than time.
    pub fn is_bounded(&self) -> bool {
        !self.counted_by_us
    }

    /// Requests that all sessions send together, if none ends early: of users about so many.
    pub fn requests_max(&self) -> u32 {
        self.requests
    }

    /// Sessions a second as the description states them, where it does.
    pub fn nominal_rate_per_s(&self) -> Option<f64> {
        self.nominal_rate_per_s
    }

    /// When the sessions of an open process begin.
    pub fn starts(&self) -> &[Time] {
        match &self.starts {
            Starts::Open(times) => times,
            Starts::Users { .. } => &[],
        }
    }

    /// What is known of the tokens of a request taken, as what it goes on from says it.
    pub fn origin(&self, request: RequestId) -> Origin {
        let taken = &self.taken[request.index()];
        let parent = (taken.inherits > 0)
            .then_some(Parent { request: taken.before, tokens: taken.inherits });
        self.origin_with(taken, parent)
    }

    /// The same by the requests that texts are called by.
    fn origin_by_stream(&self, request: RequestId) -> Origin {
        let taken = &self.taken[request.index()];
        let parent = if taken.stream != request {
            Some(Parent { request: taken.stream, tokens: u32::MAX })
        } else {
            (taken.inherits > 0).then(|| Parent {
                request: self.taken[taken.before.index()].stream,
                tokens: taken.inherits,
            })
        };
        self.origin_with(taken, parent)
    }

    fn origin_with(&self, taken: &Taken, parent: Option<Parent>) -> Origin {
        Origin {
            ids: self.draws.ids(taken.prefix, taken.prefix_tokens, self.block_tokens),
            covers: taken.prefix_tokens,
            parent,
            own_is_met: taken.own_is_met,
        }
    }

    /// When the next session begins, if one does.
    fn next_start(&self) -> Option<Time> {
        if self.begun >= self.most || self.taken.len() >= MAX_REQUESTS as usize {
            return None;
        }
        match &self.starts {
            Starts::Open(times) => Some(times[self.begun as usize]),
            Starts::Users { free, end, .. } => {
                free.peek().map(|Reverse((at, _))| *at).filter(|at| at < end)
            }
        }
    }

    fn next_turn(&self) -> Option<Time> {
        let full = self.taken.len() >= MAX_REQUESTS as usize;
        self.due.peek().filter(|_| !full).map(|Reverse((at, _))| *at)
    }

    /// Begins the next session; its number.
    fn begin(&mut self) -> u32 {
        let session = self.begun;
        let (key, user) = match &mut self.starts {
            Starts::Open(_) => (session.into(), 0),
            Starts::Users { free, begun, .. } => {
                let Reverse((_, user)) = free.pop().expect("a user is free");
                let key = user_key(user, begun[user as usize]);
                begun[user as usize] += 1;
                (key, user)
            }
        };
        self.begun += 1;
        let who = self.draws.who(key);
        let now = self.draws.first(&who);
        self.live.insert(session, Live { who, user, now, after: None, last: RequestId(0) });
        session
    }

    /// A session is over: its user begins the next one when they have thought.
    fn end(&mut self, session: u32, at: Time, turned_away: bool) {
        let Some(live) = self.live.remove(&session) else { return };
        let Starts::Users { free, think_time, .. } = &mut self.starts else { return };
        let pause = if turned_away { (*think_time).max(REJECTED_ROUND_TRIP) } else { *think_time };
        if let Some(ns) = at.as_nanos().checked_add(pause.as_nanos()) {
            free.push(Reverse((Time::from_nanos(ns), live.user)));
        }
    }
}

/// Keys the sessions of a user.
fn user_key(user: u32, session: u32) -> u64 {
    u64::from(user) << 32 | u64::from(session)
}

impl Arriving for Sessions {
    #[inline]
    fn next_arrival(&self) -> Option<Time> {
        match (self.next_turn(), self.next_start()) {
            (Some(turn), Some(start)) => Some(turn.min(start)),
            (one, other) => one.or(other),
        }
    }

    fn take(&mut self) -> Request {
        let (turn, start) = (self.next_turn(), self.next_start());
        let goes_on = turn.is_some_and(|turn| start.is_none_or(|start| turn <= start));
        let (session, arrival) = match goes_on {
            true => {
                let Reverse((at, session)) = self.due.pop().expect("a turn is due");
                (session, at)
            }
            false => {
                let at = start.expect("no request is due");
                (self.begin(), at)
            }
        };
        let id = RequestId::at(self.taken.len());
        let live = self.live.get_mut(&session).expect("a session that is under way");
        let before = if goes_on { live.last } else { id };
        let said = live.now.tokens();
        if goes_on {
            live.now = live.after.take().expect("a turn is to come");
        }
        live.after = self.draws.next(&live.who, &live.now);
        live.last = id;
        let now = live.now;
        let after = live.after;
        let stream =
            if goes_on && now.inherits == said { self.taken[before.index()].stream } else { id };
        self.taken.push(Taken {
            session,
            turn: now.turn,
            before,
            stream,
            luck: RequestId(self.luck.at(key_of(&live.who, now.turn)).bits() as u32),
            inherits: now.inherits,
            prefix: live.who.prefix,
            prefix_tokens: now.prefix_tokens,
            gap: now.gap,
            kind: now.kind,
            own_is_met: after.is_some_and(|after| after.inherits > now.inherits),
            is_last: after.is_none(),
        });
        let class = live.who.class;
        Request {
            arrival,
            prompt_tokens: now.prompt_tokens,
            output_tokens: now.output_tokens,
            max_tokens: now.max_tokens,
            priority: self.draws.classes.priority(class),
            class,
        }
    }

    fn finished(&mut self, request: RequestId, at: Time) {
        let Taken { session, .. } = self.taken[request.index()];
        let Some(live) = self.live.get(&session) else { return };
        let Some(after) = live.after else { return self.end(session, at, false) };
        // Past the end of time is past the end of any run.
        if let Some(ns) = at.as_nanos().checked_add(after.gap.as_nanos()) {
            self.due.push(Reverse((Time::from_nanos(ns), session)));
        }
    }

    fn turned_away(&mut self, request: RequestId, at: Time) {
        self.end(self.taken[request.index()].session, at, true);
    }

    fn check_complete(&self) -> Result<(), WorkloadError> {
        let cut = self.taken.len() >= MAX_REQUESTS as usize;
        let more = !self.due.is_empty() || self.begun < self.most;
        if cut && more { Err(too_many_requests()) } else { Ok(()) }
    }

    fn session(&self, request: RequestId) -> Option<u32> {
        self.taken.get(request.index()).map(|taken| taken.session)
    }

    fn answers_bring_arrivals(&self) -> bool {
        true
    }

    fn content(&self, request: RequestId) -> Content {
        Content::of(request, self.block_tokens, |id| self.origin_by_stream(id))
    }

    fn number(&self, request: RequestId) -> RequestId {
        self.taken[request.index()].luck
    }

    fn classes(&self) -> &[String] {
        &self.draws.classes.names
    }

    fn session_turns(&self) -> Vec<SessionTurn> {
        let turn = |taken: &Taken| SessionTurn {
            session: taken.session,
            turn: taken.turn,
            before: (taken.turn > 0).then_some(taken.before),
            inherits: taken.inherits,
            prefix_tokens: taken.prefix_tokens,
            gap: taken.gap,
            kind: taken.kind,
            is_last: taken.is_last,
        };
        self.taken.iter().map(turn).collect()
    }
}

#[cfg(test)]
mod tests;
