//! vLLM V1: no phases. Every request has tokens known and tokens computed, and each step moves the
//! running requests, then new ones, forward under one token budget.
//!
//! Rules read from vLLM 0.33.0 (`v1/core/sched/scheduler.py`, `v1/core/kv_cache_manager.py`), and
//! from 0.10.2 for `version: 0.10`. 0.33 admits a request only if blocks for all its known tokens
//! are free (`scheduler_reserve_full_isl`), has a watermark for admissions, ignores the long
//! prefill threshold for a request that is alone, and reuses blocks without content first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Bounds, Effect, Facts, Limit, Order, Seats, StepBudget, Switch};
use super::parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
use super::proofs::{Capability, Proof};
use crate::replica::{DraftSlots, External};

use super::{CacheRules, EngineInfo, Handle, Held, Hit, Needs, QueueOrder, Scheduler, Step};

/// Parameters of `vllm-v1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VllmV1Params {
    /// Which version's rules.
    pub version: VllmVersion,
    /// Order of admission, and of preemption.
    pub policy: SchedulingPolicy,
    /// Most requests that hold a seat at once. Default 1024 on GPUs of 70 GiB and more (A100
    /// apart), 256 on others.
    pub max_num_seqs: Option<u32>,
    /// Token budget of a step, decodes included. Default of the API server: 8192 on GPUs of 70 GiB
    /// and more (A100 apart), 16384 from 160 GiB on (not in 0.10), 2048 on others.
    #[serde(alias = "max_num_scheduled_tokens", alias = "chunk_size", alias = "chunk_tokens")]
    pub max_num_batched_tokens: Option<u32>,
    /// Longest chunk of one prompt in a step; 0 sets no limit. Version 0.33 sets none to a request that is alone.
    pub long_prefill_token_threshold: u32,
    /// Whether prompts may be cut into chunks.
    pub enable_chunked_prefill: bool,
    /// Admit a request only if blocks for all its known tokens are free (not in 0.10).
    pub scheduler_reserve_full_isl: bool,
    /// Share of the KV blocks that an admission leaves free while others run (not in 0.10).
    pub watermark: f64,
}

/// Versions of vLLM whose rules are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VllmVersion {
    /// 0.33.0.
    #[default]
    #[serde(rename = "0.33")]
    V0_33,
    /// 0.10.2.
    #[serde(rename = "0.10")]
    V0_10,
}

/// Order of admission and of preemption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SchedulingPolicy {
    /// First come, first served; the last admitted is preempted first.
    #[default]
    Fcfs,
    /// By priority (lower is more urgent), then arrival; the least urgent is preempted first.
    Priority,
}

impl Default for VllmV1Params {
    fn default() -> Self {
        VllmV1Params {
            version: VllmVersion::default(),
            policy: SchedulingPolicy::default(),
            max_num_seqs: None,
            max_num_batched_tokens: None,
            long_prefill_token_threshold: 0,
            enable_chunked_prefill: true,
            scheduler_reserve_full_isl: true,
            watermark: 0.0,
        }
    }
}

