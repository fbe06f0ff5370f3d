//! A tier of host memory behind one replica's KV blocks: what vLLM 0.33.0's `OffloadingConnector` decides in
//! the scheduler, and what its CPU manager keeps (`distributed/kv_transfer/kv_connector/v1/offloading/scheduler.py`,
//! `v1/kv_offload/cpu/manager.py`, `policies/lru.py`).
//!
//! Prompts (or all tokens) are copied to the host by *chunks* of one or more KV blocks as they are
//! computed, and copied back where the blocks have lost them. Copies are *jobs* that run beside steps. This
//! is a state machine without time: whoever drives it says how long a job takes, and when it
//! is done.
//!
//! What a replica calls, and when:
//!
//! | when | call |
//! |---|---|
//! | admission looks at a waiting request of which nothing is computed, after the prefix cache gave `local` tokens | [`lookup`](HostTier::lookup); [`Lookup::Later`]: it keeps its place, and those behind it are looked at |
//! | its blocks have been taken, whether it loads or not | [`allocated`](HostTier::allocated); a load that this starts goes on from now |
//! | the step is settled, before it runs | [`settle`](HostTier::settle); stores that this starts begin with the *next* step, and the step waits for the copies in [`Orders::flush`] |
//! | a request has ended, before its blocks go back (they may go back at once) | [`finished`](HostTier::finished) |
//! | a copy is done, told with the output of a step, in the order of their numbers | [`done`](HostTier::done); the request of a load may be scheduled from the next step on |
//!
//! A request that loads holds its blocks and no seat, as one does whose KV comes from another replica
//! (`replica/transfers.rs`); when the load is done, all but the last token of what it has counts.
//!
//! The least recently used chunks go first. A request has one rank, taken when it first loads or
//! offers a chunk; among its own, later chunks are older. When it ends, its chunks become the most
//! recent, the first one the most of all. Chunks that are being written or read stay.
//!
//! Below it there may be a disk or a store ([`Below`]): what is stored is written on there, and comes up
//! again when it is looked up. Those [`moves`](HostTier::moves) are copies too, between the two tiers.

mod below;
mod chunks;
mod jobs;
mod lookup;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod tests;
mod worth;

pub use below::Below;
pub use jobs::JobId;
pub use worth::{AgainstComputing, LoadTime, Worth};

use std::collections::{BTreeMap, HashMap, HashSet};

use super::BlockKey;
use crate::request::RequestId;
use chunks::{Chunks, Recency};
use jobs::{Direction, Job, Jobs};
use lookup::Asked;

/// How a tier keeps chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostTierRules {
    /// Tokens in a KV block.
    pub block_tokens: u32,
    /// KV blocks in a chunk (`block_size` of the connector over the engine's): 1 unless set.
    pub chunk_blocks: u32,
    /// Chunks that host memory holds.
    pub capacity: u32,
    /// Whether only prompts are stored (vLLM's default).
    pub prompt_only: bool,
    /// A chunk is stored once it was offered so often (`store_threshold`); 0 and 1: at once.
    pub store_threshold: u32,
    /// Tokens after a block that belong to its identity too.
    pub key_lookahead: u32,
}

/// What the tier has of a request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Tokens beyond those that the replica has itself; 0 where a load is not worth it.
    Tokens(u32),
    /// Ask again at the next step: copies of it are going on, or a chunk of it is being written, or
    /// read for another request.
    Later,
}

/// A copy from the host to the replica that begins now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its number.
    pub job: JobId,
    /// KV blocks that are copied.
    pub blocks: u32,
}

/// A copy from the replica to the host that begins with the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// Its number.
    pub job: JobId,
    /// Whose blocks.
    pub request: RequestId,
    /// KV blocks that are copied.
    pub blocks: u32,
    /// The first of them in the request's table.
    pub first_block: u32,
}

/// What a settled step brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Copies to the host, in the order in which they were decided.
    pub stores: Vec<Store>,
    /// Copies that the step waits for, in the order of their numbers: they end with its output.
    pub flush: Vec<JobId>,
    /// Chunks that had to go, in order.
    pub evicted: Vec<BlockKey>,
    /// Requests for whose chunks there was no room; they are offered again at the next step.
    pub refused: Vec<RequestId>,
}

impl Orders {
    /// Adds those of a later step.
    pub(crate) fn extend(&mut self, later: Orders) {
        self.stores.extend(later.stores);
        self.flush.extend(later.flush);
        self.evicted.extend(later.evicted);
        self.refused.extend(later.refused);
    }
}

