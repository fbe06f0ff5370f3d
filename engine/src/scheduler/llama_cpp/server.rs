//! The server at work: slots, and what each batch holds.

use super::super::{Handle, Held, Hit, Needs, RequestView, Scheduler, Step};
use super::prompts::{Copies, Tokens, share};
use crate::content::Content;
use crate::request::RequestId;

#[derive(Clone, Debug, Default)]
pub(super) struct ServerSlot {
    task: Option<Task>,
    /// When its last request ended, as a count; 0 if it had none.
    used: u64,
    /// What it holds of an earlier request, while it is free.
    held: Option<Tokens>,
}

/// The request that a slot works on.
#[derive(Clone, Debug)]
struct Task {
    request: Handle,
    id: RequestId,
    prompt: Tokens,
    /// Tokens at the prompt's head that the slot held.
    reused: u32,
    /// Whether it has had tokens; before that it waits, though it has its slot.
    started: bool,
    /// Decode steps there had been when its prompt was done.
    decodes_from: u32,
}

pub(super) struct LlamaCpp {
    pub(super) batch: u32,
    pub(super) cont_batching: bool,
    /// Memory that each slot owns; `None` where they share.
    pub(super) own_tokens: Option<u32>,
    pub(super) slots: Vec<ServerSlot>,
    pub(super) uses: u64,
    /// Slots that came free since requests last got some.
    pub(super) released: usize,
    /// Requests that have found no free slot, at the head of those without one.
    pub(super) deferred: usize,
    /// Whether prompts are compared with what slots hold.
    pub(super) reuses: bool,
    pub(super) similarity: f32,
    pub(super) copies: Copies,
    pub(super) saves_idle: bool,
}

impl Scheduler for LlamaCpp {
    fn needs(&self) -> Needs {
        // A waiting request may have a slot already.
        Needs {
            one_lane: true,
            grant: "its slot of n_parallel",
            always_caches: true,
            knows_contents: self.reuses,
            ..Needs::default()
        }
    }

    fn cached_tokens(&mut self, prompt: &Content, tokens: u32, _: u32) -> Option<u32> {
        if !self.reuses {
            return Some(0);
        }
        let prompt = Tokens::of_content(prompt, tokens);
        let free = self.slots.iter().filter(|slot| slot.task.is_none());
        let held = free.filter_map(|slot| slot.held.as_ref());
        let most = held.map(|held| held.common(&prompt)).max().unwrap_or(0);
        Some(most.max(self.copies.common(&prompt)).min(tokens.saturating_sub(1)))
    }

    fn reserves(&self, request: &RequestView, block_tokens: u32) -> u32 {
        let Some(own) = self.own_tokens else { return 0 };
        let end = request.prompt_tokens.saturating_add(request.max_tokens) - 1;
        if end > own { u32::MAX } else { own / block_tokens }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        self.release_ended(step);
        loop {
            self.assign(step);
            let prompts = self.prompts(step);
            if self.fits(step, &prompts) {
                self.run(step, &prompts);
                break;
            }
            if !self.empty_an_idle_slot() {
                self.fail_all(step);
            }
        }
        // With fewer, idle slots are to be emptied.
        let held = self.held_blocks(step);
        step.repeats(held);
    }
}

impl LlamaCpp {
    /// Frees the slots whose requests have ended, in order of their numbers.
    fn release_ended(&mut self, step: &Step<'_>) {
        let running: Vec<(Handle, RequestId)> =
            step.running().map(|request| (request, step.view(request).id)).collect();
        let decode_steps = step.decode_steps();
        for slot in &mut self.slots {
            let ended =
                |task: &mut Task| task.started && !running.contains(&(task.request, task.id));
            let Some(task) = slot.task.take_if(ended) else { continue };
            self.uses += 1;
            self.released += 1;
            slot.used = self.uses;
            if self.reuses {
                // Every decode step since its prompt was done has added a token of the answer.
                let answer = decode_steps - task.decodes_from;
                let count = task.prompt.count + answer;
                slot.held = Some(task.prompt.grown_to(count));
            }
        }
    }

    /// Gives free slots to those who wait, in order; but of those who found none before, as many as
    /// slots have come free are taken from the last of them to the first.
    fn assign(&mut self, step: &mut Step<'_>) {
        // Those who have a slot but no tokens yet stand at the queue's head.
        let placed = |slot: &&ServerSlot| slot.task.as_ref().is_some_and(|task| !task.started);
        let placed = self.slots.iter().filter(placed).count();
        let turned = std::mem::take(&mut self.released).min(self.deferred);
        let mut place = 0;
        loop {
            let next = if place < turned { turned - 1 - place } else { place };
            let Some(request) = step.waiting_at(placed + next) else { break };
            let prompt = Tokens::of_prompt(step, request);
            let Some(index) = self.choose(&prompt) else {
                step.hold(Held::NoSeat);
                break;
            };
            self.launch(step, index, request, prompt);
            place += 1;
        }
        self.deferred = step.waiting_len() - placed - place;
    }

