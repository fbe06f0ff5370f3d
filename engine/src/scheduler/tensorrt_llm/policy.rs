//! The policy at work: who fits the memory, and who of them gets tokens.

use super::super::by_arrival::by_arrival;
use super::super::{
    CacheRules, Handle, Held, Needs, QueueOrder, RankBalance, RequestView, Reuse, Scheduler, Step,
    Stored, Whole,
};
use super::chunks::chunks;
use super::coming::{Coming, coming, finds_later};
use super::{CapacitySchedulerPolicy, ContextChunkingPolicy};
use crate::request::RequestId;
use crate::time::Time;

pub(super) struct TensorRtLlm {
    pub(super) capacity: CapacitySchedulerPolicy,
    pub(super) seats: u32,
    pub(super) budget: u32,
    pub(super) chunking: Option<ContextChunkingPolicy>,
    pub(super) max_model_len: u32,
    /// Prompts wait for others: up to so many steps, for so many tokens.
    pub(super) wait: BatchWait,
    /// Prompts wait for those of the ranks that it steps with.
    pub(super) balance: Option<RankBalance>,
    pub(super) reuses: bool,
    pub(super) partly: bool,
}

/// How prompts wait for others, so that few steps have any (`batch_wait_timeout_iters`,
/// `batch_wait_max_tokens_ratio`).
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchWait {
    /// Most steps in a row that they are left out of.
    pub(super) steps: u32,
    /// With so many tokens a step has enough.
    pub(super) tokens: f64,
    /// The steps that they were left out of by now.
    pub(super) waited: u32,
}

impl BatchWait {
    /// Whether prompts of so many tokens are left out of a step of so many decodes.
    fn defers(&mut self, tokens: u32, decodes: u32) -> bool {
        if tokens == 0 || decodes == 0 {
            return false;
        }
        let defers = self.waited < self.steps && f64::from(tokens + decodes) < self.tokens;
        self.waited = if defers { self.waited + 1 } else { 0 };
        defers
    }
}

/// A request that fits the memory, in the order in which tokens are dealt.
struct Fitting {
    request: Handle,
    /// Prompt tokens to compute; 0 for a decode.
    left: u32,
    /// Whether it is admitted by getting tokens, and with KV blocks for how many.
    admits: Option<u32>,
}

impl Scheduler for TensorRtLlm {
    fn needs(&self) -> Needs {
        let whole = self.chunking.is_none();
        Needs {
            queue: QueueOrder::Arrival,
            prompt_tokens_max: whole.then_some(self.budget),
            cache: self.reuses.then_some(CacheRules {
                keyless_first: false,
                newest_wins: false,
                hash_at_schedule: false,
                keeps_states: false,
            }),
            always_caches: true,
            reuse: Reuse {
                stored: Stored::PromptDone,
                prompts_alone: false,
                once: true,
                whole: if self.partly { Whole::Copied } else { Whole::LastBlock },
                forgets: false,
            },
            balance: self.balance,
            ..Needs::default()
        }
    }

    fn reserves(&self, request: &RequestView, block_tokens: u32) -> u32 {
        match self.capacity {
            CapacitySchedulerPolicy::MaxUtilization => 0,
            _ => self.to_the_end(request).div_ceil(block_tokens),
        }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        match self.capacity {
            CapacitySchedulerPolicy::MaxUtilization => self.max_utilization(step),
            _ => self.no_evict(step),
        }
        // Steps without the prompts are counted.
        if self.wait.waited == 0 && step.prompts_wait().is_none() {
            step.repeats(0);
        }
    }
}

impl TensorRtLlm {
    /// Tokens of a request that runs to its `max_tokens`.
    fn to_the_end(&self, view: &RequestView) -> u32 {
        view.prompt_tokens.saturating_add(view.max_tokens).min(self.max_model_len)
    }

