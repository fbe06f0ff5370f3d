//! The batch being formed, and the verbs with which a policy forms it.

use super::memory::Leaving;
use super::one_by_one::{Brought, Leading};
use super::slot::{Handle, Phase, RequestView};
use super::{Replica, rank_of};
use crate::ids::SlotId;
use crate::kv::Hit;
use crate::time::Time;

/// Why a policy left requests waiting. Kept with each iteration, so that explaining is reading; the
/// fast path gives the same reasons as the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Held {
    /// All seats (`max_num_seqs`) are taken.
    NoSeat,
    /// Too few free KV blocks for the queue's head.
    NoKvBlocks,
    /// The step's token budget is used up.
    NoTokenBudget,
    /// Nothing is admitted in a step that preempted.
    Preempting,
    /// The policy's own rule: it prefers other work now.
    Deferred,
    /// Its deadline cannot be kept without making others late, or has passed: behind those that can.
    Relegated,
    /// What is left of the iteration is too little to begin it with.
    Sliver,
    /// Slack is saved up for an iteration of prompts alone.
    SlackSaved,
    /// Pipeline parallelism: it is left to another lane. Said by the engine, not by policies.
    OtherLane,
}

impl Held {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Held::NoSeat => "no_seat",
            Held::NoKvBlocks => "no_kv_blocks",
            Held::NoTokenBudget => "no_token_budget",
            Held::Preempting => "preempting",
            Held::Deferred => "deferred",
            Held::Relegated => "relegated",
            Held::Sliver => "sliver",
            Held::SlackSaved => "slack_saved",
            Held::OtherLane => "other_lane",
        }
    }

    /// What it means for a request that is left out.
    pub fn meaning(self) -> &'static str {
        match self {
            Held::NoSeat => "all seats were taken",
            Held::NoKvBlocks => "too few KV blocks were free",
            Held::NoTokenBudget => "the token budget was used up",
            Held::Preempting => "others were preempted",
            Held::Deferred => "others were preferred",
            Held::Relegated => "it was behind those whose deadlines could still be kept",
            Held::Sliver => "too little of the iteration's time was left",
            Held::SlackSaved => "slack was saved up for prompts alone",
            Held::OtherLane => "another micro-batch was to take it",
        }
    }

    /// The reason of this name.
    pub fn by_name(name: &str) -> Option<Held> {
        use Held::*;
        let all = [
            NoSeat,
            NoKvBlocks,
            NoTokenBudget,
            Preempting,
            Deferred,
            Relegated,
            Sliver,
            SlackSaved,
            OtherLane,
        ];
        all.into_iter().find(|held| held.name() == name)
    }

    /// What to do where this reason never goes away.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Held::NoSeat => "it last held back for want of a seat: allow more requests at once",
            Held::NoKvBlocks => "give it more memory, or a lower watermark",
            Held::NoTokenBudget => {
                "it last held back because the queue's head does not fit the token budget: raise \
                 the budget, or allow prompts to be cut into chunks"
            }
            Held::Preempting => "it preempts what it runs: give it more KV memory",
            Held::Deferred => "it last held back by a rule of its own",
            Held::Relegated => "it last put requests behind others whose deadlines it could keep",
            Held::Sliver => {
                "it last held back because too little of the iteration was left: lower `sliver`"
            }
            Held::SlackSaved => "it last held back to save slack for prompts alone",
            Held::OtherLane => "it last left the queue to another micro-batch",
        }
    }
}

/// The batch being formed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// Counts steps, so that a slot's mark of an earlier step reads as "not in this batch".
    pub stamp: u64,
    /// The lane's step before.
    pub before: u64,
    /// In batch order; decodes are absent when `all_decodes`.
    pub entries: Vec<Brought>,
    pub all_decodes: bool,
    /// Whether the decode set has advanced by it.
    pub advanced: bool,
    pub preempted: Vec<SlotId>,
    pub dropped: Vec<SlotId>,
    pub held: Option<Held>,
    /// Free blocks without which the reason would be another.
    pub held_while_free: u32,
    /// Free blocks that the first request needed that did not get its own.
    pub blocks_needed: Option<u32>,
    /// Free blocks that the policy wants left for its decision to repeat.
    pub repeats: Option<u32>,
    /// Whether the policy is to be asked again where the batch is empty.
    pub again: bool,
}

