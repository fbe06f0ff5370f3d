//! Least requests: where the fewest requests are outstanding; of several replicas, the first.

use super::{Asked, Choose, Outstanding, RouteDecision, RouteReason, least};

#[derive(Debug)]
pub(super) struct LeastRequests {
    pub members: Vec<u32>,
}

impl Choose for LeastRequests {
    fn choose(&mut self, _: Asked, outstanding: &Outstanding) -> RouteDecision {
        let (replica, requests) = least(&self.members, &outstanding.requests);
        RouteDecision::new(replica, RouteReason::FewestRequests(requests))
    }
}
