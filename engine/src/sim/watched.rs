//! Replicas whose router counts what is outstanding at each, or knows what they cache, every one on a
//! clock of its own.
//!
//! What the router counts of a replica changes only when a request is sent there or comes to its end
//! there, and what it holds is looked at when it is asked. So a replica need not be played along with the others: it is brought up to date when a
//! request is sent to it, and before the router chooses at an instant at which a request may have left
//! it. Until when none can is known where its policy's decision repeats, step after step, and nobody
//! ends; else it is the end of the step in flight.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Outcome;
use super::apart::{all_or_error, independent, whole};
use super::engine::{Engine, SimError, SimOptions};
use super::progress::Done;
use crate::content::Content;
use crate::fleet::{Caches, Fleet, FleetSetup, PoolSetup, Prompt, RouteDecision, Routing};
use crate::ids::ReplicaId;
use crate::request::{Request, RequestId};
use crate::threads;
use crate::time::{Span, Time};
use crate::workload::Arriving;

/// Whether replicas can be played so.
pub(super) fn can_be(
    setup: &FleetSetup<'_>,
    arriving: &dyn Arriving,
    options: &SimOptions<'_>,
) -> bool {
    let router = &setup.routing.router;
    let looks = router.sees_load() || setup.routing.notes_held;
    independent(setup, arriving, options) && looks && !router.hears_engines()
}

/// Plays them.
///
/// # Errors
/// When a policy gets stuck.
pub(super) fn play(
    setup: &FleetSetup<'_>,
    arriving: &mut dyn Arriving,
    options: SimOptions<'_>,
) -> Result<Outcome, SimError> {
    let all = &*arriving;
    let requests = all.known().unwrap_or_default();
    let done = Done::default();
    let first_tokens = setup.routing.router.hears_of_first_tokens();
    let reports: Vec<_> = (0..setup.replicas()).map(|_| done.reporter(&options)).collect();
    let pools = setup.pools.iter().flat_map(|pool| (0..pool.replicas).map(move |_| pool));
    let replicas = pools
        .zip(&reports)
        .map(|(pool, report)| {
            let pool = PoolSetup { replicas: 1, ..*pool };
            let alone = FleetSetup { pools: vec![pool], routing: Routing::default(), ..*setup };
            let sent = Sent {
                all,
                requests,
                ids: Vec::new(),
                taken: 0,
                until: Time::ZERO,
                left: Vec::new(),
            };
            let mut engine =
                Engine::new(&alone, &sent, SimOptions { progress: Some(report), ..options });
            engine.tally.first_tokens = first_tokens.then(Vec::new);
            Watched { engine, sent, as_decided: false }
        })
        .collect();
    let members = setup.members();
    let mut fleet = Fleet::new(&setup.routing, members, all.classes(), Vec::new());
    let mut watch = Watch { due: Due::of(setup.replicas()), replicas };
    let horizon = setup.horizon.map_or(Time::NEVER, |span| Time::ZERO + span);
    let (mut routes, mut places) = (Vec::new(), Vec::new());
    for (request, id) in requests.iter().zip((0..).map(RequestId)) {
        let now = request.arrival;
        if now > horizon {
            break;
        }
        watch.bring_to(now, &mut fleet)?;
        let content = fleet.reads_prompts().then(|| all.content(id));
        let mut caches = Looks { replicas: &mut watch.replicas, now, failed: None };
        let route = fleet.route(id, request, all.session(id), content, &mut caches);
        if let Some((replica, error)) = caches.failed {
            return Err(watch.first_of_all(replica, error));
        }
        routes.push(route);
        places.push(watch.send(id, route.replica, now, &mut fleet)?);
    }
    let held = fleet.take_held();
    Ok(Outcome { held, ..finish(setup, watch, (routes, &places))? })
}

/// Plays all to their end, where nobody has to know of the others any more.
fn finish(
    setup: &FleetSetup<'_>,
    watch: Watch<'_>,
    (routes, places): (Vec<RouteDecision>, &[u32]),
) -> Result<Outcome, SimError> {
    let played = threads::spread_map(watch.replicas, |mut replica| {
        let ended = replica.bring_to(Time::NEVER).and_then(|()| replica.engine.nobody_is_stuck());
        let ids = replica.sent.ids;
        let part = ended.map(|()| {
            let mut part = replica.engine.close();
            part.rename(&ids);
            part
        });
        (part, ids)
    });
    Ok(whole(setup, all_or_error(played.into_iter())?, routes, places))
}

/// The replicas, and when to look at each.
struct Watch<'a> {
    replicas: Vec<Watched<'a>>,
    due: Due,
}