    fn no_evict(&mut self, step: &mut Step<'_>) {
        let decodes = step.decoding_len();
        let mut fitting = Vec::new();
        let all = step.may_decode_all() && decodes <= self.budget;
        if !all {
            fitting.extend(decoding(step));
        }
        let mut later = false;
        if self.capacity == CapacitySchedulerPolicy::StaticBatch && decodes > 0 {
            step.hold(Held::Deferred);
        } else {
            fitting.extend(step.prefilling().map(|request| running(step, request)));
            let mut unreserved = step.free_blocks();
            let mut seats = self.seats.saturating_sub(step.seats_used());
            let mut coming = coming(step);
            let waits = self.capacity == CapacitySchedulerPolicy::GuaranteedNoEvict;
            for place in 0.. {
                let Some(request) = step.waiting_at(place) else { break };
                if waits && finds_later(step, request, &mut coming) {
                    later |= place == 0;
                    continue;
                }
                let view = step.view(request);
                if seats == 0 {
                    step.hold(Held::NoSeat);
                    break;
                }
                let hold = self.to_the_end(&view);
                let hit = step.lookup(request);
                let blocks = step.blocks_to_admit(hold, hit);
                if blocks > unreserved {
                    // What it reserves for others is not free for this one.
                    step.hold_for_blocks(blocks + step.free_blocks().saturating_sub(unreserved));
                    break;
                }
                unreserved -= blocks;
                seats -= 1;
                fitting.push(admitting(step, request, hold));
            }
        }
        self.micro_batch(step, &fitting, if all { decodes } else { 0 });
        if later {
            step.hold(Held::Deferred);
        }
    }

    fn max_utilization(&mut self, step: &mut Step<'_>) {
        // Where memory suffices and all who run arrived before all who wait, order is no matter.
        let decodes = step.decoding_len();
        let roomy = step.blocks_for_decodes() <= step.free_blocks()
            && decodes <= self.budget
            && step.seats_used() <= self.seats;
        if roomy && step.may_decode_all() && self.running_came_first(step) {
            let mut free = step.free_blocks() - step.blocks_for_decodes();
            let mut fitting: Vec<Fitting> =
                step.prefilling().map(|request| running(step, request)).collect();
            let mut seats = self.seats - step.seats_used();
            let (mut place, mut later) = (0, false);
            let mut coming = coming(step);
            while let Some(next) = self.next_waiting(step, place) {
                if finds_later(step, next.request, &mut coming) {
                    later |= place == 0;
                } else if self.fits(step, &next, &mut free, &mut seats) {
                    fitting.push(next);
                } else {
                    break;
                }
                place += 1;
            }
            self.micro_batch(step, &fitting, decodes);
            if later {
                step.hold(Held::Deferred);
            }
            return;
        }
        let (fitting, later) = self.pausing(step);
        self.micro_batch(step, &fitting, 0);
        if later {
            step.hold(Held::Deferred);
        }
    }

    /// All requests by arrival, each given the memory of its next step, for which the last started
    /// one that is not yet served is paused as often as need be.
    /// Says too whether the queue's head waits for what another computes.
    fn pausing(&self, step: &mut Step<'_>) -> (Vec<Fitting>, bool) {
        let mut started: Vec<Handle> = by_arrival(step).into();
        let coming = coming(step);
        let mut end = None;
        loop {
            // What a pause frees, others may be about to take from the cache: all are asked anew.
            let (served, fitting, later) = self.fit(step, &started, coming.clone(), end);
            if served.is_none_or(|served| served == started.len()) {
                return (fitting, later);
            }
            let last = started.pop().expect("some are not served yet");
            end = Some(arrival(step, last));
            step.preempt(last);
            step.hold(Held::Preempting);
        }
    }

    /// All requests by arrival that find memory, up to who is paused.
    /// Says how many of those started they are where the next one finds none, and whether the
    /// queue's head waits for what another computes.
    fn fit(
        &self,
        step: &mut Step<'_>,
        started: &[Handle],
        mut coming: Coming,
        paused: Option<(Time, RequestId)>,
    ) -> (Option<usize>, Vec<Fitting>, bool) {
        let (mut free, mut seats) = (step.free_blocks(), self.seats);
        let (mut fitting, mut later) = (Vec::new(), false);
        let (mut served, mut place) = (0, 0);
        loop {
            let waiting = self.next_waiting(step, place);
            let waiting = waiting.map(|next| (arrival(step, next.request), next));
            let waiting = waiting.filter(|(at, _)| paused.is_none_or(|end| *at < end));
            let running = started.get(served).map(|&a| (arrival(step, a), running(step, a)));
            let (next, first) = match (running, waiting) {
                (Some(a), Some(b)) if b.0 < a.0 => (b.1, false),
                (Some(a), _) => (a.1, true),
                (None, Some(b)) => (b.1, false),
                (None, None) => return (None, fitting, later),
            };
            if !first && finds_later(step, next.request, &mut coming) {
                later |= place == 0 && paused.is_none();
                place += 1;
                continue;
            }
            if !self.fits(step, &next, &mut free, &mut seats) {
                return (Some(served), fitting, later);
            }
            served += usize::from(first);
            place += usize::from(!first);
            fitting.push(next);
        }
    }

