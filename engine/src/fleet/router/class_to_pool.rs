//! Class to pool: each class has replicas of its own, so that long batch jobs never stand before
//! a chat.

use super::{Asked, FleetView, Known, Report, RouteDecision, Router, RouterKind};
use crate::fleet::Member;
use crate::ids::ReplicaId;
use crate::workload::streams::Stream;

/// The replicas of each class. Pools may share replicas; classes that have none go to any replica.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassPools {
    /// A class and its replicas, at least one, each below the number of replicas.
    pub pools: Vec<(String, Vec<ReplicaId>)>,
    /// How requests are spread over a pool; not itself a class-to-pool router.
    pub within: RouterKind,
}

impl ClassPools {
    pub(super) fn make(
        &self,
        draws: Stream,
        classes: &[String],
        members: &[Member],
    ) -> ClassToPool {
        let within = |members: &[Member]| self.within.make(draws, classes, members);
        let pool = |(_, replicas): &(String, Vec<ReplicaId>)| {
            let own: Vec<Member> = replicas.iter().map(|one| members[one.index()]).collect();
            (replicas.clone(), within(&own))
        };
        let pools = self.pools.iter().map(pool).collect();
        let pool_of = |class: &String| self.pools.iter().position(|(name, _)| name == class);
        let pool_of_class = classes.iter().map(pool_of).collect();
        ClassToPool { pool_of_class, pools, everyone: within(members) }
    }
}

#[derive(Debug)]
pub(super) struct ClassToPool {
    /// Which of the pools a class has; `None` where it goes anywhere.
    pool_of_class: Vec<Option<usize>>,
    /// The replicas of each pool and the router over them.
    pools: Vec<(Vec<ReplicaId>, Box<dyn Router>)>,
    /// The router over all replicas.
    everyone: Box<dyn Router>,
}

impl ClassToPool {
    fn pool(&self, asked: &Asked<'_>) -> Option<usize> {
        self.pool_of_class.get(asked.class.index()).copied().flatten()
    }
}

impl Router for ClassToPool {
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        fleet: &FleetView<'_>,
        known: &mut Known<'_>,
    ) -> RouteDecision {
        let Some(pool) = self.pool(asked) else { return self.everyone.choose(asked, fleet, known) };
        let (replicas, router) = &mut self.pools[pool];
        let decision = router.choose(asked, &fleet.among(replicas), known);
        RouteDecision { within_pool: true, ..decision }
    }

    fn ended(&mut self, asked: &Asked<'_>, replica: ReplicaId) {
        let router = match self.pool(asked) {
            Some(pool) => &mut self.pools[pool].1,
            None => &mut self.everyone,
        };
        router.ended(asked, replica);
    }

    fn prefilled(&mut self, asked: &Asked<'_>, replica: ReplicaId) {
        let router = match self.pool(asked) {
            Some(pool) => &mut self.pools[pool].1,
            None => &mut self.everyone,
        };
        router.prefilled(asked, replica);
    }

    fn heard(&mut self, report: &Report) {
        let pools = self.pools.iter_mut().map(|(_, router)| router);
        pools.chain([&mut self.everyone]).for_each(|router| router.heard(report));
    }
}
