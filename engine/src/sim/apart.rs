//! Replicas that know nothing of each other, played in parallel: the router does not look at them,
//! and no answer brings an arrival. Requests are routed first; each replica then has a clock of its
//! own, and the parts are put together in the order of the replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Outcome;
use super::engine::{SimError, SimOptions, part};
use super::part::Part;
use crate::content::Content;
use crate::fleet::{Fleet, FleetSetup, PoolSetup, RouteDecision, Routing};
use crate::ids::ReplicaId;
use crate::replica::{Accepts, Renumbered};
use crate::request::{Request, RequestId};
use crate::threads;
use crate::time::Time;
use crate::workload::Arriving;

/// Whether replicas can be played apart. The slow path keeps them together, to be compared with.
pub(super) fn can_be(
    setup: &FleetSetup<'_>,
    arriving: &dyn Arriving,
    options: &SimOptions<'_>,
) -> bool {
    setup.replicas() > 1
        && !options.reference
        && arriving.known().is_some()
        && !arriving.answers_bring_arrivals()
        && !setup.routing.router.sees_load()
        && setup.pools.iter().all(|pool| pool.lockstep <= 1)
        && (setup.controllers)().is_empty()
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
    let (done, run) = (AtomicU64::new(0), AtomicU64::new(0));
    let pools: Vec<PoolSetup<'_>> = setup
        .pools
        .iter()
        .flat_map(|pool| (0..pool.replicas).map(|_| PoolSetup { replicas: 1, ..*pool }))
        .collect();
    let alone = |(ids, pool): (&Vec<RequestId>, &PoolSetup<'_>)| {
        let (done_here, run_here) = (AtomicU64::new(0), AtomicU64::new(0));
        let sum = |of_all: &AtomicU64, before: &AtomicU64, here: u64| {
            let more = here - before.swap(here, Ordering::Relaxed);
            of_all.fetch_add(more, Ordering::Relaxed) + more
        };
        let report = |done_now: u64, run_now: u64| {
            let all = (sum(&done, &done_here, done_now), sum(&run, &run_here, run_now));
            options.progress.is_none_or(|progress| progress(all.0, all.1))
        };
        let routing = Routing::default();
        // Luck goes by a request's number in the fleet.
        let renumbered = |luck: &Arc<dyn Accepts>| -> Arc<dyn Accepts> {
            Arc::new(Renumbered { luck: luck.clone(), ids: ids.clone() })
        };
        let luck = pool.luck.map(renumbered);
        let pool = PoolSetup { luck: luck.as_ref(), ..*pool };
        let setup = FleetSetup { pools: vec![pool], routing, ..*setup };
        let options = SimOptions { progress: Some(&report), ..options };
        let mut part = part(&setup, &mut Listed { all, requests, ids, next: 0 }, options)?;
        part.rename(ids);
        Ok(part)
    };
    let played: Vec<Result<Part, SimError>> =
        threads::spread_map(routed.ids_of.iter().zip(&pools).collect(), alone);
    let mut parts = Vec::with_capacity(played.len());
    let mut stuck = None;
    for ((played, ids), replica) in played.into_iter().zip(&routed.ids_of).zip((0..).map(ReplicaId))
    {
        match played {
            Ok(part) => parts.push(part),
            Err(SimError::Stopped) => return Err(SimError::Stopped),
            Err(error) => stuck = SimError::first(stuck, error.on(replica, ids)),
        }
    }
    if let Some(stuck) = stuck {
        return Err(stuck);
    }
    let Routed { routes, places, .. } = routed;
    let whole = Part::put_together(parts, |id| (routes[id].replica, places[id]), places.len());
    Ok(whole.into_outcome(setup, Some(routes)))
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
            let route = fleet.route(id, request, all.session(id));
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

    fn classes(&self) -> &[String] {
        self.all.classes()
    }
}
