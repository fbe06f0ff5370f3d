//! KV that comes from elsewhere, and KV that somebody else fetches: the ends of disaggregated prefill
//! and decode, and a tier of host memory behind the blocks.
//!
//! A request whose KV is on its way holds its blocks and no seat. It waits in a queue of its own, which
//! is looked at before the others, until its load is reported with the output of a step; then it
//! is admitted like any other. One whose KV is fetched keeps its blocks after its end. Rules are vLLM
//! 0.33.0's (`v1/core/sched/scheduler.py`: `WAITING_FOR_REMOTE_KVS`, `_free_blocks`, `skipped_waiting`).

use std::collections::VecDeque;

use super::memory::Leaving;
use super::slot::{Phase, Slot};
use super::{Handle, Plan, Replica};
use crate::ids::SlotId;
use crate::kv::Detached;
use crate::kv::host_tier::{HostTier, JobId, Known, Lookup, Move, Orders, Scheduled};
use crate::request::{Request, RequestId};

/// Tokens of an answer beyond which SGLang foresees none (`SGLANG_CLIP_MAX_NEW_TOKENS_ESTIMATION`).
const LONGEST_FORESEEN: u32 = 4096;

/// How a replica deals with KV of other places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferRules {
    /// Whether KV can come from elsewhere: with several batches out, blocks of a request in flight
    /// then come back when its last batch is processed, and it cannot be preempted before.
    pub consumes: bool,
    /// Whether KV must be delivered that a step in flight computes: tokens of a request that was
    /// preempted since are sampled again (`requires_kv_delivery`).
    pub delivers: bool,
    /// Whether the step that begins a load has its request in it, and waits for the KV itself.
    pub in_step: bool,
}

/// What comes from elsewhere for a request, or goes there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// Its prompt's KV is computed elsewhere and pulled once.
    pub pulls: bool,
    /// Its KV is fetched when it has ended.
    pub is_fetched: bool,
    /// The last token of its prompt is the first of its answer, which comes from where the others were
    /// computed: its own KV is not there.
    pub carried: bool,
}

/// Tokens of a waiting request that are elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum External {
    /// So many beyond those found here, which a load would bring; 0: none.
    Tokens(u32),
    /// It keeps its place and is asked for again at the next step.
    Later,
}

/// A load that a step began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadBegun {
    /// Whose.
    pub request: RequestId,
    /// Tokens that are there, before those that come.
    pub context: u32,
    /// Tokens that come.
    pub tokens: u32,
    /// KV blocks of the request's table, or where a host tier brings them the blocks copied.
    pub blocks: u32,
    /// Blocks of all its tables that were taken for them.
    pub taken: u32,
    /// Blocks that its whole prompt lies in.
    pub whole: u32,
    /// The host tier's job.
    pub job: Option<JobId>,
}

/// What a failed load leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request ends with an error (`kv_load_failure_policy: fail`).
    Ends,
    /// What came before the first bad block is kept, and the rest computed here (`recompute`).
    Recomputes,
}

#[derive(Debug)]
pub(super) struct Transfers {
    rules: TransferRules,
    /// Requests that wait and hold blocks, loading or landed, in the order in which loads began.
    pub hold: Vec<SlotId>,
    /// Whose load is over, which the scheduler has not seen yet.
    landed: Vec<SlotId>,
    failed: Vec<SlotId>,
    /// Requests whose prompts take more blocks yet: loads leave them as many.
    reserving: Vec<SlotId>,
    /// Tokens that each request here may still take, where loads leave room for them.
    each_may_take: Option<u32>,
    /// Blocks of requests in flight, by the batch after which they come back.
    late: VecDeque<(u64, Detached)>,
    late_blocks: u64,
    /// Batches sent and processed, empty ones aside.
    sent: u64,
    processed: u64,
    /// Whose KV is being fetched.
    sending: Vec<SlotId>,
    pub host: Option<HostTier>,
    /// Of the step being formed.
    begun: Vec<LoadBegun>,
    looked_up: Vec<(RequestId, u32, Lookup)>,
    orders: Orders,
}

