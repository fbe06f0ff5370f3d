//! Routers: which replica gets a request.

mod class_to_pool;
mod dynamo_kv;
mod known;
mod least_requests;
mod least_tokens;
mod llm_d;
mod power_of_two;
mod production_stack;
mod random;
mod ray_prefix;
mod reason;
mod round_robin;
mod session_affinity;
mod sglang_cache_aware;
mod vllm_dp;

use std::sync::Arc;

use super::Member;
use super::prefixes::Prompt;
use super::view::FleetView;
use crate::ids::{ClassId, ReplicaId};
use crate::request::RequestId;
use crate::time::Time;
use crate::workload::streams::Stream;

pub use class_to_pool::ClassPools;
pub use dynamo_kv::DynamoKv;
pub(super) use known::Known;
pub use llm_d::{LlmD, Scorer};
pub use production_stack::{ProductionStack, RoutingLogic};
pub use ray_prefix::RayPrefix;
pub use reason::{RouteDecision, RouteKind, RouteReason};
pub use sglang_cache_aware::CacheAware;
pub(crate) use vllm_dp::Report;
pub use vllm_dp::{DpBalancer, DpClient, DpCoordinator, EngineLoad};

/// How requests are spread over replicas.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// As SGLang's router: by its own tree of what it sent where, unless requests pile up.
    SglangCacheAware(CacheAware),
    /// As Dynamo's KV router: by the blocks that a request costs.
    DynamoKv(DynamoKv),
    /// As llm-d's router: by a weighted sum of scores.
    LlmD(Arc<LlmD>),
    /// As Ray Serve's prefix router: by its own tree of what it sent where.
    RayPrefix(RayPrefix),
    /// As the router of vLLM's production stack.
    ProductionStack(ProductionStack),
    /// Each class has replicas of its own, with a router over them.
    ClassToPool(Arc<ClassPools>),
}

/// A router with the seed of its random choices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routing {
    /// Which router.
    pub router: RouterKind,
    /// Random choices are keyed by it and by the request's index.
    pub seed: u64,
    /// Whether it is noted of each request how much of its prompt each replica held when it was sent
    /// ([`Outcome::held`](crate::sim::Outcome::held)).
    pub notes_held: bool,
}

impl RouterKind {
    /// Names of the routers that need nothing but a name, as a scenario gives them.
    pub const NAMES: [&str; 12] = [
        "round-robin",
        "random",
        "least-requests",
        "least-tokens",
        "power-of-two",
        "session-affinity",
        "vllm-dp",
        "sglang-cache-aware",
        "dynamo-kv",
        "llm-d",
        "ray-prefix",
        "production-stack",
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
            "sglang-cache-aware" => RouterKind::SglangCacheAware(CacheAware::default()),
            "dynamo-kv" => RouterKind::DynamoKv(DynamoKv::default()),
            "llm-d" => RouterKind::LlmD(Arc::default()),
            "ray-prefix" => RouterKind::RayPrefix(RayPrefix::default()),
            "production-stack" => RouterKind::ProductionStack(ProductionStack::default()),
            _ => return None,
        })
    }

    /// Whether its choice depends on what is outstanding, or on what replicas hold.
    pub fn sees_load(&self) -> bool {
        match self {
            RouterKind::RoundRobin | RouterKind::Random => false,
            RouterKind::ProductionStack(set) => set.routing_logic == RoutingLogic::KvAware,
            RouterKind::SglangCacheAware(_)
            | RouterKind::DynamoKv(_)
            | RouterKind::LlmD(_)
            | RouterKind::RayPrefix(_) => true,
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
            RouterKind::LlmD(set) => set.hears_engines(),
            RouterKind::ClassToPool(pools) => pools.within.hears_engines(),
            _ => false,
        }
    }

    /// Whether it looks at what prompts contain.
    pub fn reads_prompts(&self) -> bool {
        match self {
            RouterKind::SglangCacheAware(_)
            | RouterKind::DynamoKv(_)
            | RouterKind::RayPrefix(_) => true,
            RouterKind::LlmD(set) => set.reads_prompts(),
            RouterKind::ProductionStack(set) => {
                matches!(set.routing_logic, RoutingLogic::PrefixAware | RoutingLogic::KvAware)
            }
            RouterKind::ClassToPool(pools) => pools.within.reads_prompts(),
            _ => false,
        }
    }

    /// Whether it knows what replicas hold in their prefix caches; otherwise it guesses, or does not
    /// care.
    pub fn asks_caches(&self) -> bool {
        match self {
            RouterKind::DynamoKv(set) => set.use_kv_events,
            RouterKind::LlmD(set) => set.asks_caches(),
            RouterKind::ProductionStack(set) => set.routing_logic == RoutingLogic::KvAware,
            RouterKind::ClassToPool(pools) => pools.within.asks_caches(),
            _ => false,
        }
    }

    /// Whether it is told when requests get their first token.
    pub(crate) fn hears_of_first_tokens(&self) -> bool {
        match self {
            RouterKind::DynamoKv(_) => true,
            RouterKind::ClassToPool(pools) => pools.within.hears_of_first_tokens(),
            _ => false,
        }
    }

    /// Whether requests of one session go to one replica, where there are sessions.
    pub fn goes_by_session(&self) -> bool {
        match self {
            RouterKind::SessionAffinity => true,
            RouterKind::ProductionStack(set) => set.routing_logic == RoutingLogic::Session,
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
            RouterKind::SglangCacheAware(set) => {
                Box::new(sglang_cache_aware::SglangCacheAware::new(*set, members))
            }
            RouterKind::DynamoKv(set) => {
                Box::new(dynamo_kv::DynamoKvRouter::new(*set, draws, members))
            }
            RouterKind::LlmD(set) => {
                Box::new(llm_d::LlmDRouter::new(LlmD::clone(set), draws, members))
            }
            RouterKind::RayPrefix(set) => {
                Box::new(ray_prefix::RayPrefixRouter::new(*set, draws, members))
            }
            RouterKind::ProductionStack(set) => {
                Box::new(production_stack::ProductionStackRouter::new(*set, draws, members))
            }
            RouterKind::ClassToPool(pools) => Box::new(pools.make(draws, classes, members)),
        }
    }
}

/// A router at work: one implementation a file.
pub(super) trait Router: std::fmt::Debug + Send {
    /// Chooses a replica of the fleet for the next request in order of arrival.
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        fleet: &FleetView<'_>,
        known: &mut Known<'_>,
    ) -> RouteDecision;

    /// A request that it sent to a replica has got its first token; only of those that have not
    /// ended by then.
    fn prefilled(&mut self, _asked: &Asked<'_>, _replica: ReplicaId) {}

    /// A request that it sent to a replica has come to its end.
    fn ended(&mut self, _asked: &Asked<'_>, _replica: ReplicaId) {}

    /// An engine's counts have changed.
    fn heard(&mut self, _report: &Report) {}
}

/// The request to be sent somewhere, as a front end sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub id: RequestId,
    pub class: ClassId,
    pub session: Option<u32>,
    /// When it arrived.
    pub at: Time,
    pub prompt_tokens: u32,
    /// What its prompt contains, for routers that look at it.
    pub prompt: Option<&'a Arc<Prompt>>,
}

impl<'a> Asked<'a> {
    /// Its prompt.
    ///
    /// # Panics
    /// Where the router did not say that it [looks](RouterKind::reads_prompts) at it.
    pub(super) fn prompt(&self) -> &'a Arc<Prompt> {
        self.prompt.expect("the router looks at prompts")
    }
}
