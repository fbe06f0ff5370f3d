//! Requests counted one by one: with drafts, where a step brings each its own number of tokens; in a
//! pipeline, where each waits for a token of its own; and on the slow path of policies whose fast one
//! counts all who decode together.
//!
//! A batch that is formed counts its tokens as computed at once ([`Replica::commit`]), drafts among
//! them; what became of them is known when it is processed (`Replica::settle`), by when further
//! batches may be out. Rules and names are vLLM 0.33.0's (`v1/core/sched/scheduler.py`,
//! `v1/core/sched/async_scheduler.py`: `num_output_placeholders`, `spec_token_ids`).

use super::Replica;
use super::plan::Plan;
use super::reads::Reads;
use super::slot::{Own, Phase, Slot};
use crate::catalog::Reach;
use crate::cost::Chunk;
use crate::ids::SlotId;
use crate::replica::{Accepts, Emission};
use crate::request::RequestId;

/// What a batch computes of one request, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brought {
    /// Whose.
    pub request: RequestId,
    pub(super) slot: SlotId,
    /// Tokens computed, drafts among them.
    pub tokens: u32,
    /// Tokens counted as computed before: drafts in flight as if all were accepted.
    pub context: u32,
    /// Whether it decodes; otherwise it is a chunk of its prefill.
    pub decode: bool,
    /// Whether it reaches the end of what is known, so that a token is sampled.
    pub samples: bool,
    /// Drafts that are verified.
    pub drafts: u32,
    /// Those of them that are accepted.
    pub accepted: u32,
    /// Whether they are placeholders, none of which can be accepted.
    pub padded: bool,
    /// Output tokens that were on their way before.
    pub placeholders_before: u32,
    /// Tokens delivered; 0 until it is processed.
    pub emits: u32,
    /// What processing found.
    pub became: Became,
}

impl Brought {
    /// A decode that is scheduled: tokens computed before, and those to compute.
    #[inline]
    pub(super) fn scheduled(
        request: RequestId,
        slot: SlotId,
        (context, tokens): (u32, u32),
    ) -> Brought {
        Brought {
            request,
            slot,
            tokens,
            context,
            decode: true,
            samples: false,
            drafts: 0,
            accepted: 0,
            padded: false,
            placeholders_before: 0,
            emits: 0,
            became: Became::Unknown,
        }
    }
}

/// Decodes at the head of the running list that were scheduled in one go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leading {
    /// Places of the running list that were gone through.
    pub places: usize,
    /// Requests scheduled.
    pub requests: u32,
    /// Their tokens.
    pub tokens: u32,
}

/// What processing a batch finds of a request in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Became {
    /// Not processed yet.
    #[default]
    Unknown,
    /// As it was planned.
    Planned,
    /// It had ended already: computed for nothing.
    Ignored,
    /// It had been preempted since, and its tokens count all the same.
    Stale,
    /// It had been preempted since, and samples its tokens again.
    Dropped,
}

impl Replica {
    /// Tokens that a step can compute of a running request now.
    #[inline]
    pub(super) fn wanted_of_own(&self, index: SlotId) -> u32 {
        self.slots[index.index()].wanted_of_own(self.options.out.ahead, self.steps)
    }

    /// So many tokens of a request and the slots that its drafts may need.
    pub(super) fn with_lookahead(&self, tokens: u32) -> u32 {
        match self.options.drafts.lookahead {
            0 => tokens,
            slots => (tokens + slots).min(self.options.max_model_len),
        }
    }

    /// Gives keys to the blocks that `tokens` of its tokens fill.
    #[cold]
    pub(super) fn hash_own(&mut self, index: SlotId, tokens: u32) {
        let own = &mut self.slots[index.index()].own;
        if !self.pool.caching() {
            own.fills_at = u32::MAX;
            return;
        }
        let drafts = &self.options.drafts;
        let known = own.known;
        let tokens = tokens.min(known).saturating_sub(drafts.prefill_lookahead.saturating_sub(1));
        let sure = tokens.min(known.saturating_sub(drafts.hash_lookahead));
        if sure < own.fills_at {
            return;
        }
        own.fills_at = (sure / self.options.block_tokens + 1) * self.options.block_tokens;
        self.hash_blocks(index, tokens, known);
    }