impl Replica {
    /// From now on KV can come from elsewhere or go there, through a tier of host memory where one is
    /// given; said while the replica is empty.
    pub(crate) fn transfer(&mut self, rules: TransferRules, host: Option<HostTier>) {
        assert!(self.slots.is_empty(), "said while it is empty");
        self.options.by_request = true;
        if host.is_some() {
            // The tier keeps blocks by their numbers.
            self.pool = Replica::pool_by_blocks(&self.options);
        }
        self.members = super::Members::new(&self.options);
        self.transfers = Some(Box::new(Transfers {
            rules,
            hold: Vec::new(),
            landed: Vec::new(),
            failed: Vec::new(),
            reserving: Vec::new(),
            each_may_take: None,
            late: VecDeque::new(),
            late_blocks: 0,
            sent: 0,
            processed: 0,
            sending: Vec::new(),
            host,
            begun: Vec::new(),
            looked_up: Vec::new(),
            orders: Orders::default(),
        }));
    }

    /// From now on loads leave room for so many tokens of each request that is here.
    pub(crate) fn leave_room_for(&mut self, tokens: u32) {
        self.transfers.as_mut().expect("KV comes from elsewhere").each_may_take = Some(tokens);
    }

    /// Tokens that must be free for a load of `external` tokens, so that nobody who runs or is to run here is
    /// left without room for its next ones: SGLang's rule where it takes blocks for a prompt that is yet to be
    /// computed (0.5, `srt/disaggregation/decode.py`, `pop_preallocated`). `None` where loads leave no room.
    pub(super) fn tokens_free_for_load(&self, index: SlotId, external: u32) -> Option<u64> {
        let transfers = self.transfers.as_ref().expect("it loads");
        let each = u64::from(transfers.each_may_take?);
        // What the longest may take in all, as far as others would not give way to it.
        let longest =
            |slot: &Slot| u64::from(slot.max_tokens.min(LONGEST_FORESEEN)) + u64::from(slot.prompt);
        let running = || self.members.running.iter().map(|&s| &self.slots[s.index()]);
        let given_way: u64 = running().map(|slot| u64::from(slot.own.known)).sum();
        let alone = running().map(|slot| longest(slot).saturating_sub(given_way)).max();
        let here = (self.members.running.len() + transfers.hold.len()) as u64;
        let kept = (each * here).max(alone.unwrap_or(0));
        let slot = &self.slots[index.index()];
        let found = u64::from(slot.prompt.saturating_sub(external));
        Some(
            kept + (u64::from(external) + each)
                .max(longest(slot).saturating_sub(found + given_way)),
        )
    }

    /// Whether a request's prompt could be loaded here if nobody else were: the next step's drafts have room
    /// beside it.
    pub(crate) fn could_load(&self, request: &Request) -> bool {
        let prompt = request.prompt_tokens;
        let drafts = match self.options.drafts.most() {
            0 => 0,
            drafts => (1 + drafts + self.options.drafts.lookahead)
                .div_ceil(self.options.block_tokens)
                .saturating_mul(self.pool.growth(1)),
        };
        let load = self.blocks_from(0, prompt, prompt, u64::MAX / 2);
        let beside = self.pool.scratch_blocks().saturating_add(drafts);
        load.saturating_add(beside) <= self.pool.total()
    }

    /// Whether a request's prompt could be loaded here if nobody else were: `each` tokens stay free beside it,
    /// or as many as its answer may have.
    pub(crate) fn could_leave_room(&self, request: &Request, each: u32) -> bool {
        let longest = each.max(request.max_tokens.min(LONGEST_FORESEEN));
        let tokens = u64::from(request.prompt_tokens) + u64::from(longest);
        let blocks = tokens.div_ceil(self.options.block_tokens.into());
        let all = u64::from(self.pool.total());
        blocks.saturating_mul(self.pool.growth(1).into()) <= all
    }

    /// Says what comes from elsewhere for a request that has arrived, or goes there.
    pub(crate) fn is_remote(&mut self, request: Handle, remote: Remote) {
        self.slots[request.0.index()].remote = remote;
    }

    /// Requests that hold blocks and wait.
    pub(super) fn hold(&self) -> &[SlotId] {
        self.transfers.as_ref().map_or(&[], |transfers| &transfers.hold)
    }

