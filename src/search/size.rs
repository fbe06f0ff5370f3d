//! How large a fleet is: the replicas of each of its pools, and how more are added.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::probe::SearchError;
use crate::fleet::{ClassPools, RouterKind};
use crate::ids::ReplicaId;
use crate::scenario::Experiment;

/// Replicas by pool; one number where all replicas are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetSize(Vec<u32>);

impl FleetSize {
    /// As the scenario has it.
    pub fn of(experiment: &Experiment) -> FleetSize {
        FleetSize(experiment.fleet().iter().map(|pool| pool.replicas).collect())
    }

    /// The replicas of each pool.
    pub fn of_pools(&self) -> &[u32] {
        &self.0
    }

    /// All replicas.
    pub fn replicas(&self) -> u32 {
        self.0.iter().sum()
    }

    /// Replicas by the pools' names, where there are pools.
    pub fn by_name(&self, experiment: &Experiment) -> Option<BTreeMap<String, u32>> {
        let names = experiment.pools.iter().map(|pool| pool.name.clone());
        (!experiment.pools.is_empty()).then(|| names.zip(self.0.iter().copied()).collect())
    }

    /// GPUs of all replicas.
    pub fn gpus(&self, experiment: &Experiment) -> u32 {
        let fleet = experiment.fleet();
        let each = fleet.iter().map(|pool| pool.hardware.gpus_per_replica);
        each.zip(&self.0).map(|(gpus, replicas)| gpus * replicas).sum()
    }

    /// Dollars an hour of all GPUs; `None` where the price of one is not known.
    pub fn usd_per_hour(&self, experiment: &Experiment) -> Option<f64> {
        let fleet = experiment.fleet();
        let of = |(pool, &replicas): (&crate::scenario::PoolView<'_>, &u32)| {
            let gpus = f64::from(replicas * pool.hardware.gpus_per_replica);
            pool.hardware.price_usd_per_gpu_hour.map(|usd| usd * gpus)
        };
        fleet.iter().zip(&self.0).map(of).sum()
    }

    /// Gives the experiment this size, and says how many times as many replicas it has then.
    ///
    /// # Errors
    /// When the router names replicas by number, which would mean others then.
    pub(super) fn apply(&self, experiment: &mut Experiment) -> Result<f64, SearchError> {
        let before = FleetSize::of(experiment);
        if *self == before {
            return Ok(1.0);
        }
        if let RouterKind::ClassToPool(routed) = &experiment.router {
            let routed = ClassPools {
                pools: routed
                    .pools
                    .iter()
                    .map(|(class, replicas)| Ok((class.clone(), self.renamed(&before, replicas)?)))
                    .collect::<Result<_, SearchError>>()?,
                within: routed.within.clone(),
            };
            experiment.router = RouterKind::ClassToPool(Arc::new(routed));
        }
        for (pool, &replicas) in experiment.pools.iter_mut().zip(&self.0) {
            pool.replicas = replicas;
        }
        experiment.replicas = self.replicas();
        Ok(f64::from(self.replicas()) / f64::from(before.replicas()))
    }

    /// The replicas of whole pools, numbered anew.
    fn renamed(
        &self,
        before: &FleetSize,
        replicas: &[ReplicaId],
    ) -> Result<Vec<ReplicaId>, SearchError> {
        let by_number = || {
            SearchError::NoSense(
                "the router names replicas by their numbers, so how many there should be cannot be \
                 searched for: leave out --for-rate and --for-users, give `pools` and name those, or \
                 vary `replicas` and `router` in a sweep"
                    .to_owned(),
            )
        };
        // One list of like replicas is no pool with a name.
        if self.0.len() < 2 {
            return Err(by_number());
        }
        let mut new = Vec::new();
        let (mut old_first, mut first, mut found) = (0, 0, 0);
        for (&old, &now) in before.0.iter().zip(&self.0) {
            let named = (old_first..old_first + old)
                .filter(|&one| replicas.contains(&ReplicaId(one)))
                .count();
            match named {
                0 => {}
                all if all == old as usize => new.extend((first..first + now).map(ReplicaId)),
                _ => return Err(by_number()),
            }
            (old_first, first, found) = (old_first + old, first + now, found + named);
        }
        if found == replicas.len() { Ok(new) } else { Err(by_number()) }
    }
}

