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

/// Kinds of what decides on a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// What it was sent before, or has.
    Affinity,
    /// How much is outstanding there.
    Balance,
    /// How much is outstanding there, since nobody has enough of the prompt, or of the session.
    Fallback,
    /// Its turn, or chance.
    Blind,
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
    /// It was sent the longest beginning of the prompt: so many tokens.
    SentBefore {
        /// Tokens.
        tokens: u32,
    },
    /// It holds the longest beginning of the prompt: so many tokens.
    HoldsMost {
        /// Tokens.
        tokens: u32,
    },
    /// Nobody was sent enough of the prompt, and it had the fewest requests outstanding.
    TooLittle {
        /// The tokens that somebody was sent.
        tokens: u32,
        /// Its requests.
        requests: u32,
    },
    /// Nobody was sent enough of the prompt, and it was sent the fewest tokens in all.
    SmallestTree {
        /// The tokens that somebody was sent.
        tokens: u32,
    },
    /// Requests are spread unevenly, so it is not asked who has the prompt.
    Uneven {
        /// The most outstanding at a replica.
        most: u32,
        /// The fewest.
        fewest: u32,
    },
    /// It had the fewest requests of the last minute: this many.
    FewestLately(u32),
    /// The request costs the least there.
    LeastCost {
        /// The cost in blocks, in thousandths.
        thousandths: u64,
        /// Tokens of the prompt that it has.
        tokens: u32,
    },
    /// It has the highest score.
    HighestScore {
        /// The score, in thousandths.
        thousandths: u64,
        /// Tokens of the prompt that it has.
        tokens: u32,
    },
    /// So few tokens of the prompt are new to the replica which answers it that it computes them itself.
    LittleNew {
        /// Tokens.
        new_tokens: u32,
    },
    /// The API server that the request reached saw the lowest score there.
    LowestScore {
        /// The score, in thousandths.
        thousandths: u64,
        /// The API server's number.
        client: u32,
    },
}

impl RouteReason {
    /// What kind of reason it is.
    pub fn kind(&self) -> RouteKind {
        match self {
            RouteReason::Turn | RouteReason::Drawn => RouteKind::Blind,
            RouteReason::SameSession
            | RouteReason::LittleNew { .. }
            | RouteReason::SentBefore { .. }
            | RouteReason::HoldsMost { .. } => RouteKind::Affinity,
            RouteReason::TooLittle { .. }
            | RouteReason::SmallestTree { .. }
            | RouteReason::NewSession(_) => RouteKind::Fallback,
            RouteReason::LeastCost { tokens, .. } | RouteReason::HighestScore { tokens, .. } => {
                match tokens {
                    0 => RouteKind::Balance,
                    _ => RouteKind::Affinity,
                }
            }
            RouteReason::FewestRequests(_)
            | RouteReason::FewestTokens(_)
            | RouteReason::FewerOfTwo { .. }
            | RouteReason::Uneven { .. }
            | RouteReason::FewestLately(_)
            | RouteReason::LowestScore { .. } => RouteKind::Balance,
        }
    }
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
            RouteReason::LittleNew { new_tokens } => {
                write!(f, "only {new_tokens} tokens are new: computed where it is answered")
            }
            RouteReason::SentBefore { tokens } => {
                write!(f, "was sent the first {tokens} tokens before")
            }
            RouteReason::HoldsMost { tokens } => write!(f, "holds the first {tokens} tokens"),
            RouteReason::TooLittle { tokens, requests } => write!(
                f,
                "only {tokens} tokens were sent anywhere: fewest requests outstanding ({requests})"
            ),
            RouteReason::SmallestTree { tokens } => write!(
                f,
                "only {tokens} tokens were sent anywhere: it was sent the fewest tokens in all"
            ),
            RouteReason::Uneven { most, fewest } => {
                write!(f, "requests pile up ({most} against {fewest}): by load")
            }
            RouteReason::FewestLately(n) => write!(f, "fewest requests in the last minute ({n})"),
            RouteReason::LeastCost { thousandths, tokens } => {
                let cost = *thousandths as f64 / 1000.0;
                write!(f, "least cost ({cost} blocks; it has {tokens} tokens)")
            }
            RouteReason::HighestScore { thousandths, tokens } => {
                let score = *thousandths as f64 / 1000.0;
                write!(f, "highest score ({score}; it has {tokens} tokens)")
            }
            RouteReason::LowestScore { thousandths, client } => {
                let score = *thousandths as f64 / 1000.0;
                write!(f, "lowest score as API server {client} saw it ({score})")
            }
        }
    }
}
