use std::collections::{BTreeMap, BTreeSet};

use super::plain::{Plain, World};
use super::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

const RULES: HostTierRules = HostTierRules {
    block_tokens: 16,
    chunk_blocks: 1,
    capacity: 4,
    prompt_only: true,
    store_threshold: 0,
    key_lookahead: 0,
};

/// Chunk `place` of text `text`.
fn key(text: u64, place: u32) -> BlockKey {
    BlockKey { id: text, index: place, shared: true }
}

fn known(prompt: u32, tokens: u32) -> Known {
    Known { prompt, tokens }
}

fn lookup(tier: &mut HostTier, request: u32, local: u32, tokens: u32) -> Lookup {
    tier.lookup(RequestId(request), local, tokens, |place| key(request.into(), place))
}

/// A step with one request in it, whose text is its own.
fn step(tier: &mut HostTier, request: u32, table: &[u32], computed: u32, known: Known) -> Orders {
    let entry = Scheduled { request: RequestId(request), table, computed, known };
    tier.settle(std::iter::once(entry), &[], |request, place| key(request.0.into(), place))
}

/// A prompt of whole blocks that is computed in one step and stored; the copy is done.
fn store(tier: &mut HostTier, request: u32, table: &[u32]) -> Orders {
    let tokens = table.len() as u32 * 16;
    assert_eq!(lookup(tier, request, 0, tokens), Lookup::Tokens(0));
    assert_eq!(tier.allocated(RequestId(request), table, 0, 0, |_| unreachable!()), None);
    let orders = step(tier, request, table, tokens, known(tokens, tokens));
    for store in &orders.stores {
        assert_eq!(tier.done(store.job), Done { request: store.request, loaded: false });
    }
    orders
}

fn finish(tier: &mut HostTier, request: u32, prompt: u32) {
    let id = RequestId(request);
    tier.finished(id, known(prompt, prompt + 1), |place| key(request.into(), place));
    tier.settle(std::iter::empty(), &[], |_, _| unreachable!());
}

#[test]
fn tails_go_first_and_ended_requests_are_the_most_recent() {
    let mut tier = HostTier::new(RULES);
    let orders = store(&mut tier, 0, &[1, 2]);
    let first = Store { job: JobId(0), request: RequestId(0), blocks: 2, first_block: 0 };
    assert_eq!(orders.stores, [first]);
    store(&mut tier, 1, &[3, 4]);
    // Request 0 is older, and of its chunks the second.
    assert_eq!(store(&mut tier, 2, &[5]).evicted, [key(0, 1)]);
    finish(&mut tier, 0, 32);
    assert_eq!(store(&mut tier, 3, &[6, 7]).evicted, [key(1, 1), key(1, 0)]);
}

#[test]
fn without_room_nothing_is_stored_until_there_is() {
    let mut tier = HostTier::new(RULES);
    assert_eq!(lookup(&mut tier, 0, 0, 48), Lookup::Tokens(0));
    let begun = step(&mut tier, 0, &[1, 2, 3], 48, known(48, 48));
    assert_eq!(lookup(&mut tier, 1, 0, 32), Lookup::Tokens(0));
    let refused = step(&mut tier, 1, &[4, 5], 32, known(32, 32));
    assert_eq!((refused.refused, refused.stores.len()), (vec![RequestId(1)], 0));
    tier.done(begun.stores[0].job);
    let later = step(&mut tier, 1, &[4, 5, 6], 33, known(32, 33));
    assert_eq!((later.evicted, later.stores.len()), (vec![key(0, 2)], 1));
    assert_eq!(tier.used(), 4);
}

#[test]
fn a_chunk_that_is_written_or_read_makes_others_wait() {
    let mut tier = HostTier::new(RULES);
    lookup(&mut tier, 0, 0, 40);
    let stored = step(&mut tier, 0, &[1, 2, 3], 40, known(40, 40));
    let same = |tier: &mut HostTier, request| {
        tier.lookup(RequestId(request), 0, 40, |place| key(0, place))
    };
    assert_eq!(same(&mut tier, 1), Lookup::Later);
    tier.done(stored.stores[0].job);
    assert_eq!(same(&mut tier, 1), Lookup::Tokens(32));
    let load = tier.allocated(RequestId(1), &[4, 5], 0, 32, |place| key(0, place));
    assert_eq!(load, Some(Load { job: JobId(1), blocks: 2 }));
    assert_eq!(same(&mut tier, 2), Lookup::Later, "it is being read for another");
    assert_eq!(tier.done(JobId(1)), Done { request: RequestId(1), loaded: true });
    assert_eq!(same(&mut tier, 2), Lookup::Tokens(32));
    // The replica has the first block itself.
    assert_eq!(tier.lookup(RequestId(2), 16, 40, |place| key(0, place)), Lookup::Tokens(16));
}

