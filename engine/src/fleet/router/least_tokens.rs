//! Least tokens: where the fewest tokens are outstanding; of several replicas, the first.

use super::{Asked, FleetView, Known, RouteDecision, RouteReason, Router};

#[derive(Debug)]
pub(super) struct LeastTokens;

impl Router for LeastTokens {
    fn choose(&mut self, _: &Asked<'_>, fleet: &FleetView<'_>, _: &mut Known<'_>) -> RouteDecision {
        let replica = fleet.with_fewest_tokens();
        RouteDecision::new(replica, RouteReason::FewestTokens(fleet.tokens(replica)))
    }
}
