//! Random: any replica with equal probability, keyed by the request's index.

use super::{Asked, Choose, Outstanding, RouteDecision, RouteReason};
use crate::workload::streams::Stream;

#[derive(Debug)]
pub(super) struct Random {
    pub members: Vec<u32>,
    pub draws: Stream,
}

impl Choose for Random {
    fn choose(&mut self, asked: Asked, _: &Outstanding) -> RouteDecision {
        let place = self.draws.at(u64::from(asked.id)).below(self.members.len() as u64);
        RouteDecision::new(self.members[place as usize], RouteReason::Drawn)
    }
}
