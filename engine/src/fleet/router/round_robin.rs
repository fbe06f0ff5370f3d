//! Round-robin: one after the other.

use super::{Asked, FleetView, Known, RouteDecision, RouteReason, Router};

#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    next: usize,
}

impl Router for RoundRobin {
    fn choose(&mut self, _: &Asked<'_>, fleet: &FleetView<'_>, _: &mut Known<'_>) -> RouteDecision {
        let replicas = fleet.replicas();
        let replica = replicas[self.next];
        self.next = (self.next + 1) % replicas.len();
        RouteDecision::new(replica, RouteReason::Turn)
    }
}