/// A copy between the host and the tier below that begins now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Its number.
    pub job: JobId,
    /// Who asked for the chunks, or stored them.
    pub request: RequestId,
    /// Chunks that are copied.
    pub chunks: u32,
    /// Whether they come up.
    pub is_up: bool,
}

/// A request in a settled step.
#[derive(Clone, Copy, Debug)]
pub struct Scheduled<'a> {
    /// Which request.
    pub request: RequestId,
    /// Its KV blocks, those of this step included.
    pub table: &'a [u32],
    /// Tokens computed when the step has run.
    pub computed: u32,
    /// What is known of it.
    pub known: Known,
}

/// What of a request is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Prompt tokens.
    pub prompt: u32,
    /// Prompt and answer so far.
    pub tokens: u32,
}

/// A copy that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Whose blocks were copied.
    pub request: RequestId,
    /// Whether they came from the host: the request can go on.
    pub loaded: bool,
}

/// The host memory of one replica and the copies that are going on.
#[derive(Clone, Debug)]
pub struct HostTier {
    rules: HostTierRules,
    chunks: Chunks,
    jobs: Jobs,
    requests: HashMap<RequestId, Kept>,
    /// Requests that have ended since the last step was settled.
    ended: Vec<Ended>,
    /// KV blocks that were taken since then.
    touched: HashSet<u32>,
    /// How often each chunk was offered, where that counts.
    offered: HashMap<BlockKey, u32>,
    ranks: u64,
    below: Option<Below>,
    worth: Worth,
    /// Copies to and from the tier below that have begun since they were last asked for.
    moves: Vec<Move>,
}

/// What is kept of a request.
#[derive(Clone, Debug, Default)]
struct Kept {
    /// Taken when it first loads or offers.
    rank: Option<u64>,
    /// Its chunks that it has loaded or offered, by their places.
    named: BTreeMap<u32, BlockKey>,
    /// Its blocks, as of the last step that it was in.
    table: Vec<u32>,
    /// Chunks that need not be offered again, from the first one on.
    settled: u32,
    jobs: Vec<JobId>,
    /// Chunks that stay for it while others of its come up.
    waits_with: Vec<BlockKey>,
    /// What it was last told, with what that went by.
    told: Option<(Asked, Lookup)>,
}

#[derive(Clone, Debug)]
struct Ended {
    request: RequestId,
    /// Chunks that it still has to offer, by their places.
    chunks: Vec<(u32, BlockKey)>,
    until: u32,
}

impl HostTier {
    /// An empty tier.
    pub fn new(rules: HostTierRules) -> HostTier {
        assert!(rules.chunk_blocks > 0 && rules.block_tokens > 0, "a chunk holds tokens");
        HostTier {
            rules,
            chunks: Chunks::new(rules.capacity),
            jobs: Jobs::default(),
            requests: HashMap::new(),
            ended: Vec::new(),
            touched: HashSet::new(),
            offered: HashMap::new(),
            ranks: 0,
            below: None,
            worth: Worth::default(),
            moves: Vec::new(),
        }
    }

    /// With a tier below it.
    pub fn above(self, below: Below) -> HostTier {
        HostTier { below: Some(below), ..self }
    }

    /// That brings tokens where it is worth it.
    pub fn bringing(self, worth: Worth) -> HostTier {
        HostTier { worth, ..self }
    }

    /// Copies between the host and the tier below that have begun since this was last asked.
    pub fn moves(&mut self) -> Vec<Move> {
        std::mem::take(&mut self.moves)
    }

    /// Chunks in host memory, those that are being written included.
    pub fn used(&self) -> u32 {
        self.chunks.len()
    }

    /// KV blocks in a chunk.
    pub fn chunk_blocks(&self) -> u32 {
        self.rules.chunk_blocks
    }

    /// Whether copies are going on.
    pub fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Tokens of a chunk.
    fn chunk_tokens(&self) -> u32 {
        self.rules.chunk_blocks * self.rules.block_tokens
    }

    /// Whole chunks of which it is known what they are, of `tokens` known tokens.
    fn known_chunks(&self, tokens: u32) -> u32 {
        tokens.saturating_sub(self.rules.key_lookahead) / self.chunk_tokens()
    }

    /// Chunks have been stored: those that the tier below lacks go there too.
    fn write_down(&mut self, request: RequestId, keys: Vec<BlockKey>) {
        let Some(below) = &self.below else { return };
        let missing: Vec<BlockKey> = keys.into_iter().filter(|key| !below.has(key)).collect();
        if !missing.is_empty() {
            self.begin_move(request, missing, Direction::Down);
        }
    }