    /// Requests whose KV is on its way, or fetched, or that wait for no token of theirs.
    pub(crate) fn loading(&self) -> usize {
        self.hold().iter().filter(|&&s| self.phase(s) == Phase::Loading).count()
    }

    /// Requests that have ended and whose KV is being fetched.
    pub(crate) fn sending(&self) -> usize {
        self.transfers.as_ref().map_or(0, |transfers| transfers.sending.len())
    }

    /// Blocks that a request holds which has ended and whose KV is being fetched.
    pub(crate) fn held_for_fetch(&self, request: RequestId) -> u32 {
        let sending = self.transfers.iter().flat_map(|transfers| &transfers.sending);
        let mut own = sending.filter(|s| self.slots[s.index()].request == request);
        own.next().map_or(0, |&s| self.held(s))
    }

    /// Whether a request has ended and its KV is being fetched.
    pub(crate) fn is_sending(&self, request: RequestId) -> bool {
        let sending = self.transfers.iter().flat_map(|transfers| &transfers.sending);
        sending.into_iter().any(|&s| self.slots[s.index()].request == request)
    }

    /// Blocks held by those who neither run nor wait without any.
    pub(super) fn held_in_transfers(&self) -> u64 {
        let Some(transfers) = &self.transfers else { return 0 };
        let slots = transfers.hold.iter().chain(&transfers.sending);
        slots.map(|&s| u64::from(self.held(s))).sum::<u64>() + transfers.late_blocks
    }

    /// The state of requests and blocks that are on their way; for whoever drives them.
    pub(crate) fn host_tier(&self) -> Option<&HostTier> {
        self.transfers.as_ref()?.host.as_ref()
    }

    /// Loads that the last step began.
    pub(crate) fn loads_begun(&mut self) -> Vec<LoadBegun> {
        self.transfers.as_mut().map_or(Vec::new(), |t| std::mem::take(&mut t.begun))
    }

    /// What the host tier was asked in the last step: the request, the tokens found here, its answer.
    pub(crate) fn looked_up(&mut self) -> Vec<(RequestId, u32, Lookup)> {
        self.transfers.as_mut().map_or(Vec::new(), |t| std::mem::take(&mut t.looked_up))
    }

    /// Copies between the host and the tier below that have begun since this was last asked.
    pub(crate) fn moves(&mut self) -> Vec<Move> {
        let host = self.transfers.as_mut().and_then(|t| t.host.as_mut());
        host.map_or(Vec::new(), HostTier::moves)
    }

    /// What the host tier has ordered since this was last asked.
    pub(crate) fn orders(&mut self) -> Orders {
        self.transfers.as_mut().map_or(Orders::default(), |t| std::mem::take(&mut t.orders))
    }

    fn slot_of(&self, request: RequestId) -> SlotId {
        let alive = |s: &SlotId| {
            let slot = &self.slots[s.index()];
            slot.request == request && slot.phase != Phase::Gone
        };
        (0..self.slots.len()).map(SlotId::at).find(alive).expect("it is here")
    }

    /// Whether blocks of a request can come back now: no batch with it is out.
    pub(super) fn is_freeable(&self, index: SlotId) -> bool {
        self.transfers.as_ref().is_none_or(|transfers| {
            let defers = transfers.rules.consumes && self.options.out.most() > 1;
            !defers || self.slots[index.index()].own.last_batch <= transfers.processed
        })
    }

    /// Whether tokens in flight of a request that is preempted now are sampled again.
    pub(super) fn drops_stale(&self) -> bool {
        self.transfers.as_ref().is_some_and(|transfers| transfers.rules.delivers)
    }

    /// A batch is sent with these requests in it.
    pub(super) fn send(&mut self, plan: &Plan) {
        let Some(transfers) = &mut self.transfers else { return };
        if plan.brought.is_empty() {
            return;
        }
        transfers.sent += 1;
        for brought in &plan.brought {
            let slot = &mut self.slots[brought.slot.index()];
            slot.own.last_batch = transfers.sent;
            // Its prompt needs nothing more.
            if slot.phase == Phase::Decode {
                transfers.reserving.retain(|&s| s != brought.slot);
            }
        }
    }

