//! Copies between a replica's KV blocks and its tiers in time: when each begins and is over.
//!
//! Each way has one copy at a time, in the order in which they begin, as vLLM has one stream each way. A load
//! begins when the step that ordered it is planned; a store with the step after the one that
//! ordered it. That a copy is over is seen when a step ends, or at once by an engine that runs nothing. A
//! step that takes blocks which a store still reads waits for that store (`tests/engine/offload.rs` holds
//! the orders to vLLM's own code).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::outcome::{PathUse, TierUse};
use crate::fleet::{CopyPath, KvTiers, LoadOverlap};
use crate::ids::{LaneId, RequestId};
use crate::kv::host_tier::{Below, HostTier, JobId, Move, Orders, Store};
use crate::replica::{LoadBegun, Replica, TransferRules};
use crate::time::{Span, Time};
use crate::trace::KvLoad;

/// Blocks of requests in flight come back when their last batch is processed; what a preempted request
/// had in flight stays (vLLM's `OffloadingConnector`).
fn rules(overlap: LoadOverlap) -> TransferRules {
    TransferRules { consumes: true, delivers: false, in_step: overlap.is_in_step() }
}

/// What the replicas of a pool have below their hosts' memory.
pub(super) struct SharedBelow<'a> {
    setup: &'a KvTiers,
    all: Option<(Below, Arc<Mutex<Ways>>)>,
}

/// Until when each way is taken.
#[derive(Debug, Default)]
struct Ways {
    read: Time,
    write: Time,
}

/// The copies of one replica.
pub(super) struct HostCopies<'a> {
    setup: &'a KvTiers,
    lane: LaneId,
    host: Ways,
    below: Arc<Mutex<Ways>>,
    /// What the step before the one that is planned ordered to be stored, and what that one did.
    stores: Vec<Store>,
    fresh: Vec<Store>,
    /// Copies that the step which is planned waits for.
    flush: Vec<JobId>,
    /// Loads that begin with the step which is planned, and when it was planned.
    with_step: Vec<(LoadBegun, Time)>,
    /// When each is over.
    going_on: BTreeMap<JobId, Time>,
    loads: Vec<KvLoad>,
    /// By request: its place among the loads, until its KV is there.
    loading: BTreeMap<RequestId, usize>,
    uses: TierUse,
}

impl<'a> SharedBelow<'a> {
    /// For a pool.
    pub(super) fn of(setup: &'a KvTiers) -> SharedBelow<'a> {
        let shared = setup.new_below().filter(|_| setup.are_shared());
        SharedBelow { setup, all: shared.map(|below| (below, Arc::default())) }
    }

    /// Gives a replica of the pool, which is empty, its tiers.
    pub(super) fn give(&self, replica: &mut Replica, lane: LaneId) -> HostCopies<'a> {
        let setup = self.setup;
        let mut host = HostTier::new(setup.rules).bringing(setup.worth.clone());
        let mut ways = Arc::default();
        if let Some((below, shared)) = &self.all {
            host = host.above(below.clone());
            ways = Arc::clone(shared);
        } else if let Some(below) = setup.new_below() {
            host = host.above(below);
        }
        replica.transfer(rules(setup.overlap), Some(host));
        HostCopies {
            setup,
            lane,
            host: Ways::default(),
            below: ways,
            stores: Vec::new(),
            fresh: Vec::new(),
            flush: Vec::new(),
            with_step: Vec::new(),
            going_on: BTreeMap::new(),
            loads: Vec::new(),
            loading: BTreeMap::new(),
            uses: TierUse::default(),
        }
    }
}

/// Takes a way for a copy that can begin `now`; says when it is over.
fn take(
    way: &mut Time,
    now: Time,
    (latency, bytes, bytes_per_s): (Span, u64, f64),
    uses: (&mut u64, &mut Span),
) -> Time {
    let nanos = (bytes as f64 / bytes_per_s * 1e9).ceil().clamp(1.0, 1e18) as u64;
    let takes = Span::from_nanos(latency.as_nanos().saturating_add(nanos));
    *way = now.max(*way) + takes;
    *uses.0 += bytes;
    *uses.1 += takes;
    *way
}

