//! The same tier, plainly: every chunk and every copy is looked at whenever something is asked. The
//! specification of [`HostTier`](super::HostTier), written after the executable model of vLLM 0.33.0's
//! rules by which the recorded cases were checked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Done, HostTierRules, JobId, Load, Lookup, Orders, Store};
use crate::kv::BlockKey;
use crate::request::RequestId;

/// A request in the world that the tier is tried in.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) keys: Vec<BlockKey>,
    pub(super) table: Vec<u32>,
    pub(super) prompt: u32,
    pub(super) known: u32,
    pub(super) computed: u32,
}

#[derive(Clone, Debug, Default)]
struct Of {
    rank: Option<u64>,
    /// In tokens from the first to the chunk's last.
    positions: HashMap<BlockKey, i64>,
    table: Vec<u32>,
    next: u32,
}

#[derive(Clone, Debug)]
struct Copy {
    load: bool,
    request: RequestId,
    keys: Vec<BlockKey>,
    blocks: Vec<u32>,
    watched: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Plain {
    rules: HostTierRules,
    /// Readers, or -1 while it is written; when it was last used.
    chunks: HashMap<BlockKey, (i64, (u64, i64))>,
    copies: BTreeMap<JobId, Copy>,
    next: u64,
    rank: u64,
    of: HashMap<RequestId, Of>,
    ended: Vec<(RequestId, World)>,
    touched: BTreeSet<u32>,
    offered: HashMap<BlockKey, u32>,
}

impl Plain {
    pub(super) fn new(rules: HostTierRules) -> Plain {
        Plain {
            rules,
            chunks: HashMap::new(),
            copies: BTreeMap::new(),
            next: 0,
            rank: 0,
            of: HashMap::new(),
            ended: Vec::new(),
            touched: BTreeSet::new(),
            offered: HashMap::new(),
        }
    }

    pub(super) fn used(&self) -> u32 {
        self.chunks.len() as u32
    }

    fn width(&self) -> u32 {
        self.rules.chunk_blocks * self.rules.block_tokens
    }

    /// The keys of all whole chunks that are known.
    fn keys(&self, world: &World) -> Vec<BlockKey> {
        let known = world.known.saturating_sub(self.rules.key_lookahead) / self.width();
        world.keys[..known as usize].to_vec()
    }

    fn copies_of(&self, request: RequestId) -> Vec<JobId> {
        let own = self.copies.iter().filter(|(_, copy)| copy.request == request);
        own.map(|(&job, _)| job).collect()
    }

    pub(super) fn lookup(&mut self, request: RequestId, local: u32, world: &World) -> Lookup {
        let of = self.of.entry(request).or_default();
        of.table.clear();
        of.next = 0;
        if !self.copies_of(request).is_empty() {
            return Lookup::Later;
        }
        let (width, keys) = (self.width(), self.keys(world));
        let top = world.known.min(keys.len() as u32 * width);
        if i64::from(top) - i64::from(local) < i64::from(width) {
            return Lookup::Tokens(0);
        }
        let first = local / width;
        let wanted = &keys[first as usize..top.div_ceil(width) as usize];
        let found: Vec<_> = wanted.iter().map_while(|key| self.chunks.get(key)).collect();
        if found.iter().any(|(readers, _)| *readers < 0) {
            return Lookup::Later;
        }
        let hit = i64::from(top.min(width * (first + found.len() as u32))) - i64::from(local);
        if found.is_empty() || hit < i64::from(width) {
            return Lookup::Tokens(0);
        }
        if found.iter().any(|(readers, _)| *readers > 0) {
            return Lookup::Later;
        }
        Lookup::Tokens(hit as u32)
    }

    fn rank(&mut self, request: RequestId) -> u64 {
        let of = self.of.entry(request).or_default();
        *of.rank.get_or_insert_with(|| {
            self.rank += 1;
            self.rank
        })
    }

    fn access(&mut self, request: RequestId, keys: &[BlockKey], all: &[BlockKey]) {
        for key in keys {
            if self.of.entry(request).or_default().positions.contains_key(key) {
                continue;
            }
            let rank = self.rank(request);
            let place = all.iter().position(|known| known == key).expect("a chunk of it");
            let position = i64::from((place as u32 + 1) * self.width());
            self.of.entry(request).or_default().positions.insert(*key, position);
            if let Some((_, last)) = self.chunks.get_mut(key) {
                *last = (*last).max((rank, -position));
            }
        }
    }

    fn begin(&mut self, copy: Copy) -> JobId {
        let job = JobId(self.next);
        self.next += 1;
        self.copies.insert(job, copy);
        job
    }

    pub(super) fn allocated(
        &mut self,
        request: RequestId,
        local: u32,
        external: u32,
        world: &World,
    ) -> Option<Load> {
        self.touched.extend(&world.table);
        if external == 0 {
            return None;
        }
        let (block, width, all) = (self.rules.block_tokens, self.width(), self.keys(world));
        let end = local + external;
        let keys = all[(local / width) as usize..end.div_ceil(width) as usize].to_vec();
        let blocks = world.table[(local / block) as usize..end.div_ceil(block) as usize].to_vec();
        for key in &keys {
            self.chunks.get_mut(key).expect("it was found").0 += 1;
        }
        self.access(request, &keys, &all);
        self.of.entry(request).or_default().next = end.div_ceil(width);
        let count = blocks.len() as u32;
        let job = self.begin(Copy { load: true, request, keys, blocks, watched: false });
        Some(Load { job, blocks: count })
    }

