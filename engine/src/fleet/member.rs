//! One replica as the fleet knows it.

use crate::ids::{PoolId, ReplicaId};

/// A replica of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub id: ReplicaId,
    /// Its pool.
    pub pool: PoolId,
    /// What it does for a request.
    pub role: Role,
    /// Whether it serves.
    pub state: State,
    /// The first of the replicas that it steps together with, where there are such.
    pub steps_with: Option<ReplicaId>,
}

/// What a replica does for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its prefill and its decode.
    Both,
}

/// Whether a replica serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes requests and runs them.
    Up,
}

impl Member {
    /// A replica that does everything and serves from the beginning to the end.
    pub fn new(id: ReplicaId, pool: PoolId) -> Member {
        Member { id, pool, role: Role::Both, state: State::Up, steps_with: None }
    }

    /// Whether the router may send it requests that arrive.
    pub fn takes_requests(&self) -> bool {
        match (self.role, self.state) {
            (Role::Both, State::Up) => true,
        }
    }
}
