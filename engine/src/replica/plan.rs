//! Committing a batch: every scheduled request advances, and what the iteration will bring is
//! written down.

use super::Replica;
use super::one_by_one::Brought;
use super::reads::Reads;
use super::slot::{Handle, Phase};
use super::step::Held;
use crate::cost::{BatchShape, Chunk, Decodes, DraftShape};
use crate::ids::SlotId;
use crate::request::RequestId;

/// Decode steps among which the last is searched at which memory suffices.
const SEARCHED_STEPS: u32 = 32;

/// A committed iteration. Kept and reused from step to step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Prefill chunks in batch order.
    pub chunks: Vec<Chunk>,
    /// Whose chunks they are.
    pub chunk_requests: Vec<RequestId>,
    /// Where these are.
    pub(crate) chunk_slots: Vec<SlotId>,
    /// What it brings each of its requests, in batch order, where requests are counted one by one.
    pub brought: Vec<Brought>,
    /// The schedule call that formed it.
    pub call: u64,
    /// The number of its decode step among those of its lane, once it has begun with decodes.
    pub step: u32,
    /// KV blocks of the table of each of them with its chunk: what it holds, where a model has one
    /// group of layers.
    pub chunk_blocks: Vec<u32>,
    /// Requests that decode one token.
    pub decodes: u32,
    /// Tokens that they compute, drafts among them, where requests are counted one by one; otherwise 0,
    /// for one each.
    pub decode_tokens: u32,
    /// Tokens that are drafted behind it for each of its requests.
    pub drafting: u32,
    /// KV entries that the decodes read, their own new ones included.
    pub decode_kv_tokens: u64,
    /// What they read within the model's reaches, where it has some.
    pub reads: Option<Reads>,
    /// Tokens that the other ranks which share its experts compute meanwhile, where they step
    /// together.
    pub beside: Option<u64>,
    /// Sequences that sample a token.
    pub sampled: u32,
    /// Prefills that this iteration completes, each of which emits a token at its end.
    pub emissions: Vec<Emission>,
    /// Requests whose last token this iteration emits.
    pub ending: Vec<Handle>,
    /// Requests that the policy dropped.
    pub dropped: Vec<RequestId>,
    /// Requests that the policy preempted.
    pub preempted: Vec<RequestId>,
    /// Those of them whose last token is written down and thrown away.
    pub recalled: Vec<RequestId>,
    /// Those whose token in the step in flight is thrown away, where decodes are named.
    pub(crate) thrown_away: Vec<RequestId>,
    /// Those who decode, where they are named and counted together.
    pub(crate) decoding: Vec<RequestId>,
    /// Whether what it brings was told.
    pub(crate) told: bool,
    /// Why the queue's head was left waiting.
    pub held: Option<Held>,
    /// The request at the queue's head, where it was left waiting for a reason.
    pub head: Option<RequestId>,
    /// Whose chunks bring tokens, where its policy looks at deadlines.
    pub(crate) emitting: Vec<Handle>,
    /// Reasons for which requests are left out of batches: those that have changed.
    pub reasons: Vec<(RequestId, Option<Held>)>,
    /// First admissions, with their prefix hits in tokens.
    pub admitted: Vec<(RequestId, u32)>,
    /// Blocks in use.
    pub kv_used: u32,
    /// Requests left waiting.
    pub waiting: u32,
    /// Requests that hold a seat.
    pub running: u32,
    /// When set, the decision repeats while at least so many blocks stay free.
    pub repeats: Option<u32>,
    /// Whether the policy is to be asked again where the batch is empty.
    pub again: bool,
}

/// A prefill completed: a token that is not a decode step's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emission {
    /// Whose token.
    pub request: RequestId,
    /// Whether it is the request's first; otherwise it follows a recomputation.
    pub first: bool,
}

/// One request of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scheduled {
    /// Which request.
    pub request: RequestId,
    /// Tokens of it.
    pub tokens: u32,
    /// Whether they are prefill tokens.
    pub prefill: bool,
    /// Tokens computed before, prefix hits included.
    pub computed_before: u32,
    /// Whether a token is sampled.
    pub emits: bool,
    /// Whether it prefills again after a preemption.
    pub recompute: bool,
    /// What became of it, where requests are counted one by one and its batch was processed.
    pub became: Option<Brought>,
}

impl Plan {
    /// Whether the iteration has nothing to do.
    pub fn is_empty(&self) -> bool {
        self.decodes == 0 && self.chunks.is_empty()
    }