    /// A preempted request loses what it counted; tokens in flight will still come.
    pub(super) fn lose_own(&mut self, index: SlotId) {
        let delivers = self.drops_stale();
        let slot = &mut self.slots[index.index()];
        slot.own.drops = delivers || slot.own.drops && slot.own.stale > 0;
        slot.own.stale = slot.in_flight;
        slot.own.placeholders = 0;
        slot.own.drafts = 0;
    }

    /// Whether tokens of a waiting request are still on their way: it cannot be admitted before.
    pub(super) fn awaits_stale(&self, index: SlotId) -> bool {
        let slot = &self.slots[index.index()];
        match self.options.by_request {
            true => slot.own.stale > 0 && !slot.own.drops,
            false => slot.in_flight > 0,
        }
    }

    /// Schedules all that is wanted of the decodes at the head of the running list, without asking of
    /// each whether there is room: `most_tokens` and the free blocks are enough for as many requests
    /// whatever each wants. Nobody where they are not. Tells how many places of the list it has gone
    /// through, and the requests and tokens that it has scheduled.
    pub(super) fn run_leading(&mut self, most_tokens: u32) -> Leading {
        let decodes = |&&index: &&SlotId| self.phase(index) == Phase::Decode;
        let running = &self.members.running;
        let places = match self.members.partial.is_empty() {
            true => running.len(),
            false => running.iter().take_while(decodes).count(),
        };
        let each = 1 + self.options.drafts.most();
        let blocks = (each + self.options.drafts.lookahead).div_ceil(self.options.block_tokens) + 1;
        let blocks = (places as u64).saturating_mul(self.pool.growth(blocks).into());
        let tokens = (places as u64).saturating_mul(each.into());
        if tokens > most_tokens.into() || blocks > self.pool.free().into() {
            return Leading::default();
        }
        let mut leading = Leading { places, ..Leading::default() };
        let running = std::mem::take(&mut self.members.running);
        let mut due = std::mem::take(&mut self.scratch);
        due.clear();
        let (longest, trims) = (self.options.max_model_len - 1, self.pool.trims());
        let stamp = self.members.batch.stamp;
        let (ahead, block_tokens) = (self.options.out.ahead, self.options.block_tokens);
        let (lookahead, call) = (self.options.drafts.lookahead, self.steps);
        let entries = &mut self.members.batch.entries;
        entries.reserve(places);
        for &index in &running[..places] {
            let slot = &mut self.slots[index.index()];
            let context = slot.done;
            let tokens = slot.wanted_of_own(ahead, call).min(longest.saturating_sub(context));
            if tokens == 0 {
                continue;
            }
            slot.stamp = stamp;
            slot.scheduled = tokens;
            let after = context + tokens;
            // Slots beyond the longest text are no slots: who comes near it is looked at more often.
            let grows = after + lookahead > slot.length * block_tokens;
            if grows || trims || slot.own.may_fill(after) {
                due.push(index);
            }
            entries.push(Brought::scheduled(slot.request, index, (context, tokens)));
            leading.requests += 1;
            leading.tokens += tokens;
        }
        self.members.running = running;
        for &index in &due {
            let slot = &self.slots[index.index()];
            let after = slot.done + slot.scheduled;
            let (room, slots) = (slot.length * block_tokens, self.with_lookahead(after));
            if trims {
                self.trim(index);
            }
            if slots > room || trims {
                self.grow_with_slots(index, after, slots);
            }
            self.hash_own(index, after);
        }
        self.scratch = due;
        leading
    }

