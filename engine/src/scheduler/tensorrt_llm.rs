//! TensorRT-LLM's in-flight batching: a capacity scheduler says which requests fit the KV memory, a
//! micro-batch scheduler which of them get tokens in this step.
//!
//! Rules read from TensorRT-LLM 02a10fe (`capacityScheduler.cpp`) and 0a949d3
//! (`microBatchScheduler.cpp`). Chunks are cut to multiples of a KV block. A request that was
//! paused and has grown beyond `max_num_tokens` is dropped where prompts cannot be cut.
//!
//! Reuse of KV blocks (`kv_cache_config.enable_block_reuse`), from `kvCacheManager.cpp` and
//! `capacityScheduler.cpp`: the whole blocks of a prompt but for its last token can be found when all of it
//! is computed, those of its answer when the request ends or is paused; of each content one block is
//! kept. What is found is not computed, does not count towards `max_num_tokens`, and is not
//! reserved where another request holds it. The last block of a prompt that is found whole is copied but for the
//! last token (`enable_partial_reuse`). Of requests that would compute the same new block only the first is
//! scheduled; the others wait until they can find it, and those behind them do not. Blocks that nobody uses are
//! evicted in the order in which they came free, ends first.
//!
//! Not modelled: other partly equal blocks; an evicted block's successors, which can be found here once it
//! is computed anew; retention priorities; the host's cache; reuse with windows or states; overlap
//! scheduling, beams, draft tokens, disaggregation, priorities, `PREFILL_FIRST`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_arrival::by_arrival;
use super::draws::Draws;
use super::facts::{Bounds, Effect, Facts, Limit, Prefills, Seats, StepBudget, Switch, Takes};
use super::parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
use super::{
    CacheRules, EngineInfo, Handle, Held, Needs, RequestView, Reuse, Scheduler, Step, Stored, Whole,
};
use crate::kv::BlockKey;
use crate::request::RequestId;
use crate::time::Time;

/// Parameters of `tensorrt-llm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TensorRtLlmParams {
    /// When a request is admitted, and whether a running one can be paused.
    pub capacity_scheduler_policy: CapacitySchedulerPolicy,
    /// Most requests in a step.
    #[serde(alias = "max_num_seqs")]
    pub max_batch_size: u32,
    /// Most tokens in a step, decodes included.
    #[serde(alias = "max_num_batched_tokens", alias = "chunk_size", alias = "chunk_tokens")]
    pub max_num_tokens: u32,
    /// Whether prompts may be cut into chunks.
    #[serde(alias = "enable_chunked_context")]
    pub enable_chunked_prefill: bool,
    /// How prompts that do not fit a step together share it; only with `enable_chunked_prefill`.
    pub context_chunking_policy: ContextChunkingPolicy,
    /// Whether KV blocks are kept for requests that begin alike.
    pub enable_block_reuse: bool,
    /// Whether blocks are found too of which only a part can be used; only with
    /// `enable_block_reuse`.
    pub enable_partial_reuse: bool,
}

/// When a request is admitted, and whether a running one can be paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CapacitySchedulerPolicy {
    /// Memory for prompt and `max_tokens` is reserved at admission; nobody is ever paused.
    #[default]
    GuaranteedNoEvict,
    /// Memory for the next step is enough; the youngest are paused, and recomputed, when it ends.
    MaxUtilization,
    /// As `GUARANTEED_NO_EVICT`, but nobody is admitted while anyone decodes.
    StaticBatch,
}

/// How prompts that do not fit a step together share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContextChunkingPolicy {
    /// In order, each as much as is left.
    #[default]
    FirstComeFirstServed,
    /// A block's worth of tokens to each in turn.
    EqualProgress,
}

impl Default for TensorRtLlmParams {
    fn default() -> Self {
        TensorRtLlmParams {
            capacity_scheduler_policy: CapacitySchedulerPolicy::default(),
            max_batch_size: 2048,
            max_num_tokens: 8192,
            enable_chunked_prefill: false,
            context_chunking_policy: ContextChunkingPolicy::default(),
            enable_block_reuse: true,
            enable_partial_reuse: true,
        }
    }
}

