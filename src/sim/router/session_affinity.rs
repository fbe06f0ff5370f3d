//! Session affinity: a session stays with the replica that had its first request, so that what is
//! cached of its conversation is found again.

use std::collections::HashMap;

use super::round_robin::RoundRobin;
use super::{Asked, Choose, Outstanding, RouteDecision, RouteReason, least};

#[derive(Debug)]
pub(super) struct SessionAffinity {
    members: Vec<u32>,
    homes: HashMap<u32, u32>,
    /// For requests without a session.
    others: RoundRobin,
}

impl SessionAffinity {
    pub fn over(members: Vec<u32>) -> SessionAffinity {
        let others = RoundRobin::over(members.clone());
        SessionAffinity { members, homes: HashMap::new(), others }
    }
}

impl Choose for SessionAffinity {
    fn choose(&mut self, asked: Asked, outstanding: &Outstanding) -> RouteDecision {
        let Some(session) = asked.session else { return self.others.choose(asked, outstanding) };
        if let Some(&home) = self.homes.get(&session) {
            return RouteDecision::new(home, RouteReason::SameSession);
        }
        let (replica, requests) = least(&self.members, &outstanding.requests);
        self.homes.insert(session, replica);
        RouteDecision::new(replica, RouteReason::NewSession(requests))
    }
}
