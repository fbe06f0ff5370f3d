//! Routers: which replica gets a request. One is asked once for each request, when it arrives.
//!
//! A router sees how many requests and tokens are outstanding at each replica, as a front end that
//! counts what it has sent and what has come back does; it sees neither queues nor KV memory.

use crate::request::{Request, RequestId};
use crate::workload::streams::{Purpose, Stream};

/// How requests are spread over replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
}

/// A router with the seed of its random choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// Which router.
    pub router: Router,
    /// Random choices are keyed by it and by the request's index.
    pub seed: u64,
}

/// Where a request went, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteDecision {
    /// The replica.
    pub replica: u32,
    /// What decided.
    pub why: RouteReason,
}

/// What decided on a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteReason {
    /// It was its turn.
    Turn,
    /// It was drawn.
    Drawn,
    /// It had the fewest requests outstanding: this many.
    FewestRequests(u32),
    /// It had the fewest tokens outstanding: this many.
    FewestTokens(u64),
    /// It had no more requests outstanding than the other one drawn.
    FewerOfTwo {
        /// Its requests.
        requests: u32,
        /// The other replica.
        other: u32,
        /// The other's requests.
        other_requests: u32,
    },
}

impl Router {
    /// Names, as a scenario gives them.
    pub const NAMES: [&str; 5] =
        ["round-robin", "random", "least-requests", "least-tokens", "power-of-two"];

    /// The router of this name.
    pub fn by_name(name: &str) -> Option<Router> {
        Some(match name {
            "round-robin" => Router::RoundRobin,
            "random" => Router::Random,
            "least-requests" => Router::LeastRequests,
            "least-tokens" => Router::LeastTokens,
            "power-of-two" => Router::PowerOfTwo,
            _ => return None,
        })
    }

    /// Whether its choice depends on what is outstanding.
    pub fn sees_load(self) -> bool {
        matches!(self, Router::LeastRequests | Router::LeastTokens | Router::PowerOfTwo)
    }
}

/// What is outstanding at each replica, and who decides by it.
#[derive(Debug)]
pub(super) struct Fleet {
    router: Router,
    stream: Stream,
    requests: Vec<u32>,
    tokens: Vec<u64>,
    /// Replica and tokens of each request; empty where the router does not look.
    placed: Vec<(u32, u32)>,
}

impl Fleet {
    pub fn new(routing: Routing, replicas: u32) -> Fleet {
        assert!(replicas > 0, "at least one replica");
        let n = replicas as usize;
        let stream = Stream::new(routing.seed, Purpose::Routing);
        let router = routing.router;
        Fleet { router, stream, requests: vec![0; n], tokens: vec![0; n], placed: Vec::new() }
    }

    /// Chooses a replica for the request with this id, the next in order of arrival.
    pub fn route(&mut self, id: RequestId, request: &Request) -> RouteDecision {
        let decision = self.choose(id);
        if self.router.sees_load() {
            debug_assert_eq!(self.placed.len(), id as usize, "requests come in order");
            let tokens = request.prompt_tokens.saturating_add(request.max_tokens);
            self.requests[decision.replica as usize] += 1;
            self.tokens[decision.replica as usize] += u64::from(tokens);
            self.placed.push((decision.replica, tokens));
        }
        decision
    }

    /// A request has come to its end.
    pub fn leave(&mut self, id: RequestId) {
        if let Some(&(replica, tokens)) = self.placed.get(id as usize) {
            self.requests[replica as usize] -= 1;
            self.tokens[replica as usize] -= u64::from(tokens);
        }
    }

