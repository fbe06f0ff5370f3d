//! The scorers: what each of them sees of a replica, as a number from 0 to 1.

use rustc_hash::FxHashMap;

use super::super::known::Mine;
use crate::fleet::router::vllm_dp::EngineLoad;
use crate::fleet::view::FleetView;
use crate::ids::ReplicaId;

/// Waiting requests beyond which `load-aware` tells no more apart (`QueueThresholdDefault`).
const QUEUE_MAX: f64 = 128.0;
/// Tokens in flight beyond which `token-load` tells no more apart (`tokenQueueThresholdDefault`).
const TOKENS_MAX: f64 = 4_194_304.0;

/// A scorer, by its name there without `-scorer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scorer {
    /// The share of the prompt's blocks that the router has sent there.
    PrefixCache,
    /// The share that the engine says it has.
    PrecisePrefixCache,
    /// Waiting requests between the most and the fewest of all.
    Queue,
    /// Running requests, likewise.
    RunningRequests,
    /// The share of KV memory that is free.
    KvCacheUtilization,
    /// Waiting requests, from 0.5 down.
    LoadAware,
    /// Requests in flight beside the most of all.
    ActiveRequest,
    /// Tokens in flight with this prompt's.
    TokenLoad,
    /// Of a prompt that nobody has any of: how long ago such a one was sent there.
    NoHitLru,
    /// Whether the session was there before.
    SessionAffinity,
}

impl Scorer {
    /// All of them, by name.
    pub const NAMES: [(&'static str, Scorer); 10] = [
        ("prefix-cache", Scorer::PrefixCache),
        ("precise-prefix-cache", Scorer::PrecisePrefixCache),
        ("queue", Scorer::Queue),
        ("running-requests-size", Scorer::RunningRequests),
        ("kv-cache-utilization", Scorer::KvCacheUtilization),
        ("load-aware", Scorer::LoadAware),
        ("active-request", Scorer::ActiveRequest),
        ("token-load", Scorer::TokenLoad),
        ("no-hit-lru", Scorer::NoHitLru),
        ("session-affinity", Scorer::SessionAffinity),
    ];

    /// Whether it sees what engines say of themselves.
    pub(super) fn is_reported(self) -> bool {
        matches!(
            self,
            Scorer::Queue
                | Scorer::RunningRequests
                | Scorer::KvCacheUtilization
                | Scorer::LoadAware
        )
    }

    /// Whether it looks at prompts.
    pub(super) fn reads_prompts(self) -> bool {
        matches!(
            self,
            Scorer::PrefixCache | Scorer::PrecisePrefixCache | Scorer::TokenLoad | Scorer::NoHitLru
        )
    }
}

/// What is seen of all replicas when one is to be chosen, by place.
#[derive(Debug, Default)]
pub(super) struct Scores {
    waiting: Vec<u32>,
    running: Vec<u32>,
    kv_use: Vec<f64>,
    requests: Vec<u32>,
    /// The fewest and the most of each of these.
    of_all: [(u32, u32); 3],
    tokens: Vec<u64>,
    /// How long ago each had a prompt that nobody had any of: the longest is first.
    cold_ranks: Option<Vec<usize>>,
    home: Option<usize>,
    homes: FxHashMap<u32, ReplicaId>,
}

impl Scores {
    pub(super) fn look(
        &mut self,
        (mine, fleet, metrics): (&Mine, &FleetView<'_>, &[EngineLoad]),
        (session, cold, is_cold): (Option<u32>, &[u64], bool),
    ) {
        self.waiting.clear();
        self.waiting.extend(metrics.iter().map(|load| load.waiting));
        self.running.clear();
        self.running.extend(metrics.iter().map(|load| load.running));
        self.kv_use.clear();
        self.kv_use.extend(metrics.iter().map(|load| load.kv_use));
        self.requests.clear();
        self.requests.extend(mine.ids.iter().map(|&replica| fleet.requests(replica)));
        self.of_all = [&self.waiting, &self.running, &self.requests].map(|all| {
            let all = all.iter().copied();
            (all.clone().min().unwrap_or(0), all.max().unwrap_or(0))
        });
        self.tokens.clear();
        self.tokens.extend(mine.ids.iter().map(|&replica| fleet.tokens(replica)));
        self.home = session.and_then(|session| mine.place(*self.homes.get(&session)?));
        self.cold_ranks = is_cold.then(|| {
            let mut order: Vec<usize> = (0..cold.len()).collect();
            order.sort_by_key(|&place| cold[place]);
            let mut ranks = vec![0; cold.len()];
            order.iter().enumerate().for_each(|(rank, &place)| ranks[place] = rank);
            ranks
        });
    }

    /// The session was sent there.
    pub(super) fn chose(&mut self, session: Option<u32>, replica: ReplicaId) {
        if let Some(session) = session {
            self.homes.insert(session, replica);
        }
    }

    pub(super) fn of(&self, scorer: Scorer, place: usize) -> f64 {
        match scorer {
            Scorer::Queue => between(self.waiting[place], self.of_all[0]),
            Scorer::RunningRequests => between(self.running[place], self.of_all[1]),
            Scorer::KvCacheUtilization => 1.0 - self.kv_use[place],
            Scorer::LoadAware => {
                0.5 * (1.0 - f64::from(self.waiting[place]).min(QUEUE_MAX) / QUEUE_MAX)
            }
            Scorer::ActiveRequest => match self.requests[place] {
                0 => 1.0,
                requests => {
                    let most = self.of_all[2].1;
                    f64::from(most - requests) / f64::from(most)
                }
            },
            Scorer::NoHitLru => match &self.cold_ranks {
                None => 0.5,
                Some(ranks) if ranks.len() == 1 => 1.0,
                Some(ranks) => 1.0 - ranks[place] as f64 / (ranks.len() - 1) as f64,
            },
            Scorer::SessionAffinity => f64::from(u8::from(self.home == Some(place))),
            Scorer::PrefixCache | Scorer::PrecisePrefixCache | Scorer::TokenLoad => 0.0,
        }
    }

    /// What is in flight with a prompt of which so many tokens are cached.
    pub(super) fn token_load(&self, place: usize, prompt: u32, cached: u32) -> f64 {
        let uncached = u64::from(prompt.saturating_sub(cached));
        1.0 - ((self.tokens[place] + uncached) as f64).min(TOKENS_MAX) / TOKENS_MAX
    }
}

/// 1 for the fewest of all, 0 for the most.
fn between(one: u32, (fewest, most): (u32, u32)) -> f64 {
    match most - fewest {
        0 => 1.0,
        span => f64::from(most - one) / f64::from(span),
    }
}
