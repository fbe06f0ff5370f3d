//! Replicas that know nothing of each other, played in parallel: the router does not look at them,
//! and no answer brings an arrival. Requests are routed first; each replica then has a clock of its
//! own, and the parts are put together in the order of the replicas.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::Outcome;
use super::engine::{SimError, SimOptions, part, together};
use super::fleet::{FleetSetup, PoolSetup};
use super::part::Part;
use super::router::{Fleet, RouteDecision, Routing};
use super::tally::{Tally, arrived};
use crate::request::{Request, RequestId};
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
        && !arriving.answers_bring_arrivals()
        && !setup.routing.router.sees_load()
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
    let replicas = setup.replicas();
    let mut fleet = Fleet::new(&setup.routing, replicas, arriving.classes());
    let mut requests: Vec<Request> = Vec::new();
    // Up to the last request that has one.
    let mut sessions: Vec<Option<u32>> = Vec::new();
    let mut routes: Vec<RouteDecision> = Vec::new();
    let mut ids_of: Vec<Vec<RequestId>> = vec![Vec::new(); replicas as usize];
    let horizon = setup.horizon.map_or(Time::NEVER, |span| Time::ZERO + span);
    let mut seen = 0;
    while seen == requests.len() && arriving.next_arrival().is_some() {
        let id = requests.len() as RequestId;
        let request = arriving.take();
        let session = arriving.session(id);
        requests.push(request);
        if session.is_some() {
            sessions.resize(id as usize, None);
            sessions.push(session);
        }
        // The first one past the horizon is kept only to say that some arrive later.
        if request.arrival <= horizon {
            let route = fleet.route(id, &request, session);
            ids_of[route.replica as usize].push(id);
            routes.push(route);
            seen = requests.len();
        }
    }
    let arriving = &*arriving;
    let contents = (0..requests.len() as RequestId).map(|id| arriving.content(id));
    let contents: Vec<&[u64]> = match contents.clone().all(<[u64]>::is_empty) {
        true => Vec::new(),
        false => contents.collect(),
    };
    let all = Listed {
        requests: &requests,
        sessions: &sessions,
        ids: None,
        next: 0,
        contents: &contents,
        block_tokens: arriving.block_tokens(),
        classes: arriving.classes(),
    };
    let done = AtomicU64::new(0);
    let pools: Vec<PoolSetup<'_>> = setup
        .pools
        .iter()
        .flat_map(|pool| (0..pool.replicas).map(|_| PoolSetup { replicas: 1, ..*pool }))
        .collect();
    let alone = |(ids, pool): (&Vec<RequestId>, &PoolSetup<'_>)| {
        let before = AtomicU64::new(0);
        let report = |of_this: u64| {
            let more = of_this - before.swap(of_this, Ordering::Relaxed);
            let sum = done.fetch_add(more, Ordering::Relaxed) + more;
            if let Some(progress) = options.progress {
                progress(sum);
            }
        };
        let setup =
            FleetSetup { pools: vec![*pool], routing: Routing::default(), horizon: setup.horizon };
        let options = SimOptions { progress: Some(&report), ..options };
        part(&setup, &mut Listed { ids: Some(ids), ..all }, options)
    };
    let parts: Vec<Result<Part, SimError>> = ids_of.par_iter().zip(&pools).map(alone).collect();
    let Ok(parts) = parts.into_iter().collect::<Result<Vec<Part>, SimError>>() else {
        // Whether and when a fleet is stuck is a question to one clock.
        return together(setup, &mut { all }, options);
    };
    let mut whole = Part { tally: Tally::new(0), replicas: Vec::new(), log: None };
    whole.tally.trace.requests =
        requests[..seen].iter().map(|request| arrived(request, 0)).collect();
    whole.log = options.keep_log.then(Vec::new);
    for (replica, (part, ids)) in parts.into_iter().zip(&ids_of).enumerate() {
        whole.add(replica as u32, ids, part);
    }
    Ok(whole.into_outcome(setup, Some(routes)))
}

/// Requests in a list, all of them or some.
#[derive(Clone, Copy)]
struct Listed<'a> {
    requests: &'a [Request],
    /// Those after the last have none.
    sessions: &'a [Option<u32>],
    ids: Option<&'a [RequestId]>,
    next: usize,
    /// Empty where no request has any.
    contents: &'a [&'a [u64]],
    block_tokens: u32,
    classes: &'a [String],
}

impl Listed<'_> {
    fn id(&self, place: usize) -> Option<usize> {
        match self.ids {
            Some(ids) => ids.get(place).map(|&id| id as usize),
            None => (place < self.requests.len()).then_some(place),
        }
    }
}

impl Arriving for Listed<'_> {
    fn next_arrival(&self) -> Option<Time> {
        Some(self.requests[self.id(self.next)?].arrival)
    }

    fn take(&mut self) -> Request {
        let id = self.id(self.next).expect("no request is due");
        self.next += 1;
        self.requests[id]
    }

    fn finished(&mut self, _request: RequestId, _at: Time) {}

    fn session(&self, request: RequestId) -> Option<u32> {
        self.sessions.get(self.id(request as usize)?).copied().flatten()
    }

    fn content(&self, request: RequestId) -> &[u64] {
        self.id(request as usize).and_then(|id| self.contents.get(id)).copied().unwrap_or_default()
    }

    fn block_tokens(&self) -> u32 {
        self.block_tokens
    }

    fn classes(&self) -> &[String] {
        self.classes
    }
}
