//! Session affinity: a session stays with the replica that had its first request, so that what is
//! cached of its conversation is found again.

use std::collections::HashMap;

use super::round_robin::RoundRobin;
use super::{Asked, FleetView, Known, RouteDecision, RouteReason, Router};
use crate::ids::ReplicaId;

#[derive(Debug, Default)]
pub(super) struct SessionAffinity {
    homes: HashMap<u32, ReplicaId>,
    /// For requests without a session.
    others: RoundRobin,
}

impl Router for SessionAffinity {
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        fleet: &FleetView<'_>,
        known: &mut Known<'_>,
    ) -> RouteDecision {
        let Some(session) = asked.session else { return self.others.choose(asked, fleet, known) };
        if let Some(&home) = self.homes.get(&session) {
            return RouteDecision::new(home, RouteReason::SameSession);
        }
        let replica = fleet.with_fewest_requests();
        self.homes.insert(session, replica);
        RouteDecision::new(replica, RouteReason::NewSession(fleet.requests(replica)))
    }
}
