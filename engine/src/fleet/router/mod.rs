//! Routers: which replica gets a request.

mod class_to_pool;
mod least_requests;
mod least_tokens;
mod power_of_two;
mod random;
mod reason;
mod round_robin;
mod session_affinity;
mod vllm_dp;

use std::sync::Arc;

use super::Member;
use super::view::FleetView;
use crate::ids::{ClassId, ReplicaId};
use crate::request::RequestId;
use crate::time::Time;
use crate::workload::streams::Stream;

pub use class_to_pool::ClassPools;
pub use reason::{RouteDecision, RouteReason};
pub(crate) use vllm_dp::Report;
pub use vllm_dp::{DpBalancer, DpClient, DpCoordinator, EngineLoad};

/// How requests are spread over replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RouterKind {
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
    /// As vLLM balances within a data-parallel deployment: by what its coordinator last published.
    VllmDp(DpBalancer),
    /// Each class has replicas of its own, with a router over them.
    ClassToPool(Arc<ClassPools>),
}

/// A router with the seed of its random choices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// Which router.
    pub router: RouterKind,
    /// Random choices are keyed by it and by the request's index.
    pub seed: u64,
}

impl RouterKind {
    /// Names of the routers that need nothing but a name, as a scenario gives them.
    pub const NAMES: [&str; 7] = [
        "round-robin",
        "random",
        "least-requests",
        "least-tokens",
        "power-of-two",
        "session-affinity",
        "vllm-dp",
    ];

    /// The router of this name.
    pub fn by_name(name: &str) -> Option<RouterKind> {
        Some(match name {
            "round-robin" => RouterKind::RoundRobin,
            "random" => RouterKind::Random,
            "least-requests" => RouterKind::LeastRequests,
            "least-tokens" => RouterKind::LeastTokens,
            "power-of-two" => RouterKind::PowerOfTwo,
            "session-affinity" => RouterKind::SessionAffinity,
            "vllm-dp" => RouterKind::VllmDp(DpBalancer::default()),
            _ => return None,
        })
    }

    /// Whether its choice depends on what is outstanding.
    pub fn sees_load(&self) -> bool {
        match self {
            RouterKind::RoundRobin | RouterKind::Random => false,
            RouterKind::LeastRequests
            | RouterKind::LeastTokens
            | RouterKind::PowerOfTwo
            | RouterKind::SessionAffinity
            | RouterKind::VllmDp(_) => true,
            RouterKind::ClassToPool(pools) => pools.within.sees_load(),
        }
    }

    /// Whether its choice depends on what engines say of themselves.
    pub fn hears_engines(&self) -> bool {
        match self {
            RouterKind::VllmDp(_) => true,
            RouterKind::ClassToPool(pools) => pools.within.hears_engines(),
            _ => false,
        }
    }

    /// One at work over these replicas. `classes` are the names of the requests' classes.
    pub(super) fn make(
        &self,
        draws: Stream,
        classes: &[String],
        members: &[Member],
    ) -> Box<dyn Router> {
        match self {
            RouterKind::RoundRobin => Box::new(round_robin::RoundRobin::default()),
            RouterKind::Random => Box::new(random::Random { draws }),
            RouterKind::LeastRequests => Box::new(least_requests::LeastRequests),
            RouterKind::LeastTokens => Box::new(least_tokens::LeastTokens),
            RouterKind::PowerOfTwo => Box::new(power_of_two::PowerOfTwo { draws }),
            RouterKind::SessionAffinity => Box::new(session_affinity::SessionAffinity::default()),
            RouterKind::VllmDp(balancer) => {
                Box::new(vllm_dp::VllmDp::new(*balancer, draws, members))
            }
            RouterKind::ClassToPool(pools) => Box::new(pools.make(draws, classes, members)),
        }
    }
}

/// A router at work: one implementation a file.
pub(super) trait Router: std::fmt::Debug + Send {
    /// Chooses a replica of the fleet for the next request in order of arrival.
    fn choose(&mut self, asked: &Asked, fleet: &FleetView<'_>) -> RouteDecision;

    /// A request that it sent to a replica has come to its end.
    fn ended(&mut self, _asked: &Asked, _replica: ReplicaId) {}

    /// An engine's counts have changed.
    fn heard(&mut self, _report: &Report) {}
}

/// The request to be sent somewhere, as a front end sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub id: RequestId,
    pub class: ClassId,
    pub session: Option<u32>,
    /// When it arrived.
    pub at: Time,
}