    /// What a cost model may know of it.
    pub fn shape(&self) -> BatchShape<'_> {
        let mut decoding = decodes(self.decodes, self.decode_kv_tokens, self.reads);
        if self.decode_tokens > self.decodes {
            let tokens = self.decode_tokens;
            let within = decoding.within();
            decoding = Decodes::verifying(self.decodes, tokens, self.decode_kv_tokens);
            decoding = if self.reads.is_some() { decoding.reading(within) } else { decoding };
        }
        BatchShape::new(&self.chunks, decoding, self.sampled).beside(self.beside)
    }

    /// What is drafted behind it, where anything is.
    pub fn draft_shape(&self) -> Option<DraftShape<'_>> {
        if self.drafting == 0 || self.is_empty() {
            return None;
        }
        let chunk = |chunk: &Chunk| u64::from(chunk.context) + u64::from(chunk.tokens);
        Some(DraftShape {
            batch: self.shape(),
            requests: self.decodes + self.chunks.len() as u32,
            tokens: self.drafting,
            kv_tokens: self.decode_kv_tokens + self.chunks.iter().map(chunk).sum::<u64>(),
        })
    }

    /// Makes this the same decision as `other`: decodes alone, of the same requests.
    pub(crate) fn clone_decision(&mut self, other: &Plan) {
        self.clear();
        self.decodes = other.decodes;
        self.decode_tokens = other.decode_tokens;
        self.sampled = other.sampled;
        self.held = other.held;
        self.head = other.head;
        self.repeats = other.repeats;
        self.waiting = other.waiting;
        self.running = other.running;
    }

    fn clear(&mut self) {
        self.beside = None;
        self.chunks.clear();
        self.chunk_requests.clear();
        self.chunk_slots.clear();
        self.brought.clear();
        self.chunk_blocks.clear();
        self.emissions.clear();
        self.ending.clear();
        self.dropped.clear();
        self.preempted.clear();
        self.recalled.clear();
        self.thrown_away.clear();
        self.decoding.clear();
        self.told = false;
        self.admitted.clear();
        self.emitting.clear();
        self.reasons.clear();
    }
}

/// So many decodes, which read so many entries, and within the model's reaches these.
pub(crate) fn decodes(requests: u32, kv_tokens: u64, reads: Option<Reads>) -> Decodes {
    let all = Decodes::one_token_each(requests, kv_tokens);
    reads.map_or(all, |reads| all.reading(reads.within))
}

impl Replica {
    /// What the next decode step would read within the model's reaches, if the decode set stays as
    /// it is; `None` where it has none.
    pub(crate) fn next_reads(&self) -> Option<Reads> {
        self.members.decodes.reads()
    }

    /// Advances every request of the batch that the policy has formed, and fills in `plan`.
    pub fn commit(&mut self, plan: &mut Plan) {
        plan.clear();
        plan.call = self.steps;
        plan.repeats = self.members.batch.repeats;
        plan.again = self.members.batch.again;
        plan.recalled.append(&mut self.recalled);
        plan.thrown_away.append(&mut self.thrown_away);
        for &index in &self.members.batch.dropped {
            plan.dropped.push(self.slots[index.index()].request);
            self.talks.leave(self.slots[index.index()].content.owner());
            self.vacant.push(index);
        }
        self.members.batch.dropped.clear();
        for &index in &self.members.batch.preempted {
            plan.preempted.push(self.slots[index.index()].request);
        }
        if self.options.by_request {
            self.commit_one_by_one(plan);
        } else {
            self.commit_decodes(plan);
            plan.sampled = plan.decodes;
        }
        if !self.options.by_request && !self.members.batch.entries.is_empty() {
            let entries = std::mem::take(&mut self.members.batch.entries);
            for entry in &entries {
                self.slots[entry.slot.index()].scheduled = 0;
                if !entry.decode {
                    plan.chunks.push(Chunk { context: entry.context, tokens: entry.tokens });
                    self.commit_chunk(entry.slot, entry.tokens, plan);
                }
            }
            self.members.batch.entries = entries;
        }
        if !self.admitted.is_empty() {
            plan.admitted.append(&mut self.admitted);
        }
        self.take_reasons(&mut plan.reasons);
        self.pool.settle();
        plan.kv_used = self.pool.total() - self.pool.free();
        plan.waiting = self.waiting.len() as u32;
        plan.running = self.seats() as u32;
        let elsewhere = self.waiting.len() > self.visible();
        let held = self.members.batch.held.or(elsewhere.then_some(Held::OtherLane));
        // Those whose KV has come wait too, ahead of the others.
        plan.held = held.filter(|_| plan.waiting > 0 || !self.hold().is_empty());
        let landed = self.hold().iter().copied().find(|&s| self.phase(s) == Phase::Waiting);
        let head = plan.held.and_then(|_| landed.or(self.waiting.get(0)));
        plan.head = head.map(|index| self.slots[index.index()].request);
    }