    /// Blocks were taken for a request that was looked up: `table`, in which `local` tokens were found
    /// by the replica. `external` tokens after these are to come from the host, where any are.
    pub fn allocated(
        &mut self,
        request: RequestId,
        table: &[u32],
        local: u32,
        external: u32,
        key: impl Fn(u32) -> BlockKey,
    ) -> Option<Load> {
        self.touched.extend(table);
        self.let_go(request);
        if external == 0 {
            return None;
        }
        let (block, width) = (self.rules.block_tokens, self.chunk_tokens());
        let end = local + external;
        let chunks: Vec<(u32, BlockKey)> =
            (local / width..end.div_ceil(width)).map(|place| (place, key(place))).collect();
        let blocks = &table[(local / block) as usize..end.div_ceil(block) as usize];
        for (_, key) in &chunks {
            self.chunks.begin_read(key);
        }
        self.access(request, &chunks);
        let keys = chunks.iter().map(|&(_, key)| key).collect();
        let job =
            self.jobs.add(Job { direction: Direction::Load, request, keys, blocks: blocks.into() });
        let kept = self.requests.get_mut(&request).expect("it was looked up");
        kept.settled = end.div_ceil(width);
        kept.jobs.push(job);
        Some(Load { job, blocks: blocks.len() as u32 })
    }

    /// A request has ended, by whatever cause. Its blocks may go to others at once: copies of
    /// them that are going on are watched.
    pub fn finished(&mut self, request: RequestId, known: Known, key: impl Fn(u32) -> BlockKey) {
        self.let_go(request);
        let Some(kept) = self.requests.get(&request) else { return };
        self.jobs.watch(&kept.jobs);
        // The last token was sampled and never computed.
        let computed = known.prompt.max(known.tokens.saturating_sub(1));
        let until = self.offers_until(kept, computed, known);
        let chunks = (kept.settled..until).map(|place| (place, key(place))).collect();
        self.ended.push(Ended { request, chunks, until });
    }