    /// Advances every request of the batch.
    pub(super) fn commit_one_by_one(&mut self, plan: &mut Plan) {
        let mut entries = std::mem::take(&mut self.members.batch.entries);
        plan.reads = self.own_reads(&entries);
        plan.drafting = self.options.drafts.most_at(entries.len() as u32);
        let out = self.options.out;
        let sampling = Sampling {
            luck: self.luck.as_deref(),
            drafting: plan.drafting,
            next_call: out.ahead.then(|| self.steps + u64::from(out.stages)),
        };
        let (mut decodes, mut decode_tokens, mut kv_tokens, mut sampled) = (0, 0, 0, 0);
        for entry in &mut entries {
            let slot = &mut self.slots[entry.slot.index()];
            entry.drafts = match entry.padded {
                true => entry.tokens - 1,
                false => slot.drafts_among(entry.tokens),
            };
            slot.scheduled = 0;
            if entry.decode {
                decodes += 1;
                decode_tokens += entry.tokens;
                kv_tokens += u64::from(entry.context) + u64::from(entry.tokens);
            } else {
                plan.chunks.push(Chunk { context: entry.context, tokens: entry.tokens });
                plan.chunk_requests.push(slot.request);
                plan.chunk_blocks.push(slot.length);
            }
            slot.done += entry.tokens;
            slot.in_flight += entry.tokens;
            slot.own.drafts = 0;
            entry.samples = slot.done >= slot.own.known + slot.own.placeholders;
            entry.placeholders_before = slot.own.placeholders;
            if !entry.samples {
                continue;
            }
            sampled += 1 + entry.drafts;
            entry.accepted = sampling.sample(slot, entry.drafts, entry.padded);
            if !entry.decode {
                let first = slot.target == slot.prompt;
                plan.emissions.push(Emission { request: slot.request, first });
                slot.phase = Phase::Decode;
                self.members.partial.retain(|&s| s != entry.slot);
            }
        }
        (plan.decodes, plan.decode_tokens) = (decodes, decode_tokens);
        (plan.decode_kv_tokens, plan.sampled) = (kv_tokens, sampled);
        // The list that was the plan's serves for the next batch.
        self.members.batch.entries = std::mem::replace(&mut plan.brought, entries);
        if self.transfers.is_some() {
            self.settle_host(plan);
            self.send(plan);
        }
    }

    /// What the decodes of a batch read within the model's reaches, where it has some.
    fn own_reads(&self, entries: &[Brought]) -> Option<Reads> {
        let reaches = &self.options.reaches;
        let decodes = entries.iter().any(|entry| entry.decode);
        if !decodes || reaches.iter().all(|reach| *reach == Reach::All) {
            return None;
        }
        let mut reads = Reads::default();
        for entry in entries.iter().filter(|entry| entry.decode) {
            reads.count(reaches, u64::from(entry.context) + u64::from(entry.tokens));
        }
        Some(reads)
    }

    /// Processes a batch that is over: tokens are delivered, requests that have all of theirs leave.
    pub(crate) fn settle(&mut self, plan: &mut Plan, mut ended: impl FnMut(RequestId)) {
        self.begin_processing(plan);
        let proposes = self.options.drafts.any() && !self.options.out.ahead;
        for brought in &mut plan.brought {
            if self.settle_one(brought) {
                ended(brought.request);
            } else if proposes && brought.became != Became::Ignored {
                self.propose(brought, plan.drafting);
            }
        }
    }

    /// Tokens that processing a batch which is over would bring one of its requests.
    pub(crate) fn foreseen(&self, brought: &Brought) -> u32 {
        let slot = &self.slots[brought.slot.index()];
        let gone = slot.request != brought.request || slot.phase == Phase::Gone;
        if gone || !brought.samples || slot.own.stale > 0 && slot.own.drops {
            return 0;
        }
        (1 + brought.accepted).min(slot.left)
    }