impl Watch<'_> {
    /// Brings those up to date that a request may have left by `now`.
    fn bring_to(&mut self, now: Time, fleet: &mut Fleet) -> Result<(), SimError> {
        while let Some(id) = self.due.take(now) {
            self.bring_one(id, now, fleet)?;
            let next = self.replicas[id.index()].nobody_leaves_before();
            debug_assert!(next > now, "it has been brought up to date");
            self.due.set(id, next);
        }
        Ok(())
    }

    fn bring_one(&mut self, id: ReplicaId, now: Time, fleet: &mut Fleet) -> Result<(), SimError> {
        let replica = &mut self.replicas[id.index()];
        if let Err(error) = replica.bring_to(now) {
            return Err(self.first_of_all(id, error));
        }
        replica.hand_over_first_tokens(fleet);
        replica.sent.left.drain(..).for_each(|request| fleet.leave(request));
        Ok(())
    }

    /// Sends a request to a replica, `now`; tells how many went there before.
    fn send(
        &mut self,
        request: RequestId,
        id: ReplicaId,
        now: Time,
        fleet: &mut Fleet,
    ) -> Result<u32, SimError> {
        self.bring_one(id, now, fleet)?;
        let replica = &mut self.replicas[id.index()];
        replica.sent.ids.push(request);
        replica.engine.let_in_at(now, &mut replica.sent);
        replica.as_decided = false;
        replica.sent.left.drain(..).for_each(|rejected| fleet.leave(rejected));
        self.due.set(id, replica.nobody_leaves_before());
        Ok(replica.sent.taken as u32 - 1)
    }

    /// A replica has come to an error: the others, which may be behind it in time, may have come to one
    /// before.
    fn first_of_all(&mut self, of: ReplicaId, error: SimError) -> SimError {
        let until = match error {
            SimError::Thrashing { at, .. } | SimError::Stuck { at, .. } => at,
            SimError::Stopped => return error,
        };
        let mut first = error.on(of, &self.replicas[of.index()].sent.ids);
        let others = self.replicas.iter_mut().zip((0..).map(ReplicaId));
        for (replica, id) in others.filter(|&(_, id)| id != of) {
            if let Err(error) = replica.bring_to(until + Span::from_nanos(1)) {
                let error = error.on(id, &replica.sent.ids);
                first = SimError::first(Some(first), error).expect("one of two");
            }
        }
        first
    }
}

/// The caches of replicas, each of which is brought up to date when it is asked. Nobody leaves by then who
/// is not known to have left.
struct Looks<'w, 'a> {
    replicas: &'w mut [Watched<'a>],
    now: Time,
    failed: Option<(ReplicaId, SimError)>,
}

impl Caches for Looks<'_, '_> {
    fn held(&mut self, id: ReplicaId, prompt: &Prompt) -> u32 {
        let replica = &mut self.replicas[id.index()];
        if self.failed.is_none()
            && let Err(error) = replica.bring_to(self.now)
        {
            self.failed = Some((id, error));
        }
        debug_assert!(replica.sent.left.is_empty(), "it would have been looked at before");
        let [server] = &mut replica.engine.servers[..] else { unreachable!("it is alone") };
        if self.failed.is_some() { 0 } else { server.held(prompt) }
    }
}

/// A replica that is played alone.
struct Watched<'a> {
    engine: Engine<'a>,
    sent: Sent<'a>,
    /// Whether nobody has been sent there since something was decided.
    as_decided: bool,
}

impl Watched<'_> {
    fn bring_to(&mut self, until: Time) -> Result<(), SimError> {
        if self.as_decided {
            self.engine.go_on_to(until);
        }
        self.sent.until = until;
        self.as_decided |= self.engine.bring_to(until, &mut self.sent)?;
        Ok(())
    }

    /// Tells the fleet of first tokens that were written down since, by the numbers there.
    fn hand_over_first_tokens(&mut self, fleet: &mut Fleet) {
        if let Some(first_tokens) = &mut self.engine.tally.first_tokens {
            let ids = &self.sent.ids;
            fleet.first_tokens(first_tokens.drain(..).map(|(at, id)| (at, ids[id.index()])));
        }
    }

    /// Until when surely no request leaves, if nobody arrives.
    fn nobody_leaves_before(&self) -> Time {
        match self.as_decided {
            true => self.engine.nobody_leaves_before(),
            false => self.engine.next_event(),
        }
    }
}

/// When the router has to look at each replica again.
struct Due {
    at: Vec<Time>,
    /// Entries that are no longer their replica's are skipped.
    order: BinaryHeap<Reverse<(Time, ReplicaId)>>,
}

impl Due {
    fn of(replicas: u32) -> Due {
        Due { at: vec![Time::NEVER; replicas as usize], order: BinaryHeap::new() }
    }

    fn set(&mut self, replica: ReplicaId, at: Time) {
        if std::mem::replace(&mut self.at[replica.index()], at) != at && at != Time::NEVER {
            self.order.push(Reverse((at, replica)));
        }
    }

    /// One that is due by `now`.
    fn take(&mut self, now: Time) -> Option<ReplicaId> {
        while let Some(&Reverse((at, replica))) = self.order.peek()
            && at <= now
        {
            self.order.pop();
            if self.at[replica.index()] == at {
                self.at[replica.index()] = Time::NEVER;
                return Some(replica);
            }
        }
        None
    }
}

/// The requests that were sent to one replica, which count anew from 0.
struct Sent<'a> {
    all: &'a dyn Arriving,
    requests: &'a [Request],
    /// By their numbers in the fleet.
    ids: Vec<RequestId>,
    taken: usize,
    /// Until when nobody arrives.
    until: Time,
    /// Those that have come to their end, and nobody has heard of it.
    left: Vec<RequestId>,
}

impl Arriving for Sent<'_> {
    fn next_arrival(&self) -> Option<Time> {
        Some(self.until)
    }

    fn take(&mut self) -> Request {
        let id = self.ids[self.taken];
        self.taken += 1;
        self.requests[id.index()]
    }

    fn finished(&mut self, request: RequestId, _at: Time) {
        self.left.push(self.ids[request.index()]);
    }

    /// By the numbers of the whole run, in which requests follow each other.
    fn content(&self, request: RequestId) -> Content {
        self.all.content(self.ids[request.index()])
    }

    fn session(&self, request: RequestId) -> Option<u32> {
        self.all.session(self.ids[request.index()])
    }

    fn number(&self, request: RequestId) -> RequestId {
        self.ids[request.index()]
    }

    fn classes(&self) -> &[String] {
        self.all.classes()
    }
}
