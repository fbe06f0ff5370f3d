//! SGLang: whenever a prompt can be prefilled, that is the next batch, and every decode waits.
//!
//! Rules read from SGLang 00550cd (`schedule_policy.py`) and 0003215 (`scheduler.py`), 2026, and
//! from 0.5.9 for the budget's inequalities. Its pages are the engine's KV blocks (SGLang's
//! default page is one token). The chunk's default goes by GPU memory; here only large GPUs (8192)
//! and others (2048) are told apart, where SGLang also has 4096 (from 35 GB), 8192 for an A100 of
//! 80 GB, and 16384 (from 160 GB). SGLang cuts `max_new_tokens` to what the KV pool can hold; here
//! a request that would run alone is never refused for its `max_tokens`, which comes to the same.
//!
//! Deviations: where SGLang would abort (a chunk or a mixed batch without memory, a single decode
//! that cannot grow), the chunk shrinks, the decodes stay out, or the unfinished prompt is
//! retracted. Of a retracted request's KV, what its output filled stays in the cache too.
//!
//! Not modelled: `ignore_eos` admission without a radix cache, the in-batch deferral of prompts
//! that share a prefix, priorities, the prefill delayer of DP attention, speculative decoding,
//! hierarchical caches.

mod budget;

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::budget::{Budget, Stop, admit, go_on, to_come};
use super::draws::Draws;
use super::facts::{Bounds, Effect, Facts, Limit, Prefills, Seats, StepBudget, Switch};
use super::parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
use super::{CacheRules, EngineInfo, Handle, Held, Needs, QueueOrder, Scheduler, Step};

/// Output tokens that the ratio leaves each survivor of a retraction (`RETRACT_DECODE_STEPS`).
const RETRACT_DECODE_STEPS: u64 = 20;
/// Beyond so many waiting requests `lpm` falls back to `fcfs`.
const LPM_QUEUE_MAX: usize = 128;

/// Parameters of `sglang`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SgLangParams {
    /// Most prompt tokens in a prefill batch, and so the longest chunk; -1 turns chunking off.
    /// Default 8192 on GPUs of 70 GiB and more (A100 apart), 2048 on others.
    #[serde(alias = "chunk_size", alias = "chunk_tokens")]
    pub chunked_prefill_size: Option<i32>,
    /// Most prompt tokens in a prefill batch; the first prompt of a batch may exceed it.
    pub max_prefill_tokens: u32,
    /// Most requests that run at once. Default: KV tokens / max_model_len * 512, from 2048 to 4096.
    #[serde(alias = "max_num_seqs")]
    pub max_running_requests: Option<u32>,
    /// Order of admission.
    pub schedule_policy: SgLangPolicy,
    /// Let running requests decode in prefill batches.
    pub enable_mixed_chunk: bool,
    /// Scales the share of `max_tokens` that a running request is expected to use.
    pub schedule_conservativeness: f64,
    /// Decode batches between two prefill batches, while anyone decodes.
    pub prefill_decode_interval: u32,
}

/// Order in which SGLang admits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SgLangPolicy {
    /// First come, first served; a retracted request queues up anew.
    #[default]
    Fcfs,
    /// Longest cached prefix first, while at most 128 wait.
    Lpm,
}

impl Default for SgLangParams {
    fn default() -> Self {
        SgLangParams {
            chunked_prefill_size: None,
            max_prefill_tokens: 16384,
            max_running_requests: None,
            schedule_policy: SgLangPolicy::default(),
            enable_mixed_chunk: false,
            schedule_conservativeness: 1.0,
            prefill_decode_interval: 0,
        }
    }
}

impl Parameters for SgLangParams {
    const SYSTEM: &'static str = "SGLang 0003215";
    const SUMMARY: &'static str = "prefill batches always before decode batches, in chunks";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] =
        &[Feature::PrefixCaching, Feature::AsyncScheduling, Feature::DeclaredLengths];