    /// A batch is being processed: blocks that waited for it come back.
    pub(super) fn begin_processing(&mut self, plan: &Plan) {
        let Some(transfers) = &mut self.transfers else { return };
        if plan.brought.is_empty() {
            return;
        }
        transfers.processed += 1;
        while let Some((batch, _)) = transfers.late.front() {
            if *batch > transfers.processed {
                break;
            }
            let (_, blocks) = transfers.late.pop_front().expect("it was looked at");
            transfers.late_blocks -= u64::from(blocks.held());
            self.pool.put_back(blocks);
        }
    }

    /// Gives back the blocks of a request that has left its place, now or when it is no longer in
    /// flight.
    pub(super) fn free_in_time(&mut self, index: SlotId) {
        if self.is_freeable(index) {
            self.free_blocks(index, false, Leaving::ForGood);
            return;
        }
        let held = self.held(index);
        if held == 0 {
            return;
        }
        let detached = self.pool.detach(index, held);
        let transfers = self.transfers.as_mut().expect("without transfers all is freeable");
        transfers.late_blocks += u64::from(held);
        transfers.late.push_back((transfers.sent, detached));
        let slot = &mut self.slots[index.index()];
        slot.length = 0;
        slot.trimmed_at = 0;
        slot.own.fills_at = 0;
        let owner = slot.content.owner();
        self.talks.leave(owner);
    }

    /// A request needs no more blocks for its prompt, or not now.
    pub(super) fn reserves_no_more(&mut self, index: SlotId) {
        if let Some(transfers) = &mut self.transfers {
            transfers.reserving.retain(|&s| s != index);
        }
    }

    pub(super) fn reserves(&mut self, index: SlotId) {
        if let Some(transfers) = &mut self.transfers
            && !transfers.reserving.contains(&index)
        {
            transfers.reserving.push(index);
        }
    }

    /// Blocks that unfinished prompts, running or on their way, still need.
    /// `step_tokens` is the most that a step computes.
    pub(super) fn reserved(&self, step_tokens: u32) -> u32 {
        let Some(transfers) = &self.transfers else { return 0 };
        let extra = match self.options.drafts.most() {
            0 => 0,
            drafts => 1 + drafts + self.options.drafts.lookahead,
        };
        let in_flight = u64::from(step_tokens) * u64::from(self.options.out.most());
        let needs = |&index: &SlotId| {
            let slot = &self.slots[index.index()];
            let tokens = slot.own.known.min(self.options.max_model_len) + extra;
            let all = self.blocks_from(slot.length, 0, tokens, in_flight);
            // Its states are there with its first block.
            if slot.length > 0 { all - self.pool.groups().states() } else { all }
        };
        transfers.reserving.iter().map(needs).sum()
    }

    /// Blocks that a request takes beyond `have` of each table for `tokens` tokens, where what lies
    /// behind the windows of `computed` tokens is not taken.
    pub(super) fn blocks_from(&self, have: u32, computed: u32, tokens: u32, in_flight: u64) -> u32 {
        let groups = self.pool.groups();
        let block_tokens = self.options.block_tokens;
        let blocks = groups.blocks_from(have, computed, tokens.into(), in_flight, block_tokens);
        u32::try_from(blocks).unwrap_or(u32::MAX)
    }

    /// A request waits for its KV, behind those whose loads began before.
    pub(super) fn hold_back(&mut self, index: SlotId) {
        let by_priority = self.options.queue == super::QueueOrder::Priority;
        let transfers = self.transfers.as_mut().expect("it loads");
        transfers.hold.push(index);
        if by_priority {
            let slots = &self.slots;
            transfers.hold.sort_by_key(|s| super::rank_of(&slots[s.index()]));
        }
    }

    /// A request that holds blocks waits no longer; says whether it did.
    pub(super) fn leave_hold(&mut self, index: SlotId) -> bool {
        let Some(transfers) = &mut self.transfers else { return false };
        let place = transfers.hold.iter().position(|&s| s == index);
        place.map(|place| transfers.hold.remove(place)).is_some()
    }