    /// One request of a batch that is over; says whether it ends with it.
    #[inline(always)]
    fn settle_one(&mut self, brought: &mut Brought) -> bool {
        let index = brought.slot;
        let slot = &mut self.slots[index.index()];
        if slot.request != brought.request || slot.phase == Phase::Gone {
            brought.became = Became::Ignored;
            return false;
        }
        slot.in_flight -= brought.tokens;
        let stale = slot.own.stale > 0;
        brought.became = if stale { Became::Stale } else { Became::Planned };
        if stale {
            slot.own.stale -= brought.tokens;
            if slot.own.drops {
                brought.became = Became::Dropped;
                if brought.samples {
                    slot.own.brought -= 1 + brought.accepted;
                }
                return false;
            }
        }
        if !brought.samples {
            return false;
        }
        let (new, rejected) = (1 + brought.accepted, brought.drafts - brought.accepted);
        if !stale {
            slot.done -= rejected;
            slot.own.placeholders = slot.own.placeholders.saturating_sub(rejected);
        }
        brought.emits = new.min(slot.left);
        slot.left -= brought.emits;
        slot.own.known += brought.emits;
        let ends = slot.left == 0;
        if slot.phase == Phase::Waiting {
            slot.target = slot.own.known;
        } else if !stale {
            if ends {
                slot.done -= new - brought.emits;
            }
            slot.own.placeholders = slot.own.placeholders.saturating_sub(new);
            let computed = slot.done - slot.in_flight;
            if slot.own.may_fill(computed) {
                self.hash_own(index, computed);
            }
        }
        if ends {
            self.end_own(index);
        }
        ends
    }

    #[cold]
    fn end_own(&mut self, index: SlotId) {
        match self.phase(index) {
            Phase::Waiting => {
                self.leave_waiting(index);
            }
            phase => {
                if phase == Phase::Prefill {
                    self.members.partial.retain(|&s| s != index);
                }
                let place = self.members.running.iter().position(|&s| s == index);
                self.members.running.remove(place.expect("it runs"));
                if self.stays_for_fetch(index) {
                    return;
                }
                self.free_in_time(index);
            }
        }
        self.slots[index.index()].phase = Phase::Gone;
        self.vacant.push(index);
    }

    /// Drafts for the next step of a request whose batch is over, where that has sampled.
    #[inline]
    fn propose(&mut self, brought: &Brought, most: u32) {
        let slot = &mut self.slots[brought.slot.index()];
        slot.own.drafts = 0;
        if brought.samples {
            let luck = self.luck.as_deref().expect("who drafts has luck");
            slot.own.drafts = luck.found(slot.number, slot.own.samples, most).min(most);
            slot.own.samples += 1;
        }
    }
}

/// What a batch's requests sample with.
struct Sampling<'a> {
    luck: Option<&'a dyn Accepts>,
    /// Drafts for the next step.
    drafting: u32,
    /// The schedule call from which on who samples now may do so again, where batches are planned
    /// ahead.
    next_call: Option<u64>,
}

impl Sampling<'_> {
    /// A request reaches the end of what is known of it; how many of its drafts are accepted.
    #[inline]
    fn sample(&self, slot: &mut Slot, drafts: u32, padded: bool) -> u32 {
        let own = &mut slot.own;
        let mut accepted = 0;
        if drafts > 0 && !padded {
            let luck = self.luck.expect("who drafts has luck");
            accepted = luck.accepted(slot.number, slot.class, own.rounds, own.brought, drafts);
            accepted = accepted.min(drafts);
            own.rounds += 1;
        }
        own.brought += 1 + accepted;
        if let Some(next_call) = self.next_call {
            own.placeholders += 1 + drafts;
            own.drafts = self.drafting;
            own.next_call = next_call;
        }
        accepted
    }
}

impl Own {
    /// Whether a further block may have its key once so many tokens are computed.
    #[inline]
    fn may_fill(&self, computed: u32) -> bool {
        computed.min(self.known) >= self.fills_at
    }
}

impl Slot {
    /// Tokens that the step of this call can compute of a running request.
    #[inline]
    fn wanted_of_own(&self, ahead: bool, call: u64) -> u32 {
        let own = &self.own;
        if ahead {
            let most = u64::from(self.prompt) + u64::from(self.max_tokens);
            let sure = u64::from(self.done) + 2 >= most + u64::from(own.placeholders);
            // The token on its way surely ends it, or is yet to come.
            if own.placeholders > 0 && sure || call < own.next_call {
                return 0;
            }
        }
        (own.known + own.drafts + own.placeholders).saturating_sub(self.done)
    }

    /// Its drafts among `tokens` that are scheduled now.
    #[inline]
    fn drafts_among(&self, tokens: u32) -> u32 {
        let own = &self.own;
        let beyond = (self.done + tokens).saturating_sub(own.known + own.placeholders);
        beyond.min(own.drafts)
    }
}
