//! What of a policy is proven, for which version of its system: capability by capability.

use serde::Serialize;

/// What a policy can do and is held to by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Capability {
    /// Each batch is processed before the next is planned.
    Synchronous,
    /// A batch is planned while the one before runs.
    Asynchronous,
    /// Speculative decoding: drafts scheduled, verified, accepted.
    Drafts,
    /// As many batches out as there are pipeline stages, or one more.
    Pipeline,
    /// Groups of layers of several kinds (full attention, windows, states) in one pool of blocks.
    HybridKv,
    /// KV blocks found again by content, those of answers too.
    PrefixCaching,
    /// One end of a hand-over from a prefill replica to a decode replica.
    PdEnds,
    /// Blocks kept in the host's memory.
    HostTier,
    /// An order by priority.
    Priorities,
}

impl Capability {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Capability; 9] = [
        Capability::Synchronous,
        Capability::Asynchronous,
        Capability::Drafts,
        Capability::Pipeline,
        Capability::HybridKv,
        Capability::PrefixCaching,
        Capability::PdEnds,
        Capability::HostTier,
        Capability::Priorities,
    ];

    /// What it is called, in a word or two.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Synchronous => "sync",
            Capability::Asynchronous => "async",
            Capability::Drafts => "drafts",
            Capability::Pipeline => "pipeline",
            Capability::HybridKv => "hybrid",
            Capability::PrefixCaching => "prefixes",
            Capability::PdEnds => "P/D",
            Capability::HostTier => "host",
            Capability::Priorities => "priority",
        }
    }

    /// What the name means.
    pub fn meaning(self) -> &'static str {
        match self {
            Capability::Synchronous => "each batch is processed before the next is planned",
            Capability::Asynchronous => "a batch is planned while the one before runs",
            Capability::Drafts => "speculative decoding",
            Capability::Pipeline => "pipeline parallelism: several batches out",
            Capability::HybridKv => "layers of several kinds in one pool of KV blocks",
            Capability::PrefixCaching => "KV blocks found again by content, over turns too",
            Capability::PdEnds => "prefill and decode on replicas of their own: one end of it",
            Capability::HostTier => "KV blocks kept in the host's memory",
            Capability::Priorities => "requests ordered by priority",
        }
    }
}

/// What was recorded of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// Its own scheduler's code, called step by step.
    Code,
    /// A server that ran on its own clock.
    Server,
}

/// Recorded cases in whose every step a policy is equal to its system. A case counts for each
/// capability that it has on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The system's version.
    pub version: &'static str,
    /// What was recorded.
    pub recorded: Recorded,
    /// What they have on.
    pub capability: Capability,
    /// How many cases.
    pub cases: u32,
    /// Their steps.
    pub steps: u32,
}

impl Proof {
    /// Cases recorded from the code of a version.
    pub const fn code(
        version: &'static str,
        capability: Capability,
        cases: u32,
        steps: u32,
    ) -> Proof {
        Proof { version, recorded: Recorded::Code, capability, cases, steps }
    }

    /// Runs of a server of a version.
    pub const fn server(
        version: &'static str,
        capability: Capability,
        cases: u32,
        steps: u32,
    ) -> Proof {
        Proof { version, recorded: Recorded::Server, capability, cases, steps }
    }
}