impl Batch {
    pub(super) fn begin(&mut self, stamp: u64) {
        self.before = std::mem::replace(&mut self.stamp, stamp);
        self.entries.clear();
        self.all_decodes = false;
        self.advanced = false;
        self.preempted.clear();
        self.dropped.clear();
        self.held = None;
        self.held_while_free = 0;
        self.blocks_needed = None;
        self.repeats = None;
        self.again = false;
    }
}

/// A replica at the moment of a decision: what a policy reads, and the verbs it has.
///
/// A policy calls [`admit`](Step::admit), [`run`](Step::run), [`preempt`](Step::preempt) and their
/// like; each takes effect at once (blocks leave the pool, queues change), and requests advance
/// when the policy returns. Memory is checked: `admit` and `run` say `false`, and change nothing,
/// where blocks are short.
pub struct Step<'a> {
    pub(super) replica: &'a mut Replica,
    now: Time,
}

impl<'a> Step<'a> {
    pub(super) fn new(replica: &'a mut Replica, now: Time) -> Step<'a> {
        Step { replica, now }
    }

    /// The time of the decision.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Decode steps so far: iterations in which some request decoded. Decode steps of a stretch
    /// that the simulator skipped by a policy's promise ([`repeats`](Step::repeats)) count, so a
    /// policy that keeps a count of decode steps can catch up with them.
    pub fn decode_steps(&self) -> u32 {
        self.replica.decode_steps()
    }

    /// Requests that hold a seat: running, or with their last token on its way. With pipeline
    /// parallelism a lane's seats are its own.
    pub fn seats_used(&self) -> u32 {
        self.replica.members.running.len() as u32
    }

    /// Number of waiting requests. With pipeline parallelism a lane sees only those at the queue's
    /// head that it may admit.
    pub fn waiting_len(&self) -> usize {
        self.replica.visible()
    }

    /// The waiting request at a place of the queue; 0 is its head.
    pub fn waiting_at(&self, place: usize) -> Option<Handle> {
        // Those that hold blocks already come first.
        let hold = self.replica.hold();
        let Some(place) = place.checked_sub(hold.len()) else { return Some(Handle(hold[place])) };
        let seen = place < self.replica.members.visible;
        self.replica.waiting.get(place).filter(|_| seen).map(Handle)
    }

    /// All waiting requests in queue order.
    pub fn waiting(&self) -> impl Iterator<Item = Handle> + '_ {
        let hold = self.replica.hold().iter().copied();
        let rest = self.replica.waiting.iter().take(self.replica.members.visible);
        hold.chain(rest).map(Handle)
    }

    /// Number of running requests, decoding or prefilling.
    pub fn running_len(&self) -> usize {
        match self.replica.options.by_request {
            true => self.replica.members.running.len(),
            false => {
                self.replica.members.decodes.len() as usize + self.replica.members.partial.len()
            }
        }
    }

