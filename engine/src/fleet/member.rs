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
    /// Tokens in a KV block of its engine.
    pub block_tokens: u32,
    /// KV blocks that it has.
    pub kv_blocks: u32,
}

/// What a replica does for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Its prefill and its decode.
    #[default]
    Both,
    /// Its prefill alone: another replica decodes.
    Prefill,
    /// Its decode, and where its KV does not come from elsewhere its prefill.
    Decode,
}

/// Whether a replica serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes requests and runs them.
    Up,
}

impl Member {
    /// A replica that does everything and serves from the beginning to the end, of whose memory nothing
    /// is known.
    pub fn new(id: ReplicaId, pool: PoolId) -> Member {
        let (block_tokens, kv_blocks) = (1, 0);
        Member {
            id,
            pool,
            role: Role::Both,
            state: State::Up,
            steps_with: None,
            block_tokens,
            kv_blocks,
        }
    }

    /// Whether the router may send it requests that arrive.
    pub fn takes_requests(&self) -> bool {
        match (self.role, self.state) {
            (Role::Both | Role::Prefill, State::Up) => true,
            (Role::Decode, State::Up) => false,
        }
    }
}