    fn fits(&self, step: &mut Step<'_>, next: &Fitting, free: &mut u32, seats: &mut u32) -> bool {
        let view = step.view(next.request);
        // A prompt's blocks are all taken with its first chunk.
        let blocks = match next.admits {
            Some(hold) => {
                let hit = step.lookup(next.request);
                step.blocks_to_admit(hold, hit)
            }
            None => step.more_blocks_for(next.request, view.computed + 1),
        };
        if *seats == 0 {
            step.hold(Held::NoSeat);
            return false;
        }
        if blocks > *free {
            step.hold_for_blocks(blocks + step.free_blocks().saturating_sub(*free));
            return false;
        }
        *seats -= 1;
        *free -= blocks;
        true
    }

    fn running_came_first(&self, step: &mut Step<'_>) -> bool {
        step.admitted_by_arrival()
            && match (step.running().next_back(), step.waiting_at(0)) {
                (Some(last), Some(head)) => arrival(step, last) < arrival(step, head),
                _ => true,
            }
    }

    /// The waiting request at `place`, those dropped that can never run again.
    fn next_waiting(&self, step: &mut Step<'_>, place: usize) -> Option<Fitting> {
        loop {
            let request = step.waiting_at(place)?;
            let tokens = step.view(request).tokens;
            if self.chunking.is_some() || tokens <= self.budget {
                return Some(admitting(step, request, tokens));
            }
            step.drop_request(request);
        }
    }

    /// Deals the step's tokens; all `n` decodes are in it besides, where that is not 0.
    fn micro_batch(&mut self, step: &mut Step<'_>, fitting: &[Fitting], mut n: u32) {
        let all = n > 0;
        let mut decodes = Vec::new();
        let mut contexts: Vec<&Fitting> = Vec::new();
        let mut whole = 0;
        // Those who wait, fit the memory and get no tokens; the first of them is held for that.
        let mut unserved = None;
        for (place, next) in fitting.iter().enumerate() {
            let tokens = match (next.left, self.chunking) {
                (0, _) => 1,
                (_, Some(_)) => 0,
                (left, None) => left,
            };
            if n + whole + tokens > self.budget {
                unserved = fitting[place..].iter().find_map(|next| next.admits);
                break;
            }
            if next.left > 0 {
                contexts.push(next);
                whole += tokens;
            } else {
                n += 1;
                decodes.push(next.request);
            }
        }
        let lefts: Vec<u32> = contexts.iter().map(|next| next.left).collect();
        let chunks = match self.chunking {
            None => lefts,
            Some(policy) => chunks(policy, &lefts, self.budget - n, step.block_tokens()),
        };
        let mut first = None;
        let tokens = chunks.iter().sum();
        if step.prompts_wait().unwrap_or_else(|| self.wait.defers(tokens, n)) && tokens > 0 {
            step.hold(Held::Deferred);
            contexts.clear();
            unserved = None;
        }
        for (next, chunk) in contexts.into_iter().zip(chunks) {
            if chunk == 0 {
                first = first.or(next.admits);
                continue;
            }
            let runs = match next.admits {
                // What it was to take may have been evicted for those before it.
                Some(hold) => {
                    let hit = step.lookup(next.request);
                    step.admit(next.request, chunk, hold, hit)
                }
                None => step.run(next.request, chunk),
            };
            assert!(runs, "its blocks were counted");
        }
        // What prompts take of the cache they take before decodes get their blocks.
        for request in decodes {
            let runs = step.run(request, 1);
            assert!(runs, "its block was counted");
        }
        if all {
            step.decode_all();
        }
        if let Some(hold) = first.or(unserved) {
            // With fewer free blocks memory would be the reason.
            step.hold_while_free(Held::NoTokenBudget, step.blocks_for(hold));
        }
    }
}

fn arrival(step: &Step<'_>, request: Handle) -> (Time, RequestId) {
    let view = step.view(request);
    (view.arrival, view.id)
}

fn running(step: &Step<'_>, request: Handle) -> Fitting {
    Fitting { request, left: step.view(request).prefill_left(), admits: None }
}

/// A waiting request that is admitted with room for `hold` tokens.
fn admitting(step: &mut Step<'_>, request: Handle, hold: u32) -> Fitting {
    let found = step.lookup(request).tokens(step.block_tokens());
    Fitting { request, left: step.view(request).tokens - found, admits: Some(hold) }
}

fn decoding(step: &Step<'_>) -> Vec<Fitting> {
    let running = by_arrival(step).into_iter().map(|request| running(step, request));
    running.filter(|next| next.left == 0).collect()
}
