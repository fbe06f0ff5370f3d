//! Least requests: where the fewest requests are outstanding; of several replicas, the first.

use super::{Asked, FleetView, Known, RouteDecision, RouteReason, Router};

#[derive(Debug)]
pub(super) struct LeastRequests;

impl Router for LeastRequests {
    fn choose(&mut self, _: &Asked<'_>, fleet: &FleetView<'_>, _: &mut Known<'_>) -> RouteDecision {
        let replica = fleet.with_fewest_requests();
        RouteDecision::new(replica, RouteReason::FewestRequests(fleet.requests(replica)))
    }
}