#[test]
fn a_step_waits_for_the_copy_of_a_block_that_it_takes() {
    let mut tier = HostTier::new(RULES);
    lookup(&mut tier, 0, 0, 32);
    let stored = step(&mut tier, 0, &[1, 2], 32, known(32, 32));
    tier.finished(RequestId(0), known(32, 33), |place| key(0, place));
    lookup(&mut tier, 1, 0, 10);
    assert!(step(&mut tier, 1, &[3], 10, known(10, 10)).flush.is_empty());
    lookup(&mut tier, 2, 0, 10);
    assert_eq!(step(&mut tier, 2, &[2], 10, known(10, 10)).flush, [stored.stores[0].job]);
}

#[test]
fn a_load_has_a_whole_chunk_beyond_what_the_replica_has() {
    let mut tier = HostTier::new(HostTierRules { chunk_blocks: 2, ..RULES });
    lookup(&mut tier, 0, 0, 64);
    let stored = step(&mut tier, 0, &[1, 2, 3, 4], 64, known(64, 64));
    assert_eq!(stored.stores[0].blocks, 4);
    tier.done(stored.stores[0].job);
    let ask =
        |tier: &mut HostTier, local| tier.lookup(RequestId(1), local, 70, |place| key(0, place));
    assert_eq!(
        [0, 16, 32, 48].map(|local| ask(&mut tier, local)),
        [64, 48, 32, 0].map(Lookup::Tokens)
    );
    // Of the chunk that it has half of it loads the other half.
    ask(&mut tier, 16);
    let load = tier.allocated(RequestId(1), &[1, 5, 6, 7, 8], 16, 48, |place| key(0, place));
    assert_eq!(load.map(|load| load.blocks), Some(3));
}

/// A world of few blocks and few texts, in which requests come, are preempted and end at random: both
/// tiers say the same of everything.
struct Trial {
    rng: Xoshiro256PlusPlus,
    rules: HostTierRules,
    tier: HostTier,
    plain: Plain,
    waiting: BTreeMap<RequestId, World>,
    running: BTreeMap<RequestId, World>,
    loading: BTreeMap<RequestId, World>,
    copies: BTreeSet<JobId>,
    requests: u32,
    counts: [u32; 4],
}

impl Trial {
    fn new(seed: u64) -> Trial {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let rules = HostTierRules {
            block_tokens: 4,
            chunk_blocks: rng.random_range(1..=3),
            capacity: rng.random_range(3..=24),
            prompt_only: rng.random_bool(0.5),
            store_threshold: rng.random_range(0..=3),
            key_lookahead: rng.random_range(0..=1),
        };
        Trial {
            rng,
            rules,
            tier: HostTier::new(rules),
            plain: Plain::new(rules),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            loading: BTreeMap::new(),
            copies: BTreeSet::new(),
            requests: 0,
            counts: [0; 4],
        }
    }

    fn come(&mut self) {
        let prompt = self.rng.random_range(1..=60);
        let (text, common) = (self.rng.random_range(0..3u64), self.rng.random_range(0..=15u32));
        let id = RequestId(self.requests);
        self.requests += 1;
        let own = 100 + u64::from(id.0);
        let keys = (0..30).map(|place| key(if place < common { text } else { own }, place));
        let world = World { keys: keys.collect(), prompt, known: prompt, ..World::default() };
        self.waiting.insert(id, world);
    }

    /// A table that has room for so many tokens, of blocks that others may have too.
    fn table(&mut self, world: &mut World, tokens: u32) {
        while world.table.len() < tokens.div_ceil(self.rules.block_tokens) as usize {
            world.table.push(self.rng.random_range(0..40));
        }
    }

