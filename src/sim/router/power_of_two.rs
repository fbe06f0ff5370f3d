//! Power of two choices: the less busy of two replicas drawn at random.

use super::{Asked, Choose, Outstanding, RouteDecision, RouteReason};
use crate::workload::streams::Stream;

#[derive(Debug)]
pub(super) struct PowerOfTwo {
    pub members: Vec<u32>,
    pub draws: Stream,
}

impl Choose for PowerOfTwo {
    fn choose(&mut self, asked: Asked, outstanding: &Outstanding) -> RouteDecision {
        let n = self.members.len() as u64;
        if n == 1 {
            return RouteDecision::new(self.members[0], RouteReason::Drawn);
        }
        let mut draws = self.draws.at(u64::from(asked.id));
        let one = draws.below(n);
        // Of the others: the one drawn before is stepped over.
        let two = (one + 1 + draws.below(n - 1)) % n;
        let (one, two) = (self.members[one as usize], self.members[two as usize]);
        let requests = |replica: u32| outstanding.requests[replica as usize];
        let (replica, other) = if requests(two) < requests(one) { (two, one) } else { (one, two) };
        let why = RouteReason::FewerOfTwo {
            requests: requests(replica),
            other,
            other_requests: requests(other),
        };
        RouteDecision::new(replica, why)
    }
}
