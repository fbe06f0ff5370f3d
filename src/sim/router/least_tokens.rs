//! Least tokens: where the fewest tokens are outstanding; of several replicas, the first.

use super::{Asked, Choose, Outstanding, RouteDecision, RouteReason, least};

#[derive(Debug)]
pub(super) struct LeastTokens {
    pub members: Vec<u32>,
}

impl Choose for LeastTokens {
    fn choose(&mut self, _: Asked, outstanding: &Outstanding) -> RouteDecision {
        let (replica, tokens) = least(&self.members, &outstanding.tokens);
        RouteDecision::new(replica, RouteReason::FewestTokens(tokens))
    }
}