/// How a fleet is made larger, a step at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// What is there with no step.
    base: Vec<u32>,
    /// What a step adds.
    step: Vec<u32>,
    /// Steps of the scenario's own fleet.
    pub own: u32,
}

impl Steps {
    /// Without `pool` all pools grow together: a step is the smallest fleet with the scenario's
    /// proportions. With it that pool alone grows, and the others stay as they are. Data-parallel
    /// ranks of one deployment come together: one alone cannot be had, and where they share experts
    /// it would not even hold the model.
    ///
    /// # Errors
    /// When there is no such pool.
    pub fn of(experiment: &Experiment, pool: Option<&str>) -> Result<Steps, SearchError> {
        let fleet = experiment.fleet();
        let ranks: Vec<u32> = fleet.iter().map(|pool| pool.hardware.data_ranks.max(1)).collect();
        let replicas: Vec<u32> = fleet.iter().map(|pool| pool.replicas).collect();
        let Some(wanted) = pool else {
            let deployments = replicas.iter().zip(&ranks).map(|(all, ranks)| all / ranks);
            let own = deployments.fold(0, gcd).max(1);
            let step = replicas.iter().map(|all| all / own).collect();
            return Ok(Steps { base: vec![0; replicas.len()], step, own });
        };
        let names: Vec<&str> = fleet.iter().filter_map(|pool| pool.name).collect();
        let Some(place) = fleet.iter().position(|pool| pool.name == Some(wanted)) else {
            return Err(SearchError::NoSense(match names.is_empty() {
                true => "--pool names a pool, and the scenario has no `pools`".to_owned(),
                false => {
                    let near = crate::suggest::nearest(wanted, names.iter().copied());
                    let meant = near.map(|name| format!("; did you mean `{name}`?"));
                    format!(
                        "--pool: there is no pool `{wanted}`; pools: {}{}",
                        names.join(", "),
                        meant.unwrap_or_default()
                    )
                }
            }));
        };
        let (mut base, mut step) = (replicas.clone(), vec![0; replicas.len()]);
        (base[place], step[place]) = (0, ranks[place]);
        Ok(Steps { base, step, own: replicas[place] / ranks[place] })
    }

    /// The fleet with so many steps.
    pub fn at(&self, steps: u32) -> FleetSize {
        let one = |(base, step): (&u32, &u32)| base + step * steps;
        FleetSize(self.base.iter().zip(&self.step).map(one).collect())
    }

    /// The most steps up to so many replicas.
    pub fn most(&self, replicas: u32) -> u32 {
        let (base, step): (u32, u32) = (self.base.iter().sum(), self.step.iter().sum());
        replicas.saturating_sub(base) / step.max(1)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_that_names_whole_pools_follows_them() {
        let (before, after) = (FleetSize(vec![2, 3]), FleetSize(vec![4, 1]));
        let renamed = |after: &FleetSize, before: &FleetSize, replicas: &[u32]| {
            let replicas: Vec<ReplicaId> = replicas.iter().copied().map(ReplicaId).collect();
            let new = after.renamed(before, &replicas).ok()?;
            Some(new.into_iter().map(|ReplicaId(one)| one).collect::<Vec<u32>>())
        };
        assert_eq!(renamed(&after, &before, &[0, 1]), Some(vec![0, 1, 2, 3]));
        assert_eq!(renamed(&after, &before, &[2, 3, 4]), Some(vec![4]));
        assert_eq!(renamed(&after, &before, &[0, 1, 2, 3, 4]), Some(vec![0, 1, 2, 3, 4]));
        assert_eq!(renamed(&after, &before, &[0]), None);
        assert_eq!(renamed(&after, &before, &[0, 2]), None);
        assert_eq!(renamed(&FleetSize(vec![3]), &FleetSize(vec![2]), &[0, 1]), None);
    }

    #[test]
    fn steps_add_up() {
        let steps = Steps { base: vec![2, 0], step: vec![0, 3], own: 1 };
        assert_eq!(steps.at(2), FleetSize(vec![2, 6]));
        assert_eq!((steps.most(100), steps.most(1)), (32, 0));
        assert_eq!((gcd(0, 4), gcd(4, 6), gcd(5, 7)), (4, 2, 1));
    }
}
