//! Routers: which replica gets a request. One is asked once for each request, when it arrives.
//!
//! A router sees how many requests and tokens are outstanding at each replica, as a front end that
//! counts what it has sent and what has come back does; it sees neither queues nor KV memory.

mod class_to_pool;
mod least_requests;
mod least_tokens;
mod power_of_two;
mod random;
mod reason;
mod round_robin;
mod session_affinity;

use std::sync::Arc;

use crate::request::{Request, RequestId};
use crate::workload::streams::{Purpose, Stream};

pub use class_to_pool::ClassPools;
pub use reason::{RouteDecision, RouteReason};

/// How requests are spread over replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Router {
    /// Request i goes to replica i mod n.
    #[default]
    RoundRobin,
    /// Any replica with equal probability.
    Random,
    /// The replica with the fewest requests outstanding; of several, the first.
    LeastRequests,
    /// The replica with the fewest tokens outstanding (prompt plus the declared `max_tokens` of each
    /// request, in full until its answer has ended); of several, the first.
    LeastTokens,
    /// Of two different replicas drawn at random, the one with fewer requests outstanding; the
    /// first drawn when equal (Mitzenmacher, "The power of two choices in randomized load
    /// balancing", 2001).
    PowerOfTwo,
    /// The replica that the session's first request went to, which goes where the fewest requests
    /// are outstanding; requests without a session go round-robin.
    SessionAffinity,
    /// Each class has replicas of its own, with a router over them.
    ClassToPool(Arc<ClassPools>),
}

/// A router with the seed of its random choices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// Which router.
    pub router: Router,
    /// Random choices are keyed by it and by the request's index.
    pub seed: u64,
}

impl Router {
    /// Names of the routers that need nothing but a name, as a scenario gives them.
    pub const NAMES: [&str; 6] = [
        "round-robin",
        "random",
        "least-requests",
        "least-tokens",
        "power-of-two",
        "session-affinity",
    ];

    /// The router of this name.
    pub fn by_name(name: &str) -> Option<Router> {
        Some(match name {
            "round-robin" => Router::RoundRobin,
            "random" => Router::Random,
            "least-requests" => Router::LeastRequests,
            "least-tokens" => Router::LeastTokens,
            "power-of-two" => Router::PowerOfTwo,
            "session-affinity" => Router::SessionAffinity,
            _ => return None,
        })
    }

    /// Whether its choice depends on what is outstanding.
    pub fn sees_load(&self) -> bool {
        match self {
            Router::RoundRobin | Router::Random => false,
            Router::LeastRequests
            | Router::LeastTokens
            | Router::PowerOfTwo
            | Router::SessionAffinity => true,
            Router::ClassToPool(pools) => pools.within.sees_load(),
        }
    }

    /// The router over these replicas. `classes` are the names of the requests' classes.
    fn over(&self, members: Vec<u32>, draws: Stream, classes: &[String]) -> Box<dyn Choose> {
        match self {
            Router::RoundRobin => Box::new(round_robin::RoundRobin::over(members)),
            Router::Random => Box::new(random::Random { members, draws }),
            Router::LeastRequests => Box::new(least_requests::LeastRequests { members }),
            Router::LeastTokens => Box::new(least_tokens::LeastTokens { members }),
            Router::PowerOfTwo => Box::new(power_of_two::PowerOfTwo { members, draws }),
            Router::SessionAffinity => Box::new(session_affinity::SessionAffinity::over(members)),
            Router::ClassToPool(pools) => Box::new(pools.over(&members, draws, classes)),
        }
    }
}

/// A router at work: one implementation a file.
trait Choose: std::fmt::Debug {
    /// Chooses a replica for the next request in order of arrival.
    fn choose(&mut self, asked: Asked, outstanding: &Outstanding) -> RouteDecision;
}

/// The request to be sent somewhere, as a front end sees it.
#[derive(Clone, Copy, Debug)]
struct Asked {
    id: RequestId,
    class: u16,
    session: Option<u32>,
}

/// What is outstanding at each replica.
#[derive(Debug)]
struct Outstanding {
    requests: Vec<u32>,
    tokens: Vec<u64>,
}

/// What is outstanding at each replica, and who decides by it.
#[derive(Debug)]
pub(super) struct Fleet {
    router: Box<dyn Choose>,
    outstanding: Outstanding,
    counts: bool,
    /// Replica and tokens of each request; empty where the router does not look.
    placed: Vec<(u32, u32)>,
}

impl Fleet {
    pub fn new(routing: &Routing, replicas: u32, classes: &[String]) -> Fleet {
        assert!(replicas > 0, "at least one replica");
        let n = replicas as usize;
        let draws = Stream::new(routing.seed, Purpose::Routing);
        Fleet {
            router: routing.router.over((0..replicas).collect(), draws, classes),
            outstanding: Outstanding { requests: vec![0; n], tokens: vec![0; n] },
            counts: routing.router.sees_load(),
            placed: Vec::new(),
        }
    }

    /// Chooses a replica for the request with this id, the next in order of arrival.
    pub fn route(
        &mut self,
        id: RequestId,
        request: &Request,
        session: Option<u32>,
    ) -> RouteDecision {
        let asked = Asked { id, class: request.class, session };
        let decision = self.router.choose(asked, &self.outstanding);
        if self.counts {
            debug_assert_eq!(self.placed.len(), id as usize, "requests come in order");
            let tokens = request.prompt_tokens.saturating_add(request.max_tokens);
            self.outstanding.requests[decision.replica as usize] += 1;
            self.outstanding.tokens[decision.replica as usize] += u64::from(tokens);
            self.placed.push((decision.replica, tokens));
        }
        decision
    }

    /// A request has come to its end.
    pub fn leave(&mut self, id: RequestId) {
        if let Some(&(replica, tokens)) = self.placed.get(id as usize) {
            self.outstanding.requests[replica as usize] -= 1;
            self.outstanding.tokens[replica as usize] -= u64::from(tokens);
        }
    }
}

/// The first of the members with the least, and how much that is.
fn least<T: Copy + Ord>(members: &[u32], loads: &[T]) -> (u32, T) {
    let of = |&replica: &u32| (replica, loads[replica as usize]);
    members.iter().map(of).min_by_key(|&(_, load)| load).expect("at least one replica")
}

#[cfg(test)]
mod tests;