impl Parameters for TensorRtLlmParams {
    const SYSTEM: &'static str = "TensorRT-LLM 02a10fe";
    const SUMMARY: &'static str = "decodes and prompts in one batch, memory reserved to the end";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::PrefixCaching, Feature::DeclaredLengths];

    fn problems(&self, engine: &EngineInfo) -> Vec<Problem> {
        let tokens = self.max_num_tokens;
        // Chunks are whole blocks.
        let too_few = match self.enable_chunked_prefill {
            true => {
                let besides = ", or no `enable_chunked_prefill`";
                Problem::below_a_block(tokens, engine, "max_num_tokens", besides)
            }
            false => Problem::when(tokens == 0, "max_num_tokens", "at least 1"),
        };
        [Problem::when(self.max_batch_size == 0, "max_batch_size", "at least 1"), too_few]
            .into_iter()
            .flatten()
            .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        use {CapacitySchedulerPolicy as Capacity, ContextChunkingPolicy as Chunking};
        let policies =
            [Capacity::GuaranteedNoEvict, Capacity::MaxUtilization, Capacity::StaticBatch];
        let chunked = draws.flag();
        let short = chunked || draws.one_of(&[true, false, false, false]);
        TensorRtLlmParams {
            capacity_scheduler_policy: draws.one_of(&policies),
            max_batch_size: draws.seats(),
            max_num_tokens: draws.budget(short).max(draws.block_tokens_max()),
            enable_chunked_prefill: chunked,
            context_chunking_policy: draws
                .one_of(&[Chunking::FirstComeFirstServed, Chunking::EqualProgress]),
            enable_block_reuse: draws.flag(),
            enable_partial_reuse: draws.flag(),
        }
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        let whole = !self.enable_chunked_prefill;
        let why = "`enable_chunked_prefill` is false: prompts are not cut";
        let pauses = self.capacity_scheduler_policy == CapacitySchedulerPolicy::MaxUtilization;
        let unlike = !setting.shares_prefixes;
        let differ = "no two prompts begin with the same KV block";
        let off = "`enable_block_reuse` is false";
        [
            Idle::when(whole, "context_chunking_policy", why),
            // Who was paused may find its own.
            Idle::when(unlike && !pauses, "enable_block_reuse", differ),
            Idle::when(unlike && self.enable_block_reuse, "enable_partial_reuse", differ),
            Idle::when(!self.enable_block_reuse, "enable_partial_reuse", off),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(TensorRtLlm {
            capacity: self.capacity_scheduler_policy,
            seats: self.max_batch_size,
            budget: self.max_num_tokens,
            chunking: self.enable_chunked_prefill.then_some(self.context_chunking_policy),
            max_model_len: engine.max_model_len,
            reuses: self.enable_block_reuse,
            partly: self.enable_partial_reuse,
        })
    }

    fn facts(&self, engine: &EngineInfo) -> Facts {
        use CapacitySchedulerPolicy::{GuaranteedNoEvict, MaxUtilization, StaticBatch};
        let chunked = self.enable_chunked_prefill;
        let capacity = "capacity_scheduler_policy";
        let budget = Limit { parameter: "max_num_tokens", most: Some(self.max_num_tokens) };
        let pauses = self.capacity_scheduler_policy == MaxUtilization;
        let whole = chunked || self.max_num_tokens >= engine.max_model_len;
        let in_turn = self.context_chunking_policy == ContextChunkingPolicy::EqualProgress;
        let named = |policy: CapacitySchedulerPolicy| {
            serde_json::to_value(policy).expect("a name is plain data")
        };
        Facts {
            seats: Seats::held("max_batch_size", self.max_batch_size),
            budget: Some(StepBudget::strict(
                budget,
                if chunked { Bounds::Step } else { Bounds::WholePrompts },
            )),
            prefills: match self.capacity_scheduler_policy {
                StaticBatch => Prefills::WhenIdle,
                _ => Prefills::Beside,
            },
            cuts_prompts: chunked,
            takes: if pauses { Takes::AsNeeded } else { Takes::MaxTokens },
            drops: pauses && !whole,
            ignores_max_tokens: pauses,
            switches: [
                Switch::unless(chunked, Effect::CutsPrompts, "enable_chunked_prefill", true),
                Switch::unless(
                    self.capacity_scheduler_policy != StaticBatch,
                    Effect::DecodesBeside,
                    capacity,
                    named(GuaranteedNoEvict),
                ),
                Switch::unless(!pauses, Effect::AdmitsLess, capacity, named(GuaranteedNoEvict)),
                Switch::unless(pauses, Effect::AdmitsMore, capacity, named(MaxUtilization)),
                Switch::unless(
                    in_turn || !chunked,
                    Effect::SharesSteps,
                    "context_chunking_policy",
                    serde_json::to_value(ContextChunkingPolicy::EqualProgress)
                        .expect("a name is plain data"),
                ),
            ]
            .into_iter()
            .flatten()
            .collect(),
            ..Facts::default()
        }
    }
}

struct TensorRtLlm {
    capacity: CapacitySchedulerPolicy,
    seats: u32,
    budget: u32,
    chunking: Option<ContextChunkingPolicy>,
    max_model_len: u32,
    reuses: bool,
    partly: bool,
}

/// Shared blocks that prompts being computed will bring.
type Coming = Vec<BlockKey>;

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
            },
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
        step.repeats(0);
    }
}