    /// Takes note that a load is over; its request can be admitted from the next step on.
    pub(crate) fn loaded(&mut self, request: RequestId) {
        let index = self.slot_of(request);
        match self.phase(index) {
            Phase::Loading => self.transfers.as_mut().expect("it loads").landed.push(index),
            // It ended with an error: its blocks have waited for the transfer.
            _ => self.leave_transfers(index),
        }
    }

    /// A load has failed from block `block` of its table on.
    pub(crate) fn load_failed(&mut self, request: RequestId, block: u32, failure: Failure) {
        let index = self.slot_of(request);
        let tokens = block * self.options.block_tokens;
        self.slots[index.index()].done = tokens;
        if failure == Failure::Recomputes {
            self.transfers.as_mut().expect("it loads").failed.push(index);
        }
    }

    /// A request ends while its KV is on its way; its blocks come back when the transfer is over.
    pub(crate) fn ends_while_it_loads(&mut self, request: RequestId) {
        let index = self.slot_of(request);
        self.reserves_no_more(index);
        let transfers = self.transfers.as_mut().expect("it loads");
        transfers.hold.retain(|&s| s != index);
        transfers.sending.push(index);
        self.slots[index.index()].phase = Phase::Sending;
    }

    /// A request's KV has been fetched.
    pub(crate) fn fetched(&mut self, request: RequestId) {
        let index = self.slot_of(request);
        self.leave_transfers(index);
    }

    fn leave_transfers(&mut self, index: SlotId) {
        let transfers = self.transfers.as_mut().expect("it is there");
        transfers.sending.retain(|&s| s != index);
        self.free_in_time(index);
        self.slots[index.index()].phase = Phase::Gone;
        self.vacant.push(index);
    }

    /// A request ends: whether its blocks stay until they are fetched.
    pub(super) fn stays_for_fetch(&mut self, index: SlotId) -> bool {
        if self.transfers.is_none() {
            return false;
        }
        self.reserves_no_more(index);
        self.host_finished(index);
        self.trim(index);
        let slot = &mut self.slots[index.index()];
        let stays = slot.remote.is_fetched && slot.length > 0;
        if stays {
            slot.phase = Phase::Sending;
            self.transfers.as_mut().expect("it is there").sending.push(index);
        }
        stays
    }

    fn host_finished(&mut self, index: SlotId) {
        let Some(mut host) = self.transfers.as_mut().and_then(|t| t.host.take()) else { return };
        let slot = &self.slots[index.index()];
        let known = Known { prompt: slot.prompt, tokens: slot.own.known };
        let key = self.chunk_key(index, host.chunk_blocks());
        host.finished(slot.request, known, key);
        self.transfers.as_mut().expect("it was there").host = Some(host);
    }