    /// The batch just committed as `plan`, entry by entry. Decodes scheduled all at once are not in
    /// it.
    pub(crate) fn batch_listed(&self, plan: &Plan) -> Vec<Scheduled> {
        let entries = match self.options.by_request {
            true => &plan.brought,
            false => &self.members.batch.entries,
        };
        let listed = entries.iter().map(|entry| {
            let slot = &self.slots[entry.slot.index()];
            let samples = match self.options.by_request {
                true => entry.samples,
                false => entry.decode || entry.context + entry.tokens == slot.target,
            };
            Scheduled {
                request: slot.request,
                tokens: entry.tokens,
                prefill: !entry.decode,
                computed_before: entry.context,
                emits: samples,
                recompute: !entry.decode && slot.recomputing,
                became: None,
            }
        });
        listed.collect()
    }

    /// Decode steps in a row, `most` at most, at which a decision that repeats does so: nobody ends
    /// and memory suffices. Where memory ends it, not always all such steps.
    pub(crate) fn quiet_decode_steps(&self, keep_free: u32, most: u32) -> u32 {
        let Some(spare) = self.pool.free().checked_sub(keep_free) else { return 0 };
        let fits = |decode_steps: u32| self.growth_in(decode_steps) <= u64::from(spare);
        let quiet = self.members.decodes.quiet(most);
        let quiet = if self.by_step(quiet) { quiet.min(1) } else { quiet };
        // Nobody's tables grow by more than a block a decode step.
        let members = u64::from(self.members.decodes.len());
        let at_most = members * u64::from(self.pool.growth(1));
        let plenty = u64::from(quiet) * at_most <= u64::from(spare);
        if plenty || fits(quiet) {
            return quiet;
        }
        let mut quiet = quiet;
        while quiet > SEARCHED_STEPS && !fits(quiet) {
            quiet /= 2;
        }
        (0..=quiet).rev().find(|&decode_steps| fits(decode_steps)).unwrap_or(0)
    }

    /// Blocks in use when the decode set as it stands has gone on for `decode_steps` decode steps.
    pub(crate) fn used_after(&self, decode_steps: u32) -> u32 {
        let growing = self.growth_in(decode_steps) as u32;
        self.pool.total() - self.pool.free() + growing
    }

    /// Blocks that the decode set takes for the decode step after `decode_steps` quiet ones, less
    /// those that it gives back.
    pub(crate) fn growing_after(&self, decode_steps: u32) -> i32 {
        let growing = self.members.decodes.growing_after(decode_steps);
        let grows = (growing * self.pool.growth(1)) as i32;
        if self.pool.trims() { grows - self.given_back_next() as i32 } else { grows }
    }

    /// Further decode steps of the decode set as it stands, which are [quiet](Self::quiet_beats).
    pub(crate) fn repeat(&mut self, decode_steps: u32) {
        if self.by_step(decode_steps) {
            for _ in 0..decode_steps {
                self.decode_blocks();
                if !self.pool.hashes_at_schedule() {
                    self.hash_answers();
                }
                self.members.decodes.advance_by(1);
                self.advanced();
            }
            return;
        }
        self.pool.take_nameless(self.growth_in(decode_steps) as u32);
        self.members.decodes.advance_by(decode_steps);
    }

    /// Whether memory has to be looked at at every one of so many quiet decode steps: where blocks have
    /// identities they are taken by name, with windows given back. A block of an answer that
    /// others can meet is found from the step on that fills it, which is before the next one is taken.
    fn by_step(&self, decode_steps: u32) -> bool {
        let grows = || self.members.decodes.growing_in(decode_steps) > 0;
        let by_block = !self.pool.keeps_runs();
        let answers = self.answers_are_met && !self.registers_late();
        self.pool.trims() || self.pool.caching() && (answers || by_block && grows())
    }

    /// Blocks that the next quiet decode steps take.
    fn growth_in(&self, decode_steps: u32) -> u64 {
        self.members.decodes.growing_in(decode_steps) * u64::from(self.pool.growth(1))
    }