    pub(super) fn finished(&mut self, request: RequestId, world: &World) {
        for copy in self.copies.values_mut() {
            copy.watched |= copy.request == request && !copy.load;
        }
        self.ended.push((request, world.clone()));
    }

    pub(super) fn settle(
        &mut self,
        scheduled: &[(RequestId, World)],
        preempted: &[RequestId],
    ) -> Orders {
        let mut orders = Orders::default();
        let mut flush = BTreeSet::new();
        for (request, world) in scheduled {
            let of = self.of.entry(*request).or_default();
            self.touched.extend(&world.table[of.table.len().min(world.table.len())..]);
            of.table = world.table.clone();
        }
        for request in preempted {
            flush.extend(self.copies_of(*request));
        }
        let reads = |copy: &Copy, touched: &BTreeSet<u32>| {
            copy.watched && copy.blocks.iter().any(|block| touched.contains(block))
        };
        flush.extend(
            self.copies.iter().filter(|(_, c)| reads(c, &self.touched)).map(|(&job, _)| job),
        );
        let ended = std::mem::take(&mut self.ended);
        let offers = scheduled.iter().map(|(request, world)| (*request, world, false));
        let offers = offers.chain(ended.iter().map(|(request, world)| (*request, world, true)));
        for (request, world, has_ended) in offers {
            let wide = self.rules.chunk_blocks as usize;
            let computed = match has_ended {
                true => world.prompt.max(world.known - 1),
                false => world.computed,
            };
            let all = self.keys(world);
            let of = self.of.entry(request).or_default();
            let (table, next) = (of.table.clone(), of.next as usize);
            let top = computed.min(world.known);
            let top = if self.rules.prompt_only { top.min(world.prompt) } else { top };
            let end = ((top / self.width()) as usize).min(table.len() / wide).min(all.len());
            if next >= end {
                continue;
            }
            let new = &all[next..end];
            if self.rules.store_threshold >= 2 {
                new.iter().for_each(|key| *self.offered.entry(*key).or_default() += 1);
            }
            let threshold = self.rules.store_threshold;
            let often = |key: &BlockKey| threshold < 2 || self.offered[key] >= threshold;
            let put: Vec<BlockKey> = new
                .iter()
                .filter(|key| !self.chunks.contains_key(key) && often(key))
                .copied()
                .collect();
            let ready = |key: &BlockKey| self.chunks.get(key).is_some_and(|(n, _)| *n >= 0);
            let seen: Vec<BlockKey> =
                new.iter().filter(|key| put.contains(key) || ready(key)).copied().collect();
            self.access(request, &seen, &all);
            if put.is_empty() {
                self.of.entry(request).or_default().next = end as u32;
                continue;
            }
            let free = i64::from(self.rules.capacity) - self.chunks.len() as i64;
            let over = (put.len() as i64 - free).max(0) as usize;
            let mut idle: Vec<_> = self
                .chunks
                .iter()
                .filter(|(key, (readers, _))| *readers == 0 && !new.contains(key))
                .map(|(key, (_, last))| (*last, *key))
                .collect();
            idle.sort_by_key(|(last, _)| *last);
            if idle.len() < over {
                orders.refused.push(request);
                continue;
            }
            for (_, key) in &idle[..over] {
                self.chunks.remove(key);
                orders.evicted.push(*key);
            }
            let rank = self.rank(request);
            for key in &put {
                let position = self.of[&request].positions[key];
                self.chunks.insert(*key, (-1, (rank, -position)));
            }
            let places: Vec<usize> = (next..end).filter(|&i| put.contains(&all[i])).collect();
            let blocks: Vec<u32> =
                places.iter().flat_map(|&i| table[i * wide..(i + 1) * wide].to_vec()).collect();
            self.of.entry(request).or_default().next = end as u32;
            let touched = blocks.iter().any(|block| self.touched.contains(block));
            let count = blocks.len() as u32;
            let job =
                self.begin(Copy { load: false, request, keys: put, blocks, watched: has_ended });
            let first_block = (places[0] * wide) as u32;
            orders.stores.push(Store { job, request, blocks: count, first_block });
            if has_ended && touched {
                flush.insert(job);
            }
        }
        for (request, _) in &ended {
            let mut keys: Vec<_> =
                self.of[request].positions.iter().map(|(key, at)| (*at, *key)).collect();
            keys.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
            for (_, key) in keys {
                if let Some((_, last)) = self.chunks.get_mut(&key) {
                    self.rank += 1;
                    *last = (self.rank, 0);
                }
            }
        }
        self.touched.clear();
        orders.flush = flush.into_iter().collect();
        orders
    }

    pub(super) fn done(&mut self, job: JobId) -> Done {
        let copy = self.copies.remove(&job).expect("it is going on");
        for key in &copy.keys {
            let readers = &mut self.chunks.get_mut(key).expect("it stays meanwhile").0;
            *readers = if copy.load { *readers - 1 } else { 0 };
        }
        Done { request: copy.request, loaded: copy.load }
    }
}