impl HostCopies<'_> {
    /// A step has been planned `now`, or nothing was to be run: loads begin.
    pub(super) fn planned(&mut self, replica: &mut Replica, now: Time) {
        for moved in replica.moves() {
            self.move_between(moved, now);
        }
        let loads = replica.loads_begun();
        if self.setup.overlap.is_in_step() {
            self.with_step.extend(loads.into_iter().map(|load| (load, now)));
        } else {
            for load in loads {
                self.load(load, now);
            }
        }
        let Orders { stores, flush, .. } = replica.orders();
        self.fresh.extend(stores);
        self.flush.extend(flush);
    }

    /// An empty step is over.
    pub(super) fn empty_step(&mut self, now: Time) {
        self.step(now);
        self.load_in_step(now, Span::ZERO);
    }

    /// A step starts, or an empty one is over: what the one before it ordered is stored from `now` on. Says
    /// when the copies out of its blocks are over, for which it waits.
    pub(super) fn step(&mut self, now: Time) -> Time {
        for store in std::mem::take(&mut self.stores) {
            self.store(store, now);
        }
        let mut until = now;
        for job in std::mem::take(&mut self.flush) {
            let fresh = self.fresh.iter().position(|store| store.job == job);
            if let Some(place) = fresh {
                let store = self.fresh.remove(place);
                self.store(store, now);
            }
            until = until.max(self.going_on.get(&job).copied().unwrap_or(now));
        }
        self.stores = std::mem::take(&mut self.fresh);
        until
    }

    /// Begins the loads that a step of so much GPU time waits for, which starts `now`; says by how much it is
    /// longer.
    pub(super) fn load_in_step(&mut self, now: Time, gpu: Span) -> Span {
        let loads = std::mem::take(&mut self.with_step);
        if loads.is_empty() {
            return Span::ZERO;
        }
        for (load, planned) in loads {
            let place = self.load(load, now);
            self.loads[place].taken = planned;
            self.loads[place].landed = self.host.read;
            self.loading.remove(&load.request);
        }
        let delay = self.setup.overlap.delays(self.host.read.since(now), gpu);
        self.uses.delayed += delay;
        delay
    }

    /// A replica that runs nothing goes on with empty steps.
    pub(super) fn idle(&mut self, now: Time) {
        while !self.stores.is_empty() || !self.fresh.is_empty() || !self.with_step.is_empty() {
            self.empty_step(now);
        }
        self.flush.clear();
    }

    /// When the next copy is over.
    pub(super) fn next_end(&self) -> Option<Time> {
        self.going_on.values().min().copied()
    }

    /// Tells the replica which copies are over `now`.
    pub(super) fn over(&mut self, replica: &mut Replica, now: Time) {
        loop {
            let over = |(&job, &end): (&JobId, &Time)| (end <= now).then_some(job);
            let over: Vec<JobId> = self.going_on.iter().filter_map(over).collect();
            if over.is_empty() {
                return;
            }
            for job in over {
                let end = self.going_on.remove(&job).expect("it was going on");
                let loaded = replica.copied(job);
                if let Some(request) = loaded.filter(|_| !self.setup.overlap.is_in_step()) {
                    replica.loaded(request);
                    if let Some(place) = self.loading.remove(&request) {
                        self.loads[place].landed = end;
                    }
                }
            }
            // What was stored goes further down.
            for moved in replica.moves() {
                self.move_between(moved, now);
            }
        }
    }

    fn load(&mut self, load: LoadBegun, now: Time) -> usize {
        let bytes = u64::from(load.blocks).saturating_mul(self.setup.block_bytes);
        let CopyPath { latency, read_bytes_per_s, .. } = self.setup.host;
        let uses = &mut self.uses.host;
        let uses = (&mut uses.read_bytes, &mut uses.read_busy);
        let end = take(&mut self.host.read, now, (latency, bytes, read_bytes_per_s), uses);
        self.going_on.insert(load.job.expect("a tier loads by jobs"), end);
        let place = self.begin(load.request, now);
        let record = &mut self.loads[place];
        (record.context, record.tokens, record.bytes) = (load.context, load.tokens, bytes);
        record.taken = now;
        place
    }

    fn begin(&mut self, request: RequestId, now: Time) -> usize {
        let (lane, next) = (self.lane, self.loads.len());
        let place = *self.loading.entry(request).or_insert(next);
        if place == next {
            self.loads.push(KvLoad {
                request,
                lane,
                begun: now,
                taken: Time::NEVER,
                landed: Time::NEVER,
                context: 0,
                tokens: 0,
                from_below: 0,
                in_step: self.setup.overlap.is_in_step(),
                bytes: 0,
            });
        }
        place
    }

    fn store(&mut self, store: Store, now: Time) {
        let bytes = u64::from(store.blocks).saturating_mul(self.setup.block_bytes);
        let CopyPath { latency, write_bytes_per_s, .. } = self.setup.host;
        let uses = &mut self.uses.host;
        let uses = (&mut uses.written_bytes, &mut uses.write_busy);
        let end = take(&mut self.host.write, now, (latency, bytes, write_bytes_per_s), uses);
        self.going_on.insert(store.job, end);
    }

    fn move_between(&mut self, moved: Move, now: Time) {
        let below = self.setup.below.expect("chunks come from a tier below, and go there");
        let rules = self.setup.rules;
        let blocks = u64::from(moved.chunks) * u64::from(rules.chunk_blocks);
        let bytes = blocks.saturating_mul(self.setup.block_bytes);
        let CopyPath { latency, read_bytes_per_s, write_bytes_per_s } = below.path;
        let PathUse { read_bytes, read_busy, written_bytes, write_busy } = &mut self.uses.below;
        let end = {
            let mut ways = self.below.lock().expect("nobody panics with it");
            match moved.is_up {
                true => take(
                    &mut ways.read,
                    now,
                    (latency, bytes, read_bytes_per_s),
                    (read_bytes, read_busy),
                ),
                false => take(
                    &mut ways.write,
                    now,
                    (latency, bytes, write_bytes_per_s),
                    (written_bytes, write_busy),
                ),
            }
        };
        self.going_on.insert(moved.job, end);
        if moved.is_up {
            let place = self.begin(moved.request, now);
            let tokens = moved.chunks * rules.chunk_blocks * rules.block_tokens;
            let load = &mut self.loads[place];
            load.from_below = load.from_below.saturating_add(tokens);
        }
    }

    /// What was loaded, and what the tiers' paths carried.
    pub(super) fn close(self) -> (Vec<KvLoad>, TierUse) {
        (self.loads, self.uses)
    }
}
