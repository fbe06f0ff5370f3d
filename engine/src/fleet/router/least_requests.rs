//! Least requests: where the fewest requests are outstanding; of several replicas, the first.

use super::{Asked, FleetView, RouteDecision, RouteReason, Router};

#[derive(Debug)]
pub(super) struct LeastRequests;

impl Router for LeastRequests {
    fn choose(&mut self, _: &Asked, fleet: &FleetView<'_>) -> RouteDecision {
        let (replica, requests) = fleet.least(|replica| fleet.requests(replica));
        RouteDecision::new(replica, RouteReason::FewestRequests(requests))
    }
}
