//! What a simulation leaves behind.

use super::LinkUse;
use crate::fleet::{Held, RouteDecision};
use crate::request::RequestId;
use crate::time::{Span, Time};
use crate::trace::TokenTrace;
pub use crate::trace::{ChunkRecord, Iteration, Log};
use crate::workload::SessionTurn;

/// The result of playing one scheduler on one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Every request's token times.
    pub trace: TokenTrace,
    /// Counts of iterations over all replicas.
    pub iterations: IterationCounts,
    /// KV memory over all replicas. Where pools have different amounts, `blocks` and `peak_used` are
    /// those of the pool with the fullest replica.
    pub kv: KvUse,
    /// GPU time of all iterations, summed over replicas; the mean of its pipeline stages for each.
    pub gpu_busy: Span,
    /// The same pool by pool: one where all replicas are alike.
    pub pools: Vec<PoolUse>,
    /// Every iteration, one log a lane, when the run was asked to keep them.
    pub log: Option<Vec<Log>>,
    /// Where each request went and why: with several replicas, and when the log was asked for.
    pub routes: Option<Vec<RouteDecision>>,
    /// What replicas held of each prompt when it was routed, where prefix caches are told apart: none
    /// where they are not.
    pub held: Vec<Held>,
    /// What links between replicas carried, where requests go from one to another.
    pub links: Vec<LinkUse>,
    /// When the engine got each request, where a front end stands before it: none where none does.
    pub entered: Vec<Time>,
    /// What each request is to its session, where requests are turns of sessions: none where they are not.
    pub turns: Vec<SessionTurn>,
    /// Requests that were rejected, with the reason: in order of rejection, with several replicas
    /// in order of arrival.
    pub rejections: Vec<(RequestId, Rejection)>,
}

impl Outcome {
    /// Where each request went, and what replicas held of its prompt then: the second is empty where that
    /// was not noted.
    pub fn routed(&self) -> Option<(&[RouteDecision], &[Held])> {
        Some((self.routes.as_deref()?, &self.held))
    }
}

/// What a pool of replicas used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolUse {
    /// Its replicas.
    pub replicas: u32,
    /// Lanes of each: as many as it has pipeline stages.
    pub lanes_per_replica: u32,
    /// KV memory of its replicas.
    pub kv: KvUse,
    /// GPU time of its iterations, summed over replicas; the mean of the pipeline stages for each.
    pub gpu_busy: Span,
    /// What went to and from the tiers behind its KV blocks, summed over replicas.
    pub tiers: TierUse,
}

/// What copies between KV blocks and the tiers behind them carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierUse {
    /// Between blocks and host.
    pub host: PathUse,
    /// Between the host and the tier below.
    pub below: PathUse,
    /// What steps lasted longer because they waited for loads.
    pub delayed: Span,
}

/// What went over one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathUse {
    /// Bytes towards the replica.
    pub read_bytes: u64,
    /// Time in which they went.
    pub read_busy: Span,
    /// Bytes away from it.
    pub written_bytes: u64,
    /// Time in which they went.
    pub write_busy: Span,
}

impl TierUse {
    /// Adds what another replica's carried.
    pub fn add(&mut self, other: TierUse) {
        self.host.add(other.host);
        self.below.add(other.below);
        self.delayed += other.delayed;
    }
}

impl PathUse {
    /// Adds what went over another path.
    pub fn add(&mut self, other: PathUse) {
        self.read_bytes += other.read_bytes;
        self.read_busy += other.read_busy;
        self.written_bytes += other.written_bytes;
        self.write_busy += other.write_busy;
    }
}

impl PoolUse {
    /// KV memory of all pools, as [`Outcome::kv`] has it.
    pub(super) fn kv_of_all(pools: &[PoolUse]) -> KvUse {
        let mut all = KvUse::default();
        for kv in pools.iter().filter(|pool| pool.replicas > 0).map(|pool| pool.kv) {
            let KvUse { blocks, peak_used, .. } = kv;
            // peak / blocks is compared without dividing.
            let (new, old) = (
                u64::from(peak_used) * u64::from(all.blocks),
                u64::from(all.peak_used) * u64::from(blocks),
            );
            if all.blocks == 0 || new > old {
                (all.blocks, all.peak_used) = (blocks, peak_used);
            }
            all.preemptions += kv.preemptions;
            all.prefix_hit_tokens += kv.prefix_hit_tokens;
            all.evicted_blocks += kv.evicted_blocks;
            all.overdrawn += kv.overdrawn;
        }
        all
    }
}

/// How many iterations of each kind ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IterationCounts {
    /// Iterations with prefill chunks and no decodes.
    pub prefill_only: u64,
    /// Iterations with both.
    pub mixed: u64,
    /// Iterations with decodes alone.
    pub decode_only: u64,
    /// Sequences (chunks and decodes) summed over iterations.
    pub sequences: u64,
    /// The most tokens of the chunks of an iteration.
    pub most_prefill_tokens: u64,
    /// The most requests that decoded in one.
    pub most_decodes: u32,
}

impl IterationCounts {
    /// All iterations.
    pub fn total(&self) -> u64 {
        self.prefill_only + self.mixed + self.decode_only
    }
}

/// KV memory of the replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvUse {
    /// Usable blocks of one replica.
    pub blocks: u32,
    /// The most blocks in use at once on any replica.
    pub peak_used: u32,
    /// Preemptions in all.
    pub preemptions: u64,
    /// Prompt tokens served from the prefix cache.
    pub prefix_hit_tokens: u64,
    /// Blocks of the prefix cache that lost their content because others needed them.
    pub evicted_blocks: u64,
    /// How often KV memory was taken that is not there: the real system runs out of memory and ends
    /// the first time.
    pub overdrawn: u64,
}

/// Why the engine, or a policy, rejected a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The prompt leaves no room for an answer within the model's context.
    PromptTooLong,
    /// The prompt is over the token budget and chunking is off.
    PromptOverBudget,
    /// Its tokens need more KV blocks than a replica has.
    NeverFits,
    /// The replica's memory would do, and this, which the policy was given, does not.
    OverLimit(&'static str),
    /// Its KV was gone before the replica that decodes could fetch it.
    KvLost,
    /// The policy dropped it, as the system it models does.
    DroppedByPolicy,
}
