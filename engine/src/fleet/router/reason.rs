//! Where a request went, and why.

use std::fmt;

use crate::ids::ReplicaId;

/// Where a request went, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteDecision {
    /// The replica.
    pub replica: ReplicaId,
    /// What decided.
    pub why: RouteReason,
    /// Whether its class left only some of the replicas.
    pub within_pool: bool,
}

/// What decided on a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteReason {
    /// It was its turn.
    Turn,
    /// It was drawn.
    Drawn,
    /// It had the fewest requests outstanding: this many.
    FewestRequests(u32),
    /// It had the fewest tokens outstanding: this many.
    FewestTokens(u64),
    /// It had no more requests outstanding than the other one drawn.
    FewerOfTwo {
        /// Its requests.
        requests: u32,
        /// The other replica.
        other: ReplicaId,
        /// The other's requests.
        other_requests: u32,
    },
    /// The session is new, and it had the fewest requests outstanding: this many.
    NewSession(u32),
    /// The session's first request went there.
    SameSession,
    /// The API server that the request reached saw the lowest score there.
    LowestScore {
        /// The score, in thousandths.
        thousandths: u64,
        /// The API server's number.
        client: u32,
    },
}

impl RouteDecision {
    /// A decision among all replicas that the router has.
    pub(super) fn new(replica: ReplicaId, why: RouteReason) -> RouteDecision {
        RouteDecision { replica, why, within_pool: false }
    }
}

impl fmt::Display for RouteDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.within_pool {
            f.write_str("pool of its class: ")?;
        }
        write!(f, "{}", self.why)
    }
}

impl fmt::Display for RouteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteReason::Turn => f.write_str("its turn"),
            RouteReason::Drawn => f.write_str("drawn"),
            RouteReason::FewestRequests(n) => write!(f, "fewest requests outstanding ({n})"),
            RouteReason::FewestTokens(n) => write!(f, "fewest tokens outstanding ({n})"),
            RouteReason::FewerOfTwo { requests, other, other_requests } => write!(
                f,
                "{requests} requests outstanding against {other_requests} at replica {other}"
            ),
            RouteReason::NewSession(n) => {
                write!(f, "new session: fewest requests outstanding ({n})")
            }
            RouteReason::SameSession => f.write_str("same session"),
            RouteReason::LowestScore { thousandths, client } => {
                let score = *thousandths as f64 / 1000.0;
                write!(f, "lowest score as API server {client} saw it ({score})")
            }
        }
    }
}
