//! What a router, or a controller, sees of the fleet.

use super::loads::Loads;
use crate::ids::ReplicaId;

/// The replicas that new requests may go to, and what is outstanding at each: sent there, and not yet
/// at its end.
#[derive(Clone, Copy, Debug)]
pub struct FleetView<'f> {
    replicas: &'f [ReplicaId],
    outstanding: &'f Outstanding,
    /// Whether these are all that there are, in order.
    all: bool,
}

impl<'f> FleetView<'f> {
    pub(super) fn new(replicas: &'f [ReplicaId], outstanding: &'f Outstanding) -> FleetView<'f> {
        FleetView { replicas, outstanding, all: replicas.len() == outstanding.replicas }
    }

    /// The replicas, at least one.
    pub fn replicas(&self) -> &'f [ReplicaId] {
        self.replicas
    }

    /// Requests outstanding at a replica.
    pub fn requests(&self, replica: ReplicaId) -> u32 {
        self.outstanding.requests.of(replica)
    }

    /// Tokens outstanding at a replica: the prompts and the declared `max_tokens` of those requests.
    pub fn tokens(&self, replica: ReplicaId) -> u64 {
        self.outstanding.tokens.of(replica)
    }

    /// The first of the replicas with the fewest requests outstanding.
    pub(super) fn with_fewest_requests(&self) -> ReplicaId {
        self.least(&self.outstanding.requests)
    }

    /// The first of the replicas with the fewest tokens outstanding.
    pub(super) fn with_fewest_tokens(&self) -> ReplicaId {
        self.least(&self.outstanding.tokens)
    }

    fn least<T: Copy + Default + Ord>(&self, loads: &Loads<T>) -> ReplicaId {
        if self.all {
            return loads.least();
        }
        let replicas = self.replicas.iter().copied();
        replicas.min_by_key(|&replica| loads.of(replica)).expect("at least one replica")
    }

    /// The same fleet with these replicas to choose from.
    pub(super) fn among<'n>(&self, replicas: &'n [ReplicaId]) -> FleetView<'n>
    where
        'f: 'n,
    {
        FleetView { replicas, outstanding: self.outstanding, all: false }
    }
}

/// What is outstanding at each replica.
#[derive(Debug)]
pub(super) struct Outstanding {
    replicas: usize,
    requests: Loads<u32>,
    tokens: Loads<u64>,
}

impl Outstanding {
    /// Nothing yet, at so many replicas.
    pub(super) fn of(replicas: usize) -> Outstanding {
        Outstanding { replicas, requests: Loads::none(replicas), tokens: Loads::none(replicas) }
    }

    /// A request of so many tokens was sent there.
    pub(super) fn add(&mut self, replica: ReplicaId, tokens: u32) {
        self.requests.set(replica, self.requests.of(replica) + 1);
        self.tokens.set(replica, self.tokens.of(replica) + u64::from(tokens));
    }

    /// It has come to its end.
    pub(super) fn remove(&mut self, replica: ReplicaId, tokens: u32) {
        self.requests.set(replica, self.requests.of(replica) - 1);
        self.tokens.set(replica, self.tokens.of(replica) - u64::from(tokens));
    }
}
