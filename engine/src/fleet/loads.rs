//! A load of each replica, and the least of all at once: a tournament, in which a change asks as many
//! matches as the number of replicas has binary digits.

use crate::ids::ReplicaId;

/// Loads by replica.
#[derive(Debug)]
pub(super) struct Loads<T> {
    of: Vec<T>,
    /// The winner below each node; the root is 1, and the replicas' own places begin at `leaves`.
    winners: Vec<ReplicaId>,
    leaves: usize,
}

impl<T: Copy + Default + Ord> Loads<T> {
    /// No load at so many replicas, at least one.
    pub(super) fn none(replicas: usize) -> Loads<T> {
        let leaves = replicas.next_power_of_two();
        let mut loads = Loads {
            of: vec![T::default(); replicas],
            winners: vec![ReplicaId::default(); 2 * leaves],
            leaves,
        };
        // A place without a replica never wins: it names one beyond them.
        for (place, winner) in loads.winners[leaves..].iter_mut().enumerate() {
            *winner = ReplicaId(place as u32);
        }
        for node in (1..leaves).rev() {
            loads.winners[node] = loads.match_at(node);
        }
        loads
    }

    pub(super) fn of(&self, replica: ReplicaId) -> T {
        self.of[replica.index()]
    }

    pub(super) fn set(&mut self, replica: ReplicaId, load: T) {
        self.of[replica.index()] = load;
        let mut node = (self.leaves + replica.index()) / 2;
        while node > 0 {
            self.winners[node] = self.match_at(node);
            node /= 2;
        }
    }

    /// The first of the replicas with the least load.
    pub(super) fn least(&self) -> ReplicaId {
        self.winners[1]
    }

    fn match_at(&self, node: usize) -> ReplicaId {
        let (one, other) = (self.winners[2 * node], self.winners[2 * node + 1]);
        match self.of.get(other.index()) {
            Some(load) if *load < self.of[one.index()] => other,
            _ => one,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_that_of_a_scan() {
        for replicas in [1, 2, 3, 7, 8, 33] {
            let mut loads = Loads::none(replicas);
            let mut state = 7_u64;
            for _ in 0..500 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let replica = ReplicaId((state >> 33) as u32 % replicas as u32);
                loads.set(replica, (state >> 60) as u32);
                let all = (0..replicas as u32).map(ReplicaId);
                assert_eq!(Some(loads.least()), all.min_by_key(|&one| loads.of(one)));
            }
        }
    }
}