    /// Running requests in order of admission. Those whose last token is on its way are left out.
    pub fn running(&self) -> impl DoubleEndedIterator<Item = Handle> + '_ {
        let replica = &*self.replica;
        let alive = |&&s: &&SlotId| replica.phase(s) != Phase::Ending;
        replica.members.running.iter().filter(alive).map(|&s| Handle(s))
    }

    /// All that hold a seat, in order of admission: those whose last token is on its way too, who
    /// [want](RequestView::wanted) nothing more.
    pub fn seated(&self) -> impl DoubleEndedIterator<Item = Handle> + '_ {
        self.replica.members.running.iter().map(|&s| Handle(s))
    }

    /// Whether tokens of a waiting request, which was preempted, are still on their way: until they
    /// have come it cannot be admitted again.
    pub fn awaits_tokens(&self, request: Handle) -> bool {
        self.replica.awaits_stale(request.0)
    }

    /// Running requests whose prefill is unfinished, in order of admission.
    pub fn prefilling(&self) -> impl DoubleEndedIterator<Item = Handle> + '_ {
        self.replica.members.partial.iter().map(|&s| Handle(s))
    }

    /// Whether the running requests were admitted in order of their arrival, so that admission
    /// order is arrival order.
    pub fn admitted_by_arrival(&mut self) -> bool {
        self.replica.admitted_by_arrival()
    }

    /// Whether every unfinished prefill was admitted after every decoding request.
    pub fn prefilling_last(&self) -> bool {
        self.running().rev().take(self.replica.members.partial.len()).eq(self.prefilling().rev())
    }

    /// Whether ranks that step together leave prompts out of this step ([`Needs::balance`](super::Needs::balance));
    /// `None` where none do.
    pub fn prompts_wait(&self) -> Option<bool> {
        self.replica.prompts_wait
    }

    /// Number of requests that can decode.
    pub fn decoding_len(&self) -> u32 {
        self.replica.members.decodes.len()
    }

    /// What is known of a request.
    pub fn view(&self, request: Handle) -> RequestView {
        self.replica.view(request.0)
    }

    /// Admits a waiting request and schedules `tokens` of its prefill, with KV blocks for
    /// `hold_tokens` of its tokens (at least the tokens scheduled are held). `hit` is what
    /// [`lookup`](Step::lookup) found, or `Hit::default()` to compute all.
    ///
    /// Says `false`, and changes nothing, when too few blocks are free.
    pub fn admit(&mut self, request: Handle, tokens: u32, hold_tokens: u32, hit: Hit) -> bool {
        self.admit_padded(request, tokens, hold_tokens, hit, 0)
    }

    /// The same with so many placeholder drafts, none of which is accepted, beside the chunk's
    /// tokens: a request that comes with a single token to compute joins a batch of drafts evenly.
    pub fn admit_padded(
        &mut self,
        request: Handle,
        tokens: u32,
        hold_tokens: u32,
        hit: Hit,
        drafts: u32,
    ) -> bool {
        let index = request.0;
        let hit_tokens = hit.tokens(self.block_tokens());
        let slot = &self.replica.slots[index.index()];
        assert_eq!(slot.phase, Phase::Waiting, "only a waiting request is admitted");
        assert!(tokens > 0 && hit_tokens + tokens <= slot.target, "a chunk lies in the prompt");
        if slot.length > 0 {
            return self.readmit(index, tokens + drafts, drafts > 0);
        }
        let tokens = tokens + drafts;
        let hold_tokens = hold_tokens.max(self.replica.with_lookahead(hit_tokens + tokens));
        let new = self.blocks_to_admit(hold_tokens, hit) - hit.idle;
        if !self.replica.pool.has(new + hit.idle) {
            return self.refused(new + hit.idle);
        }
        let replica = &mut *self.replica;
        replica.take_hit(index, hit, 0);
        let length = replica.pool.length_for(hold_tokens);
        let computed = match replica.options.drafts.any() {
            true => replica.pool.length_for(hit_tokens + tokens),
            false => length,
        };
        replica.pool.take_for(index, new, length, computed);
        replica.note_hit(index, hit_tokens);
        replica.seat(index);
        let slot = &mut replica.slots[index.index()];
        slot.done = hit_tokens;
        slot.length = length;
        slot.trimmed_at = hit_tokens;
        slot.junction = hit.junction;
        if hit_tokens + tokens < slot.target {
            replica.reserves(index);
        }
        replica.allocated(index, (hit_tokens, 0), (0, 0));
        self.enter(index, tokens, false, drafts > 0);
        true
    }

    /// Admits a waiting request that holds blocks already: its KV has come from elsewhere.
    fn readmit(&mut self, index: SlotId, tokens: u32, padded: bool) -> bool {
        let replica = &mut *self.replica;
        let wanted = replica.slots[index.index()].done + tokens;
        let slots = replica.with_lookahead(wanted);
        replica.trim(index);
        let needed = replica.growth_with_slots(index, wanted, slots);
        if needed > replica.pool.free() {
            return self.refused(needed);
        }
        replica.grow_with_slots(index, wanted, slots);
        replica.seat(index);
        if wanted < replica.slots[index.index()].target {
            replica.reserves(index);
        }
        replica.allocated(index, (0, 0), (0, 0));
        self.enter(index, tokens, false, padded);
        true
    }

    /// Schedules `tokens` of a running request: 1 for a decode, a chunk for a prefill. Takes the KV
    /// blocks that they need.
    ///
    /// Says `false` when too few blocks are free, and changes nothing but this: what lies behind a
    /// sliding window is given back first.
    pub fn run(&mut self, request: Handle, tokens: u32) -> bool {
        let index = request.0;
        let phase = self.replica.phase(index);
        let view = self.view(request);
        assert!(tokens > 0 && view.scheduled == 0, "a request is scheduled once a step");
        match phase {
            _ if self.replica.options.by_request => {
                assert!(tokens <= view.wanted, "no more than it wants");
            }
            Phase::Decode => {
                assert!(
                    tokens == 1 && !self.replica.members.batch.all_decodes,
                    "one token a decode"
                );
            }
            Phase::Prefill => assert!(tokens <= view.prefill_left(), "a chunk lies in the prompt"),
            _ => panic!("only a running request runs"),
        }
        let wanted = view.computed + tokens;
        let slots = self.replica.with_lookahead(wanted);
        self.replica.trim(index);
        let needed = self.replica.growth_with_slots(index, wanted, slots);
        if !self.replica.pool.has(needed) {
            return self.refused(needed);
        }
        self.replica.grow_with_slots(index, wanted, slots);
        self.enter(index, tokens, phase == Phase::Decode, false);
        true
    }

    /// Whether [`decode_all`](Step::decode_all) may be used: never in the reference path, which
    /// makes a policy name every request.
    pub fn may_decode_all(&self) -> bool {
        !self.replica.options.reference && !self.replica.options.by_request
    }

    /// Schedules one token for every decoding request at once, without visiting them. A policy may
    /// use it where naming each in turn would come to the same. Where nobody decodes it does
    /// nothing, and an empty batch stays empty.
    ///
    /// # Panics
    /// When blocks are short, or some decode is in the batch already.
    pub fn decode_all(&mut self) {
        assert!(self.may_decode_all() && !self.replica.members.batch.all_decodes);
        assert!(self.replica.members.batch.entries.iter().all(|entry| !entry.decode));
        self.replica.decode_blocks();
        self.replica.members.batch.all_decodes = self.decoding_len() > 0;
    }

    /// Schedules all that the decodes at the head of [`seated`](Step::seated) want, where requests are
    /// counted one by one and `most_tokens` and memory surely suffice, as naming each in turn would;
    /// nobody otherwise, nor in the reference path. Tells at which place to go on.
    pub fn run_leading_decodes(&mut self, most_tokens: u32) -> Leading {
        let options = &self.replica.options;
        match options.by_request && !options.reference {
            true => self.replica.run_leading(most_tokens),
            false => Leading::default(),
        }
    }

    /// Preempts a running request by recompute: it loses its blocks and its place, returns to the
    /// waiting queue (to the place that its [`QueueOrder`](super::QueueOrder) says) and will
    /// compute prompt and output anew. Tells how many tokens of it were in the batch.
    pub fn preempt(&mut self, request: Handle) -> u32 {
        let index = request.0;
        assert!(!self.replica.members.batch.all_decodes, "nothing is preempted after decode_all");
        let view = self.view(request);
        let replica = &mut *self.replica;
        match replica.phase(index) {
            Phase::Decode if !replica.options.by_request => replica.leave_decodes(index),
            Phase::Decode => {}
            Phase::Prefill => replica.members.partial.retain(|&s| s != index),
            Phase::Ending => {}
            _ => panic!("only a running request is preempted"),
        }
        if view.scheduled > 0 {
            replica.members.batch.entries.retain(|entry| entry.slot != index);
        }
        let in_flight = replica.members.last_decodes + 1 == replica.steps;
        replica.free_blocks(index, in_flight, Leaving::ForNow);
        replica.reserves_no_more(index);
        replica.members.running.retain(|&s| s != index);
        if replica.options.by_request {
            replica.lose_own(index);
        }
        let slot = &mut replica.slots[index.index()];
        slot.phase = Phase::Waiting;
        slot.target = view.tokens;
        slot.done = 0;
        slot.scheduled = 0;
        slot.recomputing = true;
        replica.waits_again(index);
        view.scheduled
    }

    /// Drops a waiting request for good, as some systems do with what they can never serve.
    pub fn drop_request(&mut self, request: Handle) {
        let replica = &mut *self.replica;
        assert_eq!(replica.phase(request.0), Phase::Waiting, "only a waiting request is dropped");
        let rank = rank_of(&replica.slots[request.0.index()]);
        replica.waiting.remove(request.0, rank);
        replica.left_queue(request.0);
        replica.members.batch.dropped.push(request.0);
    }

    /// Requests preempted in this step, in order.
    pub fn preempted_len(&self) -> usize {
        self.replica.members.batch.preempted.len()
    }

    /// Whether nothing is scheduled yet.
    pub fn is_empty(&self) -> bool {
        self.replica.members.batch.entries.is_empty() && !self.replica.members.batch.all_decodes
    }

    /// Says why the queue's head was left waiting.
    pub fn hold(&mut self, reason: Held) {
        self.replica.members.batch.held = Some(reason);
    }

    /// The same for a reason that stands only while `free_blocks` are free: with fewer, the memory
    /// check before it would have been the reason.
    pub fn hold_while_free(&mut self, reason: Held, free_blocks: u32) {
        self.replica.members.batch.held = Some(reason);
        self.replica.members.batch.held_while_free = free_blocks;
    }

    /// Puts the batch in the system's own order: entries by rank, stable.
    pub fn arrange(&mut self, rank: impl Fn(RequestView) -> u32) {
        if self.replica.members.batch.entries.len() < 2 {
            return;
        }
        let mut entries = std::mem::take(&mut self.replica.members.batch.entries);
        entries.sort_by_cached_key(|entry| rank(self.replica.view(entry.slot)));
        self.replica.members.batch.entries = entries;
    }

    /// Promises that this batch of decodes alone will be decided again, unchanged, until a request
    /// arrives or ends, or fewer than `keep_free` blocks would stay free after a step. The
    /// simulator then advances a whole stretch at once.
    ///
    /// Call it only after [`decode_all`](Step::decode_all) with nothing else scheduled. The
    /// reference path ignores it, and so checks it.
    pub fn repeats(&mut self, keep_free: u32) {
        // Where blocks come back while requests run, who waits for some may be next.
        // And of blocks with identities nobody knows beforehand how many those are.
        let caching = self.replica.pool.caching();
        let grows = caching && self.replica.answers_are_met;
        let awaits_memory = match self.replica.pool.trims() {
            true => caching || self.may_await_memory(),
            // Who waits may find more of the answer that it begins with; or need less, where one block
            // that decodes take of its hit makes those of other groups useless.
            false => {
                let shrinks = caching && self.replica.pool.growth(1) > 1;
                self.may_await_memory() && (shrinks || grows && self.replica.hits_may_grow())
            }
        };
        let batch = &mut self.replica.members.batch;
        // Who listens to the engine hears that somebody lost a seat when this very step is over.
        let took_seats = !batch.preempted.is_empty() || !batch.dropped.is_empty();
        if batch.all_decodes && !awaits_memory && batch.entries.is_empty() && !took_seats {
            batch.repeats = Some(keep_free.max(batch.held_while_free));
        }
    }

    /// Whether more free blocks might change the decision.
    fn may_await_memory(&self) -> bool {
        let batch = &self.replica.members.batch;
        // The head may wait for tokens, and one behind it for blocks.
        let otherwise = matches!(batch.held, Some(Held::NoSeat | Held::NoTokenBudget))
            && batch.blocks_needed.is_none();
        !self.replica.members.partial.is_empty() || self.replica.visible() > 0 && !otherwise
    }

    fn enter(&mut self, index: SlotId, tokens: u32, decode: bool, padded: bool) {
        let context = self.replica.done(index);
        let stamp = self.replica.members.batch.stamp;
        let slot = &mut self.replica.slots[index.index()];
        slot.stamp = stamp;
        slot.scheduled = tokens;
        slot.chunk_from = context;
        let scheduled = Brought::scheduled(slot.request, index, (context, tokens));
        if !decode {
            self.replica.not_held(index);
        }
        self.replica.members.batch.entries.push(Brought { decode, padded, ..scheduled });
        if self.replica.options.by_request {
            self.replica.hash_own(index, context + tokens);
        } else if self.replica.pool.hashes_at_schedule() {
            let slot = &self.replica.slots[index.index()];
            if !decode {
                let known = slot.target;
                self.replica.meet(index);
                self.replica.hash_blocks(index, context + tokens, known);
            } else if slot.content.own_is_met() {
                let known = context + 1 - u32::from(self.replica.options.out.ahead);
                self.replica.hash_blocks(index, known, known);
            }
        }
    }
}
