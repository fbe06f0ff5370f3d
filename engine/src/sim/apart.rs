//! Replicas that know nothing of each other, played in parallel: the router does not look at them,
//! and no answer brings an arrival. Requests are routed first; each replica then has a clock of its
//! own, and the parts are put together in the order of the replicas.

use super::Outcome;
use super::engine::{SimError, SimOptions, part};
use super::part::Part;
use super::progress::Done;
use crate::content::Content;
use crate::fleet::{Fleet, FleetSetup, KvTiers, NoCaches, PoolSetup, RouteDecision, Routing};
use crate::ids::ReplicaId;
use crate::request::{Request, RequestId};
use crate::threads;
use crate::time::Time;
use crate::workload::Arriving;

/// Whether replicas can be played apart.
pub(super) fn can_be(
    setup: &FleetSetup<'_>,
    arriving: &dyn Arriving,
    options: &SimOptions<'_>,
) -> bool {
    let routing = &setup.routing;
    independent(setup, arriving, options) && !routing.router.sees_load() && !routing.notes_held
}

/// Whether replicas touch each other through their router alone. The slow path keeps them together, to
/// be compared with.
pub(super) fn independent(
    setup: &FleetSetup<'_>,
    arriving: &dyn Arriving,
    options: &SimOptions<'_>,
) -> bool {
    setup.replicas() > 1
        && !options.reference
        && arriving.known().is_some()
        && !arriving.answers_bring_arrivals()
        && setup.pools.iter().all(|pool| pool.lockstep <= 1)
        && (setup.controllers)().is_empty()
        && setup.disaggregation.is_none()
        && !setup.pools.iter().any(|pool| pool.tiers.is_some_and(KvTiers::are_shared))
}

/// Plays them.
///
/// # Errors
/// When the policy gets stuck.
pub(super) fn play(
    setup: &FleetSetup<'_>,
    arriving: &mut dyn Arriving,
    options: SimOptions<'_>,
) -> Result<Outcome, SimError> {
    let all = &*arriving;
    let requests = all.known().unwrap_or_default();
    let routed = Routed::of(requests, all, setup);
    let done = Done::default();
    let pools = setup.pools.iter().flat_map(|pool| (0..pool.replicas).map(move |_| pool));
    let alone = |(ids, pool): (&Vec<RequestId>, &PoolSetup<'_>)| {
        let report = done.reporter(&options);
        let pool = PoolSetup { replicas: 1, ..*pool };
        let setup = FleetSetup { pools: vec![pool], routing: Routing::default(), ..*setup };
        let options = SimOptions { progress: Some(&report), ..options };
        let mut part = part(&setup, &mut Listed { all, requests, ids, next: 0 }, options);
        part.iter_mut().for_each(|part| part.rename(ids));
        part
    };
    let played = threads::spread_map(routed.ids_of.iter().zip(pools).collect(), alone);
    let parts = all_or_error(played.into_iter().zip(&routed.ids_of))?;
    let Routed { routes, places, .. } = routed;
    Ok(whole(setup, parts, routes, &places))
}

/// The parts of all replicas, each with the numbers of its requests, or the error that their fleet ends
/// with.
pub(super) fn all_or_error<I: AsRef<[RequestId]>>(
    played: impl Iterator<Item = (Result<Part, SimError>, I)>,
) -> Result<Vec<Part>, SimError> {
    let (mut parts, mut first) = (Vec::new(), None);
    for ((played, ids), replica) in played.zip((0..).map(ReplicaId)) {
        match played {
            Ok(part) => parts.push(part),
            Err(error) => first = SimError::first(first, error.on(replica, ids.as_ref())),
        }
    }
    first.map_or(Ok(parts), Err)
}

/// The outcome of a fleet of these parts, where each request was sent to one of them and so many were
/// sent there before it.
pub(super) fn whole(
    setup: &FleetSetup<'_>,
    parts: Vec<Part>,
    routes: Vec<RouteDecision>,
    places: &[u32],
) -> Outcome {
    let whole = Part::put_together(parts, |id| (routes[id].replica, places[id]), places.len());
    whole.into_outcome(setup, Some(routes))
}

/// Where requests go that arrive up to the horizon.
struct Routed {
    /// By request.
    routes: Vec<RouteDecision>,
    /// By request: how many went to the same replica before it.
    places: Vec<u32>,
    /// By replica.
    ids_of: Vec<Vec<RequestId>>,
}

impl Routed {
    fn of(requests: &[Request], all: &dyn Arriving, setup: &FleetSetup<'_>) -> Routed {
        let horizon = setup.horizon.map_or(Time::NEVER, |span| Time::ZERO + span);
        let count = requests.partition_point(|request| request.arrival <= horizon);
        let mut fleet = Fleet::new(&setup.routing, setup.members(), all.classes(), Vec::new());
        let mut ids_of = vec![Vec::new(); setup.replicas() as usize];
        let mut routes = Vec::with_capacity(count);
        let mut places = Vec::with_capacity(count);
        for (request, id) in requests[..count].iter().zip((0..).map(RequestId)) {
            let content = fleet.reads_prompts().then(|| all.content(id));
            let route = fleet.route(id, request, all.session(id), content, &mut NoCaches);
            let ids: &mut Vec<RequestId> = &mut ids_of[route.replica.index()];
            places.push(ids.len() as u32);
            ids.push(id);
            routes.push(route);
        }
        Routed { routes, places, ids_of }
    }
}

/// The requests of one replica, which count anew from 0.
struct Listed<'a> {
    all: &'a dyn Arriving,
    requests: &'a [Request],
    ids: &'a [RequestId],
    next: usize,
}

impl Arriving for Listed<'_> {
    fn next_arrival(&self) -> Option<Time> {
        let &id = self.ids.get(self.next)?;
        Some(self.requests[id.index()].arrival)
    }

    fn take(&mut self) -> Request {
        let id = self.ids[self.next];
        self.next += 1;
        self.requests[id.index()]
    }

    fn finished(&mut self, _request: RequestId, _at: Time) {}

    fn session(&self, request: RequestId) -> Option<u32> {
        self.all.session(self.ids[request.index()])
    }

    /// By the numbers of the whole run, in which requests follow each other.
    fn content(&self, request: RequestId) -> Content {
        self.all.content(self.ids[request.index()])
    }

    fn number(&self, request: RequestId) -> RequestId {
        self.ids[request.index()]
    }

    fn classes(&self) -> &[String] {
        self.all.classes()
    }
}
