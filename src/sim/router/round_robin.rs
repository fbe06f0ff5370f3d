//! Round-robin: one after the other.

use super::{Asked, Choose, Outstanding, RouteDecision, RouteReason};

#[derive(Debug)]
pub(super) struct RoundRobin {
    members: Vec<u32>,
    next: usize,
}

impl RoundRobin {
    pub fn over(members: Vec<u32>) -> RoundRobin {
        RoundRobin { members, next: 0 }
    }
}

impl Choose for RoundRobin {
    fn choose(&mut self, _: Asked, _: &Outstanding) -> RouteDecision {
        let replica = self.members[self.next];
        self.next = (self.next + 1) % self.members.len();
        RouteDecision::new(replica, RouteReason::Turn)
    }
}
