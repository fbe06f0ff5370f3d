//! Class to pool: each class has replicas of its own, so that long batch jobs never stand before
//! a chat.

use super::{Asked, Choose, Outstanding, RouteDecision, Router};
use crate::workload::streams::Stream;

/// The replicas of each class. Pools may share replicas; classes that have none go to any replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassPools {
    /// A class and its replicas, at least one, each below the number of replicas.
    pub pools: Vec<(String, Vec<u32>)>,
    /// How requests are spread over a pool; not itself a class-to-pool router.
    pub within: Router,
}

impl ClassPools {
    pub(super) fn over(&self, all: &[u32], draws: Stream, classes: &[String]) -> ClassToPool {
        let over = |members: &[u32]| self.within.over(members.to_vec(), draws, classes);
        let mut routers: Vec<Box<dyn Choose>> =
            self.pools.iter().map(|(_, replicas)| over(replicas)).collect();
        routers.push(over(all));
        let everyone = routers.len() - 1;
        let pool_of = |class: &String| {
            self.pools.iter().position(|(name, _)| name == class).unwrap_or(everyone)
        };
        ClassToPool { pool_of_class: classes.iter().map(pool_of).collect(), routers }
    }
}

#[derive(Debug)]
pub(super) struct ClassToPool {
    /// Which router a class has.
    pool_of_class: Vec<usize>,
    /// One for each pool, and the last over all replicas.
    routers: Vec<Box<dyn Choose>>,
}

impl Choose for ClassToPool {
    fn choose(&mut self, asked: Asked, outstanding: &Outstanding) -> RouteDecision {
        let everyone = self.routers.len() - 1;
        let pool = self.pool_of_class.get(usize::from(asked.class)).copied().unwrap_or(everyone);
        let decision = self.routers[pool].choose(asked, outstanding);
        RouteDecision { within_pool: pool != everyone, ..decision }
    }
}