    /// The free slot for a prompt, with what is best for it in place.
    fn choose(&mut self, prompt: &Tokens) -> Option<usize> {
        let mut best = (0.0, None);
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(held) = slot.held.as_ref().filter(|_| slot.task.is_none()) else { continue };
            let has = share(held.common(prompt), prompt.count);
            if self.similarity > 0.0 && has > best.0 && has > self.similarity {
                best = (has, Some(index));
            }
        }
        let free = || (0..self.slots.len()).rev().filter(|&one| self.slots[one].task.is_none());
        let index = best.1.or_else(|| free().min_by_key(|&one| self.slots[one].used))?;
        let slot = &mut self.slots[index];
        let loses = match (&slot.held, best.1) {
            (Some(held), Some(_)) => best.0 * prompt.count as f32 / (held.count as f32) < 0.5,
            _ => true,
        };
        if self.reuses && loses && self.copies.kept() {
            if let Some(held) = &slot.held {
                self.copies.save(held);
            }
            self.copies.load(&mut slot.held, prompt);
            self.copies.make_room();
        }
        Some(index)
    }

    /// Gives a request its slot; the idle ones are copied, and emptied where memory is shared.
    fn launch(&mut self, step: &Step<'_>, index: usize, request: Handle, prompt: Tokens) {
        let slot = &mut self.slots[index];
        let common = slot.held.take().map_or(0, |held| held.common(&prompt));
        let reused = common.min(prompt.count - 1);
        let id = step.view(request).id;
        slot.task = Some(Task { request, id, prompt, reused, started: false, decodes_from: 0 });
        if !(self.saves_idle && self.copies.kept()) {
            return;
        }
        let unified = self.own_tokens.is_none();
        for slot in self.slots.iter_mut().filter(|slot| slot.task.is_none()) {
            let Some(held) = &slot.held else { continue };
            if self.copies.save(held) && unified {
                slot.held = None;
            }
        }
        self.copies.make_room();
    }

    /// Slots whose prompts get tokens in this batch, and how many.
    fn prompts(&self, step: &mut Step<'_>) -> Vec<(usize, u32)> {
        let decodes = step.decoding_len();
        let mut prompts = Vec::new();
        let mut left = self.batch.saturating_sub(decodes);
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(task) = &slot.task else { continue };
            let view = step.view(task.request);
            if !view.is_prefilling() {
                continue;
            }
            if decodes > 0 && !self.cont_batching {
                step.hold(Held::Deferred);
                break;
            }
            if left == 0 {
                step.hold(Held::NoTokenBudget);
                break;
            }
            let reused = if task.started { 0 } else { task.reused };
            let chunk = (view.prefill_left() - reused).min(left);
            left -= chunk;
            prompts.push((index, chunk));
        }
        prompts
    }

    /// Blocks of a unified cache that hold what free slots, and those about to begin, have from
    /// earlier requests. The pool knows nothing of them.
    fn held_blocks(&self, step: &Step<'_>) -> u32 {
        if self.own_tokens.is_some() {
            return 0;
        }
        let tokens = |slot: &ServerSlot| match &slot.task {
            None => slot.held.as_ref().map_or(0, |held| held.count),
            Some(task) if !task.started => task.reused,
            Some(_) => 0,
        };
        self.slots.iter().map(|slot| step.blocks_for(tokens(slot))).sum()
    }

    fn fits(&self, step: &Step<'_>, prompts: &[(usize, u32)]) -> bool {
        let mut blocks = u64::from(step.blocks_for_decodes());
        let mut held = u64::from(self.held_blocks(step));
        for &(index, chunk) in prompts {
            let task = self.slots[index].task.as_ref().expect("the slot has a prompt");
            let view = step.view(task.request);
            let end = match self.own_tokens {
                Some(own) if !task.started => own.max(chunk),
                None if !task.started => {
                    held -= u64::from(step.blocks_for(task.reused));
                    task.reused + chunk
                }
                _ => view.computed + chunk,
            };
            blocks += u64::from(step.more_blocks_for(task.request, end));
        }
        blocks + held <= step.free_blocks().into()
    }

    /// Empties the first free slot of a unified cache that holds something; says whether there is
    /// one.
    fn empty_an_idle_slot(&mut self) -> bool {
        let unified = self.own_tokens.is_none();
        let holds = |slot: &&mut ServerSlot| unified && slot.task.is_none() && slot.held.is_some();
        self.slots.iter_mut().find(holds).is_some_and(|slot| slot.held.take().is_some())
    }

    fn run(&mut self, step: &mut Step<'_>, prompts: &[(usize, u32)]) {
        self.decode(step);
        let decodes_from = step.decode_steps() + u32::from(step.decoding_len() > 0);
        for &(index, chunk) in prompts {
            let task = self.slots[index].task.as_mut().expect("the slot has a prompt");
            let own = self.own_tokens.unwrap_or(0);
            let reused = Hit { copied: task.reused, ..Hit::default() };
            let runs = match task.started {
                true => step.run(task.request, chunk),
                false => step.admit(task.request, chunk, own, reused),
            };
            assert!(runs, "the batch's blocks were counted");
            task.started = true;
            task.decodes_from = decodes_from;
        }
    }

    /// A token for every slot that generates, in order of their numbers.
    fn decode(&self, step: &mut Step<'_>) {
        if step.may_decode_all() {
            return step.decode_all();
        }
        for task in self.slots.iter().filter_map(|slot| slot.task.as_ref()) {
            if task.started && !step.view(task.request).is_prefilling() {
                let runs = step.run(task.request, 1);
                assert!(runs, "the batch's blocks were counted");
            }
        }
    }

    /// Fails the requests of all slots.
    fn fail_all(&mut self, step: &mut Step<'_>) {
        for slot in &mut self.slots {
            let Some(task) = slot.task.take() else { continue };
            if task.started {
                step.preempt(task.request);
            }
            step.drop_request(task.request);
            self.uses += 1;
            self.released += 1;
            slot.used = self.uses;
        }
    }
}