    /// The decode set has advanced.
    fn advanced(&mut self) {
        if let Some(trims) = &mut self.members.trims {
            trims.advanced();
        }
        self.pool.settle();
    }

    fn commit_decodes(&mut self, plan: &mut Plan) {
        let members = self.members.decodes.len();
        let all = self.members.batch.all_decodes;
        plan.decodes = match all {
            true => members,
            false => self.members.batch.entries.iter().filter(|entry| entry.decode).count() as u32,
        };
        plan.decode_kv_tokens = 0;
        plan.reads = None;
        if plan.decodes == 0 {
            // What they computed in the step before is known when the next one is planned.
            if self.options.out.ahead && self.pool.trims() {
                let passed_over = self.idle_decodes();
                for &index in &passed_over {
                    self.catch_up(index);
                    self.leave_decodes(index);
                }
                passed_over.into_iter().for_each(|index| self.join_decodes(index));
            }
            return;
        }
        self.members.last_decodes = self.steps;
        // Those who miss the decode step leave the set for its length: their run of decode steps
        // ends here.
        let missing = match plan.decodes == members {
            true => Vec::new(),
            false => self.idle_decodes(),
        };
        for &index in &missing {
            self.catch_up(index);
            self.leave_decodes(index);
        }
        assert_eq!(
            self.members.decodes.len(),
            plan.decodes,
            "a decode_step advances those scheduled"
        );
        if self.names_decodes {
            let decodes = |s: &&SlotId| self.phase(**s) == Phase::Decode && !missing.contains(s);
            let decoding = self.members.running.iter().filter(decodes);
            plan.decoding.extend(decoding.map(|s| self.slots[s.index()].request));
            debug_assert_eq!(plan.decoding.len(), plan.decodes as usize, "all who decode");
        }
        plan.decode_kv_tokens = self.members.decodes.kv_tokens() + u64::from(plan.decodes);
        plan.reads = self.members.decodes.reads();
        if !self.pool.hashes_at_schedule() {
            self.hash_answers();
        }
        if self.members.decodes.quiet(1) == 1 {
            self.members.decodes.advance_by(1);
            self.members.batch.advanced = true;
        } else {
            let mut ended = std::mem::take(&mut self.scratch);
            ended.clear();
            self.members.decodes.advance(&mut ended);
            self.members.batch.advanced = true;
            ended.sort_unstable_by_key(|&index| self.slots[index.index()].order);
            for &index in &ended {
                plan.ending.push(Handle(index));
                if !self.slots[index.index()].lingers {
                    self.catch_up(index);
                    self.leave_set(index, true);
                    self.slots[index.index()].phase = Phase::Ending;
                }
            }
            self.scratch = ended;
        }
        self.advanced();
        for index in missing {
            self.join_decodes(index);
        }
    }

    /// Who decodes and has no token in the batch.
    fn idle_decodes(&self) -> Vec<SlotId> {
        let stamp = self.members.batch.stamp;
        let idle = |s: &SlotId| {
            let slot = &self.slots[s.index()];
            slot.phase == Phase::Decode && (slot.stamp != stamp || slot.scheduled == 0)
        };
        self.members.running.iter().copied().filter(idle).collect()
    }

    fn commit_chunk(&mut self, index: SlotId, tokens: u32, plan: &mut Plan) {
        let slot = &mut self.slots[index.index()];
        slot.done += tokens;
        if self.options.out.most() > 1 {
            slot.in_flight += tokens;
        }
        plan.chunk_requests.push(slot.request);
        plan.chunk_slots.push(index);
        plan.chunk_blocks.push(slot.length);
        let done = slot.done;
        if done == slot.target && slot.left == 0 {
            // It ended by EOS while this step, planned ahead, was to compute it anew.
            self.members.partial.retain(|&s| s != index);
            self.join_decodes(index);
        } else if done == slot.target {
            plan.sampled += 1;
            if let Some(kept) = &mut self.outlook {
                kept.emit(index);
                plan.emitting.push(Handle(index));
            }
            plan.emissions
                .push(Emission { request: slot.request, first: slot.target == slot.prompt });
            slot.left -= 1;
            self.members.partial.retain(|&s| s != index);
            let slot = &mut self.slots[index.index()];
            let last = slot.left == 0;
            if last {
                plan.ending.push(Handle(index));
            }
            if last && !slot.lingers {
                slot.phase = Phase::Ending;
            } else {
                self.join_decodes(index);
            }
        }
        self.hash_chunk(index);
    }
}
