//! vLLM's internal data-parallel load balancing: API servers choose among the engines of one
//! deployment, by counts that a coordinator publishes at most every 100 ms (vLLM 0.33.0,
//! `engine/core_client.py`, `engine/coordinator.py`, `engine/core.py`).
//!
//! An engine says how many requests wait and run when these numbers have changed, before and after
//! each of its steps. So an API server sees neither what others have sent since the last
//! publication nor how long a request is; what it has sent itself it knows.

mod client;
mod coordinator;

pub use client::{DpClient, EngineLoad};
pub use coordinator::DpCoordinator;

use super::{Asked, FleetView, Known, RouteDecision, RouteReason, Router};
use crate::fleet::Member;
use crate::ids::ReplicaId;
use crate::time::Time;
use crate::workload::streams::Stream;

/// How an internally balanced deployment is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DpBalancer {
    /// API servers, each of which gets a request with equal probability
    /// (`--api-server-count`); as many as there are engines unless given.
    pub clients: Option<u32>,
}

/// What an engine tells its coordinator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Report {
    pub at: Time,
    pub replica: ReplicaId,
    pub load: EngineLoad,
    /// The number of the step that it is in with other replicas.
    pub step: Option<u64>,
}

#[derive(Debug)]
pub(super) struct VllmDp {
    draws: Stream,
    /// The engines of the deployment.
    engines: Vec<ReplicaId>,
    coordinator: DpCoordinator,
    /// Each with the number of publications that it has heard.
    clients: Vec<(DpClient, u64)>,
}

impl VllmDp {
    pub(super) fn new(balancer: DpBalancer, draws: Stream, members: &[Member]) -> VllmDp {
        let engines = members.len();
        let clients = balancer.clients.unwrap_or(engines as u32).max(1);
        let of_group = |member: &Member| member.steps_with.map(|first| first.0);
        VllmDp {
            draws,
            engines: members.iter().map(|member| member.id).collect(),
            coordinator: DpCoordinator::of(members.iter().map(of_group).collect()),
            clients: (0..clients).map(|c| (DpClient::new(engines, clients, c), 0)).collect(),
        }
    }

    fn engine(&self, replica: ReplicaId) -> Option<usize> {
        self.engines.iter().position(|&engine| engine == replica)
    }

    /// Which API server a request reaches.
    fn client(&self, asked: &Asked<'_>) -> usize {
        match self.clients.len() as u64 {
            1 => 0,
            clients => self.draws.at(u64::from(asked.id.0)).below(clients) as usize,
        }
    }
}

impl Router for VllmDp {
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        fleet: &FleetView<'_>,
        _: &mut Known<'_>,
    ) -> RouteDecision {
        debug_assert_eq!(fleet.replicas(), self.engines, "the deployment is as it began");
        self.coordinator.publish_before(asked.at);
        let place = self.client(asked);
        let (client, heard) = &mut self.clients[place];
        if *heard != self.coordinator.publications() {
            *heard = self.coordinator.publications();
            client.hear(self.coordinator.published());
        }
        let score = |engine: usize| client.score(engine);
        let lowest = (0..self.engines.len()).map(score).fold(f64::INFINITY, f64::min);
        let engine = client.choose();
        let why = RouteReason::LowestScore {
            thousandths: (lowest * 1000.0).round() as u64,
            client: place as u32,
        };
        RouteDecision::new(self.engines[engine], why)
    }

    fn ended(&mut self, asked: &Asked<'_>, replica: ReplicaId) {
        let client = self.client(asked);
        if let Some(engine) = self.engine(replica) {
            self.clients[client].0.ended(engine);
        }
    }

    fn heard(&mut self, report: &Report) {
        if let Some(engine) = self.engine(report.replica) {
            self.coordinator.hear(report.at, engine, report.load, report.step);
        }
    }
}
