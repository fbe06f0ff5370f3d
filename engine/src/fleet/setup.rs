//! What a simulation plays on: pools of identical replicas.

use super::controller::MakeControllers;
use super::disaggregation::Disaggregation;
use super::member::{Member, Role};
use super::router::Routing;
use super::tiers::KvTiers;
use crate::cost::CostModel;
use std::sync::Arc;

use crate::ids::{LaneOfReplica, PoolId, ReplicaId};
use crate::replica::{Accepts, Outlook};
use crate::scheduler::{EngineInfo, Scheduler};
use crate::time::Span;
use crate::trace::Lane;

/// Makes a replica's policy.
pub type MakeScheduler<'a> = dyn Fn() -> Box<dyn Scheduler> + Sync + 'a;

/// A fleet of pools. Replicas are numbered pool after pool.
pub struct FleetSetup<'a> {
    /// Identical replicas each; at least one replica in all.
    pub pools: Vec<PoolSetup<'a>>,
    /// Which replica gets a request.
    pub routing: Routing,
    /// Makes those that may change the fleet while it serves.
    pub controllers: &'a MakeControllers<'a>,
    /// How requests go from replicas that prefill to those that decode, where pools have such roles.
    pub disaggregation: Option<&'a Disaggregation>,
    /// Observation ends this long after the beginning; otherwise the run drains.
    pub horizon: Option<Span>,
}

impl FleetSetup<'_> {
    /// Replicas of all pools.
    pub fn replicas(&self) -> u32 {
        self.pools.iter().map(|pool| pool.replicas).sum()
    }

    /// Whose each of their lanes is: a replica has one a pipeline stage.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        let lanes = |member: Member| {
            let stages = self.pools[member.pool.index()].cost.stages();
            (0..stages).map(move |stage| Lane {
                replica: member.id,
                pool: member.pool,
                part: (stages > 1).then_some(LaneOfReplica(stage)),
            })
        };
        self.members().into_iter().flat_map(lanes).collect()
    }

    /// They themselves.
    pub(crate) fn members(&self) -> Vec<Member> {
        let mut members = Vec::with_capacity(self.replicas() as usize);
        for (pool, id) in self.pools.iter().zip((0..).map(PoolId)) {
            let first = members.len() as u32;
            let engine = (pool.make)().needs().engine(&pool.engine);
            let (block_tokens, kv_blocks) = (engine.kv_block_tokens, engine.kv_blocks);
            for place in 0..pool.replicas {
                let member = Member::new(ReplicaId(first + place), id);
                let group = ReplicaId(first + place / pool.lockstep.max(1) * pool.lockstep.max(1));
                let steps_with = (pool.lockstep > 1).then_some(group);
                let member = Member { role: pool.role, ..member };
                members.push(Member { steps_with, block_tokens, kv_blocks, ..member });
            }
        }
        members
    }
}

/// Identical replicas within a fleet.
#[derive(Clone, Copy)]
pub struct PoolSetup<'a> {
    /// Prices iterations.
    pub cost: &'a dyn CostModel,
    /// Limits of each replica's engine.
    pub engine: EngineInfo,
    /// How many.
    pub replicas: u32,
    /// What they do for a request.
    pub role: Role,
    /// Replicas in a row that step together, as data-parallel ranks with shared experts do; 1 for
    /// replicas that know nothing of each other.
    pub lockstep: u32,
    /// Whether the engine plans steps ahead, for policies that can.
    pub async_scheduling: bool,
    /// Whose drafts are accepted, where the engine drafts.
    pub luck: Option<&'a Arc<dyn Accepts>>,
    /// Answers end where prompt and answer are so long: for pools with a shorter context than
    /// the requests were made for.
    pub answers_end_at: Option<u32>,
    /// What policies that look at deadlines are told; needed for those.
    pub outlook: Option<&'a Arc<Outlook>>,
    /// What each has behind its KV blocks, for policies that [can](crate::replica::Needs::transfers).
    pub tiers: Option<&'a KvTiers>,
    /// Makes the policy of each.
    pub make: &'a MakeScheduler<'a>,
}