impl TensorRtLlm {
    /// Tokens of a request that runs to its `max_tokens`.
    fn to_the_end(&self, view: &RequestView) -> u32 {
        view.prompt_tokens.saturating_add(view.max_tokens).min(self.max_model_len)
    }

    fn no_evict(&self, step: &mut Step<'_>) {
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
                    step.hold(Held::NoKvBlocks);
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

    fn max_utilization(&self, step: &mut Step<'_>) {
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
        let mut later = false;
        let mut coming = coming(step);
        let mut started: Vec<Handle> = by_arrival(step).into();
        let (mut free, mut seats) = (step.free_blocks(), self.seats);
        let mut fitting = Vec::new();
        let (mut served, mut place) = (0, 0);
        loop {
            // Those paused in this step stand at the queue's head and are passed over.
            let waiting = self.next_waiting(step, step.preempted_len() + place);
            let first = match (started.get(served), &waiting) {
                (Some(&a), Some(b)) => arrival(step, a) < arrival(step, b.request),
                (started, _) => started.is_some(),
            };
            let next = match waiting {
                _ if first => running(step, started[served]),
                Some(next) if step.preempted_len() == 0 || !self.paused_before(step, &next) => next,
                _ => break,
            };
            if !first && finds_later(step, next.request, &mut coming) {
                later |= place == 0 && step.preempted_len() == 0;
                place += 1;
                continue;
            }
            if self.fits(step, &next, &mut free, &mut seats) {
                served += usize::from(first);
                place += usize::from(!first);
                fitting.push(next);
                continue;
            }
            if served == started.len() {
                break;
            }
            let last = started.pop().expect("some are not served yet");
            let before = step.free_blocks();
            step.preempt(last);
            free += step.free_blocks() - before;
            step.hold(Held::Preempting);
        }
        (fitting, later)
    }

    /// Whether someone who arrived before `next` was paused in this step: then nobody after is
    /// served.
    fn paused_before(&self, step: &Step<'_>, next: &Fitting) -> bool {
        let earliest = step.waiting_at(0).expect("the paused wait");
        arrival(step, earliest) < arrival(step, next.request)
    }

    fn fits(&self, step: &mut Step<'_>, next: &Fitting, free: &mut u32, seats: &mut u32) -> bool {
        let view = step.view(next.request);
        // A prompt's blocks are all taken with its first chunk.
        let blocks = match next.admits {
            Some(hold) => step.blocks_to_admit(hold, step.lookup(next.request)),
            None => step.more_blocks_for(next.request, view.computed + 1),
        };
        if *seats == 0 {
            step.hold(Held::NoSeat);
            return false;
        }
        if blocks > *free {
            step.hold(Held::NoKvBlocks);
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
    fn micro_batch(&self, step: &mut Step<'_>, fitting: &[Fitting], mut n: u32) {
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
        for (next, chunk) in contexts.into_iter().zip(chunks) {
            if chunk == 0 {
                first = first.or(next.admits);
                continue;
            }
            let runs = match next.admits {
                // What it was to take may have been evicted for those before it.
                Some(hold) => step.admit(next.request, chunk, hold, step.lookup(next.request)),
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
fn admitting(step: &Step<'_>, request: Handle, hold: u32) -> Fitting {
    let found = step.lookup(request).tokens(step.block_tokens());
    Fitting { request, left: step.view(request).tokens - found, admits: Some(hold) }
}

/// What those prompts will bring of which a part is computed.
fn coming(step: &Step<'_>) -> Coming {
    step.prefilling().filter_map(|request| step.first_new_block(request)).collect()
}

/// Whether a waiting request will find what another is computing, or about to compute, if it waits.
fn finds_later(step: &Step<'_>, request: Handle, coming: &mut Coming) -> bool {
    let Some(key) = step.first_new_block(request).filter(|key| key.shared) else { return false };
    let later = coming.contains(&key);
    if !later {
        coming.push(key);
    }
    later
}

fn decoding(step: &Step<'_>) -> Vec<Fitting> {
    let running = by_arrival(step).into_iter().map(|request| running(step, request));
    running.filter(|next| next.left == 0).collect()
}

/// Chunks of prompts that have `lefts` tokens to compute, within `cap` tokens. A chunk that does
/// not end its prompt is a multiple of `unit`.
fn chunks(policy: ContextChunkingPolicy, lefts: &[u32], cap: u32, unit: u32) -> Vec<u32> {
    let all: u64 = lefts.iter().map(|&left| u64::from(left)).sum();
    if all <= u64::from(cap) {
        return lefts.to_vec();
    }
    let mut cap = cap;
    match policy {
        ContextChunkingPolicy::FirstComeFirstServed => {
            let chunk = |&left: &u32| {
                let chunk = if left <= cap { left } else { cap / unit * unit };
                cap -= chunk;
                chunk
            };
            lefts.iter().map(chunk).collect()
        }
        ContextChunkingPolicy::EqualProgress => {
            let mut chunks = vec![0; lefts.len()];
            loop {
                let before = cap;
                for (chunk, &left) in chunks.iter_mut().zip(lefts) {
                    let more = unit.min(left - *chunk);
                    if more <= cap {
                        *chunk += more;
                        cap -= more;
                    }
                }
                if cap == 0 || cap == before {
                    return chunks;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served_cuts_to_a_multiple_of_the_unit() {
        // 100 of 130 fit: the first whole, the second 36 of 60 cut to 32, and 4 are left over, which
        // just fit the third.
        let policy = ContextChunkingPolicy::FirstComeFirstServed;
        assert_eq!(chunks(policy, &[64, 60, 4, 2], 100, 32), [64, 32, 4, 0]);
        assert_eq!(chunks(policy, &[64, 36], 100, 32), [64, 36]);
    }

    #[test]
    fn equal_progress_deals_a_unit_to_each_in_turn() {
        // Rounds of 32: 32+32+10, then 26 are left, too few for another 32 of either.
        let policy = ContextChunkingPolicy::EqualProgress;
        assert_eq!(chunks(policy, &[100, 100, 10], 100, 32), [32, 32, 10]);
        assert_eq!(chunks(policy, &[100, 40], 128, 32), [64, 40]);
    }
}