impl Parameters for VllmV1Params {
    const SYSTEM: &'static str = "vLLM 0.33.0 (V1); 0.10.2 with version: 0.10";
    const SUMMARY: &'static str = "one token budget for running requests, then new ones";
    const EVIDENCE: Evidence = Evidence::Proven;
    const PROOFS: &'static [Proof] = &[
        Proof::code("0.33.0", Capability::Synchronous, 97, 54104),
        Proof::code("0.33.0", Capability::Asynchronous, 36, 24377),
        Proof::code("0.33.0", Capability::Drafts, 31, 9408),
        Proof::code("0.33.0", Capability::Pipeline, 28, 17922),
        Proof::code("0.33.0", Capability::HybridKv, 20, 13513),
        Proof::code("0.33.0", Capability::PrefixCaching, 43, 26853),
        Proof::code("0.33.0", Capability::PdEnds, 18, 10407),
        Proof::code("0.33.0", Capability::HostTier, 13, 9898),
        Proof::code("0.33.0", Capability::Priorities, 8, 7289),
        Proof::code("0.10.2", Capability::Synchronous, 3, 2771),
        Proof::code("0.10.2", Capability::PrefixCaching, 1, 964),
        Proof::server("0.32", Capability::Synchronous, 17, 24840),
        Proof::server("0.32", Capability::Asynchronous, 2, 2974),
        Proof::server("0.32", Capability::PrefixCaching, 18, 26541),
        Proof::server("0.32", Capability::Priorities, 1, 1282),
    ];
    const FEATURES: &'static [Feature] =
        &[Feature::PrefixCaching, Feature::AsyncScheduling, Feature::Priorities];

    /// Both from V1 on, planning ahead by default from 0.14.0 on (vllm-project/vllm pull request 27614).
    fn on_by_default(&self) -> &'static [Feature] {
        match self.version {
            VllmVersion::V0_33 => Self::FEATURES,
            VllmVersion::V0_10 => &[Feature::PrefixCaching, Feature::Priorities],
        }
    }

    fn problems(&self, engine: &EngineInfo) -> Vec<Problem> {
        let budget = self.budget(engine);
        // Several modules of multi-token prediction read ahead: a shorter chunk would never end.
        let DraftSlots { prefill_lookahead: ahead, input, .. } = DraftSlots::of(engine);
        let threshold = self.long_prefill_token_threshold;
        [
            Problem::when(
                threshold > 0 && threshold < ahead,
                "long_prefill_token_threshold",
                "0, or at least as many tokens as are drafted",
            ),
            Problem::when(
                budget > 0 && (budget < ahead || budget <= input),
                "max_num_batched_tokens",
                "more than what drafts are charged, and as many tokens as are drafted",
            ),
            Problem::when(self.max_num_seqs == Some(0), "max_num_seqs", "at least 1"),
            Problem::when(budget == 0, "max_num_batched_tokens", "at least 1"),
            Problem::when(!(0.0..1.0).contains(&self.watermark), "watermark", "from 0 to below 1"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn resolved(&self, engine: &EngineInfo) -> Self {
        VllmV1Params {
            max_num_seqs: Some(self.seats(engine)),
            max_num_batched_tokens: Some(self.budget(engine)),
            ..self.clone()
        }
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        let chunked = draws.flag();
        VllmV1Params {
            version: draws.one_of(&[VllmVersion::V0_33, VllmVersion::V0_33, VllmVersion::V0_10]),
            policy: draws.one_of(&[SchedulingPolicy::Fcfs, SchedulingPolicy::Priority]),
            max_num_seqs: draws.perhaps(Draws::seats),
            max_num_batched_tokens: draws.perhaps(|draws| draws.budget_or_hang(chunked)),
            long_prefill_token_threshold: draws.threshold(),
            enable_chunked_prefill: chunked,
            scheduler_reserve_full_isl: draws.flag(),
            watermark: draws.share(),
        }
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        let older = self.version == VllmVersion::V0_10;
        let threshold = self.long_prefill_token_threshold;
        let longest = setting.longest_request.filter(|&longest| threshold >= longest);
        let above = longest.map(|longest| Idle {
            parameter: "long_prefill_token_threshold",
            why: format!("no request is longer than {longest} tokens"),
        });
        let budget = self.budget(&setting.engine);
        let never_cuts = self.enable_chunked_prefill && threshold >= budget;
        let above = above.or(never_cuts.then(|| Idle {
            parameter: "long_prefill_token_threshold",
            why: format!("a step holds {budget} tokens: no chunk is longer"),
        }));
        let by_priority = self.policy == SchedulingPolicy::Priority;
        let watermark = Idle::watermark(self.watermark, &setting.engine);
        let lacks = "version 0.10 has none";
        [
            Idle::when(
                by_priority && !setting.priorities_differ,
                "policy",
                "all requests have the same priority",
            ),
            above.filter(|_| threshold > 0),
            Idle::when(older, "scheduler_reserve_full_isl", lacks),
            if older { Idle::when(true, "watermark", lacks) } else { watermark },
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        let newer = self.version == VllmVersion::V0_33;
        let watermark = if newer { self.watermark } else { 0.0 };
        Box::new(VllmV1 {
            newer,
            priority: self.policy == SchedulingPolicy::Priority,
            seats: self.seats(engine),
            budget: self.budget(engine),
            threshold: self.long_prefill_token_threshold,
            chunked: self.enable_chunked_prefill,
            reserve_full: newer && self.scheduler_reserve_full_isl,
            watermark_blocks: (watermark * f64::from(engine.kv_blocks)) as u32,
            max_model_len: engine.max_model_len,
            drafts: DraftSlots::of(engine),
        })
    }

    fn facts(&self, engine: &EngineInfo) -> Facts {
        let newer = self.version == VllmVersion::V0_33;
        let threshold = self.long_prefill_token_threshold;
        let budget = Limit { parameter: "max_num_batched_tokens", most: Some(self.budget(engine)) };
        let reserve = "scheduler_reserve_full_isl";
        Facts {
            seats: Seats::held("max_num_seqs", self.seats(engine)),
            seats_over_pipeline: Some(true),
            budget: Some(StepBudget {
                limit: budget,
                bounds: if self.enable_chunked_prefill {
                    Bounds::Step
                } else {
                    Bounds::WholePrompts
                },
                strict: true,
            }),
            longest_chunk: self.enable_chunked_prefill.then_some(Limit {
                parameter: "long_prefill_token_threshold",
                most: (threshold > 0).then_some(threshold),
            }),
            watermark: newer.then_some("watermark"),
            cuts_prompts: self.enable_chunked_prefill,
            order: match self.policy {
                SchedulingPolicy::Fcfs => Order::Arrival,
                SchedulingPolicy::Priority => Order::Priority,
            },
            // A request that comes back with one token to compute is padded with drafts, all in one step.
            hangs: self.budget(engine) <= DraftSlots::of(engine).most()
                || (!self.enable_chunked_prefill && self.budget(engine) < engine.max_model_len),
            switches: [
                Switch::unless(
                    self.policy == SchedulingPolicy::Priority,
                    Effect::OrdersByPriority,
                    "policy",
                    "priority",
                ),
                Switch::unless(
                    self.enable_chunked_prefill,
                    Effect::CutsPrompts,
                    "enable_chunked_prefill",
                    true,
                ),
                Switch::unless(
                    !newer || self.scheduler_reserve_full_isl,
                    Effect::AdmitsLess,
                    reserve,
                    true,
                ),
                Switch::unless(
                    !newer || !self.scheduler_reserve_full_isl,
                    Effect::AdmitsMore,
                    reserve,
                    false,
                ),
            ]
            .into_iter()
            .flatten()
            .collect(),
            ..Facts::default()
        }
    }
}

/// GiB of GPU memory from which vLLM's largest token budget is the default.
const LARGEST_GIB: u32 = 160;

impl VllmV1Params {
    fn seats(&self, engine: &EngineInfo) -> u32 {
        self.max_num_seqs.unwrap_or(if engine.large_gpu { 1024 } else { 256 })
    }

    fn budget(&self, engine: &EngineInfo) -> u32 {
        // The largest memories have had a tier of their own since vLLM 0.28.0.
        let largest = self.version == VllmVersion::V0_33
            && engine.gpu_memory_gib.is_some_and(|gib| gib >= LARGEST_GIB);
        let default = match engine.large_gpu {
            true if largest => 16_384,
            true => 8192,
            false => 2048,
        };
        // Without chunking vLLM raises its default so that the longest prompt fits.
        let default =
            if self.enable_chunked_prefill { default } else { default.max(engine.max_model_len) };
        self.max_num_batched_tokens.unwrap_or(default)
    }
}

struct VllmV1 {
    newer: bool,
    priority: bool,
    seats: u32,
    budget: u32,
    threshold: u32,
    chunked: bool,
    reserve_full: bool,
    watermark_blocks: u32,
    max_model_len: u32,
    drafts: DraftSlots,
}

impl Scheduler for VllmV1 {
    fn needs(&self) -> Needs {
        Needs {
            queue: if self.priority { QueueOrder::Priority } else { QueueOrder::Fcfs },
            cache: Some(CacheRules {
                keyless_first: self.newer,
                newest_wins: false,
                hash_at_schedule: true,
                keeps_states: self.newer,
            }),
            null_blocks: 1,
            prompt_tokens_max: (!self.chunked).then_some(self.budget),
            step_tokens_max: Some(self.budget),
            plans_ahead: true,
            by_request: true,
            transfers: true,
            drafts: true,
            ..Needs::default()
        }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        let alone = step.seats_used() as usize + step.waiting_len() == 1;
        let threshold = if self.newer && alone { 0 } else { self.threshold };
        let (budget, chunks) = match self.run_in_bulk(step, threshold) {
            Some(left) => (Budget::of(left, 0), false),
            None => self.run_in_order(step, threshold),
        };
        if step.preempted_len() == 0 {
            self.admit(step, threshold, budget, chunks);
        } else {
            step.hold(Held::Preempting);
        }
        step.repeats(0);
    }
}

impl VllmV1 {
    /// The same as [`run_in_order`](Self::run_in_order) where the order cannot matter: memory for
    /// all, and a budget that covers all or leaves only the last short.
    fn run_in_bulk(&self, step: &mut Step<'_>, threshold: u32) -> Option<u32> {
        if !step.may_decode_all() || step.decoding_len() > self.budget {
            return None;
        }
        if step.order_matters() && !step.prefilling_last() {
            return None;
        }
        let mut left = self.budget - step.decoding_len();
        let mut blocks = step.blocks_for_decodes();
        let mut chunks: Vec<(Handle, u32)> = Vec::new();
        let mut cut = false;
        for request in step.prefilling() {
            let view = step.view(request);
            let wanted = self.chunk(view.prefill_left(), view.computed, threshold, u32::MAX);
            let chunk = wanted.min(left);
            cut |= chunk < wanted;
            let chunk = self.with_state(step, request, chunk, Hit::default());
            if chunk > 0 {
                blocks += step.more_blocks_for(request, view.computed + chunk);
                chunks.push((request, chunk));
                left -= chunk;
            }
        }
        if blocks > step.free_blocks() || cut && !step.prefilling_last() {
            return None;
        }
        step.decode_all();
        for (request, chunk) in chunks {
            let runs = step.run(request, chunk);
            assert!(runs, "the blocks were counted");
        }
        Some(left)
    }

    fn run_in_order(&self, step: &mut Step<'_>, threshold: u32) -> (Budget, bool) {
        let mut budget = Budget::of(self.budget, self.drafts.input);
        let mut chunks = false;
        let mut running: Vec<Handle> = step.seated().collect();
        let mut i = self.run_leading(step, threshold, &mut budget);
        while i < running.len() && budget.room() > 0 {
            let request = running[i];
            let view = step.view(request);
            let tokens = self.chunk(view.wanted, view.computed, threshold, budget.room());
            let tokens = self.with_state(step, request, tokens, Hit::default());
            let tokens = self.with_prefill_lookahead(view.tokens, view.computed, tokens);
            if tokens == 0 {
                i += 1;
                continue;
            }
            let mut runs = step.run(request, tokens);
            while !runs {
                let place = self.victim(step, &running);
                if !step.may_preempt(running[place]) {
                    return (budget, chunks);
                }
                let victim = running.remove(place);
                match step.preempt(victim) {
                    0 => {}
                    tokens => budget.returned(tokens),
                }
                if victim == request {
                    break;
                }
                if place < i {
                    i -= 1;
                }
                runs = step.run(request, tokens);
            }
            if runs {
                budget.spend(tokens);
                chunks |= view.is_prefilling();
                i += 1;
            } else if !self.priority {
                break;
            }
        }
        (budget, chunks)
    }

    /// The decodes at the head of the running list at once, where nothing can be short for them; says
    /// at which place the others begin.
    fn run_leading(&self, step: &mut Step<'_>, threshold: u32, budget: &mut Budget) -> usize {
        if threshold > 0 && threshold <= self.drafts.most() {
            return 0;
        }
        let charged = budget.slots.saturating_mul(step.seats_used());
        let leading = step.run_leading_decodes(budget.tokens.saturating_sub(charged));
        budget.tokens -= leading.tokens;
        budget.input -= leading.tokens + leading.requests * budget.slots;
        leading.places
    }

    /// MTP of several modules reads tokens ahead: a chunk leaves that many of its prompt, or none.
    fn with_prefill_lookahead(&self, known: u32, computed: u32, tokens: u32) -> u32 {
        let ahead = self.drafts.prefill_lookahead;
        let left = known.saturating_sub(computed + tokens);
        if left == 0 || left >= ahead { tokens } else { tokens.saturating_sub(ahead - left) }
    }

    /// Tokens of a request in this step: what is left of it, within every limit.
    fn chunk(&self, left: u32, computed: u32, threshold: u32, budget: u32) -> u32 {
        let tokens = if threshold > 0 { left.min(threshold) } else { left };
        tokens.min(budget).min((self.max_model_len - 1).saturating_sub(computed))
    }

    /// A chunk cut where a state can be kept, in models that have such layers.
    fn with_state(&self, step: &Step<'_>, request: Handle, tokens: u32, hit: Hit) -> u32 {
        let most = if self.threshold > 0 { self.threshold.min(self.budget) } else { self.budget };
        step.chunk_with_state(request, tokens, most, hit)
    }

    /// Place of the request to preempt: the last admitted, or the least urgent.
    fn victim(&self, step: &Step<'_>, running: &[Handle]) -> usize {
        if !self.priority {
            return running.len() - 1;
        }
        let urgency = |&place: &usize| {
            let view = step.view(running[place]);
            (view.priority, view.arrival, view.id)
        };
        (0..running.len()).max_by_key(urgency).expect("the request itself runs")
    }

    /// Admits from the queue's head on. `chunks` says whether a prompt's chunk runs in this step.
    fn admit(&self, step: &mut Step<'_>, threshold: u32, mut budget: Budget, chunks: bool) {
        let runs = !step.is_empty();
        let mut place = 0;
        while let Some(request) = step.waiting_at(place) {
            if budget.room() == 0 {
                return step.hold(Held::NoTokenBudget);
            }
            if step.seats_used() >= self.seats {
                return step.hold(Held::NoSeat);
            }
            if step.still_loads(request) || step.awaits_tokens(request) {
                place += 1;
                continue;
            }
            let mut view = step.view(request);
            // Of one whose KV has come, if only a token's, nothing is looked up.
            let mut hit = if view.blocks == 0 { step.lookup(request) } else { Hit::default() };
            if view.blocks == 0 {
                match step.external(request, hit) {
                    External::Tokens(0) => {}
                    External::Tokens(external) => {
                        if !self.load(step, request, hit, external) {
                            return step.hold(Held::NoKvBlocks);
                        }
                        if !step.loads_in_step(request) {
                            // It waits with those that hold blocks now, before this place.
                            place += 1;
                            continue;
                        }
                        (view, hit) = (step.view(request), Hit::default());
                    }
                    External::Later => {
                        place += 1;
                        continue;
                    }
                }
            }
            let computed = view.computed + hit.blocks * step.block_tokens();
            let left = view.tokens - computed;
            let room = budget.room();
            let mut drafts = match left == 1 && !chunks && (runs || computed > 0) {
                true => self.padding(computed),
                false => 0,
            };
            if 1 + drafts > room {
                return step.hold(Held::NoTokenBudget);
            }
            let wanted = if threshold > 0 { (left + drafts).min(threshold) } else { left + drafts };
            if !self.chunked && wanted > room {
                return step.hold(Held::NoTokenBudget);
            }
            let mut tokens = self.with_state(step, request, wanted.min(room), hit);
            if tokens == 0 {
                return step.hold(Held::NoTokenBudget);
            }
            if drafts > 0 && tokens != 1 + drafts {
                (tokens, drafts) = (1, 0);
            }
            let tokens = self.with_prefill_lookahead(view.tokens, computed, tokens - drafts);
            if tokens == 0 {
                place += 1;
                continue;
            }
            let others = step.seats_used() > 0;
            let spare = if self.newer && others { self.watermark_blocks } else { 0 };
            let complete = match self.reserve_full {
                true => step.blocks_to_complete_with(request, view.tokens, self.budget, (hit, 0)),
                false => hit.idle,
            };
            let free = step.free_blocks();
            if hit.unready || complete + spare > free {
                return step.hold_for_blocks(complete + spare);
            }
            let needed = match view.blocks {
                0 => step.blocks_to_admit_with(computed + tokens + drafts, hit),
                _ => step.more_blocks_with(request, computed + tokens + drafts),
            };
            if needed + spare > free || !step.admit_padded(request, tokens, 0, hit, drafts) {
                return step.hold_for_blocks(needed + spare);
            }
            budget.spend(tokens + drafts);
        }
    }

    /// Begins to load `external` tokens behind `hit`, where memory allows: the whole prompt must fit,
    /// and what unfinished prompts still need stays free.
    fn load(&self, step: &mut Step<'_>, request: Handle, hit: Hit, external: u32) -> bool {
        let others = step.seats_used() > 0;
        let spare = if self.newer && others { self.watermark_blocks } else { 0 };
        let free = step.free_blocks();
        let known = step.view(request).tokens;
        let whole = (hit, external);
        if self.reserve_full
            && step.blocks_to_complete_with(request, known, self.budget, whole) + spare > free
        {
            return false;
        }
        let step_blocks = match self.drafts.most() {
            0 => 0,
            drafts => step.blocks_growing_by(1 + drafts + self.drafts.lookahead),
        };
        let reserved = step.reserved_blocks(self.budget) + step_blocks;
        let needed = step.blocks_to_load(hit, external) + spare;
        needed <= free.saturating_sub(reserved) && step.load(request, hit, external)
    }

    /// Placeholder drafts of a request that comes with one token to compute, `computed` being there.
    fn padding(&self, computed: u32) -> u32 {
        let drafts = self.drafts.most();
        if computed + drafts + 2 <= self.max_model_len { drafts } else { 0 }
    }
}

/// What is left of a step's tokens, and of its input, which drafts may be charged beyond their tokens.
#[derive(Clone, Copy, Debug)]
struct Budget {
    tokens: u32,
    input: u32,
    /// Input that each request is charged beyond its tokens.
    slots: u32,
}

impl Budget {
    fn of(tokens: u32, slots: u32) -> Budget {
        Budget { tokens, input: tokens, slots }
    }

    /// Tokens that one request more can have.
    fn room(self) -> u32 {
        self.tokens.min(self.input.saturating_sub(self.slots))
    }

    fn spend(&mut self, tokens: u32) {
        self.tokens -= tokens;
        self.input = self.input.saturating_sub(tokens + self.slots);
    }

    fn returned(&mut self, tokens: u32) {
        self.tokens += tokens;
        self.input += tokens + self.slots;
    }
}
