//! Power of two choices: the less busy of two replicas drawn at random.

use super::{Asked, FleetView, Known, RouteDecision, RouteReason, Router};
use crate::workload::streams::Stream;

#[derive(Debug)]
pub(super) struct PowerOfTwo {
    pub draws: Stream,
}

impl Router for PowerOfTwo {
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        fleet: &FleetView<'_>,
        _: &mut Known<'_>,
    ) -> RouteDecision {
        let replicas = fleet.replicas();
        let n = replicas.len() as u64;
        if n == 1 {
            return RouteDecision::new(replicas[0], RouteReason::Drawn);
        }
        let mut draws = self.draws.at(u64::from(asked.id.0));
        let one = draws.below(n);
        // Of the others: the one drawn before is stepped over.
        let two = (one + 1 + draws.below(n - 1)) % n;
        let (one, two) = (replicas[one as usize], replicas[two as usize]);
        let requests = |replica| fleet.requests(replica);
        let (replica, other) = if requests(two) < requests(one) { (two, one) } else { (one, two) };
        let why = RouteReason::FewerOfTwo {
            requests: requests(replica),
            other,
            other_requests: requests(other),
        };
        RouteDecision::new(replica, why)
    }
}