    /// The step is settled: `scheduled` are in it, in order, and `preempted` lost their blocks for it.
    pub fn settle<'a>(
        &mut self,
        scheduled: impl Iterator<Item = Scheduled<'a>> + Clone,
        preempted: &[RequestId],
        key: impl Fn(RequestId, u32) -> BlockKey,
    ) -> Orders {
        let mut orders = Orders::default();
        for Scheduled { request, table, .. } in scheduled.clone() {
            let kept = self.requests.entry(request).or_default();
            let more = &table[kept.table.len().min(table.len())..];
            self.touched.extend(more);
            kept.table.extend(more);
        }
        for request in preempted {
            if let Some(kept) = self.requests.get(request) {
                orders.flush.extend(&kept.jobs);
            }
        }
        self.jobs.reading(&self.touched, &mut orders.flush);
        for Scheduled { request, computed, known, .. } in scheduled {
            let kept = &self.requests[&request];
            let (from, until) = (kept.settled, self.offers_until(kept, computed, known));
            if from < until {
                let chunks: Vec<_> =
                    (from..until).map(|place| (place, key(request, place))).collect();
                self.offer(request, &chunks, until, &mut orders);
            }
        }
        let ended = std::mem::take(&mut self.ended);
        for Ended { request, chunks, until } in &ended {
            if chunks.is_empty() {
                continue;
            }
            if let Some(job) = self.offer(*request, chunks, *until, &mut orders) {
                self.jobs.watch(&[job]);
                if self.jobs.reads_any(job, &self.touched) {
                    orders.flush.push(job);
                }
            }
        }
        for Ended { request, .. } in &ended {
            let kept = self.requests.get_mut(request).expect("it is kept until now");
            for (_, key) in std::mem::take(&mut kept.named).iter().rev() {
                if self.chunks.get(key).is_some() {
                    self.ranks += 1;
                    self.chunks.used(key, Recency::of_ended(self.ranks));
                }
            }
            if kept.jobs.is_empty() {
                self.requests.remove(request);
            } else {
                kept.gone();
            }
        }
        self.touched.clear();
        orders.flush.sort_unstable();
        orders.flush.dedup();
        orders
    }

    /// A copy is over.
    ///
    /// # Panics
    /// When it is none that is going on.
    pub fn done(&mut self, job: JobId) -> Done {
        let Job { direction, request, keys, .. } = self.jobs.remove(job);
        for key in &keys {
            match direction {
                Direction::Load => self.chunks.end_read(key),
                Direction::Store | Direction::Up => self.chunks.end_write(key),
                Direction::Down => {}
            }
        }
        if let (Direction::Up | Direction::Down, Some(below)) = (direction, &self.below) {
            below.use_all(keys.iter());
        }
        match direction {
            Direction::Down => return Done { request, loaded: false },
            Direction::Store => self.write_down(request, keys),
            Direction::Load | Direction::Up => {}
        }
        let kept = self.requests.get_mut(&request).expect("who has a copy going on is kept");
        kept.jobs.retain(|&own| own != job);
        if kept.jobs.is_empty() && kept.is_gone() {
            self.requests.remove(&request);
        }
        Done { request, loaded: direction == Direction::Load }
    }

    /// Up to which chunk a request with so many computed tokens offers.
    fn offers_until(&self, kept: &Kept, computed: u32, known: Known) -> u32 {
        let tokens = computed.min(known.tokens);
        let tokens = if self.rules.prompt_only { tokens.min(known.prompt) } else { tokens };
        let held = kept.table.len() as u32 / self.rules.chunk_blocks;
        (tokens / self.chunk_tokens()).min(held).min(self.known_chunks(known.tokens))
    }

    /// Offers chunks of a request, the last of which is the one before `until`; the store that this
    /// begins.
    fn offer(
        &mut self,
        request: RequestId,
        chunks: &[(u32, BlockKey)],
        until: u32,
        orders: &mut Orders,
    ) -> Option<JobId> {
        let threshold = self.rules.store_threshold;
        if threshold >= 2 {
            chunks.iter().for_each(|(_, key)| *self.offered.entry(*key).or_default() += 1);
        }
        let often = |key: &BlockKey| threshold < 2 || self.offered[key] >= threshold;
        let is_new = |key: &BlockKey| self.chunks.get(key).is_none() && often(key);
        let store: Vec<(u32, BlockKey)> =
            chunks.iter().filter(|(_, key)| is_new(key)).copied().collect();
        let ready = |key: &BlockKey| self.chunks.get(key).is_some_and(|use_| !use_.is_written());
        let seen: Vec<(u32, BlockKey)> =
            chunks.iter().filter(|(_, key)| is_new(key) || ready(key)).copied().collect();
        self.access(request, &seen);
        if store.is_empty() {
            self.kept(request).settled = until;
            return None;
        }
        let offered: HashSet<BlockKey> = chunks.iter().map(|&(_, key)| key).collect();
        if !self.chunks.make_room(store.len() as u32, &offered, &mut orders.evicted) {
            orders.refused.push(request);
            return None;
        }
        let rank = self.rank(request);
        for &(place, key) in &store {
            self.chunks.begin_write(key, Recency::of_running(rank, place));
        }
        let wide = self.rules.chunk_blocks;
        let kept = self.kept(request);
        kept.settled = until;
        let of_chunk = |place: u32| (place * wide) as usize..((place + 1) * wide) as usize;
        let blocks: Vec<u32> = store
            .iter()
            .flat_map(|&(place, _)| kept.table[of_chunk(place)].iter().copied())
            .collect();
        let begun = Store {
            job: self.jobs.next(),
            request,
            blocks: blocks.len() as u32,
            first_block: store[0].0 * wide,
        };
        let keys = store.into_iter().map(|(_, key)| key).collect();
        let job = self.jobs.add(Job { direction: Direction::Store, request, keys, blocks });
        self.kept(request).jobs.push(job);
        orders.stores.push(begun);
        Some(job)
    }

    /// A request loads or offers chunks: those for the first time take its rank.
    fn access(&mut self, request: RequestId, chunks: &[(u32, BlockKey)]) {
        let named = &self.kept(request).named;
        let new: Vec<_> =
            chunks.iter().filter(|(place, _)| !named.contains_key(place)).copied().collect();
        if new.is_empty() {
            return;
        }
        let rank = self.rank(request);
        for (place, key) in new {
            self.kept(request).named.insert(place, key);
            self.chunks.used_at_least(&key, Recency::of_running(rank, place));
        }
    }

    fn rank(&mut self, request: RequestId) -> u64 {
        let next = self.ranks + 1;
        let rank = *self.kept(request).rank.get_or_insert(next);
        self.ranks = self.ranks.max(rank);
        rank
    }

    fn kept(&mut self, request: RequestId) -> &mut Kept {
        self.requests.get_mut(&request).expect("it was looked up or scheduled")
    }
}

impl Kept {
    /// It has ended, and is kept for the sake of its copies alone.
    fn gone(&mut self) {
        self.settled = u32::MAX;
    }

    fn is_gone(&self) -> bool {
        self.settled == u32::MAX
    }
}
