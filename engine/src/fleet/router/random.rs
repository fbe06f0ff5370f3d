//! Random: any replica with equal probability, keyed by the request's index.

use super::{Asked, FleetView, Known, RouteDecision, RouteReason, Router};
use crate::workload::streams::Stream;

#[derive(Debug)]
pub(super) struct Random {
    pub draws: Stream,
}

impl Router for Random {
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        fleet: &FleetView<'_>,
        _: &mut Known<'_>,
    ) -> RouteDecision {
        let replicas = fleet.replicas();
        let place = self.draws.at(u64::from(asked.id.0)).below(replicas.len() as u64);
        RouteDecision::new(replicas[place as usize], RouteReason::Drawn)
    }
}