    fn problems(&self, engine: &EngineInfo) -> Vec<Problem> {
        // Chunks are whole pages: below one there are none. A negative number but -1 is below all.
        let chunk = self.chunked_prefill_size.filter(|&chunk| chunk != -1);
        let chunk = chunk.map_or(u32::MAX, |chunk| u32::try_from(chunk).unwrap_or(0));
        let conservativeness = self.schedule_conservativeness;
        [
            Problem::below_a_block(chunk, engine, "chunked_prefill_size", ", or -1 for no chunks"),
            Problem::when(self.max_prefill_tokens == 0, "max_prefill_tokens", "at least 1"),
            Problem::when(
                self.max_running_requests == Some(0),
                "max_running_requests",
                "at least 1",
            ),
            Problem::when(
                !(conservativeness >= 0.0 && conservativeness.is_finite()),
                "schedule_conservativeness",
                "0 or more",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn resolved(&self, engine: &EngineInfo) -> Self {
        SgLangParams {
            chunked_prefill_size: Some(self.chunk(engine)),
            max_running_requests: Some(self.seats(engine)),
            ..self.clone()
        }
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        let block = draws.block_tokens_max();
        let chunk = |draws: &mut Draws<'_>| match draws.flag() {
            true => draws.chunk().max(block).try_into().unwrap_or(i32::MAX),
            false => -1,
        };
        let short = draws.flag();
        SgLangParams {
            chunked_prefill_size: draws.perhaps(chunk),
            max_prefill_tokens: draws.budget(short),
            max_running_requests: draws.perhaps(Draws::seats),
            schedule_policy: draws.one_of(&[SgLangPolicy::Fcfs, SgLangPolicy::Lpm]),
            enable_mixed_chunk: draws.flag(),
            schedule_conservativeness: draws.one_of(&[0.0, 0.3, 1.0, 2.0, 1e9]),
            prefill_decode_interval: draws.count(3),
        }
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        let lpm = self.schedule_policy == SgLangPolicy::Lpm;
        let whole = self.chunk(&setting.engine) < 0;
        let found = match (setting.engine.prefix_caching, setting.shares_prefixes) {
            (false, _) => Some("`engine.prefix_caching` is false: no prefix is found"),
            (true, false) => Some("no two prompts begin with the same KV block"),
            (true, true) => None,
        };
        let lpm = found
            .filter(|_| lpm)
            .map(|why| Idle { parameter: "schedule_policy", why: why.to_owned() });
        let mixed = self.enable_mixed_chunk && whole;
        let without = "`chunked_prefill_size` is -1: prompts are not cut";
        lpm.into_iter().chain(Idle::when(mixed, "enable_mixed_chunk", without)).collect()
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        // Only -1 is negative here.
        let chunk = u32::try_from(self.chunk(engine)).ok();
        Box::new(SgLang {
            chunk,
            input: self.max_prefill_tokens,
            seats: self.seats(engine),
            lpm: self.schedule_policy == SgLangPolicy::Lpm,
            mixed: self.enable_mixed_chunk && chunk.is_some(),
            interval: self.prefill_decode_interval,
            ratio: NewTokenRatio::new(self.schedule_conservativeness),
            full: None,
            deferring: 0,
            decode_steps: 0,
            running: 0,
        })
    }

    fn facts(&self, engine: &EngineInfo) -> Facts {
        let chunk = u32::try_from(self.chunk(engine)).ok();
        let mixed = self.enable_mixed_chunk && chunk.is_some();
        let budget = match chunk {
            Some(_) => StepBudget::loose(
                Limit { parameter: "chunked_prefill_size", most: chunk },
                if mixed { Bounds::Step } else { Bounds::Chunks },
            ),
            // The first prompt of a batch may be longer.
            None => StepBudget::loose(
                Limit { parameter: "max_prefill_tokens", most: Some(self.max_prefill_tokens) },
                Bounds::Chunks,
            ),
        };
        let caution = self.schedule_conservativeness;
        let large = if engine.large_gpu { 8192 } else { 2048 };
        Facts {
            // Requests whose last token is on its way count no more.
            seats: Seats::in_step("max_running_requests", self.seats(engine)),
            budget: Some(budget),
            decodes_between: Limit::of("prefill_decode_interval", self.prefill_decode_interval),
            prefills: if mixed { Prefills::Beside } else { Prefills::First },
            cuts_prompts: chunk.is_some(),
            switches: [
                Switch::unless(chunk.is_some(), Effect::CutsPrompts, "chunked_prefill_size", large),
                Switch::unless(
                    mixed || chunk.is_none(),
                    Effect::DecodesBeside,
                    "enable_mixed_chunk",
                    true,
                ),
                // SGLang's own advice: 1.3 where requests are retracted often, .3 where the memory
                // is not filled.
                Switch::unless(
                    caution >= 1.3,
                    Effect::AdmitsLess,
                    "schedule_conservativeness",
                    1.3,
                ),
                Switch::unless(
                    caution <= 0.3,
                    Effect::AdmitsMore,
                    "schedule_conservativeness",
                    0.3,
                ),
            ]
            .into_iter()
            .flatten()
            .collect(),
            ..Facts::default()
        }
    }
}

impl SgLangParams {
    fn chunk(&self, engine: &EngineInfo) -> i32 {
        self.chunked_prefill_size.unwrap_or(if engine.large_gpu { 8192 } else { 2048 })
    }

    fn seats(&self, engine: &EngineInfo) -> u32 {
        let kv_tokens = f64::from(engine.kv_blocks) * f64::from(engine.kv_block_tokens);
        let kv_tokens = kv_tokens / f64::from(engine.kv_groups.growing().max(1));
        let seats = (kv_tokens / f64::from(engine.max_model_len.max(1)) * 512.0) as u32;
        self.max_running_requests.unwrap_or(seats.clamp(2048, 4096))
    }
}

/// The share of its `max_tokens` that a running request is expected to use: falls with every
/// decode batch, and is estimated anew after a retraction.
struct NewTokenRatio {
    initial: f64,
    base: f64,
    decode_steps: u32,
}

impl NewTokenRatio {
    fn new(conservativeness: f64) -> NewTokenRatio {
        let initial = (0.7 * conservativeness).min(1.0);
        NewTokenRatio { initial, base: initial, decode_steps: 0 }
    }

    fn now(&self) -> f64 {
        let least = 0.14 * self.initial;
        let decay = (self.initial - least) / 600.0;
        (self.base - decay * f64::from(self.decode_steps)).max(least)
    }

    fn reset(&mut self, base: f64) {
        self.base = base;
        self.decode_steps = 0;
    }
}

struct SgLang {
    /// `None` where prompts are not cut.
    chunk: Option<u32>,
    input: u32,
    seats: u32,
    lpm: bool,
    mixed: bool,
    interval: u32,
    ratio: NewTokenRatio,
    /// `batch_is_full`: nothing is admitted until some request has left; and why.
    full: Option<Held>,
    /// Decode batches still to come before the next prefill.
    deferring: u32,
    /// Decode steps there were when this policy had last decided, its own included.
    decode_steps: u32,
    /// Requests that ran then.
    running: usize,
}

impl Scheduler for SgLang {
    fn needs(&self) -> Needs {
        Needs {
            queue: QueueOrder::FcfsPreemptedLast,
            cache: Some(CacheRules {
                keyless_first: true,
                newest_wins: false,
                hash_at_schedule: false,
                keeps_states: false,
            }),
            plans_ahead: true,
            ..Needs::default()
        }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        self.catch_up(step);
        let deferred = self.deferring > 0 && step.decoding_len() > 0;
        self.deferring = if deferred { self.deferring - 1 } else { 0 };
        let mut decoded = false;
        if deferred {
            // Where the batch is full besides, that outlasts the deferring.
            step.hold(self.full.unwrap_or(Held::Deferred));
        } else if self.prefill(step) {
            self.deferring = self.interval;
            decoded = self.mixed && step.blocks_for_decodes() <= step.free_blocks();
            if decoded {
                decode_each(step);
            }
        }
        if step.is_empty() {
            decoded = self.decode(step);
            let settled = step.waiting_len() == 0 || self.full.is_some();
            if settled && step.prefilling().next().is_none() {
                step.repeats(0);
            }
        }
        self.decode_steps = step.decode_steps() + u32::from(decoded && step.decoding_len() > 0);
        self.running = step.running_len();
    }
}

impl SgLang {
    /// Takes note of what happened since the last decision.
    fn catch_up(&mut self, step: &Step<'_>) {
        // Skipped decode steps are decode batches: only those repeat.
        let skipped = step.decode_steps() - self.decode_steps;
        self.ratio.decode_steps += skipped;
        self.deferring = self.deferring.saturating_sub(skipped);
        if step.running_len() < self.running || step.running_len() == 0 {
            self.full = None;
        }
        let idle = step.seats_used() == 0
            && step.waiting().all(|request| step.view(request).arrival == step.now());
        if idle {
            self.ratio.reset(self.ratio.initial);
        }
    }

    /// Forms a prefill batch; says whether there is one.
    fn prefill(&mut self, step: &mut Step<'_>) -> bool {
        let chunked = step.prefilling().next();
        let decoding = step.decoding_len();
        let seats = self.seats.saturating_sub(decoding);
        if chunked.is_none() && step.waiting_len() == 0 {
            return false;
        }
        if chunked.is_none() && seats == 0 {
            // What filled the batch first stays the reason.
            self.full.get_or_insert(Held::NoSeat);
        }
        if let (None, Some(reason)) = (chunked, self.full) {
            step.hold(reason);
            return false;
        }
        let mut budget = self.budget(step);
        let mut picked = 0;
        if let Some(request) = chunked {
            picked = u32::from(go_on(step, request, &mut budget));
            if picked == 0 {
                step.hold(Held::NoKvBlocks);
                return false;
            }
        }
        let sorted = self.longest_prefix_first(step);
        while let Some(request) = match &sorted {
            Some(sorted) => sorted.get(picked as usize - usize::from(chunked.is_some())).copied(),
            None => step.waiting_at(0),
        } {
            let alone = picked == 0 && decoding == 0;
            let stop = if picked >= seats {
                Some(Stop::Full(Held::NoSeat))
            } else {
                match admit(step, request, &mut budget, picked == 0, alone) {
                    Ok(()) => {
                        picked += 1;
                        budget.spent()
                    }
                    Err(stop) => Some(stop),
                }
            };
            match stop {
                None => continue,
                Some(Stop::Full(reason)) => {
                    self.full = Some(reason);
                    step.hold(reason);
                }
                Some(Stop::Budget) => step.hold(Held::NoTokenBudget),
            }
            break;
        }
        picked > 0
    }

    fn budget(&self, step: &Step<'_>) -> Budget {
        let mixed = if self.mixed { i64::from(step.decoding_len()) } else { 0 };
        let pages = step.free_blocks() / step.blocks_to_grow().max(1);
        let memory = i64::from(pages) * i64::from(step.block_tokens()) - mixed;
        let expected = |request| {
            let view = step.view(request);
            match view.is_prefilling() {
                true => 0,
                false => u64::from(to_come(view.max_tokens, view.generated())),
            }
        };
        let expected: u64 = step.running().map(expected).sum();
        Budget {
            page: i64::from(step.block_tokens()),
            input: i64::from(self.input) - mixed,
            chunk: self.chunk.map(|chunk| i64::from(chunk) - mixed),
            total: memory as f64 - expected as f64 * self.ratio.now(),
            memory,
        }
    }

    fn longest_prefix_first(&self, step: &Step<'_>) -> Option<Vec<Handle>> {
        (self.lpm && step.waiting_len() <= LPM_QUEUE_MAX).then(|| {
            let mut waiting: Vec<Handle> = step.waiting().collect();
            waiting.sort_by_cached_key(|&request| Reverse(step.lookup(request).blocks));
            waiting
        })
    }

    /// One token for everyone who decodes, for which some are retracted if memory is short. Says
    /// whether anyone decodes.
    fn decode(&mut self, step: &mut Step<'_>) -> bool {
        if step.decoding_len() == 0 {
            return false;
        }
        if step.blocks_for_decodes() <= step.free_blocks() {
            self.ratio.decode_steps += 1;
        } else {
            self.retract(step);
            if step.blocks_for_decodes() > step.free_blocks() {
                // Blocks are held by requests whose last token is on its way.
                return false;
            }
        }
        decode_each(step);
        true
    }

    /// Retracts those with the fewest output tokens, of them those with the longest prompts, until
    /// the others can decode.
    fn retract(&mut self, step: &mut Step<'_>) {
        let decoding = |&request: &Handle| !step.view(request).is_prefilling();
        let mut kept: Vec<Handle> = step.running().filter(decoding).collect();
        kept.sort_by_cached_key(|&request| {
            let view = step.view(request);
            (Reverse(view.generated()), view.prompt_tokens)
        });
        while kept.len() > 1 {
            step.preempt(kept.pop().expect("more than one is left"));
            if step.blocks_for_decodes() <= step.free_blocks() {
                break;
            }
        }
        let chunked = step.prefilling().next();
        if let Some(chunked) = chunked.filter(|_| step.blocks_for_decodes() > step.free_blocks()) {
            step.preempt(chunked);
        }
        let (mut output, mut most) = (0, 0);
        for &request in &kept {
            let view = step.view(request);
            output += u64::from(view.generated()) + RETRACT_DECODE_STEPS;
            most += u64::from(view.max_tokens);
        }
        self.ratio.reset((output as f64 / (most + 1) as f64).min(1.0));
        self.full = None;
        step.hold(Held::Preempting);
    }
}

/// Decodes everyone who can; the memory is there.
fn decode_each(step: &mut Step<'_>) {
    super::orca::decode_reserved(step);
}