    /// The keys of a request's chunks of so many blocks.
    fn chunk_key(&self, index: SlotId, blocks: u32) -> impl Fn(u32) -> crate::kv::BlockKey + '_ {
        let slot = &self.slots[index.index()];
        let (width, ahead) = (self.options.block_tokens, self.options.drafts.hash_lookahead);
        move |chunk| slot.block_key((chunk + 1) * blocks - 1, width, ahead)
    }

    /// What the host tier stores of a batch that is formed.
    pub(super) fn settle_host(&mut self, plan: &Plan) {
        let Some(mut host) = self.transfers.as_mut().and_then(|t| t.host.take()) else { return };
        let blocks = host.chunk_blocks();
        let table = |index| self.pool.blocks_of(index).expect("a host tier knows blocks by name");
        let scheduled: Vec<Scheduled<'_>> = plan
            .brought
            .iter()
            .map(|brought| {
                let slot = &self.slots[brought.slot.index()];
                Scheduled {
                    request: brought.request,
                    table: table(brought.slot),
                    computed: brought.context + brought.tokens,
                    known: Known { prompt: slot.prompt, tokens: slot.own.known },
                }
            })
            .collect();
        let slots: std::collections::HashMap<RequestId, SlotId> =
            plan.brought.iter().map(|brought| (brought.request, brought.slot)).collect();
        let key = |request: RequestId, chunk: u32| self.chunk_key(slots[&request], blocks)(chunk);
        let orders = host.settle(scheduled.iter().copied(), &plan.preempted, key);
        drop(scheduled);
        let transfers = self.transfers.as_mut().expect("it was there");
        transfers.orders.extend(orders);
        transfers.host = Some(host);
    }

    /// A copy between the tier and the blocks is over; says whose load it was, where it was one.
    pub(crate) fn copied(&mut self, job: JobId) -> Option<RequestId> {
        let host = self.transfers.as_mut().and_then(|t| t.host.as_mut()).expect("a tier copies");
        let done = host.done(job);
        done.loaded.then_some(done.request)
    }

    pub(super) fn external(&mut self, index: SlotId, local: u32) -> External {
        let Some(transfers) = &mut self.transfers else { return External::Tokens(0) };
        let slot = &self.slots[index.index()];
        if let Some(mut host) = transfers.host.take() {
            let key = self.chunk_key(index, host.chunk_blocks());
            let slot = &self.slots[index.index()];
            let (request, tokens) = (slot.request, slot.own.known);
            let answer = host.lookup(request, local, tokens, key);
            let transfers = self.transfers.as_mut().expect("it was there");
            transfers.host = Some(host);
            transfers.looked_up.push((request, local, answer));
            return match answer {
                Lookup::Tokens(tokens) => External::Tokens(tokens),
                Lookup::Later => External::Later,
            };
        }
        let pulls = slot.remote.pulls && !slot.own.pulled;
        let there = slot.prompt - u32::from(slot.remote.carried);
        External::Tokens(if pulls { there.saturating_sub(local) } else { 0 })
    }

    /// Tells the host tier of blocks that were taken, and begins the load of `external` tokens.
    pub(super) fn allocated(
        &mut self,
        index: SlotId,
        (local, external): (u32, u32),
        (taken, whole): (u32, u32),
    ) {
        let Some(transfers) = &mut self.transfers else { return };
        let request = self.slots[index.index()].request;
        let blocks = self.slots[index.index()].length;
        self.slots[index.index()].own.pulled |= self.slots[index.index()].remote.pulls;
        let Some(mut host) = transfers.host.take() else {
            if external > 0 {
                let tokens = external;
                let context = local;
                let begun = LoadBegun { request, context, tokens, blocks, taken, whole, job: None };
                transfers.begun.push(begun);
            }
            return;
        };
        let table = self.pool.blocks_of(index).expect("a host tier knows blocks by name");
        let key = self.chunk_key(index, host.chunk_blocks());
        let load = host.allocated(request, table, local, external, key);
        let transfers = self.transfers.as_mut().expect("it was there");
        transfers.host = Some(host);
        if let Some(load) = load {
            let (tokens, blocks, job) = (external, load.blocks, Some(load.job));
            let context = local;
            transfers.begun.push(LoadBegun { request, context, tokens, blocks, taken, whole, job });
        }
    }

    /// Where the step that begins a load waits for it, the request goes on as if its KV were there. Says
    /// whether it does.
    pub(super) fn loads_in_step(&mut self, index: SlotId) -> bool {
        let transfers = self.transfers.as_mut().expect("it loads");
        if !transfers.rules.in_step {
            return false;
        }
        transfers.landed.push(index);
        !self.still_loads(index)
    }

    /// A waiting request whose load is over is seen by the scheduler: what came is its own, and of
    /// what is there its last token is computed again. Says whether it still loads.
    pub(super) fn still_loads(&mut self, index: SlotId) -> bool {
        if self.phase(index) != Phase::Loading {
            return false;
        }
        let transfers = self.transfers.as_mut().expect("it loads");
        let Some(place) = transfers.landed.iter().position(|&s| s == index) else { return true };
        transfers.landed.remove(place);
        let failed = transfers.failed.iter().position(|&s| s == index);
        if let Some(place) = failed {
            transfers.failed.remove(place);
        }
        let done = self.slots[index.index()].done;
        if failed.is_some() && done == 0 {
            self.free_blocks(index, false, Leaving::ForNow);
        } else {
            self.hash_own(index, done);
        }
        let slot = &mut self.slots[index.index()];
        slot.phase = Phase::Waiting;
        slot.done = slot.done.min(slot.own.known - 1);
        false
    }
}