    fn admit(&mut self) {
        let ids: Vec<RequestId> = self.waiting.keys().copied().collect();
        for id in ids {
            if self.rng.random_bool(0.4) {
                continue;
            }
            let mut world = self.waiting[&id].clone();
            let block = self.rules.block_tokens;
            let most = (world.known - 1) / block;
            let local = block * self.rng.random_range(0..=most.min(3));
            let ours = self.tier.lookup(id, local, world.known, |place| world.keys[place as usize]);
            assert_eq!(ours, self.plain.lookup(id, local, &world));
            let Lookup::Tokens(external) = ours else {
                self.counts[0] += 1;
                continue;
            };
            if self.rng.random_bool(0.2) {
                // There was no room for it.
                continue;
            }
            self.table(&mut world, local + external);
            world.computed = local + external;
            let load = self
                .tier
                .allocated(id, &world.table, local, external, |place| world.keys[place as usize]);
            assert_eq!(load, self.plain.allocated(id, local, external, &world));
            self.waiting.remove(&id);
            match load {
                Some(load) => {
                    self.counts[1] += 1;
                    self.copies.insert(load.job);
                    self.loading.insert(id, world);
                }
                None => {
                    self.running.insert(id, world);
                }
            }
        }
    }

    fn step(&mut self) {
        let mut preempted = Vec::new();
        while !self.running.is_empty() && self.rng.random_bool(0.1) {
            let (id, mut world) = self.running.pop_last().expect("somebody runs");
            world.table.clear();
            world.computed = 0;
            self.waiting.insert(id, world);
            preempted.push(id);
        }
        if preempted.is_empty() {
            self.admit();
        }
        let ids: Vec<RequestId> = self.running.keys().copied().collect();
        let mut scheduled = Vec::new();
        for id in ids {
            if self.rng.random_bool(0.1) {
                continue;
            }
            let mut world = self.running[&id].clone();
            let left = world.known - world.computed.min(world.known - 1);
            world.computed = world.computed.min(world.known - 1) + self.rng.random_range(1..=left);
            let tokens = world.computed;
            self.table(&mut world, tokens);
            self.running.insert(id, world.clone());
            scheduled.push((id, world));
        }
        let entries = scheduled.iter().map(|(request, world)| Scheduled {
            request: *request,
            table: &world.table,
            computed: world.computed,
            known: known(world.prompt, world.known),
        });
        let of = |request: RequestId, place: u32| self.running[&request].keys[place as usize];
        let ours = self.tier.settle(entries, &preempted, of);
        assert_eq!(ours, self.plain.settle(&scheduled, &preempted));
        assert_eq!(self.tier.used(), self.plain.used());
        self.counts[2] += ours.evicted.len() as u32;
        self.counts[3] += ours.flush.len() as u32;
        self.copies.extend(ours.stores.iter().map(|store| store.job));
        for (id, world) in scheduled {
            if world.computed < world.known {
                continue;
            }
            let own = self.running.get_mut(&id).expect("it runs");
            own.known += 1;
            if own.known >= own.prompt + 40 || self.rng.random_bool(0.15) {
                let world = self.running.remove(&id).expect("it runs");
                let all = known(world.prompt, world.known);
                self.tier.finished(id, all, |place| world.keys[place as usize]);
                self.plain.finished(id, &world);
            }
        }
        let over: Vec<JobId> = self
            .copies
            .iter()
            .copied()
            .filter(|job| ours.flush.contains(job) || self.rng.random_bool(0.3))
            .collect();
        for job in over {
            self.copies.remove(&job);
            let done = self.tier.done(job);
            assert_eq!(done, self.plain.done(job));
            if done.loaded {
                let mut world = self.loading.remove(&done.request).expect("it was loading");
                world.computed = world.computed.min(world.known - 1);
                self.running.insert(done.request, world);
            }
        }
    }
}

#[test]
fn the_tier_says_what_the_plain_one_says() {
    let mut counts = [0; 4];
    for seed in 0..400 {
        let mut trial = Trial::new(seed);
        for _ in 0..120 {
            if trial.rng.random_bool(0.3) {
                trial.come();
            }
            trial.step();
        }
        counts.iter_mut().zip(trial.counts).for_each(|(all, one)| *all += one);
    }
    // Waits, loads, evictions, flushes: all of it was met.
    assert!(counts.iter().all(|&count| count > 100), "{counts:?}");
}
