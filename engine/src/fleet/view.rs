//! What a router, or a controller, sees of the fleet.

use crate::ids::ReplicaId;

/// The replicas that new requests may go to, and what is outstanding at each: sent there, and not yet
/// at its end.
#[derive(Clone, Copy, Debug)]
pub struct FleetView<'f> {
    replicas: &'f [ReplicaId],
    outstanding: &'f Outstanding,
}

impl<'f> FleetView<'f> {
    pub(super) fn new(replicas: &'f [ReplicaId], outstanding: &'f Outstanding) -> FleetView<'f> {
        FleetView { replicas, outstanding }
    }

    /// The replicas, at least one.
    pub fn replicas(&self) -> &'f [ReplicaId] {
        self.replicas
    }

    /// Requests outstanding at a replica.
    pub fn requests(&self, replica: ReplicaId) -> u32 {
        self.outstanding.requests[replica.index()]
    }

    /// Tokens outstanding at a replica: the prompts and the declared `max_tokens` of those requests.
    pub fn tokens(&self, replica: ReplicaId) -> u64 {
        self.outstanding.tokens[replica.index()]
    }

    /// The first of the replicas with the least load, and how much that is.
    pub(super) fn least<T: Copy + Ord>(&self, load: impl Fn(ReplicaId) -> T) -> (ReplicaId, T) {
        let loads = self.replicas.iter().map(|&replica| (replica, load(replica)));
        loads.min_by_key(|&(_, load)| load).expect("at least one replica")
    }

    /// The same fleet with these replicas to choose from.
    pub(super) fn among<'n>(&self, replicas: &'n [ReplicaId]) -> FleetView<'n>
    where
        'f: 'n,
    {
        FleetView { replicas, outstanding: self.outstanding }
    }
}

/// What is outstanding at each replica.
#[derive(Debug)]
pub(super) struct Outstanding {
    requests: Vec<u32>,
    tokens: Vec<u64>,
}

impl Outstanding {
    /// Nothing yet, at so many replicas.
    pub(super) fn of(replicas: usize) -> Outstanding {
        Outstanding { requests: vec![0; replicas], tokens: vec![0; replicas] }
    }

    /// A request of so many tokens was sent there.
    pub(super) fn add(&mut self, replica: ReplicaId, tokens: u32) {
        self.requests[replica.index()] += 1;
        self.tokens[replica.index()] += u64::from(tokens);
    }

    /// It has come to its end.
    pub(super) fn remove(&mut self, replica: ReplicaId, tokens: u32) {
        self.requests[replica.index()] -= 1;
        self.tokens[replica.index()] -= u64::from(tokens);
    }
}
