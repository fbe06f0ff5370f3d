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
use super::slot::Phase;
use super::step::Entry;
use crate::catalog::Reach;
use crate::cost::Chunk;
use crate::ids::SlotId;
use crate::replica::Emission;
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
        let slot = &self.slots[index.index()];
        let own = &slot.own;
        if self.options.out.ahead {
            let most = u64::from(slot.prompt) + u64::from(slot.max_tokens);
            let sure = u64::from(slot.done) + 2 >= most + u64::from(own.placeholders);
            // The token on its way surely ends it, or is yet to come.
            if own.placeholders > 0 && sure || self.steps < own.next_call {
                return 0;
            }
        }
        (own.known + own.drafts + own.placeholders).saturating_sub(slot.done)
    }

    /// So many tokens of a request and the slots that its drafts may need.
    pub(super) fn with_lookahead(&self, tokens: u32) -> u32 {
        match self.options.drafts.lookahead {
            0 => tokens,
            slots => (tokens + slots).min(self.options.max_model_len),
        }
    }

    /// Drafts of a request among `tokens` that are scheduled of it now.
    fn drafts_among(&self, index: SlotId, tokens: u32) -> u32 {
        let slot = &self.slots[index.index()];
        let own = &slot.own;
        if own.drafts == 0 {
            return 0;
        }
        let beyond = (slot.done + tokens).saturating_sub(own.known + own.placeholders);
        beyond.min(own.drafts)
    }

    /// Gives keys to the blocks that `tokens` of its tokens fill.
    pub(super) fn hash_own(&mut self, index: SlotId, tokens: u32) {
        if !self.pool.caching() {
            return;
        }
        let known = self.slots[index.index()].own.known;
        let again = self.options.drafts.prefill_lookahead.saturating_sub(1);
        self.hash_blocks(index, tokens.min(known).saturating_sub(again), known);
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
        let (longest, trims) = (self.options.max_model_len - 1, self.pool.trims());
        let (stamp, caching) = (self.members.batch.stamp, self.pool.caching());
        for &index in &running[..places] {
            let done = self.slots[index.index()].done;
            let tokens = self.wanted_of_own(index).min(longest.saturating_sub(done));
            if tokens == 0 {
                continue;
            }
            let slots = self.with_lookahead(done + tokens);
            if trims {
                self.trim(index);
            }
            if slots > self.slots[index.index()].length * self.options.block_tokens || trims {
                self.grow_with_slots(index, done + tokens, slots);
            }
            let slot = &mut self.slots[index.index()];
            slot.stamp = stamp;
            slot.scheduled = tokens;
            slot.chunk_from = done;
            let entry = Entry { slot: index, tokens, context: done, decode: true, padded: false };
            self.members.batch.entries.push(entry);
            if caching {
                self.hash_own(index, done + tokens);
            }
            leading.requests += 1;
            leading.tokens += tokens;
        }
        self.members.running = running;
        leading
    }

    /// Advances every request of the batch.
    pub(super) fn commit_one_by_one(&mut self, plan: &mut Plan) {
        let entries = std::mem::take(&mut self.members.batch.entries);
        (plan.decodes, plan.decode_kv_tokens, plan.sampled) = (0, 0, 0);
        plan.reads = self.own_reads(&entries);
        plan.decode_tokens = 0;
        let rules = self.options.drafts.rules;
        plan.drafting = rules.map_or(0, |rules| rules.k_at(entries.len() as u32));
        for entry in &entries {
            let index = entry.slot;
            let drafts = match entry.padded {
                true => entry.tokens - 1,
                false => self.drafts_among(index, entry.tokens),
            };
            let slot = &mut self.slots[index.index()];
            slot.scheduled = 0;
            if entry.decode {
                plan.decodes += 1;
                plan.decode_tokens += entry.tokens;
                plan.decode_kv_tokens += u64::from(entry.context) + u64::from(entry.tokens);
            } else {
                plan.chunks.push(Chunk { context: entry.context, tokens: entry.tokens });
                plan.chunk_requests.push(slot.request);
                plan.chunk_blocks.push(slot.length);
            }
            slot.done += entry.tokens;
            slot.in_flight += entry.tokens;
            slot.own.drafts = 0;
            let samples = slot.done >= slot.own.known + slot.own.placeholders;
            let mut brought = Brought {
                request: slot.request,
                slot: index,
                tokens: entry.tokens,
                context: entry.context,
                decode: entry.decode,
                samples,
                drafts,
                accepted: 0,
                padded: entry.padded,
                placeholders_before: slot.own.placeholders,
                emits: 0,
                became: Became::Unknown,
            };
            if samples {
                plan.sampled += 1 + drafts;
                if !entry.decode {
                    let first = slot.target == slot.prompt;
                    plan.emissions.push(Emission { request: slot.request, first });
                    slot.phase = Phase::Decode;
                    self.members.partial.retain(|&s| s != index);
                }
                self.sample(index, plan.drafting, &mut brought);
            }
            plan.brought.push(brought);
        }
        self.members.batch.entries = entries;
        if self.transfers.is_some() {
            self.settle_host(plan);
            self.send(plan);
        }
    }

    /// What the decodes of a batch read within the model's reaches, where it has some.
    fn own_reads(&self, entries: &[Entry]) -> Option<Reads> {
        let reaches = &self.options.reaches;
        if reaches.iter().all(|reach| *reach == Reach::All) {
            return None;
        }
        let mut reads = Reads::default();
        for entry in entries.iter().filter(|entry| entry.decode) {
            reads.count(reaches, u64::from(entry.context) + u64::from(entry.tokens));
        }
        Some(reads)
    }

    /// A request reaches the end of what is known of it.
    fn sample(&mut self, index: SlotId, drafting: u32, brought: &mut Brought) {
        let out = self.options.out;
        let slot = &mut self.slots[index.index()];
        let own = &mut slot.own;
        if brought.drafts > 0 && !brought.padded {
            let luck = self.luck.as_deref().expect("who drafts has luck");
            brought.accepted = luck
                .accepted(slot.request, slot.class, own.rounds, own.brought, brought.drafts)
                .min(brought.drafts);
            own.rounds += 1;
        }
        own.brought += 1 + brought.accepted;
        if out.ahead {
            own.placeholders += 1 + brought.drafts;
            own.drafts = drafting;
            own.next_call = self.steps + u64::from(out.stages);
        }
    }

    /// Processes a batch that is over: tokens are delivered, requests that have all of theirs leave.
    pub(crate) fn settle(&mut self, plan: &mut Plan, mut ended: impl FnMut(RequestId)) {
        self.begin_processing(plan);
        for brought in &mut plan.brought {
            if self.settle_one(brought) {
                ended(brought.request);
            }
        }
        if self.options.drafts.any() && !self.options.out.ahead {
            self.propose(plan);
        }
    }

    /// One request of a batch that is over; says whether it ends with it.
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
            self.hash_own(index, computed);
        }
        if ends {
            self.end_own(index);
        }
        ends
    }

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

    /// Drafts for the next step of those who have sampled.
    fn propose(&mut self, plan: &Plan) {
        let most = plan.drafting;
        for brought in &plan.brought {
            let slot = &mut self.slots[brought.slot.index()];
            if slot.request != brought.request || slot.phase == Phase::Gone {
                continue;
            }
            slot.own.drafts = 0;
            if brought.samples {
                let luck = self.luck.as_deref().expect("who drafts has luck");
                let own = &mut slot.own;
                own.drafts = luck.found(slot.request, own.samples, most).min(most);
                own.samples += 1;
            }
        }
    }
}