    fn choose(&self, id: RequestId) -> RouteDecision {
        let n = self.requests.len() as u64;
        let draw = || self.stream.at(u64::from(id));
        match self.router {
            Router::RoundRobin => {
                RouteDecision { replica: (u64::from(id) % n) as u32, why: RouteReason::Turn }
            }
            Router::Random => {
                RouteDecision { replica: draw().below(n) as u32, why: RouteReason::Drawn }
            }
            Router::LeastRequests => {
                let (replica, least) = least(&self.requests);
                RouteDecision { replica, why: RouteReason::FewestRequests(least) }
            }
            Router::LeastTokens => {
                let (replica, least) = least(&self.tokens);
                RouteDecision { replica, why: RouteReason::FewestTokens(least) }
            }
            Router::PowerOfTwo if n == 1 => RouteDecision { replica: 0, why: RouteReason::Drawn },
            Router::PowerOfTwo => {
                let mut draws = draw();
                let one = draws.below(n);
                // Of the others: the one drawn before is stepped over.
                let two = (one + 1 + draws.below(n - 1)) % n;
                let requests = |replica: u64| self.requests[replica as usize];
                let (replica, other) =
                    if requests(two) < requests(one) { (two, one) } else { (one, two) };
                let why = RouteReason::FewerOfTwo {
                    requests: requests(replica),
                    other: other as u32,
                    other_requests: requests(other),
                };
                RouteDecision { replica: replica as u32, why }
            }
        }
    }
}

/// The first replica with the least, and how much that is.
fn least<T: Copy + Ord>(loads: &[T]) -> (u32, T) {
    let first = loads.iter().enumerate().min_by_key(|&(_, load)| *load);
    let (replica, load) = first.expect("at least one replica");
    (replica as u32, *load)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::BlockIds;
    use crate::time::Time;

    fn request(tokens: u32) -> Request {
        Request {
            arrival: Time::ZERO,
            prompt_tokens: tokens,
            output_tokens: 1,
            max_tokens: 1,
            priority: 0,
            class: 0,
            blocks: BlockIds::default(),
        }
    }

    fn fleet(router: Router) -> Fleet {
        Fleet::new(Routing { router, seed: 3 }, 4)
    }

    fn routes(fleet: &mut Fleet, tokens: &[u32]) -> Vec<u32> {
        let ids = fleet.placed.len() as u32..;
        ids.zip(tokens).map(|(id, &tokens)| fleet.route(id, &request(tokens)).replica).collect()
    }

    #[test]
    fn names_lead_to_routers_and_all_are_there() {
        for name in Router::NAMES {
            assert!(Router::by_name(name).is_some(), "{name}");
        }
        assert_eq!(Router::by_name("least-loaded"), None);
    }

    #[test]
    fn the_least_is_chosen_and_leaving_counts() {
        let mut fleet = fleet(Router::LeastRequests);
        assert_eq!(routes(&mut fleet, &[9, 1, 1, 1, 1]), [0, 1, 2, 3, 0]);
        fleet.leave(2);
        assert_eq!(
            fleet.route(5, &request(1)),
            RouteDecision { replica: 2, why: RouteReason::FewestRequests(0) }
        );
        let mut fleet = self::fleet(Router::LeastTokens);
        assert_eq!(routes(&mut fleet, &[99, 1, 1, 1, 1, 1, 1]), [0, 1, 2, 3, 1, 2, 3]);
        fleet.leave(0);
        assert_eq!(fleet.route(7, &request(1)).replica, 0);
    }

    #[test]
    fn random_choices_are_even_and_two_differ() {
        let mut random = fleet(Router::Random);
        let mut counts = [0; 4];
        for id in 0..4000 {
            counts[random.route(id, &request(1)).replica as usize] += 1;
        }
        assert!(counts.iter().all(|&n| (900..1100).contains(&n)), "{counts:?}");
        let mut two = fleet(Router::PowerOfTwo);
        for id in 0..4000 {
            let decision = two.route(id, &request(1));
            let RouteReason::FewerOfTwo { requests, other, other_requests } = decision.why else {
                panic!("{decision:?}")
            };
            assert!(decision.replica != other && requests <= other_requests, "{decision:?}");
        }
        // Nobody leaves: the choice keeps replicas nearly even, unlike a random one.
        let (least, most) = (two.requests.iter().min(), two.requests.iter().max());
        assert!(most.unwrap() - least.unwrap() <= 8, "{:?}", two.requests);
    }
}
